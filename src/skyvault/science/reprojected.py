"""Images brought to one grid on the sky (tangential, north up, east left), so that epochs lie pixel on pixel.

Surface brightness is kept: a pixel's value is that of the image at its place. Positions go through the image's whole
WCS (TPV, SIP, any frame) at every 16th pixel of the grid and by cubics between, as long as that is good to 0.01 pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from skyvault.errors import FormatError, ParameterError
from skyvault.quiet import quiet
from skyvault.science.samples import Booleans, Floats

Image = np.ndarray[Any, np.dtype[np.float32]]

#: pixels a grid may have
MAX_PIXELS: Final = 100_000_000
_STEP: Final = 16
#: pixels of the image; where cubics are worse, every pixel goes through the WCS
_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class SkyGrid:
    """A tangential grid: ICRS degrees of its centre, pixels (columns, rows) and arcsec a pixel; north up, east left."""

    ra: float
    dec: float
    width: int
    height: int
    pixel_arcsec: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ra) and abs(self.dec) <= 90.0):
            raise ParameterError(f"({self.ra!r}, {self.dec!r}) is no position in ICRS degrees")
        if not (self.width > 0 and self.height > 0 and self.width * self.height <= MAX_PIXELS):
            raise ParameterError(
                f"a grid of {self.width} x {self.height} pixels cannot be made", hint=f"The most is {MAX_PIXELS:,}."
            )
        reach = max(self.width, self.height) * self.pixel_arcsec / 3600.0
        if not (self.pixel_arcsec > 0.0 and reach < 90.0):
            raise ParameterError(f"a tangential grid is not {reach:.6g} deg wide; it must be under 90")

    @classmethod
    def around(cls, ra: float, dec: float, radius_arcmin: float, pixel_arcsec: float) -> SkyGrid:
        """A square that reaches ``radius_arcmin`` from its centre; an odd number of pixels a side."""
        if not (radius_arcmin > 0.0 and pixel_arcsec > 0.0):
            raise ParameterError(f"a grid of {radius_arcmin} arcmin in pixels of {pixel_arcsec} arcsec is empty")
        side = 2 * max(1, round(radius_arcmin * 60.0 / pixel_arcsec)) + 1
        return cls(float(ra) % 360.0, float(dec), side, side, float(pixel_arcsec))

    @property
    def centre(self) -> tuple[float, float]:
        """The centre in pixels, counted from 0."""
        return (self.width - 1) / 2.0, (self.height - 1) / 2.0

    def header(self) -> Any:
        """The WCS as FITS cards."""
        return self.wcs().to_header()

    def wcs(self) -> Any:
        """The astropy WCS."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [value + 1.0 for value in self.centre]
        wcs.wcs.cdelt = [-self.pixel_arcsec / 3600.0, self.pixel_arcsec / 3600.0]
        wcs.wcs.radesys = "ICRS"
        wcs.pixel_shape = (self.width, self.height)
        return wcs

    def sky(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """ICRS degrees of pixels, any shape."""
        scale = np.radians(self.pixel_arcsec / 3600.0)
        xi = -(np.asarray(x, np.float64) - self.centre[0]) * scale
        eta = (np.asarray(y, np.float64) - self.centre[1]) * scale
        d0 = np.radians(self.dec)
        # inverse gnomonic projection (Calabretta & Greisen 2002, section 5.1.3)
        below = np.cos(d0) - eta * np.sin(d0)
        ra = self.ra + np.degrees(np.arctan2(xi, below))
        dec = np.degrees(np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, below)))
        return np.asarray(ra % 360.0, np.float64), np.asarray(dec, np.float64)


@dataclass(frozen=True)
class Reprojected:
    """An image on a grid, shape (height, width), NaN where nothing is known."""

    pixels: Image
    grid: SkyGrid

    @property
    def is_known(self) -> Booleans:
        """Where the image has values."""
        return np.asarray(np.isfinite(self.pixels))

    def hdu(self) -> Any:
        """A FITS image with the grid's WCS."""
        from astropy.io import fits

        return fits.PrimaryHDU(self.pixels, self.grid.header())


