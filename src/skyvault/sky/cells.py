"""HEALPix cells (nested) of positions, their centres, and the cells that small circles touch.

Index arithmetic in numpy, projections by cdshealpix, whose array functions are called beneath its astropy wrappers:
those cost more than the work itself for one cone. Coordinates are ICRS degrees.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from functools import lru_cache
from importlib.machinery import PathFinder
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyvault.errors import ParameterError
from skyvault.model.region import MAX_ORDER
from skyvault.sky.vectors import Floats, dot, unit_vectors, wrap_longitude

Cells = NDArray[np.int64]

#: what stands for "no cell": a position that is NaN or beyond the poles
NO_CELL: Final = -1
#: degrees; square root of a cell's area at order 0
CELL_WIDTH: Final = math.degrees(math.sqrt(math.pi / 3))
#: A step of one radian changes neither in-cell coordinate, in units of the cell side at order 0, by more than this.
#: The gradient of the projection is sqrt(4 / (pi c)^2 + (9/16) c^2), c = cos(lat), around the equator: 1.021 at most;
#: in the polar caps sqrt((2/pi)^2 3 / (1 + z) + (3/4) (1 + z)): it grows to sqrt(6 / pi^2 + 3/2) = 1.452 at the pole.
STEEPNESS: Final = 1.4519
#: angle (radians) by which rounding may move a position against a cell edge
_SLACK: Final = 4e-15
#: :func:`join_order` goes no deeper: cells of 0.8 arcsec; deeper cells would only make more of them
DEEPEST_JOIN: Final = 18


@lru_cache(maxsize=1)
def _healpix() -> Any:
    """The compiled part of cdshealpix, loaded without the package around it, which would load all of astropy."""
    name = "cdshealpix.cdshealpix"
    if name not in sys.modules:
        package = importlib.util.find_spec("cdshealpix")
        found = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
        if found is None or found.loader is None:
            return importlib.import_module(name)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        # under its own name, so that the package, if somebody needs it, finds it there
        sys.modules[name] = module
    return sys.modules[name]


def largest_cell_radius(order: int | Cells) -> Floats:
    """Radians from a cell's centre to its farthest point, at most, anywhere on the sky.

    Measured on the outlines of all cells up to order 8 (order 10 around the poles): times 2**order it grows from 0.841
    through 1.0681 (order 8) and 1.0688 (order 10) towards 1.0690.
    """
    return np.minimum(0.8412, 1.0691 * np.exp2(-np.asarray(order, np.float64)))


def positions_valid(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Which positions are places on the sky: finite, latitude within -90 to 90."""
    return np.isfinite(lon) & (np.abs(lat) <= 90.0)


def cell_of(order: int, lon: ArrayLike, lat: ArrayLike) -> Cells:
    """Cells of ``order`` (0 to 29) that hold positions; NO_CELL where a position is none. Longitudes are reduced."""
    cells, _, _, valid = _project(order, np.atleast_1d(lon), np.atleast_1d(lat))
    if not valid.all():
        cells[~valid] = NO_CELL
    return cells


def healpix_29(lon: ArrayLike, lat: ArrayLike) -> Cells:
    """Cells of order 29, the key published tables are sorted by; NO_CELL where a position is none."""
    return cell_of(MAX_ORDER, lon, lat)


