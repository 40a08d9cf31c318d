"""Many epochs of one place in a picture: in order, dated, marked, in equal grey; and as an animation."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from science.picture_hash import bits_apart, picture_hash
from skyvault.errors import ParameterError
from skyvault.science.blink import blink
from skyvault.science.contact_sheet import contact_sheet
from skyvault.science.cutouts import Cutout, read_cutout
from skyvault.science.epoch_frames import BLANK, EpochFrames, epoch_frames
from skyvault.science.reprojected import SkyGrid
from skyvault.science.stretch import Stretch

TARGET = (150.0, 30.0)


def plate(number: int, *, target_mag: float = 1.0, covers: bool = True) -> Cutout:
    rng = np.random.default_rng(number)
    grid = SkyGrid.around(*TARGET, 2.5, 2.0)
    image = rng.normal(2000.0 + 100 * number, 20.0 + number, (grid.height, grid.width)).astype(np.float32)
    y, x = np.mgrid[0 : grid.height, 0 : grid.width]
    for dx, dy, peak in ((0, 0, 20 * target_mag), (30, -20, 40), (-25, 35, 15)):
        image += peak * (20 + number) * np.exp(-((x - 75 - dx) ** 2 + (y - 75 - dy) ** 2) / 8).astype(np.float32)
    if not covers:
        image[:, 60:] = np.nan
    return Cutout(image, grid.wcs(), f"a{number:05d}m0s0", 20_000.0 + 700 * ((number * 7) % 10))


@pytest.fixture(scope="module")
def frames() -> EpochFrames:
    cutouts = [plate(number, target_mag=number % 3, covers=number != 4) for number in range(9)]
    undated = plate(9)
    return epoch_frames(
        [Cutout(undated.pixels, undated.wcs, "undated", float("nan")), *cutouts], TARGET, radius_arcmin=2
    )


def test_frames_come_by_time_and_know_what_they_show(frames: EpochFrames) -> None:
    dates = [frame.cutout.mjd for frame in frames.frames]
    assert dates[:-1] == sorted(dates[:-1]) and np.isnan(dates[-1])
    assert [frame.cutout.name for frame in frames.frames if not frame.shows_target] == ["a00004m0s0"]
    hidden = next(frame for frame in frames.frames if not frame.shows_target)
    assert (hidden.grey == BLANK).sum() > 0.3 * hidden.grey.size


def test_the_same_star_is_equally_dark_on_plates_of_different_fog(frames: EpochFrames) -> None:
    middle = frames.grid.height // 2
    # a star that outshines the noise 40 times, 60 arcsec to the west and 40 to the south
    darkness = [int(f.grey[middle - 20, middle + 30]) for f in frames.frames if f.shows_target]
    assert max(darkness) - min(darkness) <= 2
    sky = [float(np.median(f.grey)) for f in frames.frames if f.shows_target]
    assert max(sky) - min(sky) < 6


def test_the_sheet_says_date_and_name_and_looks_as_it_did(frames: EpochFrames) -> None:
    figure = contact_sheet(frames, columns=5, title="A star")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "A star" in texts and "date unknown" in texts and "a00003m0s0" in texts
    assert sum("not\non this plate" in text for text in texts) == 1
    assert "1913-08-21 (1913.636)" in texts
    assert len(figure.axes[0].collections[0].get_offsets()) == 9
    assert bits_apart(picture_hash(figure), PINNED) <= 24


#: looked at on 2026-11-20
PINNED = "ffffffff00000000000000000009ffff00c000c000c001c001c036cbffffffff"


def test_frames_of_any_size_fit_the_sheet() -> None:
    cutouts = [plate(0), plate(1)]
    for radius, pixel in ((0.2, 2.0), (2.0, None), (2.2, 0.15)):
        made = epoch_frames(cutouts, TARGET, radius_arcmin=radius, pixel_arcsec=pixel)
        figure = contact_sheet(made)
        width, height = figure.get_size_inches() * figure.dpi
        assert 200 < width < 1500 and 150 < height < 1000


def test_an_animation_has_a_frame_an_epoch_and_never_ends(frames: EpochFrames) -> None:
    with Image.open(io.BytesIO(blink(frames, milliseconds=250))) as film:
        assert film.format == "GIF" and film.n_frames == 9
        assert film.info["loop"] == 0 and film.info["duration"] == 250
        first = np.asarray(film.convert("RGB")).astype(int)
        film.seek(5)
        later = np.asarray(film.convert("RGB")).astype(int)
    assert first.shape == later.shape and (first != later).any()
    # the orange circle stands still
    orange = (first[..., 0] > 200) & (first[..., 2] < 20)
    assert orange.sum() > 50
    assert np.array_equal(orange, (later[..., 0] > 200) & (later[..., 2] < 20))
    with Image.open(io.BytesIO(blink(frames, skip_blank=False))) as film:
        assert film.n_frames == 10


def test_nothing_to_show_is_told() -> None:
    with pytest.raises(ParameterError, match="no image to show"):
        epoch_frames([], TARGET)
    hidden = epoch_frames([plate(1, covers=False)], TARGET)
    with pytest.raises(ParameterError, match="no image shows the target"):
        blink(hidden)
    with pytest.raises(ParameterError, match="milliseconds"):
        blink(hidden, milliseconds=1)
    with pytest.raises(ParameterError, match="too many"):
        epoch_frames([plate(1)] * 1001, TARGET)


@pytest.mark.shared
def test_a_real_plate_of_1951_on_a_sheet(shared_data: Path) -> None:
    cutout = read_cutout(shared_data / "images/plates_dss/dss_hd219829.fits.gz", target=(349.7265, 5.4052))
    frames = epoch_frames([cutout], (349.7265, 5.4052), radius_arcmin=1.5, stretch=Stretch(-1.0, 12.0, "linear"))
    figure = contact_sheet(frames, title="HD 219829")
    assert "1951-08-09 (1951.602)" in [text.get_text() for text in figure.axes[0].texts]
    assert frames.frames[0].grey.min() < 10
