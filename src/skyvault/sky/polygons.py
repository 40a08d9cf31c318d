"""Many spherical polygons at once: which points lie inside, how far the outline is, where outlines cross.

Edges are great-circle arcs shorter than 180 degrees. A point is inside when the meridian from it to the north pole
crosses the outline an odd number of times, the pole being outside (even, if the pole is inside): this holds for every
polygon, convex or not, over a pole or wider than a hemisphere, and needs no trigonometry. All angles are radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from skyvault.sky.shapes import POLYGON, Booleans, Floats, Indices, Parts, spread
from skyvault.sky.vectors import TOLERANCE, angle_between, arc_normals, cross, dot, normalised, unit_vectors

#: a cosine just above that of 90 degrees: a cap this narrow is a convex set of the sphere
_HEMISPHERE: Final = 1e-9
#: of an index by longitude: radians an edge is widened by, the distance from the axis within which a place counts as
#: beside a pole (there the tolerance could be as wide), and entries at most
_LONGITUDE_PAD: Final = 1e-7
_POLAR: Final = 1e-4
_MOST_ENTRIES: Final = 1_000_000


@dataclass(frozen=True)
class Polygons:
    """Polygons as flat vertices: polygon i owns ``vertices[starts[i]:starts[i] + counts[i]]``, shape (m, 3).

    The inside is the smaller side, or the larger where ``is_larger``.
    """

    vertices: Floats
    starts: Indices
    counts: Indices
    is_larger: Booleans

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def from_parts(cls, values: Floats, parts: Parts, which: Indices) -> Polygons:
        """The polygons among the parts of shapes; ``which`` are numbers of parts, all of kind POLYGON."""
        assert (parts.kind[which] == POLYGON).all()
        counts = parts.count[which]
        starts = np.cumsum(counts) - counts
        owner, index = spread(starts, counts)
        position = parts.start[which][owner] + 2 + 2 * (index - starts[owner])
        vertices = unit_vectors(values[position], values[position + 1])
        return cls(vertices, starts, counts, values[parts.start[which] + 1] < 0)

    def take(self, which: Indices) -> Polygons:
        """The polygons of these numbers, in this sequence."""
        counts = self.counts[which]
        _, vertex = spread(self.starts[which], counts)
        return Polygons(self.vertices[vertex], np.cumsum(counts) - counts, counts, self.is_larger[which])

    @cached_property
    def owner(self) -> Indices:
        """The polygon of each vertex, and of the edge that begins there."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def following(self) -> Indices:
        """The vertex after each vertex, around the polygon."""
        following = np.arange(1, len(self.vertices) + 1)
        following[self.starts + self.counts - 1] = self.starts
        return following

    @cached_property
    def ends(self) -> Floats:
        """Where the edge that begins at each vertex ends."""
        return np.asarray(self.vertices[self.following], np.float64)

    @cached_property
    def normals(self) -> Floats:
        """Unit normals of the edges, positive on the left of travel; zero for edges without length."""
        return arc_normals(self.vertices, self.ends)

    @cached_property
    def _middles(self) -> tuple[Floats, Floats]:
        """The mean direction of the vertices, and radians from there to the farthest."""
        if len(self) == 0:
            return np.empty((0, 3)), np.empty(0)
        centres = normalised(np.add.reduceat(self.vertices, self.starts, axis=0))
        apart = self.vertices - centres[self.owner]
        square = np.maximum.reduceat(dot(apart, apart), self.starts)
        return centres, 2.0 * np.arcsin(np.sqrt(np.minimum(square, 4.0)) / 2.0)

    @cached_property
    def caps(self) -> tuple[Floats, Floats]:
        """A circle around each polygon: centres (n, 3) and radii; radius pi where it is wider than a hemisphere."""
        centres, far = self._middles
        # within a hemisphere a cap is convex, so that what holds the vertices holds the edges and the inside
        is_wide = (far > np.pi / 2 - _HEMISPHERE) | self.is_larger | (dot(centres, centres) < 0.5)
        return centres, np.where(is_wide, np.pi, far + TOLERANCE)

    @cached_property
    def excesses(self) -> Floats:
        """Signed steradians of the triangle of each edge with its polygon's first vertex, positive when to the left."""
        first = self.vertices[self.starts][self.owner]
        # from differences, so that tiny triangles keep their digits
        volume = dot(first, cross(self.vertices - first, self.ends - first))
        base = 1.0 + dot(first, self.vertices) + dot(self.vertices, self.ends) + dot(self.ends, first)
        return np.asarray(2.0 * np.arctan2(volume, base), np.float64)

    @cached_property
    def left_areas(self) -> Floats:
        """Steradians to the left of each outline, 0 to 4 pi (the area itself, if vertices run counter-clockwise)."""
        return np.asarray(np.mod(np.add.reduceat(self.excesses, self.starts), 4.0 * np.pi), np.float64)

    @cached_property
    def is_left_inside(self) -> Booleans:
        """Whether the inside is to the left of travel (meaningless for outlines that cross themselves)."""
        return np.asarray((self.left_areas <= 2.0 * np.pi) != self.is_larger, np.bool_)

    @cached_property
    def areas(self) -> Floats:
        """Steradians inside each polygon."""
        return np.where(self.is_left_inside, self.left_areas, 4.0 * np.pi - self.left_areas)

    @cached_property
    def is_convex(self) -> Booleans:
        """Which polygons are convex and narrower than a hemisphere, so that their inside is left of every edge."""
        _, radii = self.caps
        signs = np.where(self.is_left_inside, 1.0, -1.0)
        # slivers, whose sides can hardly be told apart, go the general way
        convex = (radii < np.pi / 2) & (self.counts <= 64) & (self.areas > 1e-9 * radii**2)
        which = np.flatnonzero(convex)
        # every vertex against every edge of its polygon
        edge_owner, edge = spread(self.starts[which], self.counts[which])
        pair, vertex = spread(self.starts[which][edge_owner], self.counts[which][edge_owner])
        heights = dot(self.normals[edge][pair], self.vertices[vertex]) * signs[which][edge_owner][pair]
        wrong = edge_owner[pair[heights < -TOLERANCE]]
        convex[which[wrong]] = False
        return convex

    @cached_property
    def inner_normals(self) -> Floats:
        """Edge normals that point to the inside of convex polygons."""
        return self.normals * np.where(self.is_left_inside, 1.0, -1.0)[self.owner][:, None]

    @cached_property
    def is_north_inside(self) -> Booleans:
        """Whether the north pole counts as inside when crossings are counted from it."""
        centres, far = self._middles
        inside = np.zeros(len(self), np.bool_)
        is_wide = (far > np.pi / 2 - _HEMISPHERE) | (dot(centres, centres) < 0.5)
        compact = np.flatnonzero(~is_wide)
        # the point opposite the centre of a polygon within a hemisphere is outside its smaller side
        inside[compact] = self._is_odd(compact, -centres[compact])
        wide = np.flatnonzero(is_wide)
        if len(wide):
            inside[wide] = self._is_north_inside_wide(wide)
        # by here the smaller side counted as the inside
        return np.asarray(inside != self.is_larger, np.bool_)

    def _is_north_inside_wide(self, which: Indices) -> Booleans:
        """The same for the smaller side of polygons wider than a hemisphere, from an edge and which side is smaller."""
        inside = np.zeros(len(which), np.bool_)
        is_left = self.left_areas <= 2.0 * np.pi
        for place, polygon in enumerate(which.tolist()):
            edges = slice(int(self.starts[polygon]), int(self.starts[polygon] + self.counts[polygon]))
            a, b, normals = self.vertices[edges], self.ends[edges], self.normals[edges]
            length = angle_between(a, b)
            # from the middle of an edge that runs most nearly east or west, walk to its left
            best = int(np.argmax(np.abs(normals[:, 2]) * length + 1e-6 * length))
            middle = normalised(a[best] + b[best])
            beside = normalised(middle + normals[best] * (1e-5 * length[best]))
            odd = self._is_odd(np.array([polygon]), beside[None])[0]
            # the left point is inside if the left side is: then the pole is inside unless the walk crossed the outline
            inside[place] = bool(is_left[polygon]) != bool(odd)
        return inside

    def _is_odd(self, which: Indices, points: Floats) -> Booleans:
        """Whether the meridian from each point to the north pole crosses the outline an odd number of times."""
        return self.crossed_odd(*spread(self.starts[which], self.counts[which]), points)

    def crossed_odd(self, owner: Indices, edge: Indices, points: Floats) -> Booleans:
        """The same, of the edges ``edge`` for the points ``owner``; other edges must not cross those meridians."""
        rho = np.hypot(points[:, 0], points[:, 1])
        at_pole = rho < 1e-300
        scale = np.where(at_pole, 1.0, rho)
        east_x = np.where(at_pole, 1.0, points[:, 0] / scale)[owner]
        east_y = (points[:, 1] / scale)[owner]
        a, b = self.vertices[edge], self.ends[edge]
        # which side of the point's meridian plane the ends are; a vertex in it counts as on the one side, for both
        # edges that meet there, so that a crossing at a vertex counts once or twice, never one and a half times
        side_a = east_x * a[:, 1] - east_y * a[:, 0]
        side_b = east_x * b[:, 1] - east_y * b[:, 0]
        crossing = np.flatnonzero((side_a >= 0.0) != (side_b >= 0.0))
        a, b, side_a, side_b = a[crossing], b[crossing], side_a[crossing], side_b[crossing]
        row = owner[crossing]
        span = side_b - side_a
        where = (a * side_b[:, None] - b * side_a[:, None]) / span[:, None]
        out = where[:, 0] * east_x[crossing] + where[:, 1] * east_y[crossing]
        above = (out > 0.0) & (where[:, 2] * rho[row] > points[row, 2] * out)
        return np.asarray(np.bincount(row[above], minlength=len(points)) & 1, np.bool_)

    # ------------------------------------------------------------ polygon i against point i

    def contain(self, which: Indices, points: Floats) -> Booleans:
        """Whether polygon ``which[i]`` holds point i (unit vectors, shape (k, 3)); the outline belongs to it."""
        if len(which) == 0:
            return np.zeros(0, np.bool_)
        centres, radii = self.caps
        chord = points - centres[which]
        limit = 4.0 * np.sin(np.minimum(radii[which], np.pi) / 2.0 + TOLERANCE) ** 2
        near = np.flatnonzero((dot(chord, chord) <= limit) | (radii[which] >= np.pi))
        inside = np.zeros(len(which), np.bool_)
        polygons, close = which[near], points[near]
        found = self._is_odd(polygons, close) != self.is_north_inside[polygons]
        found |= self.touch(polygons, close)
        inside[near] = found
        return inside

    def touch(self, which: Indices, points: Floats) -> Booleans:
        """Whether point i is on the outline of polygon ``which[i]``, within the tolerance of 1e-12 radians."""
        return self.touched(*spread(self.starts[which], self.counts[which]), points)

    def touched(self, owner: Indices, edge: Indices, points: Floats) -> Booleans:
        """Whether one of the edges ``edge`` goes through the point ``owner``."""
        flat = np.flatnonzero(np.abs(dot(self.normals[edge], points[owner])) <= TOLERANCE)
        touched = np.zeros(len(points), np.bool_)
        if len(flat):
            near = self._edge_distances(edge[flat], points[owner[flat]]) <= TOLERANCE
            touched[owner[flat[near]]] = True
        return touched

    def distances(self, which: Indices, points: Floats) -> Floats:
        """Radians from point i to the outline of polygon ``which[i]``."""
        if len(which) == 0:
            return np.zeros(0)
        counts = self.counts[which]
        owner, edge = spread(self.starts[which], counts)
        return np.asarray(
            np.minimum.reduceat(self._edge_distances(edge, points[owner]), np.cumsum(counts) - counts), np.float64
        )

    def farthest_vertex(self, which: Indices, points: Floats) -> Floats:
        """Radians from point i to the farthest vertex of polygon ``which[i]``."""
        counts = self.counts[which]
        owner, vertex = spread(self.starts[which], counts)
        angles = angle_between(self.vertices[vertex], points[owner])
        return np.asarray(np.maximum.reduceat(angles, np.cumsum(counts) - counts), np.float64)

    def any_vertex_on(self, which: Indices, other: Polygons, other_which: Indices) -> Booleans:
        """Whether a vertex of ``which[i]`` lies on the outline of polygon ``other_which[i]`` of ``other``."""
        owner, vertex = spread(self.starts[which], self.counts[which])
        on = other.touch(other_which[owner], self.vertices[vertex])
        return np.asarray(np.bincount(owner[on], minlength=len(which)) > 0, np.bool_)

    def _edge_distances(self, edge: Indices, points: Floats) -> Floats:
        return arc_distances(self.vertices[edge], self.ends[edge], self.normals[edge], points)

    # ------------------------------------------------------------ polygon i against polygon j

    def cross(self, which: Indices, other: Polygons, other_which: Indices) -> Booleans:
        """Whether an edge of polygon ``which[i]`` properly crosses one of ``other``'s polygon ``other_which[i]``."""
        found = np.zeros(len(which), np.bool_)
        # in bounded portions: an outline of thousands of vertices against another makes millions of pairs
        work = self.counts[which] * other.counts[other_which]
        for portion in _portions(work):
            rows, own = spread(self.starts[which[portion]], self.counts[which[portion]])
            pair, theirs = spread(other.starts[other_which[portion]][rows], other.counts[other_which[portion]][rows])
            mine = own[pair]
            crossed = arcs_cross(
                self.vertices[mine], self.ends[mine], self.normals[mine],
                other.vertices[theirs], other.ends[theirs], other.normals[theirs],
            )  # fmt: skip
            found[portion[rows[pair[crossed]]]] = True
        return found

    def all_vertices_in(self, which: Indices, other: Polygons, other_which: Indices) -> Booleans:
        """Whether all vertices of ``which[i]`` lie in polygon ``other_which[i]`` of ``other``."""
        owner, vertex = spread(self.starts[which], self.counts[which])
        inside = other.contain(other_which[owner], self.vertices[vertex])
        counts = self.counts[which]
        return np.asarray(np.logical_and.reduceat(inside, np.cumsum(counts) - counts), np.bool_)

    def any_vertex_in(self, which: Indices, other: Polygons, other_which: Indices) -> Booleans:
        """Whether a vertex of ``which[i]`` lies in polygon ``other_which[i]`` of ``other``."""
        owner, vertex = spread(self.starts[which], self.counts[which])
        inside = other.contain(other_which[owner], self.vertices[vertex])
        counts = self.counts[which]
        return np.asarray(np.logical_or.reduceat(inside, np.cumsum(counts) - counts), np.bool_)


