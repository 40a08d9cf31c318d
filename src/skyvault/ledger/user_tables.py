"""Users' own tables: which there are, whose, how long they live, and who else may read them.

A table is a pointer to a snapshot file, as a published one is; its files are known to the same list of snapshots, so
that one collector deletes what is out of use. The owner "" is the shared space of those who are not logged in.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skyvault.errors import Conflict, NotFound, QuotaError
from skyvault.ledger.audit import Audit
from skyvault.ledger.engine import Database, Row
from skyvault.ledger.table_json import table_from_json, table_to_json
from skyvault.model.table import Table

ANONYMOUS = ""
#: how often one table may be shared
MOST_GRANTS = 500
GrantKind = Literal["user", "group", "link"]


@dataclass(frozen=True, slots=True)
class UserTable:
    """A user's table. ``owner`` is a user's id or "". Times are seconds since 1970; ``table.name`` is bare.

    ``extra`` is what the store wants to know again, and "frozen" (when and with which checksum) where it is.
    """

    id: str
    owner: str
    name: str
    table: Table
    snapshot: str
    version: int
    created_at: float
    changed_at: float
    destruction_time: float
    nrows: int
    bytes: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frozen(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.extra.get("frozen")
        return found


@dataclass(frozen=True, slots=True)
class Space:
    """How much a user may keep (a most of bytes and of tables)."""

    bytes: int
    tables: int


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a user keeps; ``lingering_bytes`` are files of dropped tables that are not deleted yet."""

    tables: int
    bytes: int
    lingering_bytes: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody else who may read a table: a user's id, a group's name or the hash of a link's secret."""

    kind: GrantKind
    grantee: str
    created_at: float


