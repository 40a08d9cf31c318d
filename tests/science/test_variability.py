"""Variability indices: known values for noise, sinusoids and flares, and against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest

from skyvault.science.variability import variability


def test_of_pure_noise_every_index_has_its_expected_value() -> None:
    rng = np.random.default_rng(1)
    mjd = np.sort(rng.uniform(0.0, 1000.0, 20_000))
    made = variability(mjd, rng.normal(18.0, 0.1, 20_000), np.full(20_000, 0.1))
    assert made is not None
    for value in (made.mag_rms, made.mag_mad, made.mag_iqr):
        assert value == pytest.approx(0.1, rel=0.03)
    assert made.amplitude_90 == pytest.approx(0.329, rel=0.02)
    assert made.reduced_chi2 == pytest.approx(1.0, abs=0.04)
    assert made.von_neumann == pytest.approx(2.0, abs=0.06)
    assert made.stetson_k == pytest.approx(np.sqrt(2 / np.pi), abs=0.01)
    assert abs(made.stetson_j) < 0.1 and abs(made.excess_variance) < 1e-3
    assert abs(made.skewness) < 0.06 and abs(made.kurtosis) < 0.12


def test_a_slow_sinusoid_is_smooth_and_correlated() -> None:
    mjd = np.linspace(0.0, 10.0, 500)
    made = variability(mjd, 15.0 + 0.5 * np.sin(2 * np.pi * mjd / 2.0), np.full(500, 0.01))
    assert made is not None
    assert made.von_neumann < 0.01 and made.stetson_j > 20 and made.stetson_k == pytest.approx(0.9, abs=0.01)
    assert made.amplitude_90 == pytest.approx(1.0, rel=0.03) and made.kurtosis == pytest.approx(-1.5, abs=0.02)


def test_indices_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(3)
    mjd, mag, error = rng.uniform(0, 50, 37), rng.normal(16, 0.3, 37), rng.uniform(0.05, 0.2, 37)
    mag[4], error[7] = np.nan, 0.0
    made = variability(mjd, mag, error)
    assert made is not None and made.num == 35
    ok = np.isfinite(mag) & (error > 0)
    order = np.argsort(mjd[ok])
    m, s = mag[ok][order], error[ok][order]
    mean = (m / s**2).sum() / (1 / s**2).sum()
    assert made.mag_mean_weighted == pytest.approx(mean)
    assert made.reduced_chi2 == pytest.approx((((m - mean) / s) ** 2).sum() / 34)
    assert made.amplitude_90 == pytest.approx(np.subtract(*np.quantile(m, (0.95, 0.05))))
    assert made.von_neumann == pytest.approx((np.diff(m) ** 2).sum() / 34 / ((m - mean) ** 2).mean())


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_measurements_are_no_trouble(count: int) -> None:
    made = variability(np.arange(count, dtype=float), np.full(count, 15.0), np.full(count, 0.1))
    if count == 0:
        assert made is None
    else:
        assert made is not None and made.to_dict()["mag_median"] == 15.0 and made.to_dict()["skewness"] is None
