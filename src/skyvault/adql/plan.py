"""A compiled query: SQL with holes where the user's constants go, and what its result columns mean.

Clients repeat the same query with other numbers. The text is cut into tokens, the literals are taken out, and what is
left is the key of the plan cache; a hit only fills the holes. Holes render checked values (numbers by ``repr``, text
quoted), so nothing a user wrote reaches a database as SQL.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock

from skyvault.model.table import Column

#: the values of a query's literals, by index
Values = tuple[int | float | str | None, ...]
Hole = Callable[[Values], str]

_MARK = re.compile("\x01(\\d+)\x02")


def mark(index: int) -> str:
    """The text that stands for hole ``index`` while SQL is being put together."""
    return f"\x01{index}\x02"


#: rows up to which a limit is handed to the engine; a larger one is cut while rows stream (the engine would hold back)
ENGINE_LIMIT = 20_001


@dataclass(frozen=True, slots=True)
class RowLimit:
    """The LIMIT of the outermost select: the smaller of the query's TOP and what the caller allows."""

    top: int | None
    #: the engine must do it whatever its size: rows are ordered, or an OFFSET counts them
    always: bool

    def rows(self, allowed: int | None) -> int | None:
        known = [n for n in (self.top, allowed) if n is not None]
        return min(known) if known else None

    def sql(self, allowed: int | None) -> str:
        rows = self.rows(allowed)
        return f" LIMIT {rows}" if rows is not None and (self.always or rows <= ENGINE_LIMIT) else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """SQL of one query shape. ``tables`` are the qualified names of the stored tables it reads."""

    parts: tuple[str | Hole, ...]
    columns: tuple[Column, ...]
    tables: tuple[str, ...]
    limit: RowLimit
    tail: tuple[str | Hole, ...] = ()

    def sql(self, values: Values, allowed: int | None = None) -> str:
        """The SQL for these literals, at most ``allowed`` rows.

        Raises QueryError when a constant makes no sense (a latitude of 91).
        """
        return "".join(
            [
                *[part if isinstance(part, str) else part(values) for part in self.parts],
                self.limit.sql(allowed),
                *[part if isinstance(part, str) else part(values) for part in self.tail],
            ]
        )


def cut(text: str, holes: list[Hole]) -> tuple[str | Hole, ...]:
    """Split marked SQL text into fixed parts and holes."""
    pieces = _MARK.split(text)
    return tuple(holes[int(piece)] if i % 2 else piece for i, piece in enumerate(pieces) if i % 2 or piece)


class PlanCache:
    """Plans by query shape, least recently used dropped; safe between threads.

    A shape may have several plans: literals that shaped the result ("pinned": TOP, units, frames) are compared by
    value.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._plans: OrderedDict[Hashable, tuple[tuple[int, ...], dict[Hashable, Plan]]] = OrderedDict()
        self._lock = Lock()

    def get(self, template: Hashable, values: Values) -> Plan | None:
        with self._lock:
            entry = self._plans.get(template)
            if entry is None:
                return None
            self._plans.move_to_end(template)
            pinned, plans = entry
            return plans.get(tuple(values[i] for i in pinned))

    def put(self, template: Hashable, values: Values, pinned: set[int], plan: Plan) -> None:
        with self._lock:
            known, plans = self._plans.get(template, ((), {}))
            merged = tuple(sorted(pinned | set(known)))
            if merged != known:
                plans = {}
            if len(plans) >= 64:
                plans.clear()
            plans[tuple(values[i] for i in merged)] = plan
            self._plans[template] = (merged, plans)
            self._plans.move_to_end(template)
            while len(self._plans) > self._size:
                self._plans.popitem(last=False)
