"""Pages for people: what is here, a page a table, a query form and its results; and the examples for TAP clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from skyvault.adql.statements import CreateTable, DropTable
from skyvault.errors import NotFound, QueryError, SkyvaultError
from skyvault.serve.data_origin import page_address
from skyvault.serve.examples import Example, cone_query, examples, table_examples
from skyvault.serve.faults import as_skyvault_error, form_for_people, guarded
from skyvault.serve.identity import identity_of
from skyvault.serve.page_citation import origin_of
from skyvault.serve.page_dataset import dataset_address, thumbnail_address
from skyvault.serve.page_frame import around, root_path
from skyvault.serve.page_position import RADIUS_UNITS, read_position, read_radius
from skyvault.serve.page_query import (
    FORM_FORMATS,
    FormValues,
    mistake,
    read_values,
    run_as_file,
    run_as_page,
    uploaded,
)
from skyvault.serve.page_reply import Document, document, render, static_response
from skyvault.serve.page_services import services_of
from skyvault.serve.page_sky import SKY_DEG2, graticule
from skyvault.serve.page_table import is_own, members_of, schemas, with_picture
from skyvault.serve.params import Form, FormLimits, read_form
from skyvault.serve.service import Service
from skyvault.serve.user_statements import statement_of
from skyvault.store.coverage import coverage_of
from skyvault.store.dataset_previews import some_datasets
from skyvault.store.products import local_part
from skyvault.store.query import Limits, compile_query
from skyvault.store.tap_schema import spelled, spelled_name
from skyvault.store.user_space import Reader
from skyvault.store.view import Shelved, View

XHTML = "application/xhtml+xml; charset=utf-8"
#: pictures on the page of a collection
MOST_THUMBNAILS = 24
#: bytes of pages kept; there is one for each table and each address the service is known by
MOST_KEPT_BYTES = 32_000_000


class Pages:
    """Pages of one service. Those that depend on nothing but what is published are made once and kept."""

    def __init__(self, service: Service) -> None:
        self.service = service
        settings = service.settings
        self.limits = FormLimits(
            field_bytes=settings.query_bytes + 64_000,
            file_bytes=settings.upload_bytes,
            files=settings.upload_tables,
        )
        self._examples: tuple[View | None, list[Example]] = (None, [])
        self._kept: dict[tuple[str, ...], tuple[View, Document]] = {}
        self._kept_bytes = 0

    def routes(self) -> list[Route]:
        """Last in the application: /{schema}/{table} would take much that is not a table."""
        guard = guarded(form_for_people)
        return [
            Route("/", guard(self.index)),
            Route("/tap", guard(self.tap)),
            Route("/tap/", guard(self.tap)),
            Route("/tap/examples", guarded()(self.examples)),
            Route("/query", guard(self.query), methods=["GET", "POST"]),
            Route("/static/{name}", guard(self.static)),
            Route("/robots.txt", guard(self.robots)),
            Route("/{schema}/{table}", guard(self.table)),
            Route("/{schema}/{table}/", guard(self.table)),
            Route("/{schema}/{table}/cone", guard(self.cone)),
        ]

    # ------------------------------------------------------------ what is published

    async def index(self, request: Request) -> Response:
        """GET /: schemas and tables, and how to connect."""

        def make(view: View, around: dict[str, Any]) -> bytes:
            found = schemas(view)
            known = self._examples_of(view)
            sample = next((one for one in known if one.id.endswith(("-cone", "-brightest"))), known[0])
            own = [schema for schema in found if not is_own(schema.name)]
            return render(
                "index.html.j2", **around, schemas=found, own=own, sample=sample, graticule=graticule(),
                table_count=sum(len(schema.tables) for schema in own),
                row_count=sum(table.rows for schema in own for table in schema.tables),
            )  # fmt: skip

        return await self._page(request, ("index",), make)

    async def tap(self, request: Request) -> Response:
        """GET /tap, where the base address of the TAP service leads a person: to the first page."""
        return RedirectResponse(f"{root_path(self.service, request)}/#connect", status_code=303)

    async def table(self, request: Request) -> Response:
        """GET /{schema}/{table}: everything about one table."""
        shelf = self._shelf(request)

        def make(view: View, around: dict[str, Any]) -> bytes:
            facts = with_picture(shelf)
            base, root = around["base"], around["root"]
            dids = some_datasets(self.service.store, shelf, MOST_THUMBNAILS)
            page = page_address(shelf.table.name, base)
            return render(
                "table.html.j2", **around, facts=facts, table=shelf.table, examples=table_examples(shelf),
                downloads=facts.downloads(around["root"], self.service.settings.maxrec_hard),
                maxrec_hard=self.service.settings.maxrec_hard, graticule=graticule(), sky_deg2=SKY_DEG2,
                radius_units=list(RADIUS_UNITS), coverage=coverage_of(view, shelf.table.name),
                origin=origin_of(shelf, page, self.service.settings.publisher),
                services=services_of(shelf, base, dids[0] if dids else None, self._some_row(shelf)),
                members=members_of(view, shelf),
                gallery=[(dataset_address(root, did), thumbnail_address(root, did), local_part(did)) for did in dids],
            )  # fmt: skip

        return await self._page(request, ("table", shelf.table.name), make)

    def _some_row(self, shelf: Shelved) -> tuple[float, float] | None:
        """Where a row of a table of observations is: cells of its coverage may be far from any row's middle."""
        place = shelf.stored.positions[0] if shelf.stored.positions else None
        if place is None or place.lon is None or place.lat is None or not shelf.stored.regions:
            return None
        lon, lat = (spelled(shelf.table.columns[i].name) for i in (place.lon, place.lat))
        text = f"SELECT TOP 1 {lon}, {lat} FROM {spelled_name(shelf.table.name)} WHERE {lon} IS NOT NULL"
        answer = self.service.store.query(text, Limits(rows=1, seconds=self.service.settings.sync_time_s))
        try:
            rows = [row for batch in answer.stream.batches for row in zip(*batch.to_pydict().values(), strict=True)]
        finally:
            answer.close()
        return (float(rows[0][0]), float(rows[0][1])) if rows and None not in rows[0] else None

    async def examples(self, request: Request) -> Response:
        """GET /tap/examples: a DALI-examples document (DALI 1.1, section 2.3)."""

        def make(view: View, around: dict[str, Any]) -> bytes:
            from skyvault.formats.xml_text import clean

            text = render("examples.xhtml.j2", **around, examples=self._examples_of(view)).decode()
            return clean(text).encode()

        return await self._page(request, ("examples",), make, XHTML)

    async def static(self, request: Request) -> Response:
        return static_response(request, request.path_params["name"])

    async def robots(self, request: Request) -> Response:
        return static_response(request, "robots.txt")

    # ------------------------------------------------------------ queries

    async def query(self, request: Request) -> Response:
        """GET /query: the form, filled in from QUERY, FORMAT, MAXREC. POST: run what it says, or make it a job."""
        try:
            form = await read_form(request, self.limits)
        except SkyvaultError as problem:
            return await self._form(request, FormValues(), problem)
        async with form:
            values = read_values(form.pairs)
            if request.method != "POST" or values.action == "edit":
                return await self._form(request, values)
            try:
                if values.action == "job":
                    return await self._job(request, values, form)
                return await self._run(request, values, form)
            except Exception as problem:
                return await self._form(request, values, as_skyvault_error(problem))

    async def cone(self, request: Request) -> Response:
        """GET /{schema}/{table}/cone?position=&radius=&unit=: rows around a position, the nearest first."""
        shelf = self._shelf(request)
        if not shelf.stored.positions:
            raise NotFound(f"{shelf.table.name} has no positions to search around")
        given = request.query_params
        values = FormValues()
        try:
            lon, lat = read_position(given.get("position", ""))
            radius = read_radius(given.get("radius", ""), given.get("unit", "deg"))
            values = FormValues(query=cone_query(shelf, lon, lat, radius))
            return await self._run(request, values, Form([]))
        except Exception as problem:
            return await self._form(request, values, as_skyvault_error(problem))

    async def _run(self, request: Request, values: FormValues, form: Form) -> Response:
        service, identity = self.service, identity_of(request)
        identity.need("read")
        reader = Reader(identity.owner, identity.groups)
        base, root = service.base_url(request), root_path(service, request)
        if values.format != "html":
            return await service.in_thread(run_as_file, service, values, form, reader, base)
        content = around(service, request)

        def make() -> Document:
            result = run_as_page(service, values, form, reader, base)
            addresses = {"dataset": partial(dataset_address, root), "thumbnail": partial(thumbnail_address, root)}
            return document(render("result.html.j2", **content, **addresses, result=result, values=values), level=1)

        made = await service.in_thread(make)
        return made.response(request, cache="no-store")

    async def _job(self, request: Request, values: FormValues, form: Form) -> Response:
        """Hand the same form to /tap/async, once it is known that the query can run at all."""
        has_upload = uploaded(form) is not None
        if not has_upload:
            # what is uploaded is not known before the job runs; everything else can be told now
            limits = Limits(query_bytes=self.service.settings.query_bytes)
            statement = statement_of(values.query, self.service)
            text = statement.query if isinstance(statement, CreateTable) else values.query
            identity = identity_of(request)
            view = self.service.store.view_for(Reader(identity.owner, identity.groups), text)
            if not isinstance(statement, DropTable):
                await self.service.in_thread(compile_query, text, view, limits)
        extra = {"PHASE": "RUN", "LANG": "ADQL"} | ({"UPLOAD": "mine,param:mine"} if has_upload else {})
        return RedirectResponse(f"{root_path(self.service, request)}/tap/async?{urlencode(extra)}", status_code=307)

    async def _form(self, request: Request, values: FormValues, problem: SkyvaultError | None = None) -> Response:
        content = around(self.service, request)
        settings = self.service.settings

        def make() -> Document:
            view = self.service.store.view()
            body = render(
                "query.html.j2", **content, values=values, formats=FORM_FORMATS, examples=self._examples_of(view),
                problem=problem, mistake=mistake(values.query, problem) if isinstance(problem, QueryError) else None,
                maxrec_default=settings.maxrec_default, maxrec_hard=settings.maxrec_hard,
                sync_time_s=settings.sync_time_s, async_time_s=settings.async_time_s,
                upload_bytes=settings.upload_bytes,
            )  # fmt: skip
            return document(body, level=1)

        made = await self.service.in_thread(make)
        return made.response(request, cache="no-store", status=problem.http_status if problem else 200)

    # ------------------------------------------------------------ inside

    def _examples_of(self, view: View) -> list[Example]:
        if self._examples[0] is not view:
            self._examples = (view, examples(view))
        return self._examples[1]

    def _shelf(self, request: Request) -> Shelved:
        name = ".".join(_quoted(request.path_params[part]) for part in ("schema", "table"))
        shelf = self.service.store.view().get(name)
        if shelf is None:
            shown = request.url.path[:200]
            raise NotFound(f"there is nothing at {shown}", hint="The tables of this service are listed at /.")
        return shelf

    async def _page(
        self,
        request: Request,
        key: tuple[str, ...],
        make: Callable[[View, dict[str, Any]], bytes],
        content_type: str | None = None,
    ) -> Response:
        view = self.service.store.view()
        key = (*key, self.service.base_url(request))
        kept = self._kept.get(key)
        if kept is None or kept[0] is not view:

            def finish() -> Document:
                body = make(view, around(self.service, request))
                return document(body, content_type) if content_type else document(body)

            made = await self.service.in_thread(finish)
            self._kept_bytes += len(made.body) + len(made.zipped)
            if self._kept_bytes > MOST_KEPT_BYTES:
                self._kept.clear()
                self._kept_bytes = len(made.body) + len(made.zipped)
            self._kept[key] = kept = (view, made)
        return kept[1].response(request)


def _quoted(part: str) -> str:
    """One part of a name that came in a path: a dot in it is no divider."""
    return f'"{part}"' if "." in part else part