class EdgeIndex:
    """The edges of one polygon by longitude, so that a point meets only those its meridian can cross."""

    def __init__(self, polygons: Polygons, polygon: int = 0) -> None:
        self.polygons = polygons
        self.polygon = np.array([polygon])
        edges = np.arange(polygons.counts[polygon]) + polygons.starts[polygon]
        a, b = polygons.vertices[edges], polygons.ends[edges]
        start, end = np.arctan2(a[:, 1], a[:, 0]), np.arctan2(b[:, 1], b[:, 0])
        turn = np.mod(end - start + np.pi, 2 * np.pi) - np.pi
        low = np.where(turn < 0, end, start) - _LONGITUDE_PAD
        width = np.abs(turn) + 2 * _LONGITUDE_PAD
        # beside a pole a short edge may go through any longitude
        is_polar = (np.hypot(a[:, 0], a[:, 1]) < _POLAR) | (np.hypot(b[:, 0], b[:, 1]) < _POLAR) | (width > 3.1)
        width[is_polar] = 2 * np.pi
        # slots of longitude: as many as edges, unless edges are so long that each would be in many
        self.slots = int(max(1, min(4 * len(edges), 4096, _MOST_ENTRIES * 2 * np.pi / max(width.sum(), 1e-9))))
        scale = self.slots / (2 * np.pi)
        first = np.floor(low * scale).astype(np.int64)
        count = np.minimum(np.floor((low + width) * scale).astype(np.int64) - first + 1, self.slots)
        owner, slot = spread(first, count)
        slot = np.mod(slot, self.slots)
        sequence = np.argsort(slot, kind="stable")
        self.edges = edges[owner[sequence]]
        self.ends = np.cumsum(np.bincount(slot, minlength=self.slots))

    def contain(self, points: Floats) -> Booleans:
        """Whether the polygon holds each point (unit vectors); the outline belongs to it."""
        inside = np.zeros(len(points), np.bool_)
        # the tolerance is a small part of a degree of longitude, but at the poles
        polar = np.hypot(points[:, 0], points[:, 1]) < _POLAR
        rows = np.flatnonzero(polar)
        inside[rows] = self.polygons.contain(np.repeat(self.polygon, len(rows)), points[rows])
        rows = np.flatnonzero(~polar)
        lon = np.arctan2(points[rows, 1], points[rows, 0])
        slot = np.mod(np.floor(lon * (self.slots / (2 * np.pi))).astype(np.int64), self.slots)
        start = np.where(slot > 0, self.ends[slot - 1], 0)
        counts = self.ends[slot] - start
        is_north_inside = self.polygons.is_north_inside[self.polygon[0]]
        for portion in _portions(counts):
            some = rows[portion]
            owner, index = spread(start[portion], counts[portion])
            edge = self.edges[index]
            found = self.polygons.crossed_odd(owner, edge, points[some]) != is_north_inside
            inside[some] = found | self.polygons.touched(owner, edge, points[some])
        return inside


