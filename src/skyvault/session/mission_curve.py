"""A light curve of any mission on the common axis of time, with its own flags, limits and zero points.

Which columns hold what is in :data:`RULES`. Nothing is tuned to make missions agree: magnitudes of different bands and
zero points stay apart, and fluxes become magnitudes relative to their own median.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError, ParameterError
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis
from skyvault.session.files import written_beside
from skyvault.session.flags import STANDARD_REJECTION
from skyvault.session.periodic_curve import PeriodicCurve, Series

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

_SECONDS_A_DAY: Final = 86_400.0
_METADATA: Final = b"skyvault_light_curve"
#: magnitudes for a relative change
_POGSON: Final = 2.5 / np.log(10.0)


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a mission keeps what. Rows with one of ``bad_bits`` (None: any) set in ``flags`` are flagged."""

    values: tuple[str, ...]
    errors: tuple[str, ...]
    flags: str
    bad_bits: int | None
    flag_meaning: str
    zero_point: str
    limit: str | None = None
    band: str | None = None
    only_band: str = ""
    is_flux: bool = False
    #: magnitude of flux 1; None: fluxes are relative
    zero_mag: float | None = None
    #: fluxes are relative to the median of rows that share this column
    part: str | None = None
    #: seconds an exposure takes, to go from its begin to its middle
    exposure: str | None = None


