"""Coverages hold what their cells hold."""

from __future__ import annotations

import numpy as np
import pytest

from skyvault.errors import LimitError
from skyvault.model.region import Circle, Moc, Polygon, Union
from skyvault.sky.area import area
from skyvault.sky.cells import cell_centers
from skyvault.sky.coverage import as_moc
from skyvault.sky.predicates import points_in_region, points_in_shapes, region_contains, region_intersects
from skyvault.sky.region_text import parse_region
from skyvault.sky.shapes import Shapes

SQUARE = Polygon(((10, 10), (20, 10), (20, 20), (10, 20)))


def test_a_point_is_in_a_moc_exactly_if_its_cell_is() -> None:
    moc = Moc.from_text("3/100-110 5/20 29/12345")
    for order, cells, expected in (
        (3, range(100, 111), True),
        (5, [20], True),
        (3, [99, 111], False),
        (5, [21], False),
    ):
        lon, lat = cell_centers(order, list(cells))
        assert (points_in_region(lon, lat, moc) == expected).all()
        assert (points_in_shapes(lon, lat, Shapes.from_regions([moc] * len(lon))) == expected).all()


@pytest.mark.parametrize("region", [SQUARE, Circle(0, 90, 5), parse_region("RANGE 350 10 -5 5"), Circle(200, 0, 100)])
def test_a_region_lies_in_its_own_coverage(region: Polygon) -> None:
    order = 6
    moc = as_moc(region, order)
    assert region_contains(moc, region)
    assert region_intersects(moc, region)
    assert not region_contains(region, moc)
    assert area(region) < area(moc) < area(region) * 1.5
    with pytest.raises(LimitError):
        as_moc(region, 20)


def test_coverages_and_circles_know_what_they_hold() -> None:
    moc = as_moc(Circle(10, 20, 3), 9)
    assert region_contains(moc, Circle(10, 20, 2.99))
    assert not region_contains(moc, Circle(10, 20, 3.4))
    assert region_contains(Circle(10, 20, 3.4), moc)
    assert not region_contains(Circle(10, 20, 2.9), moc)
    assert region_intersects(moc, Circle(16, 20, 3))
    assert not region_intersects(moc, Circle(18, 20, 3))
    assert region_contains(Circle(0, 0, 180), moc)
    assert not region_contains(moc, Circle(0, 0, 180))


def test_coverages_compare_as_sets_of_cells() -> None:
    whole, part, other = Moc.from_text("3/100-110"), Moc.from_text("4/404 5/1640"), Moc.from_text("3/111")
    assert region_contains(whole, part) and not region_contains(part, whole)
    assert region_intersects(whole, part) and not region_intersects(whole, other)
    assert region_contains(whole, whole)
    assert Union((whole, other)).regions == (whole, other)


def test_a_union_of_a_coverage_and_a_circle_is_covered() -> None:
    union = Union((Moc.from_text("3/100"), Circle(10, 20, 3)))
    moc = as_moc(union)
    assert region_contains(moc, Circle(10, 20, 3))
    lon, lat = cell_centers(3, [100])
    assert points_in_region(np.append(lon, 10), np.append(lat, 20), moc).all()
