"""Who does the work makes no difference: this process, several, or a dask cluster; and nobody's death loses anything."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline_runs import contents, sources
from processes import environment, free_port
from skyvault.pipeline import Project, database
from skyvault.pipeline.executors import LocalExecutor
from skyvault.pipeline.faults import DatabaseError, ExecutorError, ParameterValueError
from skyvault.pipeline.project import KNOWN

dask: Any = pytest.importorskip("dask")
distributed: Any = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two processes of one thread, and a scheduler with an address."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as running:  # fmt: skip
        yield running


def test_whoever_does_the_work_the_rows_and_files_are_the_same(
    data_folder: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name in ("serial", "local", cluster.scheduler_address):
        folder = data_folder / name.partition(":")[0]
        monkeypatch.setenv("RETRIEVER_DATA", str(folder))
        report = Project("tried", catalog=sources(20), executor=name, source_batch_size=3, num_workers=2).run()
        assert (report.done, report.failed) == (20, 0)
        found[name] = contents(folder)
    first, *others = found.values()
    assert all(other == first for other in others)
    assert len(first["files"]) == 40


@pytest.mark.parametrize("kind", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_source_that_ends_processes_is_the_only_one_that_fails(
    data_folder: Path, cluster: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, "DEADLY", ("pipeline_runs", "VirtualDeadly"))
    with distributed.Client(cluster) as client:
        project = Project(
            "tried", obs_names="deadly", catalog=sources(30), source_batch_size=8, num_workers=2,
            executor=client if kind == "dask" else kind,
        )  # fmt: skip
        report = project.run()
    assert (report.done, report.failed) == (29, 1)
    (problem,) = project.get_problems()
    assert problem["source_name"] == project.catalog.names[13]
    assert problem["step"] == "process" and "killed" in problem["what"]


@pytest.mark.parametrize("kind", ["local", "dask"])
def test_workers_that_are_killed_lose_nothing(data_folder: Path, cluster: Any, kind: str) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    killed = []
    # a worker of a cluster takes seconds to be there again
    most = 3 if kind == "local" else 1

    def kill_one(done: int, of: int) -> None:
        mine = [one for one in psutil.Process().children() if one.pid not in before and "python" in one.name()]
        if kind == "dask":
            mine = [psutil.Process(worker.pid) for worker in cluster.workers.values() if worker.pid]
        if mine and len(killed) < most and done < of:
            os.kill(mine[0].pid, signal.SIGKILL)
            killed.append(done)

    executor: Any = distributed.Client(cluster) if kind == "dask" else kind
    project = Project(
        "tried", catalog=sources(40), source_batch_size=5, num_workers=2, executor=executor,
        DEMO={"wait_time": 0.01},
    )  # fmt: skip
    report = project.run(on_progress=kill_one)
    assert len(killed) == most
    assert (report.done, report.failed) == (40, 0)
    assert project.run().skipped == 40
    if kind == "dask":
        executor.close()


def test_no_more_batches_are_taken_than_fit_the_workers(data_folder: Path) -> None:
    project = Project("tried", catalog=sources(40), num_workers=2)
    taken = []

    def batches() -> Iterator[list[int]]:
        for number in range(40):
            taken.append(number)
            yield [number]

    project._save_config()
    ready = LocalExecutor(project, 2).done(batches())
    next(ready)
    assert len(taken) <= 5
    # whoever stops listening leaves no process behind
    ready.close()
    assert not [
        one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE and "fork" in one.name()
    ]


def test_a_class_from_a_file_of_the_users_own_goes_to_the_cluster(data_folder: Path, cluster: Any) -> None:
    Path("extensions").mkdir()
    Path("extensions/my_analysis.py").write_text(
        textwrap.dedent("""
        from skyvault.pipeline import Analysis
        from skyvault.pipeline.source import Properties

        THRESHOLD = 42

        class MyAnalysis(Analysis):
            def analyze_photometry(self, source):
                super().analyze_photometry(source)
                source.properties.props["mine"] = THRESHOLD
    """)
    )
    project = Project(
        "tried", catalog=sources(12), source_batch_size=4, executor=cluster.scheduler_address,
        analysis_module="extensions.my_analysis", analysis_class="MyAnalysis",
    )  # fmt: skip
    assert project.run().done == 12
    assert all(source.properties.props["mine"] == 42 for source in project.get_all_sources())


def test_a_scheduler_that_does_not_answer_is_one_sentence(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("skyvault.pipeline.dask_executor._CONNECT_S", 0.5)
    project = Project("tried", catalog=sources(3), executor=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(ExecutorError, match=r"does not answer.*executor='local'"):
        project.run()
    with pytest.raises(ParameterValueError, match="There are local, serial, dask"):
        Project("tried", catalog=sources(3), executor="locl")


def test_a_scheduler_is_found_by_its_file(data_folder: Path, cluster: Any, tmp_path: Path) -> None:
    import json

    file = tmp_path / "scheduler.json"
    # what dask's own scheduler writes, as far as a client looks at it
    file.write_text(json.dumps({"type": "Scheduler", "address": cluster.scheduler_address}))
    assert Project("tried", catalog=sources(4), executor=str(file)).run().done == 4


FULL = """
import resource, signal, sys
from skyvault.errors import SkyvaultError
from skyvault.pipeline import Catalog, Project
from skyvault.pipeline.catalog import make_test_catalog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cat = Catalog(data=make_test_catalog(8), name_column="object_id", catalog_name="tried", cfg_file=False)
def told(done, of):
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
big = {"sim_args": {"num_points": 20_000}}
try:
    Project("tried", catalog=cat, source_batch_size=2, executor="serial", DEMO=big).run(on_progress=told)
except SkyvaultError as error:
    print(f"{type(error).__name__}: {error}")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
again = Project("tried", catalog=cat, source_batch_size=2, executor="serial", DEMO=big)
print(len(again.get_problems()), again.run())
"""


def test_a_full_disk_stops_the_run_in_one_sentence_and_loses_nothing(data_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, env=environment(), check=True, timeout=60
    )
    told, after = done.stdout.splitlines()
    assert told.startswith("DiskFull: ") and "make room and run again" in told
    assert after.startswith("0 RunReport(done=6, skipped=2, failed=0")


def test_a_database_that_is_away_stops_the_run_in_one_sentence_and_loses_nothing(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 50)
    held: list[sqlite3.Connection] = []

    def take_it_away(done: int, of: int) -> None:
        if done >= 8 and not held:
            # somebody else writes, and does not end
            held.append(sqlite3.connect(data_folder / "pipeline.sqlite", isolation_level=None))
            held[0].execute("BEGIN EXCLUSIVE")

    project = Project("tried", catalog=sources(40), source_batch_size=4, num_workers=2)
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(DatabaseError, match=r"cannot be used: .*locked.*What was finished is kept; run again"):
        project.run(on_progress=take_it_away)
    # no worker goes on without a writer
    assert {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE} <= before
    held[0].close()
    report = project.run()
    assert report.skipped >= 8 and report.done == 40 - report.skipped
    other = data_folder / "whole"
    monkeypatch.setenv("RETRIEVER_DATA", str(other))
    Project("tried", catalog=sources(40), executor="serial").run()
    assert contents(data_folder)["detections"] == contents(other)["detections"]
    assert contents(data_folder)["histograms"] == contents(other)["histograms"]
