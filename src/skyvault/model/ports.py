"""The seams: small protocols that let layers work together without importing each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from skyvault.model.offer import Offer
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


class Publishable(Protocol):
    """Something that has tables to publish: a run of a pipeline, a session.

    ``schema`` is the name before the point of all its tables.
    """

    @property
    def schema(self) -> str: ...

    def offers(self) -> Iterable[Offer]:
        """The tables, those first that others refer to."""

    def problems(self) -> list[str]:
        """What could not be read while the rows were given out, one sentence each; [] where all is whole."""
