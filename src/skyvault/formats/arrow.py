"""How a described column is held in memory: its Arrow type, and the description carried in Arrow's metadata.

One column of a catalogue has one canonical Arrow type, whatever file it came from. NULL is Arrow's null; NaN stays
NaN. Arrays of numbers are flat lists in row-major order of VOTable (first index fastest); their shape stays in
:attr:`Column.arraysize`. Complex numbers are lists of (real, imaginary) pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.model.table import (
    FLOATING,
    GEOMETRY_XTYPES,
    Column,
    CoordinateFrame,
    Datatype,
    ForeignKey,
    Group,
    Info,
    Link,
    Table,
    TimeFrame,
)

#: Metadata keys under which a column's and a table's description travel in an Arrow schema.
COLUMN_KEY = b"skyvault.column"
TABLE_KEY = b"skyvault.table"

TIMESTAMP = pa.timestamp("us")

_SCALARS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "bit": pa.bool_(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "char": pa.string(),
    "unicodeChar": pa.string(),
    "floatComplex": pa.float32(),
    "doubleComplex": pa.float64(),
}

_DATATYPES: dict[pa.DataType, Datatype] = {
    pa.bool_(): "boolean",
    pa.uint8(): "unsignedByte",
    pa.int8(): "short",
    pa.int16(): "short",
    pa.uint16(): "int",
    pa.int32(): "int",
    pa.uint32(): "long",
    pa.int64(): "long",
    pa.uint64(): "long",
    pa.float16(): "float",
    pa.float32(): "float",
    pa.float64(): "double",
}

_ARRAYSIZE = re.compile(r"\s*((?:[0-9]+x)*)([0-9]*)(\*?)\s*(?:s\W?)?\s*", re.ASCII)

#: No cell may promise more elements than this (a hostile ``arraysize`` must not reserve memory).
MAX_ELEMENTS = 1 << 27


def shape_of(arraysize: str | None) -> tuple[tuple[int, ...], bool]:
    """The dimensions that are fixed, and whether the last one varies (VOTable 1.4, section 2.2).

    ``None`` is a scalar ``((), False)``; ``"3x*"`` is ``((3,), True)``; ``"8*"`` is ``((), True)``, its bound
    not being a size. Raises FormatError for anything that is not an arraysize.
    """
    if arraysize is None or not arraysize.strip():
        return (), False
    match = _ARRAYSIZE.fullmatch(arraysize)
    if match is None or not (match[2] or match[3]) or len(arraysize) > 200:
        raise FormatError(f"The arraysize {arraysize[:40]!r} is not one of VOTable's (such as 12, *, 8* or 3x*)")
    fixed = [int(part) for part in match[1].split("x") if part]
    if not match[3]:
        fixed.append(int(match[2]))
    count = 1
    for size in fixed:
        count *= size
        if count > MAX_ELEMENTS:
            raise FormatError(f"The arraysize {arraysize[:40]!r} promises more than {MAX_ELEMENTS} elements in a cell")
    return tuple(fixed), bool(match[3])


def element_count(arraysize: str | None) -> int | None:
    """Elements in a cell, None where it varies; 1 for a scalar."""
    fixed, varies = shape_of(arraysize)
    if varies:
        return None
    count = 1
    for size in fixed:
        count *= size
    return count


def is_complex(column: Column) -> bool:
    """Whether values are pairs of numbers."""
    return column.datatype in ("floatComplex", "doubleComplex")


def holds_list(column: Column) -> bool:
    """Whether a cell is an Arrow list."""
    return column.is_array or is_complex(column)


def arrow_type(column: Column) -> pa.DataType:
    """The canonical Arrow type of a column's values."""
    scalar = _SCALARS.get(column.datatype)
    if scalar is None:
        raise FormatError(f"Column {column.name} has the unknown datatype {column.datatype!r}")
    if holds_list(column):
        return pa.list_(scalar)
    return TIMESTAMP if column.is_timestamp else scalar


def scalar_type(column: Column) -> pa.DataType:
    """The Arrow type of one element: the column's own, or that of its lists' items."""
    kind = arrow_type(column)
    return kind.value_type if pa.types.is_list(kind) else kind


def column_of(field: pa.Field) -> Column | None:
    """The description a field carries, else one made from its type; None if no VOTable type can hold it."""
    metadata = field.metadata or {}
    told = metadata.get(COLUMN_KEY)
    if told is not None:
        try:
            column = _build(Column, json.loads(told))
        except (ValueError, TypeError, KeyError) as exc:
            raise FormatError(f"The description carried by column {field.name!r} cannot be read") from exc
        return column if column.name == field.name else column.renamed(field.name)
    known = _describe(field.type)
    if known is None:
        return None
    datatype, arraysize, xtype = known
    return Column(name=field.name, datatype=datatype, arraysize=arraysize, xtype=xtype, nullable=field.nullable)


