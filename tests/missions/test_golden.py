"""eRASS1 tiles found by DAXA 0.3.7 for the same questions; where it differs from us the test says why."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skyvault.missions import Mission
from skyvault.missions.faults import MissionWarning

#: what DAXA takes when no distance is given; we take the tile that holds the position, so the tests say it
DAXA_DEFAULT_DEG = 1.2 * 1.8


@pytest.fixture
def cases(shared_data: Path) -> dict[str, dict[str, Any]]:
    with open(shared_data / "daxa" / "golden_erass1de.json", encoding="utf-8") as file:
        return {case["label"]: case for case in json.load(file)["cases"]}


def _agrees(mission: Mission, case: dict[str, Any], table: pa.Table | None = None) -> None:
    assert len(mission) == case["n"]
    assert sorted(mission.filtered_obs_ids) == sorted(case["obs_ids"])
    if table is not None:
        ours = [[row["pos_ind"], sorted(row["ObsIDs"])] for row in table.to_pylist()]
        assert ours == [[index, sorted(ids.split(","))] for index, ids in case["table"]]


def test_random_positions_and_the_default_distance_of_daxa(erass: Mission, cases: dict[str, dict[str, Any]]) -> None:
    case = cases["200 random positions, default distance"]
    _agrees(erass, case, erass.filter_on_positions(case["args"]["positions"], DAXA_DEFAULT_DEG, True))


def test_a_distance_for_each_position(erass: Mission, cases: dict[str, dict[str, Any]]) -> None:
    case = cases["same, per-position distances (deg)"]
    positions = cases["200 random positions, default distance"]["args"]["positions"]
    _agrees(erass, case, erass.filter_on_positions(positions, case["args"]["search_distance"], True))


@pytest.mark.parametrize("label", ["time over_run", "time no over_run"])
def test_time_windows(erass: Mission, cases: dict[str, dict[str, Any]], label: str) -> None:
    asked = cases[label]["args"]
    start, end = datetime.fromisoformat(asked["start"]), datetime.fromisoformat(asked["end"])
    erass.filter_on_time(start, end, over_run=asked["over_run"])
    _agrees(erass, cases[label])


def test_a_rectangle(erass: Mission, cases: dict[str, dict[str, Any]]) -> None:
    erass.filter_on_rect_region(cases["rect"]["args"]["ll"], cases["rect"]["args"]["ur"])
    _agrees(erass, cases["rect"])


def test_a_rectangle_with_its_corners_swapped_warns(erass: Mission, cases: dict[str, dict[str, Any]]) -> None:
    case = cases["rect swapped"]
    with pytest.warns(MissionWarning, match="swapped"):
        erass.filter_on_rect_region(case["args"]["ll"], case["args"]["ur"])
    _agrees(erass, case)


def test_the_efeds_clusters(erass: Mission, cases: dict[str, dict[str, Any]], shared_data: Path) -> None:
    positions, _ = _list(shared_data / "daxa" / "efeds_xray_cluster_candidates.csv", "RA", "DEC")
    _agrees(erass, cases["efeds clusters"], erass.filter_on_positions(positions, DAXA_DEFAULT_DEG, True))


def test_the_type_ia_supernovae(erass: Mission, cases: dict[str, dict[str, Any]], shared_data: Path) -> None:
    positions, _ = _list(shared_data / "daxa" / "sn1a_samp.csv", "ra", "declination")
    _agrees(erass, cases["sn1a positions"], erass.filter_on_positions(positions, DAXA_DEFAULT_DEG, True))


def test_supernovae_within_a_year_of_discovery(
    erass: Mission, cases: dict[str, dict[str, Any]], shared_data: Path
) -> None:
    positions, rows = _list(shared_data / "daxa" / "sn1a_samp.csv", "ra", "declination")
    starts = [datetime.fromisoformat(row["discoverydate"]) for row in rows]
    ends = [start + timedelta(days=365) for start in starts]
    found = erass.filter_on_positions_at_time(positions, starts, ends, DAXA_DEFAULT_DEG, True)
    case = cases["sn1a within 365 d after discovery"]
    assert found is not None
    assert len(erass) == case["n"] and sorted(erass.filtered_obs_ids) == sorted(case["obs_ids"])
    ours = {row["pos_ind"]: set(row["ObsIDs"]) for row in found.to_pylist()}
    daxas = {index: set(ids.split(",")) for index, ids in case["table"]}
    assert ours == daxas


def test_galactic_coordinates_are_turned_into_the_missions_frame(
    erass: Mission, cases: dict[str, dict[str, Any]]
) -> None:
    from astropy.coordinates import SkyCoord

    case = next(value for label, value in cases.items() if label.startswith("Galactic"))
    place = SkyCoord(case["args"]["l"], case["args"]["b"], unit="deg", frame="galactic")
    _agrees(erass, case, erass.filter_on_positions(place, case["args"]["search_distance"], True))


def test_without_a_distance_a_position_belongs_to_the_tile_that_holds_it(
    erass: Mission, cases: dict[str, dict[str, Any]]
) -> None:
    """DAXA takes all tiles whose centre is near, which lists tiles that do not hold the position at all."""
    positions = np.array(cases["200 random positions, default distance"]["args"]["positions"])
    found = erass.filter_on_positions(positions, None, True)
    assert found is not None
    info = erass.all_obs_info
    west, east, south, north = (info[n].to_numpy() for n in ("ra_min", "ra_max", "dec_min", "dec_max"))
    ids = info["ObsID"].to_pylist()
    expected = {}
    for i, (ra, dec) in enumerate(positions):
        inside = (west <= ra) & (ra <= east) & (south <= dec) & (dec <= north)
        if inside.any():
            expected[i] = [ids[row] for row in np.flatnonzero(inside)]
    assert {row["pos_ind"]: row["ObsIDs"] for row in found.to_pylist()} == expected
    assert max(map(len, expected.values())) == 1


def _list(path: Path, ra: str, dec: str) -> tuple[np.ndarray[Any, Any], list[dict[str, str]]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[ra]), float(row[dec])] for row in rows]), rows
