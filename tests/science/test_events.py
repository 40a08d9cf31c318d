"""Outbursts and dips, and the times of eclipses against a rule."""

from __future__ import annotations

import numpy as np
import pytest

from skyvault.errors import ParameterError
from skyvault.science.eclipse_times import Template, mean_cycle, single_eclipse, time_eclipses
from skyvault.science.events import find_events
from skyvault.science.folding import LightElements


def test_an_outburst_and_a_dip_are_told_with_their_times():
    random = np.random.default_rng(4)
    time = np.arange(0.0, 400.0, 1.0)
    value = 15.0 + random.normal(0, 0.05, 400)
    value[100:112] -= 3.0 * np.exp(-np.arange(12) / 6.0)
    value[250:256] += 1.0
    value[300] -= 4.0  # one flaw is no outburst
    activity = find_events(time, value, np.full(400, 0.05), threshold_sigma=5)
    (outburst,), (dip,) = activity.of("outburst"), activity.of("dip")
    assert (outburst.start, outburst.peak_time, outburst.before) == (100.0, 100.0, 99.0)
    assert outburst.amplitude == pytest.approx(3.0, abs=0.15) and outburst.count == 12
    assert (dip.start, dip.end, dip.after, dip.duration) == (250.0, 255.0, 256.0, 5.0)
    assert dip.peak_value == pytest.approx(16.0, abs=0.2) and dip.longest_duration == 7.0
    assert activity.usual == pytest.approx(15.0, abs=0.02) and activity.scatter == pytest.approx(0.05, rel=0.2)


def test_a_gap_ends_an_event_and_fluxes_burst_upwards():
    time = np.r_[np.arange(20.0), np.arange(200.0, 220.0)]
    flux = np.ones(40) + np.random.default_rng(0).normal(0, 0.01, 40)
    flux[16:20] += 5.0
    flux[20:24] += 5.0
    events = find_events(time, flux, are_magnitudes=False, longest_gap=10.0).events
    assert [event.kind for event in events] == ["outburst"] * 2 and events[0].end == 19.0 and events[1].start == 200.0


def test_a_star_that_always_flickers_has_no_events():
    random = np.random.default_rng(7)
    assert find_events(np.arange(2000.0), random.normal(12, 0.5, 2000), np.full(2000, 0.01)).events == ()
    assert find_events([1.0], [2.0]).events == ()


def eclipsing(drift: float = 0.0, period: float = 2.5, count: int = 6000, noise: float = 0.05, seed: int = 3):
    random = np.random.default_rng(seed)
    truth = LightElements(period, 100.0, drift)
    time = np.sort(random.uniform(0.0, 20_000.0, count))
    cycle = truth.cycles(time)
    phase = cycle - np.round(cycle)
    value = 10.0 + 0.8 * np.exp(-0.5 * (phase / 0.04) ** 2) + random.normal(0, noise, count)
    return time, value, np.full(count, noise), truth


def test_eclipses_that_follow_the_rule_have_no_o_minus_c():
    time, value, error, truth = eclipsing()
    timing = time_eclipses(time, value, error, elements=truth, epochs=np.arange(0.0, 20_001.0, 2000.0))
    assert len(timing) == 10 and timing.count.sum() == 6000
    assert (np.abs(timing.o_minus_c) < 4 * timing.error).all() and (timing.error < 0.01).all()
    assert np.allclose(timing.depth, 0.8, atol=0.1)


def test_a_wrong_period_is_corrected_by_its_eclipses():
    time, value, error, truth = eclipsing()
    guess = LightElements(2.50002, 100.0)
    template = mean_cycle(time, value, truth)
    timing = time_eclipses(
        time, value, error, elements=guess, template=template, epochs=np.arange(0.0, 20_001.0, 2000.0)
    )
    better = timing.fitted()
    assert abs(better.period - 2.5) < 1e-6 < abs(guess.period - 2.5)
    assert abs(better.epoch - 100.0) < 0.005


def test_a_drifting_period_is_measured():
    time, value, error, truth = eclipsing(drift=2e-9)
    constant = LightElements(truth.period, truth.epoch)
    template = mean_cycle(time, value, truth)
    timing = time_eclipses(
        time,
        value,
        error,
        elements=constant,
        template=template,
        epochs=np.arange(0.0, 20_001.0, 1000.0),
        widest_shift=0.2,
    )
    assert timing.fitted(is_quadratic=True).drift == pytest.approx(2e-9, rel=0.1)


def test_single_eclipses_of_a_well_covered_star_are_timed_one_by_one():
    time = np.arange(0.0, 30.0, 0.002)
    truth = LightElements(2.5, 1.0)
    late = np.where(np.round(truth.cycles(time)) == 4, 0.01, 0.0)
    phase = truth.cycles(time - late)
    value = 1.0 - 0.01 * (np.abs(phase - np.round(phase)) < 0.02) + np.random.default_rng(0).normal(0, 3e-4, len(time))
    timing = time_eclipses(
        time, value, elements=truth, template=mean_cycle(time, value, truth, bins=500), widest_shift=0.02
    )
    assert timing.o_minus_c[timing.cycle == 4][0] == pytest.approx(0.01, abs=0.002)
    assert np.abs(timing.o_minus_c[(timing.cycle != 4) & np.isfinite(timing.error)]).max() < 0.004


def test_an_epoch_without_an_eclipse_is_not_timed():
    time, value, error, truth = eclipsing()
    flat = np.where(time < 2000.0, 10.0, value)
    timing = time_eclipses(time, flat, error, elements=truth, epochs=[0.0, 2000.0, 4000.0])
    assert np.isinf(timing.error[0]) and np.isfinite(timing.error[1])
    with pytest.raises(ParameterError, match="2 are needed"):
        timing.fitted()


def test_one_smooth_eclipse_is_fitted_to_noise_and_flaws():
    time, value, error, truth = eclipsing(noise=0.3, count=2000)
    value[::50] += 5.0
    template = single_eclipse(time, value, truth, error=error)
    assert template.amplitude == pytest.approx(0.8, abs=0.1)
    assert abs(template.phase[template.value.argmax()]) < 0.01
    wide = template.value > template.value.min() + 0.5 * template.amplitude
    assert wide.mean() == pytest.approx(0.094, abs=0.02)
    fluxes = single_eclipse(time, -value, truth, error=error, are_magnitudes=False)
    assert np.allclose(fluxes.value, -template.value)


def test_a_template_goes_on_periodically():
    template = Template(np.array([-0.25, 0.25]), np.array([0.0, 1.0]))
    assert template.at([0.0, 0.5, -0.5, 1.0, 0.25, 1.25]).tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