def cell_centers(order: int, cells: ArrayLike) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of cell centres. NaN for numbers that are no cell of ``order``."""
    check_order(order)
    numbers = np.atleast_1d(np.asarray(cells, np.int64))
    valid = (numbers >= 0) & (numbers < 12 << (2 * order))
    n = len(numbers)
    lon, lat = np.empty(n), np.empty(n)
    known = np.where(valid, numbers, 0).astype(np.uint64)
    _healpix().healpix_to_lonlat(np.full(n, order, np.uint8), known, 0.5, 0.5, lon, lat, np.uint16(1))
    lon, lat = wrap_longitude(np.degrees(lon)), np.degrees(lat)
    return np.where(valid, lon, np.nan), np.where(valid, lat, np.nan)


def center_vectors(order: int | Cells, cells: Cells) -> Floats:
    """Unit vectors (n, 3) of the centres of cells, each of its own order or all of one."""
    return _unprojected(order, cells, np.full(len(cells), 0.5), np.full(len(cells), 0.5))


def outline_vectors(order: int, cells: Cells, steps: int) -> Floats:
    """Unit vectors (n, 4 * steps, 3) along the outlines of cells, counter-clockwise from the southern corner."""
    rise = np.arange(steps) / steps
    zero, one = np.zeros(steps), np.ones(steps)
    u, v = np.concatenate([rise, one, 1.0 - rise, zero]), np.concatenate([zero, rise, one, 1.0 - rise])
    count = len(u)
    flat = _unprojected(order, np.repeat(cells, count), np.tile(u, len(cells)), np.tile(v, len(cells)))
    return flat.reshape(len(cells), count, 3)


def places_in_cells(order: int | Cells, cells: Cells, east: Floats, west: Floats) -> Floats:
    """Unit vectors (n, 3) of places within cells: how far from the southern corner along the sides to the east and to
    the west, 0 to 1.
    """
    return _unprojected(order, cells, east, west)


def _unprojected(order: int | Cells, cells: Cells, east: Floats, west: Floats) -> Floats:
    """Unit vectors of places within cells: ``east`` and ``west`` from 0, the southern corner, to 1.

    The inverse of the HEALPix projection (Calabretta & Roukema 2007, section 2): its plane has the centres of base
    cells at whole numbers of 45 degrees, X eastward and Y northward.
    """
    orders = np.asarray(order, np.int64)
    side = np.exp2(-orders.astype(np.float64))
    base = cells >> (2 * orders)
    inside = cells & ((np.int64(1) << (2 * orders)) - 1)
    u, v = (_even_bits(inside) + east) * side, (_even_bits(inside >> 1) + west) * side
    row = base >> 2
    # the column of the polar facet: a place on its eastern border belongs to the facet of its base cell
    middle = 2.0 * (base & 3) + (row != 1)
    x = middle + u - v
    y = u + v - row
    # beyond |Y| = 1 the meridians of a polar facet draw together: to nothing at |Y| = 2, the pole
    sigma = np.clip(2.0 - np.abs(y), 0.0, 1.0)
    lon = (np.pi / 4.0) * np.where(sigma > 0.0, middle + (x - middle) / np.where(sigma > 0.0, sigma, 1.0), middle)
    is_cap = np.abs(y) > 1.0
    lon = np.where(is_cap, lon, (np.pi / 4.0) * x)
    z = np.where(is_cap, np.copysign(1.0 - sigma**2 / 3.0, y), y * (2.0 / 3.0))
    rho = np.where(is_cap, sigma * np.sqrt((2.0 - sigma**2 / 3.0) / 3.0), np.sqrt(np.maximum(1.0 - z**2, 0.0)))
    return np.stack([rho * np.cos(lon), rho * np.sin(lon), z], axis=-1)


def parents(cells: ArrayLike, order: int, parent_order: int) -> Cells:
    """The cells of a coarser order that hold cells of ``order``; NO_CELL stays."""
    return np.asarray(cells, np.int64) >> (2 * (order - parent_order))


def children(cells: Cells) -> Cells:
    """The four cells of the next order inside each cell, shape (n, 4)."""
    return (cells[:, None] << 2) + np.arange(4)


def check_order(order: int) -> None:
    """Raise ParameterError unless ``order`` is a HEALPix order, 0 to 29."""
    if not 0 <= order <= MAX_ORDER:
        raise ParameterError(f"{order} is no HEALPix order; orders go from 0 to {MAX_ORDER}")


def _project(order: int, lon: ArrayLike, lat: ArrayLike) -> tuple[Cells, Floats, Floats, NDArray[np.bool_]]:
    """Cells, in-cell offsets (0 to 1) and validity of positions."""
    check_order(order)
    degrees_lon, degrees_lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    valid = positions_valid(degrees_lon, degrees_lat)
    if not valid.all():
        degrees_lon = np.where(valid, degrees_lon, 0.0)
        degrees_lat = np.where(valid, degrees_lat, 0.0)
    # huge longitudes lose their fraction in radians: reduce where needed, before the conversion
    if len(degrees_lon) and (degrees_lon.min() < 0.0 or degrees_lon.max() >= 360.0):
        degrees_lon = wrap_longitude(degrees_lon)
    n = len(degrees_lon)
    cells, dx, dy = np.empty(n, np.uint64), np.empty(n), np.empty(n)
    _healpix().lonlat_to_healpix(
        np.full(n, order, np.uint8), np.radians(degrees_lon), np.radians(degrees_lat), cells, dx, dy, np.uint16(1)
    )
    return cells.view(np.int64), dx, dy, valid


def neighbours(order: int, cells: Cells) -> Cells:
    """The up to eight cells around each cell and the cell itself: shape (n, 9), NO_CELL where a corner has none.

    Columns: S, SE, E, SW, the cell, NE, W, NW, N.
    """
    out = np.empty((len(cells), 9), np.int64)
    _healpix().neighbours(order, cells.astype(np.uint64), out, np.uint16(1))
    return out


# ---------------------------------------------------------------- circles


def join_order(radius: float) -> int:
    """The order whose cells suit a positional join within ``radius`` degrees: about 16 times wider, 0 to 18."""
    if not radius > 0.0:
        return DEEPEST_JOIN
    return max(0, min(DEEPEST_JOIN, math.floor(math.log2(CELL_WIDTH / (16.0 * radius)))))


def touched_cells(
    lon: ArrayLike, lat: ArrayLike, radius: float | ArrayLike, order: int
) -> tuple[NDArray[np.int64], Cells]:
    """All cells of ``order`` that circles touch, as (row, cell) pairs, sorted by row.

    ``radius`` is degrees, one for all or one a row. Never misses a cell, may name a few that lie just outside. Circles
    smaller than a cell cost some tens of nanoseconds; larger ones are covered one by one. Rows that are no place on
    the sky or have a negative or NaN radius touch nothing.
    """
    cells, dx, dy, valid = _project(order, np.atleast_1d(lon), np.atleast_1d(lat))
    radii = np.asarray(radius, np.float64)
    rows, found, large = _touched(cells, dx, dy, valid & (radii >= 0.0), radii, order)
    if len(large):
        lons, lats = np.atleast_1d(np.asarray(lon, np.float64)), np.atleast_1d(np.asarray(lat, np.float64))
        return _with_large(rows, found, large, lons, lats, np.broadcast_to(radii, lons.shape), order)
    return rows, found


def touched_cells_of(
    healpix: Cells, vectors: Floats, radius: float | ArrayLike, order: int
) -> tuple[NDArray[np.int64], Cells]:
    """As :func:`touched_cells`, from stored cells of order 29 and unit vectors (n, 3): no trigonometry is needed."""
    check_order(order)
    valid = healpix >= 0
    shift = 2 * (MAX_ORDER - order)
    cells = healpix >> shift
    inside = healpix & ((1 << shift) - 1)
    width = 1 << (MAX_ORDER - order)
    # the centre of the order-29 cell is at most half a cell (0.2 mas) off; the margin below takes that up
    dx, dy = (_even_bits(inside) + 0.5) / width, (_even_bits(inside >> 1) + 0.5) / width
    radii = np.asarray(radius, np.float64)
    margin = math.degrees(0.5 / (1 << MAX_ORDER))
    rows, found, large = _touched(cells, dx, dy, valid & (radii >= 0.0), radii + margin, order)
    if len(large):
        lons = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0]))
        lats = np.degrees(np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1])))
        return _with_large(rows, found, large, lons, lats, np.broadcast_to(radii, lons.shape), order)
    return rows, found


def _even_bits(values: Cells) -> Cells:
    """The number made of bits 0, 2, 4 ... of each value."""
    bits = values & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        bits = (bits | (bits >> shift)) & mask
    return bits


# columns of neighbours() beyond each side: x is the in-cell coordinate towards NE, y towards NW
_S, _SE, _E, _SW, _NE, _W, _NW, _N = 0, 1, 2, 3, 5, 6, 7, 8


def _touched(
    cells: Cells, dx: Floats, dy: Floats, valid: NDArray[np.bool_], radii: Floats, order: int
) -> tuple[NDArray[np.int64], Cells, NDArray[np.int64]]:
    """(rows, cells) of circles smaller than a cell, and the rows of the larger ones."""
    # how far, in cell sides, a circle can reach: over nothing, over the sides next to its centre, or beyond
    reach = (np.radians(radii) + _SLACK) * (STEEPNESS * (1 << order))
    small = valid & (reach < 1.0)
    large = np.flatnonzero(valid & ~small)
    low_x, high_x = dx < reach, dx > 1.0 - reach
    low_y, high_y = dy < reach, dy > 1.0 - reach
    edge = np.flatnonzero(small & (low_x | high_x | low_y | high_y))
    own_rows = np.arange(len(cells)) if small.all() else np.flatnonzero(small)
    own = cells[own_rows]
    if len(edge) == 0:
        return own_rows, own, large
    around = neighbours(order, cells[edge])
    lx, hx, ly, hy = low_x[edge], high_x[edge], low_y[edge], high_y[edge]
    wanted = np.zeros((len(edge), 9), np.bool_)
    wanted[:, _SW], wanted[:, _NE], wanted[:, _SE], wanted[:, _NW] = lx, hx, ly, hy
    wanted[:, _S], wanted[:, _E], wanted[:, _W], wanted[:, _N] = lx & ly, hx & ly, lx & hy, hx & hy
    # The in-cell coordinates go on smoothly within a base cell only: at its border a neighbour's axes may be turned,
    # and a step sideways along the border is a step away from it. There, take all that is around.
    inside = cells[edge] & ((1 << (2 * order)) - 1)
    ix, iy = _even_bits(inside), _even_bits(inside >> 1)
    last = (1 << order) - 1
    wanted[(ix == 0) | (iy == 0) | (ix == last) | (iy == last)] = True
    wanted[:, 4] = False
    wanted &= around >= 0
    picked_rows, picked_columns = np.nonzero(wanted)
    rows = np.concatenate([own_rows, edge[picked_rows]])
    found = np.concatenate([own, around[picked_rows, picked_columns]])
    sequence = np.argsort(rows, kind="stable")
    return rows[sequence], found[sequence], large


def _with_large(
    rows: NDArray[np.int64],
    cells: Cells,
    large: NDArray[np.int64],
    lon: Floats,
    lat: Floats,
    radii: Floats,
    order: int,
) -> tuple[NDArray[np.int64], Cells]:
    """Add the cells of circles larger than a cell, one by one."""
    all_rows, all_cells = [rows], [cells]
    for row in large.tolist():
        covered = cone_cells(float(lon[row]), float(lat[row]), float(radii[row]), order)
        all_cells.append(covered)
        all_rows.append(np.full(len(covered), row))
    merged = np.concatenate(all_rows)
    sequence = np.argsort(merged, kind="stable")
    return merged[sequence], np.concatenate(all_cells)[sequence]


def cone_cells(lon: float, lat: float, radius: float, order: int) -> Cells:
    """All cells of one ``order`` that a circle touches (and a few beside it), sorted. Cost grows with their number.

    Begins with the few cells wider than the circle that it can reach, and divides them, dropping those whose centre
    is too far away. (cdshealpix and mocpy have a cone search; in one cone of some hundreds near the poles it misses
    a cell, and beyond 145 degrees many.)
    """
    check_order(order)
    if radius >= 180.0:
        return np.arange(12 << (2 * order))
    angle = math.radians(radius) + _SLACK
    at, cells = _cells_around(lon, lat, angle, order)
    if at == order:
        return np.sort(cells)
    centre = unit_vectors(lon % 360.0, lat)
    while at < order:
        step = min(3, order - at)
        cells = ((cells << (2 * step))[:, None] + np.arange(1 << (2 * step))).ravel()
        at += step
        apart = center_vectors(at, cells) - centre
        reach = min(angle + float(largest_cell_radius(at)), math.pi)
        cells = cells[dot(apart, apart) <= 4.0 * math.sin(reach / 2.0) ** 2]
    return np.sort(cells)


def start_order(radius: float) -> int:
    """The deepest order whose cells a circle (degrees) is smaller than, so that it touches nine at most; 0 for all."""
    reach = math.radians(radius) * STEEPNESS
    return MAX_ORDER if reach < 2.0**-MAX_ORDER else max(0, math.floor(-math.log2(reach) - 1e-9))


def _cells_around(lon: float, lat: float, angle: float, deepest: int) -> tuple[int, Cells]:
    """An order, ``deepest`` at most, and its cells that a circle (radians) can touch: nine at most, or all twelve."""
    reach = angle * STEEPNESS
    order = min(deepest, max(0, math.floor(-math.log2(reach) - 1e-9)))
    reach *= 1 << order
    if reach >= 1.0:
        return order, np.arange(12)
    base, u, v = _base_place(lon, lat)
    side = 1 << order
    ix, iy = min(int(u * side), side - 1), min(int(v * side), side - 1)
    dx, dy = u * side - ix, v * side - iy
    if 0 < ix < side - 1 and 0 < iy < side - 1:
        columns = [ix + step for step, near in ((-1, dx <= reach), (0, True), (1, dx >= 1.0 - reach)) if near]
        rows = [iy + step for step, near in ((-1, dy <= reach), (0, True), (1, dy >= 1.0 - reach)) if near]
        own = base << (2 * order)
        return order, np.array([own + _spread_bits(x) + (_spread_bits(y) << 1) for x in columns for y in rows])
    # at the border of a base cell, whose neighbours have other axes: take all that is around
    own = (base << (2 * order)) + _spread_bits(ix) + (_spread_bits(iy) << 1)
    around = neighbours(order, np.array([own]))[0]
    return order, around[around >= 0]


def _base_place(lon: float, lat: float) -> tuple[int, float, float]:
    """The base cell of a position and its place in it, 0 to 1 eastward and westward from the southern corner."""
    x = (lon % 360.0) / 45.0
    facet = min(int(x / 2.0), 3)
    # 3 (1 - |sin lat|) from half the polar distance, which keeps its digits beside the pole
    sigma = math.sqrt(6.0) * math.sin(math.radians(90.0 - abs(lat)) / 2.0)
    if sigma < 1.0:
        x = 2 * facet + 1 + (x - (2 * facet + 1)) * sigma
        y = math.copysign(2.0 - sigma, lat)
    else:
        y = 1.5 * math.sin(math.radians(lat))
    east, west = x - (2 * facet + 1), (2 * facet + 1) - x
    if east + y >= 0.0 and west + y >= 0.0:
        return facet, (east + y) / 2.0, (west + y) / 2.0
    if east + y <= 0.0 and west + y <= 0.0:
        return 8 + facet, (east + y + 2.0) / 2.0, (west + y + 2.0) / 2.0
    column = round(x / 2.0)
    east = x - 2 * column
    return 4 + column % 4, (east + y + 1.0) / 2.0, (y - east + 1.0) / 2.0


def _spread_bits(value: int) -> int:
    """Bit i of the value at bit 2 i."""
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        value = (value | (value << shift)) & mask
    return value
