"""Users' tables come along when a data directory is upgraded or copied: their rows, lives, grants and indices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skyvault.config import Settings
from skyvault.errors import Conflict, IngestError, StoreError
from skyvault.formats import open_table
from skyvault.ledger.user_tables import Space, UserTable
from skyvault.publish.backup import backup
from skyvault.publish.upgrade import upgrade
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.user_keep import Keep, UserKeeper
from skyvault.store.user_space import Reader

BODY = b"ra,dec,k\n" + b"".join(b"%f,%f,%d\n" % (n * 0.7 % 360, n * 0.31 % 90, n) for n in range(3000))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", user_tables=True, snapshot_grace_s=0.0)


@pytest.fixture
def kept(settings: Settings) -> Iterator[UserTable]:
    """A table with a position, a unique index and a grant, of somebody whose space is full."""
    with DuckStore(settings) as store:
        user = store.ledger.users.add("alice", None)
        keeper = UserKeeper(store.layout, store.ledger, settings)
        where = Keep(user.id, "t", Space(10**9, 1), 3600.0, "alice")
        table = keeper.keep(open_table(BODY), where)
        table = keeper.index(table, where, column="k", unique=True)
        store.ledger.user_tables.grant(table, "group", "survey", actor="alice")
        store.ledger.users.set_quota("alice", 1, 0)
        keeper.close()
    yield table


def set_format(settings: Settings, number: int) -> None:
    with closing(sqlite3.connect(settings.home / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE snapshots SET format = ?", (number,))


def rows(settings: Settings, owner: str, query: str = "SELECT k FROM tap_user.t ORDER BY k") -> list[int]:
    with DuckStore(settings) as store:
        answer = store.query(query, Limits(), reader=Reader(owner))
        found = [value for batch in answer.stream.batches for value in batch.column(0).to_pylist()]
        answer.close()
        return found


def test_a_table_of_an_older_format_is_written_anew_with_all_that_belongs_to_it(
    settings: Settings, kept: UserTable
) -> None:
    assert upgrade(settings=settings) == []
    set_format(settings, 0)
    (done,) = upgrade(settings=settings)
    assert (done.name, done.before, done.after, done.nrows) == ("tap_user.t of alice", 0, 1, 3000)
    assert upgrade(settings=settings) == []
    with DuckStore(settings) as store:
        ((now, form),) = store.ledger.user_tables.formats()
        assert form == 1 and now.snapshot != kept.snapshot
        assert (now.id, now.destruction_time, now.changed_at) == (kept.id, kept.destruction_time, kept.changed_at)
        assert [one.grantee for one in store.ledger.user_tables.grants(now)] == ["survey"]
        assert now.extra["indexed"] == now.extra["unique"] == [2]
        store.collect()
        assert [path.name for path in store.layout.store.glob("*.duckdb")] == [now.snapshot]
        # what shall be unique still is
        keeper = UserKeeper(store.layout, store.ledger, settings)
        with pytest.raises(IngestError, match="not unique"):
            keeper.append(now, open_table(b"k\n7\n"), Keep(now.owner, "t", Space(10**9, 5), 3600.0))
        keeper.close()
    assert rows(settings, kept.owner) == list(range(3000))
    assert rows(settings, kept.owner, "SELECT k FROM tap_user.t WHERE DISTANCE(ra, dec, 0.7, 0.31) < 0.01") == [1]


def test_a_frozen_table_stays_frozen_and_the_same_to_the_last_bit(settings: Settings, kept: UserTable) -> None:
    from skyvault.store.user_upgrade import _checksum

    with DuckStore(settings) as store:
        before = _checksum(store.layout, kept, kept.snapshot)
        frozen = {"at": 1.0, "sha256": before}
        store.ledger.user_tables.change(kept, extra={**kept.extra, "frozen": frozen})
    assert len(upgrade(settings=settings, everything=True)) == 1
    with DuckStore(settings) as store:
        ((now, _),) = store.ledger.user_tables.formats()
        assert now.frozen == frozen and _checksum(store.layout, now, now.snapshot) == before
        wrong = {"at": 1.0, "sha256": "of other rows"}
        store.ledger.user_tables.change(now, extra={**now.extra, "frozen": wrong})
        files = sorted(path.name for path in store.layout.store.glob("*.duckdb"))
    with pytest.raises(StoreError, match="frozen table t would change"):
        upgrade(settings=settings, everything=True)
    with DuckStore(settings) as store:
        ((still, _),) = store.ledger.user_tables.formats()
        assert still.snapshot == now.snapshot
        assert sorted(path.name for path in store.layout.store.glob("*.duckdb")) == files


def test_nothing_is_touched_when_a_table_is_of_a_newer_version_or_its_file_is_gone(
    settings: Settings, kept: UserTable
) -> None:
    set_format(settings, 99)
    with pytest.raises(StoreError, match="user table t has format 99"):
        upgrade(settings=settings)
    set_format(settings, 0)
    (settings.home / "store" / kept.snapshot).rename(settings.home / "aside")
    with pytest.raises(StoreError, match="is not in the store"):
        upgrade(settings=settings)


def test_a_table_that_is_changed_meanwhile_is_left_to_whoever_changed_it(settings: Settings, kept: UserTable) -> None:
    with DuckStore(settings) as store:
        changed = store.ledger.user_tables.change(kept, name="renamed")
        assert changed.version == kept.version
        keeper = UserKeeper(store.layout, store.ledger, settings)
        keeper.append(changed, open_table(b"k\n99999\n"), Keep(kept.owner, "renamed", Space(10**9, 5), 3600.0))
        keeper.close()
        with pytest.raises(Conflict):
            store.ledger.user_tables.rewrite(kept, "x.duckdb", nrows=1, bytes=1, format=1, extra={})


def test_a_backup_holds_users_and_their_tables(settings: Settings, kept: UserTable, tmp_path: Path) -> None:
    backup(tmp_path / "copy", settings=settings)
    there = Settings(home=tmp_path / "copy", user_tables=True)
    assert rows(there, kept.owner) == list(range(3000))
    with DuckStore(there) as store:
        assert store.ledger.users.get("alice").id == kept.owner
