"""Transits and narrow eclipses: the box least-squares periodogram (Kovacs, Zucker & Mazeh 2002, A&A 391, 369).

At each period the light curve is folded into narrow bins; a box of each duration is laid at each bin, and the weighted
means inside and outside give the depth and its error. Many periods are folded together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats, Indices, Samples, usable_samples

#: measurements times periods worked on together: what stays in the processor's cache
_PORTION: Final = 100_000
#: periods one search may try
MAX_PERIODS: Final = 5_000_000
#: folded bins of one period
MAX_BINS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Box:
    """The best box at one period. ``epoch`` is the middle of an eclipse, near the first measurement.

    ``depth`` is in the unit of the values, positive where the star is fainter inside; ``snr`` is depth / depth_error.
    """

    period: float
    epoch: float
    duration: float
    depth: float
    depth_error: float

    @property
    def snr(self) -> float:
        """Depth over its error."""
        return self.depth / self.depth_error


@dataclass(frozen=True, slots=True)
class BoxCheck:
    """What speaks for or against an eclipse: see :meth:`BoxPeriodogram.check`.

    ``events`` eclipses have measurements inside; ``odd_even_sigma`` tells how differently deep odd and even ones are;
    ``half_depth`` is the depth half a period later (a secondary eclipse), with its error; ``noise`` is the scatter
    of means over one duration outside the eclipses, and ``pink_snr`` the depth over it (Pont et al. 2006).
    """

    events: int
    odd_even_sigma: float
    half_depth: float
    half_depth_error: float
    noise: float
    pink_snr: float


@dataclass(frozen=True)
class BoxPeriodogram:
    """For every trial period (shape (n,)): the best box's depth, error, duration, epoch and gain of log-likelihood."""

    period: Floats
    log_likelihood: Floats
    depth: Floats
    depth_error: Floats
    duration: Floats
    epoch: Floats
    boxes_tried: int
    are_magnitudes: bool
    samples: Samples = field(repr=False)

    @property
    def snr(self) -> Floats:
        """Depth over its error; 0 where no box was fainter inside."""
        return np.asarray(np.divide(self.depth, self.depth_error, out=np.zeros_like(self.depth), where=self.depth > 0))

    @property
    def best(self) -> Box:
        """The box of the highest log-likelihood."""
        return self.box(int(np.argmax(self.log_likelihood)))

    def box(self, index: int) -> Box:
        """The best box at trial period number ``index``."""
        columns = (self.period, self.epoch, self.duration, self.depth, self.depth_error)
        return Box(*(float(column[index]) for column in columns))

    def refined(self, box: Box | None = None) -> Box:
        """``box`` (the best one) searched again around its period with a grid and bins ten times finer."""
        box = self.best if box is None else box
        step = self.duration.min() / max(self.samples.baseline, 1e-300) ** 2
        around = 1.0 / box.period + step * np.linspace(-2.0, 2.0, 161)
        lengths = box.duration * np.linspace(0.6, 1.5, 19)
        trial = 1.0 / around[(around > 0.0) & (around * lengths.max() < 1.0)]
        if not len(trial):
            return box
        found = box_least_squares(
            self.samples.time,
            self.samples.value,
            self.samples.error,
            durations=lengths,
            periods=trial,
            bins_per_duration=min(40, int(MAX_BINS * lengths.min() / trial.max())) or 1,
            are_magnitudes=self.are_magnitudes,
            bin_time=0.0,
        )
        return found.best

    def false_alarm_probability(self, snr: ArrayLike) -> Floats:
        """How likely white noise has a box this deep (in errors) somewhere in the search: an upper bound.

        Every independent box has its chance: ``boxes_tried`` counts, for each independent period, how often the
        durations fit into it. Red noise makes more false alarms: look at :meth:`check` too.
        """
        from scipy.special import log_ndtr

        chance = np.exp(log_ndtr(-np.asarray(snr, np.float64)))
        return np.asarray(-np.expm1(self.boxes_tried * np.log1p(-np.minimum(chance, 1 - 1e-16))), np.float64)

    def false_alarm_level(self, probability: float) -> float:
        """The depth in errors that white noise exceeds somewhere with this probability."""
        from scipy.special import ndtri

        if not 0.0 < probability < 1.0:
            raise ParameterError(f"a false-alarm probability lies between 0 and 1, but is {probability!r}")
        return float(-ndtri(-math.expm1(math.log1p(-probability) / self.boxes_tried)))

    def check(self, box: Box) -> BoxCheck:
        """Look at a box again: its events one by one, odd against even, half a period later, against red noise."""
        return _check(self.samples, _fluxes(self.samples, self.are_magnitudes), box)


