"""What a photographic emulsion makes of light: density, grain, and its defects, in pixels of the plate scanner."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from skyvault.sandbox.plates import Defect

Image = np.ndarray[Any, np.dtype[np.float32]]

#: scanner units: the unexposed sky, the densest black above it, and the grain's scatter there
SKY_LEVEL: Final = 5000.0
MOST_DENSITY: Final = 22000.0
_GRAIN: Final = 20.0
#: above the sky, of the faintest star that is measured: three times the grain
LIMIT_PEAK: Final = 60.0
#: stars that reach no further are added together
_SMALL_PX: Final = 7.0
#: lines of a reseau: millimetres apart, and how dense
_RESEAU_MM: Final = 5.0
_RESEAU_DENSITY: Final = 600.0


def developed(light: Image, seed: tuple[int, ...]) -> Image:
    """The scan of an emulsion that received ``light``: dense spots that grow, not brighten, and clumped grain."""
    rng = np.random.default_rng([*map(abs, seed), 7])
    noise = rng.standard_normal((light.shape[0] + 1, light.shape[1] + 1), dtype=np.float32)
    # grains are larger than a pixel: sums of 2 x 2, whose scatter is 2
    grain = noise[1:, 1:] + noise[:-1, 1:]
    grain += noise[1:, :-1]
    grain += noise[:-1, :-1]
    density: Image = np.asarray(MOST_DENSITY * -np.expm1(-light / MOST_DENSITY), np.float32)
    # the denser, the grainier
    density += 0.5 * grain * (_GRAIN + 0.004 * density)
    density += SKY_LEVEL
    return density


def received(density: Any) -> Any:
    """The light that made a density, as :func:`developed` had it, without the grain; what the sky is gives 0."""
    fraction = np.clip((np.asarray(density, np.float64) - SKY_LEVEL) / MOST_DENSITY, -0.5, 0.999)
    return -MOST_DENSITY * np.log1p(-fraction)


def add_star(light: Image, x: float, y: float, peak: float, sigma: float) -> None:
    """Adds the image of a star (pixels from 0) as far as it can be seen."""
    if peak < 1.0:
        return
    box = _box(light, x, y, sigma * float(np.sqrt(2.0 * np.log(max(peak, 3.0)))) + 2.0)
    if box is not None:
        rows, columns = box
        gx = np.exp(-0.5 * ((np.arange(columns.start, columns.stop) - x) / sigma) ** 2)
        gy = np.exp(-0.5 * ((np.arange(rows.start, rows.stop) - y) / sigma) ** 2)
        light[rows, columns] += (peak * np.outer(gy, gx)).astype(np.float32)


def add_stars(light: Image, x: Any, y: Any, peak: Any, sigma: float) -> None:
    """Adds many stars, all of the same width: shape (n,) each. The faint ones together, on a common small box."""
    radius = np.sqrt(2.0 * np.log(np.maximum(peak, 3.0))) * sigma + 2.0
    seen = peak >= 1.0
    small = seen & (radius <= _SMALL_PX)
    for index in np.flatnonzero(seen & ~small).tolist():
        add_star(light, float(x[index]), float(y[index]), float(peak[index]), sigma)
    stars = np.flatnonzero(small)
    if not len(stars):
        return
    reach = int(np.ceil(radius[stars].max()))
    near_x, near_y = np.rint(x[stars]).astype(np.int64), np.rint(y[stars]).astype(np.int64)
    box = np.arange(-reach, reach + 1)
    columns, rows = near_x[:, None] + box, near_y[:, None] + box
    gx = np.exp(-0.5 * ((columns - x[stars, None]) / sigma) ** 2)
    gy = np.exp(-0.5 * ((rows - y[stars, None]) / sigma) ** 2) * peak[stars, None]
    height, width = light.shape
    gx[(columns < 0) | (columns >= width)] = 0.0
    gy[(rows < 0) | (rows >= height)] = 0.0
    places = np.clip(rows, 0, height - 1)[:, :, None] * width + np.clip(columns, 0, width - 1)[:, None, :]
    added = np.bincount(places.reshape(-1), (gy[:, :, None] * gx[:, None, :]).reshape(-1), minlength=light.size)
    light += added.reshape(light.shape).astype(np.float32)


def spoil(
    density: Image, x: float, y: float, defect: Defect, change_mag: float, sigma: float, rng: np.random.Generator
) -> None:
    """Draws what spoiled a star's measurement (fainter by ``change_mag``) at its place; ghosts are stars, not drawn."""
    from scipy.ndimage import uniform_filter

    if defect not in (Defect.FOG, Defect.GRAIN, Defect.BLOT):
        return
    # some tens of scanner pixels, but no less than the star
    reach = max({Defect.FOG: 14.0, Defect.GRAIN: 7.0, Defect.BLOT: 8.0}[defect], 2.5 * sigma)
    box = _box(density, x, y, 4.0 * reach)
    if box is None:
        return
    rows, columns = box
    dx = np.arange(columns.start, columns.stop) - x
    dy = np.arange(rows.start, rows.stop) - y
    apart = np.hypot(dx[None, :], dy[:, None])
    part = density[rows, columns]
    if defect is Defect.FOG:
        # fog hides the star's contrast; where the emulsion is thin all is faint
        veil = np.exp(-0.5 * (apart / reach) ** 2)
        part += (veil * (1500.0 if change_mag < 0 else -1200.0)).astype(np.float32)
    elif defect is Defect.GRAIN:
        clumps = uniform_filter(rng.standard_normal(part.shape), 3) * 3.0
        part += (500.0 * clumps * np.exp(-0.5 * (apart / reach) ** 2)).astype(np.float32)
    elif change_mag < 0:
        off = 0.7 * max(sigma, 2.0)
        blot = np.hypot(dx[None, :] - off, dy[:, None] + off) < 1.6 * max(sigma, 2.0)
        part[blot] = np.maximum(part[blot], SKY_LEVEL + 14000.0)
    else:
        angle = rng.uniform(0.0, np.pi)
        across = np.abs(dx[None, :] * np.sin(angle) - dy[:, None] * np.cos(angle))
        # the emulsion is gone
        part[(across < 0.8 * max(sigma, 2.0)) & (apart < 3.0 * reach)] = 1500.0


