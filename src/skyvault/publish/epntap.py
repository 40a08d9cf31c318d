"""EPN-TAP 2.0 tables: a file of granules completed to what the standard asks, or made of a resource's collections.

What is missing is filled in from what is there: the other end of a range, identifiers, dates, the service's title.
What cannot be guessed (the kind of data and of target) or is wrong (an unknown code, MJD instead of JD) is an error
that names the row.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import IngestError, SkyvaultError
from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, Table
from skyvault.publish.epn_columns import (
    BY_NAME,
    FRAME_TYPES,
    MANDATORY,
    PRODUCT_TYPES,
    TABLE,
    TARGET_CLASSES,
    UTYPE,
    in_frame,
)
from skyvault.publish.inference import infer
from skyvault.publish.publisher import Published, Publisher, table_name
from skyvault.store.building import disk_faults
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress

#: a Julian Date before this (year 1858) is a Modified one
_LEAST_JD: Final = 2_400_000.5
_LIGHT_M_S: Final = 299_792_458
_PAIRS: Final = tuple(
    (one.name, one.name[:-3] + "max") for one in MANDATORY if one.name.endswith("min") and one.type == "double"
)
#: coordinates that run around a circle: the first may be above the second
_AROUND: Final = frozenset({"c1min", "c2min", "c3min"})
#: ObsCore's kinds in EPN's codes, and calibration levels (table 1)
_KINDS: Final = {word: code for code, words in PRODUCT_TYPES.items() for word in words} | {"event": "ca"}
_LEVELS: Final = {0: 1, 1: 2, 2: 3, 3: 5, 4: 5}
#: what is told of the files of collections besides
_OF_FILES: Final = ("datalink_url", "thumbnail_url", "file_name")
_ENDINGS: Final = {r"\.(vot|xml)$": "application/x-votable+xml", r"\.csv(\.gz)?$": "text/csv", r"\.ecsv$": "text/plain"}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for granules that do not say it themselves."""

    service_title: str
    target_class: str | None = None
    #: seconds since 1970
    at: float = 0.0


