"""One TAP query, from its parameters to a running answer in the wanted format; shared by sync and async."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from skyvault.adql.words import RESERVED
from skyvault.errors import ParameterError, UsageError
from skyvault.formats import ReadLimits, negotiate, open_table
from skyvault.model.table import Info
from skyvault.serve.params import Parameter, upload_pairs
from skyvault.serve.query_log import log_query
from skyvault.store.query import Answer, Limits
from skyvault.store.uploads import Uploads

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.formats.registry import OutputFormat
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.user_space import Reader

LANGUAGES = {"adql": "ADQL", "adql-2.0": "ADQL-2.0", "adql-2.1": "ADQL-2.1"}

#: TAP 1.1, section 2.3 and DALI 1.1, section 3.4; REQUEST and VERSION are TAP 1.0's, which clients still send
PARAMETERS = (
    Parameter("REQUEST", doc="doQuery", choices=("doQuery", "getCapabilities")),
    Parameter("VERSION", doc="Version of TAP the client speaks; ignored"),
    Parameter("LANG", doc="Query language: ADQL, ADQL-2.0 or ADQL-2.1"),
    Parameter("QUERY", doc="The query", longest=None),
    Parameter("RESPONSEFORMAT", doc="Format of the result: a media type or a short name", aliases=("FORMAT",)),
    Parameter("MAXREC", type="integer", doc="Most rows of the result", minimum=0),
    Parameter("RUNID", doc="The client's own name of this query, for the log", longest=64),
    Parameter("UPLOAD", doc="NAME,URI of a table to query as TAP_UPLOAD.NAME", multiple=True),
)


@dataclass(slots=True)
class TapQuery:
    """A query ready to run."""

    text: str
    format: OutputFormat
    limits: Limits
    uploads: Uploads | None
    run_id: str | None = None
    #: time.monotonic() when it was read
    began: float = field(default_factory=time.monotonic)


def read_query(
    values: Mapping[str, Any],
    files: Mapping[str, Callable[[], IO[bytes]]],
    settings: Settings,
    *,
    asynchronous: bool = False,
    seconds: float | None = None,
) -> TapQuery:
    """Check the parameters of a query and take in its uploads. Raises ParameterError and TooLarge.

    ``files`` opens the multipart parts by name.
    """
    language = str(values.get("LANG") or "ADQL").strip().lower()
    if language not in LANGUAGES:
        raise ParameterError(f"LANG={values['LANG']!r} is not known here", hint="Use LANG=ADQL.")
    text = values.get("QUERY")
    if not text:
        raise ParameterError("QUERY is missing", hint="Send the ADQL text as QUERY.")
    wanted = negotiate(values.get("RESPONSEFORMAT") or "votable")
    rows = settings.maxrec_default if values.get("MAXREC") is None else int(values["MAXREC"])
    if seconds is None:
        seconds = settings.async_time_s if asynchronous else settings.sync_time_s
    limits = Limits(
        rows=min(rows, settings.maxrec_hard),
        seconds=seconds,
        query_bytes=settings.query_bytes,
        asynchronous=asynchronous,
    )
    uploads = _uploads(values.get("UPLOAD") or (), files, settings)
    return TapQuery(str(text), wanted, limits, uploads, values.get("RUNID"))


def _uploads(given: Sequence[str], files: Mapping[str, Callable[[], IO[bytes]]], settings: Settings) -> Uploads | None:
    pairs = upload_pairs(given)
    if not pairs:
        return None
    if len(pairs) > settings.upload_tables:
        raise ParameterError(f"{len(pairs)} tables are uploaded; at most {settings.upload_tables} are taken")
    uploads = Uploads(settings.upload_rows, settings.upload_columns)
    # a compressed upload counts as what it unpacks to, with room for what compresses well
    limits = ReadLimits(10 * settings.upload_bytes, settings.upload_rows, settings.upload_columns)
    by_name = {name.lower(): opener for name, opener in files.items()}
    for name, uri in pairs:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name.lower() in RESERVED:
            raise ParameterError(
                f"UPLOAD: {name[:64]!r} is not a table name", hint="Use letters, digits and _, no reserved word."
            )
        scheme, _, rest = uri.partition(":")
        if scheme.lower() != "param":
            from skyvault.serve.upload_fetch import fetched

            with fetched(uri, settings) as file:
                uploads.add(name, open_table(file, name=name, limits=limits))
            continue
        opener = by_name.get(rest.lower())
        if opener is None:
            raise ParameterError(
                f"UPLOAD={name},{uri} names the part {rest!r}, which was not sent",
                hint="Send the table as a multipart/form-data part of that name.",
            )
        with opener() as file:
            uploads.add(name, open_table(file, name=name, limits=limits))
    return uploads


def start(
    query: TapQuery,
    store: DuckStore,
    on_cursor: Callable[[Any], None] | None = None,
    reader: Reader | None = None,
) -> Answer:
    """Run it; ``reader`` may name own tables. MAXREC=0 asks for metadata only (DALI 1.1, section 3.4.4)."""
    if query.limits.rows == 0:
        # compiled and started with one row, so that errors still show; the row is never sent
        answer = store.query(
            query.text, replace(query.limits, rows=1), uploads=query.uploads, on_cursor=on_cursor, reader=reader
        )
        answer.stream.batches.close()  # type: ignore[attr-defined]
        answer.close()
        answer.stream.batches = iter(())
        answer.stream.overflow = True
        answer.stream.limit = 0
    else:
        answer = store.query(query.text, query.limits, uploads=query.uploads, on_cursor=on_cursor, reader=reader)
    answer.stream.infos = (Info("QUERY", query.text),)
    return answer


def encoded(query: TapQuery, answer: Answer) -> Iterator[bytes]:
    """The answer's bytes in the wanted format; the engine is let go at the end, however it comes.

    Raises UsageError when the query fails on its way and the format has no place to say so.
    """
    # FITS could tell, but is written when all rows are known: an error document is better
    is_mute = not query.format.can_tell_overflow or query.format.content_type.startswith("application/fits")
    rows, source, is_whole = 0, answer.stream.batches, False

    def counted() -> Iterator[Any]:
        nonlocal rows
        for batch in source:
            rows += batch.num_rows
            yield batch

    answer.stream.batches = counted()
    try:
        for chunk in query.format.write(answer.stream):
            if is_mute and answer.stream.error:
                break
            yield chunk
        if is_mute and answer.stream.error:
            raise UsageError(answer.stream.error)
        is_whole = not answer.stream.error
    finally:
        status = "ERROR" if not is_whole else "OVERFLOW" if answer.stream.overflow else "OK"
        log_query(query.text, began=query.began, rows=rows, status=status, run_id=query.run_id)
        answer.close()
