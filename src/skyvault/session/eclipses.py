"""Eclipses of a light curve by epoch: when they came against when they should have, and pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.science.eclipse_times import Template, TimingTable
    from skyvault.science.folding import LightElements
    from skyvault.session.periodic_curve import PeriodicCurve

Floats = np.ndarray[Any, np.dtype[np.float64]]
#: spans a century is cut into when none are given: eclipses of 8 years of plates can be timed
_USUAL_SPAN_YEARS: Final = 8.0
_J2000_MJD: Final = 51_544.5


@dataclass(frozen=True)
class Eclipses:
    """Eclipses of one star: the elements they are counted by, their mean shape, and a row of times for each epoch.

    ``edges`` are the epochs' ends as Julian years, shape (n + 1,).
    """

    elements: LightElements
    template: Template = field(repr=False)
    timing: TimingTable = field(repr=False)
    edges: Floats = field(repr=False)
    _good: tuple[Floats, Floats] = field(repr=False)

    def __len__(self) -> int:
        return int(np.isfinite(self.timing.error).sum())

    def drifting(self) -> LightElements:
        """Elements with a period that changes evenly, fitted to the times. Raises ParameterError for fewer than 3."""
        return self.timing.fitted(is_quadratic=True)

    def plot(self, reach: float = 0.5) -> Figure:
        """Each epoch folded in a row of its own, oldest on top; a period that drifts walks sideways."""
        from skyvault.science.time_series_plot import plot_eclipses_by_epoch

        mjd, mag = self._good
        return plot_eclipses_by_epoch(  # type: ignore[no-any-return]
            mjd, mag, self.elements, _mjd(self.edges), template=self.template, timing=self.timing, reach=reach
        )

    def plot_timing(self) -> Figure:
        """Observed minus calculated against cycle, with the drifting elements where three epochs or more are timed."""
        from skyvault.science.time_series_plot import plot_timing

        fitted = self.drifting() if len(self) >= 3 else None
        return plot_timing(self.timing, fitted=fitted)  # type: ignore[no-any-return]


def eclipses(
    curve: PeriodicCurve,
    period: float | LightElements,
    *,
    years: Sequence[float] | None = None,
    widest_shift: float = 0.2,
) -> Eclipses:
    """See :meth:`skyvault.session.periodic_curve.PeriodicCurve.eclipses`."""
    from skyvault.science.eclipse_times import single_eclipse, time_eclipses
    from skyvault.science.folding import LightElements

    mjd, mag, error, band = curve.series().good
    if len(mjd) < 10:
        raise ParameterError(f"{len(mjd)} good measurements are too few for eclipses: 10 are needed")
    # bands and missions differ in zero point
    _, number = np.unique(band, return_inverse=True)
    middle = np.array([np.median(mag[number == one]) for one in range(number.max() + 1)])
    mag = mag - middle[number] + middle[0]
    known = np.isfinite(error) & (error > 0.0)
    sigma = np.where(known, error, np.median(error[known])) if known.any() else None
    elements = period if isinstance(period, LightElements) else LightElements(float(period))
    if not isinstance(period, LightElements):
        # phase 0 is put in the middle of the eclipse, in the middle of the measurements
        shape = single_eclipse(mjd, mag, elements, error=sigma)
        cycle = np.round(elements.cycles(np.array([np.median(mjd)]))[0])
        elements = LightElements(elements.period, float(elements.times(cycle + shape.phase[np.argmax(shape.value)])))
    template = single_eclipse(mjd, mag, elements, error=sigma)
    edges = _edges(mjd) if years is None else np.asarray(years, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0.0).all():
        raise ParameterError("years are the ends of epochs, ascending: at least two")
    timing = time_eclipses(
        mjd, mag, sigma, elements=elements, template=template, epochs=_mjd(edges), widest_shift=widest_shift
    )
    return Eclipses(elements, template, timing, edges, (mjd, mag))


def _edges(mjd: Floats) -> Floats:
    first, last = (2000.0 + (np.array([mjd.min(), mjd.max()]) - _J2000_MJD) / 365.25).tolist()
    count = max(1, round((last - first) / _USUAL_SPAN_YEARS))
    edges = np.linspace(first, last, count + 1)
    edges[-1] += 1e-6
    return edges


def _mjd(years: Floats) -> Floats:
    return np.asarray(_J2000_MJD + 365.25 * (years - 2000.0), np.float64)
