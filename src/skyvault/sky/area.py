"""Areas in square degrees and centroids of regions, one or many.

The area of a union counts what its parts share once (exactly, but to a part in a thousand where MOCs are joined with
other shapes). The centroid is the mean direction of a region's points.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from skyvault.errors import RegionError
from skyvault.model.region import MAX_ORDER, Moc, Point, Region, Union
from skyvault.sky.cells import center_vectors
from skyvault.sky.geometry import Geometry, nearby_parts
from skyvault.sky.points import points_in_region
from skyvault.sky.shapes import BOX, CIRCLE, MOC, POLYGON, Floats, Indices, Shapes, spread
from skyvault.sky.vectors import angle_between, coordinates, cross, dot, normalised

#: square degrees in a steradian
SQUARE_DEGREES: Final = float(np.degrees(1.0) ** 2)
#: cells that are counted for what lies beside a MOC
_COUNTED: Final = 100_000


def area(region: Region) -> float:
    """Square degrees; 0 for a point."""
    return float(areas(Shapes.from_regions([region]))[0])


def centroid(region: Region) -> Point:
    """The mean direction of a region's points. Raises RegionError for one that has none, as the whole sky."""
    lon, lat = centroids(Shapes.from_regions([region]))
    if np.isnan(lon[0]):
        raise RegionError("this region lies evenly around the whole sky, so that it has no centroid")
    return Point(float(lon[0]), float(lat[0]))


def areas(shapes: Shapes) -> Floats:
    """Square degrees of each region; NaN for rows without one."""
    return _integrals(shapes)[0] * SQUARE_DEGREES


