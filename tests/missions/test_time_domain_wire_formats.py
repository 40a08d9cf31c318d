"""The archives' own answers, real ones where there are some: read byte for byte, and what is none refused."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import FormatError, SkyvaultError
from skyvault.missions import DASCH
from skyvault.missions.dasch_api import (
    EXPOSURE_TYPES,
    PHOTOMETRY_TYPES,
    REFCAT_TYPES,
    checked_plate,
    csv_lines,
    cutout_image,
    photometry,
)
from skyvault.missions.dasch_series import SERIES, half_side_deg
from skyvault.missions.light_curve_files import LightCurveTable, TimeAxis
from skyvault.missions.mast_api import StillExecuting, answer_table, checked_ticid
from skyvault.missions.rubin_api import votable_rows
from skyvault.missions.search import Search, place_of
from skyvault.missions.tess_files import exposure_s, read_light_curve
from skyvault.missions.ztf_api import light_curve_rows, light_curve_table
from skyvault.net.faults import FetchError, WrongContent

pytestmark = pytest.mark.filterwarnings("error")


# --- DASCH ---------------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_real_answer_of_the_catalogue_is_read(shared_data: Path) -> None:
    body = (shared_data / "lightcurves/dasch_api/tcrb_querycat.json").read_bytes()
    table = csv_lines(body, "querycat", REFCAT_TYPES, tuple(REFCAT_TYPES))
    assert table.num_rows == 1
    row = table.to_pylist()[0]
    assert row["ref_text"] == "APASS_J155930.2+255513"
    assert (row["ref_number"], row["gsc_bin_index"], row["num_matches"]) == (415593021255513, 121408110, 2605)
    assert row["dra_asec"] == 0.019246129405837975


@pytest.mark.shared
def test_a_real_light_curve_has_detections_and_limits(shared_data: Path) -> None:
    body = (shared_data / "lightcurves/dasch_api/tcrb_lightcurve_sample.json").read_bytes()
    table = csv_lines(body, "lightcurve", PHOTOMETRY_TYPES, tuple(PHOTOMETRY_TYPES))
    assert table.num_columns == 64
    curve = photometry(table, "T CrB", None, "lightcurve")
    assert (len(curve), int(curve.is_limit.sum())) == (14, 3)
    mag = curve.detections["magcal_magdep"].to_numpy()
    # figures of daschlab 1.1.0 over the same rows
    assert (float(mag.mean()), float(mag.std())) == pytest.approx((11.771, 0.204), abs=0.0006)
    first = curve.rows.slice(0, 1).to_pylist()[0]
    assert first["aflags"] == 268992640 and first["magcal_local_error"] is None and first["magcor_local"] is None
    # the light of this star reaches the Sun and the barycentre a few seconds apart
    assert np.all(np.abs(curve.mjd_tdb() - (curve.times() - 2400000.5)) < 500.0 / 86400.0)
    assert curve.to_astropy()["magcal_magdep"].mask.sum() == 3
    assert curve.to_astropy().meta["time_limits_reference"] == "GEOCENTER"


@pytest.mark.shared
def test_real_exposures_become_a_mission(shared_data: Path) -> None:
    body = (shared_data / "lightcurves/dasch_api/exposures_sample_reassembled.json").read_bytes()
    mission = DASCH(table=csv_lines(body, "queryexps", EXPOSURE_TYPES, tuple(EXPOSURE_TYPES)))
    assert mission.num_obs == 6
    row = mission.row_of("ai37139m0s0")
    # the archive tells the middle and minutes
    assert (row["start"].isoformat(), row["duration"].total_seconds()) == ("1942-01-06T09:46:47", 3360.0)
    assert row["lim_mag_apass"] == 11.158
    assert mission.obs_ids_of("ai37139") == ["ai37139m0s0"]
    mission.filter_on_obs_ids("AI37139m0s0")
    assert len(mission) == 1


@pytest.mark.shared
def test_all_exposures_of_a_real_place_have_names_of_their_own(shared_data: Path) -> None:
    """25,556 exposures that show HD 5501, kept by the reference program, put back into the archive's columns."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    text = gzip.decompress((shared_data / "lightcurves/dasch_hd5501/exposures.ecsv.gz").read_bytes())
    body = text[text.index(b"\nseries ") + 1 :]
    kept = csv.read_csv(
        pa.BufferReader(body),
        parse_options=csv.ParseOptions(delimiter=" "),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=True, null_values=[""]),
    )
    days = pc.subtract(kept["obs_date"].cast(pa.float64()), 2440587.5)
    dates = pc.round(pc.multiply(days, 86400e6)).cast(pa.int64()).cast(pa.timestamp("us"))
    table = pa.table(
        {name: kept[name] for name in ("series", "platenum", "scannum", "mosnum", "expnum", "solnum", "exptime")}
        | {"ra": kept["pos.ra"], "dec": kept["pos.dec"], "wcssource": kept["wcssource"]}
        | {"expdate": pc.strftime(dates, "%Y-%m-%dT%H:%M:%SZ"), "centerdist": kept["center_distance"]}
        | {"edgedist": kept["edge_distance"]}
        | {name: pa.nulls(len(kept)) for name in EXPOSURE_TYPES if name.startswith(("limMag", "median", "resultId"))}
    )
    mission = DASCH(table=table)
    assert len(set(mission.obs_ids)) == mission.num_obs == 25556
    # those with an astrometric solution, as INDEX.md and the digest count them
    assert len(mission) == 18481
    mission.chosen_instruments = ["i"]
    assert 600 < len(mission) <= 849


