"""The pipeline's database, SQLite and PostgreSQL: older tables are migrated, faults are one sentence, nothing is lost."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import postgresql_server
from processes import environment, free_port
from skyvault.pipeline import Catalog, Detection, Lightcurve, Project, Source, VirtualDemoObs, database
from skyvault.pipeline.catalog import make_test_catalog
from skyvault.pipeline.faults import DatabaseError
from skyvault.pipeline.migrations import steps
from skyvault.pipeline.rows import keep_sources
from skyvault.pipeline.tables import SCHEMA_VERSION, Base, SchemaVersion

HERE = Path(__file__).parent
PASSWORD = "correct-horse"


def sources(number: int) -> Catalog:
    return Catalog(data=make_test_catalog(number), name_column="object_id", catalog_name="tried", cfg_file=False)


def made_by_version_1(address: str) -> None:
    """Tables as the first version made them, with a source, its light curve and a detection."""
    url = sa.make_url(address)
    kind = url.get_backend_name()
    statements = [text for text in (HERE / f"schema_v1.{kind}.sql").read_text().split(";\n") if text.strip()]
    statements += [
        "INSERT INTO pipeline_schema (id, version) VALUES (1, 1)",
        "INSERT INTO sources (id, name, ra, dec, project, cfg_hash) VALUES (7, 'old', 1.5, -2.5, 'OLD', '')",
        "INSERT INTO detections (id, source_id, source_name, project, cfg_hash, method, data_types, simulated, snr)"
        f" VALUES (9, 7, 'old', 'OLD', '', 'peak finding', '[]', {'0' if kind == 'sqlite' else 'false'}, 6.5)",
    ]
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if kind == "postgresql" else url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def shape_of(held: database.Database) -> dict[str, Any]:
    """What the tables look like, whoever made them."""
    look = sa.inspect(held.engine)
    return {
        table: (
            {(one["name"], str(one["type"]), one["nullable"]) for one in look.get_columns(table)},
            {(one["name"], *one["column_names"]) for one in look.get_indexes(table)},
            {(*one["constrained_columns"], one["referred_table"]) for one in look.get_foreign_keys(table)},
            {tuple(one["column_names"]) for one in look.get_unique_constraints(table)},
        )
        for table in look.get_table_names()
    }


def test_tables_of_the_first_version_become_those_of_today_with_their_rows(
    tmp_path: Path, data_folder: Path, database_of: Callable[[Path], str]
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = database_of(tmp_path / "old"), database_of(tmp_path / "new")
    made_by_version_1(old)
    migrated, fresh = database.use(old), database.Database(new)
    assert shape_of(migrated) == shape_of(fresh), "a change of the tables needs a step in pipeline/migrations"
    with database.Session() as session:
        source = session.get(Source, 7)
        assert source is not None and source.detections[0].snr == 6.5
        assert source.detections[0].thumbnail is None
        assert session.scalars(sa.select(SchemaVersion.version)).one() == SCHEMA_VERSION
    project = Project("later", catalog=sources(2))
    assert project.run().done == 2
    fresh.close()


def test_every_version_has_its_step() -> None:
    assert list(steps()) == list(range(2, SCHEMA_VERSION + 1))


def test_a_step_that_fails_changes_nothing(
    tmp_path: Path, database_of: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = database_of(tmp_path)
    made_by_version_1(address)
    from skyvault.pipeline.migrations import v0002_images_and_spectra as step

    whole = step._spectra
    monkeypatch.setattr(step, "_spectra", lambda: (whole(), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        database.Database(address)
    monkeypatch.setattr(step, "_spectra", whole)
    held = database.Database(address)
    assert "spectra" in sa.inspect(held.engine).get_table_names()
    held.close()


def test_tables_of_a_newer_version_are_refused_in_a_sentence(each_database: str) -> None:
    held = database.Database(each_database)
    with held.writing() as connection:
        connection.execute(sa.update(SchemaVersion).values(version=99))
    held.close()
    with pytest.raises(DatabaseError, match=r"version 99.*works with version.*Update Skyvault"):
        database.Database(each_database)


def test_processes_that_begin_at_once_make_the_tables_once(tmp_path: Path, database_of: Callable[[Path], str]) -> None:
    address = database_of(tmp_path)
    program = "from skyvault.pipeline import database; database.use(None).close()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stderr=subprocess.PIPE,
            env=environment() | {"SKYVAULT_PIPELINE_DB": address},
        )
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[1].decode() for process in processes] == [""] * 4


def test_rows_come_back_as_they_were_put_in(each_database: str, data_folder: Path) -> None:
    observatory = VirtualDemoObs(project="tried", save_reduced=False)
    kept = Source(name="tab\there \\N ; ü", ra=1.25, dec=-0.0, project="TRIED", aliases=["a\nb", None, 2.5, "\\"])
    found = Source(name="plain", ra=359.99, dec=90.0, project="TRIED", cat_row={"mag": 17.5, "none": None})
    keep_sources([kept, found])
    assert observatory is not None
    with database.Session() as session:
        one, two = session.scalars(sa.select(Source).order_by(Source.ra)).all()
        assert (one.name, one.ra, one.aliases) == (kept.name, 1.25, ["a\nb", None, 2.5, "\\"])
        assert (two.cat_row, two.mag, two.aliases) == ({"mag": 17.5, "none": None}, None, None)


def test_times_are_kept_alike_by_single_and_by_many_rows(each_database: str, data_folder: Path) -> None:
    Project("tried", catalog=sources(3)).run()
    with database.Session() as session:
        curve = session.scalars(sa.select(Lightcurve)).first()
        assert curve is not None
        begin = curve.time_start
        curve.time_end = begin
        session.commit()
        session.expire_all()
        assert session.scalars(sa.select(Lightcurve).where(Lightcurve.id == curve.id)).one().time_end == begin


def test_smart_sessions_open_close_and_do_nothing(each_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.SmartSession() as session:
        session.add(Source(name="one", ra=1.0, dec=2.0))
        session.commit()
        with database.SmartSession(session) as same:
            assert same is session
        assert session.scalars(sa.select(Source.name)).all() == ["one"]
    with database.SmartSession(False) as nothing:
        nothing.add(Source(name="two", ra=1.0, dec=2.0))
        assert nothing.scalars(sa.select(Source)).all() == []
    monkeypatch.setattr(database, "NO_DB_SESSION", True)
    with database.SmartSession() as nothing:
        assert nothing.execute(sa.select(Source)).first() is None
    monkeypatch.setattr(database, "NO_DB_SESSION", False)
    with pytest.raises(TypeError, match="a session, None or False"), database.SmartSession(7):
        pass


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ann:{PASSWORD}@127.0.0.1:{{port}}/db",
        f"postgresql://ann:{PASSWORD}@127.0.0.1:{{port}}/db?application_name={PASSWORD}",
        f"postgresql://ann:x/{PASSWORD}@127.0.0.1:{{port}}/db",
        f"postgresql://ann:1:{PASSWORD}@host:x/db",
        f"nosuch://ann:{PASSWORD}@127.0.0.1/db",
    ],
)
def test_a_database_that_is_away_is_told_without_its_password(
    address: str, data_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    project = Project("tried", catalog=sources(1), database=address.format(port=free_port()))
    with pytest.raises(DatabaseError, match="cannot be used") as caught:
        project.run()
    shown = [str(caught.value), caplog.text, repr(project), str(project.pars), repr(project.pars)]
    shown += [str(project.output_config()), *(path.read_text() for path in data_folder.rglob("*.yaml"))]
    assert not [text for text in shown if PASSWORD in text]


def test_the_address_of_the_database_does_not_change_the_version(data_folder: Path) -> None:
    from skyvault.pipeline.versions import config_hash

    addresses = (None, "sqlite:///other.sqlite", f"postgresql://ann:{PASSWORD}@host/db")
    hashes = {
        config_hash(Project("tried", catalog=sources(1), database=address).output_config()) for address in addresses
    }
    assert len(hashes) == 1


def test_a_disk_that_is_full_is_told_and_what_was_finished_is_kept(data_folder: Path) -> None:
    project = Project("tried", catalog=sources(60), source_batch_size=5, executor="serial")
    held = database.use(None)

    def fill(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 6}")

    with sqlite3.connect(data_folder / "pipeline.sqlite") as raw:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.close()
    held.engine.dispose()
    sa.event.listen(held.engine, "connect", fill)
    with pytest.raises(DatabaseError, match=r"full.*What was finished is kept"):
        project.run()
    sa.event.remove(held.engine, "connect", fill)
    held.engine.dispose()
    finished = project.status().done
    assert 0 < finished < 60
    again = Project("tried", catalog=sources(60)).run()
    assert (again.skipped, again.done) == (finished, 60 - finished)


@pytest.mark.postgresql
def test_a_server_that_dies_in_a_run_loses_nothing_that_was_finished(data_folder: Path) -> None:
    server = postgresql_server.Server(keeps=True)
    try:
        project = Project("tried", catalog=sources(30), source_batch_size=5, executor="serial", database=server.url)

        def told(done: int, of: int) -> None:
            if done == 15:
                server.stop(signal.SIGQUIT)

        with pytest.raises(DatabaseError, match=r"postgresql://skyvault:\*\*\*@.*cannot be used.*run again"):
            project.run(on_progress=told)
        with pytest.raises(DatabaseError, match="cannot be used"), database.Session() as session:
            session.scalars(sa.select(Source)).all()
        server.start()
        again = Project("tried", catalog=sources(30), database=server.url).run()
        assert (again.skipped, again.done) == (15, 15)
        with database.Session() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Source)) == 30
    finally:
        database.current().close()
        server.remove()


@pytest.mark.postgresql
def test_a_database_that_may_only_be_read_is_told_in_a_sentence(postgresql_schema: str, data_folder: Path) -> None:
    database.Database(postgresql_schema).close()
    address = f"{postgresql_schema}%20-cdefault_transaction_read_only%3Don"
    with pytest.raises(DatabaseError, match="read-only transaction"):
        Project("tried", catalog=sources(2), database=address).run()


@pytest.mark.postgresql
def test_json_of_postgresql_can_be_queried(postgresql_schema: str, data_folder: Path) -> None:
    Project("tried", catalog=sources(4), database=postgresql_schema).run()
    with database.Session() as session:
        count = session.scalar(sa.text("SELECT count(*) FROM properties WHERE props->>'num_epochs' = '100'"))
        assert count == 4
        assert session.scalar(sa.select(sa.func.count()).select_from(Detection)) is not None
    assert set(Base.metadata.tables) == set(sa.inspect(database.current().engine).get_table_names())
