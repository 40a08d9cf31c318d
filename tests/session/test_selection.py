"""Rows are chosen by what they are, rejected under a tag, taken back, and the rejections last."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from skyvault.errors import LimitError, ParameterError, StoreError, UnitError, UsageError
from skyvault.session.exposures import Exposures
from skyvault.session.extract import Extract
from skyvault.session.flags import AFlags, BFlags
from skyvault.session.lightcurve import Lightcurve
from skyvault.session.rejections import RejectionFile
from skyvault.session.table_files import read_table

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture(scope="module")
def whole_curve(hd5501_files: Path) -> Lightcurve:
    return read_table(hd5501_files / "lightcurves" / "N311301016169.ecsv", Lightcurve)


@pytest.fixture
def curve(whole_curve: Lightcurve) -> Lightcurve:
    return whole_curve.copy()


@pytest.fixture(scope="module")
def exposures(hd5501_files: Path) -> Exposures:
    return read_table(hd5501_files / "exposures.ecsv", Exposures)


# --- light curves --------------------------------------------------------------------------------------------------


def test_detections_and_limits_are_told_apart(curve: Lightcurve) -> None:
    assert curve.count.detected() == 4593
    assert curve.count.undetected() == 7784 - 4593
    assert curve.count.not_.detected() == curve.count.undetected()
    assert curve.count.nonrej_detected() == 4593
    assert curve.count.exposure_linked() == 7784 - 133
    assert "Mean magnitude: 9.226 ± 0.456" in curve.summary_text()


def test_every_action_agrees_with_the_match(curve: Lightcurve, capsys: pytest.CaptureFixture[str]) -> None:
    rows = curve.match.narrow()
    assert curve.count.narrow() == rows.sum() == len(curve.keep_only.narrow(verbose=False))
    assert "remaining" not in capsys.readouterr().out
    assert len(curve.drop.narrow()) == (~rows).sum()
    assert f"Dropped {rows.sum()} rows; {(~rows).sum()} remaining" in capsys.readouterr().out
    inside, outside = curve.split_by.narrow()
    assert (len(inside), len(outside)) == (rows.sum(), (~rows).sum())
    assert type(inside) is Lightcurve
    assert curve.count.narrow() + curve.count.patrol() + curve.count.meteor() == len(curve)
    assert curve.count.series("AI") == curve.count.series("ai") > 0


def test_a_subset_is_a_copy(curve: Lightcurve) -> None:
    part = curve.keep_only.detected(verbose=False)
    part.reject.where(np.ones(len(part), dtype=bool), tag="mine", verbose=False)
    assert not curve.is_rejected().any()
    assert not curve.rejection_tags()


@pytest.mark.parametrize("cutoff", [9.5, 9.5 * u.mag])
def test_magnitudes_may_be_numbers_or_quantities_in_any_table(curve: Lightcurve, cutoff: float) -> None:
    extract = Extract({"magcal_magdep": np.ma.array([9.0, 9.5, 10.0, 9.9], mask=[False, False, False, True])})
    for table in (curve, extract):
        values = table.magnitudes()
        assert table.count.brighter(cutoff) == (values < 9.5).sum()
        assert table.count.detected_and_fainter(cutoff) == (values > 9.5).sum()


def test_a_cutoff_in_another_unit_is_refused(curve: Lightcurve) -> None:
    with pytest.raises(UnitError, match="mag"):
        curve.count.brighter(3 * u.deg)


def test_flags_select_only_detections(curve: Lightcurve) -> None:
    assert curve.count.any_aflags(AFlags.HIGH_BACKGROUND | AFlags.LARGE_ISO_RMS) > 0
    assert not (curve.match.any_aflags(0xFFFFFFFF) & ~curve.is_detected()).any()
    assert curve.count.any_bflags(BFlags.EXTINCTION_CAL_APPLIED) > 4000
    assert curve.count.any_local_bin_reject(7) > 0


def test_separations_are_from_the_mean_place_unless_another_is_given(curve: Lightcurve) -> None:
    near, far = curve.count.sep_below(5), curve.count.sep_above(5)
    assert near + far == curve.count.detected()
    assert near > 2000
    assert curve.count.sep_below(5 * u.arcsec) == near
    elsewhere = SkyCoord(0 * u.deg, 0 * u.deg)
    assert curve.count.sep_below(20, pos=elsewhere) == 0
    assert curve.mean_pos().separation(SkyCoord(14.41916847 * u.deg, 60.23800696 * u.deg)).arcsec < 30


def test_the_mean_place_is_right_across_ra_zero(curve: Lightcurve) -> None:
    two = curve.keep_only.detected(verbose=False)[:2]
    two["pos"] = SkyCoord([359.99, 0.03] * u.deg, [10, 10] * u.deg)
    assert abs(two.mean_pos().ra.wrap_at(180 * u.deg).deg - 0.01) < 1e-6
    limits = curve.keep_only.undetected(verbose=False)
    with pytest.raises(UsageError, match="no good detection"):
        limits.mean_pos()


def test_uncertain_times_can_be_left_out(curve: Lightcurve) -> None:
    worse = curve.count.time_accuracy_above(0.2)
    assert 0 < worse < 100
    assert curve.count.time_accuracy_below(0.2) + worse == curve.count.detected()
    assert curve.count.time_accuracy_above(4.8 * u.hour) == worse
    assert curve.count.jyear_range(1900, 1910) > 0


def test_a_row_tells_its_flags_or_that_it_has_none(curve: Lightcurve, capsys: pytest.CaptureFixture[str]) -> None:
    curve[int(np.flatnonzero(curve.is_detected())[0])].flags()
    assert "AFLAGS: 0x" in capsys.readouterr().out
    curve[int(np.flatnonzero(~curve.is_detected())[0])].flags()
    assert "upper limit" in capsys.readouterr().out


@pytest.mark.parametrize("mask", [[True], "yes", np.ones(3, dtype=bool), np.ones(7784)])
def test_a_mask_that_is_none_is_refused(curve: Lightcurve, mask: object) -> None:
    with pytest.raises(ParameterError, match="7784 booleans"):
        curve.match.where(mask)


# --- rejections ----------------------------------------------------------------------------------------------------


def test_rejections_have_tags_and_bits(curve: Lightcurve, capsys: pytest.CaptureFixture[str]) -> None:
    curve.apply_standard_rejections()
    said = capsys.readouterr().out
    assert "Assigned rejection tag `aflags` to bit number 1" in said
    assert "There are now 2011 good detections" in said
    n = int(curve.is_rejected().sum())
    curve.reject.sep_above(15, tag="astrometry")
    said = capsys.readouterr().out
    assert "bit number 2" in said
    both = curve.count.rejected()
    assert f"Marked {both - n} new rows as rejected; {both} total are rejected" in said
    assert curve.rejection_tags() == {"aflags": 0, "astrometry": 1}
    assert curve.count.rejected_with("aflags") == n
    assert curve.count.rejected_with("nothing") == 0
    with pytest.raises(ParameterError, match="no rejection tag 'nothing'"):
        curve.count.rejected_with("nothing", strict=True)


def test_a_dry_run_changes_nothing(curve: Lightcurve, capsys: pytest.CaptureFixture[str]) -> None:
    curve.reject.meteor(tag="meteor", dry_run=True)
    said = capsys.readouterr().out
    assert "WOULD assign" in said and "DID NOT mark" in said
    assert not curve.is_rejected().any() and not curve.rejection_tags()


def test_reject_unless_rejects_the_others(curve: Lightcurve) -> None:
    curve.reject_unless.narrow(tag="wide", verbose=False)
    assert np.array_equal(curve.is_rejected(), ~curve.match.narrow())
    other = curve.copy()
    other.unreject.rejected(verbose=False)
    other.reject.not_.narrow(tag="wide", verbose=False)
    assert np.array_equal(other["reject"], curve["reject"])


def test_a_rejection_can_be_taken_back_alone(curve: Lightcurve, capsys: pytest.CaptureFixture[str]) -> None:
    curve.apply_standard_rejections(verbose=False)
    curve.reject.meteor(tag="meteor", verbose=False)
    first, second = curve.count.rejected_with("aflags"), curve.count.rejected_with("meteor")
    curve.unreject.meteor(tag="meteor", dry_run=True)
    assert curve.count.rejected_with("meteor") == second
    curve.unreject.meteor(tag="meteor")
    assert "Accepted" in capsys.readouterr().out
    assert (curve.count.rejected_with("aflags"), curve.count.rejected_with("meteor")) == (first, 0)
    assert curve.rejection_tags() == {"aflags": 0}
    curve.reject.patrol(tag="patrol", verbose=False)  # takes the bit that fell free
    assert curve.rejection_tags() == {"aflags": 0, "patrol": 1}
    curve.unreject.where(np.ones(len(curve), dtype=bool), verbose=False)
    assert not curve.is_rejected().any() and not curve.rejection_tags()
    with pytest.raises(ParameterError, match="no rejection tag"):
        curve.unreject.detected(tag="never")


def test_a_rejection_needs_a_tag_and_there_are_64(curve: Lightcurve) -> None:
    with pytest.raises(ParameterError, match="tag"):
        curve.reject.detected()
    for number in range(64):
        curve.reject.local_id(number, tag=f"t{number}", verbose=False)
    assert curve.count.rejected() == 64
    with pytest.raises(LimitError, match="64"):
        curve.reject.local_id(70, tag="one more")


def test_rejections_last_and_find_their_rows_when_the_data_change(curve: Lightcurve, tmp_path: Path) -> None:
    file = RejectionFile(tmp_path / "rejections" / "star.parquet")
    curve.rejection_file = file
    curve.apply_standard_rejections(verbose=False)
    curve.reject.meteor(tag="meteor", verbose=False)
    same = curve.copy()
    assert same.rejection_file is None
    same["reject"][:] = 0
    same.meta.clear()
    file.restore(same)
    assert np.array_equal(same["reject"], curve["reject"])
    assert same.rejection_tags() == curve.rejection_tags()
    # rows lost and gained elsewhere: each rejection stays with its plate
    keep = np.ones(len(curve), dtype=bool)
    keep[::7] = False
    fewer = curve[keep]
    fewer["reject"][:] = 0
    file.restore(fewer)
    assert np.array_equal(fewer["reject"], curve["reject"][keep])
    curve.unreject.rejected(verbose=False)
    assert not file.path.exists()


def test_a_damaged_file_of_rejections_is_told(curve: Lightcurve, tmp_path: Path) -> None:
    path = tmp_path / "star.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="rejections cannot be read"):
        RejectionFile(path).restore(curve)


# --- exposures -----------------------------------------------------------------------------------------------------


def test_exposures_are_chosen_by_what_happened_to_them(exposures: Exposures) -> None:
    assert exposures.count.has_imaging() == 18_481
    assert exposures.count.scanned() == 25_556 - 4_877
    assert exposures.count.series("AI") == 11_737
    assert exposures.count.jyear_range(1885, 1990) == 25_556
    assert exposures.count.has_phot() == 0  # a folder of 2024 does not say so
    assert exposures.count.plate_names(["B65", "b00071", "zz99999"]) == 2
    assert exposures.count.local_id(17) == 1
    with pytest.raises(ParameterError, match="list of names"):
        exposures.match.plate_names("b65")
    with pytest.raises(ParameterError, match="no plate name"):
        exposures.match.plate_names(["b65; drop"])
    with pytest.raises(ParameterError, match="emulsion"):
        exposures.match.emulsion("green")
    assert exposures.count.emulsion("yellow") == exposures.count.series("dny") + exposures.count.series("dsy")


def test_exposures_tell_their_names_and_series(exposures: Exposures) -> None:
    never, scanned = exposures[0], exposures[38]
    assert (str(never.exp_id()), never.plate_id(), never.has_imaging()) == ("b00065e0", "b00065", False)
    assert (str(scanned.exp_id()), scanned.has_imaging(), scanned.has_phot()) == ("b02690m0s0", True, False)
    info = exposures.series_info()
    assert [tuple(row) for row in info["series", "count"][:5]] == [
        ("ai", 11737), ("fa", 4159), ("ac", 3709), ("ka", 1428), ("i", 849)
    ]  # fmt: skip
    assert info["kind"][0] == "METEOR"


def test_a_table_without_a_session_says_so(exposures: Exposures) -> None:
    with pytest.raises(UsageError, match="no open session"):
        exposures.candidate_nice_cutouts()
