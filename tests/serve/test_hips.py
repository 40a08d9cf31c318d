"""HiPS of image collections: tiles as reproject.hips lays them out, made by command, served for sky browsers."""

from __future__ import annotations

import contextlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from mocpy import MOC
from PIL import Image

from skyvault.cli.main import run
from skyvault.config import Settings
from skyvault.errors import NotFound, UsageError
from skyvault.publish.hips import MadeHips, make_hips
from skyvault.publish.resource_publisher import publish_resource
from skyvault.quiet import quiet
from skyvault.science.hips_tiles import HipsTile, TileImage, TileMaker, order_for, parent_tile, pixel_arcsec
from skyvault.sky.cells import cell_of
from skyvault.store.hips_folders import current_hips
from skyvault.store.layout import Layout

RESOURCE = """\
schema: sky
title: Images with one bright star each
description: Made for tests.
services: [hips]
files:
  stars: {files: 'stars/*.fits'}
  held: {files: 'stars/a.fits', embargo: '2090-01-01'}
"""
STEP = 0.002


def write_image(path: Path, lon: float, lat: float, sky: float) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.normal(sky, 1.0, (200, 300)).astype(np.float32)
    y, x = np.mgrid[0:200, 0:300]
    pixels += 500.0 * np.exp(-((x - 150) ** 2 + (y - 100) ** 2) / 8.0)
    header = fits.Header()
    header.update(
        CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=lon, CRVAL2=lat, CRPIX1=151, CRPIX2=101, CDELT1=-STEP, CDELT2=STEP
    )
    path.parent.mkdir(exist_ok=True)
    fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True)


