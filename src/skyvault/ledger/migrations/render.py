"""Writes ``schema.*.sql`` anew from the tables: ``python -m skyvault.ledger.migrations.render``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

#: as alembic itself makes it
_ALEMBIC = """CREATE TABLE alembic_version (
\tversion_num VARCHAR(32) NOT NULL,
\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""
Dialect = Literal["sqlite", "postgresql"]
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql")


def path_of(dialect: Dialect) -> Path:
    """Where the statements for a database lie."""
    return Path(__file__).with_name(f"schema.{dialect}.sql")


def render(dialect: Dialect) -> str:
    """The statements that make every table of the ledger in an empty database."""
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from skyvault.ledger.tables import COUNTER_OF_CHANGES, metadata

    kinds: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}
    made = kinds[dialect].dialect()
    statements = [_ALEMBIC]
    for table in metadata.tables.values():
        statements.append(str(CreateTable(table).compile(dialect=made)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            statements.append(str(CreateIndex(index).compile(dialect=made)))
    if dialect == "postgresql":
        statements.append(COUNTER_OF_CHANGES)
    lines = (line.rstrip() for statement in statements for line in (statement.strip() + ";").splitlines())
    return "-- rendered from tables.py by python -m skyvault.ledger.migrations.render\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    for one in DIALECTS:
        path_of(one).write_text(render(one), encoding="utf-8")
