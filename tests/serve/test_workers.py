"""Several server processes over one data directory: publishing while they serve, and processes that die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.config import Settings
from skyvault.publish.publisher import publish, unpublish

if TYPE_CHECKING:
    from conftest import Server


def ask(server: Server, query: str) -> tuple[int, str]:
    url = f"{server.tap}/sync?{urllib.parse.urlencode({'QUERY': query, 'RESPONSEFORMAT': 'csv'})}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def publish_numbers(home: Path, folder: Path, name: str, count: int) -> None:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"id": np.arange(count), "ra": np.linspace(0, 359, count), "dec": np.zeros(count)}), path)
    publish(path, name=name, settings=Settings(home=home))


def workers_of(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something becomes true in time; polls, since another process does it."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def test_a_server_of_an_empty_directory_works_and_sees_the_first_table(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    server = start_server(tmp_path / "home", workers=2)
    status, text = ask(server, "SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables")
    assert (status, text.split()) == (200, ["n", "23"])
    publish_numbers(server.home, tmp_path, "lab.newborn", 10)
    for _ in range(8):  # whichever worker answers
        assert ask(server, "SELECT COUNT(*) AS n FROM lab.newborn") == (200, "n\r\n10\r\n")


def test_publishing_again_and_again_is_seen_by_the_next_request(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    publish_numbers(tmp_path / "home", tmp_path, "lab.numbers", 5)
    server = start_server(tmp_path / "home", workers=2)
    for count in (7, 11, 13, 17):
        assert ask(server, "SELECT id FROM lab.numbers")[0] == 200
        publish_numbers(server.home, tmp_path, "lab.numbers", count)
        for _ in range(6):
            status, text = ask(server, "SELECT id, ra FROM lab.numbers")
            assert (status, len(text.splitlines()) - 1) == (200, count)
    unpublish("lab.numbers", settings=Settings(home=server.home))
    for _ in range(6):
        status, text = ask(server, "SELECT id FROM lab.numbers")
        assert status == 400
        assert "There is no table lab.numbers" in text


def test_publishing_under_load_disturbs_nobody(tmp_path: Path, start_server: Callable[..., Server]) -> None:
    publish_numbers(tmp_path / "home", tmp_path, "lab.numbers", 1000)
    server = start_server(tmp_path / "home", workers=2)
    wrong: list[str] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            status, text = ask(server, "SELECT id, ra FROM lab.numbers WHERE ra < 400")
            if status != 200 or len(text.splitlines()) - 1 not in (1000, 1500, 2000, 2500, 3000):
                wrong.append(f"{status} {text[:300]}")

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for count in (1500, 2000, 2500, 3000):
        publish_numbers(server.home, tmp_path, "lab.numbers", count)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_damaged_or_missing_snapshot_is_a_sentence_and_other_tables_work(
    tmp_path: Path, start_server: Callable[..., Server]
) -> None:
    home = tmp_path / "home"
    for name in ("lab.whole", "lab.damaged", "lab.missing"):
        publish_numbers(home, tmp_path, name, 20)
    files = {
        name: next((home / "store").glob(f"*{name.partition('.')[2]}*")) for name in ("lab.damaged", "lab.missing")
    }
    files["lab.damaged"].chmod(0o600)
    files["lab.damaged"].write_bytes(b"this is no database" * 1000)
    files["lab.missing"].unlink()
    server = start_server(home)
    for name in ("lab.damaged", "lab.missing"):
        for _ in range(2):
            status, text = ask(server, f"SELECT id FROM {name} WHERE id < 5")
            assert status == 500
            assert "snapshot" in text
            assert str(home) not in text
        assert ask(server, "SELECT id FROM lab.whole WHERE id = 1") == (200, "id\r\n1\r\n")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    small_home: Path, start_server: Callable[..., Server]
) -> None:
    server = start_server(small_home, workers=2)
    assert until(lambda: len(workers_of(server)) == 2)
    before = workers_of(server)
    answered = 0
    stop = threading.Event()

    def client() -> None:
        nonlocal answered
        while not stop.is_set():
            with contextlib.suppress(OSError):  # the killed one's own connections break
                answered += ask(server, "SELECT TOP 1 hip FROM demo.stars")[0] == 200

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    os.kill(before[0], signal.SIGKILL)
    assert until(lambda: len(workers_of(server)) == 2 and before[0] not in workers_of(server))
    seen = answered
    assert until(lambda: answered > seen + 20)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert before[1] in workers_of(server)


def test_a_stopped_server_leaves_jobs_with_a_reason_or_queued(
    small_home: Path, start_server: Callable[..., Server]
) -> None:
    server = start_server(small_home, workers=2, SKYVAULT_STOP_GRACE_S="1")
    heavy = "SELECT COUNT(*) FROM demo.stars AS a, demo.stars AS b WHERE a.mag_vt + b.mag_vt > SIN(a.ra * b.dec)"
    data = urllib.parse.urlencode({"QUERY": heavy, "PHASE": "RUN", "LANG": "ADQL"}).encode()
    with urllib.request.urlopen(f"{server.tap}/async", data, timeout=30) as answer:
        job = answer.url.rpartition("/")[2]
        answer.read()

    def phase(of: Server) -> str:
        with urllib.request.urlopen(f"{of.tap}/async/{job}/phase", timeout=30) as answer:
            return str(answer.read().decode())

    assert until(lambda: phase(server) == "EXECUTING")
    began = time.monotonic()
    server.process.terminate()
    server.process.wait(30)
    assert time.monotonic() - began < 15
    again = start_server(small_home)
    found = phase(again)
    assert found in ("ERROR", "QUEUED", "EXECUTING", "ABORTED"), found
    if found == "ERROR":
        with urllib.request.urlopen(f"{again.tap}/async/{job}/error", timeout=30) as answer:
            assert b"ERROR" in answer.read()
    else:
        with urllib.request.urlopen(f"{again.tap}/async/{job}/phase", b"PHASE=ABORT", timeout=30) as answer:
            answer.read()


def test_answers_of_a_two_worker_server_are_the_same(small_home: Path, start_server: Callable[..., Server]) -> None:
    server = start_server(small_home, workers=2)
    query = "SELECT COUNT(*) AS n FROM demo.stars WHERE 1=CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.1, 2))"
    assert len({ask(server, query) for _ in range(12)}) == 1
    assert json.dumps(ask(server, query)[0]) == "200"
