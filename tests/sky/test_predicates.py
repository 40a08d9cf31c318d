"""Containment and intersection on the sphere, against an independent computation on random regions.

The oracle knows each region by how it was made: a polygon is star-shaped about a known centre, so that a point is
inside exactly if it lies on the near side of the edge in its own sector. Outlines are walked in small steps; what is
too close for the steps to decide is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from skyvault.model.region import Box, Circle, Point, Polygon, Region, Union
from skyvault.sky.arrangement import contains_by_pieces
from skyvault.sky.predicates import (
    RegionTest,
    contains,
    intersects,
    points_in_region,
    points_in_shapes,
    region_contains,
    region_intersects,
)
from skyvault.sky.region_text import parse_region
from skyvault.sky.shapes import Shapes

#: a third of the examples of the profile: each walks along two outlines
WALKED = settings(max_examples=settings.default.max_examples // 3, suppress_health_check=list(HealthCheck))


def vector(lon: float, lat: float) -> np.ndarray:
    a, d = math.radians(lon), math.radians(lat)
    return np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])


def lonlat(v: np.ndarray) -> tuple[float, float]:
    return math.degrees(math.atan2(v[1], v[0])) % 360, math.degrees(math.atan2(v[2], math.hypot(v[0], v[1])))


def angle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    cross = np.linalg.norm(np.cross(p, q), axis=-1)
    return np.arctan2(cross, (p * q).sum(axis=-1))


def moved(lon: float, lat: float, bearing: float, distance: float) -> tuple[float, float]:
    """The place ``distance`` degrees away in direction ``bearing`` (degrees, north through east)."""
    a, d = math.radians(lon), math.radians(lat)
    centre = vector(lon, lat)
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    b, r = math.radians(bearing), math.radians(distance)
    return lonlat(centre * math.cos(r) + (north * math.cos(b) + east * math.sin(b)) * math.sin(r))


@dataclass
class Known:
    """A region, points along its outline (at most ``step`` apart), and an independent test of points."""

    region: Region
    outline: np.ndarray
    step: float
    #: of a polygon: the centre it is star-shaped about, and bearings (from 0) of its vertices, north through east
    centre: tuple[float, float] = (0.0, 0.0)
    bearings: np.ndarray | None = None
    corners: np.ndarray | None = None

    def inside(self, points: np.ndarray) -> np.ndarray:
        region = self.region
        if isinstance(region, Circle):
            return angle(points, vector(region.lon, region.lat)) <= math.radians(region.radius)
        if isinstance(region, Box):
            lon = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
            lat = np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1)))
            past = np.mod(lon - region.lon1, 360)
            return (past <= region.width) & (lat >= region.lat1) & (lat <= region.lat2)
        assert self.corners is not None and self.bearings is not None
        a, d = (math.radians(c) for c in self.centre)
        north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
        east = np.array([-math.sin(a), math.cos(a), 0.0])
        bearing = np.mod(np.degrees(np.arctan2(points @ east, points @ north)), 360)
        sector = np.searchsorted(self.bearings, bearing, side="right") - 1
        first, second = self.corners[sector], self.corners[(sector + 1) % len(self.corners)]
        # from north through east the centre is to the right of every edge
        return (np.cross(second, first) * points).sum(axis=1) >= 0


def walked_arc(p: np.ndarray, q: np.ndarray, steps: int) -> np.ndarray:
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    total = angle(p, q)
    return (np.sin((1 - t) * total) * p + np.sin(t * total) * q) / math.sin(total)


places = st.tuples(st.floats(0, 359.99), st.floats(-1, 1)).map(lambda p: (p[0], math.degrees(math.asin(p[1]))))
special = st.sampled_from(
    [(0.0, 90.0), (0.0, -90.0), (0.0, 0.0), (359.9, 0.1), (45.0, 41.81), (180.0, -89.9), (270.0, 0)]
)
centres = st.one_of(places, places, special)
sizes = st.one_of(st.floats(1e-6, 1.0), st.floats(1, 60))


@st.composite
def circles(draw: st.DrawFn, at: tuple[float, float] | None = None, size: float | None = None) -> Known:
    lon, lat = at or draw(centres)
    radius = size or draw(st.one_of(sizes, st.floats(60, 179)))
    outline = np.array([vector(*moved(lon, lat, b, radius)) for b in np.linspace(0, 360, 360, endpoint=False)])
    return Known(Circle(lon, lat, radius), outline, math.radians(1.0) * math.sin(math.radians(radius)))


@st.composite
def polygons(draw: st.DrawFn, at: tuple[float, float] | None = None, size: float | None = None) -> Known:
    centre = at or draw(centres)
    size = size or draw(sizes)
    count = draw(st.integers(3, 9))
    # bearings less than 150 degrees apart
    gaps = np.array(draw(st.lists(st.floats(0.4, 1.0), min_size=count, max_size=count)))
    bearings = np.cumsum(gaps / gaps.sum() * 360)[:-1]
    bearings = np.concatenate([[0.0], bearings])
    assume(np.diff(np.append(bearings, 360)).max() < 150)
    shrinks = draw(st.one_of(st.just([1.0] * count), st.lists(st.floats(0.3, 1), min_size=count, max_size=count)))
    vertices = [moved(*centre, b, size * s) for b, s in zip(bearings, shrinks, strict=True)]
    vectors = [vector(*v) for v in vertices]
    outline = np.concatenate([walked_arc(p, q, 60) for p, q in zip(vectors, vectors[1:] + vectors[:1], strict=True)])
    step = max(float(angle(p, q)) for p, q in zip(vectors, vectors[1:] + vectors[:1], strict=True)) / 60
    # the other way round it is the same: winding means nothing
    sequence = tuple(reversed(vertices)) if draw(st.booleans()) else tuple(vertices)
    return Known(Polygon(sequence), outline, step, centre, bearings, np.array(vectors))


@st.composite
def boxes(draw: st.DrawFn, at: tuple[float, float] | None = None, size: float | None = None) -> Known:
    lon, lat = at or draw(centres)
    height = size or draw(sizes)
    stretch = height / max(math.cos(math.radians(lat)), 0.05)
    narrow = st.floats(0.01, 1).map(lambda f: min(f * stretch, 350.0))
    width = draw(st.one_of(narrow, st.floats(1, 359), st.just(360.0)))
    south, north = max(-90.0, lat - height / 2), min(90.0, lat + height / 2)
    west = lon - width / 2
    box = Box(west, west + width, south, north)
    lons = west + np.linspace(0, 1, 400) * width
    lats = np.linspace(south, north, 100)
    sides = [vector(a, b) for b in (south, north) for a in lons]
    if width < 360:
        sides += [vector(a, b) for a in (west, west + width) for b in lats]
    return Known(box, np.array(sides), math.radians(max(width / 399, (north - south) / 99)))


regions = st.one_of(circles(), polygons(), boxes())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Known, Known]:
    """Two regions near each other, so that all relations occur."""
    first = draw(regions)
    at = lonlat(first.outline[draw(st.integers(0, len(first.outline) - 1))])
    scale = draw(st.sampled_from([0.01, 0.2, 0.7, 1.5, 4]))
    size = min(70.0, max(1e-6, math.degrees(float(angle(first.outline, first.outline.mean(axis=0)).max())) * scale))
    where = moved(*at, draw(st.floats(0, 360)), size * draw(st.sampled_from([0.0, 0.5, 0.9, 1.1, 2])))
    kind = draw(st.sampled_from([circles, polygons, boxes]))
    second = draw(kind(at=where, size=size))
    return (first, second) if draw(st.booleans()) else (second, first)


@WALKED
@given(regions, st.lists(centres, min_size=1, max_size=20), st.integers(0, 10**6))
def test_a_point_is_in_a_region_exactly_if_it_is_within_its_outline(
    known: Known, somewhere: list[tuple[float, float]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    beside = known.outline[rng.integers(0, len(known.outline), 40)]
    beside = beside + rng.normal(size=beside.shape) * known.step * rng.choice([1e-3, 1.0, 30.0], (40, 1))
    beside /= np.linalg.norm(beside, axis=1)[:, None]
    points = np.concatenate([[vector(*p) for p in somewhere], beside])
    lon, lat = np.array([lonlat(p) for p in points]).T
    points = np.array([vector(a, b) for a, b in zip(lon, lat, strict=True)])
    inside = points_in_region(lon, lat, known.region)
    expected = known.inside(points)
    wrong = np.flatnonzero(inside != expected)
    # a mistake only if the outline is not right there
    for i in wrong:
        assert _outline_distance(known, points[i]) < 1e-11, (known.region, lon[i], lat[i], inside[i])
    many = Shapes.from_regions([known.region, Circle(0, 0, 1)] + [known.region] * (len(lon) - 1))
    rows = np.concatenate([[0], np.arange(2, len(lon) + 1)])
    assert (points_in_shapes(lon, lat, many.take(rows)) == inside).all()
    pairwise = points_in_shapes(
        np.append(lon, 7), np.append(lat, 80), Shapes.from_regions([known.region] * len(lon) + [Point(1, 2)])
    )
    assert (pairwise[:-1] == inside).all() and not pairwise[-1]


def _outline_distance(known: Known, point: np.ndarray) -> float:
    """Radians to the true outline, by bisecting for it around the nearest known point of it."""
    region = known.region
    if isinstance(region, Circle):
        return float(abs(angle(point, vector(region.lon, region.lat)) - math.radians(region.radius)))
    if isinstance(region, Box):
        lon, lat = lonlat(point)
        past = (lon - region.lon1) % 360
        cosine = math.cos(math.radians(lat))
        return min(
            math.radians(abs(lat - region.lat1)), math.radians(abs(lat - region.lat2)),
            math.radians(min(past, 360 - past)) * cosine, math.radians(abs(past - region.width)) * cosine,
        )  # fmt: skip
    assert isinstance(region, Polygon)
    vectors = [vector(*v) for v in region.vertices]
    return min(
        abs(float(point @ (n / np.linalg.norm(n))))
        for n in (np.cross(p, q) for p, q in zip(vectors, vectors[1:] + vectors[:1], strict=True))
    )


@WALKED
@given(pairs())
def test_regions_intersect_exactly_if_they_have_a_point_in_common(pair: tuple[Known, Known]) -> None:
    first, second = pair
    found = region_intersects(first.region, second.region)
    assert region_intersects(second.region, first.region) == found
    meets = bool(first.inside(second.outline).any() or second.inside(first.outline).any())
    if meets:
        # a sample may be off its outline by rounding: the regions may then just fail to touch
        grace = min(_margin(first, second.outline), _margin(second, first.outline))
        assert found or grace < 1e-11
    elif found:
        nearest = min(float(np.min(np.linalg.norm(second.outline - p, axis=1))) for p in first.outline)
        assert nearest <= 2 * (first.step + second.step), (first.region, second.region)


def _margin(known: Known, points: np.ndarray) -> float:
    inside = points[known.inside(points)]
    return max((_outline_distance(known, p) for p in inside), default=0.0)


@WALKED
@given(pairs())
def test_a_region_contains_another_exactly_if_no_point_of_it_is_outside(pair: tuple[Known, Known]) -> None:
    outer, inner = pair
    found = region_contains(outer.region, inner.region)
    is_out = ~outer.inside(inner.outline)
    depth = max((_outline_distance(outer, p) for p in inner.outline[is_out]), default=0.0)
    through = inner.inside(outer.outline)
    cut = max((_outline_distance(inner, p) for p in outer.outline[through]), default=0.0)
    if found:
        assert depth < 1e-11, (outer.region, inner.region)
        assert cut < 1e-11 or _is_whole_behind(outer, inner), (outer.region, inner.region)
        assert region_intersects(outer.region, inner.region)
    elif not is_out.any() and not through.any():
        # only an outline between two steps may stick out
        nearest = min(float(np.min(np.linalg.norm(inner.outline - p, axis=1))) for p in outer.outline)
        assert nearest <= 2 * (outer.step + inner.step), (outer.region, inner.region)
    assert contains_by_pieces(outer.region, inner.region) == found


def _is_whole_behind(outer: Known, inner: Known) -> bool:
    """All of the outer's outline inside the inner while the inner is inside the outer: only if nothing is outside."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    return not (inner.inside(points) & ~outer.inside(points)).any()


