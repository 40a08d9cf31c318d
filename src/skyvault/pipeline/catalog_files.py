"""Reading target lists: FITS, CSV, Parquet, VOTable, ECSV and HDF5 as one array of rows, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.data_files import Rows
from skyvault.pipeline.faults import CatalogError, DataError

#: rows a target list may have; Gaia's whole catalogue has 1.8e9 and needs another tool
_MOST_ROWS: Final = 50_000_000
_LONGEST_TEXT: Final = 1000


def read_catalog(path: Path, columns: Sequence[str] | None = None, also: Sequence[str] = ()) -> Rows:
    """The rows of a table file: ``columns``, and of ``also`` what is there; ``columns`` None takes all that hold one
    number or text a row.

    Raises CatalogError where a column is not there, and what reading a damaged file raises.
    """
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _chosen(_read_hdf5(path), columns, also, str(path))
    from skyvault.formats.registry import open_table

    stream = open_table(path)
    return rows_of_batches(stream.batches, columns, also, str(path))


def rows_of_batches(batches: Iterable[Any], columns: Sequence[str] | None, also: Sequence[str], where: str) -> Rows:
    """A structured array of Arrow batches; those columns that are not wanted are dropped as they come."""
    import pyarrow as pa

    kept: list[Any] = []
    wanted: list[str] | None = None
    rows = 0
    for batch in batches:
        if wanted is None:
            wanted = _wanted(batch.schema, columns, also, where)
        kept.append(batch.select(wanted))
        rows += batch.num_rows
        if rows > _MOST_ROWS:
            raise CatalogError(f"the list has more than {_MOST_ROWS:,} rows", where=where)
    if wanted is None:
        return np.zeros(0, [("name", "S1"), ("ra", "f8"), ("dec", "f8")])
    arrays = {name: _array(pa.chunked_array([batch[name] for batch in kept])) for name in wanted}
    made = np.empty(rows, [(name, array.dtype) for name, array in arrays.items()])
    for name in wanted:
        made[name] = arrays.pop(name)
    return made


def _wanted(schema: Any, columns: Sequence[str] | None, also: Sequence[str], where: str) -> list[str]:
    import pyarrow.types as types

    def is_plain(kind: Any) -> bool:
        if types.is_dictionary(kind):
            kind = kind.value_type
        return bool(
            types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
            or types.is_string(kind) or types.is_large_string(kind)
        )  # fmt: skip

    usable = [field.name for field in schema if is_plain(field.type)]
    if columns is None:
        return usable
    _refuse_missing(columns, usable, where)
    return [name for name in usable if name in columns or name in also]


def _refuse_missing(columns: Iterable[str], there: Sequence[str], where: str) -> None:
    missing = [name for name in columns if name not in there]
    if missing:
        raise CatalogError(
            f"there is no column {missing[0]!r}", where=where, hint=f"Columns are {', '.join(there)[:200]}."
        )


def _array(column: Any) -> Rows:
    """A column of Arrow as an array: numbers as they are, with NaN for null, texts as bytes of one length."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _bytes(column.cast(pa.large_string()))
    if pa.types.is_decimal(kind) or (column.null_count and not pa.types.is_floating(kind)):
        column = column.cast(pa.float64())
    array = np.asarray(column.to_numpy())
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _bytes(column: Any) -> Rows:
    """Texts as a column of bytes, null as "": the letters are moved all at once."""
    import pyarrow.compute as pc

    if not len(column):
        return np.zeros(0, "S1")
    column = pc.fill_null(column, "")
    width = max(int(pc.max(pc.binary_length(column)).as_py() or 0), 1)
    if width > _LONGEST_TEXT:
        column = pc.utf8_slice_codeunits(column, 0, _LONGEST_TEXT // 4)
        width = max(int(pc.max(pc.binary_length(column)).as_py() or 0), 1)
    parts = []
    for chunk in column.chunks:
        if not len(chunk):
            continue
        _, offsets, letters = chunk.buffers()
        ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        inside = np.arange(width) < np.diff(ends)[:, None]
        made = np.zeros((len(chunk), width), np.uint8)
        if letters is not None and ends[-1] > ends[0]:
            made[inside] = np.frombuffer(letters, np.uint8)[ends[0] : ends[-1]]
        parts.append(made.reshape(-1).view(f"S{width}"))
    return np.concatenate(parts)


def _chosen(rows: Rows, columns: Sequence[str] | None, also: Sequence[str], where: str) -> Rows:
    names = rows.dtype.names or ()
    if columns is None:
        return rows
    _refuse_missing(columns, names, where)
    kept = [name for name in names if name in columns or name in also]
    made = np.empty(len(rows), [(name, rows.dtype[name]) for name in kept])
    for name in kept:
        made[name] = rows[name]
    return made


def _read_hdf5(path: Path) -> Rows:
    """The first table in an HDF5 file: as astropy, h5py or pandas (fixed format) write it."""
    import h5py

    from skyvault.pipeline.pandas_files import read_fixed

    found: list[Any] = []

    def look(name: str, one: Any) -> bool | None:
        is_frame = isinstance(one, h5py.Group) and "axis0" in one
        is_table = isinstance(one, h5py.Dataset) and one.dtype.names is not None and one.ndim == 1
        if is_frame or (is_table and not name.endswith("__table_column_meta__")):
            found.append(one)
            return True
        return None

    try:
        with h5py.File(path, "r") as file:
            file.visititems(look)
            if not found:
                raise CatalogError("the file holds no table", where=str(path))
            one = found[0]
            if isinstance(one, h5py.Group):
                return read_fixed(one)[0]
            if one.shape[0] > _MOST_ROWS:
                raise CatalogError(f"the list has more than {_MOST_ROWS:,} rows", where=str(path))
            return _flat(one[:])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, CatalogError | DataError):
            raise
        raise CatalogError(f"the file is damaged: {' '.join(str(error).split())[:120]}", where=str(path)) from None


def _flat(rows: Rows) -> Rows:
    """Columns with one number or text a row; texts of any length become bytes."""
    columns = {}
    for name in rows.dtype.names or ():
        column = rows[name]
        if column.ndim != 1:
            continue
        if column.dtype.kind == "O":
            column = np.array([v if isinstance(v, bytes) else str(v).encode() for v in column.tolist()], np.bytes_)
        if column.dtype.kind in "biufS":
            columns[name] = column.astype(column.dtype.newbyteorder("<"), copy=False)
    made = np.empty(len(rows), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        made[name] = column
    return made