def box_period_grid(
    time: ArrayLike,
    durations: ArrayLike,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    fineness: float = 1.0,
) -> Floats:
    """Trial periods, evenly spaced in frequency, so that over the baseline an eclipse drifts by ``1 / fineness`` of the
    shortest duration at most.

    ``minimum`` is twice the longest duration and ``maximum`` half the baseline, unless given.
    """
    times = np.asarray(time, np.float64)
    times = times[np.isfinite(times)]
    baseline = float(np.ptp(times)) if len(times) > 1 else 0.0
    lengths = _checked_durations(durations)
    shortest = 2.0 * lengths.max() if minimum is None else minimum
    longest = 0.5 * baseline if maximum is None else maximum
    if not 0.0 < shortest < longest:
        raise ParameterError(
            f"periods from {shortest:.6g} to {longest:.6g} cannot be searched",
            hint=f"The measurements span {baseline:.6g}; the shortest period must be positive and below the longest.",
        )
    if not fineness > 0.0:
        raise ParameterError(f"fineness is {fineness!r}, but it must be positive")
    step = lengths.min() / (fineness * baseline**2)
    count = 2 + math.floor((1.0 / shortest - 1.0 / longest) / step)
    if count > MAX_PERIODS:
        raise ParameterError(
            f"{count:,} periods would be tried, more than {MAX_PERIODS:,}",
            hint="Raise the shortest period or the shortest duration.",
        )
    return np.asarray(1.0 / np.linspace(1.0 / longest, 1.0 / shortest, count)[::-1], np.float64)


def box_least_squares(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    durations: ArrayLike,
    periods: ArrayLike | None = None,
    bins_per_duration: int = 10,
    are_magnitudes: bool = False,
    bin_time: float | None = None,
) -> BoxPeriodogram:
    """The box least-squares periodogram of fluxes (or magnitudes, where fainter is larger) at ``time``.

    ``durations`` and ``periods`` are in the unit of the times (days); every duration must be shorter than the shortest
    period. Folded bins are as wide as the shortest duration / ``bins_per_duration``. Measurements nearer than
    ``bin_time`` are averaged first, which makes the search quicker: None is the width of a folded bin, 0 never.

    Cost: about 15 ns times averaged measurements times periods. Raises ParameterError for what cannot be searched.
    """
    lengths = _checked_durations(durations)
    samples = usable_samples(time, value, error, at_least=3)
    trial = (
        box_period_grid(samples.time, lengths) if periods is None else np.atleast_1d(np.asarray(periods, np.float64))
    )
    if trial.ndim != 1 or not len(trial) or not np.isfinite(trial).all() or trial.min() <= 0.0:
        raise ParameterError("the periods to try must be a row of positive numbers")
    if len(trial) > MAX_PERIODS:
        raise ParameterError(f"{len(trial):,} periods are more than the {MAX_PERIODS:,} tried at once")
    if lengths.max() >= trial.min():
        raise ParameterError(f"a duration of {lengths.max():.6g} does not fit into a period of {trial.min():.6g}")
    if not 1 <= bins_per_duration <= 1000:
        raise ParameterError(f"bins_per_duration is {bins_per_duration}, but goes from 1 to 1000")
    bin_width = lengths.min() / bins_per_duration
    if trial.max() / bin_width > MAX_BINS:
        raise ParameterError(
            f"a period of {trial.max():.6g} would be folded into {trial.max() / bin_width:,.0f} bins,"
            f" more than {MAX_BINS:,}",
            hint="Search shorter periods, longer durations, or fewer bins a duration.",
        )
    flux, weight = _fluxes(samples, are_magnitudes), samples.weights
    time_zero = float(samples.time[0])
    clock, flux, weight = _averaged(samples.time - time_zero, flux, weight, bin_width if bin_time is None else bin_time)
    # a constant taken away keeps the sums small; depths do not change
    flux = flux - np.average(flux, weights=weight)
    found = _search(clock, flux, weight, trial, np.round(lengths / bin_width).astype(np.int64), bin_width)
    likelihood, depth, depth_error, width, middle = found
    if samples.error is None:  # weights of one: the scatter tells the errors
        scatter = float(np.std(flux))
        depth_error, likelihood = depth_error * scatter, likelihood / max(scatter**2, 1e-300)
    # a box tells frequencies duration / baseline^2 apart, and each place of the cycle it fits into
    span = 1.0 / trial.min() - 1.0 / trial.max()
    independent = np.minimum(1.0 + span * samples.baseline**2 / lengths, len(trial))
    boxes = round(float(np.sum(independent * np.mean(trial) / lengths)))
    return BoxPeriodogram(
        trial, likelihood, depth, depth_error, width * bin_width, time_zero + np.mod(middle, trial), max(boxes, 1),
        are_magnitudes, samples,
    )  # fmt: skip


