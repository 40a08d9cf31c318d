"""The connections below the HTTP client: larger reads, and waits that look whether somebody stopped the work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import httpcore2
import httpx2

from skyvault.net.stopping import LOOK_S, look

#: The client library asks its sockets for 64 KiB. With 256 KiB, 200 files of 5 MB with SHA-256 take 2.5-3.2 s instead
#: of 3.5-5.2 s on two busy cores; 1 MiB is no faster and leaves the processor's cache.
READ_BYTES: Final = 256 * 1024
#: An archive that gives fewer bytes than this in so many times the longest silence has in truth fallen silent.
_LEAST_BYTES: Final = 1000
_SILENCES: Final = 5


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        #: how long was waited for the last bytes, fewer than _LEAST_BYTES
        self._waited_s = 0.0
        self._came = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = timeout
        begun = time.monotonic()
        while True:
            look()
            piece_s = LOOK_S if left_s is None else min(left_s, LOOK_S)
            try:
                block = self._inner.read(max(max_bytes, READ_BYTES), piece_s)
                break
            except httpcore2.ReadTimeout:
                if left_s is not None:
                    left_s -= piece_s
                    if left_s <= 0:
                        raise
        self._came += len(block)
        self._waited_s += time.monotonic() - begun
        if self._came >= _LEAST_BYTES:
            self._came, self._waited_s = 0, 0.0
        elif timeout is not None and self._waited_s > _SILENCES * timeout:
            raise httpcore2.ReadTimeout(f"fewer than {_LEAST_BYTES:,} bytes in {self._waited_s:,.0f} s")
        return block

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._came, self._waited_s = 0, 0.0
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
