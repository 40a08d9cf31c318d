"""What a run finds of injected events, what it finds of pure noise, and the rates that follow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, poisson

from skyvault.pipeline import Analysis, Lightcurve, Source
from skyvault.pipeline.efficiency import efficiency_curve
from skyvault.pipeline.faults import ParameterValueError
from skyvault.science.rates import false_detections

SIGMA_MAG = 0.05
STARS = 20
#: the same as a relative change of flux
SIGMA = SIGMA_MAG * math.log(10.0) / 2.5


def noise(number: int, epochs: int = 200, seed: int = 3) -> list[Source]:
    """Constant stars of 18 mag with Gaussian noise of 5%."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(number):
        source = Source(name=f"s{index}", ra=1.0, dec=2.0, mag=18.0, project="TRIED", cfg_hash="")
        flux = 229.1 * (1.0 + SIGMA * rng.standard_normal(epochs))
        curve = Lightcurve(
            {"mjd": np.sort(rng.uniform(58000, 58400, epochs)), "flux": flux,
             "fluxerr": np.full(epochs, 229.1 * SIGMA), "exptime": np.full(epochs, 30.0)},
            source_name=source.name, observatory="DEMO", filter="r",
        )  # fmt: skip
        source.lightcurves.append(curve)
        made.append(source)
    return made


@pytest.fixture(scope="module")
def injected() -> tuple[Analysis, list[Source]]:
    """Dips of one epoch, between one and twelve sigma deep, into twenty stars."""
    analysis = Analysis(
        cfg_file=False, num_injections=150.0,
        simulator_kwargs={"shapes": ["transit"], "min_width": 1e-4, "max_width": 2e-4, "min_amplitude": 1.0 * SIGMA,
                          "max_amplitude": 12.0 * SIGMA},
    )  # fmt: skip
    sources = noise(STARS)
    analysis.analyze_sources(sources)
    return analysis, sources


def test_the_fraction_found_rises_as_the_error_function_says(injected: tuple[Analysis, list[Source]]) -> None:
    """A dip of depth A in noise sigma is found when A / sigma + noise exceeds the threshold: Phi(A / sigma - 5)."""
    curve = injected[0].efficiency(shape="transit")
    used = np.flatnonzero(curve.injected > 30)
    assert len(used) >= 9 and curve.injected.sum() == pytest.approx(3000, abs=180)
    compared = 0
    for number in used:
        # amplitudes are even in their logarithm within a bin
        depth = np.exp(np.linspace(*np.log(curve.edges[[number, number + 1]]), 50)) / SIGMA
        expected = float(norm.cdf(depth - 5.0).mean())
        spread = math.sqrt(max(expected * (1 - expected), 0.002) / curve.injected[number])
        assert curve.fraction[number] == pytest.approx(expected, abs=4.0 * spread + 0.02)
        compared += 0.1 < expected < 0.9
    assert compared >= 2
    assert (curve.low[used] <= curve.fraction[used] + 1e-12).all()


def test_half_is_found_at_the_threshold(injected: tuple[Analysis, list[Source]]) -> None:
    curve = injected[0].efficiency()
    centres = np.sqrt(curve.edges[1:] * curve.edges[:-1]) / SIGMA
    used = curve.injected > 30
    half = float(np.interp(0.5, curve.fraction[used], centres[used]))
    assert half == pytest.approx(5.0, abs=0.25)


def test_simulated_detections_are_marked_and_know_what_was_injected(injected: tuple[Analysis, list[Source]]) -> None:
    analysis, sources = injected
    detections = [one for source in sources for one in source.detections]
    assert detections and all(one.simulated and one.snr < -5.0 for one in detections)
    assert all(
        one.sim_pars["shape"] == "transit" and one.time_start <= one.sim_pars["time"] <= one.time_end
        for one in detections
    )
    assert len(detections) == analysis.efficiency().found.sum()


def test_real_light_curves_are_not_changed_by_injections(injected: tuple[Analysis, list[Source]]) -> None:
    _, sources = injected
    for before, after in zip(noise(STARS), sources, strict=True):
        np.testing.assert_array_equal(before.lightcurves[0].data["flux"], after.lightcurves[0].data["flux"])
        assert not any(curve.is_simulated for curve in after.lightcurves)


@pytest.mark.parametrize("threshold", [3.5, 4.0])
def test_pure_noise_is_detected_as_often_as_gaussian_tails_say(threshold: float) -> None:
    """200,000 epochs: 93 beyond 3.5 sigma, 13 beyond 4; at the usual threshold of 5 there is one in 1.7 million."""
    analysis = Analysis(
        cfg_file=False, num_injections=0, period_search="never",
        finder_kwargs={"snr_threshold": threshold, "max_det_per_lc": 50, "snr_threshold_sidebands": threshold},
    )  # fmt: skip
    sources = noise(200, epochs=1000, seed=8)
    analysis.analyze_sources(sources)
    number = sum(len(source.detections) for source in sources)
    expected = false_detections(200_000, threshold)
    assert poisson.ppf(1e-4, expected) <= number <= poisson.ppf(1 - 1e-4, expected)
    assert analysis.all_scores.get_sum_scores() == 200_000


def test_nothing_is_found_in_pure_noise_at_the_usual_threshold() -> None:
    analysis = Analysis(cfg_file=False, num_injections=0, period_search="never")
    sources = noise(100, epochs=500)
    analysis.analyze_sources(sources)
    assert not any(source.detections for source in sources)


