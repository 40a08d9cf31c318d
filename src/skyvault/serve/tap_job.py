"""The work of an asynchronous TAP job: the same query, its result written to a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from skyvault.errors import QuotaError, UsageError
from skyvault.serve.data_origin import TAP, with_origin
from skyvault.serve.dataset_links import with_links
from skyvault.serve.identity import NOBODY, Identity
from skyvault.serve.params import ParameterSet
from skyvault.serve.tap_query import PARAMETERS, TapQuery, encoded, read_query, start
from skyvault.serve.user_statements import run_statement, statement_of
from skyvault.serve.user_tables_cadc import INDEX_COLUMN, INDEX_TABLE, INDEX_UNIQUE
from skyvault.store.user_space import Reader

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.adql.statements import CreateTable, DropTable
    from skyvault.jobs.context import JobContext
    from skyvault.serve.service import Service

_PARAMETERS = ParameterSet(PARAMETERS)
#: free disk space below which no result is written on
_SPARE_BYTES = 64 << 20


def run_tap_job(context: JobContext, service: Service) -> None:
    """Run one job to its end. Raises what is wrong; the runner makes it the job's error."""
    identity = _identity(context, service)
    if service.user_rules is not None and context.parameters.get(INDEX_TABLE):
        _index(context, service, identity)
        return
    pairs = [(name, value) for name, values in context.parameters.items() for value in values]
    values = _PARAMETERS.read(pairs)
    files = {name: (lambda path=path: path.open("rb")) for name, path in context.uploads.items()}
    query = read_query(values, files, service.settings, asynchronous=True, seconds=max(context.remaining_s, 0.001))
    withdrawals: list[Callable[[], None]] = []

    def on_cursor(cursor: Any) -> None:
        withdrawals.append(context.on_cancel(cursor.interrupt))

    rows = 0
    statement = statement_of(query.text, service)
    if statement is not None:
        try:
            _run_statement(context, service, identity, query, statement, on_cursor)
        finally:
            for withdraw in withdrawals:
                withdraw()
        return
    answer = start(query, service.store, on_cursor, Reader(identity.owner, identity.groups))
    with_origin(answer.stream, service, answer.plan.tables, service.address, TAP)
    with_links(answer.stream, service, service.address)
    source = answer.stream.batches

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in source:
            rows += batch.num_rows
            context.progress(rows=rows)
            yield batch

    answer.stream.batches = counted()
    path = context.result_path("result")
    try:
        written = 0
        with path.open("wb") as file:
            for chunk in encoded(query, answer):
                file.write(chunk)
                written += len(chunk)
                if written >= 16 << 20:
                    written = 0
                    context.raise_if_cancelled()
                    if shutil.disk_usage(path.parent).free < _SPARE_BYTES:
                        raise QuotaError("the server's disk is full", hint="Ask for fewer rows, or tell the operator.")
        if answer.stream.error:
            raise UsageError(answer.stream.error)  # a job that did not do all its work is not COMPLETED
    finally:
        for withdraw in withdrawals:
            withdraw()
        answer.close()
    context.set_result("result", content_type=query.format.content_type, rows=rows)


def _identity(context: JobContext, service: Service) -> Identity:
    """Whose job it is. Raises NotFound when the user is gone."""
    if context.owner is None:
        return NOBODY
    user = service.store.ledger.users.get(context.owner)
    return Identity(user, service.store.ledger.users.groups_of(user.id))


def _run_statement(
    context: JobContext,
    service: Service,
    identity: Identity,
    query: TapQuery,
    statement: CreateTable | DropTable,
    on_cursor: Callable[[Any], None],
) -> None:
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        context.raise_if_cancelled()
        context.progress(rows=done)

    stream = run_statement(
        statement, service, identity, query.limits, uploads=query.uploads, on_cursor=on_cursor, advance=advance
    )
    context.result_path("result").write_bytes(b"".join(query.format.write(stream)))
    context.set_result("result", content_type=query.format.content_type, rows=1)


def _index(context: JobContext, service: Service, identity: Identity) -> None:
    """Index a column of a user's table."""
    rules = service.user_rules
    assert rules is not None
    table = rules.own(identity, context.parameters[INDEX_TABLE][0])
    keep = rules.keep_for(identity, table.name)
    column, unique = (context.parameters.get(INDEX_COLUMN) or [""])[0], INDEX_UNIQUE in context.parameters
    rules.keeper.index(table, keep, column=column, unique=unique)
    context.result_path("result").write_text(f"Indexed tap_user.{table.name}\n", encoding="utf-8")
    context.set_result("result", content_type="text/plain;charset=utf-8")
