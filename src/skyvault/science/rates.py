"""How often something happens, from how many events were found: intervals and upper limits of Poisson counts.

Without a background: the exact interval of Garwood 1936, as tabulated by Gehrels 1986 (ApJ 303, 336). With a known
background: the unified interval of Feldman & Cousins 1998 (Phys. Rev. D 57, 3873), which is never empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats

#: the probability inside one sigma of a normal distribution
ONE_SIGMA: Final = 0.6826894921370859
#: counts for which the construction of Feldman and Cousins is made; beyond, a normal distribution is as good
_MOST_COUNTED: Final = 200


@dataclass(frozen=True, slots=True)
class Interval:
    """Between ``low`` and ``high`` lies the true mean with the probability asked for."""

    low: float
    high: float


def poisson_interval(count: int, probability: float = ONE_SIGMA) -> Interval:
    """The central interval of a Poisson mean of which ``count`` events were seen: each tail has half of the rest."""
    from scipy.special import chdtri

    _check(count, 0.0, probability)
    tail = (1.0 - probability) / 2.0
    low = 0.0 if count == 0 else float(chdtri(2 * count, 1.0 - tail)) / 2.0
    return Interval(low, float(chdtri(2 * count + 2, tail)) / 2.0)


def poisson_upper_limit(count: int, probability: float = 0.95) -> float:
    """The mean above which ``count`` events or fewer have at most the chance 1 - ``probability``: 3.00 for none."""
    from scipy.special import chdtri

    _check(count, 0.0, probability)
    return float(chdtri(2 * count + 2, 1.0 - probability)) / 2.0


def feldman_cousins(count: int, background: float, probability: float = 0.90) -> Interval:
    """The interval of the mean of a signal, of which and a known mean ``background`` together ``count`` were seen.

    An upper limit where the lower end is 0. As the published tables to 0.01, but for no counts over a background, where
    the authors smoothed by hand (0.95 here for a background of 3 and 90%, 1.08 there). Beyond 200 counts and
    background: the exact interval less the background.
    """
    _check(count, background, probability)
    if count + background > _MOST_COUNTED:
        plain = poisson_interval(count, probability)
        return Interval(max(plain.low - background, 0.0), max(plain.high - background, 0.0))
    from scipy.special import gammaln

    step = 0.005
    top = max(4.0 * math.sqrt(count + 4.0) + count - background + 8.0, 8.0)
    most = int(top + background + 10.0 * math.sqrt(top + background + 10.0))
    n = np.arange(most + 1)
    log_factorial = gammaln(n + 1.0)
    best = np.maximum(n - background, 0.0) + background

    def logarithm(mean: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(n > 0, n * np.log(mean), 0.0)
        return np.asarray(power - mean - log_factorial, np.float64)

    at_best = logarithm(best)
    accepted = []
    signals = np.arange(0.0, top, step)
    for first in range(0, len(signals), 500):
        part = signals[first : first + 500, None]
        chance = logarithm(part + background)
        order = np.argsort(at_best - chance, axis=1, kind="stable")
        reached = np.cumsum(np.take_along_axis(np.exp(chance), order, axis=1), axis=1)
        place = np.argmax(order == count, axis=1)
        before = np.where(place > 0, reached[np.arange(len(part)), np.maximum(place - 1, 0)], 0.0)
        # a count is in the belt unless those that fit better are enough already
        accepted.append(before < probability)
    inside = signals[np.concatenate(accepted)]
    if not len(inside):
        return Interval(0.0, 0.0)
    return Interval(float(inside[0]), float(inside[-1]))


def _check(count: int, background: float, probability: float) -> None:
    if count < 0 or not background >= 0.0 or not math.isfinite(background):
        raise ParameterError(f"{count} events over a background of {background:g} cannot be")
    if not 0.0 < probability < 1.0:
        raise ParameterError(f"a probability lies between 0 and 1, and {probability:g} does not")


def false_detections(epochs: float, threshold: float, *, both_signs: bool = True) -> float:
    """How many of so many epochs exceed a threshold (in sigma) by Gaussian noise alone: 0.57 of a million at 5."""
    return float(epochs) * (1.0 if both_signs else 0.5) * math.erfc(threshold / math.sqrt(2.0))


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a unit of exposure, corrected for what a search misses. ``low`` and ``high`` hold one sigma,
    ``upper_limit`` has the confidence asked for; all inf where nothing could have been found."""

    found: int
    background: float
    exposure: float
    rate: float
    low: float
    high: float
    upper_limit: float
    confidence: float


def event_rate(
    found: int, exposure: float, efficiency: float = 1.0, *, background: float = 0.0, confidence: float = 0.95
) -> Rate:
    """The rate behind ``found`` detections in ``exposure`` (epochs, star-days ...), of which a fraction ``efficiency``
    would have shown an event; ``background`` detections are expected of noise. Limits are those of Feldman & Cousins
    with a background, else exact; the exposure and the efficiency are taken as known."""
    _check(found, background, confidence)
    if not exposure >= 0.0 or not 0.0 <= efficiency <= 1.0:
        raise ParameterError(f"an exposure of {exposure:g} with an efficiency of {efficiency:g} cannot be")
    effective = exposure * efficiency
    if not effective > 0.0:
        return Rate(found, background, 0.0, math.inf, 0.0, math.inf, math.inf, confidence)
    if background > 0.0:
        one, limit = feldman_cousins(found, background, ONE_SIGMA), feldman_cousins(found, background, confidence).high
    else:
        one, limit = poisson_interval(found), poisson_upper_limit(found, confidence)
    signal = max(found - background, 0.0)
    return Rate(
        found, background, effective, signal / effective, one.low / effective, one.high / effective, limit / effective,
        confidence,
    )  # fmt: skip
