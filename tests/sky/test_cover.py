"""A cover holds every point of its region, in as few ranges as asked for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.model.region import CELLS_29, Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.cells import healpix_29, parents
from skyvault.sky.cover import (
    DEEPEST_INDEX,
    MOST_CELLS,
    bounding_cap,
    bounding_caps,
    cells_for_lookup,
    cover,
    footprint_cells,
)
from skyvault.sky.predicates import points_in_region, region_intersects
from skyvault.sky.shapes import Shapes
from skyvault.sky.vectors import coordinates, normalised, separation, unit_vectors

lons = st.one_of(st.floats(0, 359.99), st.sampled_from([0.0, 45.0, 90.0, 270.0]))
lats = st.one_of(st.floats(-1, 1).map(lambda z: math.degrees(math.asin(z))), st.sampled_from([90.0, -90.0, 41.8, 0.0]))
sizes = st.one_of(st.floats(1e-7, 1e-3), st.floats(0.001, 2), st.floats(2, 60))
circles = st.builds(Circle, lons, lats, st.one_of(sizes, st.floats(60, 180)))


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Polygons about a place: some convex, some not, some across a pole, some the larger side."""
    lon, lat, size = draw(lons), draw(lats), draw(sizes)
    count = draw(st.integers(3, 8))
    bearings = np.arange(count) / count * 2 * np.pi + draw(st.floats(0, 6))
    spokes = np.radians(size) * np.array(draw(st.lists(st.floats(0.3, 1), min_size=count, max_size=count)))
    a, d = math.radians(lon), math.radians(lat)
    centre = unit_vectors(lon, lat)
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    corners = centre * np.cos(spokes)[:, None] + np.sin(spokes)[:, None] * (
        np.outer(np.cos(bearings), north) + np.outer(np.sin(bearings), east)
    )
    vertices = zip(*(c.tolist() for c in coordinates(corners)), strict=True)
    return Polygon(tuple(vertices), is_larger_side=draw(st.sampled_from([False, False, False, True])))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    lon, lat, size = draw(lons), draw(lats), draw(sizes)
    width = draw(st.one_of(st.just(size), st.floats(0.001, 359), st.just(360.0)))
    return Box(lon, lon + width, max(lat - size, -90.0), min(lat + size, 90.0))


mocs = st.lists(st.integers(0, 3071), min_size=1, max_size=9).map(lambda n: Moc.from_cells((4, i, i) for i in n))
single = st.one_of(circles, polygons(), boxes(), st.builds(Point, lons, lats))
regions = st.one_of(single, mocs, st.lists(single, min_size=2, max_size=12).map(lambda parts: Union(tuple(parts))))


