"""The text of table cells: how VOTable spells values, and how columns of such text become numbers.

VOTable 1.5, section 5.1 (TABLEDATA) and section 6 (literals). Everything works on whole columns; only cells that are
out of the ordinary cost more.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import (
    array_of,
    arrow_type,
    element_count,
    is_complex,
    list_of,
    nan_is_null,
    scalar_type,
    shape_of,
)
from skyvault.model.table import INTEGRAL, Column

_TRUE = pa.array(["true", "t", "1"])
_FALSE = pa.array(["false", "f", "0"])
_UNKNOWN = pa.array(["?", ""])
_BLANKS = " \t\r\n"
#: what people and archives write into columns of numbers for NULL; in columns of text it is text
BLANK_WORDS = pa.array(
    ["", "-", "--", "---", "...", "NA", "N/A", "n/a", "na", "None", "none", "null", "NULL", "Null", "<NA>"]
)


class CellError(FormatError):
    """A cell that cannot be read; ``index`` counts from 0 within the column that was given."""

    def __init__(self, column: Column, text: str, index: int, why: str | None = None) -> None:
        shown = text if len(text) <= 60 else text[:57] + "..."
        kind = f"{column.datatype}{f' [{column.arraysize}]' if column.arraysize else ''}"
        super().__init__(f"Column {column.name}: {shown!r} is not a value of type {kind}{f' ({why})' if why else ''}")
        self.index = index

    def at(self, *, name: str, first_row: int) -> FormatError:
        """The same error naming its row in the file; ``first_row`` is the number of the column's first cell."""
        return FormatError(self.what, where=f"{name}, row {first_row + self.index}")


def column_from_text(cells: pa.StringArray, column: Column) -> pa.Array:
    """A column's values from the text of its cells; empty text and nulls are NULL (VOTable 1.3 and later).

    Raises CellError at the first cell that is not of the column's type.
    """
    if column.is_text and not column.is_array:
        if column.is_timestamp:
            return _timestamps(cells, column)
        if column.null:
            cells = _without(cells, pc.equal(cells, column.null))
        return cells
    if column.is_text:
        return _strings_of(cells, column)
    if column.datatype == "bit" and column.is_array:
        return _bits(cells, column)
    if column.is_array or is_complex(column):
        return _arrays(cells, column)
    return _scalars(cells, column)


def _without(values: pa.Array, unwanted: pa.Array) -> pa.Array:
    """Values with NULL where ``unwanted`` is true."""
    if not pc.any(unwanted).as_py():
        return values
    return pc.if_else(pc.fill_null(unwanted, False), pa.scalar(None, values.type), values)


def _scalars(cells: pa.StringArray, column: Column) -> pa.Array:
    if column.datatype in ("boolean", "bit"):
        return _booleans(cells, column)
    kind = scalar_type(column)
    told_null = _null_number(column)
    if column.null is not None and told_null is None:
        cells = _without(cells, pc.equal(pc.utf8_trim(cells, _BLANKS), column.null.strip()))
    try:
        values = cells.cast(kind)
    except pa.ArrowInvalid:
        values = _odd_numbers(cells, column, kind)
    if told_null is not None:
        values = _without(values, pc.equal(values, pa.scalar(told_null, kind)))
    return values


def _null_number(column: Column) -> float | int | None:
    """The number that stands for NULL, None where there is none or it is no number of the column's type."""
    text = (column.null or "").strip()
    if not text:
        return None
    try:
        if column.datatype in INTEGRAL:
            number = int(text, 16) if text[:2].lower() == "0x" else int(text)
            info = np.iinfo(_NUMPY[column.datatype])
            return number if info.min <= number <= info.max else None
        value = float(text)
        return None if value != value else value
    except ValueError:
        return None


_NUMPY: dict[str, str] = {"unsignedByte": "u1", "short": "i2", "int": "i4", "long": "i8"}


def null_number(column: Column) -> float | int | None:
    """The number VALUES/@null makes stand for NULL in this column, if any."""
    return _null_number(column) if column.datatype in INTEGRAL or column.datatype in ("float", "double") else None