def reproject(pixels: Any, wcs: Any, grid: SkyGrid, kernel: Literal["bilinear", "lanczos"] = "bilinear") -> Reprojected:
    """Brings an image, shape (rows, columns), with its celestial WCS to a grid; blank (NaN) pixels stay blank.

    "lanczos" (three lobes) keeps stars sharper and rings around saturated ones; next to blank pixels it is bilinear.
    Where the grid is coarser than the image by two or more, that many pixels are averaged first.
    Raises FormatError where the WCS leads nowhere.
    """
    image = np.asarray(pixels)
    if image.ndim != 2 or not image.size:
        raise ParameterError(f"an image has rows and columns, not the shape {image.shape}")
    if kernel not in ("bilinear", "lanczos"):
        raise ParameterError(f"there is no kernel {kernel!r}", hint="Take bilinear or lanczos.")
    x, y = _places(wcs, grid)
    # only what the grid can show is looked at
    seen = np.isfinite(x) & np.isfinite(y) & (x > -0.5) & (x < image.shape[1] - 0.5)
    seen &= (y > -0.5) & (y < image.shape[0] - 0.5)
    if not seen.any():
        return Reprojected(np.full((grid.height, grid.width), np.nan, np.float32), grid)
    factor = _coarser(x, y)
    left, right = (int(value) for value in (x[seen].min() - 4 * factor, x[seen].max() + 5 * factor))
    low, high = (int(value) for value in (y[seen].min() - 4 * factor, y[seen].max() + 5 * factor))
    left, low = max(left, 0), max(low, 0)
    part = image[low : min(high, image.shape[0]), left : min(right, image.shape[1])].astype(np.float32)
    u, v = x[seen] - left, y[seen] - low
    if factor > 1:
        part = _averaged(part, factor)
        u, v = (u + 0.5) / factor - 0.5, (v + 0.5) / factor - 0.5
    values = _bilinear(part, u, v)
    if kernel == "lanczos":
        sharp = _lanczos(part, u, v)
        values = np.where(np.isfinite(sharp), sharp, values)
    out = np.full((grid.height, grid.width), np.nan, np.float32)
    out[seen] = values
    return Reprojected(out, grid)


def _places(wcs: Any, grid: SkyGrid) -> tuple[Floats, Floats]:
    """Where each pixel of the grid lies in the image, shape (height, width) both, pixels counted from 0."""
    columns, rows = np.arange(grid.width, dtype=np.float64), np.arange(grid.height, dtype=np.float64)
    if min(grid.width, grid.height) > 4 * _STEP:
        from scipy.interpolate import RectBivariateSpline

        nodes_x, nodes_y = _nodes(grid.width), _nodes(grid.height)
        at = np.meshgrid(nodes_x, nodes_y)
        found = _through_wcs(wcs, grid, at[0], at[1])
        if all(np.isfinite(one).all() for one in found):
            splines = [RectBivariateSpline(nodes_y, nodes_x, one) for one in found]
            between_x, between_y = (nodes_x[1:] + nodes_x[:-1]) / 2.0, (nodes_y[1:] + nodes_y[:-1]) / 2.0
            check = np.meshgrid(between_x, between_y)
            true = _through_wcs(wcs, grid, check[0], check[1])
            far = [
                float(np.max(np.abs(s(between_y, between_x) - t), initial=0.0))
                for s, t in zip(splines, true, strict=True)
            ]
            if max(far) <= _TOLERANCE:
                x, y = (np.asarray(spline(rows, columns), np.float64) for spline in splines)
                return x, y
    at = np.meshgrid(columns, rows)
    return _through_wcs(wcs, grid, at[0], at[1])


