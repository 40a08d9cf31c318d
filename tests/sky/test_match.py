"""A positional match finds exactly the pairs within the radius."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from skyvault.errors import ParameterError
from skyvault.sky.match import match_positions
from skyvault.sky.vectors import coordinates, normalised, separation


def sky(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = coordinates(normalised(np.random.default_rng(seed).normal(size=(count, 3))))
    lat[:5], lat[5:8], lon[8:12] = 90 - np.arange(5) * 1e-4, -90, [0, 1e-9, 359.9999999, 360 - 1e-6]
    return lon, lat


@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.5, 5.0, 40.0, 90.0, 150.0, 180.0])
def test_all_pairs_within_the_radius_are_found_and_no_other(radius: float) -> None:
    (lon1, lat1), (lon2, lat2) = sky(300, 1), sky(200, 2)
    lon2[:20], lat2[:20] = lon1[:20], lat1[:20]
    found = match_positions(lon1, lat1, lon2, lat2, radius)
    apart = separation(lon1[:, None], lat1[:, None], lon2, lat2)
    near = apart <= radius + 1e-13
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == set(zip(*map(np.ndarray.tolist, np.nonzero(near)), strict=True))  # fmt: skip
    assert np.abs(found.separation - apart[found.first, found.second]).max(initial=0) < 1e-7
    nearest = match_positions(lon1, lat1, lon2, lat2, radius, nearest_only=True)
    has = near.any(axis=1)
    assert nearest.first.tolist() == np.flatnonzero(has).tolist()
    assert np.abs(nearest.separation - apart.min(axis=1)[has]).max(initial=0) < 1e-7


def test_what_is_no_place_matches_nothing() -> None:
    found = match_positions([0, np.nan, 5], [0, 0, 91], [0, np.nan, 5], [0, 0, 91], 1.0)
    assert (found.first.tolist(), found.second.tolist()) == ([0], [0])
    assert len(match_positions([], [], [1], [2], 1.0).first) == 0


@pytest.mark.parametrize("radius", [-1.0, 180.5, np.nan])
def test_a_radius_beyond_0_to_180_is_refused(radius: float) -> None:
    with pytest.raises(ParameterError):
        match_positions([0], [0], [0], [0], radius)


def test_a_crowded_place_is_matched_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyvault.sky.match._PORTION", 1000)
    rng = np.random.default_rng(0)
    lon, lat = 10 + rng.normal(size=400) * 1e-4, 20 + rng.normal(size=400) * 1e-4
    found = match_positions(lon, lat, lon, lat, 1e-4)
    near = separation(lon[:, None], lat[:, None], lon, lat) <= 1e-4
    assert len(found.first) == near.sum()


@pytest.mark.shared
def test_stars_match_themselves(shared_data: Path) -> None:
    stars = pq.read_table(shared_data / "stars" / "tycho2.parquet", columns=["ra", "dec"]).slice(0, 200_000)
    ra, dec = stars["ra"].to_numpy(), stars["dec"].to_numpy()
    found = match_positions(ra, dec, ra + 1e-5, dec, 1 / 3600, nearest_only=True)
    assert len(found.first) == len(ra)
    assert (found.first == found.second).mean() > 0.999
