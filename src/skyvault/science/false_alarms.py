"""How high a peak noise alone would make in a periodogram: false-alarm probabilities and levels.

One harmonic: Baluev 2008, MNRAS 385, 1279, equations 5 and 6. Several: Baluev 2009, MNRAS 395, 1541, for the statistic
z = -n/2 ln(1 - power) of Baluev 2008. Both are upper bounds, close where the probability is small; noise is taken to be
white. Aliasing makes them somewhat too high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats


@dataclass(frozen=True, slots=True)
class Sampling:
    """Number of measurements and of offsets and harmonics fitted; range of frequencies; weighted variance of times."""

    measurements: int
    offsets: int
    terms: int
    bandwidth: float
    time_variance: float

    @property
    def degrees_left(self) -> int:
        """Degrees of freedom after the fit."""
        return self.measurements - self.offsets - 2 * self.terms

    @property
    def independent(self) -> float:
        """W: about the number of independent frequencies."""
        return self.bandwidth * math.sqrt(4.0 * math.pi * self.time_variance)


def false_alarm_probability(power: ArrayLike, sampling: Sampling) -> Floats:
    """Probability (0 to 1) that noise alone exceeds ``power`` (0 to 1) anywhere."""
    z = np.clip(np.asarray(power, np.float64), 0.0, 1.0 - 1e-16)
    left = sampling.degrees_left
    if sampling.terms == 1:
        before = left + 2
        single = (1.0 - z) ** (0.5 * left)
        gamma = math.sqrt(2.0 / before) * math.exp(math.lgamma(0.5 * before) - math.lgamma(0.5 * (before - 1)))
        peaks = gamma * sampling.independent * (1.0 - z) ** (0.5 * (left - 1)) * np.sqrt(0.5 * before * z)
    else:
        height = -0.5 * left * np.log1p(-z)
        steps = [height**k / math.factorial(k) for k in range(sampling.terms)]
        single = np.exp(-height) * np.sum(steps, axis=0)
        peaks = (
            _harmonics_factor(sampling.terms)
            * sampling.independent
            * np.exp(-height)
            * height ** (sampling.terms - 0.5)
        )
    return np.asarray(np.clip(single - (1.0 - single) * np.expm1(-peaks), 0.0, 1.0), np.float64)


def _harmonics_factor(terms: int) -> float:
    """alpha_n of Baluev 2009: 1 for one harmonic."""
    double = math.prod(range(1, 2 * terms, 2))
    return (2.0**terms / double) * math.fsum(
        (-1) ** (terms - k) * k ** (2 * terms + 1) / (math.factorial(terms + k) * math.factorial(terms - k))
        for k in range(1, terms + 1)
    )


def false_alarm_level(probability: float, sampling: Sampling) -> float:
    """The power that noise alone exceeds anywhere with this probability."""
    _check(probability)
    low, high = 0.0, 1.0
    # the probability falls with the power beyond its first rise: halve the interval from the upper end
    for _ in range(60):
        middle = 0.5 * (low + high)
        if float(false_alarm_probability(middle, sampling)) > probability:
            low = middle
        else:
            high = middle
    return high


def level_of_maxima(maxima: Floats, probability: float) -> float:
    """The level that highest peaks ``maxima`` of noise exceed with this probability.

    Read off the sorted maxima where there are at least ten beyond it, else from a Gumbel law with their mean and
    variance, which is what highest values of many follow.
    """
    _check(probability)
    count = len(maxima)
    if count * probability >= 10.0:
        return float(np.quantile(maxima, 1.0 - probability))
    if count < 10:
        raise ParameterError(f"{count} bootstrap rounds cannot tell a level, at least 10 are needed")
    scale = float(np.std(maxima, ddof=1)) * math.sqrt(6.0) / math.pi
    place = float(np.mean(maxima)) - 0.5772156649015329 * scale
    return min(place - scale * math.log(-math.log1p(-probability)), 1.0)


def _check(probability: float) -> None:
    if not 0.0 < probability < 1.0:
        raise ParameterError(f"a false-alarm probability lies between 0 and 1, but is {probability!r}")
