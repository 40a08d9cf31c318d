"""``skyvault publish --run``: detections, properties and light curves of a run become tables that can be queried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import print_json
from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress
    from skyvault.publish.offered import PublishedTables


def publish_run(
    run_name: str, settings: Settings, *, schema: str | None = None, may_replace: bool = True,
    progress: Progress | None = None,
) -> PublishedTables:  # fmt: skip
    """Publish a run's tables; the addresses of its light curves are below ``settings.public_url``."""
    from skyvault.pipeline.publishable import PublishableRun
    from skyvault.pipeline.stored_run import find_run
    from skyvault.publish.offered import publish_offered

    run = PublishableRun(find_run(run_name), base_url=settings.public_url, schema=schema)
    return publish_offered(run, settings=settings, may_replace=may_replace, progress=progress)


def publish_run_and_tell(
    run_name: str, settings: Settings, *, schema: str | None, may_replace: bool, as_json: bool
) -> int:
    """As the command does it: progress on stderr, exit code 3 where something could not be read."""
    from skyvault.cli.progress import TerminalProgress

    if schema is not None and "." in schema:
        raise UsageError(
            f"--name {schema!r} names a table, and a run has several", hint="Give the name of their schema."
        )
    with TerminalProgress() as progress:
        done = publish_run(run_name, settings, schema=schema, may_replace=may_replace, progress=progress)
    if as_json:
        print_json(done.to_dict())
    else:
        _tell(done, settings)
    return 3 if done.problems or any(one.bad_rows for one in done.tables) else 0


def _tell(done: PublishedTables, settings: Settings) -> None:
    for one in done.tables:
        click.echo(f"{one.table.name}: {one.nrows or 0:,} rows, {one.bytes / 1e6:,.1f} MB, {one.seconds:.1f} s.")
        lost: Any = one.bad_rows
        if lost:
            click.echo(f"  {lost:,} rows have no place on the sky and were left out", err=True)
    for sentence in done.problems:
        click.echo(f"  {sentence}", err=True)
    series = next(one.table.name for one in done.tables if one.table.name.endswith(".time_series"))
    click.echo(
        f"{series} is in ivoa.ObsCore; the light curves' addresses begin with {settings.public_url} (--base-url, or the"
        " setting base_url, says otherwise).",
        err=True,
    )
