"""Which of a periodogram's peaks is the period, when some measurements are wrong: the highest ones fitted robustly.

Least squares let a few measurements far off decide between a period and its aliases. Here each of the highest peaks is
fitted anew with weights that fall for what lies far from the curve (Cauchy's: 1 / (1 + r^2)), and the fit that leaves
most measurements least is taken. Source: iteratively reweighted least squares (Holland & Welsch 1977).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.periods import Peak, Periodogram
from skyvault.science.samples import Floats

_ROUNDS: Final = 8
#: residuals beyond so many robust deviations count half
_TUNING: Final = 2.385
_MAD: Final = 1.482602218505602
#: shapes alike but for noise: a fit with a sum of logarithms within this of the best, for each measurement, is as good
_AS_GOOD: Final = 0.01


def robust_peak(periodogram: Periodogram, count: int = 12, *, prefer_fundamental: bool = True) -> Peak:
    """The peak, of the ``count`` highest, whose harmonics fit most measurements best.

    With ``prefer_fundamental`` twice or three times a frequency is tried too, and the highest frequency taken of those
    that fit as well: several harmonics at half a frequency fit all that fewer do at the right one (not for eclipsing
    binaries, whose two eclipses may be alike). Raises ParameterError for ``count`` below 1.
    """
    if count < 1:
        raise ParameterError(f"{count} peaks cannot be compared: give 1 or more")
    peaks = list(periodogram.peaks(count))
    misfits = [misfit(periodogram, peak.frequency) for peak in peaks]
    order = np.argsort(misfits, kind="stable")
    best, least = peaks[int(order[0])], misfits[int(order[0])]
    if prefer_fundamental and periodogram.terms >= 2:
        room = _AS_GOOD * len(periodogram.samples)
        for factor in (3, 2):
            frequency = factor * best.frequency
            if frequency > periodogram.grid.last:
                continue
            reach = periodogram.grid.step
            trial = frequency + reach * np.linspace(-1.0, 1.0, 21)
            trial = trial[np.argsort(-periodogram.power_at(trial))[:3]]
            found = [misfit(periodogram, float(one)) for one in trial]
            if min(found) <= least + room:
                return periodogram._summit_near(float(trial[int(np.argmin(found))]), 0.1 * reach)
    return best


def misfit(periodogram: Periodogram, frequency: float) -> float:
    """Sum of log(1 + (r / c)^2) over the residuals r, in errors, of the robust fit at a frequency."""
    samples = periodogram.samples
    phase = 2.0 * np.pi * frequency * samples.time[:, None] * np.arange(1, periodogram.terms + 1)
    offsets = np.eye(len(samples.bands))[samples.band]
    design = np.concatenate([offsets, np.cos(phase), np.sin(phase)], axis=1)
    error = samples.error if samples.error is not None else np.full(len(samples), float(np.std(samples.value)) or 1.0)
    scaled, value = design / error[:, None], samples.value / error
    weight: Floats = np.ones(len(samples))
    left = value
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(scaled * root[:, None], value * root, rcond=None)[0]
        left = value - scaled @ solution
        spread = max(_MAD * float(np.median(np.abs(left))), 1e-12)
        weight = np.asarray(1.0 / (1.0 + (left / (_TUNING * spread)) ** 2), np.float64)
    return float(np.log1p((left / _TUNING) ** 2).sum())
