"""Tables in FITS files: binary and ASCII table extensions, read row block by row block.

FITS Standard 4.0, sections 7.2 (ASCII tables) and 7.3 (binary tables): scaled columns, NULL values, logicals, bits,
strings, complex numbers, fixed arrays and arrays of variable length in the heap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import FormatError
from skyvault.formats.arrow import MAX_ELEMENTS, array_of, holds_list, list_of, plain_schema, scalar_type
from skyvault.formats.characters import strings_of
from skyvault.formats.fits_header import Header, read_header
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, CoordinateFrame, Datatype, Info, Table

_Array = np.ndarray[Any, Any]

_BLOCK_BYTES = 8 << 20

#: TFORM letter -> (VOTable datatype, big-endian numpy type); FITS 4.0, table 18
_LETTERS: dict[str, tuple[Datatype, str]] = {
    "L": ("boolean", "u1"),
    "X": ("bit", "u1"),
    "B": ("unsignedByte", "u1"),
    "I": ("short", ">i2"),
    "J": ("int", ">i4"),
    "K": ("long", ">i8"),
    "A": ("char", "u1"),
    "E": ("float", ">f4"),
    "D": ("double", ">f8"),
    "C": ("floatComplex", ">f4"),
    "M": ("doubleComplex", ">f8"),
}
#: TZERO values that turn signed integers into unsigned ones and back, and the type that holds the result
_UNSIGNED: dict[tuple[str, float], Datatype] = {
    ("B", -128.0): "short",
    ("I", 32768.0): "int",
    ("J", 2147483648.0): "long",
    ("K", 9223372036854775808.0): "long",
}
_TFORM = re.compile(r"\s*(\d*)\s*([LXBIJKAEDCMPQ])(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\s*([LXBIJKAEDCM])")
_ASCII_FORM = re.compile(r"\s*([AIFED])(\d+)(?:\.(\d+))?\s*")

#: cards that describe the columns or the file's structure; all others are kept as remarks
_STRUCTURAL = re.compile(
    r"(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|EXTNAME|END|CHECKSUM|DATASUM|"
    r"(TTYPE|TFORM|TUNIT|TNULL|TSCAL|TZERO|TDISP|TDIM|TBCOL|TUCD|TCOMM|TUTYP|TXTYP|TDESC|TLMIN|TLMAX|TDMIN|TDMAX)\d+)"
)


@dataclass(frozen=True, slots=True)
class _Field:
    """Where a column lies in a row and how its bytes become values."""

    column: Column
    letter: str
    offset: int
    count: int
    width: int
    variable: str = ""  # the letter of the elements, for an array in the heap
    scale: float = 1.0
    zero: float = 0.0
    null: int | None = None
    blank: str | None = None  # TNULL of an ASCII table


def open_fits(
    source: TableSource | ByteSource,
    *,
    hdu: int | str | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
    name: str | None = None,
) -> TableStream:
    """The first table extension of a FITS file, or the one of this number (primary = 0) or EXTNAME, as a stream.

    Compressed files are unpacked to a temporary file. Raises FormatError where there is no (such) table, or the
    header, a format or the length of the file is wrong.
    """
    origin = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
    file = origin.spooled()
    try:
        header, start = _find(file, hdu, origin.name)
        fields = _fields(header, origin.name)
        limits.check_columns(len(fields))
        rows = header.whole("NAXIS2", 0)
        limits.check_rows(rows)
        _check_length(file, header, start, rows, origin.name)
        table = _table(header, fields, rows, origin.name)
    except BaseException:
        file.close()
        raise
    return TableStream(table=table, batches=_rows(file, header, start, fields, table, origin.name))


def _find(file: BinaryIO, hdu: int | str | None, name: str) -> tuple[Header, int]:
    """The header of the table that is asked for, and where its data begin."""
    position = 0
    number = 0
    seen: list[str] = []
    while True:
        file.seek(position)
        header = read_header(file, name=name, first=number == 0)
        if header is None:
            break
        start = file.tell()
        kind = header.text("XTENSION", "").strip().upper()
        extname = header.text("EXTNAME", "").strip()
        is_table = kind in ("BINTABLE", "TABLE", "A3DTABLE")
        is_image = header.flag("ZIMAGE")
        wanted = number == hdu or (isinstance(hdu, str) and extname.upper() == hdu.upper())
        if hdu is None:
            wanted = is_table and not is_image
        if wanted:
            if not is_table:
                raise FormatError(
                    f"HDU {hdu} holds no table but {kind or 'the primary data'}", where=name, hint=_listing(seen)
                )
            if is_image:
                raise FormatError(f"HDU {number} is a compressed image, not a table", where=name)
            if header.flag("ZTABLE"):
                raise FormatError(
                    f"HDU {number} is a compressed table, which is not read here",
                    where=name,
                    hint="Unpack it with funpack.",
                )
            return header, start
        if is_table:
            seen.append(f"{number} {extname}".strip())
        position = start + header.data_bytes()
        number += 1
        if number > 10_000:
            break
    if hdu is None:
        raise FormatError("The FITS file holds no table", where=name)
    raise FormatError(f"There is no HDU {hdu!r} in the FITS file", where=name, hint=_listing(seen))


def _listing(tables: list[str]) -> str | None:
    return f"Its tables are {', '.join(tables[:10])}." if tables else None


def _fields(header: Header, name: str) -> list[_Field]:
    count = header.whole("TFIELDS", 0)
    if not 0 <= count <= 100_000:
        raise FormatError(f"TFIELDS is {count}", where=name)
    ascii_table = header.text("XTENSION", "").strip().upper() == "TABLE"
    fields: list[_Field] = []
    offset = 0
    for index in range(1, count + 1):
        field = _ascii_field(header, index, name) if ascii_table else _binary_field(header, index, offset, name)
        offset += field.width
        if field.count or field.variable or field.letter == "A":
            fields.append(field)
    width = header.whole("NAXIS1", 0)
    end = max((field.offset + field.width for field in fields), default=0) if ascii_table else offset
    if end > width:
        raise FormatError(
            f"The columns take {end} bytes where a row has {width}", where=name, hint="TFORM and NAXIS1 disagree."
        )
    return fields


def _described(header: Header, index: int, datatype: Datatype, arraysize: str | None) -> Column:
    """What the header says of a column; TUCD, TUTYP, TXTYP and TCOMM are STILTS's convention."""
    column_name = header.text(f"TTYPE{index}", "").strip() or f"col{index}"
    least, most = header.value(f"TLMIN{index}"), header.value(f"TLMAX{index}")
    description = header.text(f"TCOMM{index}", "") or header.text(f"TDESC{index}", "")
    return Column(
        name=column_name,
        datatype=datatype,
        arraysize=arraysize,
        unit=header.text(f"TUNIT{index}", "").strip() or None,
        ucd=header.text(f"TUCD{index}", "").strip() or None,
        utype=header.text(f"TUTYP{index}", "").strip() or None,
        xtype=header.text(f"TXTYP{index}", "").strip() or None,
        description=description.strip() or header.comment(f"TTYPE{index}") or None,
        minimum=None if least is None else str(least),
        maximum=None if most is None else str(most),
    )


