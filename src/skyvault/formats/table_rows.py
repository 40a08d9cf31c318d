"""Rows cut out of TABLEDATA's markup: every tag is looked at by numpy, no XML parser is needed for plain rows.

VOTable 1.5, section 5.1; XML 1.0, section 4.1 for the references in text.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.formats.tabledata import CellError
from skyvault.model.table import Column

_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9a-fA-F]{1,6})|([A-Za-z]+));|&")


def unescaped(cells: pa.StringArray, column: Column) -> pa.StringArray:
    """Text with XML's references resolved. Raises CellError for an entity XML does not know."""
    if not pc.any(pc.match_substring(cells, "&")).as_py():
        return cells
    plain = cells
    for name in ("lt", "gt", "quot", "apos"):
        plain = pc.replace_substring(plain, f"&{name};", _NAMED[name])
    odd = pc.not_equal(pc.count_substring(plain, "&"), pc.count_substring(plain, "&amp;"))
    odd = pc.fill_null(odd, False)
    plain = pc.replace_substring(plain, "&amp;", "&")
    if pc.any(odd).as_py():
        rows = np.flatnonzero(odd.to_numpy(zero_copy_only=False))
        replaced = [
            _resolve(text, column, int(row)) for text, row in zip(cells.filter(odd).to_pylist(), rows, strict=True)
        ]
        plain = pc.replace_with_mask(plain, odd, pa.array(replaced, pa.string()))
    return plain


def _resolve(text: str, column: Column, row: int) -> str:
    def one(match: re.Match[str]) -> str:
        decimal, hexadecimal, name = match.groups()
        if name in _NAMED:
            return _NAMED[name]
        code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else -1
        if code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF:
            return chr(code)
        raise CellError(column, text, row, f"{match[0][:20]} is no character reference XML knows")

    return _REFERENCE.sub(one, text)


class Irregular(Exception):
    """Markup that is legal perhaps, but not plain rows: an XML parser must look at it."""


def _code(tag: bytes) -> int:
    return int.from_bytes(tag, "little")


_TR, _CLOSE_TR = _code(b"<TR>"), _code(b"</TR")
_TD, _CLOSE_TD, _EMPTY_TD = _code(b"<TD>"), _code(b"</TD"), _code(b"<TD/")
_CLOSE_TABLEDATA = _code(b"</TA")


def cut_rows(block: bytes, columns: int) -> tuple[int, list[pa.StringArray], int, bool]:
    """Cut plain ``<TR><TD>..</TD>..</TR>`` rows into columns of raw (still escaped) text.

    Returns the rows, a string array a column (empty cells are null), the bytes consumed (through the last whole
    row), and whether ``</TABLEDATA`` comes next. Every tag is looked at: all ``<`` are found at once, the four bytes
    from there tell which tag it is, and a block is accepted only if the tags form whole rows. Raises Irregular
    otherwise; nothing is guessed.
    """
    data = np.frombuffer(block, np.uint8)
    places = np.flatnonzero(data == ord("<"))
    places = places[: np.searchsorted(places, len(block) - 4)]
    if not len(places):
        return 0, [], 0, False
    # four overlapping bytes from each "<" on, read as one number
    fours = np.ndarray(shape=(len(block) - 3,), dtype="<u4", buffer=block, strides=(1,))
    tags = fours[places]
    ends = np.flatnonzero(tags == _CLOSE_TABLEDATA)
    ended = bool(len(ends))
    if ended:
        tags, places = tags[: ends[0]], places[: ends[0]]
    period = 2 * columns + 2
    closes = _last_rows(tags, period)
    if not len(closes):
        if ended and len(tags):
            raise Irregular
        return 0, [], 0, ended
    whole = int(closes[-1]) + 1
    if ended and whole != len(tags):
        raise Irregular
    last = int(places[whole - 1])
    consumed = block.find(b">", last) + 1
    if not consumed:
        # the last tag is not complete yet: leave that row for later
        if len(closes) == 1:
            return 0, [], 0, False
        whole = int(closes[-2]) + 1
        consumed = block.find(b">", int(places[whole - 1])) + 1
        ended = False
    tags, places = tags[:whole], places[:whole]
    if not _are_rows(tags, columns):
        empty = tags == _EMPTY_TD
        if not empty.any():
            raise Irregular
        # "<TD/>" stands for "<TD></TD>": its content begins and ends four bytes on
        twice = np.where(empty, 2, 1)
        second = np.cumsum(twice)[empty] - 1
        tags, places = np.repeat(tags, twice), np.repeat(places, twice)
        tags[second - 1] = _TD
        tags[second] = _CLOSE_TD
        places[second] += 4
        if not _are_rows(tags, columns):
            raise Irregular
    cells = places.reshape(-1, period)[:, 1:-1]
    edges = cells.astype(np.int32)
    edges[:, 0::2] += 4
    return len(edges), _cut(block, edges.ravel(), columns), consumed, ended


def _last_rows(tags: np.ndarray[Any, Any], period: int) -> np.ndarray[Any, Any]:
    """Where the last rows close; the end is looked at first."""
    start = max(0, len(tags) - 3 * period)
    closes = np.flatnonzero(tags[start:] == _CLOSE_TR) + start
    return closes if len(closes) > 1 or not start else np.flatnonzero(tags == _CLOSE_TR)


def _are_rows(tags: np.ndarray[Any, Any], columns: int) -> bool:
    """Whether the tags are whole rows of this many cells and nothing else (no comment, no CDATA, no attribute)."""
    pattern = np.array([_TR, *([_TD, _CLOSE_TD] * columns), _CLOSE_TR], np.uint32)
    return len(tags) % len(pattern) == 0 and bool((tags.reshape(-1, len(pattern)) == pattern).all())


def _cut(block: bytes, edges: np.ndarray[Any, Any], columns: int) -> list[pa.StringArray]:
    """Columns of text from the start and end of every cell, in reading order.

    Start, end, start, end ... ascend, so the block itself is an Arrow array whose even items are the cells and whose
    odd items are the markup between; taking every (2 * columns)-th item gathers a column without touching Python.
    """
    pieces = pa.Array.from_buffers(pa.binary(), len(edges) - 1, [None, pa.py_buffer(edges), pa.py_buffer(block)])
    rows = len(edges) // (2 * columns)
    index = np.arange(rows, dtype=np.int32) * (2 * columns)
    result = []
    for number in range(columns):
        taken = pieces.take(pa.array(index + 2 * number))
        result.append(text_of(taken))
    return result


def text_of(taken: pa.BinaryArray) -> pa.StringArray:
    """Bytes as text, unchecked, with NULL for the empty."""
    _, offset_buffer, data = taken.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[: len(taken) + 1]
    empty = offsets[1:] == offsets[:-1]
    bitmap = pa.py_buffer(np.packbits(~empty, bitorder="little")) if empty.any() else None
    return pa.Array.from_buffers(
        pa.string(), len(taken), [bitmap, offset_buffer, data if data is not None else pa.py_buffer(b"")]
    )
