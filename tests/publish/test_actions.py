"""Actions run by themselves: when due, once over all servers, in a process of their own that may do its worst."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.config import Settings
from skyvault.errors import Conflict, NotFound
from skyvault.jobs.action_scheduler import ActionScheduler, run_by_hand
from skyvault.ledger.ledger import Ledger
from skyvault.ledger.resources import ActionRun
from skyvault.model.action import ScheduledAction
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

HEAD = "schema: living\ntitle: Living data\ndescription: They change.\n"


def until(true: Callable[[], Any], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    wait = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        wait.wait(0.02)
    return True


def write(folder: Path, actions: str, hooks: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resource.yaml").write_text(f"{HEAD}actions:\n{actions}")
    (folder / "hooks.py").write_text(hooks)
    return folder


def ledger_of(settings: Settings) -> Ledger:
    return open_home_ledger(Layout.of(settings))


def runs(settings: Settings, action: str | None = None) -> list[ActionRun]:
    with ledger_of(settings) as ledger:
        return ledger.resources.runs("living", action, 100)


# --- when ----------------------------------------------------------------------------------------------------------

DAY = 86_400.0


@given(st.floats(0, 1e9), st.floats(0, 10 * DAY))
def test_of_all_runs_that_were_missed_one_is_made_up(last: float, gone: float) -> None:
    action = ScheduledAction("a", "a", every_s=3600.0)
    at = action.due(last + gone, since=0.0, loaded_at=0.0, last=last)
    assert at == last + 3600.0
    # it runs now, and then an hour later
    assert action.due(last + gone, since=0.0, loaded_at=0.0, last=last + gone) == last + gone + 3600.0


@given(st.floats(1e9, 2e9), st.integers(0, 1439), st.floats(0, 3 * DAY))
def test_a_time_of_day_is_met_once_a_day(now: float, minute: int, ago: float) -> None:
    action = ScheduledAction("a", "a", at_s=60.0 * minute)
    at = action.due(now, since=now - 30 * DAY, loaded_at=0.0, last=now - ago)
    assert at is not None and at % DAY == pytest.approx(60.0 * minute)
    assert now - DAY <= at <= now + DAY
    # due now just when that time of day has passed since it last ran
    latest = (now - 60.0 * minute) // DAY * DAY + 60.0 * minute
    assert (at <= now) == (latest > now - ago)
    assert action.due(now, since=now - 30 * DAY, loaded_at=0.0, last=now) > now  # type: ignore[operator]


def test_an_action_that_is_new_does_not_make_up_for_yesterday() -> None:
    action = ScheduledAction("a", "a", at_s=3 * 3600.0)
    assert action.due(100 * DAY + 10 * 3600, since=100 * DAY + 9 * 3600, loaded_at=0, last=None) == 101 * DAY + 3 * 3600


def test_loading_is_met_once() -> None:
    action = ScheduledAction("a", "a", on_loaded=True)
    assert action.due(50.0, since=0.0, loaded_at=10.0, last=None) == 10.0
    assert action.due(50.0, since=0.0, loaded_at=10.0, last=11.0) is None


def test_rhythms_are_told_in_words() -> None:
    told = [ScheduledAction.of({"hook": "f", **one}).rhythm for one in (
        {"every": "90m"}, {"every": "6h"}, {"every": "2 d"}, {"every": "1s"}, {"at": "03:05"}, {"on": "loaded"})]  # fmt: skip
    assert told == ["every 90 min", "every 6 h", "every 2 d", "every 1 s", "at 03:05 UTC", "when loaded"]


# --- by hand -------------------------------------------------------------------------------------------------------

HOOKS = """
import os, sys, time

def works(context):
    context.logger.info("%s has %s", context.name, context.resource["title"])
    (context.home / "seen").write_text(str(context.folder))
    return "done well"

def plain():
    print("x" * 50_000)
    print("the end")

def fails(context):
    for number in range(3):
        print(1 / (2 - number))

def dies():
    os.abort()

def hangs():
    print("begun", flush=True)
    while True:
        time.sleep(60)

def stays(context):
    (context.home / "begun").write_text(str(os.getpid()))
    while True:
        time.sleep(60)

def many(a, b):
    pass
