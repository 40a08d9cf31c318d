"""The parts of many regions, sorted by kind, with what predicates, covers and areas need to know of them."""

from __future__ import annotations

from copy import copy
from typing import Final

import numpy as np

from skyvault.model.region import Moc, Region
from skyvault.sky.boxes import Boxes
from skyvault.sky.cells import healpix_29
from skyvault.sky.polygons import Polygons
from skyvault.sky.shapes import (
    BOX,
    CIRCLE,
    MOC,
    POINT,
    POLYGON,
    Booleans,
    Floats,
    Indices,
    Shapes,
    decode,
    part_size,
    spread,
)
from skyvault.sky.vectors import TOLERANCE, angle_between, coordinates, dot, unit_vectors

#: kinds of parts are 1 to 5
KINDS: Final = 6


class Geometry:
    """The parts of many regions, sorted into points, circles, polygons and boxes, with what is worked out of them.

    If all rows hold the same region, one row is kept.

    ``kind`` and ``place`` tell of each part which of the sets it is in and where.
    """

    def __init__(self, shapes: Shapes) -> None:
        #: whether the first row stands for all
        self.is_constant = shapes.is_constant
        if self.is_constant and len(shapes) > 1:
            shapes = shapes.take(np.zeros(1, np.int64))
        self.shapes = shapes
        self.parts = shapes.parts
        values, parts = shapes.values, self.parts
        self.kind = parts.kind
        self.place = np.zeros(len(parts.kind), np.int64)
        which = {kind: np.flatnonzero(parts.kind == kind) for kind in range(1, KINDS)}
        for members in which.values():
            self.place[members] = np.arange(len(members))
        # points are circles of no size
        for kind in (POINT, CIRCLE):
            self.place[which[kind]] = which[kind]
        start = parts.start
        rounds = np.flatnonzero((parts.kind == POINT) | (parts.kind == CIRCLE))
        self.centres = np.zeros((len(start), 3))
        self.centres[rounds] = unit_vectors(values[start[rounds] + 1], values[start[rounds] + 2])
        self.radii = np.zeros(len(start))
        self.radii[which[CIRCLE]] = np.radians(values[start[which[CIRCLE]] + 3])
        self.polygons = Polygons.from_parts(values, parts, which[POLYGON])
        self.boxes = Boxes.from_parts(values, parts, which[BOX])
        self._caps: tuple[Floats, Floats] | None = None
        self._which = which

    @property
    def caps(self) -> tuple[Floats, Floats]:
        """A circle around each part: centres (n, 3), radii in radians (pi where it is wider than a hemisphere)."""
        if self._caps is None:
            centres, radii = self.centres.copy(), self.radii.copy()
            for kind, members in ((POLYGON, self.polygons), (BOX, self.boxes)):
                if len(members):
                    centres[self._which[kind]], radii[self._which[kind]] = members.caps
            mocs = self._which[MOC]
            radii[mocs], centres[mocs] = np.pi, [0.0, 0.0, 1.0]
            self._caps = centres, radii
        return self._caps

    def narrowed(self, which: Indices) -> Geometry:
        """The same, with only those polygons kept ready that the parts ``which`` need."""
        is_polygon = self.kind == POLYGON
        needed = np.unique(self.place[which[is_polygon[which]]])
        if 2 * len(needed) > len(self.polygons):
            return self
        narrow = copy(self)
        narrow.polygons = self.polygons.take(needed)
        place = np.zeros(len(self.polygons), np.int64)
        place[needed] = np.arange(len(needed))
        narrow.place = self.place.copy()
        narrow.place[is_polygon] = place[self.place[is_polygon]]
        return narrow

    def moc(self, part: int) -> Moc:
        """A part of kind MOC as a value."""
        moc = self.region(part)
        assert isinstance(moc, Moc)
        return moc

    def region(self, part: int) -> Region:
        """A part as a value."""
        start = int(self.parts.start[part])
        return decode(self.shapes.values[start : start + part_size(self.shapes.values, start)])

    def hold(self, which: Indices, points: Floats) -> Booleans:
        """Whether part ``which[i]`` holds point i (unit vectors)."""
        result = np.zeros(len(which), np.bool_)
        for kind in np.unique(self.kind[which]).tolist():
            rows = np.flatnonzero(self.kind[which] == kind)
            members = which[rows]
            if kind in (POINT, CIRCLE):
                result[rows] = angle_between(points[rows], self.centres[members]) <= self.radii[members] + TOLERANCE
            elif kind == POLYGON:
                result[rows] = self.polygons.contain(self.place[members], points[rows])
            elif kind == BOX:
                result[rows] = self.boxes.take(self.place[members]).contain(points[rows])
            else:
                for part in np.unique(members).tolist():
                    own = rows[members == part]
                    result[own] = in_ranges(healpix_29(*coordinates(points[own])), self.moc(part))
        return result

    def outline_distances(self, which: Indices, points: Floats) -> Floats:
        """Radians from point i to the outline of part ``which[i]``, a polygon or box."""
        result = np.empty(len(which))
        is_polygon = self.kind[which] == POLYGON
        rows = np.flatnonzero(is_polygon)
        result[rows] = self.polygons.distances(self.place[which[rows]], points[rows])
        rows = np.flatnonzero(~is_polygon)
        if len(rows):
            result[rows] = self.boxes.take(self.place[which[rows]]).distances(points[rows])
        return result

    def farthest(self, which: Indices, points: Floats) -> Floats:
        """Radians from point i to the farthest corner (or point of a parallel) of part ``which[i]``."""
        result = np.empty(len(which))
        is_polygon = self.kind[which] == POLYGON
        rows = np.flatnonzero(is_polygon)
        if len(rows):
            result[rows] = self.polygons.farthest_vertex(self.place[which[rows]], points[rows])
        rows = np.flatnonzero(~is_polygon)
        if len(rows):
            result[rows] = self.boxes.take(self.place[which[rows]]).farthest(points[rows])
        return result


def in_ranges(cells: Indices, moc: Moc) -> Booleans:
    """Which cells of order 29 a coverage holds."""
    if len(moc.ranges) == 0:
        return np.zeros(len(cells), np.bool_)
    place = np.searchsorted(moc.ranges[:, 0], cells, side="right") - 1
    return np.asarray((place >= 0) & (cells <= moc.ranges[np.maximum(place, 0), 1]) & (cells >= 0), np.bool_)


def nearby_parts(a: Geometry, b: Geometry) -> tuple[Indices, Indices, Indices]:
    """Every part of row i of a with every part of row i of b whose surrounding circles touch: row, part, part."""
    if a.is_constant:
        own, other = np.divmod(np.arange(len(a.kind) * len(b.kind)), max(len(b.kind), 1))
        row = b.parts.row[other]
    elif b.is_constant:
        own, other = np.divmod(np.arange(len(a.kind) * len(b.kind)), max(len(b.kind), 1))
        row = a.parts.row[own]
    else:
        first = np.searchsorted(b.parts.row, a.parts.row, side="left")
        counts = np.searchsorted(b.parts.row, a.parts.row, side="right") - first
        own, other = spread(first, counts)
        row = a.parts.row[own]
    centres_a, radii_a = a.caps
    centres_b, radii_b = b.caps
    reach = radii_a[own] + radii_b[other] + 3 * TOLERANCE
    chord = centres_a[own] - centres_b[other]
    near = (dot(chord, chord) <= 4.0 * np.sin(np.minimum(reach, np.pi) / 2.0) ** 2) | (reach >= np.pi)
    return row[near], own[near], other[near]
