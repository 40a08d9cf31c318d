"""Small pictures of images: written whole, grey as the stretch says, blank pixels black."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from skyvault.errors import FormatError
from skyvault.science.grey_png import grey_png
from skyvault.science.previews import pictures, pictures_of
from skyvault.science.stretch import Stretch, sky_of


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=90), elements=st.integers(0, 255)
    )
)
def test_a_png_is_read_back_as_it_was(grey: np.ndarray) -> None:
    with Image.open(io.BytesIO(grey_png(grey))) as picture:
        picture.verify()
    with Image.open(io.BytesIO(grey_png(grey))) as picture:
        assert picture.mode == "L" and np.array_equal(np.asarray(picture), grey)


def test_noisy_and_empty_pictures_are_no_larger_than_by_general_means() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(60, 15, (400, 500)).clip(0, 255).astype(np.uint8)
    for grey in (noise, np.zeros((400, 500), np.uint8)):
        general = io.BytesIO()
        Image.fromarray(grey).save(general, "PNG", compress_level=4)
        assert len(grey_png(grey)) < 1.15 * len(general.getvalue()) + 3000


def test_greys_are_those_of_the_stretch() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.normal(1000, 20, (200, 300)).astype(np.float32)
    pixels[50:60, 50:60] = np.nan
    pixels[0, :3] = [np.inf, -np.inf, 1e30]
    wanted = np.nan_to_num(Stretch().grey(pixels, sky_of(pixels)), nan=0.0).clip(0, 1) * 255
    with Image.open(io.BytesIO(pictures(pixels).preview)) as picture:
        # row 1 is at the bottom
        found = np.asarray(picture)[::-1].astype(float)
    assert np.abs(found - wanted).max() <= 1.5
    assert (found[50:60, 50:60] == 0).all() and found[0, :3].tolist() == [255, 0, 255]


def test_an_image_of_blank_pixels_or_of_one_value_is_a_picture(tmp_path: Path) -> None:
    for value in (np.nan, 7.0):
        path = tmp_path / f"{value}.fits"
        fits.PrimaryHDU(np.full((30, 40), value, np.float32)).writeto(path)
        with Image.open(io.BytesIO(pictures_of(path, 0).thumbnail)) as picture:
            assert picture.size == (40, 30)


def test_pixels_that_are_not_there_are_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "short.fits"
    fits.PrimaryHDU(np.zeros((300, 400), np.float32)).writeto(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FormatError, match="its pixels cannot be read"):
        pictures_of(path, 0)


def test_a_header_that_promises_terabytes_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    header = fits.Header()
    header.update(SIMPLE=True, BITPIX=-64, NAXIS=2, NAXIS1=10**6, NAXIS2=10**6)
    path = tmp_path / "huge.fits"
    path.write_bytes(header.tostring().encode())
    with pytest.raises(FormatError, match="the file ends before the image does"):
        pictures_of(path, 0)
