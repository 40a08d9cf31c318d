"""Averages of light curves over bins of time or phase: weighted or robust, with upper limits kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats, Indices, float_array

#: bins one call makes
MAX_BINS: Final = 10_000_000
#: a robust standard deviation is this many median absolute deviations of a normal distribution
MAD: Final = 1.4826022185056018


@dataclass(frozen=True)
class Bins:
    """One row a bin, shape (n,), only bins with a detection or a limit; n bins of ``first`` to below ``last``.

    ``center`` is the mean time of the detections (of the limits where there are none), ``value`` and ``error`` are NaN
    without a detection; ``scatter`` is the standard deviation inside (NaN below two detections). ``limit`` is the
    deepest upper limit (NaN without one): it says something only where it is fainter than ``value``.
    """

    first: Floats
    last: Floats
    center: Floats
    value: Floats
    error: Floats
    scatter: Floats
    count: Indices
    limit: Floats
    limit_count: Indices

    def __len__(self) -> int:
        return len(self.first)

    @property
    def is_detected(self) -> Booleans:
        """Which bins have a detection."""
        return np.asarray(self.count > 0)


def bin_edges(time: ArrayLike, width: float, *, start: float | None = None) -> Floats:
    """Edges ``width`` apart that hold all times, from ``start`` or the first time on."""
    times = float_array(time, "times")
    times = times[np.isfinite(times)]
    if not len(times):
        raise ParameterError("none of the times is a number, so there is nothing to bin")
    if not (np.isfinite(width) and width > 0.0):
        raise ParameterError(f"the width of a bin is {width!r}, but it must be positive")
    first = float(times.min()) if start is None else start
    count = np.floor((float(times.max()) - first) / width) + 1
    if count < 1:
        raise ParameterError(f"all times lie before {first!r}, where the first bin starts")
    if count > MAX_BINS:
        raise ParameterError(f"{count:,.0f} bins are more than {MAX_BINS:,}", hint="Take wider bins.")
    return np.asarray(first + width * np.arange(int(count) + 1), np.float64)


def bin_light_curve(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    edges: ArrayLike,
    is_limit: ArrayLike | None = None,
    limit: ArrayLike | None = None,
    statistic: Literal["weighted", "mean", "median", "clipped"] = "weighted",
    clip_sigma: float = 3.0,
    are_magnitudes: bool = True,
) -> Bins:
    """Average detections over bins of time (or phase) between ``edges``, which ascend.

    "weighted" by 1 / error^2, its error the formal one or what the scatter asks for, whichever is larger; "mean" and
    "clipped" (twice without what is ``clip_sigma`` robust deviations off the median) with the error of the scatter;
    "median" with 1.25 times it. Rows where ``is_limit`` are upper limits of ``limit`` (or ``value``) and never enter
    an average. The deepest limit is the largest of magnitudes, the smallest of fluxes. NaN and masked rows are left
    out; so are rows with an error that is not positive, from weighted averages only.
    """
    if statistic not in ("weighted", "mean", "median", "clipped"):
        raise ParameterError(f"the statistic is 'weighted', 'mean', 'median' or 'clipped', not {statistic!r}")
    times, values = float_array(time, "times"), float_array(value, "values")
    borders = float_array(edges, "bin edges")
    if len(borders) < 2 or not (np.diff(borders) > 0.0).all():
        raise ParameterError("the edges of bins must be at least two ascending numbers")
    errors = np.full(len(times), np.nan) if error is None else float_array(error, "errors")
    limits = values if limit is None else float_array(limit, "limits")
    limited = np.zeros(len(times), np.bool_) if is_limit is None else np.asarray(is_limit, np.bool_)
    if not len(times) == len(values) == len(errors) == len(limits) == len(limited):
        raise ParameterError("times, values, errors and limits of a light curve differ in length")
    number = np.searchsorted(borders, times, side="right") - 1
    inside = np.isfinite(times) & (number >= 0) & (number < len(borders) - 1)
    if statistic == "weighted" and error is not None:
        usable = inside & ~limited & np.isfinite(values) & np.isfinite(errors) & (errors > 0.0)
    else:
        usable = inside & ~limited & np.isfinite(values)
    is_upper = inside & limited & np.isfinite(limits)
    used = np.unique(number[usable | is_upper])
    slot = np.searchsorted(used, number)
    n = len(used)
    center, mean, formal, scatter, count = _averages(
        slot[usable], n, times[usable], values[usable], errors[usable], statistic, clip_sigma
    )
    upper_slot, upper = slot[is_upper], limits[is_upper]
    deepest = np.full(n, -np.inf)
    sign = 1.0 if are_magnitudes else -1.0
    np.maximum.at(deepest, upper_slot, sign * upper)
    upper_count = np.bincount(upper_slot, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        upper_center = np.bincount(upper_slot, times[is_upper], minlength=n) / upper_count
    return Bins(
        first=borders[used],
        last=borders[used + 1],
        center=np.where(count > 0, center, upper_center),
        value=mean,
        error=formal,
        scatter=scatter,
        count=count,
        limit=np.where(upper_count > 0, sign * deepest, np.nan),
        limit_count=upper_count,
    )


def medians(slot: Indices, n: int, values: Floats) -> Floats:
    """The median of the values of each of ``n`` slots; NaN for an empty one."""
    order = np.lexsort((values, slot))
    count = np.bincount(slot, minlength=n)
    start = np.cumsum(count) - count
    result = np.full(n, np.nan)
    some = count > 0
    ordered = values[order]
    low = start[some] + (count[some] - 1) // 2
    high = start[some] + count[some] // 2
    result[some] = 0.5 * (ordered[low] + ordered[high])
    return result


def _averages(
    slot: Indices, n: int, times: Floats, values: Floats, errors: Floats, statistic: str, clip_sigma: float
) -> tuple[Floats, Floats, Floats, Floats, Indices]:
    if statistic == "clipped":
        for _ in range(2):
            middle = medians(slot, n, values)
            spread = MAD * medians(slot, n, np.abs(values - middle[slot]))
            kept = np.abs(values - middle[slot]) <= np.maximum(clip_sigma * spread[slot], 1e-300)
            slot, times, values, errors = slot[kept], times[kept], values[kept], errors[kept]
    is_weighted = statistic == "weighted" and bool(np.isfinite(errors).all())
    weights = 1.0 / errors**2 if is_weighted else np.ones(len(values))
    count = np.bincount(slot, minlength=n)
    heavy = np.bincount(slot, weights, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        center = np.bincount(slot, times, minlength=n) / count
        # around a first mean, so that squares of large magnitudes do not eat the digits
        plain = np.bincount(slot, values, minlength=n) / count
        away = values - plain[slot]
        mean = plain + np.bincount(slot, weights * away, minlength=n) / heavy
        rest = values - mean[slot]
        scatter = np.sqrt(np.bincount(slot, rest**2, minlength=n) / (count - 1))
        if is_weighted:
            reduced = np.bincount(slot, weights * rest**2, minlength=n) / np.maximum(count - 1, 1)
            formal = np.sqrt(np.maximum(reduced, 1.0) / heavy)
        else:
            formal = scatter / np.sqrt(count)
            if statistic == "median":
                mean, formal = medians(slot, n, values), 1.2533 * formal
    scatter[count < 2] = np.nan
    return center, np.where(count > 0, mean, np.nan), np.where(count > 0, formal, np.nan), scatter, count
