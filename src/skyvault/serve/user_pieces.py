"""Large tables sent in pieces: {tap}/user_tables/NAME/uploads, continued where a connection broke off.

POST LENGTH (and SHA256, APPEND, POSITION) begins an upload and tells its address; PUT with Content-Range brings the
next bytes; GET tells how many are there; POST makes the table of them all, and nothing is visible before; DELETE
forgets it. What is not continued is forgotten by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skyvault.errors import (
    Cancelled,
    Conflict,
    FormatError,
    IngestError,
    NotFound,
    ParameterError,
    QuotaError,
    TooLarge,
)
from skyvault.ledger.user_tables import UserTable
from skyvault.model.job import format_instant
from skyvault.serve.faults import guarded
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.user_rules import UserRules
from skyvault.serve.user_upload import opened
from skyvault.store.user_keep import SPARE_BYTES, Keep
from skyvault.store.user_pieces import PiecedUpload
from skyvault.store.user_space import SCHEMA
from skyvault.store.view import split_name

_BEGIN = ParameterSet(
    (
        Parameter("LENGTH", type="integer", required=True, minimum=1, doc="Bytes of the whole table"),
        Parameter("SHA256", longest=64, doc="Checksum of all bytes, in hexadecimal digits"),
        Parameter("TYPE", longest=200, doc="Media type, which tells TSV from CSV"),
        Parameter("POSITION", longest=500, doc="Columns of the position"),
        Parameter("APPEND", type="boolean", doc="Add the rows to the table there is"),
        Parameter("NEW", type="boolean", doc="Replace nothing"),
    )
)
_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})\s*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE = 1 << 20
#: a sender that is silent for so long has gone without a word; it may go on by another request
SILENT_S = 10.0
_PRIVATE = {"cache-control": "no-store", "vary": "authorization, cookie"}


class PieceRoutes:
    """The resources below {tap}/user_tables/NAME/uploads."""

    def __init__(self, service: Service, rules: UserRules) -> None:
        self.service = service
        self.rules = rules
        self.uploads = rules.uploads

    def routes(self) -> list[Route]:
        guard = guarded()
        top = "/tap/user_tables/{name}/uploads"
        one = top + "/{upload_id}"

        def route(path: str, method: str, endpoint: Callable[[Request], Any]) -> Route:
            return Route(path, guard(endpoint), methods=[method])

        return [
            route(top, "GET", self.list_uploads),
            route(top, "POST", self.begin),
            route(one, "GET", self.show),
            route(one, "PUT", self.receive),
            route(one, "POST", self.finish),
            route(one, "DELETE", self.drop),
        ]

    async def list_uploads(self, request: Request) -> Response:
        """GET .../uploads: one's own that are not finished, as JSON."""
        identity = identity_of(request)
        identity.known_user()
        keep = self.rules.place_for(identity, request.path_params["name"])
        mine = [one for one in self.uploads.of(keep.owner) if one.name.lower() == keep.name.lower()]
        return JSONResponse([self._state(request, one) for one in mine], headers=_PRIVATE)

    async def begin(self, request: Request) -> Response:
        """POST .../uploads: 201 and the address to which the pieces go."""
        identity, path = identity_of(request), request.path_params["name"]
        async with await read_form(request) as form:
            values = _BEGIN.read(form.pairs)
        length, sha256 = values["LENGTH"], (values["SHA256"] or "").lower()
        if sha256 and not _SHA256.fullmatch(sha256):
            raise ParameterError("SHA256 is not of 64 hexadecimal digits")
        keep = self._place(identity, path, appends=bool(values["APPEND"]), only_new=bool(values["NEW"]))
        self._refuse_large(keep, length)
        position = values["POSITION"]
        upload = PiecedUpload(
            id="",
            owner=keep.owner,
            name=keep.name,
            length=length,
            created_at=0.0,
            sha256=sha256 or None,
            content_type=values["TYPE"],
            position=None if position is None else tuple(part for part in position.split(",") if part.strip()),
            appends=bool(values["APPEND"]),
            only_new=bool(values["NEW"]),
        )
        made = await self.service.in_thread(self.uploads.begin, upload)
        state = self._state(request, made)
        return JSONResponse(state, 201, headers={**_PRIVATE, "location": state["url"]})

    async def show(self, request: Request) -> Response:
        """GET .../uploads/ID: how much has arrived; state is receiving, making or done."""
        return JSONResponse(self._state(request, self._own(request)), headers=_PRIVATE)

    async def receive(self, request: Request) -> Response:
        """PUT .../uploads/ID, Content-Range: bytes FIRST-LAST/LENGTH. What arrives is kept, also when it breaks off."""
        upload = self._own(request)
        if upload.done is not None:
            raise Conflict("this upload is a table already")
        first, last = _range(request.headers.get("content-range"), upload)
        with self.uploads.held(upload) as file:
            here = self.uploads.received(upload)
            if first != here:
                raise Conflict(f"{here} bytes have arrived, the piece begins at {first}", hint=f"Go on from {here}.")
            keep = self.rules.keep_for(identity_of(request), upload.name)
            self._refuse_large(keep, last - first + 1)
            await _receive(request, file, first, last - first + 1, self.uploads.folder)
        return JSONResponse(self._state(request, upload), headers=_PRIVATE)

    async def finish(self, request: Request) -> Response:
        """POST .../uploads/ID: make the table of all pieces; asked again, the same answer."""
        upload, identity = self._own(request), identity_of(request)
        done = await self.service.building(self._finish, upload, identity)
        told = dict(done.done or {})
        place = f"{self.service.base_url(request)}/tap/user_tables/{told['table']}"
        text = f"Query this table as {SCHEMA}.{told['table']}\n"
        headers = {**_PRIVATE, "location": place, "content-type": "text/plain; charset=utf-8"}
        return Response(text, told["status"], headers)

    async def drop(self, request: Request) -> Response:
        """DELETE .../uploads/ID: forget it."""
        self.uploads.drop(self._own(request))
        return Response("It is forgotten.\n", headers={**_PRIVATE, "content-type": "text/plain; charset=utf-8"})

    # ------------------------------------------------------------ inside

    def _own(self, request: Request) -> PiecedUpload:
        identity = identity_of(request)
        identity.need("write")
        self.rules.refuse_strangers(identity)
        found = self.uploads.find(identity.owner, request.path_params["upload_id"])
        if found.name.lower() != split_name(request.path_params["name"])[-1].lower():
            raise NotFound(f"there is no such upload of the table {request.path_params['name'][:64]!r}")
        return found

    def _place(self, identity: Identity, path: str, *, appends: bool, only_new: bool) -> Keep:
        if appends:
            table = self.rules.own(identity, path)
            keep = self.rules.keep_for(identity, table.name)
        else:
            keep = self.rules.place_for(identity, path, replaces=None if only_new else "any")
        self.rules.tables.refuse_early(keep.owner, keep.name, keep.space, replaces=keep.replaces_early)
        return keep

    def _refuse_large(self, keep: Keep, more_bytes: int) -> None:
        """Raises TooLarge and QuotaError for bytes that there is no room for."""
        most = self.service.settings.user_table_bytes
        if more_bytes > most:
            raise TooLarge(f"the table is larger than the {most:,} bytes this service takes", hint="Send it in parts.")
        if self.uploads.taken_bytes(keep.owner) + more_bytes > keep.space.bytes:
            raise QuotaError("your unfinished uploads take all your space", hint="Finish or delete some first.")
        if shutil.disk_usage(self.rules.keeper.layout.temporary).free < SPARE_BYTES + more_bytes:
            raise QuotaError("the server's disk is full", hint="Tell its operator.")

    def _finish(self, upload: PiecedUpload, identity: Identity) -> PiecedUpload:
        if upload.done is not None:
            return upload
        with self.uploads.held(upload) as file:
            # somebody may have been quicker
            upload = self.uploads.find(upload.owner, upload.id)
            if upload.done is not None:
                return upload
            here = self.uploads.received(upload)
            if here != upload.length:
                raise Conflict(f"{here} of {upload.length} bytes have arrived", hint=f"Go on from {here}.")
            before = self.rules.tables.find(upload.owner, upload.name)
            if before is not None and before.extra.get("upload") == upload.id:
                # it was made, and whoever made it died before it could say so
                table, is_new = before, False
            else:
                table, is_new = self._made(upload, identity, file, before), before is None
            status = 201 if is_new and not upload.appends else 200
            return self.uploads.finish(upload, {"table": table.name, "status": status, "rows": table.nrows})

    def _made(self, upload: PiecedUpload, identity: Identity, file: FileIO, before: UserTable | None) -> UserTable:
        path = self.uploads.bytes_of(upload)
        try:
            if upload.sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != upload.sha256:
                raise FormatError("what has arrived does not have the checksum that was stated", hint="Send it again.")
            stream = opened(path, upload.content_type, self.service.settings, upload.name)
            if upload.appends:
                if before is None:
                    raise NotFound(f"there is no user table {upload.name!r} any more")
                keep = self.rules.keep_for(identity, upload.name).of_upload(upload.id)
                return self.rules.keeper.append(before, stream, keep, size_bytes=upload.length)
            keep = self.rules.keep_for(identity, upload.name, replaces=None if upload.only_new else "any")
            position = None if upload.position is None else list(upload.position)
            return self.rules.keeper.keep(
                stream, keep.of_upload(upload.id), position=position, size_bytes=upload.length
            )
        except (FormatError, IngestError, TooLarge):
            # these bytes will never be a table
            self.uploads.drop(upload)
            raise

    def _state(self, request: Request, upload: PiecedUpload) -> dict[str, Any]:
        here = self.uploads.received(upload)
        state = "receiving"
        if upload.done is not None:
            state = "done"
        elif here == upload.length and self.uploads.is_busy(upload):
            state = "making"
        base = self.service.base_url(request)
        return {
            "id": upload.id,
            "url": f"{base}/tap/user_tables/{upload.name}/uploads/{upload.id}",
            "table": upload.name,
            "length": upload.length,
            "sha256": upload.sha256,
            "append": upload.appends,
            "received": here,
            "state": state,
            "expires": format_instant(self.uploads.ends_at(upload)),
        }


