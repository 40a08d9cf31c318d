"""Whether one position lies in one region, again and again: plain floats, for the few rows an index leaves over.

Arrays cost some 50 us before they do anything; an ObsCore query tests a handful of footprints. Convex polygons and
circles, which is what footprints are, are tested here; anything else goes to :class:`skyvault.sky.points.RegionTest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from skyvault.errors import SkyvaultError
from skyvault.model.region import Circle, Polygon, Region
from skyvault.sky.region_text import parse_region

Vector = tuple[float, float, float]
#: tells whether the position of these coordinates (degrees) and this unit vector is in the region
FootprintTest = Callable[[float, float, Vector], bool]

#: radians by which a position may lie outside and still count as on the outline (as in skyvault.sky.predicates)
TOLERANCE = 1e-12


def unit_vector(lon: float, lat: float) -> Vector:
    a, d = math.radians(lon), math.radians(lat)
    return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)


@lru_cache(maxsize=20_000)
def footprint_test(text: str) -> FootprintTest | None:
    """The test of a region in any spelling; None when it cannot be read. Kept, since footprints are asked for often."""
    try:
        return _test(parse_region(text))
    except SkyvaultError:
        return None


def _test(region: Region) -> FootprintTest:
    if isinstance(region, Circle) and region.radius <= 90:
        return _circle(region)
    if isinstance(region, Polygon) and not region.is_larger_side:
        convex = _convex(region)
        if convex is not None:
            return convex
    return _any(region)


def _circle(circle: Circle) -> FootprintTest:
    x, y, z = unit_vector(circle.lon, circle.lat)
    limit = (2 * math.sin(math.radians(circle.radius) / 2) + TOLERANCE) ** 2

    def holds(lon: float, lat: float, p: Vector) -> bool:
        return (p[0] - x) ** 2 + (p[1] - y) ** 2 + (p[2] - z) ** 2 <= limit

    return holds


def _convex(polygon: Polygon) -> FootprintTest | None:
    """Half-spaces of a convex polygon; None when it is not convex."""
    corners = [unit_vector(lon, lat) for lon, lat in polygon.vertices]
    normals: list[Vector] = []
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        n = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        length = math.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2)
        if length < 1e-9:  # opposite or nearly equal corners: rounding would decide
            return None
        normals.append((n[0] / length, n[1] / length, n[2] / length))
    sides = [n[0] * c[0] + n[1] * c[1] + n[2] * c[2] for n in normals for c in corners]
    if min(sides) < -TOLERANCE:
        if max(sides) > TOLERANCE:
            return None
        normals = [(-n[0], -n[1], -n[2]) for n in normals]

    def holds(lon: float, lat: float, p: Vector) -> bool:
        return all(n[0] * p[0] + n[1] * p[1] + n[2] * p[2] >= -TOLERANCE for n in normals)

    return holds


def _any(region: Region) -> FootprintTest:
    from skyvault.sky.points import RegionTest

    test = RegionTest(region)

    def holds(lon: float, lat: float, p: Vector) -> bool:
        return bool(test.holds([lon], [lat])[0])

    return holds
