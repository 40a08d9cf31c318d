"""Files fetched from archives: which file, from where, how it was checked, when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skyvault.ledger.engine import Database


@dataclass(frozen=True, slots=True)
class Download:
    """A file (or unpacked directory) that is whole.

    ``address`` is without secrets; ``bytes`` and ``checksum`` ("sha256:...", None when the archive gave none) are of
    what was sent, ``stored_bytes`` of what lies on disk (None for a directory). ``fetched_at``: seconds since 1970.
    """

    path: Path
    address: str
    bytes: int
    stored_bytes: int | None
    checksum: str | None
    etag: str | None
    fetched_at: float


class Downloads:
    """One row a path. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def record(
        self,
        path: Path,
        *,
        address: str,
        bytes: int,
        stored_bytes: int | None,
        checksum: str | None,
        etag: str | None,
    ) -> None:
        """The file is at its place now: the last act of fetching it."""
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO downloads (path, address, bytes, stored_bytes, checksum, etag, fetched_at)"
                " VALUES (:path, :address, :bytes, :stored_bytes, :checksum, :etag, :now)"
                " ON CONFLICT (path) DO UPDATE SET address = excluded.address, bytes = excluded.bytes,"
                " stored_bytes = excluded.stored_bytes, checksum = excluded.checksum, etag = excluded.etag,"
                " fetched_at = excluded.fetched_at",
                {
                    "path": str(path.absolute()),
                    "address": address,
                    "bytes": bytes,
                    "stored_bytes": stored_bytes,
                    "checksum": checksum,
                    "etag": etag,
                    "now": self.clock(),
                },
            )

    def find(self, path: Path) -> Download | None:
        """What is known of the file at ``path``; None when it was never fetched here."""
        row = self.database.fetch_one(
            "SELECT path, address, bytes, stored_bytes, checksum, etag, fetched_at FROM downloads WHERE path = :path",
            {"path": str(path.absolute())},
        )
        if row is None:
            return None
        return Download(
            path=Path(row["path"]),
            address=row["address"],
            bytes=row["bytes"],
            stored_bytes=row["stored_bytes"],
            checksum=row["checksum"],
            etag=row["etag"],
            fetched_at=row["fetched_at"],
        )

    def forget(self, path: Path) -> None:
        """The file was deleted."""
        with self.database.write() as connection:
            connection.execute("DELETE FROM downloads WHERE path = :path", {"path": str(path.absolute())})
