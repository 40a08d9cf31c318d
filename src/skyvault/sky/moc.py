"""Coverages (MOCs) of regions and footprints: made, coarsened, united, cut with each other, written as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from skyvault.errors import RegionError
from skyvault.model.region import CELLS_29, MAX_ORDER, Moc, Region
from skyvault.sky.area import area
from skyvault.sky.cells import Cells
from skyvault.sky.cover import bounding_cap, cells_at, detailed_cells
from skyvault.sky.shapes import Shapes, spread

#: cells of a MOC that is made while a query waits
MOST_CELLS: Final = 1_000_000


def moc_of(region: Region, order: int) -> Moc:
    """The cells (nested, ICRS) of an order that a region touches. Raises RegionError for an order that is too fine."""
    if not 0 <= order <= MAX_ORDER:
        raise RegionError(f"the order of a MOC is from 0 to {MAX_ORDER}, not {order}")
    shift = 2 * (MAX_ORDER - order)
    if isinstance(region, Moc):
        cells = region.ranges >> shift
        return Moc(np.stack([cells[:, 0] << shift, (cells[:, 1] + 1 << shift) - 1], axis=1))
    _, _, radius = bounding_cap(region)
    cap = 2.0 * np.pi * (1.0 - np.cos(np.radians(min(radius, 180.0))))
    if cap / (4.0 * np.pi) * 12 * 4**order > MOST_CELLS:
        raise RegionError(
            f"a region of {area(region):.3g} square degrees has too many cells of order {order}",
            hint="Take a lower order.",
        )
    first = cells_at(region, order) << shift
    return Moc(np.stack([first, first + ((1 << shift) - 1)], axis=1))


def moc_of_cells(cells: Cells, order: int | Cells) -> Moc:
    """The coverage of cells, each of its own order or all of one, in any sequence, repeated or not."""
    shift = 2 * (MAX_ORDER - np.asarray(order, np.int64))
    first = np.asarray(cells, np.int64) << shift
    return Moc(np.stack([first, first + ((np.int64(1) << shift) - 1)], axis=1))


def moc_of_footprints(shapes: Shapes, order: int, most: int) -> Moc:
    """What many footprints cover together, in cells of at most ``order``.

    A footprint that touches more than some ``most`` cells of an order takes wider ones: cost and memory go with the
    number of footprints times ``most``. Nothing is left out; along the edges a little may be added.
    """
    cells, orders, ranges = detailed_cells(shapes, order, most)
    found = moc_of_cells(cells, orders)
    if not len(ranges):
        return found
    return union([found, moc_of(Moc(ranges), order)])


def union(mocs: Iterable[Moc]) -> Moc:
    """What any of the coverages covers."""
    pieces = [moc.ranges for moc in mocs]
    return Moc(np.concatenate(pieces)) if pieces else Moc(np.empty((0, 2), np.int64))


def intersection(first: Moc, second: Moc) -> Moc:
    """What both coverages cover."""
    return Moc(common_ranges(first.ranges, second.ranges))


def common_ranges(first: Cells, second: Cells) -> Cells:
    """The ranges two sorted lists of ranges have in common."""
    if len(first) == 0 or len(second) == 0:
        return np.empty((0, 2), np.int64)
    begin = np.searchsorted(second[:, 1], first[:, 0], side="left")
    end = np.searchsorted(second[:, 0], first[:, 1], side="right")
    counts = np.maximum(end - begin, 0)
    own = np.repeat(np.arange(len(first)), counts)
    other = np.arange(len(own)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
    return np.stack([np.maximum(first[own, 0], second[other, 0]), np.minimum(first[own, 1], second[other, 1])], axis=1)


def order_of(moc: Moc) -> int:
    """The order of the finest cells of a coverage; 0 for an empty one."""
    if not len(moc.ranges):
        return 0
    ends = np.concatenate([moc.ranges[:, 0], moc.ranges[:, 1] + 1])
    bits = int(np.bitwise_or.reduce(ends))
    # the whole sky is a multiple of all cells
    lowest = (bits & -bits).bit_length() - 1 if bits else 2 * MAX_ORDER
    return max(0, MAX_ORDER - lowest // 2)


def within(moc: Moc, most: int, order: int = MAX_ORDER) -> Moc:
    """The coverage at ``order`` at most, and coarser until it has no more than ``most`` ranges."""
    order = min(order, order_of(moc))
    moc = moc_of(moc, order)
    while len(moc.ranges) > most and order > 0:
        order -= 1
        moc = moc_of(moc, order)
    return moc


def sky_fraction(moc: Moc) -> float:
    """The part of the sky that is covered, 0 to 1."""
    if not len(moc.ranges):
        return 0.0
    return float((moc.ranges[:, 1] - moc.ranges[:, 0] + 1).sum()) / CELLS_29


def cell_runs(moc: Moc) -> dict[int, Cells]:
    """The fewest cells that make up the coverage: by order, coarsest first, runs (first, last) of cells, shape (n, 2).

    The canonical form (MOC 2.0, section 4.2), as :meth:`Moc.cells`, without a loop over the cells.
    """
    found = {}
    begin, end = moc.ranges[:, 0], moc.ranges[:, 1] + 1
    for order in range(MAX_ORDER + 1):
        shift = 2 * (MAX_ORDER - order)
        first, last = (begin + ((1 << shift) - 1)) >> shift, end >> shift
        has = first < last
        if has.any():
            found[order] = np.stack([first[has], last[has] - 1], axis=1)
        # what is left on both sides of the run; where there is none, all of it
        low, high = np.where(has, first << shift, end), np.where(has, last << shift, end)
        begin, end = np.stack([begin, high], axis=1).ravel(), np.stack([low, end], axis=1).ravel()
        filled = begin < end
        begin, end = begin[filled], end[filled]
        if not len(begin):
            break
    return {order: _sorted_runs(runs) for order, runs in found.items()}


def uniq_numbers(moc: Moc) -> Cells:
    """4 * 4**order + cell of each cell, sorted (NUNIQ of MOC 1.1 and 2.0, section 4.3.1)."""
    found = []
    for order, runs in cell_runs(moc).items():
        _, cells = spread(runs[:, 0], runs[:, 1] - runs[:, 0] + 1)
        found.append(cells + (4 << (2 * order)))
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _sorted_runs(runs: Cells) -> Cells:
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    starts = np.flatnonzero(np.r_[True, runs[1:, 0] > runs[:-1, 1] + 1])
    return np.stack([runs[starts, 0], runs[np.r_[starts[1:] - 1, len(runs) - 1], 1]], axis=1)


def moc_text(moc: Moc, order: int | None = None) -> str:
    """The ASCII form (MOC 2.0, section 4.3.2), which names ``order`` even when no cell is so fine."""
    parts = []
    for own, runs in cell_runs(moc).items():
        words = " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs.tolist())
        parts.append(f"{own}/{words}")
    if order is not None and (not parts or order > order_of(moc)):
        parts.append(f"{order}/")
    return " ".join(parts)


def moc_json(moc: Moc, order: int | None = None) -> dict[str, list[int]]:
    """The JSON form (MOC 2.0, section 4.3.3): cells by order."""
    cells: dict[str, list[int]] = {}
    for own, runs in cell_runs(moc).items():
        _, found = spread(runs[:, 0], runs[:, 1] - runs[:, 0] + 1)
        cells[str(own)] = found.tolist()
    if order is not None:
        cells.setdefault(str(order), [])
    return cells
