"""``skyvault status``: how far runs are, here or in another process, while they go on and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyvault.cli.options import home_option, json_option, print_json

if TYPE_CHECKING:
    from skyvault.pipeline.stored_run import RunStatus


@click.command(
    "status",
    epilog="""\b
Examples:
  skyvault status
  skyvault status flares
  watch skyvault status flares
  skyvault status flares --json | jq .seconds_left
""",
)
@click.argument("name", metavar="[NAME|PROJECT.yaml]", required=False)
@home_option
@json_option
def command(name: str | None, home: Path | None, as_json: bool) -> int:
    """Show how far a run is: counts, pace, time left, problems. Without a NAME, list all runs of the data directory.

    The exit code is 3 where sources failed.
    """
    from skyvault.cli.project_file import use_home
    from skyvault.pipeline.stored_run import find_run, stored_runs

    use_home(home)
    if name is None:
        listed = [run.status() for run in stored_runs()]
        if as_json:
            print_json([one.to_dict() for one in listed])
        else:
            _list(listed)
        return 0
    status = find_run(name).status()
    if as_json:
        print_json(status.to_dict())
    else:
        _show(status)
    return 3 if status.problems else 0


def _list(listed: list[RunStatus]) -> None:
    if not listed:
        click.echo("Nothing was run yet: skyvault run PROJECT.yaml", err=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("run", "phase", "started"):
        table.add_column(head, overflow="fold")
    for head in ("sources", "done", "detections", "problems"):
        table.add_column(head, justify="right")
    for one in listed:
        record = one.record
        counts = (record.sources, one.done, one.detections, one.problems)
        table.add_row(short_name(one), record.phase, record.started_at, *(f"{count:,}" for count in counts))
    Console(highlight=False).print(table)


def short_name(status: RunStatus) -> str:
    """The project, and as much of the version's checksum as a person types."""
    record = status.record
    return f"{record.project}_{record.cfg_hash[:8]}" if record.cfg_hash else record.project


def _show(status: RunStatus) -> None:
    record = status.record
    click.echo(f"{click.style(short_name(status), bold=True)}  {_phase(status)}")
    if record.description:
        click.echo(record.description)
    for label, value in _lines(status):
        click.echo(f"{label:<10}  {value}")
    if status.problem_kinds:
        click.echo(f"\n{status.problems:,} sources failed; the next run tries them again:")
        for kind in status.problem_kinds:
            where = f"{kind.observatory}, {kind.step}" if kind.observatory else kind.step
            click.echo(f"  {kind.sources:,} x {where}: {kind.what} (for one {kind.example})")
        shown = sum(kind.sources for kind in status.problem_kinds)
        if shown < status.problems:
            click.echo(f"  and {status.problems - shown:,} for other reasons")


def _phase(status: RunStatus) -> str:
    record = status.record
    words = {
        "running": f"runs since {record.started_at}, process {record.pid} of {record.host}",
        "done": f"ended after {duration(record.seconds)}",
        "stopped": f"was stopped after {duration(record.seconds)}; skyvault resume {record.project} goes on",
        "failed": f"failed: {record.message} skyvault resume {record.project} goes on",
        "died": f"its process was killed or died; skyvault resume {record.project} goes on",
    }
    return words.get(record.phase, record.phase)


def _lines(status: RunStatus) -> list[tuple[str, str]]:
    record = status.record
    share = f" ({status.done / record.sources:.1%})" if record.sources else ""
    lines = [
        ("sources", f"{record.sources:,}"),
        ("done", f"{status.done:,}{share}{_without(status.without_data)}"),
        ("detections", f"{status.detections:,} in {status.sources_with_detections:,} sources"),
        ("problems", f"{status.problems:,}"),
    ]
    of_run = f"{record.done + record.failed:,} of {record.chosen - record.skipped:,} sources"
    lines.append(("this run", f"{of_run}{f', {record.skipped:,} done before' if record.skipped else ''}"))
    if record.per_second is not None:
        lines.append(("pace", f"{record.per_second:,.1f} sources a second"))
    if record.seconds_left is not None:
        lines.append(("time left", duration(record.seconds_left)))
    return [*lines, ("folder", str(status.folder))]


def _without(count: int) -> str:
    return f", {count:,} of them without data" if count else ""


def duration(seconds: float) -> str:
    """As a person says it: 4.2 s, 3 min 20 s, 5 h 12 min, 2 d 3 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, next_size, next_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // next_size} {next_unit}"
    return f"{whole} s"
