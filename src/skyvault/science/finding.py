"""Peaks of a score along a light curve: the highest one, the run of epochs that belongs to it, then the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats


@dataclass(frozen=True, slots=True)
class Peak:
    """An event: rows ``first`` to ``last`` (both inside) around row ``peak``; ``score`` has the sign of the event."""

    peak: int
    first: int
    last: int
    score: float

    @property
    def rows(self) -> slice:
        return slice(self.first, self.last + 1)


def find_peaks(
    score: Floats,
    is_usable: Booleans,
    *,
    threshold: float,
    sideband: float,
    at_most: int = 1,
    both_signs: bool = True,
) -> list[Peak]:
    """The ``at_most`` highest peaks above ``threshold``, highest first; with ``both_signs`` also the deepest.

    Rows are in time order. An event is the run of rows of the peak's own sign above ``sideband``, unbroken but for
    rows that are not usable, so a flare does not take in another one months later. A sideband that is not positive
    counts from the threshold (-2: the threshold less 2). No row belongs to two events.
    """
    if not threshold > 0.0:
        raise ParameterError(f"a detection threshold must be positive, and {threshold:g} is not")
    level = sideband if sideband > 0.0 else max(threshold + sideband, 0.0)
    level = min(level, threshold)
    usable = is_usable & np.isfinite(score)
    strength = np.where(usable, np.abs(score) if both_signs else score, -np.inf)
    found: list[Peak] = []
    while len(found) < at_most and len(strength):
        peak = int(np.argmax(strength))
        if not strength[peak] > threshold:
            break
        signed = score if score[peak] > 0.0 else -score
        outside = usable & ~(signed > level)
        before = np.flatnonzero(outside[:peak])
        after = np.flatnonzero(outside[peak + 1 :])
        first = int(before[-1]) + 1 if len(before) else 0
        last = peak + int(after[0]) if len(after) else len(score) - 1
        # rows that are not usable belong to an event only between its own
        inside = np.flatnonzero(usable[first : last + 1])
        first, last = first + int(inside[0]), first + int(inside[-1])
        found.append(Peak(peak, first, last, float(score[peak])))
        strength[first : last + 1] = -np.inf
    return found
