"""Plain text tables, CSV and TSV: read with the types found in the whole file, written row by row.

CSV is RFC 4180 with a header line (``text/csv;header=present``): an empty field is NULL, ``""`` is empty text. TSV has
no tabs or line ends in its values (TAP 1.1, section 2.7.3). Neither can tell that rows were left out.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skyvault.errors import FormatError
from skyvault.formats.arrow import conform, plain_schema
from skyvault.formats.blocks import begun, formatted, sliced
from skyvault.formats.cell_text import cell_texts, join_rows
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream
from skyvault.formats.tabledata import BLANK_WORDS, string_parts
from skyvault.model.table import Column, Datatype, Info, Table

_ROWS = 20_000
#: what types are guessed from, and the longest row
_BLOCK = 8 << 20
#: Arrow's reader runs up to 32 blocks ahead of whoever listens, so these say how much memory a file takes
_PIECE = 2 << 20
_DATATYPE: dict[pa.DataType, tuple[Datatype, str | None, str | None]] = {
    pa.bool_(): ("boolean", None, None),
    pa.int64(): ("long", None, None),
    pa.float64(): ("double", None, None),
    pa.timestamp("us"): ("char", "*", "timestamp"),
    pa.string(): ("char", "*", None),
}


# --- writing --------------------------------------------------------------------------------------------------------


def write_csv(stream: TableStream, *, delimiter: str = ",", threads: int = 2) -> Iterator[bytes]:
    """The bytes of a CSV file with a header line, block by block."""
    table = stream.table
    batches = begun(stream.batches)
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow(table.column_names)
    yield line.getvalue().encode()

    # a line of nothing would be passed over by readers, so a column alone says "" for NULL
    null = '""' if len(table.columns) == 1 else ""

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        cells: list[Any] = []
        for column, array in zip(table.columns, batch.columns, strict=True):
            texts = cell_texts(array, column)
            if column.is_text or delimiter != ",":
                texts = quoted_fields(texts, delimiter)
            cells.append(pc.fill_null(texts, null) if texts.null_count else texts)
        return join_rows(cells, "", delimiter, "\r\n") if cells else pa.py_buffer(b"")

    for block in formatted(sliced(batches, _ROWS), work, threads=threads):
        yield bytes(block)


def quoted_fields(texts: pa.StringArray, delimiter: str) -> pa.StringArray:
    """Fields in quotes where RFC 4180 asks for it, and empty text, so that it differs from NULL."""
    offsets, data = string_parts(texts)
    is_odd = (data == 34) | (data == 10) | (data == 13) | (data == 32) | (data == ord(delimiter))
    if not is_odd.any() and bool((offsets[1:] > offsets[:-1]).all()):
        return texts
    needs = pc.match_substring_regex(texts, f'^$|["\r\n{re.escape(delimiter)}]|^ | $')
    if not pc.any(needs).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def write_tsv(stream: TableStream, *, threads: int = 2) -> Iterator[bytes]:
    """The bytes of a tab-separated file with a header line; tabs and line ends in text become blanks."""
    table = stream.table
    batches = begun(stream.batches)
    yield ("\t".join(_unbroken(name) for name in table.column_names) + "\n").encode()

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        cells: list[Any] = []
        for column, array in zip(table.columns, batch.columns, strict=True):
            texts = cell_texts(array, column)
            if column.is_text and bool((string_parts(texts)[1] < 32).any()):
                texts = pc.replace_substring_regex(texts, "[\t\r\n]", " ")
            cells.append(pc.fill_null(texts, "") if texts.null_count else texts)
        return join_rows(cells, "", "\t", "\n") if cells else pa.py_buffer(b"")

    for block in formatted(sliced(batches, _ROWS), work, threads=threads):
        yield bytes(block)


def _unbroken(text: str) -> str:
    return re.sub(r"[\t\r\n]", " ", text)


# --- reading --------------------------------------------------------------------------------------------------------


def open_flat(
    source: TableSource | ByteSource,
    *,
    delimiter: str | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> TableStream:
    """A CSV or TSV file as a stream; ``delimiter`` None finds it among comma, tab, semicolon and bar.

    The file is gone through twice: once for the types (boolean, long, double, timestamp, text), once for the rows.
    Lines beginning with ``#`` before the table are taken as remarks, the last of them as the header if the table has
    none. Raises FormatError naming the row for rows of a wrong length or text that is not UTF-8.
    """
    origin = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
    file = origin.spooled()
    try:
        layout = _Layout(file, origin.name, delimiter)
        limits.check_columns(len(layout.names))
        types = _types(file, layout, limits)
    except BaseException:
        file.close()
        raise
    columns = tuple(_column(name, kind) for name, kind in zip(layout.names, types, strict=True))
    table = Table(name=_stem(origin.name), columns=columns, infos=layout.remarks)
    return TableStream(table=table, batches=_rows(file, layout, types, table, limits))


def _stem(name: str) -> str:
    stem = name
    for suffix in (".gz", ".bz2", ".xz", ".csv", ".tsv", ".txt", ".dat"):
        stem = stem.removesuffix(suffix)
    return stem or name


def _column(name: str, kind: pa.DataType) -> Column:
    datatype, arraysize, xtype = _DATATYPE[kind]
    return Column(name=name, datatype=datatype, arraysize=arraysize, xtype=xtype)


class _Layout:
    """Where the rows begin, what separates their fields and what the columns are called."""

    def __init__(self, file: BinaryIO, name: str, delimiter: str | None) -> None:
        self.file_name = name
        head = file.read(1 << 20)
        if b"\x00" in head[:4096]:
            raise FormatError("This is no text file", where=name, hint="CSV must be UTF-8 text.")
        skipped = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        comments: list[str] = []
        line_end = b"\n" if b"\n" in head else b"\r"
        while True:
            end = head.find(line_end, skipped)
            line = head[skipped:] if end < 0 else head[skipped : end + 1]
            stripped = line.strip()
            if stripped and not stripped.startswith(b"#"):
                break
            if end < 0:
                raise FormatError("The file holds no table", where=name)
            if stripped:
                comments.append(stripped.lstrip(b"#").strip().decode("utf-8", "replace"))
            skipped = end + 1
        sample = head[skipped:].decode("utf-8", "replace")
        self.delimiter = delimiter or _delimiter(sample)
        first = first_cells(sample, self.delimiter, name)
        self.start = skipped
        self.block = _PIECE
        self.has_header = not all(_is_number(cell) for cell in first)
        names = [cell.strip() for cell in first]
        self.remarks: tuple[Info, ...] = ()
        if not self.has_header:
            names = [f"col{index}" for index in range(1, len(first) + 1)]
            told = first_cells(comments[-1], self.delimiter, name) if comments else []
            if len(told) == len(names):
                names = [cell.strip() for cell in told]
                comments.pop()
        elif names and names[0].startswith("#"):
            names[0] = names[0].lstrip("# ")
        self.remarks = tuple(Info("comment", text) for text in comments)
        self.names = _distinct(names)

    def lines_before(self) -> int:
        return 1 if self.has_header else 0


def first_cells(text: str, delimiter: str, name: str) -> list[str]:
    """The cells of the first line."""
    try:
        return next(csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), delimiter=delimiter), [])
    except csv.Error as exc:
        raise FormatError(f"The first line cannot be read ({exc})", where=f"{name}, line 1") from None


def _delimiter(sample: str) -> str:
    lines = sample.splitlines()[:20]
    header = lines[0] if lines else ""
    counts = {mark: header.count(mark) for mark in ",\t;|"}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell.strip()
    return True


def _distinct(names: list[str]) -> list[str]:
    """Every column a name, and each once."""
    seen: dict[str, int] = {}
    result = []
    for index, name in enumerate(names, start=1):
        name = name or f"col{index}"
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


class _Apart(io.RawIOBase):
    """The same file read from a place of its own: Arrow's readers read ahead in a thread, even when given up."""

    def __init__(self, file: BinaryIO, position: int) -> None:
        self._descriptor = file.fileno()
        self._position = position

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            size = 1 << 30
        data = os.pread(self._descriptor, size, self._position)
        self._position += len(data)
        return data


