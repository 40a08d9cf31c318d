"""A region that is wrong cannot be built, and says why."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import RegionError
from skyvault.model.region import CELLS_29, Box, Circle, Moc, Point, Polygon, Union

cells = st.integers(0, 6).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, (12 << (2 * k)) - 1)))


@pytest.mark.parametrize(("given_lon", "kept"), [(-10.0, 350.0), (360.0, 0.0), (725.0, 5.0), (-1e-30, 0.0), (0.0, 0.0)])
def test_longitudes_are_reduced_to_0_to_360(given_lon: float, kept: float) -> None:
    assert Point(given_lon, 0).lon == kept
    assert Circle(given_lon, 0, 1).lon == kept


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Point(0, 90.000001), "90.000001"),
        (lambda: Circle(0, -91, 1), "-91.0"),
        (lambda: Circle(0, 0, 180.1), "180.1"),
        (lambda: Circle(0, 0, -0.1), "-0.1"),
        (lambda: Circle(math.nan, 0, 1), "nan"),
        (lambda: Circle(0, 0, math.inf), "inf"),
        (lambda: Polygon(((0, 0), (1, 1))), "at least 3"),
        (lambda: Polygon(((0, 0), (1, 1), (1, 1), (0, 0))), "has 2"),
        (lambda: Polygon(((0, 0), (180, 0), (90, 10))), "opposite"),
        (lambda: Polygon(((0, 90), (20, -90), (90, 10))), "opposite"),
        (lambda: Box(0, 1, 2, 1), "lower must come first"),
        (lambda: Union(()), "at least one"),
        (lambda: Moc(np.array([[0, CELLS_29]])), "outside"),
        (lambda: Moc.from_text("3/768"), "do not exist"),
        (lambda: Moc.from_text("30/1"), "30"),
        (lambda: Moc.from_text("17 18"), "before any order"),
        (lambda: Moc.from_text("3/x"), "'x'"),
        (lambda: Moc.from_text("3/5-4"), "5-4"),
        (lambda: Moc.from_text('{"3": "abc"}'), "list"),
        (lambda: Moc.from_text('{"3": [1'), "JSON"),
        (lambda: Point("1 2", 3), "'1 2'"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_region_cannot_be_built(build: object, message: str) -> None:
    with pytest.raises(RegionError, match=message):
        build()  # type: ignore[operator]


def test_repeated_and_closing_vertices_are_dropped() -> None:
    closed = Polygon(((0, 0), (10, 0), (10, 0), (370, 0), (10, 10), (0, 0)))
    assert closed.vertices == ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))


def test_a_box_may_wrap_0_or_go_all_around() -> None:
    assert Box(350, 10, -1, 1).width == 20.0
    assert Box(-180, 180, -1, 1) == Box(0, 360, -1, 1) == Box(10, 500, -1, 1)
    assert Box(0, 360, -1, 1).width == 360.0
    assert Box(10, 360, 0, 1).width == 350.0
    assert Box(5, 5, 0, 1).width == 0.0


def test_unions_in_unions_are_flattened() -> None:
    a, b, c = Circle(1, 2, 3), Point(4, 5), Circle(6, 7, 8)
    assert Union((a, Union((b, c)))).regions == (a, b, c)  # type: ignore[arg-type]


@given(st.lists(cells, max_size=40))
def test_a_moc_is_the_same_whichever_way_its_cells_are_written(listed: list[tuple[int, int]]) -> None:
    moc = Moc.from_cells((order, index, index) for order, index in listed)
    assert Moc.from_text(str(moc)) == moc
    assert Moc.from_cells((order, index, index) for order, index in reversed(listed)) == moc
    assert Moc.from_cells((order, index, index) for order, index in moc.cells()) == moc
    assert hash(Moc.from_text(str(moc))) == hash(moc)
    as_json: dict[int, list[int]] = {}
    for order, index in listed:
        as_json.setdefault(order, []).append(index)
    text = "{" + ", ".join(f'"{order}": {numbers}' for order, numbers in as_json.items()) + "}"
    assert Moc.from_text(text) == moc


@given(st.lists(cells, max_size=40))
def test_the_canonical_cells_of_a_moc_are_disjoint_and_cannot_be_merged(listed: list[tuple[int, int]]) -> None:
    canonical = Moc.from_cells((order, index, index) for order, index in listed).cells()
    spans = sorted((index << (58 - 2 * order), (index + 1) << (58 - 2 * order)) for order, index in canonical)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    siblings = [(order, index >> 2) for order, index in canonical if order > 0]
    assert all(siblings.count(parent) < 4 for parent in set(siblings))


def test_a_moc_is_read_as_the_standard_writes_it() -> None:
    # MOC 2.0, section 4.3.2; an order may stand alone to tell the resolution
    moc = Moc.from_text("1/1,3,4 2/4,25,12-14,21 5/")
    assert str(moc) == "1/1 3-4 2/21 25"
    assert Moc.from_text("0/0-11").cells() == [(0, i) for i in range(12)]
    assert Moc.from_text("").cells() == []


def test_a_moc_deep_as_it_goes_keeps_every_cell() -> None:
    assert Moc.from_text(f"29/0 {CELLS_29 - 1}").cells() == [(29, 0), (29, CELLS_29 - 1)]
