"""Functions of the sky inside DuckDB: HEALPix cells, regions, epochs, frames, sexagesimal angles.

Each takes and returns whole Arrow columns (DuckDB hands over 2,048 rows at a time), never one row. NULL in gives NULL
out; so does what is no place, no region, no angle. No function raises for the data it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import SkyvaultError
from skyvault.model.region import MAX_ORDER
from skyvault.sky import frames
from skyvault.sky.area import areas, centroids
from skyvault.sky.cells import cell_centers, cell_of, touched_cells, touched_cells_of
from skyvault.sky.footprint_test import footprint_test, unit_vector
from skyvault.sky.points import RegionTest, points_in_shapes
from skyvault.sky.predicates import contains, intersects
from skyvault.sky.region_text import box_corners, format_region
from skyvault.sky.shape_text import shapes_of_texts
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
    encode,
    spread,
)
from skyvault.sky.vectors import coordinates

if TYPE_CHECKING:
    import duckdb

#: what DuckDB hands over: one chunk of a column
Column: TypeAlias = pa.ChunkedArray


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the functions to a connection (and so to all its cursors). Costs some 0.3 ms a function."""
    for name, (function, arguments, result) in FUNCTIONS.items():
        connection.create_function(
            name, function, list(arguments), result, type="arrow", null_handling="special", side_effects=False
        )


# ---------------------------------------------------------------- columns in and out


def _whole(column: Column) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _floats(column: Column) -> Floats:
    """Numbers of a DOUBLE column; NULL as NaN."""
    return np.asarray(_whole(column).to_numpy(zero_copy_only=False), np.float64)


def _integers(column: Column) -> tuple[Indices, Booleans]:
    """Numbers of an integer column and where they are not NULL (there they are 0)."""
    array = _whole(column)
    if array.null_count == 0:
        return np.asarray(array.to_numpy(zero_copy_only=False), np.int64), np.ones(len(array), np.bool_)
    filled = array.fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(filled, np.int64), np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _null_where(values: Any, is_null: Booleans) -> pa.Array:
    return pa.array(values, mask=is_null) if is_null.any() else pa.array(values)


def _lists(values: Floats | Indices, offsets: Indices, is_null: Booleans) -> pa.ListArray:
    mask = pa.array(is_null) if is_null.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values), mask=mask)


def _rows_as_lists(table: Floats, is_null: Booleans) -> pa.ListArray:
    """A list of the same length a row, from an (n, k) array."""
    rows, size = table.shape
    return _lists(np.ascontiguousarray(table).ravel(), np.arange(rows + 1) * size, is_null)


# ---------------------------------------------------------------- cells


def sv_healpix(order: Column, lon: Column, lat: Column) -> pa.Array:
    """The nested cell of an order (0 to 29) that holds a position (UDF catalogue 1.2, ivo_healpix_index)."""
    orders, valid = _integers(order)
    lons, lats = _floats(lon), _floats(lat)
    valid &= (orders >= 0) & (orders <= MAX_ORDER)
    cells = np.full(len(orders), -1)
    for one in np.unique(orders[valid]).tolist():
        rows = valid & (orders == one)
        if rows.all():
            cells = cell_of(one, lons, lats)
        else:
            cells[rows] = cell_of(one, lons[rows], lats[rows])
    return _null_where(cells, cells < 0)


def sv_healpix_center(order: Column, pix: Column) -> pa.Array:
    """[lon, lat] of the centre of a nested cell (UDF catalogue 1.2, ivo_healpix_center)."""
    (orders, valid), (cells, has_cell) = _integers(order), _integers(pix)
    valid &= has_cell & (orders >= 0) & (orders <= MAX_ORDER)
    centres = np.full((len(orders), 2), np.nan)
    for one in np.unique(orders[valid]).tolist():
        rows = np.flatnonzero(valid & (orders == one))
        centres[rows, 0], centres[rows, 1] = cell_centers(one, cells[rows])
    return _rows_as_lists(centres, np.isnan(centres[:, 0]))


