"""MOCs and other regions: coverages made of regions, and which lie in which.

The cells of a MOC have outlines of their own that are neither great nor small circles. Here a cell is the polygon of
points along its outline, four a side and more for cells wider than two degrees: it departs from the cell by less than
a hundredth of its size. What touches a coverage from inside, along its border, counts as reaching beyond it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from skyvault.errors import LimitError
from skyvault.model.region import CELLS_29, MAX_ORDER, Moc, Region
from skyvault.sky.cells import Cells, children, outline_vectors
from skyvault.sky.cover import cover
from skyvault.sky.moc import common_ranges, intersection, union
from skyvault.sky.predicates import contains, intersects
from skyvault.sky.shapes import POLYGON, Shapes, spread
from skyvault.sky.vectors import coordinates

#: cells one test may look at
_MOST: Final = 200_000
#: ranges of the first, coarse filter
_RANGES: Final = 256


def as_moc(region: Region, order: int | None = None) -> Moc:
    """The coverage of all cells of an order that a region touches; without an order, of some hundred cells around it.

    Raises LimitError beyond 200,000 cells.
    """
    if isinstance(region, Moc):
        return region
    ranges = np.array(cover(region, max_ranges=_MOST), np.int64).reshape(-1, 2)
    if order is None:
        return Moc(ranges)
    shift = 2 * (MAX_ORDER - order)
    first, last = ranges[:, 0] >> shift, ranges[:, 1] >> shift
    total = int((last - first + 1).sum())
    if total > _MOST:
        raise LimitError(f"a coverage of order {order} would have up to {total} cells; {_MOST} is the limit")
    cells = np.unique(spread(first, last - first + 1)[1])
    kept = cells[intersects(Shapes.from_regions([region]), cell_shapes(order, cells))]
    return Moc(np.stack([kept << shift, ((kept + 1) << shift) - 1], axis=1))


def combined(is_union: bool, first: Region, second: Region) -> Moc:
    """The union or the intersection of two regions as coverages."""
    one, two = as_moc(first), as_moc(second)
    return union([one, two]) if is_union else intersection(one, two)


def cell_shapes(order: int, cells: Cells) -> Shapes:
    """Cells of one order as polygons."""
    steps = max(4, 64 >> order)
    lon, lat = coordinates(outline_vectors(order, cells, steps))
    count = lon.shape[1]
    values = np.empty((len(cells), 2 + 2 * count))
    values[:, 0], values[:, 1] = POLYGON, count
    values[:, 2::2], values[:, 3::2] = lon, lat
    return Shapes(values.ravel(), np.arange(len(cells) + 1) * (2 + 2 * count))


def moc_meets(moc: Moc, region: Region) -> bool:
    """Whether a coverage and a region have a point in common."""
    if isinstance(region, Moc):
        return len(common_ranges(moc.ranges, region.ranges)) > 0
    near = common_ranges(moc.ranges, np.array(cover(region, max_ranges=_RANGES), np.int64))
    one = Shapes.from_regions([region])
    return any(bool(intersects(one, cell_shapes(order, cells)).any()) for order, cells in _by_order(Moc(near)))


def moc_holds(moc: Moc, region: Region) -> bool:
    """Whether a region lies wholly in a coverage."""
    if isinstance(region, Moc):
        common = common_ranges(moc.ranges, region.ranges)
        return len(common) == len(region.ranges) and bool((Moc(common).ranges == region.ranges).all())
    # the cells beside the coverage must keep clear of the region
    beside = common_ranges(_complement(moc.ranges), np.array(cover(region, max_ranges=_RANGES), np.int64))
    one = Shapes.from_regions([region])
    return not any(bool(intersects(one, cell_shapes(order, cells)).any()) for order, cells in _by_order(Moc(beside)))


def held_moc(region: Region, moc: Moc) -> bool:
    """Whether a coverage lies wholly in a region."""
    if len(moc.ranges) == 0:
        return True
    one = Shapes.from_regions([region])
    return all(bool(contains(one, cell_shapes(order, cells)).all()) for order, cells in _by_order(moc))


def _complement(ranges: Cells) -> Cells:
    begins = np.concatenate([[0], ranges[:, 1] + 1])
    ends = np.concatenate([ranges[:, 0] - 1, [CELLS_29 - 1]])
    gaps = np.stack([begins, ends], axis=1)
    return gaps[begins <= ends]


def _by_order(moc: Moc) -> list[tuple[int, Cells]]:
    """The cells of a coverage, coarsest first; those of orders 0 and 1 divided, since they are far from polygons."""
    by_order: dict[int, list[int]] = {}
    cells = moc.cells()
    if len(cells) > _MOST:
        raise LimitError(f"a coverage of {len(cells)} cells is too large for this; {_MOST} is the limit")
    for order, index in cells:
        by_order.setdefault(order, []).append(index)
    found = []
    for order in sorted(by_order):
        numbers = np.array(by_order[order], np.int64)
        while order < 2:
            numbers, order = children(numbers).ravel(), order + 1
        found.append((order, numbers))
    return found
