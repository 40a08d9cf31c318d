"""A spectrum's file, FITS or VOTable, as columns: which is wavelength, flux and error is known by names and UCDs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.spectrum_reduction import NANOMETRES
from skyvault.quiet import quiet

#: names of columns, lower case, most telling first
_WAVES: Final = ("wavelength", "wave", "lambda", "loglam", "spectral_value", "spectral", "lam")
_FLUXES: Final = ("flux", "spectralflux", "flux_value", "flam", "counts")
_ERRORS: Final = ("flux_error", "flux_err", "e_flux", "fluxerr", "error", "err", "sigma", "ivar")
_FLAGS: Final = ("flag", "flags", "and_mask", "mask", "quality", "dq")
_MOST_BYTES: Final = 500_000_000
_Described = Sequence[tuple[str, str, str]]


def read_spectrum(body: bytes, name: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """(columns wavelength, flux, fluxerr, flag of shape (n,), what is known: wavelength_unit, flux_unit, medium, mjd,
    exptime). Raises DataError for what is no spectrum.

    SDSS's logarithms (loglam) become Angstrom; inverse variances become errors. ``medium`` is "vacuum" or "air" where
    the file says so (VACUUM, AIRORVAC, SPECSYS notes), for SDSS vacuum.
    """
    from skyvault.science.cutouts import unpacked

    try:
        raw = unpacked(body, name or "spectrum", _MOST_BYTES)
    except FormatError as error:
        raise DataError(error.what, where=name) from None
    if raw.startswith(b"SIMPLE"):
        return _from_fits(raw, name)
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _from_votable(raw, name)
    raise DataError("the spectrum is neither FITS nor VOTable", where=name)


def _from_votable(raw: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    import pyarrow as pa

    from skyvault.formats.votable_in import open_votable

    try:
        stream = open_votable(raw, name=name)
        batches = list(stream.batches)
    except FormatError as error:
        raise DataError(f"the spectrum cannot be read: {error.what}", where=name) from None
    if stream.error:
        raise DataError(f"the service says: {stream.error[:200]}", where=name)
    columns = stream.table.columns
    described = [(one.name, one.ucd or "", one.unit or "") for one in columns]
    table = pa.Table.from_batches(batches) if batches else None

    def values(column: str) -> Any:
        number = [one.name for one in columns].index(column)
        if table is None:
            return np.zeros(0)
        taken = table.column(number).to_pylist()
        return np.array([np.nan if value is None else value for value in taken], np.float64)

    return _spectrum(described, values, name, {})


def _from_fits(raw: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from astropy.io import fits

    from skyvault.pipeline.image_files import mjd_of

    try:
        with quiet(), fits.open(io.BytesIO(raw), memmap=False) as file:
            for hdu in file:
                if not isinstance(hdu, fits.BinTableHDU) or hdu.data is None or not len(hdu.columns):
                    continue
                described = [(one.name, "", str(one.unit or "")) for one in hdu.columns]
                if _pick(described, _WAVES, "") and _pick(described, _FLUXES, ""):
                    header = file[0].header.copy()
                    header.update(hdu.header)
                    return _spectrum(described, partial(_fits_column, hdu.data), name, header, mjd_of(header))
            if (axis := _along_axis(file[0])) is not None:
                return _spectrum(
                    [("wavelength", "", axis[2]), ("flux", "", str(file[0].header.get("BUNIT", "")))],
                    dict(zip(("wavelength", "flux"), axis[:2], strict=True)).__getitem__,
                    name, file[0].header, mjd_of(file[0].header),
                )  # fmt: skip
    except DataError:
        raise
    except Exception as problem:  # damaged files fail in many ways
        raise DataError(f"this cannot be read as FITS ({type(problem).__name__})", where=name) from None
    raise DataError("the file has no wavelengths and fluxes", where=name)


def _fits_column(data: Any, column: str) -> Any:
    return np.asarray(data[column], np.float64).reshape(-1)


def _along_axis(hdu: Any) -> tuple[Any, Any, str] | None:
    """A spectrum along the pixels of an image of one axis: linear wavelengths (FITS paper III)."""
    header = hdu.header
    if header.get("NAXIS") != 1 or not isinstance(header.get("CRVAL1"), int | float) or hdu.data is None:
        return None
    step = header.get("CDELT1", header.get("CD1_1"))
    if not isinstance(step, int | float):
        return None
    count = int(header["NAXIS1"])
    wave = header["CRVAL1"] + (np.arange(count) + 1.0 - float(header.get("CRPIX1", 1.0))) * step
    if str(header.get("DC-FLAG", "0")).strip() == "1":
        wave = 10.0**wave
    return wave, np.asarray(hdu.data, np.float64), str(header.get("CUNIT1", "Angstrom")).strip()


def _pick(described: _Described, names: Sequence[str], ucd: str) -> tuple[str, str] | None:
    lower = {column.lower(): (column, unit) for column, _, unit in described}
    for one in names:
        if one in lower:
            return lower[one]
    return next(((column, unit) for column, kind, unit in described if ucd and ucd in kind.lower()), None)


def _spectrum(
    described: _Described, values: Callable[[str], Any], name: str, header: Any, mjd: float | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    wave, flux = _pick(described, _WAVES, "em.wl"), _pick(described, _FLUXES, "phot.flux")
    if wave is None or flux is None:
        listed = ", ".join(column for column, _, _ in described[:12])
        raise DataError("the table has no wavelengths and fluxes", where=name, hint=f"Its columns: {listed}.")
    error, flag = _pick(described, _ERRORS, "stat.error;phot.flux"), _pick(described, _FLAGS, "meta.code.qual")
    try:
        waves, unit = values(wave[0]), wave[1].strip()
        if wave[0].lower() == "loglam":
            waves, unit = 10.0**waves, "Angstrom"
        columns = {"wavelength": waves, "flux": values(flux[0])}
        if error is not None:
            columns["fluxerr"] = values(error[0])
            if error[0].lower() == "ivar":
                with np.errstate(divide="ignore", invalid="ignore"):
                    columns["fluxerr"] = np.where(columns["fluxerr"] > 0.0, columns["fluxerr"] ** -0.5, np.nan)
        if flag is not None:
            columns["flag"] = (values(flag[0]) != 0).astype(np.int64)
    except (TypeError, ValueError) as problem:
        raise DataError(f"the spectrum's columns hold no numbers ({str(problem)[:80]})", where=name) from None
    if unit.lower() not in NANOMETRES:
        if unit:
            raise DataError(f"wavelengths in {unit[:20]!r} are not known", where=name)
        # without a unit: optical wavelengths are thousands in Angstrom, hundreds in nm
        middle = float(np.nanmedian(columns["wavelength"])) if len(columns["wavelength"]) else 0.0
        unit = "Angstrom" if middle > 2000.0 else "nm" if middle > 50.0 else "um"
    about = {
        "wavelength_unit": unit, "flux_unit": flux[1] or str(header.get("BUNIT", "") or "") or None, "mjd": mjd,
        "medium": _medium(header, wave[0]), "exptime": _exposure(header),
    }  # fmt: skip
    return columns, about


def _medium(header: Any, wave: str) -> str | None:
    for name in ("AIRORVAC", "VACUUM", "WAVEMED"):
        value = header.get(name)
        if isinstance(value, bool):
            return "vacuum" if value else "air"
        text = str(value or "").strip().lower()
        if text.startswith("vac"):
            return "vacuum"
        if text.startswith("air"):
            return "air"
        if name == "VACUUM" and text in ("0", "1"):
            return "vacuum" if text == "1" else "air"
    # FITS paper III: WAVE is vacuum, AWAV air
    kind = str(header.get("CTYPE1", "")).upper()
    if kind.startswith("AWAV"):
        return "air"
    if kind.startswith("WAVE") or wave.lower() == "loglam":
        return "vacuum"
    return None


def _exposure(header: Any) -> float | None:
    value = header.get("EXPTIME", header.get("EXPOSURE"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
