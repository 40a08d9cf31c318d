"""CREATE TABLE tap_user.x AS SELECT ... and DROP TABLE, by sync and async; the answer is a table of one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skyvault.adql.statements import CreateTable, DropTable, read_statement
from skyvault.errors import IngestError, NotFound
from skyvault.formats.stream import TableStream
from skyvault.model.job import format_instant
from skyvault.model.table import Column, Info, Table
from skyvault.store.query import Limits
from skyvault.store.user_space import Reader

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.ledger.user_tables import UserTable
    from skyvault.serve.identity import Identity
    from skyvault.serve.service import Service

_TEXT = {"datatype": "char", "arraysize": "*"}


def statement_of(text: str, service: Service) -> CreateTable | DropTable | None:
    """The statement a text is, where users may keep tables; None for a query. Raises QueryError."""
    return None if service.user_rules is None else read_statement(text)


def run_statement(
    statement: CreateTable | DropTable,
    service: Service,
    identity: Identity,
    limits: Limits,
    *,
    uploads: Any = None,
    on_cursor: Callable[[Any], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> TableStream:
    """Do it, and say what was done as a table of one row.

    Raises what the query raises, Conflict (409) when the name is taken, Forbidden for another's name, QuotaError,
    NotFound for a table to drop that is not there.
    """
    rules = service.user_rules
    assert rules is not None
    path = statement.name if statement.owner is None else f'tap_user."{statement.owner}".{statement.name}'
    if isinstance(statement, DropTable):
        try:
            table = rules.own(identity, path)
            rules.tables.drop(table, actor=identity.actor)
        except NotFound:
            if not statement.if_exists:
                raise
            return _said(statement.name, "was not there", None)
        return _said(statement.name, "dropped", None)
    keep = rules.place_for(identity, path, replaces=None)
    rules.tables.refuse_early(keep.owner, keep.name, keep.space, replaces=None)
    with rules.claimed(keep):
        # all rows: a table that is silently cut short would be worse than none
        unlimited = replace(limits, rows=None)
        reader = Reader(identity.owner, identity.groups)
        answer = service.store.query(statement.query, unlimited, uploads=uploads, on_cursor=on_cursor, reader=reader)
        try:
            stream = TableStream(_as_source(answer.stream.table), _whole(answer.stream, advance))
            table = rules.keeper.keep(stream, keep)
        finally:
            answer.close()
    return _said(table.name, "made", table)


def _whole(source: TableStream, advance: Callable[[int], None] | None) -> Iterator[pa.RecordBatch]:
    for batch in source.batches:
        yield batch
        if advance is not None:
            advance(batch.num_rows)
    if source.error:
        raise IngestError(source.error)


def _as_source(table: Table) -> Table:
    """The result's columns as the columns of a table: what they came with, but no marks of the source's storage."""
    return replace(table, columns=tuple(replace(column, indexed=False) for column in table.columns))


def _said(name: str, done: str, table: UserTable | None) -> TableStream:
    import pyarrow as pa

    columns = (
        Column("table_name", description="The table, as a query must write it", **_TEXT),  # type: ignore[arg-type]
        Column("done", description="What was done", **_TEXT),  # type: ignore[arg-type]
        Column("nrows", "long", description="Number of rows"),
        Column("destruction", description="When it will be dropped (UTC)", **_TEXT),  # type: ignore[arg-type]
    )
    end = None if table is None else format_instant(table.destruction_time)
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([f"tap_user.{name}"], pa.string()),
            pa.array([done], pa.string()),
            pa.array([None if table is None else table.nrows], pa.int64()),
            pa.array([None if end is None else end], pa.string()),
        ],
        names=[column.name for column in columns],
    )
    stream = TableStream(Table("result", columns), iter(()))
    stream.batches = iter([_typed(batch, columns)])
    stream.infos = (Info("QUERY_DONE", done),)
    return stream


def _typed(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    arrays = [array.cast(arrow_type(column)) for array, column in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
