"""The ledger's file: made once, read while written, refused where it cannot be trusted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skyvault.errors import Busy, ConfigError, StoreError
from skyvault.ledger.engine import Database, Place
from skyvault.ledger.filesystem import file_system_of, is_network
from skyvault.ledger.ledger import open_ledger

MOUNTS = """22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 8:1 / /home/ann/local\\040disk rw - xfs /dev/sdb1 rw
32 27 0:41 / /mnt/remote rw - fuse.sshfs ann@host:/ rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/skyvault/ledger.db", "ext4", False),
        ("/home/ann/ledger.db", "nfs4", True),
        ("/home/ann/local disk/ledger.db", "xfs", False),
        ("/homework/ledger.db", "ext4", False),
        ("/mnt/remote/x", "fuse.sshfs", True),
    ],
)
def test_a_path_lies_on_the_file_system_of_its_longest_mount(path: str, kind: str, network: bool) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind
    assert is_network(kind) is network


def test_a_network_file_system_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 / {tmp_path} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("skyvault.ledger.filesystem._MOUNTS", str(mounts))
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*SKYVAULT_HOME"):
        open_ledger(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db").exists()


def test_a_url_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SKYVAULT_LEDGER"):
        open_ledger(Path("postgresql://localhost/ledger"))


def test_the_ledger_is_in_wal_mode_with_normal_synchronisation(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "deep" / "folder" / "ledger.db") as ledger:
        row = ledger.database.fetch_one("PRAGMA journal_mode")
        assert row is not None and row[0] == "wal"
        row = ledger.database.fetch_one("PRAGMA synchronous")
        assert row is not None and row[0] == 1


def test_several_processes_may_make_the_same_new_ledger_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from skyvault.ledger.ledger import open_ledger;"
        "open_ledger(pathlib.Path(sys.argv[1])).close()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "ledger.db")], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[1].decode() for process in processes] == [""] * 4


def test_neither_sqlalchemy_nor_alembic_is_imported_by_a_running_server() -> None:
    program = (
        "import sys, skyvault.ledger.ledger, skyvault.jobs.runner;"
        "print([name for name in ('sqlalchemy', 'alembic', 'psycopg', 'astropy', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_transaction_that_fails_changes_nothing(place: Place) -> None:
    with open_ledger(place) as ledger:
        with pytest.raises(ZeroDivisionError), ledger.database.write() as connection:
            connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
            raise ZeroDivisionError
        assert ledger.database.fetch_one("SELECT * FROM meta WHERE key = 'a'") is None


def test_readers_do_not_wait_for_a_writer_and_writers_give_up_after_their_patience(place: Place) -> None:
    with open_ledger(place, busy_timeout_s=0.05) as one, open_ledger(place) as two:
        with two.database.write() as connection:
            connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
            assert one.database.fetch_one("SELECT * FROM meta WHERE key = 'a'") is None
            with pytest.raises(Busy, match="written by others"), one.database.write():
                pass
            with one.database.patience(0.001), pytest.raises(Busy), one.database.write():
                pass
        assert one.database.fetch_one("SELECT * FROM meta WHERE key = 'a'") is not None


def test_the_change_counter_tells_of_writes_by_others_and_by_this_process(place: Place) -> None:
    with open_ledger(place) as one, open_ledger(place) as two:
        seen = one.change_counter()
        assert one.change_counter() == seen
        for writer in (two, one):
            with writer.database.write() as connection:
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('a', 'b') ON CONFLICT (key) DO UPDATE SET value = 'c'"
                )
            assert one.change_counter() != seen
            seen = one.change_counter()


def test_writers_of_many_threads_and_connections_lose_nothing(place: Place) -> None:
    ledgers = [open_ledger(place) for _ in range(2)]
    with ledgers[0].database.write() as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('n', '0')")

    def count(database: Database) -> None:
        for _ in range(100):
            with database.write() as connection:
                connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'n'")

    threads = [threading.Thread(target=count, args=(ledger.database,)) for ledger in ledgers * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = ledgers[0].database.fetch_one("SELECT value FROM meta WHERE key = 'n'")
    assert row is not None and int(row[0]) == 600
    for ledger in ledgers:
        ledger.close()


def test_a_damaged_ledger_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is not a database, it only has its name" * 100)
    with pytest.raises(StoreError, match=r"damaged.*backup"):
        open_ledger(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told_in_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be"):
        open_ledger(tmp_path / "ledger.db")


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="SKYVAULT_HOME"):
        open_ledger(tmp_path / "file" / "ledger.db")


def test_a_closed_ledger_says_so(place: Place) -> None:
    ledger = open_ledger(place)
    ledger.close()
    ledger.close()
    with pytest.raises(StoreError):
        ledger.holdings.current()


def test_a_backup_is_a_ledger_itself(place: Place, tmp_path: Path) -> None:
    with open_ledger(place) as ledger:
        job = ledger.jobs.create("tap", {"QUERY": ["x"]}, execution_duration_s=1, destruction_time=2)
        ledger.backup(tmp_path / "copy.db")
    with open_ledger(tmp_path / "copy.db") as copy:
        assert copy.jobs.get(job.id) == job


def test_checkpoint_empties_the_log_into_the_file(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.jobs.create("tap", {"QUERY": ["x" * 10_000]}, execution_duration_s=1, destruction_time=2)
        ledger.database.checkpoint()
        with sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?immutable=1", uri=True) as raw:
            assert raw.execute("SELECT COUNT(*) FROM jobs").fetchone()[0] == 1
        raw.close()
