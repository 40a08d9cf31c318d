"""A table that somebody offers for publication: described, with rows that come in batches when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyvault.model.table import Table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Offer:
    """One table. ``batches`` is called once and yields its rows in the order of the columns, never all at once.

    ``position`` names the columns of right ascension and declination (ICRS degrees); ``indexed`` columns get an index
    of their own; ``is_observations`` lets the rows join ivoa.ObsCore.
    """

    table: Table
    batches: Callable[[], Iterator[pa.RecordBatch]]
    position: tuple[str, str] | None = None
    indexed: tuple[str, ...] = ()
    is_observations: bool = False
