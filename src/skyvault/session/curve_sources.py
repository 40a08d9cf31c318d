"""Light curves that no archive was asked for: files of Kepler and TESS, tables of TAP, SSA and time-series services."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skyvault.errors import FormatError, ParameterError
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis
from skyvault.session.mission_curve import RULES, MissionCurve, Rule

#: a light-curve file unpacked; Kepler's short cadence of a month has 8 MB
_MOST_FILE_BYTES: Final = 2_000_000_000
#: TAI is behind TT by this, exactly
_TAI_DAYS: Final = 32.184 / 86_400.0
_REFERENCES: Final = ("BARYCENTER", "HELIOCENTER", "GEOCENTER", "TOPOCENTER")
#: Rubin's tables: where the middle of an exposure is (MJD TAI), newest first
_RUBIN_TIMES: Final = ("midpointMjdTai", "expMidptMJD", "obsStartMJD")


def curve_of_file(path: str | Path, mission: str = "") -> MissionCurve:
    """A light-curve file of TESS, Kepler or K2 (FITS, may be gzipped), on the common axis of time.

    Raises FormatError for what is none, or is cut short.
    """
    from skyvault.missions.tess_files import read_light_curve

    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if not packed:
            rows = read_light_curve(path)
        else:
            with tempfile.TemporaryDirectory(prefix="skyvault-") as folder:
                plain = Path(folder) / path.name.removesuffix(".gz")
                with gzip.open(path) as source:
                    body = source.read(_MOST_FILE_BYTES + 1)
                if len(body) > _MOST_FILE_BYTES:
                    raise FormatError("The file unpacks to more than 2 GB", where=path.name)
                plain.write_bytes(body)
                rows = read_light_curve(plain)
    except (OSError, EOFError) as problem:
        raise FormatError(
            f"The file cannot be read ({getattr(problem, 'strerror', None) or problem})", where=str(path)
        ) from None
    return MissionCurve.of(mission or rows.survey.lower(), rows)


def curve_of_table(
    table: Any,
    *,
    mission: str,
    time: str,
    ra_deg: float,
    dec_deg: float,
    value: str,
    error: str | None = None,
    band: str | None = None,
    flags: str | None = None,
    bad_bits: int | None = None,
    limit: str | None = None,
    is_flux: bool = False,
    zero_mag: float | None = None,
    scale: str = "unknown",
    reference: str = "unknown",
    zero_jd: float = 2_400_000.5,
    zero_point: str = "as the table has them",
) -> MissionCurve:
    """A light curve in a table's columns, on the common axis of time where its meaning is said.

    ``time`` are days since ``zero_jd`` in ``scale`` ("utc", "tai", "tt", "tdb") at ``reference`` ("barycenter",
    "heliocenter", "geocenter", "topocenter"); unknown times stay as they are and say so. ``value`` are magnitudes;
    with ``is_flux`` fluxes, relative to their median, or with a magnitude ``zero_mag`` of flux 1. Rows with one of
    ``bad_bits`` (None: any) in ``flags`` are flagged. Raises ParameterError for columns that are not there.
    """
    asked = {"time": time, "value": value, "error": error, "band": band, "flags": flags, "limit": limit}
    rows = _arrow(table, {name: column for name, column in asked.items() if column is not None})
    axis = _axis(time, zero_jd, scale, reference)
    rule = Rule(
        (value,), (error or "",), flags or "", bad_bits, f"bits of {flags}" if flags else "no flags", zero_point,
        limit=limit, band=band, only_band=mission, is_flux=is_flux, zero_mag=zero_mag,
    )  # fmt: skip
    is_limit = np.zeros(rows.num_rows, np.bool_)
    if limit is not None:
        values = np.asarray(rows[value].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        is_limit = ~np.isfinite(values)
    given = LightCurveTable(mission, "", rows, axis, float(ra_deg), float(dec_deg), is_limit)
    return MissionCurve.of(mission, given, rule)


def rubin_curve(table: Any, ra_deg: float, dec_deg: float, mission: str = "rubin") -> MissionCurve:
    """Rubin's forced or difference photometry of one object (ForcedSource, DiaSource) as its TAP gives it.

    The table needs psfFlux, psfFluxErr (nJy), band, and a time: midpointMjdTai, or expMidptMJD joined from the visits.
    Fluxes become AB magnitudes; what is not 3 sigma above zero is an upper limit of 5 sigma.
    """
    names = _names(table)
    time = next((name for name in _RUBIN_TIMES if name in names), None)
    if time is None:
        raise ParameterError(
            "the table has no time of exposures", hint=f"Join the visits: it needs {' or '.join(_RUBIN_TIMES)}."
        )
    rule = RULES["Rubin"]
    columns = {"time": time, "value": rule.values[0], "error": rule.errors[0], "band": str(rule.band)}
    rows = _arrow(table, columns | ({"flags": rule.flags} if rule.flags in names else {}))
    axis = _axis(time, 2_400_000.5, "tai", "topocenter")
    if time == "obsStartMJD":
        axis = replace(axis, stamp="start")
    empty = np.zeros(rows.num_rows, np.bool_)
    return MissionCurve.of(mission, LightCurveTable("Rubin", "", rows, axis, float(ra_deg), float(dec_deg), empty))


def _axis(column: str, zero_jd: float, scale: str, reference: str) -> TimeAxis:
    word, place = scale.strip().lower(), reference.strip().upper()
    place = place.replace("CENTRE", "CENTER")
    if word not in ("utc", "tai", "tt", "tdb", "unknown"):
        raise ParameterError(f"{scale!r} is no time scale that is known", hint="Take utc, tai, tt, tdb or unknown.")
    if place not in (*_REFERENCES, "UNKNOWN"):
        raise ParameterError(f"{reference!r} is no place of times", hint=f"Take {', '.join(_REFERENCES).lower()}.")
    if word == "tai":
        return TimeAxis(column, zero_jd + _TAI_DAYS, "tt", place, stamp="middle")  # type: ignore[arg-type]
    return TimeAxis(column, zero_jd, word, place, stamp="middle")  # type: ignore[arg-type]


def _names(table: Any) -> list[str]:
    return [str(name) for name in getattr(table, "colnames", None) or getattr(table, "column_names", None) or ()]


def _arrow(table: Any, columns: Mapping[str, str]) -> pa.Table:
    """The columns of an astropy, Arrow or pyvo table as Arrow; masked and NaN cells are null."""
    if hasattr(table, "to_table"):
        table = table.to_table()
    names = _names(table)
    for meaning, name in columns.items():
        if name not in names:
            raise ParameterError(
                f"the table has no column {name[:60]!r} ({meaning})", hint=f"There are: {', '.join(names)[:300]}."
            )
    if isinstance(table, pa.Table):
        return table.select(list(dict.fromkeys(columns.values())))
    made = {}
    for name in dict.fromkeys(columns.values()):
        column = np.ma.asarray(getattr(table[name], "value", table[name]))
        cells, mask = column.data, np.ma.getmaskarray(column)
        if cells.dtype.kind in "SUO":
            made[name] = pa.array([None if gone else str(cell) for cell, gone in zip(cells, mask, strict=True)])
        else:
            made[name] = pa.array(np.ascontiguousarray(cells.astype(cells.dtype.newbyteorder("="))), mask=mask)
    return pa.table(made)
