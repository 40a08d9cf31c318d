"""A collection of files as a published table: ObsCore's columns and its own, and the products beside."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, Datatype, Info, Table
from skyvault.publish.column_frames import COLUMN_WORDS, with_frames
from skyvault.publish.ingest_state import PRODUCT_FIELDS
from skyvault.publish.resource import FilesSection, Resource
from skyvault.store import obscore
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    from skyvault.publish.ingest_state import IngestState

#: columns beyond ObsCore's mandatory ones that files often say something of (ObsCore 1.1, table 5)
OPTIONAL: Final[tuple[Column, ...]] = tuple(
    Column(name, "double" if unit else "char", None if unit else "*", xtype, unit, ucd, utype, description)
    for name, xtype, unit, ucd, utype, description in (
        ("obs_title", None, None, "meta.title;obs", "obscore:DataID.Title", "Title"),
        ("obs_release_date", "timestamp", None, "time.release", "obscore:Curation.releaseDate",
         "When everybody may fetch it (UTC)"),
        ("data_rights", None, None, "meta.code", "obscore:Curation.Rights", "public or proprietary"),
        ("s_pixel_scale", None, "arcsec", "phys.angSize;instr.pixel",
         "obscore:Char.SpatialAxis.Sampling.RefVal.SamplingPeriod", "Side of a pixel"),
        ("filter", None, None, "meta.id;instr.filter", None, "Filter, as the file names it"),
        ("s_region_nominal", "adql:REGION", None, "pos.outline;instr.fov", None,
         "Field of view by the pointing and the instrument's geometry; s_region follows the pixels"),
    )
)  # fmt: skip
_EXTRA: Final[Mapping[str, tuple[Datatype, str | None]]] = {
    "text": ("char", "*"), "int": ("int", None), "long": ("long", None), "double": ("double", None),
    "boolean": ("boolean", None),
}  # fmt: skip
#: whole numbers that a column can hold
_LIMITS: Final = {"int": 2**31, "long": 2**63}

#: the table of products in a snapshot; sorted by its first two columns
PRODUCTS: Final = "products"
_WHOLE_NUMBERS: Final = ("size", "hdu", "number", "mtime_ns")
PRODUCT_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.int64() if name in _WHOLE_NUMBERS else pa.string()) for name in PRODUCT_FIELDS]
)
_LEFT_OUT_SCHEMA: Final = pa.schema([pa.field("did", pa.string()), pa.field("number", pa.int64())])


@dataclass(frozen=True, slots=True)
class CollectionTable:
    """The described table of a collection, and its rows; they flow from the state of the ingest, a part at a time."""

    spec: Spec
    state: IngestState

    def stream(self) -> TableStream:
        """All rows."""
        return TableStream(self.spec.table, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        columns = self.spec.table.columns
        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])
        for rows in self.state.rows():
            arrays = [
                _array([row.get(column.name) for row in rows], column, field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def products(self) -> pa.RecordBatchReader:
        """The products of all datasets."""
        batches = (_by_column(rows, PRODUCT_SCHEMA) for rows in self.state.products())
        return pa.RecordBatchReader.from_batches(PRODUCT_SCHEMA, batches)

    def left_out(self) -> pa.RecordBatchReader | None:
        """Identifiers of datasets that do not join ivoa.ObsCore; None when all do."""
        if next(self.state.left_out(), None) is None:
            return None
        batches = (_by_column([(did, 0) for did in dids], _LEFT_OUT_SCHEMA) for dids in self.state.left_out())
        return pa.RecordBatchReader.from_batches(_LEFT_OUT_SCHEMA, batches)


def collection_table(name: str, section: FilesSection, resource: Resource, state: IngestState) -> CollectionTable:
    """Describe a collection by what its section says and its datasets hold."""
    held = state.kinds()
    columns = list(obscore.COLUMNS)
    columns += [column for column in OPTIONAL if column.name in held and column.name not in section.extra]
    columns += extra_columns(section)
    known = {column.name for column in columns}
    # what hooks added without a word in the resource
    columns += [_guessed(key, held[key]) for key in sorted(set(held) - known)]
    infos = []
    if resource.licence:
        infos.append(Info("rights", resource.licence, resource.rights))
    if resource.bibcode or resource.doi:
        infos.append(
            Info("citation", str(resource.doi or resource.bibcode), "Please cite this where you use the data.")
        )
    words = {
        key: extra.model_dump(include=set(COLUMN_WORDS), exclude_none=True) for key, extra in section.extra.items()
    }
    plain = Table(name, tuple(columns), frames=(obscore.PLACES,), time_frames=(obscore.TIMES,))
    framed = with_frames(columns, plain, {"columns": words}, [])
    table = Table(
        f"{resource.schema_name}.{name}",
        tuple(framed.columns),
        title=section.title,
        description=section.description or resource.description,
        frames=tuple(framed.frames),
        time_frames=tuple(framed.time_frames),
        groups=tuple(framed.groups),
        infos=tuple(infos),
    )
    names = table.column_names
    regions = tuple(i for i, column in enumerate(names) if column in ("s_region", "s_region_nominal"))
    return CollectionTable(Spec(table, names.index("s_ra"), names.index("s_dec"), None, regions), state)


def extra_columns(section: FilesSection) -> list[Column]:
    """The columns a section describes beyond ObsCore's."""
    found = []
    for key, extra in section.extra.items():
        datatype, size = _EXTRA[extra.type]
        told = extra.description
        # "" says that there is no unit, as None does elsewhere
        unit = extra.unit or None
        column = Column(key, datatype, size, unit=unit, ucd=extra.ucd, description=told, principal=True)
        found.append(obscore.in_standard_words(column))
    return found


