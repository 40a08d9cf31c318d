"""Box least squares: astropy's numbers on real Kepler and TESS light curves, published periods, honest false alarms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.timeseries import BoxLeastSquares

from skyvault.errors import ParameterError
from skyvault.science.box_periods import box_least_squares, box_period_grid


def transits(seed: int = 0, depth: float = 0.01, noise: float = 0.003):
    random = np.random.default_rng(seed)
    time = np.sort(random.uniform(0.0, 27.0, 2000))
    inside = np.abs(np.mod(time - 1.3 + 1.75, 3.5) - 1.75) < 0.06
    return time, 1.0 - depth * inside + noise * random.normal(size=2000), np.full(2000, noise)


def real(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with fits.open(path) as file:
        table = file[1].data
        quality = table["QUALITY" if "QUALITY" in table.names else "SAP_QUALITY"]
        good = (quality == 0) & np.isfinite(table["PDCSAP_FLUX"]) & np.isfinite(table["TIME"])
        columns = [table[name][good].astype(float) for name in ("TIME", "PDCSAP_FLUX", "PDCSAP_FLUX_ERR")]
    level = np.median(columns[1])
    return columns[0], columns[1] / level, columns[2] / level


def test_a_transit_is_found_with_its_depth_and_time():
    time, flux, error = transits()
    search = box_least_squares(time, flux, error, durations=[0.08, 0.12, 0.2])
    box = search.refined()
    assert abs(box.period - 3.5) < 0.005 and abs(box.duration - 0.12) < 0.03
    assert abs(box.depth - 0.01) < 4 * box.depth_error
    assert abs(np.mod(box.epoch - 1.3 + 1.75, 3.5) - 1.75) < 0.02
    check = search.check(box)
    assert check.events == 8 and check.odd_even_sigma < 3.5 and abs(check.half_depth) < 4 * check.half_depth_error


def test_magnitudes_are_searched_for_what_is_fainter():
    time, flux, error = transits()
    bright = box_least_squares(time, -2.5 * np.log10(flux), error, durations=[0.12], are_magnitudes=True)
    assert abs(bright.best.period - 3.5) < 0.02 and abs(bright.best.depth - 0.0109) < 0.002


@pytest.mark.parametrize("bins", [3, 10])
def test_numbers_are_those_of_astropy_for_one_duration(bins):
    time, flux, error = transits()
    periods = box_period_grid(time, [0.12], minimum=0.5)
    ours = box_least_squares(time, flux, error, durations=[0.12], periods=periods, bins_per_duration=bins, bin_time=0.0)
    theirs = BoxLeastSquares(time, flux, error).power(periods, [0.12], objective="likelihood", oversample=bins)
    same = np.isclose(ours.log_likelihood, theirs.power, rtol=1e-9)
    # a box over phase 0 is cut differently where the period is no whole number of bins
    assert same.mean() > 0.8
    best = int(np.argmax(theirs.power))
    assert ours.best.period == theirs.period[best]
    assert ours.best.depth == pytest.approx(theirs.depth[best], rel=1e-9)
    assert ours.best.depth_error == pytest.approx(theirs.depth_err[best], rel=1e-9)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "period", "depth"),
    [
        # WASP-126 b (Maxted et al. 2016): 3.28880 d; WASP-96 b (Hellier et al. 2014): 3.42526 d; HAT-P-7 b: 2.204735 d
        ("hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", 3.2888, 0.0066),
        ("hlsp_tess-data-alerts_tess_phot_00160148385-s02_tess_v1_lc.fits.gz", 3.42526, 0.0128),
        ("kplr010666592-2009131110544_slc.fits.gz", 2.204735, 0.0062),
    ],
)
def test_real_planets_have_their_published_periods(shared_data, name, period, depth):
    time, flux, error = real(shared_data / "lightcurves" / "tess_kepler" / name)
    durations = [0.1, 0.16]
    periods = box_period_grid(time, durations, minimum=1.0, maximum=6.0, fineness=1.0)
    search = box_least_squares(time, flux, error, durations=durations, periods=periods)
    theirs = BoxLeastSquares(time, flux, error).power(periods, durations, objective="likelihood")
    # the same peak: a box tells no finer
    assert abs(1 / search.best.period - 1 / theirs.period[np.argmax(theirs.power)]) < 2 * 0.1 / np.ptp(time) ** 2
    box = search.refined()
    assert abs(box.period - period) < 8e-4  # of some ten days of data
    assert abs(box.depth - depth) < 0.0006 and search.check(box).pink_snr > 30
    assert search.false_alarm_probability(box.snr) < 1e-12


def test_white_noise_exceeds_the_level_no_more_often_than_it_says():
    level, exceeded = None, 0
    for seed in range(60):
        time, flux, error = transits(seed, depth=0.0)
        time, flux, error = time[::5], flux[::5], error[::5]
        search = box_least_squares(time, flux, error, durations=[0.2], bins_per_duration=4)
        level = search.false_alarm_level(0.1)
        exceeded += search.best.snr > level
    assert exceeded <= 12
    assert float(search.false_alarm_probability(level)) == pytest.approx(0.1, rel=1e-6)


def test_without_errors_the_scatter_tells_them():
    time, flux, error = transits()
    told = box_least_squares(time, flux, error, durations=[0.12]).best
    untold = box_least_squares(time, flux, durations=[0.12]).best
    assert untold.period == told.period and untold.depth_error == pytest.approx(told.depth_error, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"durations": [4.0], "periods": [3.0]}, "does not fit"),
        ({"durations": [0.0]}, "positive"),
        ({"durations": [0.1], "periods": [np.nan]}, "positive"),
        ({"durations": [1e-7], "periods": [1.0]}, "bins"),
        ({"durations": [1e-7]}, "would be tried"),
        ({"durations": [0.1], "bin_time": -1.0}, "0 or more"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(changes, words):
    time, flux, error = transits()
    with pytest.raises(ParameterError, match=words):
        box_least_squares(time, flux, error, **changes)
