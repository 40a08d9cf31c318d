"""Which positions lie in a region: many in one, or each in its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.cells import healpix_29
from skyvault.sky.geometry import Geometry, in_ranges
from skyvault.sky.polygons import EdgeIndex
from skyvault.sky.shapes import Booleans, Floats, Shapes
from skyvault.sky.vectors import TOLERANCE, dot, unit_vectors


def points_in_region(lon: ArrayLike, lat: ArrayLike, region: Region) -> Booleans:
    """Which positions (degrees) lie in one region. Positions that are NaN or beyond a pole lie nowhere."""
    return RegionTest(region).holds(np.atleast_1d(lon), np.atleast_1d(lat))


class RegionTest:
    """One region made ready to be asked about points again and again."""

    def __init__(self, region: Region) -> None:
        parts = region.regions if isinstance(region, Union) else (region,)
        self._tests = [
            _round(part)
            if isinstance(part, Point | Circle)
            else _outline(part)
            if isinstance(part, Polygon)
            else _box(part)
            if isinstance(part, Box)
            else _coverage(part)
            for part in parts
        ]

    def holds(self, lon: ArrayLike, lat: ArrayLike) -> Booleans:
        """Which positions in degrees (arrays of one shape (n,)) lie in the region."""
        lons, lats = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        valid = np.isfinite(lons) & (np.abs(lats) <= 90.0)
        if not valid.all():
            lons, lats = np.where(valid, lons, 0.0), np.where(valid, lats, 0.0)
        points = unit_vectors(lons, lats)
        inside = self._tests[0](lons, lats, points)
        for test in self._tests[1:]:
            inside = inside | test(lons, lats, points)
        return inside & valid


_Test = Callable[[Floats, Floats, Floats], Booleans]


def _round(part: Point | Circle) -> _Test:
    centre = unit_vectors(part.lon, part.lat)
    radius = np.radians(part.radius) if isinstance(part, Circle) else 0.0
    # beyond 90 degrees the chord loses its power to tell: ask for the distance from the opposite point
    is_wide = radius > np.pi / 2
    from_point = -centre if is_wide else centre
    angle = max(np.pi - radius - TOLERANCE, 0.0) if is_wide else radius + TOLERANCE
    limit = 4.0 * np.sin(angle / 2.0) ** 2

    def test(lon: Floats, lat: Floats, points: Floats) -> Booleans:
        chord = points - from_point
        squared = dot(chord, chord)
        return np.asarray(squared >= limit if is_wide else squared <= limit, np.bool_)

    return test


def _outline(part: Polygon) -> _Test:
    polygons = Geometry(Shapes.from_regions([part])).polygons
    centres, radii = polygons.caps
    if polygons.is_convex[0]:
        normals = polygons.inner_normals.T.copy()

        def test_convex(lon: Floats, lat: Floats, points: Floats) -> Booleans:
            return np.asarray(((points @ normals) >= -TOLERANCE).all(axis=1), np.bool_)

        return test_convex
    index = EdgeIndex(polygons)
    limit = 4.0 * np.sin(min(radii[0] + TOLERANCE, np.pi) / 2.0) ** 2

    def test(lon: Floats, lat: Floats, points: Floats) -> Booleans:
        chord = points - centres[0]
        near = np.flatnonzero(dot(chord, chord) <= limit) if radii[0] < np.pi else np.arange(len(points))
        inside = np.zeros(len(points), np.bool_)
        inside[near] = index.contain(points[near])
        return inside

    return test


def _box(part: Region) -> _Test:
    one = Geometry(Shapes.from_regions([part])).boxes

    def test(lon: Floats, lat: Floats, points: Floats) -> Booleans:
        return one.contain_coordinates(lon, lat)

    return test


def _coverage(part: Moc) -> _Test:
    def test(lon: Floats, lat: Floats, points: Floats) -> Booleans:
        return in_ranges(healpix_29(lon, lat), part)

    return test


def points_in_shapes(lon: ArrayLike, lat: ArrayLike, shapes: Shapes) -> Booleans:
    """Whether region i of ``shapes`` holds position i (degrees; a scalar stands for every row)."""
    if shapes.is_constant and len(shapes) > 1:
        inside = points_in_region(lon, lat, shapes.region(0)) if shapes.valid[0] else np.zeros(1, np.bool_)
        return np.broadcast_to(inside, (len(shapes),)).copy()
    geometry = Geometry(shapes)
    lons, lats = (np.broadcast_to(np.asarray(a, np.float64), (len(shapes),)) for a in (lon, lat))
    row = geometry.parts.row
    valid = np.isfinite(lons) & (np.abs(lats) <= 90.0)
    points = unit_vectors(np.where(valid, lons, 0.0), np.where(valid, lats, 0.0))
    held = geometry.hold(np.arange(len(row)), points[row])
    result = np.zeros(len(shapes), np.bool_)
    result[row[held]] = True
    return result & valid
