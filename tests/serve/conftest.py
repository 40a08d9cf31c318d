"""Servers of the job list alone, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("uws_server.py")
SOURCE = Path(__file__).parents[2] / "src"


@dataclass
class UwsServer:
    """A running ``uws_server.py``."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def tap(self) -> str:
        return f"http://127.0.0.1:{self.port}/tap"

    @property
    def jobs(self) -> str:
        return f"{self.tap}/async"

    def kill(self) -> None:
        """kill -9, of the process and of its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def start_uws(
    tmp_path_factory: pytest.TempPathFactory, ledger_variables: Callable[[Path], dict[str, str]]
) -> Iterator[Callable[..., UwsServer]]:
    """``start_uws(workers=2, home=None)`` gives a running server; all are stopped in the end."""
    servers: list[UwsServer] = []

    def start(*, workers: int = 1, home: Path | None = None) -> UwsServer:
        home = home or tmp_path_factory.mktemp("uws")
        port = _free_port()
        log = home / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", str(SCRIPT), str(home), str(port), str(workers)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(SOURCE), "NO_PROXY": "*"} | ledger_variables(home),
                start_new_session=True,
            )
        server = UwsServer(home, port, process)
        servers.append(server)
        deadline = time.monotonic() + 30
        pids: set[bytes] = set()
        while len(pids) < workers:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    pids.add(answer.read())
            except OSError:
                time.sleep(0.02)  # the only way to learn that another process listens
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start:\n{log.read_text()}")
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def uws(start_uws: Callable[..., UwsServer]) -> UwsServer:
    """A server of one process."""
    return start_uws()
