"""Analyses of light curves as surveys really send them: holes, zeros, one epoch, and what a custom analysis may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skyvault.pipeline import Analysis, Detection, Finder, Lightcurve, MatchedFilterFinder, Source
from skyvault.pipeline.rows import parcel_of


def source_of(**columns: Any) -> Source:
    """One source with a light curve of these columns; what is not given is usual."""
    count = len(next(iter(columns.values())))
    usual = {"mjd": 58000.0 + np.arange(count), "exptime": np.full(count, 30.0)}
    if "flux" not in columns:
        usual |= {"mag": np.full(count, 18.0), "magerr": np.full(count, 0.05)}
    source = Source(name="s", ra=10.0, dec=20.0, mag=18.0, project="TRIED", cfg_hash="")
    source.lightcurves.append(Lightcurve({**usual, **columns}, source_name="s", observatory="DEMO", filter="r"))
    return source


def analysed(source: Source, **how: Any) -> Source:
    Analysis(cfg_file=False, **how).analyze_sources(source)
    assert source.properties is not None
    # everything must fit into a database
    parcel = parcel_of(source)
    assert parcel.properties is not None
    return source


NOTHING = [
    {"mag": np.full(30, np.nan)}, {"mag": np.full(30, 18.0), "magerr": np.zeros(30)}, {"mag": np.array([18.0])},
    {"mag": np.array([18.0, 18.1]), "magerr": np.array([np.nan, np.nan])}, {"mag": np.full(30, 18.0), "flag": np.ones(30)},
    {"flux": np.zeros(30), "fluxerr": np.ones(30)}, {"flux": np.full(30, -5.0), "fluxerr": np.ones(30)},
    {"mag": np.full(30, 18.0), "mjd": np.full(30, 58000.0)}, {"flux": np.full(30, np.inf), "fluxerr": np.ones(30)},
    {"mag": np.full(30, 18.0), "ra": np.full(30, np.nan), "dec": np.full(30, np.nan)},
]  # fmt: skip


@pytest.mark.parametrize("columns", NOTHING)
@pytest.mark.parametrize("finder", ["Finder", "MatchedFilterFinder", "PeriodFinder"])
def test_what_says_nothing_is_no_detection_and_no_trouble(columns: dict[str, Any], finder: str) -> None:
    source = analysed(source_of(**columns), finder_class=finder, num_injections=3, period_search="always")
    assert not [one for one in source.detections if not one.simulated]
    assert source.properties is not None and source.properties.has_data is True


def test_a_source_without_epochs_has_properties_that_say_so() -> None:
    source = Source(name="s", ra=10.0, dec=20.0, project="TRIED", cfg_hash="")
    assert analysed(source).properties.has_data is False
    empty = {"mjd": np.zeros(0), "mag": np.zeros(0), "magerr": np.zeros(0), "exptime": np.zeros(0)}
    source.lightcurves.append(
        Lightcurve(empty, source_name="s", observatory="DEMO", filter="r", altdata={"exptime": 1})
    )
    assert analysed(source).properties.has_data is False


FLUXES = st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])


@given(st.lists(st.tuples(FLUXES, FLUXES, st.booleans()), min_size=1, max_size=25))
@example([(1.0, 1e-308, False), (1e-308, 1.0, False), (1e6, 1e-308, False)])
@example([(1e-308, 1e308, False)] * 3)
def test_any_fluxes_can_be_analysed(rows: list[tuple[float, float, bool]]) -> None:
    flux, error, flag = (np.array(one) for one in zip(*rows, strict=True))
    for finder in ("Finder", "MatchedFilterFinder"):
        analysed(
            source_of(flux=flux, fluxerr=error, flag=flag),
            num_injections=2,
            period_search="always",
            finder_class=finder,
        )


def test_flares_and_dips_are_told_apart_by_their_sign_and_extent() -> None:
    flux = np.full(200, 100.0) + np.random.default_rng(1).normal(0, 2.0, 200)
    flux[50:53] += [40.0, 25.0, 9.0]
    flux[120:124] -= [14.0, 30.0, 22.0, 14.0]
    source = analysed(
        source_of(flux=flux, fluxerr=np.full(200, 2.0)), num_injections=0, finder_kwargs={"max_det_per_lc": 3}
    )
    flare, dip = sorted(source.detections, key=lambda one: one.peak_time)
    assert (flare.time_start, flare.time_end) == (58050.0, 58052.0) and flare.snr > 15 and flare.peak_mag_diff > 0.3
    assert (dip.time_start, dip.time_end) == (58120.0, 58123.0) and dip.snr < -10 and dip.peak_mag_diff < -0.3
    only_up = analysed(
        source_of(flux=flux, fluxerr=np.full(200, 2.0)), num_injections=0,
        finder_kwargs={"max_det_per_lc": 3, "abs_snr": False},
    )  # fmt: skip
    assert [one.snr > 0 for one in only_up.detections] == [True]


def test_flagged_epochs_and_those_off_their_place_are_left_out_or_marked() -> None:
    flux = np.full(100, 100.0) + np.random.default_rng(2).normal(0, 2.0, 100)
    flux[[20, 60]] += 50.0
    ra, dec = np.full(100, 0.0), np.full(100, 5.0)
    jitter = np.random.default_rng(3).normal(0, 1e-5, (2, 100))
    ra, dec = (ra + jitter[0]) % 360.0, dec + jitter[1]
    dec[60] += 5e-3
    flag = np.zeros(100, bool)
    flag[20] = True
    columns = {"flux": flux, "fluxerr": np.full(100, 2.0), "ra": ra, "dec": dec, "flag": flag}
    (one,) = analysed(source_of(**columns), num_injections=0).detections
    # the flagged epoch is never a detection; the displaced one is, and says so
    assert one.peak_time == 58060.0 and one.quality_flag is True and one.quality_values["offset"] > 50
    assert not analysed(source_of(**columns), num_injections=0, finder_kwargs={"remove_failed": True}).detections


def test_quality_and_finder_may_be_applied_again_and_again() -> None:
    flux = np.full(80, 100.0) + np.random.default_rng(4).normal(0, 2.0, 80)
    flux[30] += 60.0
    analysis = Analysis(cfg_file=False)
    source = source_of(flux=flux, fluxerr=np.full(80, 2.0))
    curves = source.reduced_lightcurves
    before = curves[0].data.copy()
    found = []
    for _ in range(3):
        processed = analysis.process(curves, source)
        found.append([(d.snr, d.time_start) for d in analysis.finder.detect(processed, source)])
        # on what was processed already, too
        analysis.checker.check(processed, source)
        analysis.finder.process(processed, source)
        found.append([(d.snr, d.time_start) for d in analysis.finder.detect(processed, source)])
    assert len(found[0]) == 1 and all(one == found[0] for one in found)
    np.testing.assert_array_equal(before, curves[0].data)


class MarkedFinder(Finder):
    """The seed's hook: a detection is made a little differently."""

    def make_detection(
        self, peak: Any, number: int, lightcurves: Sequence[Lightcurve], source: Source, sim: Any
    ) -> Detection:
        made = super().make_detection(peak, number, lightcurves, source, sim)
        made.extra_scores = {**made.extra_scores, "mine": 1}
        return made


