"""The XML around a VOTable's rows: resources, fields, parameters, groups, read safely piece by piece.

Rows themselves are not XML's business here: whoever feeds the document stops at ``<TABLEDATA>`` and ``<STREAM>`` and
takes the bytes in between another way (:mod:`skyvault.formats.votable_in`), falling back to this parser for markup
that is legal but odd. VOTable 1.5, sections 3 and 4.

No DTD subset and no entity is accepted, so nothing can be expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn, cast
from xml.parsers import expat

from skyvault.errors import FormatError
from skyvault.formats.arrow import shape_of
from skyvault.model.table import Column, CoordinateFrame, Datatype, Group, Info, Link, Table, TimeFrame

MAX_DEPTH = 64
#: Elements outside table data: the widest published tables have a few thousand columns.
MAX_NODES = 200_000
MAX_TEXT = 32 << 20

_DATATYPES = {
    "boolean": "boolean",
    "bit": "bit",
    "unsignedbyte": "unsignedByte",
    "short": "short",
    "int": "int",
    "long": "long",
    "char": "char",
    "unicodechar": "unicodeChar",
    "float": "float",
    "double": "double",
    "floatcomplex": "floatComplex",
    "doublecomplex": "doubleComplex",
}
#: Datatypes that are no VOTable's but are met in the wild, with the arraysize they imply.
_WILD_DATATYPES = {
    "string": ("char", "*"),
    "unicodestring": ("unicodeChar", "*"),
    "logical": ("boolean", None),
    "integer": ("int", None),
    "int16": ("short", None),
    "int32": ("int", None),
    "int64": ("long", None),
    "float32": ("float", None),
    "float64": ("double", None),
}

_KNOWN = frozenset(
    {
        *("VOTABLE", "RESOURCE", "TABLE", "FIELD", "PARAM", "GROUP", "FIELDref", "PARAMref", "INFO", "LINK"),
        *("COOSYS", "TIMESYS", "VALUES", "MIN", "MAX", "OPTION", "DESCRIPTION", "DEFINITIONS"),
        *("DATA", "TABLEDATA", "TR", "TD", "BINARY", "BINARY2", "FITS", "PARQUET", "STREAM"),
    }
)
_WITH_TEXT = frozenset({"DESCRIPTION", "INFO", "TD"})
_SERIALISATIONS = frozenset({"TABLEDATA", "BINARY", "BINARY2", "FITS", "PARQUET"})


class Node:
    """An element with what it holds, until it becomes part of a description."""

    __slots__ = ("attributes", "children", "name", "parts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Node] = []
        self.parts: list[str] = []

    def get(self, name: str) -> str | None:
        """An attribute; empty counts as absent."""
        return self.attributes.get(name) or None

    def all(self, name: str) -> list[Node]:
        return [child for child in self.children if child.name == name]

    def text(self) -> str:
        return "".join(self.parts).strip()

    def description(self) -> str | None:
        for child in self.children:
            if child.name == "DESCRIPTION":
                return " ".join(child.text().split()) or None
        return None


class Document:
    """A VOTable document as it comes in.

    Feed it bytes (UTF-8); it collects ``events``: ("table", Table), ("data", kind, attributes of STREAM),
    ("data-end",), ("table-end",), ("info", Info) for remarks after a table's data, ("resource-end",), ("end",).
    ``status`` is the last QUERY_STATUS seen (DALI 1.1, section 4.4), ``early_error`` an error told the older way.
    In ``collects_rows`` mode the cells of TABLEDATA are put into ``rows``, a list of strings a row.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[tuple[Any, ...]] = []
        self.rows: list[list[str]] = []
        self.version: str | None = None
        self.status: Info | None = None
        self.early_error: Info | None = None
        self.tables_seen = 0
        #: bytes that went past this parser, so that positions in messages are the file's
        self.bypassed = 0
        #: what is open right now and waits for its content: TABLEDATA or STREAM
        self.open_data: str | None = None
        self.collects_rows = False
        self._row: list[str] | None = None
        self._rows_done = 0
        self._stack: list[Node] = []
        self._skip_depth = 0
        self._nodes = 0
        self._text = 0
        self._frames: list[CoordinateFrame] = []
        self._time_frames: list[TimeFrame] = []
        self._values: dict[str, Node] = {}
        self._tables: dict[str, Table] = {}
        self._announced = False
        self._parser = parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        parser.ordered_attributes = False
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._skipped

    # --- feeding ----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Parse more bytes. Raises FormatError where the document is not well-formed or not a VOTable."""
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as exc:
            reason = expat.ErrorString(exc.code)
            byte = self._parser.ErrorByteIndex + self.bypassed
            if final and exc.code in (3, 4, 5, 6):
                self.refuse("The document ends before its last element is closed", hint="It may have been cut short.")
            raise FormatError(
                f"The XML is not well-formed ({reason})",
                where=f"{self.name}, byte {byte}",
                hint=_hint_for(reason),
            ) from None
        if final:
            self.events.append(("end",))

    def refuse(self, what: str, *, hint: str | None = None, row: int | None = None) -> NoReturn:
        """Raise a FormatError that names this document and the place."""
        byte = max(self._parser.CurrentByteIndex, 0) + self.bypassed
        where = f"{self.name}, byte {byte}" if row is None else f"{self.name}, row {row}"
        raise FormatError(what, where=where, hint=hint)

    # --- handlers ---------------------------------------------------------------------------------------------------

    def _doctype(self, name: str, system: str | None, public: str | None, has_internal_subset: int) -> None:
        if has_internal_subset:
            self.refuse("The document brings its own DTD, which is not accepted", hint="Remove the DOCTYPE.")

    def _entity(self, *_: Any) -> None:
        self.refuse("The document declares XML entities, which are not accepted", hint="Remove the DOCTYPE.")

    def _skipped(self, name: str, is_parameter_entity: int) -> None:
        self.refuse(f"The entity &{name[:40]}; is not known", hint="XML knows &lt; &gt; &amp; &quot; &apos;.")

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(":")[2]
        if self._skip_depth or name not in _KNOWN:
            if not self._stack:
                self.refuse(f"The root element is {name[:60]}, not VOTABLE", hint="Is this a VOTable?")
            self._skip_depth += 1
            if self._skip_depth > MAX_DEPTH:
                self.refuse(f"Elements are nested deeper than {MAX_DEPTH}")
            return
        if name == "TD":
            if self._row is not None:
                self._stack.append(node := Node(name, attributes))
                if node.get("encoding"):
                    self.refuse("A TD has an encoding attribute, which is not supported", row=self._row_number())
                return
            self.refuse("A TD stands outside of a TR")
        if name == "TR":
            if not self._stack or self._stack[-1].name != "TABLEDATA":
                self.refuse("A TR stands outside of TABLEDATA")
            self._row = []
            self._stack.append(Node(name, {}))
            return
        if len(self._stack) >= MAX_DEPTH:
            self.refuse(f"Elements are nested deeper than {MAX_DEPTH}")
        if not self._stack and name != "VOTABLE":
            self.refuse(f"The root element is {name}, not VOTABLE", hint="Is this a VOTable?")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self.refuse(f"The document describes more than {MAX_NODES} things outside of its rows")
        node = Node(name, attributes)
        self._stack.append(node)
        if name == "VOTABLE":
            self.version = node.get("version")
        elif name == "TABLE":
            self._announced = False
        elif name == "DATA":
            table = next((above for above in reversed(self._stack) if above.name == "TABLE"), None)
            if table is None:
                self.refuse("A DATA element stands outside of a TABLE")
            self._announce(table)
        elif name in _SERIALISATIONS:
            if name == "TABLEDATA":
                self.open_data = name
                self.events.append(("data", "TABLEDATA", {}))
        elif name == "STREAM":
            kind = self._stack[-2].name if len(self._stack) > 1 else ""
            if kind not in _SERIALISATIONS:
                self.refuse("A STREAM stands outside of BINARY, BINARY2 or FITS")
            self.open_data = name
            self.events.append(("data", kind, dict(attributes)))

    def _end(self, qualified: str) -> None:
        if self._skip_depth:
            self._skip_depth -= 1
            return
        node = self._stack.pop()
        name = node.name
        if name == "TD":
            if self._row is not None:
                self._row.append("".join(node.parts))
            return
        if name == "TR":
            if self._row is not None:
                self.rows.append(self._row)
                self._rows_done += 1
            self._row = None
            return
        parent = self._stack[-1] if self._stack else None
        identifier = node.get("ID")
        if name == "VALUES" and identifier:
            self._values[identifier] = node
        elif name == "COOSYS":
            self._frames.append(_frame(node))
        elif name == "TIMESYS":
            self._time_frames.append(_time_frame(node))
        elif name == "PARAM":
            self._notice_error(node)
        elif name == "INFO":
            self._notice_error(node)
            info = _info(node)
            if info.name.upper() == "QUERY_STATUS":
                self.status = info
            if self._announced:
                self.events.append(("info", info))
                return
        elif name in ("TABLEDATA", "STREAM"):
            self.open_data = None
            self.events.append(("data-end",))
            return
        elif name == "TABLE":
            self._announce(node)
            self.events.append(("table-end",))
            return  # its description is done with: a document of many tables stays small
        elif name == "RESOURCE":
            self._announced = False
            self.events.append(("resource-end",))
            return
        if parent is not None and name not in ("DATA", *_SERIALISATIONS):
            parent.children.append(node)

    def _notice_error(self, node: Node) -> None:
        """Errors as cone searches tell them: an INFO or PARAM named Error (SCS 1.03, section 2.3)."""
        if (node.get("name") or "").lower() == "error" and self.status is None:
            text = node.get("value") or node.text() or node.description() or "no reason given"
            self.early_error = Info("QUERY_STATUS", "ERROR", text)

    def _characters(self, text: str) -> None:
        if self._skip_depth and not (self._stack and self._stack[-1].name == "DESCRIPTION"):
            return
        if not self._stack or self._stack[-1].name not in _WITH_TEXT:
            return
        if self._row is None:
            self._text += len(text)
            if self._text > MAX_TEXT:
                self.refuse(f"The descriptions are longer than {MAX_TEXT} characters")
        self._stack[-1].parts.append(text)

    def _row_number(self) -> int:
        return self._rows_done + 1

    # --- making descriptions ----------------------------------------------------------------------------------------

    def _announce(self, node: Node) -> None:
        """Tell of the table whose description is complete now."""
        if self._announced:
            return
        self._announced = True
        self._rows_done = 0
        self.tables_seen += 1
        table = self._table(node)
        if table.id:
            self._tables[table.id] = table
        self.events.append(("table", table))

    def _table(self, node: Node) -> Table:
        ancestors = [above for above in self._stack if above.name in ("VOTABLE", "RESOURCE")]
        columns = tuple(self.column(child, index) for index, child in enumerate(node.all("FIELD"), start=1))
        reference = node.get("ref")
        template = self._tables.get(reference) if reference and not columns else None
        params = [child for above in ancestors for child in above.all("PARAM")] + node.all("PARAM")
        groups = [child for above in ancestors for child in above.all("GROUP")] + node.all("GROUP")
        infos = [_info(child) for above in (*ancestors, node) for child in above.all("INFO")]
        description = node.description()
        for above in reversed(ancestors):
            description = description or above.description()
        links = tuple(_link(child) for child in node.all("LINK"))
        for above in ancestors:
            links += tuple(_link(child) for child in above.all("LINK"))
        identifier = node.get("ID")
        name = node.get("name") or identifier or f"table{self.tables_seen}"
        table = Table(
            name=name,
            columns=columns,
            description=description,
            utype=node.get("utype"),
            ucd=node.get("ucd"),
            id=identifier,
            nrows=_whole(node.get("nrows")),
            params=tuple(self.column(child, index) for index, child in enumerate(params, start=1)),
            infos=tuple(info for info in infos if info.name.upper() != "QUERY_STATUS"),
            groups=tuple(self.group(child) for child in groups),
            links=tuple(link for link in links if link.href),
            frames=tuple(self._frames),
            time_frames=tuple(self._time_frames),
        )
        if template is not None:
            table = replace(table, columns=template.columns, description=table.description or template.description)
        return table

    def column(self, node: Node, index: int) -> Column:
        """The column or constant a FIELD or PARAM describes (VOTable 1.5, section 4.1)."""
        told = (node.get("datatype") or "string").strip()
        arraysize = node.get("arraysize")
        datatype = _DATATYPES.get(told.lower())
        name = (node.get("name") or node.get("ID") or f"col{index}").strip()
        if datatype is None:
            wild = _WILD_DATATYPES.get(told.lower())
            if wild is None:
                self.refuse(
                    f"The {node.name} {name} has the datatype {told[:40]!r}",
                    hint=f"VOTable knows {', '.join(sorted(set(_DATATYPES.values())))}.",
                )
            datatype, arraysize = wild[0], arraysize or wild[1]
        if arraysize is not None:
            arraysize = arraysize.strip()
            try:
                shape_of(arraysize)
            except FormatError as exc:
                self.refuse(f"The {node.name} {name}: {exc.what}")
        values = next(iter(node.all("VALUES")), None)
        if values is not None and (reference := values.get("ref")):
            values = self._values.get(reference, values)
        least = next(iter(values.all("MIN")), None) if values else None
        most = next(iter(values.all("MAX")), None) if values else None
        return Column(
            name=name,
            datatype=cast(Datatype, datatype),
            arraysize=arraysize,
            xtype=node.get("xtype"),
            unit=node.get("unit"),
            ucd=node.get("ucd"),
            utype=node.get("utype"),
            description=node.description(),
            id=node.get("ID"),
            ref=node.get("ref"),
            null=values.get("null") if values else None,
            minimum=least.get("value") if least else None,
            maximum=most.get("value") if most else None,
            options=tuple(_options(values)) if values else (),
            width=_whole(node.get("width")),
            precision=node.get("precision"),
            links=tuple(link for link in map(_link, node.all("LINK")) if link.href),
            value=node.attributes.get("value", "") if node.name == "PARAM" else None,
        )

    def group(self, node: Node) -> Group:
        """A GROUP with what it refers to (VOTable 1.5, section 4.8)."""
        return Group(
            name=node.get("name"),
            id=node.get("ID"),
            ucd=node.get("ucd"),
            utype=node.get("utype"),
            ref=node.get("ref"),
            description=node.description(),
            column_refs=tuple(ref for child in node.all("FIELDref") if (ref := child.get("ref"))),
            param_refs=tuple(ref for child in node.all("PARAMref") if (ref := child.get("ref"))),
            params=tuple(self.column(child, index) for index, child in enumerate(node.all("PARAM"), start=1)),
            groups=tuple(self.group(child) for child in node.all("GROUP")),
        )


