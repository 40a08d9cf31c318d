"""Spectra in files: the many ways wavelengths and fluxes are kept (SDSS, DESI, IVOA Spectrum, plain tables, images).

What comes out is one form: wavelengths in vacuum in metres, ascending or not as the file has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.reprojected import in_a_line

Floats = NDArray[np.float64]

#: names of spectral columns, lower case, and the unit that is meant where none is said
_SPECTRAL: Final[Mapping[str, str]] = {
    "loglam": "log Angstrom", "wavelength": "Angstrom", "wave": "Angstrom", "lambda": "Angstrom", "lam": "Angstrom",
    "spectral": "m", "spectral_axis": "m", "wavelengths": "Angstrom", "wl": "Angstrom", "frequency": "Hz", "freq": "Hz",
    "energy": "keV", "sampling": "nm",
}  # fmt: skip
_FLUX: Final = ("flux", "flux_density", "fluxdensity", "spec", "spectrum", "intensity", "flam", "fnu", "counts")
_ERROR: Final = ("flux_error", "fluxerr", "flux_err", "error", "err", "sigma", "uncertainty", "stdev")
_POSITIONS: Final = (("PLUG_RA", "PLUG_DEC"), ("RA_OBJ", "DEC_OBJ"), ("RA_TARG", "DEC_TARG"), ("RA", "DEC"))
#: rows of a table that may be a spectrum
_MOST: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One spectrum. ``wavelength`` in metres (vacuum), ``flux`` in ``flux_unit``, shapes (n,); ``error`` as flux.

    ``words`` are what the file says beside the numbers; ``key`` tells several spectra of a file apart.
    """

    wavelength: Floats
    flux: Floats
    error: Floats | None
    flux_unit: str | None
    ra: float | None
    dec: float | None
    words: Any
    hdu: int | None = None
    key: str | None = None
    name: str | None = None

    @property
    def length(self) -> int:
        return len(self.wavelength)


@dataclass(slots=True)
class _Found:
    """A table that looks like a spectrum."""

    columns: Mapping[str, Any]
    units: Mapping[str, str | None]
    words: Any
    hdu: int | None = None
    names: dict[str, str] = field(default_factory=dict)


def spectra_of(path: Path) -> list[Spectrum]:
    """The spectra of a file. Raises FormatError with what is wrong when there is none."""
    try:
        with quiet():
            plain = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
            found = list(_of_fits(path) if plain.endswith((".fits", ".fit", ".fts")) else _of_table(path))
    except FormatError as problem:
        raise FormatError(problem.what, where=path.name) from None
    except Exception as problem:
        raise FormatError(f"it cannot be read as a spectrum ({in_a_line(problem)})", where=path.name) from None
    if not found:
        raise FormatError("no column of wavelengths with one of fluxes is in it", where=path.name)
    return found


def _of_fits(path: Path) -> Iterator[Spectrum]:
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        if "B_WAVELENGTH" in file and "FIBERMAP" in file:
            yield from _desi(file)
            return
        for number, hdu in enumerate(file):
            columns = getattr(hdu, "columns", None)
            if columns is None or hdu.data is None or len(hdu.data) > _MOST:
                continue
            names = {name.lower(): name for name in columns.names}
            if not (set(names) & set(_SPECTRAL)) or not (set(names) & set(_FLUX)):
                continue
            words = _words(file[0].header, hdu.header)
            units = {key: columns[name].unit for key, name in names.items()}
            data = {key: np.asarray(hdu.data[name]) for key, name in names.items() if key in _WANTED}
            yield _spectrum(_Found(data, units, words, number))
            # further tables of the kind are exposures that this one sums up (SDSS)
            return
        yield from _of_image(file)


def _desi(file: Any) -> Iterator[Spectrum]:
    """Coadded spectra of the Dark Energy Spectroscopic Instrument: three arms, a row a target."""
    fibers = file["FIBERMAP"].data
    arms = [arm for arm in ("B", "R", "Z") if f"{arm}_WAVELENGTH" in file]
    waves = [np.asarray(file[f"{arm}_WAVELENGTH"].data, np.float64) for arm in arms]
    wavelength = np.concatenate(waves)
    order = np.argsort(wavelength, kind="stable")
    for row in range(len(fibers)):
        flux = np.concatenate([np.asarray(file[f"{arm}_FLUX"].data[row], np.float64) for arm in arms])
        ivar = np.concatenate([np.asarray(file[f"{arm}_IVAR"].data[row], np.float64) for arm in arms])
        target = str(fibers["TARGETID"][row])
        yield Spectrum(
            wavelength[order] * 1e-10,
            flux[order],
            _of_ivar(ivar[order]),
            "1e-17 erg s-1 cm-2 Angstrom-1",
            float(fibers["TARGET_RA"][row]),
            float(fibers["TARGET_DEC"][row]),
            _words(file[0].header, file[f"{arms[0]}_FLUX"].header),
            file.index_of("FIBERMAP"),
            target,
            target,
        )