def _checked_durations(durations: ArrayLike) -> Floats:
    lengths = np.atleast_1d(np.asarray(durations, np.float64))
    if lengths.ndim != 1 or not len(lengths) or not np.isfinite(lengths).all() or lengths.min() <= 0.0:
        raise ParameterError("durations of eclipses must be positive numbers")
    if len(lengths) > 1000:
        raise ParameterError(f"{len(lengths)} durations are more than the 1000 tried at once")
    return lengths


def _fluxes(samples: Samples, are_magnitudes: bool) -> Floats:
    return -samples.value if are_magnitudes else samples.value


def _averaged(clock: Floats, flux: Floats, weight: Floats, bin_time: float) -> tuple[Floats, Floats, Floats]:
    if bin_time == 0.0:
        return clock, flux, weight
    if not bin_time > 0.0:
        raise ParameterError(f"bin_time is {bin_time!r}, but it must be 0 or more")
    number = np.floor(clock / bin_time).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    total = np.add.reduceat(weight, starts)
    return (
        np.add.reduceat(weight * clock, starts) / total,
        np.add.reduceat(weight * flux, starts) / total,
        total,
    )


def _search(
    clock: Floats, flux: Floats, weight: Floats, periods: Floats, spans: Indices, bin_width: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    spans = np.unique(np.maximum(spans, 1))
    total, signal = float(weight.sum()), float((weight * flux).sum())
    results = np.zeros((5, len(periods)))
    # periods of about the same number of bins are folded together
    order = np.argsort(periods, kind="stable")
    rows = max(1, min(_PORTION // len(clock), _PORTION // max(int(periods.max() / bin_width), 1), 4096))
    for begin in range(0, len(order), rows):
        part = order[begin : begin + rows]
        results[:, part] = _fold(clock, weight * flux, weight, periods[part], spans, bin_width, total, signal)
    likelihood, depth, depth_error, width, middle = results
    return likelihood, depth, depth_error, width, middle


def _fold(
    clock: Floats, wy: Floats, w: Floats, periods: Floats, spans: Indices, bin_width: float, total: float, signal: float
) -> Floats:
    """(5, periods): gain of log-likelihood, depth, its error, width in bins, time of the box's middle."""
    count = len(periods)
    bins = np.ceil(periods / bin_width).astype(np.int64)
    widest, most = int(spans.max()), int(bins.max())
    row_length = most + widest
    cycles = clock / periods[:, None]
    cycles -= np.floor(cycles)
    cell = (cycles * (periods / bin_width)[:, None]).astype(np.int32)
    np.minimum(cell, (bins - 1)[:, None], out=cell)
    cell += (np.arange(count, dtype=np.int32) * row_length)[:, None]
    flat = cell.reshape(-1)
    sums = np.empty((2, count, row_length + 1))
    for number, values in enumerate((w, wy)):
        table = np.bincount(flat, np.tile(values, count), minlength=count * row_length).reshape(count, row_length)
        # the beginning once more behind the end, so that boxes go over phase 0
        source = np.arange(widest)
        np.put_along_axis(table, bins[:, None] + source, table[:, :widest].copy(), axis=1)
        sums[number, :, 0] = 0.0
        np.cumsum(table, axis=1, out=sums[number, :, 1:])
    best = np.zeros((5, count))
    best[2] = np.inf
    each = np.arange(count)
    possible = np.arange(most) < bins[:, None]
    for span in spans.tolist():
        inside = sums[0, :, span : span + most] - sums[0, :, :most]
        inside_signal = sums[1, :, span : span + most] - sums[1, :, :most]
        outside = total - inside
        sound = possible & (inside > 1e-9 * total) & (outside > 1e-9 * total)
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = inside_signal / inside
            drop = (signal - inside_signal) / outside - inner
            gain = np.where(sound & (drop > 0.0), 0.5 * inside * drop * drop, 0.0)
        start = np.argmax(gain, axis=1)
        height = gain[each, start]
        better = height > best[0]
        at = each[better], start[better]
        best[0, better] = height[better]
        best[1, better] = drop[at]
        best[2, better] = np.sqrt(1.0 / inside[at] + 1.0 / outside[at])
        best[3, better] = span
        best[4, better] = (start[better] + 0.5 * span) * bin_width
    best[2, ~np.isfinite(best[2])] = 0.0
    return best


def _check(samples: Samples, flux: Floats, box: Box) -> BoxCheck:
    weight = samples.weights
    cycle = np.round((samples.time - box.epoch) / box.period)
    away = samples.time - box.epoch - cycle * box.period
    inside = np.abs(away) <= 0.5 * box.duration
    level = np.average(flux[~inside], weights=weight[~inside]) if (~inside).any() else 0.0
    outside_scatter = float(np.std(flux[~inside])) if (~inside).sum() > 1 else 0.0
    unit = outside_scatter if samples.error is None else 1.0

    def depth(rows: Booleans) -> tuple[float, float]:
        heavy = float(weight[rows].sum())
        if heavy <= 0.0:
            return float("nan"), float("nan")
        return float(level - np.average(flux[rows], weights=weight[rows])), unit / math.sqrt(heavy)

    odd, odd_error = depth(inside & (np.mod(cycle, 2) == 1))
    even, even_error = depth(inside & (np.mod(cycle, 2) == 0))
    half = np.abs(np.mod(samples.time - box.epoch, box.period) - 0.5 * box.period) <= 0.5 * box.duration
    half_depth, half_error = depth(half)
    # means over one duration, of stretches that lie outside the eclipses
    stretch = np.floor((samples.time[~inside] - samples.time[0]) / box.duration)
    starts = np.flatnonzero(np.r_[True, stretch[1:] != stretch[:-1]]) if len(stretch) else np.empty(0, np.int64)
    noise = 0.0
    if len(starts) > 2:
        heavy = np.add.reduceat(weight[~inside], starts)
        means = np.add.reduceat((weight * flux)[~inside], starts) / heavy
        full = heavy > 0.5 * np.median(heavy)
        noise = float(1.4826 * np.median(np.abs(means[full] - np.median(means[full]))))
    events = len(np.unique(cycle[inside]))
    return BoxCheck(
        events=events,
        odd_even_sigma=abs(odd - even) / math.hypot(odd_error, even_error),
        half_depth=half_depth,
        half_depth_error=half_error,
        noise=noise,
        pink_snr=box.depth * math.sqrt(max(events, 1)) / noise if noise > 0.0 else float("inf"),
    )
