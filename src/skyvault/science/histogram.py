"""Counts in bins of several quantities, which can be added: what a run has seen, joined from its parts.

An axis has fixed bins with room below and above, bins that grow as wider values come, or one bin a name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import ParameterError
from skyvault.science.samples import Floats, Indices

Counts = NDArray[np.int64]
#: cells of one histogram: 400 MB
MOST_CELLS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class FixedAxis:
    """Bins whose centres run from ``start`` to ``stop`` in steps of ``step``; what lies outside is counted apart."""

    name: str
    start: float
    stop: float
    step: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not (self.step > 0.0 and self.stop >= self.start and math.isfinite(self.stop - self.start)):
            raise ParameterError(
                f"the bins of {self.name!r} cannot run from {self.start:g} to {self.stop:g} by {self.step:g}"
            )

    @property
    def size(self) -> int:
        """Bins, those of what lies below and above included."""
        return round((self.stop - self.start) / self.step) + 3

    @property
    def centres(self) -> Floats:
        """Centres of the inner bins."""
        return np.asarray(self.start + self.step * np.arange(self.size - 2), np.float64)

    def bins(self, values: Any) -> Indices:
        """Bin of each value, shape as given; -1 where there is none (NaN)."""
        values = np.asarray(values, np.float64)
        with np.errstate(invalid="ignore"):
            position = np.rint((values - self.start) / self.step)
            # NaN stays NaN through the limits, and is no number afterwards
            index = np.minimum(np.maximum(position, -1.0), self.size - 2.0) + 1.0
            return np.where(np.isnan(index), -1.0, index).astype(np.int64)

    def bin(self, value: float) -> int:
        """Bin of one value, as :meth:`bins` has it, at a hundredth of the cost."""
        if value != value:
            return -1
        # halves go to the even neighbour, here as there
        return int(min(max(_rint((value - self.start) / self.step), -1.0), self.size - 2.0)) + 1


def _rint(value: float) -> float:
    return value if math.isinf(value) else float(round(value))


@dataclass(frozen=True, slots=True)
class GrowingAxis:
    """Bins of width ``step`` around ``origin``, as many as values need: from ``first`` to ``last`` in steps."""

    name: str
    origin: float
    step: float
    unit: str = ""
    first: int = 0
    last: int = -1

    def __post_init__(self) -> None:
        if not self.step > 0.0:
            raise ParameterError(f"the bins of {self.name!r} cannot be {self.step:g} wide")

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    @property
    def centres(self) -> Floats:
        return np.asarray(self.origin + self.step * np.arange(self.first, self.last + 1), np.float64)

    def grown(self, values: Any) -> GrowingAxis:
        """The axis that holds these values too. Raises ParameterError beyond a million bins."""
        if isinstance(values, float) and self.size and 0 <= self.bin(values) < self.size:
            return self
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            return self
        low = float(np.rint((values.min() - self.origin) / self.step))
        high = float(np.rint((values.max() - self.origin) / self.step))
        if self.size:
            low, high = min(low, self.first), max(high, self.last)
        if high - low > 1e6:
            raise ParameterError(
                f"values of {self.name!r} from {values.min():g} to {values.max():g} would need {high - low:.3g} bins"
            )
        return replace(self, first=int(low), last=int(high))

    def bins(self, values: Any) -> Indices:
        values = np.asarray(values, np.float64)
        known = np.isfinite(values)
        position = np.rint((np.where(known, values, self.origin) - self.origin) / self.step)
        return np.where(known, position.astype(np.int64) - self.first, -1)

    def bin(self, value: float) -> int:
        """Bin of one value; -1 where it is not finite."""
        return round((value - self.origin) / self.step) - self.first if math.isfinite(value) else -1


@dataclass(frozen=True, slots=True)
class NamedAxis:
    """One bin a name (a filter), in alphabetical order."""

    name: str
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self.names)

    def grown(self, values: Any) -> NamedAxis:
        if isinstance(values, str) and values in self.names:
            return self
        new = {str(value) for value in np.unique(np.asarray(values, dtype=np.str_))} - set(self.names)
        return replace(self, names=tuple(sorted({*self.names, *new}))) if new else self

    def bins(self, values: Any) -> Indices:
        values = np.asarray(values, dtype=np.str_)
        if not self.names:
            return np.full(values.shape, -1, np.int64)
        names = np.array(self.names)
        index = np.minimum(np.searchsorted(names, values), len(names) - 1)
        return np.where(names[index] == values, index, -1)

    def bin(self, value: str) -> int:
        """Bin of one name; -1 where it is not known."""
        return self.names.index(value) if value in self.names else -1


Axis = FixedAxis | GrowingAxis | NamedAxis


@dataclass
class CountGrid:
    """Counts over the axes, shape = their sizes. ``unknown`` counts rows with a value that is not known (NaN)."""

    axes: tuple[Axis, ...]
    counts: Counts = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    unknown: int = 0

    def __post_init__(self) -> None:
        if len({axis.name for axis in self.axes}) != len(self.axes) or not self.axes:
            raise ParameterError("a histogram needs axes with different names")
        if not self.counts.size:
            self.counts = np.zeros(_shape(self.axes), np.int64)
        if self.counts.shape != _shape(self.axes):
            raise ParameterError(f"counts of shape {self.counts.shape} do not fit axes of {_shape(self.axes)}")

    def add(self, **values: Any) -> None:
        """Count rows: an array or a single value an axis, broadcast against each other."""
        missing = [axis.name for axis in self.axes if axis.name not in values]
        if missing:
            raise ParameterError(f"there are no values for the axis {missing[0]!r}")
        self._grow(tuple(a if isinstance(a, FixedAxis) else a.grown(values[a.name]) for a in self.axes))
        # what is one value for all rows is looked up once
        bins = [
            axis.bin(value) if isinstance(value := values[axis.name], float | str) else axis.bins(value)  # type: ignore[arg-type]
            for axis in self.axes
        ]
        flat: Any = 0
        known: Any = True
        for axis, index in zip(self.axes, bins, strict=True):
            known = known & (index >= 0)
            flat = flat * axis.size + index
        flat, known = np.broadcast_arrays(flat, known)
        chosen = flat[known]
        self.unknown += int(known.size - chosen.size)
        if chosen.size * 8 < self.counts.size:
            # few rows in many cells: touch those alone
            np.add.at(self.counts.reshape(-1), chosen, 1)
        elif chosen.size:
            self.counts += np.bincount(chosen, minlength=self.counts.size).reshape(self.counts.shape)

    @property
    def total(self) -> int:
        """Rows counted, inside the bins and beyond them; not those that are unknown."""
        return int(self.counts.sum())

    def beyond(self, name: str) -> tuple[int, int]:
        """How many rows lie below and above the bins of a fixed axis."""
        number = self._number(name)
        if not isinstance(self.axes[number], FixedAxis):
            return 0, 0
        others = tuple(i for i in range(len(self.axes)) if i != number)
        marginal = self.counts.sum(axis=others)
        return int(marginal[0]), int(marginal[-1])

    def marginal(self, *names: str) -> Counts:
        """Counts summed over all axes but these, in their order."""
        numbers = [self._number(name) for name in names]
        summed = self.counts.sum(axis=tuple(i for i in range(len(self.axes)) if i not in numbers))
        order = np.argsort(np.argsort(numbers))
        return np.asarray(np.transpose(summed, order), np.int64)

    def __iadd__(self, other: CountGrid) -> CountGrid:
        """Count what the other one has counted, too. Raises ParameterError when the axes are not alike."""
        if not isinstance(other, CountGrid):
            return NotImplemented
        self._grow(tuple(_joined(a, b) for a, b in zip(self.axes, _same_length(self, other), strict=True)))
        cells = np.nonzero(other.counts)
        places = [_places(old, new)[index] for old, new, index in zip(other.axes, self.axes, cells, strict=True)]
        self.counts[tuple(places)] += other.counts[cells]
        self.unknown += other.unknown
        return self

    def __getstate__(self) -> dict[str, Any]:
        # most cells are empty: only the others travel between processes
        flat = np.flatnonzero(self.counts)
        return {"axes": self.axes, "cells": flat, "counts": self.counts.reshape(-1)[flat], "unknown": self.unknown}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.axes, self.unknown = state["axes"], state["unknown"]
        self.counts = np.zeros(_shape(self.axes), np.int64)
        self.counts.reshape(-1)[state["cells"]] = state["counts"]

    def __add__(self, other: CountGrid) -> CountGrid:
        """Both counted together. Raises ParameterError when the axes are not alike."""
        if not isinstance(other, CountGrid):
            return NotImplemented
        result = CountGrid(self.axes, self.counts.copy(), self.unknown)
        result += other
        return result

    def _number(self, name: str) -> int:
        for number, axis in enumerate(self.axes):
            if axis.name == name:
                return number
        raise ParameterError(
            f"a histogram has no axis {name!r}", hint=f"It has {', '.join(a.name for a in self.axes)}."
        )

    def _grow(self, axes: tuple[Axis, ...]) -> None:
        if axes == self.axes:
            return
        shape = _shape(axes)
        if math.prod(shape) > MOST_CELLS:
            raise ParameterError(f"a histogram of {' x '.join(map(str, shape))} cells is too large")
        counts = np.zeros(shape, np.int64)
        if self.counts.size:
            places = [_places(old, new) for old, new in zip(self.axes, axes, strict=True)]
            counts[np.ix_(*places)] = self.counts
        self.axes, self.counts = axes, counts


def _shape(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(axis.size for axis in axes)


def _same_length(one: CountGrid, other: CountGrid) -> tuple[Axis, ...]:
    if len(one.axes) != len(other.axes):
        raise ParameterError("histograms with different axes cannot be added")
    return other.axes


def _joined(one: Axis, other: Axis) -> Axis:
    if isinstance(one, NamedAxis) and isinstance(other, NamedAxis) and one.name == other.name:
        return one.grown(other.names) if other.names else one
    if isinstance(one, GrowingAxis) and isinstance(other, GrowingAxis):
        alike = (one.name, one.origin, one.step, one.unit) == (other.name, other.origin, other.step, other.unit)
        if alike:
            return one.grown(other.centres[[0, -1]]) if other.size else one
    elif one == other:
        return one
    raise ParameterError(f"histograms cannot be added: the axis {one.name!r} of one is not {other.name!r} of the other")


def _places(old: Axis, new: Axis) -> Indices:
    if isinstance(old, NamedAxis) and isinstance(new, NamedAxis):
        return new.bins(np.array(old.names, dtype=np.str_))
    if isinstance(old, GrowingAxis) and isinstance(new, GrowingAxis):
        return np.arange(old.size) + (old.first - new.first)
    return np.arange(old.size)
