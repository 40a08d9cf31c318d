"""The bytes of VOTable's BINARY and BINARY2 rows: how they become columns.

VOTable 1.5, sections 5.3 and 5.4: rows follow each other without padding, numbers are big-endian, a variable-length
array is preceded by the number of its elements as a 4-byte integer, BINARY2 rows begin with one NULL flag a column.
Where the rows have one length they are one strided numpy view. Where lengths vary, the places of the rows are found by
a walk over the counts alone; the cells are gathered column by column.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import (
    array_of,
    element_count,
    holds_list,
    is_complex,
    list_of,
    nan_is_null,
    scalar_type,
    shape_of,
)
from skyvault.formats.characters import cut_at_nul, strings_of, utf8_from_utf16
from skyvault.formats.tabledata import CellError, column_from_text, null_number, split_strings, string_parts
from skyvault.model.table import Column

_Array = np.ndarray[Any, Any]

#: bytes an element takes (a bit is packed and counted apart)
_SIZES: dict[str, int] = {
    "boolean": 1,
    "unsignedByte": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "char": 1,
    "unicodeChar": 2,
    "float": 4,
    "double": 8,
    "floatComplex": 8,
    "doubleComplex": 16,
}
_BITS: dict[str, int] = {"bit": 1, **{name: 8 * size for name, size in _SIZES.items()}}
#: big-endian numpy types of the parts
BIG_ENDIAN: dict[str, str] = {
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
    "floatComplex": ">f4",
    "doubleComplex": ">f8",
}

#: what a boolean's byte means: 1 true, 0 false, 2 unknown, 3 nothing VOTable knows (VOTable 1.5, section 6)
_BOOLEANS = np.full(256, 3, np.uint8)
_BOOLEANS[[ord(c) for c in "Tt1"]] = 1
_BOOLEANS[[ord(c) for c in "Ff0"]] = 0
_BOOLEANS[[ord("?"), ord(" "), 0]] = 2


def bytes_of(datatype: str, count: int) -> int:
    """Bytes that ``count`` elements take."""
    return -(-count // 8) if datatype == "bit" else count * _SIZES[datatype]


@dataclass(frozen=True, slots=True)
class _Cell:
    """One column's place in a row: ``run`` is the piece of constant length it lies in, ``offset`` its place there.

    A cell of varying length follows its run.
    """

    column: Column
    count: int | None
    run: int
    offset: int


class RowDecoder:
    """Decodes BINARY (``masked`` False) or BINARY2 (True) rows of ``columns`` into Arrow columns."""

    def __init__(self, columns: tuple[Column, ...], *, masked: bool, name: str) -> None:
        self.columns = columns
        self.name = name
        self._mask_bytes = -(-len(columns) // 8) if masked else 0
        self._cells: list[_Cell] = []
        self._run_sizes: list[int] = []  # constant bytes before each variable cell, its 4-byte count included
        self._variable: list[Column] = []
        size = self._mask_bytes
        for column in columns:
            count = element_count(column.arraysize)
            run = len(self._run_sizes)
            if count is None:
                self._cells.append(_Cell(column, None, run, size))
                self._run_sizes.append(size + 4)
                self._variable.append(column)
                size = 0
            else:
                self._cells.append(_Cell(column, count, run, size))
                size += bytes_of(column.datatype, count)
                if size > 1 << 30:
                    raise FormatError("A row of this table would be longer than 1 GiB", where=name)
        self._tail = size
        self._run_sizes.append(size)
        self._steady = 0
        self._bits = np.array([_BITS[column.datatype] for column in self._variable], np.int64)
        # from count to count: the first lies at the end of its run, others that and the count before further on
        sizes = [size - 4 if index == 0 else size for index, size in enumerate(self._run_sizes[:-1])]
        self._steps = list(zip(sizes, (self._bits // 8).tolist(), strict=True))
        self._read_count = struct.Struct(">I").unpack_from
        if sum(self._run_sizes) == 0:
            raise FormatError("A row of this table takes no bytes, so its rows cannot be counted", where=name)

    @property
    def row_bytes(self) -> int | None:
        """The length of every row, None where it varies."""
        return None if self._variable else self._tail

    def decode(self, data: bytes, *, first_row: int, max_rows: int) -> tuple[int, int, list[pa.Array]]:
        """Whole rows from the beginning of ``data``: (rows, bytes consumed, columns). At most ``max_rows``.

        Raises FormatError naming the row (``first_row`` counts from 1) where a value is impossible.
        """
        if not self._variable:
            rows = min(len(data) // self._tail, max_rows)
            consumed = rows * self._tail
            runs = [np.frombuffer(data, np.uint8, consumed).reshape(rows, self._tail)]
            contents: list[tuple[_Array, pa.BinaryArray]] = []
        else:
            edges, counts = self._walk(data, first_row=first_row, max_rows=max_rows)
            rows = len(edges)
            if rows == 0:
                return 0, 0, []
            consumed = int(edges[-1, -1])
            runs, contents = self._gather(data, edges, counts)
        if rows == 0:
            return 0, 0, []
        flags = runs[0][:, : self._mask_bytes]
        arrays = []
        for index, cell in enumerate(self._cells):
            is_null: _Array | None = None
            if self._mask_bytes:
                byte = flags[:, index >> 3]
                is_null = (byte & (0x80 >> (index & 7))) != 0
            try:
                if cell.count is None:
                    numbers, binary = contents[cell.run]
                    arrays.append(_variable_column(cell.column, numbers, binary, is_null))
                else:
                    width = bytes_of(cell.column.datatype, cell.count)
                    piece = runs[cell.run][:, cell.offset : cell.offset + width]
                    arrays.append(_fixed_column(cell.column, cell.count, piece, is_null))
            except CellError as exc:
                raise exc.at(name=self.name, first_row=first_row) from None
        return rows, consumed, arrays

    # --- rows of varying length -------------------------------------------------------------------------------------

    def _walk(self, data: bytes, *, first_row: int, max_rows: int) -> tuple[_Array, _Array]:
        """Where every run and every variable cell of the whole rows in ``data`` begins.

        Returns ``edges`` of shape (rows, 2 * variable + 2): run, cell, run, cell ... run, end; and element
        ``counts`` of shape (rows, variable).
        """
        found: list[tuple[_Array, _Array]] = []
        position = done = 0
        while done < max_rows:
            steady = self._steady_rows(data, position, first_row + done, max_rows - done) if self._steady < 4 else None
            if steady is not None:
                edges, counts = steady
                found.append(steady)
                done += len(edges)
                position = int(edges[-1, -1])
                if len(edges) < 64:
                    self._steady += 1  # lengths do vary here: soon give up looking for equal ones
                continue
            edges, counts = self._walk_rows(data, position, first_row + done, max_rows - done)
            if len(edges):
                found.append((edges, counts))
            break
        width = 2 * len(self._variable) + 2
        if not found:
            return np.zeros((0, width), np.int64), np.zeros((0, len(self._variable)), np.int64)
        if len(found) == 1:
            return found[0]
        return np.concatenate([edges for edges, _ in found]), np.concatenate([counts for _, counts in found])

    def _steady_rows(self, data: bytes, position: int, first_row: int, max_rows: int) -> tuple[_Array, _Array] | None:
        """The rows from ``position`` on that have the same counts as the first: found without walking."""
        first, counts = self._walk_rows(data, position, first_row, 1)
        if not len(first):
            return None
        length = int(first[0, -1]) - position
        rows = min((len(data) - position) // length, max_rows)
        if rows < 1:
            return None
        grid = np.frombuffer(data, np.uint8, rows * length, position).reshape(rows, length)
        same = np.ones(rows, bool)
        for index in range(len(self._variable)):
            place = int(first[0, 2 * index + 1]) - 4 - position
            piece = np.ascontiguousarray(grid[:, place : place + 4]).view(">i4").ravel()
            same &= piece == counts[0, index]
        if not same.all():
            rows = int(np.argmin(same))
        if rows < 1:
            return None
        shift = np.arange(rows, dtype=np.int64)[:, None] * length
        return first + shift, np.repeat(counts, rows, axis=0)

    def _walk_rows(self, data: bytes, position: int, first_row: int, max_rows: int) -> tuple[_Array, _Array]:
        """Step from count to count. The place of a row is known only when the row before has been measured, so this
        is the one loop over rows; it reads nothing but the counts."""
        read_count = self._read_count
        end = len(data)
        steps = self._steps
        tail = self._run_sizes[-1] + 4
        flat: list[int] = []
        add = flat.append
        place = position
        rows = 0
        try:
            while rows < max_rows:
                for size, each in steps:
                    place += size
                    count = read_count(data, place)[0]
                    add(count)
                    place += count * each if each else (count + 7) >> 3
                place += tail
                if place > end:
                    break
                rows += 1
        except struct.error:
            pass  # the data end within this row: its rest is still to come
        if flat and flat[-1] >= 1 << 31:
            raise FormatError(
                f"An array claims to have {flat[-1] - (1 << 32)} elements",
                where=f"{self.name}, row {first_row + rows}",
                hint="The data are damaged, or the columns are described wrongly.",
            )
        variable = len(self._variable)
        counts = np.array(flat[: rows * variable], np.int64).reshape(rows, variable)
        widths = np.empty((rows, 2 * variable + 1), np.int64)
        widths[:, 0::2] = self._run_sizes
        widths[:, 1::2] = (counts * self._bits + 7) >> 3
        ends = position + np.cumsum(widths.ravel()).reshape(widths.shape)
        edges = np.empty((rows, 2 * variable + 2), np.int64)
        edges[:, 1:] = ends
        edges[:, 0] = ends[:, -1] - widths.sum(axis=1)
        return edges, counts

    def _gather(
        self, data: bytes, edges: _Array, counts: _Array
    ) -> tuple[list[_Array], list[tuple[_Array, pa.BinaryArray]]]:
        """Each run as a matrix of bytes (rows, size), each variable column's bytes as a binary array."""
        rows, width = edges.shape
        # edges ascend through a row and into the next, so all pieces together are one Arrow array over the data
        flat = np.append(edges[:, :-1].ravel(), edges[-1, -1]).astype(np.int32)
        pieces = pa.Array.from_buffers(pa.binary(), len(flat) - 1, [None, pa.py_buffer(flat), pa.py_buffer(data)])
        index = np.arange(rows, dtype=np.int32) * (width - 1)
        runs = []
        contents = []
        for number in range(width - 1):
            taken = pieces.take(pa.array(index + number))
            if number % 2:
                contents.append((counts[:, number // 2], taken))
            else:
                size = self._run_sizes[number // 2]
                runs.append(string_parts(taken)[1].reshape(rows, size) if size else np.zeros((rows, 0), np.uint8))
        return runs, contents


# --- cells to columns -----------------------------------------------------------------------------------------------


def _fixed_column(column: Column, count: int, piece: _Array, is_null: _Array | None) -> pa.Array:
    """A column of cells of one length; ``piece`` has shape (rows, bytes)."""
    rows = len(piece)
    datatype = column.datatype
    if datatype == "bit":
        bits = np.unpackbits(np.ascontiguousarray(piece), axis=1)[:, :count]
        if not holds_list(column):
            return array_of(bits[:, 0].astype(bool), pa.bool_(), is_null)
        return list_of(np.arange(rows + 1) * count, array_of(bits.ravel().astype(bool), pa.bool_()), is_null)
    if column.is_text:
        offsets, data = _fixed_text(column, count, piece)
        return _text(column, offsets, data, is_null)
    if not holds_list(column):
        if datatype == "boolean":
            return _booleans(column, piece[:, 0], is_null)
        kind = np.dtype(BIG_ENDIAN[datatype])
        values = np.ascontiguousarray(piece).view(kind).ravel() if piece.shape[1] else np.zeros(rows, kind)
        return _numbers(column, values, is_null)
    flat = np.ascontiguousarray(piece).ravel()
    return _list_column(column, np.arange(rows + 1) * count, flat, is_null)


def _variable_column(column: Column, counts: _Array, binary: pa.BinaryArray, is_null: _Array | None) -> pa.Array:
    """A column of cells of varying length."""
    byte_offsets, data = string_parts(binary)
    if column.is_text:
        if is_null is None:
            is_null = counts == 0  # BINARY has no other way to say NULL than an empty string
        return _text(column, byte_offsets, data, is_null)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    if is_null is None:
        is_null = counts == 0
    if column.datatype == "bit":
        bits = np.unpackbits(data)
        within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], counts)
        chosen = bits[np.repeat(byte_offsets[:-1].astype(np.int64) * 8, counts) + within]
        return list_of(offsets, array_of(chosen.astype(bool), pa.bool_()), is_null)
    return _list_column(column, offsets, data, is_null)


def _list_column(column: Column, offsets: _Array, data: _Array, is_null: _Array | None) -> pa.Array:
    """Lists from the bytes of all their elements; ``offsets`` count elements."""
    if column.datatype == "boolean":
        element = Column(name=column.name, datatype="boolean")
        try:
            return list_of(offsets, _booleans(element, data, None), is_null)
        except CellError as exc:
            row = int(np.searchsorted(offsets, exc.index, side="right")) - 1
            raise CellError(column, f"byte {data[exc.index]}", row) from None
    values = data.view(BIG_ENDIAN[column.datatype])
    if is_complex(column):
        return list_of(offsets * 2, array_of(_native(values), scalar_type(column)), is_null)
    element = Column(name=column.name, datatype=column.datatype, null=column.null)
    return nan_is_null(list_of(offsets, _numbers(element, values, None), is_null), column)


def _native(values: _Array) -> _Array:
    return values.astype(values.dtype.newbyteorder("="))


def _numbers(column: Column, values: _Array, is_null: _Array | None) -> pa.Array:
    """Big-endian numbers; what VALUES/@null names is NULL too."""
    native = _native(values)
    told = null_number(column)
    if told is not None:
        matches = native == np.array(told, native.dtype)
        if matches.any():
            is_null = matches if is_null is None else is_null | matches
    return array_of(native, scalar_type(column), is_null)


def _booleans(column: Column, piece: _Array, is_null: _Array | None) -> pa.Array:
    meaning = _BOOLEANS[piece]
    unknown = meaning == 2
    wrong = meaning == 3
    if is_null is not None:
        wrong &= ~is_null
        unknown |= is_null
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise CellError(column, f"byte {int(piece[index])}", index)
    return array_of(meaning == 1, pa.bool_(), unknown)


def _fixed_text(column: Column, count: int, piece: _Array) -> tuple[_Array, _Array]:
    """(byte offsets, bytes) of text of one length, each cut at its first NUL."""
    rows, width = piece.shape
    if rows == 0 or width == 0:
        return np.zeros(rows + 1, np.int64), np.zeros(0, np.uint8)
    unit = 2 if column.datatype == "unicodeChar" else 1
    data = np.ascontiguousarray(piece)
    is_nul = (data if unit == 1 else data.view(">u2")) == 0
    lengths = np.where(is_nul.any(axis=1), is_nul.argmax(axis=1), count) * unit
    if (lengths == width).all():
        return np.arange(rows + 1, dtype=np.int64) * width, data.ravel()
    keep = np.arange(width) < lengths[:, None]
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, data[keep]


def _text(column: Column, offsets: _Array, data: _Array, is_null: _Array | None) -> pa.Array:
    """Strings from the bytes of char (UTF-8) or unicodeChar (UTF-16, big-endian)."""
    if column.datatype == "unicodeChar":
        offsets, data = utf8_from_utf16(offsets, data)
    elif column.arraysize and "*" in column.arraysize:
        offsets, data = cut_at_nul(offsets, data)
    if is_null is None:
        is_null = np.diff(offsets) == 0
    if column.is_array:
        length = shape_of(column.arraysize)[0][0]
        return split_strings(*string_parts(strings_of(offsets, data)), length, is_null)
    strings = strings_of(offsets, data, is_null)
    if column.is_timestamp:
        return column_from_text(_blank_is_null(strings), column)
    if column.null:
        strings = pc.if_else(pc.fill_null(pc.equal(strings, column.null), False), pa.scalar(None, pa.string()), strings)
    return strings


def _blank_is_null(strings: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.fill_null(pc.equal(strings, ""), False), pa.scalar(None, pa.string()), strings)
