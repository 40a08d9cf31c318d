"""``skyvault run``: a whole target list, from download to detections; stopped at any moment, it can be resumed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from skyvault.cli.options import home_option, json_option, print_json
from skyvault.errors import Cancelled

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project
    from skyvault.pipeline.running import RunReport

PROBLEMS: Final = 3


@click.command(
    "run",
    epilog="""\b
Examples:
  skyvault run flares.yaml
  skyvault run flares.yaml --workers 8 --source 4472832130942575872 --source 5853498713190525696
  skyvault run flares.yaml --json | jq .detections
""",
)
@click.argument("file", metavar="PROJECT.yaml", type=click.Path(path_type=Path))
@click.option("--executor", metavar="local|serial|dask|ADDRESS",
              help="Who works: processes of this machine, this process, or a dask cluster: one of this machine, or "
                   "that of a scheduler's address or file.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes at work. [default: one a core]")
@click.option("--start", type=click.IntRange(0), help="First row of the target list, counted from 0.")
@click.option("--finish", type=click.IntRange(0), help="Row of the target list to stop before.")
@click.option(
    "--source", "sources", metavar="NAME", multiple=True, help="Only this source; may be given several times."
)
@home_option
@json_option
def command(
    file: Path,
    executor: str | None,
    workers: int | None,
    start: int | None,
    finish: int | None,
    sources: tuple[str, ...],
    home: Path | None,
    as_json: bool,
) -> int:
    """Run the project that PROJECT.yaml describes: download, reduce and analyse every source of its target list.

    What is done is kept source by source: Ctrl-C, a kill or a power cut lose at most what was in work, and a second
    run goes on where the first ended. One source that fails is a row of the problems, and the exit code is 3 then.
    """
    from skyvault.cli.project_file import project_from, use_home

    use_home(home)
    project = project_from(file, executor=executor, num_workers=workers)
    return do(project, as_json=as_json, start=start or 0, finish=finish, source_names=list(sources) or None)


def do(project: Project, *, as_json: bool, **choice: Any) -> int:
    """Run with a progress bar, say what came of it, and return the exit code."""
    for sentence in changes(project):
        click.echo(sentence, err=True)
    report = watched(project, **choice)
    if as_json:
        print_json(_document(project, report))
    else:
        _tell(project, report)
    return PROBLEMS if report.failed else 0


def changes(project: Project) -> list[str]:
    """What a person should know before an earlier run goes on with other parameters; [] where all is as it was."""
    from skyvault.pipeline.parameter_files import read_yaml
    from skyvault.pipeline.stored_data import product_folder
    from skyvault.pipeline.versions import differences

    path = project.root / product_folder(project.name, "") / "config.yaml"
    if project.pars.version_control or not path.is_file():
        return []
    # the code's version changes with every commit of whatever kind
    found = [one for one in differences(read_yaml(path), project.output_config()) if not one.startswith("code:")]
    if not found:
        return []
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return [
        f"Parameters have changed since this project was run last: {shown}. What is done already keeps what was found"
        " with the old ones; version_control: true keeps both apart."
    ]


def watched(project: Project, **choice: Any) -> RunReport:
    """Run with a progress bar. Raises Cancelled (exit code 130) when somebody stops it."""
    from skyvault.cli.progress import TerminalProgress

    seen = 0
    with TerminalProgress() as progress:

        def on_progress(done: int, of: int) -> None:
            nonlocal seen
            if not seen:
                progress.start(project.name, of)
            progress.advance(done - seen)
            seen = done

        try:
            with terminated_as_interrupted():
                report: RunReport = project.run(on_progress=on_progress, **choice)
                return report
        except KeyboardInterrupt:
            raise Cancelled(
                f"stopped after {seen:,} sources, which are kept", where=project.name,
                hint=f"Go on with: skyvault resume {project.name}",
            ) from None  # fmt: skip


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, which batch systems send before they kill, ends the work as Ctrl-C does."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _document(project: Project, report: RunReport) -> dict[str, Any]:
    status = project.status()
    return {
        "name": project.name if not project.cfg_hash else f"{project.name}_{project.cfg_hash}",
        "done": report.done,
        "done_before": report.skipped,
        "failed": report.failed,
        "seconds": round(report.seconds, 3),
        "per_second": round(report.done / report.seconds, 2) if report.seconds > 0 else None,
        "sources": status.sources,
        "without_data": status.without_data,
        "detections": status.detections,
        "problems": status.problems,
        "folder": str(project.output_folder),
    }


def _tell(project: Project, report: RunReport) -> None:
    status = project.status()
    pace = f" ({report.done / report.seconds:,.0f} a second)" if report.done and report.seconds > 0 else ""
    parts = [f"{report.done:,} sources done in {report.seconds:.1f} s{pace}"]
    if report.skipped:
        parts.append(f"{report.skipped:,} were done before")
    if report.failed:
        parts.append(f"{report.failed:,} failed")
    click.echo(f"{project.name}: {', '.join(parts)}.")
    found = f"{status.detections:,} detections in {status.done:,} of {status.sources:,} sources"
    click.echo(f"{found}{f', {status.without_data:,} of them without data' if status.without_data else ''}.")
    click.echo(f"Products:  {project.output_folder}", err=True)
    if status.problems:
        click.echo(f"Problems:  skyvault status {project.name}", err=True)
    click.echo(f"Report:    skyvault report {project.name}", err=True)
