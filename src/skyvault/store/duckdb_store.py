"""The store of one data directory: published tables that can be found, queried and replaced.

Any number of processes may open the same directory. Each compares the ledger's change counter before a query (a few
microseconds) and takes a new view when somebody has published.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.ledger.ledger import Ledger
from skyvault.store import tap_schema
from skyvault.store.engine import Engine, SnapshotError
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.query import Answer, Limits, run_query
from skyvault.store.registry_shelf import HARVESTED, RegistryShelf
from skyvault.store.user_space import Reader, UserSpace, mentions_user_tables
from skyvault.store.view import View, shelved

if TYPE_CHECKING:
    import duckdb

    from skyvault.config import Settings
    from skyvault.store.uploads import Uploads

LEASE_S = 120.0


class DuckStore:
    """Published tables of one data directory, open for queries."""

    def __init__(self, settings: Settings, *, share: int = 1, ledger: Ledger | None = None) -> None:
        """``share`` is the number of processes that divide the memory and thread budget."""
        self.layout = Layout.of(settings).make()
        self.ledger = ledger or open_home_ledger(self.layout, waiting_limit=settings.jobs_waiting)
        self.holdings = self.ledger.holdings
        self.engine = Engine(
            self.layout.store,
            self.layout.temporary,
            memory_bytes=settings.memory_limit // share,
            threads=max(1, settings.threads // share),
            attached=settings.attached_snapshots,
            temp_bytes=settings.temp_bytes,
        )
        self.grace_s = settings.snapshot_grace_s
        self._has_registry = settings.registry
        self.registry = RegistryShelf(self.engine, self.ledger.registry, settings.public_url)
        #: None: users may not keep tables here
        self.user_space = (
            UserSpace(self.ledger, anonymous=settings.user_tables_anonymous) if settings.user_tables else None
        )
        self._lock = threading.Lock()
        self._holder = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._counter: int | None = None
        self._view = View(())
        self._loaded = 0
        self.view()

    def view(self) -> View:
        """What is published now."""
        counter = self.holdings.change_counter()
        if counter == self._counter:
            return self._view
        with self._lock:
            if counter != self._counter:
                version = self.holdings.version()
                if self._counter is None or version != self._view.version:
                    self._reload(version)
                self._counter = counter
        return self._view

    def view_for(self, reader: Reader | None, text: str) -> View:
        """What this reader may name in this query."""
        view = self.view()
        if reader is None or self.user_space is None or not mentions_user_tables(text):
            return view
        return self.user_space.view(reader, view)

    def _reload(self, version: int) -> None:
        current = list(self.holdings.current().values())
        harvested = next((h for h in current if h.name == HARVESTED and "registry" in h.extra), None)
        current = [h for h in current if h is not harvested]
        items = [
            shelved(
                h.table, h.snapshot, h.nrows, h.extra, published_at=h.published_at, bytes=h.bytes, version=h.version
            )
            for h in current
        ]
        self._loaded += 1
        # who publishes a registry's tables as they are (the sandbox does) has them instead of ours
        taken = {h.name.lower() for h in current}
        shelves = self.registry.shelves(harvested) if self._has_registry else ()
        registry = [shelf for shelf in shelves if shelf.table.name not in taken]
        described = [*(h.table for h in current), *(shelf.table for shelf in registry)]
        items += tap_schema.shelve(self.engine, described, self._loaded, tap_schema.schema_descriptions(items))
        items += registry
        # queries compiled a moment ago may still read the one before; two generations are kept
        if self._loaded > 2:
            tap_schema.drop(self.engine, self._loaded - 2)
        self._view = View(items, version)
        self.engine.forget(self.holdings.live_files())

    def query(
        self,
        text: str,
        limits: Limits,
        *,
        uploads: Uploads | None = None,
        on_cursor: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
        reader: Reader | None = None,
    ) -> Answer:
        """Run ADQL; ``reader`` is whose ``tap_user`` tables it may name (None: nobody's).

        Raises QueryError, QueryTimeout and others of :mod:`skyvault.errors`.
        """
        view = self.view_for(reader, text)
        try:
            return run_query(text, self.engine, view, limits, uploads=uploads, on_cursor=on_cursor)
        except SnapshotError:
            # a table may have been replaced and its file collected between looking and opening: look once more
            self._counter = None
            fresh = self.view_for(reader, text)
            if fresh is view or (uploads is not None and uploads.tables):
                raise
            return run_query(text, self.engine, fresh, limits, uploads=uploads, on_cursor=on_cursor)

    def keep_leases(self) -> None:
        """Tell the ledger which snapshots this process reads; called every half lease while serving."""
        self.holdings.lease(self.engine.attached, self._holder, LEASE_S)

    def collect(self) -> list[str]:
        """Delete snapshot files nobody needs any more: replaced longer than the grace period, and orphans.

        Users' tables whose time is over are dropped first; their files wait like all others.
        """
        self.ledger.user_tables.drop_expired()
        # what is not current is kept open no longer than its queries run, or its lease would never end
        self.engine.forget(self.holdings.live_files())
        self.keep_leases()
        gone = []
        for snapshot in self.holdings.garbage(self.grace_s):
            (self.layout.store / snapshot.file).unlink(missing_ok=True)
            gone.append(snapshot.file)
        if gone:
            self.holdings.deleted(gone)
        gone += remove_orphans(self.layout.store, self.holdings.files(), max(self.grace_s, 3600.0))
        return gone

    def close(self) -> None:
        self.engine.close()
        self.ledger.close()

    def __enter__(self) -> DuckStore:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def remove_orphans(store: Path, known: set[str], older_s: float) -> list[str]:
    """Delete files a killed publish left behind; young ones may belong to a publish that is running."""
    import time

    gone = []
    for path in store.iterdir():
        if path.is_file() and path.name not in known and time.time() - path.stat().st_mtime > older_s:
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return gone
