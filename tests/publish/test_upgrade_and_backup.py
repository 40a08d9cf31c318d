"""Tables of an older format are written anew, newer ones refused; a backup is a data directory of its own."""

from __future__ import annotations

import shutil
import sqlite3
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from skyvault.cli import backup as backup_cli
from skyvault.cli import upgrade as upgrade_cli
from skyvault.config import Settings
from skyvault.errors import Conflict, StoreError
from skyvault.publish.backup import backup
from skyvault.publish.checker import check
from skyvault.publish.publisher import publish, unpublish
from skyvault.publish.upgrade import upgrade
from skyvault.serve.local import query


@pytest.fixture
def two_tables(tmp_path, published):
    rng = np.random.default_rng(0)
    place = {"ra": rng.uniform(0, 360, 5000), "dec": rng.uniform(-90, 90, 5000)}
    pq.write_table(pa.table({"source_id": np.arange(5000)} | place), tmp_path / "stars.parquet")
    regions = [f"CIRCLE ICRS {ra:.4f} {dec:.4f} 0.2" for ra, dec in zip(*place.values(), strict=True)]
    columns = {
        "obs_id": [f"o{i}" for i in range(5000)],
        "s_ra": place["ra"],
        "s_dec": place["dec"],
        "s_region": regions,
    }
    pq.write_table(pa.table(columns), tmp_path / "obs.parquet")
    published(tmp_path / "stars.parquet", "lab.stars")
    published(tmp_path / "obs.parquet", "lab.obs", obscore=True)
    return tmp_path


def count(settings, table, where=""):
    stream = query(f"SELECT COUNT(*) FROM {table} {where}", settings=settings)
    return sum(batch.column(0).to_pylist()[0] for batch in stream.batches)


def set_format(settings, number, name):
    with sqlite3.connect(settings.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE holdings SET format = ? WHERE key = ?", (number, name))
    ledger.close()


def errors(settings):
    return [finding for finding in check(settings=settings) if finding.severity == "error"]


def test_tables_of_an_older_format_are_written_anew_with_their_indices(two_tables, settings, rows):
    assert upgrade(settings=settings) == []
    set_format(settings, 0, "lab.obs")
    assert any("skyvault upgrade" in finding.hint for finding in check("lab.obs", settings=settings))
    done = upgrade(settings=settings)
    assert [(one.name, one.before, one.nrows) for one in done] == [("lab.obs", 0, 5000), ("ivoa.ObsCore", 1, 5000)]
    assert errors(settings) == [] and upgrade(settings=settings) == []
    ra, dec = rows("SELECT TOP 1 s_ra, s_dec FROM lab.obs")[0]
    assert rows(f"SELECT COUNT(*) FROM ivoa.ObsCore WHERE 1 = CONTAINS(POINT({ra}, {dec}), s_region)")[0][0] >= 1


def test_all_tables_can_be_written_anew(two_tables, settings):
    answer = CliRunner().invoke(upgrade_cli.command, ["--all", "--home", str(settings.home)], standalone_mode=False)
    assert answer.exception is None
    assert "lab.stars: 5,000 rows, from format 1 to 1." in answer.output and "ivoa.ObsCore" in answer.output
    assert count(settings, "lab.stars") == 5000 and errors(settings) == []


def test_a_table_of_a_newer_version_stops_the_upgrade_before_anything_is_changed(two_tables, settings):
    set_format(settings, 0, "lab.obs")
    set_format(settings, 99, "lab.stars")
    with pytest.raises(StoreError, match=r"lab\.stars has format 99"):
        upgrade(settings=settings)
    assert any(f.where == "lab.stars" and "format 99" in f.what for f in errors(settings))


def test_an_obscore_that_misses_a_collection_is_found_and_merged(two_tables, settings):
    with sqlite3.connect(settings.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE holdings SET extra = replace(extra, 'member_snapshots', 'x') WHERE key = 'ivoa.obscore'")
        ledger.execute(
            "UPDATE holdings SET extra = json_set(extra, '$.member_snapshots', json('{}')) WHERE key = 'ivoa.obscore'"
        )
    ledger.close()
    assert [finding.where for finding in errors(settings)] == ["ivoa.ObsCore"]
    assert [one.name for one in upgrade(settings=settings)] == ["ivoa.ObsCore"]
    assert errors(settings) == []


def test_a_backup_is_a_data_directory_that_answers(two_tables, settings, tmp_path):
    target = tmp_path / "safe" / "copy"
    answer = CliRunner().invoke(backup_cli.command, [str(target), "--home", str(settings.home)], standalone_mode=False)
    assert answer.exception is None, answer.output
    assert "3 tables" in answer.output and "3 copied" in answer.output
    shutil.rmtree(settings.home)
    restored = Settings(home=target)
    assert count(restored, "lab.stars") == 5000 and count(restored, "ivoa.ObsCore") == 5000
    assert errors(restored) == []


def test_a_second_backup_copies_what_is_new_and_forgets_what_is_gone(two_tables, settings, tmp_path):
    first = backup(tmp_path / "copy", settings=settings)
    assert (first.tables, first.copied, first.kept) == (3, 3, 0)
    publish(tmp_path / "stars.parquet", name="lab.more", settings=settings)
    unpublish("lab.obs", settings=settings)
    second = backup(tmp_path / "copy", settings=settings)
    assert (second.tables, second.copied, second.kept) == (2, 1, 1)
    assert len(list((tmp_path / "copy" / "store").iterdir())) == 2
    restored = Settings(home=tmp_path / "copy")
    assert count(restored, "lab.more") == 5000 and errors(restored) == []


def test_a_backup_while_tables_are_replaced_is_consistent(two_tables, settings, tmp_path):
    stop = threading.Event()
    problems = []

    def replacing():
        while not stop.is_set():
            try:
                publish(tmp_path / "stars.parquet", name="lab.stars", settings=settings)
            except Exception as problem:
                problems.append(problem)

    thread = threading.Thread(target=replacing)
    thread.start()
    try:
        for number in range(5):
            backup(tmp_path / "copy", settings=settings)
            assert errors(Settings(home=tmp_path / "copy")) == [], number
    finally:
        stop.set()
        thread.join()
    assert problems == []


def test_a_backup_never_writes_over_other_things(two_tables, settings, tmp_path):
    with pytest.raises(Conflict, match="not empty"):
        backup(tmp_path, settings=settings)
    with pytest.raises(Conflict, match="data directory itself"):
        backup(settings.home, settings=settings)
    with pytest.raises(StoreError, match="nothing is published"):
        backup(tmp_path / "copy", settings=Settings(home=tmp_path / "nowhere"))
