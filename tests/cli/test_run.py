"""``skyvault run``, ``status`` and ``resume`` as processes: exit codes, kills, Ctrl-C, and what people mistype."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import environment

FLARES = """\
project:
  description: Flares of simulated stars
  obs_names: demo
  source_batch_size: 5
  executor: serial
catalog:
  default: test
"""
SLOW = """\
project:
  obs_names: demo
  source_batch_size: 2
  executor: local
  num_workers: 2
catalog:
  filename: stars.csv
observatories:
  DEMO:
    wait_time: 0.2
"""


@pytest.fixture
def flares(tmp_path: Path, home: Path) -> Path:
    path = tmp_path / "flares.yaml"
    path.write_text(FLARES)
    return path


@pytest.fixture
def slow(tmp_path: Path, home: Path) -> Path:
    """A project of 150 sources that takes some seconds, in a folder of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    rows = "".join(f"star {i},{i * 1.7:.4f},{i * 0.3 - 30:.4f},15.5\n" for i in range(150))
    (folder / "stars.csv").write_text("name,ra,dec,mag\n" + rows)
    (folder / "slow.yaml").write_text(SLOW)
    return folder / "slow.yaml"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command line in a group of processes of its own."""
    running = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "skyvault.cli", *map(str, arguments)], cwd=tmp_path, env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def hurry(slow: Path) -> None:
    """The survey answers at once from now on."""
    slow.write_text(SLOW.replace("wait_time: 0.2", "wait_time: 0.0"))


def under_way(name: str) -> dict[str, Any]:
    """The status of a run in another process, once it has done some sources."""
    from skyvault.errors import SkyvaultError
    from skyvault.pipeline.stored_run import find_run

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status = find_run(name).status().to_dict()
        except SkyvaultError:
            continue
        if status["this_run"]["done"]:
            return status
    raise AssertionError("the run did not begin")


def test_a_project_runs_and_a_second_run_does_nothing(here: Any, flares: Path, home: Path) -> None:
    first = here("run", "flares.yaml")
    assert first.code == 0, first.err
    assert first.out.startswith("FLARES: 10 sources done in ")
    assert "skyvault report FLARES" in first.err
    second = json.loads(here("run", "flares.yaml", "--json").out)
    assert (second["done"], second["done_before"], second["failed"]) == (0, 10, 0)
    status = here("status", "flares")
    assert status.code == 0
    assert "Flares of simulated stars" in status.out and "10 (100.0%)" in status.out
    assert "FLARES" in here("status").out
    assert json.loads(here("status", "flares.yaml", "--json").out)["done"] == 10
    assert json.loads(here("resume", "flares", "--json").out)["done_before"] == 10


def test_other_parameters_on_what_is_done_are_told(here: Any, flares: Path) -> None:
    assert here("run", "flares.yaml").code == 0
    flares.write_text(FLARES + "finder:\n  snr_threshold: 4\n")
    again = here("run", "flares.yaml")
    assert again.code == 0
    assert "finder.snr_threshold: 5.0 -> 4.0. What is done already keeps" in again.err
    assert "have changed" not in here("run", "flares.yaml").err, "it is told once"
    flares.write_text(FLARES.replace("project:", "project:\n  version_control: true") + "finder:\n  snr_threshold: 4\n")
    assert "10 sources done" in here("run", "flares.yaml").out, "a version of its own"


def test_only_the_sources_that_are_named_are_run(here: Any, slow: Path) -> None:
    hurry(slow)
    answer = here("run", slow, "--source", "star 7", "--source", "star 9", "--json")
    assert json.loads(answer.out)["done"] == 2
    assert json.loads(here("run", slow, "--start", 5, "--finish", 10, "--json").out)["done_before"] == 2
    unknown = here("run", slow, "--source", "star 777")
    assert unknown.code == 2 and "star 777" in unknown.err and unknown.err.count("\n") == 1


def test_a_run_is_watched_from_elsewhere_stopped_by_ctrl_c_and_resumed(
    here: Any, slow: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("run", slow)
    seen = under_way("slow")
    assert seen["phase"] == "running" and seen["pid"] == process.pid
    assert 0 < seen["this_run"]["done"] < 150 and seen["per_second"] > 0 and seen["seconds_left"] > 0
    twice = here("run", slow)
    assert twice.code == 2
    assert "a run of SLOW goes on already" in twice.err and twice.err.count("\n") == 1
    # a terminal sends it to all processes of the group
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Go on with: skyvault resume SLOW" in err and "Traceback" not in err and not out
    stopped = json.loads(here("status", "slow", "--json").out)
    assert stopped["phase"] == "stopped" and 0 < stopped["done"] < 150
    hurry(slow)
    resumed = here("resume", "slow", "--json")
    assert resumed.code == 0, resumed.err
    document = json.loads(resumed.out)
    assert (document["done_before"], document["done"] + document["done_before"]) == (stopped["done"], 150)


def test_a_run_that_was_killed_is_seen_to_be_dead(
    here: Any, slow: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("run", slow)
    under_way("slow")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    status = here("status", "slow")
    assert "killed or died; skyvault resume SLOW goes on" in status.out.replace("\n", " ")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    hurry(slow)
    assert here("run", slow, "--finish", 20).code == 0


def test_sigterm_of_a_batch_system_ends_a_run_that_can_be_resumed(
    here: Any, slow: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("run", slow)
    under_way("slow")
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "skyvault resume SLOW" in err


FRAGILE = """
from skyvault.pipeline import Analysis

