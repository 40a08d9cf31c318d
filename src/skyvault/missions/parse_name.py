"""Positions out of catalogue names that hold J2000 coordinates, such as "CRTS J194428-420209" or "J123.1-32.13".

Sexagesimal names follow the IAU's rules: hours, minutes, seconds of right ascension, then degrees, minutes, seconds,
truncated, with as many digits as the precision. Decimal names give degrees. No network is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

#: a name longer than this holds no coordinates worth looking for
_LONGEST: Final = 200
_SEXAGESIMAL: Final = re.compile(
    r"J\s*(?P<h>\d{2})(?P<m>\d{2})(?:\.(?P<mf>\d)(?!\d)|(?P<s>\d{2}(?:\.\d+|\d{1,3})?))?\s*"
    r"(?P<sign>[+\-\u2212])(?P<d>\d{2})(?P<dm>\d{2})?(?:\.(?P<dmf>\d)(?!\d)|(?P<ds>\d{2}(?:\.\d+|\d{1,3})?))?(?!\d)"
)
_SPACED: Final = re.compile(
    r"J\s*(?P<h>\d{1,2})[\s:](?P<m>\d{1,2})[\s:](?P<s>\d{1,2}(?:\.\d+)?)\s*"
    r"(?P<sign>[+\-\u2212])(?P<d>\d{1,2})[\s:](?P<dm>\d{1,2})(?:[\s:](?P<ds>\d{1,2}(?:\.\d+)?))?(?!\d)"
)
_DECIMAL: Final = re.compile(r"J\s*(?P<ra>\d{1,3}\.\d+)\s*(?P<dec>[+\-\u2212]\d{1,2}(?:\.\d+)?)(?![\d.])")


class Resolver(Protocol):
    """Who knows where named objects are."""

    def resolve(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """ICRS positions (degrees) of the names that are known; the others are left out."""
        ...


def parse_name(name: str) -> tuple[float, float] | None:
    """The ICRS position (degrees) a name spells out, or None when it spells none.

    "J194428-420209", "J1944.5-4202" (tenths of minutes), "J194428.31-420209.7", "J19 44 28.3 -42 02 09" and decimal
    degrees "J123.1-32.13" are understood anywhere in the name.
    """
    if len(name) > _LONGEST:
        return None
    # four digits and tenths of a minute come before decimal degrees, which have at most three digits
    for pattern in (_SEXAGESIMAL, _SPACED):
        for match in pattern.finditer(name):
            place = _from_sexagesimal(match.groupdict())
            if place is not None:
                return place
    for match in _DECIMAL.finditer(name):
        ra, dec = float(match["ra"]), float(match["dec"].replace("\u2212", "-"))
        if ra < 360.0 and abs(dec) <= 90.0:
            return ra, dec
    return None


def _from_sexagesimal(part: dict[str, str | None]) -> tuple[float, float] | None:
    hours, minutes, seconds = float(part["h"] or 0), float(part["m"] or 0), _seconds(part["s"])
    minutes += float(part.get("mf") or 0) / 10.0
    degrees, arcmin, arcsec = float(part["d"] or 0), float(part["dm"] or 0), _seconds(part["ds"])
    arcmin += float(part.get("dmf") or 0) / 10.0
    if part["dm"] is None:
        # "J0123-45.6": tenths of a degree
        degrees, arcmin = degrees + arcmin, 0.0
    dec = degrees + arcmin / 60.0 + arcsec / 3600.0
    if hours >= 24 or minutes >= 60 or seconds >= 60 or arcmin >= 60 or arcsec >= 60 or dec > 90.0:
        return None
    ra = 15.0 * (hours + minutes / 60.0 + seconds / 3600.0)
    return ra, dec if part["sign"] == "+" else -dec


def _seconds(text: str | None) -> float:
    """Seconds; 2MASS leaves out the point: 2830 is 28.30."""
    if text and "." not in text and len(text) > 2:
        text = f"{text[:2]}.{text[2:]}"
    return float(text or 0)
