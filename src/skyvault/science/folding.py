"""Phase folding: where in its cycle a periodic star was at each measurement, and the mean curve of a cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats, Indices, float_array


@dataclass(frozen=True, slots=True)
class LightElements:
    """A linear or quadratic rule of times: minimum of cycle n at epoch + n * period + n^2 * period * drift / 2.

    ``epoch`` and ``period`` are in one unit and on one time scale (MJD TDB at the barycentre for light curves of this
    toolkit); ``drift`` is dP/dt, without unit.
    """

    period: float
    epoch: float = 0.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("period", "epoch", "drift"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (math.isfinite(self.period) and self.period > 0.0):
            raise ParameterError(f"a period is {self.period!r}, but it must be a positive number")
        if not (math.isfinite(self.epoch) and math.isfinite(self.drift)):
            raise ParameterError("the epoch and the drift of a period must be finite numbers")

    def cycles(self, time: ArrayLike) -> Floats:
        """Cycles since the epoch, with their fractions; NaN stays NaN."""
        linear = (np.asarray(time, np.float64) - self.epoch) / self.period
        if self.drift == 0.0:
            return np.asarray(linear)
        # n + n^2 drift / 2 = linear, the root that goes over into n = linear
        with np.errstate(invalid="ignore"):
            return np.asarray(2.0 * linear / (1.0 + np.sqrt(1.0 + 2.0 * self.drift * linear)))

    def times(self, cycle: ArrayLike) -> Floats:
        """The time of each cycle."""
        n = np.asarray(cycle, np.float64)
        return np.asarray(self.epoch + self.period * n * (1.0 + 0.5 * self.drift * n))


@dataclass(frozen=True)
class Folded:
    """Phase (-0.5 to below 0.5; or 0 to below 1) and cycle number of each measurement, in the sequence given."""

    phase: Floats
    cycle: Indices
    elements: LightElements


def fold(
    time: ArrayLike, period: float | LightElements, epoch: float = 0.0, *, is_phase_centred: bool = True
) -> Folded:
    """Fold times at a period; masked and NaN times have phase NaN and cycle 0.

    Phase 0 falls on ``epoch``; ``is_phase_centred=False`` counts phases from 0 to 1 instead of -0.5 to 0.5.
    """
    elements = period if isinstance(period, LightElements) else LightElements(float(period), epoch)
    cycles = elements.cycles(float_array(time, "times"))
    whole = np.floor(cycles + 0.5) if is_phase_centred else np.floor(cycles)
    phase = cycles - whole
    # a hair before a new cycle the difference rounds up to the end, which belongs to the next one
    lowest = -0.5 if is_phase_centred else 0.0
    is_over = phase >= lowest + 1.0
    whole, phase = whole + is_over, np.where(is_over, lowest, phase)
    known = np.isfinite(cycles)
    return Folded(np.where(known, phase, np.nan), np.where(known, whole, 0.0).astype(np.int64), elements)


def phase_dispersion(phase: ArrayLike, value: ArrayLike, bins: int = 20) -> float:
    """Scatter around the means of phase bins over the whole scatter (Stellingwerf 1978): 0 a perfect period, 1 none."""
    phases, values = float_array(phase, "phases"), float_array(value, "values")
    good = np.isfinite(phases) & np.isfinite(values)
    if bins < 2 or good.sum() <= bins:
        raise ParameterError(f"{int(good.sum())} measurements cannot be told apart in {bins} bins of phase")
    place = np.floor(np.mod(phases[good], 1.0) * bins).astype(np.int64)
    kept = values[good]
    count = np.bincount(place, minlength=bins)
    mean = np.bincount(place, kept, minlength=bins) / np.maximum(count, 1)
    within = float(np.sum((kept - mean[place]) ** 2)) / (len(kept) - int((count > 0).sum()))
    whole = float(np.var(kept, ddof=1))
    return within / whole if whole > 0.0 else 1.0
