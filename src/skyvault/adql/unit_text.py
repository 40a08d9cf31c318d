"""Unit strings read: the grammar of VOUnits 1.1, section 2, with the habits of CDS and FITS tables.

Strings of real tables mix them ("erg/s/cm**2", "10-16W/m2", "%"); what a symbol means is astropy's knowledge.
astropy is imported when the first unit is read.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from skyvault.errors import UnitError

if TYPE_CHECKING:
    from astropy.units import UnitBase

MAX_LENGTH = 500
_MAX_DEPTH = 20

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<quoted>'[^']+')
    | (?P<symbol>%|[A-Za-z\u00b5\u03bc\u00c5\u00b0\u03a9\u212b"_][A-Za-z_\u00b5\u03bc]*)
    | (?P<op>\*\*|[\^*./()+\-])
    )""",
    re.VERBOSE,
)
#: symbols astropy's VOUnit table lacks or spells differently: (symbol, unit in astropy's generic spelling)
_SPELLINGS: dict[str, str] = {
    "%": "percent",
    "percent": "percent",
    "ta": "365.24219 d",  # tropical year
    "Ba": "365.242198781 d",  # Besselian year
    "\u212b": "Angstrom",
    "\u00c5": "Angstrom",
    "\u00b0": "deg",
    "\u03a9": "Ohm",
    "ADU": "adu",
    "DN": "adu",
    "e": "electron",
    "electrons": "electron",
    "counts": "ct",
    "cts": "ct",
    "photons": "ph",
    "pixels": "pix",
    "degree": "deg",
    "degrees": "deg",
    "day": "d",
    "days": "d",
    "hr": "h",
    "hour": "h",
    "hours": "h",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "minute": "min",
    "minutes": "min",
    "year": "yr",
    "years": "yr",
    "mags": "mag",
    "micron": "um",
    "microns": "um",
    "radian": "rad",
    "radians": "rad",
    "angstroms": "Angstrom",
    "MiB": "1048576 byte",
    "TiB": "1099511627776 byte",
    "PiB": "1125899906842624 byte",
    "Mibyte": "1048576 byte",
    "Tibyte": "1099511627776 byte",
    "Pibyte": "1125899906842624 byte",
}
#: words that say there is a unit nobody knows, or none; both are opaque: equal to themselves only
_OPAQUE = frozenset({"unknown", "UNKNOWN", "Crab", "mCrab"})
_DEPRECATED = ("Angstrom", "angstrom", "barn", "erg", "G")
#: words people write for a plain number
_PLAIN = frozenset({"", "1", "-", "--", "---", "unitless", "dimensionless", "none", "None", "NONE"})
#: the charge on an electron count, as in "e-/s"
_ELECTRON = re.compile(r"(?<![A-Za-z0-9])e-(?=$|[/ .*)])")
_LOG_CALL = re.compile(r"\s*(?:log10|log|ln|exp|mag|dex|dB|decimal)\s*\(.*\)\s*", re.DOTALL)


def _bad(text: str, why: str) -> UnitError:
    return UnitError(
        f"{text[:60]!r} is not a unit: {why}", hint="Write units like km/s, mas.yr**-1, erg.cm**-2.s**-1, mag, %."
    )


@cache
def _opaque(name: str) -> UnitBase:
    from astropy import units

    return units.def_unit([name])


@lru_cache(maxsize=4096)
def _symbol(symbol: str) -> Any:
    """The astropy unit of one symbol, prefix included; None when there is none."""
    from astropy import units

    if symbol in _OPAQUE:
        return _opaque(symbol)
    spelt = _SPELLINGS.get(symbol)
    if spelt is not None:
        return units.Unit(spelt)
    # VOUnits deprecates these, and astropy would warn; the generic table has them without a word
    forms = ("generic",) if symbol.endswith(_DEPRECATED) else ("vounit", "cds", "generic")
    for form in forms:
        try:
            found = units.Unit(symbol, format=form)
        except (ValueError, TypeError):
            continue
        if isinstance(found, units.UnitBase) and getattr(found, "name", None):
            return found
    return None


