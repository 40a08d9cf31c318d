"""A spectrum as its file has it: which columns are wavelengths, fluxes, errors and flags, in which units and medium."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError

Floats = NDArray[np.float64]

#: names of spectral columns, lower case, most telling first, and the unit that is meant where none is said; "" is told
#: by the values
_AXES: Final[Mapping[str, str]] = {
    "loglam": "log", "log_lambda": "log", "wavelength": "", "wave": "", "lambda": "", "lam": "", "spectral_value": "",
    "spectral": "m", "spectral_axis": "m", "spec_flux_wl": "", "wavelengths": "", "wl": "", "frequency": "Hz",
    "freq": "Hz", "energy": "keV", "sampling": "nm",
}  # fmt: skip
_FLUXES: Final = ("flux", "spectralflux", "flux_value", "flux_density", "fluxdensity", "flam", "fnu", "spec",
                  "spectrum", "intensity", "counts")  # fmt: skip
_ERRORS: Final = (
    "flux_error",
    "fluxerr",
    "flux_err",
    "e_flux",
    "error",
    "err",
    "sigma",
    "uncertainty",
    "stdev",
    "ivar",
)
_FLAGS: Final = ("flag", "flags", "and_mask", "mask", "quality", "dq")
#: of each role: parts of UCDs and ends of utypes (IVOA Spectrum 1.1) it is known by where no name tells it
_AXIS_UCDS, _AXIS_UTYPE = ("em.wl", "em.freq", "em.energy"), "spectralaxis.value"
_FLUX_UCDS, _FLUX_UTYPE = ("phot.flux", "phot.count", "phot.fluence"), "fluxaxis.value"
_ERROR_UCDS, _ERROR_UTYPE = ("stat.error;phot.flux",), "fluxaxis.accuracy.staterror"
_FLAG_UCDS, _FLAG_UTYPE = ("meta.code.qual",), "fluxaxis.accuracy.qualitystatus"

#: how units of wavelength are spelled beside the standard's words, lower case
_SPELLED: Final[Mapping[str, str]] = {
    "a": "Angstrom", "aa": "Angstrom", "ang": "Angstrom", "angstrom": "Angstrom", "angstroms": "Angstrom",
    "0.1nm": "Angstrom", "10**-10m": "Angstrom", "nanometer": "nm", "nanometers": "nm", "nanometre": "nm",
    "nanometres": "nm", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um", "hz": "Hz",
    "ghz": "GHz", "mhz": "MHz", "kev": "keV", "ev": "eV",
}  # fmt: skip
_POSITIONS: Final = (("PLUG_RA", "PLUG_DEC"), ("RA_OBJ", "DEC_OBJ"), ("RA_TARG", "DEC_TARG"), ("RA", "DEC"))


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of a column: its name, UCD, unit and utype."""

    name: str
    ucd: str = ""
    unit: str = ""
    utype: str = ""


@dataclass(frozen=True, slots=True)
class SpectrumColumns:
    """One spectrum: ``axis`` in ``unit``, ``flux`` in ``flux_unit``, all of shape (n,), in the order of the file.

    ``error`` is as flux, NaN where nothing is known; ``flag`` is not 0 for bad samples. ``medium`` is "vacuum" or
    "air" where the file says so. ``words`` are what it says beside the numbers (a FITS header, or a mapping); ``hdu``
    and ``key`` say which of several it is.
    """

    axis: Floats
    unit: str
    flux: Floats
    flux_unit: str | None
    error: Floats | None = None
    flag: NDArray[np.int64] | None = None
    medium: str | None = None
    words: Any = None
    ra: float | None = None
    dec: float | None = None
    hdu: int | None = None
    key: str | None = None
    name: str | None = None

    @property
    def is_wavelength(self) -> bool:
        """Whether the axis is one of wavelengths, not of frequencies or energies."""
        from astropy import units as u

        return bool(u.Unit(self.unit).is_equivalent(u.m))

    def wavelengths(self, unit: str) -> Floats:
        """Wavelengths in this unit, in the medium the file has them in, shape (n,)."""
        from astropy import units as u

        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(u.Quantity(self.axis, self.unit).to_value(unit, u.spectral()), np.float64)

    def vacuum_m(self) -> Floats:
        """Wavelengths in vacuum, metres, shape (n,)."""
        metres = self.wavelengths("m")
        return vacuum_of_air(metres) if self.medium == "air" and self.is_wavelength else metres


