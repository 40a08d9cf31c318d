"""``skyvault resume``: a run that was stopped, killed or failed goes on where it ended."""

from __future__ import annotations

import os
from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option
from skyvault.errors import ConfigError, UsageError


@click.command(
    "resume",
    epilog="""\b
Examples:
  skyvault resume flares
  skyvault resume flares --workers 8
""",
)
@click.argument("name", metavar="NAME|PROJECT.yaml")
@click.option("--executor", metavar="local|serial|dask|ADDRESS",
              help="Who works: processes of this machine, this process, or a dask cluster: one of this machine, or "
                   "that of a scheduler's address or file.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes at work. [default: one a core]")
@home_option
@json_option
def command(name: str, executor: str | None, workers: int | None, home: Path | None, as_json: bool) -> int:
    """Go on with a run that was begun by skyvault run. Sources that failed are tried again; all others are kept.

    The parameters are those of the YAML file it was begun with, as the file is now.
    """
    from skyvault.cli.project_file import project_from, use_home
    from skyvault.cli.run import do
    from skyvault.pipeline.stored_run import find_run

    use_home(home)
    run = find_run(name)
    record = run.record
    if record.file is None:
        raise UsageError(
            f"the run {run.name} was begun in Python", hint="Call run() of the same Project once more: it goes on."
        )
    if not Path(record.file).is_file():
        raise ConfigError(
            "the file that the run was begun with is not there any more", where=record.file,
            hint="Put it back, or give another to skyvault run.",
        )  # fmt: skip
    # what the file names was found from where the run was begun
    if record.directory is not None and Path(record.directory).is_dir():
        os.chdir(record.directory)
    project = project_from(Path(record.file), executor=executor, num_workers=workers)
    return do(project, as_json=as_json)
