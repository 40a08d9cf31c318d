"""A plate archive as DASCH's is told of in the Virtual Observatory: small files first, wide plates apart, a comet."""

from __future__ import annotations

import io
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from example_sites import Site, example_module, published
from skyvault.sandbox.miriade import ENCKE_1941, seen_from_earth

pytestmark = [
    # pyvo does not know VODataService's <param> within an interface
    pytest.mark.filterwarnings("ignore:.*Unknown element"),
]

#: 1941-05-11 at 0 h, MJD: one of the days the ephemeris is asked for
COMET_NIGHT = 30_125.0


def _comet_plate(makes: Any, folder: Path) -> None:
    """A plate of two hours around midnight of Greenwich, on which comet Encke was."""
    all_plates = makes.plates()
    row = all_plates.series.index("mc")
    seen = seen_from_earth(ENCKE_1941, COMET_NIGHT + 2_400_000.5)
    for part, side in (("full", 320), ("reduced", 20)):
        header = makes.header_of(all_plates, row, side, side, 6.0 / side)
        header["PLATE"], header["CRVAL1"], header["CRVAL2"] = "mc99999", seen.ra_deg + 0.4, seen.dec_deg - 0.3
        header["DATE-OBS"], header["EXPTIME"] = "1941-05-10T23:00:00.000", 7200.0
        pixels = np.random.default_rng(1).normal(9000, 300, (side, side)).astype(np.int16)
        makes.write_scan(folder / part / "mc99999.fits.fz", pixels, header)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("plates")
    makes = example_module("plates/make_plates.py")
    for row in makes.chosen(makes.plates(), 9):
        makes.make_plate(folder / "archive", row, 32)
    _comet_plate(makes, folder / "archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATE_ARCHIVE", str(folder / "archive"))
        settings, done = published(("plates",), folder / "home")
    yield Site(start_server(settings.home).base_url, settings, done)


def _rows(site: Site, adql: str) -> list[Any]:
    return list(site.tap.search(adql))


def _narrow(site: Site) -> Any:
    return _rows(site, "SELECT * FROM dasch.narrow_plates WHERE series = 'mc' AND obs_id <> 'mc99999'")[0]


def test_all_plates_are_published_and_the_narrow_ones_once_more(site: Site) -> None:
    assert site.done["plates"].problems == []
    widths = {row["obs_id"]: row["s_fov"] for row in _rows(site, "SELECT obs_id, s_fov FROM dasch.plates")}
    assert len(widths) == 10 and max(widths.values()) > 60
    narrow = {row["obs_id"] for row in _rows(site, "SELECT obs_id FROM dasch.narrow_plates")}
    assert narrow == {name for name, width in widths.items() if width < 20} and 3 <= len(narrow) < 10


def test_very_wide_plates_do_not_drown_the_searches_of_everybody(site: Site) -> None:
    import pyvo

    narrow = {row["obs_id"] for row in _rows(site, "SELECT obs_id FROM dasch.narrow_plates")}
    assert {row["obs_id"] for row in _rows(site, "SELECT obs_id FROM ivoa.ObsCore")} == narrow
    wide = _rows(site, "SELECT s_ra, s_dec FROM dasch.plates WHERE s_fov > 60")[0]
    found = pyvo.dal.SIA2Service(f"{site.base}/sia2/query").search(pos=(wide["s_ra"], wide["s_dec"], 0.1))
    assert set(found["obs_id"]) <= narrow


