"""Merging the light curves that a catalogue has split: which measurement of each exposure belongs to the star.

A variable or blended star is often linked to different catalogue entries on different plates. Where several entries
have a measurement on one exposure, the one nearest to the star's mean brightness is taken; the mean comes from
exposures with one measurement only. Source of the rule: DASCH's data release 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyvault.errors import ParameterError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class SplitCurve:
    """What the merge must know of one light curve; all of shape (n,).

    ``time`` in any days common to all curves, ``exposure`` the same number for the same exposure in all curves,
    ``magnitude`` and its ``uncertainty`` (NaN: none), ``is_hit``: detected and accepted.
    """

    time: Floats
    exposure: Ints
    magnitude: Floats
    uncertainty: Floats
    is_hit: Bools


@dataclass(frozen=True)
class MergedRows:
    """The rows of a merged light curve in time's order, shape (m,): curve, row in it, and hits on its exposure.

    ``mean_magnitude`` decided between several hits; it is the weighted mean of ``n_in_mean`` single hits.
    """

    curve: Ints
    row: Ints
    n_hits: Ints
    mean_magnitude: float
    n_in_mean: int


def merge_rows(curves: Sequence[SplitCurve]) -> MergedRows:
    """One row for each exposure: the best hit where there is one, else the first curve's row without a hit.

    Exposures without a hit that the first curve does not hold are left out. Among hits equally near to the mean the
    first by (curve, row) is taken. Where no single hit has a finite, positive uncertainty, all single hits count alike,
    and where there are none, the median of all hits decides. Rows are sorted by time, then curve, then row.
    Raises ParameterError for no curve at all.
    """
    if not curves:
        raise ParameterError("There is no light curve to merge")
    sizes = [len(curve.time) for curve in curves]
    curve_of = np.repeat(np.arange(len(curves)), sizes)
    row_of = np.concatenate([np.arange(size) for size in sizes])
    time = np.concatenate([curve.time for curve in curves])
    magnitude = np.concatenate([curve.magnitude for curve in curves]).astype(np.float64)
    uncertainty = np.concatenate([curve.uncertainty for curve in curves]).astype(np.float64)
    is_hit = np.concatenate([curve.is_hit for curve in curves]) & np.isfinite(magnitude)
    exposure = _numbered(np.concatenate([curve.exposure for curve in curves]))

    n_hits = np.bincount(exposure[is_hit], minlength=int(exposure.max(initial=-1)) + 1)
    hits = np.flatnonzero(is_hit)
    mean, n_in_mean = _mean(hits, magnitude, uncertainty, n_hits[exposure[hits]] == 1)

    # hits are in (curve, row) order, and a stable sort keeps the first of equals
    distance = np.abs(magnitude[hits] - mean)
    order = hits[np.lexsort((distance, exposure[hits]))]
    best = order[_first_of_each(exposure[order])]

    empty = np.flatnonzero((curve_of == 0) & (n_hits[exposure] == 0))
    empty = empty[np.argsort(exposure[empty], kind="stable")]
    empty = empty[_first_of_each(exposure[empty])]

    chosen = np.sort(np.concatenate([best, empty]))
    chosen = chosen[np.argsort(time[chosen], kind="stable")]
    return MergedRows(curve_of[chosen], row_of[chosen], n_hits[exposure[chosen]], mean, n_in_mean)


def _numbered(exposure: Ints) -> Ints:
    """The same, but counted from 0 without gaps."""
    return np.asarray(np.unique(exposure, return_inverse=True)[1].reshape(exposure.shape))


def _mean(hits: Ints, magnitude: Floats, uncertainty: Floats, is_single: Bools) -> tuple[float, int]:
    single = hits[is_single]
    sigma = uncertainty[single]
    good = np.isfinite(sigma) & (sigma > 0)
    if good.any():
        weights = sigma[good] ** -2.0
        return float(np.sum(magnitude[single][good] * weights) / np.sum(weights)), int(good.sum())
    if single.size:
        return float(np.mean(magnitude[single])), int(single.size)
    return (float(np.median(magnitude[hits])) if hits.size else float("nan")), 0


def _first_of_each(ordered: Ints) -> Bools:
    """Where a new number begins in a sorted array."""
    first = np.ones(ordered.shape, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first


def exposure_numbers(
    linked: Sequence[Ints], series: Sequence[Any], plate: Sequence[Any], mosaic: Sequence[Any], solution: Sequence[Any]
) -> list[Ints]:
    """One number for each exposure, the same in all curves: the exposure table's row where ``linked`` is 0 or more,
    else a negative number for each distinct (series, plate, mosaic, solution).

    Each argument holds one array for each curve; the answer has their shapes.
    """
    sizes = [len(rows) for rows in linked]
    numbers = np.concatenate([np.asarray(rows, dtype=np.int64) for rows in linked])
    loose = np.flatnonzero(numbers < 0)
    if loose.size:
        names = np.concatenate([np.asarray(names, dtype=str) for names in series])[loose]
        key = np.unique(names, return_inverse=True)[1].astype(np.int64).reshape(loose.shape)
        for part in (plate, mosaic, solution):
            cells = np.concatenate([np.asarray(cells).astype(np.int64) for cells in part])[loose]
            distinct, which = np.unique(cells, return_inverse=True)
            key = np.unique(key * distinct.size + which.reshape(key.shape), return_inverse=True)[1].reshape(key.shape)
        numbers[loose] = -2 - key
    return np.split(numbers, np.cumsum(sizes)[:-1])