def _describe(kind: pa.DataType) -> tuple[Datatype, str | None, str | None] | None:
    """(datatype, arraysize, xtype) for any Arrow type that fits a cell."""
    types = pa.types
    if kind in _DATATYPES:
        return _DATATYPES[kind], None, None
    if types.is_dictionary(kind):
        return _describe(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return "char", "*", None
    if types.is_timestamp(kind) or types.is_date(kind):
        return "char", "*", "timestamp"
    if types.is_decimal(kind):
        return "double", None, None
    if types.is_duration(kind):
        return "double", None, None
    if types.is_time(kind):
        return "char", "*", None
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "unsignedByte", "*", None
    if types.is_fixed_size_binary(kind):
        return "unsignedByte", str(kind.byte_width), None
    if types.is_fixed_size_list(kind) and kind.value_type in _DATATYPES:
        return _DATATYPES[kind.value_type], str(kind.list_size), None
    if (types.is_list(kind) or types.is_large_list(kind)) and kind.value_type in _DATATYPES:
        return _DATATYPES[kind.value_type], "*", None
    return None


def conform(array: pa.Array, column: Column) -> pa.Array:
    """The same values in the column's canonical type.

    Raises FormatError where a value does not fit (an unsigned 64-bit integer beyond a long, say).
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    wanted = arrow_type(column)
    if array.type == wanted:
        return array
    try:
        return _cast(array, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise FormatError(
            f"Column {column.name} holds {array.type}, which does not fit VOTable's {column.datatype}: "
            f"{str(exc).splitlines()[0]}"
        ) from exc


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    types = pa.types
    kind = array.type
    if types.is_dictionary(kind):
        return _cast(array.dictionary_decode(), wanted)
    if types.is_timestamp(kind) and kind.tz is not None:
        # Arrow keeps zoned times in UTC; dropping the zone keeps the instant.
        return array.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit)).cast(wanted, safe=False)
    if types.is_timestamp(kind) and types.is_timestamp(wanted):
        return array.cast(wanted, safe=False)  # nanoseconds lose their last three digits
    if types.is_duration(kind):
        per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        return pc.divide(array.cast(pa.int64()).cast(pa.float64(), safe=False), per_second)
    if types.is_list(wanted):
        if types.is_fixed_size_binary(kind):
            array = array.cast(pa.binary())
            kind = array.type
        if types.is_large_binary(kind) or types.is_binary_view(kind):
            array = array.cast(pa.binary())
            kind = array.type
        if types.is_binary(kind):
            if array.offset:
                array = pa.concat_arrays([array])
            _, offsets, data = array.buffers()
            stop = _end_of_data(array)
            values = pa.Array.from_buffers(pa.uint8(), stop, [None, data if data is not None else pa.py_buffer(b"")])
            return _lists(array, offsets, values)
        if types.is_fixed_size_list(kind) or types.is_large_list(kind) or types.is_list(kind):
            return array.cast(wanted)
    if types.is_floating(wanted) and (types.is_integer(kind) or types.is_decimal(kind)):
        return array.cast(wanted, safe=False)
    if types.is_floating(wanted) and types.is_floating(kind):
        return array.cast(wanted, safe=False)
    return array.cast(wanted)


def _end_of_data(array: pa.Array) -> int:
    """Where a binary array's data end in its buffer."""
    if len(array) == 0:
        return 0
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return int(offsets[-1])


def _lists(model: pa.Array, offsets: pa.Buffer | None, values: pa.Array) -> pa.Array:
    """Lists over ``values`` with the nulls of ``model`` (which has no offset)."""
    if offsets is None:
        offsets = pa.py_buffer(np.zeros(1, np.int32))
    return pa.ListArray.from_buffers(
        pa.list_(values.type), len(model), [model.buffers()[0], offsets], model.null_count, 0, [values]
    )


def validity(is_null: np.ndarray[Any, Any]) -> pa.Buffer | None:
    """The validity bitmap for a mask of NULLs; None when nothing is NULL."""
    if not is_null.any():
        return None
    return pa.py_buffer(np.packbits(~is_null, bitorder="little"))


def array_of(values: np.ndarray[Any, Any], kind: pa.DataType, is_null: np.ndarray[Any, Any] | None = None) -> pa.Array:
    """A one-dimensional numpy array of native byte order as an Arrow array, without a copy unless it is boolean."""
    bitmap = None if is_null is None else validity(is_null)
    if pa.types.is_boolean(kind):
        data = np.packbits(values.astype(bool, copy=False), bitorder="little")
    else:
        data = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(data)])


