"""Spectra as they came, one by one: wavelengths brought to nanometres, everything else as the archive has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import DataError
from skyvault.pipeline.raw_data import RawSpectra

#: nanometres in one unit of wavelength
NANOMETRES: Final = {
    "m": 1e9, "cm": 1e7, "mm": 1e6, "um": 1e3, "micron": 1e3, "micrometer": 1e3, "nm": 1.0, "nanometer": 1.0,
    "angstrom": 0.1, "angstroms": 0.1, "0.1nm": 0.1, "a": 0.1, "aa": 0.1,
}  # fmt: skip


def spectra_of(dataset: RawSpectra, *, drop_bad: bool = False) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(columns wavelength in nm, flux, fluxerr, flag; what is known about it) of each spectrum, shape (n,).

    Raises DataError for rows without wavelengths and fluxes, or a unit of wavelength that is not known.
    """
    rows = dataset.data
    if not len(rows):
        return
    names = rows.dtype.names or ()
    if missing := [name for name in ("wavelength", "flux") if name not in names]:
        raise DataError(f"the spectra of {dataset.source_name} have no column {' and '.join(missing)}")
    number = rows["spectrum"] if "spectrum" in names else np.zeros(len(rows), np.int64)
    listed = (dataset.altdata or {}).get("spectra") or []
    for one in np.unique(number).tolist():
        about = dict(listed[int(one)]) if 0 <= int(one) < len(listed) and isinstance(listed[int(one)], dict) else {}
        chosen = rows[number == one]
        if drop_bad and "flag" in names:
            chosen = chosen[chosen["flag"] == 0]
        unit = str(about.get("wavelength_unit") or "nm").strip().lower()
        if unit not in NANOMETRES:
            raise DataError(
                f"the wavelengths of {dataset.source_name} are in {unit[:20]!r}, which is not known",
                hint=f"Known are {', '.join(NANOMETRES)}.",
            )
        columns = {"wavelength": np.asarray(chosen["wavelength"], np.float64) * NANOMETRES[unit]}
        columns |= {name: np.asarray(chosen[name]) for name in ("flux", "fluxerr", "flag") if name in names}
        yield columns, about
