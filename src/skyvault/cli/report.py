"""``skyvault report``: a page about a run: numbers, sky, best detections, efficiency, problems."""

from __future__ import annotations

from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option, print_json


@click.command(
    "report",
    epilog="""\b
Examples:
  skyvault report flares
  skyvault report flares.yaml -o flares.html --best 24
""",
)
@click.argument("name", metavar="NAME|PROJECT.yaml")
@click.option("-o", "--output", metavar="FILE.html", type=click.Path(path_type=Path, dir_okay=False),
              help="Write there. [default: report.html in the run's folder]")  # fmt: skip
@click.option("--best", type=click.IntRange(0, 200), default=12, show_default=True,
              help="Detections that are shown with their light curves.")  # fmt: skip
@home_option
@json_option
def command(name: str, output: Path | None, best: int, home: Path | None, as_json: bool) -> int:
    """Write one HTML page about a run, with all pictures in it; it needs no network and can be sent by mail.

    It may be made while the run goes on.
    """
    from skyvault.cli.project_file import use_home
    from skyvault.pipeline.stored_run import find_run

    use_home(home)
    run = find_run(name)
    # drawing takes a second to load: a name that is wrong is told before
    from skyvault.pipeline.report import write_report

    path = write_report(run, output, best=best)
    if as_json:
        print_json({"name": run.name, "report": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(str(path))
    return 0
