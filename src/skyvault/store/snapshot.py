"""Build one snapshot: a table's rows in a DuckDB file of their own, sorted by place, with its indices and statistics.

Written beside and made durable before anybody can see it; the ledger's pointer is the last act (architecture,
decisions 1 and 12). Memory stays bounded: rows stream in, the sort spills to disk.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.adql.emit_duckdb import identifier, sql_type
from skyvault.adql.storage import KEY_STRIDE, storage_names
from skyvault.errors import IngestError, StoreError
from skyvault.model.table import NUMERIC, Column, Table
from skyvault.store.layout import FORMAT
from skyvault.store.workbench import Workbench, connected

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from skyvault.formats.stream import TableStream
    from skyvault.sky.shapes import Shapes

#: bad rows told by number before the rest is only counted
BAD_ROWS_TOLD = 20
#: rows whose regions are worked on at once: their numbers stay in the cache (2,000 to 4,000 are fastest)
REGION_ROWS = 4_000


@dataclass(frozen=True, slots=True)
class Spec:
    """What to build: the described table, its main position, region columns and columns with an index of their own
    (all by column index).

    ``point`` may be given beside ``lon`` and ``lat`` where it is the same position in one column: all find by it.
    """

    table: Table
    lon: int | None = None
    lat: int | None = None
    point: int | None = None
    regions: tuple[int, ...] = ()
    indexed: tuple[int, ...] = ()

    @property
    def positioned(self) -> bool:
        return self.lon is not None or self.point is not None


@dataclass(frozen=True, slots=True)
class Carried:
    """A region index that was made before: table ``cells`` of a snapshot whose rows come in from ``first`` on."""

    path: Path
    cells: str
    first: int


@dataclass(slots=True)
class Built:
    """A finished snapshot file. ``extra`` is what the ledger keeps for queries and pages."""

    path: Path
    nrows: int
    bytes: int
    extra: dict[str, Any]
    bad_rows: int = 0
    bad_row_notes: list[str] = field(default_factory=list)


class Builder:
    """Builds one snapshot file from a stream of batches."""

    def __init__(
        self,
        spec: Spec,
        path: Path,
        temporary: Path,
        *,
        memory_bytes: int = 2 << 30,
        threads: int = 2,
        skip_bad: bool = False,
        keep_bad: bool = False,
        advance: Callable[[int], None] | None = None,
        carried: Mapping[int, Sequence[Carried]] | None = None,
        workbench: Workbench | None = None,
    ) -> None:
        """``carried`` gives, by region column, indices to take over instead of reading the regions again.

        Rows whose position is not on the sky are an error, unless they are left out (``skip_bad``) or kept without
        a place (``keep_bad``). A small file may be built on a ``workbench`` instead of in a database of its own.
        """
        self.spec = spec
        self.carried = carried or {}
        self.path = path
        self.temporary = temporary
        self.memory_bytes = memory_bytes
        self.threads = threads
        self.skip_bad = skip_bad
        self.keep_bad = keep_bad
        self.workbench = workbench
        self.advance = advance
        self.names = storage_names(spec.table.column_names)
        self.bad_rows = 0
        self.notes: list[str] = []
        self._row = 0
        self._regions: dict[int, dict[str, Any]] = {}

    def build(self, stream: TableStream, beside: Mapping[str, pa.RecordBatchReader] | None = None) -> Built:
        """Write the file; ``beside`` are further tables in it, by name, that no query can name.

        Raises IngestError for rows that cannot be published, StoreError when the disk is full."""
        import duckdb

        self.path.unlink(missing_ok=True)
        try:
            with self._opened() as connection:
                connection.execute("SET TimeZone='UTC'")
                # stdout is the command's answer
                connection.execute("SET enable_progress_bar=false")
                for name, reader in (beside or {}).items():
                    self._keep_beside(connection, name, reader)
                extra = self._write(connection, stream)
        except BaseException as problem:
            self.path.unlink(missing_ok=True)
            self.path.with_name(f"{self.path.name}.wal").unlink(missing_ok=True)
            if isinstance(problem, duckdb.Error):
                raise self._explained(problem) from None
            raise
        durable(self.path)
        return Built(self.path, extra["nrows"], self.path.stat().st_size, extra, self.bad_rows, self.notes)

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self.workbench is not None:
            with self.workbench.opened(self.path) as connection:
                yield connection
            return
        connection = connected(str(self.path), self.temporary, memory_bytes=self.memory_bytes, threads=self.threads)
        try:
            yield connection
        finally:
            connection.close()

    def _write(self, connection: duckdb.DuckDBPyConnection, stream: TableStream) -> dict[str, Any]:
        """Everything the file holds; returns what the ledger keeps."""
        self._fill(connection, stream)
        extra = self._measure(connection)
        version = connection.execute("SELECT version()").fetchone()
        facts = {
            "format": str(FORMAT),
            "storage": str(version[0] if version else ""),
            "table": self.spec.table.name,
            "extra": json.dumps(extra),
        }
        # one statement: each commit would be an fsync
        connection.execute(
            "CREATE TABLE meta AS SELECT unnest(?::VARCHAR[]) AS key, unnest(?::VARCHAR[]) AS value",
            [list(facts), list(facts.values())],
        )
        connection.execute("CHECKPOINT")
        return extra

    @staticmethod
    def _keep_beside(connection: duckdb.DuckDBPyConnection, name: str, reader: pa.RecordBatchReader) -> None:
        connection.register("incoming_beside", reader)
        # sorted by its first column, which is what it is asked by
        connection.execute(f"CREATE TABLE {identifier(name)} AS SELECT * FROM incoming_beside ORDER BY 1, 2")
        connection.unregister("incoming_beside")

    def _explained(self, problem: Exception) -> BaseException:
        import duckdb

        if self._fault is not None:
            return self._fault
        first = str(problem).splitlines()[0]
        if isinstance(problem, duckdb.OutOfMemoryException):
            return StoreError(
                f"the memory of {self.memory_bytes / 1e6:,.0f} MB is too small to sort the rows",
                where=self.spec.table.name,
                hint="Nothing was published; raise SKYVAULT_MEMORY_LIMIT.",
            )
        if any(sign in first.lower() for sign in _DISK_SIGNS):
            return disk_full(self.path.parent)
        return IngestError(f"the rows cannot be stored: {first}", where=self.spec.table.name)

    _fault: BaseException | None = None

    # ------------------------------------------------------------ rows

    def _fill(self, connection: duckdb.DuckDBPyConnection, stream: TableStream) -> None:
        import pyarrow as pa

        schema = self._schema()

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for batch in stream.batches:
                    yield self._batch(batch, schema)
                if stream.error:
                    raise IngestError(stream.error, where=self.spec.table.name)
            except BaseException as problem:  # the engine would hide it, Ctrl-C too
                self._fault = problem
                raise

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        connection.register("incoming", reader)
        columns = [
            f"CAST({identifier(name)} AS {sql_type(column)}) AS {identifier(name)}"
            for name, column in zip(self.names, self.spec.table.columns, strict=True)
        ]
        order = ""
        if self.spec.regions:
            columns.append("_row")
        if self.spec.positioned:
            columns += ["_healpix_29", "_x", "_y", "_z"]
            order = " ORDER BY _healpix_29"
        connection.execute(f"CREATE TABLE data AS SELECT {', '.join(columns)} FROM incoming{order}")
        connection.unregister("incoming")
        for index in self.spec.regions:
            if index in self.carried:
                self._carry_regions(connection, index, self.carried[index])
            else:
                self._index_regions(connection, index)
        if self.spec.regions:
            connection.execute("ALTER TABLE data DROP COLUMN _row")
        for index in self.spec.indexed:
            connection.execute(f"CREATE INDEX index_{index} ON data ({identifier(self.names[index])})")

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        from skyvault.formats.arrow import arrow_type

        fields = [
            pa.field(name, arrow_type(column)) for name, column in zip(self.names, self.spec.table.columns, strict=True)
        ]
        if self.spec.regions:
            # the number of the incoming row, until the regions are indexed
            fields.append(pa.field("_row", pa.int64()))
        if self.spec.positioned:
            fields.append(pa.field("_healpix_29", pa.int64()))
            fields += [pa.field(f"_{axis}", pa.float64()) for axis in "xyz"]
        return pa.schema(fields)

    def _batch(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        arrays = []
        for array, column in zip(batch.columns, self.spec.table.columns, strict=True):
            if column.nullable and pa.types.is_floating(array.type):
                missing = pc.is_nan(array)
                if pc.any(missing).as_py():
                    array = pc.if_else(missing, pa.scalar(None, array.type), array)
            if column.null is not None and pa.types.is_integer(array.type):
                array = _without(array, column.null)
            arrays.append(array)
        keep = None
        place = self._placed(arrays) if self.spec.positioned else None
        if self.spec.regions:
            arrays.append(pa.array(np.arange(self._row, self._row + batch.num_rows)))
        if place is not None:
            keep, extra = place
            arrays += extra
        out = pa.RecordBatch.from_arrays(
            [array if array.type == f.type else array.cast(f.type) for array, f in zip(arrays, schema, strict=True)],
            schema=schema,
        )
        self._row += batch.num_rows
        if self.advance is not None:
            self.advance(batch.num_rows)
        return out if keep is None else out.filter(keep)

    def _placed(self, arrays: list[Any]) -> tuple[Any, list[Any]]:
        """Cells and unit vectors of a batch; which rows to keep (None: all)."""
        import numpy as np
        import pyarrow as pa

        from skyvault.sky.cells import healpix_29

        lon, lat = self._coordinates(arrays)
        known = np.isfinite(lon) & np.isfinite(lat)
        wrong = (known & ((np.abs(lat) > 90) | (lon < -360) | (lon > 720))) | np.isinf(lon) | np.isinf(lat)
        keep = None
        if wrong.any() and not self.keep_bad:
            self._report(np.flatnonzero(wrong), lon, lat)
            keep = pa.array(~wrong)
        good = known & ~wrong
        cells = np.full(len(lon), -1, dtype=np.int64)
        lon_ok, lat_ok = np.where(good, lon, 0.0), np.where(good, lat, 0.0)
        cells = healpix_29(lon_ok, lat_ok)
        a, d = np.radians(lon_ok), np.radians(lat_ok)
        missing = None if good.all() else ~good
        vectors = (np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d))
        return keep, [pa.array(cells, mask=missing), *(pa.array(v, mask=missing) for v in vectors)]

    def _coordinates(self, arrays: list[Any]) -> tuple[Any, Any]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        def floats(array: Any) -> Any:
            return np.asarray(pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)

        if self.spec.point is not None:
            array = arrays[self.spec.point]
            sized = pc.equal(pc.list_value_length(array), 2)
            array = pc.if_else(sized, array, pa.scalar(None, array.type))
            pairs = pc.fill_null(array, pa.scalar([float("nan"), float("nan")], array.type))
            flat = np.asarray(pairs.flatten(), dtype=np.float64).reshape(-1, 2)
            return flat[:, 0], flat[:, 1]
        assert self.spec.lon is not None and self.spec.lat is not None
        return floats(arrays[self.spec.lon]), floats(arrays[self.spec.lat])

    def _report(self, rows: Any, lon: Any, lat: Any) -> None:
        import numpy as np

        self.bad_rows += len(rows)
        for row in rows[: max(0, BAD_ROWS_TOLD - len(self.notes))]:
            read = bool(np.isfinite(lon[row]) and np.isfinite(lat[row]))
            said = (
                f"the position ({lon[row]:g}, {lat[row]:g}) is not on the sky"
                if read
                else "the position is no position"
            )
            self.notes.append(f"row {self._row + int(row) + 1}: {said}")
        if not self.skip_bad:
            raise IngestError(
                self.notes[0],
                where=self.spec.table.name,
                hint="Use --skip-bad to leave such rows out, or --set to name other position columns.",
            )

    # ------------------------------------------------------------ regions

    def _index_regions(self, connection: duckdb.DuckDBPyConnection, index: int) -> None:
        """A table (key, row) of the multi-order cells each region touches, sorted by key."""
        import pyarrow as pa

        column = self.spec.table.columns[index]
        told: dict[str, Any] = {"unreadable": 0}
        self._regions[index] = told
        query = f"SELECT rowid, _row, {identifier(self.names[index])} FROM data"
        cursor = connection.cursor()
        # a connection of its own begins in the database it was opened with; all rows, or a result would be left open
        place = str(connection.execute("SELECT current_database()").fetchall()[0][0])
        cursor.execute(f"USE {identifier(place)}")
        reader = cursor.sql(query).to_arrow_reader(REGION_ROWS)

        def batches() -> Iterator[pa.RecordBatch]:
            for keys, rows, unreadable in _ahead(lambda batch: _region_cells(batch, column), reader, self.threads):
                if unreadable:
                    count, row, example = unreadable
                    told["unreadable"] += count
                    if row < told.get("row", row + 1):
                        told["row"], told["example"] = row, example
                yield pa.RecordBatch.from_arrays([pa.array(keys), pa.array(rows)], schema=schema)

        schema = pa.schema([("key", pa.int64()), ("row", pa.int64())])
        incoming = pa.RecordBatchReader.from_batches(schema, batches())
        connection.register("incoming_cells", incoming)
        connection.execute(f"CREATE TABLE cells_{index} AS SELECT key, row FROM incoming_cells ORDER BY key")
        connection.unregister("incoming_cells")

    def _carry_regions(self, connection: duckdb.DuckDBPyConnection, index: int, carried: Sequence[Carried]) -> None:
        """The same table from indices that other snapshots already have: only the row numbers change."""
        parts = []
        try:
            for number, part in enumerate(carried):
                path = str(part.path).replace("'", "''")
                connection.execute(f"ATTACH '{path}' AS carried_{number} (READ_ONLY)")
                parts.append(f"SELECT key, row + {part.first} AS _row FROM carried_{number}.{part.cells}")
            union = " UNION ALL ".join(parts) or "SELECT 0::BIGINT AS key, 0::BIGINT AS _row WHERE false"
            # one join for all: each would look through the whole table
            connection.execute(
                f"CREATE TABLE cells_{index} AS SELECT c.key, d.rowid AS row FROM ({union}) AS c"
                " JOIN data AS d ON d._row = c._row ORDER BY c.key"
            )
        finally:
            for number in range(len(parts)):
                connection.execute(f"DETACH carried_{number}")

    # ------------------------------------------------------------ statistics

    def _measure(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        """Row count, statistics a column, coverage and indices; kept so that nobody has to scan for them again."""
        selects = ["count(*)"]
        for name, column in zip(self.names, self.spec.table.columns, strict=True):
            selects += _statistics(identifier(name), column)
        row = connection.execute(f"SELECT {', '.join(selects)} FROM data").fetchone()
        assert row is not None
        values = list(row)
        extra: dict[str, Any] = {"nrows": values.pop(0)}
        stats = []
        for column in self.spec.table.columns:
            keys = ("filled", "minimum", "maximum", "longest", "beyond_ascii")
            stats.append({key: _plain(values.pop(0)) for key in keys})
            stats[-1]["name"] = column.name
        extra["statistics"] = stats
        extra["duplicate_ids"] = self._duplicates(connection, extra)
        if self.spec.positioned:
            spec = self.spec
            pair = {"lon": spec.lon, "lat": spec.lat}
            extra["positions"] = [
                *([pair] if spec.lon is not None else []),
                *([{"point": spec.point}] if spec.point is not None else []),
            ]
        if self.spec.indexed:
            extra["indexed"] = list(self.spec.indexed)
        if self.spec.regions:
            extra["regions"] = []
        for index in self.spec.regions:
            rows = connection.execute(f"SELECT DISTINCT key FROM cells_{index}").fetchnumpy()["key"]
            orders = sorted({int(key) // KEY_STRIDE for key in rows.tolist()}) if len(rows) else []
            extra["regions"].append({"column": index, "orders": orders, **_told(self._regions.get(index))})
        # nobody asks what the small tables cover that users keep for themselves
        if self.workbench is None:
            from skyvault.store.coverage_build import measure_coverage

            extra.update(measure_coverage(connection, self.spec, self.names, tuple(self.carried)))
        return extra

    def _duplicates(self, connection: duckdb.DuckDBPyConnection, extra: dict[str, Any]) -> list[dict[str, Any]]:
        """Identifier columns in which a value comes twice, with how many rows repeat one and an example."""
        found = []
        for index, column in enumerate(self.spec.table.columns):
            is_id = (column.ucd or "").lower() == "meta.id;meta.main" or column.name.lower() == "obs_publisher_did"
            if not is_id or column.is_array:
                continue
            name = identifier(self.names[index])
            row = connection.execute(f"SELECT count(DISTINCT {name}) FROM data").fetchone()
            repeated = extra["statistics"][index]["filled"] - (row[0] if row else 0)
            if repeated > 0:
                example = connection.execute(
                    f"SELECT CAST({name} AS VARCHAR) FROM data WHERE {name} IS NOT NULL"
                    f" GROUP BY {name} HAVING count(*) > 1 ORDER BY {name} LIMIT 1"
                ).fetchone()
                shown = "" if example is None else str(example[0])[:100]
                found.append({"column": column.name, "rows": repeated, "example": shown})
        return found


def _told(region: dict[str, Any] | None) -> dict[str, Any]:
    """What is kept about regions that could not be read; ``row`` counts the rows of the file from 1."""
    if not region or not region["unreadable"]:
        return {}
    return {"unreadable": region["unreadable"], "row": region["row"] + 1, "example": region["example"]}


def _ahead(work: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator[Any]:
    """``work`` of each item in turn, a few done at once in threads (NumPy lets others run)."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _region_cells(batch: pa.RecordBatch, column: Column) -> tuple[Any, Any, tuple[int, int, str] | None]:
    """Keys and row numbers of the cells that the regions of (rowid, file's row, region) touch.

    The third: how many hold something that is no region, and the first of these: its row in the file, and its text.
    """
    import numpy as np

    from skyvault.sky.cover import footprint_cells

    shapes, codes = region_shapes(batch.column(2), column)
    row, order, cell = footprint_cells(shapes)
    keys = order.astype(np.int64) * KEY_STRIDE + cell
    valid = shapes.valid
    if codes is not None:
        # many rows share a footprint: its cells are worked out once and given to each of them
        counts = np.bincount(row, minlength=len(shapes))
        starts = np.cumsum(counts) - counts
        owner, place = spread_cells(starts, counts, codes)
        row, keys = owner, keys[place]
        valid = np.where(codes < 0, False, valid[codes]) if len(valid) else np.zeros(len(codes), np.bool_)
    filled = np.asarray(batch.column(2).is_valid().to_numpy(zero_copy_only=False), np.bool_)
    rowids = batch.column(0).to_numpy()
    wrong = np.flatnonzero(filled & ~valid)
    unreadable = None
    if len(wrong):
        numbers = batch.column(1).to_numpy()[wrong]
        first = int(numbers.argmin())
        unreadable = (len(wrong), int(numbers[first]), str(batch.column(2)[int(wrong[first])].as_py())[:100])
    return keys, rowids[row], unreadable


