"""Cutouts: small images of one place at one time, read from FITS, and checked before anything is drawn of them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound, ParameterError
from skyvault.quiet import quiet
from skyvault.science.reprojected import Image, SkyGrid, in_a_line, pixels_at, reproject

#: pixels and bytes an image may have that is called a cutout
MAX_PIXELS: Final = 36_000_000
MAX_BYTES: Final = 400_000_000


@dataclass(frozen=True)
class Cutout:
    """An image, shape (rows, columns), blank pixels NaN, with its celestial WCS.

    ``mjd`` is the middle of the exposure (MJD UTC, NaN unknown), ``name`` the exposure's.
    """

    pixels: Image
    wcs: Any
    name: str = ""
    mjd: float = float("nan")

    @property
    def pixel_arcsec(self) -> float:
        """The side of a pixel in the middle of the image, arcsec."""
        return _side_arcsec(self.wcs)

    def date(self) -> str:
        """Day and Julian year of the exposure: ``1926-03-14 (1926.198)``; "date unknown"."""
        if not np.isfinite(self.mjd):
            return "date unknown"
        day = np.datetime64("1858-11-17") + np.timedelta64(int(np.floor(self.mjd)), "D")
        return f"{day} ({2000.0 + (self.mjd - 51_544.5) / 365.25:.3f})"

    def place_of(self, ra: float, dec: float) -> tuple[float, float]:
        """Pixel (column, row, counted from 0) of ICRS degrees; NaN where the WCS has none."""
        return _pixel(self.wcs, ra, dec)

    def shows(self, ra: float, dec: float) -> bool:
        """Whether ICRS degrees lie on a pixel that is not blank: cutouts reach beyond the plate's edge."""
        x, y = self.place_of(ra, dec)
        if not (-0.5 <= x < self.pixels.shape[1] - 0.5 and -0.5 <= y < self.pixels.shape[0] - 0.5):
            return False
        return bool(np.isfinite(self.pixels[round(y), round(x)]))

    def on(self, grid: SkyGrid, kernel: Any = "bilinear") -> Image:
        """The image on a grid; see :func:`~skyvault.science.reprojected.reproject`."""
        return reproject(self.pixels, self.wcs, grid, kernel).pixels


def read_cutout(
    source: str | Path | bytes,
    *,
    target: tuple[float, float] | None = None,
    radius_arcmin: float | None = None,
    name: str | None = None,
    mjd: float | None = None,
    hdu: int | None = None,
) -> Cutout:
    """Reads and checks a cutout: a FITS file or its bytes, gzipped or not.

    ``target`` (ICRS degrees) must lie inside; only the square of ``radius_arcmin`` around it is kept, all if None.
    ``hdu``: the first with an image if None. Name and date are those of the header (DATE-OBS, MJD-OBS) where not given.
    Raises NotFound where there is no file, and FormatError for what is no FITS image, is too large for a cutout, has no
    WCS of the sky, or lies elsewhere.
    """
    where = "cutout" if isinstance(source, bytes) else Path(source).name
    raw = unpacked(_bytes_of(source), where)
    if raw[:9] != b"SIMPLE  =":
        raise FormatError("This is no FITS file", where=where)
    from astropy.io import fits

    try:
        with quiet(), fits.open(io.BytesIO(raw), memmap=False, do_not_scale_image_data=True) as file:
            chosen = _image_of(file, hdu, where)
            header = chosen.header
            date = _date(header)
            if not np.isfinite(date):
                date = _date(file[0].header)
            wcs = _wcs(header, where)
            part = _part(wcs, chosen.shape[-2:], target, radius_arcmin, where)
            pixels = _values(chosen, part, where)
    except FormatError:
        raise
    except Exception as problem:
        # damaged files fail in many ways
        raise FormatError(f"This cannot be read as FITS ({in_a_line(problem)})", where=where) from None
    if radius_arcmin is not None:
        wcs = wcs[part]
    if name is None:
        name = where.removesuffix(".gz").removesuffix(".fits")
    return Cutout(pixels, wcs, name, date if mjd is None else mjd)


def _part(
    wcs: Any, shape: tuple[int, int], target: tuple[float, float] | None, radius_arcmin: float | None, where: str
) -> tuple[slice, slice]:
    """Rows and columns to keep. Raises FormatError where the target lies outside."""
    rows, columns = shape
    if target is None:
        if radius_arcmin is not None:
            raise ParameterError("a radius is around a target, and none is given")
        return slice(0, rows), slice(0, columns)
    x, y = _pixel(wcs, *target)
    if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
        place = f"that is at pixel ({x:.0f}, {y:.0f}) of {columns} x {rows}" if np.isfinite(x) else "it lies elsewhere"
        raise FormatError(f"The image does not show RA {target[0]:.5f}, Dec {target[1]:+.5f}: {place}", where=where)
    if radius_arcmin is None:
        return slice(0, rows), slice(0, columns)
    # around the corner, and room for kernels
    reach = int(1.5 * radius_arcmin * 60.0 / _side_arcsec(wcs)) + 8
    return slice(max(int(y) - reach, 0), int(y) + reach + 1), slice(max(int(x) - reach, 0), int(x) + reach + 1)


def _side_arcsec(wcs: Any) -> float:
    return float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600.0)


def _pixel(wcs: Any, ra: float, dec: float) -> tuple[float, float]:
    x, y = pixels_at(wcs, ra, dec)
    return float(x), float(y)


