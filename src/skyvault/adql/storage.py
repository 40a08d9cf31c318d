"""How a described table lies in a database: what an emitter must know and the checker need not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from skyvault.model.table import Table

#: a region index key is order * KEY_STRIDE + cell
KEY_STRIDE = 1 << 40


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """An indexed position: two columns, or one point column, and the cell and unit vector kept beside them."""

    lon: int | None
    lat: int | None
    point: int | None = None
    cell: str = "_healpix_29"
    x: str = "_x"
    y: str = "_y"
    z: str = "_z"


@dataclass(frozen=True, slots=True)
class StoredRegion:
    """An indexed region column: ``cells`` is a table (key, row) of the multi-order cells each region touches."""

    column: int
    cells: str
    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a table is: ``sql`` names it, ``names`` are its physical column names in the order of Table.columns."""

    sql: str
    names: tuple[str, ...]
    nrows: int
    positions: tuple[StoredPosition, ...] = ()
    regions: tuple[StoredRegion, ...] = field(default=())


class Storage(Protocol):
    """Finds where a checked table lies."""

    def stored(self, table: Table) -> Stored: ...


def storage_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Physical column names: the published ones, unless two differ by case alone or one looks like ours."""
    seen: set[str] = set()
    names = []
    for index, name in enumerate(columns):
        folded = name.lower()
        physical = name
        if folded in seen or folded.startswith("_") or not name or folded == "rowid" or not name.isprintable():
            clean = "".join(c for c in name if c.isprintable()).strip("_")
            physical = f"c{index}_{clean}"
            while physical.lower() in seen:
                physical += "_"
        seen.add(physical.lower())
        names.append(physical)
    return tuple(names)
