"""Tiles of a HiPS: images of a collection resampled to HEALPix, from the finest tiles up to the whole sky (HiPS 1.0).

A tile of order k is a HEALPix cell (nested, ICRS) with 512 x 512 pixels, which are the cells of order k + 9. Seen on
the sky its first pixel is at the eastern corner, columns run to the northern one and rows to the southern one, as
Aladin and :mod:`reproject.hips` have it.
"""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError
from skyvault.quiet import quiet
from skyvault.science.fits_images import celestial_wcs
from skyvault.science.reprojected import Image, in_a_line, reproject
from skyvault.science.samples import Floats
from skyvault.science.stretch import Sky, Stretch, sky_of
from skyvault.sky.cells import places_in_cells
from skyvault.sky.vectors import coordinates

#: pixels a side of a tile, and of its thumbnail in Allsky
TILE: Final = 512
ALLSKY_TILE: Final = 64
#: orders from the one Allsky is made of to the finest that is made (0.05 arcsec)
ALLSKY_ORDER: Final = 3
FINEST_ORDER: Final = 13
#: arcsec a pixel of order 0: a cell's side is sqrt(pi / 3) radians
_PIXEL_ARCSEC: Final = math.degrees(math.sqrt(math.pi / 3)) * 3600.0 / TILE
#: bytes of images that are kept open
_HELD_BYTES: Final = 400_000_000
#: how pictures are drawn: faint things visible, bright ones not burnt out
PICTURE: Final = Stretch(low=-2.0, high=60.0)


@dataclass(frozen=True, slots=True)
class TileImage:
    """An image that goes into tiles: its file, and which HDU of it."""

    path: Path
    hdu: int


@dataclass(frozen=True, slots=True)
class HipsTile:
    """The pixels of a tile as a grid on the sky, for :func:`skyvault.science.reprojected.reproject`."""

    order: int
    index: int
    width: int = TILE
    height: int = TILE

    def sky(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """ICRS degrees of pixels (counted from 0), any shape."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        east, west = 1.0 - (y.ravel() + 0.5) / self.height, (x.ravel() + 0.5) / self.width
        # splines look a little beyond the corners, where another cell begins
        east, west = np.clip(east, 0.0, 1.0), np.clip(west, 0.0, 1.0)
        cells = np.full(east.shape, self.index, np.int64)
        lon, lat = coordinates(places_in_cells(self.order, cells, east, west))
        return lon.reshape(x.shape), lat.reshape(x.shape)


def pixel_arcsec(order: int) -> float:
    """Side of a pixel in the tiles of an order (mean over the sky)."""
    return _PIXEL_ARCSEC / float(2**order)


def order_for(image_arcsec: float) -> int:
    """The order whose pixels are no larger than an image's, within a tenth; 3 to 13."""
    order = math.ceil(math.log2(_PIXEL_ARCSEC / (1.1 * image_arcsec)))
    return min(max(order, ALLSKY_ORDER), FINEST_ORDER)


class TileMaker:
    """Makes the finest tiles; keeps the images that were used last, since neighbours need them again."""

    def __init__(self, *, subtract_sky: bool) -> None:
        self.subtract_sky = subtract_sky
        self._held: OrderedDict[TileImage, tuple[Any, Any, float]] = OrderedDict()

    def tile(self, order: int, index: int, images: Sequence[TileImage]) -> tuple[Image, list[tuple[Path, str]]]:
        """The mean of all images that reach into a tile, NaN where none does, and images that cannot be read."""
        grid = HipsTile(order, index)
        total = np.zeros((TILE, TILE), np.float64)
        count = np.zeros((TILE, TILE), np.int32)
        problems: list[tuple[Path, str]] = []
        for image in images:
            try:
                pixels, wcs, level = self._opened(image)
                seen = reproject(pixels, wcs, grid).pixels  # type: ignore[arg-type]
            except FormatError as problem:
                problems.append((image.path, problem.what))
                continue
            known = np.isfinite(seen)
            total[known] += seen[known] - level
            count[known] += 1
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count > 0, total / count, np.nan).astype(np.float32), problems

    def _opened(self, image: TileImage) -> tuple[Any, Any, float]:
        held = self._held.get(image)
        if held is None:
            held = self._held[image] = _read(image, self.subtract_sky)
            while len(self._held) > 1 and sum(one[0].nbytes for one in self._held.values()) > _HELD_BYTES:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(image)
        return held