def vacuum_of_air(wavelength_m: Floats) -> Floats:
    """Vacuum wavelengths of those in standard air of 15 C (N. Piskunov's inverse of Morton 2000, as VALD uses it)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = (wavelength_m * 1e6) ** -2
        index = (
            1.00008336624212083
            + 0.02408926869968 / (130.1065924522 - squared)
            + 0.0001599740894897 / (38.92568793293 - squared)
        )
    # ultraviolet light is given in vacuum whatever else is said, and the formula is not made for it
    return np.where(wavelength_m > 200e-9, wavelength_m * index, wavelength_m)


def is_spectrum(described: Sequence[Described]) -> bool:
    """Whether such columns hold wavelengths (or frequencies, energies) and fluxes."""
    axis = _axis_of(described)
    return axis is not None and _flux_of(described, axis) is not None


def spectrum_of(
    described: Sequence[Described],
    values: Callable[[str], Any],
    words: Any,
    *,
    hdu: int | None = None,
    key: str | None = None,
    axis: tuple[Described, Any] | None = None,
) -> SpectrumColumns:
    """The spectrum of a table: ``values`` gives the numbers of a column by its name; ``axis``: one that is no column.

    Logarithms become wavelengths and inverse variances errors. Raises FormatError, with the columns there are.
    """
    found = axis[0] if axis is not None else _axis_of(described)
    flux = None if found is None else _flux_of(described, found)
    if found is None or flux is None:
        listed = ", ".join(one.name for one in described[:12])
        raise FormatError("no column of wavelengths with one of fluxes is in it", hint=f"Its columns: {listed}.")
    rest = [one for one in described if one.name not in (found.name, flux.name)]
    error = _pick(rest, _ERRORS, _ERROR_UCDS, _ERROR_UTYPE)
    flag = _pick(rest, _FLAGS, _FLAG_UCDS, _FLAG_UTYPE)
    try:
        numbers = _floats(axis[1] if axis is not None else values(found.name))
        fluxes = _floats(values(flux.name))
        errors = None if error is None else _floats(values(error.name))
        flags = None if flag is None else (np.nan_to_num(_floats(values(flag.name))) != 0).astype(np.int64)
    except (TypeError, ValueError) as problem:
        raise FormatError(f"its columns hold no numbers ({str(problem)[:80]})") from None
    if len(numbers) != len(fluxes):
        raise FormatError(f"it has {len(numbers)} wavelengths and {len(fluxes)} fluxes")
    if len(numbers) < 2 or not np.isfinite(numbers).any():
        raise FormatError("it has fewer than two wavelengths")
    if errors is not None and error is not None and error.name.lower() == "ivar":
        errors = error_of_ivar(errors)
    numbers, unit = _with_unit(numbers, found)
    told = flux.unit or str(_word(words, "BUNIT") or "").strip() or None
    return SpectrumColumns(
        numbers,
        unit,
        fluxes,
        told,
        errors if errors is not None and len(errors) == len(fluxes) else None,
        flags if flags is not None and len(flags) == len(fluxes) else None,
        medium_of(words, found.name),
        words,
        *position_of(words),
        hdu,
        key,
    )


def known_unit(text: str) -> str | None:
    """A unit of the spectral axis as astropy writes it; None for a word that is none."""
    from astropy import units as u

    spelled = _SPELLED.get(text.strip().lower().replace(" ", ""), text.strip())
    try:
        unit = u.Unit(spelled)
        u.Quantity(1.0, unit).to(u.m, u.spectral())
    except (ValueError, TypeError, u.UnitConversionError):
        return None
    return str(unit.to_string())


def _with_unit(numbers: Floats, column: Described) -> tuple[Floats, str]:
    name = column.name.lower()
    meant = _AXES.get(name, "")
    if meant == "log":
        # the Sloan survey writes the decimal logarithm of Angstrom
        with np.errstate(over="ignore"):
            return 10.0**numbers, "Angstrom"
    said = column.unit.strip()
    unit = known_unit(said) if said else None
    if said and unit is None:
        raise FormatError(f"its spectral axis is in {said[:40]!r}, which is no unit of the spectrum")
    if unit is None and meant:
        unit = meant
    if unit is None:
        # without a unit: optical wavelengths are thousands in Angstrom, hundreds in nm
        middle = float(np.nanmedian(numbers))
        unit = "Angstrom" if middle > 2000.0 else "nm" if middle > 50.0 else "um"
    return numbers, unit


def _axis_of(described: Sequence[Described]) -> Described | None:
    return _pick(described, tuple(_AXES), _AXIS_UCDS, _AXIS_UTYPE)


def _flux_of(described: Sequence[Described], axis: Described) -> Described | None:
    rest = [one for one in described if one.name != axis.name and not one.ucd.lower().startswith("stat.error")]
    return _pick(rest, _FLUXES, _FLUX_UCDS, _FLUX_UTYPE)


def _pick(described: Sequence[Described], names: Sequence[str], ucds: Sequence[str], utype: str) -> Described | None:
    lower = {one.name.lower(): one for one in reversed(described)}
    for name in names:
        if name in lower:
            return lower[name]
    for one in described:
        if one.utype.lower().endswith(utype):
            return one
    return next((one for one in described if any(part in one.ucd.lower() for part in ucds)), None)


def _floats(values: Any) -> Floats:
    plain = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
    return np.asarray(plain, np.float64).reshape(-1)


def error_of_ivar(ivar: Floats) -> Floats:
    """Errors of inverse variances; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ivar > 0, 1.0 / np.sqrt(ivar), np.nan)