def _pairs_as_lists(rows: Indices, cells: Indices, count: int, is_null: Booleans) -> pa.ListArray:
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=count), out=offsets[1:])
    return _lists(cells, offsets, is_null)


def _by_order(
    orders: Indices, valid: Booleans, touched: Callable[[Indices, int], tuple[Indices, Indices]]
) -> pa.ListArray:
    """Lists of cells, worked out for the rows of each order at a time (all of one order, nearly always)."""
    all_rows, all_cells = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for one in np.unique(orders[valid]).tolist():
        rows = np.flatnonzero(valid & (orders == one))
        own, cells = touched(rows, one)
        all_rows.append(rows[own])
        all_cells.append(cells)
    row, cell = np.concatenate(all_rows), np.concatenate(all_cells)
    if len(all_rows) > 2:
        sequence = np.argsort(row, kind="stable")
        row, cell = row[sequence], cell[sequence]
    return _pairs_as_lists(row, cell, len(orders), ~valid)


def sv_cells(lon: Column, lat: Column, radius: Column, order: Column) -> pa.Array:
    """All cells of ``order`` that a circle touches (and a few beside it). NULL where there is no circle."""
    lons, lats, radii = _floats(lon), _floats(lat), _floats(radius)
    orders, valid = _integers(order)
    valid &= (orders >= 0) & (orders <= MAX_ORDER) & np.isfinite(lons) & (np.abs(lats) <= 90.0) & (radii >= 0.0)
    return _by_order(orders, valid, lambda rows, one: touched_cells(lons[rows], lats[rows], radii[rows], one))


def sv_cells_of(healpix_29: Column, x: Column, y: Column, z: Column, radius: Column, order: Column) -> pa.Array:
    """The same from stored cells of order 29 and unit vectors."""
    cells, valid = _integers(healpix_29)
    vectors = np.stack([_floats(x), _floats(y), _floats(z)], axis=1)
    radii = _floats(radius)
    orders, has_order = _integers(order)
    valid &= has_order & (orders >= 0) & (orders <= MAX_ORDER) & (cells >= 0) & (radii >= 0.0)
    return _by_order(orders, valid, lambda rows, one: touched_cells_of(cells[rows], vectors[rows], radii[rows], one))


# ---------------------------------------------------------------- regions


def sv_shape(text: Column) -> pa.Array:
    """The shape array of a region's text, in any spelling; NULL where it cannot be read."""
    return shapes_of_texts(_whole(text)).to_arrow()


def sv_format_shape(shape: Column) -> pa.Array:
    """A region as text: "CIRCLE ICRS 10.0 20.0 0.5"."""
    shapes = Shapes.from_arrow(shape)
    numbers = shapes.values.tolist()
    rows = zip(shapes.offsets[:-1].tolist(), shapes.offsets[1:].tolist(), shapes.valid.tolist(), strict=True)
    return pa.array([_format(numbers[start:end]) if valid else None for start, end, valid in rows], pa.string())


def _format(numbers: list[float]) -> str | None:
    # polygons and circles alone, as nearly all are, need not become regions first
    if numbers[0] == POLYGON and len(numbers) == 2 + 2 * numbers[1] and _are_longitudes(numbers[2::2]):
        return "POLYGON ICRS " + " ".join(map(repr, numbers[2:]))
    if numbers[0] == CIRCLE and len(numbers) == 4 and _are_longitudes(numbers[1:2]):
        return "CIRCLE ICRS " + " ".join(map(repr, numbers[1:]))
    try:
        return format_region(decode(numbers))
    except SkyvaultError:
        return None


def _are_longitudes(numbers: list[float]) -> bool:
    return min(numbers) >= 0.0 and max(numbers) < 360.0


def sv_contains(outer: Column, inner: Column) -> pa.Array:
    """Whether the first region holds the whole of the second (note the sequence)."""
    a, b = Shapes.from_arrow(outer), Shapes.from_arrow(inner)
    return _null_where(contains(a, b), ~(a.valid & b.valid))


