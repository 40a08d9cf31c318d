"""ZTF, TESS and DASCH as the pipeline uses them, against the sandbox's archives in their own wire formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.errors import ConfigError
from skyvault.pipeline import (
    Catalog,
    RawPhotometry,
    Source,
    VirtualDASCH,
    VirtualTESS,
    VirtualZTF,
    database,
)
from skyvault.pipeline.faults import DataMissing
from skyvault.pipeline.tables import Problem
from skyvault.sandbox.faults import Fault
from skyvault.sandbox.light_curves import barycentric, variable
from skyvault.sandbox.mast import MastTruth
from skyvault.sandbox.ztf import ZtfTruth

# the sandbox computes times of plates in several threads, between which Python's filters of warnings are one
pytestmark = pytest.mark.filterwarnings("ignore:ERFA function")


def row_of(name: str, **more: Any) -> dict[str, Any]:
    star = variable(name)
    return {"name": name, "ra": star.ra_deg, "dec": star.dec_deg, "mag": star.mag, "mag_filter": "V", **more}


def survey(cls: type[Any], settings: Any, **kwargs: Any) -> Any:
    return cls(project="surveys", cfg_file=False, settings=settings, **kwargs)


# --- what each survey gives ----------------------------------------------------------------------------------------


def test_ztf_gives_the_light_curves_of_a_source_by_filter_and_season(data_folder: Path, sandbox_settings: Any) -> None:
    obs = survey(VirtualZTF, sandbox_settings)
    source = obs.fetch_source(row_of("V* RY Cnc"), save=False)
    assert {curve.filter for curve in source.lightcurves} == {"zg", "zr", "zi"}
    star = variable("V* RY Cnc")
    curve = max(source.lightcurves, key=lambda one: one.number)
    good = ~curve.is_flagged
    # the true change at the times the pipeline gives, which are barycentric: the eclipses are where they belong
    change = star.change(curve.mjds[good] + 15.0 / 86400.0)
    assert np.corrcoef(change, curve.data["mag"][good])[0, 1] > 0.95
    assert (curve.altdata["time_scale"], curve.altdata["time_position"]) == ("tdb", "barycenter")
    assert curve.altdata["time_stamp_alignment"] == "start"


def test_times_of_ztf_become_barycentric_and_the_raw_ones_stay_as_they_were(
    data_folder: Path, sandbox_settings: Any
) -> None:
    obs = survey(VirtualZTF, sandbox_settings)
    source = obs.fetch_source(row_of("V* RY Cnc"), save=False)
    raw = source.raw_photometry[0]
    star = variable("V* RY Cnc")
    utc = np.unique(raw.data["mjd"])
    expected = barycentric(utc, star.ra_deg, star.dec_deg)
    got = np.concatenate([curve.mjds for curve in source.lightcurves])
    nearest = np.clip(np.searchsorted(expected, got - 1e-5), 0, len(expected) - 1)
    # the sandbox leaves the telescope's place on the Earth out: 21 ms
    assert np.abs(got - expected[nearest]).max() * 86400.0 < 0.05
    oid = ZtfTruth().oids(star.name, "zr")[0]
    truth = ZtfTruth().measurements(oid)
    shown = np.sort(raw.data["mjd"][raw.data["oid"] == oid])
    assert np.allclose(shown, np.sort(truth.exposures.mjd_utc[truth.rows]), atol=1e-7)


def test_ztf_is_asked_by_its_object_ids_too(data_folder: Path, sandbox_settings: Any) -> None:
    oids = ZtfTruth().oids("V* RY Cnc", "zr")
    source = survey(VirtualZTF, sandbox_settings).fetch_by_oid(oids, name="RY Cnc")
    star = variable("V* RY Cnc")
    assert (source.name, source.local_names) == ("RY Cnc", {"ZTF": oids})
    assert abs(source.dec - star.dec_deg) < 1.0 / 3600.0
    assert {curve.filter for curve in source.lightcurves} == {"zr"}
    with pytest.raises(DataMissing, match="has no object"):
        survey(VirtualZTF, sandbox_settings).fetch_by_oid(100000000000001)


def test_tess_gives_a_light_curve_a_sector_of_the_target_that_the_source_is(
    data_folder: Path, sandbox_settings: Any
) -> None:
    obs = survey(VirtualTESS, sandbox_settings)
    source = obs.fetch_source(row_of("WASP-126"))
    truth = MastTruth()
    ticid = truth.ticid("WASP-126")
    sectors = sorted({one.sector for one in truth.observations(ticid)})
    assert [curve.altdata["sector"] for curve in source.lightcurves] == sectors
    first = source.lightcurves[0]
    assert first.altdata["object_id"] == ticid and first.altdata["flux_unit"] == "electron/s"
    assert first.altdata["series_name"] == f"TESS_{sectors[0]}_{first.altdata['camera']}_{first.altdata['ccd']}"
    assert abs(first.exp_time - 1.98 * 60 * 0.8) < 1e-6
    # the brightness is the catalogue's: the zero point of the handbook is about the one measured
    assert abs(first.zero_point_measured - 20.44) < 0.02
    one = next(o for o in truth.observations(ticid) if o.sector == sectors[0])
    true = truth.light_curve(one)
    good = ~first.is_flagged & np.isfinite(first.data["flux"])
    index = np.searchsorted(true.mjd_tdb, first.mjds[good] - 1e-6)
    assert np.abs(true.mjd_tdb[index] - first.mjds[good]).max() < 1e-6
    residual = (first.data["flux"][good] - true.true_flux[index]) / first.data["fluxerr"][good]
    assert abs(residual.std() - 1.0) < 0.1
    # the archive's files are not kept beside the raw data
    assert not list((data_folder / "TESS").rglob("*.fits"))


def test_tess_takes_a_target_by_its_number_in_the_input_catalog(data_folder: Path, sandbox_settings: Any) -> None:
    ticid = MastTruth().ticid("WASP-126")
    source = survey(VirtualTESS, sandbox_settings).download_by_tic(f"TIC {ticid}")
    assert source.name == f"TIC {ticid}" and source.local_names == {"TESS": ticid}
    assert source.lightcurves and source.raw_photometry[0].number > 1000
    with pytest.raises(DataMissing, match="has no TIC"):
        survey(VirtualTESS, sandbox_settings).fetch_by_ticid(1)


def test_a_neighbour_of_another_magnitude_is_not_the_target(data_folder: Path, sandbox_settings: Any) -> None:
    obs = survey(VirtualTESS, sandbox_settings)
    source = obs.fetch_source(row_of("WASP-126", mag=15.9), reduce=True)
    assert source.raw_photometry[0].is_empty() and not source.lightcurves
    assert source.raw_photometry[0].altdata["skipped"] == "no target of TESS is this star"


def test_dasch_gives_a_century_of_magnitudes_with_bad_ones_flagged(data_folder: Path, sandbox_settings: Any) -> None:
    obs = survey(VirtualDASCH, sandbox_settings)
    source = obs.fetch_source(row_of("V* RY Cnc"))
    (curve,) = source.lightcurves
    assert curve.time_end - curve.time_start > 20_000.0
    assert 0 < curve.is_flagged.sum() < len(curve.data) / 2
    raw = source.raw_photometry[0]
    assert raw.altdata["num_limits"] > 0 and curve.number + raw.altdata["num_limits"] <= raw.number
    star = variable("V* RY Cnc")
    good = ~curve.is_flagged
    change, mag = star.change(curve.mjds[good]), curve.data["mag"][good]
    assert mag[change > 0.6].mean() - mag[change < 0.05].mean() > 0.3
    assert curve.altdata["time_scale"] == "tdb"
    # the archive does not tell exposure times with the magnitudes, and none is made up
    assert curve.exp_time is None
    assert len(obs.reduce(raw, source=Source(name="x", ra=star.ra_deg, dec=star.dec_deg), gap=2000.0)) > 1


def test_exposure_times_of_plates_are_asked_for_when_wanted(data_folder: Path, sandbox_settings: Any) -> None:
    obs = survey(VirtualDASCH, sandbox_settings, exposure_times=True)
    (curve,) = obs.fetch_source(row_of("V* RY Cnc"), save=False).lightcurves
    assert 60.0 < curve.exp_time < 3 * 3600.0


# --- answers that are kept, and faults -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "archive", "place"),
    [(VirtualZTF, "ztf", (350.0, 70.0)), (VirtualTESS, "mast", (350.0, 70.0)), (VirtualDASCH, "dasch", (350.0, 70.0))],
)
def test_an_empty_answer_is_kept_and_never_asked_for_again(
    cls: type[Any], archive: str, place: tuple[float, float], data_folder: Path, sandbox: Any, sandbox_settings: Any
) -> None:
    row = {"name": "nothing", "ra": place[0], "dec": place[1], "mag": 12.0}
    source = survey(cls, sandbox_settings).fetch_source(row)
    assert source.raw_photometry[0].is_empty() and source.lightcurves == []
    sandbox.faults.set(Fault("missing", archive=archive))
    sandbox_settings = type(sandbox_settings)(home=data_folder / "other", endpoints=sandbox.endpoints())
    again = survey(cls, sandbox_settings).fetch_source(row)
    assert again.raw_photometry[0].is_empty()
    with database.current().session() as session:
        assert session.query(RawPhotometry).one().number == 0


def catalogue(names: list[str]) -> Catalog:
    rows = [row_of(name) for name in names]
    lines = ["name,ra,dec,mag,magerr"] + [f"{r['name']},{r['ra']},{r['dec']},{r['mag']},0.01" for r in rows]
    Path("stars.csv").write_text("\n".join(lines) + "\n")
    return Catalog(filename=str(Path("stars.csv").absolute()), cfg_file=False, mag_filter_name="V")


NAMES = ["V* RY Cnc", "HD 5501", "V* T CrB", "KIC 8462852", "GD 358"]


def test_one_failing_source_is_a_row_of_the_table_of_problems_and_the_others_come(
    data_folder: Path, sandbox: Any, sandbox_settings: Any
) -> None:
    obs = survey(VirtualZTF, sandbox_settings, catalog=catalogue(NAMES), num_threads_download=1)
    sandbox.faults.set(Fault("refused", archive="ztf", times=1, after=1))
    assert obs.fetch_all_sources() == len(NAMES) - 1
    (failure,) = obs.failures_list
    assert failure["cat_row"]["name"] == NAMES[1] and "refuses access" in failure["error"]
    with database.current().session() as session:
        (problem,) = session.query(Problem).all()
        assert (problem.source_name, problem.observatory, problem.step) == (NAMES[1], "ZTF", "download")
    # the next time it is tried again, and the row goes
    assert obs.fetch_all_sources() == len(NAMES)
    with database.current().session() as session:
        assert session.query(Problem).all() == []
        assert {one.name for one in session.query(Source)} == set(NAMES)


def test_a_dropped_connection_is_tried_again_without_a_word(
    data_folder: Path, sandbox: Any, sandbox_settings: Any
) -> None:
    sandbox.faults.set(Fault("dropped", archive="ztf", times=2))
    source = survey(VirtualZTF, sandbox_settings).fetch_source(row_of("V* RY Cnc"), save=False)
    assert source.lightcurves


def test_several_threads_give_the_same_sources_in_the_same_order(data_folder: Path, sandbox_settings: Any) -> None:
    obs = survey(VirtualZTF, sandbox_settings, catalog=catalogue(NAMES), num_threads_download=4)
    assert obs.fetch_all_sources(save=False) == len(NAMES)
    assert [source.name for source in obs.sources] == NAMES
    assert [raw.source_name for raw in obs.raw_data] == NAMES


def test_rows_of_a_lost_database_are_made_of_the_files_alone(data_folder: Path, sandbox_settings: Any) -> None:
    cat = catalogue(NAMES)
    survey(VirtualZTF, sandbox_settings, catalog=cat).fetch_all_sources()
    with database.current().session() as session:
        before = {raw.source_name: raw.number for raw in session.query(RawPhotometry)}
    database.current().close()
    for path in data_folder.rglob("*.sqlite*"):
        path.unlink()
    database._in_use = None
    obs = survey(VirtualZTF, sandbox_settings, catalog=cat)
    assert obs.populate_sources() == len(NAMES)
    with database.current().session() as session:
        assert {one.name for one in session.query(Source)} == set(NAMES)
        assert {one.name: one.raw_photometry[0].number for one in session.query(Source)} == before
        assert max(before.values()) > 100


# --- credentials ---------------------------------------------------------------------------------------------------


def test_credentials_come_from_a_file_that_nobody_else_may_read(
    data_folder: Path, sandbox_settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path("credentials.yaml")
    path.write_text("ztf:\n  username: guy\n  password: swordfish\n")
    os.chmod(path, 0o644)
    obs = survey(VirtualZTF, sandbox_settings, credentials={"filename": str(path)})
    with pytest.raises(ConfigError, match="others may read"):
        obs.fetch_source(row_of("V* RY Cnc"), save=False)
    os.chmod(path, 0o600)
    source = obs.fetch_source(row_of("V* RY Cnc"))
    assert source.lightcurves
    host = obs.archive.address("lightcurves")
    assert obs.archive.client.credentials.header_for(host).startswith("Basic ")
    everything = b"".join(one.read_bytes() for one in data_folder.rglob("*") if one.is_file())
    for text in (caplog.text, repr(obs.pars), str(obs.pars.to_dict()), repr(obs.archive.client.credentials)):
        assert "swordfish" not in text
    assert b"swordfish" not in everything


def test_credentials_of_a_wrong_file_are_refused_without_quoting_it(data_folder: Path, sandbox_settings: Any) -> None:
    path = Path("credentials.yaml")
    path.write_text("other:\n  username: guy\n  password: swordfish\n")
    os.chmod(path, 0o600)
    obs = survey(VirtualZTF, sandbox_settings, credentials={"filename": str(path)})
    with pytest.raises(ConfigError, match="no part 'ztf'") as caught:
        obs.fetch_source(row_of("V* RY Cnc"), save=False)
    assert "swordfish" not in str(caught.value)
