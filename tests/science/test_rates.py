"""Rates: intervals of counts as their papers print them, and what no detection at all says."""

from __future__ import annotations

import math

import pytest

from skyvault.errors import ParameterError
from skyvault.science.rates import ONE_SIGMA, event_rate, feldman_cousins, poisson_interval, poisson_upper_limit


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 1.841), (1, 0.173, 3.300), (3, 1.367, 5.918), (10, 6.891, 14.27), (100, 90.02, 111.03)],
)
def test_intervals_of_one_sigma_are_those_gehrels_prints(count: int, low: float, high: float) -> None:
    found = poisson_interval(count, ONE_SIGMA)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_upper_limits_are_those_gehrels_prints() -> None:
    printed = {0: 2.996, 1: 4.744, 2: 6.296, 5: 10.51, 10: 16.96}
    for count, limit in printed.items():
        assert poisson_upper_limit(count, 0.95) == pytest.approx(limit, abs=0.005)


@pytest.mark.parametrize(
    ("count", "background", "low", "high"),
    [
        (0, 0.0, 0.00, 2.44), (1, 0.0, 0.11, 4.36), (3, 0.0, 1.10, 7.42), (10, 0.0, 5.50, 16.50),
        (3, 3.0, 0.00, 4.42), (5, 2.5, 0.00, 7.49), (8, 3.0, 1.51, 10.99), (1, 1.0, 0.00, 3.36),
    ],
)  # fmt: skip
def test_unified_intervals_are_those_feldman_and_cousins_print(
    count: int, background: float, low: float, high: float
) -> None:
    found = feldman_cousins(count, background, 0.90)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_a_search_that_found_nothing_gives_an_upper_limit() -> None:
    made = event_rate(0, 1e6, 0.5, confidence=0.95)
    assert (made.rate, made.low) == (0.0, 0.0)
    assert made.upper_limit == pytest.approx(2.996 / 5e5, rel=1e-3)
    # a search that could not have found anything says nothing
    assert math.isinf(event_rate(0, 1e6, 0.0).upper_limit)
    # what noise explains is no signal, and the limit of it less
    assert event_rate(3, 1e6, background=3.0).rate == 0.0
    assert event_rate(3, 1e6, background=3.0).upper_limit < event_rate(3, 1e6).upper_limit
    assert feldman_cousins(400, 100.0, 0.9).low == pytest.approx(300 - 1.645 * 20, abs=1.0)


def test_impossible_counts_are_refused() -> None:
    for wrong in ((-1, 0.0, 0.9), (1, -1.0, 0.9), (1, math.nan, 0.9), (1, 0.0, 1.0)):
        with pytest.raises(ParameterError):
            feldman_cousins(*wrong)
    with pytest.raises(ParameterError):
        event_rate(1, 1.0, 1.5)
