"""Folding: phases, cycles, drifting periods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.science.folding import LightElements, fold, phase_dispersion

periods = st.floats(1e-3, 1e4)


@given(st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=50), periods, st.floats(-1e4, 1e4))
def test_cycle_and_phase_give_the_time_back(times, period, epoch):
    for is_centred in (True, False):
        folded = fold(times, period, epoch, is_phase_centred=is_centred)
        low = -0.5 if is_centred else 0.0
        assert ((folded.phase >= low) & (folded.phase < low + 1.0)).all()
        back = epoch + period * (folded.cycle + folded.phase)
        assert np.allclose(back, times, atol=1e-6 * max(1.0, period))


@given(st.floats(-1e-7, 1e-7), st.integers(-100_000, 100_000))
def test_a_drifting_period_counts_whole_cycles_at_its_own_times(drift, cycle):
    elements = LightElements(7.5, 30000.0, drift)
    assert float(elements.cycles(elements.times(cycle))) == pytest.approx(cycle, abs=1e-4)


def test_the_epoch_has_phase_zero_and_holes_have_none():
    folded = fold(np.ma.masked_array([10.0, 12.5, np.nan, 99.0], mask=[0, 0, 0, 1]), 5.0, 10.0)
    assert folded.phase[:2].tolist() == [0.0, -0.5] and np.isnan(folded.phase[2:]).all()
    assert folded.cycle.tolist() == [0, 1, 0, 0]


def test_dispersion_is_least_at_the_period():
    time = np.random.default_rng(1).uniform(0, 100, 300)
    value = np.abs(np.mod(time / 3.3, 1.0) - 0.5)
    assert phase_dispersion(fold(time, 3.3).phase, value) < 0.02 < phase_dispersion(fold(time, 2.9).phase, value)


@pytest.mark.parametrize("period", [0.0, -1.0, np.inf, np.nan])
def test_a_period_that_is_none_is_refused(period):
    with pytest.raises(ParameterError, match="period"):
        fold([1.0], period)