def _nodes(count: int) -> Floats:
    return np.linspace(0.0, count - 1.0, max(5, -(-count // _STEP) + 1))


def _through_wcs(wcs: Any, grid: SkyGrid, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    ra, dec = grid.sky(x, y)
    return pixels_at(wcs, ra, dec)


def pixels_at(wcs: Any, ra: Any, dec: Any) -> tuple[Floats, Floats]:
    """Columns and rows (counted from 0) of ICRS degrees in an image, NaN where there are none; any shape.

    Raises FormatError for a WCS that cannot be used.
    """
    core = wcs.wcs
    is_icrs = core.radesys == "ICRS" or (not core.radesys and np.isnan(core.equinox))
    try:
        with quiet():
            if is_icrs and core.lngtyp == "RA" and core.lng == 0:
                # through SkyCoord this is ten times as slow
                found = wcs.world_to_pixel_values(ra, dec)
            else:
                from astropy.coordinates import SkyCoord

                found = wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
    except Exception as problem:
        # a wrong header has many ways to fail in a WCS
        raise FormatError(f"The image's WCS cannot be used ({in_a_line(problem)})") from None
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)


def in_a_line(problem: Exception) -> str:
    """What a library says of a broken header, as one line; wcslib's own says places in its source first."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip() and " at line " not in line]
    return f"{type(problem).__name__}: {' '.join(lines)[:120].rstrip('. ')}".rstrip(": ")


def _coarser(x: Floats, y: Floats) -> int:
    """How many pixels of the image a step of the grid takes, in the middle."""
    row, column = x.shape[0] // 2, x.shape[1] // 2
    window = slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2)
    sides = [np.hypot(np.diff(x[window], axis=axis), np.diff(y[window], axis=axis)) for axis in (0, 1)]
    steps = np.concatenate([side.reshape(-1) for side in sides])
    steps = steps[np.isfinite(steps)]
    return max(1, int(np.median(steps) + 1e-6)) if steps.size else 1


def _averaged(image: Image, factor: int) -> Image:
    """Means of squares of pixels; a square with less than half its pixels known is blank."""
    rows, columns = (-(-side // factor) * factor for side in image.shape)
    whole = np.full((rows, columns), np.nan, np.float32)
    whole[: image.shape[0], : image.shape[1]] = image
    squares = whole.reshape(rows // factor, factor, columns // factor, factor)
    known = np.isfinite(squares)
    count = known.sum(axis=(1, 3))
    total = np.where(known, squares, np.float32(0.0)).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(2 * count >= factor * factor, total / count, np.nan).astype(np.float32)


def _bilinear(image: Image, x: Floats, y: Floats) -> Image:
    known = np.isfinite(image)
    values = np.where(known, image, np.float32(0.0))
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - column).astype(np.float32), (y - row).astype(np.float32)
    total, weight = np.zeros(len(x), np.float32), np.zeros(len(x), np.float32)
    for down in (0, 1):
        for across in (0, 1):
            # half a pixel around the image belongs to it: its edge goes on there
            i = np.clip(row + down, 0, image.shape[0] - 1)
            j = np.clip(column + across, 0, image.shape[1] - 1)
            share = (fy if down else 1.0 - fy) * (fx if across else 1.0 - fx)
            total += share * values[i, j]
            weight += share * known[i, j]
    return np.where(weight > 0.999, total, np.float32(np.nan))


def _lanczos(image: Image, x: Floats, y: Floats) -> Image:
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = _lobes(x - column), _lobes(y - row)
    inside = (column >= 2) & (column < image.shape[1] - 3) & (row >= 2) & (row < image.shape[0] - 3)
    out = np.full(len(x), np.nan, np.float32)
    row, column, across, down = row[inside], column[inside], across[:, inside], down[:, inside]
    total = np.zeros(len(row), np.float32)
    for i in range(6):
        line = np.zeros(len(row), np.float32)
        for j in range(6):
            line += across[j] * image[row + i - 2, column + j - 2]
        total += down[i] * line
    out[inside] = total
    return out


def _lobes(fraction: Floats) -> Image:
    """Weights of the six pixels around, shape (6, n); they sum to 1, so that a flat sky stays flat."""
    distance = fraction[None, :] - np.arange(-2, 4)[:, None]
    weights = np.sinc(distance) * np.sinc(distance / 3.0)
    lobes: Image = (weights / weights.sum(axis=0)).astype(np.float32)
    return lobes
