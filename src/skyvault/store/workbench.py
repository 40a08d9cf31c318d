"""Where snapshot files are built: a database of their own each, or, for small ones, one that is there already.

To open a database takes 20 ms of processor, four times what it takes to store a thousand rows.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

#: DuckDB's own least is far below; less would spill even small sorts
_LEAST_BYTES = 64 << 20


def connected(path: str, temporary: Path, *, memory_bytes: int, threads: int) -> duckdb.DuckDBPyConnection:
    """A database for building: bounded, without extensions and without our variables in its reach."""
    import duckdb

    return duckdb.connect(
        path,
        config={
            "threads": threads,
            "memory_limit": f"{max(memory_bytes, _LEAST_BYTES)}B",
            "temp_directory": str(temporary),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )


class Workbench:
    """One database in memory that small snapshot files are attached to while they are built. Thread-safe."""

    def __init__(self, temporary: Path, *, memory_bytes: int, threads: int) -> None:
        self._temporary = temporary
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._lock = threading.Lock()
        self._root: Any = None
        self._scratch: Path | None = None

    @contextmanager
    def opened(self, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose unqualified names mean tables of a new file; checkpointed and closed by its user."""
        import duckdb

        name = f"building_{uuid.uuid4().hex[:12]}"
        connection = self._cursor()
        try:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS {name}")
            connection.execute(f"USE {name}")
            try:
                yield connection
            finally:
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                connection.execute("USE memory")
                connection.execute(f"DETACH {name}")
        finally:
            connection.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        import os

        with self._lock:
            if self._root is None:
                # named as other scratch folders are, so that it is found when this process is killed
                self._scratch = Path(tempfile.mkdtemp(prefix=f"build-{os.getpid()}-", dir=self._temporary))
                self._root = connected(
                    ":memory:", self._scratch, memory_bytes=self._memory_bytes, threads=self._threads
                )
            cursor: duckdb.DuckDBPyConnection = self._root.cursor()
            return cursor

    def close(self) -> None:
        with self._lock:
            if self._root is not None:
                self._root.close()
                self._root = None
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
