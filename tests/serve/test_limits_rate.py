"""Requests a minute of one address."""

from __future__ import annotations

from typing import Any

from skyvault.serve.rate_limit import MOST_ADDRESSES, RateLimit


class Clock:
    """Time as a test wants it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nothing."""


def test_an_address_has_so_many_requests_a_minute_and_then_must_wait() -> None:
    clock = Clock()
    limit = RateLimit(nothing, 60, clock=clock)
    assert [limit.take("192.0.2.1") for _ in range(60)] == [0] * 60
    assert limit.take("192.0.2.1") >= 1
    assert limit.take("192.0.2.2") == 0, "another address has requests of its own"
    clock.now += 1.1
    assert limit.take("192.0.2.1") == 0
    assert limit.take("192.0.2.1") >= 1


def test_loopback_and_a_limit_of_zero_are_exempt() -> None:
    limit = RateLimit(nothing, 1, clock=Clock())
    assert [limit.take(address) for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "testclient"] * 5] == [0] * 20


def test_an_ipv6_network_counts_as_one_client() -> None:
    limit = RateLimit(nothing, 2, clock=Clock())
    assert [limit.take(f"2001:db8:0:1::{i}") == 0 for i in range(4)] == [True, True, False, False]


def test_the_addresses_remembered_are_bounded() -> None:
    limit = RateLimit(nothing, 5, clock=Clock())
    for i in range(MOST_ADDRESSES + 500):
        limit.take(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(limit._buckets) == MOST_ADDRESSES


def test_the_answer_is_429_with_a_time_to_come_back() -> None:
    import asyncio

    limit = RateLimit(nothing, 1, clock=Clock())
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        scope = {"type": "http", "client": ("192.0.2.7", 1), "method": "GET", "headers": [], "path": "/"}
        await limit(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert sent == []
    asyncio.run(ask())
    assert sent[0]["status"] == 429
    assert int(dict(sent[0]["headers"])[b"retry-after"]) >= 1
    assert b"ERROR" in sent[1]["body"]
