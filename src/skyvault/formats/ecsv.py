"""ECSV, astropy's text tables with a YAML header: read and written.

ECSV 1.0 (Astropy Proposal for Enhancement 6): the header gives each column a name, a datatype, a unit and a
description; cells are CSV separated by blanks or commas, empty where a value is missing; arrays are JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skyvault.errors import FormatError, SkyvaultError
from skyvault.formats.arrow import holds_list, plain_schema, shape_of
from skyvault.formats.blocks import begun, formatted, sliced
from skyvault.formats.cell_text import cell_texts, join_rows
from skyvault.formats.flat import first_cells, quoted_fields
from skyvault.formats.json_out import json_texts
from skyvault.formats.source import DEFAULT_LIMITS, ByteSource, ReadLimits, TableSource
from skyvault.formats.stream import TableStream
from skyvault.formats.tabledata import CellError, column_from_text
from skyvault.model.frames import axes_of, numbers_of
from skyvault.model.table import Column, Datatype, Info, Table

_ROWS = 20_000
_MAX_HEADER = 4 << 20

_FROM_ECSV: dict[str, Datatype] = {
    "bool": "boolean",
    "int8": "short",
    "uint8": "unsignedByte",
    "int16": "short",
    "uint16": "int",
    "int32": "int",
    "uint32": "long",
    "int64": "long",
    "uint64": "long",
    "float16": "float",
    "float32": "float",
    "float64": "double",
    "float128": "double",
}
_TO_ECSV = {
    "boolean": "bool",
    "bit": "bool",
    "unsignedByte": "uint8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "floatComplex": "float32",
    "doubleComplex": "float64",
    "char": "string",
    "unicodeChar": "string",
}
_SUBTYPE = re.compile(r"\s*([a-z]+[0-9]*)\s*(?:\[([^\]]*)\])?\s*")


# --- reading --------------------------------------------------------------------------------------------------------


def open_ecsv(
    source: TableSource | ByteSource, *, limits: ReadLimits = DEFAULT_LIMITS, name: str | None = None
) -> TableStream:
    """An ECSV file as a stream. Raises FormatError where the header is no ECSV header or a cell does not fit it."""
    origin = source if isinstance(source, ByteSource) else ByteSource(source, limits=limits, name=name)
    file = origin.spooled()
    try:
        header, start = _header(file, origin.name)
        delimiter = header.get("delimiter", " ")
        if delimiter not in (" ", ","):
            raise FormatError(f"The ECSV delimiter is {delimiter!r}; only a blank or a comma may be", where=origin.name)
        told = header.get("datatype")
        if not isinstance(told, list) or not told:
            raise FormatError("The ECSV header describes no columns (datatype)", where=origin.name)
        columns = tuple(_column(entry, origin.name) for entry in told)
        limits.check_columns(len(columns))
        meta = header.get("meta")
        table = Table(
            name=_stem(origin.name), columns=columns, infos=tuple(_infos(meta)), description=_description(meta)
        )
    except BaseException:
        file.close()
        raise
    return TableStream(table=table, batches=_rows(file, start, delimiter, table, origin.name, limits))


def _stem(name: str) -> str:
    for suffix in (".gz", ".ecsv", ".csv", ".txt"):
        name = name.removesuffix(suffix) or name
    return name


def _header(file: BinaryIO, name: str) -> tuple[dict[str, Any], int]:
    """The YAML header and where the CSV begins."""
    lines: list[str] = []
    start = total = 0
    for raw in file:
        total += len(raw)
        if total > _MAX_HEADER:
            raise FormatError("The ECSV header is longer than 4 MiB", where=name)
        line = raw.decode("utf-8", "replace").rstrip("\r\n").removeprefix("\ufeff")
        if not line.startswith("#"):
            if line.strip():
                break
            start += len(raw)
            continue
        start += len(raw)
        lines.append(line[2:] if line.startswith("# ") else line[1:])
    if not lines or not lines[0].startswith("%ECSV"):
        raise FormatError("This is no ECSV: it does not begin with # %ECSV", where=name)
    header = _yaml("\n".join(line for line in lines[1:] if line.strip() != "---"), name)
    if not isinstance(header, dict):
        raise FormatError("The ECSV header is not a YAML mapping", where=name)
    return header, start


def _yaml(text: str, name: str) -> Any:
    """YAML's plain data; objects that tags ask for are not made, only their content is kept."""
    import yaml

    class Plain(yaml.SafeLoader):
        pass

    def plain(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)

    Plain.add_multi_constructor("!", plain)
    Plain.add_multi_constructor("tag:", plain)
    try:
        return yaml.load(text, Loader=Plain)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{name}, header line {mark.line + 2}" if mark is not None else name
        problem = getattr(exc, "problem", None) or "not YAML"
        raise FormatError(f"The ECSV header cannot be read ({problem})", where=where) from None


