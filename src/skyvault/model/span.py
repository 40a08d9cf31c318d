"""Spans of time and of energy: closed intervals whose ends may be open to infinity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from skyvault.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Span:
    """A closed interval from ``lo`` to ``hi``; -inf and +inf mean that it is open on that side."""

    lo: float = -math.inf
    hi: float = math.inf

    def __post_init__(self) -> None:
        lo, hi = float(self.lo), float(self.hi)
        if math.isnan(lo) or math.isnan(hi):
            raise ParameterError("an interval cannot begin or end at NaN", hint="Write -Inf or +Inf for an open end.")
        if lo > hi:
            raise ParameterError(f"the interval {lo!r} to {hi!r} ends before it begins")
        object.__setattr__(self, "lo", lo)
        object.__setattr__(self, "hi", hi)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a DALI interval "lo hi" or one number (DALI 1.1, section 3.3.4; SIA 2.0, section 2.1.2).

        -Inf and +Inf stand for open ends. Raises ParameterError.
        """
        words = text.split()
        try:
            numbers = [float(word) for word in words if "_" not in word]
        except ValueError:
            numbers = []
        if len(numbers) != len(words) or len(numbers) not in (1, 2):
            raise ParameterError(
                f"{text[:80]!r} is not an interval", hint='Write two numbers, "lo hi"; -Inf and +Inf are open ends.'
            )
        return cls(numbers[0], numbers[-1])

    def format(self) -> str:
        """The interval as DALI writes it."""
        return f"{_end(self.lo)} {_end(self.hi)}"

    def contains(self, other: float | Span) -> bool:
        """Whether a value, or the whole of another span, lies inside; the ends belong to it."""
        if isinstance(other, Span):
            return self.lo <= other.lo and other.hi <= self.hi
        return self.lo <= other <= self.hi

    def overlaps(self, other: Span) -> bool:
        """Whether the two have a value in common; touching is enough."""
        return self.lo <= other.hi and other.lo <= self.hi


@dataclass(frozen=True, slots=True)
class TimeSpan(Span):
    """A span of time in MJD of the time scale ``scale`` ("utc" as in ObsCore and SIA, "tdb", ...)."""

    scale: str = "utc"

    def overlaps(self, other: Span) -> bool:
        self._same_scale(other)
        return Span.overlaps(self, other)

    def contains(self, other: float | Span) -> bool:
        if isinstance(other, Span):
            self._same_scale(other)
        return Span.contains(self, other)

    def _same_scale(self, other: Span) -> None:
        # scales differ by more than a minute, and the observer's place by up to eight: never compare in silence
        if isinstance(other, TimeSpan) and other.scale != self.scale:
            raise ParameterError(f"times of scale {self.scale} cannot be compared with times of scale {other.scale}")


@dataclass(frozen=True, slots=True)
class EnergySpan(Span):
    """A span of the spectrum as wavelength in vacuum, in metres (ObsCore em_min, em_max; SIA 2.0 BAND)."""

    def __post_init__(self) -> None:
        Span.__post_init__(self)
        if self.hi < 0:
            raise ParameterError(f"a wavelength cannot be negative, but the span ends at {self.hi!r} m")


def _end(value: float) -> str:
    if math.isinf(value):
        return "-Inf" if value < 0 else "+Inf"
    return repr(value)
