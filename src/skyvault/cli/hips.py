"""``skyvault hips``: tiles of a published collection of images, for Aladin and other sky browsers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.hips import MadeHips

#: images that could not be read, told before the rest is only counted
_TOLD = 20


@click.command(
    "hips",
    epilog="\b\nExamples:\n  skyvault hips sky.images\n  skyvault hips sky.images --where \"filter = 'r'\" --order 8\n"
    "  skyvault hips sky.images --remove\n",
)
@click.argument("table", metavar="SCHEMA.TABLE")
@click.option("--order", type=int, help="Order of the finest tiles; without it, as fine as the images.")
@click.option("--where", metavar="CONDITION", help="Only these images: a condition in ADQL over the collection.")
@click.option("--keep-sky", is_flag=True, help="Leave each image's own sky level in; else it is subtracted.")
@click.option("--remove", is_flag=True, help="Take the HiPS away.")
@home_option
@json_option
def command(
    table: str, order: int | None, where: str | None, keep_sky: bool, remove: bool, home: Path | None, as_json: bool
) -> int:
    """Make the HiPS of a collection of images, or bring it up to date; the server shows it at /hips/SCHEMA.TABLE.

    A run that was stopped is gone on with. What is served stays until the new tiles are all there. Images that are not
    public yet are left out. The exit code is 3 when some images could not be read.
    """
    settings = settings_from(home=home)
    if remove:
        from skyvault.publish.hips import remove_hips

        was = remove_hips(table, settings=settings)
        click.echo(f"The HiPS of {table} is gone." if was else f"{table} has no HiPS.")
        return 0
    dids = None if where is None else _chosen(table, where, settings)
    made = make_and_tell(table, settings, order=order, keep_sky=keep_sky, dids=dids, is_quiet=as_json)
    if as_json:
        print_json(
            {
                "table": made.table,
                "order": made.order,
                "images": made.images,
                "tiles": made.tiles,
                "is_new": made.is_new,
                "seconds": round(made.seconds, 3),
                "problems": [{"file": name, "problem": what} for name, what in made.problems],
            }
        )
    return 3 if made.problems else 0


def make_and_tell(
    table: str,
    settings: Settings,
    *,
    order: int | None = None,
    keep_sky: bool = False,
    dids: list[str] | None = None,
    is_quiet: bool = False,
) -> MadeHips:
    """Make it with a progress bar, and say what came of it."""
    from skyvault.cli.progress import TerminalProgress
    from skyvault.publish.hips import make_hips

    with TerminalProgress() as progress:
        made = make_hips(table, settings=settings, order=order, subtract_sky=not keep_sky, dids=dids, progress=progress)
    if not is_quiet:
        done = f"{made.tiles:,} tiles of order {made.order} of {made.images:,} images, {made.seconds:.1f} s"
        click.echo(f"{made.table}: HiPS {'made' if made.is_new else 'is up to date'} ({done}).")
    for name, what in made.problems[:_TOLD]:
        click.echo(f"  {name}: {what}", err=True)
    if len(made.problems) > _TOLD:
        click.echo(f"  and {len(made.problems) - _TOLD:,} more", err=True)
    return made


def _chosen(table: str, where: str, settings: Settings) -> list[str]:
    from skyvault.serve.local import query
    from skyvault.store.tap_schema import spelled_name

    text = f"SELECT obs_publisher_did FROM {spelled_name(table)} WHERE {where}"
    answer = query(text, settings=settings, maxrec=10_000_000)
    return [str(one) for batch in answer.batches for one in batch.column(0).to_pylist()]
