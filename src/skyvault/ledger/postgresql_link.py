"""How a PostgreSQL ledger is reached: connections, and in one sentence each why there is none, or no answer."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg

from skyvault.config import Secret
from skyvault.errors import Busy, ConfigError, ParameterError, SkyvaultError, StoreError
from skyvault.ledger.postgresql_statements import rows

logger = logging.getLogger(__name__)

CONNECT_S = 5
#: A machine that vanished in the middle of a transaction holds everybody else up for so long at most.
_ABANDONED_S = 20
#: Every statement of the ledger takes milliseconds.
_STATEMENT_S = 60
#: While the database is away, the log says so this often.
_LOG_S = 10.0
#: Clocks that differ by more than this make leases run out too soon or too late.
_CLOCK_S = 3.0


class Link:
    """The way to one database, for the process that made it. Raises ConfigError for an address that is none."""

    def __init__(self, url: Secret) -> None:
        self.url = url
        self.place = without_password(url)
        self.is_closed = False
        self._password = _password_in(url)
        self._logged_at = self._away_until = float("-inf")
        self._pid = os.getpid()

    def connect(self) -> Any:
        """A new connection, on which each statement is a transaction unless it says otherwise."""
        if self.is_closed:
            raise StoreError(f"{self.place}: the ledger is closed")
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.place}: the ledger was opened before this process was forked",
                hint="Open it anew in each process: connections do not survive a fork.",
            )
        began = time.monotonic()
        if began < self._away_until:
            raise away()
        try:
            connection = psycopg.connect(
                self.url.reveal(),
                autocommit=True,
                row_factory=rows,
                connect_timeout=CONNECT_S,
                fallback_application_name="skyvault",
                # a machine that vanished is noticed soon, in a quiet time and in a busy one
                keepalives_idle=15,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=10_000,
                # statements of the ledger are few and come again and again
                prepare_threshold=2,
            )
        except psycopg.OperationalError:
            # where it takes long to learn that nobody answers, it must not be asked for each request
            now = time.monotonic()
            self._away_until = now + max(0.05, 4 * (now - began))
            raise
        connection.prepared_max = 400
        connection.execute(
            f"SET idle_in_transaction_session_timeout = '{_ABANDONED_S}s'; SET statement_timeout = '{_STATEMENT_S}s';"
            " SET client_min_messages = 'error';"
            # rows come and go quicker than statistics are made; every statement of the ledger has its index
            " SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;"
            " SET plan_cache_mode = force_generic_plan"
        )
        return connection

    def compare_clocks(self, connection: Any) -> None:
        """Tell the log when this machine's clock and the database's differ."""
        row = connection.execute("SELECT CAST(EXTRACT(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)").fetchone()
        ahead_s = 0.0 if row is None else time.time() - row[0]
        if abs(ahead_s) > _CLOCK_S:
            logger.warning(
                "this machine's clock is %.1f s %s that of the ledger's database: jobs may be taken for lost; "
                "let all machines follow one time server",
                abs(ahead_s),
                "ahead of" if ahead_s > 0 else "behind",
            )

    def _log_away(self, text: str) -> None:
        """Where it is and what it says is the operator's business, and told to the log now and then."""
        now = time.monotonic()
        if now - self._logged_at >= _LOG_S:
            self._logged_at = now
            logger.warning("the ledger's database at %s cannot be used: %s", self.place, text)

    def unheard(self) -> StoreError:
        return StoreError(
            f"{self.place}: the connection was lost at the end of a change, which was made or not made",
            hint="Look whether it was; nothing is half done.",
        )

    def not_whole(self) -> StoreError:
        return StoreError(
            f"{self.place}: the ledger's tables are not whole (the counter of changes is missing)",
            hint="Restore it from a backup.",
        )

    def told(self, error: BaseException) -> str:
        """What the database says, in one line and without the password."""
        lines = str(error).strip().splitlines()
        text = lines[0][:300] if lines else type(error).__name__
        return text.replace(self._password, "***") if self._password else text

    def explain(self, error: psycopg.Error) -> SkyvaultError:
        """What is wrong, in a sentence."""
        text = self.told(error)
        if isinstance(error, pg.LockNotAvailable | pg.DeadlockDetected | pg.SerializationFailure):
            return busy()
        if isinstance(error, pg.DiskFull):
            return StoreError(
                f"{self.place}: the disk of the ledger's database is full", hint="Free some space; nothing was changed."
            )
        if isinstance(error, pg.InsufficientPrivilege | pg.ReadOnlySqlTransaction):
            return StoreError(
                f"{self.place}: the ledger cannot be written ({text})",
                hint="The user of the address needs all rights in the schema, on a server that may be written.",
            )
        if isinstance(error, psycopg.DataError):
            return ParameterError(f"a value cannot be kept ({text})")
        if isinstance(error, pg.DataCorrupted | pg.IndexCorrupted):
            return StoreError(
                f"{self.place}: the ledger is damaged ({text})",
                hint="Restore it from a backup; published tables are not touched by this.",
            )
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | pg.FeatureNotSupported):
            self._log_away(text)
            return away()
        return StoreError(f"{self.place}: {text}")


def without_password(url: Secret) -> str:
    """An address for people's eyes: neither password nor options. Raises ConfigError when it is no address."""
    try:
        parts = urlsplit(url.reveal())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("postgresql", "postgres"):
        raise _unreadable()
    user = f"{parts.username}@" if parts.username else ""
    return f"postgresql://{user}{host}{f':{port}' if port else ''}{parts.path}"


def _password_in(url: Secret) -> str | None:
    try:
        password = psycopg.conninfo.conninfo_to_dict(url.reveal()).get("password")
    except psycopg.ProgrammingError:
        raise _unreadable() from None
    return None if password is None else str(password)


def _unreadable() -> ConfigError:
    # nothing of it is shown: a password with a slash or a colon ends up anywhere
    return ConfigError(
        "the address of the ledger's database cannot be read",
        hint="Write postgresql://user:password@host:port/name, and / @ : of a password as %2F %40 %3A.",
    )


def is_lost(error: psycopg.Error, connection: Any) -> bool:
    """Whether the connection is gone, or its prepared statements are (the tables were migrated meanwhile)."""
    if connection is None:
        return False
    return bool(connection.broken or connection.closed or isinstance(error, pg.FeatureNotSupported))


def close(connection: Any) -> None:
    with suppress(Exception):
        if connection is not None:
            connection.close()


def away() -> Busy:
    return Busy(
        "the ledger's database cannot be used just now", retry_after_s=10, hint="Nothing was changed; try again."
    )


def busy() -> Busy:
    return Busy("the ledger is being written by others", retry_after_s=1, hint="Try again in a second.")
