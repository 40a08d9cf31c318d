"""The seams: small protocols that let layers work together without importing each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from skyvault.model.table import Table


class TableLookup(Protocol):
    """What a query may name. Given to the ADQL checker by whoever holds tables."""

    def find(self, parts: tuple[tuple[str, bool], ...]) -> Table | None:
        """The table named by ``parts``, each (text, was it a delimited identifier); None when there is none.

        Undelimited parts match in any case; delimited ones exactly.
        """

    def names(self) -> Iterable[str]:
        """Qualified names, for suggestions."""


class Progress(Protocol):
    """Somebody who wants to know how far a piece of work has come."""

    def start(self, what: str, total: int | None = None) -> None: ...

    def advance(self, by: int = 1) -> None: ...

    def finish(self) -> None: ...
