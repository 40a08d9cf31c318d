"""Users' own tables: put, cone, join, CREATE TABLE AS, many users at once; prints JSON.

usage: bench_user_tables.py [--rows 1000000] [--only put,cone,join,create,crowd,large] [--crowd-s 60] [--workers 2]

Publishes data/stars/tycho2.parquet as lab.stars from $SKYVAULT_SHARED (default ../shared), serves it with user tables
on, and measures as a client does: seconds of wall clock, bytes of memory above idle (the sum over the server's
processes, sampled every 50 ms). "large" puts 100 M rows and takes minutes and 10 GB of disk.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyvault.config import Settings
from skyvault.formats import negotiate, open_table
from skyvault.ledger.ledger import open_ledger
from skyvault.serve.passwords import hashed

SHARED = Path(os.environ.get("SKYVAULT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PASSWORD = "a password of the benchmark"


class Client:
    """One user's requests, over one connection."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.headers = {"Authorization": "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, self.headers | given)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def ask(self, query: str) -> bytes:
        form = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"})
        return self("POST", "/tap/sync", form, content_type="application/x-www-form-urlencoded")


def rows(count: int, seed: int = 1) -> pa.Table:
    """Positions all over the sky and seven more columns."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "id": np.arange(count),
        "ra": random.uniform(0, 360, count),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, count))),
    }
    for name in ("pmra", "pmdec", "plx", "mag", "col"):
        columns[name] = random.normal(size=count)
    columns["flag"] = random.integers(0, 100, count).astype(np.int32)
    return pa.table(columns)


def as_bytes(table: pa.Table, form: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    if form == "parquet":
        return out.getvalue()
    return b"".join(negotiate(form).write(open_table(out.getvalue())))


def tree(pid: int) -> list[int]:
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
    return pids


def memory_bytes(pid: int) -> int:
    """Memory that is the server's own: anonymous pages of all its processes."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    total += int(line.split()[1]) * 1024
    return total


@contextlib.contextmanager
def watched(pid: int) -> Iterator[dict[str, float]]:
    """Most memory above what it was, while the block runs."""
    told = {"memory_mb": 0.0}
    idle, done = memory_bytes(pid), threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            told["memory_mb"] = max(told["memory_mb"], round((memory_bytes(pid) - idle) / 1e6, 1))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield told
    finally:
        done.set()
        thread.join()


def cpu_s(pid: int) -> float:
    """Processor seconds of the server: what a busy machine cannot inflate."""
    total = 0.0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def timed(act: Callable[[], Any], pid: int, times: int = 3) -> dict[str, float]:
    """Median of the wall clock, mean of the server's processor seconds, and the load of the machine meanwhile."""
    seconds, before = [], cpu_s(pid)
    for _ in range(times):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return {
        "seconds": round(statistics.median(seconds), 3),
        "server_cpu_s": round((cpu_s(pid) - before) / times, 3),
        "load": round(os.getloadavg()[0], 1),
    }


def measure_put(client: Client, pid: int, count: int) -> dict[str, Any]:
    table, out = rows(count), {}
    for form, kind in (("votable/b2", "application/x-votable+xml"), ("csv", "text/csv"), ("parquet", "application/x")):
        body = as_bytes(table, form)
        with watched(pid) as told:
            took = timed(lambda: client("PUT", "/tap/user_tables/big", body, content_type=kind), pid)  # noqa: B023
        out[form] = {**took, "upload_mb": round(len(body) / 1e6, 1), **told}
    assert b"indexed" in client("GET", "/tap/user_tables/big")
    return out


def measure_cone(client: Client, count: int) -> dict[str, Any]:
    """Cones on a user's table, in turn with the same cones on a published one, which are the measure."""
    client("PUT", "/tap/user_tables/wide", as_bytes(rows(count, 2), "parquet"))
    times: dict[str, list[float]] = {"tap_user.wide": [], "lab.stars": []}
    for i in range(200):
        ra, dec = (i * 7.3) % 360, (i * 1.7) % 160 - 80
        for name, each in times.items():
            began = time.perf_counter()
            client.ask(f"SELECT * FROM {name} WHERE DISTANCE(ra, dec, {ra}, {dec}) < 0.1")
            each.append((time.perf_counter() - began) * 1e3)
    told = {
        name: {"median_ms": round(statistics.median(each), 2), "p99_ms": round(sorted(each)[-2], 2)}
        for name, each in times.items()
    }
    return {"rows": count, **told["tap_user.wide"], "published": told["lab.stars"]}


def measure_join(client: Client, pid: int, count: int) -> dict[str, Any]:
    client("PUT", "/tap/user_tables/big", as_bytes(rows(count), "parquet"))
    query = (
        "SELECT COUNT(*) AS n FROM tap_user.big AS u JOIN lab.stars AS s"
        " ON DISTANCE(u.ra, u.dec, s.ra, s.dec) < 2./3600"
    )
    return {**timed(lambda: client.ask(query), pid), "pairs": int(client.ask(query).split()[1])}


def measure_create(client: Client, pid: int) -> dict[str, Any]:
    def act() -> None:
        client.ask("DROP TABLE IF EXISTS tap_user.made")
        client.ask("CREATE TABLE tap_user.made AS SELECT * FROM lab.stars")

    with watched(pid) as told:
        took = timed(act, pid)
    columns = client("GET", "/tap/user_tables/made").count(b"<column")
    count = int(client.ask("SELECT COUNT(*) AS n FROM tap_user.made").split()[1])
    return {**took, "rows": count, "columns": columns, **told}


