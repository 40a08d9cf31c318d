"""``skyvault query``: ADQL, run on the tables published here or on any TAP service."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyvault.cli.options import home_option, settings_from
from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream


@click.command(
    "query",
    epilog="""\b
Examples:
  skyvault query "SELECT TOP 5 * FROM demo.stars ORDER BY mag_vt"
  skyvault query "SELECT * FROM demo.stars WHERE DISTANCE(ra, dec, 84, -1.2) < 1" -o cone.fits
  skyvault query @match.adql --upload mine=positions.csv -o matched.parquet
  skyvault query "SELECT COUNT(*) FROM gaia.dr3lite" --service https://data.example.org/tap --async
""",
)
@click.argument("adql", metavar="ADQL|@FILE")
@click.option("--service", metavar="URL", help="TAP service to ask, instead of the tables published here.")
@click.option("--upload", "uploads", metavar="NAME=FILE", multiple=True, help="A file to query as TAP_UPLOAD.NAME.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, by its suffix.")
@click.option("--format", "format_name", metavar="NAME", help="votable, fits, parquet, csv, tsv, ecsv, json, table ...")
@click.option("--maxrec", type=click.IntRange(min=0), help="Most rows to return.")
@click.option("--async", "as_job", is_flag=True, help="Run as an asynchronous job of the service, for long queries.")
@home_option
def command(
    adql: str,
    service: str | None,
    uploads: tuple[str, ...],
    output: Path | None,
    format_name: str | None,
    maxrec: int | None,
    as_job: bool,
    home: Path | None,
) -> int:
    """Run an ADQL query and show or write its rows.

    On a terminal the rows are shown as a table; into a pipe they go as CSV. When rows were left out, stderr says so
    and the exit code is 3.
    """
    text = _read_query(adql)
    tables = _read_uploads(uploads)
    if as_job and not service:
        raise UsageError("--async is for services", hint="Name one with --service URL, or leave --async out.")
    with contextlib.ExitStack() as stack:
        if service:
            from skyvault.cli.remote import ask

            stream = stack.enter_context(ask(service, text, uploads=tables, maxrec=maxrec, as_job=as_job))
        else:
            settings = settings_from(home=home)
            from skyvault.serve import local

            stream = local.query(text, home=settings.home, settings=settings, uploads=tables, maxrec=maxrec)
        _show_or_write(stream, output, format_name)
    if stream.error:
        click.echo(f"skyvault: the result is not complete: {stream.error}", err=True)
        return 3
    if stream.overflow:
        limit = f" (the limit is {stream.limit:,} rows)" if stream.limit is not None else ""
        click.echo(f"skyvault: rows were left out{limit}; raise --maxrec to have more.", err=True)
        return 3
    return 0


def _read_query(adql: str) -> str:
    """The query itself, or what ``@FILE`` or ``-`` (standard input) hold."""
    if adql == "-":
        return sys.stdin.read()
    if not adql.startswith("@"):
        return adql
    path = Path(adql[1:])
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the query cannot be read: {error}", where=str(path)) from None


def _read_uploads(uploads: tuple[str, ...]) -> dict[str, Path]:
    tables: dict[str, Path] = {}
    for upload in uploads:
        name, equals, file = upload.partition("=")
        if not equals or not name or not file:
            raise UsageError(f"--upload {upload!r} is not of the form NAME=FILE")
        name = name.removeprefix("TAP_UPLOAD.")
        if name.lower() in (known.lower() for known in tables):
            raise UsageError(f"two uploads bear the name {name!r}")
        path = Path(file)
        if not path.is_file():
            raise UsageError("there is no such file", where=file)
        tables[name] = path
    return tables


def _show_or_write(stream: TableStream, output: Path | None, format_name: str | None) -> None:
    terminal = output is None and sys.stdout.isatty()
    if format_name == "table" or (format_name is None and terminal):
        if output is not None:
            raise UsageError("--format table is for the terminal", hint="Give FILE a suffix such as .vot or .csv.")
        from skyvault.cli.table_view import show

        show(stream)
        return
    chunks = _encoded(stream, output, format_name)
    if output is None:
        if terminal and format_name in ("fits", "parquet", "arrow"):
            raise UsageError(f"{format_name} is not for a terminal", hint="Name a file with -o FILE.")
        binary = sys.stdout.buffer
        binary.writelines(chunks)
        binary.flush()
    else:
        _write_beside(output, chunks)


def _encoded(stream: TableStream, output: Path | None, format_name: str | None) -> Iterator[bytes]:
    from skyvault.formats.registry import negotiate

    if format_name is None:
        format_name = "csv" if output is None else _format_of(output)
    return negotiate(format_name).writer(stream)


def _format_of(output: Path) -> str:
    """The format a file name asks for."""
    from skyvault.formats.registry import INPUT_FORMATS, OUTPUT_FORMATS

    suffixes = {suffix: name for name, known in INPUT_FORMATS.items() for suffix in known}
    suffixes |= {entry.suffix: entry.name for entry in reversed(OUTPUT_FORMATS)}
    found = suffixes.get(output.suffix.lower())
    if found is None:
        raise UsageError(
            f"the suffix {output.suffix!r} names no format", where=str(output), hint="Say it with --format NAME."
        )
    return found


def _write_beside(output: Path, chunks: Iterator[bytes]) -> None:
    """Write to a temporary file and rename it at the end: a file that is there is whole."""
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as file:
            file.writelines(chunks)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