"""
NAMES = ("works", "plain", "fails", "dies", "many", "missing")
BY_HAND = "".join(f"  - {{hook: {name}, at: '00:00'}}\n" for name in NAMES)


@pytest.fixture
def settings(tmp_path: Path, ledger_variables: Callable[[Path], dict[str, str]]) -> Settings:
    return settings_of(tmp_path / "home", ledger_variables)


def settings_of(home: Path, variables: Callable[[Path], dict[str, str]], **more: str) -> Settings:
    # the processes of actions are told by settings alone where the ledger is
    address = variables(home).get("SKYVAULT_LEDGER")
    return Settings(home=home, **more, **({} if address is None else {"ledger": address}))


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("works", "done", "living has Living data\ndone well"),
        ("plain", "done", "x\nthe end"),
        ("fails", "failed", "hooks.py, line 15: ZeroDivisionError: division by zero"),
        ("dies", "failed", "its process was ended by SIGABRT"),
        ("many", "failed", "the function many cannot be called as a hook"),
        ("missing", "failed", "there is no function 'missing' in it"),
    ],
)
def test_a_run_by_hand_is_noted_with_its_last_words(
    settings: Settings, tmp_path: Path, name: str, outcome: str, said: str
) -> None:
    publish_resource(write(tmp_path / "r", BY_HAND, HOOKS), settings=settings)
    heard: list[bytes] = []
    with ledger_of(settings) as ledger:
        assert run_by_hand(ledger, settings, "Living", name, echo=heard.append) == outcome
        (run,) = ledger.resources.runs("living")
    assert (run.outcome, run.action, run.origin) == (outcome, name, "hand")
    assert said in run.output and said.encode() in b"".join(heard) and "Traceback" not in run.output
    assert len(run.output) <= 8_000 and run.ended_at is not None
    if name == "works":
        assert (settings.home / "actions" / "living" / "seen").read_text() == str(tmp_path / "r")


def test_a_run_that_takes_too_long_is_ended(settings: Settings, tmp_path: Path) -> None:
    publish_resource(write(tmp_path / "r", "  - {hook: hangs, every: 1d, seconds: 1}\n", HOOKS), settings=settings)
    with ledger_of(settings) as ledger:
        assert run_by_hand(ledger, settings, "living", "hangs") == "over time"
        (run,) = ledger.resources.runs("living")
    assert run.output == "begun\n\nit was ended after 1 s"


def test_what_cannot_be_run_is_a_sentence(settings: Settings, tmp_path: Path) -> None:
    publish_resource(write(tmp_path / "r", BY_HAND, HOOKS), settings=settings)
    with ledger_of(settings) as ledger:
        with pytest.raises(NotFound, match="no resource 'other' is published"):
            run_by_hand(ledger, settings, "other", "works")
        with pytest.raises(NotFound, match="living has no action 'worx'"):
            run_by_hand(ledger, settings, "living", "worx")
        number = ledger.resources.begin("living", "plain", origin="hand", last=0, holder="x/y/1/2", lease_s=60)
        assert number is not None
        with pytest.raises(Conflict, match="'plain' of living runs just now"):
            run_by_hand(ledger, settings, "living", "works")


def test_another_resource_does_not_end_actions_silently(settings: Settings, tmp_path: Path) -> None:
    publish_resource(write(tmp_path / "one", BY_HAND, HOOKS), settings=settings)
    other = write(tmp_path / "two", BY_HAND, HOOKS)
    with pytest.raises(Conflict, match=r"the schema living is that of .*one/resource.yaml, which has actions"):
        publish_resource(other, settings=settings)
    # it was moved: the same resource in another place
    (tmp_path / "one" / "resource.yaml").unlink()
    publish_resource(other, settings=settings)
    with ledger_of(settings) as ledger:
        found = ledger.resources.find("LIVING")
        assert found is not None and found.path == str(other / "resource.yaml")
        # a folder that is not there is told
        (other / "resource.yaml").rename(tmp_path / "kept")
        (other / "hooks.py").unlink()
        other.rmdir()
        assert run_by_hand(ledger, settings, "living", "works") == "failed"
        assert "it cannot be started (No such file or directory" in ledger.resources.runs("living")[0].output


def test_only_the_newest_runs_are_kept(settings: Settings, tmp_path: Path) -> None:
    publish_resource(write(tmp_path / "r", BY_HAND, HOOKS), settings=settings)
    with ledger_of(settings) as ledger:
        last = 0
        for _ in range(55):
            other = ledger.resources.begin("living", "plain", origin="hand", last=0 if last == 0 else last, holder="h",
                                           lease_s=60)  # fmt: skip
            assert other is not None
            ledger.resources.end(other, "done", "y" * 10_000)
            last = other
        kept = ledger.resources.runs("living", "plain", 1000)
        assert len(kept) == 50 and kept[0].number == last and len(kept[0].output) == 8_000


# --- by itself -----------------------------------------------------------------------------------------------------


def test_of_two_schedulers_one_runs_it_and_what_it_publishes_is_there(settings: Settings, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "r",
        "  - {hook: grow, every: 1h}\n  - {hook: count, on: loaded}\n",
        """
