"""The ledger in a SQLite file: how it is opened, read, and written by one process at a time.

SQLite in WAL mode with synchronous=NORMAL: readers never wait, kill -9 loses nothing, power loss may lose the last
seconds. Every write is one short ``BEGIN IMMEDIATE`` transaction; a transaction that begins as a reader and
then writes would fail at once when somebody else has written meanwhile.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from skyvault.errors import Busy, ConfigError, StoreError
from skyvault.ledger.engine import Done, Parameters
from skyvault.ledger.filesystem import file_system_of, is_network

#: Pages in the write-ahead log after which a commit moves them itself, should nobody call checkpoint (16 MB).
_AUTOCHECKPOINT_PAGES = 4000
#: Waits between tries for the write lock, in seconds: a transaction here takes 0.03 to 0.2 ms.
_PAUSES_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)


class SqliteDatabase:
    """One SQLite file, shared by the threads of this process and by other processes.

    ``busy_timeout_s`` is how long a writer waits for the others before it gives up with
    :class:`~skyvault.errors.Busy`. Raises :class:`~skyvault.errors.StoreError` where the file cannot be used:
    a network file system, no permission, a full disk, a damaged file.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0) -> None:
        self.path = Path(path)
        self.place = str(path)
        self.dialect = "sqlite"
        self.busy_timeout_s = busy_timeout_s
        self._local = threading.local()
        self._write_lock = threading.Lock()
        self._list_lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._is_closed = False
        _refuse_network(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder {self.path.parent} cannot be made: {error.strerror}",
                hint="Set SKYVAULT_HOME to a folder you may write.",
            ) from None
        _make_private(self.path)
        try:
            self._writer = self._open()
            self._counter = self._connect()
            self._counter_lock = threading.Lock()
        except (sqlite3.Error, StoreError) as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise self._explain(error) from error

    # -- reading -------------------------------------------------------------------------------------------------

    def fetch_one(self, sql: str, parameters: Parameters | None = None) -> sqlite3.Row | None:
        """The first row of a query, or None. 6-10 us; never waits for a writer."""
        try:
            row: sqlite3.Row | None = self._reader().execute(sql, parameters or {}).fetchone()
            return row
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def fetch_all(self, sql: str, parameters: Parameters | None = None) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            return self._reader().execute(sql, parameters or {}).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def change_counter(self) -> int:
        """A number that differs from the last one when anybody, here or in another process, has written. 5 us."""
        with self._counter_lock:
            try:
                return int(self._counter.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise self._explain(error) from error

    # -- writing -------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, *, is_lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing. Do no slow work inside: everybody else waits.

        Nothing is awaited from the disk, lasting or not: :meth:`checkpoint` does that for all.

        Raises Busy when the others held the lock longer than this thread's patience.
        """
        patience_s = getattr(self._local, "patience_s", self.busy_timeout_s)
        deadline = time.monotonic() + patience_s
        if not self._write_lock.acquire(timeout=patience_s):
            raise _busy()
        try:
            self._refuse_fork()
            connection = self._writer
            self._begin(connection, deadline)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._explain(error) from error
        finally:
            self._write_lock.release()

    def change(self, sql: str, parameters: Parameters, *, is_lasting: bool = True) -> Done:
        """One statement as a transaction of its own."""
        with self.write(is_lasting=is_lasting) as connection:
            answer = connection.execute(sql, parameters)
            rows = answer.fetchall()
            return Done(answer.rowcount, rows)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Within this block this thread waits at most ``seconds`` for other writers (an event loop must not wait)."""
        before = getattr(self._local, "patience_s", self.busy_timeout_s)
        self._local.patience_s = seconds
        try:
            yield
        finally:
            self._local.patience_s = before

    def checkpoint(self) -> None:
        """Move what was written from the log into the file and fsync both, as far as no reader is in the way."""
        with self._counter_lock:
            try:
                self._counter.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise self._explain(error) from error

    def backup(self, target: Path) -> None:
        """Copy the whole ledger, consistent in itself, to ``target`` while others go on working."""
        _make_private(target)
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            self._reader().backup(copy, pages=256)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        finally:
            copy.close()

    def stream(self, sql: str) -> Iterator[Any]:
        """The rows of a query, some at a time."""
        try:
            yield from self._reader().execute(sql)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def has_table(self, name: str) -> bool:
        return self.fetch_one("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": name}) is not None

    def creating(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.write()

    def close(self) -> None:
        """Close every connection of every thread. The last process to close also empties the log."""
        self._is_closed = True
        with self._list_lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        # check_same_thread=False only so that close() may close what other threads opened
        connection = sqlite3.connect(
            self.path,
            timeout=self.busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        with self._list_lock:
            self._connections.append(connection)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}")
        return connection

    def _open(self) -> sqlite3.Connection:
        """The first connection. When two processes make a new file at once, the second waits for the first."""
        deadline = time.monotonic() + self.busy_timeout_s
        while True:
            try:
                connection = self._connect()
                mode = str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
                break
            except sqlite3.OperationalError as error:
                # SQLite's own waiting does not cover the change of the journal mode
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        if mode != "wal":
            raise StoreError(
                f"{self.path}: this file system cannot hold a write-ahead log (journal mode is {mode!r})",
                hint="Set SKYVAULT_HOME to a folder on a local disk.",
            )
        # SQLite waits 1, 2, 5, 10 ms and more; _begin tries again sooner
        connection.execute("PRAGMA busy_timeout=0")
        return connection

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._is_closed:
            if self._is_closed:
                raise StoreError(f"{self.path}: the ledger is closed")
            self._refuse_fork()
            connection = self._connect()
            self._local.connection = connection
        return connection

    def _begin(self, connection: sqlite3.Connection, deadline: float) -> None:
        tries = 0
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                if time.monotonic() > deadline:
                    raise _busy() from None
                time.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    def _refuse_fork(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.path}: the ledger was opened before this process was forked",
                hint="Open it anew in each process: SQLite connections do not survive a fork.",
            )

    def _explain(self, error: sqlite3.Error) -> StoreError | Busy:
        if _is_busy(error):
            return _busy()
        text = str(error)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StoreError(f"{self.path}: the disk is full", hint="Free some space; nothing was changed.")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreError(
                f"{self.path}: the ledger is damaged ({text})",
                hint="Restore it from a backup; published tables are not touched by this.",
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StoreError(
                f"{self.path}: the ledger cannot be opened for writing ({text})",
                hint="Check the owner and permissions of the folder and of the files in it.",
            )
        return StoreError(f"{self.path}: {text}")


def _make_private(path: Path) -> None:
    """A new file is for its owner alone: passwords' hashes lie in it, and users' queries."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _refuse_network(path: Path) -> None:
    # Path("postgresql://host/x") has become "postgresql:/host/x"; a drive letter is one letter
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ConfigError(
            f"{path} is no file's path",
            hint="The address of a PostgreSQL ledger is the setting SKYVAULT_LEDGER.",
        )
    kind = file_system_of(path)
    if is_network(kind):
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="Set SKYVAULT_HOME to a folder on a local disk.",
        )


def _is_busy(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _busy() -> Busy:
    return Busy("the ledger is being written by others", retry_after_s=1, hint="Try again in a second.")
