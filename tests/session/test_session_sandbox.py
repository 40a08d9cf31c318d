"""A session from nothing, against an archive that speaks the real one's language: every step once, and its mishaps."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from skyvault.errors import SkyvaultError
from skyvault.sandbox.faults import Fault
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    return Session(str(tmp_path / "ry_cnc"), False, settings=sandbox_settings)


@pytest.fixture
def ready(session: Session) -> Session:
    return session.select_target("V* RY Cnc").select_refcat("apass")


def files(session: Session) -> set[str]:
    return {str(path.relative_to(session.root)) for path in session.root.rglob("*") if path.is_file()}


def test_the_seed_pages_steps_give_a_light_curve_and_images(
    ready: Session, sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ready.query().name == "V* RY Cnc"
    assert abs(ready.query().ra_deg - 129.9776) < 0.01
    assert len(ready.refcat()) > 100
    curve = ready.lightcurve(0)
    assert curve.count.detected() == ready.refcat()["num_matches"][0]
    assert (curve.exposure_rows() >= 0).all()
    merged = ready.merge_lightcurves(range(4))
    assert len(np.unique(merged.exposure_rows())) == len(merged)

    imaged = ready.exposures().keep_only.has_imaging()
    exposure = imaged[0]
    shown = ready.cutout(exposure)
    assert shown == f"cutouts/{exposure['local_id']:05d}_{exposure.exp_id()}.fits"
    with fits.open(str(ready.path(shown)), memmap=False) as file:
        header = file[0].header
        assert header["EXPTIME"] == pytest.approx(float(exposure["exptime"]) * 60)
        assert header["DATE-OBS"] == exposure["obs_date"].isot
        assert "DATE-SCN" not in header or not header["DATE-SCN"].startswith("1800")
        assert file[0].data.shape == (835, 835)
    calibrated = ready.exposures().keep_only.has_phot(verbose=False)[3]
    extract = ready.extract(calibrated)
    assert extract is not None and len(extract) > 0
    assert set(extract["exp_local_id"]) == {str(calibrated.exp_id())}
    assert extract is ready.extract(int(calibrated["local_id"]))
    # all of it is on disk: nothing is asked again
    asked = sandbox.faults
    asked.set(Fault("unreachable"))
    later = Session(str(ready.root), False, settings=ready._settings)
    assert len(later.lightcurve(0)) == len(curve)
    assert later.cutout(exposure) == shown
    assert len(later.extract(calibrated)) == len(extract)  # type: ignore[arg-type]
    assert later.cutout(imaged[5], no_download=True) is None


def test_standard_rejections_hit_what_the_sandbox_has_spoiled(ready: Session) -> None:
    from skyvault.sandbox.dasch import DaschTruth

    truth = DaschTruth().measurements("V* RY Cnc")
    curve = ready.lightcurve(0)
    curve.apply_standard_rejections(verbose=False)
    assert 0 < curve.count.rejected() < 0.2 * len(curve)
    assert np.asarray(truth.is_spoiled).sum() > 0


def test_a_plate_comes_turned_and_with_its_astrometry(ready: Session) -> None:
    row = ready.exposures().keep_only.has_imaging(verbose=False)[0]
    shown = ready.mosaic(row.plate_id(), 16)
    assert shown == f"mosaics/{row.plate_id()}_16.fits"
    assert ready.mosaic(row.plate_id(), 16) == shown
    with fits.open(str(ready.path(shown)), memmap=False) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "EXPOSURS", "PHOTOS", "PEOPLE", "ORIGHDR"]
        header, image = file[0].header, file[0].data
        assert header["D_PLATE"] == row.plate_id()
        place = WCS(header).world_to_pixel(ready.query().pos_as_skycoord())
        assert 0 < float(place[0]) < image.shape[1] and 0 < float(place[1]) < image.shape[0]


@pytest.mark.parametrize("kind", ["html", "truncated", "refused"])
def test_an_answer_that_fails_leaves_nothing_and_later_it_works(
    session: Session, sandbox: Any, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    session.select_target(ra_deg=129.97758, dec_deg=19.82192)
    sandbox.faults.set(Fault(kind, archive="dasch"))
    before = files(session)
    for step in (lambda: session.select_refcat("apass"), session.exposures):
        with pytest.raises(SkyvaultError) as caught:
            step()
        assert "\n" not in str(caught.value)
        assert files(session) == before
    sandbox.faults.clear()
    session.select_refcat("apass")
    table = session.exposures()
    exposure = table.keep_only.has_imaging(verbose=False)[1]
    sandbox.faults.set(Fault(kind, archive="dasch"))
    with pytest.raises(SkyvaultError):
        session.lightcurve(0)
    assert session.cutout(exposure) is None
    assert "there is no cutout of" in capsys.readouterr().err
    assert not any(name.startswith(("lightcurves", "cutouts")) for name in files(session))
    sandbox.faults.clear()
    assert len(session.lightcurve(0)) > 0
    assert session.cutout(exposure) is not None


def test_a_connection_that_drops_once_is_not_noticed(ready: Session, sandbox: Any) -> None:
    for step in (ready.exposures, lambda: ready.lightcurve(0)):
        sandbox.faults.set(Fault("dropped", archive="dasch", times=1))
        assert len(step()) > 0


def test_what_does_not_exist_is_told_and_is_no_error(ready: Session, capsys: pytest.CaptureFixture[str]) -> None:
    unscanned = ready.exposures().drop.scanned(verbose=False)
    if len(unscanned):
        assert ready.cutout(unscanned[0]) is None
        assert "never scanned" in capsys.readouterr().err
        assert ready.extract(unscanned[0]) is None
        assert "never scanned" in capsys.readouterr().err


def test_a_place_and_time_off_every_plate_gives_empty_tables(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.select_target(ra_deg=280.0, dec_deg=-30.0).select_refcat("atlas")
    assert "no source within 850 arcsec" in capsys.readouterr().err
    assert len(session.exposures(midpoint_max=Time("1880-01-01"))) == 0
    assert "lies on no plate" in capsys.readouterr().err
    later = Session(str(session.root), False, settings=session._settings)
    assert (later.refcat_name(), len(later.refcat()), len(later.exposures())) == ("atlas", 0, 0)
    with pytest.raises(SkyvaultError, match="catalogue is empty"):
        later.lightcurve(0)
    with pytest.raises(SkyvaultError, match="uses the reference catalogue atlas"):
        later.select_refcat("apass")


def test_an_unknown_name_is_one_sentence(session: Session) -> None:
    with pytest.raises(SkyvaultError, match="No position is known of 'V\\* NOSUCH'") as caught:
        session.select_target("V* NOSUCH")
    assert "\n" not in str(caught.value)
    assert not (session.root / "query.json").exists()


def test_limits_of_time_hold_for_what_is_kept(ready: Session) -> None:
    table = ready.exposures(midpoint_min=Time("1920-01-01"), midpoint_max=Time("1930-01-01"))
    assert 0 < len(table) < 321
    assert table.count.jyear_range(1920, 1930) == len(table)
    assert len(ready.exposures()) == len(table)
    later = Session(str(ready.root), False, settings=ready._settings)
    assert len(later.exposures(midpoint_min=Time("1920-01-01"), midpoint_max=Time("1930-01-01"))) == len(table)
    with pytest.raises(SkyvaultError, match="other limits"):
        later.exposures(midpoint_min=Time("1910-01-01"))
    assert (later.lightcurve(0).exposure_rows() < 0).any()
    # all of them again: the links of the light curve follow
    assert len(later.exposures(refresh=True)) == 321
    assert (later.lightcurve(0).exposure_rows() >= 0).all()


def test_rejections_survive_a_refresh(ready: Session) -> None:
    curve = ready.lightcurve(0)
    curve.reject.narrow(tag="narrow", verbose=False)
    fresh = ready.lightcurve(0, refresh=True)
    assert fresh is not curve
    assert np.array_equal(fresh["reject"], curve["reject"])
    ready.select_refcat("apass", refresh=True)
    assert len(ready.refcat()) > 100


def test_colour_terms_select_plates_of_an_emulsion(ready: Session) -> None:
    exposures, curve = ready.exposures(), ready.lightcurve(0)
    terms = np.ma.filled(np.ma.asarray(exposures["median_colorterm_apass"]), np.nan)
    middle = float(np.nanmedian(terms))
    below = curve.count.colorterm_range(None, middle)
    assert 0 < below < len(curve)
    assert (terms[curve.exposure_rows()[curve.match.colorterm_range(None, middle)]] <= middle).all()


def test_the_exported_script_repeats_the_session_in_an_empty_folder(
    ready: Session, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready.lightcurve(1).apply_standard_rejections(verbose=False)
    ready.lightcurve(0).reject.meteor(tag="wide fields", verbose=False)
    ready.exposures().reject.series("ai", tag="bad astrometry", verbose=False)
    script = ready.export_script(tmp_path / "again.py")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(script))
    again = Session(str(empty / "ry_cnc"), False, settings=ready._settings)
    for number in (0, 1):
        assert np.array_equal(again.lightcurve(number)["reject"], ready.lightcurve(number)["reject"])
    assert np.array_equal(again.exposures()["reject"], ready.exposures()["reject"])
    assert again.exposures().rejection_tags() == ready.exposures().rejection_tags()
