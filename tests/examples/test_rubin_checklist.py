"""What a reader of Rubin's DP0.2 tutorial on images does, step by step, against a collection that a user published.

One test a row of the checklist, in its order. The collection is examples/rubin: files with a hook, rows of images that
are kept elsewhere, catalogues; it is served by a process of ``skyvault serve`` and opened with an account's token.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlretrieve

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from pyvo.dal.adhoc import DatalinkResults

from example_sites import Site, example_module, published
from skyvault import get_tap_service
from skyvault.config import Settings
from skyvault.find import fetch, links, open_image, read_mask, really_contains, send_image, show_image
from skyvault.ledger.ledger import open_ledger
from skyvault.sandbox.rubin_sky import exposures
from skyvault.serve.passwords import hashed

pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown element")

TARGET = SkyCoord(ra=62.0 * u.degree, dec=-37.0 * u.degree, frame="icrs")
AT_THE_POINT = "SELECT * FROM ivoa.ObsCore WHERE CONTAINS(POINT('ICRS', 62.0, -37.0), s_region) = 1"
#: the columns of the tutorial's ivoa.ObsCore
COLUMNS_OF_RUBIN = frozenset(
    (
        *("access_format", "access_url", "calib_level", "dataproduct_subtype", "dataproduct_type", "em_max", "em_min"),
        *(
            "em_res_power",
            "em_xel",
            "facility_name",
            "instrument_name",
            "lsst_band",
            "lsst_ccdvisitid",
            "lsst_detector",
        ),
        *("lsst_filter", "lsst_patch", "lsst_tract", "lsst_visit", "o_ucd", "obs_collection", "obs_id"),
        *("obs_publisher_did", "obs_title", "pol_xel", "s_dec", "s_fov", "s_ra", "s_region", "s_resolution", "s_xel1"),
        *("s_xel2", "t_exptime", "t_max", "t_min", "t_resolution", "t_xel", "target_name"),
    )
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Site:
    folder = tmp_path_factory.mktemp("rubin")
    example_module("rubin/make_images.py").make_images(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUBIN_IMAGES", str(folder / "images"))
        settings, done = published(("rubin", "rubin/catalogs"), folder / "home")
    return Site(start_server(settings.home).base_url, settings, done)


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    with open_ledger(site.settings.home / "ledger.sqlite") as ledger:
        ledger.users.add("reader", hashed("correct horse"))
        return str(ledger.tokens.create(ledger.users.get("reader"), "tutorial", ("read", "write"), 3600.0)[1])


@pytest.fixture
def service(site: Site, token: str, tmp_path: Path) -> Any:
    """The environment's helper gives an authenticated service (row 1)."""
    settings = Settings(home=tmp_path / "reader", services={"rubin": f"{site.base}/tap"})
    return get_tap_service("rubin", token=token, settings=settings)


def job_results(service: Any, query: str) -> Any:
    job = service.submit_job(query)
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"])
    assert job.phase == "COMPLETED"
    job.raise_if_error()
    return job.fetch_result()


@pytest.fixture
def in_i(service: Any) -> Any:
    return job_results(service, f"{AT_THE_POINT} AND lsst_band = 'i' AND calib_level = 2")


@pytest.fixture
def first_five(in_i: Any) -> list[Any]:
    """The tutorial's first rows; no order was asked for, so that of the archive is not ours."""
    here, _ = exposures()
    wanted = [one.visit * 1000 + one.detector for one in here if one.band == "i"][:5]
    by_number = {int(row["lsst_ccdvisitid"]): row for row in in_i}
    return [by_number[number] for number in wanted]


def opened(row: Any, service: Any, folder: Path) -> Any:
    """``fits.open`` of the dataset's own link, without astropy's cache in the user's home."""
    found = DatalinkResults.from_result_url(row["access_url"], session=service._session)
    path, _ = urlretrieve(found["access_url"][0], folder / "opened.fits")
    return fits.open(path, memmap=False)


def test_01_one_call_opens_the_service_and_its_session_is_that_of_links(service: Any, token: str) -> None:
    assert service._session.has_token and token not in repr(service) + repr(service._session)
    job = service.submit_job("SELECT TOP 1 obs_id FROM ivoa.ObsCore")
    assert job.owner == "reader"
    job.delete()


