"""Tables as a plain HTML page, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import SkyvaultError
from skyvault.formats.blocks import begun, formatted, sliced
from skyvault.formats.cell_text import cell_texts, join_rows, xml_texts
from skyvault.formats.stream import TableStream
from skyvault.formats.votable_out import escape, quoted

_ROWS = 20_000
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:1.5em}table{border-collapse:collapse}"
    "td,th{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}"
    "th{position:sticky;top:0;background:#f4f4f4}th small{font-weight:normal;color:#666}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.warn{color:#a00}"
)


def write_html(stream: TableStream, *, threads: int = 2) -> Iterator[bytes]:
    """The bytes of an HTML page, block by block. Every text of the data is escaped; nothing is made a link."""
    table = stream.table
    batches = begun(stream.batches)
    title = escape(table.title or table.name)
    head = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>\n",
    ]
    if table.description:
        head.append(f"<p>{escape(table.description)}</p>\n")
    if stream.infos:
        lines = "".join(f"<dt>{escape(info.name)}</dt><dd>{escape(info.value)}</dd>\n" for info in stream.infos)
        head.append(f"<details><summary>Query and origin</summary><dl>\n{lines}</dl></details>\n")
    head.append("<table><thead><tr>")
    for column in table.columns:
        told = "; ".join(part for part in (column.description, column.ucd) if part)
        unit = f" <small>{escape(column.unit)}</small>" if column.unit else ""
        head.append(f"<th title={quoted(told)}>{escape(column.name)}{unit}</th>")
    head.append("</tr></thead><tbody>\n")
    yield "".join(head).encode()

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        cells: list[Any] = []
        for column, array in zip(table.columns, batch.columns, strict=True):
            texts = cell_texts(array, column)
            if column.is_text:
                texts = xml_texts(texts)
            texts = pc.fill_null(texts, "") if texts.null_count else texts
            cells.append(pc.binary_join_element_wise("<td>" if column.is_text else '<td class="n">', texts, ""))
        return join_rows(cells, "<tr>", "</td>", "</td></tr>\n") if cells else pa.py_buffer(b"")

    try:
        for block in formatted(sliced(batches, _ROWS), work, threads=threads):
            yield bytes(block)
    except SkyvaultError as exc:
        stream.error = str(exc)
    end = "</tbody></table>\n"
    if stream.error:
        end += f'<p class="warn">The rest could not be had: {escape(stream.error)}</p>\n'
    elif stream.overflow:
        limit = f" of {stream.limit}" if stream.limit is not None else ""
        end += f'<p class="warn">The row limit{limit} was reached; there are more rows.</p>\n'
    yield (end + "</body></html>\n").encode()
