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
from skyvault.adql.storage import Stored, StoredRegion
from skyvault.store.coverage_cells import ORDERS, cells_of_coverages
from skyvault.store.engine import Engine, alias
from skyvault.store.regtap import MAIN, SCHEMA, TABLES
from skyvault.store.view import Shelved

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.ledger.holdings import Holding
    from skyvault.ledger.registry import Registry

#: the published table that holds what was harvested
HARVESTED: Final = f"{SCHEMA}.{MAIN}"
#: which registry each harvested record came from: a table beside
ORIGINS: Final = "origins"
#: the table of coverages, its column that numbers rows, and the index of their cells
SPATIAL: Final = "stc_spatial"
ROW: Final = "_row"
CELLS: Final = "coverage_cells"
#: numbers of harvested rows begin here, those of our own at 0
_HARVESTED_FROM: Final = 1 << 40
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
        #: the snapshot of what was harvested, and what is in memory: the version of our records, and that snapshot
        self._harvested: str | None = None
        self._loaded: tuple[int, str | None] | None = None

    def shelves(self, harvested: Holding | None) -> list[Shelved]:
        """All tables of ``rr``; ``harvested`` is what the ledger says of the snapshot, if there is one."""
        self._harvested = None if harvested is None else harvested.snapshot
        counts = {} if harvested is None else dict(harvested.extra.get("registry", {}).get("rows", {}))
        shelved = []
        for name, table in TABLES.items():
            columns = ", ".join(identifier(column) for column in table.column_names)
            sql = f"memory.main.rr_{name}"
            regions: tuple[StoredRegion, ...] = ()
            file = None
            if name == SPATIAL:
                # all in memory: only an index of one table spares the reading of every coverage
                regions = (StoredRegion(table.column_names.index("coverage"), f"memory.main.rr_{CELLS}", ORDERS),)
            elif harvested is not None:
                file = harvested.snapshot
                there = f"{alias(file)}.{'data' if name == MAIN else identifier(name)}"
                sql = (
                    f"(SELECT {columns}, rowid AS rowid FROM {sql} UNION ALL"
                    f" SELECT {columns}, rowid + {_HARVESTED_FROM} AS rowid FROM {there})"
                )
            stored = Stored(sql, table.column_names, int(counts.get(name, 0)), regions=regions)
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
        """Have in memory the rows of our own records as they are now, and all coverages with an index of cells."""
        self.refresh()
        if self._loaded == (self.registry.version(), self._harvested):
            return
        with self._lock:
            wanted = (self.registry.version(), self._harvested)
            if wanted == self._loaded:
                return
            tables = self._own_tables()
            file = wanted[1]
            with self.engine.using(() if file is None else (file,)):
                self.engine.load_all(tables, _joined(None if file is None else alias(file)))
            self._loaded = wanted

    def _own_tables(self) -> dict[str, pa.Table]:
        from skyvault.formats.xml_text import read_small
        from skyvault.store.regtap_rows import Rows

        rows = Rows()
        after: tuple[int, str] | None = None
        while page := self.registry.listed(after=after, limit=500, with_deleted=False):
            for record in page:
                rows.add(read_small(record.document.replace(BASE, self.address).encode(), limit=64_000_000))
            after = (page[-1].datestamp, page[-1].key)
        covered, cells = numbered(rows.table(SPATIAL), 0)
        tables = {f"memory.main.rr_{name}": rows.table(name) for name in TABLES if name != SPATIAL}
        return tables | {"memory.main.rr_own_coverage": covered, "memory.main.rr_own_cells": cells}


def _joined(harvested: str | None) -> tuple[str, ...]:
    """Statements that make one table of all coverages, and one of their cells by its row numbers."""
    columns = ", ".join(identifier(name) for name in (*TABLES[SPATIAL].column_names, ROW))
    covered = f"SELECT {columns} FROM memory.main.rr_own_coverage"
    cells = "SELECT key, row FROM memory.main.rr_own_cells"
    if harvested is not None:
        moved = columns.replace(identifier(ROW), f"{ROW} + {_HARVESTED_FROM}")
        covered += f" UNION ALL SELECT {moved} FROM {harvested}.{SPATIAL}"
        cells += f" UNION ALL SELECT key, row + {_HARVESTED_FROM} FROM {harvested}.{CELLS}"
    return (
        f"CREATE OR REPLACE TABLE memory.main.rr_{SPATIAL} AS {covered}",
        f"CREATE OR REPLACE TABLE memory.main.rr_{CELLS} AS SELECT c.key, s.rowid - first AS row FROM ({cells}) AS c"
        f" JOIN memory.main.rr_{SPATIAL} AS s ON s.{ROW} = c.row,"
        # until they are committed, the numbers of a table's rows do not begin at 0
        f" (SELECT min(rowid) AS first FROM memory.main.rr_{SPATIAL}) ORDER BY c.key",
    )


def numbered(coverages: pa.Table, first: int) -> tuple[pa.Table, pa.Table]:
    """Rows of ``rr.stc_spatial`` with their numbers (from ``first`` on), and the index of their cells."""
    import pyarrow as pa

    rows = range(first, first + coverages.num_rows)
    texts = coverages.column("coverage").to_pylist()
    return coverages.append_column(ROW, pa.array(rows, pa.int64())), cells_of_coverages(zip(rows, texts, strict=True))
