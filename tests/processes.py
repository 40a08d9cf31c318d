"""Processes that tests start: where the project is, what environment they get, which port they may have."""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """This process's environment with the package under test found first, and no proxy in between."""
    source = str(PROJECT / "src")
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    path = os.pathsep.join([source, *filter(None, [inherited.get("PYTHONPATH")])])
    return inherited | {"PYTHONPATH": path, "NO_PROXY": "*"}


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
