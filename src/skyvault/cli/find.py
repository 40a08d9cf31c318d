"""``skyvault find``: which observations of any mission, or of the whole Virtual Observatory, cover a place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from
from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.find.found import Found

#: columns shown in a terminal, from the left as far as there is room
_SHOWN: Final = (
    "mission",
    "obs_id",
    "separation",
    "start",
    "t_exptime",
    "target_name",
    "instrument_name",
    "dataproduct_type",
    "obs_collection",
)
PARTIAL: Final = 3


@click.command(
    "find",
    epilog="""\b
Examples:
  skyvault find "Cyg X-1"
  skyvault find "62.0 -37.0" --radius 0.1 --missions chandra,xmm --time 2000-01-01/2010-12-31
  skyvault find J223730.2+032130 --services registry --missions none --kinds image -o plates.parquet
  skyvault find "LMC X-1" --plot sky.png --json
""",
)
@click.argument("target")
@click.option("--radius", metavar="ANGLE", help="Around the target, in degrees or with a unit: 0.1, 6arcmin.")
@click.option("--time", "time_span", metavar="A/B", help="Between two dates (ISO or MJD); '..' leaves an end open.")
@click.option("--missions", metavar="A,B", help="Ask these only (none: no mission). [default: all]")
@click.option("--collections", metavar="A,B", help="Rows of these data collections only.")
@click.option("--kinds", metavar="A,B", help="Kinds of data: image, cube, spectrum, timeseries, event.")
@click.option(
    "--services", type=click.Choice(["registry"]), help="Ask the services of the VO registry that cover the place, too."
)
@click.option("--deadline", "deadline_s", type=float, default=60.0, show_default=True, help="Seconds for each archive.")
@click.option("--plot", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw the footprints there.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, by its suffix.")
@home_option
@json_option
def command(
    target: str,
    radius: str | None,
    time_span: str | None,
    missions: str | None,
    collections: str | None,
    kinds: str | None,
    services: str | None,
    deadline_s: float,
    plot: Path | None,
    output: Path | None,
    home: Path | None,
    as_json: bool,
) -> int:
    """Find the observations that cover TARGET: a name, "RA DEC" in degrees, or a region ("CIRCLE 62 -37 0.5").

    Archives are asked at once. Who does not answer is told on stderr, and the exit code is 3 then.
    """
    from skyvault.find.search import find

    found = find(
        target,
        radius=_angle(radius),
        time=time_span,
        missions=[] if missions is not None and missions.strip().lower() == "none" else missions,
        collections=collections,
        kinds=kinds,
        services=services,
        deadline_s=deadline_s,
        settings=settings_from(home=home),
    )
    if output is not None:
        found.write(output)
    if plot is not None:
        found.plot(plot)
    if as_json:
        print_json(_document(found))
    elif output is None:
        _show(found)
    counts = ", ".join(f"{name} {count:,}" for name, count in found.counts.items() if count)
    click.echo(f"{len(found):,} observations of {found.place.label}{f': {counts}' if counts else ''}", err=True)
    for name in found.limited:
        click.echo(f"{name} has more rows than it gave.", err=True)
    for one in found.not_asked:
        click.echo(f"Not asked: {one}", err=True)
    for problem in found.problems:
        click.echo(f"Problem: {problem}", err=True)
    return 0 if found.is_complete else PARTIAL


def _angle(text: str | None) -> Any:
    """Degrees, or an angle with a unit. Raises UsageError."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    from astropy import units as u

    try:
        return u.Quantity(text).to(u.deg)
    except (TypeError, ValueError, u.UnitsError):
        raise UsageError(f"--radius {text!r} is no angle", hint="For example 0.1, 6arcmin or 10arcsec.") from None


def _show(found: Found) -> None:
    from skyvault.cli.table_view import show
    from skyvault.formats.stream import TableStream
    from skyvault.model.table import Column, Table

    numbers = {
        "separation": Column("separation", "double", unit="deg"),
        "t_exptime": Column("t_exptime", "double", unit="s"),
    }
    rows = found.table.select([name for name in _SHOWN if name != "start"])
    rows = rows.add_column(_SHOWN.index("start"), "start", [_dates(found.table["t_min"])])
    rows = rows.set_column(_SHOWN.index("separation"), "separation", [_rounded(found.table["separation"], 4)])
    rows = rows.set_column(_SHOWN.index("t_exptime"), "t_exptime", [_rounded(found.table["t_exptime"], 0)])
    columns = tuple(numbers.get(name, Column(name, "char", "*")) for name in _SHOWN)
    show(TableStream(Table("found", columns, nrows=len(found)), iter(rows.combine_chunks().to_batches())))


def _rounded(column: Any, digits: int) -> Any:
    import pyarrow.compute as pc

    return pc.round(column, ndigits=digits).combine_chunks()


def _dates(mjd: Any) -> Any:
    """MJD as ISO dates, to the day."""
    import numpy as np
    import pyarrow as pa

    days = mjd.to_numpy()
    known = np.isfinite(days) & (np.abs(days) < 1e6)
    dates = np.datetime64("1858-11-17") + np.where(known, np.floor(np.where(known, days, 0)), 0).astype(
        "timedelta64[D]"
    )
    return pa.array(np.datetime_as_string(dates, unit="D").astype(object), pa.string(), mask=~known)


def _document(found: Found) -> dict[str, Any]:
    return {
        "target": found.place.label,
        "asked": list(found.asked),
        "observations": list(found),
        "not_asked": [{"service": one.service, "reason": one.reason} for one in found.not_asked],
        "problems": [
            {"service": one.service, "reason": one.reason, "may_pass": one.may_pass} for one in found.problems
        ],
        "duplicates": found.duplicates,
        "limited": list(found.limited),
    }
