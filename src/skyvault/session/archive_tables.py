"""From an archive's rows to a session's tables: types and units, missing values, times, order, links to exposures.

The rows are Arrow tables in the archive's own columns, found by name; cells may be numbers or text. What the archive
leaves out is missing here, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.session.cells import Bools, arrow_array, values_and_mask
from skyvault.session.columns import SessionColumn, exposure_columns, photometry_columns, refcat_columns
from skyvault.session.exposures import Exposures
from skyvault.session.extract import Extract
from skyvault.session.lightcurve import Lightcurve
from skyvault.session.plate_times import old_utc_is_fine
from skyvault.session.refcat import RefcatSources

if TYPE_CHECKING:
    from astropy.time import Time

Floats = np.ndarray[Any, np.dtype[np.float64]]
P = TypeVar("P", Lightcurve, Extract)

#: where plates are scanned, and in whose time the scans are dated
_SCANNED_IN: Final = "America/New_York"


class _Rows:
    """An archive's answer, cell types settled; raises FormatError for what does not fit."""

    def __init__(self, rows: pa.Table, columns: tuple[SessionColumn, ...], needed: tuple[str, ...], what: str) -> None:
        self.table = rows
        self.what = what
        self.size = rows.num_rows
        missing = [name for name in needed if name not in rows.column_names]
        if missing:
            raise FormatError(
                f"The archive's {what} lacks {', '.join(missing)}",
                hint="Ask again later; if it stays so, the archive has changed.",
            )
        self._declared = {column.name: column for column in columns}

    def column(self, wire: str, kind: str) -> tuple[np.ndarray[Any, Any], Bools]:
        """Values of a numpy type and where they are missing; all missing where the archive has no such column."""
        dtype = np.dtype("U1" if kind == "str" else kind)
        if wire not in self.table.column_names:
            return np.zeros(self.size, dtype=dtype), np.ones(self.size, dtype=bool)
        cells = self.table[wire]
        if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            cells = pc.if_else(pc.equal(pc.utf8_trim_whitespace(cells), ""), pa.scalar(None, cells.type), cells)
        wanted = pa.string() if kind == "str" else pa.from_numpy_dtype(dtype)
        try:
            if pa.types.is_floating(wanted):
                cells = pc.cast(pc.cast(cells, pa.float64()), wanted, safe=False)
            else:
                cells = pc.cast(cells, wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise FormatError(f"The archive's {self.what} holds something in {wire} that is no {kind}") from None
        values, mask = arrow_array(cells)
        if mask is None:
            mask = np.zeros(self.size, dtype=bool)
        if dtype.kind == "f":
            mask = mask | ~np.isfinite(values)
        if dtype.kind == "U":
            values = np.where(mask, "", values)
        return values, np.asarray(mask)

    def declared(self, name: str) -> tuple[np.ndarray[Any, Any], Bools]:
        """The same for a declared column, its codes for "unknown" missing too."""
        column = self._declared[name]
        values, mask = self.column(column.wire, column.kind)
        for code in column.missing:
            mask = mask | (
                values == np.asarray(code).astype(values.dtype) if code >= 0 or values.dtype.kind != "u" else False
            )
        return values, np.asarray(mask)


def _masked(column: SessionColumn, values: Any, mask: Bools) -> Any:
    from astropy.table import MaskedColumn

    return MaskedColumn(values, mask=mask, name=column.name, unit=column.unit, description=column.meaning)


def _plain(column: SessionColumn, values: Any) -> Any:
    from astropy.table import Column

    return Column(values, name=column.name, unit=column.unit, description=column.meaning)


# --- the reference catalogue -----------------------------------------------------------------------------------------


def refcat_sources(rows: pa.Table, refcat: str) -> RefcatSources:
    """The catalogue sources in order of distance from the target. Raises FormatError for rows that do not fit."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astropy.table import Column
    from astropy.time import Time

    needed = ("ref_text", "ref_number", "gsc_bin_index", "ra_deg", "dec_deg", "dra_asec", "ddec_asec")
    source = _Rows(rows, refcat_columns(), needed, "catalogue")
    distance = np.hypot(source.column("dra_asec", "float64")[0], source.column("ddec_asec", "float64")[0])
    order = np.argsort(distance, kind="stable")
    made: dict[str, Any] = {}
    for column in refcat_columns():
        if column.kind == "position":
            ra, dec, pm_ra, pm_dec, epoch = (
                np.where(*_nan_where_missing(source.column(name, "float64")))[order]
                for name in ("ra_deg", "dec_deg", "pm_ra_masyr", "pm_dec_masyr", "pos_epoch")
            )
            made[column.name] = SkyCoord(
                ra * u.deg,
                _latitude(dec) * u.deg,
                pm_ra_cosdec=pm_ra * u.mas / u.yr,
                pm_dec=pm_dec * u.mas / u.yr,
                obstime=Time(np.where(np.isfinite(epoch), epoch, 2000.0), format="jyear"),
                frame="icrs",
            )
            continue
        values, mask = source.declared(column.name)
        values, mask = values[order], mask[order]
        if column.name in ("stdmag", "color"):
            made[column.name] = _masked(column, values, mask | (values >= 99.0))
        else:
            fill: Any = np.nan if values.dtype.kind == "f" else "" if values.dtype.kind == "U" else 0
            made[column.name] = _plain(column, np.where(mask, np.asarray(fill, dtype=values.dtype), values))
    made["refcat"] = Column(np.full(source.size, refcat), name="refcat")
    made["local_id"] = np.arange(source.size)
    return RefcatSources(made, meta={"skyvault_refcat": refcat}, copy=False)


def _nan_where_missing(cells: tuple[np.ndarray[Any, Any], Bools]) -> tuple[Bools, float, np.ndarray[Any, Any]]:
    values, mask = cells
    return mask, np.nan, values


def _latitude(dec: Floats) -> Floats:
    """Declinations; NaN for those beyond the poles, which archives write for "unknown"."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(dec) <= 90.0, dec, np.nan)


# --- exposures -------------------------------------------------------------------------------------------------------


def exposures(rows: pa.Table, *, earliest_jd: float | None = None, latest_jd: float | None = None) -> Exposures:
    """The exposures in order of time, undated ones last; with a limit only those dated within (UTC, closed).

    Raises FormatError for rows that do not fit.
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    needed = ("series", "platenum", "scannum", "mosnum", "expnum", "solnum", "expdate", "ra", "dec", "wcssource")
    source = _Rows(rows, exposure_columns(), needed, "list of exposures")
    dates = {
        "obs_date": instants(source.column("expdate", "str")[0]),
        "scan_date": instants(source.column("scandate", "str")[0], zone=_SCANNED_IN),
        "mos_date": instants(source.column("mosdate", "str")[0], zone=_SCANNED_IN),
    }
    seconds = dates["obs_date"].astype("datetime64[ms]").astype(np.int64)
    is_undated = np.isnat(dates["obs_date"])
    order = np.lexsort((np.where(is_undated, 0, seconds), is_undated))
    if earliest_jd is not None or latest_jd is not None:
        days = seconds / 86_400_000.0 + 2440587.5
        keep = ~is_undated
        keep &= (days >= earliest_jd) if earliest_jd is not None else True
        keep &= (days <= latest_jd) if latest_jd is not None else True
        order = order[keep[order]]
    is_unscanned = source.column("scannum", "int16")
    never = is_unscanned[1] | (is_unscanned[0] == -1)
    made: dict[str, Any] = {}
    for column in exposure_columns():
        if column.kind == "time":
            made[column.name] = times(dates[column.name][order])
            continue
        if column.kind == "position":
            ra, dec = (np.where(*_nan_where_missing(source.column(name, "float64")))[order] for name in ("ra", "dec"))
            with np.errstate(invalid="ignore"):
                known = (ra >= -360.0) & (ra <= 360.0) & (np.abs(dec) <= 90.0)
            made[column.name] = SkyCoord(
                np.where(known, ra, np.nan) * u.deg, np.where(known, dec, np.nan) * u.deg, frame="icrs"
            )
            continue
        values, mask = source.declared(column.name)
        if column.name in ("scannum", "mosnum", "solnum"):
            mask = mask | never
        elif column.name in ("expnum", "exptime"):
            mask = mask | (values < 0)
        if column.name == "series":
            values = np.char.lower(values)
        values, mask = values[order], mask[order]
        made[column.name] = _plain(column, values) if values.dtype.kind == "U" else _masked(column, values, mask)
    made["local_id"] = np.arange(len(order))
    made["reject"] = np.zeros(len(order), dtype=np.uint64)
    return Exposures(made, copy=False)


def instants(texts: np.ndarray[Any, Any], *, zone: str | None = None) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Dates such as 1942-01-06T10:14:47.0Z as UTC instants in ms; not-a-time where there is none or it is no date.

    Hyphens in the time of day and 60 seconds are understood. ``zone``: in which the dates are that end without Z.
    """
    cells = pa.array(texts.astype(object), type=pa.string())
    pattern = (
        r"^\s*(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<h>\d{2})[:-](?P<m>\d{2})[:-](?P<s>\d{2})(?P<f>\.\d*)?(?P<z>Z?)\s*$"
    )
    parts = pc.extract_regex(cells, pattern)
    day, hour, minute, second, fraction, ending = (
        pc.struct_field(parts, name) for name in ("day", "h", "m", "s", "f", "z")
    )
    base = pc.strptime(
        pc.binary_join_element_wise(day, hour, minute, "T"), format="%Y-%m-%dT%HT%M", unit="ms", error_is_null=True
    )
    millis = pc.multiply(pc.cast(second, pa.int64()), 1000)
    tail = pc.cast(
        pc.replace_substring_regex(pc.binary_join_element_wise("0", fraction, ""), r"^0\.?$", "0"), pa.float64()
    )
    millis = pc.add(millis, pc.cast(pc.round(pc.multiply(tail, 1000.0)), pa.int64()))
    moment = pc.add(base, pc.cast(millis, pa.duration("ms")))
    if zone is not None:
        local = pc.assume_timezone(moment, zone, ambiguous="earliest", nonexistent="earliest")
        utc = pc.cast(pc.cast(local, pa.timestamp("ms", "UTC")), pa.timestamp("ms"))
        moment = pc.if_else(pc.equal(ending, "Z"), moment, utc)
    return np.asarray(moment.to_numpy(zero_copy_only=False), dtype="datetime64[ms]")


def times(moments: np.ndarray[Any, np.dtype[np.datetime64]]) -> Time:
    """UTC instants as astropy times that show as ISO dates; masked where there is none (with 1800-01-01 below)."""
    from astropy.time import Time
    from astropy.utils.masked import Masked

    missing = np.isnat(moments)
    texts = np.datetime_as_string(np.where(missing, np.datetime64("1800-01-01T00:00:00.000", "ms"), moments), unit="ms")
    with old_utc_is_fine():
        return Time(Masked(texts, mask=missing), format="isot", scale="utc")


# --- photometry ------------------------------------------------------------------------------------------------------


def lightcurve(rows: pa.Table) -> Lightcurve:
    """A light curve in order of time, upper limits among it. Raises FormatError for rows that do not fit."""
    return _photometry(rows, Lightcurve, "light curve")


def extract(rows: pa.Table) -> Extract:
    """What was measured on one exposure. Raises FormatError for rows that do not fit."""
    return _photometry(rows, Extract, "plate photometry")


def _photometry(rows: pa.Table, kind: type[P], what: str) -> P:
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    wires: tuple[str, ...] = (
        "date_jd",
        "series",
        "plate_number",
        "limiting_mag_local",
        "magcal_magdep",
        "ra_deg",
        "dec_deg",
    )
    source = _Rows(rows, photometry_columns(), (*wires, "gsc_bin_index", "sextractor_number"), what)
    day, is_undated = source.column("date_jd", "float64")
    if is_undated.any():
        raise FormatError(f"The archive's {what} holds {int(is_undated.sum())} rows without a date")
    order = np.argsort(day, kind="stable")
    cell, number = (np.where(mask, 0, values) for values, mask in (
        source.column("gsc_bin_index", "int64"), source.column("sextractor_number", "int64")
    ))  # fmt: skip
    is_limit = (cell == 0) & (number == 0)
    made: dict[str, Any] = {}
    for column in photometry_columns():
        if column.kind == "time":
            made["time"] = Time(day[order], format="jd", scale="utc")
            made["time"].info.description = column.meaning
        elif column.kind == "position":
            ra, dec = (np.where(*_nan_where_missing(source.column(name, "float64"))) for name in ("ra_deg", "dec_deg"))
            ra, dec = (np.where(is_limit, np.nan, angle)[order] for angle in (ra, _latitude(dec)))
            made["pos"] = SkyCoord(ra * u.deg, dec * u.deg, frame="icrs")
        elif column.name == "local_id":
            made["local_id"] = _plain(column, np.arange(source.size))
        else:
            made[column.name] = _cells(source, column, is_limit, order, is_quantity=kind is Lightcurve)
    made["reject"] = np.zeros(source.size, dtype=np.uint64)
    return kind(made, copy=False)


def _cells(source: _Rows, column: SessionColumn, is_limit: Bools, order: Any, *, is_quantity: bool) -> Any:
    from astropy.units import Quantity
    from astropy.utils.masked import Masked

    values, mask = source.declared(column.name)
    if column.name == "series":
        values = np.char.lower(values)
    if column.always:
        fill: Any = np.nan if values.dtype.kind == "f" else "" if values.dtype.kind == "U" else 0
        values, mask = np.where(mask, np.asarray(fill, dtype=values.dtype), values), np.zeros(values.shape, dtype=bool)
    else:
        mask = mask | is_limit
    values, mask = values[order], mask[order]
    if not is_quantity or column.unit is None:
        return _plain(column, values) if column.always else _masked(column, values, mask)
    quantity = Quantity(values, column.unit, copy=False, dtype=values.dtype)
    made: Any = quantity if column.always else Masked(quantity, mask=mask, copy=False)
    made.info.description = column.meaning
    return made


# --- links to exposures ----------------------------------------------------------------------------------------------


def linked_exposures(curve: Mapping[str, Any] | Lightcurve, table: Exposures) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For each row of a light curve the row of its exposure, by (series, plate, mosaic, solution); -1 where none is.

    Exposures that were never scanned are linked to nothing.
    """
    size = len(curve["platenum"])
    solved = np.flatnonzero(~values_and_mask(table["mosnum"])[1])
    code = np.zeros(size + len(solved), dtype=np.int64)
    for name in ("series", "platenum", "mosnum", "solnum"):
        mine, theirs = values_and_mask(curve[name])[0], values_and_mask(table[name])[0][solved]
        both = (
            np.char.lower(np.concatenate([mine, theirs]))
            if name == "series"
            else np.concatenate([mine.astype(np.int64), theirs.astype(np.int64)])
        )
        distinct, which = np.unique(both, return_inverse=True)
        code = np.unique(code * max(distinct.size, 1) + which.reshape(code.shape), return_inverse=True)[1].reshape(
            code.shape
        )
    if not len(solved):
        return np.full(size, -1, dtype=np.int64)
    here, there = code[:size], code[size:]
    order = np.argsort(there, kind="stable")
    place = np.minimum(np.searchsorted(there[order], here), len(order) - 1)
    return np.where(there[order][place] == here, solved[order][place], -1)


def are_links_right(curve: Lightcurve, table: Exposures) -> bool:
    """Whether the exposure rows that a light curve names are those of its plates."""
    rows = curve.exposure_rows()
    linked = np.flatnonzero(rows >= 0)
    if "exp_local_id" not in curve.colnames or (len(linked) and rows[linked].max() >= len(table)):
        return False
    for name in ("series", "platenum", "mosnum", "solnum"):
        mine = values_and_mask(curve[name])[0][linked]
        theirs, missing = values_and_mask(table[name])
        if missing[rows[linked]].any() or not np.array_equal(mine, theirs[rows[linked]].astype(mine.dtype)):
            return False
    return True
