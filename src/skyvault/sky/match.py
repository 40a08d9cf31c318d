"""Which positions of one list lie near which of another: a positional match by HEALPix cells.

The second list is sorted by cell once; the circles around the first list's positions name the cells to look in. The
exact separation decides. A million against a million within an arcsecond takes about a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.sky.cells import cell_of, join_order, touched_cells
from skyvault.sky.shapes import Floats, Indices, spread
from skyvault.sky.vectors import dot, unit_vectors

#: candidate pairs looked at together: bounds the memory to some 200 MB
_PORTION: Final = 2_000_000


class Matches(NamedTuple):
    """Row numbers of the first and second list and degrees between them, sorted by the first, then the nearest."""

    first: Indices
    second: Indices
    separation: Floats


def match_positions(
    lon1: ArrayLike, lat1: ArrayLike, lon2: ArrayLike, lat2: ArrayLike, radius: float, *, nearest_only: bool = False
) -> Matches:
    """All pairs of positions (degrees) within ``radius`` degrees, or for each of the first list the nearest one.

    Rows that are NaN or beyond a pole match nothing. Raises ParameterError for a radius that is not 0 to 180.
    """
    if not 0.0 <= radius <= 180.0:
        raise ParameterError(f"a match needs a radius of 0 to 180 degrees, not {radius!r}")
    first_lon, first_lat, second_lon, second_lat = (
        np.atleast_1d(np.asarray(a, np.float64)) for a in (lon1, lat1, lon2, lat2)
    )
    order = join_order(radius)
    cells = cell_of(order, second_lon, second_lat)
    by_cell = np.argsort(cells, kind="stable")
    by_cell = by_cell[np.searchsorted(cells[by_cell], 0) :]
    sorted_cells = cells[by_cell]
    second_vectors = unit_vectors(second_lon[by_cell], second_lat[by_cell])
    limit = _chord_squared(radius)

    found: list[tuple[Indices, Indices, Floats]] = []
    for rows, low, counts in _lookups(first_lon, first_lat, radius, order, sorted_cells):
        owner, place = spread(low, counts)
        row = rows[owner]
        apart = unit_vectors(first_lon[row], first_lat[row]) - second_vectors[place]
        square = dot(apart, apart)
        near = square <= limit
        found.append((row[near], by_cell[place[near]], square[near]))
    if not found:
        return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    first, second, square = (np.concatenate([piece[i] for piece in found]) for i in range(3))
    sequence = np.lexsort((second, square, first))
    first, second, square = first[sequence], second[sequence], square[sequence]
    if nearest_only:
        is_nearest = np.ones(len(first), np.bool_)
        is_nearest[1:] = first[1:] != first[:-1]
        first, second, square = first[is_nearest], second[is_nearest], square[is_nearest]
    return Matches(first, second, np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(square, 4.0)) / 2.0)))


def _lookups(
    lon: Floats, lat: Floats, radius: float, order: int, sorted_cells: Indices
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """(row of the first list, first place, number) of runs in the sorted second list, in bounded portions."""
    rows, wanted = touched_cells(lon, lat, radius, order)
    # in the order of the cells both lists are read from front to back
    sequence = np.argsort(wanted, kind="stable")
    rows, wanted = rows[sequence], wanted[sequence]
    low = np.searchsorted(sorted_cells, wanted, side="left")
    counts = np.searchsorted(sorted_cells, wanted, side="right") - low
    some = counts > 0
    rows, low, counts = rows[some], low[some], counts[some]
    total = np.cumsum(counts)
    begin = 0
    while begin < len(rows):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + _PORTION, side="right")))
        yield rows[begin:end], low[begin:end], counts[begin:end]
        begin = end


def _chord_squared(radius: float) -> float:
    """The squared chord of an angle in degrees, and a hair for the rounding of two unit vectors."""
    half = np.sin(np.radians(radius) / 2.0)
    return float(4.0 * half * half * (1.0 + 4e-16) + 1e-30) if radius < 180.0 else 5.0