def publish_stars(folder: Path) -> Path:
    write_image(folder / "stars" / "a.fits", 40.0, 30.0, 100.0)
    write_image(folder / "stars" / "b.fits", 40.3, 30.0, 400.0)
    (folder / "resource.yaml").write_text(RESOURCE)
    publish_resource(folder, settings=Settings(home=folder / "home"))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return publish_stars(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> MadeHips:
    """A HiPS that tests look at and leave as it is."""
    return made(publish_stars(tmp_path_factory.mktemp("done")))


def made(folder: Path, **options: Any) -> MadeHips:
    return make_hips("sky.stars", settings=Settings(home=folder / "home"), processes=1, **options)


def tile(folder: Path, order: int, index: int, ending: str = "fits") -> Path:
    return folder / f"Norder{order}" / f"Dir{index // 10000 * 10000}" / f"Npix{index}.{ending}"


#: (order, tile) -> where reproject 0.21 has six of its pixels (ICRS degrees)
ELSEWHERE = {
    (3, 0): [
        (50.6140136719, 4.7801918472),
        (45.0000000000, 9.5846105908),
        (45.0000000000, 0.0093254850),
        (39.3859863281, 4.7801918472),
        (47.3181152344, 3.8449850894),
        (46.4721679688, 6.8706861964),
    ],
    (3, 17): [
        (78.7390136719, 30.0000000000),
        (73.1250000000, 35.6738542438),
        (73.1250000000, 24.6345771628),
        (67.5109863281, 30.0000000000),
        (75.4431152344, 28.9289034129),
        (74.5971679688, 32.4318167047),
    ],
    (3, 767): [
        (320.6140136719, -4.7801918472),
        (315.0000000000, -0.0093254850),
        (315.0000000000, -9.5846105908),
        (309.3859863281, -4.7801918472),
        (317.3181152344, -5.7166770044),
        (316.4721679688, -2.6960599686),
    ],
    (4, 1000): [
        (289.9902343750, 63.4482836803),
        (281.2582377349, 66.4377021658),
        (287.9947255323, 60.4403449680),
        (280.0097656250, 63.4482836803),
        (287.6539932031, 62.8611788549),
        (284.8494868871, 64.7550008212),
    ],
    (9, 3143797): [
        (313.2420158386, -5.6791898456),
        (313.1542968750, -5.6043692388),
        (313.1542968750, -5.7540201701),
        (313.0665779114, -5.6791898456),
        (313.1905174255, -5.6938329758),
        (313.1772994995, -5.6465370040),
    ],
}


@pytest.mark.parametrize(("order", "index"), ELSEWHERE)
def test_pixels_of_a_tile_lie_where_other_hips_have_them(order: int, index: int) -> None:
    x, y = np.array([0, 511, 0, 511, 100, 300.0]), np.array([0, 0, 511, 511, 200, 77.0])
    lon, lat = HipsTile(order, index).sky(x, y)
    there = SkyCoord(ELSEWHERE[order, index], unit="deg")
    assert there.separation(SkyCoord(lon * u.deg, lat * u.deg)).arcsec.max() < 1e-3 * pixel_arcsec(order)


def test_the_finest_order_suits_the_images() -> None:
    assert [order_for(scale) for scale in (400.0, 1.7, 0.8, 0.4, 0.2, 0.001)] == [3, 8, 9, 10, 11, 13]


def test_a_star_is_where_it_is_and_the_sky_is_level(done: MadeHips) -> None:
    assert (done.order, done.images, done.is_new) == (6, 2, True)
    for lon in (40.0, 40.3):
        index = int(cell_of(done.order, [lon], [30.0])[0])
        pixels = fits.getdata(tile(done.folder, done.order, index))
        row, column = np.unravel_index(np.nanargmax(np.where(np.isfinite(pixels), pixels, -1)), pixels.shape)
        found = HipsTile(done.order, index).sky(column, row)
        stars = SkyCoord([40.0, 40.3] * u.deg, [30.0, 30.0] * u.deg)
        apart = SkyCoord(float(found[0]) * u.deg, float(found[1]) * u.deg).separation(stars).arcsec.min()
        assert apart < 1.5 * STEP * 3600
        # skies of 100 and of 400 both are 0 here
        assert abs(np.nanmedian(pixels)) < 0.5


def test_the_sky_may_be_kept_and_images_chosen(folder: Path) -> None:
    did = "ivo://skyvault.invalid/~?sky.stars/stars/b.fits"
    done = made(folder, subtract_sky=False, dids=[did], order=5)
    assert (done.order, done.images) == (5, 1)
    index = int(cell_of(5, [40.3], [30.0])[0])
    assert np.nanmedian(fits.getdata(tile(done.folder, 5, index))) == pytest.approx(400.0, abs=1.0)


def test_coarser_tiles_are_means_of_the_finer_up_to_the_whole_sky(done: MadeHips) -> None:
    index = int(cell_of(done.order, [40.0], [30.0])[0])
    for order in range(done.order - 1, -1, -1):
        children = [tile(done.folder, order + 1, index // 4 * 4 + i) for i in range(4)]
        index //= 4
        whole = fits.getdata(tile(done.folder, order, index))
        above = parent_tile([fits.getdata(path).astype(np.float32) if path.exists() else None for path in children])
        assert np.array_equal(whole, above, equal_nan=True)
    # a pixel of a parent lies where those of its children do
    lon, lat = HipsTile(5, 1000).sky([255.5, 10.0], [255.5, 500.0])
    assert cell_of(5, lon, lat).tolist() == [1000, 1000]
    ones = [np.full((512, 512), float(i), np.float32) for i in range(4)]
    parent = parent_tile(ones)
    for x, y in ((100, 100), (400, 100), (100, 400), (400, 400)):
        lon, lat = HipsTile(5, 1000).sky(x, y)
        assert int(parent[y, x]) == int(cell_of(6, [float(lon)], [float(lat)])[0]) - 4000
    with Image.open(done.folder / "Norder3" / "Allsky.png") as top:
        assert top.size == (27 * 64, 29 * 64)
    assert fits.getdata(done.folder / "Norder3" / "Allsky.fits").shape == (29 * 64, 27 * 64)


def test_pictures_are_the_tiles_upside_down_and_clear_where_nothing_is(done: MadeHips) -> None:
    index = int(cell_of(done.order, [40.0], [30.0])[0])
    pixels = fits.getdata(tile(done.folder, done.order, index))
    with Image.open(tile(done.folder, done.order, index, "png")) as picture:
        grey, alpha = (np.asarray(band)[::-1] for band in picture.split())
    assert np.array_equal(alpha > 0, np.isfinite(pixels))
    assert grey[np.unravel_index(np.nanargmax(pixels), pixels.shape)] > 200
    assert 0 < np.median(grey[alpha > 0]) < 90


def test_properties_and_coverage_are_what_clients_need(done: MadeHips) -> None:
    said = dict(
        (part.strip() for part in line.split("=", 1)) for line in (done.folder / "properties").read_text().splitlines()
    )
    needed = {
        "creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_release_date", "hips_status",
        "hips_tile_format", "hips_order", "hips_tile_width", "hips_frame",
    }  # fmt: skip
    assert needed <= set(said)
    assert (said["hips_order"], said["hips_frame"], said["hips_tile_width"]) == ("6", "equatorial", "512")
    moc = MOC.from_fits(done.folder / "Moc.fits")
    assert moc.contains_skycoords(SkyCoord([40.0, 40.3] * u.deg, [30.0, 30.0] * u.deg)).all()
    assert moc.sky_fraction == pytest.approx((0.6 + 0.3 * np.cos(np.pi / 6)) * 0.4 / 41253, rel=0.3)
    assert float(said["moc_sky_fraction"]) == pytest.approx(moc.sky_fraction, rel=1e-3)


def test_a_run_that_was_stopped_is_gone_on_with(folder: Path) -> None:
    done = made(folder)
    (done.folder / "properties").unlink()
    kept = sorted(done.folder.glob(f"Norder{done.order}/*/*.fits"))
    kept[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in kept[1:]}
    again = made(folder)
    assert again.folder == done.folder
    assert kept[0].exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert made(folder).is_new is False


def test_what_is_served_stays_until_the_new_state_is_whole(folder: Path) -> None:
    layout = Layout.of(Settings(home=folder / "home"))
    first = made(folder)
    write_image(folder / "stars" / "b.fits", 41.5, 30.0, 100.0)
    publish_resource(folder, settings=Settings(home=folder / "home"))
    assert current_hips(layout, "sky.stars") == first.folder
    second = made(folder)
    assert second.is_new
    assert current_hips(layout, "sky.stars") == second.folder
    assert int(cell_of(6, [41.5], [30.0])[0]) in {int(path.stem[4:]) for path in second.folder.glob("Norder6/*/*.fits")}


def test_images_that_are_not_public_yet_are_left_out(folder: Path) -> None:
    with pytest.raises(UsageError, match="everybody may see"):
        make_hips("sky.held", settings=Settings(home=folder / "home"))
    with pytest.raises(NotFound, match="no collection"):
        make_hips("sky.nothing", settings=Settings(home=folder / "home"))
    with pytest.raises(UsageError, match="from 3 to 13"):
        made(folder, order=29)


def test_an_image_that_cannot_be_read_any_more_is_told_and_the_others_shown(folder: Path) -> None:
    (folder / "stars" / "a.fits").write_bytes(b"SIMPLE  =                    T")
    done = made(folder)
    assert [name for name, _ in done.problems] == ["a.fits"]
    assert done.tiles > 0


def test_real_images_of_several_kinds_become_tiles(shared_data: Path) -> None:
    images = shared_data / "images"
    for name, hdu in (
        ("sdss_ngc6976/reprojected_sdss_r.fits.bz2", 0),
        ("spitzer/spitzer_example_image.fits.gz", 0),
        ("plates_dss/dss_hd219829.fits.gz", 0),
    ):
        with quiet(), fits.open(images / name) as file:
            height, width = file[hdu].shape
            place = WCS(file[hdu].header).celestial.pixel_to_world(width / 2, height / 2).icrs
        index = int(cell_of(9, [place.ra.deg], [place.dec.deg])[0])
        pixels, problems = TileMaker(subtract_sky=True).tile(9, index, [TileImage(images / name, hdu)])
        assert problems == []
        assert np.isfinite(pixels).mean() > 0.05, name


# ---------------------------------------------------------------- over HTTP


class Site:
    def __init__(self, server: Any, made: MadeHips) -> None:
        self.base, self.made = server.base_url, made

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.base + path, headers=sent, method=method)
            ) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Site:
    folder = tmp_path_factory.mktemp("hips")
    write_image(folder / "stars" / "a.fits", 40.0, 30.0, 100.0)
    (folder / "resource.yaml").write_text(RESOURCE)
    home = folder / "home"
    # the services of the resource name it: publishing makes it
    assert "sky.stars: HiPS made" in command("publish", str(folder), "--home", str(home))
    told = json.loads(command("hips", "sky.stars", "--home", str(home), "--json"))
    assert (told["is_new"], told["order"]) == (False, 6)
    return Site(start_server(home), make_hips("sky.stars", settings=Settings(home=home)))


def command(*words: str) -> str:
    """What a command says; it must have gone well."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run(words) == 0
    return said.getvalue()


def test_browsers_find_the_list_and_fetch_tiles(site: Site) -> None:
    status, body, headers = site.get("/hips/hipslist")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    said = dict((part.strip() for part in line.split("=", 1)) for line in body.decode().splitlines() if "=" in line)
    assert said["hips_service_url"] == f"{site.base}/hips/sky.stars"
    assert {"creator_did", "hips_release_date", "hips_status"} <= set(said)
    assert b"sky.held" not in body
    status, body, _ = site.get("/hips/sky.stars/properties")
    assert status == 200
    assert b"hips_service_url     = " + f"{site.base}/hips/sky.stars".encode() in body
    index = int(cell_of(6, [40.0], [30.0])[0])
    path = f"/hips/sky.stars/Norder6/Dir{index // 10000 * 10000}/Npix{index}"
    for ending, kind in (("fits", "application/fits"), ("png", "image/png")):
        status, body, headers = site.get(f"{path}.{ending}")
        assert (status, headers["content-type"]) == (200, kind)
        assert body == tile(site.made.folder, 6, index, ending).read_bytes()
    _, body, _ = site.get("/hips/sky.stars/Moc.fits")
    assert MOC.from_fits(io.BytesIO(body)).sky_fraction > 0


def test_tiles_are_asked_for_again_in_vain_and_in_parts(site: Site) -> None:
    path = "/hips/sky.stars/Norder3/Allsky.png"
    status, body, headers = site.get(path)
    assert status == 200
    assert site.get(path, if_none_match=headers["etag"])[0] == 304
    assert site.get(path, if_modified_since=headers["last-modified"])[0] == 304
    assert site.get(path, range="bytes=0-3")[:2] == (206, body[:4])
    status, nothing, head = site.get(path, "HEAD")
    assert (status, nothing, head["content-length"]) == (200, b"", str(len(body)))


@pytest.mark.parametrize(
    "path",
    [
        "sky.stars/Norder6/Dir0/Npix1.png", "sky.nothing/properties", "sky.held/properties", "sky.stars/../../ledger.sqlite",
        "sky.stars/%2e%2e/%2e%2e/ledger.sqlite", "sky.stars/Norder6/Dir0/../../properties", "sky.stars/.empty", "%2e%2e/current",
        "sky.stars/properties%00", "sky.stars/Norder99/Dir0/Npix0.png", "..%2f..%2fstore/properties",
    ],
)  # fmt: skip
def test_nothing_but_tiles_is_given_out(site: Site, path: str) -> None:
    assert site.get(f"/hips/{path}")[0] == 404


def test_a_hips_can_be_taken_away(folder: Path) -> None:
    made(folder)
    command("hips", "sky.stars", "--home", str(folder / "home"), "--remove")
    assert not (folder / "home" / "hips" / "sky.stars").exists()
