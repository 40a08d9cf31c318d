"""Where Gaia's sources are: by a table of the catalogue, or by what the number of a source says."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError

if TYPE_CHECKING:
    import pyarrow as pa

#: a source's number begins with its cell of HEALPix order 12, nested (Gaia DR3 documentation, 20.1.1)
_CELL_STRIDE: Final = 1 << 35
_ORDER: Final = 12
_CELLS: Final = 12 * 4**_ORDER
#: memory of the table of places while spectra are read
_MEMORY_BYTES: Final = 256 << 20

_NAMES: Final = ("source_id", "ra", "dec")

Floats = NDArray[np.float64]


def places_of_numbers(source_id: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The centres of the cells the sources' numbers name, ICRS degrees: right to half an arcminute.

    Raises FormatError for numbers that are no Gaia sources'.
    """
    from cdshealpix.nested import healpix_to_lonlat

    cells = source_id // _CELL_STRIDE
    wrong = (source_id <= 0) | (cells >= _CELLS)
    if wrong.any():
        raise FormatError(f"{source_id[wrong][0]} is no source_id of Gaia")
    lon, lat = healpix_to_lonlat(cells.astype(np.uint64), _ORDER)
    return np.asarray(lon.to_value("deg"), np.float64), np.asarray(lat.to_value("deg"), np.float64)


class XpPositions:
    """A table of places that lies on disk, however many there are; asked for some hundred at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def find(self, source_id: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Right ascensions and declinations of these sources; NaN for those that are not in the table."""
        import pyarrow as pa

        wanted = pa.table({"source_id": source_id, "number": np.arange(len(source_id))})
        cursor = self._connection.cursor()
        try:
            cursor.register("wanted", wanted)
            # files go by source_id, and so does the table: the limits leave out most of it
            found = cursor.sql(
                "SELECT number, ra, dec FROM places JOIN wanted USING (source_id) WHERE source_id BETWEEN ? AND ?",
                params=[int(source_id.min()), int(source_id.max())],
            ).to_arrow_table()
        finally:
            cursor.close()
        ra, dec = np.full(len(source_id), np.nan), np.full(len(source_id), np.nan)
        numbers = found.column("number").to_numpy()
        ra[numbers] = found.column("ra").to_numpy()
        dec[numbers] = found.column("dec").to_numpy()
        return ra, dec


@contextmanager
def xp_positions(path: Path, temporary: Path) -> Iterator[XpPositions]:
    """The places of a table file with columns source_id, ra, dec (ICRS degrees); any order, any size.

    Raises FormatError when it has not these columns.
    """
    import duckdb

    from skyvault.store.workbench import connected

    # named as other scratch folders are, so that it is found when this process is killed
    scratch = temporary / f"build-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir()
    rows = _Rows(path)
    connection = connected(str(scratch / "places.duckdb"), scratch, memory_bytes=_MEMORY_BYTES, threads=1)
    try:
        connection.register("incoming", rows.reader())
        try:
            connection.execute(
                "CREATE TABLE places AS SELECT * FROM incoming WHERE source_id IS NOT NULL ORDER BY source_id"
            )
        except duckdb.Error as problem:
            # the engine hides what the reader said
            told = str(problem).splitlines()[0][:120]
            raise rows.fault or FormatError(f"the positions cannot be read ({told})", where=path.name) from None
        connection.unregister("incoming")
        yield XpPositions(connection)
    finally:
        connection.close()
        shutil.rmtree(scratch, ignore_errors=True)


class _Rows:
    """The three columns of a file, whatever else it has; what was wrong with it stays in ``fault``."""

    def __init__(self, path: Path) -> None:
        from skyvault.formats import open_table

        self.path = path
        self.fault: Exception | None = None
        self._stream = open_table(path)
        self._places = {column.name.lower(): number for number, column in enumerate(self._stream.table.columns)}
        missing = [name for name in _NAMES if name not in self._places]
        if missing:
            raise FormatError(f"the table of positions has no column {missing[0]}", where=path.name)

    def reader(self) -> pa.RecordBatchReader:
        import pyarrow as pa

        schema = pa.schema([(name, pa.int64() if name == "source_id" else pa.float64()) for name in _NAMES])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            for batch in self._stream.batches:
                arrays = [pc.cast(batch.column(self._places[field.name]), field.type) for field in schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            if self._stream.error:
                raise FormatError(self._stream.error, where=self.path.name)
        except pa.ArrowInvalid as problem:
            told = str(problem)[:100]
            self.fault = FormatError(f"source_id, ra and dec are no numbers ({told})", where=self.path.name)
            raise self.fault from None
        except FormatError as problem:
            self.fault = problem
            raise
