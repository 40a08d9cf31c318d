"""Periods of variable stars: the Lomb-Scargle periodogram over several bands and harmonics, for 10^6 trials.

At each frequency a sum of ``terms`` harmonics with a free offset in every band is fitted by weighted least squares; the
power is the fraction of chi^2 it takes away, 0 to 1 (Zechmeister & Kuerster 2009, A&A 496, 577; several bands:
VanderPlas & Ivezic 2015, ApJ 812, 18). The sums come from one FFT each, the offsets are eliminated band by band.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.false_alarms import Sampling, false_alarm_level, false_alarm_probability, level_of_maxima
from skyvault.science.harmonic_fit import centred, explained_fraction
from skyvault.science.samples import Floats, Samples, usable_samples
from skyvault.science.trigonometric_sums import FrequencyGrid, sums_on_grid

#: harmonics one fit may have
MAX_TERMS: Final = 10
#: peaks followed to their summits beyond those asked for
_SPARE_PEAKS: Final = 8


@dataclass(frozen=True, slots=True)
class Peak:
    """A maximum of a periodogram; errors (1 sigma) from its curvature, scaled by the scatter the fit leaves."""

    frequency: float
    power: float
    frequency_error: float

    @property
    def period(self) -> float:
        """1 / frequency, in the unit of the times."""
        return 1.0 / self.frequency

    @property
    def period_error(self) -> float:
        """Its 1-sigma error. It knows nothing of aliases."""
        return self.frequency_error / self.frequency**2


@dataclass(frozen=True)
class Periodogram:
    """Power (0 to 1) at each frequency of ``grid`` (cycles per unit of time), and what is needed to judge it."""

    grid: FrequencyGrid
    power: Floats
    terms: int
    amplitudes: Literal["shared", "own"]
    is_mean_floating: bool
    samples: Samples = field(repr=False)

    @property
    def frequency(self) -> Floats:
        """The frequencies, shape (n,)."""
        return self.grid.values

    def power_at(self, frequencies: ArrayLike) -> Floats:
        """The power at any frequencies, exactly; slow beyond some thousand."""
        wanted = np.atleast_1d(np.asarray(frequencies, np.float64))
        return explained_fraction(self.samples, self.terms, self.amplitudes, self.is_mean_floating, frequencies=wanted)

    @cached_property
    def best(self) -> Peak:
        """The highest peak."""
        return self.peaks(1)[0]

    @cached_property
    def fundamental(self) -> Peak:
        """The best peak, or twice or three times its frequency where that leaves at most 15 % more scatter.

        Several harmonics at half the frequency fit all that fewer do at the right one. Not for eclipsing binaries,
        whose two eclipses may be alike.
        """
        best = self.best
        for factor in (3, 2):
            frequency = factor * best.frequency
            if self.terms >= 2 and frequency <= self.grid.last:
                around = frequency + np.linspace(-1.0, 1.0, 41) * self.grid.step
                power = self.power_at(around)
                if 1.0 - power.max() <= 1.15 * (1.0 - best.power):
                    return self._summit_near(float(around[np.argmax(power)]), 0.05 * self.grid.step)
        return best

    def peaks(self, count: int = 10) -> tuple[Peak, ...]:
        """The highest ``count`` local maxima, at least a resolution (1 / baseline) apart, highest first.

        Each is followed to its summit by exact sums, far below the step of the grid; some more are, since between two
        frequencies of the grid a summit may be higher than another that the grid hits.
        """
        power = self.power
        is_peak = np.ones(len(power), np.bool_)
        is_peak[1:] &= power[1:] >= power[:-1]
        is_peak[:-1] &= power[:-1] > power[1:]
        candidates = np.flatnonzero(is_peak)
        candidates = candidates[np.argsort(-power[candidates], kind="stable")]
        apart = 1.0 / (self.samples.baseline * self.grid.step) if self.samples.baseline else 1.0
        chosen: list[int] = []
        for index in candidates.tolist():
            if len(chosen) >= count + _SPARE_PEAKS:
                break
            if all(abs(index - other) > apart for other in chosen):
                chosen.append(index)
        summits = sorted((self._summit(index) for index in chosen), key=lambda peak: -peak.power)
        return tuple(summits[:count])

    def _summit(self, index: int) -> Peak:
        return self._summit_near(float(self.grid.at(index)), self.grid.step)

    def _summit_near(self, centre: float, reach: float) -> Peak:
        for _ in range(3):
            trial = centre + reach * np.linspace(-1.0, 1.0, 21)
            trial = trial[trial > 0.0] if centre > 0.0 else trial
            centre = float(trial[np.argmax(self.power_at(trial))])
            reach /= 10.0
        height, error = self._curvature(centre)
        return Peak(centre, height, error)

    def _curvature(self, frequency: float) -> tuple[float, float]:
        step = 0.05 / max(self.samples.baseline, 1e-300)
        low, mid, high = self.power_at([frequency - step, frequency, frequency + step]).tolist()
        bend = (2.0 * mid - low - high) / step**2
        # chi^2 in units of what the fit leaves for each degree of freedom: chi^2_0 (1 - p) = dof
        dof = max(self.sampling.degrees_left, 1)
        bend_chi = bend * dof / max(1.0 - mid, 1e-12)
        return mid, float(np.sqrt(2.0 / bend_chi)) if bend_chi > 0.0 else float("inf")

    @cached_property
    def sampling(self) -> Sampling:
        """What the times and the model say about chance peaks."""
        weights = self.samples.weights
        mean = np.average(self.samples.time, weights=weights)
        spread = float(np.average((self.samples.time - mean) ** 2, weights=weights))
        return Sampling(
            measurements=len(self.samples),
            offsets=len(self.samples.bands) if self.is_mean_floating else 1,
            terms=self.terms,
            bandwidth=self.grid.last - self.grid.start + self.grid.step,
            time_variance=spread,
        )

    def false_alarm_probability(self, power: ArrayLike) -> Floats:
        """How likely noise alone has a peak this high anywhere in the grid (Baluev 2008, 2009), white noise assumed.

        Raises ParameterError where bands have amplitudes of their own: use :meth:`bootstrap_level`.
        """
        self._need_shared()
        return false_alarm_probability(power, self.sampling)

    def false_alarm_level(self, probability: float) -> float:
        """The power that noise alone reaches anywhere in the grid with this ``probability``."""
        self._need_shared()
        return false_alarm_level(probability, self.sampling)

    def _need_shared(self) -> None:
        if self.amplitudes == "own" and len(self.samples.bands) > 1:
            raise ParameterError(
                "there is no formula for false alarms where each band has an amplitude of its own",
                hint="Use bootstrap_level, which shuffles the measurements.",
            )

    def bootstrap_maxima(self, rounds: int = 100, *, seed: int = 0) -> Floats:
        """The highest power of ``rounds`` periodograms with the measurements shuffled among the times of their band.

        Each round costs as much as the periodogram.
        """
        if not 1 <= rounds <= 100_000:
            raise ParameterError(f"{rounds} bootstrap rounds are asked for, but 1 to 100,000 can be made")
        random = np.random.default_rng(seed)
        groups = [np.flatnonzero(self.samples.band == band) for band in range(len(self.samples.bands))]
        maxima = np.empty(rounds)
        for number in range(rounds):
            order = np.arange(len(self.samples))
            for group in groups:
                order[group] = random.permutation(group)
            shuffled = Samples(
                self.samples.time,
                self.samples.value[order],
                None if self.samples.error is None else self.samples.error[order],
                self.samples.band,
                self.samples.bands,
                self.samples.row,
            )
            maxima[number] = explained_fraction(
                shuffled, self.terms, self.amplitudes, self.is_mean_floating, grid=self.grid
            ).max()
        return maxima

    def bootstrap_level(self, probability: float, rounds: int = 100, *, seed: int = 0) -> float:
        """The false-alarm level from shuffled measurements; beyond 1 / rounds a Gumbel law is fitted to the maxima."""
        return level_of_maxima(self.bootstrap_maxima(rounds, seed=seed), probability)


def frequency_grid(
    time: ArrayLike, *, minimum: float = 0.0, maximum: float | None = None, samples_per_peak: float = 5.0
) -> FrequencyGrid:
    """Frequencies fine enough for the baseline of ``time``: steps of 1 / (samples_per_peak * baseline).

    Without ``maximum`` five times the average Nyquist frequency, as evenly spread measurements would have it. The
    lowest is at least half a step, since a constant is no period.
    """
    times = np.asarray(time, np.float64)
    times = times[np.isfinite(times)]
    baseline = float(np.ptp(times)) if len(times) > 1 else 0.0
    if baseline <= 0.0:
        raise ParameterError("a grid of frequencies needs measurements at two different times at least")
    if not samples_per_peak > 0.0:
        raise ParameterError(f"samples_per_peak is {samples_per_peak!r}, but it must be positive")
    step = 1.0 / (samples_per_peak * baseline)
    last = 2.5 * len(times) / baseline if maximum is None else maximum
    first = max(minimum, 0.5 * step)
    if not last > first:
        raise ParameterError(f"the highest frequency {last!r} must be above the lowest {first!r}")
    return FrequencyGrid(first, step, 1 + round((last - first) / step))


def lomb_scargle(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    band: ArrayLike | None = None,
    *,
    grid: FrequencyGrid | None = None,
    minimum_frequency: float = 0.0,
    maximum_frequency: float | None = None,
    samples_per_peak: float = 5.0,
    terms: int = 1,
    is_mean_floating: bool = True,
    amplitudes: Literal["shared", "own"] = "shared",
    band_scales: Mapping[Any, float] | Literal["measured"] | None = None,
) -> Periodogram:
    """The Lomb-Scargle periodogram of ``value`` +- ``error`` at ``time``, each in a ``band`` (or all in one).

    Times in days give frequencies in cycles per day. Magnitudes or fluxes alike; NaN and masked measurements, and
    errors that are not positive, are left out. Each band has its own offset; ``amplitudes="shared"`` fits one curve to
    all bands, after division by ``band_scales`` where given ("measured": each band's scatter, good where the star
    varies more than the noise), ``"own"`` one curve a band. ``is_mean_floating=False`` takes weighted means instead.

    Cost: 0.2 s for 7,000 measurements and 10^6 frequencies, one more FFT for each further band and harmonic.
    Raises ParameterError for fewer usable measurements than the fit has unknowns.
    """
    if not 1 <= terms <= MAX_TERMS:
        raise ParameterError(f"{terms} harmonics are asked for, but 1 to {MAX_TERMS} can be fitted")
    if amplitudes not in ("shared", "own"):
        raise ParameterError(f"amplitudes are 'shared' or 'own', not {amplitudes!r}")
    samples = usable_samples(time, value, error, band, at_least=3)
    unknowns = 2 * terms * (len(samples.bands) if amplitudes == "own" else 1) + len(samples.bands)
    if len(samples) <= unknowns:
        raise ParameterError(
            f"{len(samples)} usable measurements cannot tell {unknowns} unknowns",
            hint="Ask for fewer harmonics, or leave out bands with few measurements.",
        )
    samples = centred(_scaled(samples, band_scales))
    if grid is None:
        grid = frequency_grid(
            samples.time, minimum=minimum_frequency, maximum=maximum_frequency, samples_per_peak=samples_per_peak
        )
    power = explained_fraction(samples, terms, amplitudes, is_mean_floating, grid=grid)
    return Periodogram(grid, power, terms, amplitudes, is_mean_floating, samples)


def spectral_window(time: ArrayLike, grid: FrequencyGrid, error: ArrayLike | None = None) -> Floats:
    """What the times alone would show: power 0 to 1 of a constant star, whose peaks are the spacings of aliases."""
    samples = usable_samples(time, np.zeros(np.shape(time)), error, at_least=1)
    weights = samples.weights / samples.weights.sum()
    middle = 0.5 * (samples.time[0] + samples.time[-1])
    return np.asarray(np.abs(sums_on_grid(samples.time - middle, weights, grid)) ** 2, np.float64)


def _scaled(samples: Samples, scales: Mapping[Any, float] | Literal["measured"] | None) -> Samples:
    if scales is None:
        return samples
    if isinstance(scales, Mapping):
        missing = [band for band in samples.bands if band not in scales]
        if missing:
            raise ParameterError(f"band_scales has no scale for band {missing[0]!r}")
        factors = np.array([float(scales[band]) for band in samples.bands])
    else:
        of_band = [samples.value[samples.band == band] for band in _bands(samples)]
        spread = [np.subtract(*np.percentile(values, [84.0, 16.0])) / 2 for values in of_band]
        factors = np.array([s if s > 0.0 else 1.0 for s in spread])
    if not (np.isfinite(factors) & (factors > 0.0)).all():
        raise ParameterError("the scales of bands must be positive numbers")
    scale = factors[samples.band]
    error = scale**-1.0 if samples.error is None else samples.error / scale
    return Samples(samples.time, samples.value / scale, error, samples.band, samples.bands, samples.row)


def _bands(samples: Samples) -> range:
    return range(len(samples.bands))
