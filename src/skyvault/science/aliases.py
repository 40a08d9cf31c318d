"""Which other frequencies a found one may stand for: nights, months, years, harmonics, and the beat with sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skyvault.errors import ParameterError

#: cycles a day at which ground-based observers come back (mean sidereal day: IAU 2006; synodic month, Julian year)
SAMPLING_FREQUENCIES: Final[Mapping[str, float]] = {
    "sidereal day": 1.0027379094,
    "solar day": 1.0,
    "synodic month": 1.0 / 29.530588,
    "year": 1.0 / 365.25,
}
_HARMONICS: Final = (
    ("half the frequency", 0.5),
    ("twice the frequency", 2.0),
    ("a third", 1 / 3),
    ("three times", 3.0),
)


@dataclass(frozen=True, slots=True)
class Alias:
    """A frequency (cycles a day) that looks alike, and why."""

    frequency: float
    reason: str

    @property
    def period(self) -> float:
        """Days."""
        return 1.0 / self.frequency


def aliases(
    frequency: float, *, sampling: Mapping[str, float] = SAMPLING_FREQUENCIES, orders: int = 2
) -> tuple[Alias, ...]:
    """Harmonics of ``frequency`` and |frequency +- k * sampling| for k up to ``orders``, nearest period first."""
    if not frequency > 0.0:
        raise ParameterError(f"a frequency must be positive, not {frequency!r}")
    found = [Alias(frequency * factor, reason) for reason, factor in _HARMONICS]
    for name, rate in sampling.items():
        for k in range(1, orders + 1):
            times = "" if k == 1 else f"{k} times "
            for sign, word in ((1, "plus"), (-1, "minus")):
                other = abs(frequency + sign * k * rate)
                if other > 1e-9:
                    found.append(Alias(other, f"{word} {times}a {name}"))
    return tuple(sorted(found, key=lambda alias: abs(alias.frequency - frequency)))


def same_up_to_alias(
    frequency: float, reference: float, tolerance: float, *, sampling: Mapping[str, float] = SAMPLING_FREQUENCIES
) -> str | None:
    """ "" when both agree within ``tolerance`` (cycles a day), the reason when an alias does, else None."""
    if abs(frequency - reference) <= tolerance:
        return ""
    for alias in aliases(reference, sampling=sampling):
        if abs(alias.frequency - frequency) <= tolerance:
            return alias.reason
    return None
