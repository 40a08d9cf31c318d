"""A real ZTF light curve of 1,852 epochs: the numbers agree with AstroRetriever's, or differ for a stated reason."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from skyvault.pipeline import Analysis, RawPhotometry, Source, VirtualZTF

#: filter, series, n, good, first and last MJD, mean, rms, robust mean and rms, max, min, robust mean magnitude
GOLDEN = [
    ("zg", "2018-5-zg", 293, 277, 58246.4848, 58514.1756, 29.8299, 4.046, 29.6864, 3.7014, 43.7486, 17.7406, 20.2186),
    ("zr", "2018-5-zr", 417, 401, 58247.4697, 58523.1565, 27.8757, 4.003, 27.7325, 3.75, 46.4103, 18.1558, 20.2925),
    ("zi", "2018-7-zi", 9, 9, 58307.4318, 58397.2998, 31.4541, 4.5751, 30.7188, 4.5751, 41.2905, 25.963, 20.1815),
    ("zr", "2019-4-zr", 214, 210, 58597.494, 58894.1317, 30.057, 6.831, 29.434, 5.8557, 55.1152, 16.4904, 20.2279),
    ("zg", "2019-6-zg", 278, 274, 58638.449, 58895.1356, 29.2423, 3.6853, 29.0317, 3.2497, 48.8378, 20.908, 20.2428),
    ("zi", "2019-7-zi", 10, 10, 58670.4114, 58751.3479, 32.1573, 11.7979, 26.4993, 11.7979, 55.8655, 21.6321, 20.3419),
    ("zg", "2020-4-zg", 225, 221, 58963.4955, 59256.1353, 29.7023, 3.8596, 29.428, 3.2435, 52.2966, 21.5129, 20.2281),
    ("zr", "2020-4-zr", 235, 229, 58965.4892, 59256.1554, 26.7515, 3.4143, 26.5682, 3.0353, 42.3617, 18.8873, 20.3391),
    ("zr", "2021-4-zr", 98, 97, 59328.4912, 59522.2014, 26.976, 4.1702, 26.2667, 2.702, 48.9546, 19.0384, 20.3515),
    ("zg", "2021-6-zg", 73, 73, 59382.4306, 59522.2481, 28.5679, 4.8672, 27.9778, 2.6965, 61.979, 19.9824, 20.283),
]
#: S/N and dS/N extremes, dmag brightest and faintest
EXTREMES = [
    (11.8193, 4.7929, 3.7991, -3.2273, 0.4122, -0.531),
    (12.3761, 4.8416, 4.9808, -2.5538, 0.5468, -0.4357),
    (8.5423, 5.6749, 2.1871, -1.0395, 0.3109, -0.1737),
    (9.4122, 2.8161, 4.3857, -2.2104, 0.6525, -0.5532),
    (14.7968, 6.4338, 6.0008, -2.4998, 0.5561, -0.3444),
    (4.7352, 1.8336, 2.4891, -0.4125, 0.6853, -0.1569),
    (15.6002, 6.6327, 6.8218, -2.4403, 0.6155, -0.3292),
    (12.4153, 6.2225, 4.6287, -2.5305, 0.4982, -0.3574),
    (13.9718, 6.7892, 6.4752, -2.5776, 0.668, -0.3395),
    (16.9986, 7.4105, 9.3253, -2.9651, 0.8557, -0.3561),
]
#: S/N, peak time, magnitude, brightening: all four that AstroRetriever finds
DETECTIONS = [
    (6.0008, "2019-11-14T04:59:55.003", 19.6781, 0.5647),
    (6.8218, "2020-09-02T11:42:32.003", 19.6038, 0.6243),
    (6.4752, "2021-04-30T11:54:18.996", 19.6755, 0.6760),
    (9.3253, "2021-10-10T08:54:49.003", 19.4194, 0.8636),
]


def real_source(shared_data: Path) -> Source:
    with gzip.open(shared_data / "lightcurves/ztf_misc/ZTF_lightcurve.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    names = ("oid", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec", "exptime")
    whole = {"oid", "catflags"}
    columns = {
        name: np.array([row[name] for row in rows])
        if name == "filtercode"
        else np.array([row[name] or "nan" for row in rows], np.int64 if name in whole else np.float64)
        for name in names
    }
    source = Source(
        name="real", ra=float(np.median(columns["ra"])), dec=float(np.median(columns["dec"])),
        mag=float(np.nanmedian(columns["mag"])), project="GOLDEN", cfg_hash="",
    )  # fmt: skip
    raw = RawPhotometry(source_name="real", observatory="ZTF", colmap={"flag": "catflags", "filter": "filtercode"})
    raw.set_data(columns)
    source.raw_photometry.append(raw)
    return source


@pytest.fixture(scope="module")
def analysed(shared_data: Path) -> Source:
    source = real_source(shared_data)
    VirtualZTF(project="golden", cfg_file=False).reduce(source)
    Analysis(cfg_file=False, num_injections=0).analyze_sources(source)
    return source


def test_the_ten_light_curves_have_the_known_statistics(analysed: Source) -> None:
    curves = analysed.reduced_lightcurves
    made = [
        (
            c.filter, c.altdata["series_name"], c.number, c.num_good, c.time_start, c.time_end, c.flux_mean, c.flux_rms,
            c.flux_mean_robust, c.flux_rms_robust, c.flux_max, c.flux_min, c.mag_mean_robust,
        ) for c in curves
    ]  # fmt: skip
    assert [row[:4] for row in made] == [row[:4] for row in GOLDEN]
    np.testing.assert_allclose([r[4:6] for r in made], [r[4:6] for r in GOLDEN], atol=1e-4, rtol=0)
    np.testing.assert_allclose([r[6:] for r in made], [r[6:] for r in GOLDEN], atol=6e-4, rtol=0)
    assert sum(c.number or 0 for c in curves) == 1852
    assert {c.exp_time for c in curves} == {30.0}
    assert not any(c.is_uniformly_sampled for c in curves)


def test_signal_to_noise_ratios_and_luptitudes_are_the_known_ones(analysed: Source) -> None:
    made = [
        (c.snr_max, c.snr_min, c.dsnr_max, c.dsnr_min, c.dmag_brightest, c.dmag_faintest)
        for c in analysed.reduced_lightcurves
    ]
    np.testing.assert_allclose(made, EXTREMES, atol=6e-4, rtol=0)


def test_the_four_known_detections_are_found(analysed: Source) -> None:
    found = sorted(analysed.detections, key=lambda one: one.peak_time)
    from skyvault.pipeline.tables import datetime_of_mjd

    assert len(found) == 4
    for one, (snr, time, mag, brighter) in zip(found, DETECTIONS, strict=True):
        assert one.snr == pytest.approx(snr, abs=6e-4)
        assert datetime_of_mjd(one.peak_time).isoformat(timespec="milliseconds")[:21] == time[:21]
        assert one.peak_mag == pytest.approx(mag, abs=1e-4)
        assert one.peak_mag_diff == pytest.approx(brighter, abs=1e-4)


def test_events_are_the_run_around_the_peak_and_offsets_know_that_right_ascension_wraps(analysed: Source) -> None:
    """AstroRetriever's events spanned months, and offsets of up to 1.1e7 came from right ascensions 0 and 360."""
    for one in analysed.detections:
        assert one.time_end - one.time_start < 1.0
        assert abs(one.quality_values["offset"]) < 100.0


