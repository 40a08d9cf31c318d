"""The server against any TAP service's script: publish, serve with two workers, measure, print JSON.

usage: bench_server.py [--workers 2] [--only a,b,c,d,e,f] [--keep DIR]

Publishes data/stars/tycho2.parquet as lab.stars and data/stars/obscore_synthetic.parquet into ivoa.ObsCore from
$SKYVAULT_SHARED (default ../shared), serves them, and runs bench/bench_tap.py of the shared directory, which measured
the peers too. Adds what that script does not measure: ingest, start-up, import, a self-join, a join of a million
uploaded positions, server CPU a request.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("SKYVAULT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SELF_JOIN = (
    "SELECT COUNT(*) AS n FROM lab.stars AS a JOIN lab.stars AS b"
    " ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 10./3600 WHERE a.source_id < b.source_id"
)


def command(*arguments: str, home: Path) -> tuple[float, str]:
    began = time.perf_counter()
    environment = os.environ | {"SKYVAULT_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "skyvault.cli", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, done.stdout


def ask(base: str, query: str) -> bytes:
    body = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}).encode()
    with urllib.request.urlopen(f"{base}/sync", body, timeout=600) as answer:
        return bytes(answer.read())


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children."""
    total = 0.0
    pids = [pid]
    for one in pids:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="a,b,c,d,e,f,g")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--port", type=int, default=18421)
    options = parser.parse_args()
    stars = SHARED / "data" / "stars"
    if not stars.is_dir():
        sys.exit(f"no real data at {stars}: set SKYVAULT_SHARED")
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = options.keep or Path(folder) / "home"
        seconds = []
        for _ in range(3):
            published = json.loads(
                command("publish", str(stars / "tycho2.parquet"), "--name", "lab.stars", "--json", home=home)[1]
            )
            seconds.append(published["seconds"])
        out["ingest_s"] = statistics.median(seconds)
        command("publish", str(stars / "obscore_synthetic.parquet"), "--name", "lab.footprints", "--obscore", home=home)
        code = "import time; t = time.perf_counter(); import skyvault; print(time.perf_counter() - t)"
        times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
        out["import_s"] = statistics.median(times)
        base = f"http://127.0.0.1:{options.port}/tap"
        starts = []
        for _ in range(3):
            process, took = start(home, options.port, options.workers)
            starts.append(took)
            process.terminate()
            process.wait()
        out["serve_to_first_answer_s"] = statistics.median(starts)
        process, _ = start(home, options.port, options.workers)
        try:
            ask(base, "SELECT TOP 1 * FROM lab.stars WHERE DISTANCE(ra, dec, 10, 10) < 1")
            script = [sys.executable, str(SHARED / "bench" / "bench_tap.py"), base, "lab.stars"]
            script += ["--only", options.only, "--pid", str(process.pid), "--upload-rows", "1000,10000,100000,1000000"]
            out["bench_tap"] = json.loads(subprocess.check_output(script, env=os.environ | {"PYTHONPATH": ""}))
            times = []
            for _ in range(3):
                began = time.perf_counter()
                out["self_join_count"] = int(ask(base, SELF_JOIN).split()[1])
                times.append(time.perf_counter() - began)
            out["self_join_s"] = statistics.median(times)
            before = cpu_s(process.pid)
            for i in range(300):
                ask(
                    base,
                    f"SELECT * FROM lab.stars WHERE DISTANCE(ra, dec, {(i * 7.3) % 360}, {(i * 1.7) % 160 - 80}) < 0.1",
                )
            out["server_cpu_ms_a_cone"] = (cpu_s(process.pid) - before) / 300 * 1e3
        finally:
            process.terminate()
            process.wait()
    print(json.dumps(out, indent=1))


def start(home: Path, port: int, workers: int) -> tuple[subprocess.Popen[bytes], float]:
    """Start the server; seconds from the command to the first answer."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "skyvault.cli", "serve", "--port", str(port), "--workers", str(workers)],
        env=os.environ | {"SKYVAULT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
    )
    while True:
        try:
            ask(f"http://127.0.0.1:{port}/tap", "SELECT TOP 1 source_id FROM lab.stars")
            return process, time.perf_counter() - began
        except OSError:
            if process.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.005)


if __name__ == "__main__":
    main()
