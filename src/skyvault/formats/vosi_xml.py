"""VOSI documents: whether a service is up, which tables it has, what it can do (VOSI 1.1; VODataService 1.2).

What a service can do is described by the values in :mod:`skyvault.formats.capability`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from skyvault.formats.xml_text import attributes, element
from skyvault.model.job import format_instant
from skyvault.model.table import Column, ForeignKey, Table

CONTENT_TYPE = "text/xml;charset=UTF-8"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
VS = "http://www.ivoa.net/xml/VODataService/v1.1"
AVAILABILITY = "http://www.ivoa.net/xml/VOSIAvailability/v1.0"
TABLES = "http://www.ivoa.net/xml/VOSITables/v1.0"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
ESA_TAP_PLUS = "http://esa.int/xml/EsaTapPlus"
_TABLE_NAMESPACES = f' xmlns:vtm="{TABLES}" xmlns:vs="{VS}" xmlns:xsi="{XSI}"'

Detail = Literal["min", "max"]


def availability_document(
    *,
    is_available: bool,
    up_since: float | None = None,
    down_at: float | None = None,
    back_at: float | None = None,
    notes: Iterable[str] = (),
) -> bytes:
    """Whether the service is up (VOSI 1.1, section 4). Times are seconds since 1970 (UTC)."""
    times = (("upSince", up_since), ("downAt", down_at), ("backAt", back_at))
    return "".join(
        (
            _HEAD,
            f'<avl:availability xmlns:avl="{AVAILABILITY}">\n',
            element("avl:available", "true" if is_available else "false"),
            *(element(f"avl:{name}", format_instant(time)) for name, time in times if time is not None),
            *(element("avl:note", note) for note in notes),
            "\n</avl:availability>\n",
        )
    ).encode()


@dataclass(frozen=True, slots=True)
class SchemaDescription:
    """A schema and its tables, whose names are qualified ("schema.table")."""

    name: str
    tables: tuple[Table, ...] = ()
    description: str | None = None
    title: str | None = None
    utype: str | None = None


def tableset_document(
    schemas: Iterable[SchemaDescription],
    *,
    detail: Detail = "min",
    spell: Callable[[str], str] = str,
) -> Iterator[bytes]:
    """All tables (VOSI 1.1, section 6), schema by schema. With ``detail="min"`` no columns and no keys.

    ``spell`` writes a column's name as it must be written in a query (quoted where need be).
    """
    yield f"{_HEAD}<vtm:tableset{_TABLE_NAMESPACES}>\n".encode()
    for schema in schemas:
        yield _schema_head(schema).encode()
        for table in schema.tables:
            yield _table(table, "table", "", detail, spell).encode()
        yield b"</schema>\n"
    yield b"</vtm:tableset>\n"


def schema_element(schema: SchemaDescription, *, detail: Detail = "max", spell: Callable[[str], str] = str) -> str:
    """A schema with its tables as a registry record holds it."""
    tables = "".join(_table(table, "table", "", detail, spell) for table in schema.tables)
    return f"{_schema_head(schema)}{tables}</schema>\n"


def _schema_head(schema: SchemaDescription) -> str:
    return (
        "<schema>"
        + element("name", schema.name)
        + element("title", schema.title)
        + element("description", schema.description)
        + element("utype", schema.utype)
        + "\n"
    )


def table_document(table: Table, *, spell: Callable[[str], str] = str) -> bytes:
    """One table in full (VOSI 1.1, section 6.2)."""
    return (_HEAD + _table(table, "vtm:table", _TABLE_NAMESPACES, "max", spell)).encode()


def _table(table: Table, tag: str, namespaces: str, detail: Detail, spell: Callable[[str], str]) -> str:
    # the order of VODataService 1.2, section 3.3.2
    parts = [
        f"<{tag}{namespaces}{attributes([('type', table.kind)])}>",
        element("name", table.name),
        element("title", table.title),
        element("description", table.description),
        element("utype", table.utype),
        element("nrows", table.nrows),
    ]
    if detail == "max":
        parts.append("\n")
        parts += [_column(column, spell) for column in table.columns]
        parts += [_foreign_key(key, spell) for key in table.foreign_keys]
    parts.append(f"</{tag}>\n")
    return "".join(parts)


def _column(column: Column, spell: Callable[[str], str]) -> str:
    flags = (("indexed", column.indexed), ("nullable", column.nullable))
    # a scalar has no arraysize; "1" would be an array of one
    arraysize = column.arraysize or None
    if arraysize == "1" and not column.is_text:
        arraysize = None
    return "".join(
        (
            f"<column{attributes([('std', 'true' if column.std else 'false')])}>",
            element("name", spell(column.name)),
            element("description", column.description),
            element("unit", column.unit),
            element("ucd", column.ucd),
            element("utype", column.utype),
            element(
                "dataType",
                column.datatype,
                ("xsi:type", "vs:VOTableType"),
                ("arraysize", arraysize),
                ("extendedType", column.xtype),
            ),
            *(element("flag", flag) for flag, is_set in flags if is_set),
            "</column>\n",
        )
    )


def with_tap_plus_flags(document: bytes) -> bytes:
    """The same tableset with the attribute without which ESA's TAP+ client reads no table.

    No schema allows it, so only that client gets it.
    """
    document = document.replace(b"<vtm:tableset", f'<vtm:tableset xmlns:esatapplus="{ESA_TAP_PLUS}"'.encode(), 1)
    return document.replace(b"<column std=", b'<column esatapplus:flags="0" std=')


def _foreign_key(key: ForeignKey, spell: Callable[[str], str]) -> str:
    pairs = "".join(
        f"<fkColumn>{element('fromColumn', spell(own))}{element('targetColumn', spell(other))}</fkColumn>"
        for own, other in key.columns
    )
    return (
        f"<foreignKey>{element('targetTable', key.target_table)}{pairs}"
        f"{element('description', key.description)}{element('utype', key.utype)}</foreignKey>\n"
    )