def _of_image(file: Any) -> Iterator[Spectrum]:
    """One-dimensional images with a linear or logarithmic spectral axis."""
    header = file[0].header
    data = file[0].data
    kind = str(header.get("CTYPE1", "")).upper()
    if data is None or not kind.startswith(("WAVE", "LAMBDA", "AWAV", "FREQ")) or "CRVAL1" not in header:
        return
    rows = np.atleast_2d(np.asarray(data, np.float64).squeeze())
    step = header.get("CDELT1") or header.get("CD1_1")
    if rows.ndim != 2 or not step:
        return
    pixels = np.arange(rows.shape[1], dtype=np.float64) + 1 - float(header.get("CRPIX1", 1.0))
    axis = float(header["CRVAL1"]) + pixels * float(step)
    unit = str(header.get("CUNIT1", "Angstrom")).strip().rstrip("s").replace("angstrom", "Angstrom") or "Angstrom"
    place = _position(header)
    error = rows[1] if len(rows) > 1 and rows.shape[0] <= 4 else None
    yield Spectrum(_metres(axis, unit), rows[0], error, header.get("BUNIT"), *place, header, 0)


def _of_table(path: Path) -> Iterator[Spectrum]:
    from astropy.table import Table

    table = Table.read(path, **({"format": "votable"} if path.suffix in (".vot", ".xml") else {}))
    names = {name.lower(): name for name in table.colnames}
    if not (set(names) & set(_SPECTRAL)) or not (set(names) & set(_FLUX)):
        return
    data = {key: np.asarray(table[name].filled(np.nan) if hasattr(table[name], "filled") else table[name])
            for key, name in names.items() if key in _WANTED}  # fmt: skip
    units = {key: str(table[name].unit) if table[name].unit is not None else None for key, name in names.items()}
    yield _spectrum(_Found(data, units, {str(key).upper(): value for key, value in table.meta.items()}))


_WANTED: Final = {*_SPECTRAL, *_FLUX, *_ERROR, "ivar"}


def _spectrum(found: _Found) -> Spectrum:
    columns = found.columns
    spectral = next(name for name in _SPECTRAL if name in columns)
    flux = next(name for name in _FLUX if name in columns)
    error = next((name for name in _ERROR if name in columns), None)
    axis, values = (np.asarray(columns[name], np.float64).reshape(-1) for name in (spectral, flux))
    if len(axis) != len(values):
        raise FormatError(f"it has {len(axis)} wavelengths and {len(values)} fluxes")
    if len(axis) < 2 or not np.isfinite(axis).any():
        raise FormatError("it has fewer than two wavelengths")
    errors = None if error is None else np.asarray(columns[error], np.float64).reshape(-1)
    if errors is None and "ivar" in columns:
        errors = _of_ivar(np.asarray(columns["ivar"], np.float64).reshape(-1))
    unit = found.units.get(spectral) or _SPECTRAL[spectral]
    told = found.units.get(flux) or (found.words.get("BUNIT") if hasattr(found.words, "get") else None)
    return Spectrum(_metres(axis, unit), values, errors, told, *_position(found.words), found.words, found.hdu)


def _of_ivar(ivar: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ivar > 0, 1.0 / np.sqrt(ivar), np.nan)


def _metres(axis: Floats, unit: str) -> Floats:
    """A spectral axis as vacuum wavelengths in metres. Raises FormatError."""
    from astropy import units as u

    if unit.startswith("log"):
        return np.asarray(10.0**axis * 1e-10, np.float64)
    try:
        return np.asarray(u.Quantity(axis, u.Unit(unit)).to_value(u.m, u.spectral()), np.float64)
    except (ValueError, TypeError, u.UnitConversionError):
        raise FormatError(f"its spectral axis is in {unit!r}, which is no unit of the spectrum") from None


def _words(first: Any, own: Any) -> Any:
    """The table's header, with what only the file's first one says."""
    whole = own.copy()
    for card in first.cards:
        if card.keyword and card.keyword not in whole and card.keyword not in ("COMMENT", "HISTORY"):
            whole.append(card)
    return whole


def _position(words: Any) -> tuple[float | None, float | None]:
    for lon, lat in _POSITIONS:
        pair: Sequence[Any] = (words.get(lon), words.get(lat))
        try:
            ra, dec = float(pair[0]), float(pair[1])
        except (TypeError, ValueError):
            continue
        if np.isfinite(ra) and abs(dec) <= 90:
            return ra % 360.0, dec
    return None, None


def spectrum_of_columns(
    columns: Mapping[str, Any], units: Mapping[str, str | None], words: Mapping[str, Any], key: str | None = None
) -> Spectrum:
    """The spectrum of columns named as in files (wavelength, flux, error). Raises FormatError."""
    return replace(_spectrum(_Found(columns, units, words)), key=key)
