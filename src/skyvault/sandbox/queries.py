"""Queries on their way to a TAP service of the sandbox: read, and changed where an archive's dialect is another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BYTES: Final = 10_000_000
#: words in quotes of either kind, which stay as they are
_QUOTED: Final = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")


class Query:
    """A request to a TAP service; ``text`` is its ADQL ("" when it has none, or is too large to be read whole)."""

    def __init__(self, scope: Scope, body: bytes, receive: Receive, is_whole: bool = True) -> None:
        self._is_whole = is_whole
        self._scope = scope
        self._receive = receive
        self._body = body
        parts = (scope.get("query_string", b""), body if is_whole else b"")
        self.text = next((value for part in parts for n, value in _pairs(part) if n == "QUERY"), "")

    def changed(self, change: Callable[[str], str]) -> tuple[Scope, Receive]:
        """The same request with its ADQL changed."""
        scope = dict(self._scope)
        scope["query_string"] = _with(self._scope.get("query_string", b""), change)
        body = _with(self._body, change) if self._is_whole else self._body
        scope["headers"] = [
            (name, b"%d" % len(body) if name == b"content-length" else value) for name, value in self._scope["headers"]
        ]
        is_given = False

        async def receive() -> Message:
            nonlocal is_given
            if is_given:
                # the service waits here for the client to leave
                return await self._receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": not self._is_whole}

        return scope, receive


async def read_query(scope: Scope, receive: Receive) -> Query:
    """The request, once its body has come; parameters in forms of several parts are not looked at."""
    body = b""
    while len(body) < _MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return Query(scope, body, receive)
    return Query(scope, body, receive, is_whole=False)


class OpenSchema:
    """Middleware of HEASARC: its schema is called public, a reserved word of ADQL that nobody there puts in quotes."""

    def __init__(self, app: ASGIApp, archive: str) -> None:
        self.app = app
        self.archive = archive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).removeprefix(f"/{self.archive}")
        is_form = not any(
            name == b"content-type" and not value.startswith(b"application/x-www-form-urlencoded")
            for name, value in scope.get("headers", ())
        )
        if scope["type"] != "http" or not path.startswith(("/tap/sync", "/tap/async")) or not is_form:
            await self.app(scope, receive, send)
            return
        query = await read_query(scope, receive)
        await self.app(*query.changed(_quote_public), send)


def outside_quotes(text: str, change: Callable[[str], str]) -> str:
    """ADQL with everything changed that does not stand in quotes."""
    parts = _QUOTED.split(text)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def _quote_public(text: str) -> str:
    return outside_quotes(text, lambda part: re.sub(r"(?i)\bpublic(?=\s*\.)", '"public"', part))


def _pairs(text: bytes) -> list[tuple[str, str]]:
    pairs = parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True)
    return [(name.upper() if name.upper() == "QUERY" else name, value) for name, value in pairs]


def _with(text: bytes, change: Callable[[str], str]) -> bytes:
    pairs = _pairs(text)
    changed = [(name, change(value) if name == "QUERY" else value) for name, value in pairs]
    return text if changed == pairs else urlencode(changed).encode()