async def _receive(request: Request, file: FileIO, first: int, count: int, folder: Path) -> None:
    """Write the body where the file ends. Raises Cancelled when it breaks off: what came is kept; ParameterError for
    more bytes than were announced: none of them is.
    """
    file.seek(first)
    size, pieces, held = 0, [], 0
    try:
        chunks = request.stream()
        while (chunk := await asyncio.wait_for(anext(chunks, None), SILENT_S)) is not None:
            size += len(chunk)
            if size > count:
                file.truncate(first)
                raise ParameterError(f"the body is longer than the {count} bytes of its Content-Range")
            pieces.append(chunk)
            held += len(chunk)
            if held >= _PIECE:
                body, pieces, held = b"".join(pieces), [], 0
                await asyncio.to_thread(_write, file, body)
    except (ClientDisconnect, TimeoutError):
        _write(file, b"".join(pieces))
        raise Cancelled("the client has broken off; it may go on from here") from None
    _write(file, b"".join(pieces))


def _write(file: FileIO, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[file.write(left) :]


def _range(text: str | None, upload: PiecedUpload) -> tuple[int, int]:
    found = _RANGE.fullmatch(text or "")
    if found is None:
        raise ParameterError("the header Content-Range is missing or wrong", hint="Write bytes FIRST-LAST/LENGTH.")
    first, last, length = (int(number) for number in found.groups())
    if length != upload.length or not first <= last < length:
        raise ParameterError(f"the piece {first}-{last}/{length} does not belong to {upload.length} bytes")
    return first, last
