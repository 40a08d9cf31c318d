"""What the ledger asks of a database, whichever it is: SQLite in the data directory, or PostgreSQL.

The statements beside each noun are written once, in the SQL that both understand, with parameters as ``:name``. What
differs lies in :mod:`skyvault.ledger.sqlite` and :mod:`skyvault.ledger.postgresql`. On both, writers come one after
the other, and a reader sees what was committed before it asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from skyvault.config import Secret
from skyvault.errors import ConfigError

Parameters = Mapping[str, Any]
#: Where a ledger is: the path of a SQLite file, or the address of a PostgreSQL database.
Place = Path | Secret


class Row(Protocol):
    """One row of an answer: its values by number, by name, and in order."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __len__(self) -> int: ...


class Answer(Protocol):
    """What a statement gave: rows, and how many were changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """Statements within one transaction."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Answer: ...

    def executemany(self, sql: str, rows: Iterable[Parameters], /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Done:
    """What one statement changed: how many rows, and what it gave back of them."""

    rowcount: int
    rows: list[Any]


class Database(Protocol):
    """One database, shared by the threads of this process and by other processes."""

    #: the file, or the address without its password
    place: str
    #: the name of its kind, as SQLAlchemy calls it
    dialect: str

    def fetch_one(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """The first row of a query, or None. Never waits for a writer."""
        ...

    def fetch_all(self, sql: str, parameters: Parameters | None = None) -> list[Any]:
        """All rows of a query."""
        ...

    def change_counter(self) -> int:
        """A number that differs from the last one when anybody, here or in another process, has written."""
        ...

    def write(self, *, is_lasting: bool = True) -> AbstractContextManager[Connection]:
        """One transaction, all or nothing. Do no slow work inside: everybody else waits.

        ``is_lasting`` False: should the machine (or PostgreSQL) die the next second, this change may be forgotten (the
        phase of a job, a lease). Raises Busy when the others wrote longer than this thread's patience.
        """
        ...

    def change(self, sql: str, parameters: Parameters, *, is_lasting: bool = True) -> Done:
        """One statement as a transaction of its own: the same as within :meth:`write`, and on PostgreSQL quicker."""
        ...

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Within this block this thread waits at most ``seconds`` for other writers (an event loop must not wait)."""
        ...

    def checkpoint(self) -> None:
        """From now on no loss of power takes back what was written."""
        ...

    def backup(self, target: Path) -> None:
        """Copy the whole ledger, consistent in itself, to a new SQLite file while others go on working."""
        ...

    def close(self) -> None:
        """Close every connection of every thread."""
        ...

    # what only migrations ask

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""
        ...

    def creating(self) -> AbstractContextManager[Connection]:
        """A transaction that makes the first tables; nobody else can be in one."""
        ...


def open_database(place: Place, *, busy_timeout_s: float = 5.0) -> Database:
    """The database at a place. Raises StoreError or ConfigError in a sentence where it cannot be used."""
    if isinstance(place, Secret):
        # psycopg takes as long to import as everything else a server does until its first answer
        try:
            from skyvault.ledger.postgresql import PostgresqlDatabase
        except ImportError as error:
            raise ConfigError(
                f"a ledger in PostgreSQL needs the package psycopg, which cannot be imported ({error})",
                hint="Install it: pip install 'skyvault[postgres]'.",
            ) from None
        return PostgresqlDatabase(place, busy_timeout_s=busy_timeout_s)
    from skyvault.ledger.sqlite import SqliteDatabase

    return SqliteDatabase(place, busy_timeout_s=busy_timeout_s)