def medium_of(words: Any, axis: str = "") -> str | None:
    """What wavelengths are measured in, "vacuum" or "air", where a header or the column's name says so."""
    for name in ("AIRORVAC", "VACUUM", "WAVEMED"):
        value = _word(words, name)
        if isinstance(value, bool | np.bool_):
            return "vacuum" if value else "air"
        text = str("" if value is None else value).strip().lower()
        if text.startswith("vac"):
            return "vacuum"
        if text.startswith("air"):
            return "air"
        if name == "VACUUM" and text in ("0", "1"):
            return "vacuum" if text == "1" else "air"
    # FITS paper III: WAVE is vacuum, AWAV air
    kind = str(_word(words, "CTYPE1") or "").upper()
    if kind.startswith("AWAV"):
        return "air"
    if kind.startswith("WAVE") or _AXES.get(axis.lower()) == "log":
        return "vacuum"
    return None


def position_of(words: Any) -> tuple[float | None, float | None]:
    """Where the spectrum was taken, ICRS degrees, as its header says; (None, None) where it does not."""
    pairs: list[Sequence[Any]] = [(_word(words, lon), _word(words, lat)) for lon, lat in _POSITIONS]
    # IVOA Spectrum: one PARAM of two numbers
    pairs += [re.split(r"[\s,]+", str(_word(words, name) or "").strip()) for name in ("POSITION", "TARGETPOS")]
    for pair in pairs:
        try:
            ra, dec = (float(one) for one in pair)
        except (TypeError, ValueError):
            continue
        if np.isfinite(ra) and abs(dec) <= 90:
            return ra % 360.0, dec
    return None, None


def _word(words: Any, name: str) -> Any:
    return words.get(name) if hasattr(words, "get") else None