@WALKED
@given(st.lists(pairs(), min_size=2, max_size=6), st.booleans())
def test_many_rows_at_once_agree_with_one_at_a_time(rows: list[tuple[Known, Known]], is_constant: bool) -> None:
    first = [rows[0][0].region if is_constant else a.region for a, _ in rows]
    second = [b.region for _, b in rows]
    a, b = Shapes.from_regions(first), Shapes.from_regions(second)
    assert contains(a, b).tolist() == [region_contains(p, q) for p, q in zip(first, second, strict=True)]
    assert contains(b, a).tolist() == [region_contains(q, p) for p, q in zip(first, second, strict=True)]
    assert intersects(a, b).tolist() == [region_intersects(p, q) for p, q in zip(first, second, strict=True)]
    assert intersects(b, a).tolist() == intersects(a, b).tolist()


@WALKED
@given(pairs())
def test_the_larger_side_of_a_polygon_is_everything_else(pair: tuple[Known, Known]) -> None:
    first, second = pair
    assume(isinstance(first.region, Polygon))
    assert isinstance(first.region, Polygon)
    rest = Polygon(first.region.vertices, is_larger_side=True)
    lon, lat = np.array([lonlat(p) for p in second.outline[::17]]).T
    inside, outside = points_in_region(lon, lat, first.region), points_in_region(lon, lat, rest)
    assert (inside | outside).all()
    # apart from touching: within one exactly if not meeting the other
    nearest = min(float(np.min(np.linalg.norm(second.outline - p, axis=1))) for p in first.outline)
    if nearest > 2 * (first.step + second.step):
        assert region_contains(first.region, second.region) == (not region_intersects(rest, second.region))
        assert region_contains(rest, second.region) == (not region_intersects(first.region, second.region))


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        # a region holds itself
        ("CIRCLE 10 20 3", "CIRCLE 10 20 3", True),
        ("POLYGON 0 0 10 0 10 10 0 10", "POLYGON 0 0 10 0 10 10 0 10", True),
        ("POLYGON 0 0 10 0 5 2 10 10 0 10", "POLYGON 0 0 10 0 5 2 10 10 0 10", True),
        ("RANGE 350 10 -5 5", "RANGE 350 10 -5 5", True),
        # touching from inside is inside
        ("CIRCLE 0 0 2", "CIRCLE 1 0 1", True),
        ("CIRCLE 0 0 2", "CIRCLE 1.0001 0 1", False),
        ("POLYGON 0 0 10 0 10 10 0 10", "POLYGON 0 0 5 0 5 5 0 5", True),
        ("RANGE 0 10 0 10", "RANGE 0 5 0 10", True),
        # great-circle edges bulge poleward of parallels
        ("POLYGON 0 40 60 40 60 20 0 20", "RANGE 0 60 25 40", True),
        ("RANGE 0 60 20 40", "POLYGON 0 40 60 40 60 25 0 25", False),
        # and parallels bulge out of them on the other side
        ("POLYGON 0 40 60 40 60 20 0 20", "RANGE 0 60 21 40", False),
        # the far side of a parallel is beyond the pole
        ("CIRCLE 0 80 25", "RANGE 0 360 70 90", False),
        ("CIRCLE 0 80 30.1", "RANGE 0 360 70 90", True),
        # an outline inside is not all inside
        ("CIRCLE 0 90 5", "RANGE 0 360 -90 89", False),
        ("CIRCLE 0 90 5", "NOT (POLYGON 0 86 90 86 180 86 270 86)", False),
        ("RANGE 0 360 -80 80", "POLYGON 0 70 90 70 180 70 270 70", False),
        (
            "RANGE 10 350 -90 90",
            "POLYGON 20 85 90 85 180 85 270 85 340 85 340 0 340 -85 270 -85 180 -85 90 -85 20 -85 20 0",
            False,
        ),
        ("POLYGON 0 70 90 70 180 70 270 70", "RANGE 0 360 -90 75.8", False),
        # over a pole and over RA 0
        ("CIRCLE 0 90 5", "POLYGON 0 86 90 86 180 86 270 86", True),
        ("RANGE 0 360 85 90", "CIRCLE 77 90 5", True),
        ("RANGE 0 360 85 90", "CIRCLE 77 90 5.0001", False),
        ("POLYGON 350 -10 10 -10 10 10 350 10", "CIRCLE 0 0 9", True),
        # a union whose parts hold a circle together only
        ("UNION (POLYGON -2 -2 0 -2 0 2 -2 2 POLYGON 0 -2 2 -2 2 2 0 2)", "CIRCLE 0 0 1", True),
        ("UNION (POLYGON -2 -2 -0.001 -2 -0.001 2 -2 2 POLYGON 0 -2 2 -2 2 2 0 2)", "CIRCLE 0 0 1", False),
        # a ring of boxes with a hole
        ("UNION (RANGE 0 3 0 1 RANGE 0 3 2 3 RANGE 0 1 0 3 RANGE 2 3 0 3)", "CIRCLE 1.5 1.5 0.1", False),
        ("UNION (RANGE 0 3 0 1 RANGE 0 3 2 3 RANGE 0 1 0 3 RANGE 2 3 0 3)", "CIRCLE 1.5 1.5 1", False),
        ("UNION (RANGE 0 3 0 1 RANGE 0 3 2 3 RANGE 0 1 0 3 RANGE 2 3 0 3)", "RANGE 0.5 2.5 0.2 0.8", True),
        # two hemispheres and more are the whole sky
        ("UNION (CIRCLE 0 0 91 CIRCLE 180 0 91)", "CIRCLE 0 0 180", True),
        ("UNION (CIRCLE 0 0 91 CIRCLE 180 0 88)", "CIRCLE 0 0 180", False),
        ("UNION (RANGE 0 180 -90 90 RANGE 180 360 -90 90)", "ALLSKY", True),
        ("CIRCLE 0 0 180", "RANGE 0 360 -90 90", True),
        ("RANGE 0 360 -90 90", "CIRCLE 0 0 180", True),
        # what has no size
        ("POSITION 1 2", "POSITION 1 2", True),
        ("POSITION 1 2", "CIRCLE 1 2 0", True),
        ("POSITION 1 2", "CIRCLE 1 2 0.001", False),
        ("CIRCLE 1 2 0.001", "POSITION 1 2", True),
        ("POLYGON 0 0 10 0 10 10 0 10", "POSITION 0 0", True),
        ("POLYGON 0 0 10 0 10 10 0 10", "POSITION 5 0", True),
        ("POLYGON 0 0 10 0 10 10 0 10", "POSITION 5 -0.000001", False),
    ],
)
def test_contains_counts_outlines_as_inside(outer: str, inner: str, expected: bool) -> None:
    assert region_contains(parse_region(outer), parse_region(inner)) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("CIRCLE 0 0 1", "CIRCLE 2 0 1", True),
        ("CIRCLE 0 0 1", "CIRCLE 2.000001 0 1", False),
        ("POLYGON 0 0 1 0 1 1 0 1", "POLYGON 1 0 2 0 2 1 1 1", True),
        ("POLYGON 0 0 1 0 1 1 0 1", "POLYGON 1 1 2 1 2 2 1 2", True),
        ("POLYGON 0 0 1 0 1 1 0 1", "POLYGON 1.000001 0 2 0 2 1 1.000001 1", False),
        # crossing without a vertex in one another
        ("POLYGON -3 -0.1 3 -0.1 3 0.1 -3 0.1", "POLYGON -0.1 -3 0.1 -3 0.1 3 -0.1 3", True),
        ("RANGE 359 1 -10 10", "POLYGON 350 -1 10 -1 10 1 350 1", True),
        ("POLYGON -5 -0.1 0 0.5 5 -0.1 0 0.7", "POLYGON 2 -3 2.2 -3 2.2 3 2 3", True),
        ("RANGE 0 360 -1 1", "POLYGON 100 -10 105 -10 105 10 100 10", True),
        ("RANGE 0 360 -1 1", "POLYGON 100 2 105 2 105 10 100 10", False),
        # antipodes
        ("CIRCLE 0 0 89", "CIRCLE 180 0 89", False),
        ("CIRCLE 0 0 90", "CIRCLE 180 0 90", True),
        # nested, no outlines meeting
        ("CIRCLE 0 0 10", "POLYGON -1 -1 1 -1 1 1 -1 1", True),
        ("POLYGON -1 -1 1 -1 1 1 -1 1", "RANGE 350 10 -10 10", True),
        # boxes that share a pole only, and across RA 0
        ("RANGE 0 10 80 90", "RANGE 180 190 80 90", True),
        ("RANGE 0 10 80 89", "RANGE 180 190 80 89", False),
        ("RANGE 350 10 0 1", "RANGE 5 20 1 2", True),
        ("UNION (CIRCLE 0 0 1 CIRCLE 100 0 1)", "UNION (CIRCLE 50 0 1 CIRCLE 100 1.5 1)", True),
        ("UNION (CIRCLE 0 0 1 CIRCLE 100 0 1)", "UNION (CIRCLE 50 0 1 CIRCLE 100 2.5 1)", False),
    ],
)
def test_touching_is_intersecting(first: str, second: str, expected: bool) -> None:
    assert region_intersects(parse_region(first), parse_region(second)) is expected
    assert region_intersects(parse_region(second), parse_region(first)) is expected


