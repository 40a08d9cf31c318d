"""Tables that stay: {tap}/user_tables/NAME, put there, described, shared, kept longer and dropped (GAVO's dialect).

PUT makes or replaces a table, GET describes it as VOSI does, DELETE drops it; children of it are its rows, its end,
with whom it is shared, and so on. The list of one's own is for users who are logged in.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skyvault.errors import Conflict, NotFound, ParameterError
from skyvault.formats import negotiate, vosi_xml
from skyvault.formats.stream import TableStream
from skyvault.ledger.user_tables import UserTable
from skyvault.model.job import format_instant, parse_instant
from skyvault.model.table import Table
from skyvault.serve.faults import guarded
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.user_rules import DAY_S, UserRules
from skyvault.serve.user_upload import opened, received
from skyvault.store.building import rows_of
from skyvault.store.tap_schema import spelled, spelled_name
from skyvault.store.user_space import SCHEMA, Reader
from skyvault.store.view import split_name

_PRIVATE = {"cache-control": "no-store", "vary": "authorization, cookie"}
#: the last part of a table's life, in which answers warn of its end
WARN_S = 86_400.0
DESCRIPTION = "Users' own tables; each is dropped when its time is over."

_PUT = ParameterSet((Parameter("POSITION", doc="Columns of the position", longest=500), Parameter("JOB", longest=100)))
_ROWS = ParameterSet((Parameter("RESPONSEFORMAT", aliases=("FORMAT",), longest=200),))
_CHANGE = ParameterSet(
    (
        Parameter("DESTRUCTION", longest=64),
        Parameter("NAME", longest=200),
        Parameter("DESCRIPTION", longest=4000),
        Parameter("COLUMN", longest=200),
        Parameter("UNIT", longest=200),
        Parameter("UCD", longest=200),
        Parameter("POSITION", longest=500),
        Parameter("USER", longest=100),
        Parameter("GROUP", longest=100),
        Parameter("LINK", type="boolean"),
        Parameter("UNIQUE", type="boolean"),
    )
)


class UserTableRoutes:
    """The resources below {tap}/user_tables."""

    def __init__(self, service: Service, rules: UserRules) -> None:
        self.service = service
        self.rules = rules
        self.tables = rules.tables

    def routes(self) -> list[Route]:
        guard = guarded()
        top = "/tap/user_tables"
        one = top + "/{name}"

        def route(path: str, method: str, endpoint: Callable[[Request], Any]) -> Route:
            return Route(path, guard(endpoint), methods=[method])

        return [
            route(top, "GET", self.list_tables),
            route(one, "GET", self.show),
            route(one, "PUT", self.put),
            route(one, "POST", self.change),
            route(one, "DELETE", self.drop),
            route(one + "/rows", "GET", self.rows),
            route(one + "/rows", "POST", self.append),
            route(one + "/destruction", "GET", self.destruction),
            route(one + "/destruction", "POST", self.set_destruction),
            route(one + "/index", "POST", self.index),
            route(one + "/shares", "GET", self.shares),
            route(one + "/shares", "POST", self.share),
            route(one + "/shares", "DELETE", self.unshare),
            route(one + "/freeze", "GET", self.frozen),
            route(one + "/freeze", "POST", self.freeze),
        ]

    # ------------------------------------------------------------ the list, one table

    async def list_tables(self, request: Request) -> Response:
        """GET {tap}/user_tables: a VOSI tableset of one's own tables and of those one was given."""
        identity = identity_of(request)
        identity.known_user()
        identity.need("read")
        listed = self.rules.space.listed(Reader(identity.owner, identity.groups))
        schema = vosi_xml.SchemaDescription(SCHEMA, tuple(_written(one, name) for name, one in listed), DESCRIPTION)
        document = b"".join(vosi_xml.tableset_document([schema], detail="max", spell=spelled))
        return Response(document, headers={"content-type": vosi_xml.CONTENT_TYPE, **_PRIVATE})

    async def show(self, request: Request) -> Response:
        """GET {tap}/user_tables/NAME: a VOSI table; the header Sunset tells when it will be dropped."""
        table = self._readable(request)
        document = vosi_xml.table_document(_written(table, self._name(request, table)), spell=spelled)
        headers = {"content-type": vosi_xml.CONTENT_TYPE, **_PRIVATE, **self._end(table)}
        return Response(document, headers=headers)

    async def put(self, request: Request) -> Response:
        """PUT {tap}/user_tables/NAME: make it, or replace it at once when all is there. POSITION names its position,
        JOB keeps a job's result instead of the body; If-None-Match: * replaces nothing.
        """
        identity, path = identity_of(request), request.path_params["name"]
        only_new = request.headers.get("if-none-match", "").strip() == "*"
        keep = self.rules.place_for(identity, path, replaces=None if only_new else "any")
        self.tables.refuse_early(keep.owner, keep.name, keep.space, replaces=None if only_new else "any")
        is_new = self.tables.find(keep.owner, keep.name) is None
        values = _PUT.read(list(request.query_params.multi_items()))
        position = _columns(values["POSITION"])
        settings = self.service.settings
        async with received(request, settings, self.service.store.layout.temporary) as file:
            kind = request.headers.get("content-type")

            def act() -> UserTable:
                stream = opened(file, kind, settings, keep.name)
                return self.rules.keeper.keep(stream, keep, position=position, size_bytes=file.stat().st_size)

            table = await self.service.building(act)
        return self._kept(request, table, 201 if is_new else 200)

    async def change(self, request: Request) -> Response:
        """POST {tap}/user_tables/NAME: NAME renames it, DESCRIPTION (of it or of COLUMN), UNIT and UCD describe it;
        JOB makes it of a job's result.
        """
        identity, path = identity_of(request), request.path_params["name"]
        async with await read_form(request) as form:
            pairs = form.pairs
        kept_job = _PUT.read(pairs)["JOB"]
        if kept_job is not None:
            return await self._keep_result(request, identity, path, kept_job, _columns(_PUT.read(pairs)["POSITION"]))
        values = _CHANGE.read(pairs)
        table = self.rules.own(identity, path)
        if table.frozen is not None:
            raise Conflict(f"the table {SCHEMA}.{table.name} is frozen")
        new_name = values["NAME"]
        if new_name is not None:
            new_name = self.rules.place_for(identity, new_name).name
        described = _described(table.table, values)
        if new_name is None and described is None:
            raise ParameterError("nothing is to be changed", hint="Give NAME, DESCRIPTION, or COLUMN with UNIT or UCD.")
        table = await self.service.in_thread(
            self.tables.change, table, name=new_name, description=described, actor=identity.actor
        )
        return _text(f"Query this table as {SCHEMA}.{table.name}\n", self._end(table))

    async def drop(self, request: Request) -> Response:
        """DELETE {tap}/user_tables/NAME: gone at once; queries that read it finish."""
        identity = identity_of(request)
        table = self.rules.own(identity, request.path_params["name"])
        await self.service.in_thread(self.tables.drop, table, actor=identity.actor)
        return _text(f"Dropped user table {table.name}\n")

    # ------------------------------------------------------------ its rows

    async def rows(self, request: Request) -> Response:
        """GET {tap}/user_tables/NAME/rows: all rows, in any format."""
        table = self._readable(request)
        values = _ROWS.read(list(request.query_params.multi_items()))
        wanted = negotiate(values["RESPONSEFORMAT"] or "votable")
        name = self._name(request, table)

        def act() -> Response:
            batches = rows_of(self.service.store.layout, table.table, table.snapshot)
            first, rest = collect(wanted.write(TableStream(replace(table.table, name=name), batches)))
            headers = {
                **_PRIVATE,
                **self._end(table),
                "content-disposition": f'attachment; filename="{table.name}{wanted.suffix}"',
            }
            return TableResponse(self.service, first, rest, wanted.content_type, headers)

        return await self.service.in_thread(act)

    async def append(self, request: Request) -> Response:
        """POST {tap}/user_tables/NAME/rows: more rows of the same columns."""
        return await self.append_to(request, request.path_params["name"])

    async def append_to(self, request: Request, path: str) -> Response:
        """More rows for the table ``path``; nobody sees a part of them."""
        identity = identity_of(request)
        table = self.rules.own(identity, path)
        keep = self.rules.keep_for(identity, table.name)
        self.tables.refuse_early(keep.owner, keep.name, keep.space)
        settings = self.service.settings
        async with received(request, settings, self.service.store.layout.temporary) as file:
            kind = request.headers.get("content-type")

            def act() -> UserTable:
                return self.rules.keeper.append(table, opened(file, kind, settings, table.name), keep)

            made = await self.service.building(act)
        return self._kept(request, made, 200)

    async def index(self, request: Request) -> Response:
        """POST {tap}/user_tables/NAME/index: POSITION=ra,dec makes cones on it quick, COLUMN=x comparisons with x;
        with UNIQUE=true no value of x may come twice, now and in rows that are added.
        """
        identity = identity_of(request)
        async with await read_form(request) as form:
            values = _CHANGE.read(form.pairs)
        table = self.rules.own(identity, request.path_params["name"])
        position, column = _columns(values["POSITION"]), values["COLUMN"]
        if position is None and column is None:
            raise ParameterError("POSITION or COLUMN is missing", hint="Write POSITION=ra,dec or COLUMN=name.")
        keep, unique = self.rules.keep_for(identity, table.name), bool(values["UNIQUE"])
        if unique and column is None:
            raise ParameterError("UNIQUE belongs to a COLUMN")

        def act() -> UserTable:
            return self.rules.keeper.index(table, keep, position=position, column=column, unique=unique)

        return self._kept(request, await self.service.building(act), 200)

    async def _keep_result(
        self, request: Request, identity: Identity, path: str, job_id: str, position: list[str] | None
    ) -> Response:
        """The result of a job as a table. Raises NotFound for a job that is not there, or another's."""
        keep = self.rules.place_for(identity, path)
        runner = self.service.runner
        job = runner.jobs.get(job_id)
        result = job.result("result")
        if (job.owner is not None and job.owner != identity.name) or result is None:
            raise NotFound(f"there is no job {job_id[:64]!r} with a result")
        file = runner.results.path(job, result)
        settings = self.service.settings

        def act() -> UserTable:
            stream = opened(file, result.content_type, settings, keep.name)
            return self.rules.keeper.keep(stream, keep, position=position)

        return self._kept(request, await self.service.building(act), 201)

    # ------------------------------------------------------------ how long, who else, for ever

    async def destruction(self, request: Request) -> Response:
        """GET {tap}/user_tables/NAME/destruction: when it will be dropped."""
        return _text(format_instant(self._readable(request).destruction_time))

    async def set_destruction(self, request: Request) -> Response:
        """POST DESTRUCTION=time: sooner or later, within what the operator allows."""
        identity = identity_of(request)
        async with await read_form(request) as form:
            asked = _CHANGE.read(form.pairs)["DESTRUCTION"]
        if asked is None:
            raise ParameterError("DESTRUCTION is missing", hint="Give a time such as 2027-03-01T12:00:00Z.")
        table = self.rules.own(identity, request.path_params["name"])
        until = self.rules.life_until(identity, table, parse_instant(asked))
        table = await self.service.in_thread(
            self.tables.change, table, destruction_time=until, actor=identity.actor, act="set destruction"
        )
        return _text(format_instant(table.destruction_time), self._end(table))

    async def shares(self, request: Request) -> Response:
        """GET {tap}/user_tables/NAME/shares: who else may read it, as JSON; its owner alone may know."""
        table = self._own_and_known(request)
        grants = []
        for one in self.tables.grants(table):
            name: str | None = one.grantee
            if one.kind == "user":
                user = self.service.store.ledger.users.by_id(one.grantee)
                name = None if user is None else user.name
            elif one.kind == "link":
                name = None
            grants.append({"kind": one.kind, "name": name, "since": format_instant(one.created_at)})
        return JSONResponse(grants, headers=_PRIVATE)

    async def share(self, request: Request) -> Response:
        """POST USER=name, GROUP=name or LINK=true: let them read it. A link's secret is told this once."""
        identity = identity_of(request)
        async with await read_form(request) as form:
            values = _CHANGE.read(form.pairs)
        table = self._own_and_known(request)
        kind, grantee = self._grantee(identity, values)
        secret = secrets.token_hex(16)
        await self.service.in_thread(
            self.tables.grant, table, kind, secret if kind == "link" else grantee, actor=identity.actor
        )
        if kind == "link":
            return _text(f"Query this table as {SCHEMA}.link_{secret}.{table.name}\n")
        return _text(f"They query this table as {SCHEMA}.{spelled(identity.name or '')}.{table.name}\n")

    async def unshare(self, request: Request) -> Response:
        """DELETE ...?USER=name, GROUP=name or LINK=true (all links): they may read it no longer."""
        identity = identity_of(request)
        values = _CHANGE.read(list(request.query_params.multi_items()))
        table = self._own_and_known(request)
        kind, grantee = self._grantee(identity, values, for_grant=False)
        count = await self.service.in_thread(self.tables.revoke, table, kind, grantee, actor=identity.actor)
        if not count:
            raise NotFound("it was not shared so")
        return _text("It is shared so no longer.\n")

    async def freeze(self, request: Request) -> Response:
        """POST {tap}/user_tables/NAME/freeze: from now on it can only be read or dropped, and is kept as long as the
        operator allows; JSON with the checksum of its rows as CSV, a text to cite it by and what a DOI would need.
        """
        identity = identity_of(request)
        identity.known_user()
        table = self.rules.own(identity, request.path_params["name"])

        def act() -> UserTable:
            if table.frozen is not None:
                return table
            digest, size = hashlib.sha256(), 0
            batches = rows_of(self.service.store.layout, table.table, table.snapshot)
            for chunk in negotiate("csv").write(TableStream(table.table, batches)):
                digest.update(chunk)
                size += len(chunk)
            now = self.tables.clock()
            frozen = {"at": now, "sha256": digest.hexdigest(), "csv_bytes": size}
            return self.tables.change(
                table,
                extra={**table.extra, "frozen": frozen},
                destruction_time=max(table.destruction_time, self.rules.life_until(identity, table, math.inf)),
                actor=identity.actor,
                act="freeze table",
            )

        return self._frozen(request, await self.service.building(act))

    async def frozen(self, request: Request) -> Response:
        """GET {tap}/user_tables/NAME/freeze: the same for everybody who may read the table."""
        table = self._readable(request)
        if table.frozen is None:
            raise NotFound(f"the table {SCHEMA}.{table.name} is not frozen")
        return self._frozen(request, table)

    def _frozen(self, request: Request, table: UserTable) -> Response:
        frozen = table.frozen or {}
        owner = self.service.store.ledger.users.by_id(table.owner)
        name, when = "" if owner is None else owner.name, format_instant(frozen["at"])
        url = f"{self.service.base_url(request)}/tap/user_tables/{name}.{table.name}"
        told = {
            "frozen": when,
            "sha256": frozen["sha256"],
            "kept_until": format_instant(table.destruction_time),
            "citation": f"{name}: {table.table.title or table.name}, {table.nrows:,} rows, frozen {when}, "
            f"{self.service.settings.title}, {url}, sha256:{frozen['sha256']}",
            # the mandatory properties of DataCite's schema 4, and those that tell what was frozen
            "datacite": {
                "creators": [{"name": name}],
                "titles": [{"title": table.table.title or table.name}],
                "publisher": self.service.settings.title,
                "publicationYear": int(when[:4]),
                "types": {"resourceTypeGeneral": "Dataset"},
                "descriptions": [{"descriptionType": "Abstract", "description": table.table.description or ""}],
                "dates": [{"dateType": "Created", "date": when}],
                "sizes": [f"{table.nrows} rows", f"{frozen.get('csv_bytes', 0)} bytes as CSV"],
                "version": str(table.version),
                "url": url,
            },
        }
        return JSONResponse(told, headers={**_PRIVATE, **self._end(table)})

    # ------------------------------------------------------------ inside

    def written(self, table: UserTable) -> Table:
        """The table described under the name its owner queries it by."""
        return _written(table, f"{SCHEMA}.{table.name}")

    def _readable(self, request: Request) -> UserTable:
        return self.rules.readable(identity_of(request), request.path_params["name"])

    def _own_and_known(self, request: Request) -> UserTable:
        """The table of somebody who is logged in: what nobody owns cannot be shared."""
        identity = identity_of(request)
        identity.known_user()
        return self.rules.own(identity, request.path_params["name"])

    def _grantee(self, identity: Identity, values: dict[str, Any], *, for_grant: bool = True) -> tuple[Any, str]:
        users = self.service.store.ledger.users
        if values["USER"] is not None:
            user = users.find(values["USER"])
            if user is None:
                raise NotFound(f"there is no user {values['USER'][:64]!r}")
            return "user", user.id
        if values["GROUP"] is not None:
            group = values["GROUP"].lower()
            if for_grant and group not in identity.groups:
                # also where there is such a group: whether there is, is not everybody's business
                raise NotFound(f"you are in no group {group[:64]!r}")
            return "group", group
        if values["LINK"]:
            return "link", None  # type: ignore[return-value]
        raise ParameterError("USER, GROUP or LINK is missing", hint="Write USER=name, GROUP=name or LINK=true.")

    def _name(self, request: Request, table: UserTable) -> str:
        """How whoever asks must write the table's name in a query."""
        identity = identity_of(request)
        if table.owner == identity.owner:
            return f"{SCHEMA}.{table.name}"
        parts = [part for part in split_name(request.path_params["name"]) if part.lower() != SCHEMA]
        return f'{SCHEMA}."{".".join(parts[:-1])}".{table.name}'

    def _kept(self, request: Request, table: UserTable, status: int) -> Response:
        place = f"{self.service.base_url(request)}/tap/user_tables/{table.name}"
        text = f"Query this table as {SCHEMA}.{table.name}\n"
        return _text(text, {"location": place, **self._end(table)}, status)

    def _end(self, table: UserTable) -> dict[str, str]:
        """Sunset (RFC 8594) always; near the end a warning in words."""
        headers = {"sunset": formatdate(table.destruction_time, usegmt=True)}
        left_s = table.destruction_time - self.tables.clock()
        settings = self.service.settings
        life_days = settings.user_table_life_days if table.owner else settings.user_anonymous_life_days
        if left_s < min(WARN_S, 0.25 * life_days * DAY_S):
            told = f"{SCHEMA}.{table.name} is dropped at {format_instant(table.destruction_time)}"
            headers["warning"] = f'299 - "{told}; post DESTRUCTION to keep it longer"'
        return headers


def _written(table: UserTable, name: str) -> Table:
    return replace(table.table, name=spelled_name(name), nrows=table.nrows)


def _columns(text: str | None) -> list[str] | None:
    return None if text is None else [part for part in text.split(",") if part.strip()]


def _described(table: Table, values: dict[str, Any]) -> Table | None:
    """The table with another description, or with another of one column; None when nothing of it is asked for."""
    column = values["COLUMN"]
    if column is None:
        return None if values["DESCRIPTION"] is None else replace(table, description=values["DESCRIPTION"])
    names = [one.lower() for one in table.column_names]
    if column.lower() not in names:
        raise NotFound(f"there is no column {column[:64]!r}")
    i = names.index(column.lower())
    keys = (("DESCRIPTION", "description"), ("UNIT", "unit"), ("UCD", "ucd"))
    changes = {key: values[name] for name, key in keys if values[name] is not None}
    columns = list(table.columns)
    columns[i] = replace(columns[i], **changes)
    return replace(table, columns=tuple(columns))


def _text(content: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(content, status, {"content-type": "text/plain; charset=utf-8", **_PRIVATE, **(headers or {})})
