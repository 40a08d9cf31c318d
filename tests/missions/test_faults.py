"""Whatever goes wrong at an archive during a download, the same command completes it, and every byte is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from missions.archive_truth import assert_whole
from processes import environment
from skyvault.config import Settings
from skyvault.missions import Mission, ROSATAllSky, Suzaku, XMMPointed, eRASS1DE, eROSITACalPV, mission_classes
from skyvault.missions.faults import MissionWarning
from skyvault.missions.manifest import NAME
from skyvault.sandbox import Fault

KINDS = (
    "unreachable", "dropped", "busy", "too-many-requests", "bad-gateway", "truncated", "corrupt", "slow", "html",
    "refused", "missing",
)  # fmt: skip


def quick(sandbox: Any, tmp_path: Path, attempts: int = 3) -> Settings:
    return Settings(
        home=tmp_path / "home", endpoints=sandbox.endpoints(), archive_attempts=attempts, archive_backoff_s=0.001
    )


def chosen(cls: type[Mission], sandbox: Any, tmp_path: Path, count: int = 50, insts: str | None = None) -> Mission:
    mission = cls(insts, settings=quick(sandbox, tmp_path), output=tmp_path / "out")
    public = set(sandbox.emulations[mission.declaration.archive].observations(mission.name))
    mission.filter_on_obs_ids([one for one in mission.filtered_obs_ids if one in public][:count])
    return mission


def run_through(mission: Mission, sandbox: Any, fault: Fault, with_products: bool) -> None:
    planned = {file.path for file in mission.plan_download(download_products=with_products).files}
    sandbox.faults.struck.clear()
    sandbox.faults.set(fault)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissionWarning)
        first = mission.download(download_products=with_products)
    assert sandbox.faults.struck[fault.kind] > 3
    assert_whole(sandbox, mission, first)
    report = mission.download_report
    assert report is not None and len(report.rows) + len(report.problems) == len(mission)
    for problem in report.problems:
        assert problem.reason and "Traceback" not in problem.reason and "\n" not in problem.reason
    sandbox.faults.clear()
    assert mission.download(download_products=with_products) == list(mission.filtered_obs_ids)
    assert mission.download_report is not None and not mission.download_report.problems
    assert_whole(sandbox, mission, list(mission.filtered_obs_ids))
    if mission.declaration.bundle is None:
        here = {path for path in Path(mission.raw_data_path).rglob("*") if path.is_file() and path.name != NAME}
        assert here == planned
    leftovers = [path.name for path in Path(mission.raw_data_path).rglob("*") if ".part" in path.name]
    assert not leftovers and not (Path(mission.raw_data_path) / ".bundles").exists()


@pytest.mark.parametrize("kind", KINDS, ids="a-{}-answer".format)
def test_a_fault_in_lists_and_files_is_overcome(kind: str, sandbox: Any, tmp_path: Path) -> None:
    mission = chosen(ROSATAllSky, sandbox, tmp_path, 10)
    run_through(mission, sandbox, Fault(kind, path="/FTP/*", times=9, after=3, seconds=0.001), with_products=False)


@pytest.mark.parametrize("kind", KINDS, ids="a-{}-answer".format)
def test_a_fault_in_tar_archives_is_overcome(kind: str, sandbox: Any, tmp_path: Path) -> None:
    mission = chosen(XMMPointed, sandbox, tmp_path, 10, "PN")
    run_through(mission, sandbox, Fault(kind, path="*data-action*", times=5, after=3, seconds=0.001), True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cls", [ROSATAllSky, XMMPointed, Suzaku, eRASS1DE, eROSITACalPV], ids=lambda c: c.__name__)
@pytest.mark.parametrize("kind", KINDS, ids="a-{}-answer".format)
def test_a_fault_during_fifty_observations_is_overcome(
    kind: str, cls: type[Mission], sandbox: Any, tmp_path: Path
) -> None:
    mission = chosen(cls, sandbox, tmp_path)
    archive = mission.declaration.archive
    times = 5 if cls is eROSITACalPV else 9
    run_through(mission, sandbox, Fault(kind, archive=archive, times=times, after=3, seconds=0.001), True)


FETCH = """
import json, sys, warnings
from pathlib import Path
from skyvault.config import Settings
from skyvault.missions import mission_classes
asked = json.loads(sys.argv[1])
settings = Settings(home=asked["home"], endpoints=asked["endpoints"])
mission = mission_classes()[asked["class"]](settings=settings, output=asked["output"])
mission.filter_on_obs_ids(asked["ids"])
print("begins", flush=True)
mission.download()
print("whole", len(mission.download_report.rows), mission.download_report.received_bytes, flush=True)
"""


def killed_until_whole(cls: type[Mission], sandbox: Any, tmp_path: Path, kills: int, count: int, seed: int) -> None:
    import json

    mission = chosen(cls, sandbox, tmp_path, count)
    asked = {
        "class": cls.__name__,
        "home": str(tmp_path / "home"),
        "output": str(tmp_path / "out"),
        "endpoints": sandbox.endpoints(),
        "ids": list(mission.filtered_obs_ids),
    }
    command = [sys.executable, "-c", FETCH, json.dumps(asked)]
    moments = random.Random(seed)
    # a body that trickles makes every moment of a transfer last
    sandbox.faults.set(Fault("slow", path="*.gz", seconds=0.0005), Fault("slow", path="*.Z", seconds=0.0005))
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        try:
            process.wait(moments.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    sandbox.faults.clear()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"whole {len(mission)}" in done.stdout
    assert_whole(sandbox, mission, list(mission.filtered_obs_ids))
    assert mission.download() == list(mission.filtered_obs_ids)
    assert mission.download_report is not None and mission.download_report.received_bytes == 0
    leftovers = [path.name for path in Path(mission.raw_data_path).rglob("*") if ".part" in path.name]
    assert not leftovers


def test_a_download_that_is_killed_five_times_ends_in_the_same_tree(sandbox: Any, tmp_path: Path) -> None:
    killed_until_whole(ROSATAllSky, sandbox, tmp_path, 5, 10, 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["ROSATAllSky", "XMMPointed", "eRASS1DE", "NuSTARPointed"])
def test_fifty_kills_of_a_download_end_in_the_same_tree(name: str, sandbox: Any, tmp_path: Path) -> None:
    killed_until_whole(mission_classes()[name], sandbox, tmp_path, 50, 60, 2)
