"""``skyvault check``: are the published tables and their metadata in order?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from


@click.command("check", epilog="\b\nExamples:\n  skyvault check\n  skyvault check mine.stars --json\n")
@click.argument("name", metavar="[SCHEMA.TABLE]", required=False)
@home_option
@json_option
def command(name: str | None, home: Path | None, as_json: bool) -> int:
    """Validate one published table, or all: files, metadata, units, UCDs.

    Each finding says where it is and what to do. The exit code is 3 when something is wrong.
    """
    settings = settings_from(home=home)
    from skyvault.publish.checker import check

    findings = list(check(name, home=settings.home))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            hint = f"  {finding.hint}" if finding.hint else ""
            click.echo(f"{finding.severity}: {finding.where}: {finding.what}{hint}")
        if not findings:
            click.echo("Everything is in order.")
    return 3 if any(finding.severity == "error" for finding in findings) else 0
