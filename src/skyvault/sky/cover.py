"""Covers: the few HEALPix ranges, or multi-order cells, that hold every point of a region.

A cover is a first filter and never the truth: it may hold more than the region, never less. Coordinates are ICRS
degrees, ranges are of order 29, both ends included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from skyvault.model.region import CELLS_29, MAX_ORDER, Circle, Moc, Point, Region
from skyvault.sky.cells import (
    STEEPNESS,
    Cells,
    center_vectors,
    children,
    cone_cells,
    largest_cell_radius,
    start_order,
    touched_cells,
)
from skyvault.sky.geometry import Geometry
from skyvault.sky.shapes import BOX, CIRCLE, MOC, POINT, POLYGON, Booleans, Floats, Indices, Shapes, spread
from skyvault.sky.vectors import TOLERANCE, angle_between, coordinates, dot, normalised

#: cells a region index keeps for one part of a region, at most
MOST_CELLS: Final = 16
#: deepest order of a region index: its keys are order * 2**40 + cell, and cells of order 18 fit below
DEEPEST_INDEX: Final = 18
#: a cover's cells are this many orders deeper than those wider than the circle: three to five times smaller than it
_LEVELS: Final = 3
#: a region of more parts than these is covered as a region index does it
_FEW: Final = 8
#: a part stops dividing cells beyond this many
_MANY: Final = 400


def cover(region: Region, max_ranges: int = 4) -> list[tuple[int, int]]:
    """At most ``max_ranges`` ranges (first, last) of order-29 cells that hold the whole region, sorted.

    Ranges are merged over the smallest gaps first. A circle takes some 0.1 ms, other shapes 1 ms.
    """
    if isinstance(region, Circle):
        first, last = _circle_ranges(region.lon, region.lat, region.radius)
    elif isinstance(region, Point):
        first, last = _circle_ranges(region.lon, region.lat, 0.0)
    elif isinstance(region, Moc):
        first, last = region.ranges[:, 0], region.ranges[:, 1]
    else:
        first, last = _region_ranges(region)
    return merge_ranges(first, last, max_ranges)


def merge_ranges(first: Cells, last: Cells, max_ranges: int) -> list[tuple[int, int]]:
    """Ranges sorted and merged, over the smallest gaps first, until at most ``max_ranges`` are left."""
    if len(first) == 0:
        return []
    sequence = np.argsort(first, kind="stable")
    first, last = first[sequence], np.maximum.accumulate(last[sequence])
    gaps = first[1:] - last[:-1] - 1
    split = np.flatnonzero(gaps > 0)
    if len(split) > max_ranges - 1:
        widest = np.argsort(gaps[split], kind="stable")[len(split) - (max_ranges - 1) :]
        split = np.sort(split[widest])
    begins, ends = np.concatenate([[0], split + 1]), np.concatenate([split, [len(first) - 1]])
    return list(zip(first[begins].tolist(), last[ends].tolist(), strict=True))


def _circle_ranges(lon: float, lat: float, radius: float) -> tuple[Cells, Cells]:
    if radius >= 180.0:
        return np.zeros(1, np.int64), np.full(1, CELLS_29 - 1)
    order = min(MAX_ORDER, start_order(radius) + _LEVELS)
    return _bounds(cone_cells(lon, lat, radius, order), order)


def _bounds(cells: Cells, orders: Cells | int) -> tuple[Cells, Cells]:
    shift = 2 * (MAX_ORDER - orders)
    first = cells << shift
    return first, first + ((np.int64(1) << shift) - 1)


def _region_ranges(region: Region) -> tuple[Cells, Cells]:
    shapes = Shapes.from_regions([region])
    mocs = np.flatnonzero(shapes.parts.kind == MOC)
    if len(mocs):
        geometry = Geometry(shapes)
        ranges = np.concatenate([geometry.moc(part).ranges for part in mocs.tolist()])
        if len(mocs) == len(shapes.parts.kind):
            return ranges[:, 0], ranges[:, 1]
        first, last = _bounds(*_cells_of(geometry, levels=1)[1:])
        return np.concatenate([ranges[:, 0], first]), np.concatenate([ranges[:, 1], last])
    geometry = Geometry(shapes)
    if len(geometry.kind) > _FEW:
        return _bounds(*_cells_of(geometry, levels=1)[1:])
    centres, radii = geometry.caps
    lons, lats = coordinates(centres)
    cells, orders, parts = [], [], []
    for part, (lon, lat, radius) in enumerate(zip(lons.tolist(), lats.tolist(), radii.tolist(), strict=True)):
        order = min(MAX_ORDER, start_order(math.degrees(radius)) + _LEVELS)
        found = cone_cells(lon, lat, math.degrees(radius + 2 * TOLERANCE), order)
        cells.append(found)
        orders.append(np.full(len(found), order))
        parts.append(np.full(len(found), part))
    cell, order_of, part_of = np.concatenate(cells), np.concatenate(orders), np.concatenate(parts)
    near = _near(geometry, part_of, order_of, cell)
    return _bounds(cell[near], order_of[near])


def cells_at(region: Region, order: int) -> Cells:
    """The cells of one order that a region touches, sorted; of the larger regions perhaps a few more at the edge."""
    if isinstance(region, Circle):
        return np.sort(cone_cells(region.lon, region.lat, region.radius, order))
    shapes = Shapes.from_regions([region])
    geometry = Geometry(shapes)
    centres, radii = geometry.caps
    lons, lats = coordinates(centres)
    cells, parts = [], []
    for part, (lon, lat, radius) in enumerate(zip(lons.tolist(), lats.tolist(), radii.tolist(), strict=True)):
        found = cone_cells(lon, lat, min(180.0, math.degrees(radius + 2 * TOLERANCE)), order)
        cells.append(found)
        parts.append(np.full(len(found), part))
    cell, part_of = np.concatenate(cells), np.concatenate(parts)
    return np.unique(cell[_near(geometry, part_of, np.full(len(cell), order), cell)])


def bounding_cap(region: Region) -> tuple[float, float, float]:
    """A circle that holds the region: longitude, latitude and radius in degrees (180: wider than a hemisphere)."""
    if isinstance(region, Circle):
        return region.lon, region.lat, region.radius
    lon, lat, radius = bounding_caps(Shapes.from_regions([region]))
    return float(lon[0]), float(lat[0]), float(radius[0])


def bounding_caps(shapes: Shapes) -> tuple[Floats, Floats, Floats]:
    """A circle around each region, degrees; NaN for rows without one."""
    geometry = Geometry(shapes)
    rows = np.arange(len(geometry.shapes))
    row = geometry.parts.row
    centres, radii = geometry.caps
    counts = np.bincount(row, minlength=len(rows))
    valid = counts > 0
    starts = (np.cumsum(counts) - counts)[valid]
    total, reach = np.zeros((len(rows), 3)), np.full(len(rows), np.nan)
    if valid.any():
        # the middle of a union's circles, far enough out to hold each of them
        total[valid] = normalised(np.add.reduceat(centres, starts, axis=0))
        far = angle_between(total[row], centres) + radii
        reach[valid] = np.minimum(np.maximum.reduceat(far, starts), np.pi)
        lone = np.flatnonzero(counts[row] == 1)
        total[row[lone]], reach[row[lone]] = centres[lone], radii[lone]
    lon, lat = coordinates(total)
    lon, lat = np.where(valid, lon, np.nan), np.where(valid, lat, np.nan)
    # up by a hair, for what rounding in the coordinates may take away
    degrees = np.minimum(np.degrees(reach + TOLERANCE), 180.0)
    if geometry.is_constant:
        lon, lat, degrees = (np.repeat(a, len(shapes)) for a in (lon, lat, degrees))
    return lon, lat, degrees


def footprint_cells(regions: Shapes | Sequence[Region | None]) -> tuple[Indices, Indices, Cells]:
    """Cells for an index of region columns: (row, order, cell), sorted by row.

    Each part of a region takes at most MOST_CELLS cells of the order that suits its size (0 to DEEPEST_INDEX), so that
    wide footprints lie at coarse orders; together they hold the whole region. A MOC keeps its own cells, made coarser.
    """
    shapes = regions if isinstance(regions, Shapes) else Shapes.from_regions(regions)
    geometry = Geometry(shapes)
    part, cells, orders = _cells_of(geometry, levels=1, deepest=DEEPEST_INDEX, most=MOST_CELLS, room=1.5)
    mocs = np.flatnonzero(geometry.kind == MOC)
    for moc in mocs.tolist():
        coarse_cells, coarse_orders = _coarse_cells(geometry.moc(moc).ranges)
        part = np.concatenate([part, np.full(len(coarse_cells), moc)])
        cells, orders = np.concatenate([cells, coarse_cells]), np.concatenate([orders, coarse_orders])
    row = geometry.parts.row[part]
    if geometry.is_constant and len(shapes) > 1:
        copies = len(shapes)
        row = np.repeat(np.arange(copies), len(cells))
        cells, orders = np.tile(cells, copies), np.tile(orders, copies)
    # parts of a union may share cells; a key is stored once
    keys = np.lexsort((cells, orders, row))
    row, orders, cells = row[keys], orders[keys], cells[keys]
    new = np.ones(len(row), np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (orders[1:] != orders[:-1]) | (cells[1:] != cells[:-1])
    return row[new], orders[new], cells[new]


def detailed_cells(shapes: Shapes, order: int, most: int) -> tuple[Cells, Cells, Indices]:
    """Cells that hold the regions: (cell, order of each, ranges of regions that are MOCs).

    As fine as ``order``, but a part of a region stops at wider cells where it would take more than ``most``.
    """
    geometry = Geometry(shapes)
    parts, cells, orders = _cells_of(geometry, levels=1, deepest=order, most=MOST_CELLS, room=1.5)
    pieces = [(parts[:0], cells[:0], orders[:0])]
    for own in np.unique(orders).tolist():
        at = np.flatnonzero(orders == own)
        pieces += _divide(geometry, parts[at], own, cells[at], order - own, order, most)
    mocs = [geometry.moc(part).ranges for part in np.flatnonzero(geometry.kind == MOC).tolist()]
    ranges = np.concatenate(mocs) if mocs else np.empty((0, 2), np.int64)
    return np.concatenate([p[1] for p in pieces]), np.concatenate([p[2] for p in pieces]), ranges


def cells_touched(shapes: Shapes, order: int) -> tuple[Indices, Cells]:
    """The cells of one order that each region touches: (row, cell), sorted by cell; along edges perhaps a few more."""
    geometry = Geometry(shapes)
    parts, cells, orders = _cells_of(geometry, levels=1, deepest=order, most=MOST_CELLS, room=1.5)
    found_parts, found_cells = [parts[:0]], [cells[:0]]
    for own in np.unique(orders).tolist():
        at = np.flatnonzero(orders == own)
        for part, cell, _ in _divide(geometry, parts[at], own, cells[at], order - own, order, 12 << (2 * order)):
            found_parts.append(part)
            found_cells.append(cell)
    pairs = np.unique(
        np.stack([np.concatenate(found_cells), geometry.parts.row[np.concatenate(found_parts)]], axis=1), axis=0
    )
    return pairs[:, 1], pairs[:, 0]


def cells_for_lookup(region: Region, orders: Iterable[int]) -> list[tuple[int, int, int]]:
    """Which entries of a region index can touch ``region``: (order, first cell, last cell), both ends included.

    ``orders`` are those in use in the index. At coarser orders these are the ancestors of the region's cells, at finer
    ones their descendants.
    """
    ranges = cover(region, max_ranges=16)
    found = []
    for order in sorted(set(orders)):
        shift = 2 * (MAX_ORDER - order)
        previous: list[int] | None = None
        for low, high in ((low >> shift, high >> shift) for low, high in ranges):
            if previous is not None and low <= previous[1] + 1:
                previous[1] = max(previous[1], high)
                continue
            if previous is not None:
                found.append((order, previous[0], previous[1]))
            previous = [low, high]
        if previous is not None:
            found.append((order, previous[0], previous[1]))
    return found


def _coarse_cells(ranges: Indices, most: int = 4 * MOST_CELLS) -> tuple[Cells, Cells]:
    """A MOC as at most some ``most`` cells of one order."""
    for order in range(DEEPEST_INDEX, -1, -1):
        shift = 2 * (MAX_ORDER - order)
        first, last = ranges[:, 0] >> shift, ranges[:, 1] >> shift
        if int((last - first + 1).sum()) <= most or order == 0:
            cells = np.unique(spread(first, last - first + 1)[1])
            return cells, np.full(len(cells), order)
    raise AssertionError("unreachable")


# ---------------------------------------------------------------- cells of any shape


def _cells_of(
    geometry: Geometry, *, levels: int, deepest: int = MAX_ORDER, most: int = _MANY, room: float = 1.0
) -> tuple[Indices, Cells, Cells]:
    """(part, cell, order) of cells that hold each part, MOCs left out.

    Begins with the cells a circle around the part touches and divides those ``levels`` times, dropping cells that lie
    wholly beside it; a part stops where it would have more than ``most`` cells. ``room`` > 1 begins with wider cells.
    """
    centres, radii = geometry.caps
    parts = np.flatnonzero(geometry.kind != MOC)
    if len(parts) == 0:
        empty = np.empty(0, np.int64)
        return empty, empty, empty
    lon, lat = coordinates(centres[parts])
    # the deepest order at which the circle is smaller than a cell
    reach = np.maximum(radii[parts] + 2 * TOLERANCE, 1e-300) * STEEPNESS * room
    start = np.clip(np.floor(-np.log2(reach) - 1e-9), 0, deepest).astype(np.int64)
    made: list[tuple[Indices, Cells, Cells]] = []
    for order in np.unique(start).tolist():
        own = np.flatnonzero(start == order)
        is_wide = radii[parts[own]] * STEEPNESS * (1 << order) >= 1.0
        narrow, wide = own[~is_wide], own[is_wide]
        rows, cells = touched_cells(lon[narrow], lat[narrow], np.degrees(radii[parts[narrow]] + 2 * TOLERANCE), order)
        rows = parts[narrow][rows]
        if len(wide):
            # wider than a cell of order 0: all of the sky, to begin with
            rows = np.concatenate([rows, np.repeat(parts[wide], 12)])
            cells = np.concatenate([cells, np.tile(np.arange(12), len(wide))])
        kept = _near(geometry, rows, order, cells)
        deeper = 2 if len(wide) and most > MOST_CELLS else 0
        made += _divide(geometry, rows[kept], order, cells[kept], levels + deeper, deepest, most)
    part, cell, orders = (np.concatenate([piece[i] for piece in made]) for i in range(3))
    return part, cell, orders


def _divide(
    geometry: Geometry, part: Indices, order: int, cells: Cells, levels: int, deepest: int, most: int
) -> list[tuple[Indices, Cells, Cells]]:
    """Divide cells of one order ``levels`` times; (part, cell, order) of what is left."""
    done: list[tuple[Indices, Cells, Cells]] = []
    for _ in range(levels):
        if order >= deepest or len(cells) == 0:
            break
        finer = children(cells)
        finer_part, finer_cells = np.repeat(part, 4), finer.ravel()
        near = _near(geometry, finer_part, order + 1, finer_cells)
        finer_part, finer_cells = finer_part[near], finer_cells[near]
        counts = np.bincount(finer_part, minlength=len(geometry.kind))
        too_many = counts > most
        if too_many.any():
            stays = too_many[part]
            done.append((part[stays], cells[stays], np.full(int(stays.sum()), order)))
            goes_on = ~too_many[finer_part]
            finer_part, finer_cells = finer_part[goes_on], finer_cells[goes_on]
        part, cells, order = finer_part, finer_cells, order + 1
    done.append((part, cells, np.full(len(cells), order)))
    return done


def _near(geometry: Geometry, part: Indices, order: int | Cells, cells: Cells) -> Booleans:
    """Which cells may touch their part; those that certainly do not are False."""
    centres = center_vectors(order, cells)
    size = np.broadcast_to(largest_cell_radius(order) + 2 * TOLERANCE, part.shape)
    kinds = geometry.kind[part]
    near = np.ones(len(part), np.bool_)
    rounds = np.flatnonzero((kinds == CIRCLE) | (kinds == POINT))
    apart = angle_between(centres[rounds], geometry.centres[part[rounds]])
    near[rounds] = apart <= geometry.radii[part[rounds]] + size[rounds]
    polygons = np.flatnonzero(kinds == POLYGON)
    if len(polygons):
        is_convex = geometry.polygons.is_convex[geometry.place[part[polygons]]]
        convex = polygons[is_convex]
        near[convex] = _near_convex(geometry, part[convex], centres[convex], size[convex])
        _by_distance(geometry, part, polygons[~is_convex], centres, size, near)
    _by_distance(geometry, part, np.flatnonzero(kinds == BOX), centres, size, near)
    return near


def _near_convex(geometry: Geometry, part: Indices, centres: Floats, size: Floats) -> Booleans:
    """For convex polygons, which circles are not wholly beyond a side or beside the surrounding circle."""
    polygons = geometry.polygons
    place = geometry.place[part]
    owner, edge = spread(polygons.starts[place], polygons.counts[place])
    beyond = dot(polygons.inner_normals[edge], centres[owner]) < -np.sin(size)[owner]
    near = np.bincount(owner[beyond], minlength=len(part)) == 0
    caps, radii = polygons.caps
    return np.asarray(near & (angle_between(caps[place], centres) <= radii[place] + size), np.bool_)


def _by_distance(
    geometry: Geometry, part: Indices, rows: Indices, centres: Floats, size: Floats, near: Booleans
) -> None:
    """Mark in ``near`` which circles touch outlines, or lie inside them, by their distance."""
    for first in range(0, len(rows), 100_000):
        own = rows[first : first + 100_000]
        inside = geometry.hold(part[own], centres[own])
        left = own[~inside]
        near[own] = inside
        near[left] = geometry.outline_distances(part[left], centres[left]) <= size[left]
