"""Limits of a server: time, number of queries, stalled and vanished clients, status calls under load."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Server

#: far more work than any test waits for
HEAVY = "SELECT COUNT(*) FROM demo.stars AS a, demo.stars AS b WHERE a.mag_vt + b.mag_vt > SIN(a.ra * b.dec)"


def ask(server: Server, query: str, timeout: float = 60.0, **values: str) -> tuple[int, bytes, dict[str, str]]:
    data = urllib.parse.urlencode({"QUERY": query, "RESPONSEFORMAT": "csv", **values}).encode()
    try:
        with urllib.request.urlopen(f"{server.tap}/sync", data, timeout=timeout) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read(), {k.lower(): v for k, v in answer.headers.items()}


@pytest.fixture(scope="module")
def hasty(small_home: Path, start_server: Callable[..., Server]) -> Server:
    """A server that gives a query a fifth of a second."""
    return start_server(small_home, SKYVAULT_SYNC_TIME_S="0.2", SKYVAULT_THREADS="1")


def test_a_query_over_its_time_is_stopped_and_told_of_async(hasty: Server) -> None:
    began = time.monotonic()
    status, body, _ = ask(hasty, HEAVY)
    took = time.monotonic() - began
    assert status == 400
    assert b"0.2 s" in body and b"async" in body
    assert took < 5
    # the engine is free: a cheap query is answered within the same short time
    assert ask(hasty, "SELECT TOP 1 hip FROM demo.stars")[0] == 200


def test_a_stream_over_its_time_is_stopped_with_an_error(hasty: Server) -> None:
    query = "SELECT a.ra, b.dec FROM demo.stars AS a, demo.stars AS b"
    status, body, _ = ask(hasty, query, MAXREC="20000000", RESPONSEFORMAT="votable/td")
    assert status == 200
    assert b'value="ERROR"' in body[-2000:]
    assert b"0.2 s" in body[-2000:]


def running(server: Server, query: str, count: int) -> list[socket.socket]:
    """Connections that have each sent a query and wait."""
    host, port = server.base_url.removeprefix("http://").split(":")
    sockets = []
    for _ in range(count):
        client = socket.create_connection((host, int(port)), timeout=60)
        path = f"/tap/sync?{urllib.parse.urlencode({'QUERY': query, 'RESPONSEFORMAT': 'csv'})}"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        sockets.append(client)
    return sockets


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something becomes true in time; polls, since another process does it."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def processor_time(pid: int) -> float:
    """Seconds of processor a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def is_idle(pid: int) -> bool:
    before = processor_time(pid)
    time.sleep(0.3)
    return processor_time(pid) - before < 0.1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_client_that_goes_away_takes_its_query_with_it(small_home: Path, start_server: Callable[..., Server]) -> None:
    server = start_server(small_home)
    clients = running(server, HEAVY, 2)
    assert until(lambda: not is_idle(server.process.pid))
    for client in clients:
        client.close()
    assert until(lambda: is_idle(server.process.pid), 10), "the queries run on though nobody wants them"


def test_status_calls_answer_at_once_while_heavy_queries_run(
    small_home: Path, start_server: Callable[..., Server]
) -> None:
    server = start_server(small_home)
    data = urllib.parse.urlencode({"QUERY": "SELECT TOP 1 hip FROM demo.stars", "PHASE": "RUN"}).encode()
    with urllib.request.urlopen(f"{server.tap}/async", data, timeout=30) as answer:
        job = answer.url
        answer.read()
    clients = running(server, HEAVY, 8)
    try:
        taken = []
        for _ in range(40):
            began = time.monotonic()
            with urllib.request.urlopen(f"{job}/phase", timeout=30) as answer:
                assert answer.read()
            taken.append(time.monotonic() - began)
        assert sorted(taken)[20] < 0.25, f"median {sorted(taken)[20]:.3f} s"
    finally:
        for client in clients:
            client.close()


def test_more_queries_than_may_wait_are_sent_away_with_a_time_to_come_back(
    small_home: Path, start_server: Callable[..., Server]
) -> None:
    server = start_server(small_home, SKYVAULT_SYNC_TIME_S="3")
    clients = running(server, HEAVY, 180)
    try:
        found: list[tuple[int, dict[str, str]]] = []

        def refused() -> bool:
            status, _, headers = ask(server, HEAVY, 60)
            found.append((status, headers))
            return status == 503

        threads = [threading.Thread(target=refused) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert any(status == 503 and int(headers["retry-after"]) >= 1 for status, headers in found), found
    finally:
        for client in clients:
            client.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_a_client_that_reads_nothing_is_dropped(small_home: Path, start_server: Callable[..., Server]) -> None:
    server = start_server(small_home, SKYVAULT_CLIENT_STALL_S="0.5")
    host, port = server.base_url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect((host, int(port)))
    query = urllib.parse.urlencode(
        {"QUERY": "SELECT a.* FROM demo.stars AS a, demo.stars AS b", "MAXREC": "20000000", "RESPONSEFORMAT": "csv"}
    )
    client.sendall(f"GET /tap/sync?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    own = client.getsockname()[1]
    assert is_connected(int(port), own)
    assert until(lambda: not is_connected(int(port), own) and is_idle(server.process.pid), 20)
    client.close()


def is_connected(server_port: int, client_port: int) -> bool:
    """Whether the server's end of a loopback connection is still open."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if (int(local[-4:], 16), int(remote[-4:], 16), state) == (server_port, client_port, "01"):
            return True
    return False


def test_a_query_longer_than_the_limit_is_refused_with_the_limit(server: Server) -> None:
    status, body, _ = ask(server, "SELECT hip FROM demo.stars WHERE hip IN (" + "1," * 600_000 + "1)")
    assert status in (400, 403, 413)
    assert b"1,064,000" in body or b"1000000" in body


def test_huge_headers_are_refused(server: Server) -> None:
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", "/tap/availability", headers={"X-Large": "a" * 400_000})
        with connection.getresponse() as answer:
            assert answer.status == 431
    except ConnectionError:
        pass
    finally:
        connection.close()
    assert ask(server, "SELECT TOP 1 hip FROM demo.stars")[0] == 200
