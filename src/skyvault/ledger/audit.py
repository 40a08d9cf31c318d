"""The audit log: who did what when to accounts and users' tables; neither data nor secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skyvault.ledger.engine import Database

#: characters kept of a name that somebody sent
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; ``at`` is in seconds since 1970."""

    at: float
    actor: str
    act: str
    subject: str


class Audit:
    """The log of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def note(self, connection: Any, actor: str, act: str, subject: str) -> None:
        """Write one line within the transaction of the act itself: neither is there without the other."""
        connection.execute(
            "INSERT INTO audit (at, actor, act, subject) VALUES (:at, :actor, :act, :subject)",
            {"at": self.clock(), "actor": actor[:_LONGEST], "act": act, "subject": subject[:_LONGEST]},
        )

    def newest(self, most: int = 100) -> list[Entry]:
        """The last entries, newest first."""
        rows = self.database.fetch_all(
            "SELECT at, actor, act, subject FROM audit ORDER BY seq DESC LIMIT :most", {"most": most}
        )
        return [Entry(row["at"], row["actor"], row["act"], row["subject"]) for row in rows]
