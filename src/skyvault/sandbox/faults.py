"""Faults of archives, switched on by name: dropped connections, busy servers, short files, wrong bytes, error pages."""

from __future__ import annotations

import asyncio
import fnmatch
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyvault.errors import UsageError

#: name -> what happens to the requests it meets
KINDS: Final = {
    "unreachable": "the connection is closed before any answer",
    "dropped": "the connection breaks off within the body",
    "busy": "503 with Retry-After",
    "too-many-requests": "429 with Retry-After",
    "bad-gateway": "502",
    "truncated": "a body that is too short and says it is whole",
    "corrupt": "a body with wrong bytes in it",
    "slow": "a body that trickles",
    "html": "an error page of HTML with status 200",
    "refused": "403",
    "missing": "404",
    "expired-links": "signed links that are no longer valid",
    "renamed-column": "tables with a column renamed",
}
#: those the archives themselves must mind
OF_ARCHIVES: Final = frozenset(("expired-links", "renamed-column"))

_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Service error</title></head><body><h1>Something went wrong</h1>"
    b"<p>The archive is under maintenance.</p></body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of ``kind`` in answers of ``archive`` to paths like ``path`` (wild-cards), ``times`` times (None: ever).

    The first ``after`` matching requests are spared. ``at`` is the part of the body (0 to 1) where it strikes,
    ``seconds`` what Retry-After asks for, or the pause before each piece of a slow body.
    """

    kind: str
    archive: str = "*"
    path: str = "*"
    times: int | None = None
    after: int = 0
    at: float = 0.5
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"there is no fault {self.kind!r}", hint=f"There are: {', '.join(KINDS)}.")
        if not 0.0 <= self.at <= 1.0 or self.seconds < 0 or self.after < 0 or (self.times or 1) < 1:
            raise UsageError(f"a fault cannot be {self}")


class Faults:
    """The faults that are switched on. Shared by all requests."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        #: how often each kind has struck
        self.struck: dict[str, int] = {}

    def set(self, *faults: Fault) -> None:
        """Exactly these from now on."""
        with self._lock:
            self._faults = list(faults)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """None any more, and none has struck."""
        with self._lock:
            self._faults = []
            self.struck = {}

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def take(self, archive: str, path: str, kinds: Iterable[str] | None = None) -> Fault | None:
        """The fault this request meets, which is used up by it where it has a number of times."""
        wanted = set(KINDS) - OF_ARCHIVES if kinds is None else set(kinds)
        with self._lock:
            for index, fault in enumerate(self._faults):
                if (
                    fault.kind not in wanted
                    or not fnmatch.fnmatchcase(archive, fault.archive)
                    or not fnmatch.fnmatchcase(path, fault.path)
                ):
                    continue
                if fault.after:
                    self._faults[index] = replace(fault, after=fault.after - 1)
                    continue
                if fault.times is not None:
                    if fault.times > 1:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._faults[index]
                self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
                return fault
        return None

    def is_on(self, kind: str, archive: str, path: str = "") -> bool:
        """Whether a fault of this kind strikes now; for archives that mind it themselves."""
        return self.take(archive, path, (kind,)) is not None


class _Broken(Exception):
    """Makes the server close the connection."""


class FaultyAnswers:
    """Middleware that lets faults strike. The archive is the first word of a path."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        archive, _, rest = scope["path"].lstrip("/").partition("/")
        fault = None if archive == "sandbox" else self.faults.take(archive, "/" + rest)
        if fault is None:
            await self.app(scope, receive, send)
            return
        if fault.kind == "unreachable":
            _hang_up(send)
            return
        instead = {
            "busy": (503, b"Service busy"),
            "too-many-requests": (429, b"Too many requests"),
            "bad-gateway": (502, b"Bad gateway"),
            "refused": (403, b"Forbidden"),
            "missing": (404, b"Not found"),
            "html": (200, _PAGE),
        }.get(fault.kind)
        if instead is not None:
            await _answer(send, *instead, fault)
            return
        body = _Body(send, fault)
        await self.app(scope, receive, body)
        if body.is_broken:
            # only now, so that the archive's own server takes no notice
            raise _Broken


def _hang_up(send: Send) -> None:
    """Close the connection without an answer, which ASGI has no word for: uvicorn's ``send`` knows the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise _Broken
    transport.abort()


async def _answer(send: Send, status: int, body: bytes, fault: Fault) -> None:
    headers = [
        (b"content-type", b"text/html" if status == 200 else b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    if status in (429, 503):
        headers.append((b"retry-after", b"%d" % round(fault.seconds)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Body:
    """Spoils a body while it passes; the place is found from Content-Length, or else within the first piece."""

    def __init__(self, send: Send, fault: Fault) -> None:
        self._send = send
        self._fault = fault
        self._sent = 0
        self._cut: int | None = None
        self._is_done = False
        self.is_broken = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(self._begun(message))
        elif message["type"] == "http.response.body" and not self._is_done:
            await self._spoil(message)
        elif message["type"] not in ("http.response.body",):
            await self._send(message)

    def _begun(self, message: Message) -> Message:
        lengths = [int(value) for name, value in message["headers"] if name.lower() == b"content-length"]
        if lengths:
            self._cut = int(lengths[0] * self._fault.at)
        if self._fault.kind == "truncated" and lengths:
            kept = [(n, v) for n, v in message["headers"] if n.lower() != b"content-length"]
            return {**message, "headers": [*kept, (b"content-length", b"%d" % (self._cut or 0))]}
        return message

    async def _spoil(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        if self._cut is None:
            self._cut = int(len(body) * self._fault.at)
        if self._fault.kind == "slow":
            step = max(1, len(body) // 16)
            for start in range(0, len(body), step):
                await asyncio.sleep(self._fault.seconds)
                await self._send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
            await self._send({**message, "body": b""})
            return
        cut = self._cut - self._sent
        self._sent += len(body)
        if cut >= len(body) and message.get("more_body"):
            await self._send(message)
        elif self._fault.kind == "corrupt":
            if 0 <= cut < len(body) or not message.get("more_body"):
                at = max(0, min(cut, len(body) - 16))
                body = body[:at] + bytes(byte ^ 0x55 for byte in body[at : at + 16]) + body[at + 16 :]
                self._cut = 1 << 62
            await self._send({**message, "body": body})
        elif self._fault.kind == "truncated":
            self._is_done = True
            await self._send({"type": "http.response.body", "body": body[:cut]})
        else:
            self._is_done = True
            await self._send({"type": "http.response.body", "body": body[:cut], "more_body": True})
            self.is_broken = True


def fault_from(document: dict[str, Any]) -> Fault:
    """A fault as JSON says it. Raises UsageError."""
    try:
        return Fault(**document)
    except TypeError:
        raise UsageError(f"a fault has the fields {', '.join(Fault.__dataclass_fields__)}") from None