def _portions(work: Indices, limit: int = 2_000_000) -> list[Indices]:
    """Row numbers in groups of at most ``limit`` work (or one row)."""
    total = np.cumsum(work)
    if len(total) == 0:
        return []
    return np.split(np.arange(len(work)), np.flatnonzero(np.diff(total // limit)) + 1)


def arc_distances(starts: Floats, ends: Floats, normals: Floats, points: Floats) -> Floats:
    """Radians from points to great-circle arcs shorter than 180 degrees, row by row."""
    height = dot(normals, points)
    # beside the arc (between the planes through its ends), the height above its great circle counts
    is_beside = (
        (dot(cross(normals, starts), points) >= 0.0)
        & (dot(cross(ends, normals), points) >= 0.0)
        & (dot(normals, normals) > 0.5)
    )
    to_start, to_end = points - starts, points - ends
    start_square, end_square = dot(to_start, to_start), dot(to_end, to_end)
    corner = 2.0 * np.arcsin(np.sqrt(np.clip(np.minimum(start_square, end_square), 0.0, 4.0)) / 2.0)
    slope = np.arcsin(np.clip(np.abs(height), 0.0, 1.0))
    # the arc sine loses half its digits near 90 degrees: there, take the angle from two sides
    rough = np.flatnonzero(np.minimum(start_square, end_square) > 3.0)
    if len(rough):
        nearer = np.where((start_square < end_square)[rough, None], starts[rough], ends[rough])
        corner[rough] = angle_between(nearer, points[rough])
    rough = np.flatnonzero(np.abs(height) > 0.9)
    if len(rough):
        level = points[rough] - normals[rough] * height[rough, None]
        slope[rough] = np.arctan2(np.abs(height[rough]), np.sqrt(dot(level, level)))
    return np.asarray(np.where(is_beside, slope, corner), np.float64)


def arcs_cross(a: Floats, b: Floats, ab: Floats, c: Floats, d: Floats, cd: Floats) -> Booleans:
    """Whether arcs a-b and c-d (with normals ab, cd) properly cross: each has its ends on both sides of the other.

    Arcs that only touch, within the tolerance, do not cross; a vertex of the one is then on the other.
    """
    c_side, d_side, a_side, b_side = dot(ab, c), dot(ab, d), dot(cd, a), dot(cd, b)
    enters = (c_side > 0.0) & (d_side < 0.0) & (a_side < 0.0) & (b_side > 0.0)
    leaves = (c_side < 0.0) & (d_side > 0.0) & (a_side > 0.0) & (b_side < 0.0)
    return np.asarray(enters | leaves, np.bool_)
