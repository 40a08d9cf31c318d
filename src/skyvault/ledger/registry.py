"""The publishing registry's memory: every record given out, since when it is as it is, and which ones are gone.

A record that is withdrawn stays as a deleted one for ever, because a harvester that was away must learn of it
(Registry Interfaces 1.1, section 2.5, "persistent"). Beside it: how far the registries we harvest have been read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skyvault.ledger.engine import Database, Row

#: counts the changes of what is given out
_VERSION = "registry_version"


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record as it is given out. ``key`` is its IVOID in lower case; times are whole seconds since 1970.

    ``datestamp`` is when it last changed (or went), ``document`` its XML, "" of a deleted one, with the service's own
    address left open.
    """

    key: str
    created_at: int
    datestamp: int
    is_deleted: bool
    document: str


class Registry:
    """The records of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def version(self) -> int:
        """Grows with each change of the records given out, by any process."""
        return int(self._remark(_VERSION) or 0)

    def made_from(self) -> str | None:
        """What the records were last made from: a text that whoever makes them compares."""
        return self._remark("registry_made_from")

    # -- what is given out -----------------------------------------------------------------------------------------

    def replace(
        self,
        records: Mapping[str, str],
        write: Callable[[str, int, int], str],
        *,
        made_from: str,
        holdings_version: int,
    ) -> int | None:
        """Let these be the records: key -> digest. What is new or other gets this second's datestamp, what is no
        longer among them becomes a deleted record, what was deleted and is back lives again. Returns how many changed.

        ``write(key, created, updated)`` gives a record's document; it is asked for those that changed only. Nothing is
        done, and None returned, when the holdings have another version by now than the records were made from.
        """
        changed = 0
        with self.database.write() as connection:
            # within the transaction: who lists records later must not find an earlier datestamp that was not there
            now = int(self.clock())
            row = connection.execute("SELECT value FROM meta WHERE key = 'holdings_version'").fetchone()
            if (0 if row is None else int(row[0])) != holdings_version:
                return None
            rows = connection.execute("SELECT key, created_at, is_deleted, digest FROM registry_records").fetchall()
            known = {row[0]: (int(row[1]), bool(row[2]), row[3]) for row in rows}
            for key, digest in records.items():
                before = known.get(key)
                if before is not None and not before[1] and before[2] == digest:
                    continue
                created = now if before is None else before[0]
                connection.execute(
                    "INSERT INTO registry_records (key, created_at, datestamp, is_deleted, digest, document)"
                    " VALUES (:key, :created, :now, 0, :digest, :document) ON CONFLICT (key) DO UPDATE SET"
                    " datestamp = excluded.datestamp, is_deleted = 0, digest = excluded.digest,"
                    " document = excluded.document",
                    {"key": key, "created": created, "now": now, "digest": digest,
                     "document": write(key, created, now)},
                )  # fmt: skip
                changed += 1
            for key, (_, is_deleted, _) in known.items():
                if key not in records and not is_deleted:
                    connection.execute(
                        "UPDATE registry_records SET datestamp = :now, is_deleted = 1, digest = '', document = ''"
                        " WHERE key = :key",
                        {"key": key, "now": now},
                    )
                    changed += 1
            if changed:
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES (:key, '1')"
                    " ON CONFLICT (key) DO UPDATE SET value = CAST(meta.value AS INTEGER) + 1",
                    {"key": _VERSION},
                )
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('registry_made_from', :made)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                {"made": made_from},
            )
        return changed

    def get(self, ivoid: str) -> KeptRecord | None:
        """One record, in whatever case its identifier is written; deleted ones, too."""
        row = self.database.fetch_one("SELECT * FROM registry_records WHERE key = :key", {"key": ivoid.strip().lower()})
        return None if row is None else _record(row)

    def listed(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        after: tuple[int, str] | None = None,
        limit: int,
        with_deleted: bool = True,
    ) -> list[KeptRecord]:
        """Records changed in [since, until], by datestamp and identifier; ``after`` is the last one had before."""
        conditions, values = _conditions(since, until, with_deleted)
        if after is not None:
            conditions.append("(datestamp > :stamp OR (datestamp = :stamp AND key > :key))")
            values |= {"stamp": after[0], "key": after[1]}
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self.database.fetch_all(
            f"SELECT * FROM registry_records{where} ORDER BY datestamp, key LIMIT :limit", values | {"limit": limit}
        )
        return [_record(row) for row in rows]

    def count(self, *, since: int | None = None, until: int | None = None) -> int:
        """How many records changed in [since, until]."""
        conditions, values = _conditions(since, until, True)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        row = self.database.fetch_one(f"SELECT COUNT(*) FROM registry_records{where}", values)
        return 0 if row is None else int(row[0])

    def earliest(self) -> int | None:
        """The first datestamp there is."""
        row = self.database.fetch_one("SELECT MIN(datestamp) FROM registry_records")
        return None if row is None or row[0] is None else int(row[0])

    # -- what is harvested -----------------------------------------------------------------------------------------

    def harvest_state(self, address: str) -> dict[str, Any]:
        """How far the registry at this address has been read; empty when it never was."""
        row = self.database.fetch_one("SELECT state FROM registry_harvests WHERE address = :at", {"at": address})
        return {} if row is None else dict(json.loads(row["state"]))

    def harvests(self) -> dict[str, dict[str, Any]]:
        """The registries that are harvested: address -> state."""
        rows = self.database.fetch_all("SELECT address, state FROM registry_harvests ORDER BY address")
        return {row["address"]: dict(json.loads(row["state"])) for row in rows}

    def keep_harvest_state(self, address: str, state: Mapping[str, Any]) -> None:
        """Remember how far a registry has been read."""
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO registry_harvests (address, state) VALUES (:at, :state)"
                " ON CONFLICT (address) DO UPDATE SET state = excluded.state",
                {"at": address, "state": json.dumps(dict(state))},
            )

    def forget_harvest(self, address: str) -> None:
        """Know nothing of a registry any more."""
        with self.database.write() as connection:
            connection.execute("DELETE FROM registry_harvests WHERE address = :at", {"at": address})

    def _remark(self, key: str) -> str | None:
        row = self.database.fetch_one("SELECT value FROM meta WHERE key = :key", {"key": key})
        return None if row is None else str(row[0])


def _conditions(since: int | None, until: int | None, with_deleted: bool) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if since is not None:
        conditions.append("datestamp >= :since")
        values["since"] = since
    if until is not None:
        conditions.append("datestamp <= :until")
        values["until"] = until
    if not with_deleted:
        conditions.append("is_deleted = 0")
    return conditions, values


def _record(row: Row) -> KeptRecord:
    return KeptRecord(
        row["key"], int(row["created_at"]), int(row["datestamp"]), bool(row["is_deleted"]), row["document"]
    )