def test_02_schemas_are_shown_as_a_data_frame(service: Any) -> None:
    shown = service.search("SELECT * FROM tap_schema.schemas").to_table()
    names = [str(name).lower() for name in shown["schema_name"]]
    assert {"dp02", "dp02_dc2_catalogs", "ivoa", "tap_schema"} <= set(names)
    assert {"description", "schema_index", "schema_name", "utype"} <= set(shown.colnames)
    assert shown["utype"].mask.any()
    if importlib.util.find_spec("pandas") is not None:
        assert len(shown.to_pandas()) == len(names)


def test_03_a_column_may_bear_schema_and_table(service: Any) -> None:
    found = service.search("SELECT * FROM tap_schema.tables WHERE tap_schema.tables.schema_name = 'ivoa'")
    assert [str(row["table_name"]) for row in found] == ["ivoa.ObsCore"]


def test_04_obscore_has_the_columns_of_the_tutorial(service: Any) -> None:
    found = service.search(
        "SELECT column_name, datatype, description, unit FROM tap_schema.columns WHERE table_name = 'ivoa.ObsCore'"
    ).to_table()
    kinds = dict(zip(found["column_name"], found["datatype"], strict=True))
    assert len(COLUMNS_OF_RUBIN) == 37 and set(kinds) >= COLUMNS_OF_RUBIN
    # what the standard wants beside, and the outline of the pixels
    assert {"access_estsize", "pol_states", "s_region_pixels"} <= set(kinds) - COLUMNS_OF_RUBIN
    assert {kinds[name] for name in COLUMNS_OF_RUBIN} == {"char", "int", "long", "double"}
    assert (kinds["s_region"], kinds["lsst_visit"], kinds["calib_level"]) == ("char", "long", "int")
    units = dict(zip(found["column_name"], found["unit"], strict=True))
    wanted = {"s_ra": "deg", "s_dec": "deg", "t_min": "d", "t_exptime": "s", "em_min": "m", "s_resolution": "arcsec"}
    assert {name: units[name] for name in wanted} == wanted


def test_05_a_job_finds_all_images_whose_region_holds_the_point(service: Any) -> None:
    assert len(job_results(service, AT_THE_POINT)) == 1554


