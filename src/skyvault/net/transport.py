"""Larger reads for the connections below the HTTP client: a 5 MB file in 20 pieces instead of 80."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import httpcore2
import httpx2

#: The client library asks its sockets for 64 KiB. With 256 KiB, 200 files of 5 MB with SHA-256 take 2.5-3.2 s instead
#: of 3.5-5.2 s on two busy cores; 1 MiB is no faster and leaves the processor's cache.
READ_BYTES: Final = 256 * 1024


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max(max_bytes, READ_BYTES), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *arguments: Any, **named: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(*arguments, **named))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_tcp(*arguments, **named))

    def connect_unix_socket(self, *arguments: Any, **named: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(*arguments, **named))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


def read_in_large_blocks(client: httpx2.Client) -> None:
    """Let ``client`` read its sockets in pieces of READ_BYTES, through proxies too.

    httpx2 has no public way to hand its pools another network backend; should its inside look different one day,
    the client stays as it is, only slower.
    """
    transports: Iterable[Any] = [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]
    for transport in transports:
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore2.NetworkBackend) and not isinstance(backend, _Backend):
            pool._network_backend = _Backend(backend)  # type: ignore[union-attr]
