"""The picture of a coverage: its outline encloses exactly the covered sky, and it stays small."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.model.region import Moc
from skyvault.serve.page_sky import (
    HALF_HEIGHT,
    HALF_WIDTH,
    SKY_DEG2,
    cells_of,
    graticule,
    outline,
    projected,
    sky_picture,
)

FULL_MAP = math.pi * HALF_WIDTH * HALF_HEIGHT


def numbers(path: str) -> list[list[tuple[int, int]]]:
    """The loops of path data as absolute points."""
    loops = []
    for loop in filter(None, path.split("M")):
        head, _, steps = loop.rstrip("z").partition("l")
        x, y = map(int, head.removesuffix("h1").split())
        points = [(x, y)]
        values = list(map(int, steps.split()))
        for dx, dy in zip(values[::2], values[1::2], strict=True):
            points.append((points[-1][0] + dx, points[-1][1] + dy))
        loops.append(points)
    return loops


def enclosed(loops: list[list[tuple[int, int]]]) -> float:
    """The area of closed loops, holes being turned the other way."""
    total = 0.0
    for loop in loops:
        total += sum(a * d - b * c for (a, b), (c, d) in zip(loop, loop[1:] + loop[:1], strict=True)) / 2
    return abs(total)


def test_the_whole_sky_fills_the_map() -> None:
    picture = sky_picture("0/0-11")
    assert picture is not None and picture.fraction == 1.0
    assert picture.area_deg2 == pytest.approx(SKY_DEG2) == pytest.approx(41252.96, abs=0.01)
    assert enclosed(numbers(picture.path)) == pytest.approx(FULL_MAP, rel=2e-3)
    assert len(picture.path) < 4000


@pytest.mark.parametrize("text", ["0/0", "0/4", "0/6", "0/8", "0/11", "1/0", "2/64-70", "3/0-100", "5/0-5000", "0/1 2"])
def test_an_outline_encloses_the_share_of_the_map_that_is_covered(text: str) -> None:
    # the projection keeps areas, and a hole counts as one
    picture = sky_picture(text, most_edges=100_000)
    assert picture is not None
    assert enclosed(numbers(picture.path)) == pytest.approx(picture.fraction * FULL_MAP, rel=2e-2)


@given(st.sets(st.integers(0, 12 * 4**3 - 1), min_size=1, max_size=768))
def test_any_coverage_is_drawn_with_its_area(cells: set[int]) -> None:
    moc = Moc.from_cells([(3, cell, cell) for cell in cells])
    picture = sky_picture(str(moc), most_edges=100_000)
    assert picture is not None
    assert enclosed(numbers(picture.path)) == pytest.approx(picture.fraction * FULL_MAP, rel=3e-2)


@given(st.sets(st.integers(0, 12 * 4**2 - 1), min_size=1, max_size=100))
def test_outlines_are_closed(cells: set[int]) -> None:
    _, _, edges = outline(np.array(sorted(cells)), 2)
    assert np.array_equal(np.sort(edges[:, 0]), np.sort(edges[:, 1]))


def test_a_hole_is_not_covered() -> None:
    ring = Moc.from_cells([(0, 4, 4), (0, 5, 5), (0, 7, 7), (1, 24, 26)])
    assert 27 not in cells_of(ring, 1)
    picture = sky_picture(str(ring))
    assert picture is not None
    assert enclosed(numbers(picture.path)) == pytest.approx(picture.fraction * FULL_MAP, rel=1e-2)


def test_a_small_field_is_drawn_and_ringed() -> None:
    picture = sky_picture("8/400000")
    assert picture is not None and picture.spot is not None
    x, y = picture.spot
    loop = numbers(picture.path)[0]
    assert abs(loop[0][0] - x) < 30 and abs(loop[0][1] - y) < 30


def test_scattered_fields_are_dots_and_not_merged_into_a_survey() -> None:
    cells = np.random.default_rng(3).choice(12 * 4**6, 2500, replace=False)
    picture = sky_picture("6/" + " ".join(map(str, np.sort(cells))))
    assert picture is not None and picture.dot is not None and picture.path.count("h0") > 2000
    assert len(picture.path) < 40_000


def test_a_ragged_coverage_is_drawn_coarser_and_not_larger() -> None:
    cells = np.random.default_rng(3).choice(12 * 4**6, 12 * 4**6 // 2, replace=False)
    text = "6/" + " ".join(map(str, np.sort(cells)))
    picture = sky_picture(text, most_edges=500)
    assert picture is not None and len(picture.path) < 6000
    assert picture.fraction == pytest.approx(0.5)


@pytest.mark.parametrize("text", [None, "", "nonsense", "4/", "99/1", "0/12", "0/" + "9" * 30])
def test_what_is_no_coverage_has_no_picture(text: str | None) -> None:
    assert sky_picture(text) is None


def test_east_is_left_and_north_is_up() -> None:
    x, y = projected(np.array([10.0, -10.0, 0.0]), np.array([0.0, 0.0, 10.0]))
    assert x[0] < 0 < x[1] and y[2] < 0


def test_the_galactic_plane_passes_the_galactic_centre() -> None:
    lon, lat = 266.405 - 360, -28.936
    x, y = projected(np.array([lon]), np.array([lat]))
    points = np.array(
        [tuple(map(int, pair.split())) for piece in graticule().galactic.split("M")[1:] for pair in _pairs(piece)]
    )
    assert np.hypot(points[:, 0] - x[0], points[:, 1] - y[0]).min() < 15


def _pairs(piece: str) -> list[str]:
    values = piece.replace("L", " ").split()
    return [f"{a} {b}" for a, b in zip(values[::2], values[1::2], strict=True)]