RULES: Final[Mapping[str, Rule]] = {
    "DASCH": Rule(
        ("magcal_magdep",), ("magcal_local_rms",), "aflags", STANDARD_REJECTION,
        "DASCH's standard rejections (AFLAGS)", "magnitudes of the reference catalogue, each plate calibrated by it",
        limit="limiting_mag_local", only_band="plate",
    ),
    "ZTF": Rule(
        ("mag",), ("magerr",), "catflags", 32768, "catflags bit 15, IRSA's advice", "AB magnitudes by Pan-STARRS1",
        band="filtercode", exposure="exptime",
    ),
    "TESS": Rule(
        ("PDCSAP_FLUX", "SAP_FLUX"), ("PDCSAP_FLUX_ERR", "SAP_FLUX_ERR"), "QUALITY", None, "any QUALITY bit",
        "relative to the median of each sector", only_band="TESS", is_flux=True, part="SECTOR",
    ),
    "Kepler": Rule(
        ("PDCSAP_FLUX", "SAP_FLUX"), ("PDCSAP_FLUX_ERR", "SAP_FLUX_ERR"), "SAP_QUALITY", None, "any SAP_QUALITY bit",
        "relative to the median of each quarter", only_band="Kepler", is_flux=True, part="QUARTER",
    ),
    # nanojansky; AB magnitudes have 31.4 at 1 nJy
    "Rubin": Rule(
        ("psfFlux",), ("psfFluxErr",), "psfFlux_flag", None, "psfFlux_flag", "AB magnitudes of point-source fluxes",
        band="band", is_flux=True, zero_mag=31.4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class MissionCurve(PeriodicCurve):
    """Measurements of one mission; all arrays have shape (n,).

    ``mjd`` is TDB at the barycentre where ``is_barycentric``, otherwise as the archive gives it (``time_said`` says
    what is known). ``mag`` NaN: none; ``limit``: fainter than, where there is no ``mag``. ``rows`` has all columns.
    """

    mission: str
    rows: LightCurveTable = field(repr=False)
    mjd: Floats = field(repr=False)
    is_barycentric: bool
    time_said: str
    mag: Floats = field(repr=False)
    error: Floats = field(repr=False)
    limit: Floats = field(repr=False)
    band: np.ndarray[Any, np.dtype[np.str_]] = field(repr=False)
    is_flagged: Bools = field(repr=False)
    flag_meaning: str
    zero_point: str
    is_relative: bool

    def __len__(self) -> int:
        return len(self.mjd)

    @property
    def is_good(self) -> Bools:
        """Detections with a time and without bad flags."""
        return np.asarray(np.isfinite(self.mjd) & np.isfinite(self.mag) & ~self.is_flagged)

    def series(self) -> Series:
        """See :class:`~skyvault.session.periodic_curve.PeriodicCurve`."""
        return Series(self.mjd, self.mag, self.error, self.band, self.is_good)

    @classmethod
    def of(cls, mission: str, rows: LightCurveTable, rule: Rule | None = None) -> MissionCurve:
        """From an archive's light curve; raises ParameterError for a survey without a ``rule``."""
        rule = rule or RULES.get(rows.survey)
        if rule is None:
            raise ParameterError(
                f"it is not known which columns of {rows.survey} are magnitudes", hint=f"Known are {', '.join(RULES)}."
            )
        names = rows.rows.column_names
        mag, error = _first(rows, rule.values), _first(rows, rule.errors)
        count = len(rows)
        flags = _numbers(rows, rule.flags) if rule.flags in names else np.zeros(count)
        bits = np.where(np.isfinite(flags), flags, 0.0).astype(np.int64)
        flagged = bits != 0 if rule.bad_bits is None else (bits & rule.bad_bits) != 0
        limit = np.full(count, np.nan)
        if rule.is_flux and rule.zero_mag is not None:
            mag, error, limit = _absolute(mag, error, rule.zero_mag)
        elif rule.is_flux:
            mag, error = _relative(rows, mag, error, flagged, rule.part)
        if rule.limit is not None:
            limit = np.where(rows.is_limit, _numbers(rows, rule.limit), np.nan)
            mag = np.where(rows.is_limit, np.nan, mag)
        band = np.full(count, rule.only_band or rows.survey)
        if rule.band is not None:
            band = np.asarray(pc.fill_null(rows.rows[rule.band].cast(pa.string()), "?").to_pylist(), dtype=str)
        mjd, is_known = _times(rows, rule)
        said = "TDB at the barycentre" if is_known else f"as given: {rows.time}"
        return cls(
            mission, rows, mjd, is_known, said, mag, error, limit, band, np.asarray(flagged, bool), rule.flag_meaning,
            rule.zero_point, rule.is_flux and rule.zero_mag is None,
        )  # fmt: skip


def _times(rows: LightCurveTable, rule: Rule) -> tuple[Floats, bool]:
    """Times, and whether they are TDB at the barycentre; begins of exposures become their middle."""
    axis = rows.time
    if axis.scale == "unknown" or axis.reference == "UNKNOWN":
        return rows.times() + (axis.zero_jd - 2_400_000.5), False
    mjd = rows.mjd_tdb()
    if axis.stamp == "start" and rule.exposure in rows.rows.column_names:
        seconds = _numbers(rows, str(rule.exposure))
        mjd = mjd + np.where(np.isfinite(seconds), seconds, 0.0) / 2.0 / _SECONDS_A_DAY
    return mjd, True


def _absolute(flux: Floats, error: Floats, zero_mag: float) -> tuple[Floats, Floats, Floats]:
    """Magnitudes and errors of what is 3 sigma above zero, limits of 5 sigma of the rest."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(flux)
        seen = known & (flux > 0.0) & ~(flux < 3.0 * error)
        mag = np.where(seen, zero_mag - 2.5 * np.log10(np.where(seen, flux, 1.0)), np.nan)
        sigma = np.where(seen, _POGSON * error / np.where(seen, flux, 1.0), np.nan)
        limit = np.where(known & ~seen & (error > 0.0), zero_mag - 2.5 * np.log10(5.0 * error), np.nan)
    return mag, sigma, limit


def _relative(
    rows: LightCurveTable, flux: Floats, error: Floats, flagged: Bools, part: str | None
) -> tuple[Floats, Floats]:
    parts = _numbers(rows, part) if part in rows.rows.column_names else np.zeros(len(flux))
    mag, sigma = np.full(len(flux), np.nan), np.full(len(flux), np.nan)
    positive = np.isfinite(flux) & (flux > 0.0)
    for one in np.unique(parts[np.isfinite(parts)]):
        here = positive & (parts == one)
        good = here & ~flagged
        if not good.any():
            continue
        mag[here] = -2.5 * np.log10(flux[here] / np.median(flux[good]))
        sigma[here] = _POGSON * error[here] / flux[here]
    return mag, sigma


def _first(rows: LightCurveTable, names: tuple[str, ...]) -> Floats:
    """The first of some columns that holds anything."""
    for name in names:
        if name in rows.rows.column_names:
            found = _numbers(rows, name)
            if np.isfinite(found).any():
                return found
    return np.full(len(rows), np.nan)


def _numbers(rows: LightCurveTable, name: str | None) -> Floats:
    column = pc.fill_null(rows.rows[str(name)].cast(pa.float64()), float("nan"))
    return np.array(column.to_numpy(), np.float64)


# --- on disk --------------------------------------------------------------------------------------------------------


def write_curve(rows: LightCurveTable, path: Path) -> None:
    """Keeps an archive's light curve as Parquet, with what its times mean."""
    import pyarrow.parquet as pq

    told = {
        "survey": rows.survey, "source_id": rows.source_id, "ra_deg": rows.ra_deg, "dec_deg": rows.dec_deg,
        "service": rows.service, "time": asdict(rows.time),
    }  # fmt: skip
    table = rows.rows.append_column("skyvault_is_limit", pa.array(rows.is_limit))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA: json.dumps(told).encode()})
    with written_beside(path) as beside:
        pq.write_table(table, beside)


def read_curve(path: Path) -> LightCurveTable:
    """What :func:`write_curve` kept. Raises FormatError for anything else."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        told = json.loads((table.schema.metadata or {})[_METADATA])
        is_limit = np.asarray(table["skyvault_is_limit"].to_numpy(), np.bool_)
        return LightCurveTable(
            str(told["survey"]), str(told["source_id"]), table.drop_columns(["skyvault_is_limit"]),
            TimeAxis(**told["time"]), float(told["ra_deg"]), float(told["dec_deg"]), is_limit,
            service=str(told["service"]),
        )  # fmt: skip
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as problem:
        raise FormatError(f"This light curve cannot be read ({type(problem).__name__})", where=path.name) from None
