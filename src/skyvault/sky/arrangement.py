"""Outlines of two regions cut into pieces where they meet: decides what no formula for whole shapes decides.

An outline is made of arcs of circles: great circles (edges of polygons, meridians) and small ones (circles,
parallels). Cut at every meeting, each piece lies wholly inside or outside everything, so that its middle, and the
places just left and right of the middle, tell about all of it. Costs some 0.2 ms a pair; used for unions, for
polygons that are not convex and touch, and for the area of overlapping unions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.geometry import Geometry
from skyvault.sky.shapes import Booleans, Floats, Indices, Shapes
from skyvault.sky.vectors import angle_between, arc_normals, cross, dot, normalised, unit_vectors

#: how far beside a piece's middle its two sides are looked at: outlines nearer than this count as one
BESIDE: Final = 5e-12
#: circles smaller than this are points
_SMALLEST: Final = 2e-11


@dataclass(frozen=True)
class Arcs:
    """Arcs of circles x . axis = height, from ``start`` over ``sweep`` radians about the axis, counter-clockwise.

    ``part`` is the number of the part of the region each belongs to.
    """

    axis: Floats
    height: Floats
    start: Floats
    sweep: Floats
    part: Indices

    def __len__(self) -> int:
        return len(self.sweep)

    def at(self, which: Indices, angle: Floats) -> Floats:
        """The points ``angle`` radians along the arcs."""
        axis, height = self.axis[which], self.height[which, None]
        out = self.start[which] - axis * height
        aside = cross(axis, out)
        return normalised(axis * height + out * np.cos(angle)[:, None] + aside * np.sin(angle)[:, None])

    def left(self, which: Indices, points: Floats) -> Floats:
        """Unit vectors to the left of travel at points of the arcs."""
        return normalised(self.axis[which] - points * self.height[which, None])

    def angles_of(self, which: Indices, points: Floats) -> Floats:
        """How far along arc ``which[i]`` point i is, 0 to 2 pi."""
        axis = self.axis[which]
        out = self.start[which] - axis * self.height[which, None]
        there = points - axis * dot(points, axis)[:, None]
        return np.asarray(np.mod(np.arctan2(dot(cross(axis, out), there), dot(out, there)), 2 * np.pi), np.float64)


def outline(region: Region) -> Arcs:
    """The arcs of a region's outline; points and the whole sky have none."""
    rows: list[tuple[Floats, Floats, Floats, Floats]] = []
    numbers: list[int] = []
    for number, part in enumerate(region.regions if isinstance(region, Union) else (region,)):
        made = _part_arcs(part)
        if made is not None:
            rows.append(made)
            numbers += [number] * len(made[1])
    if not rows:
        return Arcs(np.empty((0, 3)), np.empty(0), np.empty((0, 3)), np.empty(0), np.empty(0, np.int64))
    axis, height, start, sweep = (np.concatenate([row[i] for row in rows]) for i in range(4))
    return Arcs(axis, height, start, sweep, np.array(numbers, np.int64))


def _part_arcs(part: Region) -> tuple[Floats, Floats, Floats, Floats] | None:
    if isinstance(part, Polygon):
        vertices = unit_vectors(*zip(*part.vertices, strict=True))
        ends = np.roll(vertices, -1, axis=0)
        normals = arc_normals(vertices, ends)
        real = dot(normals, normals) > 0.5
        vertices, ends, normals = vertices[real], ends[real], normals[real]
        return normals, np.zeros(len(normals)), vertices, angle_between(vertices, ends)
    if isinstance(part, Circle):
        if part.radius >= 180.0 or np.radians(part.radius) < _SMALLEST:
            return None
        return _circle(unit_vectors(part.lon, part.lat), np.cos(np.radians(part.radius)))
    if isinstance(part, Box):
        return _box(part)
    if isinstance(part, Moc):
        raise NotImplementedError("outlines of MOCs are no circles")
    return None


def _circle(axis: Floats, height: float) -> tuple[Floats, Floats, Floats, Floats]:
    """A whole circle, in quarters."""
    aside = normalised(cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))]))
    third = cross(axis, aside)
    radius = np.sqrt(max(0.0, 1.0 - height * height))
    starts = np.stack([axis * height + radius * spoke for spoke in (aside, third, -aside, -third)])
    return np.repeat(axis[None], 4, axis=0), np.full(4, height), starts, np.full(4, np.pi / 2)


def _box(box: Box) -> tuple[Floats, Floats, Floats, Floats] | None:
    north = np.array([0.0, 0.0, 1.0])
    made: list[tuple[Floats, Floats, Floats, Floats]] = []
    is_band = box.width >= 360.0
    for lat in (box.lat1, box.lat2):
        if abs(lat) == 90.0:
            continue
        height = float(np.sin(np.radians(lat)))
        count = max(1, int(np.ceil(box.width / 90.0)))
        lons = box.lon1 + box.width * np.arange(count) / count
        made.append(
            (
                np.repeat(north[None], count, axis=0),
                np.full(count, height),
                unit_vectors(lons, np.full(count, lat)),
                np.full(count, np.radians(box.width) / count),
            )
        )
    if not is_band:
        for lon in (box.lon1, box.lon1 + box.width):
            lats = np.array([box.lat1, (box.lat1 + box.lat2) / 2.0, box.lat2])
            if lats[2] - lats[0] == 0.0:
                continue
            # the axis of a meridian points west where travel is northward: (sin lon, -cos lon, 0)
            axis = np.array([np.sin(np.radians(lon)), -np.cos(np.radians(lon)), 0.0])
            made.append(
                (
                    np.repeat(axis[None], 2, axis=0),
                    np.zeros(2),
                    unit_vectors(np.full(2, lon), lats[:2]),
                    np.radians(np.diff(lats)),
                )
            )
    if not made:
        return None
    axis, heights, starts, sweeps = (np.concatenate([row[i] for row in made]) for i in range(4))
    return axis, heights, starts, sweeps


