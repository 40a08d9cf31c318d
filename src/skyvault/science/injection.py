"""Shapes of variable sources, put into measured light curves to learn what a search would have found.

A shape is a relative change of flux: 0 is unchanged, 1 is twice as bright, -0.3 is 30% fainter. Times are days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats, Indices

Shape = Literal["flare", "dip", "transit", "sinusoid", "microlensing"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)


def _flare(phase: Floats) -> Floats:
    """Fast rise, exponential decay: rises within a tenth of the time in which it fades by a factor e."""
    return np.exp(np.where(phase < 0.0, 10.0 * phase, -phase))


def _dip(phase: Floats) -> Floats:
    """A Gaussian; the width is its full width at half depth."""
    return np.asarray(-np.exp(-4.0 * np.log(2.0) * phase**2), np.float64)


def _transit(phase: Floats) -> Floats:
    return np.where(np.abs(phase) <= 0.5, -1.0, 0.0)


def _sinusoid(phase: Floats) -> Floats:
    return np.cos(2.0 * np.pi * phase)


_OF_AMPLITUDE: Final[dict[str, Callable[[Floats], Floats]]] = {
    "flare": _flare,
    "dip": _dip,
    "transit": _transit,
    "sinusoid": _sinusoid,
}


@dataclass(frozen=True, slots=True)
class Injection:
    """One simulated event: centred at ``time`` (MJD), ``width_d`` long, ``amplitude`` the largest relative change.

    The width is the decay time of a flare, the full width at half depth of a dip, the duration of a transit, the
    period of a sinusoid, and the Einstein time of a microlensing event.
    """

    shape: Shape
    time: float
    width_d: float
    amplitude: float

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ParameterError(f"there is no shape {self.shape!r}", hint=f"Shapes are {', '.join(SHAPES)}.")
        if not (self.width_d > 0.0 and np.isfinite(self.width_d)):
            raise ParameterError(f"the width of an injected event must be positive, and {self.width_d:g} is not")
        if not (self.amplitude >= 0.0 and np.isfinite(self.amplitude)):
            raise ParameterError(f"the amplitude of an injected event must not be negative: {self.amplitude:g}")

    def relative_change(self, mjd: Floats) -> Floats:
        """Relative change of the flux at these times, shape as given."""
        phase = (mjd - self.time) / self.width_d
        if self.shape == "microlensing":
            return _paczynski(phase, self.amplitude)
        return self.amplitude * _OF_AMPLITUDE[self.shape](phase)

    def into(self, mjd: Floats, flux: Floats, usual_flux: float) -> Floats:
        """The fluxes with this event in them; its size is relative to the star's usual flux."""
        return flux + usual_flux * self.relative_change(mjd)


def _paczynski(phase: Floats, amplitude: float) -> Floats:
    """Point source and point lens (Paczynski 1986), with the impact parameter that gives 1 + amplitude at the peak."""
    if amplitude == 0.0:
        return np.zeros_like(phase)
    peak = 1.0 + amplitude
    # A(u) = (u^2 + 2) / (u sqrt(u^2 + 4)), solved for u^2
    u2 = phase**2 + 2.0 * (peak / np.sqrt(peak**2 - 1.0) - 1.0)
    return np.asarray((u2 + 2.0) / np.sqrt(u2 * (u2 + 4.0)) - 1.0, np.float64)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What fraction of injected events was found, in bins of amplitude. Arrays have shape (bins,), edges (bins + 1,).

    ``fraction`` is NaN in bins without an injection; ``low`` and ``high`` are Wilson's interval of one sigma.
    """

    edges: Floats
    injected: Indices
    found: Indices
    fraction: Floats
    low: Floats
    high: Floats


def efficiency(amplitudes: Floats, is_found: Booleans, edges: Floats) -> Efficiency:
    """The efficiency curve of injections with these amplitudes, shape (n,) both."""
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0.0).all():
        raise ParameterError("the edges of an efficiency curve must be two or more rising numbers")
    injected = np.histogram(amplitudes, edges)[0].astype(np.int64)
    found = np.histogram(np.asarray(amplitudes)[np.asarray(is_found, np.bool_)], edges)[0].astype(np.int64)
    return efficiency_of_counts(edges, injected, found)


def efficiency_of_counts(edges: Floats, injected: Indices, found: Indices) -> Efficiency:
    """The same from counts in bins, as a run adds them up."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = found / injected
        # Wilson (1927) for z = 1
        centre = (found + 0.5) / (injected + 1.0)
        half = np.sqrt(fraction * (1.0 - fraction) * injected + 0.25) / (injected + 1.0)
    return Efficiency(edges, injected, found, fraction, centre - half, centre + half)