def described_columns(section: FilesSection) -> dict[str, Column]:
    """The columns whose kind is known before any file is read, by name."""
    return {column.name: column for column in (*obscore.COLUMNS, *OPTIONAL, *extra_columns(section))}


def as_described(row: dict[str, Any], columns: Mapping[str, Column]) -> list[str]:
    """Turn the values of a row into what its columns hold (headers and hooks mix texts and numbers).

    What a column cannot hold becomes None, and a sentence of the result.
    """
    remarks = []
    for name, value in row.items():
        column = columns.get(name)
        if column is None or value is None:
            continue
        try:
            row[name] = _held(value, column)
        except (TypeError, ValueError, OverflowError):
            row[name] = None
            wanted = "an instant" if column.is_timestamp else f"of the kind {column.datatype}"
            remarks.append(f"its {name} is left empty: {str(value)[:80]!r} is not {wanted}")
    return remarks


def _held(value: Any, column: Column) -> Any:
    """A value as its column holds it, None for a NaN. Raises TypeError, ValueError and OverflowError."""
    if column.datatype == "boolean":
        return _truth(value)
    if column.is_timestamp:
        return _instant(str(value)).isoformat()
    if column.is_text:
        return str(value)
    number = float(value)
    if number != number:
        return None
    limit = _LIMITS.get(column.datatype)
    if limit is None:
        return number
    whole = value if isinstance(value, int) else round(number)
    if not -limit <= whole < limit:
        raise OverflowError
    return int(whole)


def _truth(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in ("t", "true", "yes", "1"):
        return True
    if word in ("f", "false", "no", "0"):
        return False
    raise ValueError(value)


def _instant(text: str) -> datetime.datetime:
    """UTC without its sign, as columns of instants hold it. Raises ValueError."""
    found = datetime.datetime.fromisoformat(text.strip())
    return found if found.tzinfo is None else found.astimezone(datetime.UTC).replace(tzinfo=None)


def _guessed(name: str, kinds: set[str]) -> Column:
    """A column that only hooks know of, able to hold the kinds of values (see ``kind_of``) that it was given."""
    if kinds == {"b"}:
        return Column(name, "boolean")
    if kinds == {"i"}:
        return Column(name, "long")
    if kinds == {"v"}:
        return Column(name, "double", "*")
    return Column(name, "double") if kinds <= {"i", "f"} else Column(name, "char", "*")


def _array(values: list[Any], column: Column, kind: pa.DataType) -> pa.Array:
    if column.is_timestamp:
        values = [None if value is None else _instant(value) for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # a column of hooks that holds several kinds; numbers too large for a long are texts nobody computes with
        if not column.is_text:
            raise
        return pa.array([None if value is None else _as_text(value) for value in values], kind)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _by_column(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