def meetings(first: Arcs, second: Arcs) -> tuple[Indices, Floats]:
    """Where arcs of ``first`` meet arcs of ``second``: the number of the first arc and how far along it."""
    i, j = (index.ravel() for index in np.indices((len(first), len(second))))
    if len(i) == 0:
        return i, np.empty(0)
    p, q, d, e = first.axis[i], second.axis[j], first.height[i], second.height[j]
    line = cross(p, q)
    square = dot(line, line)
    near_parallel = square < 1e-24
    safe = np.where(near_parallel, 1.0, square)
    cosine = dot(p, q)
    along_p, along_q = (d - e * cosine) / safe, (e - d * cosine) / safe
    base = p * along_p[:, None] + q * along_q[:, None]
    rest = (1.0 - dot(base, base)) / safe
    # circles that touch, but for rounding, meet as well
    meet = ~near_parallel & (rest > -1e-9)
    step = np.sqrt(np.maximum(rest, 0.0))[:, None] * line
    ends = second.at(j, second.sweep[j])
    found_arcs, found_angles = [], []
    for points, meet_here in (
        (normalised(base + step), meet),
        (normalised(base - step), meet),
        # ends of the other arc that lie on this one: arcs along the same circle have no other meetings
        (second.start[j], np.abs(dot(second.start[j], p) - d) < 1e-11),
        (ends, np.abs(dot(ends, p) - d) < 1e-11),
    ):
        rows = np.flatnonzero(meet_here)
        angle = first.angles_of(i[rows], points[rows])
        inside = angle <= first.sweep[i[rows]]
        found_arcs.append(i[rows][inside])
        found_angles.append(angle[inside])
    return np.concatenate(found_arcs), np.concatenate(found_angles)


def pieces(arcs: Arcs, *others: Arcs) -> tuple[Indices, Floats, Floats]:
    """Arcs cut where they meet ``others``: number of the arc, and the angles along it of each piece's two ends."""
    numbers = [np.arange(len(arcs)), np.arange(len(arcs))]
    angles = [np.zeros(len(arcs)), arcs.sweep]
    for other in others:
        number, angle = meetings(arcs, other)
        numbers.append(number)
        angles.append(angle)
    number, angle = np.concatenate(numbers), np.concatenate(angles)
    sequence = np.lexsort((angle, number))
    number, angle = number[sequence], angle[sequence]
    same = (number[1:] == number[:-1]) & (angle[1:] - angle[:-1] > 1e-13)
    return number[:-1][same], angle[:-1][same], angle[1:][same]


def contains_by_pieces(outer: Region, inner: Region) -> bool:
    """Whether ``outer`` holds the whole of ``inner``: circles, polygons, boxes, points and unions of them."""
    if any(_is_all(part) for part in _parts(outer)):
        return True
    lone = [part for part in _parts(inner) if isinstance(part, Point) or _is_dot(part)]
    if lone and not _inside(outer, unit_vectors([part.lon for part in lone], [part.lat for part in lone])).all():  # type: ignore[union-attr]
        return False
    mine, theirs = outline(outer), outline(inner)
    if len(mine) == 0:
        return len(theirs) == 0 and not any(_is_all(part) for part in _parts(inner))
    number, low, high = pieces(theirs, mine)
    middles = theirs.at(number, (low + high) / 2.0)
    if not _inside(outer, middles).all():
        return False
    beside = [normalised(middles + sign * BESIDE * theirs.left(number, middles)) for sign in (1.0, -1.0)]
    number, low, high = pieces(mine, mine, theirs)
    middles = mine.at(number, (low + high) / 2.0)
    beside += [normalised(middles + sign * BESIDE * mine.left(number, middles)) for sign in (1.0, -1.0)]
    samples = np.concatenate(beside)
    return bool((~_inside(inner, samples) | _inside(outer, samples)).all())


def outer_pieces(region: Region) -> tuple[Arcs, Indices, Floats, Floats, Booleans]:
    """The outline of a union without what lies inside other parts: (arcs, numbers, low, high, is the inside left)."""
    arcs = outline(region)
    number, low, high = pieces(arcs, arcs)
    middles = arcs.at(number, (low + high) / 2.0)
    lefts = arcs.left(number, middles)
    is_left = _inside(region, normalised(middles + BESIDE * lefts))
    is_right = _inside(region, normalised(middles - BESIDE * lefts))
    kept = np.flatnonzero(is_left != is_right)
    # parts that share a side have it twice: keep one
    if len(kept):
        apart = np.stack([middles[kept, i][:, None] - middles[kept, i][None, :] for i in range(3)], axis=-1)
        earlier = np.tril(dot(apart, apart) < 1e-22, k=-1).any(axis=1)
        kept = kept[~earlier]
    return arcs, number[kept], low[kept], high[kept], is_left[kept]


def _parts(region: Region) -> tuple[Region, ...]:
    return region.regions if isinstance(region, Union) else (region,)


def _is_dot(part: Region) -> bool:
    return isinstance(part, Circle) and np.radians(part.radius) < _SMALLEST


def _is_all(part: Region) -> bool:
    if isinstance(part, Circle):
        return part.radius >= 180.0
    return isinstance(part, Box) and part.width >= 360.0 and part.lat1 == -90.0 and part.lat2 == 90.0


def _inside(region: Region, points: Floats) -> Booleans:
    geometry = Geometry(Shapes.from_regions([region]))
    inside = np.zeros(len(points), np.bool_)
    for part in range(len(geometry.kind)):
        inside |= geometry.hold(np.full(len(points), part), points)
    return inside