def _dasch(lines: Any) -> bytes:
    return json.dumps(lines).encode()


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        (b"<html><title>403 Forbidden</title></html>", WrongContent, "web page ('403 Forbidden')"),
        (b'["series,platen', WrongContent, "cut short"),
        (_dasch({"status_code": 400, "error": "illegal radius"}), FetchError, "illegal radius"),
        (_dasch([]), WrongContent, "no list of CSV lines"),
        (_dasch([1, 2]), WrongContent, "no list of CSV lines"),
        (_dasch("text"), WrongContent, "no list of CSV lines"),
        (_dasch(["a,b", "1,2"]), WrongContent, "no column ref_text"),
        (_dasch([",".join(REFCAT_TYPES), "1,2,3"]), WrongContent, "damaged"),
        (_dasch([",".join(REFCAT_TYPES), "x\ny"]), WrongContent, "line break"),
        (_dasch([",".join(REFCAT_TYPES), "n,-5" + "," * 16]), WrongContent, "damaged"),
        (_dasch([",".join([*REFCAT_TYPES, "class"])]), WrongContent, "twice"),
    ],
)
def test_what_is_no_answer_of_dasch_is_one_sentence(body: bytes, error: type[SkyvaultError], told: str) -> None:
    with pytest.raises(error) as caught:
        csv_lines(body, "querycat", REFCAT_TYPES, tuple(REFCAT_TYPES))
    assert told in str(caught.value)


def test_columns_are_found_by_name_and_new_ones_kept() -> None:
    names = [*reversed(REFCAT_TYPES), "something_new"]
    cells = dict.fromkeys(names, "") | {"ref_number": "415593021255513", "stdmag": "11.5", "something_new": "x"}
    table = csv_lines(
        _dasch([",".join(names), ",".join(cells[name] for name in names)]), "q", REFCAT_TYPES, tuple(REFCAT_TYPES)
    )
    row = table.to_pylist()[0]
    assert (row["ref_number"], row["stdmag"], row["something_new"]) == (415593021255513, 11.5, "x")
    assert row["ra_deg"] is None
    # a header alone is a table without rows
    assert csv_lines(_dasch([",".join(REFCAT_TYPES)]), "q", REFCAT_TYPES, tuple(REFCAT_TYPES)).num_rows == 0


