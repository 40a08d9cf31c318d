"""The continuum of a spectrum, and the emission and absorption lines that stand out of it.

Arrays have shape (n,), sorted by wavelength (nm). Fluxes are in any unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats

#: pixels of the running median at least, and the part of the spectrum it takes
_LEAST_WINDOW: Final = 31
_WINDOW_PART: Final = 0.04
_MOST_WINDOWS: Final = 400
#: a Gaussian's full width at half its height, in sigma
_FWHM: Final = 2.3548


@dataclass(frozen=True, slots=True)
class SpectralLine:
    """A line: centre and full width at half maximum (nm), equivalent width (nm, positive in absorption), signal to
    noise (positive in emission), and the wavelengths it covers."""

    wavelength: float
    fwhm: float
    equivalent_width: float
    equivalent_width_error: float
    snr: float
    start: float
    end: float
    is_flagged: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def continuum_of(wavelength: Floats, flux: Floats, usable: Booleans, window: int | None = None) -> Floats:
    """A running median over ``window`` pixels (by default 4% of the spectrum, at least 31), shape (n,).

    Lines much narrower than the window do not pull it. NaN where nothing usable is near.
    """
    count = len(wavelength)
    if not count:
        return np.zeros(0)
    size = min(window or max(_LEAST_WINDOW, int(count * _WINDOW_PART)), count)
    rows = np.flatnonzero(usable)
    if not len(rows):
        return np.full(count, np.nan)
    # medians in windows half over each other, straight lines between: as good as one a pixel, and fast
    step = max(size // 2, count // _MOST_WINDOWS, 1)
    centres, levels = [], []
    for first in range(0, max(count - size, 0) + step, step):
        low, high = min(first, count - size), min(first + size, count)
        inside = rows[np.searchsorted(rows, low) : np.searchsorted(rows, high)]
        if len(inside) >= max(3, size // 10):
            centres.append(float(np.median(wavelength[inside])))
            levels.append(_clipped_median(flux[inside]))
    if not centres:
        return np.full(count, float(np.median(flux[rows])))
    made = np.asarray(np.interp(wavelength, centres, levels), np.float64)
    if len(centres) > 1:
        # beyond the first and last median the continuum goes on as straight as there
        for end, inner, outside in ((0, 1, wavelength < centres[0]), (-1, -2, wavelength > centres[-1])):
            slope = (levels[end] - levels[inner]) / (centres[end] - centres[inner])
            made[outside] = levels[end] + slope * (wavelength[outside] - centres[end])
    return made


def _clipped_median(values: Floats) -> float:
    """The median once what is 2.5 sigma from it is left out: strong lines fill a good part of a window."""
    for _ in range(3):
        middle = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - middle))
        kept = values[np.abs(values - middle) <= 2.5 * spread]
        if len(kept) < 3 or len(kept) == len(values) or not spread > 0.0:
            break
        values = kept
    return float(np.median(values))


def find_lines(
    wavelength: Floats,
    flux: Floats,
    error: Floats,
    usable: Booleans,
    *,
    continuum: Floats | None = None,
    threshold: float = 5.0,
    widths_pixels: Sequence[float] = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0),
    at_most: int = 50,
) -> list[SpectralLine]:
    """Lines that a Gaussian of one of these widths (sigma, pixels) finds at ``threshold`` sigma, the strongest first.

    A matched filter: at each pixel the Gaussian's best height over its error. Where ``error`` is not known the scatter
    about the continuum stands in. Raises ParameterError for lengths that differ.
    """
    if not len(wavelength) == len(flux) == len(error) == len(usable):
        raise ParameterError("wavelengths, fluxes, errors and flags of a spectrum differ in length")
    if len(wavelength) < 5 or not usable.any():
        return []
    level = continuum_of(wavelength, flux, usable) if continuum is None else continuum
    residual = flux - level
    scatter = 1.4826 * float(np.median(np.abs(residual[usable] - np.median(residual[usable]))))
    noise = np.where(np.isfinite(error) & (error > 0.0), error, scatter)
    good = usable & np.isfinite(residual) & (noise > 0.0)
    if not good.any():
        return []
    weight = np.where(good, 1.0 / np.square(np.where(noise > 0.0, noise, 1.0)), 0.0)
    signal = np.where(good, residual, 0.0) * weight
    score, width = np.zeros(len(flux)), np.ones(len(flux))
    for sigma in widths_pixels:
        half = int(np.ceil(4.0 * sigma))
        if 2 * half + 1 > len(flux):
            continue
        kernel = np.exp(-0.5 * np.square(np.arange(-half, half + 1) / sigma))
        with np.errstate(divide="ignore", invalid="ignore"):
            one = np.convolve(signal, kernel, "same") / np.sqrt(np.convolve(weight, np.square(kernel), "same"))
        better = np.abs(np.nan_to_num(one)) > np.abs(score)
        score[better], width[better] = one[better], sigma
    return _peaks(wavelength, residual, level, weight, score, width, good, threshold, at_most)


def _peaks(
    wavelength: Floats, residual: Floats, level: Floats, weight: Floats, score: Floats, width: Floats, good: Booleans,
    threshold: float, at_most: int,
) -> list[SpectralLine]:  # fmt: skip
    """The strongest lines, none within three of its own sigma, the wings or the side lobes of a stronger one."""
    order = np.argsort(-np.abs(score), kind="stable")
    order = order[np.abs(score[order]) >= threshold]
    taken = np.zeros(len(score), np.bool_)
    step = np.gradient(wavelength)
    found: list[SpectralLine] = []
    for peak in order.tolist():
        if len(found) >= at_most:
            break
        if taken[peak]:
            continue
        sigma = float(width[peak])
        half = int(np.ceil(3.0 * sigma))
        low, high = max(0, peak - half), min(len(score), peak + half + 1)
        taken[_wing(score, peak, half, -1, threshold) : _wing(score, peak, half, 1, threshold) + 1] = True
        # the centre of the line's own light, weighted by the kernel: half a pixel better than the peak
        inside = np.arange(low, high)
        sign = 1.0 if score[peak] > 0 else -1.0
        light = np.clip(sign * residual[inside], 0.0, None) * np.exp(-0.5 * np.square((inside - peak) / (1.5 * sigma)))
        light = np.where(good[inside], light, 0.0)
        centre = float(wavelength[peak] if not light.sum() > 0.0 else (light * wavelength[inside]).sum() / light.sum())
        use = inside[good[inside]]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = -residual[use] / level[use] * step[use]
            own = step[use] / np.abs(level[use]) / np.sqrt(weight[use])
        found.append(SpectralLine(
            centre, _FWHM * sigma * float(step[peak]), float(np.nansum(share)),
            float(np.sqrt(np.nansum(np.square(own)))), float(score[peak]), float(wavelength[low]),
            float(wavelength[high - 1]), bool((~good[inside]).any()),
        ))  # fmt: skip
    return found


def _wing(score: Floats, peak: int, half: int, step: int, threshold: float) -> int:
    """How far a line reaches to one side: its core, its wings above the threshold, and where the filter swings back."""
    sign, at, lowest = np.sign(score[peak]), peak, abs(float(score[peak]))
    end = len(score) - 1 if step > 0 else 0
    while at != end:
        value = float(sign * score[at + step])
        if abs(at + step - peak) > half:
            # another line begins where the score grows again by more than noise does
            if value > lowest + threshold or (abs(value) < threshold and value > -0.2 * abs(float(score[peak]))):
                break
            if value < -threshold and abs(value) > 0.2 * abs(float(score[peak])):
                break
        lowest = min(lowest, abs(value))
        at += step
    return at
