"""Positional matches agree with brute force everywhere on the sky: poles, the wrap at 0, any radius."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.missions import match
from skyvault.missions.faults import MissionValueError
from skyvault.missions.filters import rectangle_mask
from skyvault.missions.match import Zones, pairs_within, rows_within
from skyvault.sky.vectors import separation

PLACES = st.tuples(
    st.one_of(st.floats(0, 360, exclude_max=True), st.sampled_from([0.0, 359.9999999, 180.0])),
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 89.9999, 0.0, -1.0])),
)
LISTS = st.lists(PLACES, min_size=1, max_size=12)


def _brute(observed: Any, positions: Any, radius: Any) -> Any:
    o, p = np.array(observed), np.array(positions)
    return separation(p[:, None, 0], p[:, None, 1], o[None, :, 0], o[None, :, 1]), np.asarray(radius)[:, None]


@given(LISTS, LISTS, st.data())
def test_pairs_are_those_of_brute_force(observed: Any, positions: Any, data: Any) -> None:
    radius = np.array(data.draw(st.lists(st.floats(1e-4, 180), min_size=len(positions), max_size=len(positions))))
    o, p = np.array(observed), np.array(positions)
    apart, limit = _brute(observed, positions, radius)
    found = pairs_within(Zones(o[:, 0], o[:, 1]), p[:, 0], p[:, 1], radius)
    ours = np.zeros_like(apart, np.bool_)
    ours[found.position, found.observation] = True
    # a pair on the rim to rounding may fall on either side
    doubtful = np.abs(apart - limit) < 1e-7
    assert (ours == (apart <= limit))[~doubtful].all()
    assert np.allclose(found.separation, apart[found.position, found.observation], atol=1e-7)


@given(LISTS, LISTS, st.floats(1e-3, 180), st.integers(0, 2))
def test_rows_are_those_of_brute_force_by_every_way(observed: Any, positions: Any, radius: float, way: int) -> None:
    o, p = np.array(observed), np.array(positions)
    radii = np.full(len(p), radius)
    apart, limit = _brute(observed, positions, radii)
    zones, wanted = Zones(o[:, 0], o[:, 1]), np.arange(len(o)) % 3 != 1
    if way == 0:
        ours = rows_within(zones, p[:, 0], p[:, 1], radii, wanted)
    elif way == 1:
        ours = match._rows_near_wide(zones, p[:, 0], p[:, 1], radii, wanted)
    else:
        ours = match._rows_near_many(zones, p[:, 0], p[:, 1], radius, wanted)
    doubtful = (np.abs(apart - limit) < 1e-7).any(axis=0)
    assert (ours == ((apart <= limit).any(axis=0) & wanted))[~doubtful].all()


def test_many_positions_settle_the_same_rows_as_few() -> None:
    rng = np.random.default_rng(3)
    observed = Zones(rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300))))
    lon, lat = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    everything = np.ones(300, np.bool_)
    many = rows_within(observed, lon, lat, np.full(20_000, 0.3), everything)
    pairs = pairs_within(observed, lon, lat, np.full(20_000, 0.3))
    assert set(np.flatnonzero(many)) == set(pairs.observation)


def test_observations_without_a_position_match_nothing() -> None:
    zones = Zones(np.array([10.0, np.nan, 10.0]), np.array([0.0, 0.0, 95.0]))
    assert list(pairs_within(zones, np.array([10.0]), np.array([0.0]), np.array([180.0])).observation) == [0]


def test_too_many_pairs_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "MOST_PAIRS", 10)
    zones = Zones(np.zeros(20), np.zeros(20))
    with pytest.raises(MissionValueError, match="more than 10 times"):
        pairs_within(zones, np.zeros(1), np.zeros(1), np.ones(1))


@given(
    st.lists(PLACES, min_size=1, max_size=30),
    st.floats(0, 360, exclude_max=True),
    st.floats(0.001, 179),
    st.floats(-90, 0),
    st.floats(0, 90),
)
def test_a_rectangle_is_the_shorter_arc(places: Any, west: float, width: float, south: float, north: float) -> None:
    ra, dec = np.array(places).T
    east = (west + width) % 360.0
    mask = rectangle_mask(ra, dec, (west, south), (east, north))
    from_west = np.mod(ra - west, 360.0)
    expected = (from_west <= width) & (dec >= south) & (dec <= north)
    doubtful = (np.abs(from_west - width) < 1e-9) | (from_west > 360 - 1e-9)
    assert (mask == expected)[~doubtful].all()
