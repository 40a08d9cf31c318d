"""A comet's ephemeris asked of a TAP service by upload, then matched exactly: as all exposures matched here."""

from __future__ import annotations

import numpy as np
import pyvo
from astropy.table import Table

from skyvault.model.region import Region
from skyvault.science.ephemeris import Ephemeris
from skyvault.science.ephemeris_match import ExposureList, ephemeris_query, match_ephemeris
from skyvault.sky.area import centroid
from skyvault.sky.region_text import parse_region
from skyvault.sky.shapes import Shapes


def exposures(table: Table) -> tuple[list[str], ExposureList]:
    regions: list[Region | None] = [parse_region(str(text)) for text in table["s_region"]]
    shapes = Shapes.from_regions(regions)
    return list(table["obs_id"]), ExposureList.from_footprints(table["t_min"], table["t_max"], shapes)


def test_tap_finds_what_a_local_match_of_all_exposures_finds(server):
    service = pyvo.dal.TAPService(server.tap)
    everything = service.run_sync("SELECT obs_id, t_min, t_max, s_region FROM ivoa.ObsCore ORDER BY t_min").to_table()
    names, all_exposures = exposures(everything)
    assert len(names) > 20
    # a comet that passes through the middle of every fifth exposure while it is taken
    rows = range(0, len(names), 5)
    places = [centroid(parse_region(str(everything["s_region"][row]))) for row in rows]
    days = [0.5 * (everything["t_min"][row] + everything["t_max"][row]) for row in rows]
    orbit = Ephemeris.from_columns(days, [p.lon for p in places], [p.lat for p in places], longest_step=np.inf)
    here = {names[row] for row in match_ephemeris(orbit, all_exposures).row}
    found = service.run_sync(
        ephemeris_query(columns="p.obs_id, p.t_min, p.t_max, p.s_region"), uploads={"orbit": Table(orbit.segments())}
    ).to_table()
    candidates, some = exposures(found)
    there = {candidates[row] for row in match_ephemeris(orbit, some).row}
    assert there == here and len(here) >= len(list(rows)) - 1