def _hint_for(reason: str) -> str | None:
    if "invalid token" in reason:
        return "A stray < or &, or characters that are not in the encoding the document declares."
    if "undefined entity" in reason:
        return "XML knows &lt; &gt; &amp; &quot; &apos; only."
    return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isascii() and text.strip().isdigit() and len(text) < 19 else None


def _info(node: Node) -> Info:
    return Info(name=node.get("name") or "INFO", value=node.attributes.get("value", ""), text=node.text() or None)


def _link(node: Node) -> Link:
    return Link(
        href=node.get("href") or "",
        content_type=node.get("content-type"),
        content_role=node.get("content-role"),
        title=node.get("title"),
    )


def _frame(node: Node) -> CoordinateFrame:
    return CoordinateFrame(
        id=node.get("ID") or "",
        system=node.get("system") or "eq_FK5",
        epoch=node.get("epoch"),
        equinox=node.get("equinox"),
        refposition=node.get("refposition"),
    )


def _time_frame(node: Node) -> TimeFrame:
    return TimeFrame(
        id=node.get("ID") or "",
        timescale=node.get("timescale") or "UNKNOWN",
        refposition=node.get("refposition") or "UNKNOWN",
        timeorigin=node.get("timeorigin"),
    )


def _options(values: Node) -> Iterable[tuple[str, str]]:
    for option in values.all("OPTION"):
        yield option.attributes.get("name", ""), option.attributes.get("value", "")
        yield from _options(option)
