"""``skyvault registry``: what this service tells registries of itself, and harvesting other registries."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.publish.harvest import Harvested


@click.group(
    "registry",
    invoke_without_command=True,
    epilog="""\b
Examples:
  skyvault registry
  skyvault registry show ivo://observatory.example/plates/images
  skyvault registry harvest https://dc.example/oai
  skyvault registry forget https://dc.example/oai
""",
)
@home_option
@json_option
@click.pass_context
def command(context: click.Context, home: Path | None, as_json: bool) -> int | None:
    """List the records that /oai gives out, what is missing in them, and the registries that are harvested."""
    if context.invoked_subcommand is not None:
        return None
    settings = settings_from(home=home)
    told = _told(settings)
    if as_json:
        print_json(told)
        return 0
    for record in told["records"]:
        click.echo(f"{record['ivoid']}  {record['title']}  ({record['type']}, {record['updated']})")
    for one in told["harvested"]:
        click.echo(f"harvested: {one['address']}  {one['name']}, {one['records']:,} records, last {one['at']}")
    if told["missing"]:
        click.echo("\nBefore others harvest this registry:", err=True)
        for sentence in told["missing"]:
            click.echo(f"  {sentence}", err=True)
    return 0


@command.command("show", epilog="\b\nExample:\n  skyvault registry show ivo://observatory.example/tap\n")
@click.argument("ivoid")
@home_option
def show(ivoid: str, home: Path | None) -> int:
    """Print one record as XML (VOResource)."""
    from skyvault.errors import NotFound
    from skyvault.store.registry_shelf import BASE

    settings = settings_from(home=home)
    with _store(settings) as store:
        record = store.ledger.registry.get(ivoid)
    if record is None:
        raise NotFound(f"there is no record {ivoid!r} here", hint="skyvault registry lists them.")
    if record.is_deleted:
        raise NotFound(f"the record {ivoid!r} was withdrawn {_when(record.datestamp)}")
    click.echo(record.document.replace(BASE, settings.public_url).rstrip())
    return 0


@command.command("harvest", epilog="\b\nExample:\n  skyvault registry harvest https://dc.example/oai\n")
@click.argument("address", metavar="URL", required=False)
@click.option("--full", "is_full", is_flag=True, help="Read all records, not only what changed since the last time.")
@click.option(
    "--listed-by", metavar="URL", help="Harvest all registries that this one lists (http://rofr.ivoa.net/oai)."
)
@click.option("--all-records", is_flag=True, help="Also those the registry has harvested itself (not set ivo_managed).")
@home_option
@json_option
def harvest_command(
    address: str | None,
    is_full: bool,
    listed_by: str | None,
    all_records: bool,
    home: Path | None,
    as_json: bool,
) -> int:
    """Bring another registry's records into the tables of rr; without URL those of all that were harvested before.

    A harvest that is stopped goes on where it was. The exit code is 3 when records were left out.
    """
    from skyvault.cli.progress import TerminalProgress
    from skyvault.errors import SkyvaultError, UsageError
    from skyvault.publish.harvest import harvest, publishers
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    settings = settings_from(home=home)
    if address is not None and listed_by is not None:
        raise UsageError("give a registry, or one that lists others (--listed-by), not both")
    addresses = [address] if address is not None else []
    if listed_by is not None:
        addresses = publishers(listed_by, settings)
    elif address is None:
        with open_home_ledger(Layout.of(settings).make()) as ledger:
            known = ledger.registry.harvests()
        addresses = list(known)
        if not addresses:
            raise UsageError("no registry was harvested yet", hint="Give the address of its OAI-PMH interface.")
    done: list[Harvested] = []
    failed: list[SkyvaultError] = []
    with TerminalProgress() as progress:
        for each in addresses:
            try:
                done.append(harvest(each, settings, is_full=is_full, only_its_own=not all_records, progress=progress))
            except SkyvaultError as problem:
                # one registry that is down does not keep the others from being read
                if address is not None:
                    raise
                failed.append(problem)
    if as_json:
        print_json([one.to_dict() for one in done])
    for one in done:
        if not as_json:
            click.echo(
                f"{one.name or one.address}: {one.records:,} new or changed records, {one.deleted:,} gone"
                f" ({one.pages} pages, {one.seconds:.1f} s)"
            )
        for identifier, reason in one.skipped:
            click.echo(f"left out: {identifier}: {reason}", err=True)
        if one.skipped_count > len(one.skipped):
            click.echo(f"left out: {one.skipped_count - len(one.skipped):,} more", err=True)
    for fault in failed:
        click.echo(f"skyvault: {fault}", err=True)
    if failed:
        return 1
    return 3 if any(one.skipped_count for one in done) else 0


@command.command("forget", epilog="\b\nExample:\n  skyvault registry forget https://dc.example/oai\n")
@click.argument("address", metavar="URL")
@home_option
def forget_command(address: str, home: Path | None) -> int:
    """Take a registry's records out of rr, and harvest it no more."""
    from skyvault.publish.harvest import forget

    count = forget(address, settings_from(home=home))
    click.echo(f"{count:,} records of {address} are gone.")
    return 0


def _store(settings: Settings) -> Any:
    """The store, its records as what is published asks for."""
    from skyvault.serve.registry_records import refresh
    from skyvault.store.duckdb_store import DuckStore

    store = DuckStore(settings)
    refresh(store.view(), store.ledger, settings, store.view)
    return store


def _told(settings: Settings) -> dict[str, Any]:
    from skyvault.formats.xml_text import read_small
    from skyvault.serve.registry_checks import missing
    from skyvault.store.registry_shelf import BASE
    from skyvault.store.regtap_rows import XSI_TYPE

    records = []
    with _store(settings) as store:
        after: tuple[int, str] | None = None
        while page := store.ledger.registry.listed(after=after, limit=500, with_deleted=False):
            for one in page:
                root = read_small(one.document.replace(BASE, settings.public_url).encode(), limit=64_000_000)
                records.append(
                    {
                        "ivoid": one.key,
                        "type": root.get(XSI_TYPE),
                        "title": root.findtext("title"),
                        "updated": _when(one.datestamp),
                    }
                )
            after = (page[-1].datestamp, page[-1].key)
        harvested = [
            {
                "address": address,
                "name": state.get("name"),
                "records": (state.get("last") or {}).get("records"),
                "at": _when(state.get("at") or 0),
            }
            for address, state in store.ledger.registry.harvests().items()
        ]
        sentences = missing(store.view(), settings)
    return {"records": sorted(records, key=lambda one: str(one["ivoid"])), "harvested": harvested, "missing": sentences}


def _when(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time_s))