def grow(context):
    lines = (context.folder / "t.csv").read_text()
    (context.folder / "t.csv").write_text(lines + "3,30\\n")
    context.publish()

def count(context):
    rows = context.query("SELECT count(*) AS n, max(b) AS most FROM living.t")
    return f"{rows['n'][0]} rows, most {rows['most'][0]}"
""",
    )
    (folder / "t.csv").write_text("a,b\n1,10\n2,20\n")
    with (folder / "resource.yaml").open("a") as file:
        file.write("tables:\n  t: {source: t.csv}\n")
    publish_resource(folder, settings=settings)
    with ledger_of(settings) as one, ledger_of(settings) as two:
        schedulers = [ActionScheduler(one, settings), ActionScheduler(two, settings)]
        for scheduler in schedulers:
            scheduler.start()
        try:
            # whichever came first: it runs once more when another action has published
            assert until(lambda: any("3 rows" in run.output for run in one.resources.runs("living", "count"))), [
                (run.action, run.outcome, run.output) for run in one.resources.runs("living")
            ]
        finally:
            for scheduler in schedulers:
                scheduler.stop()
        assert [run.outcome for run in one.resources.runs("living", "grow")] == ["done"]
        assert one.resources.runs("living", "count")[0].output == "3 rows, most 30"
    rows = [row for batch in query("SELECT a FROM living.t", settings=settings).batches for row in batch.to_pylist()]
    assert len(rows) == 3


def test_an_action_that_runs_on_loading_does_not_run_itself_by_publishing(settings: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "  - {hook: again, on: loaded}\n", "def again(context):\n    context.publish()\n")
    publish_resource(folder, settings=settings)
    with ledger_of(settings) as ledger:
        scheduler = ActionScheduler(ledger, settings)
        scheduler.start()
        try:
            assert until(lambda: [run.outcome for run in ledger.resources.runs("living")] == ["done"])
            scheduler._counter = None
            assert scheduler.look() > 0
            assert len(ledger.resources.runs("living")) == 1
        finally:
            scheduler.stop()


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


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_lists_runs_and_stops_them(skyvault: Callable[..., Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "r", "  - {hook: works, at: '03:05'}\n  - {hook: fails, every: 6h}\n", HOOKS)
    home = ("--home", tmp_path / "home")
    assert skyvault("actions", *home).out.startswith("No published resource has actions.")
    published = skyvault("publish", folder, *home)
    assert published.code == 0, published.err
    listed = skyvault("actions", *home)
    assert "living works  at 03:05 UTC, next 20" in listed.out and "living fails  every 6 h, next now" in listed.out
    ran = skyvault("actions", "run", "living", "works", *home)
    assert (ran.code, ran.out) == (0, "living has Living data\ndone well\n")
    failed = skyvault("actions", "run", "living", "fails", *home)
    assert failed.code == 1 and "hooks.py, line 15: ZeroDivisionError" in failed.out
    log = skyvault("actions", "log", "living", *home)
    assert "works: done" in log.out and "    done well" in log.out and "fails: failed" in log.out
    assert "done 20" in skyvault("actions", *home).out
    assert skyvault("actions", "stop", "living", *home).code == 0
    assert skyvault("actions", "stop", "living", *home).code == 1
    assert skyvault("actions", *home).out.startswith("No published resource")