def test_a_custom_finder_overrides_one_hook_and_keeps_the_rest() -> None:
    flux = np.full(80, 100.0) + np.random.default_rng(4).normal(0, 2.0, 80)
    flux[30] += 60.0
    source = analysed(
        source_of(flux=flux, fluxerr=np.full(80, 2.0)),
        num_injections=0,
        finder_module=__name__,
        finder_class="MarkedFinder",
    )
    assert [one.extra_scores["mine"] for one in source.detections] == [1]


class Failing(Analysis):
    """Fails for some sources after they were counted."""

    def inject(self, processed: Sequence[Lightcurve], source: Source) -> None:
        if source.name == "bad":
            raise OSError("out of luck")


def test_a_source_that_fails_is_not_counted() -> None:
    analysis = Failing(cfg_file=False)
    for name in ("good", "bad", "good"):
        source = source_of(mag=np.full(40, 18.0))
        source.name = name
        if name == "bad":
            with pytest.raises(OSError, match="out of luck"):
                analysis.analyze_sources(source)
        else:
            analysis.analyze_sources(source)
    assert analysis.all_scores.get_sum_scores() + analysis.all_scores.grids["snr"].unknown == 80


def test_properties_know_the_period_of_a_variable_star_of_several_filters() -> None:
    rng = np.random.default_rng(6)
    source = Source(name="s", ra=10.0, dec=20.0, mag=15.0, project="TRIED", cfg_hash="")
    for band, amplitude in (("g", 0.5), ("r", 0.35)):
        mjd = np.sort(rng.uniform(58000, 58300, 120))
        mag = 15.0 + amplitude * np.sin(2 * np.pi * mjd / 0.61) + rng.normal(0, 0.02, 120)
        columns = {
            "mjd": mjd,
            "mag": mag,
            "magerr": np.full(120, 0.02),
            "exptime": np.full(120, 30.0),
            "filter": [band] * 120,
        }
        source.lightcurves.append(Lightcurve(columns, source_name="s", observatory="DEMO"))
    props = analysed(source, num_injections=0).properties.props
    assert props["best_period"] == pytest.approx(0.61, rel=1e-4) and props["period_false_alarm"] < 1e-20
    assert abs(props["best_period"] - 0.61) < 5 * props["period_error"]
    assert props["filters"]["g"]["amplitude_90"] == pytest.approx(0.97, abs=0.06)
    assert props["period_range"][0] == pytest.approx(0.05, rel=0.01)
    assert "best_period" not in analysed(source, num_injections=0, period_search="never").properties.props
    few = analysed(source, num_injections=0, period_max_trials=1000).properties.props
    # what was not searched is told
    assert few["period_range"][0] > 0.5


def test_the_kernels_of_a_matched_filter_are_parameters() -> None:
    finder = MatchedFilterFinder(cfg_file=False, kernel_shapes=["transit"], shortest_width=1.0, longest_width=100.0)
    assert len(finder.kernels()) == 7 and {one.shape for one in finder.kernels()} == {"transit"}
    assert finder.bank_name == "transit 1-100 d, 3 a decade"
    for wrong in ({"kernel_shapes": ["nova"]}, {"shortest_width": -1.0}, {"snr_threshold": -5.0}):
        with pytest.raises(ValueError):
            MatchedFilterFinder(cfg_file=False, **wrong).kernels()
