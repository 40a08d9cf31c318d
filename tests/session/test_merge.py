"""The merge of the real HD 5501 light curves gives the published counts, and the rule holds for any light curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyvault.session.lightcurve import Lightcurve
from skyvault.session.merging import merge
from skyvault.session.refcat import RefcatSources
from skyvault.session.table_files import read_table


@pytest.fixture
def curves(hd5501_files: Path) -> list[Lightcurve]:
    stars = read_table(hd5501_files / "refcat.ecsv", RefcatSources)
    return [read_table(hd5501_files / "lightcurves" / f"{name}.ecsv", Lightcurve) for name in stars["ref_text"][:11]]


def sources_of_hits(merged: Lightcurve) -> list[int]:
    taken = np.asarray(merged["source_lc_index"]).astype(int)[np.asarray(merged["merge_n_hits"]) > 0]
    return np.bincount(taken, minlength=11).tolist()


def mean_and_scatter(merged: Lightcurve) -> tuple[float, float]:
    chosen = merged.magnitudes()[np.asarray(merged["merge_n_hits"]) > 0]
    return float(chosen.mean()), float(chosen.std())


def has_one_row_for_each_exposure(merged: Lightcurve) -> bool:
    names = list(zip(*(np.asarray(merged[name]) for name in ("series", "platenum", "mosnum", "solnum")), strict=True))
    linked = merged.exposure_rows()[merged.exposure_rows() >= 0]
    return len(set(names)) == len(names) and len(np.unique(linked)) == len(linked)


def test_without_rejections_the_merge_has_7982_rows(curves: list[Lightcurve]) -> None:
    assert sum(map(len, curves)) == 73_139
    merged = merge(curves)
    assert len(merged) == 7982
    assert np.bincount(merged["merge_n_hits"]).tolist() == [1981, 5950, 50, 1]
    assert sources_of_hits(merged) == [601, 341, 4588, 55, 79, 1, 37, 42, 231, 26, 0]
    assert mean_and_scatter(merged) == pytest.approx((9.33285, 0.54800), abs=5e-6)
    assert has_one_row_for_each_exposure(merged)
    assert (np.diff(merged.julian_dates()) >= 0).all()


def test_after_standard_rejections_the_merge_has_6804_rows(curves: list[Lightcurve]) -> None:
    for curve in curves:
        curve.apply_standard_rejections(verbose=False)
    assert [int(curve.is_good().sum()) for curve in curves] == [57, 112, 2011, 31, 56, 1, 27, 22, 105, 14, 0]
    merged = merge(curves)
    hits = np.asarray(merged["merge_n_hits"])
    assert len(merged) == 6804
    assert np.bincount(hits).tolist() == [4371, 2430, 3]
    assert sources_of_hits(merged) == [57, 112, 2010, 31, 56, 1, 27, 21, 104, 14, 0]
    assert mean_and_scatter(merged) == pytest.approx((9.17144, 0.53014), abs=5e-6)
    # rows without an accepted hit may hold the rejected magnitude of the first curve, and say so
    held = (hits == 0) & merged.is_detected()
    assert held.sum() == 537
    assert merged.is_rejected()[held].all()
    assert has_one_row_for_each_exposure(merged)


def test_each_merged_row_is_the_row_it_says_it_is(curves: list[Lightcurve]) -> None:
    merged = merge(curves)
    assert merged.colnames == [*curves[0].colnames, "source_lc_index", "source_lc_row", "merge_n_hits"]
    for place in (0, 17, 4000, 7981):
        row = curves[int(merged["source_lc_index"][place])][int(merged["source_lc_row"][place])]
        for name in curves[0].colnames:
            if name not in ("local_id", "pos", "time"):
                assert str(merged[name][place]) == str(row[name]), name
        assert merged["time"][place].jd == row["time"].jd
        assert str(merged["pos"][place]) == str(row["pos"])
    for name in curves[0].colnames:
        assert type(merged[name]) is type(curves[0][name]), name
