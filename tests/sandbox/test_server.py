"""The sandbox itself: its archives answer, and faults strike by name."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from skyvault.errors import ConfigError, UsageError
from skyvault.net.client import Deadlines, HttpClient
from skyvault.net.faults import Missing, Refused, Unreachable
from skyvault.net.retry import RetryPolicy
from skyvault.sandbox import Fault, Sandbox


@pytest.fixture
def client() -> Any:
    with HttpClient(retries=RetryPolicy(attempts=1), deadlines=Deadlines(total_s=10)) as client:
        yield client


def test_the_environment_names_every_endpoint_of_every_archive(sandbox: Any) -> None:
    environment = sandbox.environment()
    for archive, services in sandbox.endpoints().items():
        for service, address in services.items():
            assert environment[f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}"] == address
            assert address.startswith(f"http://127.0.0.1:{sandbox.port}/{archive}/")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unreachable", Unreachable),
        ("busy", Unreachable),
        ("too-many-requests", Unreachable),
        ("bad-gateway", Unreachable),
        ("refused", Refused),
        ("missing", Missing),
    ],
)
def test_a_fault_strikes_as_often_as_it_shall(sandbox: Any, client: HttpClient, kind: str, error: type) -> None:
    url = f"{sandbox.url}/nobody/here"
    sandbox.faults.set(Fault(kind, archive="nobody", times=1))
    with pytest.raises(error):
        client.get(url)
    with pytest.raises(Missing):
        client.get(url)


def test_a_fault_spares_other_archives_and_paths(sandbox: Any, client: HttpClient) -> None:
    sandbox.faults.set(Fault("refused", archive="xsa"), Fault("refused", archive="nobody", path="*evt*"))
    with pytest.raises(Missing):
        client.get(f"{sandbox.url}/nobody/img.fits")
    with pytest.raises(Refused):
        client.get(f"{sandbox.url}/nobody/evt.fits")


def test_other_processes_switch_faults_over_http(sandbox: Any) -> None:
    request = urllib.request.Request(
        f"{sandbox.url}/sandbox/faults", data=b'{"kind": "busy", "archive": "nobody"}', method="POST"
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()
    assert [fault.kind for fault in sandbox.faults.all()] == ["busy"]


def test_unknown_faults_archives_and_taken_ports_are_told_in_a_sentence(sandbox: Any, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="no fault 'nonsense'"):
        Fault("nonsense")
    with pytest.raises(UsageError, match="no archive atlantis"):
        Sandbox(tmp_path, archives=["atlantis"])
    with pytest.raises(ConfigError, match=r"port \d+ of this machine cannot be had"):
        Sandbox(tmp_path, port=sandbox.port)
