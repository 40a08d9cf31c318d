"""Which regions hold which points, contain one another or touch: exact on the sphere, many rows at once.

Edges are great circles (sides of boxes: parallels), edges belong to a region, and everything is decided with a
tolerance of 1e-12 radians (0.2 microarcseconds), a few thousand times the rounding of a unit vector. "Contains" and
"intersects" are those of ADQL 2.1, sections 4.2.10 and 4.2.13: touching is enough.

A MOC is tested exactly against points and other MOCs; against other regions its cells count as polygons (see
:mod:`skyvault.sky.coverage`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from skyvault.model.region import Region
from skyvault.sky.arrangement import contains_by_pieces
from skyvault.sky.boxes import parallels_cross_arcs
from skyvault.sky.geometry import KINDS, Geometry, nearby_parts
from skyvault.sky.points import RegionTest, points_in_region, points_in_shapes
from skyvault.sky.polygons import Polygons, arcs_cross
from skyvault.sky.shapes import BOX, CIRCLE, MOC, POINT, POLYGON, Booleans, Indices, Shapes, spread
from skyvault.sky.vectors import TOLERANCE, angle_between, arc_normals, dot, unit_vectors

__all__ = [
    "RegionTest",
    "contains",
    "intersects",
    "points_in_region",
    "points_in_shapes",
    "region_contains",
    "region_intersects",
]


def contains(outer: Shapes, inner: Shapes) -> Booleans:
    """Whether region i of ``outer`` holds the whole of region i of ``inner``, outlines included.

    Either may be one row that stands for all. False where either is no region (ask ``valid``).
    """
    a, b, rows, total = _side_by_side(outer, inner)
    valid = np.zeros(rows, np.bool_)
    valid[:] = a.shapes.valid & b.shapes.valid
    owner, first, second = nearby_parts(a, b)
    is_held = _apply(_HOLD, a, b, first, second)
    # each part of the inner must be in the outer: in one part of it is enough, and all there is unless it is a union
    wanted = _parts_of_rows(b, rows)
    part = owner * max(len(b.kind), 1) + second
    held = valid & (_rows_of(part[is_held], b, rows) == wanted)
    unsure = valid & ~held & (_parts_of_rows(a, rows) > 1)
    if unsure.any():
        # held by several together only: then each part not held by one meets two or more of the outer
        alone = np.isin(part, part[is_held])
        pairs = np.flatnonzero(unsure[owner] & ~alone)
        pairs = pairs[_apply(_MEET, a, b, first[pairs], second[pairs])]
        parts, meetings = np.unique(part[pairs], return_counts=True)
        enough = np.concatenate([parts[meetings > 1], np.unique(part[is_held])])
        unsure &= _rows_of(enough, b, rows) == wanted
        rest = np.flatnonzero(unsure)
        held[rest] = _union_contains(a, b, rest)
    return _broadcast(held, total)


def _parts_of_rows(geometry: Geometry, rows: int) -> Indices:
    """How many parts the region of each row has."""
    if geometry.is_constant:
        return np.full(rows, len(geometry.kind))
    return np.bincount(geometry.parts.row, minlength=rows)


def _rows_of(parts: Indices, b: Geometry, rows: int) -> Indices:
    """How many different of the ``parts``, numbered row * parts + part, each row has."""
    return np.bincount(np.unique(parts) // max(len(b.kind), 1), minlength=rows)


def intersects(first: Shapes, second: Shapes) -> Booleans:
    """Whether region i of ``first`` and region i of ``second`` have a point in common (touching is enough).

    Either may be one row that stands for all. False where either is no region (ask ``valid``).
    """
    a, b, rows, total = _side_by_side(first, second)
    result = np.zeros(rows, np.bool_)
    owner, one, other = nearby_parts(a, b)
    result[owner[_apply(_MEET, a, b, one, other)]] = True
    return _broadcast(result, total)


def _side_by_side(first: Shapes, second: Shapes) -> tuple[Geometry, Geometry, int, int]:
    """Both made ready, the number of rows to work out, and of rows to tell about."""
    total = max(len(first), len(second))
    if min(len(first), len(second)) == 0:
        total = 0
    elif len(first) != len(second) and 1 not in (len(first), len(second)):
        raise ValueError(f"{len(first)} regions cannot be paired with {len(second)}")
    a, b = Geometry(first), Geometry(second)
    return a, b, (0 if total == 0 else max(len(a.shapes), len(b.shapes))), total


def _broadcast(result: Booleans, total: int) -> Booleans:
    return result if len(result) == total else np.repeat(result, total)


_Rule = Callable[[Geometry, Geometry, Indices, Indices], Booleans]


def _apply(rules: dict[tuple[int, int], _Rule], a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    """The rule for each pair of kinds, applied to all pairs of these kinds at once."""
    result = np.zeros(len(first), np.bool_)
    a, b = a.narrowed(first), b.narrowed(second)
    kinds = a.kind[first] * KINDS + b.kind[second]
    for kind in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == kind)
        result[rows] = rules[divmod(kind, KINDS)](a, b, first[rows], second[rows])
    return result


def _swapped(rule: _Rule) -> _Rule:
    def swapped(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
        return rule(b, a, second, first)

    return swapped


def _round_meets_round(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    apart = angle_between(a.centres[first], b.centres[second])
    return np.asarray(apart <= a.radii[first] + b.radii[second] + TOLERANCE, np.bool_)


def _round_meets_outline(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    centres = a.centres[first]
    met = b.hold(second, centres)
    rest = np.flatnonzero(~met & (a.radii[first] > 0.0))
    met[rest] = b.outline_distances(second[rest], centres[rest]) <= a.radii[first[rest]] + TOLERANCE
    return met | (a.radii[first] >= np.pi)


def _polygon_meets_polygon(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    mine, theirs = a.place[first], b.place[second]
    centres_a, radii_a = a.polygons.caps
    centres_b, radii_b = b.polygons.caps
    apart = angle_between(centres_a[mine], centres_b[theirs])
    is_simple = a.polygons.is_convex[mine] & b.polygons.is_convex[theirs]
    # and both within one hemisphere, where the plane's theorem holds (its gnomonic map keeps lines)
    is_simple &= apart + radii_a[mine] + radii_b[theirs] < np.pi - 1e-6
    met = np.zeros(len(first), np.bool_)
    rows = np.flatnonzero(is_simple)
    if len(rows):
        # two convex polygons are apart exactly if the great circle of a side of one has all of the other beyond it
        beyond = _beyond_a_side(a.polygons, mine[rows], b.polygons, theirs[rows])
        beyond |= _beyond_a_side(b.polygons, theirs[rows], a.polygons, mine[rows])
        met[rows] = ~beyond
    rows = np.flatnonzero(~is_simple)
    met[rows] = b.polygons.any_vertex_in(theirs[rows], a.polygons, mine[rows])
    rows = rows[~met[rows]]
    met[rows] = a.polygons.any_vertex_in(mine[rows], b.polygons, theirs[rows])
    rows = rows[~met[rows]]
    met[rows] = a.polygons.cross(mine[rows], b.polygons, theirs[rows])
    return met


def _beyond_a_side(a: Polygons, mine: Indices, b: Polygons, theirs: Indices) -> Booleans:
    """Whether a side of convex polygon ``mine[i]`` has all vertices of ``theirs[i]`` outside."""
    owner, edge = spread(a.starts[mine], a.counts[mine])
    counts = b.counts[theirs][owner]
    pair, vertex = spread(b.starts[theirs][owner], counts)
    heights = dot(a.inner_normals[edge][pair], b.vertices[vertex])
    highest = np.maximum.reduceat(heights, np.cumsum(counts) - counts)
    beyond = np.zeros(len(mine), np.bool_)
    beyond[owner[highest < -TOLERANCE]] = True
    return beyond


def _polygon_meets_box(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    mine, boxes = a.place[first], b.boxes.take(b.place[second])
    polygons = a.polygons
    owner, vertex = spread(polygons.starts[mine], polygons.counts[mine])
    met = np.zeros(len(first), np.bool_)
    met[owner[boxes.take(owner).contain(polygons.vertices[vertex])]] = True
    corners = boxes.corners
    for corner in range(4):
        rest = np.flatnonzero(~met)
        met[rest] = polygons.contain(mine[rest], corners[rest, corner])
    # edges that cross the box without a vertex in it
    left = ~met[owner]
    owner, vertex = owner[left], vertex[left]
    starts, ends, normals = polygons.vertices[vertex], polygons.ends[vertex], polygons.normals[vertex]
    own_boxes = boxes.take(owner)
    crossed = parallels_cross_arcs(own_boxes, starts, ends)
    for south, north in own_boxes.meridians():
        crossed |= ~own_boxes.is_band & arcs_cross(starts, ends, normals, south, north, arc_normals(south, north))
    met[owner[crossed]] = True
    return met


def _box_meets_box(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    return a.boxes.take(a.place[first]).overlap(b.boxes.take(b.place[second]))


def _round_holds_round(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    apart = angle_between(a.centres[first], b.centres[second])
    radius = a.radii[first]
    return np.asarray((apart + b.radii[second] <= radius + TOLERANCE) | (radius >= np.pi), np.bool_)


def _round_holds_outline(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    centres, radii = a.centres[first], a.radii[first]
    held = ~b.hold(second, -centres)
    # a cap up to a hemisphere is convex: what holds the corners holds the arcs between them
    rows = np.flatnonzero(held & (radii < np.pi / 2))
    held[rows] = b.farthest(second[rows], centres[rows]) <= radii[rows] + TOLERANCE
    # of a wider one, the rest of the sky is: the outline must keep clear of it
    rows = np.flatnonzero(held & (radii >= np.pi / 2))
    held[rows] = b.outline_distances(second[rows], -centres[rows]) >= np.pi - radii[rows] - TOLERANCE
    return held | (radii >= np.pi)


def _outline_holds_round(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    centres, radii = b.centres[second], b.radii[second]
    held = a.hold(first, centres)
    rows = np.flatnonzero(held & (radii > TOLERANCE))
    held[rows] = a.outline_distances(first[rows], centres[rows]) >= radii[rows] - TOLERANCE
    return held


def _polygon_holds_polygon(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    mine, theirs = a.place[first], b.place[second]
    held = b.polygons.all_vertices_in(theirs, a.polygons, mine)
    # a convex polygon holds every arc between points it holds; only a larger side could reach around it
    held &= ~(a.polygons.is_convex[mine] & b.polygons.is_larger[theirs])
    rows = np.flatnonzero(held & ~a.polygons.is_convex[mine])
    if len(rows) == 0:
        return held
    # outlines that touch must be looked at piece by piece; others either cross or not
    touching = a.polygons.any_vertex_on(mine[rows], b.polygons, theirs[rows])
    touching |= b.polygons.any_vertex_on(theirs[rows], a.polygons, mine[rows])
    clear = rows[~touching]
    held[clear] = ~a.polygons.cross(mine[clear], b.polygons, theirs[clear])
    clear = clear[held[clear]]
    held[clear] = ~a.polygons.any_vertex_in(mine[clear], b.polygons, theirs[clear])
    return _settled(a, b, first, second, held, rows[touching])


def _polygon_holds_box(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    mine, boxes = a.place[first], b.boxes.take(b.place[second])
    held = np.ones(len(first), np.bool_)
    corners = boxes.corners
    for corner in range(4):
        rows = np.flatnonzero(held)
        held[rows] = a.polygons.contain(mine[rows], corners[rows, corner])
    is_convex = a.polygons.is_convex[mine]
    rows = np.flatnonzero(held & is_convex)
    # a box wider than a hemisphere may have its outline inside, and itself around the polygon
    held[rows] = ~boxes.take(rows).contain(-a.polygons.caps[0][mine[rows]])
    rows = rows[held[rows]]
    owner, edge = spread(a.polygons.starts[mine[rows]], a.polygons.counts[mine[rows]])
    normals, sides = a.polygons.inner_normals[edge], boxes.take(rows[owner])
    lowest = np.mod(np.degrees(np.arctan2(-normals[:, 1], -normals[:, 0])) - sides.west, 360.0) <= sides.width
    for lat in (np.radians(sides.south), np.radians(sides.north)):
        # the point of a parallel farthest beyond an edge lies opposite the edge's normal in longitude
        height = normals[:, 2] * np.sin(lat) - np.hypot(normals[:, 0], normals[:, 1]) * np.cos(lat)
        held[rows[owner[lowest & (height < -TOLERANCE)]]] = False
    return _settled(a, b, first, second, held, np.flatnonzero(held & ~is_convex))


def _box_holds_polygon(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    boxes, theirs = a.boxes.take(a.place[first]), b.place[second]
    polygons = b.polygons
    owner, vertex = spread(polygons.starts[theirs], polygons.counts[theirs])
    own_boxes = boxes.take(owner)
    bad = ~own_boxes.contain(polygons.vertices[vertex])
    bad |= ~own_boxes.arcs_inside(polygons.vertices[vertex], polygons.ends[vertex])
    held = np.ones(len(first), np.bool_)
    held[owner[bad]] = False
    # an outline inside the box may still run around what is outside: the poles, or the gap behind the box
    for lat in (90.0, -90.0):
        rows = np.flatnonzero(held)
        pole = np.broadcast_to(unit_vectors(0.0, lat), (len(rows), 3))
        held[rows] = ~polygons.contain(theirs[rows], pole) | boxes.take(rows).contain(pole)
    rows = np.flatnonzero(held & ~boxes.is_band)
    gap = boxes.take(rows)
    behind = unit_vectors(gap.west + gap.width + (360.0 - gap.width) / 2.0, (gap.south + gap.north) / 2.0)
    held[rows] = ~polygons.contain(theirs[rows], behind)
    return held


def _box_holds_box(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    return a.boxes.take(a.place[first]).hold(b.boxes.take(b.place[second]))


def _settled(a: Geometry, b: Geometry, first: Indices, second: Indices, held: Booleans, rows: Indices) -> Booleans:
    """Decide the rows (of outlines that are not convex, or curved) by the pieces of both outlines, one by one."""
    for row in rows.tolist():
        held[row] = contains_by_pieces(a.region(int(first[row])), b.region(int(second[row])))
    return held


def _union_contains(a: Geometry, b: Geometry, rows: Indices) -> Booleans:
    """Unions whose parts hold another region together only: by the pieces of all outlines, one by one."""
    return np.array(
        [
            contains_by_pieces(
                a.shapes.region(0 if a.is_constant else row), b.shapes.region(0 if b.is_constant else row)
            )
            for row in rows.tolist()
        ],
        np.bool_,
    )


# ---------------------------------------------------------------- coverages


def _moc_meets(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    from skyvault.sky.coverage import moc_meets

    return np.array(
        [moc_meets(a.moc(i), b.region(j)) for i, j in zip(first.tolist(), second.tolist(), strict=True)], np.bool_
    )


def _moc_holds(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    from skyvault.sky.coverage import moc_holds

    return np.array(
        [moc_holds(a.moc(i), b.region(j)) for i, j in zip(first.tolist(), second.tolist(), strict=True)], np.bool_
    )


def _holds_moc(a: Geometry, b: Geometry, first: Indices, second: Indices) -> Booleans:
    from skyvault.sky.coverage import held_moc

    return np.array(
        [held_moc(a.region(i), b.moc(j)) for i, j in zip(first.tolist(), second.tolist(), strict=True)], np.bool_
    )


_MEET: Final[dict[tuple[int, int], _Rule]] = {
    (POINT, POINT): _round_meets_round,
    (POINT, CIRCLE): _round_meets_round,
    (CIRCLE, POINT): _round_meets_round,
    (CIRCLE, CIRCLE): _round_meets_round,
    (POINT, POLYGON): _round_meets_outline,
    (CIRCLE, POLYGON): _round_meets_outline,
    (POINT, BOX): _round_meets_outline,
    (CIRCLE, BOX): _round_meets_outline,
    (POLYGON, POINT): _swapped(_round_meets_outline),
    (POLYGON, CIRCLE): _swapped(_round_meets_outline),
    (BOX, POINT): _swapped(_round_meets_outline),
    (BOX, CIRCLE): _swapped(_round_meets_outline),
    (POLYGON, POLYGON): _polygon_meets_polygon,
    (POLYGON, BOX): _polygon_meets_box,
    (BOX, POLYGON): _swapped(_polygon_meets_box),
    (BOX, BOX): _box_meets_box,
    **{(MOC, kind): _moc_meets for kind in range(1, KINDS)},
    **{(kind, MOC): _swapped(_moc_meets) for kind in range(1, MOC)},
}
_HOLD: Final[dict[tuple[int, int], _Rule]] = {
    **{(outer, inner): _round_holds_round for outer in (POINT, CIRCLE) for inner in (POINT, CIRCLE)},
    **{(outer, inner): _round_holds_outline for outer in (POINT, CIRCLE) for inner in (POLYGON, BOX)},
    **{(outer, inner): _outline_holds_round for outer in (POLYGON, BOX) for inner in (POINT, CIRCLE)},
    (POLYGON, POLYGON): _polygon_holds_polygon,
    (POLYGON, BOX): _polygon_holds_box,
    (BOX, POLYGON): _box_holds_polygon,
    (BOX, BOX): _box_holds_box,
    **{(MOC, kind): _moc_holds for kind in range(1, KINDS)},
    **{(kind, MOC): _holds_moc for kind in range(1, MOC)},
}


def region_contains(outer: Region, inner: Region) -> bool:
    """Whether one region holds the whole of another."""
    return bool(contains(Shapes.from_regions([outer]), Shapes.from_regions([inner]))[0])


def region_intersects(first: Region, second: Region) -> bool:
    """Whether two regions have a point in common."""
    return bool(intersects(Shapes.from_regions([first]), Shapes.from_regions([second]))[0])
