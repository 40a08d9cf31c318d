"""Spectral quantities in each other's units: wavelengths in vacuum, frequencies, wavenumbers, photon energies."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from skyvault.errors import UnitError
from skyvault.quiet import quiet


@lru_cache(maxsize=512)
def spectral_conversion(source: str, target: str) -> tuple[float, bool]:
    """How a number in ``source`` becomes one in ``target``: (factor, False) to multiply, (factor, True) to divide by.

    Raises UnitError for units that are none, or not of the spectrum.
    """
    from astropy import units as u

    parsed = [_unit(text) for text in (source, target)]
    kinds = []
    for text, unit in zip((source, target), parsed, strict=True):
        kind = next((name for name, plain in _KINDS if unit.is_equivalent(getattr(u, plain))), None)
        if kind is None and unit.is_equivalent(u.m**-1):
            kind = "energy"
        if kind is None:
            raise UnitError(
                f"{text.strip()!r} is no unit of the spectrum", hint="Use units of length, frequency or energy."
            )
        kinds.append(kind)
    # wavelengths run against all others
    is_inverse = (kinds[0] == "length") != (kinds[1] == "length")
    factor = float(parsed[0].to(parsed[1], 1.0, equivalencies=u.spectral()))
    return factor, is_inverse


_KINDS = (("length", "m"), ("energy", "Hz"), ("energy", "J"))


def _unit(text: str) -> Any:
    from astropy import units as u

    from skyvault.adql.units import parse_unit

    parse_unit(text)
    try:
        with quiet():
            # Angstrom is deprecated among VOUnits, and what spectra are given in
            return u.Unit(text.strip(), format="vounit")
    except ValueError as problem:
        raise UnitError(f"{text.strip()!r} is no unit ({problem})") from None
