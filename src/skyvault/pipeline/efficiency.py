"""How complete a run is, and how rare what it looked for: efficiency curves of injections, rates and upper limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.histogram import Histogram
from skyvault.science.histogram import CountGrid, FixedAxis, NamedAxis
from skyvault.science.injection import SHAPES, Efficiency, efficiency_of_counts
from skyvault.science.rates import Rate, event_rate

#: axes of the histogram of injections, which all runs share so that they can be added
SCORE_COORDS: Final = {"amplitude": [-3, 2, 0.1, "log10"]}
OBS_COORDS: Final = {"shape": [], "found": [0, 1, 1], "width": [-3, 3, 0.5, "log10 d"]}
SOURCE_COORDS: Final = {"mag": [8, 24, 1, "mag"]}
#: shapes that make a star fainter
_DIPS: Final = ("dip", "transit")


def count_injections(histogram: Histogram, events: Sequence[Any], is_found: Sequence[bool], mag: float | None) -> None:
    """Count injections with whether they were found, by shape, amplitude, width and magnitude of the source."""
    if not events:
        return
    histogram.add_data(
        {
            "shape": np.array([event.shape for event in events]),
            "found": np.asarray(is_found, np.float64),
            "width": np.log10([event.width_d for event in events]),
            "mag": 99.0 if mag is None or mag != mag else mag,
            "amplitude": np.log10(np.maximum([event.amplitude for event in events], 1e-9)),
        }
    )


def efficiency_curve(
    injections: Histogram, *, shape: str | None = None, mag: tuple[float, float] | None = None,
    width_d: tuple[float, float] | None = None,
) -> Efficiency:  # fmt: skip
    """The fraction of injected events that was found, against their amplitude (relative change of flux; edges rise by
    a tenth of a decade); of one shape, of sources and widths in a range where asked.

    Raises ParameterValueError for a shape that was not injected.
    """
    grid = injections.grids["amplitude"]
    counts = _narrowed(grid, "shape", shape)
    counts = _in_range(grid, counts, "mag", mag)
    counts = _in_range(grid, counts, "width", None if width_d is None else tuple(np.log10(width_d).tolist()))
    numbers = {axis.name: number for number, axis in enumerate(grid.axes)}
    keep = (numbers["found"], numbers["amplitude"])
    table = counts.sum(axis=tuple(n for n in range(counts.ndim) if n not in keep))
    axis = grid.axes[numbers["amplitude"]]
    assert isinstance(axis, FixedAxis)
    # bins of what lies beyond the axis have no edges
    table = table[:, 1:-1]
    edges = 10.0 ** np.r_[axis.centres - axis.step / 2.0, axis.centres[-1] + axis.step / 2.0]
    return efficiency_of_counts(edges, table[1] + table[2], table[2])


def _narrowed(grid: CountGrid, name: str, wanted: str | None) -> Any:
    number = next(n for n, axis in enumerate(grid.axes) if axis.name == name)
    axis = grid.axes[number]
    assert isinstance(axis, NamedAxis)
    if wanted is None:
        return grid.counts
    if wanted not in axis.names:
        known = ", ".join(axis.names) or "none"
        raise ParameterValueError(f"no events of shape {wanted!r} were injected", hint=f"Injected were: {known}.")
    return np.take(grid.counts, [axis.names.index(wanted)], axis=number)


def _in_range(grid: CountGrid, counts: Any, name: str, wanted: Any) -> Any:
    if wanted is None:
        return counts
    number = next(n for n, axis in enumerate(grid.axes) if axis.name == name)
    axis = grid.axes[number]
    assert isinstance(axis, FixedAxis)
    # what lies beyond the axis stands for the next bin there
    centres = axis.start + axis.step * np.arange(-1, axis.size - 1)
    inside = (centres >= wanted[0] - 1e-9) & (centres <= wanted[1] + 1e-9)
    return np.compress(inside, counts, axis=number)


@dataclass(frozen=True, slots=True)
class AmplitudeRate:
    """The rate of events with a relative amplitude from ``low`` to below ``high``, per epoch or star-day."""

    low: float
    high: float
    efficiency: float
    rate: Rate


def event_rates(
    good_scores: Histogram, injections: Histogram, detections: Iterable[Any], *, shape: str,
    bins: Sequence[float] = (0.01, 0.1, 1.0, 10.0), duration_d: float | None = None, background: float = 0.0,
    confidence: float = 0.95,
) -> list[AmplitudeRate]:  # fmt: skip
    """Rates and upper limits of events of one shape, in bins of amplitude, from the histograms of a run.

    The exposure is the number of good epochs that were searched, times the fraction of injected events found there;
    with ``duration_d``, how long an event is above the threshold, it is star-days and the rate one a star and day
    (snapshots: epochs farther apart than an event lasts). Real detections (not simulated, of good quality) count by
    the change of flux at their peak. ``background`` is how many of them in each bin are expected to be none (0 gives
    the largest, safest limits); :func:`skyvault.science.rates.false_detections` says it of Gaussian noise. Bins are
    those of the efficiency curve, a tenth of a decade, put together.
    """
    if shape not in SHAPES:
        raise ParameterValueError(f"there is no shape {shape!r}", hint=f"Shapes are {', '.join(SHAPES)}.")
    edges = np.asarray(bins, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0.0).all() or not edges[0] > 0.0:
        raise ParameterValueError("the bins of rates must be two or more rising positive amplitudes")
    exposure = float(next(iter(good_scores.grids.values())).total)
    if duration_d is not None:
        exposure *= duration_d
    curve = efficiency_curve(injections, shape=shape)
    centres = np.sqrt(curve.edges[1:] * curve.edges[:-1])
    is_dip = shape in _DIPS
    found = [
        abs(10.0 ** (0.4 * one.peak_mag_diff) - 1.0) for one in detections
        if not one.simulated and not one.quality_flag and one.peak_mag_diff is not None
        and (one.peak_mag_diff < 0.0) == is_dip
    ]  # fmt: skip
    number = np.histogram(found, edges)[0].tolist()
    rates = []
    for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), number, strict=True):
        inside = (centres >= low) & (centres < high)
        injected = int(curve.injected[inside].sum())
        fraction = float(curve.found[inside].sum()) / injected if injected else 0.0
        one = event_rate(count, exposure, fraction, background=background, confidence=confidence)
        rates.append(AmplitudeRate(low, high, fraction, one))
    return rates
