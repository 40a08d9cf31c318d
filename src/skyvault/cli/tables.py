"""``skyvault tables``: your own tables at a service: put, got, shared, kept longer, dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyvault.cli.options import json_option, print_json, settings_from
from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.find.user_table_answers import UserTable
    from skyvault.find.user_tables import UserTables

Command = TypeVar("Command", bound=Callable[..., Any])


def _service_option(command: Command) -> Command:
    return click.option(
        "--service",
        metavar="URL",
        help="TAP service, by its address or a name of the settings. [default: the one served on this machine]",
    )(command)


def _tables(service: str | None) -> UserTables:
    """The tables there, as whoever has logged in."""
    from skyvault.cli.login import credentials_path
    from skyvault.find.tap import get_tap_service

    path = credentials_path()
    settings = settings_from(credentials_file=path if path.exists() else None)
    return get_tap_service(service or f"http://127.0.0.1:{settings.port}/tap", settings=settings).user_tables


def _told(table: UserTable) -> dict[str, Any]:
    told = asdict(table)
    told["ends"] = None if table.ends is None else table.ends.isoformat()
    return told


def _line(table: UserTable) -> str:
    rows = "" if table.rows is None else f": {table.rows:,} rows, "
    end = "" if table.ends is None else f", until {table.ends:%Y-%m-%d %H:%M} UTC"
    return f"{table.name}{rows or ': '}{len(table.columns)} columns{end}"


def _columns(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(f"{text!r} is not of the form LON,LAT", hint="Name two columns, such as ra,dec.")
    return parts[0], parts[1]


@click.group("tables", epilog="\b\nExample:\n  skyvault tables put stars.parquet mine --service https://host/tap\n")
def command() -> None:
    """Keep tables of your own at a service; queries know them as tap_user.NAME."""


@command.command("list", epilog="\b\nExample:\n  skyvault tables list --service https://host/tap\n")
@_service_option
@json_option
def list_tables(service: str | None, as_json: bool) -> None:
    """List your tables and those you were given."""
    found = _tables(service).list()
    if as_json:
        print_json([_told(one) for one in found])
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("You have no tables there.", err=True)


@command.command("put", epilog="\b\nExample:\n  skyvault tables put stars.parquet mine --position ra,dec\n")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("name")
@click.option("--position", metavar="LON,LAT", help="Columns of the position. [default: by UCDs and usual names]")
@click.option("--append", "appends", is_flag=True, help="Add the rows to the table there is.")
@click.option("--new", "only_new", is_flag=True, help="Refuse when there is a table of this name.")
@click.option("--no-resume", "anew", is_flag=True, help="Do not go on with an upload that broke off.")
@_service_option
@json_option
def put(
    file: Path,
    name: str,
    position: str | None,
    appends: bool,
    only_new: bool,
    anew: bool,
    service: str | None,
    as_json: bool,
) -> None:
    """Send a file (VOTable, FITS, Parquet, Arrow, CSV, TSV, ECSV). One that broke off is sent again from there."""
    from skyvault.cli.progress import TerminalProgress

    if appends and (only_new or position is not None):
        raise UsageError("--append goes with neither --new nor --position")
    tables, columns = _tables(service), _columns(position)
    with TerminalProgress() as progress:
        if appends:
            made = tables.append(name, file, progress=progress, resume=not anew)
        else:
            made = tables.upload(file, name, position=columns, replace=not only_new, progress=progress, resume=not anew)
    if as_json:
        print_json(_told(made))
    else:
        click.echo(_line(made))


@command.command("get", epilog="\b\nExample:\n  skyvault tables get mine -o mine.parquet\n")
@click.argument("name")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write all rows there.")
@click.option("--format", "format_name", metavar="NAME", help="votable, fits, parquet, csv ... [default: by suffix]")
@_service_option
@json_option
def get(name: str, output: Path | None, format_name: str | None, service: str | None, as_json: bool) -> None:
    """Describe a table, or, with -o, fetch its rows."""
    tables = _tables(service)
    if output is not None:
        tables.download(name, output, format=format_name)
        click.echo(f"Wrote {output}.", err=True)
        return
    found = tables.get(name)
    if as_json:
        print_json({**_told(found)})
        return
    click.echo(_line(found))
    for column in found.columns:
        click.echo(f"  {column}{'  (indexed)' if column in found.indexed else ''}")


@command.command("share", epilog="\b\nExample:\n  skyvault tables share mine --user bob\n")
@click.argument("name")
@click.option("--user", metavar="NAME", help="Let this user read it.")
@click.option("--group", metavar="NAME", help="Let this group of yours read it.")
@click.option("--link", is_flag=True, help="Let everybody read it who has the link; it is told this once.")
@click.option("--revoke", is_flag=True, help="Take it back.")
@_service_option
@json_option
def share(
    name: str, user: str | None, group: str | None, link: bool, revoke: bool, service: str | None, as_json: bool
) -> None:
    """Let others read a table; without an option, tell who may."""
    tables = _tables(service)
    if user is None and group is None and not link:
        if revoke:
            raise UsageError("from whom?", hint="Give --user, --group or --link.")
        grants = tables.shares(name)
        if as_json:
            print_json(list(grants))
        for one in () if as_json else grants:
            click.echo(f"{one.get('kind')} {one.get('name') or ''}".strip())
    elif revoke:
        tables.unshare(name, user=user, group=group, link=link)
        click.echo("It is shared so no longer.", err=True)
    else:
        told = tables.share(name, user=user, group=group, link=link)
        if as_json:
            print_json({"query_as": told})
        else:
            click.echo(told)


@command.command("extend", epilog="\b\nExample:\n  skyvault tables extend mine --days 30\n")
@click.argument("name")
@click.option("--until", metavar="TIME", help="Such as 2027-03-01T00:00:00Z.")
@click.option("--days", type=float, help="So long from now.")
@_service_option
@json_option
def extend(name: str, until: str | None, days: float | None, service: str | None, as_json: bool) -> None:
    """Keep a table longer (or less long)."""
    from datetime import timedelta

    if (until is None) == (days is None):
        raise UsageError("give either --until or --days")
    try:
        wanted: Any = until if days is None else timedelta(days=days)
        granted = _tables(service).extend(name, wanted)
    except (OverflowError, ValueError):
        raise UsageError(f"{days:g} days are too many") from None
    if as_json:
        print_json({"ends": granted.isoformat()})
    else:
        click.echo(f"{name} is kept until {granted:%Y-%m-%d %H:%M} UTC.")


@command.command("index", epilog="\b\nExample:\n  skyvault tables index mine --position ra,dec\n")
@click.argument("name")
@click.option("--position", metavar="LON,LAT", help="Sort it by this position: cones and joins are fast.")
@click.option("--column", metavar="NAME", help="Index this column.")
@click.option("--unique", is_flag=True, help="No value of the column may come twice, now and later.")
@_service_option
@json_option
def index(
    name: str, position: str | None, column: str | None, unique: bool, service: str | None, as_json: bool
) -> None:
    """Index a position or a column."""
    made = _tables(service).index(name, position=_columns(position), column=column, unique=unique)
    if as_json:
        print_json(_told(made))
    else:
        click.echo(f"{made.name}: {', '.join(made.indexed) or 'nothing'} indexed")


@command.command("rename", epilog="\b\nExample:\n  skyvault tables rename mine sample\n")
@click.argument("name")
@click.argument("new_name")
@_service_option
@json_option
def rename(name: str, new_name: str, service: str | None, as_json: bool) -> None:
    """Give a table another name."""
    made = _tables(service).rename(name, new_name)
    if as_json:
        print_json(_told(made))
    else:
        click.echo(_line(made))


@command.command("describe", epilog="\b\nExample:\n  skyvault tables describe mine --column mag --unit mag\n")
@click.argument("name")
@click.option("--text", metavar="TEXT", help="What the table, or with --column the column, is.")
@click.option("--column", metavar="NAME", help="Describe this column.")
@click.option("--unit", metavar="UNIT", help="Its unit, such as km/s.")
@click.option("--ucd", metavar="UCD", help="What kind of quantity it is, such as phot.mag;em.opt.V.")
@_service_option
def describe(
    name: str, text: str | None, column: str | None, unit: str | None, ucd: str | None, service: str | None
) -> None:
    """Say what a table or one of its columns is."""
    if column is None and (unit is not None or ucd is not None):
        raise UsageError("--unit and --ucd belong to a --column")
    if text is None and unit is None and ucd is None:
        raise UsageError("nothing is to be changed", hint="Give --text, or --column with --unit or --ucd.")
    _tables(service).describe(name, text, column=column, unit=unit, ucd=ucd)
    click.echo(f"{name} is described.")


@command.command("keep", epilog="\b\nExample:\n  skyvault tables keep 4f2c1a9d77e0b831 bright\n")
@click.argument("job")
@click.argument("name")
@_service_option
@json_option
def keep(job: str, name: str, service: str | None, as_json: bool) -> None:
    """Keep the result of a job, by its address or id, as a table."""
    made = _tables(service).keep_result(job, name)
    if as_json:
        print_json(_told(made))
    else:
        click.echo(_line(made))


@command.command("drop", epilog="\b\nExample:\n  skyvault tables drop mine --yes\n")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_service_option
def drop(name: str, yes: bool, service: str | None) -> None:
    """Drop a table."""
    tables = _tables(service)
    if not yes:
        click.confirm(f"Drop {name}?", abort=True, err=True)
    tables.drop(name)
    click.echo(f"{name} is dropped.")


@command.command("freeze", epilog="\b\nExample:\n  skyvault tables freeze mine\n")
@click.argument("name")
@_service_option
@json_option
def freeze(name: str, service: str | None, as_json: bool) -> None:
    """Make a table read-only for good; tells its checksum and how to cite it."""
    frozen = _tables(service).freeze(name)
    if as_json:
        print_json(asdict(frozen))
    else:
        click.echo(frozen.citation)
