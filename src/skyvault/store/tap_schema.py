"""TAP_SCHEMA: the published tables described as tables themselves (TAP 1.1, section 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from skyvault.adql.storage import Stored, storage_names
from skyvault.adql.words import RESERVED
from skyvault.model.table import Column, ForeignKey, Table
from skyvault.store import regtap
from skyvault.store.engine import Engine
from skyvault.store.view import Shelved, split_name

if TYPE_CHECKING:
    import pyarrow as pa

_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def spelled(name: str) -> str:
    """One identifier as a query must write it: delimited where it is no regular identifier or a reserved word."""
    if _REGULAR.fullmatch(name) and name.lower() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def spelled_name(name: str) -> str:
    """A qualified table name as a query must write it."""
    return ".".join(spelled(part) for part in split_name(name))


def _text(name: str, description: str) -> Column:
    return Column(name, "char", "*", description=description, std=True)


def _int(name: str, description: str) -> Column:
    return Column(name, "int", description=description, std=True)


def _needed(column: Column) -> Column:
    return replace(column, nullable=False, principal=True)


SCHEMAS = Table(
    "TAP_SCHEMA.schemas",
    (
        _needed(_text("schema_name", "schema name, as a query must write it")),
        _text("utype", "utype, where the schema is a data model's"),
        _text("description", "what the schema holds"),
        _int("schema_index", "place in which to show it"),
    ),
    description="Schemas of this service",
)
TABLES = Table(
    "TAP_SCHEMA.tables",
    (
        _needed(_text("schema_name", "the schema it belongs to")),
        _needed(_text("table_name", "table name, as a query must write it")),
        _needed(_text("table_type", "table or view")),
        _text("utype", "utype, where the table is a data model's"),
        _text("description", "what the table holds"),
        _int("table_index", "place in which to show it"),
    ),
    description="Tables of this service",
    foreign_keys=(ForeignKey("tap_tables_schemas", "TAP_SCHEMA.schemas", (("schema_name", "schema_name"),)),),
)
COLUMNS = Table(
    "TAP_SCHEMA.columns",
    (
        _needed(_text("table_name", "the table it belongs to")),
        _needed(_text("column_name", "column name, as a query must write it")),
        _needed(_text("datatype", "VOTable datatype")),
        _text("arraysize", "VOTable arraysize"),
        _text("xtype", "VOTable xtype"),
        _int("size", "length of a one-dimensional array of fixed length"),
        _text("description", "what the column holds"),
        _text("utype", "utype, where the column is a data model's"),
        _text("unit", "unit (VOUnits)"),
        _text("ucd", "UCD"),
        _needed(_int("indexed", "1: queries that constrain it are fast")),
        _needed(_int("principal", "1: of first interest")),
        _needed(_int("std", "1: defined by a standard")),
        _int("column_index", "place in which to show it"),
    ),
    description="Columns of the tables of this service",
    foreign_keys=(ForeignKey("tap_columns_tables", "TAP_SCHEMA.tables", (("table_name", "table_name"),)),),
)
KEYS = Table(
    "TAP_SCHEMA.keys",
    (
        _needed(_text("key_id", "identifier of the key")),
        _needed(_text("from_table", "the table that refers")),
        _needed(_text("target_table", "the table referred to")),
        _text("description", "what the key says"),
        _text("utype", "utype of the key"),
    ),
    description="Foreign keys between the tables of this service",
    foreign_keys=(
        ForeignKey("tap_keys_from", "TAP_SCHEMA.tables", (("from_table", "table_name"),)),
        ForeignKey("tap_keys_target", "TAP_SCHEMA.tables", (("target_table", "table_name"),)),
    ),
)
KEY_COLUMNS = Table(
    "TAP_SCHEMA.key_columns",
    (
        _needed(_text("key_id", "identifier of the key")),
        _needed(_text("from_column", "column of the table that refers")),
        _needed(_text("target_column", "column of the table referred to")),
    ),
    description="Columns of the foreign keys",
    foreign_keys=(ForeignKey("tap_key_columns_keys", "TAP_SCHEMA.keys", (("key_id", "key_id"),)),),
)
STANDARD = (SCHEMAS, TABLES, COLUMNS, KEYS, KEY_COLUMNS)

SCHEMA_DESCRIPTIONS = {
    "tap_schema": "Tables that describe the tables of this service",
    "ivoa": "Tables defined by the International Virtual Observatory Alliance",
    "rr": regtap.DESCRIPTION,
}
SCHEMA_UTYPES = {"rr": regtap.UTYPE}


def schema_descriptions(shelves: Iterable[Shelved]) -> dict[str, str]:
    """What the schemas hold, by their names in lower case: as standards say it, or the resource that fills them."""
    found: dict[str, str] = {}
    for shelf in shelves:
        name = split_name(shelf.table.name)[0].lower()
        title = (shelf.extra.get("resource") or {}).get("title")
        if title:
            found.setdefault(name, str(title))
    return found | SCHEMA_DESCRIPTIONS


def shelve(
    engine: Engine, published: Iterable[Table], version: int, descriptions: Mapping[str, str] = SCHEMA_DESCRIPTIONS
) -> list[Shelved]:
    """Build TAP_SCHEMA for these tables in the engine's memory; ``version`` keeps old and new apart.

    ``descriptions`` are those of schemas (:func:`schema_descriptions`).
    """
    described = [*sorted(published, key=lambda table: table.name.lower()), *STANDARD]
    shelves = []
    for table, rows in _contents(described, descriptions):
        name = f"tap_schema_{version}_{split_name(table.name)[1]}"
        engine.load(name, rows)
        stored = Stored(f"memory.main.{name}", storage_names(table.column_names), rows.num_rows)
        shelves.append(Shelved(table, stored))
    return shelves


def drop(engine: Engine, version: int) -> None:
    """Forget the TAP_SCHEMA of an earlier version."""
    for table in STANDARD:
        engine.run(f"DROP TABLE IF EXISTS memory.main.tap_schema_{version}_{split_name(table.name)[1]}")


def _contents(tables: list[Table], descriptions: Mapping[str, str]) -> list[tuple[Table, pa.Table]]:
    schema_names = list(dict.fromkeys(split_name(table.name)[0] for table in tables))
    schemas = [
        (spelled(name), SCHEMA_UTYPES.get(name.lower()), descriptions.get(name.lower()), i + 1)
        for i, name in enumerate(schema_names)
    ]
    table_rows = [
        (spelled(split_name(t.name)[0]), spelled_name(t.name), t.kind, t.utype, t.description, i + 1)
        for i, t in enumerate(tables)
    ]
    column_rows = [
        (
            spelled_name(table.name),
            spelled(column.name),
            column.datatype,
            column.arraysize,
            column.xtype,
            int(column.arraysize) if column.arraysize and column.arraysize.isdigit() else None,
            column.description,
            column.utype,
            column.unit,
            column.ucd,
            int(column.indexed),
            int(column.principal),
            int(column.std),
            i + 1,
        )
        for table in tables
        for i, column in enumerate(table.columns)
    ]
    keys = [(table, key) for table in tables for key in table.foreign_keys]
    key_rows = [
        (key.id, spelled_name(table.name), spelled_name(key.target_table), key.description, key.utype)
        for table, key in keys
    ]
    pair_rows = [(key.id, spelled(a), spelled(b)) for _, key in keys for a, b in key.columns]
    contents: tuple[Sequence[tuple[object, ...]], ...] = (schemas, table_rows, column_rows, key_rows, pair_rows)
    return [(table, _arrow(table, rows)) for table, rows in zip(STANDARD, contents, strict=True)]


def _arrow(table: Table, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    fields = [
        pa.field(name, arrow_type(column))
        for name, column in zip(storage_names(table.column_names), table.columns, strict=True)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [pa.array(values, f.type) for values, f in zip(columns, fields, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields))
