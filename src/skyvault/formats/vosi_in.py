"""VOSI table documents as clients send them: the definition of a table that has no rows yet."""

from __future__ import annotations

from typing import get_args
from xml.etree.ElementTree import Element

from skyvault.errors import FormatError
from skyvault.formats.xml_text import read_small
from skyvault.model.table import Column, Datatype, Table

#: TAP 1.0's and VODataService's other names of types
_TYPES: dict[str, tuple[Datatype, str | None]] = {
    "smallint": ("short", None),
    "integer": ("int", None),
    "bigint": ("long", None),
    "real": ("float", None),
    "varchar": ("char", "*"),
    "clob": ("char", "*"),
    "string": ("char", "*"),
    "timestamp": ("char", "*"),
}
_DATATYPES = frozenset(get_args(Datatype))


def read_vosi_table(document: bytes) -> Table:
    """The table a VOSI document (root ``table``, VOSI 1.1, section 6) defines; its name may be None's "".

    Raises FormatError for anything else, for a DOCTYPE, for types that are not known.
    """
    root = read_small(document, limit=4_000_000)
    if _local(root) != "table":
        raise FormatError(f"this is no VOSI table: its root is <{_local(root)[:40]}>, not <table>")
    columns = tuple(_column(child) for child in root if _local(child) == "column")
    return Table(_text(root, "name") or "", columns, description=_text(root, "description"))


def _column(element: Element) -> Column:
    name = _text(element, "name")
    kind = next((child for child in element if _local(child) == "dataType"), None)
    if not name or kind is None:
        raise FormatError("a column of the VOSI table has no name or no dataType")
    said = (kind.text or "").strip()
    arraysize, xtype = kind.get("arraysize"), kind.get("extendedType")
    plain = said.lower()
    if said in _DATATYPES:
        datatype: Datatype = said  # type: ignore[assignment]
    elif plain in _TYPES:
        datatype, usual = _TYPES[plain]
        arraysize = arraysize or kind.get("size") or usual
        xtype = xtype or ("timestamp" if plain == "timestamp" else None)
    else:
        raise FormatError(f"the column {name[:64]!r} has the unknown type {said[:40]!r}")
    if name.startswith('"') and name.endswith('"') and len(name) > 2:
        name = name[1:-1].replace('""', '"')
    return Column(
        name,
        datatype,
        arraysize,
        xtype=xtype,
        unit=_text(element, "unit"),
        ucd=_text(element, "ucd"),
        utype=_text(element, "utype"),
        description=_text(element, "description"),
    )


def _text(element: Element, name: str) -> str | None:
    found = next((child for child in element if _local(child) == name), None)
    return (found.text or "").strip() or None if found is not None else None


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]
