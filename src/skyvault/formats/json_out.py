"""Tables as JSON: {"metadata": [columns], "data": [[row], ...]}, as TAP services commonly give it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import SkyvaultError
from skyvault.formats.arrow import list_of
from skyvault.formats.blocks import begun, formatted, sliced
from skyvault.formats.cell_text import cell_texts, join_rows, list_offsets
from skyvault.formats.stream import TableStream
from skyvault.formats.tabledata import string_parts
from skyvault.model.frames import axes_of, numbers_of
from skyvault.model.table import Column

_ROWS = 20_000
_TOLD = ("name", "datatype", "arraysize", "xtype", "unit", "ucd", "utype", "description")


def write_json(stream: TableStream, *, threads: int = 2) -> Iterator[bytes]:
    """The bytes of a JSON document, block by block.

    NULL, NaN and infinities are ``null`` (JSON has no other word). After the data comes ``query_status``: "OK",
    "OVERFLOW" or "ERROR" (then with ``message``).
    """
    table = stream.table
    batches = begun(stream.batches)
    metadata: list[dict[str, Any]] = [
        {key: value for key in _TOLD if (value := getattr(column, key)) is not None} for column in table.columns
    ]
    axes = axes_of(table)
    for told, column in zip(metadata, table.columns, strict=True):
        if (axis := axes.get(column.ref or "")) is not None:
            told["axis"] = {"name": axis.name, "unit": axis.unit, "values": numbers_of(axis)}
    yield f'{{"metadata":{json.dumps(metadata, ensure_ascii=False)},\n"data":['.encode()

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        cells: list[Any] = []
        for column, array in zip(table.columns, batch.columns, strict=True):
            cells.append(pc.fill_null(json_texts(array, column), "null"))
        return join_rows(cells, "\n[", ",", "],") if cells else pa.py_buffer(b"")

    pending = b""
    try:
        for block in formatted(sliced(batches, _ROWS), work, threads=threads):
            # the comma after the last row of all must go, so every block's last byte waits for the next block
            yield pending + bytes(block[: block.size - 1])
            pending = b","
    except SkyvaultError as exc:
        stream.error = str(exc)
    status = "ERROR" if stream.error else "OVERFLOW" if stream.overflow else "OK"
    message = f',"message":{json.dumps(stream.error)}' if stream.error else ""
    yield f'\n],"query_status":"{status}"{message}}}\n'.encode()


def json_texts(array: pa.Array, column: Column, *, specials: tuple[str, str, str] | None = None) -> pa.StringArray:
    """The JSON text of every cell, null where the cell is NULL or not finite.

    ``specials`` are words for NaN and the infinities, for those who read JSON with them.
    """
    kind = array.type
    if pa.types.is_list(kind):
        element = Column(name=column.name, datatype=column.datatype)
        pieces = pc.fill_null(json_texts(array.flatten(), element, specials=specials), "null")
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        joined = pc.binary_join(list_of(list_offsets(array), pieces, is_null), ",")
        return pc.binary_join_element_wise("[", joined, "]", "")
    if pa.types.is_string(kind):
        return _strings(array)
    if pa.types.is_timestamp(kind):
        return pc.binary_join_element_wise('"', cell_texts(array, column), '"', "")
    if pa.types.is_floating(kind) and specials is not None:
        return cell_texts(array, column, specials=specials)
    if pa.types.is_floating(kind):
        texts = array.cast(pa.string())
        finite = pc.is_finite(array)
        if pc.all(finite, min_count=0).as_py():
            return texts
        return pc.if_else(finite, texts, pa.scalar(None, pa.string()))
    return array.cast(pa.string())


_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}


def _strings(array: pa.StringArray) -> pa.StringArray:
    _, data = string_parts(array)
    if (data == ord("\\")).any():
        array = pc.replace_substring(array, "\\", "\\\\")
    if (data == ord('"')).any():
        array = pc.replace_substring(array, '"', '\\"')
    low = data[data < 0x20]
    for code in np.unique(low):
        array = pc.replace_substring(array, chr(code), _SHORT.get(int(code), f"\\u{int(code):04x}"))
    return pc.binary_join_element_wise('"', array, '"', "")
