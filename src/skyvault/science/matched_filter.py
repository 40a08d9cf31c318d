"""Matched filters for unevenly sampled light curves: how well an event of a known shape and width fits at each epoch.

For residuals r with errors s and a kernel k centred at an epoch, the best amplitude is sum(r k / s^2) / sum(k^2 / s^2),
and its signal-to-noise ratio sum(r k / s^2) / sqrt(sum(k^2 / s^2)); both are exact whatever the sampling.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.injection import Injection, Shape
from skyvault.science.samples import Booleans, Floats, Indices

#: epochs within a kernel's reach, on average, beyond which they are put together in cells, so many a width
_MANY: Final = 128
_CELLS: Final = 32
#: epochs times kernels whose matrices are kept, at most 16 times: some 50 MB in all
_KEPT: Final = 20_000
#: errors beyond these limits are none, and their squares no numbers
_ABSURD: Final = 1e100
#: beyond so many widths from its centre, a kernel is taken as zero
_REACH: Final[dict[str, tuple[float, float]]] = {
    "flare": (0.7, 7.0),
    "dip": (1.7, 1.7),
    "transit": (0.5, 0.5),
}
#: shapes a kernel may have
KERNELS: Final = tuple(_REACH)


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


@dataclass(frozen=True)
class _Window:
    """One kernel over one set of times: its values as a sparse matrix, a row for each centre.

    ``cell`` is None where every epoch is a centre; else the number of the cell each epoch lies in, shape (n,).
    """

    values: Any
    squared: Any
    cell: Indices | None
    cells: int

    def score_parts(self, weighted: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """sum(r k / s^2) and sum(k^2 / s^2) at each epoch, shape (n,)."""
        if self.cell is None:
            return self.values @ weighted, self.squared @ weight
        product = self.values @ np.bincount(self.cell, weighted, self.cells)
        power = self.squared @ np.bincount(self.cell, weight, self.cells)
        return product[self.cell], power[self.cell]


def _window(times: Floats, kernel: Kernel) -> _Window:
    """The matrix of a kernel. Where many epochs lie within its reach they are put together in cells of a 32nd of its
    width, which changes a score by a percent or two."""
    from scipy.sparse import csr_array

    before, after = (reach * kernel.width_d for reach in _REACH[kernel.shape])
    cell: Indices | None = None
    centres = times
    span = float(times[-1] - times[0])
    if span > 0.0 and len(times) * min((before + after) / span, 1.0) > _MANY:
        number = np.floor((times - times[0]) / (kernel.width_d / _CELLS))
        cell = np.cumsum(np.r_[0, np.diff(number) > 0.0]).astype(np.int64)
        centres = np.bincount(cell, times - times[0]) / np.bincount(cell) + times[0]
    first = np.searchsorted(centres, centres - before, "left")
    length = np.searchsorted(centres, centres + after, "right") - first
    start = np.r_[0, np.cumsum(length)]
    column = np.arange(start[-1]) + np.repeat(first - start[:-1], length)
    values = kernel.values(centres[column] - np.repeat(centres, length))
    shape = (len(centres), len(centres))
    return _Window(
        csr_array((values, column, start), shape), csr_array((values**2, column, start), shape), cell, len(centres)
    )


@functools.lru_cache(maxsize=16)
def _windows(times: bytes, kernels: tuple[Kernel, ...]) -> tuple[_Window, ...]:
    """All kernels over the same times: injections into one light curve need them a hundred times."""
    return tuple(_window(np.frombuffer(times), kernel) for kernel in kernels)


def match(mjd: Floats, residual: Floats, error: Floats, is_usable: Booleans, kernels: Sequence[Kernel]) -> Match:
    """The best-fitting kernel centred at each epoch; NaN where an epoch is not usable. Times must be sorted.

    O(epochs within a kernel's reach), 20 us a kernel for a light curve of some hundred epochs whose times were seen
    before, some ten times that the first time.
    """
    n = len(mjd)
    best = np.full(n, np.nan)
    which = np.full(n, -1, np.int64)
    amplitude = np.full(n, np.nan)
    known = np.isfinite(residual) & (error > 1.0 / _ABSURD) & (error < _ABSURD) & np.isfinite(mjd)
    rows = np.flatnonzero(is_usable & known)
    if not len(rows) or not kernels:
        return Match(best, which, amplitude)
    times, weight = np.ascontiguousarray(mjd[rows], np.float64), 1.0 / error[rows] ** 2
    weighted = residual[rows] * weight
    few = len(rows) * len(kernels) <= _KEPT
    windows = _windows(times.tobytes(), tuple(kernels)) if few else (_window(times, one) for one in kernels)
    top, top_kernel, top_amplitude = (
        np.zeros(len(rows)), np.full(len(rows), -1, np.int64), np.zeros(len(rows))
    )  # fmt: skip
    for number, window in enumerate(windows):
        product, power = window.score_parts(weighted, weight)
        score = product / np.sqrt(power)
        better = np.abs(score) > np.abs(top)
        top[better], top_kernel[better] = score[better], number
        top_amplitude[better] = product[better] / power[better]
    best[rows], which[rows], amplitude[rows] = top, top_kernel, top_amplitude
    return Match(best, which, amplitude)
