"""Static pictures of light curves in time and phase: folded cycles, eclipses by epoch, O-C, periodograms, limits.

Each function draws on matplotlib axes (or makes a figure of its own) and returns the figure; nothing is shown or saved.
Magnitudes run downwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.binning import bin_light_curve
from skyvault.science.eclipse_times import Template, TimingTable
from skyvault.science.folding import LightElements, fold
from skyvault.science.periods import Periodogram
from skyvault.science.samples import float_array

#: colours that stay apart for colour-blind eyes and on paper (Okabe & Ito 2008)
INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#999999"


def _axes(ax: Any, size: tuple[float, float] = (7.0, 4.0)) -> tuple[Any, Any]:
    if ax is not None:
        return ax.figure, ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _downwards(ax: Any, are_magnitudes: bool) -> None:
    if are_magnitudes and not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_ylabel("magnitude" if are_magnitudes else "flux")


def plot_light_curve(
    time: ArrayLike,
    value: ArrayLike,
    error: ArrayLike | None = None,
    *,
    limit: ArrayLike | None = None,
    are_magnitudes: bool = True,
    time_label: str = "MJD (TDB, barycentre)",
    ax: Any = None,
) -> Any:
    """Detections as dots with their errors; an upper limit (``limit`` where ``value`` is NaN) as a grey triangle."""
    figure, ax = _axes(ax)
    times, values = float_array(time, "times"), float_array(value, "values")
    seen = np.isfinite(times) & np.isfinite(values)
    if limit is not None:
        limits = float_array(limit, "limits")
        only = np.isfinite(times) & ~np.isfinite(values) & np.isfinite(limits)
        # it points to where the star may be: fainter
        ax.plot(times[only], limits[only], marker="v", color=GREY, markersize=3, linestyle="none", alpha=0.5, zorder=1)
    if error is not None:
        errors = float_array(error, "errors")[seen]
        errors = np.where(np.isfinite(errors), errors, 0.0)
        ax.errorbar(times[seen], values[seen], errors, fmt="none", ecolor=GREY, elinewidth=0.6, zorder=2)
    ax.plot(times[seen], values[seen], ".", color=INK, markersize=3, zorder=3)
    ax.set_xlabel(time_label)
    _downwards(ax, are_magnitudes)
    return figure


def plot_folded(
    time: ArrayLike,
    value: ArrayLike,
    elements: LightElements,
    *,
    band: ArrayLike | None = None,
    template: Template | None = None,
    are_magnitudes: bool = True,
    ax: Any = None,
) -> Any:
    """One and a half cycles of the folded light curve, each band in its colour, with the mean cycle over it."""
    figure, ax = _axes(ax)
    values = float_array(value, "values")
    phase = fold(time, elements).phase
    names = np.zeros(len(values), np.int64) if band is None else np.asarray(band)
    palette = (INK, BLUE, ORANGE, GREEN, GREY)
    for number, name in enumerate(np.unique(names)):
        rows = (names == name) & np.isfinite(values) & np.isfinite(phase)
        x, y = phase[rows], values[rows]
        x, y = np.r_[x, x[x < 0.0] + 1.0], np.r_[y, y[x < 0.0]]
        ax.plot(
            x, y, ".", color=palette[number % 5], markersize=2.5, alpha=0.6, label=None if band is None else str(name)
        )
    if template is not None:
        grid = np.linspace(-0.5, 1.0, 601)
        ax.plot(grid, template.at(grid), color=ORANGE, linewidth=1.5)
    ax.set_xlim(-0.5, 1.0)
    ax.set_xlabel(f"phase (P = {elements.period:.8g} d, phase 0 at {elements.epoch:.8g})")
    _downwards(ax, are_magnitudes)
    if band is not None:
        ax.legend(frameon=False, fontsize="small")
    return figure


def plot_eclipses_by_epoch(
    time: ArrayLike,
    value: ArrayLike,
    elements: LightElements,
    epochs: ArrayLike,
    *,
    template: Template | None = None,
    timing: TimingTable | None = None,
    reach: float = 0.5,
    are_magnitudes: bool = True,
    epoch_label: str = "year",
) -> Any:
    """The folded light curve of each epoch in a row of its own, oldest on top: a drifting period walks sideways.

    ``epochs`` are edges of time (MJD when ``epoch_label`` is "year"); ``timing`` marks the time observed in each in
    orange. Green: medians of at least five measurements in a 25th of the range. Grey: the template.
    """
    from matplotlib.figure import Figure

    edges = float_array(epochs, "epochs")
    times, values = float_array(time, "times"), float_array(value, "values")
    phase = fold(times, elements).phase
    number = np.searchsorted(edges, times, side="right") - 1
    good = np.isfinite(values) & np.isfinite(phase) & (number >= 0) & (number < len(edges) - 1)
    used = np.unique(number[good])
    if not 1 <= len(used) <= 40:
        raise ParameterError(
            f"{len(used)} epochs hold measurements, but 1 to 40 can be drawn", hint="Take wider epochs."
        )
    figure = Figure(figsize=(7.0, 1.0 + 0.95 * len(used)), layout="constrained")
    rows = figure.subplots(len(used), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    steps = np.linspace(-reach, reach, 26)
    for ax, epoch in zip(rows, used.tolist(), strict=True):
        here = good & (number == epoch)
        ax.plot(phase[here], values[here], ".", color=INK, markersize=2.5, alpha=0.7)
        if template is not None:
            grid = np.linspace(-reach, reach, 401)
            ax.plot(grid, template.at(grid), color=GREY, linewidth=1.0)
        means = bin_light_curve(phase[here], values[here], edges=steps, statistic="median")
        solid = means.count >= 5
        ax.errorbar(
            means.center[solid],
            means.value[solid],
            means.error[solid],
            fmt="o",
            color=GREEN,
            markersize=4,
            linewidth=1.2,
        )
        ax.axvline(0.0, color=BLUE, linewidth=0.6)
        if timing is not None:
            place = (timing.first >= edges[epoch]) & (timing.last < edges[epoch + 1]) & np.isfinite(timing.error)
            for shift in (timing.o_minus_c[place] / elements.period).tolist():
                ax.axvline(shift, color=ORANGE, linewidth=1.2)
        ends = edges[epoch : epoch + 2]
        if epoch_label == "year":
            ends = 2000.0 + (ends - 51544.5) / 365.25
        text = f"{ends[0]:.0f}-{ends[1]:.0f}  n={int(here.sum())}"
        ax.text(0.01, 0.08, text, transform=ax.transAxes, fontsize="x-small", color=BLUE)
    _downwards(rows[0], are_magnitudes)
    middle = len(used) // 2
    for ax in rows:
        ax.set_ylabel("")
    rows[middle].set_ylabel("magnitude" if are_magnitudes else "flux")
    shown = values[good]
    low, high = np.percentile(shown, [0.5, 99.5])
    margin = 0.1 * (high - low) or 1.0
    rows[0].set_ylim((high + margin, low - margin) if are_magnitudes else (low - margin, high + margin))
    rows[-1].set_xlim(-reach, reach)
    rows[-1].set_xlabel(f"phase (P = {elements.period:.8g} d)")
    return figure


def plot_timing(timing: TimingTable, *, fitted: LightElements | None = None, ax: Any = None) -> Any:
    """Observed minus calculated (hours) against cycle, with errors; the rule ``fitted`` as a line."""
    figure, ax = _axes(ax)
    good = np.isfinite(timing.error)
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    ax.errorbar(
        timing.cycle[good], 24.0 * timing.o_minus_c[good], 24.0 * timing.error[good], fmt="o", color=INK, markersize=4
    )
    if fitted is not None and good.any():
        cycle = np.linspace(timing.cycle[good].min(), timing.cycle[good].max(), 200)
        ax.plot(cycle, 24.0 * (fitted.times(cycle) - timing.elements.times(cycle)), color=ORANGE)
    ax.set_xlabel(f"cycle (P = {timing.elements.period:.8g} d)")
    ax.set_ylabel("O - C (hours)")
    return figure


def plot_periodogram(
    periodogram: Periodogram, *, levels: tuple[float, ...] = (0.01,), peaks: int = 3, ax: Any = None
) -> Any:
    """Power against frequency, its highest peaks with their periods, and the false-alarm levels asked for."""
    figure, ax = _axes(ax)
    frequency, power = _thinned(periodogram.frequency, periodogram.power)
    ax.plot(frequency, power, color=INK, linewidth=0.6)
    for level in levels:
        height = periodogram.false_alarm_level(level)
        ax.axhline(height, color=ORANGE, linewidth=0.8, linestyle="--")
        ax.text(frequency[-1], height, f"{100 * level:g} %", color=ORANGE, fontsize="x-small", ha="right", va="bottom")
    for peak in periodogram.peaks(peaks):
        ax.annotate(f"{peak.period:.6g}", (peak.frequency, peak.power), color=BLUE, fontsize="small", ha="left")
    ax.set_xlim(frequency[0], frequency[-1])
    ax.set_ylim(0.0, 1.1 * float(power.max()) or 1.0)
    ax.set_xlabel("frequency (cycles a day)")
    ax.set_ylabel("power")
    return figure


def _thinned(x: Any, y: Any, most: int = 20_000) -> tuple[Any, Any]:
    """No more points than a picture shows: of each stretch the highest, so that no peak is lost."""
    if len(x) <= most:
        return x, y
    width = -(-len(x) // most)
    starts = np.arange(0, len(x), width)
    return x[starts], np.maximum.reduceat(y, starts)
