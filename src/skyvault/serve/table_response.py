"""An HTTP answer whose rows come from a running query; small ones leave whole, large ones flow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skyvault.errors import SkyvaultError
from skyvault.serve.http_protocol import ABORT

if TYPE_CHECKING:
    from skyvault.serve.service import Service

logger = logging.getLogger(__name__)

#: bytes collected before an answer is known to be small or large
SMALL_BYTES = 256 * 1024
#: bytes of one piece of a large answer: fewer would spend their time between threads
GULP_BYTES = 1 << 20


class TableResponse(Response):
    """Sends ``first`` and then what ``chunks`` still holds. A client that reads nothing for long is dropped."""

    def __init__(
        self, service: Service, first: bytes, chunks: Iterator[bytes] | None, content_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(first if chunks is None else None, headers={"content-type": content_type, **headers})
        if chunks is not None:
            del self.headers["content-length"]
        self._service = service
        self._first = first
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunks = self._chunks
        if chunks is None:
            await super().__call__(scope, receive, send)
            return
        gone = asyncio.ensure_future(disconnected(receive))
        stall_s = self._service.settings.client_stall_s
        upcoming: asyncio.Future[bytes | None] | None = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            body: bytes | None = self._first
            while body is not None and not gone.done():
                # the next gulp is made while this one is sent
                upcoming = asyncio.ensure_future(self._service.in_thread(_next, chunks))
                if body:
                    message = {"type": "http.response.body", "body": body, "more_body": True}
                    await asyncio.wait_for(send(message), stall_s)
                body = await upcoming
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.warning("a client that read nothing for %g s was dropped", stall_s)
            scope.get(ABORT, lambda: None)()
        except SkyvaultError as problem:
            # too late for an error document: an answer that is broken off is one a client cannot take for whole
            logger.warning("an answer was broken off: %s", problem)
        finally:
            gone.cancel()
            await asyncio.shield(self._end(upcoming, chunks))

    async def _end(self, upcoming: asyncio.Future[bytes | None] | None, chunks: Iterator[bytes]) -> None:
        """Let the engine go, once nobody is reading from it any more."""
        if upcoming is not None and not upcoming.done():
            await asyncio.wait({upcoming})
        if upcoming is not None and not upcoming.cancelled():
            upcoming.exception()
        await self._service.in_thread(_close, chunks)


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _next(chunks: Iterator[bytes]) -> bytes | None:
    """A gulp: what the writer has made, at least GULP_BYTES of it unless it ends."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= GULP_BYTES:
            break
    return (parts[0] if len(parts) == 1 else b"".join(parts)) if parts else None


def _close(chunks: Iterator[bytes]) -> None:
    import pyarrow as pa

    chunks.close()  # type: ignore[attr-defined]
    # Arrow keeps what a large answer used for the next one; this process has other things to do meanwhile
    pa.default_memory_pool().release_unused()


def collect(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """The first bytes of an answer, and the rest if there is more. Runs in a query thread."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= SMALL_BYTES:
            return b"".join(parts), chunks
    return b"".join(parts), None
