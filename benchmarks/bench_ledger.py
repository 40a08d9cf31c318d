"""Asynchronous jobs a second with the ledger in SQLite and in PostgreSQL, on one machine. Prints JSON.

usage: bench_ledger.py [--seconds 4] [--rounds 3] [--clients 8] [--postgresql postgresql://...]

Without an address a PostgreSQL server of the benchmark's own is started; it waits for the disk as one in use does.
``cycle``: a job made, begun and finished in the ledger alone, by one process and by four. ``http``: jobs posted to a
running server with PHASE=RUN and waited for, by several clients. Both ledgers take turns, so that the ratios mean
something on a noisy machine; figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from skyvault.config import Secret
from skyvault.ledger.engine import Place
from skyvault.ledger.ledger import open_ledger
from skyvault.model.job import Phase

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import postgresql_server  # noqa: E402
from processes import environment, free_port  # noqa: E402

QUERY = "SELECT COUNT(*) FROM tap_schema.tables"
CYCLE = """
import os, sys, time
from skyvault.config import Secret
from skyvault.ledger.ledger import open_ledger
from skyvault.model.job import Phase
from pathlib import Path
place, seconds, name = os.environ["PLACE"], float(sys.argv[1]), sys.argv[2]
ledger = open_ledger(Secret(place) if "://" in place else Path(place))
jobs, count = ledger.jobs, 0
jobs.count()
print("ready", flush=True)
sys.stdin.readline()
until = time.time() + seconds
while time.time() < until:
    job = jobs.create("tap", {"QUERY": ["x"]}, execution_duration_s=60, destruction_time=until + 1000)
    taken, is_ours = jobs.submit(job.id, holder=name)
    if is_ours and jobs.finish(taken.id, name, Phase.COMPLETED):
        count += 1
print(count)
"""


def text_of(place: Place) -> str:
    return place.reveal() if isinstance(place, Secret) else str(place)


def cycles(place: Place, processes: int, seconds: float) -> float:
    """Jobs a second through the ledger alone; processes begin together, when all have started."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CYCLE, str(seconds), f"p{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"PLACE": text_of(place)},
        )
        for number in range(processes)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(int(process.communicate()[0]) for process in running) / seconds


def single_costs(place: Place) -> dict[str, float]:
    """Microseconds of what a server asks most."""
    with open_ledger(place) as ledger:
        job = ledger.jobs.create("tap", {"QUERY": ["x"]}, execution_duration_s=60, destruction_time=time.time() + 1000)

        def cost(act: Callable[[], object]) -> float:
            took = []
            for _ in range(400):
                began = time.perf_counter()
                act()
                took.append(time.perf_counter() - began)
            return round(statistics.median(took[50:]) * 1e6, 1)

        return {
            "change_counter_us": cost(ledger.change_counter),
            "read_job_us": cost(lambda: ledger.jobs.get(job.id)),
            "write_us": cost(lambda: ledger.jobs.set_destruction(job.id, time.time() + 1000)),
            "lasting_write_us": cost(lambda: ledger.audit and _note(ledger)),
        }


def _note(ledger: Any) -> None:
    with ledger.database.write() as connection:
        ledger.audit.note(connection, "bench", "note", "x")


class Server:
    """``skyvault serve`` over an empty data directory."""

    def __init__(self, home: Path, place: Place, stack: ExitStack) -> None:
        self.port = free_port()
        variables = environment() | {"SKYVAULT_HOME": str(home), "SKYVAULT_LOG_LEVEL": "error"}
        if isinstance(place, Secret):
            variables["SKYVAULT_LEDGER"] = place.reveal()
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", "serve", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=variables,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        began = time.monotonic()
        while True:
            try:
                self.ask(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5), "GET", "/tap/availability")
                return
            except OSError:
                if time.monotonic() - began > 60:
                    raise
                time.sleep(0.05)

    def ask(self, link: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> tuple[str, Any]:
        link.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"} if body else {})
        answer = link.getresponse()
        return answer.read().decode(), answer

    def jobs(self, clients: int, seconds: float) -> tuple[float, float]:
        """Jobs a second, and the median time of one from POST to COMPLETED, in milliseconds."""
        until = time.perf_counter() + seconds
        took: list[float] = []

        def run() -> None:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            body = urlencode({"LANG": "ADQL", "QUERY": QUERY, "PHASE": "RUN"})
            while time.perf_counter() < until:
                began = time.perf_counter()
                _, answer = self.ask(link, "POST", "/tap/async", body)
                place = urlsplit(answer.headers["Location"]).path
                phase, _ = self.ask(link, "GET", f"{place}/phase")
                while phase in ("QUEUED", "EXECUTING"):
                    _, answer = self.ask(link, "GET", f"{place}?WAIT=10&PHASE={phase}")
                    phase, _ = self.ask(link, "GET", f"{place}/phase")
                assert phase == Phase.COMPLETED, phase
                took.append(time.perf_counter() - began)

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(took) / seconds, statistics.median(took) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--postgresql", help="address of a database in which schemas may be made")
    options = parser.parse_args()
    out: dict[str, dict[str, Any]] = {"sqlite": {}, "postgresql": {}}
    with ExitStack() as stack:
        address = options.postgresql
        if address is None:
            own = postgresql_server.Server(keeps=True)
            stack.callback(own.remove)
            address = own.url
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def new_place(kind: str, name: str) -> Place:
            if kind == "sqlite":
                (folder / name).mkdir()
                return folder / name / "ledger.sqlite"
            return Secret(stack.enter_context(postgresql_server.schema(address)))

        figures: dict[tuple[str, str], list[float]] = {}
        servers = {}
        for kind in out:
            out[kind] |= single_costs(new_place(kind, f"{kind}-costs"))
            servers[kind] = Server(folder / f"{kind}-home", new_place(kind, f"{kind}-http"), stack)
            servers[kind].jobs(2, 1.0)
        for number in range(options.rounds):
            for kind in out:
                for processes in (1, 4):
                    rate = cycles(new_place(kind, f"{kind}-{number}-{processes}"), processes, options.seconds)
                    figures.setdefault((kind, f"cycle_{processes}_processes_per_s"), []).append(rate)
                rate, middle = servers[kind].jobs(options.clients, options.seconds)
                figures.setdefault((kind, "http_jobs_per_s"), []).append(rate)
                figures.setdefault((kind, "http_median_ms"), []).append(middle)
        for (kind, name), values in figures.items():
            out[kind][name] = round(statistics.median(values), 1)
        shared = set(out["sqlite"]) & set(out["postgresql"])
        out["ratio"] = {name: round(out["postgresql"][name] / out["sqlite"][name], 2) for name in sorted(shared)}
        out["machine"] = {"cores": os.cpu_count()}
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