def test_the_reduced_scan_is_what_one_gets_and_the_full_one_is_beside_each_with_its_own_size(site: Site) -> None:
    row = _narrow(site)
    links = site.links(str(row["obs_publisher_did"]))
    assert set(links) == {
        "#this reduced-scan", "#progenitor full-scan", "#preview-image plate-photograph", "#preview-image",
        "#auxiliary jacket", "#thumbnail", "#cutout",
    }  # fmt: skip
    reduced, full = links["#this reduced-scan"], links["#progenitor full-scan"]
    for link, factor in ((reduced, 1), (full, 16)):
        status, content, _ = site.get(link["access_url"])
        assert status == 200 and len(content) == link["content_length"]
        with fits.open(io.BytesIO(content), memmap=False) as file:
            height, width = file[1].data.shape
        assert f"{width} x {height} pixels" in link["description"]
        # the full scan has a few rows and columns more than 16 times the reduced one's
        assert (width // factor, height // factor) == (row["s_xel1"], row["s_xel2"])
    # what the search says is of the file it leads to
    assert row["access_estsize"] == pytest.approx(reduced["content_length"] / 1024, abs=1)
    assert full["content_length"] > 10 * reduced["content_length"]


def test_photographs_of_the_plate_and_its_jacket_are_pictures(site: Site) -> None:
    links = site.links(str(_narrow(site)["obs_publisher_did"]))
    for key in ("#preview-image plate-photograph", "#auxiliary jacket"):
        status, content, headers = site.get(links[key]["access_url"])
        assert (status, headers["Content-Type"]) == (200, "image/jpeg") and content.startswith(b"\xff\xd8\xff")


def test_links_are_signed_at_each_request_and_good_for_one_file(site: Site) -> None:
    did = str(_narrow(site)["obs_publisher_did"])
    links = site.links(did)
    addresses = {
        key: urllib.parse.urlsplit(str(link["access_url"])) for key, link in links.items() if link["access_url"]
    }
    for address in addresses.values():
        assert {"until", "sig"} <= set(urllib.parse.parse_qs(address.query))
        status, content, _ = site.get(address.path)
        assert status in (403, 404)
    reduced, full = addresses["#this reduced-scan"], addresses["#progenitor full-scan"]
    # the small file's signature does not open the large one
    signature = dict(urllib.parse.parse_qsl(reduced.query))
    status, content, _ = site.get(full.path, **signature, part="progenitor")
    assert status == 403 and b"signature is wrong" in content


def test_the_rows_of_the_second_table_lead_to_the_same_files(site: Site) -> None:
    from pyvo.dal.adhoc import DatalinkResults

    found = site.tap.search("SELECT obs_publisher_did, access_url FROM dasch.narrow_plates")
    links = list(found.iter_datalinks())
    assert len(links) == len(found)
    for row, one in zip(found, links, strict=True):
        this = next(link for link in one if link["semantics"] == "#this")
        assert "/get/dasch.plates/" in this["access_url"]
        assert isinstance(DatalinkResults.from_result_url(row["access_url"]), DatalinkResults)


def test_a_part_of_a_plate_is_cut_out_as_astropy_does(site: Site) -> None:
    row = _narrow(site)
    with fits.open(
        io.BytesIO(site.get(site.links(str(row["obs_publisher_did"]))["#this reduced-scan"]["access_url"])[1])
    ) as file:
        data, wcs = file[1].data, WCS(file[1].header, fix=False)
    x, y = data.shape[1] // 2, data.shape[0] // 2
    place = wcs.pixel_to_world(x, y)
    radius = 4.4 * float(row["s_pixel_scale"]) / 3600.0
    got = site.cutout(
        str(row["obs_publisher_did"]), CIRCLE=f"{float(place.ra.deg)!r} {float(place.dec.deg)!r} {radius!r}"
    )
    expected = Cutout2D(data, (x, y), got.data.shape, wcs)
    assert got.data.shape == (9, 9) and np.array_equal(got.data, expected.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = WCS(got.header, fix=False)
    assert own.pixel_to_world(0, 0).separation(expected.wcs.pixel_to_world(0, 0)).arcsec < 1e-6


# ---------------------------------------------------------------- the comet


@pytest.fixture
def ephemeris(sandbox: Any) -> Any:
    """The table of the post: ninety days of comet Encke from 1941-04-01, its sexagesimal places made degrees."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.table import Table
    from astropy.time import Time

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ephem = Table.read(
            f"{sandbox.url}/miriade/ephemcc.php?-from=vespa&-name=c:p/encke&-ep=1941-04-01&-nbd=90&-step=1d"
            "&-observer=500&-mime=votable",
            format="votable",
        )
        parsed = SkyCoord(ephem["ra"], ephem["dec"], unit=(u.hourangle, u.deg))
        ephem["ra"], ephem["dec"] = parsed.ra.degree, parsed.dec.degree
        ephem["epoch"] = Time(list(ephem["epoch"]), format="isot").mjd
    return ephem


@pytest.mark.parametrize("table", ["plates", "narrow_plates"])
def test_an_ephemeris_is_joined_with_the_plates_footprints(site: Site, ephemeris: Any, table: str) -> None:
    found = site.tap.run_sync(
        f"""
        SELECT *
        FROM
            dasch.{table}
            JOIN tap_upload.orbit
            ON (1=CONTAINS(POINT(ra, dec), s_region))
        WHERE
            t_min<epoch
            AND t_max>epoch""",
        uploads={"orbit": ephemeris},
    )
    assert len(ephemeris) == 90
    assert [(row["obs_id"], row["epoch"]) for row in found] == [("mc99999", COMET_NIGHT)]
    for links in found.iter_datalinks():
        preview = next(links.bysemantics("#preview-image", include_narrower=False))
        assert preview.content_type == "image/png"
        assert site.get(preview.access_url)[1].startswith(b"\x89PNG")


def test_without_times_the_comet_was_on_more_footprints(site: Site, ephemeris: Any) -> None:
    joined = site.tap.run_sync(
        "SELECT obs_id, epoch FROM dasch.plates JOIN tap_upload.orbit ON 1 = CONTAINS(POINT(ra, dec), s_region)",
        uploads={"orbit": ephemeris},
    )
    narrow = site.tap.run_sync(
        "SELECT obs_id, epoch FROM dasch.narrow_plates JOIN tap_upload.orbit ON 1 = CONTAINS(POINT(ra, dec), s_region)",
        uploads={"orbit": ephemeris},
    )
    assert len(joined) >= len(narrow) >= 2