def test_nothing_found_is_an_upper_limit_of_the_rate(injected: tuple[Analysis, list[Source]]) -> None:
    analysis, sources = injected
    real = [one for source in sources for one in source.detections]
    rates = analysis.rates(real, "transit", bins=[0.28, 0.45, 0.57])
    # nearly all dips of 28% and more would have been seen in 4,000 epochs
    assert [one.rate.found for one in rates] == [0, 0]
    assert rates[0].efficiency > 0.95 and rates[1].efficiency > 0.99
    assert rates[1].rate.upper_limit == pytest.approx(2.996 / 4000, rel=0.02)
    a_day = analysis.rates(real, "transit", bins=[0.28, 0.45, 0.57], duration_d=0.1)
    assert a_day[1].rate.upper_limit == pytest.approx(10 * rates[1].rate.upper_limit)
    with pytest.raises(ParameterValueError, match="no events of shape 'flare' were injected"):
        analysis.rates(real, "flare")
    with pytest.raises(ParameterValueError, match="no shape 'nova'"):
        analysis.rates(real, "nova")


def test_events_that_were_put_in_by_hand_have_their_rate() -> None:
    """Every tenth star has one epoch twice as bright: one event in 2,000 epochs."""
    analysis = Analysis(
        cfg_file=False,
        num_injections=5,
        simulator_kwargs={"shapes": ["flare"], "min_amplitude": 0.5, "max_amplitude": 2.0},
    )
    sources = noise(100)
    for source in sources[::10]:
        curve = source.lightcurves[0]
        columns = {name: curve.data[name].copy() for name in ("mjd", "flux", "fluxerr", "exptime")}
        columns["flux"][50] += 229.1
        source.lightcurves[0] = Lightcurve(columns, source_name=source.name, observatory="DEMO", filter="r")
    analysis.analyze_sources(sources)
    real = [one for source in sources for one in source.detections if not one.simulated]
    assert len(real) == 10 and all(one.snr > 0 and one.thumbnail for one in real)
    (rate,) = analysis.rates(real, "flare", bins=[0.5, 2.0])
    assert rate.rate.found == 10 and rate.rate.low < 10 / 20_000 < rate.rate.high


def test_curves_of_parts_of_a_run_add_up(injected: tuple[Analysis, list[Source]]) -> None:
    analysis = injected[0]
    twice = efficiency_curve(analysis.injections + analysis.injections)
    np.testing.assert_array_equal(twice.injected, 2 * analysis.efficiency().injected)
    bright = efficiency_curve(analysis.injections, mag=(17.0, 19.0), width_d=(1e-5, 1e-3))
    np.testing.assert_array_equal(bright.injected, analysis.efficiency().injected)
    assert efficiency_curve(analysis.injections, mag=(10.0, 12.0)).injected.sum() == 0


@pytest.mark.parametrize("shape", ["flare", "dip", "transit", "sinusoid", "microlensing"])
def test_large_events_of_every_shape_are_found_by_the_finder_made_for_them(shape: str) -> None:
    more: dict[str, Any] = {"finder_class": "MatchedFilterFinder", "finder_kwargs": {"shortest_width": 1.0}}
    periodic: dict[str, Any] = {"finder_class": "PeriodFinder"}
    # a star that always varies has no unusual epochs: it is found by its period
    for how in (periodic,) if shape == "sinusoid" else ({}, more):
        analysis = Analysis(
            cfg_file=False, num_injections=10, period_search="never",
            simulator_kwargs={"shapes": [shape], "min_width": 5.0, "max_width": 10.0, "min_amplitude": 0.7,
                              "max_amplitude": 0.9}, **how,
        )  # fmt: skip
        analysis.analyze_sources(noise(4))
        curve = analysis.efficiency(shape=shape)
        assert curve.found.sum() >= 0.9 * curve.injected.sum() > 0


def test_a_matched_filter_finds_long_faint_dips_that_single_epochs_do_not_show() -> None:
    found = {}
    for cls in ("Finder", "MatchedFilterFinder"):
        analysis = Analysis(
            cfg_file=False, num_injections=20, finder_class=cls, period_search="never",
            simulator_kwargs={"shapes": ["dip"], "min_width": 15.0, "max_width": 20.0, "min_amplitude": 3.2 * SIGMA,
                              "max_amplitude": 3.6 * SIGMA},
        )  # fmt: skip
        sources = noise(6)
        analysis.analyze_sources(sources)
        curve = analysis.efficiency()
        found[cls] = curve.found.sum() / curve.injected.sum()
    assert found["Finder"] < 0.5 and found["MatchedFilterFinder"] > 0.9
    one = next(d for s in sources for d in s.detections)
    assert one.matched_filter_kernel_props["shape"] in ("dip", "flare") and one.matched_filter_bank_name.startswith(
        "flare+dip"
    )
    assert one.score == abs(one.snr) and abs(one.extra_scores["epoch_snr"]) < one.score


def test_a_pulsator_is_found_with_its_period_and_noise_is_not() -> None:
    analysis = Analysis(cfg_file=False, num_injections=0, finder_class="PeriodFinder")
    quiet, pulsing = noise(30, epochs=150), noise(1, epochs=150, seed=5)[0]
    curve = pulsing.lightcurves[0]
    columns = {name: curve.data[name].copy() for name in ("mjd", "flux", "fluxerr", "exptime")}
    columns["flux"] *= 1.0 + 0.1 * np.sin(2 * np.pi * columns["mjd"] / 0.2345)
    pulsing.lightcurves[0] = Lightcurve(columns, source_name="p", observatory="DEMO", filter="r")
    analysis.analyze_sources([*quiet, pulsing])
    assert not any(source.detections for source in quiet)
    (one,) = pulsing.detections
    assert one.method == "periodogram" and one.extra_scores["false_alarm"] < 1e-9
    assert one.extra_scores["period"] == pytest.approx(0.2345, rel=1e-4)