def _odd_numbers(cells: pa.StringArray, column: Column, kind: pa.DataType) -> pa.Array:
    """Numbers with blanks around, a plus sign, hexadecimal digits."""
    trimmed = pc.utf8_trim(cells, _BLANKS)
    trimmed = _without(trimmed, pc.is_in(trimmed, BLANK_WORDS))
    trimmed = pc.replace_substring_regex(trimmed, r"^\+([0-9.IiNn])", r"\1")
    if column.datatype not in INTEGRAL:
        # exponents as Fortran writes them
        trimmed = pc.replace_substring_regex(trimmed, r"^([+-]?[0-9.]+)[dD]([+-]?[0-9]+)$", r"\1e\2")
    if column.datatype in INTEGRAL:
        is_hex = pc.match_substring_regex(trimmed, r"^0[xX][0-9a-fA-F]+$")
        if pc.any(is_hex).as_py():
            return _hexadecimals(trimmed, is_hex, column, kind)
    try:
        return trimmed.cast(kind)
    except pa.ArrowInvalid:
        _refuse_first(trimmed, column, kind)


def _hexadecimals(trimmed: pa.Array, is_hex: pa.Array, column: Column, kind: pa.DataType) -> pa.Array:
    """Integers of which some are hexadecimal: two's complement in the column's width (VOTable 1.5, section 6)."""
    digits = pc.replace_substring_regex(trimmed, r"^0[xX]", "")
    plain = _without(trimmed, is_hex)
    try:
        values = plain.cast(kind)
    except pa.ArrowInvalid:
        _refuse_first(plain, column, kind)
    width = np.dtype(_NUMPY[column.datatype]).itemsize * 2
    chosen = digits.filter(is_hex)
    fits = pc.less_equal(pc.utf8_length(chosen), width)
    if not pc.all(fits, min_count=0).as_py():
        index = int(np.flatnonzero(~fits.to_numpy(zero_copy_only=False))[0])
        row = int(np.flatnonzero(pc.fill_null(is_hex, False).to_numpy(zero_copy_only=False))[index])
        raise CellError(column, trimmed[row].as_py(), row, "out of range")
    padded = pc.utf8_lpad(chosen, width, "0")
    text = b"".join(
        piece.as_py().encode() for piece in [pc.binary_join(list_of(np.array([0, len(padded)]), padded), "")[0]]
    )
    numbers = np.frombuffer(bytes.fromhex(text.decode()), ">" + _NUMPY[column.datatype]).astype(_NUMPY[column.datatype])
    return pc.replace_with_mask(values, pc.fill_null(is_hex, False), pa.array(numbers, kind))


def _refuse_first(cells: pa.Array, column: Column, kind: pa.DataType) -> NoReturn:
    """Find the first cell that does not convert, by halving, and say so."""
    low, high = 0, len(cells)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cells.slice(low, middle - low).cast(kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    text = str(cells[low].as_py())
    why = "out of range" if re.fullmatch(r"[+-]?[0-9]+", text) else None
    raise CellError(column, text, low, why)


def _booleans(cells: pa.StringArray, column: Column) -> pa.Array:
    words = pc.utf8_lower(pc.utf8_trim(cells, _BLANKS))
    true = pc.is_in(words, _TRUE)
    false = pc.is_in(words, _FALSE)
    unknown = pc.or_(pc.is_in(words, _UNKNOWN), pc.is_null(words))
    if column.null:
        unknown = pc.or_(unknown, pc.fill_null(pc.equal(words, column.null.strip().lower()), False))
    known = pc.or_(pc.or_(true, false), unknown)
    if not pc.all(known, min_count=0).as_py():
        index = int(np.flatnonzero(~known.to_numpy(zero_copy_only=False))[0])
        raise CellError(column, cells[index].as_py(), index)
    return _without(true, unknown)


_OVERPRECISE = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6})\d+$"


def _timestamps(cells: pa.StringArray, column: Column) -> pa.Array:
    """Instants as DALI 1.1, section 3.3.3 spells them; a final Z is taken off."""
    kind = arrow_type(column)
    if column.null:
        cells = _without(cells, pc.equal(cells, column.null))
    try:
        return cells.cast(kind)
    except pa.ArrowInvalid:
        trimmed = pc.utf8_rtrim(pc.utf8_trim(cells, _BLANKS), "Z")
        trimmed = _without(trimmed, pc.equal(trimmed, ""))
        trimmed = pc.replace_substring_regex(trimmed, _OVERPRECISE, r"\1")
        try:
            return trimmed.cast(kind)
        except pa.ArrowInvalid:
            _refuse_first(trimmed, column, kind)