def test_every_epoch_is_counted_once(shared_data: Path) -> None:
    source = real_source(shared_data)
    VirtualZTF(project="golden", cfg_file=False).reduce(source)
    analysis = Analysis(cfg_file=False, num_injections=0)
    analysis.analyze_sources(source)
    for histogram in (analysis.all_scores, analysis.quality_values):
        assert next(iter(histogram.grids.values())).total == 1852
    good = sum(int((~c.data["qflag"]).sum()) for c in analysis.process(source.reduced_lightcurves, source))
    assert analysis.good_scores.get_sum_scores() == good < 1852


#: of each light curve: first object of ZTF, epochs the survey flags, epochs AstroRetriever's quality check flags
FLAGS = [
    (805101300013289, 16, 35), (805201300017324, 16, 43), (736315200051262, 0, 0), (736215200001589, 4, 18),
    (736115200001082, 4, 17), (736315200051262, 0, 1), (736115200001082, 4, 26), (736215200001589, 6, 32),
    (805201300017324, 1, 9), (805101300013289, 0, 7),
]  # fmt: skip
#: light curve, row of the peak, all rows AstroRetriever takes for the event, its quality flag
EVENTS = [
    (4, 249, [14, 155, 213, 249], True), (6, 127, [0, 1, 127, 177, 179], True), (8, 6, [6, 13, 62, 83], False),
    (9, 62, [62], True),
]  # fmt: skip


