"""What is published at one moment: finds tables for the checker and tells emitters where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skyvault.adql.plan import PlanCache
from skyvault.adql.storage import Stored, StoredPosition, StoredRegion, storage_names
from skyvault.model.frames import canonical
from skyvault.model.table import Table
from skyvault.store.engine import alias


@dataclass(frozen=True, slots=True)
class Shelved:
    """A table one can query: its description, where it lies, and what was measured at ingest."""

    table: Table
    stored: Stored
    #: the snapshot file, None for tables in memory (TAP_SCHEMA, uploads)
    file: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    published_at: float = 0.0
    bytes: int = 0
    version: int = 0
    #: to be called before the table is read
    prepare: Callable[[], None] | None = None


def shelved(
    table: Table,
    file: str,
    nrows: int,
    extra: Mapping[str, Any],
    *,
    published_at: float = 0,
    bytes: int = 0,
    version: int = 0,
) -> Shelved:
    """A published table from what the ledger says of it."""
    database = alias(file)
    table = canonical(table)
    stored = Stored(
        sql=f"{database}.data",
        names=storage_names(table.column_names),
        nrows=nrows,
        positions=tuple(StoredPosition(p.get("lon"), p.get("lat"), p.get("point")) for p in extra.get("positions", ())),
        regions=tuple(
            StoredRegion(r["column"], f"{database}.cells_{r['column']}", tuple(r["orders"]))
            for r in extra.get("regions", ())
        ),
    )
    return Shelved(table, stored, file, extra, published_at, bytes, version)


class View:
    """Tables by name. Immutable; a new publication makes a new view (and an empty plan cache)."""

    def __init__(self, tables: Iterable[Shelved], version: int = 0, parent: View | None = None) -> None:
        self.version = version
        self.tables: dict[str, Shelved] = {item.table.name: item for item in tables}
        self._parent = parent
        self._by_name: dict[tuple[str, ...], list[Shelved]] = {}
        for item in self.tables.values():
            parts = split_name(item.table.name)
            for start in range(len(parts)):
                self._by_name.setdefault(tuple(p.lower() for p in parts[start:]), []).append(item)
        self.plans = PlanCache()

    def with_uploads(self, uploads: Iterable[Shelved]) -> View:
        """This view and a query's own uploaded tables."""
        return View(uploads, self.version, parent=self)

    def find(self, parts: tuple[tuple[str, bool], ...]) -> Table | None:
        item = self.shelf(parts)
        return None if item is None else item.table

    def shelf(self, parts: tuple[tuple[str, bool], ...]) -> Shelved | None:
        matches = [
            item
            for item in self._by_name.get(tuple(text.lower() for text, _ in parts), ())
            if all(
                not quoted or text == own
                for (text, quoted), own in zip(reversed(parts), reversed(split_name(item.table.name)), strict=False)
            )
        ]
        # a name without schema must mean one table only; the full name always wins
        full = [item for item in matches if len(split_name(item.table.name)) == len(parts)]
        if len(full or matches) == 1:
            return (full or matches)[0]
        return self._parent.shelf(parts) if self._parent is not None else None

    def get(self, name: str) -> Shelved | None:
        """The table of this qualified name, in any case."""
        return self.shelf(tuple((part, False) for part in split_name(name)))

    def names(self) -> Iterable[str]:
        yield from self.tables
        if self._parent is not None:
            yield from self._parent.names()

    def stored(self, table: Table) -> Stored:
        return self.item(table.name).stored

    def item(self, name: str) -> Shelved:
        if name in self.tables:
            return self.tables[name]
        if self._parent is None:
            raise KeyError(name)
        return self._parent.item(name)


def split_name(name: str) -> tuple[str, ...]:
    """Parts of a qualified name; a delimited part may hold dots."""
    parts, current, quoted = [], "", False
    for char in name:
        if char == '"':
            quoted = not quoted
        elif char == "." and not quoted:
            parts.append(current)
            current = ""
        else:
            current += char
    return (*parts, current)