def publish_epn_file(
    source: Path,
    *,
    schema: str,
    settings: Settings,
    overrides: dict[str, Any] | None = None,
    skip_bad: bool = False,
    more: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Published:
    """Publish a file of granules as <schema>.epn_core.

    Raises FormatError, IngestError (with the row), StoreError.
    """
    from skyvault.formats import open_table

    stream = open_table(source)
    opened = stream.batches
    try:
        return _publish(stream, schema, settings, dict(overrides or {}), skip_bad, more, progress)
    except SkyvaultError as problem:
        problem.where = f"{source.name}, {problem.where}" if problem.where else source.name
        raise
    finally:
        # a reader that was not read to its end still holds the file
        with suppress(ValueError):
            getattr(opened, "close", lambda: None)()


def publish_epn_of_collections(
    names: Sequence[str],
    *,
    schema: str,
    settings: Settings,
    more: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Published:
    """Publish the datasets of collections as granules: <schema>.epn_core, from their rows of ObsCore."""
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    with DuckStore(settings) as store:
        view = store.view()
        parts = [_granules(shelf.table) for name in names if (shelf := view.get(name)) is not None]
        answer = store.query(
            " UNION ALL ".join(parts), Limits(seconds=settings.async_time_s, asynchronous=True, query_bytes=1_000_000)
        )
        try:
            table = replace(answer.stream.table, columns=tuple(_bare(one) for one in answer.stream.table.columns))
            more_columns = tuple(BY_NAME[name].column() for name in _OF_FILES)
            described = replace(table, columns=(*table.columns, *more_columns))
            stream = TableStream(described, _with_files(answer.stream.batches, table))
            return _publish(stream, schema, settings, {}, False, more, progress)
        finally:
            answer.close()


def _publish(
    stream: TableStream,
    schema: str,
    settings: Settings,
    overrides: dict[str, Any],
    skip_bad: bool,
    more: Mapping[str, Any] | None,
    progress: Progress | None,
) -> Published:
    began = time.perf_counter()
    full_name = table_name(f"{schema}.{TABLE}", Path(TABLE))
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    completed, frame = epn_stream(stream, Defaults(schema, at=time.time()))
    inferred = infer(completed.table, full_name, {"utype": UTYPE, **overrides})
    table = inferred.spec.table
    # what is guessed from names gives way to the standard
    columns = tuple(_described(column, frame, overrides.get("columns", {})) for column in table.columns)
    spec = replace(inferred.spec, table=replace(table, columns=columns))
    if frame != "celestial":
        # longitudes on a planet are no places on the sky
        spec = replace(spec, regions=(), lon=None, lat=None, point=None)
    with open_home_ledger(layout) as ledger:
        publisher = Publisher(layout, ledger.holdings, settings, progress)
        holding, built = publisher.publish_stream(spec, completed, skip_bad=skip_bad, more=more)
    return Published(
        holding.table, holding.nrows, holding.bytes, time.perf_counter() - began, [], built.bad_rows,
        built.bad_row_notes, built.extra.get("coverage"), holding.version,
    )  # fmt: skip


def _described(column: Column, frame: str, said: Mapping[str, Any]) -> Column:
    parameter = BY_NAME.get(column.name)
    if parameter is None:
        return column
    own = in_frame(parameter.column(), frame)
    words = {key: value for key, value in said.get(column.name, {}).items() if key in ("ucd", "unit", "description")}
    # the kind of a column is the stream's: whole numbers may be wider than they need
    return replace(own, datatype=column.datatype, arraysize=column.arraysize, xtype=column.xtype or own.xtype, **words)


# ---------------------------------------------------------------- completed rows


def epn_stream(stream: TableStream, defaults: Defaults) -> tuple[TableStream, str]:
    """The stream with all mandatory parameters, in the standard's sequence, then its own; and its kind of frame.

    Raises IngestError for what is missing; what is wrong in a row is raised when that row is read.
    """
    own = {column.name.lower(): i for i, column in enumerate(stream.table.columns)}
    for needed in ("granule_uid", "dataproduct_type"):
        if needed not in own:
            raise IngestError(f"an EPN-TAP table needs a column {needed}", hint="See skyvault new epntap.")
    if "target_class" not in own and defaults.target_class is None:
        raise IngestError("an EPN-TAP table needs a column target_class", hint=f"One of {', '.join(TARGET_CLASSES)}.")
    if "spatial_frame_type" not in own and own.keys() & {"c1min", "c2min", "c3min", "c1max", "s_region"}:
        raise IngestError("coordinates need a column spatial_frame_type", hint=f"One of {', '.join(FRAME_TYPES)}.")
    columns = [one.column() for one in MANDATORY]
    others = [i for name, i in own.items() if name not in {one.name for one in MANDATORY}]
    for i in others:
        column = stream.table.columns[i]
        known = BY_NAME.get(column.name.lower())
        columns.append(column if known is None or known.type == "timestamp" else _as_kind(known.column(), column))
    first, batches = _peeked(stream.batches)
    frame = _frame_of(first, own.get("spatial_frame_type"))
    columns = [in_frame(column, frame) for column in columns]
    table = replace(stream.table, columns=tuple(columns), utype=UTYPE)
    return TableStream(table, _completed(batches, own, others, table, defaults), infos=stream.infos), frame


def _as_kind(wanted: Column, given: Column) -> Column:
    """The standard's description with the values' own kind, where they are texts or numbers as it asks."""
    if wanted.is_text != given.is_text:
        return given
    return replace(wanted, name=given.name.lower(), datatype=given.datatype, arraysize=given.arraysize)


def _peeked(batches: Iterable[pa.RecordBatch]) -> tuple[pa.RecordBatch | None, Iterator[pa.RecordBatch]]:
    source = iter(batches)
    first = next(source, None)

    def all_of() -> Iterator[pa.RecordBatch]:
        if first is not None:
            yield first
        yield from source

    return first, all_of()


def _frame_of(first: pa.RecordBatch | None, place: int | None) -> str:
    """The kind of frame of the first rows that name one; it decides the units of the coordinates."""
    if first is None or place is None:
        return "none"
    found = [str(one).strip().lower() for one in pc.unique(first.column(place)).to_pylist() if one]
    return next((one for one in found if one != "none"), "none")


def _completed(
    batches: Iterator[pa.RecordBatch], own: Mapping[str, int], others: Sequence[int], table: Table, defaults: Defaults
) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in table.columns])
    row = 0
    for batch in batches:
        made = _Rows(batch, own, defaults, row)
        arrays = [made.parameter(one.name) for one in MANDATORY]
        arrays += [batch.column(i) for i in others]
        yield pa.RecordBatch.from_arrays(
            [array if array.type == field.type else array.cast(field.type)
             for array, field in zip(arrays, schema, strict=True)],
            schema=schema,
        )  # fmt: skip
        row += batch.num_rows


