"""``skyvault upgrade``: published tables are brought to the format of this version."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from


@click.command("upgrade", epilog="\b\nExample:\n  skyvault upgrade\n")
@click.option("--all", "everything", is_flag=True, help="Write every table anew, whatever its format.")
@home_option
@json_option
def command(everything: bool, home: Path | None, as_json: bool) -> int:
    """Bring published tables, and those of users, to the format of this version of Skyvault.

    Each table is written anew beside and then swapped; queries go on meanwhile. It may be stopped and started again.
    ivoa.ObsCore is merged again where it does not show what is published. Where SKYVAULT_LEDGER names an empty
    PostgreSQL database, the ledger moves from its file in the data directory to there; stop the servers before.
    """
    settings = settings_from(home=home)
    from skyvault.cli.progress import TerminalProgress
    from skyvault.publish.upgrade import upgrade
    from skyvault.store.home_ledger import move_ledger
    from skyvault.store.layout import Layout

    moved = move_ledger(Layout.of(settings))
    if moved is not None:
        click.echo(f"The ledger ({moved:,} rows) is in PostgreSQL now; its file is ledger.sqlite.moved.", err=True)
    with TerminalProgress() as progress:
        done = upgrade(settings=settings, everything=everything, progress=progress)
    if as_json:
        print_json([asdict(one) for one in done])
        return 0
    for one in done:
        click.echo(f"{one.name}: {one.nrows:,} rows, from format {one.before} to {one.after}.")
    if not done:
        click.echo("Every table has the format of this version.")
    return 0
