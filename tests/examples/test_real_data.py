"""The examples of real files: published, checked, found by every protocol, linked, and cut out as astropy does."""

from __future__ import annotations

import gzip
import io
import urllib.parse
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from example_sites import REAL, Site
from skyvault.publish.resource_checks import check_resource
from skyvault.serve.local import query
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.products import collection, products_of, table_of

pytestmark = [
    pytest.mark.shared,
    # everything is published before the first test
    pytest.mark.timeout(300),
    # pyvo does not know VODataService's <param> within an interface
    pytest.mark.filterwarnings("ignore:.*Unknown element"),
]

#: files that are not published, each with the one sentence that is said of it
LEFT_OUT = {
    "odd-files": {
        "allsky/allsky_rosat.fits": "its WCS has no place on the sky for the image's centre or edges",
        "allsky/ligo_simulated.fits.gz": "it holds no image",
        "sep/back.fits": "it has no WCS of the sky",
        "sep/image.fits": "it has no WCS of the sky",
        "sep/rms.fits": "it has no WCS of the sky",
        "wcs_headers/aia_171_level1.fits": "the frame of its WCS is not known (ValueError: Could not determine celestial frame corresponding to the specified WCS object)",
        "wcs_headers/dist.fits": "it holds no image",
        "wcs_headers/header_newlines.fits": "it holds no image",
        "wcs_headers/header_with_time.fits": "it holds no image",
        "wcs_headers/header_with_time_wcslib71.fits": "it holds no image",
        "wcs_headers/ia1d23dmq_flt_hlet.fits": "it holds no image",
        "wcs_headers/ie6d07ujq_wcs.fits": "it has no WCS of the sky",
        "wcs_headers/image_with_distortion_map.fits": "it has no WCS of the sky",
        "wcs_headers/j94f05bgq_flt.fits": "it holds no image",
        "wcs_headers/sip.fits": "it holds no image",
        "wcs_headers/sip2.fits": "it holds no image",
        "wcs_headers/tab-time-last-axis.fits": "it holds no image",
        "wcs_headers/validate.fits": "it holds no image",
    },
    "light-curves": {
        "votable_ts/TS_gaia_ESAC.xml": "its times begin at 1705.94 of an era it does not name",
        "votable_ts/gaia_multiband.xml": "its times begin at 1705.94 of an era it does not name",
        "votable_ts/ts.vot": "it does not say which place it is of: map s_ra and s_dec",
    },
}


@pytest.mark.parametrize("name", REAL)
def test_every_file_is_published_or_listed_with_one_sentence(real_site: Site, name: str) -> None:
    assert dict(real_site.done[name].problems) == LEFT_OUT.get(name, {})
    assert all(one.rows for one in real_site.done[name].collections)


@pytest.mark.parametrize("name", REAL)
def test_check_finds_nothing_wrong_and_the_resources_own_tests_hold(real_site: Site, name: str) -> None:
    def ask(adql: str) -> list[dict[str, Any]]:
        stream = query(adql, settings=real_site.settings)
        return [row for batch in stream.batches for row in batch.to_pylist()]

    findings = check_resource(real_site.done[name].path, ask)
    assert [one for one in findings if one.severity in ("error", "warning")] == []


def test_tap_finds_images_by_place_and_band_over_all_collections(real_site: Site) -> None:
    rows = real_site.tap.search(
        "SELECT obs_collection, obs_id, em_min FROM ivoa.ObsCore WHERE dataproduct_type = 'image'"
        " AND CONTAINS(POINT(266.417, -29.008), s_region) = 1 AND em_min < 1.65e-6 AND em_max > 1.65e-6"
    )
    assert [(row["obs_collection"], row["obs_id"]) for row in rows] == [("Galactic Centre", "gc_2mass_h")]


def test_sia2_finds_images_by_place_band_and_time(real_site: Site) -> None:
    import astropy.units as u
    import pyvo
    from astropy.time import Time

    service = pyvo.dal.SIA2Service(f"{real_site.base}/sia2/query")
    found = service.search(pos=(266.417, -29.008, 0.01), band=(2e-5 * u.m, 3e-5 * u.m))
    assert found["obs_id"].tolist() == ["gc_msx_e"]
    plates = service.search(time=(Time(33_800, format="mjd"), Time(34_000, format="mjd")))
    assert sorted(plates["obs_id"]) == ["07HH-M6707HH", "08YR-dss_hd219829"]


