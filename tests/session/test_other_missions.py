"""One star by several missions: one axis of time, flags and zero points of each, problems beside what came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from science.picture_hash import bits_apart, picture_hash
from skyvault.errors import FormatError, NotFound, ParameterError, UsageError
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis
from skyvault.sandbox.faults import Fault
from skyvault.science.folding import LightElements, fold
from skyvault.session.mission_curve import MissionCurve, read_curve, write_curve
from skyvault.session.other_missions import SideBySide
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")

#: of the sandbox's RY Cnc; the period is the published one
ELEMENTS = LightElements(1.092943, 45000.25)


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    return Session(str(tmp_path / "ry_cnc"), False, settings=sandbox_settings).select_target("V* RY Cnc")


@pytest.fixture
def found(session: Session) -> SideBySide:
    return session.missions("dasch", "ztf", "tess")


def test_eclipses_of_a_century_fall_together(found: SideBySide) -> None:
    assert [curve.mission for curve in found.curves] == ["dasch", "ztf", "tess"] and not found.problems
    assert all(curve.is_barycentric for curve in found.curves)
    for curve in found.curves:
        phase = fold(curve.mjd, ELEMENTS).phase
        good = curve.is_good
        for band in np.unique(curve.band):
            rows = good & (curve.band == band)
            in_eclipse = rows & (np.abs(phase) < 0.015)
            outside = rows & (np.abs(phase) > 0.1) & (np.abs(phase) < 0.4)
            if in_eclipse.sum() >= 2:
                depth = np.median(curve.mag[in_eclipse]) - np.median(curve.mag[outside])
                assert 0.6 < depth < 1.4, (curve.mission, band)
    assert (np.isfinite(found["dasch"].limit) & ~np.isfinite(found["dasch"].mag)).sum() > 50


def test_exposures_that_begin_are_moved_to_their_middle(found: SideBySide) -> None:
    curve = found["ztf"]
    # 30 s of exposure
    assert np.allclose((curve.mjd - curve.rows.mjd_tdb()) * 86400, 15.0, atol=1e-3)


def test_each_mission_keeps_its_own_flags_and_zero_points(found: SideBySide) -> None:
    ztf = found["ztf"]
    flags = np.asarray(ztf.rows.rows["catflags"].to_pylist())
    assert np.array_equal(ztf.is_flagged, flags & 32768 != 0) and ztf.is_flagged.any()
    tess = found["tess"]
    assert tess.is_relative and abs(float(np.median(tess.mag[tess.is_good]))) < 0.02
    assert len({curve.zero_point for curve in found.curves}) == 3
    table = found.table()
    assert len(table) == sum(map(len, found.curves))
    assert (np.diff(table["mjd"][np.isfinite(table["mjd"])]) >= 0).all()
    assert set(table["mission"][table["is_relative"]]) == {"tess"}


def test_what_came_stays_and_damage_is_repaired(session: Session, found: SideBySide, sandbox: Any) -> None:
    sandbox.faults.set(Fault("unreachable"))
    # files behind the light curves lie in the session's folder too, not where the program happens to run
    assert list(session.path("missions").rglob("*_lc.fits"))
    later = Session(str(session.root), False, settings=session._settings).missions("ztf", "dasch", "tess")
    for name in ("ztf", "dasch", "tess"):
        assert np.array_equal(later[name].mag, found[name].mag, equal_nan=True)
        assert np.array_equal(later[name].mjd, found[name].mjd, equal_nan=True)
    sandbox.faults.clear()
    session.path("missions", "ztf_curve.parquet").write_bytes(b"PAR1 damaged")
    assert len(session.missions("ztf")["ztf"]) == len(found["ztf"])
    session.delete_data()
    assert not session.path("missions").exists()


def test_a_mission_that_fails_is_told_beside_the_others(
    session: Session, sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.faults.set(Fault("refused", archive="mast"))
    found = session.missions("tess", "ztf")
    assert [curve.mission for curve in found.curves] == ["ztf"] and set(found.problems) == {"tess"}
    told = capsys.readouterr().err
    assert told.startswith("warning: tess: ") and told.count("\n") == 1
    with pytest.raises(NotFound, match="no light curve of 'tess'"):
        found["tess"]
    assert not session.path("missions", "tess_curve.parquet").exists()


def test_wrong_names_and_no_target_are_one_sentence(session: Session, sandbox_settings: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no mission 'gaia' here"):
        session.missions("gaia")
    with pytest.raises(UsageError, match="no target yet"):
        Session(str(tmp_path / "other"), False, settings=sandbox_settings).missions("ztf")
    nothing = SideBySide("x", (), (), {"ztf": "asleep"})
    for wish in (nothing.plot, nothing.exposure_map, nothing.table):
        with pytest.raises(NotFound, match="asleep"):
            wish()


def test_a_southern_star_has_no_light_curve_by_ztf(
    sandbox: Any, sandbox_settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(str(tmp_path / "south"), False, settings=sandbox_settings)
    found = session.select_target(ra_deg=280.0, dec_deg=-60.0).missions("ztf")
    assert not found.curves and "ztf" in found.problems


def axis_of(scale: str, reference: str) -> LightCurveTable:
    rows = pa.table({"mjd": [50000.0, 50001.0], "mag": [12.0, 13.0], "magerr": [0.1, None], "catflags": [0, 32768],
                     "filtercode": ["zg", None]})  # fmt: skip
    axis = TimeAxis("mjd", 2400000.5, scale, reference)  # type: ignore[arg-type]
    return LightCurveTable("ZTF", "x", rows, axis, 10.0, 20.0, np.zeros(2, bool))


def test_unknown_times_stay_unknown_and_are_drawn_so(tmp_path: Path) -> None:
    curve = MissionCurve.of("ztf", axis_of("unknown", "UNKNOWN"))
    assert not curve.is_barycentric and curve.time_said.startswith("as given: mjd")
    assert list(curve.mjd) == [50000.0, 50001.0] and list(curve.band) == ["zg", "?"]
    figure = SideBySide("x", (curve,), (), {}).plot()
    assert "as given" in figure.axes[0].get_title(loc="left")
    known = MissionCurve.of("ztf", axis_of("utc", "HELIOCENTER"))
    assert known.is_barycentric and 50.0 < abs(known.mjd[0] - 50000.0) * 86400 < 80.0
    with pytest.raises(ParameterError, match="not known which columns of Hubble"):
        MissionCurve.of("x", replace(axis_of("utc", "HELIOCENTER"), survey="Hubble"))


def test_a_kept_curve_is_the_same_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "curve.parquet"
    given = axis_of("utc", "TOPOCENTER")
    write_curve(given, path)
    read = read_curve(path)
    assert read.time == given.time and read.rows.equals(given.rows) and list(read.is_limit) == [False, False]
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(FormatError, match="cannot be read"):
        read_curve(path)


def test_the_pictures_are_as_they_were_looked_at(found: SideBySide) -> None:
    for figure, pinned in (
        (found.plot(elements=ELEMENTS), FOLDED),
        (found.plot(), IN_TIME),
        (found.exposure_map(), MAP),
    ):
        assert bits_apart(picture_hash(figure), pinned) <= 24, picture_hash(figure)
    labels = [text.get_text() for text in found.exposure_map().axes[0].get_yticklabels()]
    assert "tess" in labels and "ztf zg" in labels and "dasch mc" in labels


FOLDED = "807fbffbfffe0041ffff800384030001fbf9fbfb800380033bb97bfbbbfbe00f"
IN_TIME = "807fa1fbfffc01f8ffff80037ff37ff17ff17ff380037ff77ff57ff780039027"
MAP = "c001a0febc7e30febc7ebcfea07eb6fe3fce3ffebffcbffcbffcbffc8001ff7f"
