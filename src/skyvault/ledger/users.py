"""Users and groups: who may log in, what space each may fill, and who belongs together."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from skyvault.errors import Busy, Conflict, NotFound, ParameterError
from skyvault.ledger.audit import Audit
from skyvault.ledger.engine import Database, Row

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
#: names that mean something else where a user's name may stand
RESERVED_USERS = frozenset({"anonymous", "link", "everyone", "public"})


def is_reserved(name: str) -> bool:
    """Whether a name means something else where a user's may stand ("link_..." opens a table shared by link)."""
    return name.lower() in RESERVED_USERS or name.lower().startswith("link_")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in. ``created_at``: seconds since 1970; quotas None: the operator's default."""

    id: str
    name: str
    password_hash: str | None
    created_at: float
    quota_bytes: int | None
    quota_tables: int | None

    def __repr__(self) -> str:
        return f"User({self.name!r})"


class Users:
    """The users and groups of one ledger. Names are equal in any case. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.audit = Audit(database, clock=clock)
        self._any_there = False

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, name: str) -> User | None:
        """The user of this name, or None."""
        row = self.database.fetch_one("SELECT * FROM users WHERE key = :key", {"key": name.lower()})
        return None if row is None else _user(row)

    def get(self, name: str) -> User:
        """The user of this name. Raises NotFound."""
        user = self.find(name)
        if user is None:
            raise NotFound(f"there is no user {name[:64]!r}")
        return user

    def by_id(self, user_id: str) -> User | None:
        row = self.database.fetch_one("SELECT * FROM users WHERE id = :id", {"id": user_id})
        return None if row is None else _user(row)

    def all(self) -> list[User]:
        return [_user(row) for row in self.database.fetch_all("SELECT * FROM users ORDER BY key")]

    def any_there(self) -> bool:
        """Whether anybody can log in at all; what was last known while the ledger's database is away."""
        # every answer to somebody unknown says how to log in: that alone must not make it fail
        with suppress(Busy):
            self._any_there = self.database.fetch_one("SELECT 1 FROM users LIMIT 1") is not None
        return self._any_there

    def groups_of(self, user_id: str) -> frozenset[str]:
        rows = self.database.fetch_all("SELECT group_name FROM group_members WHERE user_id = :id", {"id": user_id})
        return frozenset(row[0] for row in rows)

    def members(self, group: str) -> list[str]:
        """Names of a group's members, in order."""
        rows = self.database.fetch_all(
            "SELECT u.name FROM group_members g JOIN users u ON u.id = g.user_id WHERE g.group_name = :group"
            " ORDER BY u.key",
            {"group": group.lower()},
        )
        return [row[0] for row in rows]

    def groups(self) -> list[str]:
        return [row[0] for row in self.database.fetch_all("SELECT DISTINCT group_name FROM group_members ORDER BY 1")]

    # -- writing -------------------------------------------------------------------------------------------------

    def add(self, name: str, password_hash: str | None, *, actor: str = "operator") -> User:
        """A new user. Raises ParameterError for a name that cannot be one, Conflict when it is taken."""
        _check_name(name, "user")
        if is_reserved(name):
            raise ParameterError(f"{name!r} cannot be the name of a user", hint="It has another meaning here.")
        user = User("u" + secrets.token_hex(8), name, password_hash, self.clock(), None, None)
        with self.database.write() as connection:
            done = connection.execute(
                "INSERT INTO users (id, key, name, password_hash, created_at) VALUES (:id, :key, :name, :hash, :now)"
                " ON CONFLICT (key) DO NOTHING",
                {"id": user.id, "key": name.lower(), "name": name, "hash": password_hash, "now": user.created_at},
            ).rowcount
            if not done:
                raise Conflict(f"there is a user {name!r} already")
            self.audit.note(connection, actor, "add user", name)
        return user

    def set_password(self, name: str, password_hash: str, *, actor: str = "operator") -> None:
        """Another password; every session ends. Raises NotFound."""
        user = self.get(name)
        with self.database.write() as connection:
            connection.execute(
                "UPDATE users SET password_hash = :hash WHERE id = :id", {"hash": password_hash, "id": user.id}
            )
            connection.execute("DELETE FROM tokens WHERE user_id = :id AND kind = 'session'", {"id": user.id})
            self.audit.note(connection, actor, "set password", user.name)

    def set_quota(self, name: str, bytes: int | None, tables: int | None, *, actor: str = "operator") -> User:
        """How much the user may keep; None is the operator's default. Raises NotFound."""
        user = self.get(name)
        with self.database.write() as connection:
            connection.execute(
                "UPDATE users SET quota_bytes = :bytes, quota_tables = :tables WHERE id = :id",
                {"bytes": bytes, "tables": tables, "id": user.id},
            )
            self.audit.note(connection, actor, "set quota", user.name)
        return self.get(name)

    def remove(self, name: str, *, actor: str = "operator") -> User:
        """The user, tokens and memberships go; jobs are stopped and deleted soon. Raises NotFound.

        The user's tables are the caller's business (:meth:`UserTables.drop_all`), before this.
        """
        user = self.get(name)
        with self.database.write() as connection:
            for table in ("tokens", "group_members", "external_logins"):
                connection.execute(f"DELETE FROM {table} WHERE user_id = :id", {"id": user.id})
            connection.execute("DELETE FROM table_grants WHERE kind = 'user' AND grantee = :id", {"id": user.id})
            # somebody else may get this name: the jobs must not become theirs
            connection.execute(
                "UPDATE jobs SET owner = :gone, destruction_time = :now, cancel_requested = 1 WHERE owner = :name",
                {"gone": f"removed:{user.id}", "now": self.clock(), "name": user.name},
            )
            connection.execute("DELETE FROM users WHERE id = :id", {"id": user.id})
            self.audit.note(connection, actor, "remove user", user.name)
        return user

    def join(self, group: str, name: str, *, actor: str = "operator") -> None:
        """Make the user a member; a group begins with its first. Raises NotFound, ParameterError."""
        _check_name(group, "group")
        user = self.get(name)
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO group_members (group_name, user_id) VALUES (:group, :id) ON CONFLICT DO NOTHING",
                {"group": group.lower(), "id": user.id},
            )
            self.audit.note(connection, actor, "join group", f"{user.name} {group.lower()}")

    def leave(self, group: str, name: str, *, actor: str = "operator") -> None:
        """The user is no member any more. Raises NotFound when there is no such user or membership."""
        user = self.get(name)
        with self.database.write() as connection:
            done = connection.execute(
                "DELETE FROM group_members WHERE group_name = :group AND user_id = :id",
                {"group": group.lower(), "id": user.id},
            ).rowcount
            if not done:
                raise NotFound(f"{user.name} is not in the group {group[:64]!r}")
            self.audit.note(connection, actor, "leave group", f"{user.name} {group.lower()}")


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name[:64]!r} cannot be the name of a {what}",
            hint="Use up to 63 letters, digits, dots, hyphens, underscores and @, a letter or digit first.",
        )


def _user(row: Row) -> User:
    return User(
        id=row["id"],
        name=row["name"],
        password_hash=row["password_hash"],
        created_at=row["created_at"],
        quota_bytes=row["quota_bytes"],
        quota_tables=row["quota_tables"],
    )
