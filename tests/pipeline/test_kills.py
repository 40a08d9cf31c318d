"""``skyvault run`` killed at random moments, again and again: it ends with the rows and files of an unbroken run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline_runs import contents
from processes import environment

PROJECT = """\
project:
  obs_names: demo
  source_batch_size: 4
  num_workers: 2
catalog:
  filename: stars.csv
analysis:
  num_injections: 0.5
observatories:
  DEMO:
    wait_time: 0.01
"""
SOURCES = 80


def begin(folder: Path, executor: str) -> subprocess.Popen[bytes]:
    """The run, in a group of processes of its own and with its data in this folder."""
    folder.mkdir(exist_ok=True)
    if not (folder / "killed.yaml").exists():
        rows = "".join(f"star {i},{i * 2.2:.4f},{i * 0.3 - 30:.4f},15.5\n" for i in range(SOURCES))
        (folder / "stars.csv").write_text("name,ra,dec,mag\n" + rows)
        (folder / "killed.yaml").write_text(PROJECT)
    return subprocess.Popen(
        [sys.executable, "-m", "skyvault.cli", "run", "killed.yaml", "--executor", executor, "--json"],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=environment() | {"RETRIEVER_DATA": str(folder / "data")},
    )  # fmt: skip


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code; whatever is left of its group is ended, too."""
    code = process.wait(timeout=120)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None and process.stderr is not None
    told = process.stderr.read().decode()
    process.stdout.close(), process.stderr.close()
    assert code in (0, -signal.SIGKILL), told
    return code


def kill_something(process: subprocess.Popen[bytes], dice: random.Random) -> str:
    """All processes of the run at once, the one that writes, or one that works."""
    what = dice.choice(["all", "all", "writer", "worker"])
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if what == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif what == "writer":
            process.kill()
        else:
            workers = psutil.Process(process.pid).children(recursive=True)
            if workers:
                dice.choice(workers).kill()
    return what


def rows_done(folder: Path) -> int:
    """How far the run in this folder has come, by its own record."""
    try:
        return int((folder / "data/KILLED/run.json").read_text().partition('"done": ')[2].partition(",")[0])
    except (OSError, ValueError):
        return 0


def broken(folder: Path, executor: str, kills: int, dice: random.Random) -> int:
    """Begin and kill a run until it ends by itself or was killed often enough, then let it end; how often it was."""
    count = 0
    while count < kills:
        process = begin(folder, executor)
        limit = time.monotonic() + 60
        # most kills come when there is something to lose, some while it starts
        if dice.random() < 0.8:
            before = (folder / "data/KILLED/run.json").stat().st_mtime_ns if rows_done(folder) else 0
            while process.poll() is None and time.monotonic() < limit:
                path = folder / "data/KILLED/run.json"
                if path.exists() and path.stat().st_mtime_ns != before and rows_done(folder):
                    break
                time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.4))
        if process.poll() is None:
            kill_something(process, dice)
            count += 1
        if ended(process) == 0:
            return count
    assert ended(begin(folder, executor)) == 0
    return count


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Rows and checksums of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(begin(folder, "serial")) == 0
    found = contents(folder / "data")
    assert len(found["sources"]) == SOURCES and len(found["files"]) == 2 * SOURCES
    return found


@pytest.mark.parametrize(
    ("executor", "kills"),
    [
        ("local", 6),
        pytest.param("local", 100, marks=pytest.mark.slow),
        pytest.param("dask", 100, marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(3600)
def test_a_run_killed_at_random_ends_like_one_that_was_not(
    tmp_path: Path, unbroken: dict[str, Any], executor: str, kills: int
) -> None:
    dice = random.Random(kills)
    count = number = 0
    while count < kills:
        folder = tmp_path / str(number)
        count += broken(folder, executor, kills - count, dice)
        number += 1
        found = contents(folder / "data")
        for what in unbroken:
            assert found[what] == unbroken[what], f"{what} differ after {count} kills"
        # nothing half-written is left but hidden files beside, which nobody reads
        assert {path.suffix for path in (folder / "data").glob("*/RA*/[!.]*")} == {".h5"}


def test_a_killed_dask_run_goes_on(tmp_path: Path, unbroken: dict[str, Any]) -> None:
    assert broken(tmp_path / "run", "dask", 1, random.Random(2)) <= 1
    assert contents(tmp_path / "run/data") == unbroken
