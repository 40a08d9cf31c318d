"""Small pictures of images, so that people see what they would fetch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.fits_images import opened_fits
from skyvault.science.grey_png import grey_png
from skyvault.science.reprojected import in_a_line
from skyvault.science.samples import Floats
from skyvault.science.stretch import Stretch, sky_of

#: longest sides, pixels
PREVIEW: Final = 512
THUMBNAIL: Final = 128
#: steps of the table of greys
_STEPS: Final = 4096
#: an image with more pixels is looked at in strips
_STRIP_PIXELS: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Pictures:
    """PNG bytes of a picture of at most 512 x 512 pixels and of one of at most 128 x 128."""

    preview: bytes
    thumbnail: bytes


def pictures_of(path: Path, hdu: int) -> Pictures:
    """Pictures of one image of a FITS file: asinh above the sky, stars bright on black.

    North is where the image has it: pictures show pixels, row 1 at the bottom. Raises FormatError.
    """
    with opened_fits(path) as file:
        return pictures_in(file, hdu, path.name)


def pictures_in(file: Any, hdu: int, where: str) -> Pictures:
    """The same of an open FITS file (``astropy.io.fits.HDUList``), ``where`` being its name."""
    try:
        with quiet():
            _refuse_cut_short(file[hdu], where)
            pixels = reduced(file[hdu], PREVIEW)
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"its pixels cannot be read ({in_a_line(problem)})", where=where) from None
    return pictures(pixels)


def _refuse_cut_short(hdu: Any, where: str) -> None:
    """Raises FormatError where the header promises more than there is, before memory is asked for."""
    place = hdu.fileinfo() or {}
    header = hdu.header
    if place.get("datLoc") is None or place["file"].compression or getattr(hdu, "compression_type", None):
        return
    promised = abs(int(header["BITPIX"])) // 8 * math.prod(hdu.shape)
    if place["datLoc"] + promised > place["file"].size:
        raise FormatError("its pixels cannot be read (the file ends before the image does)", where=where)


def pictures(pixels: Floats) -> Pictures:
    """Pictures of pixel values, shape (rows, columns); blank ones (NaN) are black."""
    from PIL import Image

    grey = np.ascontiguousarray(_greys(pixels)[::-1])
    small = Image.fromarray(grey)
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Pictures(grey_png(grey), grey_png(np.asarray(small)))


def _greys(pixels: Any) -> Any:
    """Bytes of grey; the stretch is looked up in a table, finer than the greys are."""
    sky = sky_of(pixels)
    if not np.isfinite(sky.level):
        return np.zeros(pixels.shape, np.uint8)
    stretch = Stretch()
    noise = sky.noise if sky.noise > 0.0 else 1.0
    low, high = sky.level + stretch.low * noise, sky.level + stretch.high * noise
    table = stretch.grey(np.linspace(low, high, _STEPS), sky)
    greys = (np.clip(table, 0.0, 1.0) * 255.0).astype(np.uint8)
    steps = np.subtract(pixels, np.float32(low), dtype=np.float32)
    np.multiply(steps, np.float32((_STEPS - 1) / (high - low)), out=steps)
    # blank pixels compare as false, and are black with what is below
    with np.errstate(invalid="ignore"):
        np.maximum(steps, 0.0, out=steps)
        np.minimum(steps, _STEPS - 1, out=steps)
    blank = np.isnan(steps)
    if blank.any():
        steps[blank] = 0.0
    return greys[steps.astype(np.uint16)]


def reduced(hdu: Any, most: int) -> Floats:
    """The image with at most ``most`` pixels a side, each the mean of those it stands for; cubes give one plane."""
    shape = hdu.shape
    height, width = shape[-2:]
    step = max(1, -(-max(height, width) // most))
    plane = tuple(size // 2 for size in shape[:-2])
    rows = max(step, (_STRIP_PIXELS // max(width, 1)) // step * step)
    strips = []
    for first in range(0, height - height % step if height >= step else height, rows):
        last = min(first + rows, height)
        # a plain ndarray is already in memory (compressed images); a section reads what is asked for
        part = np.asarray(hdu.section[(*plane, slice(first, last), slice(None))])
        strips.append(_binned(part.astype(np.float32, copy=False), step))
    return np.concatenate(strips) if len(strips) > 1 else strips[0]


def _binned(part: Any, step: int) -> Any:
    if step == 1:
        return part
    height, width = part.shape[0] // step * step, part.shape[1] // step * step
    if not height or not width:
        return part[:1, :1]
    blocks = part[:height, :width].reshape(height // step, step, width // step, step)
    # a cheap mean first: most images have no blank pixels
    mean = blocks.mean(axis=(1, 3))
    if not np.isfinite(mean).all():
        with quiet():
            mean = np.nanmean(blocks, axis=(1, 3))
    return mean