def places_in(region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Places in a region: tried within circles about it of several sizes, and its corners."""
    rng = np.random.default_rng(3)
    parts = region.regions if isinstance(region, Union) else (region,)
    tried = [normalised(rng.normal(size=(200, 3)))]
    for part in parts[:4]:
        lon, lat, radius = bounding_cap(part)
        centre = unit_vectors(lon, lat)
        depth = np.radians(radius) * np.sqrt(rng.uniform(size=(400, 1)))
        aside = normalised(np.cross(centre, rng.normal(size=(400, 3))))
        tried.append(centre * np.cos(depth) + aside * np.sin(depth))
        if isinstance(part, Polygon):
            tried.append(unit_vectors(*zip(*part.vertices, strict=True)))
        elif isinstance(part, Box):
            tried.append(unit_vectors([part.lon1, part.lon2] * 2, [part.lat1, part.lat1, part.lat2, part.lat2]))
        elif isinstance(part, Point | Circle):
            tried.append(centre[None])
    lon, lat = coordinates(np.concatenate(tried))
    inside = points_in_region(lon, lat, region)
    return lon[inside], lat[inside]


@given(regions, st.integers(1, 8))
def test_a_cover_holds_every_point_of_its_region(region: Region, most: int) -> None:
    ranges = cover(region, max_ranges=most)
    assert 1 <= len(ranges) <= most
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges))
    assert ranges[0][0] >= 0 and ranges[-1][1] < CELLS_29
    cells = healpix_29(*places_in(region))
    low, high = np.array(ranges).T
    place = np.searchsorted(low, cells, side="right") - 1
    assert ((place >= 0) & (cells <= high[np.maximum(place, 0)])).all()


@given(regions)
def test_a_bounding_cap_holds_its_region(region: Region) -> None:
    lon, lat, radius = bounding_cap(region)
    places = places_in(region)
    assert (separation(*places, lon, lat) <= radius + 1e-9).all()
    many = bounding_caps(Shapes.from_regions([None, region, Circle(1, 2, 3)]))
    assert np.isnan(many[2][0]) and many[2][2] == pytest.approx(3)
    assert many[2][1] == pytest.approx(radius, abs=1e-9)


@given(st.lists(regions, min_size=1, max_size=6))
def test_footprint_cells_hold_each_region_in_few_cells(listed: list[Region]) -> None:
    rows, orders, cells = footprint_cells(listed)
    assert (np.diff(rows) >= 0).all() and orders.max() <= DEEPEST_INDEX
    for row, region in enumerate(listed):
        own = rows == row
        parts = len(region.regions) if isinstance(region, Union) else 1
        assert own.sum() <= (MOST_CELLS if not isinstance(region, Moc) else 64) * parts
        places = healpix_29(*places_in(region))
        held = np.zeros(len(places), np.bool_)
        for order, cell in zip(orders[own].tolist(), cells[own].tolist(), strict=True):
            held |= parents(places, 29, order) == cell
        assert held.all()


@given(st.lists(regions, min_size=1, max_size=6), regions)
def test_a_lookup_finds_every_region_that_touches(listed: list[Region], wanted: Region) -> None:
    rows, orders, cells = footprint_cells(listed)
    found = set()
    for order, low, high in cells_for_lookup(wanted, set(orders.tolist())):
        found |= set(rows[(orders == order) & (cells >= low) & (cells <= high)].tolist())
    for row, region in enumerate(listed):
        if not isinstance(region, Moc) and not isinstance(wanted, Moc) and region_intersects(region, wanted):
            assert row in found


def test_the_whole_sky_is_one_range() -> None:
    for region in (Circle(1, 2, 180), Box(0, 360, -90, 90)):
        assert cover(region) == [(0, CELLS_29 - 1)]


def test_a_small_circle_has_a_small_cover() -> None:
    for radius in (1e-5, 1 / 3600, 0.1, 1.0):
        for lon, lat in ((10.3, 20.4), (200.7, -55.0), (45.0, 0.0), (0.0, 90.0)):
            ranges = cover(Circle(lon, lat, radius))
            covered = sum(high - low + 1 for low, high in ranges) / CELLS_29 * 41252.96
            # four ranges at the corner of three base cells hold more than those within one
            assert covered < 40 * math.pi * radius**2


def test_a_position_is_covered_by_its_own_cell() -> None:
    cell = int(healpix_29([10.3], [20.4])[0])
    ranges = cover(Point(10.3, 20.4))
    assert any(low <= cell <= high for low, high in ranges)
    assert sum(high - low + 1 for low, high in ranges) < 100


def test_wide_footprints_lie_at_coarse_orders() -> None:
    _, wide, _ = footprint_cells([Circle(10, 20, 30)])
    _, narrow, _ = footprint_cells([Circle(10, 20, 0.1)])
    assert wide.max() <= 2 and narrow.min() >= 6
    rows, _, _ = footprint_cells(Shapes.from_regions([Circle(10, 20, 0.1)] * 5 + [None]))
    assert np.bincount(rows, minlength=6).tolist()[5] == 0
    assert len(set(np.bincount(rows).tolist())) == 1
    rows, _, _ = footprint_cells(Shapes.from_regions([Circle(10, 20, 0.1)] * 5))
    assert sorted(set(rows.tolist())) == [0, 1, 2, 3, 4]
