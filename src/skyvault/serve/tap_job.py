"""The work of an asynchronous TAP job: the same query, its result written to a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from skyvault.errors import QuotaError, UsageError
from skyvault.serve.params import ParameterSet
from skyvault.serve.tap_query import PARAMETERS, encoded, read_query, start

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.jobs.context import JobContext
    from skyvault.serve.service import Service

_PARAMETERS = ParameterSet(PARAMETERS)
#: free disk space below which no result is written on
_SPARE_BYTES = 64 << 20


def run_tap_job(context: JobContext, service: Service) -> None:
    """Run one job to its end. Raises what is wrong; the runner makes it the job's error."""
    pairs = [(name, value) for name, values in context.parameters.items() for value in values]
    values = _PARAMETERS.read(pairs)
    files = {name: (lambda path=path: path.open("rb")) for name, path in context.uploads.items()}
    query = read_query(values, files, service.settings, asynchronous=True, seconds=max(context.remaining_s, 0.001))
    withdrawals: list[Callable[[], None]] = []

    def on_cursor(cursor: Any) -> None:
        withdrawals.append(context.on_cancel(cursor.interrupt))

    rows = 0
    answer = start(query, service.store, on_cursor)
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
