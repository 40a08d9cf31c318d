"""Histograms: everything is counted once, and parts add up to the whole."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.pipeline import Histogram
from skyvault.pipeline.faults import DataError
from skyvault.science.histogram import CountGrid, FixedAxis, GrowingAxis, NamedAxis

AXES = (
    FixedAxis("mag", 15, 21, 0.5),
    GrowingAxis("exptime", 30, 1, "s"),
    NamedAxis("filter"),
    FixedAxis("snr", -20, 20, 0.1),
)
ROWS = st.lists(
    st.tuples(
        st.floats(10, 25),
        st.floats(25, 40),
        st.sampled_from(["g", "r", "i"]),
        st.floats(-30, 30) | st.just(float("nan")),
    ),
    max_size=30,
)


def counted(rows: list[tuple[float, float, str, float]]) -> CountGrid:
    grid = CountGrid(AXES)
    if rows:
        mag, exptime, band, snr = zip(*rows, strict=True)
        grid.add(mag=np.array(mag), exptime=np.array(exptime), filter=np.array(band), snr=np.array(snr))
    return grid


@given(ROWS, ROWS)
def test_counting_two_parts_and_adding_is_counting_both_together(
    one: list[tuple[float, float, str, float]], other: list[tuple[float, float, str, float]]
) -> None:
    added, together = counted(one) + counted(other), counted([*one, *other])
    assert added.axes == together.axes
    np.testing.assert_array_equal(added.counts, together.counts)
    assert added.total + added.unknown == len(one) + len(other)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(added)).counts, added.counts)


def test_the_counts_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 3, 5000), rng.uniform(-2, 2, 5000)
    grid = CountGrid((FixedAxis("x", -5, 5, 0.5), FixedAxis("y", -1, 1, 0.25)))
    grid.add(x=x, y=y)
    edges = [np.arange(-5.25, 5.5, 0.5), np.arange(-1.125, 1.2, 0.25)]
    np.testing.assert_array_equal(grid.counts[1:-1, 1:-1], np.histogramdd((x, y), edges)[0])
    assert grid.beyond("y") == (int((y < -1.125).sum()), int((y > 1.125).sum()))


def test_histograms_with_other_axes_are_not_added() -> None:
    with pytest.raises(ParameterError, match="cannot be added"):
        CountGrid((FixedAxis("x", 0, 1, 0.1),)) + CountGrid((FixedAxis("x", 0, 1, 0.2),))


def test_a_histogram_is_kept_as_netcdf(tmp_path: Path) -> None:
    from scipy.io import netcdf_file

    one = Histogram("all_scores", cfg_file=False, score_names=["snr"])
    one.add_data({"filter": "R", "mag": 18.2, "exptime": 30.0}, {"snr": np.array([0.0, 0.04, 99.0])})
    one.save(tmp_path / "one.nc")
    other = Histogram("all_scores", cfg_file=False, score_names=["snr"])
    other.load(tmp_path / "one.nc")
    np.testing.assert_array_equal(other.grids["snr"].counts, one.grids["snr"].counts)
    assert (one + other).get_sum_scores() == 6
    with netcdf_file(tmp_path / "one.nc", mmap=False) as file:
        assert int(file.variables["snr_counts"][:].sum()) == 3
        assert file.variables["snr_snr"].shape == (403,)


def test_the_netcdf_file_says_what_its_bins_are(tmp_path: Path) -> None:
    from scipy.io import netcdf_file

    one = Histogram("good_scores", cfg_file=False, score_names=["snr"])
    for band in ("R", "Gaia,G"):
        one.add_data({"filter": band, "mag": 18.2, "exptime": 30.0}, {"snr": np.array([0.0, np.nan, -99.0])})
    one.save(tmp_path / "histograms_good_scores.nc")
    with netcdf_file(tmp_path / "histograms_good_scores.nc", mmap=False) as file:
        counts = file.variables["snr_counts"]
        assert counts.dimensions == ("snr_mag", "snr_exptime", "snr_filter", "snr_snr") and counts.unknown == 2
        names = [b"".join(row).rstrip(b"\0") for row in file.variables["snr_filter"][:]]
        assert names == [b"Gaia,G", b"R"]
        assert file.variables["snr_snr"][[0, 201, -1]].tolist() == [-np.inf, pytest.approx(0.0, abs=1e-9), np.inf]
        assert counts[:].sum(axis=(0, 1, 2))[[0, 201]].tolist() == [2, 2]
    again = Histogram.from_netcdf(tmp_path / "histograms_good_scores.nc")
    assert again.name == "good_scores" and again.get_sum_scores() == 4 and again.get_size() == one.get_size()
    with pytest.raises(DataError, match="cannot be read"):
        Histogram.from_netcdf(tmp_path / "none.nc")


@given(st.lists(st.tuples(ROWS, st.booleans()), max_size=4))
def test_rows_that_waited_are_counted_like_rows_that_did_not(parts: list[tuple[list[Any], bool]]) -> None:
    waiting = Histogram("h", cfg_file=False, score_names=["snr"])
    at_once = Histogram("h", cfg_file=False, score_names=["snr"])
    for rows, is_kept in parts:
        if not rows:
            continue
        mag, exptime, band, snr = (list(one) for one in zip(*rows, strict=True))
        about = {"mag": mag[0], "filter": band[0], "exptime": np.array(exptime)}
        mark = waiting.mark()
        waiting.add_data(about, {"snr": np.array(snr)})
        if not is_kept:
            waiting.forget(mark)
            continue
        at_once.add_data(about, {"snr": np.array(snr)})
        assert at_once.grids
    np.testing.assert_array_equal(waiting.grids["snr"].counts, at_once.grids["snr"].counts)
    assert waiting.grids["snr"].unknown == at_once.grids["snr"].unknown


def test_an_absurd_value_costs_no_other_counts() -> None:
    one = Histogram("h", cfg_file=False, score_names=["snr"])
    for exptime in (30.0, 1e12, 60.0):
        one.add_data({"filter": "R", "mag": 18.0, "exptime": exptime}, {"snr": np.zeros(5)})
    assert one.get_sum_scores() == 10 and one.grids["snr"].unknown == 5
