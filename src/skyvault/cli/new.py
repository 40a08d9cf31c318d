"""``skyvault new``: a resource to start from, with a sample that can be published at once."""

from __future__ import annotations

from pathlib import Path

import click

from skyvault.cli.options import json_option, print_json
from skyvault.errors import UsageError


@click.command("new", epilog="\b\nExamples:\n  skyvault new\n  skyvault new images plates\n")
@click.argument("template", metavar="[TEMPLATE", required=False)
@click.argument("folder", metavar="DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON schema of a resource.yaml, for editors.")
@json_option
def command(template: str | None, folder: Path | None, schema: bool, as_json: bool) -> int:
    """List the templates, or write one into the new folder DIR.

    Each is a resource.yaml with comments, and a small sample: skyvault publish DIR works at once.
    """
    if schema:
        from skyvault.publish.resource_file import json_schema

        print_json(json_schema())
        return 0
    from skyvault.publish.templates import TEMPLATES, make_resource

    if template is None:
        if as_json:
            print_json({name: one.about for name, one in TEMPLATES.items()})
        else:
            for name, one in TEMPLATES.items():
                click.echo(f"{name:12} {one.about}")
            click.echo("Start one:  skyvault new images DIR", err=True)
        return 0
    if folder is None:
        raise UsageError("the folder is missing", hint=f"For example: skyvault new {template} my_{template}")
    files = make_resource(template, folder)
    if as_json:
        print_json([str(path) for path in files])
    else:
        for path in files:
            click.echo(str(path))
        click.echo(f"Fill in {folder}/resource.yaml, and publish it:  skyvault publish {folder}", err=True)
    return 0