@given(st.integers(3, 300), st.integers(0, 10**6), centres, st.floats(0.01, 85), st.booleans())
@WALKED
def test_a_ragged_outline_holds_the_same_points_by_its_index(
    count: int, seed: int, centre: tuple[float, float], size: float, is_larger: bool
) -> None:
    rng = np.random.default_rng(seed)
    reach = size * rng.uniform(0.2, 1, count)
    vertices = [moved(*centre, 360 * i / count, r) for i, r in enumerate(reach.tolist())]
    polygon = Polygon(tuple(vertices), is_larger)
    places = [
        moved(*centre, b, r) for b, r in zip(rng.uniform(0, 360, 200), rng.uniform(0, size * 1.1, 200), strict=True)
    ]
    lon, lat = np.array(places + vertices + [(0, 90), (0, -90), (12, 90 - 1e-5)]).T
    by_index = points_in_region(lon, lat, polygon)
    assert by_index[200 : 200 + count].all()
    one_by_one = points_in_shapes(
        np.append(lon, 0), np.append(lat, 0), Shapes.from_regions([polygon] * len(lon) + [Point(1, 1)])
    )
    assert (by_index == one_by_one[:-1]).all()


def test_a_position_that_is_no_place_lies_nowhere() -> None:
    everything = RegionTest(Circle(0, 0, 180))
    assert everything.holds(np.array([0.0, np.nan, 0.0, np.inf]), np.array([0.0, 0.0, 90.1, 0.0])).tolist() == [
        True, False, False, False,
    ]  # fmt: skip


def test_rows_without_a_region_contain_nothing() -> None:
    shapes = Shapes.from_regions([None, Circle(0, 0, 1), None])
    other = Shapes.from_regions([Circle(0, 0, 1), Circle(0, 0, 1), None])
    assert contains(shapes, other).tolist() == [False, True, False]
    assert intersects(shapes, other).tolist() == [False, True, False]


def test_a_union_with_many_overlapping_parts_is_decided_whole() -> None:
    tiles = Union(tuple(Circle(lon, lat, 0.8) for lon in range(10) for lat in range(10)))
    assert region_contains(tiles, Box(0, 9, 0, 9))
    assert not region_contains(tiles, Box(0, 10.5, 0, 9))
    assert not region_contains(Union(tiles.regions[:44] + tiles.regions[45:]), Box(0, 9, 0, 9))
