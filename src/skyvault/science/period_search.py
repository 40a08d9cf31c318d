"""Does a star vary with a period, and with which one: smooth and sharp shapes tried, one answer with its odds.

A sine finds pulsators and ellipsoidal stars best, a sum of several harmonics what rises steeply or is eclipsed. Each is
judged by the probability that noise alone has a peak so high anywhere among the trials; the more telling one is taken,
at the price of having looked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.aliases import Alias, aliases
from skyvault.science.periods import Peak, Periodogram, frequency_grid, lomb_scargle
from skyvault.science.samples import Floats, float_array

#: harmonics that are tried
USUAL_TERMS: Final = (1, 5)
#: measurements for each unknown of a fit: with fewer, harmonics fit noise
_LEAST_PER_UNKNOWN: Final = 4
_MAD: Final = 1.482602218505602


@dataclass(frozen=True)
class PeriodSearch:
    """What a search has found: the best peak, with so many harmonics, and how likely noise alone shows one like it.

    ``false_alarm_probability`` counts all shapes tried, for noise that is white and of the size the scatter says.
    """

    peak: Peak
    terms: int
    false_alarm_probability: float
    periodogram: Periodogram = field(repr=False)

    @property
    def period(self) -> float:
        """Of the best peak, in the unit of the times."""
        return self.peak.period

    def is_periodic(self, probability: float = 1e-3) -> bool:
        """Whether noise alone would show a peak like this less often than ``probability``."""
        return self.false_alarm_probability < probability

    def aliases(self, orders: int = 1) -> tuple[Alias, ...]:
        """Other periods (times in days) that nightly and yearly sampling makes look alike."""
        return aliases(self.peak.frequency, orders=orders)


def search_period(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    band: Any = None,
    *,
    minimum_period: float,
    maximum_period: float | None = None,
    terms: Sequence[int] = USUAL_TERMS,
    clip_sigma: float | None = None,
    samples_per_peak: float = 5.0,
) -> PeriodSearch:
    """Searches ``value`` +- ``error`` at ``time`` for a period between the limits (``maximum``: half the baseline).

    Shapes with more harmonics than the measurements bear are left out. ``clip_sigma`` leaves out, band by band, what
    lies farther from the median than so many times the scatter (from the median deviation): for lone wrong
    measurements, not for stars that erupt. With five harmonics the peak may be at a third of the frequency or so of a
    smooth variable; ``periodogram.fundamental`` looks for that. Raises ParameterError for too few measurements.
    """
    times, values = float_array(time, "times"), float_array(value, "values")
    if not minimum_period > 0.0:
        raise ParameterError(f"the shortest period is {minimum_period!r}, but it must be positive")
    good = np.isfinite(times) & np.isfinite(values)
    if clip_sigma is not None:
        good &= ~_far_off(values, good, band, clip_sigma)
    if good.sum() < 8:
        raise ParameterError(
            f"{int(good.sum())} measurements are too few to search for a period", hint="Give 8 or more."
        )
    kept_band = None if band is None else np.asarray(band)[good]
    kept_error = None if error is None else float_array(error, "errors")[good]
    baseline = float(np.ptp(times[good]))
    longest = baseline / 2.0 if maximum_period is None else float(maximum_period)
    grid = frequency_grid(
        times[good], minimum=1.0 / longest, maximum=1.0 / minimum_period, samples_per_peak=samples_per_peak
    )
    bands = 1 if kept_band is None else len(np.unique(kept_band))
    usable = [count for count in terms if good.sum() >= _LEAST_PER_UNKNOWN * (2 * count + bands)] or [min(terms)]
    found: PeriodSearch | None = None
    for count in usable:
        spectrum = lomb_scargle(times[good], values[good], kept_error, kept_band, grid=grid, terms=count)
        peak = spectrum.best
        chance = float(spectrum.false_alarm_probability([peak.power])[0]) * len(usable)
        if found is None or (chance, -peak.power) < (found.false_alarm_probability, -found.peak.power):
            found = PeriodSearch(peak, count, min(chance, 1.0), spectrum)
    assert found is not None
    return found


def _far_off(values: Floats, good: Any, band: Any, sigma: float) -> Any:
    bands = np.zeros(len(values), np.int64) if band is None else np.unique(np.asarray(band), return_inverse=True)[1]
    far = np.zeros(len(values), np.bool_)
    for one in np.unique(bands[good]):
        rows = good & (bands == one)
        apart = np.abs(values - np.median(values[rows]))
        far |= rows & (apart > sigma * _MAD * np.median(apart[rows]))
    return far
