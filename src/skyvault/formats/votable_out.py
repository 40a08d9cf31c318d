"""Writing VOTables as they come: header, rows in blocks, and what has to be said at the end.

The document is the one DALI asks of a service (DALI 1.1, section 4.4): a RESOURCE of type "results" with an INFO
QUERY_STATUS before the table, and a second one after it when rows were left out or the rest could not be had.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import SkyvaultError
from skyvault.formats.blocks import begun, formatted, sliced
from skyvault.formats.cell_text import VOTABLE_SPECIALS, cell_texts, join_rows, xml_texts
from skyvault.formats.few_rows import FEW, blank_cell, few_rows
from skyvault.formats.stream import TableStream
from skyvault.formats.votable_binary_out import RowEncoder, for_binary
from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.table import Column, CoordinateFrame, Group, Info, Link, Table, TimeFrame

Serialization: TypeAlias = Literal["TABLEDATA", "BINARY", "BINARY2"]
MivotWish: TypeAlias = Literal["none", "some", "asked"]

#: versions that can be written; all share the namespace of 1.3 (VOTable 1.4, section 3.1)
VERSIONS = ("1.4", "1.5")
_NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
_ROWS = 20_000

#: VOTable 1.5's names of frames (refframe vocabulary) and what 1.4's schema calls them
_OLD_FRAMES = {"FK4": "eq_FK4", "FK5": "eq_FK5", "GALACTIC": "galactic", "SUPER_GALACTIC": "supergalactic"}
_NEW_FRAMES = {old: new for new, old in _OLD_FRAMES.items()}

_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def escape(text: str) -> str:
    """Text for XML content; characters XML cannot hold become "?"."""
    text = _ILLEGAL.sub("?", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def quoted(text: str) -> str:
    """Text as an attribute's value, quotes included; line ends and tabs survive."""
    text = escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f'"{text}"'


def element(name: str, attributes: dict[str, str | None], content: str | None = None) -> str:
    """One element on a line; attributes that are None are left out, empty ``content`` closes the tag."""
    told = "".join(f" {key}={quoted(value)}" for key, value in attributes.items() if value is not None)
    return f"<{name}{told}/>\n" if content is None else f"<{name}{told}>{content}</{name}>\n"


def write_votable(
    stream: TableStream,
    serialization: Serialization = "BINARY2",
    version: str = "1.4",
    *,
    threads: int = 2,
    mivot: MivotWish = "none",
) -> Iterator[bytes]:
    """The bytes of a VOTable, block by block.

    ``mivot`` says whether the columns are annotated by data models (:mod:`skyvault.formats.mivot`): never, where there
    is something to say, or always, and then that there is nothing.

    The first batch is taken before the first byte is given, so that an error in the query can still be told in
    another way; a SkyvaultError after that ends the document with QUERY_STATUS ERROR. Blocks follow the batches'
    pace and memory is bounded by a few of them.
    """
    table = declared(stream.table, serialization)
    batches = begun(stream.batches)
    annotation = ""
    if mivot != "none":
        from skyvault.formats.mivot import annotated

        table, annotation = annotated(table, is_asked=mivot == "asked")
    yield header(table, stream.infos, version=version, annotation=annotation).encode()
    opening, closing, blocks = _serialised(stream.table, table, batches, serialization, threads)
    yield f"<DATA>\n{opening}".encode()
    try:
        yield from blocks
    except SkyvaultError as exc:
        stream.error = str(exc)
    services = "".join(map(descriptor, stream.services))
    yield f"{closing}</DATA>\n</TABLE>\n{trailer(stream)}</RESOURCE>\n{services}</VOTABLE>\n".encode()


def declared(table: Table, serialization: Serialization) -> Table:
    """The table with its columns as they are declared in this serialization."""
    masked = serialization != "BINARY"
    # how many rows come is known only when they have come
    return replace(
        table, nrows=None, columns=tuple(for_binary(_sized(column), masked=masked) for column in table.columns)
    )


def _sized(column: Column) -> Column:
    """Text without an arraysize would be one character; instants are as long as their decimals."""
    if column.is_text and (column.arraysize is None or column.is_timestamp):
        return replace(column, arraysize="*")
    return column


def _serialised(
    given: Table, table: Table, batches: Iterable[pa.RecordBatch], serialization: Serialization, threads: int
) -> tuple[str, str, Iterator[bytes]]:
    if serialization == "TABLEDATA":
        work = _tabledata_block(table)
        blocks = formatted(sliced(batches, _ROWS), work, threads=threads)
        return "<TABLEDATA>\n", "</TABLEDATA>\n", (bytes(block) for block in blocks)
    masked = serialization == "BINARY2"
    encoder = RowEncoder(tuple(_sized(column) for column in given.columns), masked=masked)
    encoded = formatted(sliced(batches, _ROWS), encoder.encode, threads=threads)
    return (
        f'<{serialization}>\n<STREAM encoding="base64">\n',
        f"</STREAM>\n</{serialization}>\n",
        _base64(encoded),
    )


