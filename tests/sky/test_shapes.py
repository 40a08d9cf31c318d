"""Regions as flat numbers keep what they are, and damaged numbers are no region."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyvault.errors import RegionError
from skyvault.model.region import CELLS_29, Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.sky.shapes import Shapes, decode, encode

EACH: list[Region] = [
    Point(1, 2),
    Circle(1, 2, 3),
    Polygon(((1, 1), (2, 1), (2, 2))),
    Polygon(((1, 1), (2, 1), (2, 2)), is_larger_side=True),
    Box(350, 10, -5, 5),
    Moc.from_cells([(3, 5, 9), (29, CELLS_29 - 1, CELLS_29 - 1), (29, 2**55 + 1, 2**55 + 1)]),
    Union((Circle(1, 2, 3), Polygon(((1, 1), (2, 1), (2, 2))), Moc.from_text("4/13"), Point(7, 8))),
]


@pytest.mark.parametrize("region", EACH)
def test_a_shape_array_is_read_back_as_the_region_it_was(region: Region) -> None:
    assert decode(encode(region)) == region


def test_many_regions_pass_through_arrow_unchanged() -> None:
    listed = [*EACH, None, *reversed(EACH)]
    column = Shapes.from_regions(listed).to_arrow()
    assert column.is_valid().to_pylist() == [region is not None for region in listed]
    for again in (Shapes.from_arrow(column), Shapes.from_arrow(pa.chunked_array([column[:4], column[4:]]))):
        assert [again.region(i) if again.valid[i] else None for i in range(len(again))] == listed
    part = Shapes.from_arrow(column.slice(3, 6))
    assert [part.region(i) if part.valid[i] else None for i in range(6)] == listed[3:9]
    taken = part.take(np.array([1, 1, 0]))
    assert [taken.region(i) for i in range(3)] == [listed[4], listed[4], listed[3]]


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [0.0],
        [9.0, 1, 2],
        [1.5, 1, 2],
        [np.nan, 1, 2],
        [1.0, 1],
        [1.0, np.nan, 2],
        [1.0, 1, 90.1],
        [2.0, 1, 2, -1],
        [2.0, 1, 2, 181],
        [2.0, 1, 2, np.nan],
        [3.0, 2, 1, 1, 2, 2],
        [3.0, 4, 1, 1, 2, 1, 2, 2],
        [3.0, 3, 1, 1, 1, 1, 2, 2],
        [3.0, 3.5, 1, 1, 2, 1, 2, 2, 3],
        [3.0, 1e300, 1, 1],
        [3.0, 3, 0, 0, 180, 0, 90, 10],
        [3.0, 3, 0, 0, 1, 95, 90, 10],
        [4.0, 1, 2, 5, 4],
        [4.0, 1, 2, -91, 4],
        [5.0, 1, 0, 5, 0, 4],
        [5.0, 1, 0, 0, 2**31 - 1, 0],
        [5.0, 1, 0, 0.5, 0, 4],
        [2.0, 1, 2, 3, 7.0],
        [2.0, 1, 2, 3, 1.0, 5],
    ],
)
def test_damaged_numbers_are_no_region(numbers: list[float]) -> None:
    good = [2.0, 1, 2, 3]
    shapes = Shapes(np.array(good + numbers + good), np.array([0, 4, 4 + len(numbers), 8 + len(numbers)]))
    assert shapes.valid.tolist() == [True, False, True]
    assert set(shapes.parts.row.tolist()) == {0, 2}
    with pytest.raises(RegionError):
        decode(numbers)


def test_rows_that_are_all_alike_are_noticed() -> None:
    alike = Shapes.from_regions([Circle(1, 2, 3)] * 4)
    assert alike.is_constant
    assert not Shapes.from_regions([Circle(1, 2, 3)] * 4 + [Circle(1, 2, 4)]).is_constant
    assert not Shapes.from_regions([Circle(1, 2, 3), None, Circle(1, 2, 3)]).is_constant
    # equal numbers, but cut elsewhere
    assert not Shapes(np.full(8, 1.0), np.array([0, 3, 8])).is_constant
