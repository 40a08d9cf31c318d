"""``skyvault check``: are the published tables and their metadata in order?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.checker import Finding


@click.command(
    "check", epilog="\b\nExamples:\n  skyvault check\n  skyvault check mine.stars --json\n  skyvault check plates/\n"
)
@click.argument("name", metavar="[SCHEMA.TABLE|RESOURCE]", required=False)
@home_option
@json_option
def command(name: str | None, home: Path | None, as_json: bool) -> int:
    """Validate one published table, or all: files, metadata, units, UCDs; or a resource.yaml (or its folder).

    Of a resource: what is missing for others to find, cite and use it, and its own tests, run on what is published;
    those with an address by a server that runs as long as they do.

    Each finding says where it is and what to do. The exit code is 3 when something is wrong.
    """
    settings = settings_from(home=home)
    findings = _of_resource(Path(name), settings) if name and _is_resource(name) else _of_tables(name, settings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            hint = f"  {finding.hint}" if finding.hint else ""
            click.echo(f"{finding.severity}: {finding.where}: {finding.what}{hint}")
        if not findings:
            click.echo("Everything is in order.")
    return 3 if any(finding.severity == "error" for finding in findings) else 0


def _of_tables(name: str | None, settings: Settings) -> list[Finding]:
    from skyvault.publish.checker import check

    return list(check(name, settings=settings))


def _is_resource(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or Path(name).is_dir()


def _of_resource(path: Path, settings: Settings) -> list[Finding]:
    from skyvault.cli.checked_server import CheckedServer
    from skyvault.publish.resource_checks import check_resource
    from skyvault.serve.local import query

    def ask(adql: str) -> list[dict[str, Any]]:
        return [row for batch in query(adql, settings=settings, maxrec=10_000).batches for row in batch.to_pylist()]

    with CheckedServer(settings) as server:
        return check_resource(path, ask, server.fetch)
