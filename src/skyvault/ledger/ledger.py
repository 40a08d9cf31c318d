"""The ledger as one thing: its database, jobs, holdings, duties, downloads, users and their tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from skyvault.ledger.audit import Audit
from skyvault.ledger.downloads import Downloads
from skyvault.ledger.duties import Duties
from skyvault.ledger.engine import Database, Place, open_database
from skyvault.ledger.external_logins import ExternalLogins
from skyvault.ledger.holdings import Holdings
from skyvault.ledger.jobs import Jobs, new_job_id
from skyvault.ledger.login_attempts import LoginAttempts
from skyvault.ledger.migrations import upgrade
from skyvault.ledger.registry import Registry
from skyvault.ledger.resources import Resources
from skyvault.ledger.tokens import Tokens
from skyvault.ledger.user_tables import UserTables
from skyvault.ledger.users import Users


class Ledger:
    """Opened by :func:`open_ledger`; close it when done, or use it as a context."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_job_id,
        waiting_limit: int = 10_000,
    ) -> None:
        self.database = database
        self.jobs = Jobs(database, clock=clock, new_id=new_id, waiting_limit=waiting_limit)
        self.holdings = Holdings(database, clock=clock)
        self.duties = Duties(database, clock=clock)
        self.downloads = Downloads(database, clock=clock)
        self.users = Users(database, clock=clock)
        self.tokens = Tokens(database, clock=clock)
        self.external_logins = ExternalLogins(database, clock=clock)
        self.login_attempts = LoginAttempts(database, clock=clock)
        self.user_tables = UserTables(database, clock=clock)
        self.audit = Audit(database, clock=clock)
        self.resources = Resources(database, clock=clock)
        self.registry = Registry(database, clock=clock)

    def change_counter(self) -> int:
        """Differs from the last one when anybody, here or in another process, has written anything. 5 us."""
        return self.database.change_counter()

    def backup(self, target: Path) -> None:
        """Copy the ledger, consistent in itself, while others go on working."""
        self.database.backup(target)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_ledger(
    place: Place,
    *,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = new_job_id,
    waiting_limit: int = 10_000,
    busy_timeout_s: float = 5.0,
) -> Ledger:
    """The ledger in this SQLite file, or in the PostgreSQL database of this address (a Secret).

    Made when there is none, migrated when it is older. Each process opens its own. Raises StoreError or ConfigError
    in a sentence for a network file system, a ledger of a newer release, a damaged or unwritable one, a database
    that cannot be reached.
    """
    database = open_database(place, busy_timeout_s=busy_timeout_s)
    try:
        upgrade(database)
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock=clock, new_id=new_id, waiting_limit=waiting_limit)
