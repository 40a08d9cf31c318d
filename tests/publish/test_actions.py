"""Actions run by themselves: when due, once over all servers, in a process of their own that may do its worst."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publish.living import HOOKS, ledger_of, settings_of, until, write
from skyvault.config import Settings
from skyvault.errors import Conflict, NotFound
from skyvault.jobs.action_scheduler import ActionScheduler, run_by_hand
from skyvault.model.action import ScheduledAction
from skyvault.publish.resource_publisher import publish_resource
from skyvault.serve.local import query

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

NAMES = ("works", "plain", "fails", "dies", "many", "missing")
BY_HAND = "".join(f"  - {{hook: {name}, at: '00:00'}}\n" for name in NAMES)
PUBLISHED = HOOKS + "\ndef missing():\n    pass\n"


@pytest.fixture
def settings(tmp_path: Path, ledger_variables: Callable[[Path], dict[str, str]]) -> Settings:
    return settings_of(tmp_path / "home", ledger_variables)


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
    publish_resource(write(tmp_path / "r", BY_HAND, PUBLISHED), settings=settings)
    # what is missing went after it was published: publishing itself would refuse it
    write(tmp_path / "r", BY_HAND, HOOKS)
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
    publish_resource(write(tmp_path / "r", BY_HAND, PUBLISHED), settings=settings)
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
    publish_resource(write(tmp_path / "one", BY_HAND, PUBLISHED), settings=settings)
    other = write(tmp_path / "two", BY_HAND, PUBLISHED)
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
        shutil.rmtree(other)
        assert run_by_hand(ledger, settings, "living", "works") == "failed"
        assert "it cannot be started (No such file or directory" in ledger.resources.runs("living")[0].output


def test_only_the_newest_runs_are_kept(settings: Settings, tmp_path: Path) -> None:
    publish_resource(write(tmp_path / "r", BY_HAND, PUBLISHED), settings=settings)
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
