"""Lomb-Scargle periodograms: the numbers of astropy's exact ones, periods found again, honest false-alarm levels."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.timeseries import LombScargle, LombScargleMultiband
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.science.aliases import aliases, same_up_to_alias
from skyvault.science.periods import frequency_grid, lomb_scargle, spectral_window
from skyvault.science.trigonometric_sums import FrequencyGrid, sums_at, sums_on_grid


def star(seed: int = 1, count: int = 400, period: float = 0.5431, amplitude: float = 0.3, noise: float = 0.1):
    random = np.random.default_rng(seed)
    time = np.sort(random.uniform(0.0, 300.0, count))
    error = random.uniform(0.5, 1.5, count) * noise
    value = 12.0 + amplitude * np.sin(2 * np.pi * time / period) + error * random.normal(size=count)
    return time, value, error


@given(
    st.integers(0, 1000),
    st.integers(2, 400),
    st.integers(1, 5000),
    st.floats(0.0, 20.0),
    st.floats(1e-5, 0.3),
    st.integers(1, 4),
)
def test_sums_by_fft_are_the_sums_one_by_one(seed, measurements, count, start, step, harmonic):
    random = np.random.default_rng(seed)
    time, strength = random.uniform(-1000, 1000, measurements), random.normal(size=measurements)
    grid = FrequencyGrid(start, step, count)
    exact = sums_at(time, strength, harmonic * grid.values)
    assert np.abs(sums_on_grid(time, strength, grid, harmonic) - exact).max() < 2e-8 * np.abs(strength).sum()


def test_sums_by_fft_are_exact_on_a_large_grid_with_many_measurements():
    random = np.random.default_rng(3)
    time, strength = random.uniform(-15000, 15000, 250_000), random.normal(size=250_000)
    grid = FrequencyGrid(0.3, 1e-5, 20_001)
    few = [0, 1, 9_999, 10_000, 10_001, 20_000]
    assert np.abs(sums_on_grid(time, strength, grid)[few] - sums_at(time, strength, grid.at(few))).max() < 1e-8 * 5e5


@pytest.mark.parametrize("terms", [1, 2, 4])
@pytest.mark.parametrize("is_mean_floating", [True, False])
def test_power_is_that_of_astropys_exact_sums(terms, is_mean_floating):
    time, value, error = star()
    ours = lomb_scargle(
        time,
        value,
        error,
        terms=terms,
        is_mean_floating=is_mean_floating,
        minimum_frequency=0.01,
        maximum_frequency=3.0,
    )
    theirs = LombScargle(time, value, error, nterms=terms, fit_mean=is_mean_floating)
    exact = theirs.power(ours.frequency, method="chi2" if terms > 1 else "slow")
    assert np.abs(ours.power - exact).max() < 1e-7


def test_power_of_bands_with_own_amplitudes_is_that_of_astropy():
    time, value, error = star()
    band = np.arange(len(time)) % 3
    value = value + band
    ours = lomb_scargle(time, value, error, band, amplitudes="own", minimum_frequency=0.01, maximum_frequency=3.0)
    theirs = LombScargleMultiband(time, value, band, error, nterms_base=0, nterms_band=1)
    exact = theirs.power(ours.frequency[::50], method="flexible", sb_method="slow")
    assert np.abs(ours.power[::50] - exact).max() < 2e-6  # theirs is regularised by 1e-6


def test_power_of_one_curve_for_all_bands_is_the_least_squares_fit():
    time, value, error = star(count=60)
    band = np.array(["g", "r", "i"])[np.arange(len(time)) % 3]
    ours = lomb_scargle(time, value + (band == "r"), error, band, terms=2, grid=FrequencyGrid(0.1, 0.37, 40))
    offsets = np.array([band == name for name in ours.samples.bands], float).T

    def chi2(columns):
        solution = np.linalg.lstsq(columns / error[:, None], (value + (band == "r")) / error, rcond=None)[0]
        return np.sum(((value + (band == "r") - columns @ solution) / error) ** 2)

    for frequency, power in zip(ours.frequency, ours.power, strict=True):
        phase = 2 * np.pi * frequency * time
        curve = np.column_stack([np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)])
        assert power == pytest.approx(1 - chi2(np.column_stack([offsets, curve])) / chi2(offsets), abs=1e-8)


def test_a_period_is_found_within_its_error():
    time, value, error = star(amplitude=0.1)
    best = lomb_scargle(time, value, error, maximum_frequency=10.0).best
    assert abs(best.period - 0.5431) < 4 * best.period_error < 2e-4


def test_a_period_no_band_alone_tells_is_found_by_all_together():
    random = np.random.default_rng(0)
    time = random.uniform(0, 500, 60)
    band = np.repeat(["u", "g", "r", "i", "z"], 12)
    value = np.cos(2 * np.pi * time / 0.6123) * 0.4 + 18 + (band == "u") + random.normal(0, 0.15, 60)
    joint = lomb_scargle(time, value, np.full(60, 0.15), band, maximum_frequency=5.0)
    assert abs(joint.best.period - 0.6123) < 1e-3
    single = [lomb_scargle(time[band == b], value[band == b], maximum_frequency=5.0).best.period for b in "ugriz"]
    assert sum(abs(period - 0.6123) > 1e-3 for period in single) >= 3


def test_bands_of_unlike_amplitude_are_brought_to_one_scale():
    time, value, error = star(noise=0.01)
    band = np.arange(len(time)) % 2
    value = 12.0 + (value - 12.0) * np.where(band == 1, 10.0, 1.0)
    plain = lomb_scargle(time, value, error, band, maximum_frequency=3.0)
    scaled = lomb_scargle(time, value, error, band, band_scales="measured", maximum_frequency=3.0)
    assert scaled.best.power > 0.97 > plain.best.power
    named = lomb_scargle(time, value, error, band, band_scales={0: 1.0, 1: 10.0}, maximum_frequency=3.0)
    assert named.best.period == pytest.approx(0.5431, abs=1e-4)


def test_false_alarm_probabilities_are_those_of_astropy():
    time, value, error = star()
    ours = lomb_scargle(time, value, error, maximum_frequency=5.0)
    theirs = LombScargle(time, value, error)
    for power in (0.02, 0.05, 0.1, 0.3):
        exact = theirs.false_alarm_probability(power, minimum_frequency=0.0, maximum_frequency=5.0)
        assert float(ours.false_alarm_probability(power)) == pytest.approx(float(exact), rel=2e-3)
    assert float(ours.false_alarm_probability(ours.false_alarm_level(0.01))) == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("terms", [1, 2])
def test_noise_exceeds_the_levels_about_as_often_as_they_say(terms):
    random = np.random.default_rng(5)
    time = random.uniform(0, 100, 120)
    grid = frequency_grid(time, maximum=1.0)
    runs = [lomb_scargle(time, random.normal(size=120), grid=grid, terms=terms) for _ in range(200)]
    level = runs[0].false_alarm_level(0.1)
    exceeded = np.mean([run.power.max() > level for run in runs])
    assert 0.02 <= exceeded <= 0.14
    shuffled = runs[0].bootstrap_level(0.1, 100)
    assert 0.03 <= np.mean([run.power.max() > shuffled for run in runs]) <= 0.2


def test_holes_masks_and_bad_errors_are_left_out():
    time, value, error = star()
    whole = lomb_scargle(time, value, error, maximum_frequency=3.0)
    spoilt = np.ma.masked_array(np.r_[value, 99.0, np.nan, 12.0, 12.0], mask=[False] * 400 + [True] + [False] * 3)
    errors = np.r_[error, 0.1, 0.1, 0.0, np.nan]
    again = lomb_scargle(np.r_[time, 5.0, 6.0, 7.0, 8.0], spoilt, errors, maximum_frequency=3.0)
    assert np.array_equal(again.power, whole.power)


def test_a_constant_star_has_no_power():
    assert lomb_scargle(np.arange(50.0), np.full(50, 7.0)).power.max() == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lomb_scargle([1, 2], [1, 2]), "2 of 2 measurements are usable"),
        (lambda: lomb_scargle([1, 2, 3, 4], [1, 2, 3]), "4 times, but 3 values"),
        (lambda: lomb_scargle(np.arange(9.0), np.arange(9.0), terms=4), "cannot tell 9 unknowns"),
        (lambda: lomb_scargle(np.arange(9.0), np.arange(9.0), terms=0), "0 harmonics"),
        (lambda: lomb_scargle(["a"] * 9, np.arange(9.0)), "must be numbers"),
        (lambda: lomb_scargle(np.ones(9), np.arange(9.0)), "two different times"),
        (lambda: FrequencyGrid(0.0, 1e-9, 10**9), "can be searched at once"),
        (lambda: lomb_scargle(*star()[:2], minimum_frequency=3.0, maximum_frequency=2.0), "must be above the lowest"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


def test_nightly_sampling_makes_the_aliases_that_are_listed():
    random = np.random.default_rng(2)
    time = np.arange(200) + random.uniform(0, 0.1, 200)
    window = spectral_window(time, FrequencyGrid(0.5, 0.0005, 2000))
    assert abs(0.5 + 0.0005 * np.argmax(window) - 1.0) < 0.002
    periodogram = lomb_scargle(time, np.sin(2 * np.pi * time / 2.7), maximum_frequency=3.0)
    reasons = {same_up_to_alias(peak.frequency, 1 / 2.7, 0.006) for peak in periodogram.peaks(3)}
    assert "" in reasons and "plus a solar day" in {a.reason for a in aliases(1 / 2.7)} and None not in reasons
