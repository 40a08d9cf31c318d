"""The steps of Rubin's DP0.2 tutorial on image queries by TAP, as its reader writes them, against the sandbox."""

import os
import warnings
from collections import Counter
from urllib.request import urlretrieve

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from pyvo.dal.adhoc import DatalinkResults

from skyvault import get_tap_service
from skyvault.find import fetch, open_image, read_mask, really_contains, send_image, show_image

TARGET = SkyCoord(ra=62.0 * u.degree, dec=-37.0 * u.degree, frame="icrs")
AT_THE_POINT = "SELECT * FROM ivoa.ObsCore WHERE CONTAINS(POINT('ICRS', 62.0, -37.0), s_region) = 1"


@pytest.fixture
def service(sandbox_settings):
    return get_tap_service("tap", token="gt-sandbox", settings=sandbox_settings)


def job_results(service, query):
    job = service.submit_job(query)
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"])
    assert job.phase == "COMPLETED"
    job.raise_if_error()
    return job.fetch_result()


def opened(url, tmp_path):
    """``fits.open(url)`` without astropy's cache in the user's home."""
    path, _ = urlretrieve(url, tmp_path / "opened.fits")
    return fits.open(path, memmap=False)


def test_one_call_opens_the_service_and_its_session_carries_the_token(service, sandbox):
    assert service._session.has_token
    assert "gt-sandbox" not in repr(service) + repr(service._session) + str(service._session.__dict__["auth"])


def test_the_five_schemas_are_shown(service):
    results = service.search("SELECT * FROM tap_schema.schemas").to_table()
    names = [name.lower() for name in results["schema_name"]]
    assert sorted(names) == ["dp01_dc2_catalogs", "dp02_dc2_catalogs", "ivoa", "tap_schema", "uws"]
    assert {"description", "schema_index", "schema_name", "utype"} <= set(results.colnames)
    assert results["utype"].mask.all()


def test_tables_become_data_frames(service):
    pytest.importorskip("pandas", reason="the user's own choice")
    frame = service.search("SELECT * FROM tap_schema.schemas").to_table().to_pandas()
    assert len(frame) == 5


def test_a_column_is_named_with_its_schema_and_table(service):
    results = service.search("SELECT * FROM tap_schema.tables WHERE tap_schema.tables.schema_name = 'ivoa'")
    assert [str(row["table_name"]) for row in results] == ["ivoa.ObsCore"]


def test_obscore_has_its_37_columns(service):
    results = service.search(
        "SELECT column_name, datatype, description, unit FROM tap_schema.columns WHERE table_name = 'ivoa.ObsCore'"
    ).to_table()
    assert len(results) == 37
    assert set(results["datatype"]) == {"char", "int", "long", "double"}
    units = dict(zip(results["column_name"], results["unit"], strict=True))
    assert (units["s_ra"], units["t_min"], units["t_exptime"], units["em_min"]) == ("deg", "d", "s", "m")
    assert units["s_resolution"] == "arcsec"
    datatypes = dict(zip(results["column_name"], results["datatype"], strict=True))
    assert datatypes["s_region"] == "char" and datatypes["lsst_visit"] == "long" and datatypes["calib_level"] == "int"