def test_ssa_finds_spectra_and_light_curves_and_gives_them(real_site: Site) -> None:
    import pyvo

    service = pyvo.dal.SSAService(f"{real_site.base}/ssa")
    rows = pyvo.dal.TAPService(f"{real_site.base}/tap").search("SELECT s_ra, s_dec, target_name FROM spectra.sdss")
    found = service.search(pos=(float(rows["s_ra"][0]), float(rows["s_dec"][0])), diameter=0.001)
    assert len(found) >= 1
    with fits.open(io.BytesIO(gzip.decompress(real_site.get(found[0].acref)[1]))) as file:
        assert "loglam" in file[1].columns.names
    status, content, _ = real_site.get("/ssa", REQUEST="queryData", DPTYPE="timeseries", POS="14.419,60.238", SIZE="1")
    assert status == 200 and content.count(b"dasch_hd5501") >= 10


def _links(site: Site, table: str, condition: str) -> dict[str, dict[str, Any]]:
    row = site.tap.search(f"SELECT obs_publisher_did FROM {table} WHERE {condition}")[0]
    return site.links(str(row["obs_publisher_did"]))


def test_datalink_leads_to_weights_masks_and_previews(real_site: Site) -> None:
    links = _links(real_site, "legacy_survey.ccds", "obs_id = 'c4d_150329_083320_ooi_r_ls9.N11'")
    assert {"#this", "#weight inverse-variance", "#auxiliary mask", "#preview-image", "#thumbnail", "#cutout"} <= set(
        links
    )
    status, content, _ = real_site.get(links["#weight inverse-variance"]["access_url"])
    assert status == 200 and len(content) == links["#weight inverse-variance"]["content_length"]
    assert real_site.get(links["#preview-image"]["access_url"])[1].startswith(b"\x89PNG")
    bok = _links(real_site, "legacy_survey.ccds", "obs_id = 'deep2r_ra352_6-ccd3'")
    assert "#weight inverse-variance" in bok and "#auxiliary mask" not in bok


def test_pyvo_cuts_out_of_what_it_found(real_site: Site) -> None:
    found = real_site.tap.search("SELECT obs_publisher_did, access_url FROM sdss.ngc6976 WHERE filter = 'i'")
    links = next(found.iter_datalinks())
    soda = next(one for one in links.iter_procs() if str(one["service_def"]) == "soda-sync")
    with fits.open(io.BytesIO(soda.process(circle=(313.13, -5.77, 0.005)).read())) as file:
        assert file[0].data.shape[0] > 10 and "CRPIX1" in file[0].header


def _images(site: Site) -> list[Any]:
    found = site.tap.search(
        "SELECT obs_publisher_did, s_xel1, s_xel2, s_pixel_scale FROM ivoa.ObsCore"
        " WHERE dataproduct_type IN ('image', 'cube') AND access_url IS NOT NULL",
        maxrec=10_000,
    )
    return list(found)