def list_of(offsets: np.ndarray[Any, Any], values: pa.Array, is_null: np.ndarray[Any, Any] | None = None) -> pa.Array:
    """An Arrow list array from n + 1 offsets into ``values``."""
    bitmap = None if is_null is None else validity(is_null)
    index = np.ascontiguousarray(offsets, dtype=np.int32)
    return pa.ListArray.from_buffers(
        pa.list_(values.type), len(index) - 1, [bitmap, pa.py_buffer(index)], -1, 0, [values]
    )


def is_fixed_geometry(column: Column) -> bool:
    """Whether cells are points, circles or ranges: shapes of a fixed count of numbers, which are NULL as all NaN."""
    return (
        (column.xtype or "").lower() in GEOMETRY_XTYPES
        and column.datatype in FLOATING
        and bool(element_count(column.arraysize))
    )


def nan_is_null(array: pa.ListArray, column: Column) -> pa.ListArray:
    """Shapes whose numbers are all NaN as NULL: text and BINARY have no other word for it that others accept."""
    if not is_fixed_geometry(column) or len(array) == 0:
        return array
    values = array.flatten().to_numpy(zero_copy_only=False)
    count = element_count(column.arraysize) or 1
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    blank = is_null.copy()
    blank[~is_null] = np.isnan(values.reshape(-1, count)).all(axis=1)
    if (blank == is_null).all():
        return array
    return pc.if_else(pa.array(blank), pa.scalar(None, array.type), array)


def to_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table, its whole description in the metadata."""
    arrow_fields = [
        pa.field(column.name, arrow_type(column), column.nullable, {COLUMN_KEY: _dump(column)})
        for column in table.columns
    ]
    return pa.schema(arrow_fields, {TABLE_KEY: _dump(table, leave_out=("columns",))})


def from_schema(schema: pa.Schema, *, name: str = "table") -> tuple[Table, tuple[str, ...]]:
    """The table a schema describes, and the names of columns no VOTable type can hold (left out)."""
    columns: list[Column] = []
    left_out: list[str] = []
    for field in schema:
        column = column_of(field)
        if column is None:
            left_out.append(field.name)
        else:
            columns.append(column)
    told = (schema.metadata or {}).get(TABLE_KEY)
    content: dict[str, Any] = {"name": name}
    if told is not None:
        try:
            content = json.loads(told)
            content.setdefault("name", name)
            table = _build(Table, {**content, "columns": ()})
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise FormatError("The table description carried in the Arrow schema cannot be read") from exc
    else:
        table = Table(name=name, columns=())
    return _with_columns(table, columns), tuple(left_out)


def _with_columns(table: Table, columns: Sequence[Column]) -> Table:
    from dataclasses import replace

    return replace(table, columns=tuple(columns))


def empty_batch(table: Table) -> pa.RecordBatch:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays(
        [pa.array([], arrow_type(column)) for column in table.columns], schema=plain_schema(table)
    )


def plain_schema(table: Table) -> pa.Schema:
    """Names and types only: what batches on their way carry."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in table.columns])


# --- descriptions as JSON -------------------------------------------------------------------------------------------

_NESTED: dict[tuple[type, str], type] = {
    (Column, "links"): Link,
    (Group, "params"): Column,
    (Group, "groups"): Group,
    (Table, "columns"): Column,
    (Table, "params"): Column,
    (Table, "infos"): Info,
    (Table, "groups"): Group,
    (Table, "links"): Link,
    (Table, "frames"): CoordinateFrame,
    (Table, "time_frames"): TimeFrame,
    (Table, "foreign_keys"): ForeignKey,
}

_T = TypeVar("_T")


def _plain(value: Any) -> Any:
    """A description as JSON's own types, defaults left out."""
    if is_dataclass(value):
        content = {}
        for field in fields(value):
            item = getattr(value, field.name)
            if field.default is not MISSING and item == field.default:
                continue
            content[field.name] = _plain(item)
        return content
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _dump(value: Column | Table, *, leave_out: tuple[str, ...] = ()) -> bytes:
    content = _plain(value)
    for name in leave_out:
        content.pop(name, None)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _build(kind: type[_T], content: Any) -> _T:
    """The dataclass again; unknown entries (of a later version) are passed over."""
    known = {field.name for field in fields(cast(Any, kind))}
    arguments: dict[str, Any] = {}
    for name, value in content.items():
        if name not in known:
            continue
        inner = _NESTED.get((kind, name))
        if isinstance(value, list):
            value = tuple(_build(inner, item) if inner else _tuples(item) for item in value)
        arguments[name] = value
    return kind(**arguments)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
