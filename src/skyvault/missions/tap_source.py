"""Tables of observations from their archives: by TAP, or as a file where an archive has no TAP service."""

from __future__ import annotations

import io
import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pyarrow as pa

from skyvault.adql.words import RESERVED
from skyvault.config import Settings
from skyvault.errors import FormatError, SkyvaultError, TooLarge
from skyvault.missions.columns import observations
from skyvault.missions.declaration import Declaration
from skyvault.missions.faults import ArchiveTableError, MissionTableError, MissionWarning
from skyvault.net.addresses import host_of, shown_address
from skyvault.net.client import Answer, HttpClient
from skyvault.net.faults import FetchError, Refused, Unreachable, said

#: more rows than any table of observations has
_MOST_ROWS: Final = 20_000_000
_MOST_BYTES: Final = 4_000_000_000
#: limits of services are round numbers; a table of exactly so many rows, or a multiple, is counted
_ROUND: Final = 1000
#: one WAIT (UWS 1.1, section 2.2.1.1)
_WAIT_S: Final = 30
_CAPABILITIES_S: Final = 20.0
_HINT: Final = "Try later, or use a local copy by table=FILE."


class ArchiveTables:
    """Asks archives for their tables, at the addresses that the settings give.

    ``sync_s`` is the time for a synchronous query, ``job_s`` for a job that does what that cannot.
    """

    def __init__(
        self,
        settings: Settings,
        client: HttpClient,
        *,
        sync_s: float = 300.0,
        job_s: float = 1800.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self.client = client
        self.sync_s = sync_s
        self.job_s = job_s
        self.sleep = sleep

    def observations(self, declaration: Declaration) -> tuple[pa.Table, str]:
        """The archive's table with the declared columns, and the address it came from.

        Where the archive cannot answer and the declaration names another, that one is asked, with a warning; its
        table comes in the mission's own columns. Raises ArchiveTableError in one sentence.
        """
        try:
            return self._asked(declaration)
        except ArchiveTableError as error:
            other = declaration.alternative
            if other is None:
                raise
            table, url = self._asked(other)
            warnings.warn(
                f"{error.what.rstrip('.')} ({error.where}); the table was taken from {host_of(url)}",
                MissionWarning,
                stacklevel=2,
            )
            return observations(table, other, where=url), url

    def address(self, declaration: Declaration) -> str:
        """Where the table is asked for."""
        base = self.settings.endpoint(declaration.archive, declaration.service, declaration.service_url)
        return base.rstrip("/")

    def _asked(self, declaration: Declaration) -> tuple[pa.Table, str]:
        address = self.address(declaration)
        try:
            if declaration.table_kind == "csv":
                return self._from_file(f"{address}/{declaration.table}")
            return self._by_tap(declaration, address), address
        except ArchiveTableError:
            raise
        except (MissionTableError, FetchError, Unreachable, FormatError, TooLarge) as error:
            lost = "" if isinstance(error, MissionTableError) else _lost_column(error.what, declaration)
            what = f"the table {declaration.table} of {declaration.pretty_name} cannot be had: {error.what}{lost}"
            raise ArchiveTableError(what, where=shown_address(address), hint=_hint_of(error)) from None

    # -- a file ---------------------------------------------------------------------------------------------------

    def _from_file(self, url: str) -> tuple[pa.Table, str]:
        from skyvault.missions.columns import read_csv

        answer = self.client.get(url, limit_bytes=_MOST_BYTES, total_s=self.sync_s)
        _refuse_page(answer)
        return read_csv(answer.body, shown_address(url)), shown_address(url)

    # -- TAP ------------------------------------------------------------------------------------------------------

    def _by_tap(self, declaration: Declaration, address: str) -> pa.Table:
        how = self._format(address)
        try:
            rows = self._count(declaration, address) if declaration.counts_rows_first else None
        except _TooLong as reason:
            raise Unreachable(str(reason)) from None
        adql = _query(declaration, rows)
        try:
            table, is_cut = self._sync(address, adql, how, declaration)
        except _TooLong as reason:
            return self._whole(self._job(address, adql, how, declaration, str(reason)), declaration, address, rows)
        if is_cut or self._is_short(table, declaration, address, rows):
            told = f"it sends {table.num_rows:,} rows and has more"
            return self._whole(self._job(address, adql, how, declaration, told), declaration, address, rows)
        return table

    def _format(self, address: str) -> str:
        """The fastest format the service offers (TAPRegExt 1.0, section 2.4); a VOTable where it does not tell."""
        with suppress(SkyvaultError):
            body = self.client.get(f"{address}/capabilities", total_s=_CAPABILITIES_S, limit_bytes=4_000_000).body
            told = body.lower()
            if b"application/vnd.apache.parquet" in told:
                return "application/vnd.apache.parquet"
            if b"output-votable-binary2" in told or b"serialization=binary2" in told:
                return "application/x-votable+xml;serialization=BINARY2"
        return "votable"

    def _sync(self, address: str, adql: str, how: str, declaration: Declaration) -> tuple[pa.Table, bool]:
        try:
            answer = self.client.post(
                f"{address}/sync",
                data=_form(adql, how),
                may_repeat=True,
                total_s=self.sync_s,
                limit_bytes=_MOST_BYTES,
            )
        except Unreachable as error:
            raise _TooLong(error.what) from error
        return _rows(answer, declaration)

    def _count(self, declaration: Declaration, address: str) -> int:
        table, _ = self._sync(address, f"SELECT COUNT(*) AS n FROM {declaration.table}", "votable", declaration)
        try:
            return int(table.column(0)[0].as_py())
        except (IndexError, TypeError, ValueError):
            raise MissionTableError("the service does not count its rows") from None

    def _is_short(self, table: pa.Table, declaration: Declaration, address: str, rows: int | None) -> bool:
        """Whether rows are missing without a word of it."""
        if rows is None and table.num_rows and table.num_rows % _ROUND == 0:
            with suppress(_TooLong):
                rows = self._count(declaration, address)
        return rows is not None and table.num_rows < rows

    def _whole(
        self, answer: tuple[pa.Table, bool], declaration: Declaration, address: str, rows: int | None
    ) -> pa.Table:
        table, is_cut = answer
        if is_cut or self._is_short(table, declaration, address, rows):
            raise MissionTableError(f"even a job of the service gives {table.num_rows:,} rows only, not all")
        return table

    # -- a job (UWS 1.1) ------------------------------------------------------------------------------------------

    def _job(self, address: str, adql: str, how: str, declaration: Declaration, why: str) -> tuple[pa.Table, bool]:
        """What the query gives as an asynchronous job, which is deleted afterwards."""
        deadline = self.client.clock() + self.job_s
        try:
            made = self.client.post(f"{address}/async", data=_form(adql, how) | {"PHASE": "RUN"}, total_s=60.0)
        except SkyvaultError:
            # what the first way said is the reason, not that the second is barred as well
            raise Unreachable(why) from None
        job_url = _same_host(made.url, address)
        if job_url.rstrip("/") == f"{address}/async":
            raise MissionTableError(f"{why}, and the service makes no job of it")
        try:
            result = self._finished(job_url, made, deadline)
            answer = self.client.get(
                _same_host(urljoin(f"{job_url}/", result), address),
                total_s=max(1.0, deadline - self.client.clock()),
                limit_bytes=_MOST_BYTES,
            )
            return _rows(answer, declaration)
        finally:
            with suppress(SkyvaultError):
                self.client.request("DELETE", job_url, total_s=20.0)

    def _finished(self, job_url: str, answer: Answer, deadline: float) -> str:
        """Wait until the job is done; the address of its result."""
        from skyvault.formats.uws_xml import read_job

        while True:
            _refuse_page(answer)
            job = read_job(answer.body)
            if job.phase.is_final:
                break
            left_s = deadline - self.client.clock()
            if left_s <= 0:
                raise Unreachable(f"the service's job was not done within {self.job_s:,.0f} s")
            asked = self.client.clock()
            wait_s = int(min(_WAIT_S, max(1.0, left_s)))
            answer = self.client.get(job_url, params={"WAIT": str(wait_s), "PHASE": str(job.phase)}, total_s=left_s + 5)
            if self.client.clock() - asked < 0.5:
                # a service that does not know WAIT answers at once
                self.sleep(min(1.0, max(0.05, left_s)))
        if job.phase != "COMPLETED":
            told = said(job.error.message.encode()) if job.error else ""
            raise MissionTableError(f"the service's job ended as {job.phase}{f': {told}' if told else ''}")
        named = [one.href for one in job.results if one.name == "result"] or [one.href for one in job.results]
        return (named or ["results/result"])[0] or "results/result"


class _TooLong(Exception):
    """The synchronous query did not end well, but a job may."""


def _form(adql: str, how: str) -> dict[str, str]:
    return {
        "REQUEST": "doQuery",
        "LANG": "ADQL",
        "QUERY": adql,
        "MAXREC": str(_MOST_ROWS),
        # TAP 1.0 knows FORMAT, 1.1 RESPONSEFORMAT
        "FORMAT": how,
        "RESPONSEFORMAT": how,
    }


def _query(declaration: Declaration, rows: int | None) -> str:
    optional = {column.source for column in declaration.columns if column.optional}
    names = [name.lower() for name in declaration.sources() if name not in optional]
    listed = ", ".join(f'"{name}"' if name in RESERVED else name for name in dict.fromkeys(names))
    # some room for rows that came since they were counted
    top = "" if rows is None else f"TOP {-(-(rows + 1) // _ROUND) * _ROUND} "
    return f"SELECT {top}{listed} FROM {declaration.table}"


def _rows(answer: Answer, declaration: Declaration) -> tuple[pa.Table, bool]:
    """The table of an answer, and whether rows were left out. Raises MissionTableError, FormatError."""
    from skyvault.formats.registry import open_table

    _refuse_page(answer)
    stream = open_table(io.BytesIO(answer.body), name=f"the answer of {host_of(answer.url)}")
    batches = list(stream.batches)
    if stream.error:
        raise MissionTableError(
            f"the service refuses: {_sentence(stream.error)}{_lost_column(stream.error, declaration)}"
        )
    if not batches:
        raise MissionTableError("the table has no rows")
    return pa.Table.from_batches(batches), stream.overflow


def _lost_column(error: str, declaration: Declaration) -> str:
    """Which declared column a service's complaint is about."""
    lower = error.lower()
    if not any(word in lower for word in ("column", "identifier", "field", "unknown", "not found", "unresolved")):
        return ""
    lost = [name for name in declaration.sources() if f"'{name.lower()}'" in lower or f'"{name.lower()}"' in lower]
    lost = lost or [name for name in declaration.sources() if name.lower() in re.split(r"[^a-z0-9_]+", lower)]
    return f" (the archive no longer has the column {', '.join(lost)})" if lost else ""


def _sentence(text: str) -> str:
    told = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return told if len(told) <= 300 else f"{told[:297]}..."


def _refuse_page(answer: Answer) -> None:
    start = answer.body[:1000].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        told = said(answer.body)
        raise MissionTableError(f"the service sent a web page instead of a table{f': {told!r}' if told else ''}")


def _same_host(url: str, address: str) -> str:
    """A service's address for what it made; services behind a proxy name their inner host, which is not followed."""
    here, there = urlsplit(address), urlsplit(url)
    if (there.scheme, there.netloc) == (here.scheme, here.netloc):
        return url
    if there.path.startswith(here.path):
        return there._replace(scheme=here.scheme, netloc=here.netloc).geturl()
    raise MissionTableError(f"the service sends us on to another host: {there.netloc[:80]}")


def _hint_of(error: Any) -> str:
    if isinstance(error, Refused) and error.hint:
        return str(error.hint)
    return _HINT
