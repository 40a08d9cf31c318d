"""``skyvault actions``: what published resources let run by themselves, how it went, and running it by hand."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from

if TYPE_CHECKING:
    from skyvault.ledger.ledger import Ledger
    from skyvault.ledger.resources import ActionRun, Registered
    from skyvault.model.action import ScheduledAction


@click.group(
    "actions",
    invoke_without_command=True,
    epilog="""\b
Examples:
  skyvault actions
  skyvault actions run plates harvest
  skyvault actions log plates harvest
  skyvault actions stop plates
""",
)
@home_option
@json_option
@click.pass_context
def command(context: click.Context, home: Path | None, as_json: bool) -> int | None:
    """List what runs by itself: the actions of published resources, when each runs next and how its last run went.

    A running skyvault serve begins what is due; with several, one does.
    """
    if context.invoked_subcommand is not None:
        return None
    with _ledger(home) as ledger:
        told = [_told(*one) for one in _actions(ledger)]
    if as_json:
        print_json(told)
        return 0
    if not told:
        click.echo("No published resource has actions. See actions: of a resource.yaml.")
    width = max((len(f"{one['resource']} {one['action']}") for one in told), default=0)
    for one in told:
        name = f"{one['resource']} {one['action']}".ljust(width)
        last = "never ran" if one["began"] is None else f"{one['outcome']} {one['began']}"
        click.echo(f"{name}  {one['rhythm']}, next {one['next']}; {last}{_last_line(one['output'])}")
    return 0


@command.command("run", epilog="\b\nExample:\n  skyvault actions run plates harvest\n")
@click.argument("resource")
@click.argument("action")
@home_option
def run(resource: str, action: str, home: Path | None) -> int:
    """Run an action now, and see what it says. The exit code is 1 when it fails."""
    from skyvault.jobs.action_scheduler import run_by_hand

    def echo(words: bytes) -> None:
        sys.stdout.write(words.decode("utf-8", "replace"))
        sys.stdout.flush()

    settings = settings_from(home=home)
    with _ledger(home) as ledger:
        outcome = run_by_hand(ledger, settings, resource, action, echo=echo)
    click.echo(f"{resource} {action}: {outcome}.", err=True)
    return 0 if outcome == "done" else 1


@command.command("log", epilog="\b\nExample:\n  skyvault actions log plates harvest\n")
@click.argument("resource")
@click.argument("action", required=False)
@click.option("--last", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many runs.")
@home_option
@json_option
def log(resource: str, action: str | None, last: int, home: Path | None, as_json: bool) -> int:
    """Show the last runs of an action (or of all of a resource), with what they said."""
    with _ledger(home) as ledger:
        runs = ledger.resources.runs(resource, action, last)[::-1]
    if as_json:
        print_json([_run(one) for one in runs])
        return 0
    if not runs:
        click.echo("It has not run yet.")
    for one in runs:
        took = "" if one.ended_at is None else f", {one.ended_at - one.began_at:.1f} s"
        by = {"schedule": "", "again": ", made up", "hand": ", by hand"}[one.origin]
        click.echo(f"{_instant(one.began_at)}  {one.action}: {one.outcome}{took}{by}")
        for line in one.output.splitlines():
            click.echo(f"    {line}")
    return 0


@command.command("stop", epilog="\b\nExample:\n  skyvault actions stop plates\n")
@click.argument("resource")
@home_option
def stop(resource: str, home: Path | None) -> int:
    """Let a resource's actions run no more, and forget their runs; publishing it again brings them back."""
    from skyvault.errors import NotFound

    with _ledger(home) as ledger:
        if not ledger.resources.forget(resource):
            known = ", ".join(one.name for one in ledger.resources.all())
            raise NotFound(f"no resource {resource!r} is published", hint=f"There are {known}." if known else None)
    click.echo(f"The actions of {resource} run no more.")
    return 0


def _ledger(home: Path | None) -> Ledger:
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    return open_home_ledger(Layout.of(settings_from(home=home)).make())


def _actions(ledger: Ledger) -> Iterator[tuple[Registered, ScheduledAction, ActionRun | None]]:
    from skyvault.jobs.holder import verdict
    from skyvault.model.action import actions_of

    ledger.resources.bury(verdict)
    newest = ledger.resources.newest()
    for resource in ledger.resources.all():
        for action in actions_of(resource.document):
            yield resource, action, newest.get((resource.name.lower(), action.name))


def _told(resource: Registered, action: ScheduledAction, newest: ActionRun | None) -> dict[str, Any]:
    from skyvault.jobs.action_scheduler import due

    at, _ = due(action, resource, newest, time.time())
    is_running = newest is not None and newest.outcome == "running"
    if at is None:
        following = "when this one is over" if is_running else "when it is published again"
    else:
        following = "now" if at <= time.time() else _instant(at)
    run = {"began": None, "ended": None, "outcome": None, "output": None} if newest is None else _run(newest)
    return {"resource": resource.name, "action": action.name, "hook": action.hook, "rhythm": action.rhythm,
            "next": following, **{key: run[key] for key in ("began", "ended", "outcome", "output")}}  # fmt: skip


def _run(run: ActionRun) -> dict[str, Any]:
    return {
        "resource": run.resource,
        "action": run.action,
        "origin": run.origin,
        "began": _instant(run.began_at),
        "ended": None if run.ended_at is None else _instant(run.ended_at),
        "outcome": run.outcome,
        "output": run.output,
    }


def _instant(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _last_line(output: str | None) -> str:
    last = (output or "").rstrip().rpartition("\n")[2]
    return f" ({last[:100]})" if last else ""
