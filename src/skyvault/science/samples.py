"""The measurements of a light curve as plain arrays: checked, without holes, with their weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyvault.errors import ParameterError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Booleans = NDArray[np.bool_]

#: measurements one call takes; a century of plates has some 10^4, Kepler's short cadence of four years 2 * 10^6
MAX_SAMPLES: Final = 20_000_000


def float_array(values: Any, what: str) -> Floats:
    """One row of float64; masked entries become NaN. Quantities give their bare numbers. Raises ParameterError."""
    mask = getattr(values, "mask", None)
    values = getattr(values, "unmasked", values)
    values = getattr(values, "value", values)
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"the {what} of a light curve must be numbers") from None
    if array.ndim != 1:
        raise ParameterError(f"the {what} of a light curve must be one row of numbers, not {array.ndim}-dimensional")
    if len(array) > MAX_SAMPLES:
        raise ParameterError(f"{len(array):,} {what} are more than the {MAX_SAMPLES:,} taken at once")
    if mask is not None and np.shape(mask) == array.shape:
        array[np.asarray(mask, np.bool_)] = np.nan
    return array


def median(values: Floats) -> float:
    """Median of numbers without NaN, shape (n,); NaN of none. A tenth of what np.median takes for a hundred values."""
    half, is_odd = divmod(len(values), 2)
    if not len(values):
        return math.nan
    if is_odd:
        return float(np.partition(values, half)[half])
    parted = np.partition(values, (half - 1, half))
    return 0.5 * (float(parted[half - 1]) + float(parted[half]))


@dataclass(frozen=True)
class Samples:
    """Measurements sorted by time: no NaN, positive errors (or none: then all weigh alike).

    ``row`` is where each came from; ``band`` is 0 to n - 1, an index into ``bands``.
    """

    time: Floats
    value: Floats
    error: Floats | None
    band: Indices
    bands: tuple[Any, ...]
    row: Indices

    def __len__(self) -> int:
        return len(self.time)

    @property
    def baseline(self) -> float:
        """From the first measurement to the last, in the unit of time."""
        return float(self.time[-1] - self.time[0]) if len(self.time) else 0.0

    @property
    def weights(self) -> Floats:
        """1 / error^2, or ones."""
        return np.ones(len(self.time)) if self.error is None else 1.0 / self.error**2


def usable_samples(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    band: ArrayLike | None = None,
    *,
    at_least: int = 3,
) -> Samples:
    """Leave out what is NaN, masked, infinite, or has an error that is not positive; sort by time.

    Raises ParameterError when lengths differ or fewer than ``at_least`` measurements are left.
    """
    times, values = float_array(time, "times"), float_array(value, "values")
    errors = None if error is None else float_array(error, "errors")
    for other, what in ((values, "values"), (errors, "errors")):
        if other is not None and len(other) != len(times):
            raise ParameterError(f"a light curve has {len(times)} times, but {len(other)} {what}")
    good = np.isfinite(times) & np.isfinite(values)
    if errors is not None:
        good &= np.isfinite(errors) & (errors > 0.0)
    bands: tuple[Any, ...] = (None,)
    index = np.zeros(len(times), np.int64)
    if band is not None:
        names = np.asarray(band)
        if names.shape != times.shape:
            raise ParameterError(f"a light curve has {len(times)} times, but {names.size} bands")
        found, inverse = np.unique(names[good], return_inverse=True)
        bands = tuple(found.tolist())
        index[good] = inverse.reshape(-1)
    rows = np.flatnonzero(good)
    if len(rows) < at_least:
        raise ParameterError(
            f"{len(rows)} of {len(times)} measurements are usable, but at least {at_least} are needed",
            hint="Measurements that are NaN or masked, or whose error is not positive, are left out.",
        )
    rows = rows[np.argsort(times[rows], kind="stable")]
    return Samples(
        times[rows], values[rows], None if errors is None else errors[rows], index[rows], bands or (None,), rows
    )
