"""Datasets of collections over HTTP: found by SIA 2.0 and TAP, linked by DataLink, fetched, cut out by SODA."""

from __future__ import annotations

import io
import shutil
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource
from skyvault.store.products import did_of

RESOURCE = """\
schema: sky
title: Images of several kinds
description: Made for tests, and real ones.
services: [sia2, soda]
files:
  plain: {files: 'plain/*.fits'}
  signed: {files: 'signed/*.fits', links: signed, link_lifetime_s: 1}
  surveys: {files: 'real/**/*.fits*', previews: false}
"""
#: real images of several surveys, with SIP, TPV and tile compression among them
REAL = ("plates_dss", "sdss_ngc6976", "spitzer", "galactic_center")


def _header(**cards: object) -> fits.Header:
    return fits.Header(
        dict(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0, CRPIX1=150.5, CRPIX2=100.5,
            CDELT1=-0.001, CDELT2=0.001, **cards,
        )
    )  # fmt: skip


#: pyvo does not know VODataService's <param> within an interface
pytestmark = pytest.mark.filterwarnings("ignore:.*Unknown element")


class Site:
    """A server with the collections, and what asks it."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.base, self.home, self.folder = server.base_url, server.home, folder

    def did(self, table: str, path: str) -> str:
        return did_of("skyvault.invalid", f"sky.{table}", path)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> tuple[int, bytes, Any]:
        url = f"{self.base}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def cutout(self, table: str, path: str, **query: str) -> Any:
        status, content, _ = self.get("/soda/sync", ID=self.did(table, path), **query)
        assert status == 200, content
        file = fits.open(io.BytesIO(content))
        file.verify("exception")
        return file[0]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any], shared_data: Path
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("datasets")
    pixels = np.arange(200 * 300, dtype=np.int32).reshape(200, 300)
    for name in ("plain", "signed"):
        (folder / name).mkdir()
        fits.PrimaryHDU(pixels, _header()).writeto(folder / name / "a.fits")
    scaled = fits.PrimaryHDU((pixels % 60_000).astype(np.uint16), _header(OBJECT="unsigned"))
    scaled.writeto(folder / "plain" / "unsigned.fits")
    several = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels.astype(np.float32), _header(), name="SCI")])
    several.append(fits.ImageHDU(pixels.astype(np.uint8), _header(), name="MASK"))
    several.writeto(folder / "plain" / "several.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, _header(), compression_type="RICE_1")]).writeto(
        folder / "plain" / "tiles.fits"
    )
    cube = _header()
    cube.update(CTYPE3="FREQ", CRVAL3=1.4e9, CDELT3=1e6, CRPIX3=1.0, CUNIT3="Hz")
    fits.PrimaryHDU(np.arange(4 * 20 * 30, dtype=np.float32).reshape(4, 20, 30), cube).writeto(
        folder / "plain" / "cube.fits"
    )
    for name in REAL:
        shutil.copytree(shared_data / "images" / name, folder / "real" / name)
    (folder / "resource.yaml").write_text(RESOURCE)
    home = folder / "home"
    publish_resource(folder, settings=Settings(home=home))
    yield Site(start_server(home), folder)


def _link(links: Any, semantics: str) -> Any:
    # bysemantics() asks the vocabulary's server
    return next(link for link in links if link["semantics"] == semantics)


def test_sia2_finds_images_by_place_time_and_name(site: Site) -> None:
    import pyvo

    service = pyvo.dal.SIA2Service(f"{site.base}/sia2/query")
    found = service.search(pos=(10.0, 20.0, 0.01))
    assert {"a", "unsigned", "several", "tiles"} <= set(found["obs_id"])
    assert {row["obs_id"] for row in service.search(pos=(10.0, 20.0, 0.01), target_name="unsigned")} == {"unsigned"}
    assert {row["dataproduct_type"] for row in service.search(data_type="cube")} == {"cube"}
    assert len(service.search(pos=(200.0, -80.0, 0.01))) == 0
    from astropy.time import Time

    plate = service.search(pos=(349.73, 5.4, 0.01), time=(Time(33_860, format="mjd"), Time(33_870, format="mjd")))
    assert plate["obs_id"].tolist() == ["dss_hd219829"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"POS": "SQUARE 1 2 3"}, "is no CIRCLE, RANGE or POLYGON"),
        ({"POS": "CIRCLE 1 2"}, "is no region"),
        ({"BAND": "red"}, "is not an interval"),
        ({"TIME": "2 1"}, "ends before it begins"),
        ({"CALIB": "9"}, "at most 4"),
    ],
)
def test_sia2_tells_what_is_wrong_as_a_usage_fault(site: Site, query: dict[str, str], told: str) -> None:
    status, content, _ = site.get("/sia2/query", **query)
    assert status == 400 and told in content.decode() and b'value="ERROR"' in content


def test_a_search_and_its_links_lead_to_the_file(site: Site) -> None:
    import pyvo

    row = pyvo.dal.SIA2Service(f"{site.base}/sia2/query").search(pos=(10.0, 20.0, 0.001), target_name="unsigned")[0]
    assert row["access_format"] == "application/x-votable+xml;content=datalink"
    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(row["access_url"])
    assert {link["semantics"] for link in links} == {"#this", "#preview-image", "#thumbnail", "#cutout"}
    this = _link(links, "#this")
    status, content, headers = site.get(urllib.parse.urlsplit(this["access_url"]).path)
    assert status == 200 and content == (site.folder / "plain" / "unsigned.fits").read_bytes()
    assert headers["Accept-Ranges"] == "bytes" and int(this["content_length"]) == len(content)
    picture = _link(links, "#preview-image")
    assert urllib.request.urlopen(picture["access_url"]).read().startswith(b"\x89PNG")


def test_pyvo_cuts_out_by_the_description_in_the_links(site: Site) -> None:
    import pyvo

    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(
        f"{site.base}/datalink/links?ID={urllib.parse.quote(site.did('plain', 'plain/a.fits'), safe='')}"
    )
    soda = next(one for one in links.iter_procs() if str(one["service_def"]) == "soda-sync")
    content = soda.process(circle=(10.0, 20.0, 0.01))
    assert fits.open(io.BytesIO(content.read()))[0].data.shape[0] in (20, 21, 22)


def test_tap_results_describe_the_links_service_and_pyvo_follows_it(site: Site) -> None:
    import pyvo

    result = pyvo.dal.TAPService(f"{site.base}/tap").search(
        "SELECT obs_publisher_did, access_url FROM ivoa.ObsCore WHERE obs_id IN ('unsigned', 'several')"
    )
    assert all(str(url).startswith(f"{site.base}/datalink/links?ID=") for url in result["access_url"])
    found = [link["semantics"] for links in result.iter_datalinks() for link in links]
    assert found.count("#this") == 2


def test_many_ids_are_answered_in_one_document_and_each_unknown_one_says_so(site: Site) -> None:
    from astropy.io.votable import parse

    ids = [site.did("plain", "plain/a.fits"), "ivo://elsewhere/x?y", site.did("plain", "none.fits")]
    url = f"{site.base}/datalink/links?" + urllib.parse.urlencode([("ID", one) for one in ids])
    with urllib.request.urlopen(url) as answer:
        assert answer.headers["Content-Type"] == "application/x-votable+xml;content=datalink"
        document = parse(io.BytesIO(answer.read()))
    table = document.get_first_table().to_table()
    assert list(dict.fromkeys(table["ID"])) == ids
    faults = [one for one in table["error_message"] if one]
    assert len(faults) == 2 and all(one.startswith("NotFoundFault: ") for one in faults)
    for row in table:
        assert sum(bool(row[name]) for name in ("access_url", "service_def", "error_message")) == 1


def test_a_part_of_a_file_is_given_by_its_range(site: Site) -> None:
    status, content, headers = site.get("/get/sky.plain/plain/a.fits", {"Range": "bytes=2880-2889"})
    assert status == 206 and content == (site.folder / "plain" / "a.fits").read_bytes()[2880:2890]
    assert headers["Content-Range"].startswith("bytes 2880-2889/")


@pytest.mark.parametrize(
    "path",
    [
        "/get/sky.plain/../resource.yaml", "/get/sky.plain/%2e%2e/resource.yaml", "/get/sky.plain//etc/passwd",
        "/get/sky.plain/..%2fresource.yaml", "/get/sky.plain/resource.yaml", "/get/sky.none/a.fits",
        "/get/sky.plain/plain/a.fits?part=../../x", "/get/sky.plain/plain/../plain/a.fits/",
    ],
)  # fmt: skip
def test_nothing_but_products_can_be_fetched(site: Site, path: str) -> None:
    status, content, _ = site.get(path)
    assert status == 404 and b"schema: sky" not in content


def test_a_file_that_became_a_link_to_elsewhere_is_not_given_out(site: Site) -> None:
    path = site.folder / "plain" / "tiles.fits"
    kept = path.read_bytes()
    try:
        path.unlink()
        path.symlink_to(site.folder / "resource.yaml")
        assert site.get("/get/sky.plain/plain/tiles.fits")[0] == 404
        path.unlink()
        status, content, _ = site.get("/get/sky.plain/plain/tiles.fits")
        assert status == 404 and b"not there any more" in content
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(kept)


def test_signed_links_are_good_for_a_while_and_for_one_file(site: Site) -> None:
    import pyvo

    did = site.did("signed", "signed/a.fits")
    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(
        f"{site.base}/datalink/links?ID={urllib.parse.quote(did, safe='')}"
    )
    address = urllib.parse.urlsplit(_link(links, "#this")["access_url"])
    query = dict(urllib.parse.parse_qsl(address.query))
    assert site.get(address.path, **query)[0] in (200, 403)
    assert site.get(address.path)[0] == 403
    status, content, _ = site.get(address.path, until=str(int(query["until"]) + 999), sig=query["sig"])
    assert status == 403 and b"signature is wrong" in content
    from skyvault.serve.product_addresses import ProductAddresses
    from skyvault.serve.secret import Keys
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.products import collection, products_of

    settings = Settings(home=site.home)
    store = DuckStore(settings)
    try:
        product = products_of(store, [did])[did][0]
        held = collection(store, "sky.signed")
        old = ProductAddresses(Keys(settings))
        signature = old._signature(product, 1_000_000_000)
    finally:
        store.close()
    assert held.is_signed
    status, content, _ = site.get(address.path, until="1000000000", sig=signature)
    assert status == 403 and b"the link expired at 2001-09-09 01:46:40 UTC" in content


def _expected(path: Path, hdu: int, ra: float, dec: float, side: int) -> Cutout2D:
    from astropy.coordinates import SkyCoord

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as file:
            return Cutout2D(file[hdu].data.copy(), SkyCoord(ra, dec, unit="deg"), side, WCS(file[hdu].header, file))


@pytest.mark.parametrize(("name", "hdu"), [("a", 0), ("unsigned", 0), ("several", 1), ("tiles", 1)])
def test_a_cutout_is_what_cutout2d_gives_with_its_wcs(site: Site, name: str, hdu: int) -> None:
    # 20.5 pixels of 3.6 arcsec around the centre of a pixel: 41 pixels
    centre = WCS(_header()).pixel_to_world(149, 99)
    ra, dec = float(centre.ra.deg), float(centre.dec.deg)
    expected = _expected(site.folder / "plain" / f"{name}.fits", hdu, ra, dec, 41)
    got = site.cutout("plain", f"plain/{name}.fits", CIRCLE=f"{ra} {dec} {0.0204}")
    assert np.array_equal(got.data, expected.data)
    sky = WCS(got.header).pixel_to_world(3.0, 7.0)
    assert sky.separation(expected.wcs.pixel_to_world(3.0, 7.0)).arcsec < 1e-6


def _moved(image: fits.Header, cutout: fits.Header, axis: int) -> float:
    if f"CRPIX{axis}" in image:
        return image[f"CRPIX{axis}"] - cutout[f"CRPIX{axis}"]
    # the plate solutions of the Digitized Sky Survey
    return cutout[f"CNPIX{axis}"] - image[f"CNPIX{axis}"]


def test_cutouts_of_real_images_equal_cutout2d(site: Site) -> None:
    import pyvo
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import skycoord_to_pixel

    table = pyvo.dal.TAPService(f"{site.base}/tap").search(
        "SELECT obs_publisher_did, s_ra, s_dec, s_pixel_scale, s_xel1, s_xel2 FROM sky.surveys"
    )
    compared = 0
    for row in table:
        did, ra, dec = str(row["obs_publisher_did"]), float(row["s_ra"]), float(row["s_dec"])
        path = site.folder / urllib.parse.unquote(did.partition("/~?")[2].partition("/")[2])
        radius = 10.2 * float(row["s_pixel_scale"]) / 3600
        got = site.cutout("surveys", path.relative_to(site.folder).as_posix(), CIRCLE=f"{ra!r} {dec!r} {radius!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path) as file:
                hdu = next(one for one in file if one.is_image and one.header.get("NAXIS", 0) >= 2)
                # the reference pixel has moved by whole pixels, and these are the image's own
                shift = [_moved(hdu.header, got.header, axis) for axis in (1, 2)]
                j, i = (round(one) for one in shift)
                height, width = got.data.shape[-2:]
                assert max(abs(shift[0] - j), abs(shift[1] - i)) < 1e-9, did
                part = hdu.data.squeeze()[i : i + height, j : j + width]
                assert np.array_equal(got.data.squeeze(), part, equal_nan=True), did
                assert 19 <= max(height, width) <= 24, did
                x, y = skycoord_to_pixel(SkyCoord(ra, dec, unit="deg"), WCS(got.header, file).celestial)
                assert abs(x - (width - 1) / 2) < 1.5 and abs(y - (height - 1) / 2) < 1.5, did
        compared += 1
    assert compared >= 10


def test_a_cube_is_cut_in_wavelength(site: Site) -> None:
    low, high = 299_792_458 / 1.4024e9, 299_792_458 / 1.4006e9
    got = site.cutout("plain", "plain/cube.fits", BAND=f"{low} {high}")
    assert got.data.shape == (2, 20, 30) and got.header["CRPIX3"] == 0.0
    assert np.array_equal(got.data, np.arange(4 * 600, dtype=np.float32).reshape(4, 20, 30)[1:3])


def test_pixel_ranges_count_from_one_with_both_ends(site: Site) -> None:
    got = site.cutout("plain", "plain/a.fits", PIXEL_1="11 20", PIXEL_2="1 5")
    assert got.data.shape == (5, 10) and got.data[0, 0] == 10


def test_a_cutout_without_pixels_has_no_content(site: Site) -> None:
    did = site.did("plain", "plain/a.fits")
    for query in ({"CIRCLE": "80 20 0.01"}, {"CIRCLE": "190 -20 0.01"}, {"PIXEL_1": "500 600"}):
        status, content, _ = site.get("/soda/sync", ID=did, **query)
        assert (status, content) == (204, b"")


@pytest.mark.parametrize(
    ("query", "begin"),
    [
        ({"CIRCLE": "10 20"}, "UsageError: CIRCLE='10 20' is no region"),
        ({"BAND": "5 m"}, "UsageError: BAND: '5 m' is not an interval"),
        ({"POS": "10 20 1"}, "UsageError: POS='10 20 1' does not say its shape"),
        ({"RESPONSEFORMAT": "image/gif"}, "UsageError: RESPONSEFORMAT"),
        ({"CIRCLE": "10 20 1", "POS": "CIRCLE 10 20 1"}, "MultiValuedParamNotSupported: "),
    ],
)
def test_soda_tells_what_is_wrong_in_its_own_words(site: Site, query: dict[str, str], begin: str) -> None:
    status, content, headers = site.get("/soda/sync", ID=site.did("plain", "plain/a.fits"), **query)
    assert status == 400 and content.decode().startswith(begin)
    assert headers["Content-Type"].startswith("text/plain")


def test_a_job_makes_one_result_for_each_combination(site: Site) -> None:
    did = site.did("plain", "plain/a.fits")
    form = [("ID", did), ("CIRCLE", "10 20 0.01"), ("CIRCLE", "80 20 0.01"), ("PHASE", "RUN")]
    request = urllib.request.Request(f"{site.base}/soda/async", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request) as answer:
        job = answer.url
    text = urllib.request.urlopen(f"{job}?WAIT=20").read().decode()
    assert "<uws:phase>COMPLETED</uws:phase>" in text
    first = fits.open(io.BytesIO(urllib.request.urlopen(f"{job}/results/cutout-1").read()))
    assert first[0].data.shape[0] in (20, 21, 22)
    assert urllib.request.urlopen(f"{job}/results/cutout-2").read().startswith(b"NoPixels: ")


def test_a_cutout_can_be_a_picture(site: Site) -> None:
    status, content, headers = site.get(
        "/soda/sync", ID=site.did("plain", "plain/a.fits"), CIRCLE="10 20 0.02", RESPONSEFORMAT="image/png"
    )
    assert status == 200 and content.startswith(b"\x89PNG") and headers["Content-Type"] == "image/png"
