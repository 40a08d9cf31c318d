"""``pytest --ledger postgresql``: whatever the tests keep in a data directory's ledger is kept in PostgreSQL instead.

Each data directory has a schema of its own. Servers and commands that tests start are told by SKYVAULT_LEDGER; what
opens a ledger's file in this process is given the schema of its directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILES = ("ledger.sqlite", "ledger.db")


def address_of(home: Path, url: str) -> str:
    """The address of a data directory's schema, made when it is first asked for."""
    import psycopg

    name = f"home_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")  # type: ignore[arg-type, unused-ignore]
    return f"{url}?options=-csearch_path%3D{name}"


def redirect(patch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    """Within this, ledgers' files mean schemas."""
    import skyvault.ledger.ledger
    from skyvault.config import Secret
    from skyvault.store.layout import Layout

    opened = skyvault.ledger.ledger.open_database

    def open_database(place: Any, **options: Any) -> Any:
        if isinstance(place, Path) and place.name in FILES:
            place = Secret(address_of(place.parent, url))
        return opened(place, **options)

    patch.setattr(skyvault.ledger.ledger, "open_database", open_database)
    patch.setattr(Layout, "of", lambda settings: Layout(settings.home, Secret(address_of(settings.home, url))))
    yield