def test_06_they_are_of_the_kinds_levels_and_bands_of_the_tutorial(service: Any) -> None:
    found = job_results(service, AT_THE_POINT).to_table()
    assert Counter(found["dataproduct_type"]) == {"image": 1554}
    assert Counter(found["dataproduct_subtype"]) == {
        "lsst.calexp": 510,
        "lsst.raw": 510,
        "lsst.goodSeeingDiff_differenceExp": 510,
        "lsst.deepCoadd_calexp": 12,
        "lsst.goodSeeingCoadd": 12,
    }
    values, counts = np.unique(found["calib_level"], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {1: 510, 2: 510, 3: 534}
    calexps = found[found["dataproduct_subtype"] == "lsst.calexp"]
    assert Counter(calexps["lsst_band"]) == {"g": 57, "i": 128, "r": 137, "u": 34, "y": 88, "z": 66}
    assert set(calexps["lsst_filter"]) == {f"{band}_sim_1.4" for band in "ugrizy"}


def test_07_visits_detectors_tracts_and_patches_are_numbered(service: Any) -> None:
    found = job_results(service, AT_THE_POINT).to_table()
    calexps = found[found["dataproduct_subtype"] == "lsst.calexp"]
    (first,) = calexps[calexps["lsst_ccdvisitid"] == 698740112]
    assert (first["lsst_visit"], first["lsst_detector"]) == (698740, 112)
    assert len(np.unique(calexps["lsst_visit"])) == 443 and len(np.unique(calexps["lsst_ccdvisitid"])) == 510
    coadds = found[found["dataproduct_subtype"] == "lsst.deepCoadd_calexp"]
    patches = Counter(f"{one['lsst_tract']}_{one['lsst_patch']}" for one in coadds)
    assert patches == {"3831_10": 6, "3831_3": 6}


def test_08_regions_are_texts_of_ten_words(service: Any) -> None:
    found = job_results(service, AT_THE_POINT).to_table()
    calexps = found[found["dataproduct_subtype"] == "lsst.calexp"]
    (first,) = calexps[calexps["lsst_ccdvisitid"] == 698740112]
    assert (first["s_ra"], first["s_dec"]) == pytest.approx((61.854056086259405, -36.90350302893365), abs=1e-6)
    assert isinstance(first["s_ra"], np.float64)
    assert first["s_region"].split(" ")[:4] == ["POLYGON", "ICRS", "61.693243", "-36.780375"]
    assert all(len(region.split(" ")) == 10 for region in found["s_region"])


def test_09_128_calibrated_exposures_in_i_show_the_point(in_i: Any, first_five: list[Any]) -> None:
    assert len(in_i) == 128
    row = first_five[0]
    assert (row["dataproduct_subtype"], row["lsst_ccdvisitid"], row["obs_id"]) == (
        "lsst.calexp",
        214437078,
        "214437-R20_S20",
    )
    assert f"{row['s_ra']:7.4f} {row['s_dec']:8.4f}" == "61.9699 -36.8508"
    assert (row["lsst_band"], row["t_min"]) == ("i", 59870.20678561111)


def test_10_the_addresses_are_those_of_links(in_i: Any, site: Site) -> None:
    for row in in_i:
        assert row["access_format"] == "application/x-votable+xml;content=datalink"
        assert row["access_url"].startswith(f"{site.base}/datalink/links?ID=ivo%3A%2F%2F")


def test_11_the_links_of_the_first_row_lead_to_a_signed_address_that_expires(
    service: Any, first_five: list[Any], site: Site
) -> None:
    found = DatalinkResults.from_result_url(first_five[0]["access_url"], session=service._session)
    this = found["access_url"][0]
    assert found["semantics"][0] == "#this" and {"until", "sig"} <= set(parse_qs(urlsplit(this).query))
    assert site.get(this.partition("?")[0])[0] == 403
    soda = [one for one in found.iter_procs() if "soda" in str(one["service_def"])]
    assert len(soda) == 2
    # many rows at once, with the same session
    of_all = [one.access_url for one in links(first_five, session=service.session) if one.semantics == "#this"]
    assert len(set(of_all)) == 5


def test_12_a_file_of_many_parts_is_opened_where_it_is_by_ranges(
    service: Any, first_five: list[Any], tmp_path: Path
) -> None:
    with opened(first_five[0], service, tmp_path) as file:
        names = [hdu.name for hdu in file]
        assert names[:5] == ["IMAGE", "IMAGE", "MASK", "VARIANCE", "ARCHIVE_INDEX"]
        wcs = WCS(file[1].header, fix=False)
    with open_image(first_five[0], session=service.session) as exposure:
        assert [hdu.name for hdu in exposure][:4] == names[:4]
        assert WCS(exposure[1].header, fix=False).wcs.compare(wcs.wcs)
    import urllib.request

    address = DatalinkResults.from_result_url(first_five[0]["access_url"], session=service._session)["access_url"][0]
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Range": "bytes=0-2879"})) as answer:
        assert answer.status == 206 and len(answer.read()) == 2880


def test_13_some_have_the_point_in_their_padding_only(
    service: Any, first_five: list[Any], tmp_path: Path, site: Site
) -> None:
    told = []
    for row in first_five:
        with opened(row, service, tmp_path) as file:
            told.append(bool(WCS(file[1].header, fix=False).footprint_contains(TARGET)))
    assert told == [False, True, True, False, True]
    assert really_contains(first_five, TARGET, session=service._session).tolist() == told
    # the server knows it, too: the outline of the pixels is a column
    inside = service.search(
        "SELECT lsst_ccdvisitid FROM dp02.images WHERE CONTAINS(POINT('ICRS', 62.0, -37.0), s_region) = 1"
        " AND CONTAINS(POINT('ICRS', 62.0, -37.0), s_region_pixels) = 1 AND lsst_band = 'i' AND calib_level = 2"
    )
    numbers = set(inside["lsst_ccdvisitid"].tolist())
    assert [int(row["lsst_ccdvisitid"]) in numbers for row in first_five] == told


def test_14_the_image_is_displayed_with_its_grid_outline_and_arrows(
    service: Any, first_five: list[Any], tmp_path: Path
) -> None:
    row = first_five[0]
    figure = show_image(
        row, target=TARGET, region=str(row["s_region"]), session=service._session, save=tmp_path / "shown.png"
    )
    axes = figure.axes[0]
    assert (tmp_path / "shown.png").stat().st_size > 20_000
    low, high = axes.images[0].get_clim()
    assert -250 < low < -80 and 150 < high < 700
    assert {text.get_text() for text in axes.texts} >= {"N", "E"}


def test_15_images_are_saved_under_the_names_given(
    service: Any, first_five: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = DatalinkResults.from_result_url(first_five[1]["access_url"], session=service._session)
    urlretrieve(found["access_url"][0], tmp_path / "dp02_02c_image_calexp.fits")
    report = fetch(first_five[1], tmp_path / "ours.fits", session=service._session)
    assert report.is_complete and not report.problems
    assert (tmp_path / "ours.fits").read_bytes() == (tmp_path / "dp02_02c_image_calexp.fits").read_bytes()


def test_16_the_saved_file_is_reopened_with_its_mask_and_sent_to_a_viewer(
    service: Any, first_five: list[Any], tmp_path: Path
) -> None:
    from pyvo import samp

    path = tmp_path / "dp02_02c_image_calexp.fits"
    fetch(first_five[1], path, session=service._session)
    with open_image(path) as exposure:
        assert [exposure[name].data.shape for name in ("MASK", "VARIANCE")] == [(400, 400)] * 2
    mask = read_mask(path)
    assert mask.counts()["DETECTED"] > 100
    show_image(path, mask=True, mask_transparency=80, save=tmp_path / "calexp.png")
    hub = samp.SAMPHubServer(web_profile=False, addr="127.0.0.1", lockfile=str(tmp_path / "hub"), label="tutorial")
    hub.start()
    viewer = samp.SAMPIntegratedClient(name="viewer", addr="127.0.0.1")
    try:
        viewer.connect(hub=hub)
        viewer.bind_receive_notification("image.load.fits", lambda *told: None)
        assert send_image(first_five[1], session=service._session, cache=tmp_path / "images", hub=hub) == ("viewer",)
    finally:
        viewer.disconnect()
        hub.stop()


def test_17_two_deep_coadds_in_i_show_the_point(service: Any, tmp_path: Path) -> None:
    found = job_results(
        service,
        f"{AT_THE_POINT} AND lsst_band = 'i' AND calib_level = 3 AND dataproduct_subtype = 'lsst.deepCoadd_calexp'",
    )
    assert len(found) == 2
    row = next(one for one in found if int(one["lsst_patch"]) == 3)
    assert row["lsst_tract"] == 3831
    assert fetch(row, tmp_path / "dp02_02c_image_deepCoadd.fits", session=service._session).is_complete
    with fits.open(tmp_path / "dp02_02c_image_deepCoadd.fits", memmap=False) as file:
        assert file[1].data.shape == (400, 400) and WCS(file[1].header, fix=False).has_celestial


def test_18_the_exercise_finds_the_sources_of_the_first_image(service: Any) -> None:
    found = service.search(
        "SELECT ccdVisitId,coord_dec,coord_ra FROM dp02_dc2_catalogs.Source"
        " WHERE CONTAINS(POINT('ICRS',coord_ra,coord_dec),CIRCLE('ICRS',62,-37,0.25))=1"
        " AND (ccdVisitId = 214437078)"
    )
    assert len(found) == 108 and set(found["ccdVisitId"].tolist()) == {214437078}


class Unreliable:
    """A way to the server that breaks the first connections off once it has been asked (RemoteDisconnected)."""

    def __init__(self, target: str, broken: int) -> None:
        self._target = (urlsplit(target).hostname or "", urlsplit(target).port or 80)
        self._left = broken
        self.broken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._left > 0:
                self._left -= 1
                self.broken += 1
                near.recv(65_536)
                near.close()
                continue
            far = socket.create_connection(self._target)
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._pass_on, args=(source, sink), daemon=True)
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while block := source.recv(65_536):
                sink.sendall(block)
        except OSError:
            pass
        finally:
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def unreliable(site: Site) -> Iterator[Unreliable]:
    way = Unreliable(site.base, broken=2)
    yield way
    way.close()


def test_19_a_connection_that_is_broken_off_is_tried_again(unreliable: Unreliable, token: str, tmp_path: Path) -> None:
    service = get_tap_service(f"{unreliable.url}/tap", token=token, settings=Settings(home=tmp_path / "reader"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = service.search(f"{AT_THE_POINT} AND lsst_band = 'i' AND calib_level = 2")
    assert len(found) == 128 and unreliable.broken == 2
    service.session.close()
