"""Reading VOTables: any version, any serialisation, any size, as a stream of Arrow batches.

The description goes through an XML parser; rows do not (unless their markup is odd): TABLEDATA is cut at its tags by
numpy, BINARY and BINARY2 are base64-decoded in blocks and viewed as big-endian records. Memory is bounded by the
blocks, not by the table.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import plain_schema
from skyvault.formats.blocks import ahead
from skyvault.formats.characters import first_not_utf8
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream
from skyvault.formats.table_rows import Irregular, cut_rows, unescaped
from skyvault.formats.tabledata import CellError, column_from_text
from skyvault.formats.votable_binary import RowDecoder
from skyvault.formats.votable_xml import Document
from skyvault.formats.xml_encoding import Utf8Reader
from skyvault.model.table import Info, Table

#: Bytes of markup or base64 taken at a time.
BLOCK = 4 << 20
#: A row, tag or description in one piece may not be longer than this.
MAX_PIECE = 256 << 20
#: Rows a batch for binary data (blocks bound those of TABLEDATA).
BATCH_ROWS = 65_536
_HEADER_BLOCK = 1 << 16
_ROWS_BY_XML = 5_000

_DATA_TAG = re.compile(rb"""<([\w.-]+:)?(?:TABLEDATA|STREAM)(?=[\s/>])(?:[^"'<>]|"[^"<]*"|'[^'<]*')*>""")
_CLOSING_TAG = re.compile(rb"</(?:[\w.-]+:)?TABLEDATA\s*>")
_CLOSING_LONGEST = 256
_BASE64_SPACE = b" \t\r\n"
_LINE_END_REFERENCE = re.compile(rb"&#(?:x[aAdD]|10|13);")


def open_votable(
    source: TableSource | ByteSource,
    *,
    table: int | str | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> TableStream:
    """The first table of a VOTable, or the one of this position (from 0), name or ID.

    ``source`` is a path, bytes or a binary file; gzip is taken off. Batches raise FormatError (naming byte or row)
    for what cannot be read and TooLarge beyond ``limits``; a QUERY_STATUS of OVERFLOW or ERROR becomes the stream's
    ``overflow`` or ``error``; an error document (DALI 1.1, section 4.2) is a stream of no columns with its ``error``.
    Raises FormatError when there is no (such) table.
    """
    seen: list[str] = []
    reader = _Reader(source, limits, name)
    reader.closes_after_table = True
    for index, stream in enumerate(reader.tables()):
        if table is None or table == index or table in (stream.table.name, stream.table.id):
            return stream
        seen.append(stream.table.name)
    if seen:
        raise FormatError(f"There is no table {table!r} in this VOTable", where=reader.name, hint=_listing(seen))
    status = reader.status or reader.early_error
    if status is not None and status.value.upper() == "ERROR":
        empty = TableStream(table=Table(name="error", columns=()), batches=iter(()))
        _note(empty, status)
        return empty
    raise FormatError("The VOTable holds no table", where=reader.name)


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return f"It holds {shown}{' and more' if len(names) > 10 else ''}."


def tables(
    source: TableSource | ByteSource, *, limits: ReadLimits = DEFAULT_LIMITS, name: str | None = None
) -> Iterator[TableStream]:
    """All tables of a VOTable in document order, those of nested resources included.

    Each stream must be used before the next is asked for; what is left of its rows then is passed over.
    """
    yield from _Reader(source, limits, name).tables()


@dataclass(frozen=True, slots=True)
class _Cut:
    """Rows cut out of their markup: the text of every column, and whether XML's own work is still to be done."""

    cells: list[pa.StringArray]
    has_references: bool
    has_returns: bool


class _Reader:
    """Drives a document: XML to the parser, rows past it."""

    def __init__(self, source: TableSource | ByteSource, limits: ReadLimits, name: str | None) -> None:
        self._source = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
        self.name = self._source.name
        self._limits = limits
        self._text = Utf8Reader(self._source)
        self._document = Document(self.name)
        self._buffer = b""
        self._ended = False
        self._prefix = b""
        self._current: Iterator[pa.RecordBatch] | None = None
        self.closes_after_table = False

    @property
    def status(self) -> Info | None:
        return self._document.status

    @property
    def early_error(self) -> Info | None:
        return self._document.early_error

    # --- tables -----------------------------------------------------------------------------------------------------

    def tables(self) -> Iterator[TableStream]:
        while (event := self._next_event())[0] != "end":
            if event[0] != "table":
                continue
            table: Table = event[1]
            self._limits.check_columns(len(table.columns))
            stream = TableStream(table=table, batches=iter(()))
            if self.status is not None:
                _note(stream, self.status)
            stream.batches = self._current = self._batches(table, stream)
            yield stream
            for _ in self._current:
                pass

    def _batches(self, table: Table, stream: TableStream) -> Iterator[pa.RecordBatch]:
        """The rows of the table just announced, then the remarks that follow it."""
        schema = plain_schema(table)
        rows = 0
        while True:
            event = self._next_event()
            kind = event[0]
            if kind == "data":
                for arrays in self._rows(event[1], event[2], table):
                    if not arrays:
                        continue
                    rows += len(arrays[0])
                    self._limits.check_rows(rows)
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            elif kind == "info":
                info: Info = event[1]
                if info.name.upper() == "QUERY_STATUS":
                    _note(stream, info)
            elif kind in ("table", "resource-end", "end"):
                if kind != "resource-end":
                    self._document.events.insert(0, event)
                if self.closes_after_table:
                    self._source.close()
                return

    def _rows(self, kind: str, attributes: dict[str, str], table: Table) -> Iterator[list[pa.Array]]:
        if kind == "TABLEDATA":
            yield from self._tabledata(table) if table.columns else self._rows_by_xml(table, 1)
        elif kind in ("BINARY", "BINARY2"):
            yield from self._binary(kind, attributes, table)
        else:
            self._document.refuse(
                f"The rows of table {table.name} are kept as {kind}, which is not read from inside a VOTable",
                hint="Convert the file to TABLEDATA or BINARY2, or open the FITS or Parquet file itself.",
            )

    # --- the document -----------------------------------------------------------------------------------------------

    def _fill(self, size: int) -> bool:
        """Take at least one more byte into the buffer; False at the end."""
        if self._ended:
            return False
        more = self._text.read(size)
        if not more:
            self._ended = True
            return False
        self._buffer = self._buffer + more if self._buffer else more
        return True

    def _next_event(self) -> tuple[Any, ...]:
        """Feed the parser until something happens; stop exactly behind a tag that opens data."""
        document = self._document
        while not document.events:
            match = _DATA_TAG.search(self._buffer)
            if match is not None:
                self._prefix = match[1] or b""
                self._feed(match.end(), opens_data=True)
                continue
            if self._ended:
                data, self._buffer = self._buffer, b""
                document.feed(data, final=True)
                continue
            # a tag may be cut off at the end of the buffer: keep it back until the rest is here
            last = self._buffer.rfind(b"<", max(0, len(self._buffer) - _HEADER_BLOCK))
            is_whole = last < 0 or self._buffer.find(b">", last) >= 0
            self._feed(len(self._buffer) if is_whole else last)
            if not document.events:
                self._fill(_HEADER_BLOCK)
        event = document.events.pop(0)
        if event[0] == "end":
            self._source.close()
            document.events.append(event)
        return event

    def _feed(self, count: int, *, opens_data: bool = False) -> None:
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        if not data:
            return
        was_open = self._document.open_data
        self._document.feed(data)
        if self._document.open_data and not (opens_data or was_open):
            self._document.refuse("The tag that opens the rows is written in a way that is not supported here")

    def _cut_short(self, what: str, row: int) -> FormatError:
        return FormatError(
            f"The document ends within {what}",
            where=f"{self.name}, byte {self._source.position}, row {row}",
            hint="It may have been cut short.",
        )

    # --- TABLEDATA --------------------------------------------------------------------------------------------------

    def _tabledata(self, table: Table) -> Iterator[list[pa.Array]]:
        row = 1
        for cut in ahead(self._cut_blocks(table)):
            if isinstance(cut, list):
                arrays = cut
            else:
                arrays = [
                    self._column(text, column, row, cut.has_references, cut.has_returns)
                    for column, text in zip(table.columns, cut.cells, strict=True)
                ]
            row += len(arrays[0])
            yield arrays

    def _cut_blocks(self, table: Table) -> Iterator[_Cut | list[pa.Array]]:
        """The rows as text cut out of their markup; as columns where an XML parser had to read them."""
        document = self._document
        row = 1
        size = _HEADER_BLOCK  # the first block is small, so that the first rows are there at once
        while document.open_data == "TABLEDATA":
            block, length = self._plain_block()
            try:
                rows, cells, consumed, ended = cut_rows(block, len(table.columns))
            except Irregular:
                for arrays in self._rows_by_xml(table, row):
                    row += len(arrays[0])
                    yield arrays
                continue
            if consumed:
                self._pass_over(consumed if length is None else length)
            if rows:
                row += rows
                yield _Cut(cells, b"&" in block, b"\r" in block)
            if ended:
                return
            if not rows or len(self._buffer) < size:
                size = min(BLOCK, max(size, len(self._buffer)) * 4)
                if len(self._buffer) > MAX_PIECE:
                    raise FormatError(f"A row is longer than {MAX_PIECE >> 20} MiB", where=f"{self.name}, row {row}")
                # a row longer than a block: twice as much each time, or every byte would be looked at again and again
                if not self._fill(max(size - len(self._buffer), 1 if rows else len(self._buffer), 1)):
                    raise self._cut_short("TABLEDATA", row)

    def _plain_block(self) -> tuple[bytes, int | None]:
        """The buffer as it can be cut. Where tags have a namespace prefix: its whole rows without the prefixes, and
        their length with them. (A literal "<" can only begin markup, but for comments and CDATA, which are not cut.)
        """
        prefix = self._prefix
        if not prefix:
            return self._buffer, None
        end = self._buffer.find(b"</" + prefix + b"TABLEDATA")
        length = end
        if end < 0:
            last = self._buffer.rfind(b"</" + prefix + b"TR")
            length = self._buffer.find(b">", last) + 1 if last >= 0 else 0
        rows = self._buffer[:length].replace(b"<" + prefix, b"<").replace(b"</" + prefix, b"</")
        return rows + (b"</TABLEDATA>" if end >= 0 else b""), length

    def _pass_over(self, consumed: int) -> None:
        self._document.bypassed += consumed
        self._buffer = self._buffer[consumed:]

    def _column(self, text: pa.StringArray, column: Any, row: int, has_references: bool, has_returns: bool) -> pa.Array:
        try:
            if column.is_text:
                wrong = first_not_utf8(text)
                if wrong is not None:
                    raw = text.slice(wrong, 1).cast(pa.binary())[0].as_py() or b""
                    raise CellError(column, raw.decode("utf-8", "replace"), wrong, "not in the document's encoding")
                if has_returns:
                    text = pc.replace_substring(pc.replace_substring(text, "\r\n", "\n"), "\r", "\n")
            if has_references:
                text = unescaped(text, column)
            return column_from_text(text, column)
        except CellError as exc:
            raise exc.at(name=self.name, first_row=row) from None

    def _rows_by_xml(self, table: Table, first_row: int) -> Iterator[list[pa.Array]]:
        """The rows of the rest of this TABLEDATA through the XML parser: slow, but it takes all that is legal."""
        document = self._document
        row = first_row
        while document.open_data == "TABLEDATA":
            if not self._buffer and not self._fill(_HEADER_BLOCK):
                document.feed(b"", final=True)
                raise self._cut_short("TABLEDATA", row)
            # stop behind the closing tag: what follows may open the rows of the next table
            match = _CLOSING_TAG.search(self._buffer)
            end = match.end() if match else len(self._buffer) - _CLOSING_LONGEST
            if end <= 0:
                end = len(self._buffer) if not self._fill(_HEADER_BLOCK) else 0
            self._feed(min(end, _HEADER_BLOCK))
            if len(document.rows) >= _ROWS_BY_XML or document.open_data != "TABLEDATA":
                for arrays in self._collected(table, row):
                    row += len(arrays[0])
                    yield arrays

    def _collected(self, table: Table, first_row: int) -> Iterator[list[pa.Array]]:
        rows, self._document.rows = self._document.rows, []
        if not rows:
            return
        width = len(table.columns)
        if not width:
            self._document.refuse("The table has rows but no FIELD")
        for number, cells in enumerate(rows):
            if len(cells) != width:
                raise FormatError(
                    f"A row has {len(cells)} TD where the table has {width} FIELD",
                    where=f"{self.name}, row {first_row + number}",
                )
        arrays = []
        for column, texts in zip(table.columns, zip(*rows, strict=True), strict=True):
            cells = pa.array([text or None for text in texts], pa.string())
            arrays.append(self._column(cells, column, first_row, False, False))
        yield arrays

    # --- BINARY and BINARY2 -----------------------------------------------------------------------------------------

    def _binary(self, kind: str, attributes: dict[str, str], table: Table) -> Iterator[list[pa.Array]]:
        href = attributes.get("href")
        if href:
            self._document.refuse(
                f"The rows of table {table.name} are kept elsewhere ({href[:80]!r}), and no URL is followed",
                hint="Put the rows into the document itself.",
            )
        if not table.columns:
            self._document.refuse("The table has rows but no FIELD")
        decoder = RowDecoder(table.columns, masked=kind == "BINARY2", name=self.name)
        encoding = (attributes.get("encoding") or "base64").lower()
        if encoding not in ("base64", "gzip", "none", "dynamic"):
            self._document.refuse(f"The STREAM has the encoding {encoding[:40]!r}, which is not VOTable's")
        blocks = self._base64()
        if encoding == "gzip":
            blocks = _gunzipped(blocks, self.name, self._limits)
        row = 1
        rest = b""
        max_rows = 4096
        for block in ahead(blocks):
            data = rest + block if rest else block
            while True:
                rows, consumed, arrays = decoder.decode(data, first_row=row, max_rows=max_rows)
                if not rows:
                    break
                yield arrays
                row += rows
                max_rows = BATCH_ROWS
                data = data[consumed:]
            rest = data
            if len(rest) > MAX_PIECE:
                raise FormatError(f"A row is longer than {MAX_PIECE >> 20} MiB", where=f"{self.name}, row {row}")
        if rest:
            raise FormatError(
                f"{len(rest)} bytes are left over after the last whole row of the {kind} stream",
                where=f"{self.name}, row {row}",
                hint="The data are cut short, or the columns are described wrongly.",
            )

    def _base64(self) -> Iterator[bytes]:
        """The decoded bytes of the STREAM that is open, block by block."""
        rest = b""
        ended = False
        size = _HEADER_BLOCK
        while not ended:
            end = self._buffer.find(b"<")
            if end < 0:
                text, self._buffer = self._buffer, b""
                if not self._fill(size) and not text:
                    raise self._cut_short("STREAM", 0)
                size = BLOCK
            else:
                text, self._buffer = self._buffer[:end], self._buffer[end:]
                ended = True
            start = self._document.bypassed
            self._document.bypassed += len(text)
            if b"&" in text:
                text = _LINE_END_REFERENCE.sub(b"", text)
            # line ends first and fast; other blanks only where there are any
            text = rest + text.replace(b"\n", b"")
            if b" " in text or b"\r" in text or b"\t" in text:
                text = text.translate(None, _BASE64_SPACE)
            usable = len(text) if ended else len(text) & ~3
            if not ended and usable and text.endswith(b"=", 0, usable):
                usable -= 4  # padding must come last: keep it for the end
            text, rest = text[:usable], text[usable:]
            if not text:
                continue
            try:
                yield binascii.a2b_base64(text, strict_mode=True)
            except binascii.Error as exc:
                raise FormatError(
                    f"The STREAM is not base64 ({exc})",
                    where=f"{self.name}, byte {start + _first_not_base64(text)} or near",
                    hint="The data are damaged or cut short.",
                ) from None
        if not self._buffer.startswith(b"</"):
            self._document.refuse("There is markup within a STREAM of base64")


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def _first_not_base64(text: bytes) -> int:
    match = _NOT_BASE64.search(text)
    return match.start() if match else len(text)


def _gunzipped(blocks: Iterator[bytes], name: str, limits: ReadLimits) -> Iterator[bytes]:
    """gzip inside base64, unpacked in pieces of bounded size."""
    unpack = zlib.decompressobj(wbits=31)
    total = 0
    try:
        for block in blocks:
            while block:
                piece = unpack.decompress(block, BLOCK)
                total += len(piece)
                limits.check_bytes(total)
                if piece:
                    yield piece
                block = unpack.unconsumed_tail
                if unpack.eof:
                    break
    except zlib.error as exc:
        raise FormatError(f"The gzipped STREAM is damaged ({exc})", where=name) from None
    if not unpack.eof:
        raise FormatError("The gzipped STREAM is cut short", where=name)


def _note(stream: TableStream, status: Info) -> None:
    """Take over what a QUERY_STATUS says (DALI 1.1, section 4.4)."""
    value = status.value.upper()
    if value == "OVERFLOW":
        stream.overflow = True
    elif value == "ERROR":
        stream.error = status.text or "The service reported an error without a reason"


__all__ = ["open_votable", "tables"]
