"""Failed logins, counted so that nobody can try passwords for long."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from skyvault.ledger.engine import Database

#: failures are remembered so long after the last one
WINDOW_S = 900.0
#: failures of one user from one network, of one user from anywhere, from one network for anybody
MOST = {"pair": 10, "user": 100, "address": 50}


class LoginAttempts:
    """The failed logins of one ledger. ``clock`` gives seconds since 1970."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def wait_s(self, name: str, address: str) -> int:
        """Seconds until this user may try again from this address; 0: now."""
        now = self.clock()
        wait = 0.0
        for kind, key in _keys(name, address):
            row = self.database.fetch_one("SELECT failures, until FROM login_attempts WHERE key = :key", {"key": key})
            if row is not None and row["until"] > now and row["failures"] >= MOST[kind]:
                wait = max(wait, row["until"] - now)
        return int(wait) + 1 if wait else 0

    def failed(self, name: str, address: str) -> None:
        """Count one failure."""
        now = self.clock()
        with self.database.write(is_lasting=False) as connection:
            connection.execute("DELETE FROM login_attempts WHERE until <= :now", {"now": now})
            for _, key in _keys(name, address):
                connection.execute(
                    "INSERT INTO login_attempts (key, failures, until) VALUES (:key, 1, :until)"
                    " ON CONFLICT (key) DO UPDATE SET failures = login_attempts.failures + 1, until = excluded.until",
                    {"key": key, "until": now + WINDOW_S},
                )

    def succeeded(self, name: str, address: str) -> None:
        """Forget this user's failures from this address."""
        key = _keys(name, address)[0][1]
        if self.database.fetch_one("SELECT 1 FROM login_attempts WHERE key = :key", {"key": key}) is None:
            return
        with self.database.write(is_lasting=False) as connection:
            connection.execute("DELETE FROM login_attempts WHERE key = :key", {"key": key})


def _keys(name: str, address: str) -> list[tuple[str, str]]:
    """What is counted; hashed, since people type passwords where names belong.

    ``address`` "" is this machine: perhaps a proxy that stands for everybody, so it is not counted by itself.
    """
    parts = [("pair", f"{name.lower()}\n{address}"), ("user", name.lower())]
    parts += [("address", address)] if address else []
    return [(kind, f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:32]}") for kind, text in parts]