def test_cutouts_of_every_image_equal_cutout2d_in_pixels_and_wcs(
    real_site: Site, request: pytest.FixtureRequest
) -> None:
    """SIP, TPV, plate solutions, Galactic axes, cubes, packed files, several images in a file; all with --slow."""
    most = 10_000 if request.config.getoption("--slow") else 6
    compared: Counter[str] = Counter()
    with DuckStore(real_site.settings) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in _images(real_site):
            did = str(row["obs_publisher_did"])
            if compared[str(table_of(did))] == most:
                continue
            this = products_of(store, [did])[did][0]
            path = collection(store, str(table_of(did))).path_of(this)
            with fits.open(path) as file:
                hdu = file[this.hdu or 0]
                # the third axis of IRAS maps has no scale
                axes = 2 if hdu.header.get("CDELT3") == 0.0 else None
                wcs = WCS(hdu.header, file, fix=False, naxis=axes).celestial
                data = hdu.data.squeeze()
                height, width = data.shape[-2:]
                x, y = (width - 1) // 2, (height - 1) // 2
                centre = wcs.pixel_to_world(x, y).icrs
                radius = 8.3 * float(row["s_pixel_scale"]) / 3600.0
                got = real_site.cutout(did, CIRCLE=f"{float(centre.ra.deg)!r} {float(centre.dec.deg)!r} {radius!r}")
                rows, columns = got.data.squeeze().shape[-2:]
                left, low = (
                    round(float(hdu.header.get(f"LTV{axis}", 0.0)) - float(got.header.get(f"LTV{axis}", 0.0)))
                    for axis in (1, 2)
                )
                assert left <= x < left + columns and low <= y < low + rows, did
                assert columns <= min(width, 30) and rows <= min(height, 30), did
                middle = (left + (columns - 1) / 2, low + (rows - 1) / 2)
                planes = zip(data.reshape(-1, height, width), got.data.reshape(-1, rows, columns), strict=True)
                for whole, part in planes:
                    expected = Cutout2D(whole, middle, (rows, columns), wcs, mode="trim", copy=True)
                    assert np.array_equal(part, expected.data, equal_nan=True), did
                if wcs.cpdis1 is None and "AMDX1" not in hdu.header:
                    own = WCS(got.header, fix=False, naxis=axes).celestial
                    corners = np.array([[0.0, 0.0], [columns - 1.0, 0.0], [columns / 2, rows / 2], [0.0, rows - 1.0]])
                    apart = own.pixel_to_world(*corners.T).separation(expected.wcs.pixel_to_world(*corners.T))
                    assert apart.arcsec.max() < 1e-6, did
                    assert own.wcs.ctype[0] == wcs.wcs.ctype[0], did
            compared[str(table_of(did))] += 1
    assert len(compared) == 10 and min(compared.values()) >= 1


def test_a_cutout_outside_of_an_image_has_no_content(real_site: Site) -> None:
    row = _images(real_site)[0]
    assert real_site.get("/soda/sync", ID=str(row["obs_publisher_did"]), CIRCLE="10 -89 0.001")[0] == 204


def test_products_cannot_lead_out_of_the_folder_the_resource_names(real_site: Site) -> None:
    for path in ("../INDEX.md", "%2e%2e/INDEX.md", "sdss_ngc6976/..%2f..%2fINDEX.md"):
        status, content, _ = real_site.get(f"/get/sdss.ngc6976/{path}")
        assert status == 404 and b"INDEX of" not in content


def test_the_shared_files_are_named_by_their_place_below_the_root(real_site: Site) -> None:
    row = real_site.tap.search("SELECT obs_publisher_did FROM sdss.frames")[0]
    local = urllib.parse.unquote(str(row["obs_publisher_did"]).partition("sdss.frames/")[2])
    assert local == "sdss_frame/frame-r-001000-1-0100.fits.bz2"


def test_aladin_asks_for_coverage_of_a_collection_and_of_the_site(real_site: Site) -> None:
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from mocpy import MOC

    centre = SkyCoord(266.417, -29.008, unit="deg")
    for path in ("/moc/galactic_plane.centre", "/moc"):
        status, content, headers = real_site.get(path, RESPONSEFORMAT="fits")
        assert status == 200 and headers["Content-Type"] == "application/fits"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moc = MOC.from_fits(io.BytesIO(content))
        assert moc.contains_skycoords(centre).all()
        # a degree of sky, not the whole
        assert moc.sky_fraction < 0.01
        far = SkyCoord(centre.ra + 90 * u.deg, centre.dec)
        assert not moc.contains_skycoords(far).any()


def test_old_clients_search_images_by_sia_1(real_site: Site) -> None:
    import pyvo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pyvo.dal.SIAService(f"{real_site.base}/sia1").search(pos=(266.417, -29.008), size=0.1)
    assert len(found) >= 5


def test_the_site_tells_licences_and_creators_of_each_collection(real_site: Site) -> None:
    rows = real_site.tap.search("SELECT * FROM old_plates.dss WHERE plate = '08YR'")
    infos = [*rows.resultstable.infos, *rows.votable.resources[0].infos]
    told = {(info.name, str(info.value)) for info in infos}
    assert {("creator", "Space Telescope Science Institute"), ("reference_url", "1990AJ.....99.2019L")} & told
