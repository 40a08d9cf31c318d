"""A run as tables to publish: its detections, the properties of its sources, their light curves and where these are.

Rows come from the database and the light curves' files in batches; a run of any size is published in the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import numpy as np
import sqlalchemy as sa

from skyvault.errors import SkyvaultError
from skyvault.model.frames import PhotometricSystem
from skyvault.model.offer import Offer
from skyvault.model.table import Column, CoordinateFrame, Table, TimeFrame
from skyvault.pipeline import run_columns as cols
from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.source import Detection, Properties, Source
from skyvault.pipeline.stored_run import StoredRun

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS: Final = 5_000
#: epochs in one batch
_EPOCHS: Final = 50_000
#: sources whose light curves are looked up at once
_CURVES: Final = 500
#: filters that get columns of their own in the table of properties
_MOST_FILTERS: Final = 30
#: files that could not be read, told by name
_TOLD: Final = 20
_VOTABLE: Final = "application/x-votable+xml"
_ICRS: Final = CoordinateFrame("icrs", "ICRS")


class PublishableRun:
    """The tables of a run, as :class:`skyvault.model.ports.Publishable` wants them.

    ``schema`` is the name before the point, by default the project's in lower case. ``base_url`` is where the service
    will be: the time series' addresses are below it.
    """

    def __init__(self, run: StoredRun, *, base_url: str, schema: str | None = None) -> None:
        self.run = run
        self.base_url = base_url.rstrip("/")
        self._schema = (schema or run.project).lower()
        self._unread: list[str] = []
        self._unread_count = 0

    @property
    def schema(self) -> str:
        return self._schema

    def offers(self) -> Iterable[Offer]:
        held = self.run.database()
        frames = self._time_frames(held)
        yield self._properties(held, frames)
        yield self._detections(held, frames)
        yield self._light_curves(held, frames)
        yield self._time_series(held)

    def problems(self) -> list[str]:
        told = list(self._unread)
        if self._unread_count > len(told):
            told.append(f"{self._unread_count - len(told):,} more light curves could not be read")
        return told

    def _table(
        self, name: str, columns: Iterable[Column], description: str, frames: tuple[TimeFrame, ...] = ()
    ) -> Table:
        about = self.run.record.description
        listed = tuple(columns)
        if not frames:
            listed = tuple(replace(one, ref=None) if one.ref == "times" else one for one in listed)
        return Table(
            f"{self.schema}.{name}", listed,
            description=f"{description} of the run {self.run.name}{f': {about}' if about else ''}",
            frames=(_ICRS,), time_frames=frames,
        )  # fmt: skip

    def _time_frames(self, held: Any) -> tuple[TimeFrame, ...]:
        """The frame of all times of the run, where it is one and the same."""
        scale, place = (Lightcurve.altdata[name].as_string() for name in ("time_scale", "time_position"))
        query = sa.select(scale, place).where(*self._curves()).distinct().limit(3)
        with held.reading() as connection:
            found = connection.execute(query).all()
        if len(found) != 1 or None in found[0]:
            return ()
        words = {"barycenter": "BARYCENTER", "heliocenter": "HELIOCENTER", "geocenter": "GEOCENTER"}
        return (TimeFrame("times", str(found[0][0]).upper(), words.get(found[0][1], "TOPOCENTER"), "MJD-origin"),)

    def _curves(self) -> tuple[Any, ...]:
        return (
            *self.run.mine(Lightcurve), Lightcurve.was_processed.is_(False), Lightcurve.is_simulated.is_(False)
        )  # fmt: skip

    # --- detections and properties -----------------------------------------------------------------------------

    def _detections(self, held: Any, frames: tuple[TimeFrame, ...]) -> Offer:
        mine = (*self.run.mine(Detection), Detection.simulated.is_(False))
        more = cols.DETECTIONS_MORE
        with held.reading() as connection:
            filled = connection.execute(
                sa.select(*(sa.func.count(getattr(Detection, c.name)) for c in more)).where(*mine)
            )
            used = tuple(column for column, count in zip(more, filled.one(), strict=True) if count)
        columns = (*cols.DETECTIONS, *used)
        own = {"detection_id": Detection.id, "ra": Source.ra, "dec": Source.dec}
        picked = [own.get(c.name, getattr(Detection, c.name, None)) for c in columns]
        # times as the numbers they are kept as
        plain: list[Any] = [
            sa.type_coerce(one, sa.Double) if c.unit == "d" else one for one, c in zip(picked, columns, strict=True)
        ]
        query = sa.select(*plain).join(Source, Source.id == Detection.source_id).where(*mine).order_by(Detection.id)
        table = self._table("detections", columns, "Detections", frames)
        return Offer(
            table, lambda: _batches(held, query, columns), ("ra", "dec"), ("detection_id",)
        )  # fmt: skip

    def _properties(self, held: Any, frames: tuple[TimeFrame, ...]) -> Offer:
        mine = self.run.mine(Properties)
        scalars, filters, by_filter = self._said(held, mine)
        more: list[Column] = []
        takers: list[Callable[[dict[str, Any]], Any]] = []
        for name, datatype in scalars.items():
            more.append(_safe(cols.SUMMARY.get(name) or _unknown(name, datatype)))
            takers.append(partial(_scalar, name=name))
        for label in filters:
            for name, datatype in by_filter.items():
                known = cols.BY_FILTER.get(name) or _unknown(name, datatype)
                more.append(
                    _safe(replace(known, name=f"{name}_{label}", description=f"{known.description}, filter {label}"))
                )
                takers.append(partial(_of_filter, label=label, name=name))
        columns = (*cols.PROPERTIES, *more)
        query = sa.select(
            Properties.source_name, Source.ra, Source.dec, Source.mag, Source.mag_filter, Properties.has_data,
            Properties.props,
        ).join(Source, Source.id == Properties.source_id).where(*mine).order_by(Properties.id)  # fmt: skip

        def wide(row: Sequence[Any]) -> Sequence[Any]:
            props = row[6] if isinstance(row[6], dict) else {}
            said = (take(props) for take in takers)
            texts = (
                str(value) if column.is_text and value is not None else value
                for value, column in zip(said, more, strict=True)
            )
            return (*row[:6], *texts)

        table = self._table("properties", columns, "Properties of the sources", frames)
        return Offer(table, lambda: _batches(held, query, columns, wide), ("ra", "dec"), ("source_name",))

    def _said(self, held: Any, mine: Any) -> tuple[dict[str, str], list[str], dict[str, str]]:
        """What the properties of any source say: names and types of scalars, filters, and indices by filter."""
        scalars: dict[str, str] = {}
        labels: dict[str, int] = {}
        indices: dict[str, str] = {}
        query = sa.select(Properties.props).where(*mine, Properties.has_data.is_(True))
        with held.reading() as connection:
            for (props,) in connection.execution_options(yield_per=_ROWS).execute(query):
                if not isinstance(props, dict):
                    continue
                for name, value in props.items():
                    if name == "filters" and isinstance(value, dict):
                        for label, numbers in value.items():
                            labels[label] = labels.get(label, 0) + 1
                            for index, number in (numbers if isinstance(numbers, dict) else {}).items():
                                _widen(indices, index, number)
                    elif isinstance(value, list) and len(value) == 2:
                        _widen(scalars, f"{name}_low", value[0])
                        _widen(scalars, f"{name}_high", value[1])
                    else:
                        _widen(scalars, name, value)
        filters = sorted(labels, key=lambda label: (-labels[label], label))[:_MOST_FILTERS]
        if len(labels) > _MOST_FILTERS:
            self._unread.append(f"only {_MOST_FILTERS} of {len(labels)} filters got columns in the table of properties")
            self._unread_count += 1
        return scalars, sorted(filters), indices

    # --- light curves ------------------------------------------------------------------------------------------

    def _light_curves(self, held: Any, frames: tuple[TimeFrame, ...]) -> Offer:
        table = self._table("light_curves", cols.LIGHT_CURVES, "Epochs of the light curves", frames)
        system = self._photometric_system(held)
        if system is not None:
            group = system.group()
            listed = (replace(c, ref=group.id) if c.name in ("mag", "magerr") else c for c in table.columns)
            table = replace(table, columns=tuple(listed), groups=(group,))
        return Offer(table, lambda: self._epochs(held), ("ra", "dec"))

    def _photometric_system(self, held: Any) -> PhotometricSystem | None:
        """The system of all magnitudes of the run, where it is one and known."""
        query = sa.select(Lightcurve.observatory, Lightcurve.filter).where(*self._curves(), Lightcurve.number > 0)
        with held.reading() as connection:
            found = connection.execute(query.distinct().limit(2)).all()
        if len(found) != 1:
            return None
        observatory, label = found[0]
        return cols.SYSTEMS.get((observatory, label or observatory))

    def _epochs(self, held: Any) -> Iterator[pa.RecordBatch]:
        query = (
            sa.select(Lightcurve, Source.ra, Source.dec)
            .join(Source, Source.id == Lightcurve.source_id)
            .where(*self._curves(), Lightcurve.number > 0)
            .order_by(Lightcurve.source_id, Lightcurve.id)
        )
        parts: list[tuple[Lightcurve, float, float, Any]] = []
        count = 0
        with held.session() as session:
            for curve, ra, dec in session.execute(query.execution_options(yield_per=_CURVES)):
                curve.root = self.run.root
                try:
                    rows = curve.data
                except (SkyvaultError, OSError) as error:
                    self._unread_count += 1
                    if len(self._unread) < _TOLD:
                        self._unread.append(f"the light curve of {curve.source_name} could not be read: {error}")
                    continue
                parts.append((curve, ra, dec, rows))
                count += len(rows)
                # the session must not hold the rows of all it has seen
                session.expunge(curve)
                if count >= _EPOCHS:
                    yield _epoch_batch(parts)
                    parts, count = [], 0
        if parts:
            yield _epoch_batch(parts)

    def _time_series(self, held: Any) -> Offer:
        from skyvault.store import obscore as obs

        names = (
            "dataproduct_type", "calib_level", "obs_collection", "obs_id", "access_url", "access_format",
            "access_estsize", "target_name", "s_ra", "s_dec", "t_min", "t_max", "t_exptime", "t_xel", "em_min",
            "em_max", "o_ucd", "facility_name", "instrument_name",
        )  # fmt: skip
        standard = {column.name: column for column in obs.COLUMNS}
        columns = (*(standard[name] for name in names), *cols.SERIES_MORE)
        table = self._table("time_series", columns, "Light curves, one row a source, survey and filter,", (obs.TIMES,))
        return Offer(
            replace(table, utype=obs.UTYPE), lambda: self._series(held, columns), ("s_ra", "s_dec"), ("obs_id",), True
        )

    def _series(self, held: Any, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
        first, last = (sa.type_coerce(one, sa.Double) for one in (Lightcurve.time_start, Lightcurve.time_end))
        scale, place = (Lightcurve.altdata[name].as_string() for name in ("time_scale", "time_position"))
        keys = (Source.name, Source.ra, Source.dec, Lightcurve.observatory, Lightcurve.filter)
        query = (
            sa.select(
                *keys, sa.func.min(first), sa.func.max(last), sa.func.sum(Lightcurve.number),
                sa.func.sum(Lightcurve.num_good), sa.func.sum(Lightcurve.number * Lightcurve.exp_time),
                sa.func.min(scale), sa.func.min(place), sa.func.count(sa.distinct(sa.func.coalesce(scale, "?"))),
            )
            .join(Source, Source.id == Lightcurve.source_id)
            .where(*self._curves(), Lightcurve.number > 0)
            .group_by(Source.id, *keys)
            .order_by(Source.id)
        )  # fmt: skip
        with held.reading() as connection:
            for part in connection.execution_options(yield_per=_ROWS).execute(query).partitions():
                yield _arrow([self._series_row(row) for row in _in_utc(part)], columns)

    def _series_row(self, row: Sequence[Any]) -> tuple[Any, ...]:
        name, ra, dec, observatory, label, first, last, number, good, exposure, scale, place, _ = row
        band = cols.BANDS.get((observatory, label or observatory), (None, None))
        identity = "/".join(str(one) for one in (self.run.name, name, observatory, label) if one)
        return (
            "timeseries", 3, self.run.project, identity, self._address(name, ra, dec, observatory, label, number),
            _VOTABLE, max(1, int(number) * 100 // 1024), name, ra, dec, first, last, exposure, int(number), *band,
            "phot.mag", observatory, observatory, label, int(good or 0), scale, place,
        )  # fmt: skip

    def _address(self, name: str, ra: float, dec: float, observatory: str, label: str | None, number: int) -> str:
        """Where the epochs come as a VOTable: a query of the service itself; the cone finds them by place, at once."""

        def text(value: str) -> str:
            return "'" + value.replace("'", "''") + "'"

        chosen = f" AND filter = {text(label)}" if label else " AND filter IS NULL"
        query = (
            f"SELECT mjd, mag, magerr, flux, fluxerr, exptime, flag, filter FROM {self.schema}.light_curves"
            f" WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({ra!r}, {dec!r}, 0.001))"
            f" AND source_name = {text(name)} AND observatory = {text(observatory)}{chosen} ORDER BY mjd"
        )
        words = {"LANG": "ADQL", "RESPONSEFORMAT": "votable", "MAXREC": max(int(number), 1), "QUERY": query}
        return f"{self.base_url}/tap/sync?{urlencode(words)}"


# --- rows ----------------------------------------------------------------------------------------------------------


def _batches(
    held: Any, query: Any, columns: Sequence[Column], change: Callable[[Sequence[Any]], Sequence[Any]] | None = None
) -> Iterator[pa.RecordBatch]:
    with held.reading() as connection:
        for part in connection.execution_options(yield_per=_ROWS).execute(query).partitions():
            yield _arrow(part if change is None else [change(row) for row in part], columns)


def _arrow(rows: Sequence[Sequence[Any]], columns: Sequence[Column]) -> pa.RecordBatch:
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    types = [arrow_type(column) for column in columns]
    listed = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(values, kind, from_pandas=True) for values, kind in zip(listed, types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _epoch_batch(parts: Sequence[tuple[Lightcurve, float, float, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    lengths = [len(rows) for *_, rows in parts]
    index = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)

    def repeated(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pa.array(index))

    def measured(name: str) -> pa.Array:
        nothing = np.full(max(lengths, default=0), np.nan)
        columns = [
            rows[name].astype(np.float64) if name in rows.dtype.names else nothing[: len(rows)] for *_, rows in parts
        ]
        if name == "exptime":
            # where all are alike they are kept once
            columns = [
                np.where(np.isfinite(one), one, np.nan if part[0].exp_time is None else part[0].exp_time)
                for one, part in zip(columns, parts, strict=True)
            ]
        return pa.array(np.concatenate(columns), pa.float64(), from_pandas=True)

    curves = [part[0] for part in parts]
    flags = np.concatenate([np.asarray(rows["flag"]).astype(np.int64) for *_, rows in parts])
    arrays = [
        repeated([one.source_name for one in curves], pa.string()),
        repeated([part[1] for part in parts], pa.float64()),
        repeated([part[2] for part in parts], pa.float64()),
        repeated([one.observatory for one in curves], pa.string()),
        repeated([one.filter for one in curves], pa.string()),
        repeated([one.series_number for one in curves], pa.int32()),
        *(measured(name) for name in ("mjd", "mag", "magerr", "flux", "fluxerr", "exptime")),
        pa.array(flags, pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in cols.LIGHT_CURVES])


def _in_utc(part: Sequence[Any]) -> list[list[Any]]:
    """Rows of time series with first and last time in MJD UTC, as ObsCore has them; unknown scales stay."""
    from skyvault.science.time_scales import utc_at_geocenter

    rows = [list(row) for row in part]
    known = [row for row in rows if row[10] == "tdb" and row[11] == "barycenter" and row[12] == 1]
    if known:
        for place in (5, 6):
            table = np.array([(row[place], row[1], row[2]) for row in known], np.float64)
            for row, time in zip(known, utc_at_geocenter(*table.T).tolist(), strict=True):
                row[place] = time
    for row in rows:
        if row[12] != 1:
            row[10] = row[11] = None
    return rows


def _scalar(props: dict[str, Any], name: str) -> Any:
    if name in props:
        value = props[name]
        return None if isinstance(value, dict | list) else value
    for ending, place in (("_low", 0), ("_high", 1)):
        pair = props.get(name.removesuffix(ending)) if name.endswith(ending) else None
        if isinstance(pair, list) and len(pair) == 2:
            return pair[place]
    return None


def _of_filter(props: dict[str, Any], label: str, name: str) -> Any:
    numbers = (props.get("filters") or {}).get(label)
    return numbers.get(name) if isinstance(numbers, dict) else None


def _widen(types: dict[str, str], name: str, value: Any) -> None:
    """Remember a column's type; whole numbers become floating ones, all else becomes text, when one value is so."""
    if value is None:
        types.setdefault(name, "double")
        return
    if isinstance(value, dict | list):
        return
    kind = "boolean" if isinstance(value, bool) else "long" if isinstance(value, int) else "double"
    if isinstance(value, str):
        kind = "char"
    before = types.get(name)
    types[name] = kind if before in (None, kind) else "double" if {before, kind} == {"long", "double"} else "char"


def _unknown(name: str, datatype: str) -> Column:
    text = datatype == "char"
    return Column(
        name, "unicodeChar" if text else datatype, "*" if text else None,  # type: ignore[arg-type]
        description=f"{name}, as the analysis calls it",
    )  # fmt: skip


def _safe(column: Column) -> Column:
    """With a name that a query can use."""
    import re

    name = re.sub(r"\W+", "_", column.name, flags=re.ASCII).strip("_")
    return replace(column, name=name if name[:1].isalpha() else f"p_{name}")
