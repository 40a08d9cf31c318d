"""What a query gave, whole: described columns and their values, for functions that work on a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skyvault.errors import NotFound

if TYPE_CHECKING:
    import astropy.table
    import pyarrow as pa

    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Table


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows with their description: ``for row in result`` gives dicts, ``result["mag"]`` an array of shape (n,).

    Units, UCDs and frames of the published columns are in ``table``; a result that a hook returns is written with them.
    """

    table: Table
    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.rows.to_batches(max_chunksize=1_000):
            yield from batch.to_pylist()

    def __getitem__(self, name: str) -> Any:
        """A column as a NumPy array; numbers that are not there are NaN. Raises NotFound."""
        import pyarrow as pa

        places = [i for i, one in enumerate(self.rows.column_names) if one.lower() == name.lower()]
        if not places:
            raise NotFound(f"the query has no column {name!r}", hint=f"It has {', '.join(self.rows.column_names)}.")
        values = self.rows.column(places[0])
        if values.null_count and pa.types.is_integer(values.type):
            values = values.cast(pa.float64())
        return values.to_numpy()

    def to_astropy(self) -> astropy.table.Table:
        """The same as an astropy table with units and descriptions."""
        from astropy.table import Column
        from astropy.table import Table as AstropyTable

        made = AstropyTable()
        for column in self.table.columns:
            made[column.name] = Column(self[column.name], unit=column.unit, description=column.description)
        return made

    def stream(self) -> TableStream:
        """The rows for a writer of :mod:`skyvault.formats`."""
        from skyvault.formats.stream import TableStream

        return TableStream(self.table, iter(self.rows.to_batches(max_chunksize=20_000)))
