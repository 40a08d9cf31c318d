"""Values as text, a column at a time: what TABLEDATA, CSV, TSV, JSON and HTML are made of.

Numbers are the shortest text that reads back the same; instants are DALI's (``YYYY-MM-DDThh:mm:ss[.ffffff]``, no Z);
arrays are their elements separated by blanks. NULL stays null here: the format decides what it looks like.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.formats.arrow import list_of, shape_of
from skyvault.formats.tabledata import string_parts
from skyvault.model.table import Column

#: What a number that is not finite looks like: (NaN, +infinity, -infinity). VOTable 1.5, section 6.
VOTABLE_SPECIALS = ("NaN", "+Inf", "-Inf")
PLAIN_SPECIALS = ("NaN", "Inf", "-Inf")


def cell_texts(
    array: pa.Array, column: Column, *, specials: tuple[str, str, str] = PLAIN_SPECIALS, null_element: str = ""
) -> pa.StringArray:
    """The text of every cell of a column, null where the cell is NULL; text columns come as they are.

    ``null_element`` is written for a NULL within an array of integers.
    """
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_list(kind):
        return _list_texts(array, column, specials, null_element)
    if pa.types.is_floating(kind):
        return _float_texts(array, specials)
    if pa.types.is_boolean(kind):
        if column.datatype == "bit":
            return array.cast(pa.uint8()).cast(pa.string())
        return array.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return timestamp_texts(array)
    return array.cast(pa.string())


def _float_texts(array: pa.Array, specials: tuple[str, str, str]) -> pa.StringArray:
    texts = array.cast(pa.string())
    finite = pc.is_finite(array)
    if pc.all(finite, min_count=0).as_py():
        return texts
    nan, plus, minus = specials
    texts = pc.if_else(pc.is_nan(array), nan, texts)
    infinite = pc.is_inf(array)
    if pc.any(infinite).as_py():
        signed = pc.if_else(pc.greater(array, 0), plus, minus)
        texts = pc.if_else(infinite, signed, texts)
    return texts


def timestamp_texts(array: pa.Array) -> pa.StringArray:
    """Instants in ISO 8601 without zone, as few decimals as they need (DALI 1.1, section 3.3.3)."""
    whole = array.cast(pa.timestamp("s"), safe=False)
    exact = pc.all(pc.equal(whole.cast(array.type), array), min_count=0).as_py()
    if exact:
        return pc.replace_substring(whole.cast(pa.string()), " ", "T")
    texts = pc.replace_substring(array.cast(pa.string()), " ", "T")
    return pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")


def _list_texts(
    array: pa.ListArray, column: Column, specials: tuple[str, str, str], null_element: str
) -> pa.StringArray:
    values = array.flatten() if array.null_count == 0 else pa.ListArray.flatten(array)
    element = Column(name=column.name, datatype=column.datatype)
    offsets = list_offsets(array)
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_string(values.type):
        texts = pc.fill_null(values, "")
        length = shape_of(column.arraysize)[0]
        if length:
            texts = pc.utf8_slice_codeunits(pc.utf8_rpad(texts, length[0], " "), 0, length[0])
        return pc.binary_join(list_of(offsets, texts, is_null), "")
    texts = cell_texts(values, element, specials=specials)
    if texts.null_count:
        fill = {"f": specials[0], "b": "?"}.get("f" if pa.types.is_floating(values.type) else "", null_element)
        if pa.types.is_boolean(values.type):
            fill = "?"
        texts = pc.fill_null(texts, fill)
    return pc.binary_join(list_of(offsets, texts, is_null), " ")


def list_offsets(array: pa.ListArray) -> np.ndarray[Any, Any]:
    """Offsets from 0 into ``array.flatten()``, which leaves out what lies under NULL cells."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def truths(array: pa.Array) -> np.ndarray[Any, Any]:
    """Booleans as zeros and ones; NULL as zero."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), np.uint8)


def join_rows(columns: list[pa.StringArray | pa.StringScalar], start: str, between: str, end: str) -> pa.Buffer:
    """The bytes of all rows: ``start`` cell ``between`` cell ... ``end``. No cell may be null."""
    rows = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, between)
    rows = pc.binary_join_element_wise(start, rows, end, "") if start else pc.binary_join_element_wise(rows, end, "")
    return data_of(rows)


def data_of(strings: pa.Array) -> pa.Buffer:
    """All bytes of a string array, one after the other, without a copy."""
    if len(strings) == 0:
        return pa.py_buffer(b"")
    _, offset_buffer, data = strings.buffers()
    if data is None:
        return pa.py_buffer(b"")
    offsets = np.frombuffer(offset_buffer, np.int32)
    start, stop = int(offsets[strings.offset]), int(offsets[strings.offset + len(strings)])
    return data.slice(start, stop - start)


_CONTROLS = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"


def xml_texts(strings: pa.StringArray) -> pa.StringArray:
    """Text escaped for XML content; characters XML cannot hold become "?"."""
    _, data = string_parts(strings)
    if not len(data):
        return strings
    if (data == ord("&")).any():
        strings = pc.replace_substring(strings, "&", "&amp;")
    if (data == ord("<")).any():
        strings = pc.replace_substring(strings, "<", "&lt;")
    if (data == ord(">")).any():
        strings = pc.replace_substring(strings, ">", "&gt;")
    low = data < 0x20
    if low.any() or (data == 0xEF).any():
        if low.any():
            strings = pc.replace_substring(strings, "\r", "&#13;")
        strings = pc.replace_substring_regex(strings, _CONTROLS, "?")
    return strings
