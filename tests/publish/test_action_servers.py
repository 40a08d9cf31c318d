"""Actions and real server processes: once at a time over all, made up once when one is killed, none where none may run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from publish.living import HOOKS, ledger_of, runs, settings_of, until, write
from skyvault.config import Settings
from skyvault.jobs.action_scheduler import ActionScheduler, run_by_hand
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query


def test_two_server_processes_run_an_action_once_at_a_time(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    hooks = """
import os, time

def note(context):
    place = context.home / "busy"
    place.mkdir()          # another run at the same time would fail here
    with (context.home / "runs").open("a") as file:
        file.write(f"{os.getppid()}\\n")
    time.sleep(0.3)
    place.rmdir()
"""
    publish_resource(write(tmp_path / "r", "  - {hook: note, every: 1s}\n", hooks), settings=settings)
    start_server(home, workers=2)
    noted = home / "actions" / "living" / "runs"
    assert until(lambda: noted.exists() and len(noted.read_text().split()) >= 4)
    found = runs(settings)
    assert {run.outcome for run in found} <= {"done", "running"}
    begins = np.array(sorted(run.began_at for run in found))
    assert np.diff(begins).min() > 0.9


def test_a_server_killed_while_an_action_runs_leaves_it_to_the_next_once(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    publish_resource(write(tmp_path / "r", "  - {hook: stays, every: 1d}\n", HOOKS), settings=settings)
    begun = home / "actions" / "living" / "begun"
    server = start_server(home)
    assert until(lambda: begun.exists() and begun.read_text())
    pid = int(begun.read_text())
    begun.unlink()
    server.process.kill()
    # its process ends with it
    assert until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
    other = start_server(home)
    assert until(lambda: begun.exists() and begun.read_text())
    assert [(run.outcome, run.origin) for run in runs(settings)] == [("running", "again"), ("died", "schedule")]
    again = int(begun.read_text())
    begun.unlink()
    os.kill(other.process.pid, signal.SIGTERM)
    other.process.wait(30)
    assert until(lambda: not Path(f"/proc/{again}").exists() or _is_zombie(again))
    (newest, _) = runs(settings)
    assert newest.outcome == "stopped"
    # not for ever: the day after is soon enough
    with ledger_of(settings) as ledger:
        scheduler = ActionScheduler(ledger, settings)
        assert scheduler.look() > 0 and len(ledger.resources.runs("living")) == 2


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_server_may_be_told_to_run_none(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    publish_resource(write(tmp_path / "r", "  - {hook: works, every: 1s}\n", HOOKS), settings=settings)
    start_server(home, SKYVAULT_ACTIONS="false")
    start_server(home, SKYVAULT_ACTIONS="true")
    assert until(lambda: runs(settings))


def test_an_action_harvests_another_server_and_what_it_withdraws(
    tmp_path: Path, start_server: Callable[..., Any], ledger_variables: Callable[[Path], dict[str, str]]
) -> None:
    from skyvault.publish.publisher import publish, unpublish

    far, near = tmp_path / "far", settings_of(tmp_path / "near", ledger_variables, authority="near.example")
    (tmp_path / "stars.csv").write_text("ra,dec\n10,20\n")
    for name in ("far.stars", "far.others"):
        publish(tmp_path / "stars.csv", name=name, settings=Settings(home=far, authority="far.example"))
    server = start_server(far, SKYVAULT_AUTHORITY="far.example")
    hooks = f"""
from skyvault.publish.harvest import harvest as harvested

def harvest(context):
    done = harvested("{server.base_url}/oai", context.settings)
    return f"{{done.records}} records, {{done.deleted}} deleted"
"""
    publish_resource(write(tmp_path / "r", "  - {hook: harvest, every: 1h}\n", hooks), settings=near)

    def found() -> set[str]:
        adql = "SELECT ivoid FROM rr.resource WHERE 1 = ivo_nocasematch(ivoid, 'ivo://far.example/%')"
        return {row["ivoid"] for batch in query(adql, settings=near).batches for row in batch.to_pylist()}

    with ledger_of(near) as ledger:
        scheduler = ActionScheduler(ledger, near)
        scheduler.start()
        try:
            assert until(lambda: [run.outcome for run in ledger.resources.runs("living")] == ["done"])
        finally:
            scheduler.stop()
        assert {one.rpartition("/")[2] for one in found()} >= {"stars", "others"}
        unpublish("far.others", home=far)
        assert run_by_hand(ledger, near, "living", "harvest") == "done"
        assert "1 deleted" in ledger.resources.runs("living")[0].output
    assert not any(one.endswith("others") for one in found())