def sv_intersects(first: Column, second: Column) -> pa.Array:
    """Whether two regions have a point in common."""
    a, b = Shapes.from_arrow(first), Shapes.from_arrow(second)
    return _null_where(intersects(a, b), ~(a.valid & b.valid))


@lru_cache(maxsize=256)
def _test(text: str) -> RegionTest | None:
    try:
        return RegionTest(decode(np.array(text.split(","), np.float64)))
    except (SkyvaultError, ValueError):
        return None


def sv_point_in(lon: Column, lat: Column, shape: Column) -> pa.Array:
    """Whether a position lies in a constant region, given as the numbers of its shape array with commas between."""
    lons, lats = _floats(lon), _floats(lat)
    valid = np.isfinite(lons) & (np.abs(lats) <= 90.0)
    texts = _whole(shape)
    inside = np.zeros(len(lons), np.bool_)
    for text in texts.unique().to_pylist():
        test = None if text is None else _test(text)
        rows = np.asarray(pc.equal(texts, text).fill_null(False)) if len(texts.unique()) > 1 else None
        if test is None:
            valid &= False if rows is None else ~rows
        elif rows is None:
            inside = test.holds(lons, lats)
        else:
            inside[rows] = test.holds(lons[rows], lats[rows])
    return _null_where(inside, ~valid)


#: rows up to which footprints are tested one by one
FEW_ROWS = 64


def sv_region_holds(region: Column, lon: Column, lat: Column) -> pa.Array:
    """Whether a region in any text spelling holds a position; NULL where either is none."""
    texts = _whole(region)
    if len(texts) > FEW_ROWS:
        shapes = shapes_of_texts(texts)
        lons, lats = _floats(lon), _floats(lat)
        valid = shapes.valid & np.isfinite(lons) & (np.abs(lats) <= 90.0)
        return _null_where(points_in_shapes(lons, lats, shapes), ~valid)
    found: list[bool | None] = []
    for text, a, d in zip(texts.to_pylist(), _whole(lon).to_pylist(), _whole(lat).to_pylist(), strict=True):
        test = None if text is None or a is None or d is None else footprint_test(text)
        is_place = test is not None and math.isfinite(a) and abs(d) <= 90.0
        found.append(test(a, d, unit_vector(a, d)) if test is not None and is_place else None)
    return pa.array(found, pa.bool_())


def sv_moc_union(first: Column, second: Column) -> pa.Array:
    """What either of two regions covers, as a MOC."""
    return _combined(True, first, second)


def sv_moc_intersection(first: Column, second: Column) -> pa.Array:
    """What both of two regions cover, as a MOC; one of no cells where they are apart."""
    return _combined(False, first, second)


def _combined(is_union: bool, first: Column, second: Column) -> pa.Array:
    from skyvault.sky.coverage import combined

    found: list[Floats | None] = []
    for one, two in zip(first.to_pylist(), second.to_pylist(), strict=True):
        try:
            found.append(None if None in (one, two) else encode(combined(is_union, decode(one), decode(two))))
        except SkyvaultError:
            found.append(None)
    return pa.array(found, pa.list_(pa.float64()))


def sv_area(shape: Column) -> pa.Array:
    """Square degrees of a region."""
    found = areas(Shapes.from_arrow(shape))
    return _null_where(found, np.isnan(found))


def sv_centroid(shape: Column) -> pa.Array:
    """[lon, lat] of the mean direction of a region; NULL for one that has none (the whole sky)."""
    lon, lat = centroids(Shapes.from_arrow(shape))
    return _rows_as_lists(np.stack([lon, lat], axis=1), np.isnan(lon))


def sv_box(lon: Column, lat: Column, width: Column, height: Column) -> pa.Array:
    """The polygon of an ADQL BOX: half-widths along the axes at its centre, sides great circles."""
    numbers = np.stack([_floats(column) for column in (lon, lat, width, height)], axis=1)
    made = np.empty((len(numbers), 10))
    made[:, 0], made[:, 1] = POLYGON, 4
    known = _boxes(*numbers.T)
    made[:, 2::2], made[:, 3::2] = known
    return _rows_as_lists(made, np.asarray(np.isnan(made).any(axis=1)))


