"""Writes ``schema.sql`` anew from the tables: ``python -m skyvault.ledger.migrations.render``."""

from __future__ import annotations

from pathlib import Path

#: as alembic itself makes it
_ALEMBIC = """CREATE TABLE alembic_version (
\tversion_num VARCHAR(32) NOT NULL,
\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""
SCHEMA = Path(__file__).with_name("schema.sql")


def render() -> str:
    """The statements that make every table of the ledger in an empty SQLite file."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from skyvault.ledger.tables import metadata

    dialect = sqlite.dialect()
    statements = [_ALEMBIC]
    for table in metadata.tables.values():
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            statements.append(str(CreateIndex(index).compile(dialect=dialect)))
    lines = (line.rstrip() for statement in statements for line in (statement.strip() + ";").splitlines())
    return "-- rendered from tables.py by python -m skyvault.ledger.migrations.render\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(render(), encoding="utf-8")
