"""How the ledger's tables came to be, version by version, and how an older ledger is brought up to date."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from skyvault.errors import StoreError
from skyvault.ledger.engine import Database, Place

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Every version there was, oldest first. The last is what this release reads and writes.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006")
HEAD = REVISIONS[-1]


def upgrade(database: Database) -> None:
    """Make a new ledger's tables, or bring an older one's up to date; nothing when it is (one query, 30 us).

    A new ledger is made from ``schema.*.sql``, which says the same as all migrations one after the other, so that
    neither alembic nor SQLAlchemy (1.3 s) is imported unless there is something to migrate. A file is copied before
    it is migrated; PostgreSQL migrates in one transaction. Raises StoreError when a newer release wrote it.
    """
    found = _revision(database)
    if found == HEAD:
        return
    if found is None:
        _create(database)
        return
    if found not in REVISIONS:
        raise StoreError(
            f"{database.place} was written by a newer Skyvault (ledger version {found}; this one knows {HEAD})",
            hint="Update Skyvault, or set SKYVAULT_HOME (or SKYVAULT_LEDGER) to another place.",
        )
    place = _place(database)
    if isinstance(place, Path):
        database.backup(place.with_name(f"{place.name}.before-{HEAD}"))
    migrate(place, HEAD)


def _revision(database: Database) -> str | None:
    if not database.has_table("alembic_version"):
        return None
    row = database.fetch_one("SELECT version_num FROM alembic_version")
    return None if row is None else str(row[0])


def _create(database: Database) -> None:
    schema = files(__package__).joinpath(f"schema.{database.dialect}.sql")
    statements = schema.read_text(encoding="utf-8").split(";\n")
    with database.creating() as connection:
        # two processes may start at once on an empty folder
        if database.has_table("alembic_version"):
            return
        for statement in statements:
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (:head)", {"head": HEAD})


def _place(database: Database) -> Place:
    place: Place = database.url if database.dialect == "postgresql" else database.path  # type: ignore[attr-defined]
    return place


def migrate(place: Place, revision: str) -> None:
    """Run alembic up to ``revision`` on a ledger."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = _engine(place)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _engine(place: Place) -> sa.Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    if isinstance(place, Path):
        return create_engine(f"sqlite:///{place}", poolclass=NullPool)
    import psycopg

    # libpq reads the address, as it does for the running server: SQLAlchemy knows fewer forms of it
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(place.reveal()), poolclass=NullPool)