def measure_crowd(port: int, pid: int, users: int, seconds: float) -> dict[str, Any]:
    """Each user lists, uploads 1,000 rows and joins them, every 30 s."""
    body = as_bytes(rows(1000), "parquet")
    steps: dict[str, list[float]] = {"list": [], "put": [], "join": []}
    errors: list[str] = []
    end = time.monotonic() + seconds

    def act(number: int) -> None:
        client = Client(port, f"user{number}")
        next_at = time.monotonic() + 30.0 * number / users
        while next_at < end:
            time.sleep(max(0.0, next_at - time.monotonic()))
            for step in ("list", "put", "join"):
                began = time.perf_counter()
                try:
                    if step == "list":
                        client("GET", "/tap/user_tables")
                    elif step == "put":
                        client("PUT", "/tap/user_tables/mine", body)
                    else:
                        client.ask(
                            "SELECT COUNT(*) AS n FROM tap_user.mine AS u JOIN lab.stars AS s"
                            " ON DISTANCE(u.ra, u.dec, s.ra, s.dec) < 2./3600"
                        )
                except Exception as error:
                    errors.append(f"{time.monotonic() - (end - seconds):.0f} s: {error}"[:400])
                    client = Client(port, f"user{number}")
                steps[step].append(time.perf_counter() - began)
            next_at += 30.0

    before = memory_bytes(pid)
    threads = [threading.Thread(target=act, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    # by then everybody has been there: what grows after that would grow for ever
    time.sleep(seconds / 2)
    warm = memory_bytes(pid)
    for thread in threads:
        thread.join()
    times = sorted(one for each in steps.values() for one in each)
    return {
        "users": users,
        "requests": len(times),
        "errors": len(errors),
        "an_error": errors[:1] + errors[-1:],
        "steps": {
            step: {
                "median_s": round(statistics.median(each), 3),
                "p99_s": round(sorted(each)[int(0.99 * len(each))], 3),
            }
            for step, each in steps.items()
        },
        "median_s": round(statistics.median(times), 3),
        "p99_s": round(times[int(0.99 * len(times))], 3),
        "memory_above_idle_mb": round((memory_bytes(pid) - before) / 1e6, 1),
        "memory_growth_in_second_half_mb": round((memory_bytes(pid) - warm) / 1e6, 1),
    }


def measure_large(client: Client, pid: int, folder: Path, count: int) -> dict[str, Any]:
    path = folder / "large.parquet"
    writer = None
    for number in range(count // 1_000_000):
        table = rows(1_000_000, number)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    size = path.stat().st_size
    with watched(pid) as told, path.open("rb") as body:
        began = time.perf_counter()
        client("PUT", "/tap/user_tables/large", body, content_length=str(size))
        seconds = time.perf_counter() - began
    path.unlink()
    return {"rows": count, "seconds": round(seconds, 1), "rows_a_second": round(count / seconds), **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--cone-rows", type=int, default=10_000_000)
    parser.add_argument("--large-rows", type=int, default=100_000_000)
    parser.add_argument("--only", default="put,cone,join,create,crowd")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--crowd-s", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--port", type=int, default=18433)
    options = parser.parse_args()
    stars = SHARED / "data" / "stars" / "tycho2.parquet"
    if not stars.is_file():
        sys.exit(f"no real data at {stars}: set SKYVAULT_SHARED")
    wanted, out = set(options.only.split(",")), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "home"
        from skyvault.publish.publisher import publish

        publish(stars, name="lab.stars", home=home, settings=Settings(home=home))
        kept = hashed(PASSWORD)
        with open_ledger(home / "ledger.sqlite") as ledger:
            for user in ["alice", *(f"user{number}" for number in range(options.users))]:
                ledger.users.add(user, kept)
        variables = {
            "SKYVAULT_HOME": str(home),
            "SKYVAULT_USER_TABLES": "true",
            "SKYVAULT_USER_TABLE_BYTES": "20GB",
            "SKYVAULT_USER_QUOTA_BYTES": "100GB",
            "SKYVAULT_SNAPSHOT_GRACE_S": "60",
        }
        command = [sys.executable, "-m", "skyvault.cli", "serve", "--port", str(options.port)]
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [*command, "--workers", str(options.workers)], env=os.environ | variables, stderr=log, stdout=log
        )
        try:
            client = Client(options.port, "alice")
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.ask("SELECT TOP 1 * FROM lab.stars WHERE DISTANCE(ra, dec, 10, 10) < 1")
                    break
                except OSError:
                    client = Client(options.port, "alice")
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            client("PUT", "/tap/user_tables/warm", as_bytes(rows(1000), "parquet"))
            if "put" in wanted:
                out["put"] = measure_put(client, process.pid, options.rows)
            if "cone" in wanted:
                out["cone"] = measure_cone(client, options.cone_rows)
            if "join" in wanted:
                out["join"] = measure_join(client, process.pid, options.rows)
            if "create" in wanted:
                out["create"] = measure_create(client, process.pid)
            if "crowd" in wanted:
                out["crowd"] = measure_crowd(options.port, process.pid, options.users, options.crowd_s)
            if "large" in wanted:
                out["large"] = measure_large(client, process.pid, folder, options.large_rows)
        finally:
            process.terminate()
            process.wait()
            log.close()
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