class Fragile(Analysis):
    def analyze_photometry(self, source):
        if source.cat_index % 5 == 2:
            raise OSError("the dome is shut")
        super().analyze_photometry(source)
"""


def test_sources_that_fail_are_told_and_the_exit_code_is_3(here: Any, flares: Path) -> None:
    folder = flares.parent / "mine"
    folder.mkdir()
    (folder / "fragile.py").write_text(FRAGILE)
    (folder / "flares.yaml").write_text(
        FLARES.replace("executor: serial", "analysis_module: fragile\n  analysis_class: Fragile\n  executor: serial")
    )
    done = here("run", "mine/flares.yaml")
    assert done.code == 3, done.err
    assert "8 sources done" in done.out and "2 failed" in done.out
    status = here("status", "flares")
    assert status.code == 3
    assert "2 x analysis: OSError: the dome is shut" in status.out
    document = json.loads(here("status", "flares", "--json").out)
    assert document["problem_kinds"][0]["sources"] == 2


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("finnder:\n  snr_threshold: 7\n", "no part of a project is called 'finnder'. Did you mean finder?"),
        ("finder:\n  snr_treshold: 7\n", "Did you mean snr_threshold?"),
        ("finder:\n  snr_threshold: high\n", "must be of type float"),
        ("finder: [1, 2]\n", "must hold names and values"),
        ("analysis:\n  finder_class: Nothing\n", "has no class 'Nothing'"),
        ("finder:\n  snr_threshold: [", "not valid YAML"),
    ],
)
def test_what_is_mistyped_in_the_file_is_told_in_one_sentence(here: Any, flares: Path, said: str, told: str) -> None:
    flares.write_text(FLARES + said)
    answer = here("run", "flares.yaml")
    assert answer.code == 2, answer.err
    assert told in answer.err and answer.err.count("\n") == 1
    assert "fault of Skyvault" not in answer.err


def test_other_wrong_words_are_told_in_one_sentence(here: Any, flares: Path) -> None:
    assert here("run", "flares.yaml").code == 0
    for words, told in (
        (("run", "none.yaml"), "there is no configuration file 'none.yaml'"),
        (("status", "flaers"), "there is no run 'flaers'. Did you mean FLARES?"),
        (("resume", "flaers"), "Did you mean FLARES?"),
        (("report", "flaers"), "Did you mean FLARES?"),
        (("run", "flares.yaml", "--executor", "magic"), "there is no executor 'magic'"),
    ):
        answer = here(*words)
        assert answer.code in (1, 2) and told in answer.err, answer
        assert answer.err.count("\n") == 1 and not answer.out
    flares.write_text(FLARES.replace("obs_names: demo", "obs_names: dmo"))
    assert "there is no observatory 'DMO'" in here("run", "flares.yaml").err
    flares.unlink()
    assert "is not there any more" in here("resume", "flares").err


def test_nothing_run_yet_is_no_fault(here: Any, home: Path) -> None:
    assert here("status").code == 0
    assert json.loads(here("status", "--json").out) == []
    unknown = here("status", "flares")
    assert unknown.code == 1 and "Nothing was run yet" in unknown.err


def test_a_damaged_record_is_told(here: Any, flares: Path, home: Path) -> None:
    assert here("run", "flares.yaml").code == 0
    (home / "pipeline/FLARES/run.json").write_text("{")
    answer = here("status", "flares")
    assert answer.code == 2 and "the record of the run is damaged" in answer.err
    # the next run writes it anew
    assert here("run", "flares.yaml").code == 0 and here("status", "flares").code == 0
