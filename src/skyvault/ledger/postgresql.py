"""The ledger in a PostgreSQL database: for several machines with one data directory, and for who has one anyway.

Writers come one after the other, as on SQLite: each transaction begins by counting up the row ``changes`` of ``meta``,
whose lock the next writer waits for; the same row is the counter that tells others to look. Names without a schema
are found by the search path, so that one database may hold several ledgers
(``postgresql://host/db?options=-csearch_path%3Dname``).
"""

from __future__ import annotations

import itertools
import queue
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg

from skyvault.config import Secret
from skyvault.errors import Busy, StoreError
from skyvault.ledger.engine import Done, Parameters
from skyvault.ledger.postgresql_link import Link, busy, close, is_lost
from skyvault.ledger.postgresql_statements import Row, numbered, translated

T = TypeVar("T")

#: Connections of one process that read; a statement takes 0.05-0.2 ms, so that a few serve many threads.
MOST_READERS = 6
#: "skyvault" in ASCII: the lock under which a schema's first tables are made
_CREATING = 0x736B797661756C74
_COUNT = "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'changes'"


class _Connection:
    """Statements of one transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Parameters | None = None, /) -> Any:
        return self._connection.execute(translated(sql), parameters or {})

    def stream(self, sql: str) -> Iterator[Any]:
        """The rows of a query, some at a time."""
        with self._connection.cursor(name="copied") as cursor:
            cursor.itersize = 1000
            yield from cursor.execute(translated(sql), {})

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(translated(sql), list(rows))


class PostgresqlDatabase:
    """One PostgreSQL database, shared by the threads of this process, by other processes and other machines.

    ``url`` is ``postgresql://user:password@host:port/name``; what it does not say is taken as libpq does (PGPASSFILE,
    PGSSLMODE and others). ``busy_timeout_s`` is how long a writer waits for the others before it gives up with
    :class:`~skyvault.errors.Busy`. Raises ConfigError for an address that is none, StoreError where the database
    cannot be used.
    """

    def __init__(self, url: Secret, *, busy_timeout_s: float = 5.0) -> None:
        self._link = Link(url)
        self.place = self._link.place
        self.dialect = "postgresql"
        self.busy_timeout_s = busy_timeout_s
        self._local = threading.local()
        self._write_lock = threading.Lock()
        self._counter_lock = threading.Lock()
        self._reading = threading.BoundedSemaphore(MOST_READERS)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        self._writer: Any = None
        self._prepared: dict[str, str] = {}
        self._numbers = itertools.count()
        self._counter: Any = None
        try:
            connection = self._link.connect()
        except psycopg.Error as error:
            raise StoreError(
                f"{self.place}: the ledger's database cannot be reached ({self._link.told(error)})",
                hint="Check that it runs, and the address in SKYVAULT_LEDGER.",
            ) from None
        self._link.compare_clocks(connection)
        self._idle.put(connection)

    @property
    def url(self) -> Secret:
        """The whole address."""
        return self._link.url

    # -- reading -------------------------------------------------------------------------------------------------

    def fetch_one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """The first row of a query, or None. 50-100 us; never waits for a writer."""
        found: Row | None = self._read(lambda held: held.execute(translated(sql), _legible(parameters)).fetchone())
        return found

    def fetch_all(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """All rows of a query."""
        found: list[Row] = self._read(lambda held: held.execute(translated(sql), _legible(parameters)).fetchall())
        return found

    def change_counter(self) -> int:
        """A number that differs from the last one when anybody, here or elsewhere, has written. 50 us."""

        def ask() -> int:
            if self._counter is None:
                self._counter = self._link.connect()
            row = self._counter.execute("SELECT value FROM meta WHERE key = 'changes'").fetchone()
            return 0 if row is None else int(row[0])

        with self._counter_lock:
            try:
                return ask()
            except psycopg.Error as error:
                if not is_lost(error, self._counter):
                    raise self._link.explain(error) from None
                self._drop_counter()
            try:
                return ask()
            except psycopg.Error as error:
                self._drop_counter()
                raise self._link.explain(error) from None

    # -- writing -------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, *, is_lasting: bool = True) -> Iterator[_Connection]:
        """One transaction, all or nothing. Do no slow work inside: everybody else waits.

        ``is_lasting`` False: the disk is not waited for; should the database's machine lose power within the second,
        this is forgotten. Raises Busy when the others held the lock longer than this thread's patience.
        """
        with self._transaction(_COUNT, is_lasting=is_lasting) as connection:
            yield connection

    def change(self, sql: str, parameters: Parameters, *, is_lasting: bool = True) -> Done:
        """One statement as a transaction of its own, sent in one message: the lock is held for no journey."""
        patience_s = getattr(self._local, "patience_s", self.busy_timeout_s)
        deadline = time.monotonic() + patience_s
        if not self._write_lock.acquire(timeout=patience_s):
            raise busy()
        try:
            for is_last in (False, True):
                try:
                    return self._change(sql, parameters, deadline, is_lasting)
                except psycopg.Error as error:
                    is_over = self._writer is not None and (self._writer.broken or self._writer.closed)
                    self._roll_back()
                    if is_over:
                        raise self._link.unheard() from None
                    # the tables were migrated meanwhile: what was prepared for the old ones is prepared again
                    if is_last or not isinstance(error, pg.FeatureNotSupported | pg.InvalidSqlStatementName):
                        raise self._link.explain(error) from None
                    self._drop_writer()
            raise AssertionError
        finally:
            self._write_lock.release()

    def _change(self, sql: str, parameters: Parameters, deadline: float, is_lasting: bool) -> Done:
        if self._writer is None or _has_heard(self._writer):
            self._drop_writer()
            self._writer = self._link.connect()
        count = self._prepared_call(_COUNT, {})
        call = self._prepared_call(sql, parameters)
        answer = self._writer.execute(
            f"{_begin(deadline, is_lasting=is_lasting)}; {count}; {call}; COMMIT", prepare=False
        )
        counted: int | None = None
        done = Done(0, [])
        while answer.nextset():
            # first come the answers to what begin says, then that of the count, then that of the statement
            if answer.statusmessage == "COMMIT":
                break
            given = answer.fetchall() if answer.pgresult.nfields else []
            counted, done = done.rowcount, Done(answer.rowcount, given)
        if counted != 1:
            raise self._link.not_whole()
        return done

    def _prepared_call(self, sql: str, parameters: Parameters) -> str:
        """A statement planned once for the writer's connection (planning takes longer than all the rest), called."""
        text, names = numbered(sql)
        name = self._prepared.get(sql)
        if name is None:
            name = f"skyvault_{next(self._numbers)}"
            self._writer.execute(f"PREPARE {name} AS {text}", prepare=False)
            self._prepared[sql] = name
        if not names:
            return f"EXECUTE {name}"
        places = ", ".join(["%s"] * len(names))
        return psycopg.ClientCursor(self._writer).mogrify(
            f"EXECUTE {name}({places})", [parameters[one] for one in names]
        )

    @contextmanager
    def creating(self) -> Iterator[_Connection]:
        with self._transaction(f"SELECT pg_advisory_xact_lock({_CREATING})") as connection:
            yield connection

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
        """Wait until all that was written is on the database's disk."""
        # a lock on a row is a change to be logged, and whose commit is waited for is everybody's before it
        with self._transaction("SELECT 1 FROM meta WHERE key = 'changes' FOR UPDATE"):
            pass

    def backup(self, target: Path) -> None:
        """Copy the whole ledger, consistent in itself, to a new SQLite file while others go on working."""
        from skyvault.ledger.copying import copy_to_file

        def copy(connection: Any) -> None:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                copy_to_file(_Connection(connection), target)
            finally:
                connection.execute("ROLLBACK")

        self._read(copy)

    def has_table(self, name: str) -> bool:
        row = self.fetch_one("SELECT to_regclass(:name) IS NOT NULL", {"name": name})
        return bool(row is not None and row[0])

    def close(self) -> None:
        """Close every connection of every thread."""
        self._link.is_closed = True
        with self._write_lock:
            self._drop_writer()
        with self._counter_lock:
            self._drop_counter()
        with suppress(queue.Empty):
            while True:
                close(self._idle.get_nowait())

    # -- inside --------------------------------------------------------------------------------------------------

    def _drop_writer(self) -> None:
        close(self._writer)
        self._prepared.clear()
        self._writer = None

    def _drop_counter(self) -> None:
        close(self._counter)
        self._counter = None

    def _read(self, act: Callable[[Any], T]) -> T:
        """Do ``act`` on a connection nobody else uses; once more on a new one when the old one turns out to be lost."""
        if not self._reading.acquire(timeout=self.busy_timeout_s):
            raise Busy("the ledger is being read by others", retry_after_s=1, hint="Try again in a second.")
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = None
            for is_last in (connection is None, True):
                try:
                    if connection is None:
                        connection = self._link.connect()
                    result = act(connection)
                except psycopg.Error as error:
                    if is_last or not is_lost(error, connection):
                        raise self._link.explain(error) from None
                    close(connection)
                    connection = None
                    continue
                return result
            raise AssertionError
        finally:
            if connection is not None:
                if connection.closed or self._link.is_closed:
                    close(connection)
                else:
                    self._idle.put(connection)
            self._reading.release()

    @contextmanager
    def _transaction(self, first: str, *, is_lasting: bool = True) -> Iterator[_Connection]:
        """``first`` takes the lock that all others wait for."""
        patience_s = getattr(self._local, "patience_s", self.busy_timeout_s)
        deadline = time.monotonic() + patience_s
        if not self._write_lock.acquire(timeout=patience_s):
            raise busy()
        try:
            self._begin(first, deadline, is_lasting)
            connection = self._writer
            try:
                yield _Connection(connection)
                try:
                    connection.execute("COMMIT")
                except psycopg.OperationalError as error:
                    if not is_lost(error, connection):
                        raise
                    raise self._link.unheard() from None
            except BaseException:
                self._roll_back()
                raise
        except psycopg.Error as error:
            raise self._link.explain(error) from None
        finally:
            self._write_lock.release()

    def _begin(self, first: str, deadline: float, is_lasting: bool) -> None:
        for is_last in (False, True):
            try:
                if self._writer is None:
                    self._writer = self._link.connect()
                # one message for all of it: the answer is waited for once
                answer = self._writer.execute(f"{_begin(deadline, is_lasting=is_lasting)}; {first}", prepare=False)
                while answer.nextset():
                    pass
                if answer.rowcount != 1:
                    self._roll_back()
                    raise self._link.not_whole()
                return
            except psycopg.Error as error:
                may_try_again = not is_last and is_lost(error, self._writer)
                self._roll_back()
                # nothing was done yet, so that a new connection may try again
                if not may_try_again:
                    raise

    def _roll_back(self) -> None:
        # psycopg takes it as a reason to forget all that was prepared
        self._prepared.clear()
        try:
            if self._writer is not None:
                self._writer.execute("ROLLBACK")
        except psycopg.Error:
            self._drop_writer()


def _begin(deadline: float, *, is_lasting: bool) -> str:
    left_ms = max(1, int((deadline - time.monotonic()) * 1000))
    wait = "" if is_lasting else "; SET LOCAL synchronous_commit = off"
    return f"BEGIN; SET LOCAL lock_timeout = {left_ms}{wait}"


def _has_heard(connection: Any) -> bool:
    """Whether the server has said something unasked: that it ends the connection."""
    if connection.closed:
        return True
    # select() takes no descriptor beyond 1023, and a server may have many clients
    looked = select.poll()
    looked.register(connection.fileno(), select.POLLIN)
    return bool(looked.poll(0))


def _legible(parameters: Parameters | None) -> Parameters:
    """PostgreSQL keeps no character NUL in texts: whatever is looked for with one is not there."""
    if not parameters:
        return {}
    if any(isinstance(value, str) and "\0" in value for value in parameters.values()):
        return {k: v.replace("\0", "\ufffd") if isinstance(v, str) else v for k, v in parameters.items()}
    return parameters
