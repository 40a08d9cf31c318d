"""``skyvault backup``: a consistent copy of all that is published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from


@click.command("backup", epilog="\b\nExample:\n  skyvault backup /mnt/backup/skyvault\n")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@home_option
@json_option
def command(directory: Path, home: Path | None, as_json: bool) -> int:
    """Copy the ledger and all published tables into DIR, while the service runs.

    A second backup into the same directory copies only what is new. To restore, copy DIR to a place of its own and
    set SKYVAULT_HOME to that: it is a data directory. Results of jobs are not copied.
    """
    settings = settings_from(home=home)
    from skyvault.cli.progress import TerminalProgress
    from skyvault.publish.backup import backup

    with TerminalProgress() as progress:
        done = backup(directory, settings=settings, progress=progress)
    if as_json:
        print_json(asdict(done))
    else:
        kept = f", {done.kept} were there already" if done.kept else ""
        click.echo(
            f"{done.tables} tables are in {done.directory}: {done.copied} copied ({done.bytes / 1e6:,.1f} MB){kept}."
        )
    return 0
