"""A server with faults, and a client that never really waits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_server import FaultServer

from skyvault.net.client import Deadlines, HttpClient
from skyvault.net.retry import RetryPolicy


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def archive() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """Seconds the client would have slept."""
    return []


@pytest.fixture
def client(pauses: list[float]) -> Iterator[HttpClient]:
    with HttpClient(
        retries=RetryPolicy(attempts=4, base_s=0.01),
        deadlines=Deadlines(connect_s=5, read_s=5),
        sleep=pauses.append,
        random=lambda: 0.5,
    ) as one:
        yield one
