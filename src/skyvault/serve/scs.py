"""A simple cone search for every table with positions (SCS 1.03): /{schema}/{table}/scs?RA=..&DEC=..&SR=..."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import NotFound, SkyvaultError
from skyvault.formats import negotiate
from skyvault.model.table import Column, Table
from skyvault.serve.data_origin import page_address, request_address, with_origin
from skyvault.serve.dataset_links import with_links
from skyvault.serve.faults import as_skyvault_error
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.tap_query import TapQuery, encoded, start
from skyvault.store.query import Limits
from skyvault.store.tap_schema import spelled, spelled_name
from skyvault.store.view import Shelved

STANDARD = "ivo://ivoa.net/std/ConeSearch"
PARAMETERS = ParameterSet(
    (
        Parameter("RA", type="real", doc="Right ascension of the centre", unit="deg", ucd="pos.eq.ra", required=True),
        Parameter(
            "DEC",
            type="real",
            doc="Declination of the centre",
            unit="deg",
            ucd="pos.eq.dec",
            required=True,
            minimum=-90,
            maximum=90,
        ),
        Parameter(
            "SR", type="real", doc="Radius", unit="deg", ucd="phys.angSize", required=True, minimum=0, maximum=180
        ),
        Parameter(
            "VERB", type="integer", doc="1: few columns, 2: the usual ones, 3: all", default=2, minimum=1, maximum=3
        ),
        Parameter("MAXREC", type="integer", doc="Most rows of the result", minimum=0),
        Parameter("RESPONSEFORMAT", doc="Format of the result", aliases=("FORMAT",)),
    )
)


class ConeSearch:
    """Cone searches of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [Route("/{schema}/{table}/scs", self.search, methods=["GET", "POST"])]

    async def search(self, request: Request) -> Response:
        try:
            async with await read_form(request) as form:
                shelf = self._shelf(request.path_params["schema"], request.path_params["table"])
                values = PARAMETERS.read(form.pairs)
            base = self.service.base_url(request)
            address = request_address(f"{page_address(shelf.table.name, base)}/scs", form.pairs)
            return await self.service.in_thread(self._answer, shelf, values, base, address)
        except Exception as problem:
            return _error(as_skyvault_error(problem))

    def _shelf(self, schema: str, table: str) -> Shelved:
        shelf = self.service.store.view().get(f"{schema}.{table}")
        if shelf is None or not shelf.stored.positions:
            raise NotFound(f"there is no cone search of {schema}.{table}", hint="See / for the tables there are.")
        return shelf

    def _answer(self, shelf: Shelved, values: dict[str, Any], base: str, address: str | None) -> Response:
        settings = self.service.settings
        table, place = shelf.table, shelf.stored.positions[0]
        columns = chosen(
            table.columns, values["VERB"], {i for i in (place.lon, place.lat, place.point) if i is not None}
        )
        names = ", ".join(spelled(column.name) for column in columns)
        if place.point is not None:
            point = spelled(table.columns[place.point].name)
            # clients look for two columns of coordinates
            axes = _axes(table)
            names += "".join(f", COORD{i + 1}({point}) AS {spelled(axis)}" for i, axis in enumerate(axes))
        else:
            assert place.lon is not None and place.lat is not None
            point = f"POINT({spelled(table.columns[place.lon].name)}, {spelled(table.columns[place.lat].name)})"
        text = (
            f"SELECT {names} FROM {spelled_name(table.name)} WHERE "
            f"1=CONTAINS({point}, CIRCLE({values['RA'] % 360!r}, {values['DEC']!r}, {values['SR']!r}))"
        )
        rows = settings.maxrec_default if values["MAXREC"] is None else min(values["MAXREC"], settings.maxrec_hard)
        if values["SR"] == 0:
            rows = 0  # a search of no radius asks for the columns only (SCS 1.03, section 2.1)
        limits = Limits(rows=rows, seconds=settings.sync_time_s)
        query = TapQuery(text, negotiate(values["RESPONSEFORMAT"] or "text/xml"), limits, None)
        answer = start(query, self.service.store)
        if values["SR"] == 0:
            answer.stream.overflow = False
        answer.stream.table = _marked(answer.stream.table, shelf)
        with_origin(answer.stream, self.service, answer.plan.tables, base, STANDARD, address)
        with_links(answer.stream, self.service, base)
        first, rest = collect(encoded(query, answer))
        return TableResponse(self.service, first, rest, query.format.content_type, {})


def chosen(columns: tuple[Column, ...], verbosity: int, place: set[int]) -> list[Column]:
    """Columns of a verbosity: 1 identifier and position, 2 the principal ones, 3 all."""
    if verbosity >= 3:
        return list(columns)
    first = [i for i, c in enumerate(columns) if i in place or (c.ucd or "") == "meta.id;meta.main"]
    if verbosity == 1:
        return [columns[i] for i in first]
    principal = [i for i, c in enumerate(columns) if c.principal and i not in first]
    wanted = set(first) | set(principal if principal else range(len(columns)))
    return [column for i, column in enumerate(columns) if i in wanted]


def _marked(table: Table, shelf: Shelved) -> Table:
    """The result with the three UCDs by which clients know identifier and position (SCS 1.03, section 2.2)."""
    place = shelf.stored.positions[0]
    marks = {"meta.id;meta.main": "ID_MAIN"}
    if place.lon is not None and place.lat is not None:
        axes = (shelf.table.columns[place.lon].name, shelf.table.columns[place.lat].name)
    else:
        axes = _axes(shelf.table)
    names = dict(zip(axes, ("POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"), strict=True))
    columns = (replace(c, ucd=names.get(c.name) or marks.get(c.ucd or "", c.ucd)) for c in table.columns)
    return replace(table, columns=tuple(columns))


def _axes(table: Table) -> tuple[str, str]:
    """Names of the coordinates of a table whose positions are points: none that the table has already."""
    taken = {name.lower() for name in table.column_names}
    for before in ("", "main_", "point_", "center_", "scs_"):
        if not {f"{before}ra", f"{before}dec"} & taken:
            return f"{before}ra", f"{before}dec"
    return "skyvault_ra", "skyvault_dec"


def _error(problem: SkyvaultError) -> Response:
    """A VOTable with one INFO of name "Error" (SCS 1.03, section 2.3), readable as a DALI error too."""
    from xml.sax.saxutils import escape, quoteattr

    text = str(problem)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<INFO ID="Error" name="Error" value={quoteattr(text)}/>'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{escape(text)}</INFO></RESOURCE></VOTABLE>'
    )
    status = 200 if problem.http_status == 400 else problem.http_status
    return Response(body.encode("utf-8", "replace"), status_code=status, headers={"content-type": "text/xml"})
