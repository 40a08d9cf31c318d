"""``skyvault missions``: the missions there are, their instruments, and which tables are cached here."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from skyvault.cli.options import home_option, json_option, print_json, settings_from

if TYPE_CHECKING:
    from skyvault.config import Settings

#: characters of a line that the other columns take
_OTHER_COLUMNS: Final = 64


@click.command(
    "missions",
    epilog="""\b
Examples:
  skyvault missions
  skyvault missions --json
""",
)
@json_option
@home_option
def command(as_json: bool, home: Path | None) -> int:
    """List the missions whose observations can be looked up and fetched."""
    from skyvault.missions.naming import known_missions

    settings = settings_from(home=home)
    listed = [_facts(name, cls, settings) for name, cls in known_missions().items()]
    if as_json:
        print_json(listed)
        return 0
    import pyarrow as pa

    from skyvault.cli.observation_table import stream_of
    from skyvault.cli.table_view import show

    room = max(12, shutil.get_terminal_size().columns - _OTHER_COLUMNS)
    rows = [
        {
            "mission": one["class"],
            "fov": _fov_text(one["fov_deg"]),
            "rows": one["rows"],
            "cached": one["date"][:10] if one["date"] else None,
            "instruments": textwrap.shorten(" ".join(one["instruments"]), room, placeholder=" …"),
        }
        for one in listed
    ]
    schema = pa.schema([(key, pa.int64() if key == "rows" else pa.string()) for key in rows[0]])
    show(stream_of(pa.Table.from_pylist(rows, schema=schema), "missions"))
    searched = ", ".join(one["class"] for one in listed if one["is_searched"])
    click.echo(f"{searched} answer for one place: give --name or --position.", err=True)
    return 0


def _facts(name: str, cls: Any, settings: Settings) -> dict[str, Any]:
    declaration = cls.declaration
    rows, date, problem = None, None, None
    from skyvault.missions.connections import table_directory
    from skyvault.missions.faults import MissionTableError
    from skyvault.missions.table_cache import read_cache

    try:
        cached = read_cache(table_directory(settings, declaration), declaration.name)
        if cached is not None:
            rows, date = cached[0].num_rows, cached[1].date
    except MissionTableError as error:
        problem = str(error)
    fov = declaration.fov_deg
    return {
        "class": name,
        "name": declaration.name,
        "pretty_name": declaration.pretty_name,
        "archive": declaration.archive,
        "instruments": list(declaration.instruments),
        "default_instruments": list(declaration.default_instruments),
        "fov_deg": dict(fov) if isinstance(fov, dict) else float(fov) if isinstance(fov, int | float) else dict(fov),
        "is_searched": hasattr(cls, "around"),
        "rows": rows,
        "date": date,
        **({"problem": problem} if problem else {}),
    }


def _fov_text(fov: float | dict[str, float]) -> str:
    values = sorted({fov} if isinstance(fov, float) else set(fov.values()))
    return "-".join(f"{value:.3g}" for value in dict.fromkeys((values[0], values[-1]))) + " deg"
