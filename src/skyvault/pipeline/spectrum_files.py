"""A spectrum's file as columns of a data set: wavelengths, fluxes, errors and flags as the archive has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyvault.errors import FormatError
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.image_files import mjd_of
from skyvault.science.spectrum_files import spectra_in


def read_spectrum(body: bytes, name: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """(columns wavelength, flux, fluxerr, flag of shape (n,), what is known: wavelength_unit, flux_unit, medium, mjd,
    exptime). Raises DataError for what is no spectrum.

    Of a file with several the first is taken. SDSS's logarithms (loglam) become Angstrom, frequencies and energies nm;
    inverse variances become errors. ``medium`` is "vacuum" or "air" where the file says so (VACUUM, AIRORVAC, CTYPE),
    for SDSS vacuum; None where it does not.
    """
    try:
        found = spectra_in(body, name or "spectrum")[0]
    except FormatError as error:
        raise DataError(error.what, where=name, hint=error.hint) from None
    unit = found.unit if found.is_wavelength else "nm"
    columns: dict[str, Any] = {
        "wavelength": found.axis if found.is_wavelength else found.wavelengths("nm"),
        "flux": found.flux,
    }
    if found.error is not None:
        columns["fluxerr"] = found.error
    if found.flag is not None:
        columns["flag"] = found.flag
    words: Mapping[str, Any] = found.words if found.words is not None else {}
    return columns, {
        "wavelength_unit": unit, "flux_unit": found.flux_unit, "mjd": mjd_of(words), "medium": found.medium,
        "exptime": _exposure(words),
    }  # fmt: skip


def _exposure(words: Mapping[str, Any]) -> float | None:
    value = words.get("EXPTIME", words.get("EXPOSURE"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