def _reader(
    file: BinaryIO, layout: _Layout, types: dict[str, pa.DataType], *, threads: bool = True, block: int | None = None
) -> Any:
    return pacsv.open_csv(
        pa.PythonFile(_Apart(file, layout.start), mode="r"),
        read_options=pacsv.ReadOptions(
            block_size=block or layout.block,
            column_names=layout.names,
            skip_rows=layout.lines_before(),
            use_threads=threads,
        ),
        parse_options=pacsv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            timestamp_parsers=[pacsv.ISO8601],
        ),
    )


def _types(file: BinaryIO, layout: _Layout, limits: ReadLimits) -> list[pa.DataType]:
    """The narrowest type each column has throughout the file."""
    try:
        guessed = [_canonical(field.type) for field in _reader(file, layout, {}, block=_BLOCK).schema]
    except StopIteration:
        return [pa.string()] * len(layout.names)
    except pa.ArrowInvalid as exc:
        _refuse(exc, file, layout)
    # Text may turn out to be numbers with words for NULL between; numbers may turn out to be text further down, which
    # Arrow's reader tells by giving up: then every column is looked at as text.
    for first_look in (guessed, [pa.string()] * len(guessed)):
        try:
            return _confirmed(file, layout, first_look, limits)
        except pa.ArrowInvalid as exc:
            if "straddling" in str(exc) and layout.block < _BLOCK:
                # a row longer than a piece: slower and larger, but read
                layout.block = _BLOCK
                return _types(file, layout, limits)
            if first_look is not guessed or "conversion error" not in str(exc) or "UTF8" in str(exc):
                _refuse(exc, file, layout)
    raise AssertionError("the second look either returns or refuses")


