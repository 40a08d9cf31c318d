"""The light of one star in an image: an aperture at its place, the sky around it, and an honest error.

Pixels are counted from the first one's middle, (0, 0), x along the second axis. Fluxes are in the image's counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats

#: why a measurement may be no good
BAD_PIXELS: Final = 1
SATURATED: Final = 2
NEAR_EDGE: Final = 4
POOR_SKY: Final = 8
#: a Gaussian's full width at half its height, in sigma
_FWHM: Final = 2.3548
_FEWEST_SKY_PIXELS: Final = 20
_CLIP: Final = 3.0
#: half the side of what is looked at of a star to see how wide it is, pixels
_STAMP: Final = 8


@dataclass(frozen=True, slots=True)
class ApertureFlux:
    """What an aperture holds: ``flux`` above the sky and its ``error`` (counts), the sky's level and scatter a pixel,
    the place measured (pixels) and its distance from the place asked for, the radius, and flags added."""

    flux: float
    error: float
    sky: float
    sky_noise: float
    x: float
    y: float
    shift: float
    radius: float
    flags: int


def measure(
    image: ArrayLike,
    x: float,
    y: float,
    radius: float,
    *,
    sky_radii: tuple[float, float] | None = None,
    mask: Booleans | None = None,
    variance: ArrayLike | None = None,
    gain: float | None = None,
    saturation: float | None = None,
    recentre: float = 0.0,
    fwhm: float | None = None,
) -> ApertureFlux | None:
    """Sum the counts within ``radius`` pixels of (x, y), less the clipped median of a ring; None off the image.

    The ring is by default from 2 to 4 radii, at least 6 pixels wide. ``recentre`` lets the aperture move so many
    pixels to the light's centre; 0 is forced photometry. ``fwhm`` (pixels) corrects for the part of a Gaussian star
    that the aperture leaves out. The error has the sky's scatter in the aperture and in its mean, and the photons' own
    where ``gain`` (electrons a count) is known; or ``variance`` (counts squared a pixel) in place of both. Bad pixels
    within the aperture (``mask``, NaN) are left out, scaled up and flagged. Raises ParameterError for no image.
    """
    pixels = np.asarray(image, np.float64)
    if pixels.ndim != 2 or not radius > 0.0:
        raise ParameterError(f"an aperture needs an image of two axes and a radius above 0, not {radius}")
    height, width = pixels.shape
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        return None
    inner, outer = sky_radii or (max(2.0 * radius, radius + 2.0), max(4.0 * radius, radius + 8.0))
    reach = int(np.ceil(outer + recentre)) + 1
    left, low = max(0, int(x) - reach), max(0, int(y) - reach)
    right, high = min(width, int(x) + reach + 2), min(height, int(y) + reach + 2)
    part = pixels[low:high, left:right]
    bad = ~np.isfinite(part)
    if mask is not None:
        bad = bad | mask[low:high, left:right]
    grid_y, grid_x = np.mgrid[low:high, left:right].astype(np.float64)
    sky, noise, count = _sky(part, bad, np.hypot(grid_x - x, grid_y - y), inner, outer)
    light = np.where(bad, 0.0, part - sky)
    at_x, at_y = (x, y) if recentre <= 0.0 else _centred(light, grid_x, grid_y, x, y, radius, recentre)
    share = _covered(np.hypot(grid_x - at_x, grid_y - at_y), radius)
    area, used = float(share.sum()), float(share[~bad].sum())
    flags = 0
    if used < 0.999 * area:
        flags |= BAD_PIXELS
    # bad pixels are covered by what the others have, as far as a flat aperture goes
    scale = area / used if used > 0.0 else np.nan
    edge = min(at_x, at_y, width - 1 - at_x, height - 1 - at_y)
    if edge < radius:
        flags |= NEAR_EDGE
    if count < _FEWEST_SKY_PIXELS:
        flags |= POOR_SKY
    if saturation is not None and bool((part[(share > 0.0) & ~bad] >= saturation).any()):
        flags |= SATURATED
    flux = float((share * light).sum()) * scale
    if variance is not None:
        known = np.asarray(variance, np.float64)[low:high, left:right]
        squared = float((share * np.where(bad | ~np.isfinite(known), noise**2, known)).sum()) * scale**2
    else:
        squared = area * noise**2 + (max(flux, 0.0) / gain if gain and gain > 0.0 else 0.0)
    squared += (area * noise) ** 2 / max(count, 1)
    whole = 1.0 if not fwhm or not fwhm > 0.0 else -np.expm1(-0.5 * (radius * _FWHM / fwhm) ** 2)
    return ApertureFlux(
        flux / float(whole), float(np.sqrt(squared) / whole), sky, noise, at_x, at_y,
        float(np.hypot(at_x - x, at_y - y)), radius, flags,
    )  # fmt: skip


def _sky(part: Floats, bad: Booleans, distance: Floats, inner: float, outer: float) -> tuple[float, float, int]:
    """Level and scatter of the ring, neighbours' light clipped away, and pixels left."""
    values = part[(distance >= inner) & (distance <= outer) & ~bad]
    if not len(values):
        values = part[~bad]
    if not len(values):
        return float("nan"), float("nan"), 0
    for _ in range(5):
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        kept = values[np.abs(values - middle) <= _CLIP * spread]
        if len(kept) == len(values) or len(kept) < _FEWEST_SKY_PIXELS or not spread > 0.0:
            break
        values = kept
    # of what is left, a mode: neighbours' faint wings pull the mean more than the median (Da Costa 1992)
    mean, middle = float(values.mean()), float(np.median(values))
    level = 3.0 * middle - 2.0 * mean if mean > middle and mean - middle < 0.3 * float(values.std()) else middle
    return level, float(values.std()), len(values)


