"""What is known of the files of a collection: each file once, as it was when it was read; so reading goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file of a collection: relative path, size and time of change, as the disk has them."""

    path: str
    size: int
    mtime_ns: int


class IngestState:
    """The files that were read, with their datasets or what was wrong, in a database of their own.

    It is a cache: losing it costs the time of reading the files again.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # rows are read by whichever thread of the engine wants the next ones, one at a time
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, recipe TEXT,"
            " datasets TEXT, problem TEXT) WITHOUT ROWID"
        )

    def changed(self, files: Iterable[SeenFile], recipe: str) -> tuple[list[SeenFile], int, int]:
        """The files to read, how many are known as they are, and how many vanished (they are forgotten)."""
        execute = self._connection.execute
        execute(
            "CREATE TEMP TABLE IF NOT EXISTS now (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID"
        )
        execute("DELETE FROM now")
        execute("BEGIN")
        self._connection.executemany(
            "INSERT OR REPLACE INTO now VALUES (?, ?, ?)", ((one.path, one.size, one.mtime_ns) for one in files)
        )
        execute("COMMIT")
        wanted = [
            SeenFile(*row)
            for row in execute(
                "SELECT now.path, now.size, now.mtime_ns FROM now LEFT JOIN files ON files.path = now.path"
                " AND files.size = now.size AND files.mtime_ns = now.mtime_ns AND files.recipe = ?"
                " WHERE files.path IS NULL ORDER BY now.path",
                (recipe,),
            )
        ]
        total = execute("SELECT count(*) FROM now").fetchone()[0]
        vanished = execute("DELETE FROM files WHERE path NOT IN (SELECT path FROM now)").rowcount
        return wanted, total - len(wanted), vanished

    def keep(self, results: Sequence[tuple[SeenFile, list[dict[str, Any]] | None, str | None]], recipe: str) -> None:
        """Datasets (or a problem) of files, all or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (file.path, file.size, file.mtime_ns, recipe, None if found is None else json.dumps(found), problem)
                    for file, found, problem in results
                ],
            )
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def datasets(self) -> Iterator[dict[str, Any]]:
        """All datasets, by path."""
        for (text,) in self._connection.execute("SELECT datasets FROM files WHERE datasets IS NOT NULL ORDER BY path"):
            yield from json.loads(text)

    def problems(self) -> list[tuple[str, str]]:
        """Files that are no datasets, each with what is wrong."""
        return list(self._connection.execute("SELECT path, problem FROM files WHERE problem IS NOT NULL ORDER BY path"))

    def close(self) -> None:
        self._connection.close()
