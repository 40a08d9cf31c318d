"""Columns as the bytes of VOTable's BINARY and BINARY2 rows (VOTable 1.5, sections 5.3 and 5.4).

Rows of one length are one numpy record array, big-endian. Where lengths vary, every piece of a row is an Arrow binary
array and Arrow joins them row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import element_count, is_complex, list_of, shape_of
from skyvault.formats.cell_text import data_of, list_offsets, timestamp_texts, truths
from skyvault.formats.characters import utf16_from_utf8
from skyvault.formats.tabledata import null_number, string_parts
from skyvault.formats.votable_binary import BIG_ENDIAN, bytes_of
from skyvault.model.table import INTEGRAL, Column

_Array = np.ndarray[Any, Any]

_LEAST = {"short": -(1 << 15), "int": -(1 << 31), "long": -(1 << 63)}


def for_binary(column: Column, *, masked: bool) -> Column:
    """The column as it is declared where rows are binary.

    BINARY has no NULL flags: integers that may be NULL get a VALUES/@null, unsigned bytes become shorts to make room
    for one. In both serialisations NULL elements of integer arrays need a VALUES/@null.
    """
    if column.datatype not in INTEGRAL or column.null is not None or not column.nullable:
        return column
    if masked and not column.is_array:
        return column
    if column.datatype == "unsignedByte":
        return column if column.is_array else replace(column, datatype="short", null=str(_LEAST["short"]))
    return replace(column, null=str(_LEAST[column.datatype]))


@dataclass(frozen=True, slots=True)
class _Cell:
    column: Column
    #: elements in a cell, None where it varies
    count: int | None
    size: int


class RowEncoder:
    """Encodes Arrow batches of ``columns`` into BINARY (``masked`` False) or BINARY2 (True) rows."""

    def __init__(self, columns: tuple[Column, ...], *, masked: bool) -> None:
        self.columns = tuple(for_binary(column, masked=masked) for column in columns)
        self._masked = masked
        self._mask_bytes = -(-len(columns) // 8) if masked else 0
        self._cells = []
        for column in self.columns:
            count = element_count(column.arraysize)
            self._cells.append(_Cell(column, count, 0 if count is None else bytes_of(column.datatype, count)))
        self._varies = any(cell.count is None for cell in self._cells)
        parts: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []
        if self._mask_bytes:
            parts.append(("mask", "u1", (self._mask_bytes,)))
        for index, cell in enumerate(self._cells):
            parts.append(_part(f"c{index}", cell))
        self._record = np.dtype(parts)

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer | memoryview:
        """The bytes of a batch's rows. Raises FormatError for text longer than a column of fixed length."""
        rows = batch.num_rows
        record = np.zeros(rows, self._record) if not self._varies else None
        mask = np.zeros((rows, self._mask_bytes), np.uint8)
        pieces: list[tuple[_Cell, Any]] = []
        for index, (cell, array) in enumerate(zip(self._cells, batch.columns, strict=True)):
            is_null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
            if is_null is not None and self._masked:
                mask[:, index >> 3] |= is_null.astype(np.uint8) << np.uint8(7 - (index & 7))
            if cell.count is None:
                pieces.append((cell, _variable(cell.column, array, is_null)))
                continue
            values = _fixed(cell, array, is_null)
            if record is not None:
                record[f"c{index}"] = values
            else:
                pieces.append((cell, values))
        if record is not None:
            if self._mask_bytes:
                record["mask"] = mask
            return memoryview(record.view(np.uint8).data) if rows else memoryview(b"")
        return self._joined(rows, mask, pieces)

    def _joined(self, rows: int, mask: _Array, pieces: list[tuple[_Cell, Any]]) -> pa.Buffer:
        """Runs of constant length and cells of varying length, interleaved row by row."""
        runs: list[pa.BinaryArray] = []
        names: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []
        columns: list[Any] = []

        def flush() -> None:
            if not names:
                return
            run = np.zeros(rows, np.dtype(names))
            for (name, *_), values in zip(names, columns, strict=True):
                run[name] = values
            size = run.dtype.itemsize
            offsets = np.arange(rows + 1, dtype=np.int32) * size
            runs.append(
                pa.Array.from_buffers(
                    pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(run.view(np.uint8))]
                )
            )
            names.clear()
            columns.clear()

        if self._mask_bytes:
            names.append(("mask", "u1", (self._mask_bytes,)))
            columns.append(mask)
        for index, (cell, values) in enumerate(pieces):
            if cell.count is not None:
                names.append(_part(f"c{index}", cell))
                columns.append(values)
                continue
            counts, binary = values
            names.append((f"n{index}", ">i4"))
            columns.append(counts)
            flush()
            runs.append(binary)
        flush()
        return data_of(pc.binary_join_element_wise(*runs, b"") if len(runs) > 1 else runs[0])


