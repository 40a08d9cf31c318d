"""A target list from a TAP service: the query runs as a job, its whole answer is kept as a Parquet file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from skyvault.errors import SkyvaultError
from skyvault.pipeline.faults import CatalogError

_MOST_ROWS: Final = 20_000_000
_MOST_BYTES: Final = 8_000_000_000
_JOB_S: Final = 7200.0
#: one WAIT (UWS 1.1, section 2.2.1.1)
_WAIT_S: Final = 30


def query_file(name: str | None, service: str, query: str) -> str:
    """The file an answer is kept in: its name holds a checksum of service and query."""
    digest = hashlib.sha256(f"{service}\n{' '.join(query.split())}".encode()).hexdigest()[:12]
    return f"{name or 'query'}-{digest}.parquet"


def fetch_query(service: Any, query: str, target: Path) -> Path:
    """The answer to an ADQL query as ``target``. ``service`` is an address, or an object as get_tap_service gives it.

    Raises CatalogError in one sentence for what the service refuses, and for an answer that is not whole.
    """
    with _answer(service, query) as (batches, told):
        _write(batches, target, {"service": told, "query": query})
    return target


@contextlib.contextmanager
def _answer(service: Any, query: str) -> Iterator[tuple[Any, str]]:
    if not isinstance(service, str):
        yield _handed_in(service, query), str(getattr(service, "baseurl", "service"))
        return
    from skyvault.missions.connections import default_archives

    try:
        # the client of all archives: with the manners, retries and credentials that the settings give
        yield _by_job(default_archives().client, service.rstrip("/"), query), service
    except CatalogError:
        raise
    except SkyvaultError as error:
        raise CatalogError(f"the query cannot be answered: {error.what}", where=urlsplit(service).netloc) from None


def _handed_in(service: Any, query: str) -> Iterator[Any]:
    """Of a pyvo service: it has its own session, tokens and patience."""
    import pyarrow as pa

    try:
        table = service.run_async(query, maxrec=_MOST_ROWS).to_table()
    except SkyvaultError:
        raise
    except Exception as error:  # whatever another library raises
        raise CatalogError(f"the query cannot be answered: {' '.join(str(error).split())[:300]}") from error
    from skyvault.pipeline.data_files import rows_of

    rows = rows_of(table)
    columns = {}
    for name in rows.dtype.names or ():
        column = rows[name]
        columns[name] = pa.array(column.tolist(), pa.binary()).cast(pa.string()) if column.dtype.kind == "S" else column
    yield from pa.table(columns).to_batches(max_chunksize=100_000)


def _by_job(client: Any, address: str, query: str) -> Iterator[Any]:
    """Batches of the answer of an asynchronous job, which is deleted afterwards."""
    from skyvault.formats.registry import open_table
    from skyvault.formats.uws_xml import read_job

    deadline = time.monotonic() + _JOB_S
    form = {
        "REQUEST": "doQuery", "LANG": "ADQL", "QUERY": query, "MAXREC": str(_MOST_ROWS), "PHASE": "RUN",
        "RESPONSEFORMAT": "votable", "FORMAT": "votable",
    }  # fmt: skip
    answer = client.post(f"{address}/async", data=form, total_s=60.0)
    job_url = _same_host(answer.url, address)
    if job_url.rstrip("/") == f"{address}/async":
        raise CatalogError("the service makes no job of the query", where=address)
    try:
        while not (job := read_job(answer.body)).phase.is_final:
            left = deadline - time.monotonic()
            if left <= 0.0:
                raise CatalogError(f"the job was not done within {_JOB_S:,.0f} s", where=address)
            asked = time.monotonic()
            wait = {"WAIT": str(int(min(_WAIT_S, max(left, 1.0)))), "PHASE": str(job.phase)}
            answer = client.get(job_url, params=wait, total_s=left + 5.0)
            if time.monotonic() - asked < 0.5:
                # a service that does not know WAIT answers at once
                time.sleep(0.5)
        if job.phase != "COMPLETED":
            told = " ".join(job.error.message.split())[:300] if job.error else "no reason is given"
            raise CatalogError(f"the job of the query ended as {job.phase}: {told}", where=address)
        named = [one.href for one in job.results if one.name == "result"] or [one.href for one in job.results]
        result = urljoin(f"{job_url}/", (named or ["results/result"])[0] or "results/result")
        got = client.get(_same_host(result, address), total_s=_JOB_S, limit_bytes=_MOST_BYTES)
    finally:
        with contextlib.suppress(SkyvaultError):
            client.request("DELETE", job_url, total_s=20.0)
    stream = open_table(io.BytesIO(got.body), name="the answer of the service")
    yield from stream.batches
    if stream.error:
        raise CatalogError(f"the service refuses: {' '.join(stream.error.split())[:300]}", where=address)
    if stream.overflow:
        raise CatalogError(
            "the service left rows out of its answer", where=address, hint="Narrow the query; half a list is none."
        )


def _same_host(url: str, address: str) -> str:
    """A service's address for what it made; a service behind a proxy names its inner host, which is not followed."""
    here, there = urlsplit(address), urlsplit(url)
    if (there.scheme, there.netloc) == (here.scheme, here.netloc):
        return url
    if there.path.startswith(here.path):
        return there._replace(scheme=here.scheme, netloc=here.netloc).geturl()
    raise CatalogError(f"the service sends us on to another host: {there.netloc[:80]}", where=address)


def _write(batches: Iterator[Any], target: Path, about: dict[str, str]) -> None:
    """Beside, then in place; a list that broke off leaves nothing."""
    import pyarrow.parquet as pq

    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    writer: Any = None
    try:
        for batch in batches:
            if writer is None:
                told = {**(batch.schema.metadata or {}), **{key: text.encode() for key, text in about.items()}}
                schema = batch.schema.with_metadata(told)
                writer = pq.ParquetWriter(beside, schema, compression="zstd")
            writer.write_batch(batch.cast(schema) if batch.schema.metadata != schema.metadata else batch)
        if writer is None:
            raise CatalogError("the query has no rows", hint="Look at its conditions.")
        writer.close()
        os.replace(beside, target)
    except BaseException:
        if writer is not None:
            writer.close()
        beside.unlink(missing_ok=True)
        raise
