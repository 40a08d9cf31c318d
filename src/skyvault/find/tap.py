"""A TAP service as pyvo knows it, with better manners: ``get_tap_service("tap").search("SELECT ...")``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests
from pyvo.dal.tap import TAPQuery, TAPService
from pyvo.dal.vosi import VOSITables
from pyvo.io.vosi import parse_tables

from skyvault.config import Secret, Settings
from skyvault.errors import UsageError
from skyvault.find.faults import ServiceUnreachable
from skyvault.find.jobs import Job
from skyvault.find.offers import may_be_large, offer_of
from skyvault.find.results import Results, is_told_cut, refuse_fault
from skyvault.find.services import address_of, token_for
from skyvault.find.session import TOTAL_S, ArchiveSession, document
from skyvault.find.user_tables import UserTables
from skyvault.net.addresses import shown_address, split_address
from skyvault.net.retry import RetryPolicy


def get_tap_service(
    name_or_url: str = "tap",
    *,
    token: Secret | str | None = None,
    settings: Settings | None = None,
    total_s: float = TOTAL_S,
    retries: RetryPolicy | None = None,
) -> Service:
    """The TAP service of this name or address; nothing is asked yet.

    Names come from the settings (``SKYVAULT_SERVICES__LAB=https://...``), and are those of archives otherwise:
    "heasarc", "xsa", "gaia"; "tap" is Rubin's. ``token`` is the one for this service, by default that of its host in
    the credentials file of the settings. ``total_s`` limits each request with its retries.
    Raises NotFound for an unknown name, ConfigError for a token that would travel unencrypted.
    """
    settings = settings or Settings()
    address = address_of(name_or_url, settings)
    split_address(address)
    session = ArchiveSession(
        address,
        token=token if token is not None else token_for(address, settings),
        total_s=total_s,
        retries=retries or RetryPolicy(settings.archive_attempts, settings.archive_backoff_s),
    )
    return Service(address, session=session)


class Service(TAPService):  # type: ignore[misc]
    """pyvo's TAPService; ``_session`` is for pyvo's other classes, such as ``DatalinkResults.from_result_url``."""

    _tables: Any

    @property
    def session(self) -> ArchiveSession:
        """The HTTP session with its token, retries and deadline."""
        return self._session  # type: ignore[no-any-return]

    @property
    def tables(self) -> Tables:
        """The service's tables by name, each described when it is first looked at."""
        if self._tables is None:
            address = f"{self.baseurl}/tables"
            try:
                response = self._session.get(address, params={"detail": "min"}, stream=True)
            except requests.RequestException as error:
                raise ServiceUnreachable(str(error), where=shown_address(address)) from None
            refuse_fault(response, address)
            with document(response) as file:
                self._tables = Tables(parse_tables(file.read), address, self._session)
        return self._tables  # type: ignore[no-any-return]

    @property
    def user_tables(self) -> UserTables:
        """Your own tables at the service: list, upload, share, drop ..."""
        return UserTables(self.baseurl, self.session)

    def create_query(
        self,
        query: str | None = None,
        *,
        mode: str = "sync",
        language: str = "ADQL",
        maxrec: int | None = None,
        uploads: Any = None,
        **keywords: Any,
    ) -> Query:
        asked = {name.upper() for name in keywords}
        form = None
        if language == "ADQL" and not asked & {"FORMAT", "RESPONSEFORMAT"} and may_be_large(query or "", maxrec):
            form = offer_of(self).form
            if form is not None:
                keywords["RESPONSEFORMAT"] = form
        made = Query(
            self.baseurl,
            query,
            mode=mode,
            language=language,
            maxrec=maxrec,
            uploads=uploads,
            session=self._session,
            **keywords,
        )
        made.row_limit = lambda: offer_of(self).row_limit(maxrec)
        return made

    def run_sync(
        self,
        query: str,
        *,
        language: str = "ADQL",
        maxrec: int | None = None,
        uploads: Any = None,
        deadline_s: float | None = None,
        **keywords: Any,
    ) -> Results:
        """The query's rows, at once; ``deadline_s`` is for all tries together.

        Raises QueryRefused, ServiceUnreachable, ServiceFault, WrongAnswer.
        """
        asked = self.create_query(query, language=language, maxrec=maxrec, uploads=uploads, **keywords)
        with self.session.within(deadline_s):
            return asked.execute()

    search = run_sync

    def submit_job(
        self, query: str, *, language: str = "ADQL", maxrec: int | None = None, uploads: Any = None, **keywords: Any
    ) -> Job:
        """A job that waits for ``run()``."""
        asked = self.create_query(query, mode="async", language=language, maxrec=maxrec, uploads=uploads, **keywords)
        response = asked.submit()
        job = Job(response.url, session=self._session)
        job._client_set_maxrec = maxrec
        job.row_limit = asked.row_limit
        return job

    def run_async(
        self,
        query: str,
        *,
        language: str = "ADQL",
        maxrec: int | None = None,
        uploads: Any = None,
        delete: bool = True,
        timeout: float | None = 600.0,
        **keywords: Any,
    ) -> Results:
        """The query's rows by way of a job, which is deleted afterwards; one that takes longer is kept."""
        keywords.pop("max_retries", None)
        job = self.submit_job(query, language=language, maxrec=maxrec, uploads=uploads, **keywords)
        job.run().wait(timeout=timeout)
        try:
            job.raise_if_error()
            return job.fetch_result()
        finally:
            if delete:
                job.delete()

    def __repr__(self) -> str:
        return f"<TAP service {shown_address(self.baseurl)}>"


class Tables(VOSITables):  # type: ignore[misc]
    """pyvo's tables, asked with the service's own session: some versions of pyvo forget it, and with it the token."""

    def __init__(self, listed: Any, address: str, session: ArchiveSession) -> None:
        super().__init__(listed, address)
        self._own_session = session

    def _get_table(self, name: str) -> Any:
        if name in self._cache:
            return self._cache[name]
        table = self._vosi_tables.get_table_by_name(name)
        if not table.columns and not table.foreignkeys:
            address = f"{self._endpoint_url}/{quote(name)}"
            try:
                response = self._own_session.get(address, stream=True)
            except requests.RequestException as error:
                raise ServiceUnreachable(str(error), where=shown_address(address)) from None
            refuse_fault(response, address)
            with document(response) as file:
                table = parse_tables(file.read).get_first_table()
        self._cache[name] = table
        return table


class Query(TAPQuery):  # type: ignore[misc]
    """A query that is read by our decoder; ``row_limit`` tells how many rows come at most."""

    row_limit: Callable[[], int | None] | None = None

    def submit(self, *, post: bool = False) -> requests.Response:
        """Send it, files of uploads too. Raises ServiceUnreachable, QueryRefused, ServiceFault."""
        if not str(self.get("QUERY") or "").strip():
            raise UsageError("the query is empty")
        # read here, so that the same bytes can be sent again
        files = {one.name: one.fileobj().read() for one in self._uploads if one.is_inline}
        try:
            response = self._session.post(self.queryurl, data=dict(self), stream=True, files=files or None)
        except requests.RequestException as error:
            raise ServiceUnreachable(str(error), where=shown_address(self.queryurl)) from None
        refuse_fault(response, self.queryurl)
        return response

    def execute(self) -> Results:
        """The rows. Raises QueryRefused, ServiceUnreachable, ServiceFault, WrongAnswer."""
        response = self.submit()
        with document(response) as file:
            return Results.read(
                file,
                url=self.queryurl,
                session=self._session,
                asked_rows=self._client_set_maxrec,
                row_limit=self.row_limit,
                is_told_cut=is_told_cut(response),
            )
