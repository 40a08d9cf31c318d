"""Light curves, cutouts, plates and signed images of the missions for one search, against the sandbox's truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from missions.time_domain_cases import CASES, RY_CNC, Case, same
from skyvault.config import Settings
from skyvault.errors import SkyvaultError
from skyvault.missions import DASCH, TESS, ZTF, Rubin
from skyvault.missions.connections import close_all
from skyvault.missions.faults import MissionValueError, MissionWarning
from skyvault.net.faults import Refused, WrongContent
from skyvault.sandbox import Fault, Sandbox


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Iterator[Settings]:
    yield Settings(home=tmp_path / "home", endpoints=sandbox.endpoints(), archive_backoff_s=0.0)
    close_all()


# --- light curves --------------------------------------------------------------------------------------------------


def test_dasch_tells_a_century_of_a_star(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    mission = DASCH.around(RY_CNC, settings=settings, output=tmp_path)
    stars = mission.reference_stars()
    assert stars["sep_arcsec"][0].as_py() < 0.1
    curve = mission.light_curve()
    truth = sandbox.emulations["dasch"].truth.measurements("V* RY Cnc")  # type: ignore[attr-defined]
    assert len(curve) == len(truth.rows)
    assert int((~curve.is_limit).sum()) == int(truth.is_detected.sum()) == stars["num_matches"][0].as_py()
    assert len(curve.detections) == int(truth.is_detected.sum())
    # the same star by its two numbers, its row, and its name
    row = stars.slice(0, 1).to_pylist()[0]
    for source in ((row["ref_number"], row["gsc_bin_index"]), row, row["ref_text"], RY_CNC):
        assert mission.light_curve(source).rows.equals(curve.rows)
    with pytest.raises(MissionValueError, match="not among the"):
        mission.light_curve("APASS_J000000.0+000000")
    with pytest.raises(MissionValueError, match="takes no radius"):
        DASCH.around(RY_CNC, 0.1, settings=settings)


@pytest.mark.parametrize("survey", ["DASCH", "ZTF", "TESS"])
def test_barycentric_times_put_the_eclipses_where_they_are(
    survey: str, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    variable = next(
        v
        for v in sandbox.emulations["dasch"].truth.variables()
        if v.name == "V* RY Cnc"  # type: ignore[attr-defined]
    )
    case = next(c for c in CASES if c.mission_class.__name__ == survey)
    mission = case.make(settings, tmp_path)
    if survey == "DASCH":
        curve = mission.light_curve()
        good = ~curve.is_limit & (np.nan_to_num(_numbers(curve.rows["aflags"])) == 0)
        mag, times = _numbers(curve.rows["magcal_magdep"]), curve.mjd_tdb()
    elif survey == "ZTF":
        curve = mission.light_curve(bands="zr")
        good = _numbers(curve.rows["catflags"]) == 0
        # stamps are of the begin of exposures
        mag, times = _numbers(curve.rows["mag"]), curve.mjd_tdb() + 15.0 / 86400.0
    else:
        curve = mission.light_curve(sector=mission.all_obs_info["sector"][0].as_py())
        flux = _numbers(curve.rows["PDCSAP_FLUX"])
        good = (_numbers(curve.rows["QUALITY"]) == 0) & np.isfinite(flux) & (flux > 0)
        mag, times = -2.5 * np.log10(np.where(good, flux, 1.0)), curve.mjd_tdb()
    change = variable.change(times[good])
    left = mag[good] - change
    scatter = 1.48 * np.median(np.abs(left - np.median(left)))
    # an error of 8 minutes would show: magnitudes change by 0.1 a minute in the eclipse of a star of one day
    left = left - np.median(left)
    # defects that no flag tells of
    wrong = np.abs(left) > 5 * scatter
    assert wrong.mean() < 0.02
    assert np.std(left[~wrong]) < 1.6 * scatter + 0.01
    assert change.max() > 0.5


def _numbers(column: Any) -> Any:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def test_ztf_is_asked_by_object_or_by_place(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    mission = ZTF.around(RY_CNC, settings=settings, output=tmp_path)
    oids = sandbox.emulations["ztf"].truth.oids("V* RY Cnc")  # type: ignore[attr-defined]
    around = mission.light_curve()
    assert sorted(set(around.rows["oid"].to_pylist())) == sorted(oids)
    one = mission.light_curve(oids[0])
    assert set(one.rows["oid"].to_pylist()) == {oids[0]}
    assert len(mission.light_curve([str(oids[0]), oids[1]])) == len(one) + len(mission.light_curve(oids[1]))
    clean = mission.light_curve(oids[0], bad_flags=32768)
    assert len(clean) < len(one)
    assert set(mission.light_curve(bands=["g"]).rows["filtercode"].to_pylist()) == {"zg"}
    assert len(mission.light_curve((RY_CNC[0], RY_CNC[1] + 0.4), radius_arcsec=1.0)) == 0
    for source, told in (((10.0, -40.0), "south"), (12, "no object"), ("736115200001082x1", "resolver|position")):
        with pytest.raises(SkyvaultError, match=told):
            mission.light_curve(source)
    with pytest.raises(MissionValueError, match="up to 600"):
        mission.light_curve(radius_arcsec=601.0)


def test_tess_is_asked_by_target(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    mission = TESS.of_tic("TIC 25155310", settings=settings, output=tmp_path)
    curve = mission.light_curve()
    assert curve.source_id == "25155310"
    assert str(curve.time) == "TIME + JD 2457000, TDB, BARYCENTER, middle of exposure"
    assert sorted(set(curve.rows["SECTOR"].to_pylist())) == sorted(set(mission.all_obs_info["sector"].to_pylist()))
    truth = sandbox.emulations["mast"].truth  # type: ignore[attr-defined]
    # of a sector with two cadences the faster is taken
    wanted = {(o.sector, o.cadence_s): o.rows for o in truth.observations(25155310)}
    last = max(sector for sector, _ in wanted)
    assert len(mission.light_curve(sector=last)) == wanted[last, 20]
    assert {round(x, 2) for x in curve.rows["EXPOSURE_S"].to_pylist()} == {95.04, 19.8}
    assert mission.target_pixels(str(mission.filtered_obs_ids[0])).name.endswith("_tp.fits")
    with pytest.raises(MissionValueError, match="no TIC 424242424242"):
        TESS.of_tic(424242424242, settings=settings)
    with pytest.raises(MissionValueError, match="light curves of 0 targets"):
        mission.light_curve(sector=99)
    wide = TESS.around(RY_CNC, 0.4, settings=settings, output=tmp_path)
    with pytest.raises(MissionValueError, match=r"light curves of \d+ targets: TIC"):
        wide.light_curve()
    assert mission.targets(0.05)["dstArcSec"][0].as_py() < 1.0


@pytest.mark.parametrize("kind", ["dropped", "busy", "html", "truncated"])
@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.mission_class.__name__)
def test_a_light_curve_survives_a_passing_fault(
    kind: str, case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    mission = case.make(settings, tmp_path)
    sandbox.faults.set(Fault(kind, archive=case.archive, times=1))
    if kind == "html" and case.archive == "mast":
        # a page instead of a file does not pass by itself, but the next time it may
        with pytest.raises(WrongContent, match="page"):
            mission.light_curve()
    curve = mission.light_curve()
    assert sandbox.faults.struck[kind]
    sandbox.faults.clear()
    assert same(curve.rows, mission.light_curve(refresh=True).rows)


def test_rubin_has_no_light_curves_and_wants_a_token(settings: Settings, tmp_path: Path) -> None:
    mission = CASES[3].make(settings, tmp_path)
    with pytest.raises(MissionValueError, match="no light curves"):
        mission.light_curve()
    with pytest.raises(Refused, match="token"):
        Rubin.around((61.9, -36.9), settings=settings, token="gt-wrong")
    assert mission.obs_ids_of(698740112)
    assert "gt-sandbox" not in repr(mission.archive.__dict__)


def test_rubins_links_are_signed_anew(sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    mission = CASES[3].make(settings, tmp_path)
    sandbox.faults.set(Fault("expired-links", archive="rubin", times=1))
    path = mission.image(mission.obs_ids_of(698740112)[0])
    assert sandbox.faults.struck["expired-links"]
    assert path.stat().st_size > 100_000


# --- images of plates ----------------------------------------------------------------------------------------------


def _on_series(mission: Any, series: str) -> str:
    rows = mission.filtered_obs_info.select(["ObsID", "series"]).to_pylist()
    return next(row["ObsID"] for row in rows if row["series"] == series)


def test_a_cutout_shows_the_star_in_its_middle(settings: Settings, tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    mission = DASCH.around(RY_CNC, settings=settings, output=tmp_path)
    path = mission.cutout(_on_series(mission, "mc"))
    with fits.open(path) as hdus:
        image, header = hdus[0].data, hdus[0].header
        assert image.shape == (835, 835)
        x, y = WCS(header).all_world2pix(*RY_CNC, 0)
    assert (x, y) == pytest.approx((417.0, 417.0), abs=0.01)
    spot = image[412:423, 412:423].astype(float)
    assert spot.max() > np.median(image) + 500
    assert mission.image(_on_series(mission, "mc"), position=RY_CNC) == path
    with pytest.warns(MissionWarning, match="20 arcmin wide here"):
        mission.image(_on_series(mission, "mc"), position=RY_CNC, size=0.1)


def test_a_whole_plate_comes_with_its_checksum_and_a_link_signed_anew(
    sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    mission = DASCH.around(RY_CNC, settings=settings, output=tmp_path)
    obs_id = _on_series(mission, "c")
    remote = mission.archive.mosaic(mission.row_of(obs_id)["plate_id"], 1)
    assert remote.checksum is not None and remote.size_bytes
    sandbox.faults.set(Fault("expired-links", archive="dasch", times=1))
    path = mission.image(obs_id, binning=1)
    assert sandbox.faults.struck["expired-links"]
    assert path.stat().st_size == remote.size_bytes
    with pytest.raises(MissionValueError, match="binned by 1 or 16"):
        mission.image(obs_id, binning=4)


def test_a_plate_without_a_solution_has_no_cutout(settings: Settings, tmp_path: Path) -> None:
    mission = DASCH.around(RY_CNC, settings=settings, output=tmp_path)
    table = mission.all_obs_info
    unsolved = next(row["ObsID"] for row in table.to_pylist() if not row["science_usable"])
    with pytest.raises(MissionValueError, match="no astrometric solution"):
        mission.cutout(unsolved)
    assert mission.plate_photometry(_on_series(mission, "mc")).num_rows > 10


def test_a_part_of_a_ztf_image_is_fetched(settings: Settings, tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    mission = ZTF.around(RY_CNC, settings=settings, output=tmp_path)
    path = mission.image(str(mission.filtered_obs_ids[0]), position=RY_CNC, size=0.01)
    with fits.open(path) as hdus:
        image = hdus[0].data
        x, y = WCS(hdus[0].header).all_world2pix(*RY_CNC, 0)
    assert image.shape == (36, 36)
    assert np.unravel_index(int(image.argmax()), image.shape) == pytest.approx((float(y), float(x)), abs=1.0)
