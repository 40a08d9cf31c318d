"""Light curves in files: TESS and Kepler products, VOTables, ECSV and CSV, with the times as the file keeps them.

Times come out as MJD of the file's own scale and reference position, which are told where the file tells them and
unknown (None) where it does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.reprojected import in_a_line

Floats = NDArray[np.float64]

#: names of time columns, lower case, and what is subtracted to have MJD; None: told by the header
_TIMES: Final[Mapping[str, float | None]] = {
    "time": None, "mjd": 0.0, "obsmjd": 0.0, "bmjd": 0.0, "time_mjd": 0.0, "jd": 2_400_000.5, "hjd": 2_400_000.5,
    "bjd": 2_400_000.5, "bjd_tdb": 2_400_000.5, "obs_time": None, "date_mjd": 0.0, "julian_date": 2_400_000.5,
}  # fmt: skip
_VALUES: Final = ("pdcsap_flux", "flux", "mag", "magnitude", "sap_flux", "magpsf", "psf_flux", "magcal_magdep", "phot")
_ERRORS: Final = (
    "pdcsap_flux_err",
    "flux_err",
    "flux_error",
    "magerr",
    "mag_err",
    "magnitude_error",
    "sigmapsf",
    "error",
)
#: positions of one object lie within this, degrees
_ONE_PLACE_DEG: Final = 0.01
#: eras that missions have names for, JD
_ERAS: Final = {"btjd": 2_457_000.0, "bkjd": 2_454_833.0}
_ZERO: Final = re.compile(r"(B?JD|bjd)\s*-\s*(\d+(?:\.\d*)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """One light curve. ``mjd`` (n,) in days of ``scale`` at ``reference``, ``value`` (n,) in ``unit``."""

    mjd: Floats
    value: Floats
    error: Floats | None
    unit: str | None
    column: str
    scale: str | None
    reference: str | None
    ra: float | None
    dec: float | None
    words: Any
    hdu: int | None = None

    @property
    def is_magnitude(self) -> bool:
        return "mag" in self.column or (self.unit or "").strip() == "mag"


def time_series_of(path: Path) -> TimeSeries:
    """The light curve of a file. Raises FormatError with what is wrong when there is none."""
    try:
        with quiet():
            plain = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
            found = _of_fits(path) if plain.endswith((".fits", ".fit")) else _of_table(path)
    except FormatError as problem:
        raise FormatError(problem.what, where=path.name) from None
    except Exception as problem:
        raise FormatError(f"it cannot be read as a light curve ({in_a_line(problem)})", where=path.name) from None
    if found is None:
        raise FormatError("no column of times with one of fluxes or magnitudes is in it", where=path.name)
    return found


def _of_fits(path: Path) -> TimeSeries | None:
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        for number, hdu in enumerate(file):
            columns = getattr(hdu, "columns", None)
            if columns is None or hdu.data is None:
                continue
            names = {name.lower(): name for name in columns.names}
            header = hdu.header.copy()
            for card in file[0].header.cards:
                if card.keyword and card.keyword not in header and card.keyword not in ("COMMENT", "HISTORY"):
                    header.append(card)
            # pixels by time are no light curve yet
            data = {key: np.asarray(hdu.data[name]) for key, name in names.items() if np.ndim(hdu.data[name]) == 1}
            found = _series(data, {key: columns[name].unit for key, name in names.items()}, header, number)
            if found is not None:
                return found
    return None


def _of_table(path: Path) -> TimeSeries | None:
    from astropy.table import Table

    known = {".vot": "votable", ".xml": "votable", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}
    plain = Path(path.name.lower().removesuffix(".gz"))
    table = Table.read(path, **({"format": known[plain.suffix]} if plain.suffix in known else {}))
    names = {name.lower(): name for name in table.colnames}
    words = {str(key).upper(): value for key, value in table.meta.items()}
    data: dict[str, Floats] = {}
    units: dict[str, str | None] = {}
    for key, name in names.items():
        column = table[name]
        if hasattr(column, "mjd"):
            # times that carry their scale
            data["mjd"] = _filled(column.mjd)
            words.setdefault("TIMESYS", column.scale)
        elif hasattr(column, "icrs"):
            data.setdefault("ra", _filled(column.icrs.ra.deg))
            data.setdefault("dec", _filled(column.icrs.dec.deg))
        elif column.ndim == 1 and column.dtype.kind in "iuf":
            data[key] = _filled(column) if column.dtype.kind == "f" else np.asarray(column)
            units[key] = str(column.unit) if column.unit is not None else None
    for lon, lat in (("ra", "dec"), ("raj2000", "dej2000")):
        if lon in data and lat in data and len(table):
            # a place that was measured at each epoch has some bad ones
            low, high = np.nanpercentile(data[lat], (10.0, 90.0))
            if high - low > _ONE_PLACE_DEG:
                raise FormatError("it holds light curves of several places")
            words.setdefault("RA", float(np.nanmedian(data[lon])))
            words.setdefault("DEC", float(np.nanmedian(data[lat])))
    return _series(data, units, words, None)


def _filled(values: Any) -> Floats:
    """Numbers with NaN for what is not there."""
    return np.asarray(values.filled(np.nan) if hasattr(values, "filled") else values, np.float64)


def _series(
    columns: Mapping[str, Any], units: Mapping[str, str | None], words: Any, hdu: int | None
) -> TimeSeries | None:
    time = next((name for name in _TIMES if name in columns), None)
    value = next((name for name in _VALUES if name in columns), None)
    if time is None or value is None:
        return None
    mjd, scale, reference = _times(np.asarray(columns[time], np.float64), time, units.get(time), words)
    if not np.isfinite(mjd).any():
        raise FormatError("all its times are empty")
    error = next((name for name in _ERRORS if name in columns), None)
    ra, dec = _place(words)
    return TimeSeries(
        mjd,
        np.asarray(columns[value], np.float64),
        None if error is None else np.asarray(columns[error], np.float64),
        units.get(value),
        value,
        scale,
        reference,
        ra,
        dec,
        words,
        hdu,
    )


def _times(values: Floats, name: str, unit: str | None, words: Any) -> tuple[Floats, str | None, str | None]:
    """MJD, scale and reference position of a time column, as far as the file tells them."""
    scale = str(words.get("TIMESYS") or "").strip().lower() or None
    reference = str(words.get("TREFPOS") or words.get("TIMEREF") or "").strip().lower() or None
    reference = {"solarsystem": "barycenter", "barycent": "barycenter", "local": "topocenter"}.get(
        str(reference), reference
    )
    zero = _TIMES[name]
    if "BJDREFI" in words:
        zero = 2_400_000.5 - float(words["BJDREFI"]) - float(words.get("BJDREFF") or 0.0)
        return values - zero, scale or "tdb", reference or "barycenter"
    if "MJDREF" in words or "MJDREFI" in words:
        begin = float(words.get("MJDREF") or 0.0) or float(words.get("MJDREFI") or 0) + float(
            words.get("MJDREFF") or 0.0
        )
        days = 1.0 if str(unit or words.get("TIMEUNIT") or "s").strip().lower().startswith("d") else 1.0 / 86_400.0
        return begin + values * days, scale, reference
    era = _ERAS.get((unit or "").strip().lower())
    if era is not None:
        return values + era - 2_400_000.5, scale or "tdb", "barycenter"
    told = _ZERO.search(unit or "")
    if told:
        return values + float(told[2]) - 2_400_000.5, scale, "barycenter" if told[1][0] in "bB" else reference
    if name.startswith(("bjd", "bmjd")):
        reference = "barycenter"
    elif name == "hjd":
        reference = "heliocenter"
    if zero is None:
        middle = float(np.nanmedian(values))
        # a time of 2.4 million days can only be a Julian date, one of some ten thousand only an MJD
        zero = 2_400_000.5 if middle > 2_000_000 else 0.0
        if middle < 10_000:
            raise FormatError(f"its times begin at {np.nanmin(values):g} of an era it does not name")
    return values - zero, scale, reference


def _place(words: Any) -> tuple[float | None, float | None]:
    for lon, lat in (("RA_OBJ", "DEC_OBJ"), ("RA_TARG", "DEC_TARG"), ("RA", "DEC")):
        try:
            ra, dec = float(words.get(lon)), float(words.get(lat))
        except (TypeError, ValueError):
            continue
        if np.isfinite(ra) and abs(dec) <= 90:
            return ra % 360.0, dec
    return None, None


def time_series_of_columns(
    columns: Mapping[str, Any], units: Mapping[str, str | None], words: Mapping[str, Any]
) -> TimeSeries:
    """The light curve of columns named as in files (time or mjd, flux or mag, flux_err). Raises FormatError."""
    found = _series(columns, units, words, None)
    if found is None:
        raise FormatError("no times with fluxes or magnitudes are in it")
    if len(found.mjd) != len(found.value):
        raise FormatError(f"it has {len(found.mjd)} times and {len(found.value)} values")
    return found
