"""A small HTTP server on loopback that misbehaves exactly as it is told, byte by byte."""

from __future__ import annotations

import email.utils
import socketserver
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

BLOCK = 16 * 1024


@dataclass
class File:
    """What lies at a path. ``last_modified`` is seconds since 1970, None: the server does not say."""

    body: bytes
    etag: str | None = '"v1"'
    last_modified: float | None = 1_600_000_000.0
    knows_ranges: bool = True
    sends_length: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """What happens to one request. ``after``: break the connection after so many bytes of the body."""

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    after: int | None = None
    refuses: bool = False
    claimed_length: int | None = None
    change_to: File | None = None
    ignores_range: bool = False
    ignores_if_range: bool = False
    waits_for: threading.Event | None = None


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class FaultServer:
    """``files`` by path; ``faults`` by path, each used by one request, first come first. A context."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.seen: list[Seen] = []
        self.sent_bytes = 0
        self.connections = 0
        self.most_connections = 0
        self.allows: Callable[[Seen], int | None] = lambda seen: None
        self.on_block: Callable[[int], object] = lambda count: None
        self.lock = threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    while outer._one(self):
                        pass
                except (ConnectionError, ValueError, OSError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- one request ----------------------------------------------------------------------------------------------

    def _one(self, handler: socketserver.StreamRequestHandler) -> bool:
        line = handler.rfile.readline()
        if not line.strip():
            return False
        method, target, _ = line.decode("latin-1").split()
        headers = {}
        while (header := handler.rfile.readline().decode("latin-1")).strip():
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        seen = Seen(method, target, headers, body)
        path = target.partition("?")[0]
        with self.lock:
            self.seen.append(seen)
            self.connections += 1
            self.most_connections = max(self.most_connections, self.connections)
            fault = self.faults[path].pop(0) if self.faults[path] else Fault()
            if fault.change_to is not None:
                self.files[path] = fault.change_to
        try:
            if fault.waits_for is not None:
                fault.waits_for.wait(20)
            return self._answer(handler, seen, path, fault)
        finally:
            with self.lock:
                self.connections -= 1

    def _answer(self, handler: socketserver.StreamRequestHandler, seen: Seen, path: str, fault: Fault) -> bool:
        if fault.refuses:
            return False
        status = fault.status or self.allows(seen)
        if status is not None:
            return self._send(handler, seen, status, dict(fault.headers), fault.body, fault)
        file = self.files.get(path)
        if file is None:
            return self._send(handler, seen, 404, {}, b"nothing here", fault)
        headers = dict(file.headers) | dict(fault.headers)
        if file.etag:
            headers["ETag"] = file.etag
        if file.last_modified is not None:
            headers["Last-Modified"] = email.utils.formatdate(file.last_modified, usegmt=True)
        headers["Date"] = email.utils.formatdate(usegmt=True)
        wanted = seen.headers.get("range")
        condition = seen.headers.get("if-range")
        fits = condition is None or condition in (headers.get("ETag"), headers.get("Last-Modified"))
        if seen.headers.get("if-none-match") == file.etag and file.etag:
            return self._send(handler, seen, 304, headers, b"", fault)
        if wanted and file.knows_ranges and not fault.ignores_range and (fits or fault.ignores_if_range):
            begin = int(wanted.removeprefix("bytes=").partition("-")[0])
            if begin >= len(file.body):
                headers["Content-Range"] = f"bytes */{len(file.body)}"
                return self._send(handler, seen, 416, headers, b"", fault)
            headers["Content-Range"] = f"bytes {begin}-{len(file.body) - 1}/{len(file.body)}"
            return self._send(handler, seen, 206, headers, file.body[begin:], fault)
        return self._send(handler, seen, 200, headers, file.body, fault, says_length=file.sends_length)

    def _send(
        self,
        handler: socketserver.StreamRequestHandler,
        seen: Seen,
        status: int,
        headers: dict[str, str],
        body: bytes,
        fault: Fault,
        *,
        says_length: bool = True,
    ) -> bool:
        lines = [f"HTTP/1.1 {status} So"]
        if says_length:
            lines.append(f"Content-Length: {len(body) if fault.claimed_length is None else fault.claimed_length}")
        else:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        handler.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if seen.method == "HEAD" or status in (304, 204):
            return True
        end = len(body) if fault.after is None else min(fault.after, len(body))
        for begin in range(0, end, BLOCK):
            block = body[begin : min(begin + BLOCK, end)]
            handler.wfile.write(block)
            with self.lock:
                self.sent_bytes += len(block)
            self.on_block(len(block))
        return fault.after is None and says_length and fault.claimed_length is None