def spread_cells(starts: Any, counts: Any, codes: Any) -> tuple[Any, Any]:
    """For rows that name footprints by ``codes`` (-1: none): (row, place of a cell) of each row's cells."""
    import numpy as np

    from skyvault.sky.shapes import spread

    known = np.flatnonzero(codes >= 0)
    owner, place = spread(starts[codes[known]], counts[codes[known]])
    return known[owner], place


def region_shapes(array: Any, column: Column) -> tuple[Shapes, Any]:
    """The regions of a column of region text, circles or polygons; rows that hold none are not valid.

    Where many rows hold equal texts: the different regions, and which of them each row has (-1: none).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from skyvault.sky.shape_text import shapes_of_texts
    from skyvault.sky.shapes import CIRCLE, POLYGON, Shapes, spread

    if column.is_text:
        encoded = pc.dictionary_encode(array)
        if len(encoded.dictionary) > len(array) // 2:
            return shapes_of_texts(array), None
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return shapes_of_texts(encoded.dictionary), codes
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    numbers = np.asarray(pc.cast(pc.list_flatten(array), pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    is_circle = (column.xtype or "").lower() == "circle"
    filled = lengths > 0
    head = 1 if is_circle else 2
    sizes = np.where(filled, lengths + head, 0)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    starts = offsets[:-1][filled]
    values = np.empty(offsets[-1])
    values[starts] = CIRCLE if is_circle else POLYGON
    if not is_circle:
        # an odd count of numbers makes a shape that its reader refuses
        values[starts + 1] = lengths[filled] / 2.0
    values[spread(offsets[:-1] + head, lengths)[1]] = numbers
    return Shapes(values, offsets), None


def _without(array: Any, null: str) -> Any:
    """An integer array with NULL where the column's own sign for "none" stands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        sign = pa.scalar(int(null), array.type)
    except (ValueError, pa.ArrowInvalid, OverflowError):
        return array
    same = pc.equal(array, sign)
    return pc.if_else(same, pa.scalar(None, array.type), array) if pc.any(same).as_py() else array