def read_unit(text: str) -> UnitBase:
    """The unit a string says. Raises UnitError."""
    from astropy import units

    if len(text) > MAX_LENGTH:
        raise _bad(text, f"it has more than {MAX_LENGTH} characters")
    stripped = text.strip()
    if stripped in _PLAIN:
        return units.dimensionless_unscaled
    if _LOG_CALL.fullmatch(stripped):
        return _opaque(" ".join(stripped.split()))
    tokens = _tokens(_ELECTRON.sub("electron", stripped))
    reader = _Reader(stripped, tokens)
    try:
        unit = reader.product(0)
    except (ArithmeticError, TypeError, ValueError) as problem:
        raise _bad(text, str(problem)) from None
    if reader.place < len(tokens):
        raise _bad(text, f"{tokens[reader.place][1]!r} is not expected")
    return unit


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _bad(text, f"the character {text[place]!r} is not expected")
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        place = match.end()
    return tokens


class _Reader:
    """Products of powers, from left to right; a division takes the next factor only."""

    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self.text = text
        self.tokens = tokens
        self.place = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else ("end", "")

    def product(self, depth: int) -> Any:
        from astropy import units

        if depth > _MAX_DEPTH:
            raise _bad(self.text, "it is nested too deeply")
        result: Any = units.dimensionless_unscaled
        if self.peek() == ("op", "/"):
            pass  # "/s" is read as "1/s"
        else:
            result = self.leading(depth)
        while True:
            kind, sign = self.peek()
            if kind == "op" and sign in (".", "*"):
                self.place += 1
                result = result * self.factor(depth)
            elif kind == "op" and sign == "/":
                self.place += 1
                result = result / self.factor(depth)
            elif kind in ("symbol", "quoted") or (kind == "op" and sign == "("):
                result = result * self.factor(depth)
            else:
                return result

    def leading(self, depth: int) -> Any:
        """The first factor, which may be a scale: 10**3, 10+3, 10-16, 1e-18, 0.1."""
        from astropy import units

        kind, text = self.peek()
        if kind != "number":
            return self.factor(depth)
        self.place += 1
        scale = float(text)
        follows, sign = self.peek()
        if follows == "op" and sign in ("**", "^"):
            self.place += 1
            scale = scale ** float(self.exponent())
        elif follows == "op" and sign in ("+", "-") and text == "10":
            scale = scale ** float(self.exponent())
        if not math.isfinite(scale) or scale <= 0:
            raise _bad(self.text, "its factor is not a positive number")
        return units.dimensionless_unscaled if scale == 1 else units.Unit(scale)

    def factor(self, depth: int) -> Any:
        kind, text = self.peek()
        self.place += 1
        if kind == "op" and text == "(":
            unit = self.product(depth + 1)
            if self.peek() != ("op", ")"):
                raise _bad(self.text, "a parenthesis is not closed")
            self.place += 1
        elif kind == "quoted":
            unit = _opaque(text)
        elif kind == "symbol" and text == "sqrt" and self.peek() == ("op", "("):
            return self.factor(depth) ** Fraction(1, 2)
        elif kind == "symbol":
            unit = _symbol(text)
            if unit is None:
                raise _bad(self.text, f"the symbol {text!r} is not known")
        elif kind == "number" and text == "1":
            from astropy import units

            unit = units.dimensionless_unscaled
        else:
            raise _bad(self.text, f"{text!r} is not expected" if text else "something is missing at its end")
        follows, sign = self.peek()
        if follows == "op" and sign in ("**", "^"):
            self.place += 1
            return unit ** self.exponent()
        if follows == "number" or (follows == "op" and sign in ("+", "-") and self.peek(1)[0] == "number"):
            return unit ** self.exponent()
        return unit

    def exponent(self) -> Fraction:
        kind, text = self.peek()
        if kind == "op" and text == "(":
            self.place += 1
            above = self.exponent()
            below = Fraction(1)
            if self.peek() == ("op", "/"):
                self.place += 1
                below = self.exponent()
            if self.peek() != ("op", ")") or below == 0:
                raise _bad(self.text, "an exponent is not closed")
            self.place += 1
            return _small(self.text, above / below)
        sign = 1
        if kind == "op" and text in ("+", "-"):
            sign = -1 if text == "-" else 1
            self.place += 1
            kind, text = self.peek()
        if kind != "number":
            raise _bad(self.text, "an exponent is missing")
        self.place += 1
        # "m2.s" was cut as number "2." followed by s: the dot is the multiplication sign
        if text.endswith("."):
            text = text[:-1]
            self.place -= 1
            self.tokens[self.place] = ("op", ".")
        return _small(self.text, sign * Fraction(text))


def _small(text: str, exponent: Fraction) -> Fraction:
    if abs(exponent) > 1000 or exponent.denominator > 1000:
        raise _bad(text, "its exponent is too large")
    return exponent
