"""Simulated events: their shapes, what a search finds of them, and how the fraction found rises with amplitude."""

from __future__ import annotations

import numpy as np
import pytest

from skyvault.errors import ParameterError
from skyvault.pipeline import Analysis, Lightcurve, Source
from skyvault.science.finding import find_peaks
from skyvault.science.injection import SHAPES, Injection, efficiency
from skyvault.science.matched_filter import Kernel, bank, match


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_change_of_every_shape_is_its_amplitude(shape: str) -> None:
    change = Injection(shape, 100.0, 2.0, 0.4).relative_change(np.linspace(90.0, 110.0, 20_001))  # type: ignore[arg-type]
    assert np.abs(change).max() == pytest.approx(0.4, rel=1e-6)


def test_microlensing_follows_paczynski() -> None:
    event = Injection("microlensing", 0.0, 10.0, 0.5)
    mjd = np.array([0.0, 5.0, -5.0, 40.0])
    # the impact parameter that magnifies 1.5 times
    u0 = np.sqrt(2.0 * (1.5 / np.sqrt(1.5**2 - 1.0) - 1.0))
    u = np.sqrt(u0**2 + (mjd / 10.0) ** 2)
    np.testing.assert_allclose(1.0 + event.relative_change(mjd), (u**2 + 2) / (u * np.sqrt(u**2 + 4)), rtol=1e-12)


def test_a_shape_or_size_that_cannot_be_is_refused() -> None:
    for wrong in (("nova", 0.0, 1.0, 1.0), ("dip", 0.0, 0.0, 1.0), ("dip", 0.0, 1.0, -1.0)):
        with pytest.raises(ParameterError):
            Injection(*wrong)  # type: ignore[arg-type]


def test_an_event_is_the_unbroken_run_around_its_peak() -> None:
    score = np.array([0.0, 4.0, 6.0, 3.5, 0.0, 4.0, 0.0, -7.0, -3.5, 0.0])
    usable = np.ones(10, bool)
    first, second = find_peaks(score, usable, threshold=5.0, sideband=-2.0, at_most=5)
    assert (first.peak, first.first, first.last, first.score) == (7, 7, 8, -7.0)
    assert (second.peak, second.first, second.last) == (2, 1, 3)
    assert [p.peak for p in find_peaks(score, usable, threshold=5.0, sideband=-2.0, both_signs=False)] == [2]
    usable[2] = False
    assert [p.peak for p in find_peaks(score, usable, threshold=5.0, sideband=-2.0, at_most=5)] == [7]


def test_a_matched_filter_sums_up_a_faint_long_event() -> None:
    rng = np.random.default_rng(1)
    mjd = np.sort(rng.uniform(0.0, 100.0, 400))
    residual = rng.normal(0.0, 1.0, 400) + 2.0 * Kernel("dip", 6.0).values(mjd - 50.0)
    result = match(mjd, residual, np.ones(400), np.ones(400, bool), bank(["dip"], 0.5, 20.0, 4))
    best = int(np.argmax(result.score))
    assert abs(mjd[best] - 50.0) < 2.0 and result.score[best] > 6.0
    assert np.abs(residual).max() < 5.5
    # against the definition, at one epoch
    kernel = bank(["dip"], 0.5, 20.0, 4)[result.kernel[best]].values(mjd - mjd[best])
    assert result.score[best] == pytest.approx((residual * kernel).sum() / np.sqrt((kernel**2).sum()), rel=1e-3)


def test_a_matched_filter_of_many_epochs_agrees_with_its_definition() -> None:
    """Weeks at four minutes: epochs are put together, and scores change by a percent or two of the highest."""
    rng = np.random.default_rng(2)
    mjd = np.arange(0.0, 20.0, 4.0 / 1440.0)
    residual = rng.normal(0.0, 1.0, len(mjd)) + 0.8 * Kernel("transit", 0.2).values(mjd - 13.0)
    kernels = bank(["transit", "dip", "flare"], 0.02, 5.0, 3)
    result = match(mjd, residual, np.ones(len(mjd)), np.ones(len(mjd), bool), kernels)
    best = int(np.nanargmax(np.abs(result.score)))
    found = kernels[result.kernel[best]]
    assert abs(mjd[best] - 13.0) < 0.05 and found.shape in ("transit", "dip") and 0.09 < found.width_d < 0.4
    for row in (best, 100, 4000, len(mjd) - 1):
        values = kernels[result.kernel[row]].values(mjd - mjd[row])
        exact = (residual * values).sum() / np.sqrt((values**2).sum())
        assert result.score[row] == pytest.approx(exact, abs=0.3)


def noise(number: int, epochs: int = 200) -> list[Source]:
    rng = np.random.default_rng(3)
    made = []
    for index in range(number):
        source = Source(name=f"s{index}", ra=1.0, dec=2.0, mag=18.0, project="TRIED", cfg_hash="")
        error = np.full(epochs, 0.05)
        curve = Lightcurve(
            {"mjd": np.sort(rng.uniform(58000, 58400, epochs)), "mag": 18.0 + error * rng.standard_normal(epochs),
             "magerr": error, "exptime": np.full(epochs, 30.0)},
            source_name=source.name, observatory="DEMO",
        )  # fmt: skip
        source.lightcurves.append(curve)
        made.append(source)
    return made


def test_large_events_are_found_small_ones_are_not_and_noise_is_not() -> None:
    analysis = Analysis(
        cfg_file=False, num_injections=20.0, simulator_kwargs={"shapes": ["transit"], "min_width": 5.0, "max_width": 9.0,
        "min_amplitude": 0.02, "max_amplitude": 1.0}, abs_snr=True,
    )  # fmt: skip
    sources = noise(40)
    analysis.analyze_sources(sources)
    real = [one for source in sources for one in source.detections if not one.simulated]
    # 8,000 epochs of noise hold 0.005 beyond 5 sigma
    assert not real
    simulated = [one for source in sources for one in source.detections if one.simulated]
    assert simulated and all(one.snr < 0 and one.sim_pars["shape"] == "transit" for one in simulated)
    grid = analysis.injections.grids["amplitude"]
    counts = grid.marginal("found", "amplitude")
    injected, found = counts.sum(axis=0), counts[2]
    assert injected.sum() == pytest.approx(800, abs=120)
    centres = np.r_[-np.inf, grid.axes[-1].centres, np.inf]  # type: ignore[union-attr]
    assert found[centres < -1.0].sum() < 0.05 * injected[centres < -1.0].sum()
    assert found[centres > -0.35].sum() > 0.9 * injected[centres > -0.35].sum()


def test_an_efficiency_curve_counts_and_brackets() -> None:
    curve = efficiency(
        np.array([0.1, 0.2, 1.5, 1.6]), np.array([False, True, True, True]), np.array([0.0, 1.0, 2.0, 3.0])
    )
    assert curve.fraction[:2].tolist() == [0.5, 1.0] and np.isnan(curve.fraction[2])
    assert curve.low[1] < 1.0 <= curve.high[1] + 1e-9
