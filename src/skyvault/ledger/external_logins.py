"""Which account belongs to somebody whom a login service elsewhere vouches for (OpenID Connect).

Such a person is a pair (issuer, subject), both compared to the letter (OpenID Connect Core 1.0, section 2). The pair is
tied to an account once, and never by a name or an address of e-mail: those are given away again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from skyvault.errors import Conflict, NotFound
from skyvault.ledger.audit import Audit
from skyvault.ledger.engine import Database
from skyvault.ledger.users import User


@dataclass(frozen=True, slots=True)
class ExternalLogin:
    """A person of a login service, and since when (seconds since 1970) the account is theirs."""

    issuer: str
    subject: str
    user_id: str
    created_at: float


class ExternalLogins:
    """The logins from elsewhere of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.audit = Audit(database, clock=clock)

    def user_id_of(self, issuer: str, subject: str) -> str | None:
        """Whose account it is, or None."""
        row = self.database.fetch_one(
            "SELECT user_id FROM external_logins WHERE issuer = :issuer AND subject = :subject",
            {"issuer": issuer, "subject": subject},
        )
        return None if row is None else str(row["user_id"])

    def of(self, user_id: str) -> list[ExternalLogin]:
        """The logins of one account, oldest first."""
        rows = self.database.fetch_all(
            "SELECT * FROM external_logins WHERE user_id = :id ORDER BY created_at, issuer, subject", {"id": user_id}
        )
        return [ExternalLogin(row["issuer"], row["subject"], row["user_id"], row["created_at"]) for row in rows]

    def link(self, user: User, issuer: str, subject: str, *, actor: str) -> None:
        """Tie a person of a login service to an account. Raises Conflict when another account is theirs."""
        with self.database.write() as connection:
            connection.execute(
                "INSERT INTO external_logins (issuer, subject, user_id, created_at)"
                " VALUES (:issuer, :subject, :id, :now) ON CONFLICT (issuer, subject) DO NOTHING",
                {"issuer": issuer, "subject": subject, "id": user.id, "now": self.clock()},
            )
            row = connection.execute(
                "SELECT user_id FROM external_logins WHERE issuer = :issuer AND subject = :subject",
                {"issuer": issuer, "subject": subject},
            ).fetchone()
            if row[0] != user.id:
                raise Conflict("this login belongs to another account here", hint="Log in with it, or unlink it there.")
            self.audit.note(connection, actor, "link login", user.name)

    def unlink(self, user: User, issuer: str, *, actor: str) -> int:
        """Untie all persons of one login service from an account. Raises NotFound when there is none."""
        with self.database.write() as connection:
            done = connection.execute(
                "DELETE FROM external_logins WHERE user_id = :id AND issuer = :issuer",
                {"id": user.id, "issuer": issuer},
            ).rowcount
            if not done:
                raise NotFound("no login from elsewhere is linked to this account")
            self.audit.note(connection, actor, "unlink login", user.name)
        return int(done)
