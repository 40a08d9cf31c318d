"""One sandboxed DuckDB a process: attaches published snapshots read-only, gives each query a cursor of its own.

The engine can read nothing but the store and its private temporary directory, loads no extensions, and its settings
are locked. What may be asked of it is the ADQL checker's business; this is the second wall (architecture, decision 5).
"""

from __future__ import annotations

import heapq
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.errors import Busy, Cancelled, QueryTimeout, SkyvaultError, StoreError, UsageError
from skyvault.store.layout import FORMAT

if TYPE_CHECKING:
    import duckdb


logger = logging.getLogger(__name__)


class SnapshotError(StoreError):
    """A published table's file is missing, damaged, or of another format."""


class Watch:
    """One thread that interrupts cursors whose time is up."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Any]] = []
        self._changed = threading.Condition()
        self._count = 0
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, seconds: float, cursor: Any) -> Deadline:
        deadline = Deadline(cursor, time.monotonic() + seconds)
        with self._changed:
            self._count += 1
            first = not self._entries or deadline.at < self._entries[0][0]
            heapq.heappush(self._entries, (deadline.at, self._count, deadline))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif first:
                self._changed.notify()
        return deadline

    def close(self) -> None:
        with self._changed:
            self._stopped = True
            self._entries.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                now = time.monotonic()
                while self._entries and (self._entries[0][2].done or self._entries[0][0] <= now):
                    deadline = heapq.heappop(self._entries)[2]
                    deadline.expire()
                self._changed.wait(None if not self._entries else max(0.0, self._entries[0][0] - now))


class Deadline:
    """The time limit of one query; ``expired`` tells an interruption by it from others."""

    __slots__ = ("_lock", "at", "cursor", "done", "expired")

    def __init__(self, cursor: Any, at: float) -> None:
        self.cursor = cursor
        self.at = at
        self.done = False
        self.expired = False
        self._lock = threading.Lock()

    def expire(self) -> None:
        with self._lock:
            if not self.done:
                self.expired = True
                self.cursor.interrupt()

    def finish(self) -> None:
        with self._lock:
            self.done = True


class Engine:
    """The process's DuckDB over one store directory."""

    def __init__(
        self,
        store: Path,
        temporary: Path,
        *,
        memory_bytes: int = 2 << 30,
        threads: int = 2,
        attached: int = 64,
        temp_bytes: int = 50_000_000_000,
    ) -> None:
        import duckdb

        self.store = store.resolve()
        self._most_attached = attached
        self._scratch = Path(tempfile.mkdtemp(prefix=f"engine-{os.getpid()}-", dir=temporary))
        self._root: duckdb.DuckDBPyConnection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": f"{max(memory_bytes, 64 << 20)}B",
                "temp_directory": str(self._scratch),
                "max_temp_directory_size": f"{temp_bytes}B",
                "preserve_insertion_order": False,
                # x // 0 and x % 0 are NULL, as x / 0 is by the emitter
                "error_on_division_by_zero": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
            },
        )
        from skyvault.store import sky_functions

        sky_functions.register(self._root)
        self._root.execute("SET TimeZone='UTC'")
        self._root.execute(f"SET allowed_directories=['{_quoted(self.store)}/']")
        self._root.execute("SET enable_external_access=false")
        self._root.execute("SET lock_configuration=true")
        self._lock = threading.RLock()
        #: snapshot file -> how many queries use it now; in order of last use
        self._attached: OrderedDict[str, int] = OrderedDict()
        self.watch = Watch()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own: temporary tables and registered Arrow tables are private to it."""
        return self._root.cursor()

    def run(self, sql: str) -> None:
        """Run a statement of ours (TAP_SCHEMA tables in memory)."""
        with self._lock:
            self._root.execute(sql)

    def load(self, name: str, table: Any) -> None:
        """Keep an Arrow table in memory under a qualified name, for all cursors."""
        with self._lock:
            # a connection of its own: one that has any unread result would refuse to register
            cursor = self.cursor()
            try:
                cursor.register("_loading", table)
                cursor.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM _loading")
            finally:
                cursor.close()

    def load_all(self, tables: Mapping[str, Any], statements: Sequence[str] = ()) -> None:
        """Keep several Arrow tables in memory, as :meth:`load`, and run statements of ours over them.

        Whoever reads sees either all that is new or nothing of it.
        """
        with self._lock:
            cursor = self.cursor()
            try:
                cursor.execute("BEGIN")
                for name, table in tables.items():
                    cursor.register("_loading", table)
                    cursor.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM _loading")
                    cursor.unregister("_loading")
                for statement in statements:
                    cursor.execute(statement)
                cursor.execute("COMMIT")
            finally:
                cursor.close()

    @contextmanager
    def using(self, files: tuple[str, ...]) -> Iterator[None]:
        """Have these snapshot files attached for the length of the block."""
        self.acquire(files)
        try:
            yield
        finally:
            self.release(files)

    def acquire(self, files: tuple[str, ...]) -> None:
        """Attach what is not attached yet. Raises StoreError naming the table whose file cannot be opened."""
        with self._lock:
            done: list[str] = []
            try:
                for file in files:
                    if file not in self._attached:
                        self._attach(file)
                    self._attached[file] += 1
                    self._attached.move_to_end(file)
                    done.append(file)
            except BaseException:
                self.release(tuple(done))
                raise
            self._shrink()

    def release(self, files: tuple[str, ...]) -> None:
        with self._lock:
            for file in files:
                self._attached[file] -= 1

    def _attach(self, file: str) -> None:
        import duckdb

        path = self.store / file
        if not path.is_file():
            raise SnapshotError(f"the snapshot {file} is not in the store", hint="Publish the table again.")
        try:
            self._root.execute(f"ATTACH '{_quoted(path)}' AS {alias(file)} (READ_ONLY)")
        except duckdb.Error as problem:
            # the engine's own words name paths of this machine
            logger.error("the snapshot %s cannot be opened: %s", file, problem)
            raise SnapshotError(
                f"the snapshot {file} cannot be opened",
                hint="If it was written by a newer version, upgrade Skyvault; otherwise publish the table again.",
            ) from None
        try:
            # all rows are fetched: an unfinished result would block this connection
            rows = self._root.execute(f"SELECT value FROM {alias(file)}.meta WHERE key = 'format'").fetchall()
        except duckdb.Error as problem:
            logger.error("the snapshot %s cannot be read: %s", file, problem)
            rows = []
        if not rows or int(rows[0][0]) > FORMAT:
            self._root.execute(f"DETACH {alias(file)}")
            raise SnapshotError(
                f"the snapshot {file} has format {rows[0][0] if rows else 'unknown'}; "
                f"this Skyvault reads up to {FORMAT}",
                hint="Upgrade Skyvault, or publish the table again.",
            )
        self._attached[file] = 0

    def _shrink(self) -> None:
        idle = [file for file, users in self._attached.items() if users == 0]
        for file in idle[: max(0, len(self._attached) - self._most_attached)]:
            self._detach(file)

    def forget(self, keep: set[str]) -> None:
        """Detach snapshots that are no longer published, as far as no query reads them."""
        with self._lock:
            for file in [f for f, users in self._attached.items() if users == 0 and f not in keep]:
                self._detach(file)

    def _detach(self, file: str) -> None:
        self._root.execute(f"DETACH {alias(file)}")
        del self._attached[file]

    @property
    def attached(self) -> set[str]:
        with self._lock:
            return set(self._attached)

    def close(self) -> None:
        self.watch.close()
        self._root.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def alias(file: str) -> str:
    """The database name a snapshot file is attached under."""
    return "s_" + "".join(c if c.isalnum() else "_" for c in file.removesuffix(".duckdb"))


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@contextmanager
def translated(deadline: Deadline | None, seconds: float, *, asynchronous: bool = False) -> Iterator[None]:
    """Turn the engine's faults into sentences."""
    import duckdb

    try:
        yield
    except duckdb.Error as problem:
        raise _sentence(problem, deadline, seconds, asynchronous) from None
    except OSError as problem:
        # a stream of Arrow batches hands the engine's faults on as an OSError with the same text
        raise _sentence(problem, deadline, seconds, asynchronous) from None


