"""Images on one grid, and cutouts that are checked before they are believed."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from skyvault.errors import FormatError, NotFound, ParameterError, SkyvaultError
from skyvault.science.cutouts import Cutout, by_time, read_cutout, spread_in_time
from skyvault.science.reprojected import SkyGrid, reproject
from skyvault.science.stretch import Stretch, pixel_stretch, sky_of


def header(ra: float, dec: float, side: int, *, scale_arcsec: float = 1.5, turned_deg: float = 0.0, **more: Any) -> Any:
    scale, turn = scale_arcsec / 3600.0, np.radians(turned_deg)
    cards = fits.Header()
    cards["NAXIS"], cards["NAXIS1"], cards["NAXIS2"] = 2, side, side
    for key, value in (
        ("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", ra), ("CRVAL2", dec), ("CRPIX1", side / 2),
        ("CRPIX2", side / 2), ("CD1_1", -scale * np.cos(turn)), ("CD1_2", scale * np.sin(turn)),
        ("CD2_1", scale * np.sin(turn)), ("CD2_2", scale * np.cos(turn)), ("CUNIT1", "deg"), ("CUNIT2", "deg"),
        *more.items(),
    ):  # fmt: skip
        cards[key] = value
    return cards


def sky_picture(ra: Any, dec: Any, centre: tuple[float, float], fwhm_arcsec: float = 6.0) -> Any:
    """Three stars on a slope, as a function of the sky alone."""
    place = SkyCoord(ra, dec, unit="deg")
    offset = place.transform_to(SkyCoord(*centre, unit="deg").skyoffset_frame())
    x, y = offset.lon.wrap_at("180d").arcsec, offset.lat.arcsec
    value = 1000.0 + 0.1 * x - 0.05 * y
    for dx, dy, peak in ((0.0, 0.0, 500.0), (40.0, -25.0, 300.0), (-30.0, 55.0, 800.0)):
        value = value + peak * np.exp(-4 * np.log(2) * ((x - dx) ** 2 + (y - dy) ** 2) / fwhm_arcsec**2)
    return value


def image_of_sky(cards: Any, centre: tuple[float, float]) -> tuple[Any, Any]:
    wcs = WCS(cards)
    y, x = np.mgrid[0 : cards["NAXIS2"], 0 : cards["NAXIS1"]]
    world = wcs.pixel_to_world(x, y).icrs
    return sky_picture(world.ra.deg, world.dec.deg, centre), wcs


TPV = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 0.4, "PV2_6": -0.3}
SIP = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 3e-5, "B_1_1": -4e-5}


USUAL, SEAM, POLE = (129.9, 19.8), (0.001, -45.0), (222.0, 89.99)


@pytest.mark.parametrize(
    ("centre", "more"),
    [
        pytest.param(USUAL, {}, id="turned"),
        pytest.param(SEAM, {}, id="RA 0"),
        pytest.param(POLE, {}, id="pole"),
        pytest.param(USUAL, {"RADESYS": "FK5", "EQUINOX": 1975.0}, id="FK5 of 1975"),
        pytest.param(USUAL, TPV, id="TPV"),
        pytest.param(POLE, TPV, id="TPV at the pole"),
        pytest.param(SEAM, SIP, id="SIP"),
    ],
)
def test_the_sky_is_the_same_after_reprojection(centre: tuple[float, float], more: dict[str, Any]) -> None:
    place = SkyCoord(*centre, unit="deg")
    there = place.transform_to(FK5(equinox="J1975")) if more.get("RADESYS") == "FK5" else place
    image, wcs = image_of_sky(header(there.ra.deg, there.dec.deg, 260, turned_deg=37.0, **more), centre)
    grid = SkyGrid.around(*centre, 1.6, 1.2)
    y, x = np.mgrid[0 : grid.height, 0 : grid.width]
    truth = sky_picture(*grid.sky(x, y), centre)
    bilinear = reproject(image, wcs, grid).pixels
    lanczos = reproject(image, wcs, grid, "lanczos").pixels
    assert np.isfinite(bilinear).all()
    # a peak of 800 on pixels of a quarter of the star's width
    assert np.abs(bilinear - truth).max() < 60.0
    assert np.abs(lanczos - truth).max() < 15.0
    assert np.median(np.abs(lanczos - truth)) < 0.02


def test_the_grid_is_the_fits_standards() -> None:
    grid = SkyGrid(200.0, 70.0, 101, 61, 30.0)
    x, y = np.array([0.0, 100.0, 50.0, 13.0]), np.array([0.0, 60.0, 30.0, 44.0])
    ra, dec = grid.sky(x, y)
    want = grid.wcs().pixel_to_world_values(x, y)
    assert np.abs(ra - want[0]).max() < 1e-10 and np.abs(dec - want[1]).max() < 1e-10
    assert grid.sky(*grid.centre) == (pytest.approx(200.0), pytest.approx(70.0))


def test_an_image_on_its_own_grid_is_unchanged() -> None:
    grid = SkyGrid(10.0, 20.0, 91, 91, 2.0)
    image = np.random.default_rng(1).normal(100.0, 5.0, (91, 91))
    for kernel in ("bilinear", "lanczos"):
        again = reproject(image, grid.wcs(), grid, kernel).pixels
        assert np.abs(again[1:-1, 1:-1] - image[1:-1, 1:-1]).max() < 1e-3


def test_blank_stays_blank_and_nothing_grows_beyond_the_edge() -> None:
    grid = SkyGrid(10.0, 20.0, 91, 91, 2.0)
    image = np.full((91, 91), 7.0, np.float32)
    image[:, :30] = np.nan
    shown = reproject(image, grid.wcs(), SkyGrid(10.0, 20.0, 181, 181, 2.0)).pixels
    assert np.nanmin(shown) == np.nanmax(shown) == 7.0
    assert np.isfinite(shown).sum() == 91 * 61
    elsewhere = reproject(image, grid.wcs(), SkyGrid(190.0, -20.0, 21, 21, 2.0))
    assert not elsewhere.is_known.any()


def test_coarse_grids_average_what_they_do_not_show() -> None:
    fine = SkyGrid(10.0, 20.0, 400, 400, 1.0)
    image = np.random.default_rng(2).normal(0.0, 1.0, (400, 400))
    coarse = reproject(image, fine.wcs(), SkyGrid(10.0, 20.0, 60, 60, 5.0)).pixels
    assert 0.05 < np.std(coarse) < 0.25
    with fits.HDUList([reproject(image, fine.wcs(), SkyGrid(10.0, 20.0, 60, 60, 5.0)).hdu()]) as file:
        assert WCS(file[0].header).pixel_to_world(29.5, 29.5).separation(SkyCoord(10, 20, unit="deg")).arcsec < 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SkyGrid(10.0, 91.0, 5, 5, 1.0),
        lambda: SkyGrid(10.0, 0.0, 0, 5, 1.0),
        lambda: SkyGrid(10.0, 0.0, 5000, 5, 100.0),
        lambda: SkyGrid.around(10.0, 0.0, -1.0, 1.0),
        lambda: SkyGrid(10.0, 0.0, 10**6, 10**6, 0.001),
        lambda: reproject(np.zeros(5), None, SkyGrid(0.0, 0.0, 5, 5, 1.0)),
        lambda: reproject(np.zeros((5, 5)), None, SkyGrid(0.0, 0.0, 5, 5, 1.0), "cubic"),  # type: ignore[arg-type]
        lambda: Stretch(3.0, 3.0),
        lambda: Stretch(0.0, 3.0, "cubic"),  # type: ignore[arg-type]
        lambda: spread_in_time([1.0, 2.0], 0),
    ],
)
def test_wrong_wishes_are_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        wrong()
    assert "\n" not in str(caught.value)


# --- cutouts --------------------------------------------------------------------------------------------------------


def fits_bytes(data: Any, cards: Any) -> bytes:
    out = io.BytesIO()
    cards = cards.copy()
    for key in ("NAXIS", "NAXIS1", "NAXIS2"):
        cards.remove(key)
    fits.PrimaryHDU(data, cards).writeto(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def plate() -> bytes:
    data = np.random.default_rng(3).integers(4900, 5100, (60, 60)).astype(np.int16)
    data[:, :20] = 0
    return fits_bytes(data, header(50.0, 10.0, 60, BLANK=0, **{"DATE-OBS": "1926-10-30T12:00:00"}))


def test_a_cutout_is_decoded_with_its_blanks_date_and_place(plate: bytes, tmp_path: Path) -> None:
    path = tmp_path / "00001_a00138m1s0.fits.gz"
    path.write_bytes(gzip.compress(plate))
    for source in (plate, path, str(path)):
        cutout = read_cutout(source, target=(50.0, 10.0))
        assert cutout.pixels.dtype == np.float32 and cutout.pixels.shape == (60, 60)
        assert np.isnan(cutout.pixels[:, :20]).all() and np.isfinite(cutout.pixels[:, 20:]).all()
        assert cutout.date() == "1926-10-30 (1926.828)"
        assert cutout.pixel_arcsec == pytest.approx(1.5)
        assert cutout.shows(50.0, 10.0) and not cutout.shows(50.01, 10.0) and not cutout.shows(50.0, 11.0)
    assert cutout.name == "00001_a00138m1s0"
    assert read_cutout(plate, name="x", mjd=1.0).mjd == 1.0


def test_the_part_around_the_target_is_the_same_sky(plate: bytes) -> None:
    whole, part = read_cutout(plate), read_cutout(plate, target=(50.002, 10.003), radius_arcmin=0.1)
    assert part.pixels.size < whole.pixels.size
    grid = SkyGrid.around(50.002, 10.003, 0.1, 1.0)
    assert np.array_equal(whole.on(grid), part.on(grid), equal_nan=True)


def test_scaled_integers_become_physical_values() -> None:
    cards = header(50.0, 10.0, 8)
    stored = fits.PrimaryHDU(np.arange(64, dtype=np.int16).reshape(8, 8), cards)
    stored.header["BSCALE"], stored.header["BZERO"], stored.header["BLANK"] = 2.0, 100.0, 5
    out = io.BytesIO()
    stored.writeto(out)
    pixels = read_cutout(out.getvalue()).pixels.reshape(-1)
    with fits.open(io.BytesIO(out.getvalue())) as file:
        assert np.allclose(pixels, np.asarray(file[0].data).reshape(-1), equal_nan=True)
    assert np.isnan(pixels[5])


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"MJD-OBS": 24450.5}, "1925-10-27 (1925.821)"),
        ({"DATE-OBS": "29/11/51"}, "1951-11-29 (1951.908)"),
        ({"DATE-OBS": "1951-08-09T09:60:00"}, "1951-08-09 (1951.602)"),
        ({"DATE-OBS": "in the night"}, "date unknown"),
        ({}, "date unknown"),
    ],
)
def test_dates_as_plates_have_them(card: dict[str, Any], said: str) -> None:
    assert read_cutout(fits_bytes(np.zeros((8, 8), np.float32), header(5.0, 5.0, 8, **card))).date() == said


def test_what_is_no_cutout_is_told_in_a_sentence(plate: bytes, tmp_path: Path) -> None:
    bare = io.BytesIO()
    fits.PrimaryHDU(np.zeros((8, 8), np.float32)).writeto(bare)
    empty = io.BytesIO()
    fits.PrimaryHDU().writeto(empty)
    huge = header(5.0, 5.0, 8)
    huge["BITPIX"], huge["SIMPLE"], huge["NAXIS1"], huge["NAXIS2"] = 8, True, 100_000, 100_000
    for source, words in (
        (b"<html>not found</html>", "no FITS file"),
        (b"", "no FITS file"),
        (gzip.compress(plate)[:-400], "cut short"),
        (b"\x1f\x8b" + b"x" * 100, "damaged"),
        (gzip.compress(bytes(410_000_000), 1), "no cutout"),
        (plate[: len(plate) // 2], "cannot be read as FITS|no image"),
        (bare.getvalue(), "no WCS"),
        (empty.getvalue(), "no image"),
    ):
        with pytest.raises(FormatError, match=words) as caught:
            read_cutout(source, target=(50.0, 10.0))
        assert "\n" not in str(caught.value)
    with pytest.raises(FormatError, match=r"does not show RA 51\.00000, Dec \+10\.00000: that is at pixel"):
        read_cutout(plate, target=(51.0, 10.0))
    with pytest.raises(FormatError, match="no HDU 3"):
        read_cutout(plate, hdu=3)
    with pytest.raises(NotFound, match="cannot be read"):
        read_cutout(tmp_path / "nothing.fits")


@settings(max_examples=40)
@given(st.integers(0, 2800), st.binary(min_size=1, max_size=30))
def test_damaged_headers_never_end_in_a_traceback(place: int, damage: bytes) -> None:
    data = bytearray(fits_bytes(np.zeros((8, 8), np.int16), header(5.0, 5.0, 8, BLANK=0, **{"DATE-OBS": "1926-10-30"})))
    data[place : place + len(damage)] = damage
    try:
        found = read_cutout(bytes(data), target=(5.0, 5.0))
    except SkyvaultError as problem:
        assert "\n" not in str(problem)
    else:
        assert found.pixels.ndim == 2


@pytest.mark.shared
def test_real_plates_show_the_star_where_their_wcs_says(shared_data: Path) -> None:
    folder = shared_data / "images"
    for name, target, date in (
        ("plates_dss/dss_hd219829.fits.gz", (349.7262, 5.4052), "1951-08-09 (1951.602)"),
        ("plates_dss/M6707HH.fits.gz", None, "1951-11-29 (1951.908)"),
        ("plates_mash_357/2009_sr_modified.fits.gz", None, "date unknown"),
    ):
        cutout = read_cutout(folder / name)
        assert cutout.date() == date
        if target is None:
            continue
        # the middle of the overexposed disc is the same point of the sky before and after
        grid = SkyGrid.around(*target, 0.6, 0.85)
        px, py = cutout.place_of(*(float(v) for v in grid.sky(*_middle(cutout.on(grid, "lanczos")))))
        x, y = _middle(cutout.pixels[40:110, 50:110])
        assert np.hypot(px - x - 50, py - y - 40) < 0.7


def _middle(pixels: Any) -> tuple[float, float]:
    row, column = np.nonzero(pixels > 0.9 * np.nanmax(pixels))
    return float(column.mean()), float(row.mean())


@pytest.mark.shared
def test_three_telescopes_see_a_real_star_in_one_place(shared_data: Path) -> None:
    folder = shared_data / "images" / "legacypipe" / "testcase6"
    cutouts = [read_cutout(path) for path in sorted(folder.rglob("*ooi*.fits.gz"))]
    assert len(cutouts) == 6
    grid = SkyGrid.around(110.3120, 23.9199, 0.2, 0.262)
    middles = []
    for cutout in cutouts:
        light = cutout.on(grid)
        bright = np.where(light > np.nanpercentile(light, 92), 1.0, 0.0)
        y, x = np.mgrid[0 : grid.height, 0 : grid.width]
        middles.append(((bright * x).sum() / bright.sum(), (bright * y).sum() / bright.sum()))
    # a saturated star with bleeding columns: some pixels of 0.26 arcsec
    assert np.ptp(np.array(middles), axis=0).max() < 8


# --- choosing and grey ----------------------------------------------------------------------------------------------


def test_epochs_are_spread_over_the_whole_time() -> None:
    mjd = np.r_[np.linspace(10_000, 20_000, 500), np.nan, np.linspace(35_000, 36_000, 10)]
    rows = spread_in_time(mjd, 12)
    assert len(rows) == len(set(rows)) == 12 and np.isfinite(mjd[rows]).all()
    assert (np.diff(mjd[rows]) > 0).all()
    assert rows[0] == 0 and rows[-1] == len(mjd) - 1
    assert list(spread_in_time([3.0, np.nan, 1.0], 5)) == [2, 0]
    assert list(spread_in_time([], 5)) == []


@settings(max_examples=50)
@given(st.lists(st.one_of(st.floats(0, 60_000), st.just(float("nan"))), max_size=60), st.integers(1, 40))
def test_no_epoch_is_chosen_twice(mjd: list[float], count: int) -> None:
    rows = list(spread_in_time(mjd, count))
    known = sum(value == value for value in mjd)
    assert len(rows) == len(set(rows)) == min(count, known)


def test_undated_cutouts_come_last() -> None:
    cutouts = [
        Cutout(np.zeros((2, 2), np.float32), None, name, mjd) for name, mjd in (("b", np.nan), ("c", 2.0), ("a", 1.0))
    ]
    assert [one.name for one in by_time(cutouts)] == ["a", "c", "b"]


def test_grey_does_not_depend_on_a_plates_fog_and_contrast() -> None:
    image = np.random.default_rng(4).normal(0.0, 1.0, (80, 80))
    image[40, 40] = 60.0
    image[:10] = np.nan
    one, other = Stretch().grey(image), Stretch().grey(3000.0 + 17.0 * image)
    assert np.nanmax(np.abs(one - other)) < 1e-9
    assert one[40, 40] == 1.0 and np.isnan(one[0, 0])
    rule = pixel_stretch([image, image + 5])
    assert rule.unit == "pixel" and rule.low < rule.high
    assert np.nanmean(rule.grey(image)) < np.nanmean(rule.grey(image + 5))


def test_the_sky_is_found_under_many_stars() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(500.0, 12.0, (300, 300))
    image[rng.random((300, 300)) < 0.12] += 4000.0
    sky = sky_of(image)
    assert sky.level == pytest.approx(500.0, abs=2.0) and sky.noise == pytest.approx(12.0, abs=1.0)
    assert sky_of(np.full((5, 5), 3.0)).noise == 0.0
    assert np.isnan(sky_of(np.full((5, 5), np.nan)).level)