class _Rows:
    """The mandatory parameters of some rows: as given, checked, or filled in."""

    def __init__(self, batch: pa.RecordBatch, own: Mapping[str, int], defaults: Defaults, first_row: int) -> None:
        self.batch = batch
        self.own = own
        self.defaults = defaults
        self.first_row = first_row
        self.kinds = {one.name: one.type for one in MANDATORY}
        self._made: dict[str, Any] = {}

    def parameter(self, name: str) -> Any:
        if name not in self._made:
            act = getattr(self, f"_{name}", None)
            self._made[name] = self._given(name) if act is None else act()
            for low, high in _PAIRS:
                if name == low:
                    self._made[low], self._made[high] = self._pair(low, high)
        return self._made[name]

    # ------------------------------------------------------------ as given

    def _given(self, name: str) -> Any:
        kind = {"text": pa.string(), "double": pa.float64(), "int": pa.int32(), "timestamp": pa.timestamp("us")}[
            self.kinds[name]
        ]
        place = self.own.get(name)
        if place is None:
            return pa.nulls(self.batch.num_rows, kind)
        array = self.batch.column(place)
        try:
            if self.kinds[name] == "timestamp" and not pa.types.is_timestamp(array.type):
                array = pc.replace_substring_regex(pc.cast(array, pa.string()), r"\s*[Zz]$", "")
                array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
            if self.kinds[name] == "text" and (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
                array = pc.utf8_trim_whitespace(array)
                array = pc.if_else(pc.equal(array, ""), pa.scalar(None, array.type), array)
            array = pc.cast(array, kind)
        except pa.ArrowInvalid as problem:
            raise IngestError(
                f"{name} cannot be read as {self.kinds[name]}: {str(problem).splitlines()[0]}",
                where=f"rows from {self.first_row + 1:,}",
            ) from None
        if kind == pa.float64():
            # NaN is what files write where they have nothing
            array = pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
        return array

    def _filled(self, name: str, default: Any) -> Any:
        """As given, and elsewhere a default: a value, or an array."""
        array = self._given(name)
        filler = default if isinstance(default, pa.Array | pa.ChunkedArray) else pa.scalar(default, array.type)
        return pc.coalesce(array, filler)

    def _needed(self, array: Any, name: str, hint: str) -> Any:
        if array.null_count:
            row = pc.index(pc.is_null(array), True).as_py()
            raise IngestError(f"{name} is empty", where=f"row {self.first_row + row + 1:,}", hint=hint)
        return array

    def _refuse(self, wrong: Any, what: str, hint: str) -> None:
        """Raise when some rows are wrong; ``what`` names the first."""
        wrong = pc.fill_null(wrong, False)
        if pc.any(wrong).as_py():
            row = pc.index(wrong, True).as_py()
            raise IngestError(what, where=f"row {self.first_row + row + 1:,}", hint=hint)

    # ------------------------------------------------------------ never empty

    def _granule_uid(self) -> Any:
        return self._needed(self._given("granule_uid"), "granule_uid", "Each granule needs an identifier of its own.")

    def _granule_gid(self) -> Any:
        return self._filled("granule_gid", self.parameter("dataproduct_type"))

    def _obs_id(self) -> Any:
        return self._filled("obs_id", self.parameter("granule_uid"))

    def _dataproduct_type(self) -> Any:
        words = {word: code for code, words in PRODUCT_TYPES.items() for word in (code, *words)}
        hint = f"Codes are {', '.join(PRODUCT_TYPES)}, several joined by #."
        return self._coded("dataproduct_type", words, hint)

    def _target_class(self) -> Any:
        words = {one.replace("_", "-"): one for one in TARGET_CLASSES}
        hint = f"Kinds are {', '.join(TARGET_CLASSES)}, several joined by #."
        return self._coded("target_class", words, hint, self.defaults.target_class)

    def _spatial_frame_type(self) -> Any:
        words = {one: one for one in FRAME_TYPES}
        return self._coded("spatial_frame_type", words, f"Kinds are {', '.join(FRAME_TYPES)}.", "none")

    def _coded(self, name: str, words: Mapping[str, str], hint: str, default: str | None = None) -> Any:
        """Values in the standard's words; each different one is looked at once."""
        array = pc.cast(self._given(name), pa.string())
        if default is not None:
            array = pc.fill_null(array, default)
        self._needed(array, name, hint)
        encoded = array.dictionary_encode()
        found = []
        for value in encoded.dictionary.to_pylist():
            parts = [words.get(_folded(part)) for part in value.split("#") if part.strip()]
            if not parts or None in parts:
                self._refuse(pc.equal(array, value), f"{name} is {value!r}, which EPN-TAP does not know", hint)
            found.append("#".join(str(part) for part in parts))
        return pa.array(found, pa.string()).take(encoded.indices)

    def _service_title(self) -> Any:
        return self._filled("service_title", self.defaults.service_title)

    def _creation_date(self) -> Any:
        return self._filled("creation_date", round(self.defaults.at) * 1_000_000)

    def _modification_date(self) -> Any:
        return self._filled("modification_date", self.parameter("creation_date"))

    def _release_date(self) -> Any:
        return self._filled("release_date", self.parameter("creation_date"))

    # ------------------------------------------------------------ ranges

    def _pair(self, low: str, high: str) -> tuple[Any, Any]:
        """Both ends; one that is missing is the other (section 4.1)."""
        first, last = self._given(low), self._given(high)
        first, last = pc.coalesce(first, last), pc.coalesce(last, first)
        if low not in _AROUND:
            self._refuse(pc.greater(first, last), f"{low} is above {high}", "The smaller value comes first.")
        if low == "time_min":
            wrong = pc.less(first, _LEAST_JD)
            self._refuse(wrong, "time_min is no Julian Date", "EPN-TAP wants JD: add 2400000.5 to MJD.")
        return first, last


def _folded(word: str) -> str:
    return "-".join(word.strip().lower().replace("_", "-").split())


# ---------------------------------------------------------------- granules of collections


def _granules(table: Table) -> str:
    """The datasets of a collection as granules, in ADQL."""
    names = set(table.column_names)
    half = "s_fov / 2"
    # a range of right ascensions as wide as the field there, all of them around a pole
    across = f"(CASE WHEN ABS(s_dec) + {half} >= 90 THEN 180 ELSE {half} / COS(RADIANS(s_dec)) END)"
    kinds = " ".join(f"WHEN '{word}' THEN '{code}'" for word, code in sorted(_KINDS.items()))
    levels = " ".join(f"WHEN {given} THEN {own}" for given, own in _LEVELS.items())
    is_public = "obs_release_date" if "obs_release_date" in names else "CAST(NULL AS TIMESTAMP)"
    columns = {
        "granule_uid": "obs_publisher_did",
        "granule_gid": f"'{_quoted(table.name.rpartition('.')[2])}'",
        "obs_id": "obs_id",
        "dataproduct_type": f"CASE dataproduct_type {kinds} ELSE 'cu' END",
        "target_name": "target_name",
        "target_class": "COALESCE(target_class, 'sky')" if "target_class" in names else "'sky'",
        "time_min": f"t_min + {_LEAST_JD}",
        "time_max": f"t_max + {_LEAST_JD}",
        "time_exp_min": "t_exptime",
        "spectral_range_min": f"{_LIGHT_M_S} / em_max",
        "spectral_range_max": f"{_LIGHT_M_S} / em_min",
        "spectral_resolution_min": "em_res_power",
        "c1min": f"CASE WHEN {across} >= 180 THEN 0 ELSE MOD(s_ra - {across} + 360, 360) END",
        "c1max": f"CASE WHEN {across} >= 180 THEN 360 ELSE MOD(s_ra + {across}, 360) END",
        "c2min": f"CASE WHEN s_dec - {half} < -90 THEN -90 ELSE s_dec - {half} END",
        "c2max": f"CASE WHEN s_dec + {half} > 90 THEN 90 ELSE s_dec + {half} END",
        "s_region": "s_region",
        "c1_resol_min": "s_resolution / 3600",
        "c2_resol_min": "s_resolution / 3600",
        "spatial_frame_type": "CASE WHEN s_ra IS NULL THEN 'none' ELSE 'celestial' END",
        "instrument_host_name": "facility_name",
        "instrument_name": "instrument_name",
        "measurement_type": "o_ucd",
        "processing_level": f"CASE calib_level {levels} END",
        "release_date": is_public,
        "access_url": "access_url",
        "access_format": "access_format",
        "access_estsize": "access_estsize",
        "ra": "s_ra",
        "dec": "s_dec",
    }
    return f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in columns.items())} FROM {table.name}"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _bare(column: Column) -> Column:
    """Without what the column meant in ObsCore."""
    return replace(column, ucd=None, utype=None, description=None, unit=None, ref=None, std=False, indexed=False)


