"""``skyvault publish``: a file becomes a table that can be queried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from
from skyvault.cli.publish_resource import is_resource, publish_resource_and_tell
from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.publish.publisher import Published


@click.command(
    "publish",
    epilog="""\b
Examples:
  skyvault publish stars.parquet --name mine.stars
  skyvault publish catalogue.vot --set ra.ucd='pos.eq.ra;meta.main' --set description='Bright stars'
  skyvault publish points.csv --set position=lon,lat
  skyvault publish observations.fits --obscore
  skyvault publish plates/resource.yaml
  skyvault publish --run flares --base-url https://data.example.org/vo
""",
)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path), required=False)
@click.option("--run", "run_name", metavar="NAME", help="Publish a run's detections, properties and light curves.")
@click.option("--name", metavar="SCHEMA.TABLE", help="Name to publish under; of a run, the schema. "
              "[default: data.<file's name>, the run's name]")  # fmt: skip
@click.option("--base-url", metavar="URL", help="Where a run's light curves will be served. [default: as serve does]")
@click.option("--obscore", is_flag=True, help="The rows are observations: they join ivoa.ObsCore.")
@click.option(
    "--set",
    "assignments",
    metavar="COLUMN.FIELD=VALUE",
    multiple=True,
    help="Say what the file does not: unit, ucd, description ... of a column, or FIELD=VALUE of the table.",
)
@click.option(
    "--metadata",
    "metadata_file",
    metavar="YAML",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The same in a file.",
)
@click.option("--only", metavar="NAME", multiple=True, help="Of a resource, this table or collection alone.")
@click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be read, and count them.")
@click.option("--no-replace", is_flag=True, help="Refuse when the name is taken, instead of replacing.")
@click.option("--dry-run", is_flag=True, help="Say what would be published, and publish nothing.")
@home_option
@json_option
def command(
    source: Path | None,
    run_name: str | None,
    name: str | None,
    base_url: str | None,
    obscore: bool,
    assignments: tuple[str, ...],
    metadata_file: Path | None,
    only: tuple[str, ...],
    skip_bad: bool,
    no_replace: bool,
    dry_run: bool,
    home: Path | None,
    as_json: bool,
) -> int:
    """Publish FILE (Parquet, FITS, VOTable, CSV, ECSV, Arrow) as a table, or what a resource.yaml describes.

    Types, units, UCDs, positions and identifiers are taken from the file or inferred from names; what was inferred
    is said, and --set or --metadata overrule it. Publishing under a name that exists replaces that table at once;
    queries that are running finish on the old one.

    Of a resource.yaml (or its folder), tables and collections of files are published; files that were read before and
    have not changed are not read again.

    With --run, the tables NAME.detections, NAME.properties, NAME.light_curves and NAME.time_series; the last joins
    ivoa.ObsCore.
    """
    if (source is None) == (run_name is None):
        raise UsageError("give a FILE to publish, or --run NAME", hint="Example: skyvault publish stars.parquet")
    if run_name is not None:
        from skyvault.cli.project_file import use_home
        from skyvault.cli.publish_run import publish_run_and_tell

        if obscore or assignments or metadata_file or dry_run or skip_bad or only:
            raise UsageError("--run takes no option but --name, --base-url, --no-replace, --home and --json")
        use_home(home)
        served = settings_from(home=home, base_url=base_url)
        return publish_run_and_tell(run_name, served, schema=name, may_replace=not no_replace, as_json=as_json)
    assert source is not None
    if base_url is not None:
        raise UsageError("--base-url belongs to --run")
    if is_resource(source):
        if name or obscore or assignments or metadata_file or dry_run or skip_bad or no_replace:
            raise UsageError("a resource takes no option but --only, --home and --json", hint="Write it into the YAML.")
        return publish_resource_and_tell(source, settings_from(home=home), only=only, as_json=as_json)
    if only:
        raise UsageError("--only belongs to a resource.yaml")
    overrides = read_overrides(metadata_file, assignments)
    settings = settings_from(home=home)
    from skyvault.cli.progress import TerminalProgress
    from skyvault.publish.publisher import publish

    with TerminalProgress() as progress:
        published = publish(
            source,
            name=name,
            home=settings.home,
            settings=settings,
            obscore=obscore,
            replace=not no_replace,
            overrides=overrides,
            skip_bad=skip_bad,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        print_json(published.to_dict())
    else:
        _report(published, source=source, dry_run=dry_run)
    return 3 if published.bad_rows else 0


def _report(published: Published, *, source: Path, dry_run: bool) -> None:
    table = published.table
    verb = "would be published as" if dry_run else "is published as"
    click.echo(f"{source.name} {verb} {table.name}: {_counted(published, dry_run=dry_run)}")
    for sentence in published.inferred:
        click.echo(f"  {sentence}", err=True)
    if published.bad_rows:
        click.echo(f"{published.bad_rows:,} rows could not be read and were left out:", err=True)
        for note in published.bad_row_notes:
            click.echo(f"  {note}", err=True)
    if not dry_run:
        click.echo("Serve it:  skyvault serve", err=True)


def _counted(published: Published, *, dry_run: bool) -> str:
    words = [] if published.nrows is None else [f"{published.nrows:,} rows"]
    words.append(f"{len(published.table.columns)} columns")
    if not dry_run:
        words += [f"{published.bytes / 1e6:,.1f} MB", f"{published.seconds:.1f} s"]
    return ", ".join(words) + "."


def read_overrides(path: Path | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    """What the user says about the table: that of the YAML file, and over it that of ``--set``.

    Both have one form: fields of the table (title, description, utype, position, id) by name, and under ``columns``
    the fields of each column::

        description: Bright stars
        columns:
          ra: {unit: deg, ucd: pos.eq.ra;meta.main}
    """
    overrides: dict[str, Any] = {}
    if path is not None:
        overrides = _read_yaml(path)
    columns = overrides.setdefault("columns", {})
    if not isinstance(columns, dict) or not all(isinstance(value, dict) for value in columns.values()):
        raise UsageError("'columns' must list fields of each column by name", where=str(path))
    for assignment in assignments:
        target, equals, value = assignment.partition("=")
        if not equals or not target.strip():
            raise UsageError(
                f"--set {assignment!r} is not of the form COLUMN.FIELD=VALUE", hint="Example: --set ra.unit=deg"
            )
        column, _, field = target.strip().rpartition(".")
        if column:
            columns.setdefault(column, {})[field] = value
        else:
            # the only field that holds several words: --set position=lon,lat
            overrides[field] = [word.strip() for word in value.split(",")] if field == "position" else value
    if not columns:
        del overrides["columns"]
    return overrides


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"the file is not valid YAML: {' '.join(str(error).split())}", where=str(path)) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError("the file must hold names and values (description: ..., columns: ...)", where=str(path))
    return document
