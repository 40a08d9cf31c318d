"""Cutouts of FITS images that read only what they give: rows of the file, tiles of compressed ones.

The stored numbers are given as they are (BITPIX, BSCALE, BZERO, BLANK untouched) and the WCS is moved with them, so
that a cutout is the image, smaller. Pixels are counted from 0 here, from 1 in headers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError, UsageError
from skyvault.model.region import Box, Circle, Point, Polygon, Region
from skyvault.quiet import quiet
from skyvault.science.fits_images import _is_icrs, _sky_axes, celestial_wcs
from skyvault.science.reprojected import in_a_line

Floats = NDArray[np.float64]

_BLOCK: Final = 2880
#: bytes given at once
_GULP: Final = 1 << 22
#: points along the edge of a region
_EDGE: Final = 360
#: keywords that say how an image lies in its file, which the cutout does not
_DROPPED: Final = ("CHECKSUM", "DATASUM", "XTENSION", "SIMPLE", "EXTEND", "PCOUNT", "GCOUNT", "ZHECKSUM", "ZDATASUM",
                   "INHERIT", "ZQUANTIZ", "ZDITHER0", "ZCMPTYPE", "ZTENSION", "ZPCOUNT", "ZGCOUNT")  # fmt: skip


class NoPixels(UsageError):
    """The image has no pixel in what was asked for (SODA 1.0, section 4.1)."""

    http_status = 204


@dataclass(frozen=True)
class OpenedImage:
    """What must be known of an image to cut it: header, WCS, and where its pixels lie.

    ``offset`` is the place of the first pixel in the file, None where it must be read by way of a decompressor.
    ``axes`` are (longitude, latitude) among FITS's axes, from 0; ``planes`` the sizes, NAXIS1 first.
    """

    path: Path
    hdu: int
    header: Any
    wcs: Any
    planes: tuple[int, ...]
    axes: tuple[int, int]
    offset: int | None
    item_bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A box of pixels: (first, beyond the last) of each of FITS's axes."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def pixels(self) -> int:
        return math.prod(stop - start for start, stop in self.ranges)


def opened_image(path: Path, hdu: int) -> OpenedImage:
    """An image of a file, from memory where the file was not changed. Raises FormatError."""
    status = path.stat()
    return _opened(str(path), hdu, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _opened(path: str, hdu: int, mtime_ns: int, size: int) -> OpenedImage:
    from astropy.io import fits

    try:
        with quiet(), fits.open(path, memmap=False, lazy_load_hdus=True, do_not_scale_image_data=True) as file:
            image = file[hdu]
            header = image.header.copy()
            planes = tuple(int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"])))
            wcs = celestial_wcs(header, file)
            is_plain = not isinstance(image, fits.CompImageHDU) and not path.endswith((".gz", ".bz2", ".Z", ".zip"))
            offset = int(image._data_offset) if is_plain else None
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"the image cannot be read ({in_a_line(problem)})") from None
    return OpenedImage(
        Path(path), hdu, header, wcs, planes, _sky_axes(header, len(planes)), offset, abs(int(header["BITPIX"])) // 8
    )


def whole(image: OpenedImage) -> Cut:
    """All pixels."""
    return Cut(tuple((0, size) for size in image.planes))


def within(image: OpenedImage, cut: Cut, axis: int, start: int, stop: int) -> Cut:
    """A cut narrowed to ``start <= pixel < stop`` of one axis. Raises NoPixels."""
    first, last = cut.ranges[axis]
    first, last = max(first, start), min(last, stop)
    if first >= last:
        raise NoPixels("there are no pixels in what was asked for")
    return Cut((*cut.ranges[:axis], (first, last), *cut.ranges[axis + 1 :]))


def around(image: OpenedImage, cut: Cut, region: Region) -> Cut:
    """A cut narrowed to the smallest box of pixels that holds a region's part of the image. Raises NoPixels."""
    lon, lat = image.axes
    width, height = image.planes[lon], image.planes[lat]
    x, y = _pixels(image, _edge(region))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise NoPixels("the image does not reach there")
    low_x, high_x, low_y, high_y = x[known].min(), x[known].max(), y[known].min(), y[known].max()
    # a region that holds the whole image touches none of its pixels with its edge, or none that can be computed
    if not known.all() or _is_wider(region, image):
        low_x, high_x, low_y, high_y = _whole_if_inside(image, region, (low_x, high_x, low_y, high_y))
    if high_x < -0.5 or high_y < -0.5 or low_x >= width - 0.5 or low_y >= height - 0.5:
        raise NoPixels("the image does not reach there")
    limits = np.clip([low_x, high_x, low_y, high_y], -1.0, max(width, height) + 1.0)
    cut = within(image, cut, lon, math.floor(limits[0] + 0.5), math.floor(limits[1] + 0.5) + 1)
    return within(image, cut, lat, math.floor(limits[2] + 0.5), math.floor(limits[3] + 0.5) + 1)


