"""The schema ``rr`` in queries: our own records, held in memory, and those harvested elsewhere, in a snapshot.

Our own become rows when a query first names them after a change; so publishing does not wait for it, and a service
nobody asks about registries does not pay. The harvested ones lie in one snapshot file, whose main table is
``rr.resource`` with all others beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from skyvault.adql.emit_duckdb import identifier
from skyvault.adql.storage import Stored
from skyvault.store.engine import Engine, alias
from skyvault.store.regtap import MAIN, SCHEMA, TABLES
from skyvault.store.view import Shelved

if TYPE_CHECKING:
    from skyvault.ledger.holdings import Holding
    from skyvault.ledger.registry import Registry

#: the published table that holds what was harvested
HARVESTED: Final = f"{SCHEMA}.{MAIN}"
#: which registry each harvested record came from: the table beside, and its columns
ORIGINS: Final = "origins"
#: stands for the service's own address in records as they are kept
BASE: Final = "\ue000"


class RegistryShelf:
    """The tables of ``rr`` of one process."""

    def __init__(self, engine: Engine, registry: Registry, address: str) -> None:
        """``address`` is where clients find this service: rows of ``rr.interface`` begin with it."""
        self.engine = engine
        self.registry = registry
        self.address = address
        #: brings the records up to date before they are read; a server sets it
        self.refresh: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._loaded: int | None = None

    def shelves(self, harvested: Holding | None) -> list[Shelved]:
        """All tables of ``rr``; ``harvested`` is what the ledger says of the snapshot, if there is one."""
        counts = {} if harvested is None else dict(harvested.extra.get("registry", {}).get("rows", {}))
        shelved = []
        for name, table in TABLES.items():
            columns = ", ".join(identifier(column) for column in table.column_names)
            sql = f"memory.main.rr_{name}"
            file = None
            if harvested is not None:
                file = harvested.snapshot
                there = f"{alias(file)}.{'data' if name == MAIN else identifier(name)}"
                sql = f"(SELECT {columns} FROM {sql} UNION ALL SELECT {columns} FROM {there})"
            stored = Stored(sql, table.column_names, int(counts.get(name, 0)))
            shelved.append(
                Shelved(
                    replace(table, nrows=None),
                    stored,
                    file,
                    published_at=0.0 if harvested is None else harvested.published_at,
                    prepare=self.load,
                )
            )
        return shelved

    def load(self) -> None:
        """Have the rows of our own records as they are now in memory."""
        self.refresh()
        version = self.registry.version()
        if version == self._loaded:
            return
        with self._lock:
            version = self.registry.version()
            if version == self._loaded:
                return
            from skyvault.formats.xml_text import read_small
            from skyvault.store.regtap_rows import Rows

            rows = Rows()
            after: tuple[int, str] | None = None
            while page := self.registry.listed(after=after, limit=500, with_deleted=False):
                for record in page:
                    rows.add(read_small(record.document.replace(BASE, self.address).encode(), limit=64_000_000))
                after = (page[-1].datestamp, page[-1].key)
            self.engine.load_all({f"memory.main.rr_{name}": rows.table(name) for name in TABLES})
            self._loaded = version