def _part(name: str, cell: _Cell) -> tuple[str, str] | tuple[str, str, tuple[int, ...]]:
    column = cell.column
    if column.is_text or column.datatype in ("boolean", "bit"):
        return (name, "u1", (cell.size,))
    kind = BIG_ENDIAN[column.datatype]
    if column.is_array or is_complex(column):
        return (name, kind, (cell.size // np.dtype(kind).itemsize,))
    return (name, kind)


def _fixed(cell: _Cell, array: pa.Array, is_null: _Array | None) -> _Array:
    """Values of shape (rows,) or (rows, parts) for cells of one length."""
    column = cell.column
    rows = len(array)
    assert cell.count is not None
    if column.is_text:
        return _fixed_text(column, array, cell)
    if not pa.types.is_list(array.type):
        if column.datatype == "boolean":
            return _boolean_bytes(array, is_null)[:, None]
        if column.datatype == "bit":
            return (truths(array) << 7)[:, None]
        return _scalars(column, array, is_null)
    parts = cell.count * (2 if is_complex(column) else 1)
    offsets = list_offsets(array)
    counts = np.diff(offsets)
    wrong = counts != parts
    if is_null is not None:
        wrong &= ~is_null
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise FormatError(
            f"Column {column.name} has a cell of {counts[index]} numbers where its arraysize {column.arraysize} "
            f"asks for {parts}"
        )
    flat = _elements(column, array.flatten())
    if is_null is None:
        values = flat.reshape(rows, parts)
    else:
        filler: Any = np.nan if flat.dtype.kind == "f" else 0
        if column.datatype == "boolean":
            filler = ord("?")
        elif flat.dtype.kind == "i" and (told := null_number(column)) is not None:
            filler = told
        values = np.full((rows, parts), filler, flat.dtype)
        values[~is_null] = flat.reshape(-1, parts)
    if column.datatype == "bit":
        values = np.packbits(values.astype(bool), axis=1)
    return values


def _scalars(column: Column, array: pa.Array, is_null: _Array | None) -> _Array:
    """Numbers; NULL is NaN, the VALUES/@null number, or zero (VOTable 1.5, section 5.4)."""
    kind = np.dtype(BIG_ENDIAN[column.datatype]).newbyteorder("=")
    values = plain_values(array)
    if values.dtype != kind:
        values = values.astype(kind)
    if is_null is None:
        return values
    filler: Any = np.nan if kind.kind == "f" else null_number(column) or 0
    return np.where(is_null, np.array(filler, kind), values)


def plain_values(array: pa.Array) -> _Array:
    """The numbers of a primitive array without a copy, whatever lies under its NULLs."""
    kind = array.type.to_pandas_dtype()
    if len(array) == 0:
        return np.zeros(0, kind)
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def _elements(column: Column, values: pa.Array) -> _Array:
    """The elements of all arrays, in native byte order."""
    if column.datatype == "boolean":
        is_null = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        return _boolean_bytes(values, is_null)
    if column.datatype == "bit":
        return truths(values)
    numbers = plain_values(values)
    if values.null_count:
        is_null = values.is_null().to_numpy(zero_copy_only=False)
        told = null_number(column)
        if numbers.dtype.kind != "f" and told is None:
            raise FormatError(
                f"Column {column.name} has a NULL inside an array of {column.datatype}, which cannot be written",
                hint="Give the column a VALUES null.",
            )
        numbers = np.where(is_null, np.array(np.nan if numbers.dtype.kind == "f" else told, numbers.dtype), numbers)
    return numbers


def _boolean_bytes(array: pa.Array, is_null: _Array | None) -> _Array:
    letters = np.where(truths(array), np.uint8(ord("T")), np.uint8(ord("F")))
    if is_null is not None:
        letters = np.where(is_null, np.uint8(ord("?")), letters)
    return letters


def _text_array(column: Column, array: pa.Array) -> pa.StringArray:
    """A text column as one string a cell; what char cannot hold becomes "?"."""
    if pa.types.is_timestamp(array.type):
        array = timestamp_texts(array)
    elif pa.types.is_list(array.type):
        length = shape_of(column.arraysize)[0][0]
        words = pc.utf8_rpad(pc.fill_null(array.flatten(), ""), length, " ")
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        array = pc.binary_join(list_of(list_offsets(array), words, is_null), "")
    texts = pc.fill_null(array, "")
    if column.datatype == "char" and (string_parts(texts)[1] >= 0x80).any():
        # char is ASCII up to VOTable 1.5, and a reader that takes it at its word fails on anything else
        texts = pc.replace_substring_regex(texts, r"[^\x00-\x7f]", "?")
    return texts


def _fixed_text(column: Column, array: pa.Array, cell: _Cell) -> _Array:
    """Text of one length, padded with NUL."""
    texts = _text_array(column, array)
    rows = len(texts)
    if column.datatype == "unicodeChar":
        offsets, data = utf16_from_utf8(*string_parts(texts))
    else:
        offsets, data = string_parts(texts)
    lengths = np.diff(offsets)
    if rows and int(lengths.max()) > cell.size:
        index = int(lengths.argmax())
        raise FormatError(
            f"Column {column.name} has text longer than its arraysize {column.arraysize}: "
            f"{str(texts[index].as_py())[:40]!r}"
        )
    values = np.zeros((rows, cell.size), np.uint8)
    values[np.arange(cell.size) < lengths[:, None]] = data
    return values


def _variable(column: Column, array: pa.Array, is_null: _Array | None) -> tuple[_Array, pa.BinaryArray]:
    """(element counts, bytes) of cells of varying length."""
    if column.is_text:
        texts = _text_array(column, array)
        if column.datatype == "unicodeChar":
            offsets, data = utf16_from_utf8(*string_parts(texts))
            return np.diff(offsets) // 2, _binary(offsets, data)
        offsets, _ = string_parts(texts)
        return np.diff(offsets), _as_binary(texts)
    offsets = list_offsets(array)
    elements = _elements(column, array.flatten())
    if column.datatype == "bit":
        return _packed_bits(offsets, elements)
    if column.datatype == "boolean":
        return np.diff(offsets), _binary(offsets, elements)
    data = elements.astype(BIG_ENDIAN[column.datatype]).view(np.uint8)
    each = np.dtype(BIG_ENDIAN[column.datatype]).itemsize
    counts = np.diff(offsets) // (2 if is_complex(column) else 1)
    return counts, _binary(offsets * each, data)


def _packed_bits(offsets: _Array, bits: _Array) -> tuple[_Array, pa.BinaryArray]:
    counts = np.diff(offsets)
    sizes = -(-counts // 8)
    byte_offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(sizes, out=byte_offsets[1:])
    spread = np.zeros(int(byte_offsets[-1]) * 8, np.uint8)
    within = np.arange(len(bits)) - np.repeat(offsets[:-1], counts)
    spread[np.repeat(byte_offsets[:-1] * 8, counts) + within] = bits
    return counts, _binary(byte_offsets, np.packbits(spread))


def _binary(offsets: _Array, data: _Array) -> pa.BinaryArray:
    index = np.ascontiguousarray(offsets, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(index) - 1, [None, pa.py_buffer(index), pa.py_buffer(np.ascontiguousarray(data))]
    )


def _as_binary(texts: pa.StringArray) -> pa.BinaryArray:
    _, offsets, data = texts.buffers()
    return pa.Array.from_buffers(
        pa.binary(), len(texts), [None, offsets, data if data is not None else pa.py_buffer(b"")], 0, texts.offset
    )