def _column(entry: Any, name: str) -> Column:
    if not isinstance(entry, dict) or "name" not in entry or "datatype" not in entry:
        raise FormatError("A column of the ECSV header has no name or datatype", where=name)
    told = str(entry["datatype"])
    subtype = _SUBTYPE.fullmatch(str(entry.get("subtype") or ""))
    datatype: Datatype | None = _FROM_ECSV.get(told)
    arraysize: str | None = None
    if told == "string" and subtype and subtype[1] in _FROM_ECSV and subtype[2] is not None:
        datatype = _FROM_ECSV[subtype[1]]
        sizes = [part.strip() for part in subtype[2].split(",")]
        sizes = ["*" if size == "null" else size for size in sizes]
        # numpy's last index runs fastest, VOTable's first
        arraysize = "x".join(reversed(sizes))
        if "*" in sizes[1:] or not re.fullmatch(r"[0-9x]*\*?", arraysize):
            datatype, arraysize = "char", "*"
    elif datatype is None:
        datatype, arraysize = "char", "*"  # text, complex numbers, JSON objects
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}

    def text(key: str) -> str | None:
        value = entry.get(key, meta.get(key))
        return str(value) if value is not None and not isinstance(value, (dict, list)) else None

    return Column(
        name=str(entry["name"]),
        datatype=datatype,
        arraysize=arraysize,
        unit=text("unit"),
        description=text("description"),
        ucd=text("ucd"),
        utype=text("utype"),
        xtype=text("xtype"),
    )