def test_all_images_of_the_point_are_counted_as_in_the_tutorial(service):
    results = job_results(service, AT_THE_POINT).to_table()
    assert len(results) == 1554
    assert Counter(results["dataproduct_type"]) == {"image": 1554}
    assert Counter(results["dataproduct_subtype"]) == {
        "lsst.calexp": 510,
        "lsst.raw": 510,
        "lsst.goodSeeingDiff_differenceExp": 510,
        "lsst.deepCoadd_calexp": 12,
        "lsst.goodSeeingCoadd": 12,
    }
    values, counts = np.unique(results["calib_level"], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {1: 510, 2: 510, 3: 534}
    calexps = results[results["dataproduct_subtype"] == "lsst.calexp"]
    assert Counter(calexps["lsst_band"]) == {"g": 57, "i": 128, "r": 137, "u": 34, "y": 88, "z": 66}
    assert set(calexps["lsst_filter"]) == {f"{band}_sim_1.4" for band in "ugrizy"}


def test_visits_detectors_tracts_and_patches_are_numbered(service):
    results = job_results(service, AT_THE_POINT).to_table()
    calexps = results[results["dataproduct_subtype"] == "lsst.calexp"]
    first = calexps[0]
    assert (first["lsst_visit"], first["lsst_detector"], first["lsst_ccdvisitid"]) == (698740, 112, 698740112)
    assert len(np.unique(calexps["lsst_visit"])) == 443
    assert len(np.unique(calexps["lsst_ccdvisitid"])) == 510
    coadds = results[results["dataproduct_subtype"] == "lsst.deepCoadd_calexp"]
    patches = Counter(
        f"{tract}_{patch}" for tract, patch in zip(coadds["lsst_tract"], coadds["lsst_patch"], strict=True)
    )
    assert patches == {"3831_10": 6, "3831_3": 6}


def test_regions_are_texts_of_ten_words(service):
    results = job_results(service, AT_THE_POINT).to_table()
    first = results[results["dataproduct_subtype"] == "lsst.calexp"][0]
    assert (first["s_ra"], first["s_dec"]) == (61.854056086259405, -36.90350302893365)
    assert isinstance(first["s_ra"], np.float64)
    assert first["s_region"].split(" ")[:4] == ["POLYGON", "ICRS", "61.693243", "-36.780375"]
    assert all(len(region.split(" ")) == 10 for region in results["s_region"])


@pytest.fixture
def in_i(service):
    return job_results(service, f"{AT_THE_POINT} AND lsst_band = 'i' AND calib_level = 2")


def test_128_calibrated_exposures_in_i_have_the_point(in_i):
    assert len(in_i) == 128
    row = in_i[0]
    assert (row["dataproduct_subtype"], row["lsst_ccdvisitid"], row["obs_id"]) == (
        "lsst.calexp",
        214437078,
        "214437-R20_S20",
    )
    assert f"{row['s_ra']:7.4f} {row['s_dec']:8.4f}" == "61.9699 -36.8508"
    assert (row["lsst_band"], row["t_min"]) == ("i", 59870.20678561111)
    assert row["access_format"] == "application/x-votable+xml;content=datalink"
    assert "/datalink/links?ID=butler%3A//dp02/" in row["access_url"]


def test_the_first_image_has_the_point_in_its_padding_only(service, in_i, tmp_path):
    links = DatalinkResults.from_result_url(in_i[0]["access_url"], session=service._session)
    image_url = links["access_url"][0]
    assert image_url != in_i[0]["access_url"] and "X-Goog-Signature=" in image_url
    with opened(image_url, tmp_path) as hdulist:
        names = [hdu.name for hdu in hdulist]
        assert names[:5] == ["IMAGE", "IMAGE", "MASK", "VARIANCE", "ARCHIVE_INDEX"]
        wcs = WCS(hdulist[1].header)
        assert not wcs.footprint_contains(TARGET)


def test_of_the_first_five_images_three_have_the_point(service, in_i, tmp_path):
    told = []
    for row, result in enumerate(in_i):
        if row < 5:
            links = DatalinkResults.from_result_url(result["access_url"], session=service._session)
            with opened(links["access_url"][0], tmp_path) as hdulist:
                told.append(WCS(hdulist[1].header).footprint_contains(TARGET))
    assert told == [False, True, True, False, True]
    first_five = [in_i[row] for row in range(5)]
    assert really_contains(first_five, TARGET, session=service._session).tolist() == told


def test_astropy_opens_an_image_by_its_address(service, in_i, tmp_path):
    from astropy.config import set_temp_cache

    links = DatalinkResults.from_result_url(in_i[1]["access_url"], session=service._session)
    with warnings.catch_warnings(), set_temp_cache(tmp_path):
        warnings.simplefilter("ignore")
        data = fits.getdata(links["access_url"][0])
    assert data.shape == (400, 400)


def test_the_image_is_displayed_with_its_grid_outline_and_arrows(in_i, tmp_path, service):
    figure = show_image(
        in_i[0],
        target=TARGET,
        region=str(in_i[0]["s_region"]),
        session=service._session,
        save=tmp_path / "shown.png",
    )
    axes = figure.axes[0]
    assert (tmp_path / "shown.png").stat().st_size > 20_000
    low, high = axes.images[0].get_clim()
    assert -250 < low < -80 and 150 < high < 700
    assert {text.get_text() for text in axes.texts} >= {"N", "E"}
    colours = {line.get_color() for line in axes.lines}
    assert "darkviolet" in colours


def test_images_are_saved_under_the_names_given(service, in_i, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    filename = os.path.join(os.getenv("HOME"), "dp02_02c_image_calexp.fits")
    links = DatalinkResults.from_result_url(in_i[1]["access_url"], session=service._session)
    urlretrieve(links["access_url"][0], filename)
    report = fetch(in_i[1], tmp_path / "ours.fits", session=service._session)
    assert not report.problems
    assert (tmp_path / "ours.fits").read_bytes() == (tmp_path / "dp02_02c_image_calexp.fits").read_bytes()


def test_the_saved_file_is_reopened_with_its_mask_and_variance(service, in_i, tmp_path):
    """Without the science pipelines: the planes of the mask by name, laid over the image with a transparency."""
    path = tmp_path / "dp02_02c_image_calexp.fits"
    fetch(in_i[1], path, session=service._session)
    with open_image(path) as exposure:
        shapes = [exposure[name].data.shape for name in ("MASK", "VARIANCE")]
        assert [exposure[1].data.shape, *shapes] == [(400, 400)] * 3
        assert np.median(exposure["VARIANCE"].data) > 0
    mask = read_mask(path)
    assert {"BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "NO_DATA"} <= set(mask.planes)
    assert mask.counts()["DETECTED"] > 100
    figure = show_image(path, mask=True, mask_transparency=80, has_colour_bar=True, save=tmp_path / "calexp.png")
    assert (tmp_path / "calexp.png").stat().st_size > 20_000
    assert "DETECTED" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_saved_file_is_sent_to_a_viewer_beside(service, in_i, tmp_path):
    from pyvo import samp

    hub = samp.SAMPHubServer(web_profile=False, addr="127.0.0.1", lockfile=str(tmp_path / "hub"), label="tutorial")
    hub.start()
    viewer = samp.SAMPIntegratedClient(name="viewer", addr="127.0.0.1")
    try:
        viewer.connect(hub=hub)
        viewer.bind_receive_notification("image.load.fits", lambda *told: None)
        assert send_image(in_i[1], session=service._session, cache=tmp_path / "images", hub=hub) == ("viewer",)
    finally:
        viewer.disconnect()
        hub.stop()


def test_two_deep_coadds_in_i_have_the_point(service, tmp_path):
    results = job_results(
        service,
        f"{AT_THE_POINT} AND lsst_band = 'i' AND calib_level = 3 AND dataproduct_subtype = 'lsst.deepCoadd_calexp'",
    )
    assert len(results) == 2
    assert (results[0]["lsst_tract"], results[0]["lsst_patch"]) == (3831, 3)
    report = fetch(results[0], tmp_path / "dp02_02c_image_deepCoadd.fits", session=service._session)
    assert report.is_complete
    with fits.open(tmp_path / "dp02_02c_image_deepCoadd.fits", memmap=False) as hdulist:
        assert WCS(hdulist[1].header).footprint_contains(TARGET)


def test_the_exercise_finds_the_sources_of_the_first_image(service):
    results = service.search(
        "SELECT ccdVisitId,coord_dec,coord_ra FROM dp02_dc2_catalogs.Source"
        " WHERE CONTAINS(POINT('ICRS', coord_ra, coord_dec),CIRCLE('ICRS', 62, -37, 0.25))=1"
        " AND (ccdVisitId = 214437078)"
    )
    assert len(results) == 108
    assert set(results["ccdVisitId"].tolist()) == {214437078}
