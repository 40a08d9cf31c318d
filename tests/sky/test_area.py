"""Areas and centroids against formulas of their own and against counting points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import RegionError
from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Union
from skyvault.sky.area import area, areas, centroid, centroids
from skyvault.sky.predicates import points_in_region
from skyvault.sky.region_text import parse_region
from skyvault.sky.shapes import Shapes
from skyvault.sky.vectors import coordinates, normalised, separation, unit_vectors

WHOLE = 41252.96124941928
RNG = np.random.default_rng(11)
SKY = normalised(RNG.normal(size=(400_000, 3)))
SKY_LON, SKY_LAT = coordinates(SKY)


def test_areas_are_those_of_spherical_trigonometry() -> None:
    assert area(Circle(1, 2, 180)) == pytest.approx(WHOLE)
    assert area(Circle(1, 2, 90)) == pytest.approx(WHOLE / 2)
    assert area(Polygon(((0, 0), (90, 0), (0, 90)))) == pytest.approx(WHOLE / 8)
    assert area(Polygon(((0, 0), (90, 0), (0, 90)), is_larger_side=True)) == pytest.approx(WHOLE * 7 / 8)
    assert area(Box(0, 360, -90, 0)) == pytest.approx(WHOLE / 2)
    assert area(Box(350, 10, -30, 30)) == pytest.approx(20 * math.degrees(1.0))
    assert area(Point(1, 2)) == 0.0
    assert area(Moc.from_text("0/0-3 1/20")) == pytest.approx(WHOLE * (4 / 12 + 1 / 48))


@given(st.floats(0, 360), st.floats(-89, 89), st.floats(1e-8, 1e-2))
def test_tiny_areas_keep_their_digits(lon: float, lat: float, size: float) -> None:
    scale = math.cos(math.radians(lat))
    square = Polygon(((lon, lat), (lon + size / scale, lat), (lon + size / scale, lat + size), (lon, lat + size)))
    assert area(square) == pytest.approx(size**2, rel=max(0.02, 1e-13 / size))
    assert area(Circle(lon, lat, size)) == pytest.approx(math.pi * size**2, rel=1e-6)
    # within a thousandth of its size, but for the rounding of a unit vector
    there = centroid(square)
    middle = (lon + size / scale / 2, lat + size / 2)
    assert separation(there.lon, there.lat, *middle) < size * 0.02 + 1e-13


@pytest.mark.parametrize(
    "text",
    [
        "CIRCLE 30 40 25",
        "CIRCLE 30 40 120",
        "RANGE 300 20 -10 60",
        "RANGE 0 360 20 90",
        "POLYGON 0 0 60 0 60 60 30 10",
        "POLYGON 0 70 90 50 180 60 270 80",
        "NOT (POLYGON 0 70 90 50 180 60 270 80)",
        "POLYGON 0 0 100 10 200 5 300 -10",
        "MOC 1/0 5 17 2/100-110",
        "UNION (CIRCLE 10 20 10 CIRCLE 18 20 10)",
        "UNION (CIRCLE 10 20 10 CIRCLE 100 20 10)",
        "UNION (CIRCLE 10 20 10 CIRCLE 12 20 3)",
        "UNION (RANGE 0 30 0 20 RANGE 30 50 0 20 RANGE 20 40 10 30)",
        "UNION (CIRCLE 0 0 95 RANGE 20 350 -20 20 POLYGON 0 0 100 50 200 0 250 60)",
        "UNION (POLYGON 0 0 30 0 30 30 0 30 POLYGON 0 0 30 0 30 30 0 30 POSITION 200 0)",
        "UNION (CIRCLE 20 30 20 POLYGON 0 0 40 0 50 30 MOC 2/5)",
    ],
)
def test_an_area_is_what_counting_points_gives(text: str) -> None:
    region = parse_region(text)
    inside = points_in_region(SKY_LON, SKY_LAT, region)
    share = inside.mean()
    error = math.sqrt(share * (1 - share) / len(SKY)) * WHOLE
    # what lies beside a MOC is counted in cells
    slack = 0.003 * area(region) if "MOC 2" in text else 0.0
    assert abs(area(region) - share * WHOLE) < 5 * error + slack
    there = centroid(region)
    mean = SKY[inside].mean(axis=0)
    spread = 5 / math.sqrt(inside.sum()) / np.linalg.norm(mean)
    assert separation(there.lon, there.lat, *coordinates(mean)) < math.degrees(spread) + (0.1 if slack else 0)


def test_a_union_that_shares_sky_counts_it_once() -> None:
    circle = Circle(10, 20, 3)
    assert area(Union((circle, circle))) == pytest.approx(area(circle), rel=1e-12)
    halves = Union((Box(0, 20, 0, 20), Box(20, 30, 0, 20)))
    assert area(halves) == pytest.approx(area(Box(0, 30, 0, 20)), rel=1e-12)
    assert area(Union((Circle(0, 0, 100), Circle(180, 0, 100)))) == pytest.approx(WHOLE)
    apart = Union((Circle(0, 0, 1), Circle(180, 0, 1)))
    assert area(apart) == pytest.approx(2 * area(Circle(0, 0, 1)), rel=1e-12)


def test_the_centroid_of_a_point_is_itself() -> None:
    there = centroid(Point(10, -20))
    assert (there.lon, there.lat) == pytest.approx((10, -20), abs=1e-13)


def test_what_surrounds_the_sky_evenly_has_no_centroid() -> None:
    with pytest.raises(RegionError, match="centroid"):
        centroid(Circle(0, 0, 180))


def test_many_rows_at_once_agree_with_one_at_a_time() -> None:
    texts = ["CIRCLE 1 2 3", "POLYGON 0 0 10 0 10 10", "UNION (CIRCLE 1 2 3 CIRCLE 2 2 3)", "RANGE 1 2 3 4", "ALLSKY"]
    regions = [parse_region(text) for text in texts]
    shapes = Shapes.from_regions([*regions, None])
    assert areas(shapes)[:-1].tolist() == [area(region) for region in regions]
    assert np.isnan(areas(shapes)[-1])
    lon, lat = centroids(shapes)
    assert np.isnan(lon[-2:]).all()
    assert separation(lon[:4], lat[:4], *np.array([(c.lon, c.lat) for c in map(centroid, regions[:4])]).T).max() < 1e-12
    assert areas(Shapes.from_regions([regions[0]] * 3)).tolist() == [area(regions[0])] * 3


@given(st.floats(0, 360), st.floats(-90, 90), st.floats(1, 80), st.integers(3, 12))
def test_a_regular_polygon_has_the_area_of_its_triangles(lon: float, lat: float, radius: float, count: int) -> None:
    centre = unit_vectors(lon, lat)
    aside = normalised(np.cross(centre, np.eye(3)[int(np.argmin(np.abs(centre)))]))
    third = np.cross(centre, aside)
    turn = 2 * np.pi / count
    spokes = [aside * math.cos(i * turn) + third * math.sin(i * turn) for i in range(count)]
    corners = [centre * math.cos(math.radians(radius)) + spoke * math.sin(math.radians(radius)) for spoke in spokes]
    polygon = Polygon(tuple((float(a), float(b)) for a, b in (coordinates(corner) for corner in corners)))
    # Napier: half the angle at the corner of an isosceles triangle of sides r, r and angle 2 pi / n between
    base = math.atan2(1.0, math.cos(math.radians(radius)) * math.tan(turn / 2))
    excess = count * (turn + 2 * base - math.pi)
    assert area(polygon) == pytest.approx(math.degrees(math.degrees(excess)), rel=1e-9)
