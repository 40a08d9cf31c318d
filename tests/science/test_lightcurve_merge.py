"""The merge of split light curves does, row by row, what its rule says."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.science.lightcurve_merge import SplitCurve, exposure_numbers, merge_rows


class Row(NamedTuple):
    time: float
    exposure: int
    magnitude: float
    sigma: float
    is_accepted: bool


def curve(rows: list[Row]) -> SplitCurve:
    magnitude = np.array([row.magnitude for row in rows], dtype=float)
    return SplitCurve(
        time=np.array([row.time for row in rows], dtype=float),
        exposure=np.array([row.exposure for row in rows], dtype=np.int64),
        magnitude=magnitude,
        uncertainty=np.array([row.sigma for row in rows], dtype=float),
        is_hit=np.isfinite(magnitude) & np.array([row.is_accepted for row in rows], dtype=bool),
    )


def by_the_rule(curves: list[list[Row]]) -> list[tuple[int, int, int]]:
    """The rule, one row after the other: (curve, row, hits) in the order of time."""
    hits: dict[int, list[tuple[int, int]]] = {}
    for number, rows in enumerate(curves):
        for place, row in enumerate(rows):
            if math.isfinite(row.magnitude) and row.is_accepted:
                hits.setdefault(row.exposure, []).append((number, place))

    def cell(where: tuple[int, int]) -> Row:
        return curves[where[0]][where[1]]

    single = [cell(found[0]) for found in hits.values() if len(found) == 1]
    weighed = [row for row in single if math.isfinite(row.sigma) and row.sigma > 0]
    if weighed:
        mean = sum(row.magnitude / row.sigma**2 for row in weighed) / sum(1 / row.sigma**2 for row in weighed)
    elif single:
        mean = sum(row.magnitude for row in single) / len(single)
    elif hits:
        mean = float(np.median([cell(where).magnitude for found in hits.values() for where in found]))
    else:
        mean = math.nan
    chosen = []
    for found in hits.values():
        best = min(found, key=lambda where: (round(abs(cell(where).magnitude - mean), 9), where))
        chosen.append((*best, len(found)))
    seen: set[int] = set()
    for place, row in enumerate(curves[0]):
        if row.exposure not in hits and row.exposure not in seen:
            seen.add(row.exposure)
            chosen.append((0, place, 0))
    return sorted(chosen, key=lambda row: (curves[row[0]][row[1]].time, row[0], row[1]))


#: magnitudes and times of few values, so that equals occur
rows = st.builds(
    Row,
    time=st.integers(0, 12).map(float),
    exposure=st.integers(0, 15),
    magnitude=st.one_of(st.just(math.nan), st.integers(0, 5).map(lambda n: 9.0 + n / 8)),
    sigma=st.sampled_from([math.nan, 0.0, 0.125, 0.25]),
    is_accepted=st.booleans(),
)


@given(st.lists(st.lists(rows, max_size=12), min_size=1, max_size=4))
def test_any_light_curves_merge_by_the_rule(curves: list[list[Row]]) -> None:
    merged = merge_rows([curve(one) for one in curves])
    wanted = by_the_rule(curves)
    found = list(zip(merged.curve.tolist(), merged.row.tolist(), merged.n_hits.tolist(), strict=True))
    distance = [abs(curves[c][r].magnitude - merged.mean_magnitude) for c, r, _ in found]
    distance_wanted = [abs(curves[c][r].magnitude - merged.mean_magnitude) for c, r, _ in wanted]
    # rounding may break a tie of two magnitudes on both sides of the mean either way
    for one, other, mine, theirs in zip(found, wanted, distance, distance_wanted, strict=True):
        assert one == other or mine == pytest.approx(theirs, abs=1e-9)


def test_one_row_for_each_exposure_in_the_order_of_time() -> None:
    first = [Row(3.0, 1, math.nan, math.nan, True), Row(1.0, 2, 9.0, 0.1, True), Row(3.0, 1, math.nan, math.nan, True)]
    second = [Row(2.0, 7, 9.1, 0.1, True), Row(1.0, 2, 9.5, 0.1, True), Row(5.0, 8, math.nan, math.nan, True)]
    merged = merge_rows([curve(first), curve(second)])
    # exposure 8 is in the second curve only and has no hit: it is left out
    assert list(zip(merged.curve, merged.row, merged.n_hits, strict=True)) == [(0, 1, 2), (1, 0, 1), (0, 0, 0)]
    assert merged.mean_magnitude == pytest.approx(9.1)
    assert merged.n_in_mean == 1


def test_a_rejected_detection_counts_as_none_but_its_row_stays() -> None:
    merged = merge_rows([curve([Row(1.0, 1, 9.0, 0.1, False)]), curve([])])
    assert merged.n_hits.tolist() == [0]
    assert math.isnan(merged.mean_magnitude)


def test_no_light_curve_is_refused() -> None:
    with pytest.raises(ParameterError, match="no light curve"):
        merge_rows([])


def test_unlinked_exposures_are_told_apart_by_plate_mosaic_and_solution() -> None:
    first, second = exposure_numbers(
        [np.array([4, -1, -1]), np.array([-1, -1, 4])],
        [np.array(["a", "ac", "b"]), np.array(["b", "ac", "x"])],
        [np.array([1, 7, 7]), np.array([7, 7, 1])],
        [np.array([0, 0, 0]), np.array([0, 1, 0])],
        [np.array([0, 0, 0]), np.array([0, 0, 0])],
    )
    assert first[0] == second[2] == 4
    assert first[2] == second[0] < -1
    assert len({int(first[1]), int(first[2]), int(second[1])}) == 3
