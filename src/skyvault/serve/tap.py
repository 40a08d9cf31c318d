"""TAP 1.1: /tap/sync, /tap/async and the documents beside them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from skyvault.adql.statements import CreateTable, DropTable
from skyvault.errors import Busy, Cancelled, UsageError
from skyvault.model.job import Job
from skyvault.serve.data_origin import TAP, request_address, with_origin
from skyvault.serve.dataset_links import with_links
from skyvault.serve.faults import guarded
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.params import FormLimits, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect, disconnected
from skyvault.serve.tap_query import PARAMETERS, encoded, read_query, start
from skyvault.serve.user_statements import run_statement, statement_of
from skyvault.serve.user_tables_cadc import INDEX_TABLE
from skyvault.serve.uws import UwsService, UwsSettings
from skyvault.store.user_space import Reader

#: a query that runs so long is watched for a client that goes away
WATCH_AFTER_S = 0.05
#: so long a CREATE or DROP waits for a place among the queries
TURN_S = 10.0


class Wish:
    """Whether somebody still waits for an answer; dropping it interrupts the query, at whatever point it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursor: Any = None
        self._is_dropped = False

    def on_cursor(self, cursor: Any) -> None:
        with self._lock:
            self._cursor = cursor
        self.check()

    def check(self) -> None:
        """Raises Cancelled when nobody waits any more."""
        if self._is_dropped:
            raise Cancelled("the client has gone")

    def drop(self) -> None:
        with self._lock:
            self._is_dropped = True
            if self._cursor is not None:
                self._cursor.interrupt()


class Tap:
    """The TAP endpoints of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.parameters = ParameterSet(PARAMETERS)
        settings = service.settings
        self.limits = FormLimits(
            field_bytes=settings.query_bytes + 64_000,
            file_bytes=settings.upload_bytes,
            files=settings.upload_tables,
        )
        self.uws = UwsService(
            "/tap/async",
            service.runner,
            PARAMETERS,
            UwsSettings(
                kind="tap",
                execution_default_s=int(settings.async_time_s),
                execution_hard_s=int(settings.async_time_s),
                life_default_s=settings.job_life_days * 86_400,
                life_hard_s=settings.job_life_days * 86_400,
                wait_s=min(settings.wait_s, 55.0),
                limits=self.limits,
            ),
            base_url=service.base_url,
            owner_of=_owner,
            check=self._check,
            check_parameters=self._check_parameters,
        )

    def routes(self) -> list[Route]:
        return [
            Route("/tap/sync", guarded()(self.sync), methods=["GET", "POST"]),
            *self.uws.routes(),
        ]

    async def sync(self, request: Request) -> Response:
        """Run a query and answer with its result (TAP 1.1, section 2.2)."""
        async with await read_form(request, self.limits) as form:
            values = self.parameters.read(form.pairs)
            if str(values.get("REQUEST") or "").lower() == "getcapabilities":
                return RedirectResponse(f"{self.service.base_url(request)}/tap/capabilities", status_code=303)
            identity = identity_of(request)
            identity.need("read")
            statement = statement_of(str(values.get("QUERY") or ""), self.service)
            if statement is not None:
                self._refuse_statement(statement, identity)
                if request.method != "POST":
                    # a link that somebody clicks must change nothing
                    raise UsageError("CREATE and DROP are only done by POST", hint="Send the query with POST.")
            files = {name: _opener(file) for name, file in form.files.items()}
            wish = Wish()
            base = self.service.base_url(request)
            address = request_address(f"{base}/tap/sync", form.pairs)
            work = asyncio.ensure_future(
                self._in_turn(
                    statement, identity, self._answer, values, files, wish, identity, statement, base, address
                )
            )
            # most answers are there before it is worth watching for the client's leaving
            await asyncio.wait({work}, timeout=WATCH_AFTER_S)
            if not work.done():
                gone = asyncio.ensure_future(disconnected(request.receive))
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    wish.drop()
                gone.cancel()
            return await work

    async def _in_turn(
        self,
        statement: CreateTable | DropTable | None,
        identity: Identity,
        act: Callable[..., Response],
        *given: Any,
    ) -> Response:
        """In a query thread. Of many who make one table at once, those who find no place hear who was first."""
        deadline = time.monotonic() + TURN_S
        while True:
            try:
                return await self.service.in_thread(act, *given)
            except Busy:
                if statement is None or time.monotonic() > deadline:
                    raise
                self._refuse_statement(statement, identity)
                await asyncio.sleep(0.05)

    def _refuse_statement(self, statement: CreateTable | DropTable, identity: Identity) -> None:
        """Raises at once what would certainly be raised later: not allowed, or the name is taken."""
        identity.need("write")
        if isinstance(statement, CreateTable) and self.service.user_rules is not None:
            self.service.user_rules.refuse_taken(identity, statement.owner, statement.name)

    def _check(self, request: Request, job: Job) -> None:
        """Whether whoever wants the job to run may have done what it does."""
        identity = identity_of(request)
        identity.need("read")
        text = (job.parameters.get("QUERY") or [""])[0]
        statement = statement_of(text, self.service)
        if statement is not None:
            self._refuse_statement(statement, identity)
        if self.service.user_rules is not None and job.parameters.get(INDEX_TABLE):
            identity.need("write")

    def _check_parameters(self, request: Request, given: Mapping[str, list[str]]) -> None:
        """Whether whoever changes a job's query may do what the new one does."""
        for text in given.get("QUERY", ()):
            try:
                is_statement = statement_of(text, self.service) is not None
            except UsageError:
                # that it is wrong is told when it runs, as with every query
                continue
            if is_statement:
                identity_of(request).need("write")

    def _answer(
        self,
        values: Mapping[str, Any],
        files: Mapping[str, Callable[[], IO[bytes]]],
        wish: Wish,
        identity: Identity,
        statement: CreateTable | DropTable | None,
        base: str,
        address: str | None,
    ) -> Response:
        wish.check()
        query = read_query(values, files, self.service.settings)
        headers = {"cache-control": "no-cache" if identity.user is None else "no-store"}
        if statement is not None:
            stream = run_statement(
                statement, self.service, identity, query.limits, uploads=query.uploads, on_cursor=wish.on_cursor
            )
            body = b"".join(query.format.write(stream))
            return Response(body, headers={"content-type": query.format.content_type, **headers})
        reader = Reader(identity.owner, identity.groups)
        answer = start(query, self.service.store, wish.on_cursor, reader)
        with_origin(answer.stream, self.service, answer.plan.tables, base, TAP, address)
        with_links(answer.stream, self.service, base)
        chunks = encoded(query, answer)
        first, rest = collect(chunks)
        if rest is None:
            # a text format cannot say inside that rows were left out
            headers["x-skyvault-overflow"] = "true" if answer.stream.overflow else "false"
        return TableResponse(self.service, first, rest, query.format.content_type, headers)


def _owner(request: Request) -> str | None:
    identity = identity_of(request)
    identity.need("read")
    return identity.name


class _Kept:
    """A spooled upload that may be opened more than once; the form closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> IO[bytes]:
        self._file.seek(0)
        return self._file

    def __exit__(self, *_: object) -> None:
        pass


def _opener(file: UploadFile) -> Callable[[], Any]:
    return lambda: _Kept(file.file)
