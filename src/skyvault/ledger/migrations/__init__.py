"""How the ledger's tables came to be, version by version, and how an older file is brought up to date."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from skyvault.errors import StoreError
from skyvault.ledger.engine import Database

#: Every version there was, oldest first. The last is what this release reads and writes.
REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004")
HEAD = REVISIONS[-1]


def upgrade(database: Database) -> None:
    """Make a new file's tables, or bring an older one's up to date; nothing when it is (one query, 30 us).

    A new file is made from ``schema.sql``, which says the same as all migrations one after the other, so that
    neither alembic nor SQLAlchemy (1.3 s) is imported unless there is something to migrate. Before it migrates, a
    copy is laid beside the file. Raises StoreError when the file was written by a newer release.
    """
    found = _revision(database)
    if found == HEAD:
        return
    if found is None:
        _create(database)
        return
    if found not in REVISIONS:
        raise StoreError(
            f"{database.path} was written by a newer Skyvault (ledger version {found}; this one knows {HEAD})",
            hint="Update Skyvault, or set SKYVAULT_HOME to another folder.",
        )
    database.backup(database.path.with_name(f"{database.path.name}.before-{HEAD}"))
    migrate(database.path, HEAD)


def _revision(database: Database) -> str | None:
    if database.fetch_one("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'") is None:
        return None
    row = database.fetch_one("SELECT version_num FROM alembic_version")
    return None if row is None else str(row[0])


def _create(database: Database) -> None:
    statements = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8").split(";\n")
    with database.write() as connection:
        # two processes may start at once on an empty folder
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return
        for statement in statements:
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (:head)", {"head": HEAD})


def migrate(path: Path, revision: str) -> None:
    """Run alembic up to ``revision`` on a SQLite file."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
