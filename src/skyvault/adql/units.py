"""Units of columns: every VOUnit read, converted, multiplied and written again.

Unit strings are read in ``unit_text``; what is worked out is kept, since tables use few units many times.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skyvault.adql.unit_text import read_unit
from skyvault.errors import UnitError

if TYPE_CHECKING:
    from astropy.units import UnitBase

#: symbols of astropy that VOUnits writes differently
_WRITTEN: dict[str, str] = {"percent": "%", "vox": "voxel", "Kibyte": "KiB", "Gibyte": "GiB"}


def parse_unit(text: str) -> UnitBase:
    """The unit a string of a column says, as an astropy unit; "" is dimensionless.

    Knows all of VOUnits 1.1 (deprecated symbols, binary prefixes, "%", quoted units that only their users know, which
    are equal to themselves alone) and what else is common in tables. Logarithmic units such as "log(Hz)" or
    "mag(AB)" are opaque. Raises UnitError.
    """
    unit = _cached(text)
    if isinstance(unit, UnitError):
        raise unit
    return unit


@lru_cache(maxsize=4096)
def _cached(text: str) -> Any:
    try:
        return read_unit(text)
    except UnitError as problem:
        return problem


def conversion_factor(from_unit: str, to_unit: str) -> float:
    """The number by which a value in ``from_unit`` is multiplied to be in ``to_unit``.

    No change of physical kind (wavelength to frequency) and none between logarithmic and other units, which only
    equal themselves up to a factor ("mmag" to "mag"). Raises UnitError.
    """
    return _factor(from_unit, to_unit)


@lru_cache(maxsize=4096)
def _factor(from_unit: str, to_unit: str) -> float:
    source, target = parse_unit(from_unit), parse_unit(to_unit)
    from astropy.units import UnitsError

    problem = UnitError(
        f"{from_unit or 'No unit'!r} cannot be converted to {to_unit or 'no unit'!r}"
        if not (from_unit and to_unit)
        else f"The unit {from_unit!r} cannot be converted to {to_unit!r}",
        hint="Only units of the same physical kind can be converted into each other.",
    )
    if _logarithmic(source) != _logarithmic(target):
        raise problem
    try:
        factor = float(source.to(target))
    except (UnitsError, ValueError, TypeError, ArithmeticError):
        raise problem from None
    if not math.isfinite(factor) or factor == 0:
        raise problem
    return factor


def _logarithmic(unit: UnitBase) -> tuple[tuple[str, float], ...]:
    """Which logarithmic units, to what power, are part of ``unit``."""
    from astropy import units

    found: dict[str, float] = {}
    for base, power in _parts(unit):
        name = getattr(base, "name", "")
        for kind in ("mag", "dex", "dB"):
            if name.endswith(kind) and base.is_equivalent(units.Unit("dex")):
                found[kind] = found.get(kind, 0.0) + float(power)
                break
    return tuple(sorted((kind, power) for kind, power in found.items() if power))


# ---------------------------------------------------------------- arithmetic of unit strings


@lru_cache(maxsize=4096)
def product(left: str | None, right: str | None) -> str | None:
    """The unit of a product; no unit at all (None, "") counts as a plain number. None when a unit is not understood."""
    if not left or not right:
        return left or right or None
    try:
        return write_unit(parse_unit(left) * parse_unit(right)) or None
    except (UnitError, ArithmeticError, ValueError, TypeError):
        return None


@lru_cache(maxsize=4096)
def quotient(left: str | None, right: str | None) -> str | None:
    """The unit of a quotient; None when it is a plain number or a unit is not understood."""
    if not right:
        return left or None
    if left == right:
        return None
    try:
        over = parse_unit(right)
        return write_unit(parse_unit(left or "") / over) or None
    except (UnitError, ArithmeticError, ValueError, TypeError):
        return None


@lru_cache(maxsize=4096)
def power(unit: str | None, exponent: Fraction) -> str | None:
    """The unit of a power; None when it is a plain number or a unit is not understood."""
    if not unit or exponent == 0:
        return None
    try:
        return write_unit(parse_unit(unit) ** exponent) or None
    except (UnitError, ArithmeticError, ValueError, TypeError):
        return None


def same_unit(left: str | None, right: str | None) -> bool:
    """Whether two unit strings say the same unit, however they are spelt."""
    if (left or None) == (right or None):
        return True
    if not left or not right:
        return False
    try:
        return bool(parse_unit(left) == parse_unit(right))
    except UnitError:
        return False


def write_unit(unit: UnitBase) -> str:
    """A unit as VOUnits wants it: "mas/yr", "erg.cm**-2.s**-1"."""
    numerator: list[str] = []
    denominator: list[tuple[str, Fraction]] = []
    for base, exponent in sorted(_parts(unit), key=lambda part: -part[1]):
        name = _WRITTEN.get(str(base.name), str(base.name))
        if exponent > 0:
            numerator.append(_raised(name, exponent))
        else:
            denominator.append((name, -exponent))
    scale = float(getattr(unit, "scale", 1.0)) if hasattr(unit, "bases") else 1.0
    front = "" if scale == 1.0 else f"{scale!r}".removesuffix(".0")
    text = front + ".".join(numerator)
    if numerator and len(denominator) == 1:
        return f"{text}/{_raised(*denominator[0])}"
    below = [_raised(name, -exponent) for name, exponent in denominator]
    if not below:
        return text
    joined = ".".join(numerator + below)
    return front + joined


def _raised(name: str, exponent: Fraction) -> str:
    if exponent == 1:
        return name
    if exponent.denominator == 1:
        return f"{name}**{exponent.numerator}"
    return f"{name}**({exponent.numerator}/{exponent.denominator})"


def _parts(unit: UnitBase) -> list[tuple[Any, Fraction]]:
    bases = getattr(unit, "bases", None)
    if not bases:
        return []
    return [(base, Fraction(p).limit_denominator(60)) for base, p in zip(bases, unit.powers, strict=True)]
