"""The fault "renamed-column": an archive's TAP service that calls a column by another name since today.

While it is on, queries with the old name are refused in the words of the archive's database, queries with the new one
are answered, and the service's own description has the new name.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from xml.sax.saxutils import escape

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyvault.sandbox.faults import Faults
from skyvault.sandbox.queries import outside_quotes, read_query

#: what is renamed, and to what
OLD, NEW = "ra", "ra_j2000"


class RenamedColumn:
    """Middleware of an archive: minds the fault in requests to its TAP service."""

    def __init__(self, app: ASGIApp, archive: str, faults: Faults) -> None:
        self.app = app
        self.archive = archive
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).removeprefix(f"/{self.archive}")
        if (
            scope["type"] != "http"
            or not path.startswith("/tap/")
            or not any(fault.kind == "renamed-column" for fault in self.faults.all())
            or not self.faults.is_on("renamed-column", self.archive, path)
        ):
            await self.app(scope, receive, send)
            return
        query = await read_query(scope, receive)
        is_old = False

        def with_old(part: str) -> str:
            nonlocal is_old
            is_old |= re.search(rf"(?i)\b{OLD}\b", part) is not None
            return re.sub(rf"(?i)\b{NEW}\b", OLD, part)

        outside_quotes(query.text, with_old)
        if is_old:
            await _refuse(send)
            return
        await self.app(*query.changed(lambda text: outside_quotes(text, with_old)), _Renamed(send))


class _Renamed:
    """Puts the new name into an answer that is XML; other answers pass."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._held = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
            if not any(b"xml" in kind for kind in kinds):
                await self._send(message)
                return
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._held += message.get("body", b"")
            if message.get("more_body"):
                return
            body = self._held
            for before, after in ((b'name="', b'"'), (b"<name>", b"</name>"), (b"<TD>", b"</TD>")):
                body = body.replace(before + OLD.encode() + after, before + NEW.encode() + after)
            headers = [(n, v) for n, v in self._start["headers"] if n.lower() != b"content-length"]
            await self._send({**self._start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
            await self._send({"type": "http.response.body", "body": body})


async def _refuse(send: Send) -> None:
    said = escape(f'ERROR: column "{OLD}" does not exist')
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="ERROR">{said}</INFO>\n</RESOURCE>\n</VOTABLE>\n'
    ).encode()
    headers = [(b"content-type", b"application/x-votable+xml"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