def _sentence(problem: Exception, deadline: Deadline | None, seconds: float, asynchronous: bool) -> SkyvaultError:
    kind = str(problem).partition(":")[0].lower()
    if "interrupt" in kind:
        if deadline is not None and deadline.expired:
            advice = (
                "Ask for a longer EXECUTIONDURATION." if asynchronous else "Run it as an asynchronous job (/async)."
            )
            return QueryTimeout(f"the query ran longer than its {seconds:g} s and was stopped", hint=advice)
        return Cancelled("the query was cancelled")
    if "out of memory" in kind:
        return Busy(
            "the query needs more memory than the server has for it",
            hint="Ask for fewer columns or rows, or constrain the position.",
            retry_after_s=5,
        )
    if kind in ("conversion error", "invalid input error", "out of range error"):
        return UsageError(f"a value cannot be computed: {_first_line(problem)}")
    logger.error("the database could not run a query: %s", problem)
    return StoreError(f"the database could not run this query ({kind})")


def _first_line(problem: Exception) -> str:
    text = str(problem).splitlines()[0].partition(": ")[2] or "a value is out of range"
    # the engine's advice is for people who may write its SQL, and its names of columns are ours
    for beginning in (" when casting from source column", ", expected format is", ". Use TRY", "!"):
        text = text.partition(beginning)[0]
    return text[:300]
