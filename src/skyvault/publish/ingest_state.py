"""What is known of the files of a collection: each file once, as it was when it was read; so reading goes on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from skyvault.errors import Conflict, FormatError, StoreError
from skyvault.model.product import Product

if TYPE_CHECKING:
    from skyvault.publish.datasets import Dataset

#: grows when what is kept changes; what an older one kept is read again from the files
_VERSION: Final = 4
#: products are kept as lists of their values in this order
PRODUCT_FIELDS: Final = tuple(one.name for one in fields(Product))
_PLACE, _PATH = PRODUCT_FIELDS.index("place"), PRODUCT_FIELDS.index("path")
#: rows taken from the database at once
_GULP: Final = 500
#: remember what was made of a file
_NOTE_MADE: Final = (
    f"INSERT OR IGNORE INTO gone SELECT json_extract(value, '$[{_PATH}]') FROM files, json_each(files.products)"
)
_IS_MADE: Final = f"json_extract(value, '$[{_PLACE}]') = 'made'"


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file of a collection: relative path, size and time of change, as the disk has them."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class FileRead:
    """What reading one file gave, as JSON texts that are never taken apart one by one again.

    ``rows`` is a list of objects (columns by name), ``products`` a list of lists (:data:`PRODUCT_FIELDS`), ``kinds``
    the kinds of values each column holds, ``left_out`` the identifiers that do not join ivoa.ObsCore, ``remarks`` a
    list of sentences; or all None and ``problem`` the sentence why there is no dataset. ``beside`` is what was looked
    for to read it beside the file itself, lists of path, size and time of change (None: not there). What is not
    ``lasting`` is tried again the next time.
    """

    file: SeenFile
    rows: str | None = None
    products: str | None = None
    kinds: str | None = None
    left_out: str | None = None
    remarks: str | None = None
    problem: str | None = None
    lasting: bool = True
    beside: str | None = None


def as_kept(beside: Mapping[str, tuple[int, int] | None]) -> str | None:
    """What was looked for beside a file as it is kept; None when that is nothing."""
    found = [[path, *(seen or (None, None))] for path, seen in beside.items()]
    return json.dumps(found, separators=(",", ":")) if found else None


def file_read(
    file: SeenFile, datasets: Sequence[Dataset], beside: Mapping[str, tuple[int, int] | None] | None = None
) -> FileRead:
    """The datasets of a file as they are kept. Raises FormatError for values that no column can hold."""
    kinds: dict[str, set[str]] = {}
    left_out = []
    for one in datasets:
        if not one.row.pop("_in_obscore", True):
            left_out.append(one.row["obs_publisher_did"])
        for name, value in one.row.items():
            if value is not None:
                kinds.setdefault(name, set()).add(kind_of(value))
    products = [[getattr(product, name) for name in PRODUCT_FIELDS] for one in datasets for product in one.products]
    remarks = [text for one in datasets for text in one.remarks]
    return FileRead(
        file,
        json.dumps([one.row for one in datasets], default=_native, separators=(",", ":")),
        json.dumps(products, separators=(",", ":")),
        json.dumps({name: "".join(sorted(found)) for name, found in sorted(kinds.items())}),
        json.dumps(left_out) if left_out else None,
        json.dumps(remarks) if remarks else None,
        beside=as_kept(beside or {}),
    )


def kind_of(value: Any) -> str:
    """The kind of a value in one letter: boolean, integer, float, vector of numbers, or text."""
    value = getattr(value, "tolist", lambda: value)()
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i"
    if isinstance(value, float):
        return "f"
    return "v" if isinstance(value, list | tuple) and all(type(one) in (int, float) for one in value) else "t"


def _native(value: Any) -> Any:
    """What hooks may return beside Python's own: NumPy's numbers and arrays, dates and times."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise FormatError(f"a value of its row is of the kind {type(value).__name__}, which no column can hold")


