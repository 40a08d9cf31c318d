"""Fetching 200 files of 5 MB, eight at once, beside ``curl -Z``; and an event list of 40 MB cut 20 times. Prints JSON.

usage: bench_fetch.py [--files 200] [--bytes 5000000] [--rounds 3]

nginx (Debian: nginx-light) serves on loopback from a folder in the page cache; both clients write to the same disk, turn
by turn in one run. Ours computes checksums, curl does not.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from skyvault.net.batch import fetch_files
from skyvault.net.client import HttpClient
from skyvault.net.download import Downloader
from skyvault.net.remote_file import Checksum, Order, RemoteFile
from skyvault.net.retry import RetryPolicy

CONFIGURATION = """
pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; daemon off;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}
"""


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    os.chmod(folder, 0o755)  # its worker is another user
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def curl(base: str, files: int, out: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(
        ["curl", "-sSZ", "--parallel-max", "8", "-o", f"{out}/#1", f"{base}/f[0-{files - 1}]"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def ours(orders: list[Order]) -> float:
    begun = time.perf_counter()
    with HttpClient() as client:
        report = fetch_files(orders, client, parallel=8)
    seconds = time.perf_counter() - begun
    assert report.is_complete and len(report.rows) == len(orders), report.problems
    return seconds


def many(arguments: argparse.Namespace, folder: Path, base: str) -> dict[str, object]:
    sums: dict[str, list[Checksum]] = {"sha256": [], "md5": []}
    for number in range(arguments.files):
        body = random.Random(number).randbytes(arguments.bytes)
        (folder / "www" / f"f{number}").write_bytes(body)
        for algorithm, found in sums.items():
            found.append(Checksum(algorithm, hashlib.new(algorithm, body).hexdigest()))
    times: dict[str, list[float]] = {"curl": [], **{algorithm: [] for algorithm in sums}}
    out = folder / "out"
    for _ in range(arguments.rounds):
        for who, found in times.items():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            if who == "curl":
                found.append(curl(base, arguments.files, out))
                continue
            found.append(
                ours(
                    [
                        Order(RemoteFile(url=f"{base}/f{n}", checksum=one, size_bytes=arguments.bytes), out / f"{n}")
                        for n, one in enumerate(sums[who])
                    ]
                )
            )
    shutil.rmtree(out, ignore_errors=True)
    middle = {who: statistics.median(found) for who, found in times.items()}
    return {
        "megabytes": arguments.files * arguments.bytes / 1e6,
        "seconds": {who: [round(one, 2) for one in found] for who, found in times.items()},
        "speed_of_curl": {who: round(middle["curl"] / middle[who], 2) for who in sums},
        "speed_of_curl_by_round": {
            who: [round(c / o, 2) for c, o in zip(times["curl"], times[who], strict=True)] for who in sums
        },
    }


class Cutter:
    """A way through which so many bytes pass, and then none, for each connection in turn."""

    def __init__(self, to: str, cuts: list[int]) -> None:
        self.address = ("127.0.0.1", int(to.rpartition(":")[2]))
        self.cuts = cuts
        self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            client, _ = self.listener.accept()
            left = self.cuts.pop(0) if self.cuts else 1 << 60
            with client, socket.create_connection(self.address) as server:
                server.sendall(client.recv(65536))
                with contextlib.suppress(OSError):
                    while left > 0 and (block := server.recv(min(65536, left))):
                        client.sendall(block)
                        left -= len(block)
                        self.passed += len(block)


def cut(folder: Path, base: str) -> dict[str, object]:
    body = random.Random(7).randbytes(40_000_000)
    (folder / "www" / "events").write_bytes(body)
    chance = random.Random(8)
    places = sorted(chance.randrange(1, len(body)) for _ in range(20))
    cutter = Cutter(base, [after - before for before, after in zip([0, *places], places, strict=False)])
    checksum = Checksum("sha256", hashlib.sha256(body).hexdigest())
    with HttpClient(retries=RetryPolicy(attempts=25, base_s=0.001)) as client:
        done = Downloader(client).fetch(Order(RemoteFile(url=f"{cutter.url}/events", checksum=checksum), folder / "ev"))
    return {
        "tries": done.tries,
        "refetched_percent": round(100 * (done.received_bytes - len(body)) / len(body), 4),
        "passed_percent_more": round(100 * (cutter.passed - len(body)) / len(body), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "www").mkdir()
        with nginx(folder) as base:
            figures = {"fetch": many(arguments, folder, base), "event_list_cut_20_times": cut(folder, base)}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
