"""Matched filters for unevenly sampled light curves: how well an event of a known shape and width fits at each epoch.

For residuals r with errors s and a kernel k centred at an epoch, the best amplitude is sum(r k / s^2) / sum(k^2 / s^2),
and its signal-to-noise ratio sum(r k / s^2) / sqrt(sum(k^2 / s^2)); both are exact whatever the sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.injection import Injection, Shape
from skyvault.science.samples import Booleans, Floats, Indices

#: kernel values computed at once: 8 MB
_BLOCK: Final = 1_000_000
#: beyond so many widths from its centre, a kernel is taken as zero
_REACH: Final[dict[str, tuple[float, float]]] = {
    "flare": (0.7, 7.0),
    "dip": (1.7, 1.7),
    "transit": (0.5, 0.5),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A shape and a width in days; see :class:`skyvault.science.injection.Injection`."""

    shape: Shape
    width_d: float

    def __post_init__(self) -> None:
        if self.shape not in _REACH:
            raise ParameterError(
                f"no matched filter has the shape {self.shape!r}", hint=f"Shapes are {', '.join(_REACH)}."
            )
        Injection(self.shape, 0.0, self.width_d, 1.0)

    def values(self, days: Floats) -> Floats:
        """The kernel at times counted from its centre; its largest value is 1 (a dip's is -1)."""
        return Injection(self.shape, 0.0, self.width_d, 1.0).relative_change(days)


def bank(shapes: Sequence[Shape], shortest_d: float, longest_d: float, per_decade: int = 5) -> tuple[Kernel, ...]:
    """Kernels of every shape with widths in equal steps of their logarithm, both ends included."""
    if not 0.0 < shortest_d <= longest_d or per_decade < 1:
        raise ParameterError(f"widths from {shortest_d:g} to {longest_d:g} days are no range")
    steps = max(round(per_decade * np.log10(longest_d / shortest_d)), 1) + 1 if longest_d > shortest_d else 1
    widths = np.geomspace(shortest_d, longest_d, steps)
    return tuple(Kernel(shape, float(width)) for shape in shapes for width in widths)


@dataclass(frozen=True, slots=True)
class Match:
    """The best kernel at each epoch, shape (n,): its signal-to-noise ``score`` (positive where the shape fits as it is,
    negative where its mirror does), its number in the bank, and the relative amplitude."""

    score: Floats
    kernel: Indices
    amplitude: Floats


def match(mjd: Floats, residual: Floats, error: Floats, is_usable: Booleans, kernels: Sequence[Kernel]) -> Match:
    """The best-fitting kernel centred at each epoch; NaN where an epoch is not usable. Times must be sorted.

    O(epochs x epochs within a kernel's reach x kernels), in blocks of 8 MB.
    """
    n = len(mjd)
    best = np.full(n, np.nan)
    which = np.full(n, -1, np.int64)
    amplitude = np.full(n, np.nan)
    rows = np.flatnonzero(is_usable & np.isfinite(residual) & np.isfinite(error) & (error > 0.0) & np.isfinite(mjd))
    if not len(rows) or not kernels:
        return Match(best, which, amplitude)
    times, weight = mjd[rows], 1.0 / error[rows] ** 2
    weighted = residual[rows] * weight
    m = len(rows)
    top, top_kernel, top_amplitude = np.zeros(m), np.full(m, -1, np.int64), np.zeros(m)
    for number, kernel in enumerate(kernels):
        before, after = (reach * kernel.width_d for reach in _REACH[kernel.shape])
        first = np.searchsorted(times, times - before, "left")
        last = np.searchsorted(times, times + after, "right")
        widest = int((last - first).max())
        span = np.arange(widest)
        for start in range(0, m, max(_BLOCK // widest, 1)):
            block = slice(start, min(start + max(_BLOCK // widest, 1), m))
            index = first[block, None] + span
            inside = index < last[block, None]
            index = np.minimum(index, m - 1)
            shape = np.where(inside, kernel.values(times[index] - times[block, None]), 0.0)
            power = (shape**2 * weight[index]).sum(axis=1)
            product = (shape * weighted[index]).sum(axis=1)
            score = product / np.sqrt(power)
            better = np.abs(score) > np.abs(top[block])
            top[block][better] = score[better]
            top_kernel[block][better] = number
            top_amplitude[block][better] = (product / power)[better]
    best[rows], which[rows], amplitude[rows] = top, top_kernel, top_amplitude
    return Match(best, which, amplitude)
