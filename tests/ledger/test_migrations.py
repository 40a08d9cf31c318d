"""The ledger's tables say the same in every place they are written down, and older files are brought up to date."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import postgresql_server
from processes import environment
from skyvault.config import Secret
from skyvault.errors import StoreError
from skyvault.ledger.engine import Place, open_database
from skyvault.ledger.ledger import open_ledger
from skyvault.ledger.migrations import HEAD, REVISIONS, migrate, upgrade
from skyvault.ledger.migrations.render import DIALECTS, Dialect, path_of, render
from skyvault.ledger.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    one = SqliteDatabase(tmp_path / "ledger.db")
    yield one
    one.close()


def _schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_schema_sql_is_what_the_tables_render_to(dialect: Dialect) -> None:
    assert path_of(dialect).read_text() == render(dialect), "run: python -m skyvault.ledger.migrations.render"


def test_a_new_file_and_a_migrated_one_are_the_same(database: SqliteDatabase, tmp_path: Path) -> None:
    upgrade(database)
    migrate(tmp_path / "migrated.db", "head")
    assert _schema(tmp_path / "migrated.db") == _schema(database.path)


def test_every_migration_is_listed_in_order() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(path_of("sqlite").parent))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_upgrade_of_a_file_that_is_up_to_date_changes_nothing(database: SqliteDatabase) -> None:
    upgrade(database)
    seen = database.change_counter()
    upgrade(database)
    assert database.change_counter() == seen


def test_a_file_of_a_newer_release_is_refused_in_a_sentence(place: Place) -> None:
    with open_ledger(place) as ledger, ledger.database.write() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'", {})
    with pytest.raises(StoreError, match=f"newer Skyvault.*9999.*{HEAD}.*Update"):
        open_ledger(place)


def test_an_older_file_is_copied_and_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a release before the first: an alembic table with a revision that only this test knows
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0000')")
        connection.commit()
    called: list[tuple[Path, str]] = []
    monkeypatch.setattr("skyvault.ledger.migrations.REVISIONS", ("0000", HEAD))
    monkeypatch.setattr("skyvault.ledger.migrations.migrate", lambda *arguments: called.append(arguments))
    database = SqliteDatabase(tmp_path / "ledger.db")
    upgrade(database)
    database.close()
    assert called == [(tmp_path / "ledger.db", HEAD)]
    assert (tmp_path / f"ledger.db.before-{HEAD}").exists()


def test_a_ledger_of_the_first_version_keeps_its_rows_on_the_way_to_the_last(place: Place) -> None:
    migrate(place, REVISIONS[0])
    database = open_database(place)
    with database.write() as connection:
        connection.execute(
            "INSERT INTO jobs (id, kind, phase, creation_time, execution_duration_s, destruction_time)"
            " VALUES ('old', 'tap', 'QUEUED', 1.5, 60, 2e9)",
            {},
        )
    database.close()
    with open_ledger(place) as ledger:
        assert ledger.jobs.get("old").creation_time == 1.5
        assert ledger.jobs.claim("me", lease_s=1, kinds=["tap"]) is not None
        ledger.users.add("ann", None)
        row = ledger.database.fetch_one("SELECT version_num FROM alembic_version")
        assert row is not None and row[0] == HEAD
    if isinstance(place, Path):
        assert place.with_name(f"{place.name}.before-{HEAD}").exists()


@pytest.mark.postgresql
def test_new_and_migrated_tables_are_the_same_in_postgresql(postgresql_url: str) -> None:
    said = []
    for is_migrated in (False, True):
        with postgresql_server.schema(postgresql_url) as address:
            if is_migrated:
                migrate(Secret(address), "head")
            with open_ledger(Secret(address)) as ledger:
                columns = ledger.database.fetch_all(
                    "SELECT table_name, column_name, data_type, is_nullable, collation_name,"
                    " regexp_replace(column_default, 'test_[0-9a-f]+', '') FROM information_schema.columns"
                    " WHERE table_schema = current_schema() ORDER BY 1, 2"
                )
                indexes = ledger.database.fetch_all(
                    "SELECT regexp_replace(indexdef, 'test_[0-9a-f]+', '') FROM pg_indexes"
                    " WHERE schemaname = current_schema() ORDER BY 1"
                )
                said.append([tuple(row) for row in (*columns, *indexes)])
                assert ledger.database.fetch_one("SELECT 1 FROM meta WHERE key = 'changes'") is not None
    assert said[0] == said[1]
    assert len(said[0]) > 100


@pytest.mark.postgresql
def test_several_processes_may_make_the_same_new_ledger_in_postgresql_at_once(postgresql_schema: str) -> None:
    program = (
        "import os; from skyvault.config import Secret; from skyvault.ledger.ledger import open_ledger;"
        "open_ledger(Secret(os.environ['PLACE'])).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stderr=subprocess.PIPE,
            env=environment() | {"PLACE": postgresql_schema},
        )
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[1].decode() for process in processes] == [""] * 4