def _read(image: TileImage, subtract_sky: bool) -> tuple[Any, Any, float]:
    """Pixels of the image's plane on the sky, its WCS, and the level of its sky (0 where it is to be kept)."""
    from astropy.io import fits

    try:
        with quiet(), fits.open(image.path, memmap=False, lazy_load_hdus=True) as file:
            hdu = file[image.hdu]
            wcs = celestial_wcs(hdu.header, file)
            plane = tuple(size // 2 for size in hdu.shape[:-2])
            pixels = np.asarray(hdu.section[(*plane, slice(None), slice(None))], np.float32)
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"its pixels cannot be read ({in_a_line(problem)})", where=image.path.name) from None
    level = sky_of(pixels).level if subtract_sky else 0.0
    return pixels, wcs, level if math.isfinite(level) else 0.0


def parent_tile(children: Sequence[Image | None]) -> Image:
    """The tile above four (in the sequence of their numbers; None: no such tile): means of 2 x 2 known pixels."""
    half = TILE // 2
    whole = np.full((TILE, TILE), np.nan, np.float32)
    for number, child in enumerate(children):
        if child is None:
            continue
        # bit 0: the half towards the east, which is that of the first rows; bit 1: towards the west, the last columns
        rows = slice(0, half) if number & 1 else slice(half, TILE)
        columns = slice(half, TILE) if number & 2 else slice(0, half)
        whole[rows, columns] = _binned(child, 2)
    return whole


def _binned(pixels: Image, step: int) -> Image:
    blocks = pixels.reshape(pixels.shape[0] // step, step, pixels.shape[1] // step, step)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


def allsky(tiles: Iterable[tuple[int, Image]]) -> Image:
    """Thumbnails of the tiles of order 3, 27 a line from the first at the upper left, as the top row last (FITS)."""
    columns = math.isqrt(12 << (2 * ALLSKY_ORDER))
    lines = -(-(12 << (2 * ALLSKY_ORDER)) // columns)
    whole = np.full((lines * ALLSKY_TILE, columns * ALLSKY_TILE), np.nan, np.float32)
    for index, pixels in tiles:
        line, column = divmod(index, columns)
        top = (lines - 1 - line) * ALLSKY_TILE
        left = column * ALLSKY_TILE
        whole[top : top + ALLSKY_TILE, left : left + ALLSKY_TILE] = _binned(pixels, TILE // ALLSKY_TILE)
    return whole


# ---------------------------------------------------------------- files


def fits_tile(pixels: Image, order: int | None = None, index: int | None = None) -> bytes:
    """A tile (or Allsky) as FITS."""
    from astropy.io import fits

    header = fits.Header()
    if order is not None:
        header["ORDER"], header["NPIX"] = order, index
    held = io.BytesIO()
    fits.PrimaryHDU(pixels, header).writeto(held)
    return held.getvalue()


def read_fits_tile(path: Path) -> Image:
    """The pixels of a tile that was written."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        return np.asarray(file[0].data, np.float32)


def png_tile(pixels: Image, sky: Sky) -> bytes:
    """A tile as a grey picture, transparent where nothing is known; the top row is the last of FITS."""
    from PIL import Image as Picture

    known = np.isfinite(pixels)
    grey = np.nan_to_num(PICTURE.grey(pixels, sky), nan=0.0)
    planes = np.stack([np.clip(grey, 0.0, 1.0) * 255.0, known * 255.0], axis=-1).astype(np.uint8)
    held = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(planes[::-1])).save(held, "PNG", compress_level=6)
    return held.getvalue()


def samples(pixels: Image, most: int = 4_000) -> Floats:
    """Some known values of a tile, by which the pictures' grey is chosen."""
    known = pixels[np.isfinite(pixels)]
    return known[:: max(1, len(known) // most)].astype(np.float64)