class IngestState:
    """The files that were read, with their datasets or what was wrong, in a database of their own.

    It is a cache: losing it costs the time of reading the files again. One process at a time has it. Raises Conflict
    when another one has it, StoreError when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._was_broken_off = False
        # whether the table of what lies beside files is filled
        self._has_beside = False
        self._lock: IO[bytes] = path.with_suffix(".lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Conflict(
                f"{path.stem} is being published by another process", hint="Publish again when that has ended."
            ) from None
        try:
            with _told(path):
                self._connection = self._opened()
        except BaseException:
            self._lock.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        try:
            return _connected(self.path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # no database, or a torn one: what it held can be read again
            for ending in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            return _connected(self.path)

    def changed(
        self, files: Iterable[SeenFile], recipe: str, look: Callable[[str], tuple[int, int] | None]
    ) -> tuple[int, int, int]:
        """How many files are to be read (see :meth:`wanted`), are known as they are, and have vanished.

        ``files`` are all that are there now. Those that vanished are forgotten. ``look`` gives size and time of change
        of what was looked for beside a file: where that came, changed or went, the file is read again.
        """
        with _told(self.path):
            execute = self._connection.execute
            self._was_broken_off = execute("SELECT 1 FROM begun").fetchone() is not None
            self._has_beside = False
            execute("BEGIN")
            execute("INSERT OR IGNORE INTO begun VALUES (1)")
            execute("DELETE FROM now")
            self._connection.executemany(
                "INSERT OR REPLACE INTO now VALUES (?, ?, ?)", ((one.path, one.size, one.mtime_ns) for one in files)
            )
            execute("DELETE FROM wanted")
            execute(
                "INSERT INTO wanted SELECT now.path, now.size, now.mtime_ns FROM now LEFT JOIN files"
                " ON files.path = now.path AND files.size = now.size AND files.mtime_ns = now.mtime_ns"
                " AND files.recipe = ? WHERE files.path IS NULL",
                (recipe,),
            )
            self._connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?, ?, ?)", self._changed_beside(look))
            wanted = int(execute("SELECT count(*) FROM wanted").fetchone()[0])
            total = int(execute("SELECT count(*) FROM now").fetchone()[0])
            execute(f"{_NOTE_MADE} WHERE {_IS_MADE} AND files.path NOT IN (SELECT path FROM now)")
            vanished = execute("DELETE FROM files WHERE path NOT IN (SELECT path FROM now)").rowcount
            execute("COMMIT")
        return wanted, total - wanted, vanished

    def _changed_beside(self, look: Callable[[str], tuple[int, int] | None]) -> Iterator[tuple[str, int, int]]:
        """Files of which something that lies beside them is not as it was."""
        cursor = self._connection.execute(
            "SELECT now.path, now.size, now.mtime_ns, files.beside FROM files JOIN now ON now.path = files.path"
            " WHERE files.beside IS NOT NULL"
        )
        for path, size, mtime_ns, text in cursor:
            for beside, *was in json.loads(text):
                if list(look(beside) or (None, None)) != was:
                    yield path, size, mtime_ns
                    break

    def is_taken(self, path: str) -> bool:
        """Whether a file is one of those that are there now, or lies beside one of them. To be asked after reading."""
        execute = self._connection.execute
        if execute("SELECT 1 FROM now WHERE path = ?", (path,)).fetchone() is not None:
            return True
        if not self._has_beside:
            execute("DELETE FROM beside")
            execute(
                "INSERT OR IGNORE INTO beside SELECT json_extract(value, '$[0]') FROM files, json_each(files.beside)"
                " WHERE files.beside IS NOT NULL"
            )
            self._has_beside = True
        return execute("SELECT 1 FROM beside WHERE path = ?", (path,)).fetchone() is not None

    def wanted(self, at_once: int) -> Iterator[list[SeenFile]]:
        """The files to read, by path, a few at a time."""
        last = ""
        while True:
            rows = self._connection.execute(
                "SELECT path, size, mtime_ns FROM wanted WHERE path > ? ORDER BY path LIMIT ?", (last, at_once)
            ).fetchall()
            if not rows:
                return
            yield [SeenFile(*row) for row in rows]
            last = rows[-1][0]

    def suspects(self) -> set[str]:
        """Files whose reading did not come to an end the last time."""
        return {path for (path,) in self._connection.execute("SELECT path FROM files WHERE recipe = ''")}

    def keep(self, results: Sequence[FileRead], recipe: str) -> None:
        """Datasets (or a problem) of files, all or none."""
        with _told(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                # pictures that were made of the file as it was, unless they are made again
                self._connection.executemany(
                    f"{_NOTE_MADE} WHERE {_IS_MADE} AND files.path = ?", [(one.file.path,) for one in results]
                )
                self._connection.executemany(
                    "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            one.file.path, one.file.size, one.file.mtime_ns, recipe if one.lasting else "", one.problem,
                            one.kinds, one.left_out, one.remarks, one.beside, one.rows, one.products,
                        )
                        for one in results
                    ],
                )  # fmt: skip
                self._connection.executemany(
                    f"DELETE FROM gone WHERE path IN (SELECT json_extract(value, '$[{_PATH}]')"
                    f" FROM files, json_each(files.products) WHERE files.path = ?)",
                    [(one.file.path,) for one in results],
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def has_datasets(self) -> bool:
        """Whether any file holds a dataset."""
        return self._connection.execute("SELECT 1 FROM files WHERE rows IS NOT NULL LIMIT 1").fetchone() is not None

    def rows(self) -> Iterator[list[dict[str, Any]]]:
        """The rows of all datasets, by path, in parts."""
        return self._parts("rows")

    def products(self) -> Iterator[list[list[Any]]]:
        """The products of all datasets, by path, in parts; the values of each as :data:`PRODUCT_FIELDS` has them."""
        return self._parts("products")

    def left_out(self) -> Iterator[list[str]]:
        """Identifiers of datasets that do not join ivoa.ObsCore, in parts."""
        return self._parts("left_out")

    def _parts(self, column: str) -> Iterator[list[Any]]:
        """The JSON lists of a column, those of many files as one."""
        cursor = self._connection.execute(f"SELECT {column} FROM files WHERE {column} IS NOT NULL ORDER BY path")
        while texts := cursor.fetchmany(_GULP):
            # one call of the parser for many files is half the work of one for each
            if found := json.loads(f"[{','.join(inner for (text,) in texts if (inner := text[1:-1]))}]"):
                yield found

    def kinds(self) -> dict[str, set[str]]:
        """The kinds of values (:func:`kind_of`) that each column of the datasets holds; empty ones are not there."""
        found: dict[str, set[str]] = {}
        for (text,) in self._connection.execute("SELECT DISTINCT kinds FROM files WHERE kinds IS NOT NULL"):
            for name, letters in json.loads(text).items():
                found.setdefault(name, set()).update(letters)
        return found

    def problems(self, most: int = -1) -> list[tuple[str, str]]:
        """Files that are no datasets, each with what is wrong; at most so many, -1 being all."""
        return list(
            self._connection.execute(
                "SELECT path, problem FROM files WHERE problem IS NOT NULL ORDER BY path LIMIT ?", (most,)
            )
        )

    def remarks(self, most: int = -1) -> list[tuple[str, str]]:
        """Files with what was odd about them; at most so many, -1 being all."""
        found = self._connection.execute(
            "SELECT files.path, value FROM files, json_each(files.remarks) WHERE remarks IS NOT NULL"
            " ORDER BY files.path LIMIT ?",
            (most,),
        )
        return list(found)

    def counts(self) -> tuple[int, int]:
        """How many files have a problem, and how many remarks there are."""
        problems, remarks = self._connection.execute(
            "SELECT count(problem), sum(iif(remarks IS NULL, 0, json_array_length(remarks))) FROM files"
        ).fetchone()
        return int(problems), int(remarks or 0)

    def remove_gone(self, made: Path) -> int:
        """Delete what was made of files that vanished or changed; how many. To be called when that is public.

        Where an earlier publish did not come to its end, everything that belongs to nothing is looked for.
        """
        count = self._remove_strays(made) if self._was_broken_off else 0
        cursor = self._connection.execute("SELECT path FROM gone")
        while found := cursor.fetchmany(_GULP):
            for (path,) in found:
                place = made / path
                if place.resolve().is_relative_to(made.resolve()):
                    place.unlink(missing_ok=True)
                    count += 1
        self._connection.execute("DELETE FROM gone")
        self._connection.execute("DELETE FROM begun")
        self._was_broken_off = False
        return count

    def _remove_strays(self, made: Path) -> int:
        """Delete files that no dataset has: a process that was killed had made them, and noted nothing."""
        execute = self._connection.execute
        execute("DELETE FROM now")
        execute(
            f"INSERT OR IGNORE INTO now SELECT json_extract(value, '$[{_PATH}]'), 0, 0"
            f" FROM files, json_each(files.products) WHERE {_IS_MADE}"
        )
        count = 0
        for folder, _, names in os.walk(made):
            for name in names:
                place = Path(folder) / name
                known = execute("SELECT 1 FROM now WHERE path = ?", (place.relative_to(made).as_posix(),)).fetchone()
                if known is None:
                    place.unlink(missing_ok=True)
                    count += 1
        return count

    def close(self) -> None:
        self._connection.close()
        self._lock.close()


def forget_files(home: Path, table: str) -> None:
    """Delete what is kept of the files of a collection that is no longer published, and what was made of them.

    A collection that another process publishes just now is left to it.
    """
    path = home / "ingest" / f"{table}.sqlite"
    if not path.exists():
        return
    lock = path.with_suffix(".lock")
    with lock.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        # the list goes first: pictures without it are made again, a list without pictures would name none
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.rmtree(home / "products" / table, ignore_errors=True)


def _connected(path: Path) -> sqlite3.Connection:
    # rows are read by whichever thread of the engine wants the next ones, one at a time
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            connection.execute("DROP TABLE IF EXISTS files")
            connection.execute("DROP TABLE IF EXISTS gone")
        # long texts last: what is looked at for each file lies together
        connection.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, recipe TEXT,"
            " problem TEXT, kinds TEXT, left_out TEXT, remarks TEXT, beside TEXT, rows TEXT,"
            " products TEXT) WITHOUT ROWID"
        )
        # pictures made of files that are not so any more, to be deleted when the next version is public
        connection.execute("CREATE TABLE IF NOT EXISTS gone (path TEXT PRIMARY KEY) WITHOUT ROWID")
        # whether a publish has begun that has not come to its end
        connection.execute("CREATE TABLE IF NOT EXISTS begun (one INTEGER PRIMARY KEY)")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("CREATE TEMP TABLE beside (path TEXT PRIMARY KEY) WITHOUT ROWID")
        for name in ("now", "wanted"):
            connection.execute(
                f"CREATE TEMP TABLE {name} (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID"
            )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A database that takes no more is a full disk, told in a sentence."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        text = str(problem)
        if "full" in text or "disk I/O" in text:
            raise StoreError(
                "the disk is full", where=str(path.parent), hint="Nothing was published; free space and try again."
            ) from None
        raise StoreError(f"what is known of the files cannot be kept ({text})", where=path.name) from None