def add_reseau(light: Image, x_px: Any, y_px: Any, pixel_mm: float) -> None:
    """The lines that were copied onto some plates before development; ``x_px``, ``y_px``: places on the plate."""
    for axis, place in ((1, x_px), (0, y_px)):
        lines = np.mod(np.asarray(place) * pixel_mm, _RESEAU_MM) < 2.5 * pixel_mm
        if axis == 1:
            light[:, lines] += np.float32(_RESEAU_DENSITY)
        else:
            light[lines, :] += np.float32(_RESEAU_DENSITY)


def add_dust(density: Image, x: Any, y: Any, size: Any) -> None:
    """Specks (pixels from 0) that keep the light of the scanner away."""
    for cx, cy, r in zip(x, y, size, strict=True):
        box = _box(density, cx, cy, r + 1.0)
        if box is not None:
            rows, columns = box
            dx, dy = np.arange(columns.start, columns.stop) - cx, np.arange(rows.start, rows.stop) - cy
            speck = np.hypot(dx[None, :], dy[:, None]) <= r
            density[rows, columns][speck] = SKY_LEVEL + 9000.0


def _box(image: Image, x: float, y: float, reach: float) -> tuple[slice, slice] | None:
    height, width = image.shape
    left, right = max(int(x - reach), 0), min(int(x + reach) + 1, width)
    low, high = max(int(y - reach), 0), min(int(y + reach) + 1, height)
    return None if left >= right or low >= high else (slice(low, high), slice(left, right))
