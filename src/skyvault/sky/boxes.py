"""Boxes of longitudes and latitudes: sides along meridians and parallels, row by row.

Longitudes and latitudes are degrees, vectors are unit vectors (n, 3), distances radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyvault.sky.polygons import arc_distances
from skyvault.sky.shapes import Booleans, Floats, Indices, Parts
from skyvault.sky.vectors import (
    TOLERANCE,
    angle_between,
    arc_normals,
    coordinates,
    cross,
    dot,
    normalised,
    unit_vectors,
)

_TOLERANCE_DEG = np.degrees(TOLERANCE)


@dataclass(frozen=True)
class Boxes:
    """Boxes row by row: western longitude, width eastward (360: all around), southern and northern latitude."""

    west: Floats
    width: Floats
    south: Floats
    north: Floats

    def __len__(self) -> int:
        return len(self.west)

    @classmethod
    def from_parts(cls, values: Floats, parts: Parts, which: Indices) -> Boxes:
        """The boxes among the parts of shapes."""
        start = parts.start[which]
        lon1, lon2 = values[start + 1], values[start + 2]
        width = np.where(lon2 - lon1 >= 360.0, 360.0, np.mod(lon2 - lon1, 360.0))
        return cls(lon1, width, values[start + 3], values[start + 4])

    def take(self, rows: Indices) -> Boxes:
        return Boxes(self.west[rows], self.width[rows], self.south[rows], self.north[rows])

    @property
    def is_band(self) -> Booleans:
        """Which go all around the sky, without sides along meridians."""
        return np.asarray(self.width >= 360.0, np.bool_)

    @property
    def corners(self) -> Floats:
        """Unit vectors (n, 4, 3): south-west, south-east, north-east, north-west."""
        east = self.west + self.width
        lon = np.stack([self.west, east, east, self.west], axis=1)
        lat = np.stack([self.south, self.south, self.north, self.north], axis=1)
        return unit_vectors(lon, lat)

    @property
    def middle(self) -> Floats:
        """Unit vectors of the middle of each box."""
        return unit_vectors(self.west + self.width / 2.0, (self.south + self.north) / 2.0)

    @property
    def caps(self) -> tuple[Floats, Floats]:
        """A circle around each box, centres (n, 3) and radii: about a pole or the middle, whichever is narrowest."""
        middle, corners = self.middle, self.corners
        far = angle_between(corners, middle[:, None, :]).max(axis=1)
        radii = np.stack(
            [
                np.where((self.width <= 180.0) & (far < np.pi / 2), far, np.pi),
                np.radians(90.0 - self.south),
                np.radians(90.0 + self.north),
            ],
            axis=1,
        )
        best = np.argmin(radii, axis=1)
        pole = np.zeros_like(middle)
        pole[:, 2] = np.where(best == 1, 1.0, -1.0)
        centres = np.where((best == 0)[:, None], middle, pole)
        return centres, np.minimum(radii[np.arange(len(self)), best] + 2 * TOLERANCE, np.pi)

    def contain(self, points: Floats) -> Booleans:
        """Whether box i holds point i; the sides belong to it."""
        lon, lat = coordinates(points)
        return self.contain_coordinates(lon, lat)

    def contain_coordinates(self, lon: Floats, lat: Floats) -> Booleans:
        """The same of longitudes and latitudes in degrees."""
        # the same angle on the sky is more degrees of longitude at higher latitudes
        slack = _TOLERANCE_DEG / np.maximum(np.cos(np.radians(lat)), 1e-13)
        past = np.mod(lon - self.west, 360.0)
        return np.asarray(
            ((past <= self.width + slack) | (past >= 360.0 - slack))
            & (lat >= self.south - _TOLERANCE_DEG)
            & (lat <= self.north + _TOLERANCE_DEG),
            np.bool_,
        )

    def distances(self, points: Floats) -> Floats:
        """Radians from point i to the sides of box i; infinity where there are none (the whole sky)."""
        nearest = np.full(len(points), np.inf)
        lon, lat = coordinates(points)
        past = np.mod(lon - self.west, 360.0)
        above = past <= self.width
        for side, edge in ((self.south, -90.0), (self.north, 90.0)):
            # the nearest point of a parallel is on the point's own meridian, or else an end (a corner, below);
            # a band that ends at a pole has no side there
            is_side = above & ~(self.is_band & (side == edge))
            height = np.where(is_side, np.abs(np.radians(lat - side)), np.inf)
            nearest = np.minimum(nearest, height)
        for start, end in self.meridians():
            distance = arc_distances(start, end, arc_normals(start, end), points)
            nearest = np.where(self.is_band, nearest, np.minimum(nearest, distance))
        return nearest

    def farthest(self, points: Floats) -> Floats:
        """Radians from point i to the farthest point of the outline of box i, if that is within 90 degrees."""
        far = angle_between(self.corners, points[:, None, :]).max(axis=1)
        lon, lat = coordinates(points)
        behind = np.mod(lon + 180.0 - self.west, 360.0) <= self.width
        for side in (self.south, self.north):
            # over the nearer pole and down on the other side
            over = np.radians(180.0 - np.abs(lat + side))
            far = np.where(behind, np.maximum(far, over), far)
        return np.asarray(far, np.float64)

    def meridians(self) -> list[tuple[Floats, Floats]]:
        """The eastern and western side as arcs, each in two halves, so that none is as long as 180 degrees."""
        corners = self.corners
        arcs = []
        lat = (self.south + self.north) / 2.0
        for south, north, lon in ((0, 3, self.west), (1, 2, self.west + self.width)):
            half = unit_vectors(lon, lat)
            arcs += [(corners[:, south], half), (half, corners[:, north])]
        return arcs

    def overlap(self, other: Boxes) -> Booleans:
        """Whether box i and box i of ``other`` have a point in common."""
        south, north = np.maximum(self.south, other.south), np.minimum(self.north, other.north)
        ahead = np.mod(other.west - self.west, 360.0)
        behind = np.mod(self.west - other.west, 360.0)
        slack = _TOLERANCE_DEG / np.maximum(np.cos(np.radians(np.minimum(np.abs(south), np.abs(north)))), 1e-13)
        in_longitude = (ahead <= self.width + slack) | (behind <= other.width + slack)
        in_longitude |= (ahead >= 360.0 - slack) | (behind >= 360.0 - slack)
        # all meridians meet at a pole
        both_north = (self.north >= 90.0 - _TOLERANCE_DEG) & (other.north >= 90.0 - _TOLERANCE_DEG)
        both_south = (self.south <= _TOLERANCE_DEG - 90.0) & (other.south <= _TOLERANCE_DEG - 90.0)
        return np.asarray((south <= north + _TOLERANCE_DEG) & in_longitude | both_north | both_south, np.bool_)

    def hold(self, inner: Boxes) -> Booleans:
        """Whether the whole of box i of ``inner`` is in box i."""
        past = np.mod(inner.west - self.west, 360.0)
        # the widest degree of longitude of the inner box
        flattest = np.where(inner.south * inner.north <= 0, 0.0, np.minimum(np.abs(inner.south), np.abs(inner.north)))
        slack = _TOLERANCE_DEG / np.maximum(np.cos(np.radians(flattest)), 1e-13)
        past = np.where(past >= 360.0 - slack, 0.0, past)
        in_longitude = self.is_band | (past + inner.width <= self.width + slack)
        in_latitude = (inner.south >= self.south - _TOLERANCE_DEG) & (inner.north <= self.north + _TOLERANCE_DEG)
        # a "box" of latitude 90 alone is the pole
        is_point = (inner.south >= 90.0 - _TOLERANCE_DEG) | (inner.north <= _TOLERANCE_DEG - 90.0)
        return np.asarray(in_latitude & (in_longitude | is_point), np.bool_)

    def arcs_inside(self, starts: Floats, ends: Floats) -> Booleans:
        """Whether arc i, with both ends in box i, stays in it: it may bulge over a parallel or go round behind."""
        lon1, _ = coordinates(starts)
        lon2, _ = coordinates(ends)
        turn = np.mod(lon2 - lon1 + 180.0, 360.0) - 180.0
        # past the gap between the eastern and the western side: its middle lies on the way
        gap_middle = np.mod(self.west + self.width + (360.0 - self.width) / 2.0 - lon1, 360.0)
        goes_behind = np.where(turn >= 0, gap_middle < turn, gap_middle - 360.0 > turn)
        goes_behind &= (360.0 - self.width) > 1e-9
        low, high = arc_latitudes(starts, ends)
        is_level = (low >= self.south - _TOLERANCE_DEG) & (high <= self.north + _TOLERANCE_DEG)
        return np.asarray(is_level & (self.is_band | ~goes_behind), np.bool_)


def arc_latitudes(starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest latitude (degrees) along great-circle arcs shorter than 180 degrees."""
    _, first = coordinates(starts)
    _, last = coordinates(ends)
    low, high = np.minimum(first, last), np.maximum(first, last)
    normals = arc_normals(starts, ends)
    # the summit of the great circle: the part of the pole in its plane
    pole = np.array([0.0, 0.0, 1.0])
    summit = normalised(pole - normals * normals[..., 2:3])
    rises = _is_on_arc(starts, ends, normals, summit)
    falls = _is_on_arc(starts, ends, normals, -summit)
    top = coordinates(summit)[1]
    return np.where(falls, np.minimum(low, -top), low), np.where(rises, np.maximum(high, top), high)


