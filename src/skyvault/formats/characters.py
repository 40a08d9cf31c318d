"""Bytes that claim to be text: UTF-8, big-endian UTF-16, and what old files hold instead, a column at a time.

Text is given as offsets (n + 1, counting bytes) into the bytes of all cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_Array = np.ndarray[Any, Any]


def strings_of(offsets: _Array, data: _Array, is_null: _Array | None = None) -> pa.StringArray:
    """Strings from UTF-8. A cell that is not UTF-8 is taken as Latin-1: VOTable 1.5 and FITS 4.0 allow ASCII only,
    and what old programs put there beyond ASCII is Latin-1."""
    strings = _unchecked(offsets, data, is_null)
    if not (data >= 0x80).any() or is_utf8(strings):
        return strings
    high = np.flatnonzero(data >= 0x80)
    cells = np.unique(np.searchsorted(offsets, high, side="right") - 1)
    texts = [_either(data[offsets[cell] : offsets[cell + 1]].tobytes()) for cell in cells.tolist()]
    mask = np.zeros(len(strings), bool)
    mask[cells] = True
    blank = _unchecked(*_without(offsets, data, mask), is_null)
    if is_null is not None:
        texts = [None if null else text for text, null in zip(texts, is_null[cells], strict=True)]  # type: ignore[misc]
    return pc.replace_with_mask(blank, pa.array(mask), pa.array(texts, pa.string()))


def _unchecked(offsets: _Array, data: _Array, is_null: _Array | None) -> pa.StringArray:
    index = np.ascontiguousarray(offsets, dtype=np.int32)
    bitmap = None
    if is_null is not None and is_null.any():
        bitmap = pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    return pa.Array.from_buffers(
        pa.string(), len(index) - 1, [bitmap, pa.py_buffer(index), pa.py_buffer(np.ascontiguousarray(data))]
    )


def _without(offsets: _Array, data: _Array, mask: _Array) -> tuple[_Array, _Array]:
    """The same cells, those of the mask empty."""
    lengths = np.diff(offsets)
    keep = np.repeat(~mask, lengths)
    shorter = np.zeros(len(offsets), np.int64)
    np.cumsum(np.where(mask, 0, lengths), out=shorter[1:])
    return shorter, data[offsets[0] : offsets[-1]][keep]


def _either(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def is_utf8(strings: pa.StringArray) -> bool:
    """Whether every cell is UTF-8."""
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def first_not_utf8(strings: pa.StringArray) -> int | None:
    """The first cell that is not UTF-8, None when all are."""
    if is_utf8(strings):
        return None
    low, high = 0, len(strings)
    while high - low > 1:
        middle = (low + high) // 2
        if is_utf8(strings.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low


def cut_at_nul(offsets: _Array, data: _Array) -> tuple[_Array, _Array]:
    """Each cell up to its first NUL (VOTable 1.5, section 6)."""
    is_nul = data == 0
    if not is_nul.any():
        return offsets, data
    seen = np.concatenate([[0], np.cumsum(is_nul)])
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keep = seen[1:] == seen[offsets[:-1]][cell]
    kept = np.concatenate([[0], np.cumsum(keep)])
    return kept[offsets], data[keep]


def utf8_from_utf16(offsets: _Array, data: _Array) -> tuple[_Array, _Array]:
    """Big-endian UTF-16 as UTF-8, each cell up to its first NUL; half of a surrogate pair becomes U+FFFD."""
    units = np.ascontiguousarray(data).view(">u2").astype(np.uint16)
    bounds, units = cut_at_nul(offsets // 2, units)
    if (units < 0x80).all():
        return bounds, units.astype(np.uint8)
    high = (units & 0xFC00) == 0xD800
    low = (units & 0xFC00) == 0xDC00
    if high.any() or low.any():
        first = np.zeros(len(units), bool)
        first[bounds[:-1][bounds[:-1] < len(units)]] = True
        ends_pair = np.zeros(len(units), bool)
        ends_pair[1:] = high[:-1] & low[1:] & ~first[1:]
        begins_pair = np.append(ends_pair[1:], False)
        units = np.where((low & ~ends_pair) | (high & ~begins_pair), np.uint16(0xFFFD), units)
        paired = ends_pair | begins_pair
    else:
        paired = np.zeros(len(units), bool)
    # each half of a pair makes two of the four bytes
    sizes = np.where(units < 0x80, 1, np.where((units < 0x800) | paired, 2, 3))
    text = units.astype("<u2").tobytes().decode("utf-16-le").encode()
    places = np.concatenate([[0], np.cumsum(sizes)])
    return places[bounds], np.frombuffer(text, np.uint8)


def utf16_from_utf8(offsets: _Array, data: _Array) -> tuple[_Array, _Array]:
    """UTF-8 as big-endian UTF-16; offsets count bytes on both sides."""
    units = ((data & 0xC0) != 0x80).astype(np.int64) + (data >= 0xF0)
    places = np.zeros(len(data) + 1, np.int64)
    np.cumsum(units, out=places[1:])
    text = data.tobytes().decode("utf-8").encode("utf-16-be")
    return places[offsets] * 2, np.frombuffer(text, np.uint8)