def _is_wider(region: Region, image: OpenedImage) -> bool:
    return isinstance(region, Circle) and region.radius > 45.0


def _whole_if_inside(image: OpenedImage, region: Region, found: tuple[float, ...]) -> tuple[float, ...]:
    from skyvault.science.fits_images import facts_of
    from skyvault.sky.predicates import region_intersects

    outline = facts_of(image.header, image.hdu).outline
    if not region_intersects(region, Polygon(tuple((float(a), float(b)) for a, b in outline))):
        raise NoPixels("the image does not reach there")
    lon, lat = image.axes
    return -0.5, image.planes[lon] - 0.5, -0.5, image.planes[lat] - 0.5


def _pixels(image: OpenedImage, places: Floats) -> tuple[Floats, Floats]:
    """Pixels (from 0) of ICRS places; NaN where the projection does not reach."""
    lon, lat = places[:, 0], places[:, 1]
    if not _is_icrs(image.wcs):
        from astropy.coordinates import SkyCoord
        from astropy.wcs.utils import wcs_to_celestial_frame

        turned = SkyCoord(lon, lat, unit="deg", frame="icrs").transform_to(wcs_to_celestial_frame(image.wcs))
        lon, lat = turned.spherical.lon.deg, turned.spherical.lat.deg
    with quiet():
        try:
            x, y = image.wcs.all_world2pix(lon, lat, 0, quiet=True)
        except Exception:
            # one place beyond the projection spoils all: each for itself, then
            pairs = [_one_pixel(image.wcs, a, b) for a, b in zip(lon, lat, strict=True)]
            x, y = np.array([one[0] for one in pairs]), np.array([one[1] for one in pairs])
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _one_pixel(wcs: Any, lon: float, lat: float) -> tuple[float, float]:
    try:
        x, y = wcs.all_world2pix([lon], [lat], 0, quiet=True)
        return float(x[0]), float(y[0])
    except Exception:
        return math.nan, math.nan


def _edge(region: Region) -> Floats:
    """Places along a region's edge, ICRS degrees, shape (n, 2)."""
    if isinstance(region, Point):
        return np.array([[region.lon, region.lat]])
    if isinstance(region, Circle):
        turn = np.linspace(0.0, 2.0 * np.pi, _EDGE, endpoint=False)
        return _around_place(region.lon, region.lat, region.radius, turn)
    if isinstance(region, Polygon):
        corners = np.array(region.vertices, np.float64)
        return _great_circles(corners)
    if isinstance(region, Box):
        east = region.lon1 + region.width * np.linspace(0.0, 1.0, 17)
        lats = np.linspace(region.lat1, region.lat2, 17)
        sides = [np.stack([east, np.full(17, lat)], axis=1) for lat in (region.lat1, region.lat2)]
        sides += [np.stack([np.full(17, lon), lats], axis=1) for lon in (region.lon1, region.lon1 + region.width)]
        return np.concatenate(sides)
    raise UsageError("a cutout is of a circle, a range or a polygon")


def _around_place(lon: float, lat: float, radius: float, turn: Floats) -> Floats:
    a, d, r = np.radians(lon), np.radians(lat), np.radians(radius)
    lats = np.arcsin(np.clip(np.sin(d) * np.cos(r) + np.cos(d) * np.sin(r) * np.cos(turn), -1.0, 1.0))
    lons = a + np.arctan2(np.sin(turn) * np.sin(r) * np.cos(d), np.cos(r) - np.sin(d) * np.sin(lats))
    # with the points furthest to the four sides of the sky, and the centre
    return np.concatenate([np.stack([np.degrees(lons) % 360.0, np.degrees(lats)], axis=1), [[lon, lat]]])


