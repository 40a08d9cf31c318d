"""The same tables in two other dialects: CADC's (tables, load, table-update) and that of VOSI 1.2's draft.

PUT {tap}/tables/NAME makes a table from a VOSI definition or a VOTable, POST {tap}/load/NAME adds rows, a job of
{tap}/table-update indexes a column, DELETE {tap}/tables/NAME drops it.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import NotFound, TooLarge
from skyvault.formats import vosi_xml
from skyvault.formats.stream import TableStream
from skyvault.formats.vosi_in import read_vosi_table
from skyvault.ledger.user_tables import UserTable
from skyvault.serve.faults import guarded
from skyvault.serve.identity import identity_of
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.user_tables import UserTableRoutes
from skyvault.serve.user_upload import opened, received
from skyvault.serve.uws import UwsService

_UPDATE = ParameterSet(
    (
        Parameter("TABLE", required=True, longest=300),
        Parameter("INDEX", required=True, longest=300),
        Parameter("UNIQUE", type="boolean"),
    )
)
#: a VOSI table without rows: a thousand columns, each with a page of description
DEFINITION_BYTES = 8_000_000
#: parameters of a job that indexes a column, and nothing else
INDEX_TABLE, INDEX_COLUMN, INDEX_UNIQUE = "TABLE", "INDEX", "UNIQUE"


class CadcRoutes:
    """The resources of the two dialects; what they do is that of :class:`UserTableRoutes`."""

    def __init__(self, user_tables: UserTableRoutes, uws: UwsService) -> None:
        self.user_tables = user_tables
        self.service = user_tables.service
        self.rules = user_tables.rules
        self.uws = uws

    def routes(self) -> list[Route]:
        guard = guarded()
        return [
            Route("/tap/tables/{name}", guard(self.put), methods=["PUT"]),
            Route("/tap/tables/{name}", guard(self.load), methods=["POST"]),
            Route("/tap/tables/{name}", guard(self.user_tables.drop), methods=["DELETE"]),
            Route("/tap/load/{name}", guard(self.load), methods=["POST"]),
            Route("/tap/table-update", guard(self.update), methods=["POST"]),
        ]

    async def put(self, request: Request) -> Response:
        """PUT {tap}/tables/NAME: a VOSI table (text/xml) defines an empty one, anything else is a table with rows."""
        identity = identity_of(request)
        keep = self.rules.place_for(identity, request.path_params["name"])
        self.rules.tables.refuse_early(keep.owner, keep.name, keep.space)
        kind = request.headers.get("content-type", "")
        settings = self.service.settings
        async with received(request, settings, self.service.store.layout.temporary) as file:

            def act() -> UserTable:
                stream = (
                    TableStream(read_vosi_table(_whole(file)), iter(()))
                    if _is_vosi(file, kind)
                    else opened(file, kind, settings, keep.name)
                )
                return self.rules.keeper.keep(stream, keep)

            table = await self.service.building(act)
        document = vosi_xml.table_document(self.user_tables.written(table))
        return Response(document, 201, headers={"content-type": vosi_xml.CONTENT_TYPE, "cache-control": "no-store"})

    async def load(self, request: Request) -> Response:
        """POST {tap}/load/NAME: more rows, as TSV, CSV, FITS or any format that is read here."""
        return await self.user_tables.append_to(request, request.path_params["name"])

    async def update(self, request: Request) -> Response:
        """POST {tap}/table-update (TABLE, INDEX, UNIQUE): 303 to a job, PENDING, that indexes the column."""
        async with await read_form(request) as form:
            values = _UPDATE.read(form.pairs)
        table = self.rules.own(identity_of(request), values["TABLE"])
        if values["INDEX"].strip('"').lower() not in [name.lower() for name in table.table.column_names]:
            raise NotFound(f"there is no column {values['INDEX'][:64]!r}")
        asked = {INDEX_TABLE: [table.name], INDEX_COLUMN: [values["INDEX"]]}
        if values["UNIQUE"]:
            asked[INDEX_UNIQUE] = ["true"]
        return await self.uws.create_from(request, asked)


def _whole(file: Path) -> bytes:
    """A definition, which is small. Raises TooLarge before a large one is in memory."""
    if file.stat().st_size > DEFINITION_BYTES:
        raise TooLarge(f"the definition of a table is larger than {DEFINITION_BYTES:,} bytes")
    return file.read_bytes()


def _is_vosi(file: Path, kind: str) -> bool:
    """Whether a body of an XML type is a VOSI table and not a VOTable."""
    if "votable" in kind.lower() or "xml" not in kind.lower():
        return False
    with file.open("rb") as body:
        return b"<VOTABLE" not in body.read(4096)
