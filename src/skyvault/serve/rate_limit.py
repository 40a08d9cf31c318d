"""Requests a minute an anonymous address may send: fair shares on a public server."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from skyvault.errors import Busy
from skyvault.serve.faults import fault_response

#: addresses remembered; the one quiet for longest is forgotten first
MOST_ADDRESSES = 10_000


class TooManyRequests(Busy):
    """An address has used up its requests of this minute."""

    http_status = 429


class RateLimit:
    """ASGI middleware: a bucket a client address, filled with ``per_minute`` requests and refilled steadily.

    Loopback is exempt (a proxy on the same machine forwards the real address, or nobody else is there), and so is
    everybody when ``per_minute`` is 0. IPv6 clients count by their /64 network. Each worker counts for itself, so
    ``workers`` divides the limit.
    """

    def __init__(
        self, app: ASGIApp, per_minute: int, workers: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._most = max(1.0, per_minute / workers) if per_minute else 0.0
        self._clock = clock
        #: address -> (requests left, at which time)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._most and scope["type"] == "http":
            wait_s = self.take((scope.get("client") or ("",))[0])
            if wait_s:
                problem = TooManyRequests(
                    f"more than {self._most:g} requests a minute come from your address",
                    retry_after_s=wait_s,
                    hint="Come back a little later; an upload join asks for many positions at once.",
                )
                await fault_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def take(self, address: str) -> int:
        """Take one request from the address's bucket: 0, or how many seconds to wait for the next."""
        key = network(address)
        if key is None:
            return 0
        now = self._clock()
        left, then = self._buckets.pop(key, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, round((1 - left) * 60 / self._most + 0.5))


def network(address: str) -> str | None:
    """What is counted of an address: IPv6 by its /64; None for loopback and what is no address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if ip.is_loopback:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return network(str(ip.ipv4_mapped))
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
