"""``skyvault publish resource.yaml``: a collection with its tables and files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import print_json

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import PublishedResource

#: problems and remarks told before the rest is only counted
_TOLD = 20


def is_resource(source: Path) -> bool:
    """Whether what is to be published is a resource and not a table."""
    return source.is_dir() or source.suffix.lower() in (".yaml", ".yml")


def publish_resource_and_tell(source: Path, settings: Settings, *, only: tuple[str, ...], as_json: bool) -> int:
    """Publish it, tell what came of it; 3 when some files could not be read."""
    from skyvault.cli.progress import TerminalProgress
    from skyvault.publish.resource_publisher import publish_resource

    with TerminalProgress() as progress:
        done = publish_resource(source, settings=settings, only=only, progress=progress)
    if as_json:
        print_json(_as_dict(done))
    else:
        _report(done)
    _make_hips(done, settings, is_quiet=as_json)
    return 3 if done.problems or any(table.bad_rows for table in done.tables) else 0


def _report(done: PublishedResource) -> None:
    for table in done.tables:
        click.echo(f"{table.table.name}: {table.nrows:,} rows, {table.seconds:.1f} s.")
        for sentence in table.inferred:
            click.echo(f"  {sentence}", err=True)
    for one in done.collections:
        read = one.ingested
        parts = [f"{read.read:,} files read"]
        parts += [f"{read.known:,} known"] if read.known else []
        parts += [f"{read.vanished:,} vanished"] if read.vanished else []
        click.echo(f"{one.name}: {one.rows:,} datasets ({', '.join(parts)}), {one.seconds:.1f} s.")
        _listed(read.remarks, read.remark_count)
        if read.problems:
            click.echo(f"  {read.problem_count:,} files could not be read and were left out:", err=True)
            _listed(read.problems, read.problem_count)
    _tell_remarks(done)
    if done.actions:
        click.echo(f"Runs by itself while it is served: {', '.join(done.actions)}  (skyvault actions)", err=True)
    click.echo("Serve it:  skyvault serve", err=True)


def _tell_remarks(done: PublishedResource) -> None:
    """What of the YAML will not be understood as it was meant, the first twenty of it."""
    if not done.remarks:
        return
    for one in done.remarks[:_TOLD]:
        hint = f". {one.hint}" if one.hint else "."
        click.echo(f"warning: {one.where}: {one.what}{hint}", err=True)
    more = len(done.remarks) - _TOLD
    click.echo(f"{f'And {more} more: ' if more > 0 else ''}skyvault check {done.path.parent} tells more.", err=True)


def _make_hips(done: PublishedResource, settings: Settings, *, is_quiet: bool) -> None:
    """Tiles of the collections of images, where the resource wants them; what is published is served already."""
    from skyvault.errors import UsageError
    from skyvault.publish.resource_file import read_resource

    resource = read_resource(done.path).resource
    if "hips" not in resource.services:
        return
    from skyvault.cli.hips import make_and_tell

    for one in done.collections:
        if resource.files[one.name.rpartition(".")[2]].kind != "images":
            continue
        try:
            make_and_tell(one.name, settings, is_quiet=is_quiet)
        except UsageError as problem:
            # images that are not public yet, say: the others have theirs
            click.echo(f"  {one.name}: no HiPS: {problem}", err=True)


def _listed(told: tuple[tuple[str, str], ...], count: int) -> None:
    for path, sentence in told[:_TOLD]:
        click.echo(f"  {path}: {sentence}", err=True)
    if count > _TOLD:
        click.echo(f"  and {count - _TOLD:,} more", err=True)


def _as_dict(done: PublishedResource) -> dict[str, Any]:
    return {
        "resource": str(done.path),
        "tables": [table.to_dict() for table in done.tables],
        "actions": done.actions,
        "remarks": [asdict(one) for one in done.remarks],
        "collections": [
            {
                "name": one.name,
                "datasets": one.rows,
                "seconds": round(one.seconds, 3),
                "read": one.ingested.read,
                "known": one.ingested.known,
                "vanished": one.ingested.vanished,
                "problem_count": one.ingested.problem_count,
                "problems": [{"file": path, "problem": sentence} for path, sentence in one.ingested.problems],
                "remark_count": one.ingested.remark_count,
                "remarks": [{"file": path, "remark": sentence} for path, sentence in one.ingested.remarks],
            }
            for one in done.collections
        ],
    }