def test_objects_and_flags_are_the_known_ones(analysed: Source) -> None:
    processed = Analysis(cfg_file=False, num_injections=0).process(analysed.reduced_lightcurves, analysed)
    made = [
        (c.altdata["object_id"], int(c.is_flagged.sum()), int(c.data["qflag"].sum())) for c in processed
    ]  # fmt: skip
    # light curve 6 has one more: there, right ascensions on both sides of 0 had spoilt the spread of the offsets
    expected = [(*row[:2], 27) if number == 6 else row for number, row in enumerate(FLAGS)]
    assert made == expected
    assert all(np.nanmax(np.abs(c.data["offset"])) < 20.0 for c in processed)


def test_events_have_the_known_peaks_but_not_the_rows_months_away(analysed: Source) -> None:
    """AstroRetriever takes every row above the side band for one event; here it is the unbroken run around the peak.

    So the quality flag is that of the event itself: two of its three flagged detections were flagged for other nights.
    """
    found = sorted(analysed.detections, key=lambda one: one.peak_time)
    for one, (number, peak, rows, flag) in zip(found, EVENTS, strict=True):
        assert one.processed_photometry_peak_number == number
        assert one.processed_photometry_data_ranges == {str(number): [peak]} and peak in rows
        assert one.quality_flag is (flag and rows == [peak])
    assert found[3].quality_values["offset"] == pytest.approx(4.05, abs=0.005)


def test_the_rows_of_the_raw_data_and_a_thumbnail_are_kept(analysed: Source) -> None:
    raw = analysed.raw_photometry[0]
    for one in analysed.detections:
        assert one.raw_photometry_peak_number == 0
        (row,) = one.raw_photometry_data_ranges["0"]
        assert raw.data["mag"][row] == one.peak_mag and raw.mjds[row] == one.peak_time
        held = one.get_thumbnail()
        assert held is not None and held.is_event.sum() == 1 and held.mjd == one.peak_time
        assert 1000 < len(one.thumbnail) + len(one.thumbnail_png()) < 5000


def test_histograms_have_the_known_axes(shared_data: Path) -> None:
    source = real_source(shared_data)
    VirtualZTF(project="golden", cfg_file=False).reduce(source)
    analysis = Analysis(cfg_file=False, num_injections=0)
    analysis.analyze_sources(source)
    # magnitude 13, exposure 271, filter 3, S/N 401 or offset 101: and two bins beyond each fixed axis
    assert analysis.all_scores.grids["snr"].counts.shape == (13 + 2, 271, 3, 401 + 2)
    assert analysis.quality_values.grids["offset"].counts.shape == (13 + 2, 271, 3, 101 + 2)


def test_properties_sum_up_the_source(analysed: Source) -> None:
    assert analysed.properties is not None
    props = analysed.properties.props
    assert (props["num_epochs"], props["num_good"], props["num_lightcurves"], props["num_detections"]) == (
        1852,
        1801,
        10,
        4,
    )
    assert props["best_snr"] == pytest.approx(9.3253, abs=6e-4)
    assert {name: part["num"] for name, part in props["filters"].items()} == {"zg": 783, "zi": 18, "zr": 862}
    # it hardly varies beyond its errors: no period is looked for
    assert "best_period" not in props and props["filters"]["zg"]["reduced_chi2"] < 2.0