def _with_files(batches: Iterable[pa.RecordBatch], table: Table) -> Iterator[pa.RecordBatch]:
    """access_url is the file itself, datalink_url its links: ours tell both (section 4.3.1)."""
    names = [*table.column_names, *_OF_FILES]
    place = {name: i for i, name in enumerate(names)}
    for batch in batches:
        arrays = list(batch.columns)
        url, did = arrays[place["access_url"]], arrays[place["granule_uid"]]
        ours = pc.fill_null(pc.starts_with(url, "/datalink/links?ID="), False)
        path = pc.replace_substring_regex(did, r"^ivo://[^/]*/~\?([^/]+)/(.*)$", r"/get/\1/\2")
        kinds = pa.array(["application/fits"] * len(path), pa.string())
        for ending, kind in _ENDINGS.items():
            kinds = pc.if_else(pc.match_substring_regex(path, ending), kind, kinds)
        nothing = pa.scalar(None, pa.string())
        arrays[place["access_url"]] = pc.if_else(ours, path, url)
        arrays[place["access_format"]] = pc.if_else(ours, kinds, arrays[place["access_format"]])
        thumbnail = pc.binary_join_element_wise(path, "?part=thumbnail", "")
        file_name = pc.replace_substring_regex(path, r"^.*/", "")
        arrays += [pc.if_else(ours, one, nothing) for one in (url, thumbnail, file_name)]
        yield pa.RecordBatch.from_arrays(arrays, names=names)
