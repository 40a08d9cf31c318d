"""The fault "renamed-column": an archive's TAP service that calls a column by another name since today.

While it is on, queries with the old name are refused in the words of the archive's database, queries with the new one
are answered, and the service's own description has the new name.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyvault.sandbox.faults import Faults

#: what is renamed, and to what
OLD, NEW = "ra", "ra_j2000"
_MOST_BYTES: Final = 10_000_000


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
        body = await _whole(receive)
        asked = [*_pairs(scope.get("query_string", b"")), *_pairs(body)]
        query = next((value for name, value in asked if name.upper() == "QUERY"), "")
        if re.search(rf"(?<![\w'.]){OLD}\b(?!')|\.{OLD}\b", query, re.IGNORECASE):
            await _refuse(send)
            return
        changed = dict(scope)
        changed["query_string"] = _with_old(scope.get("query_string", b""))
        body = _with_old(body)
        changed["headers"] = [
            (name, b"%d" % len(body) if name == b"content-length" else value) for name, value in scope["headers"]
        ]
        is_sent = False

        async def given() -> Message:
            nonlocal is_sent
            if is_sent:
                return await receive()
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(changed, given, _Renamed(send))


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


def _pairs(text: bytes) -> list[tuple[str, str]]:
    return parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True)


def _with_old(text: bytes) -> bytes:
    """The same parameters, with the old name in the query where it has the new one."""
    pairs = _pairs(text)
    if not any(NEW in value for _, value in pairs):
        return text
    return urlencode([(n, re.sub(rf"\b{NEW}\b", OLD, v) if n.upper() == "QUERY" else v) for n, v in pairs]).encode()


async def _whole(receive: Receive) -> bytes:
    body = b""
    while len(body) < _MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def _refuse(send: Send) -> None:
    said = escape(f'ERROR: column "{OLD}" does not exist')
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="ERROR">{said}</INFO>\n</RESOURCE>\n</VOTABLE>\n'
    ).encode()
    headers = [(b"content-type", b"application/x-votable+xml"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
