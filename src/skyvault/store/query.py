"""Ask the store: ADQL text in, a stream of described rows out, within a row limit and a deadline."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skyvault.adql.plan import ENGINE_LIMIT, Plan
from skyvault.errors import Cancelled, LimitError, SkyvaultError
from skyvault.formats.stream import TableStream
from skyvault.model.frames import with_frames_of
from skyvault.model.table import Column, Table
from skyvault.store.engine import Engine, translated
from skyvault.store.view import Shelved, View

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from skyvault.store.uploads import Uploads

# fetched whole only where it is small, which is quicker than a stream
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")

#: rows of a batch that streams
BATCH = 25_000
#: rows that are not worth a way through Arrow's interface
FEW_ROWS = 200


@dataclass(slots=True)
class Limits:
    """What one query may use. ``rows`` is MAXREC."""

    rows: int | None = None
    seconds: float = 60.0
    query_bytes: int = 1_000_000
    asynchronous: bool = False


@dataclass(slots=True)
class Answer:
    """A running query. ``stream`` must be read to its end or :meth:`close` called: the cursor is held until then."""

    stream: TableStream
    plan: Plan
    _cursor: Any = None
    _release: Callable[[], None] = field(default=lambda: None)

    def cancel(self) -> None:
        """Interrupt the engine, from any thread."""
        if self._cursor is not None:
            self._cursor.interrupt()

    def close(self) -> None:
        self._release()


def compile_query(text: str, view: View, limits: Limits) -> tuple[Plan, tuple[Any, ...]]:
    """The plan of a query and the values of its literals; from the cache when its shape is known.

    Raises QueryError with line and column.
    """
    from skyvault.adql.tokens import literals, template, tokenize

    if len(text) > limits.query_bytes:
        raise LimitError(f"the query has {len(text)} characters; at most {limits.query_bytes} are taken")
    tokens = tokenize(text)
    values, shape = literals(tokens), template(tokens)
    plan = view.plans.get(shape, values)
    if plan is None:
        from skyvault.adql.check import check
        from skyvault.adql.emit_duckdb import emit
        from skyvault.adql.parse import parse

        checked = check(parse(text), view)
        plan = emit(checked, view)
        view.plans.put(shape, values, checked.pinned, plan)
    return plan, values


def run_query(
    text: str,
    engine: Engine,
    view: View,
    limits: Limits,
    *,
    uploads: Uploads | None = None,
    on_cursor: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> Answer:
    """Start a query. Its first batch has been computed when this returns, so that errors come before any output."""
    if uploads is not None and uploads.tables:
        view = view.with_uploads(uploads.tables)
    plan, values = compile_query(text, view, limits)
    shelves = [view.item(name) for name in plan.tables]
    for prepare in {shelf.prepare for shelf in shelves if shelf.prepare is not None}:
        prepare()
    allowed = None if limits.rows is None else limits.rows + 1
    sql = plan.sql(values, allowed)
    files = tuple(dict.fromkeys(shelf.file for shelf in shelves if shelf.file is not None))
    engine.acquire(files)
    cursor = None
    try:
        cursor = engine.cursor()
        if uploads is not None:
            uploads.load(cursor)
        if on_cursor is not None:
            on_cursor(cursor)
        deadline = engine.watch.add(limits.seconds, cursor)
    except BaseException:
        engine.release(files)
        if cursor is not None:
            cursor.close()
        raise

    finished = False

    def finish() -> None:
        nonlocal finished
        if not finished:
            finished = True
            deadline.finish()
            engine.release(files)
            cursor.close()

    rows = plan.limit.rows(allowed)
    stream = TableStream(_described(plan, shelves), iter(()), limit=limits.rows)
    try:
        with translated(deadline, limits.seconds, asynchronous=limits.asynchronous):
            batches = _batches(cursor, sql, rows, plan.columns)
            first = next(batches, None)
    except BaseException:
        finish()
        raise

    def flow() -> Iterator[pa.RecordBatch]:
        try:
            left = limits.rows
            batch = first
            while batch is not None:
                if left is not None:
                    if batch.num_rows > left:
                        stream.overflow = True
                        batch = batch.slice(0, left)
                    left -= batch.num_rows
                if batch.num_rows:
                    yield _typed(batch, plan.columns)
                if stream.overflow:
                    return
                try:
                    with translated(deadline, limits.seconds, asynchronous=limits.asynchronous):
                        batch = next(batches, None)
                except Cancelled:
                    raise
                except SkyvaultError as problem:
                    stream.error = str(problem)
                    return
        finally:
            batches.close()
            finish()

    stream.batches = flow()
    return Answer(stream, plan, cursor, finish)


def _batches(cursor: Any, sql: str, rows: int | None, columns: tuple[Column, ...]) -> Generator[pa.RecordBatch]:
    """Batches of a query, cut at ``rows`` where the engine was not asked to.

    A small result is fetched whole (quicker), a handful of rows without the engine's way to Arrow (0.5 ms less);
    anything else streams: executing it would hold the whole result.
    """
    if rows is not None and rows <= ENGINE_LIMIT:
        result = cursor.execute(sql)
        few = result.fetchmany(FEW_ROWS)
        if few:
            yield _from_rows(few, columns)
        if len(few) == FEW_ROWS:
            yield from result.to_arrow_table().to_batches(max_chunksize=BATCH)
        return
    reader = cursor.sql(sql).to_arrow_reader(BATCH)
    left = rows
    try:
        for batch in reader:
            if left is not None and batch.num_rows > left:
                batch = batch.slice(0, left)
            if left is not None:
                left -= batch.num_rows
            yield batch
            if left == 0:
                return
    finally:
        reader.close()


def _from_rows(rows: list[tuple[Any, ...]], columns: tuple[Column, ...]) -> pa.RecordBatch:
    """A few rows as a batch, of the types their description promises."""
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    values = list(zip(*rows, strict=True))[: len(columns)]
    arrays = [pa.array(column, arrow_type(described)) for column, described in zip(values, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _typed(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """A batch with the names and exactly the types its description promises."""
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    arrays = []
    for array, column in zip(batch.columns[: len(columns)], columns, strict=True):
        wanted = arrow_type(column)
        arrays.append(array if array.type == wanted else array.cast(wanted))
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _described(plan: Plan, shelves: list[Shelved]) -> Table:
    """The result table: its columns, and what the tables it came from say of frames and descriptions."""
    description = shelves[0].table.description if len(shelves) == 1 else None
    return with_frames_of(Table("result", plan.columns, description=description), (one.table for one in shelves))