def _boxes(lon: Floats, lat: Floats, width: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Corners of boxes, longitudes and latitudes of shape (n, 4); NaN where there is no box."""
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(lon) & (np.abs(lat) <= 90.0) & (width > 0) & (width < 180) & (height > 0) & (height < 180)
    if valid.any() and (np.stack([lon, lat, width, height]) == np.stack([lon, lat, width, height])[:, :1]).all():
        corners = np.array(box_corners(*(float(a[0]) for a in (lon, lat, width, height))))
        return np.tile(corners[:, 0], (len(lon), 1)), np.tile(corners[:, 1], (len(lon), 1))
    a, d, east, north = (np.radians(np.where(valid, v, 1.0)) for v in (lon, lat, width / 2.0, height / 2.0))
    x = np.tan(east)[:, None] * np.array([-1.0, 1.0, 1.0, -1.0])
    y = np.tan(north)[:, None] * np.array([-1.0, -1.0, 1.0, 1.0])
    sin_a, cos_a, sin_d, cos_d = (f[:, None] for f in (np.sin(a), np.cos(a), np.sin(d), np.cos(d)))
    corner = np.stack(
        [
            cos_d * cos_a - x * sin_a - y * sin_d * cos_a,
            cos_d * sin_a + x * cos_a - y * sin_d * sin_a,
            sin_d + y * cos_d,
        ],
        axis=-1,
    )
    lons, lats = coordinates(corner)
    return np.where(valid[:, None], lons, np.nan), np.where(valid[:, None], lats, np.nan)


def sv_geom_transform(source: Column, target: Column, shape: Column) -> pa.Array:
    """A region turned from one frame into another (UDF catalogue 1.2, ivo_geom_transform).

    Points, circles and polygons keep their kind. A box turned by anything but nothing, and a MOC, which is in ICRS by
    definition, give NULL; so do unknown frames.
    """
    shapes = Shapes.from_arrow(shape)
    sources, targets = _whole(source).to_pylist(), _whole(target).to_pylist()
    values = shapes.values.copy()
    is_null = ~shapes.valid
    parts = shapes.parts
    names = np.array([f"{a}\0{b}" for a, b in zip(sources, targets, strict=True)])
    for pair in np.unique(names).tolist():
        first, _, second = pair.partition("\0")
        rows = names == pair
        if first not in frames.MATRICES or second not in frames.MATRICES:
            is_null |= rows
            continue
        if first == second:
            continue
        mine = rows[parts.row]
        is_null[parts.row[mine & ((parts.kind == BOX) | (parts.kind == MOC))]] = True
        rounds = parts.start[mine & ((parts.kind == POINT) | (parts.kind == CIRCLE))] + 1
        polygons = np.flatnonzero(mine & (parts.kind == POLYGON))
        owner, index = spread(parts.start[polygons], parts.count[polygons])
        start = parts.start[polygons][owner]
        places = np.concatenate([rounds, start + 2 + 2 * (index - start)])
        if len(places):
            turned = frames.transform_coordinates(values[places], values[places + 1], first, second)
            values[places], values[places + 1] = turned
    return _lists(values, shapes.offsets, is_null)


# ---------------------------------------------------------------- epochs and angles


def _propagated(columns: tuple[Column, ...]) -> Floats:
    numbers = [_floats(column) for column in columns]
    # a latitude beyond the pole is no place, however it would move
    numbers[1] = np.where(np.abs(numbers[1]) <= 90.0, numbers[1], np.nan)
    return np.stack(frames.propagate(*numbers), axis=1)


def sv_epoch_prop_pos(
    ra: Column, dec: Column, plx: Column, pmra: Column, pmdec: Column, rv: Column, ref: Column, out: Column
) -> pa.Array:
    """[lon, lat] of a star at another epoch (UDF catalogue 1.2, ivo_epoch_prop_pos)."""
    moved = _propagated((ra, dec, plx, pmra, pmdec, rv, ref, out))[:, :2]
    return _rows_as_lists(moved, np.asarray(np.isnan(moved).any(axis=1)))


def sv_epoch_prop(
    ra: Column, dec: Column, plx: Column, pmra: Column, pmdec: Column, rv: Column, ref: Column, out: Column
) -> pa.Array:
    """[lon, lat, parallax, pm in lon, pm in lat, rv] of a star at another epoch."""
    moved = _propagated((ra, dec, plx, pmra, pmdec, rv, ref, out))
    return _rows_as_lists(moved, np.asarray(np.isnan(moved[:, :2]).any(axis=1)))


def _angles(column: Column, parse: Callable[[str], float | None]) -> pa.Array:
    encoded = _whole(column).dictionary_encode()
    angles = pa.array([None if text is None else parse(text) for text in encoded.dictionary.to_pylist()], pa.float64())
    return angles.take(encoded.indices)


def sv_hms(text: Column) -> pa.Array:
    """Degrees of hours, minutes and seconds; NULL where there are none (UDF catalogue 1.2, ivo_hms_to_degrees)."""
    return _angles(text, frames.parse_hms)


def sv_dms(text: Column) -> pa.Array:
    """Degrees of signed degrees, minutes and seconds; NULL where there are none."""
    return _angles(text, frames.parse_dms)


_EIGHT: Final = ("DOUBLE",) * 8

#: SQL name -> function, argument types, result type
FUNCTIONS: Final[dict[str, tuple[Callable[..., pa.Array], tuple[str, ...], str]]] = {
    "sv_healpix": (sv_healpix, ("INTEGER", "DOUBLE", "DOUBLE"), "BIGINT"),
    "sv_healpix_center": (sv_healpix_center, ("INTEGER", "BIGINT"), "DOUBLE[]"),
    "sv_cells": (sv_cells, ("DOUBLE", "DOUBLE", "DOUBLE", "INTEGER"), "BIGINT[]"),
    "sv_cells_of": (sv_cells_of, ("BIGINT", "DOUBLE", "DOUBLE", "DOUBLE", "DOUBLE", "INTEGER"), "BIGINT[]"),
    "sv_shape": (sv_shape, ("VARCHAR",), "DOUBLE[]"),
    "sv_format_shape": (sv_format_shape, ("DOUBLE[]",), "VARCHAR"),
    "sv_contains": (sv_contains, ("DOUBLE[]", "DOUBLE[]"), "BOOLEAN"),
    "sv_intersects": (sv_intersects, ("DOUBLE[]", "DOUBLE[]"), "BOOLEAN"),
    "sv_region_holds": (sv_region_holds, ("VARCHAR", "DOUBLE", "DOUBLE"), "BOOLEAN"),
    "sv_point_in": (sv_point_in, ("DOUBLE", "DOUBLE", "VARCHAR"), "BOOLEAN"),
    "sv_moc_union": (sv_moc_union, ("DOUBLE[]", "DOUBLE[]"), "DOUBLE[]"),
    "sv_moc_intersection": (sv_moc_intersection, ("DOUBLE[]", "DOUBLE[]"), "DOUBLE[]"),
    "sv_area": (sv_area, ("DOUBLE[]",), "DOUBLE"),
    "sv_centroid": (sv_centroid, ("DOUBLE[]",), "DOUBLE[]"),
    "sv_box": (sv_box, ("DOUBLE", "DOUBLE", "DOUBLE", "DOUBLE"), "DOUBLE[]"),
    "sv_geom_transform": (sv_geom_transform, ("VARCHAR", "VARCHAR", "DOUBLE[]"), "DOUBLE[]"),
    "sv_epoch_prop_pos": (sv_epoch_prop_pos, _EIGHT, "DOUBLE[]"),
    "sv_epoch_prop": (sv_epoch_prop, _EIGHT, "DOUBLE[]"),
    "sv_hms": (sv_hms, ("VARCHAR",), "DOUBLE"),
    "sv_dms": (sv_dms, ("VARCHAR",), "DOUBLE"),
}