def _statistics(name: str, column: Column) -> list[str]:
    filled = f"count({name})"
    if column.is_array or column.datatype in ("floatComplex", "doubleComplex"):
        return [filled, "NULL", "NULL", f"max(len({name}))", "false"]
    if column.is_timestamp:
        return [filled, f"CAST(min({name}) AS VARCHAR)", f"CAST(max({name}) AS VARCHAR)", "NULL", "false"]
    if column.is_text:
        return [filled, "NULL", "NULL", f"max(strlen({name}))", f"bool_or(strlen({name}) <> length({name}))"]
    if column.datatype in NUMERIC:
        return [filled, f"min({name})", f"max({name})", "NULL", "false"]
    return [filled, "NULL", "NULL", "NULL", "false"]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    return value


_DISK_SIGNS = ("no space left", "could not write", "file too large", "quota exceeded", "max_temp_directory_size")


def disk_full(directory: Path) -> StoreError:
    """The sentence for a disk that takes no more."""
    return StoreError("the disk is full", where=str(directory), hint="Nothing was published; free space and try again.")


def durable(path: Path) -> None:
    """The file and its directory entry survive a power cut; of a directory, its entries."""
    for target in (path,) if path.is_dir() else (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def with_row_count(table: Table, nrows: int, extra: dict[str, Any]) -> Table:
    """The description with what ingest learned: row count, and which columns are indexed."""
    indexed = {p[k] for p in extra.get("positions", ()) for k in ("lon", "lat", "point") if p.get(k) is not None}
    indexed |= {r["column"] for r in extra.get("regions", ())} | set(extra.get("indexed", ()))
    # VOTable's char is ASCII (VOTable 1.4, section 2.1); text beyond it must be said to be Unicode
    beyond = {one["name"] for one in extra.get("statistics", ()) if one.get("beyond_ascii")}
    described = tuple(replace(c, datatype="unicodeChar") if c.name in beyond else c for c in table.columns)
    columns = tuple(replace(column, indexed=True) if i in indexed else column for i, column in enumerate(described))
    return replace(table, columns=columns, nrows=nrows)