def test_a_cutout_is_unpacked_and_bombs_are_not() -> None:
    fits = b"SIMPLE  =                    T".ljust(2880)
    assert cutout_image(json.dumps(base64.b64encode(gzip.compress(fits)).decode()).encode(), "cutout") == fits
    bomb = json.dumps(base64.b64encode(gzip.compress(b"\0" * 17_000_000)).decode()).encode()
    for body, told in (
        (bomb, "larger than"),
        (b'"bm8="', "cannot be unpacked"),
        (b'"!!"', "cannot be unpacked"),
        (json.dumps(base64.b64encode(gzip.compress(fits)[:-9]).decode()).encode(), "cannot be unpacked"),
        (json.dumps(base64.b64encode(gzip.compress(fits[:-3])).decode()).encode(), "cut short"),
        (b'{"error": "no overlap"}', "no overlap"),
        (b"[1]", "no image"),
    ):
        with pytest.raises(FetchError, match=told):
            cutout_image(body, "cutout")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_one_sentence(body: bytes) -> None:
    readers = (
        lambda: csv_lines(body, "x", REFCAT_TYPES, tuple(REFCAT_TYPES)),
        lambda: csv_lines(_dasch([",".join(REFCAT_TYPES), body.decode("latin-1")]), "x", REFCAT_TYPES, ("ra_deg",)),
        lambda: light_curve_rows(body, "x"),
        lambda: light_curve_rows(b"oid,mjd,mag,magerr,catflags,filtercode,ra,dec\n" + body + b"\n", "x"),
        lambda: answer_table(body, "x"),
        lambda: cutout_image(body, "x"),
        lambda: votable_rows(body, "http://archive.example/tap"),
    )
    for reader in readers:
        try:
            reader()
        except SkyvaultError as error:
            assert len(str(error)) < 700
        except StillExecuting:
            pass


def test_plates_and_series_are_known() -> None:
    assert checked_plate(" A1267 ") == "a01267"
    assert checked_plate("mc00034") == "mc00034"
    for wrong in ("1267", "a", "a1267890", "../a00001", ""):
        with pytest.raises(SkyvaultError, match="no plate"):
            checked_plate(wrong)
    assert len(SERIES) == 73
    assert sum(one.kind == "narrow" for one in SERIES.values()) == 37
    assert half_side_deg("a") == pytest.approx(3.6, abs=0.01)
    assert half_side_deg("never heard of") > 10.0


# --- ZTF -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_ztf(shared_data: Path) -> LightCurveTable:
    body = gzip.decompress((shared_data / "lightcurves/ztf_misc/ZTF_lightcurve.csv.gz").read_bytes())
    return light_curve_table(light_curve_rows(body, "irsa"), "real", None, "irsa")


@pytest.mark.shared
def test_a_real_ztf_light_curve_is_read(real_ztf: LightCurveTable) -> None:
    assert len(real_ztf) == 1852
    counts = {row["values"]: row["counts"] for row in real_ztf.rows["oid"].value_counts().to_pylist()}
    assert counts[736215200001589] == 531 and len(counts) == 5
    # near right ascension 0: on both sides of it, the median is not at 180
    assert (real_ztf.ra_deg, real_ztf.dec_deg) == pytest.approx((359.99975, 51.39372), abs=1e-4)
    assert real_ztf.rows.schema.field("mag").metadata == {b"unit": b"mag"}
    assert set(real_ztf.rows["ccdid"].to_pylist()) >= {"0xf"}


@pytest.mark.shared
def test_ztfs_mjd_is_of_the_beginning(real_ztf: LightCurveTable) -> None:
    from skyvault.sandbox.light_curves import heliocentric

    at_sun = heliocentric(real_ztf.times(), real_ztf.ra_deg, real_ztf.dec_deg)
    later_s = (real_ztf.rows["hjd"].to_numpy() - 2400000.5 - at_sun) * 86400.0
    # IRSA's HJD, which is good to some seconds, is of the middle of 30 s
    assert np.median(later_s) == pytest.approx(15.0, abs=1.0)
    assert real_ztf.time.stamp == "start"