def _great_circles(corners: Floats) -> Floats:
    a, d = np.radians(corners[:, 0]), np.radians(corners[:, 1])
    begin = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    end = np.roll(begin, -1, axis=0)
    steps = np.linspace(0.0, 1.0, 16, endpoint=False)[None, :, None]
    along = begin[:, None, :] * (1.0 - steps) + end[:, None, :] * steps
    along /= np.linalg.norm(along, axis=2, keepdims=True)
    flat = along.reshape(-1, 3)
    return np.stack([np.degrees(np.arctan2(flat[:, 1], flat[:, 0])) % 360.0, np.degrees(np.arcsin(flat[:, 2]))], axis=1)


def cut_header(image: OpenedImage, cut: Cut) -> bytes:
    """The header of a cutout: the image's, with sizes, WCS and plate solution moved."""
    header = image.header.copy()
    for keyword in _DROPPED:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    for axis, (start, stop) in enumerate(cut.ranges):
        number = axis + 1
        header[f"NAXIS{number}"] = stop - start
        for keyword in [f"CRPIX{number}", *[f"CRPIX{number}{chr(65 + i)}" for i in range(26)]]:
            if keyword in header and start:
                header[keyword] = header[keyword] - start
        if start:
            # where the cutout was in the physical pixels (IRAF's convention, used by ds9)
            header[f"LTV{number}"] = float(header.get(f"LTV{number}", 0.0)) - start
        if f"CNPIX{number}" in header:
            header[f"CNPIX{number}"] = header[f"CNPIX{number}"] + start
    header.insert(0, ("SIMPLE", True, "FITS Standard 4.0"))
    text = str(header.tostring(sep="", endcard=True, padding=True))
    return text.encode("ascii", "replace")


def cut_bytes(image: OpenedImage, cut: Cut) -> Iterator[bytes]:
    """The bytes of a FITS file with the pixels of a cut, piece by piece. Raises FormatError."""
    yield cut_header(image, cut)
    total = 0
    pieces = _plain_pixels(image, cut) if image.offset is not None else _unpacked_pixels(image, cut)
    for piece in pieces:
        total += len(piece)
        yield piece
    yield b"\0" * (-total % _BLOCK)


def _plain_pixels(image: OpenedImage, cut: Cut) -> Iterator[bytes]:
    """Rows straight from the file."""
    size = image.item_bytes
    strides = [size]
    for length in image.planes[:-1]:
        strides.append(strides[-1] * length)
    (x0, x1), rest = cut.ranges[0], cut.ranges[1:]
    row_bytes = (x1 - x0) * size
    assert image.offset is not None
    handle = os.open(image.path, os.O_RDONLY)
    held: list[bytes] = []
    kept = 0
    try:
        for index in np.ndindex(*(stop - start for start, stop in reversed(rest))):
            offset = image.offset + x0 * size
            for (start, _), step, stride in zip(rest, reversed(index), strides[1:], strict=True):
                offset += (start + step) * stride
            row = os.pread(handle, row_bytes, offset)
            if len(row) != row_bytes:
                raise FormatError("the file ends before the image does")
            held.append(row)
            kept += row_bytes
            if kept >= _GULP:
                yield b"".join(held)
                held, kept = [], 0
        if held:
            yield b"".join(held)
    finally:
        os.close(handle)


def _unpacked_pixels(image: OpenedImage, cut: Cut) -> Iterator[bytes]:
    """By way of astropy: tiles of a compressed image, or a packed file read from its begin."""
    from astropy.io import fits

    bitpix = int(image.header["BITPIX"])
    kind = np.dtype(f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{abs(bitpix) // 8}")
    try:
        how = {"memmap": False, "lazy_load_hdus": True, "do_not_scale_image_data": True}
        with quiet(), fits.open(image.path, **how) as file:
            part = file[image.hdu].section[tuple(slice(*one) for one in reversed(cut.ranges))]
            pixels = np.ascontiguousarray(part, kind)
    except Exception as problem:
        raise FormatError(f"the pixels cannot be read ({in_a_line(problem)})") from None
    flat = memoryview(pixels.data).cast("B") if pixels.size else memoryview(b"")
    for first in range(0, len(flat), _GULP):
        yield bytes(flat[first : first + _GULP])
