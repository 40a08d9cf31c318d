"""How much of a light curve's scatter the harmonics of each frequency take away: least squares at many frequencies.

The normal equations come from trigonometric sums; the offsets of bands are eliminated from them, and a Cholesky
decomposition is done on thousands of frequencies together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.science.samples import Floats, Indices, Samples
from skyvault.science.trigonometric_sums import Complexes, FrequencyGrid, sums_at, sums_on_grid

#: frequencies worked on together: their matrices stay in the processor's cache
_CHUNK: Final = 8192
#: frequencies whose sums are held at once: bounds the memory to some 16 MB for each sum
_PORTION: Final = 1 << 20
#: a pivot this small against the weights: the term cannot be told from those before it (happens where the measurements
#: cover a part of one cycle); well above the 1e-10 to which the sums are known
_SINGULAR: Final = 1e-5


def centred(samples: Samples) -> Samples:
    """Minus the weighted mean of each band: then the sums of w y with the offsets vanish."""
    weights = samples.weights
    total = np.bincount(samples.band, weights)
    mean = np.bincount(samples.band, weights * samples.value) / total
    return Samples(
        samples.time, samples.value - mean[samples.band], samples.error, samples.band, samples.bands, samples.row
    )


def explained_fraction(
    samples: Samples,
    terms: int,
    amplitudes: str,
    is_mean_floating: bool,
    *,
    grid: FrequencyGrid | None = None,
    frequencies: Floats | None = None,
) -> Floats:
    """The power, 0 to 1, at the frequencies of a grid (by FFT) or at any (one by one; bands already centred)."""
    samples = centred(samples) if grid is not None else samples
    weights = samples.weights
    weights = weights / weights.mean()
    total = float(weights @ samples.value**2)
    count = grid.count if grid is not None else len(frequencies if frequencies is not None else ())
    if total == 0.0:  # a constant has no period
        return np.zeros(count)
    if amplitudes == "own":
        groups = [np.flatnonzero(samples.band == band) for band in range(len(samples.bands))]
    else:
        groups = [np.arange(len(samples))]
    power = np.zeros(count)
    time = samples.time - 0.5 * (samples.time[0] + samples.time[-1])
    for rows in groups:
        fit = _Fit(time[rows], samples.value[rows], weights[rows], samples.band[rows], terms, is_mean_floating)
        for begin in range(0, count, _PORTION):
            end = min(begin + _PORTION, count)
            if grid is not None:
                part = FrequencyGrid(float(grid.at(begin)), grid.step, end - begin)
                power[begin:end] += fit.reduction(part)
            elif frequencies is not None:
                power[begin:end] += fit.reduction(frequencies[begin:end])
    return np.clip(power / total, 0.0, 1.0)


@dataclass(frozen=True)
class _Fit:
    """Least squares of harmonics with an offset a band: how much of the weighted sum of squares it takes away."""

    time: Floats
    value: Floats
    weight: Floats
    band: Indices
    terms: int
    is_mean_floating: bool

    def reduction(self, where: FrequencyGrid | Floats) -> Floats:
        def sums(rows: Any, strength: Floats, harmonic: int) -> Complexes:
            if isinstance(where, FrequencyGrid):
                return sums_on_grid(self.time[rows], strength[rows], where, harmonic)
            return sums_at(self.time[rows], strength[rows], harmonic * where)

        everything = slice(None)
        harmonics = range(1, self.terms + 1)
        signal = [sums(everything, self.weight * self.value, h) for h in harmonics]
        bands = np.unique(self.band).tolist() if self.is_mean_floating else []
        by_band = [[sums(self.band == band, self.weight, h) for h in harmonics] for band in bands]
        heaviness = [float(self.weight[self.band == band].sum()) for band in bands]
        # the sums over all bands are those of the only band, where there is one
        alone = by_band[0] if len(bands) == 1 else None
        plain = [
            alone[h - 1] if alone is not None and h <= self.terms else sums(everything, self.weight, h)
            for h in range(1, 2 * self.terms + 1)
        ]
        total = float(self.weight.sum())
        result = np.empty(len(signal[0]))
        for begin in range(0, len(result), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            result[part] = _reduction(
                [s[part] for s in signal],
                [s[part] for s in plain],
                [[s[part] for s in own] for own in by_band],
                heaviness,
                total,
            )
        return result


def _reduction(
    signal: list[Complexes],
    plain: list[Complexes],
    by_band: list[list[Complexes]],
    heaviness: list[float],
    total: float,
) -> Floats:
    """v' N^-1 v by a Cholesky decomposition done on all frequencies of a chunk at once."""
    terms = len(signal)
    size = 2 * terms
    right = [s.imag if odd else s.real for s in signal for odd in (False, True)]

    def entry(i: int, j: int) -> Floats:
        p, q = i // 2 + 1, j // 2 + 1  # harmonics; even: cosine, odd: sine; i >= j, so p >= q
        above = plain[p + q - 1]
        if i % 2 == j % 2:
            level = plain[p - q - 1].real if p > q else np.full(len(above), total)
            value = 0.5 * (level - above.real if i % 2 else level + above.real)
        else:
            slope = plain[p - q - 1].imag if p > q else 0.0
            value = 0.5 * (above.imag + slope if i % 2 else above.imag - slope)
        for own, weight in zip(by_band, heaviness, strict=True):
            first = own[p - 1].imag if i % 2 else own[p - 1].real
            second = own[q - 1].imag if j % 2 else own[q - 1].real
            value = value - first * second / weight
        return np.asarray(value, np.float64)

    lower: list[list[Floats]] = []
    solved: list[Floats] = []
    result = np.zeros(len(right[0]))
    for i in range(size):
        row: list[Floats] = []
        for j in range(i):
            value = entry(i, j)
            for k in range(j):
                value = value - row[k] * lower[j][k]
            row.append(value * lower[j][j])
        pivot = entry(i, i)
        known = right[i]
        for k in range(i):
            pivot = pivot - row[k] ** 2
            known = known - row[k] * solved[k]
        sound = pivot > _SINGULAR * total
        # the reciprocal of the diagonal is kept; 0 leaves the term out
        inverse = np.where(sound, 1.0 / np.sqrt(np.where(sound, pivot, 1.0)), 0.0)
        row.append(inverse)
        lower.append(row)
        solved.append(known * inverse)
        result += solved[-1] ** 2
    return result
