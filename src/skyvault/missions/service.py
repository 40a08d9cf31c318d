"""One archive's services: where they are, asked politely, their answers kept, their files fetched.

Answers are kept only after they were understood, so that an error page or half an answer is never met again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import pyarrow as pa
from pyarrow import csv

from skyvault.config import Settings
from skyvault.ledger.downloads import Downloads
from skyvault.missions.connections import default_archives
from skyvault.missions.declaration import Politeness
from skyvault.net.addresses import host_of
from skyvault.net.auth import Credential
from skyvault.net.cache import ContentCache
from skyvault.net.client import HttpClient
from skyvault.net.download import Downloader
from skyvault.net.faults import WrongContent, said
from skyvault.net.politeness import Manners
from skyvault.net.remote_file import Order, RemoteFile

Result = TypeVar("Result")

#: an answer that says it is whole and is not may be better the next time
_TRIES: Final = 3
_DAY_S: Final = 86400.0


class ArchiveService:
    """An archive's services by name. Subclasses say which there are and how they are asked.

    ``cache`` is the folder of kept answers; ``client`` is shared by whoever gives it.
    """

    archive: ClassVar[str]
    #: service -> its public address
    addresses: ClassVar[Mapping[str, str]]
    politeness: ClassVar[Politeness] = Politeness(connections=2, requests_per_minute=60)
    #: for how long an answer is taken as it was
    fresh_s: ClassVar[float] = 7 * _DAY_S

    def __init__(self, settings: Settings | None = None, client: HttpClient | None = None) -> None:
        self.settings = settings or Settings()
        self._client = client
        self._agreed_with: HttpClient | None = None
        self.cache = ContentCache(Path(self.settings.home) / "cache" / self.archive, limit_bytes=2_000_000_000)

    @property
    def client(self) -> HttpClient:
        """The HTTP client of all archives, agreed on this one's manners; or the one given."""
        if self._client is not None:
            return self._client
        client = default_archives(self.settings).client
        if client is not self._agreed_with:
            wish = self.settings.politeness.get(self.archive)
            declared = Manners(self.politeness.connections, self.politeness.requests_per_minute)
            for name, public in self.addresses.items():
                host = host_of(self.address(name))
                if wish is not None:
                    manners = Manners(wish.get("connections", 8), wish.get("requests_per_minute") or None)
                    client.politeness.prescribe(host, manners)
                elif host == host_of(public):
                    # mirrors have manners of their own, and a sandbox needs none
                    client.politeness.agree(host, declared)
            self._agreed_with = client
        return client

    @property
    def downloads(self) -> Downloads:
        """The ledger's record of fetched files."""
        return default_archives(self.settings).downloads

    def address(self, service: str) -> str:
        """A service's address as it is configured."""
        return self.settings.endpoint(self.archive, service, self.addresses[service])

    def asked(
        self,
        url: str,
        decode: Callable[[bytes], Result],
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        document: Any = None,
        credential: Credential | None = None,
        refresh: bool = False,
        limit_bytes: int = 256_000_000,
    ) -> Result:
        """The decoded answer to GET ``params``, or POST of a ``form`` or a JSON ``document``; kept for the next time.

        ``decode`` raises WrongContent for what is no answer, and then the archive is asked again, twice at most.
        Raises what :meth:`skyvault.net.client.HttpClient.request` raises.
        """
        question = json.dumps([url, params, form, document], sort_keys=True)
        key = f"{url.partition('?')[0]}?question={hashlib.sha256(question.encode()).hexdigest()}"
        if not refresh:
            kept = self.cache.find(key)
            if kept is not None and self.cache._clock() - kept.fetched_at < self.fresh_s:
                try:
                    return decode(kept.body)
                except WrongContent:
                    self.cache.forget(key)
        for attempt in range(1, _TRIES + 1):
            answer = self.client.request(
                "GET" if form is None and document is None else "POST",
                url,
                params=params,
                data=form,
                json=document,
                credential=credential,
                # these services only tell: asking twice does no harm
                may_repeat=True,
                limit_bytes=limit_bytes,
            )
            try:
                result = decode(answer.body)
            except WrongContent:
                if attempt == _TRIES:
                    raise
                continue
            self.cache.put(key, answer.body, etag=None, content_type=answer.headers.get("content-type"))
            return result
        raise AssertionError

    def fetched(self, remote: RemoteFile, target: Path, *, refresh: bool = False) -> Path:
        """The file at its place, from where it broke off the last time; nothing is asked when it is there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        Downloader(self.client, ledger=self.downloads).fetch(Order(remote, target), refresh=refresh)
        return target


def json_of(body: bytes, where: str) -> Any:
    """A JSON answer. Raises WrongContent, quoting what a page of HTML says instead."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WrongContent(not_an_answer(body, "JSON"), where=where, hint="Try again later.") from None


def not_an_answer(body: bytes, wanted: str) -> str:
    """What came instead of an answer, in words."""
    head = body[:400].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return f"the archive sent a web page ({said(body)!r}) instead of {wanted}"
    return f"the archive's answer is no {wanted}, or was cut short"


def csv_of(
    body: bytes,
    where: str,
    *,
    needed: tuple[str, ...],
    types: Mapping[str, pa.DataType],
    is_quoted: bool = True,
    has_last_newline: bool = True,
) -> pa.Table:
    """A CSV answer; empty cells are null, columns that ``types`` does not name are text. Raises WrongContent.

    Columns are found by name, whatever their order and case; more than those needed are kept as they are. An answer
    that does not end with a line break, where the archive's do, was cut short.
    """
    head, _, rest = body.partition(b"\n")
    try:
        names = [word.strip().strip('"') for word in head.decode("utf-8-sig").strip().split(",")]
    except UnicodeDecodeError:
        raise WrongContent(not_an_answer(body, "CSV table"), where=where) from None
    if missing := [name for name in needed if name.lower() not in {found.lower() for found in names}]:
        if b"," not in head or head.lstrip().startswith((b"<", b"{", b"[")):
            raise WrongContent(not_an_answer(body, "CSV table"), where=where, hint="Try again later.")
        raise WrongContent(
            f"the archive's table has no column {', '.join(missing)}",
            where=where,
            hint="The archive may have renamed it; columns found: " + ", ".join(names)[:300] + ".",
        )
    if len({name.lower() for name in names}) != len(names):
        raise WrongContent("the archive's table names a column twice", where=where)
    lower = {name.lower(): kind for name, kind in types.items()}
    kinds = {name: lower.get(name.lower(), pa.string()) for name in names}
    if has_last_newline and rest and not rest.endswith(b"\n"):
        raise WrongContent("the archive's table was cut short", where=where, hint="Try again.")
    if not rest.strip():
        return pa.schema(list(kinds.items())).empty_table()
    try:
        return csv.read_csv(
            pa.BufferReader(body),
            read_options=csv.ReadOptions(
                # a thread pool costs more than reading a light curve
                use_threads=len(body) > 4_000_000,
                column_names=names,
                skip_rows=1,
                block_size=min(max(len(body), 1 << 12), 1 << 24),
            ),
            parse_options=csv.ParseOptions(quote_char='"' if is_quoted else False),
            convert_options=csv.ConvertOptions(
                column_types=kinds, null_values=["", "null", "NaN", "nan"], strings_can_be_null=True
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise WrongContent(
            f"the archive's table is damaged or was cut short: {str(error)[:160]}", where=where, hint="Try again."
        ) from None
