"""``skyvault observations``: which observations of a mission cover what one is interested in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skyvault.cli.mission_options import Choice, filtered, made, mission_options
from skyvault.cli.options import json_option, print_json, settings_from
from skyvault.errors import UsageError


@click.command(
    "observations",
    epilog="""\b
Examples:
  skyvault observations chandra --name "Abell 1656"
  skyvault observations xmm --positions clusters.csv --radius 10arcmin -o found.parquet
  skyvault observations swift --insts XRT --position "83.63 22.01" --time 2015/2017 --json
  skyvault observations nustar --type GCL --save clusters.json
""",
)
@click.argument("mission", metavar="MISSION|STATE.json")
@mission_options
@click.option("--matches", "as_matches", is_flag=True, help="A row for each pair of position and observation.")
@click.option("--save", "state", metavar="FILE.json", type=click.Path(path_type=Path), help="Save the choice there.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, by its suffix.")
@json_option
def command(
    mission: str, choice: Choice, as_matches: bool, state: Path | None, output: Path | None, as_json: bool
) -> int:
    """List the observations of a mission that pass all filters.

    MISSION is any of its names, such as XMMPointed, xmm_pointed or "XMM-Newton Pointed"; see skyvault missions. The
    archive's table is fetched once and kept; --refresh fetches it anew.
    """
    if state is not None and state.suffix != ".json":
        raise UsageError(f"--save {str(state)!r} does not end in .json")
    settings = settings_from(home=choice.home)
    chosen = made(mission, choice, settings)
    matches = filtered(chosen, choice, wants_matches=as_matches)
    rows = chosen.filtered_obs_info
    from skyvault.cli import observation_table

    if as_matches:
        if matches is None:
            raise UsageError("--matches needs positions", hint="Give --position, --positions or --name.")
        rows = observation_table.flat(matches, rows)
    if state is not None:
        chosen.save(state.parent, state.name)
    if output is not None:
        observation_table.write(rows, output, chosen.name)
    if as_json:
        print_json(_document(chosen, rows))
    elif output is None:
        observation_table.show(rows, chosen.name)
    told = f"{len(chosen):,} of {chosen.num_obs:,} observations of {chosen.pretty_name}"
    if matches is not None:
        told += f"; they cover {matches.num_rows:,} of the positions"
    click.echo(f"{told}; table of {chosen.table_origin.date[:10]}", err=True)
    return 0


def _document(mission: Any, rows: Any) -> dict[str, Any]:
    from skyvault.cli.observation_table import documents

    origin = mission.table_origin
    return {
        "mission": mission.name,
        "instruments": mission.chosen_instruments,
        "table": {"service": origin.service, "date": origin.date, "content_hash": origin.content_hash},
        "all_observations": mission.num_obs,
        "observations": documents(rows),
    }
