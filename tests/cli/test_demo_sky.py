"""The demo's simulated survey is true: its projection, footprints and files agree with independent readers."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from processes import PROJECT
from skyvault.cli import demo_sky
from skyvault.cli.demo_report import outline, projected

DATA = PROJECT / "src" / "skyvault" / "demo_data"


@pytest.fixture(scope="module")
def stars():
    return pq.read_table(DATA / "stars.parquet")


@pytest.fixture(scope="module")
def survey():
    return demo_sky.exposures()


def test_the_sample_is_the_bright_stars_of_tycho_2(stars):
    assert stars.num_rows == 119_288
    assert stars["mag_vt"].to_numpy().max() < 9
    assert (DATA / "stars.parquet").stat().st_size <= 5_000_000
    assert all("Tycho-2" in (DATA / name).read_text() for name in ("LICENSE-DATA", "stars.yaml"))


@pytest.mark.shared
def test_the_sample_holds_every_star_of_the_collected_table_above_the_limit(stars, shared_data):
    whole = pq.read_table(shared_data / "stars" / "tycho2.parquet", columns=["source_id", "ra", "dec", "mag_vt"])
    bright = whole.filter(whole["mag_vt"].to_numpy() < 9)
    missing = set(bright["source_id"].to_pylist()) - set(stars["source_id"].to_pylist())
    # the row at (0, 0) is no star
    places = {row["source_id"]: (row["ra"], row["dec"]) for row in bright.to_pylist() if row["source_id"] in missing}
    assert len(places) == 1 and np.allclose(next(iter(places.values())), 0, atol=1e-6)


def test_the_survey_is_the_same_every_time(survey):
    assert survey == demo_sky.exposures()
    assert len({exposure.id for exposure in survey}) == len(survey) >= 200


@pytest.mark.parametrize("number", [0, 77, 144, 150, 181, 220])
def test_projection_and_footprint_agree_with_astropy(survey, stars, number):
    from astropy.io import fits
    from astropy.wcs import WCS

    exposure = survey[number]
    header = fits.Header(demo_sky.wcs_cards(exposure))
    header["NAXIS1"] = header["NAXIS2"] = demo_sky.SIDE_PIXELS
    wcs = WCS(header, naxis=2)
    lon, lat = stars["ra"].to_numpy(), stars["dec"].to_numpy()
    x, y, inside = demo_sky.to_pixels(exposure, lon, lat)
    true_x, true_y = wcs.wcs_world2pix(lon[inside], lat[inside], 0)
    np.testing.assert_allclose(x[inside], true_x, atol=1e-9)
    np.testing.assert_allclose(y[inside], true_y, atol=1e-9)
    half = demo_sky.SIDE_PIXELS / 2
    lonlat = np.array(demo_sky.corners(exposure))
    corner_x, corner_y, _ = demo_sky.to_pixels(exposure, *lonlat.T)
    np.testing.assert_allclose(np.abs(np.stack([corner_x, corner_y]) - (demo_sky.SIDE_PIXELS - 1) / 2), half, rtol=1e-9)


def test_a_picture_shows_the_brightest_star_where_the_projection_says(survey, stars, tmp_path):
    from astropy.io import fits

    exposure = survey[200]
    [path] = demo_sky.write_pictures(tmp_path, stars, [exposure])
    pixels = fits.getdata(path)
    x, y, inside = demo_sky.to_pixels(exposure, stars["ra"].to_numpy(), stars["dec"].to_numpy())
    brightest = np.argmin(np.where(inside, stars["mag_vt"].to_numpy(), 99.0))
    row, column = np.unravel_index(pixels.argmax(), pixels.shape)
    assert abs(column - x[brightest]) <= 1 and abs(row - y[brightest]) <= 1
    assert fits.getheader(path)["DATE-OBS"].startswith("2023-")


def test_observations_are_obscore_rows_of_the_files(survey, stars, tmp_path):
    paths = demo_sky.write_pictures(tmp_path, stars, survey[:3])
    rows = demo_sky.observations(survey[:3], paths).to_pylist()
    for row, path in zip(rows, paths, strict=True):
        assert row["access_url"] == path.as_uri()
        assert row["access_estsize"] == -(-path.stat().st_size // 1000)
        assert row["t_min"] < row["t_max"] and row["em_min"] < row["em_max"]
        assert row["s_region"].startswith("POLYGON ICRS ")


def test_the_map_has_east_left_and_north_up():
    x, y = projected(np.array([30.0, 330.0, 0.0]), np.array([0.0, 0.0, 60.0]))
    assert x[0] < 0 < x[1] and y[2] > 0


def test_an_outline_is_cut_at_the_edge_of_the_map():
    assert len(outline("POLYGON ICRS 10 0 20 0 20 10 10 10")) == 1
    assert len(outline("POLYGON ICRS 175 0 185 0 185 10 175 10")) > 1
    assert outline("CIRCLE ICRS 10 20 1") == []
