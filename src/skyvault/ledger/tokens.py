"""Bearer tokens and web sessions: named, limited to what they are for, expiring; only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from skyvault.errors import NotFound, ParameterError
from skyvault.ledger.audit import Audit
from skyvault.ledger.engine import Database, Row
from skyvault.ledger.users import User

Kind = Literal["token", "session"]
#: what a token may be for: "read" runs queries and sees one's own jobs and tables, "write" makes and drops tables,
#: "account" manages tokens
SCOPES = ("read", "write", "account")
_FORM = re.compile(r"skv_([0-9a-f]{16})_([0-9A-Za-z_-]{43})")
#: tokens and sessions one user may have
MOST_EACH = 200


@dataclass(frozen=True, slots=True)
class Token:
    """A token or session without its secret. Times are seconds since 1970."""

    id: str
    user_id: str
    kind: Kind
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float


class Tokens:
    """The tokens of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.audit = Audit(database, clock=clock)

    def create(
        self, user: User, name: str, scopes: Iterable[str], life_s: float, *, kind: Kind = "token"
    ) -> tuple[Token, str]:
        """A new token and its text, which is told this once. Raises ParameterError for unknown scopes, too many."""
        wanted = frozenset(scopes)
        if not wanted or wanted - set(SCOPES):
            raise ParameterError("a token needs scopes", hint=f"There are {', '.join(SCOPES)}.")
        name = "".join(c for c in name if c.isprintable()).strip()[:100] or kind
        secret = secrets.token_urlsafe(32)
        now = self.clock()
        token = Token(secrets.token_hex(8), user.id, kind, name, wanted, now, now + life_s)
        with self.database.write() as connection:
            connection.execute("DELETE FROM tokens WHERE expires_at <= :now", {"now": now})
            count = connection.execute(
                "SELECT count(*) FROM tokens WHERE user_id = :id AND kind = :kind", {"id": user.id, "kind": kind}
            ).fetchone()[0]
            if count >= MOST_EACH and kind == "token":
                raise ParameterError(f"you have {count} tokens already", hint="Revoke some that are not used.")
            if count >= MOST_EACH:
                # whoever logs in that often does not need the oldest
                connection.execute(
                    "DELETE FROM tokens WHERE id = (SELECT id FROM tokens WHERE user_id = :id AND kind = 'session'"
                    " ORDER BY created_at LIMIT 1)",
                    {"id": user.id},
                )
            connection.execute(
                "INSERT INTO tokens (id, user_id, kind, name, scopes, hash, created_at, expires_at)"
                " VALUES (:id, :user, :kind, :name, :scopes, :hash, :now, :until)",
                {
                    "id": token.id,
                    "user": user.id,
                    "kind": kind,
                    "name": name,
                    "scopes": " ".join(sorted(wanted)),
                    "hash": _hashed(secret),
                    "now": now,
                    "until": token.expires_at,
                },
            )
            self.audit.note(connection, user.name, f"create {kind}", token.id)
        return token, f"skv_{token.id}_{secret}"

    def check(self, text: str, kind: Kind = "token") -> Token | None:
        """The token this text is, if it is one that is valid now. 30 us; the comparison takes equal time."""
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        row = self.database.fetch_one(
            "SELECT * FROM tokens WHERE id = :id AND kind = :kind", {"id": form[1], "kind": kind}
        )
        same = hmac.compare_digest(_hashed(form[2]), "" if row is None else row["hash"])
        if row is None or not same or row["expires_at"] <= self.clock():
            return None
        return _token(row)

    def of(self, user_id: str, kind: Kind = "token") -> list[Token]:
        """The user's tokens that are valid, newest first."""
        rows = self.database.fetch_all(
            "SELECT * FROM tokens WHERE user_id = :id AND kind = :kind AND expires_at > :now ORDER BY created_at DESC",
            {"id": user_id, "kind": kind, "now": self.clock()},
        )
        return [_token(row) for row in rows]

    def revoke(self, user: User, token_id: str) -> None:
        """It is valid no longer. Raises NotFound when it is not the user's."""
        with self.database.write() as connection:
            done = connection.execute(
                "DELETE FROM tokens WHERE id = :id AND user_id = :user", {"id": token_id, "user": user.id}
            ).rowcount
            if not done:
                raise NotFound(f"you have no token {token_id[:32]!r}")
            self.audit.note(connection, user.name, "revoke token", token_id)


def _hashed(secret: str) -> str:
    # 256 random bits cannot be guessed from a quick hash
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        user_id=row["user_id"],
        kind=row["kind"],
        name=row["name"],
        scopes=frozenset(row["scopes"].split()),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
