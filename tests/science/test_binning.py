"""Binned light curves: weighted and robust averages, upper limits kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.science.binning import bin_edges, bin_light_curve, medians


@given(st.integers(0, 10_000), st.integers(1, 300), st.sampled_from(["weighted", "mean", "median"]))
def test_each_bin_holds_the_average_of_its_own(seed, count, statistic):
    random = np.random.default_rng(seed)
    time, value, error = random.uniform(0, 50, count), random.normal(12, 1, count), random.uniform(0.05, 0.5, count)
    bins = bin_light_curve(time, value, error, edges=bin_edges(time, 7.0, start=0.0), statistic=statistic)
    assert bins.count.sum() == count
    for row in range(len(bins)):
        mine = (time >= bins.first[row]) & (time < bins.last[row])
        expected = {
            "weighted": np.average(value[mine], weights=error[mine] ** -2),
            "mean": np.mean(value[mine]),
            "median": np.median(value[mine]),
        }[statistic]
        assert bins.value[row] == pytest.approx(expected, rel=1e-12)
        assert bins.center[row] == pytest.approx(time[mine].mean())


def test_a_weighted_error_is_not_below_what_the_scatter_asks_for():
    bins = bin_light_curve([1, 2, 3, 4], [10, 12, 10, 12], [0.01] * 4, edges=[0, 5])
    assert bins.error[0] == pytest.approx(np.sqrt(4 / 3) / 2)
    calm = bin_light_curve([1, 2, 3, 4], [10, 10, 10, 10], [0.01] * 4, edges=[0, 5])
    assert calm.error[0] == pytest.approx(0.005)


def test_clipped_averages_do_not_see_a_plate_flaw():
    value = np.r_[np.random.default_rng(0).normal(11, 0.1, 30), 7.0]
    bins = bin_light_curve(np.arange(31.0), value, edges=[0, 40], statistic="clipped")
    assert bins.value[0] == pytest.approx(11, abs=0.06) and bins.count[0] == 30


def test_upper_limits_never_enter_an_average():
    time = [1.0, 2.0, 3.0, 11.0, 12.0, 21.0]
    bins = bin_light_curve(
        time,
        [10.0, 10.2, np.nan, np.nan, np.nan, 10.1],
        edges=[0, 10, 20, 30],
        is_limit=[False, False, True, True, True, False],
        limit=[0, 0, 12.0, 13.0, 14.0, 0],
        statistic="mean",
    )
    assert bins.value[0] == pytest.approx(10.1) and bins.count.tolist() == [2, 0, 1]
    assert (
        bins.limit[:2].tolist() == [12.0, 14.0] and np.isnan(bins.limit[2]) and bins.limit_count.tolist() == [1, 2, 0]
    )
    assert np.isnan(bins.value[1]) and bins.center[1] == 11.5 and bins.is_detected.tolist() == [True, False, True]
    fluxes = bin_light_curve([1, 2], [5.0, 3.0], edges=[0, 10], is_limit=[True, True], are_magnitudes=False)
    assert fluxes.limit[0] == 3.0


def test_empty_bins_holes_and_times_outside_are_left_out():
    bins = bin_light_curve([-1, 1, 2, np.nan, 25, 30], [9, 1, np.nan, 1, 3, 9], edges=[0, 10, 20, 30], statistic="mean")
    assert bins.first.tolist() == [0.0, 20.0] and bins.value.tolist() == [1.0, 3.0] and np.isnan(bins.scatter).all()


def test_medians_of_slots():
    assert medians(np.array([2, 0, 2, 0, 0]), 3, np.array([1.0, 5.0, 2.0, 7.0, 6.0])).tolist()[::2] == [6.0, 1.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bin_light_curve([1], [1], edges=[1, 1]), "ascending"),
        (lambda: bin_light_curve([1], [1], edges=[0, 2], statistic="mode"), "statistic"),
        (lambda: bin_light_curve([1], [1, 2], edges=[0, 2]), "differ in length"),
        (lambda: bin_edges([1, 2], 0.0), "width"),
        (lambda: bin_edges([0, 1e12], 0.1), "wider"),
        (lambda: bin_edges([np.nan], 1.0), "nothing to bin"),
    ],
)
def test_what_cannot_be_binned_is_refused_in_a_sentence(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
