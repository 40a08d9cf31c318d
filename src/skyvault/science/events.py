"""Outbursts and dips of a light curve: stretches that leave the usual brightness for longer than chance allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.binning import MAD
from skyvault.science.samples import Booleans, Floats, Samples, usable_samples


@dataclass(frozen=True, slots=True)
class Event:
    """An outburst or dip. Times are those of measurements; it began after ``before`` and was over before ``after``.

    ``before`` and ``after`` are the nearest measurements at the usual brightness (infinite where there are none).
    ``amplitude`` is the extreme value's distance from the usual one, positive, in the unit of the values; ``sigma``
    is the significance of the whole stretch (Stouffer's sum of the single ones).
    """

    kind: Literal["outburst", "dip"]
    start: float
    peak_time: float
    end: float
    before: float
    after: float
    peak_value: float
    amplitude: float
    count: int
    sigma: float

    @property
    def duration(self) -> float:
        """From the first measurement inside to the last; 0 for a single one."""
        return self.end - self.start

    @property
    def longest_duration(self) -> float:
        """What the measurements around it allow."""
        return self.after - self.before


@dataclass(frozen=True)
class Activity:
    """The usual value, its robust scatter, the events by time, and how many measurements there were."""

    usual: float
    scatter: float
    events: tuple[Event, ...]
    count: int

    def of(self, kind: Literal["outburst", "dip"]) -> tuple[Event, ...]:
        """Only the outbursts or only the dips."""
        return tuple(event for event in self.events if event.kind == kind)


def find_events(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    threshold_sigma: float = 3.0,
    least_count: int = 3,
    longest_gap: float = 30.0,
    usual: float | None = None,
    are_magnitudes: bool = True,
) -> Activity:
    """Runs of ``least_count`` or more measurements beyond ``threshold_sigma``, with no gap above ``longest_gap``.

    A measurement's sigma is its distance from the usual value (the median unless given) over its error and the robust
    scatter of the star together, so that a star that always flickers has no events. ``longest_gap`` is in the unit of
    the times (days). Magnitudes: an outburst is a smaller number.
    """
    samples = usable_samples(time, value, error, at_least=1)
    if not (threshold_sigma > 0.0 and longest_gap > 0.0 and least_count >= 1):
        raise ParameterError("threshold_sigma, longest_gap and least_count must be positive")
    middle = float(np.median(samples.value)) if usual is None else float(usual)
    away = (middle - samples.value) if are_magnitudes else (samples.value - middle)
    scatter = MAD * float(np.median(np.abs(away - np.median(away))))
    unit = np.full(len(away), scatter) if samples.error is None else np.maximum(samples.error, scatter)
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.nan_to_num(away / unit, nan=0.0)
    events = [
        *_runs(samples, away, sigma, sigma >= threshold_sigma, "outburst", least_count, longest_gap),
        *_runs(samples, -away, -sigma, sigma <= -threshold_sigma, "dip", least_count, longest_gap),
    ]
    return Activity(middle, scatter, tuple(sorted(events, key=lambda event: event.start)), len(samples))


def _runs(
    samples: Samples,
    away: Floats,
    sigma: Floats,
    beyond: Booleans,
    kind: Literal["outburst", "dip"],
    least_count: int,
    longest_gap: float,
) -> Iterator[Event]:
    rows = np.flatnonzero(beyond)
    if not len(rows):
        return
    # a run ends at a usual measurement, and at a gap
    breaks = (np.diff(rows) > 1) | (np.diff(samples.time[rows]) > longest_gap)
    first = np.r_[0, np.flatnonzero(breaks) + 1]
    last = np.r_[first[1:], len(rows)]
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        if end - begin < least_count:
            continue
        run = rows[begin:end]
        peak = int(run[np.argmax(away[run])])
        yield Event(
            kind=kind,
            start=float(samples.time[run[0]]),
            peak_time=float(samples.time[peak]),
            end=float(samples.time[run[-1]]),
            before=float(samples.time[run[0] - 1]) if run[0] else -np.inf,
            after=float(samples.time[run[-1] + 1]) if run[-1] + 1 < len(samples) else np.inf,
            peak_value=float(samples.value[peak]),
            amplitude=float(away[peak]),
            count=len(run),
            sigma=float(np.sum(sigma[run]) / np.sqrt(len(run))),
        )