def _is_on_arc(starts: Floats, ends: Floats, normals: Floats, points: Floats) -> Booleans:
    return np.asarray(
        (dot(cross(normals, starts), points) > 0.0)
        & (dot(cross(ends, normals), points) > 0.0)
        & (dot(normals, normals) > 0.5),
        np.bool_,
    )


def parallels_cross_arcs(boxes: Boxes, starts: Floats, ends: Floats) -> Booleans:
    """Whether arc i meets the southern or northern side of box i."""
    normals = arc_normals(starts, ends)
    met = np.zeros(len(starts), np.bool_)
    rho2 = normals[:, 0] ** 2 + normals[:, 1] ** 2
    for side in (boxes.south, boxes.north):
        z = np.sin(np.radians(side))
        # points of both planes: -nz z / rho^2 (nx, ny) + t (-ny, nx) / rho, with |point| = 1
        base = np.where(rho2 > 0, -normals[:, 2] * z / np.where(rho2 > 0, rho2, 1.0), 0.0)
        rest = 1.0 - z * z - base * base * rho2
        real = (rho2 > 1e-30) & (rest >= 0.0)
        t = np.sqrt(np.maximum(rest, 0.0) / np.where(rho2 > 0, rho2, 1.0))
        for sign in (1.0, -1.0):
            point = np.stack(
                [normals[:, 0] * base - sign * t * normals[:, 1], normals[:, 1] * base + sign * t * normals[:, 0], z],
                axis=1,
            )
            lon, _ = coordinates(point)
            past = np.mod(lon - boxes.west, 360.0)
            met |= real & (past <= boxes.width) & _is_on_arc(starts, ends, normals, point)
    return met