def test_a_cut_table_of_ztf_is_told() -> None:
    head = b"oid,mjd,mag,magerr,catflags,filtercode,ra,dec\n"
    row = b"736115200001082,58274.4,20.2,0.1,0,zg,359.9,51.3\n"
    assert light_curve_rows(head, "irsa").num_rows == 0
    assert light_curve_rows(head + row, "irsa").num_rows == 1
    for body in (head + row + row[:20], head + row[:-2], head + b"x" + row):
        with pytest.raises(WrongContent, match=r"cut short|damaged"):
            light_curve_rows(body, "irsa")
    with pytest.raises(WrongContent, match="no column catflags"):
        light_curve_rows(head.replace(b"catflags", b"flags"), "irsa")


# --- MAST and TESS -------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(("name", "rows", "columns"), [("caom", 19, 27), ("tic", 7, 89), ("products", 22, 15)])
def test_real_answers_of_mast_are_read(name: str, rows: int, columns: int, shared_data: Path) -> None:
    body = (shared_data / f"obslogs/services/mast/tests/data/{name}.json").read_bytes()
    table = answer_table(body, "mast")
    assert (table.num_rows, table.num_columns) == (rows, columns)
    if name == "caom":
        assert table["obsid"][0].as_py() == "2003585980"
        assert table["t_min"][0].as_py() == 49756.25506


def test_what_mast_refuses_or_has_not_done_is_told() -> None:
    fields = [{"name": "a", "type": "int"}]
    for document, error, told in (
        ({"status": "ERROR", "msg": "Invalid service"}, FetchError, "Invalid service"),
        ({"status": "EXECUTING"}, StillExecuting, None),
        ({"data": []}, WrongContent, "no status"),
        ({"status": "COMPLETE", "data": 5, "fields": []}, WrongContent, "no rows"),
        ({"status": "COMPLETE", "data": [{"a": [1]}], "fields": fields}, WrongContent, "no number"),
        (
            {"status": "COMPLETE", "data": [{"a": 1}], "fields": fields, "paging": {"rowsFiltered": 9}},
            FetchError,
            "1 row",
        ),
    ):
        with pytest.raises(error, match=told):
            answer_table(json.dumps(document).encode(), "mast")
    half = answer_table(json.dumps({"status": "COMPLETE", "data": [{"a": 1.5}, {}], "fields": fields}).encode(), "mast")
    assert half["a"].to_pylist() == [1.5, None]


def test_tic_numbers_are_read_and_others_refused() -> None:
    assert [checked_ticid(t) for t in (25155310, "25155310", "TIC 25155310", "tic-7")] == [
        25155310,
        25155310,
        25155310,
        7,
    ]
    for wrong in (True, 1.5, "TIC", "HD 1", -4, ""):
        with pytest.raises(SkyvaultError, match="no TIC number"):
            checked_ticid(wrong)