def _arrays(cells: pa.StringArray, column: Column) -> pa.Array:
    """Numbers separated by blanks."""
    is_null = pc.is_null(cells).to_numpy(zero_copy_only=False)
    words = pc.ascii_split_whitespace(pc.utf8_trim(pc.fill_null(cells, ""), _BLANKS))
    offsets = words.offsets.to_numpy()
    pieces = words.values
    # Splitting "" gives one empty word; NULL and blank cells must give none.
    counts = np.diff(offsets)
    blank = pc.equal(pieces, "").to_numpy(zero_copy_only=False)
    if blank.any():
        kept = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum(~blank, out=kept[1:])
        offsets = kept[offsets]
        counts = np.diff(offsets)
        pieces = pieces.filter(pa.array(~blank))
    is_null = is_null | (counts == 0)
    element = Column(name=column.name, datatype=_REAL.get(column.datatype, column.datatype), null=column.null)
    try:
        values = _scalars(pieces, element)
    except CellError as exc:
        row = int(np.searchsorted(offsets, exc.index, side="right")) - 1
        raise CellError(column, str(pieces[exc.index].as_py()), row) from None
    expected = element_count(column.arraysize)
    if is_complex(column):
        expected = None if expected is None else 2 * expected
        odd = counts % 2 != 0
        if odd.any():
            index = int(np.flatnonzero(odd)[0])
            raise CellError(column, cells[index].as_py(), index, "an odd number of parts")
    if expected is not None:
        wrong = (counts != expected) & ~is_null
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise CellError(column, cells[index].as_py(), index, f"{counts[index]} numbers where {expected} belong")
    return nan_is_null(list_of(offsets, values, is_null), column)


_REAL: dict[str, Any] = {"floatComplex": "float", "doubleComplex": "double"}


def _bits(cells: pa.StringArray, column: Column) -> pa.Array:
    """Zeros and ones, with or without blanks between."""
    is_null = pc.is_null(cells).to_numpy(zero_copy_only=False)
    digits = pc.replace_substring_regex(pc.fill_null(cells, ""), r"\s+", "")
    legal = pc.match_substring_regex(digits, r"^[01]*$").to_numpy(zero_copy_only=False)
    if not legal.all():
        index = int(np.flatnonzero(~legal)[0])
        raise CellError(column, cells[index].as_py(), index)
    offsets, data = string_parts(digits)
    is_null = is_null | (np.diff(offsets) == 0)
    expected = element_count(column.arraysize)
    if expected is not None:
        wrong = (np.diff(offsets) != expected) & ~is_null
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise CellError(column, cells[index].as_py(), index, f"{expected} bits belong here")
    return list_of(offsets, array_of(data == ord("1"), pa.bool_()), is_null)


def string_parts(strings: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Offsets (n + 1, from 0) and bytes of a string or binary array."""
    if len(strings) == 0:
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    _, offset_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    data = data[offsets[0] : offsets[-1]]
    return offsets - offsets[0], data


def _strings_of(cells: pa.StringArray, column: Column) -> pa.Array:
    """Strings of a fixed length run together: arraysize "8x*" is words of eight characters, padded with blanks."""
    is_null = pc.is_null(cells).to_numpy(zero_copy_only=False)
    offsets, data = string_parts(pc.fill_null(cells, ""))
    length = shape_of(column.arraysize)[0][0]
    return split_strings(offsets, data, length, is_null | (np.diff(offsets) == 0))


def split_strings(
    offsets: np.ndarray[Any, Any], data: np.ndarray[Any, Any], length: int, is_null: np.ndarray[Any, Any]
) -> pa.Array:
    """Each cell's UTF-8 text cut into words of ``length`` characters, the blanks at their ends taken off."""
    length = max(length, 1)
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # where a character begins
    first = np.searchsorted(starts, offsets)  # a cell's first character
    characters = np.diff(first)
    words = -(-characters // length)
    word_offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum(words, out=word_offsets[1:])
    total = int(word_offsets[-1])
    within = np.arange(total) - np.repeat(word_offsets[:-1], words)
    character = np.repeat(first[:-1], words) + within * length
    bounds = np.append(starts, len(data))
    edges = np.append(bounds[character], len(data)).astype(np.int32)
    strings = pa.Array.from_buffers(
        pa.string(), total, [None, pa.py_buffer(edges), pa.py_buffer(np.ascontiguousarray(data))]
    )
    return list_of(word_offsets, pc.utf8_rtrim(strings, " \x00"), is_null)