def _tabledata_block(table: Table) -> Callable[[pa.RecordBatch], pa.Buffer]:
    """What makes the rows of a batch into TR and TD elements."""
    columns = table.columns

    def work(batch: pa.RecordBatch) -> pa.Buffer:
        if 0 < batch.num_rows <= FEW and columns:
            return pa.py_buffer(few_rows(batch, columns))
        cells: list[Any] = []
        for column, array in zip(columns, batch.columns, strict=True):
            texts = cell_texts(array, column, specials=VOTABLE_SPECIALS, null_element=column.null or "0")
            if column.is_text and not column.is_timestamp:
                texts = xml_texts(texts)
            if texts.null_count:
                texts = pc.fill_null(texts, blank_cell(column))
            cells.append(texts)
        if not cells:
            return pa.py_buffer(b"<TR></TR>\n" * batch.num_rows)
        return join_rows(cells, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")

    return work


def _base64(blocks: Iterable[Any]) -> Iterator[bytes]:
    """One unbroken base64 text: what does not fill three bytes waits for the next block."""
    rest = b""
    try:
        for block in blocks:
            data = memoryview(block)
            if rest:
                data = memoryview(rest + bytes(data))
            usable = len(data) - len(data) % 3
            rest = bytes(data[usable:])
            if usable:
                yield binascii.b2a_base64(data[:usable])
    except SkyvaultError:
        if rest:
            yield binascii.b2a_base64(rest)
        raise
    if rest:
        yield binascii.b2a_base64(rest)


# --- header and trailer ---------------------------------------------------------------------------------------------


def header(
    table: Table, infos: Iterable[Info] = (), *, version: str = "1.4", status: bool = True, annotation: str = ""
) -> str:
    """The document up to and without <DATA>; ``annotation`` is a RESOURCE that goes before the table."""
    identifiers = _Identifiers()
    out = [_opening(version), '<RESOURCE type="results">\n']
    if status:
        out.append(_info(Info("QUERY_STATUS", "OK")))
    out.extend(_info(info) for info in infos)
    out.extend(_info(info) for info in table.infos)
    out.extend(_frame(frame, version, identifiers) for frame in table.frames)
    out.extend(_time_frame(frame, identifiers) for frame in table.time_frames)
    out.append(annotation)
    out.append(_table(table, identifiers))
    return "".join(out)


def dataless(table: Table, *, version: str = "1.4") -> bytes:
    """A whole document that describes a table and holds no rows (what VOParquet carries)."""
    return (header(table, version=version, status=False) + "</TABLE>\n</RESOURCE>\n</VOTABLE>\n").encode()


def trailer(stream: TableStream) -> str:
    """What has to be said after the table: overflow or a late error (DALI 1.1, section 4.4.1)."""
    if stream.error:
        return _info(Info("QUERY_STATUS", "ERROR", stream.error))
    if stream.overflow:
        limit = f" of {stream.limit}" if stream.limit is not None else ""
        return _info(Info("QUERY_STATUS", "OVERFLOW", f"The row limit{limit} was reached; there are more rows."))
    return ""


def descriptor(service: ServiceDescriptor) -> str:
    """The RESOURCE that describes a service (DataLink 1.1, section 4.1)."""
    told = {"accessURL": service.access_url, "standardID": service.standard_id, "contentType": service.content_type}
    params = "".join(
        element("PARAM", {"name": name, "datatype": "char", "arraysize": "*", "value": value})
        for name, value in told.items()
        if value is not None
    )
    inputs = "".join(_field_text(replace(one, value=one.value or ""), one.id, one.ref) for one in service.inputs)
    about = "" if service.description is None else element("DESCRIPTION", {}, escape(service.description))
    group = element("GROUP", {"name": "inputParams"}, "\n" + inputs)
    utype = "adhoc:this" if service.is_self else "adhoc:service"
    attributes = {"type": "meta", "utype": utype, "ID": service.id, "name": service.name}
    return element("RESOURCE", attributes, f"\n{about}{params}{group}")


def error_document(message: str, version: str = "1.4") -> bytes:
    """The VOTable that tells an error (DALI 1.1, section 4.2)."""
    status = _info(Info("QUERY_STATUS", "ERROR", message))
    return f'{_opening(version)}<RESOURCE type="results">\n{status}</RESOURCE>\n</VOTABLE>\n'.encode()


def _opening(version: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version={quoted(version)} xmlns="{_NAMESPACE}">\n'


class _Identifiers:
    """XML IDs: each once, each a legal name; references only to what is there."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, identifier: str | None) -> str | None:
        if not identifier or not _NCNAME.fullmatch(identifier) or identifier in self._given:
            return None
        self._given.add(identifier)
        return identifier

    def known(self, reference: str | None) -> str | None:
        return reference if reference in self._given else None

    def reserve(self, group: Group) -> None:
        """Make a group's ID known before it is written."""
        if group.id and _NCNAME.fullmatch(group.id):
            self._given.add(group.id)


# what is said of a table's origin is said with every answer
@lru_cache(maxsize=4096)
def _info(info: Info) -> str:
    return element("INFO", {"name": info.name, "value": info.value}, escape(info.text) if info.text else None)


def modern_frame(system: str) -> str:
    """A frame's name in IVOA's vocabulary refframe: "eq_FK5" is FK5."""
    return _NEW_FRAMES.get(system, system)


def _frame(frame: CoordinateFrame, version: str, identifiers: _Identifiers) -> str:
    identifier = identifiers.new(frame.id)
    if identifier is None:
        return ""
    names = _NEW_FRAMES if version >= "1.5" else _OLD_FRAMES
    return element(
        "COOSYS",
        {
            "ID": identifier,
            "system": names.get(frame.system, frame.system),
            "equinox": frame.equinox,
            "epoch": frame.epoch,
            "refposition": frame.refposition if version >= "1.5" else None,
        },
    )


def _time_frame(frame: TimeFrame, identifiers: _Identifiers) -> str:
    identifier = identifiers.new(frame.id)
    if identifier is None:
        return ""
    return element(
        "TIMESYS",
        {
            "ID": identifier,
            "timeorigin": frame.timeorigin,
            "timescale": frame.timescale,
            "refposition": frame.refposition,
        },
    )


def _table(table: Table, identifiers: _Identifiers) -> str:
    attributes = {
        "ID": identifiers.new(table.id),
        "name": table.name or None,
        "ucd": table.ucd,
        "utype": table.utype,
        "nrows": None if table.nrows is None else str(table.nrows),
    }
    told = "".join(f" {key}={quoted(value)}" for key, value in attributes.items() if value is not None)
    out = [f"<TABLE{told}>\n"]
    if table.description:
        out.append(element("DESCRIPTION", {}, escape(table.description)))
    for group in table.groups:
        identifiers.reserve(group)
    # what columns refer to (the axis of vectors) is known before them
    wanted = {column.ref for column in table.columns if column.ref}
    out.extend(_field(param, identifiers) for param in table.params if param.id in wanted)
    out.extend(_field(column, identifiers) for column in table.columns)
    out.extend(_field(param, identifiers) for param in table.params if param.id not in wanted)
    out.extend(_group(group, identifiers) for group in table.groups)
    out.extend(_link(link) for link in table.links)
    return "".join(out)


def _field(column: Column, identifiers: _Identifiers) -> str:
    """FIELD, or PARAM where the column has a value (VOTable 1.5, section 4.1)."""
    return _field_text(column, identifiers.new(column.id), identifiers.known(column.ref))


# the same columns are described with every answer; making their text anew would be a tenth of a small query's time
@lru_cache(maxsize=4096)
def _field_text(column: Column, identifier: str | None, reference: str | None) -> str:
    is_param = column.value is not None
    if is_param:
        column = _sized(column)
    attributes = {
        "ID": identifier,
        "name": column.name,
        "datatype": column.datatype,
        "arraysize": column.arraysize,
        "xtype": column.xtype,
        # a number without a unit has no attribute, as TAP_SCHEMA has NULL
        "unit": column.unit or None,
        "ucd": column.ucd,
        "utype": column.utype,
        "ref": reference,
        "width": None if column.width is None else str(column.width),
        "precision": column.precision,
        "value": column.value,
    }
    content = ""
    if column.description:
        content += element("DESCRIPTION", {}, escape(column.description))
    if any(told is not None for told in (column.null, column.minimum, column.maximum)) or column.options:
        content += _values(column)
    content += "".join(_link(link) for link in column.links)
    return element("PARAM" if is_param else "FIELD", attributes, "\n" + content if content else None)


def _values(column: Column) -> str:
    inner = ""
    if column.minimum is not None:
        inner += element("MIN", {"value": column.minimum})
    if column.maximum is not None:
        inner += element("MAX", {"value": column.maximum})
    for name, value in column.options:
        inner += element("OPTION", {"name": name or None, "value": value})
    return element("VALUES", {"null": column.null}, "\n" + inner if inner else None)


def _link(link: Link) -> str:
    return element(
        "LINK",
        {
            "content-role": link.content_role,
            "content-type": link.content_type,
            "title": link.title,
            "href": link.href,
        },
    )


def _group(group: Group, identifiers: _Identifiers) -> str:
    out = []
    if group.description:
        out.append(element("DESCRIPTION", {}, escape(group.description)))
    out.extend(element("FIELDref", {"ref": ref}) for ref in group.column_refs if identifiers.known(ref))
    out.extend(element("PARAMref", {"ref": ref}) for ref in group.param_refs if identifiers.known(ref))
    out.extend(_field(param, identifiers) for param in group.params)
    out.extend(_group(inner, identifiers) for inner in group.groups)
    attributes = {
        "ID": group.id if identifiers.known(group.id) else identifiers.new(group.id),
        "name": group.name,
        "ref": identifiers.known(group.ref),
        "ucd": group.ucd,
        "utype": group.utype,
    }
    return element("GROUP", attributes, "\n" + "".join(out))