def _entries(meta: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(meta, dict):
        yield from ((str(key), value) for key, value in meta.items())
    elif isinstance(meta, list):  # !!omap
        for entry in meta:
            if isinstance(entry, dict):
                yield from ((str(key), value) for key, value in entry.items())
            elif isinstance(entry, tuple) and len(entry) == 2:
                yield str(entry[0]), entry[1]


def _infos(meta: Any) -> Iterator[Info]:
    for key, value in _entries(meta):
        if key == "comments" and isinstance(value, list):
            for line in value[:1000]:
                yield Info("comment", str(line)[:10_000])
        elif isinstance(value, (str, int, float, bool)) and key != "description":
            yield Info(key, str(value))


def _description(meta: Any) -> str | None:
    return next((str(value) for key, value in _entries(meta) if key == "description" and isinstance(value, str)), None)


def _rows(
    file: BinaryIO, start: int, delimiter: str, table: Table, name: str, limits: ReadLimits
) -> Iterator[pa.RecordBatch]:
    schema = plain_schema(table)
    names = [column.name for column in table.columns]
    # positions stand for names while reading, so that odd or repeated names do no harm
    keys = [str(index) for index in range(len(names))]
    plain = [not holds_list(column) and not column.is_timestamp for column in table.columns]
    types = {key: schema.field(index).type if plain[index] else pa.string() for index, key in enumerate(keys)}
    rows = 0
    with file:
        file.seek(start)
        first = file.readline()
        given = first_cells(first.decode("utf-8", "replace"), delimiter, name)
        if not given:
            return
        if [cell.strip() for cell in given] != [told.strip() for told in names]:
            raise FormatError(
                f"The line of names ({', '.join(given)[:100]}) is not the columns of the header", where=name
            )
        try:
            reader = pacsv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pacsv.ReadOptions(block_size=8 << 20, column_names=keys),
                parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=types,
                    null_values=[""],
                    true_values=["True", "true", "1"],
                    false_values=["False", "false", "0"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
            for batch in reader:
                arrays = []
                for index, column in enumerate(table.columns):
                    array = batch.column(index)
                    if not plain[index]:
                        array = _from_json(array, column) if holds_list(column) else column_from_text(array, column)
                    arrays.append(array)
                if batch.num_rows:
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
                rows += batch.num_rows
                limits.check_rows(rows)
        except CellError as exc:
            raise exc.at(name=name, first_row=rows + 1) from None
        except pa.ArrowInvalid as exc:
            if "Empty CSV" in str(exc):
                return
            _refuse(exc, name, table)


def _from_json(texts: pa.StringArray, column: Column) -> pa.Array:
    """Arrays of numbers out of their JSON: brackets and commas only separate here."""
    plain = pc.replace_substring_regex(texts, r"[\[\],\s]+", " ")
    plain = pc.replace_substring(plain, "null", "NaN" if column.datatype in ("float", "double") else "?")
    return column_from_text(plain, column)


def _refuse(exc: pa.ArrowInvalid, name: str, table: Table) -> NoReturn:
    text = str(exc).splitlines()[0]
    column = re.search(r"In CSV column #(\d+)", text)
    row = re.search(r"[Rr]ow #(\d+)", text)
    value = re.search(r"invalid value '(.{0,60})", text)
    where = f"{name}, row {row[1]}" if row else name
    expected = re.search(r"Expected (\d+) columns, got (\d+)", text)
    if expected:
        raise FormatError(f"A row has {expected[2]} cells where the table has {expected[1]} columns", where=where)
    if column and value and int(column[1]) < len(table.columns):
        told = table.columns[int(column[1])]
        raise FormatError(f"Column {told.name}: {value[1].rstrip(chr(39))!r} is no {told.datatype}", where=where)
    raise FormatError(f"The rows cannot be read ({text[:200]})", where=where)


# --- writing --------------------------------------------------------------------------------------------------------


def write_ecsv(stream: TableStream, *, threads: int = 2) -> Iterator[bytes]:
    """The bytes of an ECSV file, comma-separated, block by block.

    What was left out or went wrong while rows were fetched is told in a comment at the end.
    """
    table = stream.table
    batches = begun(stream.batches)
    yield _header_text(stream).encode()

    # a line of nothing would be passed over by readers, so a column alone says "" for NULL
    null = '""' if len(table.columns) == 1 else ""

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        cells: list[Any] = []
        for column, array in zip(table.columns, batch.columns, strict=True):
            cells.append(pc.fill_null(_cell(array, column), null))
        return join_rows(cells, "", ",", "\n")

    try:
        for block in formatted(sliced(batches, _ROWS), work, threads=threads):
            yield bytes(block)
    except SkyvaultError as exc:
        stream.error = str(exc)
    if stream.error:
        yield f"# ERROR: {_line(stream.error)}\n".encode()
    elif stream.overflow:
        yield b"# OVERFLOW: the row limit was reached; there are more rows\n"


def _cell(array: pa.Array, column: Column) -> pa.StringArray:
    if pa.types.is_list(array.type):
        return quoted_fields(json_texts(array, column, specials=("NaN", "Infinity", "-Infinity")), ",")
    if pa.types.is_boolean(array.type):
        return pc.if_else(array, "True", "False")
    if column.is_text and not column.is_timestamp:
        return quoted_fields(array, ",")
    return cell_texts(array, column, specials=("nan", "inf", "-inf"))


def _header_text(stream: TableStream) -> str:
    table = stream.table
    out = ["# %ECSV 1.0", "# ---", "# delimiter: ','", "# datatype:"]
    for column in table.columns:
        entry: dict[str, Any] = {"name": column.name, "datatype": _TO_ECSV[column.datatype]}
        if holds_list(column):
            entry["datatype"] = "string"
            fixed, varies = shape_of(column.arraysize)
            sizes = [str(size) for size in fixed] + (["null"] if varies else [])
            if column.datatype.endswith("Complex"):
                sizes = ["2", *sizes]
            if column.is_text:
                sizes = sizes[1:] or ["null"]
            entry["subtype"] = f"{_TO_ECSV[column.datatype]}[{','.join(reversed(sizes))}]"
        if column.unit:
            entry["unit"] = column.unit
        if column.description:
            entry["description"] = column.description
        meta = {key: value for key in ("ucd", "utype", "xtype") if (value := getattr(column, key))}
        if meta:
            entry["meta"] = meta
        out.append(f"# - {_flow(entry)}")
    meta = {"name": table.name}
    if table.description:
        meta["description"] = table.description
    for info in (*stream.infos, *table.infos):
        meta.setdefault(info.name, info.value)
    axes = {axis.name: {"unit": axis.unit, "values": numbers_of(axis)} for axis in axes_of(table).values()}
    out.append("# meta: !!omap")
    out.extend(f"# - {_flow({key: value})}" for key, value in {**axes, **meta}.items())
    out.append("# schema: astropy-2.0")
    names = pa.array(table.column_names, pa.string())
    out.append(",".join(_line(name) for name in quoted_fields(names, ",").to_pylist()))
    return "\n".join(out) + "\n"


def _flow(entry: dict[str, Any]) -> str:
    """A YAML flow mapping: JSON is one."""
    return json.dumps(entry, ensure_ascii=True)


def _line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text)
