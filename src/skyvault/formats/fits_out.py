"""Tables written as FITS binary tables.

The header comes first and holds the number of rows, so the rows are spooled to a temporary file before the first byte
can be given (FITS Standard 4.0, section 7.3). Where the width of text is not known the batches are spooled as Arrow
first and measured. Column descriptions, UCDs, utypes and xtypes go into TCOMM, TUCD, TUTYP and TXTYP, STILTS's
convention.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import element_count, holds_list, is_complex, list_of, plain_schema, shape_of
from skyvault.formats.blocks import begun, sliced
from skyvault.formats.cell_text import list_offsets, timestamp_texts, truths
from skyvault.formats.fits_header import BLOCK, blocks, card
from skyvault.formats.stream import TableStream
from skyvault.formats.tabledata import null_number, string_parts
from skyvault.formats.votable_binary_out import plain_values
from skyvault.model.frames import axes_of
from skyvault.model.table import INTEGRAL, Column, Table

_Array = np.ndarray[Any, Any]

_ROWS = 50_000
_READ = 1 << 20
_LETTERS = {
    "boolean": ("L", "u1"),
    "bit": ("X", "u1"),
    "unsignedByte": ("B", "u1"),
    "short": ("I", ">i2"),
    "int": ("J", ">i4"),
    "long": ("K", ">i8"),
    "float": ("E", ">f4"),
    "double": ("D", ">f8"),
    "floatComplex": ("C", ">f4"),
    "doubleComplex": ("M", ">f8"),
}
_LEAST = {"short": -(1 << 15), "int": -(1 << 31), "long": -(1 << 63)}
#: an instant with microseconds
_INSTANT = 26


@dataclass(slots=True)
class _Field:
    """One column of the file: its letter, its elements in a cell (None: in the heap) and what was met in it."""

    column: Column
    letter: str
    kind: str
    count: int | None
    words: int = 0  # characters a word, for arrays of text
    null: int | None = None
    nulls_seen: bool = False
    longest: int = 0
    replaced: bool = False

    @property
    def form(self) -> str:
        if self.count is None:
            return f"1Q{self.letter}({self.longest})"
        return f"{self.count}{self.letter}"

    @property
    def part(self) -> tuple[str, Any, tuple[int, ...]]:
        if self.count is None:
            return ("", ">i8", (2,))
        if self.letter == "X":
            return ("", "u1", (-(-self.count // 8),))
        return ("", self.kind, (self.count * (2 if self.letter in "CM" else 1),))


def write_fits(
    stream: TableStream,
    *,
    spool: Callable[[], BinaryIO] | None = None,
) -> Iterator[bytes]:
    """The bytes of a FITS file with one binary table.

    ``spool`` opens the temporary files (default: the system's). NULL is TNULL for integers, NaN for floats, blank for
    text. Rows left out are told by OVERFLOW = T. Raises what the batches raise, before the first byte.
    """
    opened = spool or _temporary
    table = stream.table
    batches: Iterable[pa.RecordBatch] = sliced(begun(stream.batches), _ROWS, first=_ROWS)
    with opened() as rows_file, opened() as heap_file:
        if any(_must_be_measured(column) for column in table.columns):
            with opened() as measured_file:
                fields = _measured(table, batches, measured_file)
                measured_file.seek(0)
                count = _spool(pa.ipc.open_stream(measured_file), fields, rows_file, heap_file)
        else:
            fields = [_field(column, None, False) for column in table.columns]
            count = _spool(batches, fields, rows_file, heap_file)
        heap_bytes = heap_file.tell()
        yield _primary()
        yield _header(stream, fields, count, heap_bytes)
        size = rows_file.tell() + heap_bytes
        for file in (rows_file, heap_file):
            file.seek(0)
            while block := file.read(_READ):
                yield block
        if size % BLOCK:
            yield bytes(BLOCK - size % BLOCK)


def _temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def _must_be_measured(column: Column) -> bool:
    """Whether the whole column must be seen before its width or type is known."""
    if column.is_text and not column.is_timestamp:
        return element_count(column.arraysize or "*") is None
    return column.datatype == "unsignedByte" and column.nullable and not holds_list(column) and column.null is None


def _measured(table: Table, batches: Iterable[pa.RecordBatch], file: BinaryIO) -> list[_Field]:
    """Spool the batches as they are and see how wide text is and whether bytes have NULLs."""
    widest = [0] * len(table.columns)
    has_null = [False] * len(table.columns)
    schema = plain_schema(table)
    with pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            for index, (column, array) in enumerate(zip(table.columns, batch.columns, strict=True)):
                has_null[index] = has_null[index] or array.null_count > 0
                if column.is_text and not column.is_timestamp:
                    texts = array.flatten() if pa.types.is_list(array.type) else array
                    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
                    if pa.types.is_list(array.type):
                        longest = pc.max(pc.list_value_length(array)).as_py() or 0
                    widest[index] = max(widest[index], longest)
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return [_field(column, wide, null) for column, wide, null in zip(table.columns, widest, has_null, strict=True)]


def _field(column: Column, widest: int | None, has_null: bool) -> _Field:
    if column.is_text:
        if column.is_array:
            length = shape_of(column.arraysize)[0][0]
            known = element_count(column.arraysize)
            return _Field(column, "A", "u1", known if known is not None else length * (widest or 1), words=length)
        if column.is_timestamp:
            return _Field(column, "A", "u1", _INSTANT)
        known = element_count(column.arraysize or "*")
        return _Field(column, "A", "u1", max(1, known if known is not None else widest or 1))
    if column.datatype == "unsignedByte" and has_null and not holds_list(column):
        column = replace(column, datatype="short")
    letter, kind = _LETTERS[column.datatype]
    if letter == "X" and element_count(column.arraysize) is None:
        letter = "L"  # astropy takes no bits in the heap
    null = None
    if column.datatype in INTEGRAL:
        told = null_number(column)
        null = int(told) if told is not None else _LEAST.get(column.datatype)
    return _Field(column, letter, kind, element_count(column.arraysize), null=null)


def _spool(batches: Iterable[pa.RecordBatch], fields: list[_Field], rows_file: BinaryIO, heap_file: BinaryIO) -> int:
    """Write the records (and the heap); the number of rows."""
    record = np.dtype([(f"c{index}", *field.part[1:]) for index, field in enumerate(fields)])
    count = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        rows = np.zeros(batch.num_rows, record)
        for index, (field, array) in enumerate(zip(fields, batch.columns, strict=True)):
            if field.count is None:
                rows[f"c{index}"] = _into_heap(field, array, heap_file)
            else:
                values = _cells(field, array)
                target = rows[f"c{index}"]
                target[...] = values.reshape(target.shape)
        rows_file.write(rows.view(np.uint8).data)
        count += batch.num_rows
    return count


def _cells(field: _Field, array: pa.Array) -> _Array:
    """The values of cells of one length."""
    column = field.column
    if column.is_text:
        return _text_cells(field, array)
    if not pa.types.is_list(array.type):
        return _elements(field, array) if field.letter != "X" else _elements(field, array) << np.uint8(7)
    count = field.count or 0
    parts = count * (2 if is_complex(column) else 1)
    offsets = list_offsets(array)
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    wrong = (np.diff(offsets) != parts) & ~is_null
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise FormatError(
            f"Column {column.name} has a cell of {int(np.diff(offsets)[index])} numbers where its arraysize "
            f"{column.arraysize} asks for {parts}"
        )
    flat = _elements(field, array.flatten())
    if is_null.any():
        field.nulls_seen = field.nulls_seen or field.null is not None
        filler: Any = np.nan if flat.dtype.kind == "f" else field.null or 0
        values = np.full((len(array), parts), filler, flat.dtype)
        values[~is_null] = flat.reshape(-1, parts)
    else:
        values = flat.reshape(len(array), parts)
    if field.letter == "X":
        return np.packbits(values.astype(bool), axis=1)
    return values


def _elements(field: _Field, array: pa.Array) -> _Array:
    """Numbers, logicals (T, F, or 0 where NULL) or bits."""
    is_null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if field.letter in "LX":
        values = truths(array)
        if field.letter == "X":
            return values
        letters = np.where(values, np.uint8(ord("T")), np.uint8(ord("F")))
        return letters if is_null is None else np.where(is_null, np.uint8(0), letters)
    numbers = plain_values(array)
    wanted = np.dtype(field.kind).newbyteorder("=")
    if numbers.dtype != wanted:
        numbers = numbers.astype(wanted)
    if is_null is None:
        return numbers
    if numbers.dtype.kind == "f":
        return np.where(is_null, np.array(np.nan, numbers.dtype), numbers)
    field.nulls_seen = True
    if field.null is None:
        raise FormatError(f"Column {field.column.name} has a NULL byte, for which FITS has no value left")
    return np.where(is_null, np.array(field.null, numbers.dtype), numbers)


def _text_cells(field: _Field, array: pa.Array) -> _Array:
    if pa.types.is_timestamp(array.type):
        array = timestamp_texts(array)
    if pa.types.is_list(array.type):
        words = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(array.flatten(), ""), field.words), 0, field.words)
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        array = pc.binary_join(list_of(list_offsets(array), _ascii(field, words), is_null), "")
    texts = _ascii(field, pc.fill_null(array, ""))
    offsets, data = string_parts(texts)
    lengths = np.diff(offsets)
    width = field.count or 0
    if len(lengths) and int(lengths.max()) > width:
        index = int(lengths.argmax())
        raise FormatError(
            f"Column {field.column.name} has text longer than its arraysize {field.column.arraysize}: "
            f"{str(texts[index].as_py())[:40]!r}"
        )
    values = np.full((len(texts), width), ord(" "), np.uint8)
    values[np.arange(width) < lengths[:, None]] = data
    return values


def _ascii(field: _Field, texts: pa.StringArray) -> pa.StringArray:
    """FITS text is ASCII (FITS 4.0, section 7.3.3.1): other characters become "?"."""
    _, data = string_parts(texts)
    if not ((data >= 0x7F) | (data < 0x20)).any():
        return texts
    field.replaced = True
    return pc.replace_substring_regex(texts, "[^ -~]", "?")


def _into_heap(field: _Field, array: pa.Array, heap_file: BinaryIO) -> _Array:
    """Write arrays of variable length; the descriptors (length, place), of shape (rows, 2)."""
    column = field.column
    offsets = list_offsets(array)
    start = heap_file.tell()
    lengths = np.diff(offsets) // (2 if is_complex(column) else 1)
    flat = _elements(field, array.flatten())
    if field.letter == "X":
        sizes = -(-lengths // 8)
        ends = np.cumsum(sizes)
        spread = np.zeros(int(ends[-1]) * 8 if len(ends) else 0, np.uint8)
        within = np.arange(len(flat)) - np.repeat(offsets[:-1], lengths)
        spread[np.repeat((ends - sizes) * 8, lengths) + within] = flat
        heap_file.write(np.packbits(spread).data)
        places = start + ends - sizes
    else:
        stored = flat.astype(field.kind)
        heap_file.write(stored.view(np.uint8).data)
        places = start + offsets[:-1] * stored.dtype.itemsize
    if len(lengths):
        field.longest = max(field.longest, int(lengths.max()))
    return np.stack([lengths, np.where(lengths > 0, places, 0)], axis=1)


def _primary() -> bytes:
    return blocks([card("SIMPLE", True), card("BITPIX", 8), card("NAXIS", 0), card("EXTEND", True)])


def _header(stream: TableStream, fields: list[_Field], rows: int, heap_bytes: int) -> bytes:
    table = stream.table
    width = np.dtype([(f"c{index}", *field.part[1:]) for index, field in enumerate(fields)]).itemsize
    cards = [
        card("XTENSION", "BINTABLE", "binary table"),
        card("BITPIX", 8),
        card("NAXIS", 2),
        card("NAXIS1", width, "bytes in a row"),
        card("NAXIS2", rows, "rows"),
        card("PCOUNT", heap_bytes, "bytes of the heap"),
        card("GCOUNT", 1),
        card("TFIELDS", len(fields), "columns"),
        card("EXTNAME", table.name),
    ]
    if table.frames:
        cards.append(card("RADESYS", table.frames[0].system))
    for number, field in enumerate(fields, start=1):
        column = field.column
        cards.append(card(f"TTYPE{number}", column.name))
        cards.append(card(f"TFORM{number}", field.form))
        if field.nulls_seen and field.null is not None:
            cards.append(card(f"TNULL{number}", field.null))
        dims = shape_of(column.arraysize)
        if field.words and field.count:
            cards.append(card(f"TDIM{number}", f"({field.words},{field.count // field.words})"))
        elif len(dims[0]) > 1 and not dims[1]:
            cards.append(card(f"TDIM{number}", "(" + ",".join(map(str, dims[0])) + ")"))
        for keyword, value in (
            ("TUNIT", column.unit),
            ("TUCD", column.ucd),
            ("TUTYP", column.utype),
            ("TXTYP", column.xtype),
            ("TCOMM", column.description),
        ):
            if value:
                cards.append(card(f"{keyword}{number}", value))
    for info in (*stream.infos, *table.infos):
        cards.append(card("HISTORY", None, f" {info.name}: {info.value}"))
    for identifier, axis in axes_of(table).items():
        names = ", ".join(column.name for column in table.columns if column.ref == identifier)
        cards.append(card("COMMENT", None, f" {axis.name} ({axis.unit or 'no unit'}) of {names}: {axis.value}"))
    if table.description:
        cards.append(card("COMMENT", None, f" {table.description}"))
    if any(field.replaced for field in fields):
        cards.append(card("COMMENT", None, " Characters outside of ASCII are shown as ?"))
    if stream.overflow:
        cards.append(card("OVERFLOW", True, "the row limit was reached; there are more rows"))
    if stream.error:
        cards.append(card("QERROR", stream.error))
    return blocks(cards)