def centroids(shapes: Shapes) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of centroids; NaN for rows without a region, and where there is none."""
    _, sums = _integrals(shapes)
    # evenly spread to a part in 10**12: no direction is the mean
    undefined = ~(dot(sums, sums) > 0.0)
    lon, lat = coordinates(np.where(undefined[:, None], 1.0, sums))
    return np.where(undefined, np.nan, lon), np.where(undefined, np.nan, lat)


def _integrals(shapes: Shapes) -> tuple[Floats, Floats]:
    """Of each row: steradians, and the direction of the integral of unit vectors (NaN or 0 where undefined)."""
    geometry = Geometry(shapes)
    rows = len(geometry.shapes)
    steradians, sums = _of_parts(geometry)
    row = geometry.parts.row
    counts = np.bincount(row, minlength=rows)
    total: Floats = np.bincount(row, steradians, minlength=rows).astype(np.float64)
    # parts without area count only where nothing has one: their directions are added up
    flat = total[row] == 0.0
    weights = np.where(flat, 1.0, np.where(steradians > 0.0, 1.0, 0.0))
    # (of no rows at all, bincount makes integers)
    vector: Floats = np.zeros((rows, 3))
    for axis in range(3):
        vector[:, axis] = np.bincount(row, sums[:, axis] * weights, minlength=rows)
    total = np.where(counts > 0, total, np.nan)
    vector[counts == 0] = np.nan
    for union in _overlapping(geometry, counts).tolist():
        total[union], vector[union] = _of_union(geometry.shapes.region(union))
    if geometry.is_constant and len(shapes) > 1:
        return np.repeat(total, len(shapes)), np.repeat(vector, len(shapes), axis=0)
    return total, vector


def _of_parts(geometry: Geometry) -> tuple[Floats, Floats]:
    """Of each part: steradians, and the integral of unit vectors (for parts without area, the middle)."""
    steradians = np.zeros(len(geometry.kind))
    sums = geometry.centres.copy()
    rounds = np.flatnonzero(geometry.kind == CIRCLE)
    radii = geometry.radii[rounds]
    # of a cap: 2 pi (1 - cos r), and the mean of cos from the axis
    steradians[rounds] = 4.0 * np.pi * np.sin(radii / 2.0) ** 2
    factor = np.where(radii > 0.0, np.pi * np.sin(radii) ** 2, 1.0)
    sums[rounds] *= np.where(radii < np.pi, factor, 0.0)[:, None]

    members = np.flatnonzero(geometry.kind == POLYGON)
    if len(members):
        polygons = geometry.polygons
        steradians[members] = polygons.areas
        # half the sum of the edges' normals, each as long as its edge
        arcs = polygons.normals * angle_between(polygons.vertices, polygons.ends)[:, None]
        total = np.add.reduceat(arcs, polygons.starts, axis=0) / 2.0
        # below some square arcminutes that is rounding: there, weigh the middles of plane triangles by their areas
        first = polygons.vertices[polygons.starts][polygons.owner]
        middles = normalised(first + polygons.vertices + polygons.ends) * polygons.excesses[:, None]
        is_tiny = polygons.areas < 1e-7
        total = np.where(is_tiny[:, None], np.add.reduceat(middles, polygons.starts, axis=0), total)
        total *= np.where(polygons.is_left_inside, 1.0, -1.0)[:, None]
        middle = normalised(np.add.reduceat(polygons.vertices, polygons.starts, axis=0))
        total = np.where((polygons.areas == 0.0)[:, None], middle, total)
        sums[members] = total

    members = np.flatnonzero(geometry.kind == BOX)
    if len(members):
        boxes = geometry.boxes
        south, north = np.radians(boxes.south), np.radians(boxes.north)
        width = np.radians(boxes.width)
        steradians[members] = 2.0 * width * np.cos((south + north) / 2.0) * np.sin((north - south) / 2.0)
        middle = np.radians(boxes.west) + width / 2.0
        # integrals of cos^2 and of sin cos over latitude, of cos over longitude
        across = (north - south) / 2.0 + (np.sin(2.0 * north) - np.sin(2.0 * south)) / 4.0
        level = np.where(boxes.is_band, 0.0, 2.0 * np.sin(width / 2.0)) * across
        up = width * (np.sin(north) ** 2 - np.sin(south) ** 2) / 2.0
        total = np.stack([level * np.cos(middle), level * np.sin(middle), up], axis=1)
        sums[members] = np.where((steradians[members] > 0.0)[:, None], total, boxes.middle)

    for part in np.flatnonzero(geometry.kind == MOC).tolist():
        steradians[part], sums[part] = _of_moc(geometry.moc(part))
    return steradians, sums


def _of_moc(moc: Moc) -> tuple[float, Floats]:
    cells = np.array(moc.cells(), np.int64).reshape(-1, 2)
    share = 4.0 * np.pi / (12.0 * np.exp2(2.0 * cells[:, 0]))
    sums = (center_vectors(cells[:, 0], cells[:, 1]) * share[:, None]).sum(axis=0)
    return float(share.sum()), np.asarray(sums, np.float64)


def _overlapping(geometry: Geometry, counts: Indices) -> Indices:
    """Rows that are unions of which two parts may share some sky."""
    if not (counts > 1).any():
        return np.empty(0, np.int64)
    _, first, second = nearby_parts(geometry, geometry)
    shared = geometry.parts.row[first[first < second]]
    return np.unique(shared[counts[shared] > 1])


def _of_union(region: Region) -> tuple[float, Floats]:
    """Steradians and the integral of unit vectors of a union, along the outline of all parts together."""
    from skyvault.sky.arrangement import outer_pieces

    assert isinstance(region, Union)
    coverages = [part for part in region.regions if isinstance(part, Moc)]
    solid = tuple(part for part in region.regions if not isinstance(part, Moc))
    if coverages:
        return _beside_mocs(Moc(np.concatenate([moc.ranges for moc in coverages])), solid)
    arcs, number, low, high, is_left = outer_pieces(region)
    if len(number) == 0:
        # no outline: only points, or together the whole sky
        whole = max(area(part) for part in solid)
        return (4.0 * np.pi if whole > 0.0 else 0.0), np.zeros(3)
    start, end = arcs.at(number, low), arcs.at(number, high)
    axis, height = arcs.axis[number], arcs.height[number]
    sweep = high - low
    sign = np.where(is_left, 1.0, -1.0)
    # the sector from the axis to the arc, less the triangle from the axis: what lies between the arc and its chord;
    # with the triangles from one common point, all that lies left of the line
    middle = np.broadcast_to(normalised((start + end).sum(axis=0)), start.shape)
    parts = _excess(middle, start, end) + (1.0 - height) * sweep - _excess(axis, start, end)
    steradians = float(np.mod((sign * parts).sum(), 4.0 * np.pi))
    if steradians > 4.0 * np.pi - 1e-12:
        steradians = 0.0
    # half the integral of x cross dx along the line
    out = start - axis * height[:, None]
    aside = cross(axis, out)
    turned = out * np.sin(sweep)[:, None] + aside * (1.0 - np.cos(sweep))[:, None]
    radius2 = dot(out, out)
    sums = 0.5 * (axis * (radius2 * sweep)[:, None] - turned * height[:, None])
    return steradians, np.asarray((sums * sign[:, None]).sum(axis=0), np.float64)


def _beside_mocs(moc: Moc, solid: tuple[Region, ...]) -> tuple[float, Floats]:
    """Of coverages and other shapes together: what lies beside the coverage is counted in some 100,000 cells."""
    from skyvault.sky.cover import cover

    steradians, sums = _of_moc(moc)
    if not solid:
        return steradians, sums
    rest = Union(solid)  # type: ignore[arg-type]
    ranges = np.array(cover(rest, max_ranges=1000), np.int64)
    total = float((ranges[:, 1] - ranges[:, 0] + 1).sum())
    order = max(0, min(MAX_ORDER, MAX_ORDER - int(np.ceil(np.log2(total / _COUNTED) / 2.0))))
    shift = 2 * (MAX_ORDER - order)
    first, last = ranges[:, 0] >> shift, ranges[:, 1] >> shift
    cells = np.unique(spread(first, last - first + 1)[1])
    centres = center_vectors(order, cells)
    lon, lat = coordinates(centres)
    counted = points_in_region(lon, lat, rest) & ~points_in_region(lon, lat, moc)
    share = np.pi / 3.0 / (1 << (2 * order))
    return steradians + share * int(counted.sum()), sums + centres[counted].sum(axis=0) * share


def _excess(a: Floats, b: Floats, c: Floats) -> Floats:
    """Signed steradians of triangles, positive when a, b, c run counter-clockwise."""
    volume = dot(a, cross(b - a, c - a))
    return np.asarray(2.0 * np.arctan2(volume, 1.0 + dot(a, b) + dot(b, c) + dot(c, a)), np.float64)