class UserTables:
    """The user tables of one ledger. Names are equal in any case. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.audit = Audit(database, clock=clock)

    # -- reading -------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """Grows with every change to any user's tables, grants or groups, by any process."""
        row = self.database.fetch_one("SELECT value FROM meta WHERE key = 'user_tables_version'")
        return 0 if row is None else int(row[0])

    def find(self, owner: str, name: str) -> UserTable | None:
        """The owner's table of this name, unless there is none or its time is over."""
        row = self.database.fetch_one(
            "SELECT * FROM user_tables WHERE owner = :owner AND key = :key AND destruction_time > :now",
            {"owner": owner, "key": name.lower(), "now": self.clock()},
        )
        return None if row is None else _user_table(row)

    def get(self, owner: str, name: str) -> UserTable:
        """The owner's table of this name. Raises NotFound."""
        found = self.find(owner, name)
        if found is None:
            raise NotFound(f"there is no user table {name[:64]!r}")
        return found

    def of(self, owner: str) -> list[UserTable]:
        """The owner's tables, by name."""
        rows = self.database.fetch_all(
            "SELECT * FROM user_tables WHERE owner = :owner AND destruction_time > :now ORDER BY key",
            {"owner": owner, "now": self.clock()},
        )
        return [_user_table(row) for row in rows]

    def may_read(self, table: UserTable, user_id: str, groups: Collection[str]) -> bool:
        """Whether the user has been given the table to read, alone or in a group."""
        return any(
            (grant.kind == "user" and grant.grantee == user_id) or (grant.kind == "group" and grant.grantee in groups)
            for grant in self.grants(table)
        )

    def shared_with(self, user_id: str, groups: Collection[str]) -> list[UserTable]:
        """Others' tables that the user was given to read."""
        rows = self.database.fetch_all(
            "SELECT DISTINCT t.* FROM table_grants g JOIN user_tables t ON t.id = g.table_id"
            " WHERE ((g.kind = 'user' AND g.grantee = :user) OR (g.kind = 'group' AND g.grantee IN"
            " (SELECT value FROM json_each(:groups)))) AND t.destruction_time > :now AND t.owner <> :user"
            " ORDER BY t.owner, t.key",
            {"user": user_id, "groups": json.dumps(sorted(groups)), "now": self.clock()},
        )
        return [_user_table(row) for row in rows]

    def by_link(self, secret: str, name: str) -> UserTable | None:
        """The table of this name that a link's secret opens, or None."""
        row = self.database.fetch_one(
            "SELECT t.* FROM table_grants g JOIN user_tables t ON t.id = g.table_id"
            " WHERE g.kind = 'link' AND g.grantee = :hash AND t.key = :key AND t.destruction_time > :now",
            {"hash": _hashed(secret), "key": name.lower(), "now": self.clock()},
        )
        return None if row is None else _user_table(row)

    def usage(self, owner: str) -> Usage:
        """What the owner's tables take."""
        row = self.database.fetch_one(_TAKEN, {"owner": owner})
        left = self.database.fetch_one(_LINGERING, _span(owner))
        assert row is not None and left is not None
        return Usage(row[0], row[1], left[0])

    def formats(self) -> list[tuple[UserTable, int]]:
        """Every user's tables, each with the format its snapshot file has."""
        rows = self.database.fetch_all(
            "SELECT t.*, s.format AS file_format FROM user_tables t JOIN snapshots s ON s.file = t.snapshot"
            " ORDER BY t.owner, t.key"
        )
        return [(_user_table(row), row["file_format"]) for row in rows]

    def owners(self) -> list[str]:
        """Who has tables."""
        return [row[0] for row in self.database.fetch_all("SELECT DISTINCT owner FROM user_tables ORDER BY 1")]

    # -- writing -------------------------------------------------------------------------------------------------

    def refuse_early(
        self, owner: str, name: str, space: Space, *, more_bytes: int = 0, replaces: Literal["any"] | None = "any"
    ) -> None:
        """Raise now what :meth:`commit` would certainly raise later, before a large upload is read."""
        before = self.find(owner, name)
        self._refuse(owner, name, space, before, more_bytes, replaces, self.usage(owner))

    def commit(
        self,
        owner: str,
        name: str,
        table: Table,
        snapshot: str,
        *,
        nrows: int,
        bytes: int,
        format: int,
        extra: Mapping[str, Any],
        space: Space,
        life_s: float,
        replaces: Literal["any"] | int | None = "any",
        actor: str = "anonymous",
    ) -> UserTable:
        """Let the name mean a new snapshot file: the last act, seen by every query that begins after it.

        ``replaces`` None demands that there is no such table, a number that it is that version. Raises Conflict
        (taken, frozen, changed meanwhile) and QuotaError.
        """
        key, now = name.lower(), self.clock()
        with self.database.write() as connection:
            row = connection.execute(
                "SELECT * FROM user_tables WHERE owner = :owner AND key = :key", {"owner": owner, "key": key}
            ).fetchone()
            before = None if row is None else _user_table(row)
            if before is not None and before.destruction_time <= now:
                self._drop(connection, before, now)
                before = None
            count = connection.execute(_TAKEN, {"owner": owner}).fetchone()
            left = connection.execute(_LINGERING, _span(owner)).fetchone()
            self._refuse(owner, name, space, before, bytes, replaces, Usage(count[0], count[1], left[0]))
            files = _files(owner, key)
            last = connection.execute("SELECT MAX(version) FROM snapshots WHERE name = :n", {"n": files}).fetchone()
            version = (last[0] or 0) + 1
            connection.execute(
                "UPDATE snapshots SET retired_at = :now WHERE name = :n AND retired_at IS NULL",
                {"now": now, "n": files},
            )
            connection.execute(
                "INSERT INTO snapshots (file, name, version, published_at, nrows, bytes, format)"
                " VALUES (:file, :n, :version, :now, :nrows, :bytes, :format)",
                {
                    "file": snapshot,
                    "n": files,
                    "version": version,
                    "now": now,
                    "nrows": nrows,
                    "bytes": bytes,
                    "format": format,
                },
            )
            until = now + life_s if before is None else max(before.destruction_time, now + life_s)
            made = UserTable(
                id=before.id if before else "t" + secrets.token_hex(8),
                owner=owner,
                name=before.name if before else name,
                table=table,
                snapshot=snapshot,
                version=version,
                created_at=before.created_at if before else now,
                changed_at=now,
                destruction_time=until,
                nrows=nrows,
                bytes=bytes,
                extra=dict(extra),
            )
            connection.execute(
                "INSERT INTO user_tables (id, owner, key, name, snapshot, version, created_at, changed_at,"
                " destruction_time, nrows, bytes, description, extra) VALUES (:id, :owner, :key, :name, :snapshot,"
                " :version, :created, :now, :until, :nrows, :bytes, :description, :extra)"
                " ON CONFLICT (owner, key) DO UPDATE SET snapshot = excluded.snapshot, version = excluded.version,"
                " changed_at = excluded.changed_at, destruction_time = excluded.destruction_time,"
                " nrows = excluded.nrows, bytes = excluded.bytes, description = excluded.description,"
                " extra = excluded.extra",
                {
                    "id": made.id,
                    "owner": owner,
                    "key": key,
                    "name": made.name,
                    "snapshot": snapshot,
                    "version": version,
                    "created": made.created_at,
                    "now": now,
                    "until": until,
                    "nrows": nrows,
                    "bytes": bytes,
                    "description": table_to_json(table),
                    "extra": json.dumps(dict(extra)),
                },
            )
            self.audit.note(connection, actor, "replace table" if before else "create table", made.name)
            self._count_change(connection)
        return made

    def drop(self, table: UserTable, *, actor: str = "anonymous") -> None:
        """The table is gone at once; queries that read it finish. Raises NotFound when somebody was quicker."""
        with self.database.write() as connection:
            if not self._drop(connection, table, self.clock()):
                raise NotFound(f"there is no user table {table.name!r}")
            self.audit.note(connection, actor, "drop table", table.name)
            self._count_change(connection)

    def drop_all(self, owner: str | None, *, actor: str = "operator") -> int:
        """Drop every table of an owner, or (None) of everybody; returns how many."""
        now = self.clock()
        with self.database.write() as connection:
            rows = connection.execute(
                "SELECT * FROM user_tables WHERE CAST(:owner AS TEXT) IS NULL OR owner = :owner", {"owner": owner}
            ).fetchall()
            for row in rows:
                self._drop(connection, _user_table(row), now)
            self.audit.note(connection, actor, "purge tables", "all" if owner is None else owner or "anonymous")
            self._count_change(connection)
        return len(rows)

    def drop_expired(self, most: int = 100) -> list[str]:
        """Drop tables whose time is over; returns their names. Their files stay while anybody reads them."""
        now = self.clock()
        due = self.database.fetch_one("SELECT 1 FROM user_tables WHERE destruction_time <= :now LIMIT 1", {"now": now})
        if due is None:
            return []
        with self.database.write() as connection:
            rows = connection.execute(
                "SELECT * FROM user_tables WHERE destruction_time <= :now ORDER BY destruction_time LIMIT :most",
                {"now": now, "most": most},
            ).fetchall()
            for row in rows:
                self._drop(connection, _user_table(row), now)
                self.audit.note(connection, "server", "expire table", row["name"])
            self._count_change(connection)
        return [row["name"] for row in rows]

    def change(
        self,
        table: UserTable,
        *,
        name: str | None = None,
        description: Table | None = None,
        destruction_time: float | None = None,
        extra: Mapping[str, Any] | None = None,
        actor: str = "anonymous",
        act: str = "change table",
    ) -> UserTable:
        """Another name, description, end or remarks; the rows stay. Raises Conflict when the new name is taken."""
        with self.database.write() as connection:
            if name is not None and name.lower() != table.name.lower():
                taken = connection.execute(
                    "SELECT 1 FROM user_tables WHERE owner = :owner AND key = :key",
                    {"owner": table.owner, "key": name.lower()},
                ).fetchone()
                if taken:
                    raise Conflict(f"there is a table {name!r} already", hint="Drop it first, or choose another name.")
                connection.execute(
                    "UPDATE snapshots SET name = :new WHERE name = :old AND retired_at IS NULL",
                    {"new": _files(table.owner, name.lower()), "old": _files(table.owner, table.name.lower())},
                )
            done = connection.execute(
                "UPDATE user_tables SET name = COALESCE(:name, name), key = COALESCE(:key, key),"
                " description = COALESCE(:description, description), extra = COALESCE(:extra, extra),"
                " destruction_time = COALESCE(:until, destruction_time) WHERE id = :id AND version = :version",
                {
                    "name": name,
                    "key": None if name is None else name.lower(),
                    "description": None if description is None else table_to_json(description),
                    "extra": None if extra is None else json.dumps(dict(extra)),
                    "until": destruction_time,
                    "id": table.id,
                    "version": table.version,
                },
            ).rowcount
            if not done:
                raise Conflict(f"the table {table.name!r} was changed by somebody meanwhile", hint="Look at it anew.")
            self.audit.note(connection, actor, act, name or table.name)
            self._count_change(connection)
            row = connection.execute("SELECT * FROM user_tables WHERE id = :id", {"id": table.id}).fetchone()
        return _user_table(row)

    def rewrite(
        self, table: UserTable, snapshot: str, *, nrows: int, bytes: int, format: int, extra: Mapping[str, Any]
    ) -> UserTable:
        """Let the table mean another file with the same rows: its life, grants and marks stay, no quota refuses it.

        Raises Conflict when the table was changed or dropped meanwhile.
        """
        now, files = self.clock(), _files(table.owner, table.name.lower())
        with self.database.write() as connection:
            last = connection.execute("SELECT MAX(version) FROM snapshots WHERE name = :n", {"n": files}).fetchone()
            values = {
                "file": snapshot,
                "n": files,
                "version": max(last[0] or 0, table.version) + 1,
                "now": now,
                "nrows": nrows,
                "bytes": bytes,
                "format": format,
            }
            done = connection.execute(
                "UPDATE user_tables SET snapshot = :file, version = :version, nrows = :nrows, bytes = :bytes,"
                " extra = :extra WHERE id = :id AND version = :before",
                {
                    **{key: values[key] for key in ("file", "version", "nrows", "bytes")},
                    "extra": json.dumps(dict(extra)),
                    "id": table.id,
                    "before": table.version,
                },
            ).rowcount
            if not done:
                raise Conflict(f"the table {table.name!r} was changed by somebody meanwhile")
            connection.execute(
                "UPDATE snapshots SET retired_at = :now WHERE name = :n AND retired_at IS NULL",
                {"now": now, "n": files},
            )
            connection.execute(
                "INSERT INTO snapshots (file, name, version, published_at, nrows, bytes, format)"
                " VALUES (:file, :n, :version, :now, :nrows, :bytes, :format)",
                values,
            )
            self.audit.note(connection, "operator", "upgrade table", table.name)
            self._count_change(connection)
            row = connection.execute("SELECT * FROM user_tables WHERE id = :id", {"id": table.id}).fetchone()
        return _user_table(row)

    # -- sharing -------------------------------------------------------------------------------------------------

    def grants(self, table: UserTable) -> list[Grant]:
        """Who else may read the table."""
        rows = self.database.fetch_all(
            "SELECT kind, grantee, created_at FROM table_grants WHERE table_id = :id ORDER BY created_at, grantee",
            {"id": table.id},
        )
        return [Grant(row["kind"], row["grantee"], row["created_at"]) for row in rows]

    def grant(self, table: UserTable, kind: GrantKind, grantee: str, *, actor: str) -> None:
        """Let somebody read the table; for a link, ``grantee`` is its secret, of which only a hash is kept.

        Raises QuotaError after MOST_GRANTS.
        """
        value = _hashed(grantee) if kind == "link" else grantee
        with self.database.write() as connection:
            count = connection.execute(
                "SELECT count(*) FROM table_grants WHERE table_id = :id", {"id": table.id}
            ).fetchone()[0]
            if count >= MOST_GRANTS:
                raise QuotaError(f"the table is shared {count} times already", hint="Take some back, or use a group.")
            connection.execute(
                "INSERT INTO table_grants (table_id, kind, grantee, created_at)"
                " SELECT CAST(:id AS TEXT), CAST(:kind AS TEXT), CAST(:value AS TEXT), CAST(:now AS DOUBLE PRECISION)"
                " WHERE EXISTS (SELECT 1 FROM user_tables WHERE id = :id) ON CONFLICT DO NOTHING",
                {"id": table.id, "kind": kind, "value": value, "now": self.clock()},
            )
            self.audit.note(connection, actor, "share table", f"{table.name} with {kind}")
            self._count_change(connection)

    def revoke(self, table: UserTable, kind: GrantKind, grantee: str | None, *, actor: str) -> int:
        """Take it back from one, or (None) from all of a kind; returns from how many."""
        with self.database.write() as connection:
            done = connection.execute(
                "DELETE FROM table_grants WHERE table_id = :id AND kind = :kind"
                " AND (CAST(:grantee AS TEXT) IS NULL OR grantee = :grantee)",
                {"id": table.id, "kind": kind, "grantee": grantee},
            ).rowcount
            self.audit.note(connection, actor, "unshare table", f"{table.name} from {kind}")
            self._count_change(connection)
        return int(done)

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _refuse(
        owner: str,
        name: str,
        space: Space,
        before: UserTable | None,
        more_bytes: int,
        replaces: Literal["any"] | int | None,
        usage: Usage,
    ) -> None:
        if before is not None and replaces is None:
            raise Conflict(f"there is a table tap_user.{name} already", hint="Drop it first, or choose another name.")
        if isinstance(replaces, int) and (before is None or before.version != replaces):
            raise Conflict(f"the table tap_user.{name} was changed by somebody meanwhile", hint="Look at it anew.")
        if before is not None and before.frozen is not None:
            raise Conflict(f"the table tap_user.{name} is frozen", hint="Put the rows into a table of another name.")
        whose = "the shared space" if owner == ANONYMOUS else "your space"
        if before is None and usage.tables + 1 > space.tables:
            raise QuotaError(
                f"{whose} holds {usage.tables} tables; at most {space.tables} are kept", hint="Drop some first."
            )
        taken = usage.bytes - (before.bytes if before is not None else 0)
        if taken + more_bytes > space.bytes:
            raise QuotaError(
                f"{whose} of {space.bytes:,} bytes is full ({taken:,} are taken, {more_bytes:,} more are needed)",
                hint="Drop tables that are not needed.",
            )
        if taken + more_bytes + usage.lingering_bytes > 2 * space.bytes:
            raise QuotaError(
                f"the files of tables dropped lately still take {usage.lingering_bytes:,} bytes",
                hint="Wait some minutes.",
            )

    @staticmethod
    def _drop(connection: Any, table: UserTable, now: float) -> bool:
        connection.execute("DELETE FROM table_grants WHERE table_id = :id", {"id": table.id})
        done = connection.execute("DELETE FROM user_tables WHERE id = :id", {"id": table.id}).rowcount
        connection.execute(
            "UPDATE snapshots SET retired_at = :now WHERE name = :n AND retired_at IS NULL",
            {"now": now, "n": _files(table.owner, table.name.lower())},
        )
        return bool(done)

    @staticmethod
    def _count_change(connection: Any) -> None:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('user_tables_version', '1')"
            " ON CONFLICT (key) DO UPDATE SET value = CAST(meta.value AS INTEGER) + 1"
        )


#: what is summed up is a decimal number on PostgreSQL
_TAKEN = "SELECT count(*), CAST(COALESCE(sum(bytes), 0) AS BIGINT) FROM user_tables WHERE owner = :owner"
_LINGERING = (
    "SELECT CAST(COALESCE(sum(bytes), 0) AS BIGINT) FROM snapshots"
    " WHERE name >= :first AND name < :end AND retired_at IS NOT NULL AND deleted_at IS NULL"
)


def _files(owner: str, key: str) -> str:
    """What a table's snapshot files are listed under: nothing that is published has a slash in its name."""
    return f"tap_user/{owner or 'anonymous'}/{key}"


def _span(owner: str) -> dict[str, str]:
    # "0" is the character after the slash
    return {"first": _files(owner, ""), "end": _files(owner, "")[:-1] + "0"}


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _user_table(row: Row) -> UserTable:
    return UserTable(
        id=row["id"],
        owner=row["owner"],
        name=row["name"],
        table=table_from_json(row["description"]),
        snapshot=row["snapshot"],
        version=row["version"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        destruction_time=row["destruction_time"],
        nrows=row["nrows"],
        bytes=row["bytes"],
        extra=json.loads(row["extra"]),
    )
