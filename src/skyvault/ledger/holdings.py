"""The holdings: which tables are published, and which snapshot file each of them is just now.

To publish is to swap one pointer, by compare-and-set, as the last act after the file is written, fsynced and in its
place. The snapshot before goes out of use; its file may be deleted when it has been out of use for a while and no
process has it leased.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skyvault.errors import Conflict, NotFound
from skyvault.ledger.engine import Database, Row
from skyvault.ledger.table_json import table_from_json, table_to_json
from skyvault.model.table import Table


@dataclass(frozen=True, slots=True)
class Holding:
    """A published table. ``snapshot`` is its file's name in the store; ``version`` counts its publications from 1.

    ``published_at`` is in seconds since 1970, ``format`` is the number of the snapshot's format, and ``extra`` holds
    what the store wants to know again (statistics, coverage, which columns are the position).
    """

    table: Table
    snapshot: str
    version: int
    published_at: float
    nrows: int
    bytes: int
    format: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.table.name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One publication of a table, current or past. Times are seconds since 1970, None when it has not come to that."""

    file: str
    name: str
    version: int
    published_at: float
    nrows: int
    bytes: int
    format: int
    retired_at: float | None
    deleted_at: float | None


class Holdings:
    """The published tables of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    # -- reading -------------------------------------------------------------------------------------------------

    def change_counter(self) -> int:
        """Differs from the last one when anything in the ledger was written by anybody; then ask :meth:`version`."""
        return self.database.change_counter()

    def version(self) -> int:
        """Grows with each table published or unpublished, by any process."""
        row = self.database.fetch_one("SELECT value FROM meta WHERE key = 'holdings_version'")
        return 0 if row is None else int(row[0])

    def current(self) -> dict[str, Holding]:
        """All published tables by their names in lower case (names are equal in any case)."""
        rows = self.database.fetch_all("SELECT * FROM holdings ORDER BY key")
        return {row["key"]: _holding(row) for row in rows}

    def find(self, name: str) -> Holding | None:
        """The published table of this name, or None."""
        row = self.database.fetch_one("SELECT * FROM holdings WHERE key = :key", {"key": name.lower()})
        return None if row is None else _holding(row)

    def get(self, name: str) -> Holding:
        """The published table of this name. Raises NotFound."""
        holding = self.find(name)
        if holding is None:
            raise NotFound(f"there is no published table {name!r}")
        return holding

    def history(self, name: str) -> list[Snapshot]:
        """Every publication of a table that the ledger knows of, newest first."""
        rows = self.database.fetch_all(
            "SELECT * FROM snapshots WHERE name = :name ORDER BY version DESC", {"name": name.lower()}
        )
        return [_snapshot(row) for row in rows]

    # -- publishing ----------------------------------------------------------------------------------------------

    def publish(
        self,
        table: Table,
        snapshot: str,
        *,
        nrows: int,
        bytes: int,
        format: int,
        extra: Mapping[str, Any] | None = None,
        replaces: int | Literal["any"] | None = "any",
    ) -> Holding:
        """Let the table's name point to a new snapshot: from now on new queries see it.

        ``replaces`` is the version the caller has seen: None for "not published before", a number for exactly that
        one, "any" for whichever. Raises Conflict when somebody else has published meanwhile.
        """
        key = table.name.lower()
        now = self.clock()
        row: dict[str, Any] = {
            "key": key,
            "name": table.name,
            "snapshot": snapshot,
            "published_at": now,
            "nrows": nrows,
            "bytes": bytes,
            "format": format,
            "description": table_to_json(table),
            "extra": json.dumps(dict(extra or {})),
        }
        with self.database.write() as connection:
            before = connection.execute("SELECT version FROM holdings WHERE key = :key", {"key": key}).fetchone()
            seen = None if before is None else int(before[0])
            if replaces != "any" and replaces != seen:
                raise Conflict(
                    f"{table.name} was published by somebody else meanwhile (version {seen or 0})",
                    hint="Look at what is there now and publish again.",
                )
            # versions go on counting over an unpublish, so that a file's name never comes back
            last = connection.execute("SELECT MAX(version) FROM snapshots WHERE name = :key", {"key": key}).fetchone()
            version = row["version"] = (last[0] or 0) + 1
            self._retire(connection, key, now)
            connection.execute(
                "INSERT INTO snapshots (file, name, version, published_at, nrows, bytes, format)"
                " VALUES (:snapshot, :key, :version, :published_at, :nrows, :bytes, :format)",
                row,
            )
            connection.execute(
                "INSERT INTO holdings (key, name, snapshot, version, published_at, nrows, bytes, format, description,"
                " extra) VALUES (:key, :name, :snapshot, :version, :published_at, :nrows, :bytes, :format,"
                " :description, :extra) ON CONFLICT (key) DO UPDATE SET name = excluded.name,"
                " snapshot = excluded.snapshot, version = excluded.version, published_at = excluded.published_at,"
                " nrows = excluded.nrows, bytes = excluded.bytes, format = excluded.format,"
                " description = excluded.description, extra = excluded.extra",
                row,
            )
            self._count_change(connection)
        return Holding(table, snapshot, version, now, nrows, bytes, format, dict(extra or {}))

    def unpublish(self, name: str) -> Holding:
        """Take a table out of the holdings; its file stays until nobody reads it. Raises NotFound."""
        holding = self.get(name)
        with self.database.write() as connection:
            gone = connection.execute("DELETE FROM holdings WHERE key = :key", {"key": name.lower()}).rowcount
            if not gone:
                raise NotFound(f"there is no published table {name!r}")
            self._retire(connection, name.lower(), self.clock())
            self._count_change(connection)
        return holding

    def describe(self, table: Table, *, extra: Mapping[str, Any] | None = None) -> Holding:
        """Change what is said about a published table, not its rows. Raises NotFound."""
        key = table.name.lower()
        with self.database.write() as connection:
            done = connection.execute(
                "UPDATE holdings SET description = :description, extra = COALESCE(:extra, extra) WHERE key = :key",
                {
                    "key": key,
                    "description": table_to_json(table),
                    "extra": None if extra is None else json.dumps(dict(extra)),
                },
            ).rowcount
            if not done:
                raise NotFound(f"there is no published table {table.name!r}")
            self._count_change(connection)
        return self.get(table.name)

    # -- old snapshots -------------------------------------------------------------------------------------------

    def lease(self, files: Collection[str], holder: str, lease_s: float) -> None:
        """Say that ``holder`` reads these snapshot files and no others, until the lease runs out."""
        until = self.clock() + lease_s
        with self.database.write(is_lasting=False) as connection:
            connection.execute("DELETE FROM snapshot_leases WHERE holder = :holder", {"holder": holder})
            connection.executemany(
                "INSERT INTO snapshot_leases (file, holder, lease_until) VALUES (:file, :holder, :until)",
                [{"file": file, "holder": holder, "until": until} for file in files],
            )

    def garbage(self, grace_s: float) -> list[Snapshot]:
        """Snapshots out of use for ``grace_s`` seconds that nobody has leased: their files may be deleted."""
        now = self.clock()
        rows = self.database.fetch_all(
            "SELECT * FROM snapshots s WHERE deleted_at IS NULL AND retired_at <= :before AND NOT EXISTS"
            " (SELECT 1 FROM snapshot_leases l WHERE l.file = s.file AND l.lease_until > :now) ORDER BY retired_at",
            {"before": now - grace_s, "now": now},
        )
        return [_snapshot(row) for row in rows]

    def deleted(self, files: Collection[str]) -> None:
        """Record that these snapshots' files are deleted."""
        with self.database.write() as connection:
            connection.executemany(
                "UPDATE snapshots SET deleted_at = :now WHERE file = :file",
                [{"file": file, "now": self.clock()} for file in files],
            )
            connection.execute("DELETE FROM snapshot_leases WHERE lease_until <= :now", {"now": self.clock()})

    def files(self) -> set[str]:
        """The files the ledger knows of and has not deleted; any other in the store is an orphan."""
        return {row[0] for row in self.database.fetch_all("SELECT file FROM snapshots WHERE deleted_at IS NULL")}

    def live_files(self) -> set[str]:
        """The files that are current: of published tables and of users' own."""
        return {row[0] for row in self.database.fetch_all("SELECT file FROM snapshots WHERE retired_at IS NULL")}

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _retire(connection: Any, key: str, now: float) -> None:
        connection.execute(
            "UPDATE snapshots SET retired_at = :now WHERE name = :key AND retired_at IS NULL", {"key": key, "now": now}
        )

    @staticmethod
    def _count_change(connection: Any) -> None:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('holdings_version', '1')"
            " ON CONFLICT (key) DO UPDATE SET value = CAST(meta.value AS INTEGER) + 1"
        )


def _holding(row: Row) -> Holding:
    return Holding(
        table=table_from_json(row["description"]),
        snapshot=row["snapshot"],
        version=row["version"],
        published_at=row["published_at"],
        nrows=row["nrows"],
        bytes=row["bytes"],
        format=row["format"],
        extra=json.loads(row["extra"]),
    )


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(
        file=row["file"],
        name=row["name"],
        version=row["version"],
        published_at=row["published_at"],
        nrows=row["nrows"],
        bytes=row["bytes"],
        format=row["format"],
        retired_at=row["retired_at"],
        deleted_at=row["deleted_at"],
    )