def _binary_field(header: Header, index: int, offset: int, name: str) -> _Field:
    form = header.text(f"TFORM{index}", "")
    match = _TFORM.fullmatch(form)
    if match is None:
        raise FormatError(f"TFORM{index} is {form!r}, which is no format of a binary table", where=name)
    count = int(match[1]) if match[1] else 1
    letter = match[2]
    if count > MAX_ELEMENTS:
        raise FormatError(f"TFORM{index} is {form!r}: a cell of so many elements is not taken", where=name)
    variable = ""
    if letter in "PQ":
        inner = _VARIABLE.match(match[3])
        if inner is None or count > 1:
            raise FormatError(f"TFORM{index} is {form!r}, which is no format of a binary table", where=name)
        variable = inner[1]
        width = count * (8 if letter == "P" else 16)
    elif letter == "X":
        width = -(-count // 8)
    else:
        each = np.dtype(_LETTERS[letter][1]).itemsize * (2 if letter in "CM" else 1)
        width = count * each
    element = variable or letter
    scale = header.number(f"TSCAL{index}", 1.0)
    zero = header.number(f"TZERO{index}", 0.0)
    null = header.value(f"TNULL{index}")
    datatype: Datatype = _LETTERS[element][0]
    if element in "BIJK" and (scale, zero) != (1.0, 0.0):
        datatype = _UNSIGNED.get((element, zero), "double") if scale == 1.0 else "double"
    elif element in "ED" and (scale, zero) != (1.0, 0.0):
        datatype = "double"
    column = _described(header, index, datatype, _arraysize(header, index, element, count, bool(variable), match[3]))
    return _Field(column, letter, offset, count, width, variable, scale, zero, null if isinstance(null, int) else None)


def _arraysize(header: Header, index: int, letter: str, count: int, variable: bool, rest: str) -> str | None:
    """VOTable's arraysize from the repeat count and TDIM (FITS 4.0, section 7.3.2)."""
    if variable:
        return "*"
    dims = header.text(f"TDIM{index}", "").strip()
    sizes = [int(part) for part in re.findall(r"\d+", dims)] if re.fullmatch(r"\([\d\s,]+\)", dims) else []
    product = 1
    for size in sizes:
        product *= size
    if len(sizes) > 1 and 0 < product <= count and (letter == "A" or product == count):
        return "x".join(map(str, sizes))
    if letter == "A":
        substring = re.match(r":SSTR(\d+)", rest.strip())
        if substring and 0 < int(substring[1]) < count:
            return f"{substring[1]}x*"
        return str(count) if count != 1 else "1"
    return None if count == 1 else str(count)


def _ascii_field(header: Header, index: int, name: str) -> _Field:
    form = header.text(f"TFORM{index}", "")
    match = _ASCII_FORM.fullmatch(form)
    start = header.whole(f"TBCOL{index}", 0)
    if match is None or start < 1:
        raise FormatError(f"TFORM{index} {form!r} or TBCOL{index} {start} is not of an ASCII table", where=name)
    letter, width = match[1], int(match[2])
    scale = header.number(f"TSCAL{index}", 1.0)
    zero = header.number(f"TZERO{index}", 0.0)
    datatype: Datatype
    if letter == "A":
        datatype = "char"
    elif letter == "I" and (scale, zero) == (1.0, 0.0):
        datatype = "int" if width < 10 else "long"
    else:
        datatype = "float" if letter == "E" and width < 14 and (scale, zero) == (1.0, 0.0) else "double"
    column = _described(header, index, datatype, str(width) if letter == "A" else None)
    blank = header.value(f"TNULL{index}")
    return _Field(column, letter, start - 1, 1, width, "", scale, zero, None, None if blank is None else str(blank))


def _check_length(file: BinaryIO, header: Header, start: int, rows: int, name: str) -> None:
    file.seek(0, 2)
    size = file.tell()
    width = header.whole("NAXIS1", 0)
    if start + rows * width > size:
        whole = max(0, (size - start) // width) if width else 0
        raise FormatError(
            f"The header promises {rows} rows, the file ends within row {whole + 1}",
            where=f"{name}, byte {size}",
            hint="It was cut short; fetch it again.",
        )


def _table(header: Header, fields: list[_Field], rows: int, name: str) -> Table:
    infos = [
        Info(card.keyword, str(card.value), card.comment or None)
        for card in header.cards
        if card.value is not None and not _STRUCTURAL.fullmatch(card.keyword)
    ]
    notes = [card.comment for card in header.cards if card.keyword == "COMMENT" and card.comment]
    if "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--" in notes:
        # astropy's own notes on columns, for itself; no words about the table
        notes = notes[: notes.index("--BEGIN-ASTROPY-SERIALIZED-COLUMNS--")]
    frame = header.text("RADESYS", "").strip() or header.text("RADECSYS", "").strip()
    frames: tuple[CoordinateFrame, ...] = ()
    if frame:
        equinox = header.value("EQUINOX")
        frames = (CoordinateFrame(id="frame", system=frame, equinox=None if equinox is None else f"J{equinox}"),)
    stem = name
    for suffix in (".gz", ".bz2", ".xz", ".fits", ".fit", ".fts"):
        stem = stem.removesuffix(suffix) or stem
    return Table(
        name=header.text("EXTNAME", "").strip() or stem,
        columns=tuple(field.column for field in fields),
        description=" ".join(notes).strip() or None,
        nrows=rows,
        infos=tuple(infos[:500]),
        frames=frames,
    )


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows(
    file: BinaryIO, header: Header, start: int, fields: list[_Field], table: Table, name: str
) -> Iterator[pa.RecordBatch]:
    width = header.whole("NAXIS1", 0)
    total = header.whole("NAXIS2", 0)
    is_ascii = header.text("XTENSION", "").strip().upper() == "TABLE"
    heap_start = start + header.whole("THEAP", width * total)
    heap_bytes = header.whole("PCOUNT", 0) - (header.whole("THEAP", width * total) - width * total)
    heap = _Heap(file, heap_start, max(0, heap_bytes), name)
    schema = plain_schema(table)
    step = max(1, min(65_536, _BLOCK_BYTES // max(width, 1)))
    done = 0
    with file:
        while done < total and width:
            count = min(step, total - done)
            file.seek(start + done * width)
            data = file.read(count * width)
            if len(data) < count * width:
                raise FormatError("The file ends before its rows do", where=f"{name}, row {done + 1}")
            rows = np.frombuffer(data, np.uint8).reshape(count, width)
            try:
                if is_ascii:
                    arrays = [_ascii_column(field, rows) for field in fields]
                else:
                    arrays = [_binary_column(field, rows, heap) for field in fields]
            except _RowError as exc:
                raise FormatError(exc.what, where=f"{name}, row {done + 1 + exc.index}") from None
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            done += count


class _RowError(Exception):
    """A cell that cannot be read; ``index`` counts from 0 in the block."""

    def __init__(self, what: str, index: int) -> None:
        super().__init__(what)
        self.what = what
        self.index = index


def _refuse(what: str, wrong: _Array) -> NoReturn:
    raise _RowError(what, int(np.flatnonzero(wrong)[0]))


def _binary_column(field: _Field, rows: _Array, heap: _Heap) -> pa.Array:
    piece = rows[:, field.offset : field.offset + field.width]
    count = len(rows)
    column = field.column
    if field.variable:
        return _heap_column(field, piece, heap)
    if field.letter == "A":
        if column.is_array:
            return _word_column(column, piece)
        return _text_column(piece)
    if field.letter == "X":
        bits = np.unpackbits(np.ascontiguousarray(piece), axis=1)[:, : field.count]
        if not holds_list(column):
            return array_of(bits[:, 0].astype(bool), pa.bool_())
        return list_of(np.arange(count + 1) * field.count, array_of(bits.ravel().astype(bool), pa.bool_()))
    flat = np.ascontiguousarray(piece).ravel().view(_LETTERS[field.letter][1])
    values = _values(field, field.letter, flat)
    per_row = field.count * (2 if field.letter in "CM" else 1)
    if not holds_list(column):
        return values
    return list_of(np.arange(count + 1) * per_row, values)


def _values(field: _Field, letter: str, stored: _Array) -> pa.Array:
    """Stored numbers as physical ones: TNULL, TSCAL and TZERO (FITS 4.0, section 7.3.2)."""
    column = field.column
    kind = scalar_type(column)
    if letter == "L":
        is_true, is_false = stored == ord("T"), stored == ord("F")
        return array_of(is_true, kind, ~(is_true | is_false))
    is_null = None
    if field.null is not None and letter in "BIJK":
        is_null = stored == field.null
    native = stored.astype(stored.dtype.newbyteorder("="))
    if (field.scale, field.zero) == (1.0, 0.0):
        return array_of(native, kind, is_null)
    if column.datatype in ("short", "int", "long"):
        if letter == "K":
            # unsigned 64-bit integers: those beyond a long cannot be told
            too_large = native >= 0
            if is_null is not None:
                too_large &= ~is_null
            if too_large.any():
                _refuse(f"Column {column.name} has an unsigned integer beyond 2**63", too_large)
            return array_of(native ^ np.int64(-(1 << 63)), kind, is_null)
        return array_of(native.astype(kind.to_pandas_dtype()) + int(field.zero), kind, is_null)
    return array_of(native.astype(np.float64) * field.scale + field.zero, kind, is_null)


def _text_column(piece: _Array) -> pa.Array:
    """Fixed-width text: cut at the first NUL, blanks at the end are not significant; all blank is NULL."""
    count, width = piece.shape
    if width == 0:
        return pa.nulls(count, pa.string())
    data = np.ascontiguousarray(piece)
    is_nul = data == 0
    lengths = np.where(is_nul.any(axis=1), is_nul.argmax(axis=1), width)
    within = np.arange(width) < lengths[:, None]
    solid = within & (data != ord(" "))
    lengths = np.where(solid.any(axis=1), width - solid[:, ::-1].argmax(axis=1), 0)
    keep = np.arange(width) < lengths[:, None]
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    text = data[keep]
    return strings_of(offsets, text, lengths == 0)


def _word_column(column: Column, piece: _Array) -> pa.Array:
    """Arrays of text: TDIM (n, m) is m words of n characters."""
    size = int(str(column.arraysize).split("x")[0])
    count, width = piece.shape
    words = width // size
    cells = np.ascontiguousarray(piece[:, : words * size]).reshape(count * words, size)
    values = pc.fill_null(_text_column(cells), "")
    return list_of(np.arange(count + 1) * words, values)


class _Heap:
    """The bytes after the rows, where arrays of variable length lie."""

    def __init__(self, file: BinaryIO, start: int, size: int, name: str) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._name = name

    def gather(self, column: Column, offsets: _Array, sizes: _Array) -> _Array:
        """All cells' bytes one after the other."""
        used = sizes > 0
        wrong = used & ((offsets < 0) | (sizes < 0) | (offsets + sizes > self._size)) | (sizes < 0)
        if wrong.any():
            _refuse(f"Column {column.name} points outside of the heap", wrong)
        total = int(sizes.sum())
        if total > 1 << 30:
            raise FormatError(f"A block of column {column.name} is larger than 1 GiB", where=self._name)
        if total == 0:
            return np.zeros(0, np.uint8)
        low = int(offsets[used].min())
        high = int((offsets + sizes)[used].max())
        ends = np.cumsum(sizes)
        if high - low <= 4 * total + (1 << 20):
            self._file.seek(self._start + low)
            heap = np.frombuffer(self._file.read(high - low), np.uint8)
            if len(heap) < high - low:
                raise FormatError("The file ends within its heap", where=self._name)
            index = np.arange(total) + np.repeat(offsets - low - (ends - sizes), sizes)
            gathered: _Array = heap[index]
            return gathered
        pieces = []  # scattered far apart: cell by cell is cheaper than reading what lies between
        for offset, size in zip(offsets[used].tolist(), sizes[used].tolist(), strict=True):
            self._file.seek(self._start + offset)
            pieces.append(self._file.read(size))
        data = np.frombuffer(b"".join(pieces), np.uint8)
        if len(data) < total:
            raise FormatError("The file ends within its heap", where=self._name)
        return data


def _heap_column(field: _Field, piece: _Array, heap: _Heap) -> pa.Array:
    column = field.column
    count = len(piece)
    if field.count == 0:
        return pa.nulls(count, pa.string() if field.variable == "A" else pa.list_(scalar_type(column)))
    kind = ">i4" if field.letter == "P" else ">i8"
    pointers = np.ascontiguousarray(piece).view(kind).astype(np.int64).reshape(count, 2)
    lengths, places = pointers[:, 0], pointers[:, 1]
    negative = (lengths < 0) | (lengths > MAX_ELEMENTS)
    if negative.any():
        _refuse(f"Column {column.name} has an array of an impossible length", negative)
    letter = field.variable
    each = np.dtype(_LETTERS[letter][1]).itemsize * (2 if letter in "CM" else 1)
    sizes = -(-lengths // 8) if letter == "X" else lengths * each
    data = heap.gather(column, places, sizes)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    is_null = lengths == 0
    if letter == "A":
        strings = strings_of(offsets, data, is_null)
        return pc.utf8_rtrim(strings, " \x00")
    if letter == "X":
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(sizes, out=starts[1:])
        within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
        bits = np.unpackbits(data)[np.repeat(starts[:-1] * 8, lengths) + within]
        return list_of(offsets, array_of(bits.astype(bool), pa.bool_()), is_null)
    values = _values(field, letter, data.view(_LETTERS[letter][1]))
    return list_of(offsets * (2 if letter in "CM" else 1), values, is_null)


def _ascii_column(field: _Field, rows: _Array) -> pa.Array:
    """Text of a fixed place in the line (FITS 4.0, section 7.2.5)."""
    texts = _text_column(rows[:, field.offset : field.offset + field.width])
    column = field.column
    if field.blank is not None:
        is_blank = pc.equal(pc.utf8_trim_whitespace(texts), field.blank.strip())
        texts = pc.if_else(pc.fill_null(is_blank, False), pa.scalar(None, pa.string()), texts)
    if field.letter == "A":
        return texts
    plain = pc.utf8_trim_whitespace(texts)
    plain = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    plain = pc.replace_substring_regex(plain, r"^\+", "")
    if field.letter != "I":
        plain = pc.replace_substring_regex(plain, "[dD]", "E")
    kind = scalar_type(column)
    try:
        if field.letter == "I" and column.datatype != "double":
            return plain.cast(kind)
        values = plain.cast(pa.float64())
    except pa.ArrowInvalid:
        legal = pc.match_substring_regex(plain, r"^-?[0-9]*\.?[0-9]*(E[+-]?[0-9]+)?$")
        wrong = ~pc.fill_null(legal, True).to_numpy(zero_copy_only=False)
        if not wrong.any():
            wrong[:] = True
        _refuse(f"Column {column.name} has {plain[int(np.flatnonzero(wrong)[0])].as_py()!r}, no number", wrong)
    if (field.scale, field.zero) != (1.0, 0.0):
        values = pc.add(pc.multiply(values, field.scale), field.zero)
    return values.cast(kind, safe=False)
