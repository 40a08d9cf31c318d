"""A session takes any archive that answers its questions; here one of paper, with the real archive's replies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skyvault.missions.dasch_api import EXPOSURE_TYPES, PHOTOMETRY_TYPES, REFCAT_TYPES, csv_lines
from skyvault.session.archive import MosaicArchive, PlateArchive
from skyvault.session.dasch_archive import DaschArchive
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


class Paper:
    """The real replies about T CrB; ``asked`` counts the questions."""

    def __init__(self, folder: Path, *, only_limits: bool = False) -> None:
        self.asked: Counter[str] = Counter()
        self.only_limits = only_limits
        self._folder = folder

    def _reply(self, name: str, types: dict[str, pa.DataType]) -> pa.Table:
        path = self._folder / f"{name}.json"
        return csv_lines(path.read_bytes(), path.name, types, ())

    def catalogue(
        self, refcat: str, ra_deg: float, dec_deg: float, radius_arcsec: float, *, refresh: bool = False
    ) -> pa.Table:
        self.asked["catalogue"] += 1
        assert (refcat, radius_arcsec) == ("apass", 850.0)
        return self._reply("tcrb_querycat", REFCAT_TYPES)

    def exposures(self, ra_deg: float, dec_deg: float, *, refresh: bool = False) -> pa.Table:
        self.asked["exposures"] += 1
        return self._reply("exposures_sample_reassembled", EXPOSURE_TYPES)

    def light_curve(self, refcat: str, gsc_bin_index: int, ref_number: int, *, refresh: bool = False) -> pa.Table:
        self.asked[f"light curve {gsc_bin_index} {ref_number}"] += 1
        rows = self._reply("tcrb_lightcurve_sample", dict(PHOTOMETRY_TYPES))
        return rows.filter(pa.compute.is_null(rows["ref_number"])) if self.only_limits else rows

    def plate_photometry(
        self, refcat: str, plate_id: str, solution: int, ra_deg: float, dec_deg: float, *, refresh: bool = False
    ) -> pa.Table:
        self.asked[f"plate {plate_id} {solution}"] += 1
        return self._reply("tcrb_lightcurve_sample", dict(PHOTOMETRY_TYPES))

    def cutout(
        self, plate_id: str, solution: int, ra_deg: float, dec_deg: float, target: Path, *, refresh: bool = False
    ) -> None:
        self.asked["cutout"] += 1
        target.write_bytes(b"SIMPLE  =                    T" + bytes(2850))


@pytest.fixture
def replies(shared_data: Path) -> Path:
    return shared_data / "lightcurves" / "dasch_api"


def opened(folder: Path, archive: PlateArchive) -> Session:
    session = Session(str(folder), False, archive=archive)
    return session.select_target(ra_deg=239.8757, dec_deg=25.92).select_refcat("apass")


def test_each_question_is_asked_once_and_never_again(replies: Path, tmp_path: Path) -> None:
    archive = Paper(replies)
    for _ in range(2):
        session = opened(tmp_path / "t_crb", archive)
        assert len(session.exposures()) == 6
        row = np.flatnonzero(session.refcat()["ref_text"] == "APASS_J155930.2+255513")[0]
        curve = session.lightcurve(int(row))
        assert "11.771 ± 0.204" in curve.summary_text()
        extract = session.extract(0)
        assert extract is not None and "11.771 ± 0.204" in extract.summary_text()
    assert archive.asked == {
        "catalogue": 1,
        "exposures": 1,
        "light curve 121408110 415593021255513": 1,
        "plate ai33112 0": 1,
    }
    session.lightcurve(int(row), refresh=True)
    assert archive.asked["light curve 121408110 415593021255513"] == 2


def test_a_source_that_was_never_detected_has_upper_limits_only(
    replies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = opened(tmp_path / "t_crb", Paper(replies, only_limits=True))
    curve = session.lightcurve(0)
    assert "never detected" in capsys.readouterr().err
    assert (len(curve), curve.count.detected()) == (3, 0)
    assert "Non-rejected detections: 0" in curve.summary_text()
    assert len(curve.plot().axes) == 1
    assert len(session.merge_lightcurves([0, 0])) == 3
    curve.apply_standard_rejections(verbose=False)
    assert not curve.is_rejected().any()


def test_what_is_no_image_is_not_kept(replies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = opened(tmp_path / "t_crb", Paper(replies))
    assert session.cutout(0) is None
    assert "there is no cutout of ai33112m1s0" in capsys.readouterr().err
    assert list((session.root / "cutouts").iterdir()) == []


def test_the_extract_of_an_uncalibrated_plate_says_why(
    replies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = opened(tmp_path / "t_crb", Paper(replies))
    row = int(np.flatnonzero(~session.exposures().match.has_phot())[0])
    assert session.extract(row) is None
    assert "not calibrated with apass" in capsys.readouterr().err


def test_dasch_gives_whole_plates_too() -> None:
    assert isinstance(DaschArchive(), MosaicArchive)