def _centred(
    light: Floats, grid_x: Floats, grid_y: Floats, x: float, y: float, radius: float, most: float
) -> tuple[float, float]:
    """The centre of light within the aperture, found step by step; the first place where it runs away."""
    at_x, at_y = x, y
    for _ in range(10):
        weight = np.where(np.hypot(grid_x - at_x, grid_y - at_y) <= radius, np.clip(light, 0.0, None), 0.0)
        total = float(weight.sum())
        if not total > 0.0:
            return x, y
        new_x, new_y = float((weight * grid_x).sum() / total), float((weight * grid_y).sum() / total)
        if np.hypot(new_x - x, new_y - y) > most:
            return x, y
        if np.hypot(new_x - at_x, new_y - at_y) < 1e-3:
            return new_x, new_y
        at_x, at_y = new_x, new_y
    return at_x, at_y


def _covered(distance: Floats, radius: float) -> Floats:
    """The part of each pixel within the circle, to 1% of a pixel: straight across the edge of the disc."""
    return np.asarray(np.clip(radius + 0.5 - distance, 0.0, 1.0), np.float64)


def star_width(image: ArrayLike, mask: Any = None, saturation: float | None = None) -> float | None:
    """The usual full width at half maximum of the image's stars, pixels; None where there are fewer than three.

    Of the 60 brightest peaks that are neither saturated nor crowded: light within the stamp over the light of the
    highest pixel, which for a Gaussian is 2 pi sigma squared. Good to 10% for widths of 1.5 to 15 pixels.
    """
    from scipy.ndimage import maximum_filter

    pixels = np.asarray(image, np.float64)
    if pixels.ndim != 2 or min(pixels.shape) < 2 * _STAMP + 3:
        return None
    bad = ~np.isfinite(pixels)
    if mask is not None:
        bad = bad | np.asarray(mask, np.bool_)
    some = pixels[:: max(1, pixels.shape[0] // 300), :: max(1, pixels.shape[1] // 300)]
    some = some[np.isfinite(some)]
    if not len(some):
        return None
    sky = float(np.median(some))
    noise = 1.4826 * float(np.median(np.abs(some - sky)))
    clean = np.where(bad, -np.inf, pixels)
    is_peak = (clean == maximum_filter(clean, size=5, mode="nearest")) & (clean > sky + 15.0 * noise)
    if saturation is not None:
        is_peak &= pixels < 0.8 * saturation
    rows, columns = np.nonzero(is_peak)
    height, width = pixels.shape
    for half in (_STAMP, 3 * _STAMP):
        inside = (rows >= half) & (rows < height - half) & (columns >= half) & (columns < width - half)
        at = np.flatnonzero(inside)
        at = at[np.argsort(-pixels[rows[at], columns[at]], kind="stable")][:60]
        widths = []
        for y, x in zip(rows[at].tolist(), columns[at].tolist(), strict=True):
            near = np.hypot(rows - y, columns - x) < 1.5 * half
            stamp = clean[y - half : y + half + 1, x - half : x + half + 1] - sky
            # a neighbour of a tenth of its height would widen it
            if (
                not np.isfinite(stamp).all()
                or (near & (pixels[rows, columns] - sky > 0.1 * stamp[half, half])).sum() > 1
            ):
                continue
            edge = np.concatenate([stamp[0], stamp[-1], stamp[1:-1, 0], stamp[1:-1, -1]])
            light = float((stamp - np.median(edge)).sum()) / float(stamp[half, half] - np.median(edge))
            if light > 0.0:
                widths.append(_FWHM * float(np.sqrt(light / (2.0 * np.pi))))
        if len(widths) >= 3 and (usual := float(np.median(widths))) < 0.8 * half:
            return usual
    return None
