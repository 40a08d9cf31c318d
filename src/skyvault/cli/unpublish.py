"""``skyvault unpublish``: a table is withdrawn."""

from __future__ import annotations

from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from


@click.command("unpublish", epilog="\b\nExample:\n  skyvault unpublish mine.stars\n")
@click.argument("name", metavar="SCHEMA.TABLE")
@home_option
@json_option
def command(name: str, home: Path | None, as_json: bool) -> int:
    """Withdraw a published table. Queries that are running finish; new ones no longer find it."""
    settings = settings_from(home=home)
    from skyvault.publish.publisher import unpublish

    unpublish(name, home=settings.home)
    if as_json:
        print_json({"unpublished": name})
    else:
        click.echo(f"{name} is no longer published.")
    return 0