@pytest.mark.shared
def test_real_light_curves_of_tess_and_kepler_are_read(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "lightcurves/tess_kepler"
    for name, source, rows, zero, seconds in (
        ("hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits", "25155310", 20076, 2457000.0, 95.04),
        ("kplr010666592-2009131110544_slc.fits", "10666592", 14280, 2454833.0, 54.178),
    ):
        path = tmp_path / name
        path.write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
        curve = read_light_curve(path)
        assert (curve.source_id, len(curve), curve.time.zero_jd) == (source, rows, zero)
        assert (curve.time.scale, curve.time.reference, curve.time.stamp) == ("tdb", "BARYCENTER", "middle")
        assert exposure_s(curve) == pytest.approx(seconds, abs=0.001)
        times = curve.mjd_tdb()
        assert np.nanmax(np.abs(times - (curve.times() + (zero - 2400000.5)))) == 0.0
        assert curve.about["primary"]["INSTRUME"]
        path.write_bytes(path.read_bytes()[:500_000])
        with pytest.raises(FormatError, match="cut short"):
            read_light_curve(path)


def test_a_file_that_is_no_light_curve_is_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "bare.fits")
    columns = [fits.Column("X", "E", array=[1.0])]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "other.fits")
    (tmp_path / "page.fits").write_bytes(b"<html></html>")
    for name, told in (("bare", "no table"), ("other", "no column TIME, SAP_FLUX"), ("page", "SIMPLE")):
        with pytest.raises(FormatError, match=told):
            read_light_curve(tmp_path / f"{name}.fits")


# --- places and times ----------------------------------------------------------------------------------------------


def test_searches_have_names_of_their_own() -> None:
    keys = {Search(10.0, -5.0).key, Search(10.0, 5.0).key, Search(10.0, -5.0, 0.1).key, Search(1.0, 1.0, 0.0, "7").key}
    assert len(keys) == 4
    assert all("/" not in key and len(key) < 80 for key in keys)
    one = Search(359.9999999, 89.5, 0.25, "25155310")
    assert Search.read(one.as_dict()) == one
    for wrong in (lambda: Search(360.0, 0.0), lambda: Search(0.0, 91.0), lambda: Search(0.0, 0.0, -1.0),
                  lambda: Search(0.0, 0.0, 0.0, "../x"), lambda: Search.read({"ra_deg": 1})):  # fmt: skip
        with pytest.raises(SkyvaultError):
            wrong()


def test_places_are_understood_in_every_form() -> None:
    from astropy.coordinates import SkyCoord

    for target in (
        "129.97758 19.82192",
        "129.97758, +19.82192",
        (129.97758, 19.82192),
        SkyCoord(129.97758, 19.82192, unit="deg"),
    ):
        assert place_of(target) == pytest.approx((129.97758, 19.82192))
    assert place_of(SkyCoord(0.0, 0.0, unit="deg", frame="galactic")) == pytest.approx((266.405, -28.936), abs=0.001)
    assert place_of("J123.1-32.13") == (123.1, -32.13)
    with pytest.raises(SkyvaultError, match="no name resolver"):
        place_of("RY Cnc")


def test_times_of_every_kind_meet_at_the_barycentre() -> None:
    import pyarrow as pa
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time

    # of our century, where astropy needs no newer tables than it has
    mjd = np.array([51544.0, 54000.25, 58000.5])
    centre = EarthLocation.from_geocentric(0.0, 0.0, 0.0, unit="m")
    time = Time(mjd, format="mjd", scale="utc", location=centre)
    star = SkyCoord(130.0, 20.0, unit="deg")
    wanted = (time.tdb + time.light_travel_time(star, "barycentric")).mjd
    at_sun = (time + time.light_travel_time(star, "heliocentric")).mjd
    for values, scale, reference in (
        (mjd, "utc", "GEOCENTER"),
        (at_sun, "utc", "HELIOCENTER"),
        (wanted, "tdb", "BARYCENTER"),
    ):
        axis = TimeAxis("t", 2400000.5, scale, reference)  # type: ignore[arg-type]
        curve = LightCurveTable("x", "y", pa.table({"t": values}), axis, 130.0, 20.0, np.zeros(3, np.bool_))
        assert np.abs(curve.mjd_tdb() - wanted).max() * 86400.0 < 0.05
    unknown = LightCurveTable(
        "x", "y", pa.table({"t": mjd}), TimeAxis("t", 0.0, "unknown", "UNKNOWN"), 1.0, 1.0, np.zeros(3, np.bool_)
    )
    with pytest.raises(SkyvaultError, match="cannot be turned into TDB"):
        unknown.mjd_tdb()
