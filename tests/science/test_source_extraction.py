"""Sources found in images: their true places and brightness, blends parted, flaws flagged, hostile images refused."""

from __future__ import annotations

import numpy as np
import pytest

from science.star_field import SIZE, field, wcs
from skyvault.errors import ParameterError
from skyvault.science.source_extraction import NEAR_EDGE, SATURATED, extract_sources, sky_positions


@pytest.fixture(scope="module")
def scene():
    image, plane, places, columns = field(count=200)
    return image, plane, places, columns, extract_sources(image, plane)


def test_bright_stars_are_found_where_they_are(scene):
    _, _, (x, y), columns, sources = scene
    bright = columns["magnitude"] < 13.0
    lonely = np.array([np.sort(np.hypot(x - a, y - b))[1] > 14 for a, b in zip(x, y, strict=True)])
    apart = np.array([np.hypot(sources.x - a, sources.y - b).min() for a, b in zip(x, y, strict=True)])
    assert (apart[bright] < 1.0).mean() > 0.94 and (apart[bright & lonely] < 1.0).all()
    assert np.median(apart[bright & lonely]) < 0.05
    assert len(sources) < 1.1 * len(x)
    nearest = [int(np.hypot(sources.x - a, sources.y - b).argmin()) for a, b in zip(x, y, strict=True)]
    off = sources.magnitude[nearest] - columns["magnitude"]
    assert np.std((off - np.median(off))[bright & lonely]) < 0.15  # isophotal: the faint lose some light
    assert sources.background == pytest.approx(1000, abs=2) and sources.noise == pytest.approx(10, rel=0.1)
    assert (np.diff(sources.flux) <= 0).all()


def test_positions_go_through_the_wcs(scene):
    _, plane, _, _, sources = scene
    ra, dec = plane.all_pix2world(sources.x, sources.y, 0)
    assert np.allclose(sources.ra, ra % 360) and np.allclose(sources.dec, dec)
    assert sources.ra.min() < 1 and sources.ra.max() > 359  # over RA 0
    few = sources.take(sources.is_good & (sources.snr > 50))
    assert 0 < len(few) < len(sources) and few.is_good.all()


def test_touching_stars_are_parted():
    yy, xx = np.mgrid[:80, :80]
    image = np.random.default_rng(0).normal(100, 2, (80, 80))
    for cx, cy, height in ((35, 40, 500), (43, 40, 300), (60, 20, 400)):
        image += height * np.exp(-0.5 * ((xx - cx) ** 2 + (yy - cy) ** 2) / 2.0**2)
    sources = extract_sources(image)
    assert len(sources) == 3 and len(extract_sources(image, are_blends_split=False)) == 2
    pair = sources.take(np.abs(sources.y - 40) < 3)
    assert np.allclose(np.sort(pair.x), [35, 43], atol=0.3) and np.isnan(sources.ra).all()


def test_a_negative_plate_and_flags():
    yy, xx = np.mgrid[:100, :100]
    image = 5000 + np.random.default_rng(0).normal(0, 10, (100, 100))
    image -= np.minimum(9000 * np.exp(-0.5 * ((xx - 50) ** 2 + (yy - 50) ** 2) / 16.0), 3000.0)
    image -= 900 * np.exp(-0.5 * ((xx - 99) ** 2 + (yy - 30) ** 2) / 4.0)
    sources = extract_sources(image, is_negative=True, saturation=2100.0)
    assert sources.flags.tolist() == [SATURATED, NEAR_EDGE]
    assert np.hypot(sources.x[0] - 50, sources.y[0] - 50) < 0.1


def test_masked_and_missing_pixels_make_no_sources(scene):
    image = scene[0].copy()
    mask = np.zeros(image.shape, bool)
    mask[:, :256] = True
    image[:50] = np.nan
    sources = extract_sources(image, mask=mask)
    assert sources.x.min() > 250 and sources.y.min() > 45 and 60 < len(sources) < 120


def test_an_empty_sky_has_no_sources():
    assert len(extract_sources(np.full((40, 40), 7.0))) == 0
    noise = extract_sources(np.random.default_rng(1).normal(0, 1, (200, 200)), threshold_sigma=5)
    assert len(noise) == 0 and noise.ra.shape == (0,)


def test_distortion_terms_can_be_left_out():
    plane = wcs(with_sip=True)
    x = np.array([0.0, SIZE / 2, SIZE - 1.0])
    exact, plain = sky_positions(plane, x, x), sky_positions(plane, x, x, with_distortion=False)
    assert abs(exact[1][0] - plain[1][0]) * 3600 > 2 and abs(exact[1][1] - plain[1][1]) * 3600 < 1e-3
    assert plane.sip is not None


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros(5), {}, "two axes"),
        (np.full((9, 9), np.nan), {}, "every pixel"),
        (np.zeros((9, 9)), {"mask": np.zeros((3, 3))}, "mask has shape"),
        (np.zeros((9, 9)), {"threshold_sigma": 0}, "must be positive"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(image, options, words):
    with pytest.raises(ParameterError, match=words):
        extract_sources(image, **options)
