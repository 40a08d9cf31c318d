"""Duties that one process at a time may do: cleaning up, compacting, scheduled actions."""

from __future__ import annotations

import time
from collections.abc import Callable

from skyvault.ledger.engine import Database


class Duties:
    """Who does what. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def take(self, name: str, holder: str, lease_s: float) -> bool:
        """Whether ``holder`` has the duty for the next ``lease_s`` seconds: it was free, run out, or its own."""
        now = self.clock()
        with self.database.write(is_lasting=False) as connection:
            taken = connection.execute(
                "INSERT INTO duties (name, holder, lease_until) VALUES (:name, :holder, :until)"
                " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until"
                " WHERE duties.lease_until <= :now OR duties.holder = excluded.holder",
                {"name": name, "holder": holder, "until": now + lease_s, "now": now},
            ).rowcount
        return bool(taken)

    def give_back(self, name: str, holder: str) -> None:
        """Let somebody else have it."""
        with self.database.write(is_lasting=False) as connection:
            connection.execute(
                "DELETE FROM duties WHERE name = :name AND holder = :holder", {"name": name, "holder": holder}
            )
