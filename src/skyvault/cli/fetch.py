"""``skyvault fetch``: the files of chosen observations, from their archive to a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.mission_options import Choice, filtered, made, mission_options
from skyvault.cli.options import json_option, print_json, settings_from
from skyvault.errors import UsageError
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from skyvault.missions.download_report import DownloadPlan, DownloadReport
    from skyvault.missions.mission import Mission

#: more observations than this are fetched only when somebody says so
_MANY = 200


@click.command(
    "fetch",
    epilog="""\b
Examples:
  skyvault fetch nustar --name "3C 273" --dry-run
  skyvault fetch chandra --ids 3205,4952 --output data
  skyvault fetch clusters.json --raw --jobs 4 --retry 2

The same command again goes on where it stopped: whole observations are not fetched twice, cut files are resumed.
""",
)
@click.argument("mission", metavar="MISSION|STATE.json")
@mission_options
@click.option("--output", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default=Path("."),
              help="Directory for the data: DIR/MISSION_raw/OBSID/. [default: here]")  # fmt: skip
@click.option("--products/--raw", "with_products", default=True, help="With the archive's products, or raw data only.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Files at once. [default: what the archive likes]")
@click.option("--credentials", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Ini file with user and password for proprietary observations.")  # fmt: skip
@click.option("--pipeline-version", metavar="N", help="A processing version, where the archive keeps several.")
@click.option("--retry", "rounds", type=click.IntRange(0, 20), default=0, help="Try what failed so often again.")
@click.option("--all", "is_all", is_flag=True, help=f"Fetch even when more than {_MANY} observations are chosen.")
@click.option("--dry-run", is_flag=True, help="List files and sizes, fetch none.")
@json_option
def command(
    mission: str,
    choice: Choice,
    output: Path,
    with_products: bool,
    jobs: int | None,
    credentials: Path | None,
    pipeline_version: str | None,
    rounds: int,
    is_all: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Fetch the files of a mission's observations, chosen as by skyvault observations or by a saved state.

    Exit codes: 0 all is whole, 3 some observations failed (they are listed with the reason), 1 nothing came.
    """
    chosen = made(mission, choice, settings_from(home=choice.home), output)
    if choice.has_filter:
        filtered(chosen, choice)
    if len(chosen) > _MANY and not is_all:
        raise UsageError(
            f"{len(chosen):,} observations of {chosen.pretty_name} are chosen",
            hint="Choose fewer (--name, --time, --ids ...), or say --all.",
        )
    login = None if credentials is None else str(credentials)
    if dry_run:
        return _tell_plan(chosen, chosen.plan_download(login, with_products, pipeline_version), as_json)
    report = _fetched(chosen, jobs, login, with_products, pipeline_version, rounds)
    return _tell_report(chosen, report, as_json)


def _fetched(
    mission: Mission, jobs: int | None, login: str | None, with_products: bool, version: str | None, rounds: int
) -> DownloadReport:
    from skyvault.cli.progress import TerminalProgress

    # every problem is listed below
    with quiet(), TerminalProgress() as progress:
        try:
            mission.download(jobs, login, with_products, version, progress=progress)
            for _ in range(rounds):
                report = mission.download_report
                if report is None or report.is_complete or not any(one.may_pass for one in report.problems):
                    break
                mission.download(jobs, login, with_products, version, retry=report, progress=progress)
        except KeyboardInterrupt:
            click.echo("skyvault: what came is kept; the same command goes on from here.", err=True)
            raise
    assert mission.download_report is not None
    return mission.download_report


def _tell_plan(mission: Mission, plan: DownloadPlan, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "mission": mission.name,
                "about_bytes": plan.about_bytes,
                "whole": list(plan.whole),
                "files": [
                    {
                        "obs_id": f.obs_id,
                        "url": f.url,
                        "path": str(f.path),
                        "about_bytes": f.about_bytes,
                        "is_here": f.is_here,
                    }
                    for f in plan.files
                ],
                "problems": [{"obs_id": one.obs_id, "reason": one.reason} for one in plan.problems],
            }
        )
    else:
        for one in plan.files:
            size = "size unknown" if one.about_bytes is None else _bytes(one.about_bytes)
            click.echo(f"{one.obs_id}  {'is here' if one.is_here else size:>12}  {one.url}")
        for problem in plan.problems:
            click.echo(f"skyvault: {problem}", err=True)
        missing = sum(not one.is_here for one in plan.files)
        click.echo(
            f"{len(mission)} observations, {missing} files to fetch, about {_bytes(plan.about_bytes)};"
            f" {len(plan.whole)} observations are whole already",
            err=True,
        )
    return 3 if plan.problems else 0


def _tell_report(mission: Mission, report: DownloadReport, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "mission": mission.name,
                "directory": mission.raw_data_path,
                "whole": [
                    {
                        "obs_id": one.obs_id,
                        "files": one.files,
                        "stored_bytes": one.stored_bytes,
                        "received_bytes": one.received_bytes,
                        "was_there": one.was_there,
                    }
                    for one in report.rows
                ],
                "problems": [
                    {"obs_id": one.obs_id, "reason": one.reason, "may_pass": one.may_pass, "is_refused": one.is_refused}
                    for one in report.problems
                ],
            }
        )
    else:
        files, stored = sum(one.files for one in report.rows), sum(one.stored_bytes for one in report.rows)
        click.echo(
            f"{len(report.rows)} of {len(report.rows) + len(report.problems)} observations are whole:"
            f" {files} files, {_bytes(stored)} ({_bytes(report.received_bytes)} came now), in {mission.raw_data_path}"
        )
    for problem in report.problems:
        click.echo(f"skyvault: {problem}", err=True)
    if any(one.may_pass for one in report.problems):
        click.echo("skyvault: some of it may work later; the same command fetches only what is missing.", err=True)
    if not report.problems:
        return 0
    return 3 if report.rows else 1


def _bytes(count: Any) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} bytes" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError
