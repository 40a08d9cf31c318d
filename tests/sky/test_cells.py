"""HEALPix cells of positions, and the cells of circles: a cell too many is allowed, a cell too few never."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.sky.cells import (
    CELL_WIDTH,
    NO_CELL,
    cell_centers,
    cell_of,
    center_vectors,
    children,
    cone_cells,
    healpix_29,
    join_order,
    largest_cell_radius,
    outline_vectors,
    parents,
    touched_cells,
    touched_cells_of,
)
from skyvault.sky.vectors import angle_between, coordinates, cross, normalised, unit_vectors

#: the border of the polar caps, where HEALPix changes its projection
TRANSITION = math.degrees(math.asin(2 / 3))


@st.composite
def hard_places(draw: st.DrawFn) -> tuple[float, float]:
    """Anywhere, and often where cells are odd: poles, borders of base cells and of the polar caps, RA 0."""
    kind = draw(st.integers(0, 4))
    near = draw(st.floats(-1, 1)) * 10.0 ** draw(st.integers(-9, 0))
    if kind == 0:
        return draw(st.floats(0, 360)), math.degrees(math.asin(draw(st.floats(-1, 1))))
    if kind == 1:
        return draw(st.floats(0, 360)), math.copysign(90 - abs(near), draw(st.sampled_from([1, -1])))
    if kind == 2:
        return draw(st.sampled_from([0.0, 45.0, 90.0, 180.0, 225.0, 315.0])) + near, draw(st.floats(-90, 90))
    if kind == 3:
        return draw(st.floats(0, 360)), math.copysign(TRANSITION, draw(st.sampled_from([1, -1]))) + near
    return draw(st.sampled_from([0.0, 45.0, 135.0, 180.0, 270.0])) + near, near / 2


def within(lon: float, lat: float, radius: float, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Places within a circle, half of them on its rim."""
    rng = np.random.default_rng(7)
    centre = unit_vectors(lon, lat)
    aside = normalised(cross(np.broadcast_to(centre, (count, 3)), rng.normal(size=(count, 3))))
    depth = np.where(np.arange(count) % 2, 1.0, np.sqrt(rng.uniform(size=count))) * math.radians(radius)
    places = centre * np.cos(depth)[:, None] + aside * np.sin(depth)[:, None]
    return coordinates(places)


def test_cells_are_those_of_the_udf_catalogue() -> None:
    # UDF catalogue 1.2, ivo_healpix_index and ivo_healpix_center
    assert cell_of(0, 1, 1).tolist() == [4]
    assert cell_of(17, [1, 359], [1, -1]).tolist() == [81609757711, 73009064944]
    assert [float(a[0]) for a in cell_centers(0, [6])] == [180.0, 0.0]


def test_what_is_no_place_has_no_cell() -> None:
    cells = healpix_29([0, np.nan, 0, np.inf, 10], [90, 0, np.nan, 0, -90.1])
    assert (cells == NO_CELL).tolist() == [False, True, True, True, True]
    assert np.isnan(cell_centers(3, [-1, 768])[0]).all()


def test_longitudes_beyond_a_turn_are_reduced() -> None:
    assert (healpix_29([370, -350, 10 + 360e6], [5, 5, 5]) == healpix_29([10], [5])).all()


@pytest.mark.parametrize("order", [-1, 30])
def test_an_order_beyond_0_to_29_is_refused(order: int) -> None:
    with pytest.raises(ParameterError):
        cell_of(order, 1, 1)


@given(st.integers(0, 29), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_a_centre_lies_in_its_cell_and_the_cell_within_its_radius(order: int, fractions: list[float]) -> None:
    cells = np.array([int(f * (12 << (2 * order))) for f in fractions])
    lon, lat = cell_centers(order, cells)
    assert (cell_of(order, lon, lat) == cells).all()
    assert angle_between(center_vectors(order, cells), unit_vectors(lon, lat)).max() < 4e-15
    outline = outline_vectors(order, cells, 5)
    assert angle_between(outline, center_vectors(order, cells)[:, None, :]).max() <= largest_cell_radius(order)
    # a place drawn a hair inwards from the outline belongs to the cell
    inner = normalised(outline * 0.99 + center_vectors(order, cells)[:, None, :] * 0.01)
    if order < 24:
        found = cell_of(order, *(a.ravel() for a in coordinates(inner)))
        assert (found == np.repeat(cells, 20)).all()


@given(st.integers(0, 28), st.integers(0, 10**9))
def test_children_lie_in_their_parent(order: int, number: int) -> None:
    cell = np.array([number % (12 << (2 * order))])
    assert (parents(children(cell), order + 1, order) == cell).all()
    assert (cell_of(order, *cell_centers(order + 1, children(cell)[0])) == cell).all()


@given(
    st.lists(hard_places(), min_size=1, max_size=5),
    st.integers(0, 20),
    st.sampled_from([1e-4, 0.01, 0.06, 0.3, 0.66, 2]),
)
def test_no_cell_that_a_circle_touches_is_missed(places: list[tuple[float, float]], order: int, share: float) -> None:
    radius = min(share * CELL_WIDTH / (1 << order), 170.0)
    lon, lat = np.array(places).T
    stored = healpix_29(lon, lat)
    for rows, cells in (
        touched_cells(lon, lat, radius, order),
        touched_cells_of(stored, unit_vectors(lon, lat), radius, order),
    ):
        assert (np.diff(rows) >= 0).all()
        assert len(set(zip(rows.tolist(), cells.tolist(), strict=True))) == len(rows)
        for row in range(len(lon)):
            assert set(cell_of(order, *within(lon[row], lat[row], radius))) <= set(cells[rows == row])


@given(hard_places(), st.integers(0, 12), st.sampled_from([0.5, 1, 2, 5, 9]))
def test_a_cone_misses_no_cell(place: tuple[float, float], order: int, share: float) -> None:
    radius = min(share * CELL_WIDTH / (1 << order), 180.0)
    cells = cone_cells(*place, radius, order)
    assert (np.diff(cells) > 0).all()
    assert set(cell_of(order, *within(*place, radius, 400))) <= set(cells)


@pytest.mark.parametrize("radius", [0.0, 30.0, 100.0, 150.0, 170.0, 179.9, 180.0])
def test_wide_cones_hold_all_places_within(radius: float) -> None:
    rng = np.random.default_rng(1)
    places = normalised(rng.normal(size=(3000, 3)))
    for lon, lat in ((0.0, 90.0), (10.0, -90.0), (45.0, 0.0), (200.0, 41.8), (0.0, 0.0)):
        inside = angle_between(places, unit_vectors(lon, lat)) <= math.radians(radius)
        for order in (0, 3):
            assert np.isin(cell_of(order, *coordinates(places[inside])), cone_cells(lon, lat, radius, order)).all()


def test_rows_without_a_circle_touch_nothing() -> None:
    lon, lat = np.array([0.0, np.nan, 5.0, 6.0, 7.0]), np.array([0.0, 0.0, 91.0, 0.0, 0.0])
    rows, _ = touched_cells(lon, lat, np.array([0.1, 0.1, 0.1, -1.0, np.nan]), 5)
    assert set(rows.tolist()) == {0}


def test_cells_of_a_join_are_several_times_wider_than_its_radius() -> None:
    for radius in (1e-6, 1 / 3600, 10 / 3600, 0.1, 1.0):
        assert CELL_WIDTH / (1 << join_order(radius)) >= min(16 * radius, CELL_WIDTH)
    assert (join_order(0.0), join_order(170.0)) == (18, 0)


@pytest.mark.shared
def test_stars_within_arcseconds_touch_few_cells(shared_data: Path) -> None:
    stars = pq.read_table(shared_data / "stars" / "tycho2.parquet", columns=["ra", "dec"]).slice(0, 300_000)
    ra, dec = stars["ra"].to_numpy(), stars["dec"].to_numpy()
    rows, cells = touched_cells(ra, dec, 10 / 3600, join_order(10 / 3600))
    assert len(rows) < 1.5 * len(ra)
    assert (np.unique(rows) == np.arange(len(ra))).all()
    own = cell_of(join_order(10 / 3600), ra, dec)
    assert (cells[np.searchsorted(rows, np.arange(len(ra)))] == own).all()
