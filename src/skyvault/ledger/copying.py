"""A ledger copied row by row: from PostgreSQL into a file (a backup), from a file into PostgreSQL (a move)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skyvault.errors import Conflict
from skyvault.ledger.engine import Connection, Database
from skyvault.ledger.migrations import upgrade
from skyvault.ledger.sqlite import SqliteDatabase

if TYPE_CHECKING:
    import sqlalchemy as sa

#: rows that are held in memory
_AT_ONCE = 1000
#: PostgreSQL's own count of changes is no part of what a ledger says
_NOT_COPIED = "changes"


class Reading(Protocol):
    """One consistent look at a whole ledger."""

    def stream(self, sql: str) -> Iterable[Any]:
        """The rows of a query, some at a time."""
        ...


def copy_to_file(source: Reading, target: Path) -> int:
    """Write all rows of a ledger into a new SQLite file; returns how many."""
    database = SqliteDatabase(target)
    try:
        upgrade(database)
        return _copy(source, database, {})
    finally:
        database.close()


def copy_from_file(source: Path, database: Database, *, marked: Mapping[str, str] | None = None) -> int:
    """Write all rows of a ledger's file into an empty ledger; returns how many. All or nothing.

    An older file is brought up to date first. ``marked`` are remarks (rows of ``meta``) for the new one. Raises
    Conflict when the ledger holds anything already.
    """
    file = SqliteDatabase(source)
    try:
        upgrade(file)
        return _copy(file, database, marked or {})
    finally:
        file.close()


def refuse_filled(database: Database) -> None:
    """Raises Conflict when anything was ever kept in this ledger."""
    for table in _tables():
        if database.fetch_one(f"SELECT 1 FROM {table.name} WHERE {_copied(table)} LIMIT 1") is not None:
            raise Conflict(
                f"the ledger {database.place} is not empty", hint="Name an empty database, or another schema of it."
            )


def _tables() -> list[sa.Table]:
    from skyvault.ledger.tables import metadata

    return list(metadata.tables.values())


def _copied(table: sa.Table) -> str:
    return f"key <> '{_NOT_COPIED}'" if table.name == "meta" else "1 = 1"


def _copy(source: Reading, target: Database, marked: Mapping[str, str]) -> int:
    count = 0
    with target.write() as connection:
        # nobody writes from here on
        refuse_filled(target)
        for table in _tables():
            count += _copy_table(source, connection, table)
            if table.autoincrement_column is not None and target.dialect == "postgresql":
                column = table.autoincrement_column.name
                connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), COALESCE(MAX({column}), 1),"
                    f" MAX({column}) IS NOT NULL) FROM {table.name}",
                    {},
                )
        connection.executemany(
            "INSERT INTO meta (key, value) VALUES (:key, :value)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [{"key": key, "value": value} for key, value in marked.items()],
        )
    return count


def _copy_table(source: Reading, target: Connection, table: sa.Table) -> int:
    names = [column.name for column in table.columns]
    sql = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
    rows = iter(source.stream(f"SELECT {', '.join(names)} FROM {table.name} WHERE {_copied(table)}"))
    count = 0
    while part := list(itertools.islice(rows, _AT_ONCE)):
        target.executemany(sql, [_named(names, row) for row in part])
        count += len(part)
    return count


def _named(names: list[str], row: Any) -> Mapping[str, Any]:
    return dict(zip(names, row, strict=True))
