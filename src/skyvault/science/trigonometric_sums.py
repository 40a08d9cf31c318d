"""Sums of c_j exp(2 pi i f t_j) over unevenly spaced times, for many evenly spaced frequencies at once.

The values are spread by a Kaiser-Bessel window on a regular grid, which one FFT turns into the sums (a non-uniform FFT
of type 1; Greengard & Lee 2004, SIAM Review 46, 443; window after Beatty et al. 2005, IEEE TMI 24, 799). A million
frequencies cost one FFT of 1.5 million numbers, whatever the number of measurements; relative error below 1e-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats, Indices

Complexes = NDArray[np.complex128]

#: grid points a value is spread over, and how much finer the grid is than the frequencies need
_WIDTH: Final = 14
_OVERSAMPLING: Final = 1.5
_BETA: Final = float(np.pi * np.sqrt((_WIDTH / _OVERSAMPLING * (_OVERSAMPLING - 0.5)) ** 2 - 0.8))
#: times spread together; bounds the memory of the spreading
_PORTION: Final = 200_000
#: frequencies of one periodogram: 16 bytes each and sum
MAX_FREQUENCIES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class FrequencyGrid:
    """``count`` frequencies ``start + k * step``, in cycles per unit of time (per day for MJD)."""

    start: float
    step: float
    count: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and self.start >= 0.0):
            raise ParameterError(f"the lowest frequency is {self.start!r}, but it must be 0 or more")
        if not (np.isfinite(self.step) and self.step > 0.0):
            raise ParameterError(f"the step of frequency is {self.step!r}, but it must be positive")
        if not 1 <= self.count <= MAX_FREQUENCIES:
            raise ParameterError(
                f"{self.count:,} frequencies are asked for, but 1 to {MAX_FREQUENCIES:,} can be searched at once",
                hint="Search a narrower range, or with fewer samples a peak.",
            )

    @property
    def last(self) -> float:
        """The highest frequency."""
        return self.start + self.step * (self.count - 1)

    @property
    def values(self) -> Floats:
        """All frequencies."""
        return np.asarray(self.start + self.step * np.arange(self.count), np.float64)

    def at(self, index: Indices | int) -> Floats:
        """The frequencies of these indices."""
        return np.asarray(self.start + self.step * np.asarray(index))


def sums_on_grid(time: Floats, strength: Floats, grid: FrequencyGrid, harmonic: int = 1) -> Complexes:
    """Sum over j of strength_j exp(2 pi i h f t_j) for every frequency f of the grid, h the ``harmonic``.

    Few frequencies are summed one by one; times should be counted from about their middle, to keep the phases exact.
    """
    from scipy.fft import ifft

    if len(time) * grid.count < 20_000 or grid.count < 4 * _WIDTH:
        return sums_at(time, strength, harmonic * grid.values)
    middle = grid.count // 2
    size, correction = _window(grid.count)
    # f = middle frequency + k step: the middle turns the strengths, the steps make the transform
    turned = strength * np.exp(2j * np.pi * np.mod(harmonic * (grid.start + middle * grid.step) * time, 1.0))
    place = np.mod(harmonic * grid.step * time, 1.0) * size
    spread_over = np.zeros(size, np.complex128)
    offsets = np.arange(_WIDTH)
    for begin in range(0, len(time), _PORTION):
        part = slice(begin, begin + _PORTION)
        first = np.ceil(place[part] - _WIDTH / 2.0).astype(np.int64)
        nodes = first[:, None] + offsets
        window = _kaiser_bessel(nodes - place[part][:, None])
        cells = np.mod(nodes, size).reshape(-1)
        values = (turned[part][:, None] * window).reshape(-1)
        spread_over.real += np.bincount(cells, weights=values.real, minlength=size)
        spread_over.imag += np.bincount(cells, weights=values.imag, minlength=size)
    spectrum = ifft(spread_over, norm="forward", overwrite_x=True)
    result = np.empty(grid.count, np.complex128)
    np.multiply(spectrum[size - middle :], correction[:middle], out=result[:middle])
    np.multiply(spectrum[: grid.count - middle], correction[middle:], out=result[middle:])
    return result


def sums_at(time: Floats, strength: Floats, frequencies: Floats) -> Complexes:
    """The same sums at any frequencies, one by one: exact, and slow beyond some thousand frequencies."""
    result = np.empty(len(frequencies), np.complex128)
    rows = max(1, 2_000_000 // max(len(time), 1))
    for begin in range(0, len(frequencies), rows):
        phase = np.mod(frequencies[begin : begin + rows, None] * time, 1.0) * (2.0 * np.pi)
        result.real[begin : begin + rows] = np.cos(phase) @ strength
        result.imag[begin : begin + rows] = np.sin(phase) @ strength
    return result


def _kaiser_bessel(distance: Floats) -> Floats:
    from scipy.special import i0

    inside = np.maximum(1.0 - (distance * (2.0 / _WIDTH)) ** 2, 0.0)
    return np.asarray(i0(_BETA * np.sqrt(inside)), np.float64)


@lru_cache(maxsize=2)
def _window(count: int) -> tuple[int, Floats]:
    """Size of the FFT, and what undoes the window at each of ``count`` frequencies around its middle."""
    from scipy.fft import next_fast_len

    size = int(next_fast_len(int(np.ceil(count * _OVERSAMPLING)) + 2 * _WIDTH))
    k = np.arange(-(count // 2), count - count // 2) * (np.pi * _WIDTH / size)
    root = np.sqrt(_BETA**2 - k**2)
    correction = np.asarray(root / (_WIDTH * np.sinh(root)), np.float64)
    correction.setflags(write=False)
    return size, correction
