"""One position in one region by plain floats says what the exact predicates say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.model.region import Circle, Polygon, Region
from skyvault.sky.footprint_test import footprint_test, unit_vector
from skyvault.sky.points import RegionTest
from skyvault.sky.region_text import format_region

lons = st.floats(0, 359.999)
lats = st.floats(-90, 90)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Footprints around a place: convex ones, and any quadrangle or pentagon."""
    lon, lat = draw(lons), draw(st.floats(-89, 89))
    size = draw(st.floats(0.01, 20))
    angles = sorted(draw(st.lists(st.floats(0, 6.28), min_size=3, max_size=6, unique=True)))
    radii = draw(st.lists(st.floats(0.3, 1), min_size=len(angles), max_size=len(angles)))
    if draw(st.booleans()):
        angles.reverse()
    a, d = np.radians(lon), np.radians(lat)
    east = np.array([-np.sin(a), np.cos(a), 0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    up = np.array(unit_vector(lon, lat))
    corners = []
    for angle, radius in zip(angles, radii, strict=True):
        r = np.radians(size * radius)
        v = np.cos(r) * up + np.sin(r) * (np.cos(angle) * east + np.sin(angle) * north)
        corners.append(
            (float(np.degrees(np.arctan2(v[1], v[0])) % 360), float(np.degrees(np.arcsin(np.clip(v[2], -1, 1)))))
        )
    return Polygon(tuple(corners))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Region, float, float]:
    region: Region = draw(polygons() | st.builds(Circle, lons, lats, st.floats(0, 180)))
    if draw(st.booleans()):
        return region, draw(lons), draw(lats)
    near = region.vertices[0] if isinstance(region, Polygon) else (region.lon, region.lat)  # type: ignore[union-attr]
    lon, lat = near[0] + draw(st.floats(-5, 5)), near[1] + draw(st.floats(-5, 5))
    return region, lon % 360, float(np.clip(lat, -90, 90))


@given(cases())
def test_a_position_is_in_a_region_when_the_exact_predicates_say_so(case: tuple[Region, float, float]) -> None:
    region, lon, lat = case
    test = footprint_test(format_region(region))
    assert test is not None
    exact = bool(RegionTest(region).holds([lon], [lat])[0])
    if test(lon, lat, unit_vector(lon, lat)) != exact:
        # only on the very outline may rounding decide differently
        around = [
            bool(RegionTest(region).holds([lon + x], [np.clip(lat + y, -90, 90)])[0])
            for x in (-1e-9, 1e-9)
            for y in (-1e-9, 1e-9)
        ]
        assert len(set(around)) == 2


@pytest.mark.parametrize("text", ["", "POLYGON", "POLYGON ICRS 1 2 3", "nonsense", "CIRCLE ICRS 1 95 2"])
def test_what_is_no_region_has_no_test(text: str) -> None:
    assert footprint_test(text) is None