def _confirmed(file: BinaryIO, layout: _Layout, guessed: list[pa.DataType], limits: ReadLimits) -> list[pa.DataType]:
    """The types after a look at every row; raises ArrowInvalid where a guess is too narrow."""
    candidates: list[pa.DataType | None] = [None if kind == pa.string() else kind for kind in guessed]
    rows = 0
    for batch in _reader(file, layout, dict(zip(layout.names, guessed, strict=True))):
        rows += batch.num_rows
        limits.check_rows(rows)
        for index, cells in enumerate(batch.columns):
            if guessed[index] == pa.string():
                candidates[index] = _widened(candidates[index], cells)
    return [kind or pa.string() for kind in candidates]


_LADDER = (pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us"), pa.string())


def _canonical(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_boolean(kind):
        return kind
    if types.is_timestamp(kind) and kind.tz is None:
        return pa.timestamp("us")
    return pa.string()


def _widened(candidate: pa.DataType | None, cells: pa.StringArray) -> pa.DataType | None:
    if cells.null_count == len(cells) or candidate == pa.string():
        return candidate
    start = _LADDER.index(candidate) if candidate is not None else 0
    for kind in _LADDER[start:]:
        if candidate is not None and kind != candidate and not (candidate == pa.int64() and kind == pa.float64()):
            continue  # numbers widen to doubles; anything else that does not fit is text
        try:
            _converted(cells, kind)
        except pa.ArrowInvalid:
            continue
        return kind
    return pa.string()


def _converted(cells: pa.StringArray, kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        return cells
    trimmed = pc.utf8_trim(cells, " \t")
    blank = pc.fill_null(pc.is_in(trimmed, BLANK_WORDS), False)
    if pc.any(blank).as_py():
        trimmed = pc.if_else(blank, pa.scalar(None, pa.string()), trimmed)
    return trimmed.cast(kind)


def _rows(
    file: BinaryIO, layout: _Layout, types: list[pa.DataType], table: Table, limits: ReadLimits
) -> Iterator[pa.RecordBatch]:
    schema = plain_schema(table)
    # Boolean, text and instants go straight; numbers with words for NULL among them come as text first.
    wanted = dict(zip(layout.names, types, strict=True))
    rows = 0
    with file:
        for attempt in (wanted, {name: pa.string() for name in layout.names}):
            try:
                for batch in _reader(file, layout, attempt):
                    arrays = []
                    for array, kind, column in zip(batch.columns, types, table.columns, strict=True):
                        arrays.append(conform(array if array.type == kind else _converted(array, kind), column))
                    rows += batch.num_rows
                    limits.check_rows(rows)
                    if batch.num_rows:
                        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
                return
            except pa.ArrowInvalid as exc:
                if rows or "conversion error" not in str(exc) or attempt is not wanted:
                    _refuse(exc, file, layout)


_ROW = re.compile(r"[Rr]ow #(\d+)")


def _refuse(exc: pa.ArrowInvalid, file: BinaryIO, layout: _Layout) -> NoReturn:
    """Arrow's complaint as ours: what, and in which row (which only its reader without threads knows)."""
    text = str(exc).splitlines()[0]
    try:
        for _ in _reader(file, layout, dict.fromkeys(layout.names, pa.string()), threads=False):
            pass
    except pa.ArrowInvalid as again:
        text = str(again).splitlines()[0]
    row = _ROW.search(text)
    where = f"{layout.file_name}, row {int(row[1]) - layout.lines_before()}" if row else layout.file_name
    expected = re.search(r"Expected (\d+) columns, got (\d+)", text)
    if expected:
        raise FormatError(f"A row has {expected[2]} fields where the header has {expected[1]}", where=where) from None
    if "UTF8" in text or "UTF-8" in text:
        raise FormatError("The text is not UTF-8", where=where, hint="Save the file as UTF-8.") from None
    if "Empty CSV" in text:
        raise FormatError("The file holds no table", where=layout.file_name) from None
    text = re.sub(r"^(CSV parse error|In CSV column #\d+): ", "", text)
    raise FormatError(f"The rows cannot be read ({text[:200]})", where=where) from None
