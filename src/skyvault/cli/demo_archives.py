"""The demo's outside world: archives of the sandbox in a process of their own, what is found in them and fetched."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import SkyvaultError

if TYPE_CHECKING:
    from skyvault.cli.demo import Story

ARCHIVES: Final = "heasarc,sesame,ztf"
CLUSTER: Final = "Coma cluster"
MISSIONS: Final = ("chandra", "nustar", "suzaku")
START_S: Final = 60.0
STOP_S: Final = 10.0


@dataclass
class World:
    """Archives that are starting or running. ``endpoints`` are known once :meth:`awaited`."""

    process: subprocess.Popen[bytes]
    log: Path
    endpoints: dict[str, dict[str, str]]

    def awaited(self) -> float:
        """Wait until all archives answer; the seconds that took. Raises SkyvaultError."""
        begun = time.perf_counter()
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise SkyvaultError(
                f"the archives did not start: {' '.join(said) or 'nothing was said'}", where=str(self.log)
            )
        self.endpoints = json.loads(line)["endpoints"]
        return time.perf_counter() - begun

    def variables(self) -> dict[str, str]:
        """Environment variables that send this process, and those it starts, to these archives."""
        return {
            f"SKYVAULT_ENDPOINTS__{archive.upper()}__{service.upper()}": address
            for archive, services in self.endpoints.items() for service, address in services.items()
        }  # fmt: skip


@contextlib.contextmanager
def archives(directory: Path) -> Iterator[World]:
    """Start the archives, which takes some seconds in which other things can be done."""
    log = directory / "archives.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", "sandbox", "--json", "--archives", ARCHIVES,
             "--directory", str(directory / "archives")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output,
        )  # fmt: skip
    try:
        yield World(process, log, {})
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """These variables for a while; None takes one away."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        _set(variables)
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def find_and_fetch(story: Story, directory: Path, world: World) -> None:
    """Ask three X-ray missions for a cluster of galaxies at once, and fetch what Chandra has of it."""
    from skyvault.config import Settings
    from skyvault.find.search import find

    settings = Settings(home=directory / "home", endpoints=world.endpoints)
    found: dict[str, Any] = {}

    def search() -> tuple[str, Any]:
        found["rows"] = answer = find(CLUSTER, missions=",".join(MISSIONS), settings=settings)
        answer.plot(directory / "found.png")
        counts = ", ".join(f"{name.removesuffix('_pointed')} {count}" for name, count in answer.counts.items())
        names = ["mission", "obs_id", "separation", "t_exptime", "instrument_name"]
        return f"{len(answer)} X-ray observations of the Coma cluster: {counts}", answer.to_table()[names]

    story.run("Find", f'skyvault find "{CLUSTER}" --missions {",".join(MISSIONS)} --plot found.png', search)

    def fetch() -> tuple[str, None]:
        fetched = found["rows"].where(mission="chandra").fetch(directory / "data")
        if not fetched.is_complete:
            raise SkyvaultError(f"not all could be fetched: {fetched.problems[0]}")
        files = [path for path in (directory / "data").rglob("*") if path.is_file() and path.name[0] != "."]
        size = sum(path.stat().st_size for path in files)
        observations = sum(len(names) for names in fetched.whole.values())
        return f"{observations} observations, {len(files)} files, {size / 1e6:.1f} MB, checked", None

    story.run("Fetch", 'find(...).where(mission="chandra").fetch("data")', fetch)