def _bytes_of(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    path = Path(source)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{path.stat().st_size:,} bytes are no cutout", where=path.name)
        return path.read_bytes()
    except OSError as problem:
        raise NotFound(f"The image cannot be read ({problem.strerror})", where=str(path)) from None


def unpacked(raw: bytes, where: str, most: int = MAX_BYTES) -> bytes:
    """What gzip packed, at most ``most`` bytes; other bytes as they are. Raises FormatError."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    inflate = zlib.decompressobj(31)
    try:
        plain = inflate.decompress(raw, most)
    except zlib.error as problem:
        raise FormatError(f"The compressed file is damaged ({problem})", where=where) from None
    if inflate.unconsumed_tail:
        raise FormatError(f"More than {most:,} bytes are no cutout or spectrum", where=where)
    if not inflate.eof:
        raise FormatError("The compressed file was cut short", where=where)
    return plain


def _image_of(file: Any, number: int | None, where: str) -> Any:
    if number is not None:
        if not 0 <= number < len(file):
            raise FormatError(f"There is no HDU {number}: the file has {len(file)}", where=where)
        found = [file[number]]
    else:
        found = [one for one in file if one.is_image and one.header.get("NAXIS", 0) >= 2][:1]
    if not found:
        raise FormatError("The file has no image", where=where)
    header = found[0].header
    sides = [int(header[f"NAXIS{axis + 1}"]) for axis in range(int(header["NAXIS"]))]
    if len(sides) < 2 or any(side != 1 for side in sides[2:]) or min(sides[:2], default=0) < 1:
        raise FormatError(f"An image of {' x '.join(map(str, sides)) or 'no'} pixels is no picture", where=where)
    if sides[0] * sides[1] > MAX_PIXELS:
        raise FormatError(f"{sides[0]} x {sides[1]} pixels are no cutout", where=where)
    return found[0]


def _values(hdu: Any, part: tuple[slice, slice], where: str) -> Image:
    """Physical values, NaN where blank. BLANK holds before scaling."""
    data = hdu.data
    if data is None:
        raise FormatError("The file has no image", where=where)
    stored = np.asarray(data).reshape(data.shape[-2:])[part]
    pixels = stored.astype(np.float32)
    blank = hdu.header.get("BLANK")
    if stored.dtype.kind in "iu" and isinstance(blank, int):
        pixels[stored == blank] = np.nan
    zero, scale = hdu.header.get("BZERO", 0.0), hdu.header.get("BSCALE", 1.0)
    # compressed images come scaled from astropy
    if (zero, scale) != (0.0, 1.0) and stored.dtype.kind in "iu" and hdu.header.get("BITPIX", 0) > 0:
        pixels *= np.float32(scale)
        pixels += np.float32(zero)
    pixels[~np.isfinite(pixels)] = np.nan
    return pixels


def _wcs(header: Any, where: str) -> Any:
    from astropy.wcs import WCS

    try:
        with quiet():
            wcs = WCS(header, fix=False)
            if not wcs.has_celestial:
                raise FormatError("The image has no WCS of the sky", where=where)
            sky = wcs.celestial
            scale = np.linalg.det(sky.pixel_scale_matrix)
            reference = np.asarray(sky.wcs.crval, np.float64)
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(f"The image's WCS cannot be used ({in_a_line(problem)})", where=where) from None
    if not (np.isfinite(scale) and scale != 0.0 and np.isfinite(reference).all()):
        raise FormatError("The image's WCS holds no scale", where=where)
    return sky


def _date(header: Any) -> float:
    """MJD of the exposure as the header has it, NaN where it says nothing that can be read."""
    value = header.get("MJD-OBS")
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    text = str(header.get("DATE-OBS", "")).strip()
    if len(text) == 8 and text[2] == "/" and text[5] == "/":
        # before 1999 FITS wrote days as DD/MM/YY, always of the 20th century
        text = f"19{text[6:]}-{text[3:5]}-{text[:2]}"
    try:
        day = np.datetime64(text.rstrip("Z"), "ms")
    except ValueError:
        try:
            day = np.datetime64(text[:10], "ms")
        except ValueError:
            return float("nan")
    if np.isnat(day):
        return float("nan")
    return float((day - np.datetime64("1858-11-17", "ms")) / np.timedelta64(1, "D"))


def spread_in_time(mjd: Any, count: int) -> Any:
    """Rows of at most ``count`` epochs, spread over the whole time as evenly as they come; unknown dates are left out.

    ``mjd`` has shape (n,); returns row numbers by time.
    """
    times = np.asarray(mjd, np.float64)
    if count < 1:
        raise ParameterError(f"at least one epoch must be asked for, not {count}")
    rows = np.flatnonzero(np.isfinite(times))
    rows = rows[np.argsort(times[rows], kind="stable")]
    if len(rows) <= count:
        return rows
    # half by time, half by number: gaps are bridged, and busy years not swept aside
    even = np.linspace(times[rows[0]], times[rows[-1]], count)
    rank = np.interp(even, times[rows], np.arange(len(rows)))
    mixed = 0.5 * rank + 0.5 * np.linspace(0.0, len(rows) - 1.0, count)
    chosen = np.round(mixed).astype(np.int64)
    for index in range(1, count):
        chosen[index] = max(chosen[index], chosen[index - 1] + 1)
    for index in range(count - 1, -1, -1):
        chosen[index] = min(chosen[index], len(rows) - count + index)
    return rows[chosen]


def by_time(cutouts: Sequence[Cutout]) -> list[Cutout]:
    """In the order of time, undated ones last."""
    return sorted(cutouts, key=lambda one: (not np.isfinite(one.mjd), one.mjd))
