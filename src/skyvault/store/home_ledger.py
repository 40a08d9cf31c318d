"""The ledger of a data directory: the file in it, or the PostgreSQL database the operator named.

A ledger says which files of the store are in use, and what no ledger names is deleted in time. So the two must not be
mixed up: a directory and the PostgreSQL ledger it works with bear the same mark, written when they first meet.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from skyvault.errors import ConfigError, StoreError
from skyvault.ledger.ledger import Ledger, open_ledger

if TYPE_CHECKING:
    from skyvault.store.layout import Layout

#: the mark of a data directory whose ledger is elsewhere, and its name within that ledger
MARK_FILE = "ledger-mark"
MARK_KEY = "home"
_MOVE = "Stop the servers and run skyvault upgrade: it moves the ledger there."


def open_home_ledger(layout: Layout, *, waiting_limit: int = 10_000, clock: Callable[[], float] = time.time) -> Ledger:
    """The ledger of this data directory; made when there is none.

    Raises StoreError, ConfigError as :func:`skyvault.ledger.ledger.open_ledger` does, and where directory and ledger
    do not belong to each other.
    """
    if layout.ledger_address is None:
        if (layout.home / MARK_FILE).exists():
            raise ConfigError(
                f"the ledger of {layout.home} is in a PostgreSQL database, and SKYVAULT_LEDGER does not say in which",
                hint="Set it to the database's address.",
            )
        return open_ledger(layout.ledger, waiting_limit=waiting_limit, clock=clock)
    ledger = open_ledger(layout.ledger_address, waiting_limit=waiting_limit, clock=clock)
    try:
        _check(ledger, layout)
    except BaseException:
        ledger.close()
        raise
    return ledger


def move_ledger(layout: Layout) -> int | None:
    """Take the ledger in the data directory's file into the empty PostgreSQL database named; how many rows it had.

    None when there is nothing to move. No server may run. May be stopped and started again: the file stays, under the
    name ``ledger.sqlite.moved``. Raises Conflict when the database's ledger is not empty.
    """
    if layout.ledger_address is None or not layout.ledger.exists():
        return None
    from skyvault.ledger.copying import copy_from_file, refuse_filled

    with open_ledger(layout.ledger_address) as ledger:
        mark = _mark_of(layout)
        if mark is not None and _mark_in(ledger) == mark:
            # the file is a newer one: what was fetched from archives is always written down beside
            return None
        refuse_filled(ledger.database)
        count = copy_from_file(layout.ledger, ledger.database, marked={MARK_KEY: mark or _mark(layout)})
    os.replace(layout.ledger, layout.ledger.with_name(f"{layout.ledger.name}.moved"))
    return count


def _check(ledger: Ledger, layout: Layout) -> None:
    here, there = _mark_of(layout), _mark_in(ledger)
    if here is not None and here == there:
        return
    place = ledger.database.place
    if there is not None:
        raise StoreError(
            f"the ledger {place} belongs to another data directory than {layout.home}",
            hint="Set SKYVAULT_HOME to that one, or SKYVAULT_LEDGER to an empty database or schema.",
        )
    if layout.ledger.exists():
        raise StoreError(
            f"{layout.home} has a ledger of its own ({layout.ledger.name}), and {place} does not know of it", hint=_MOVE
        )
    if layout.store.is_dir() and any(layout.store.glob("*.duckdb")):
        raise StoreError(
            f"{layout.home} holds tables that the ledger {place} does not know of",
            hint="Restore that database from its backup, or set SKYVAULT_HOME to an empty directory.",
        )
    # first here and then there: whoever is stopped between is taken for new again
    mark = here or _mark(layout)
    with ledger.database.write() as connection:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES (:key, :mark) ON CONFLICT (key) DO NOTHING",
            {"key": MARK_KEY, "mark": mark},
        )
    if _mark_in(ledger) != mark:
        _check(ledger, layout)


def _mark_of(layout: Layout) -> str | None:
    try:
        return (layout.home / MARK_FILE).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def _mark_in(ledger: Ledger) -> str | None:
    row = ledger.database.fetch_one("SELECT value FROM meta WHERE key = :key", {"key": MARK_KEY})
    return None if row is None else str(row[0])


def _mark(layout: Layout) -> str:
    """A new mark for this directory; that of whoever was quicker, if somebody was."""
    layout.home.mkdir(parents=True, exist_ok=True)
    draft = layout.home / f"{MARK_FILE}-{secrets.token_hex(4)}"
    draft.write_text(f"{secrets.token_hex(16)}\n", encoding="ascii")
    try:
        os.link(draft, layout.home / MARK_FILE)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    found = _mark_of(layout)
    assert found is not None
    return found
