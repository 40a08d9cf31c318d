"""Pictures of a report: sky, magnitudes, epochs, coverage, scores, efficiency, and events in their light curves.

Each function returns a PNG, or None where there is nothing to draw. East is left, magnitudes run downwards.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.science.histogram import CountGrid, FixedAxis, NamedAxis
from skyvault.sky.cells import cell_of

if TYPE_CHECKING:
    from skyvault.pipeline.report_facts import FoundEvent, PeriodicSource, ReportFacts
    from skyvault.science.samples import Floats

#: colours that stay apart for colour-blind eyes and on paper (Okabe & Ito 2008)
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
_SERIES: Final = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW)
_INK, _SOFT, _LINE = "#1b2233", "#5c6780", "#d9deea"
#: a list of sources narrower than this (degrees) is drawn as a field, not on the whole sky
_FIELD_DEG: Final = 25.0
_DPI: Final = 130
_MJD_OF_J2000: Final = 51544.5
_ROUNDED_D: Final = 1e-9


def _figure(width: float, height: float, **more: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # the object interface: no display, no global state
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white", layout="constrained", **more)
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Any) -> Any:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_SOFT)
    axes.tick_params(colors=_SOFT, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
        label.set_fontsize(9)
    axes.grid(True, color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _png(figure: Any) -> bytes:
    from PIL import Image

    held = io.BytesIO()
    figure.savefig(held, format="png", facecolor="white")
    # a palette instead of true colour: a third of the bytes, and nobody sees the difference
    with Image.open(held) as picture:
        smaller = picture.convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    smaller.save(packed, format="png", optimize=True)
    return packed.getvalue()


# --- the sky -------------------------------------------------------------------------------------------------------


def sky_map(facts: ReportFacts) -> bytes | None:
    """All sources, and those with detections marked: on the whole sky (Mollweide, equal area) or as a field."""
    if not facts.cell_counts.any():
        return None
    field = _field(facts)
    return _whole_sky(facts) if field is None else _small_field(facts, *field)


def _field(facts: ReportFacts) -> tuple[float, float, float] | None:
    """Centre and radius (degrees) where all sources lie close together."""
    from skyvault.pipeline.report_facts import MAP_ORDER
    from skyvault.sky.cells import cell_centers

    used = np.flatnonzero(facts.cell_counts)
    lon, lat = (np.radians(np.asarray(one)) for one in cell_centers(MAP_ORDER, used.astype(np.uint64)))
    vectors = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    middle = vectors.mean(axis=1)
    length = float(np.linalg.norm(middle))
    if length < 0.5:
        return None
    middle /= length
    reach = math.degrees(math.acos(float(np.clip((middle @ vectors).min(), -1.0, 1.0))))
    if reach > _FIELD_DEG:
        return None
    ra = math.degrees(math.atan2(middle[1], middle[0])) % 360.0
    return ra, math.degrees(math.asin(middle[2])), reach


def _whole_sky(facts: ReportFacts) -> bytes:
    figure = _figure(9.2, 4.5)
    axes = figure.add_subplot(projection="mollweide")
    total = facts.status.record.sources
    if facts.cell_counts.sum() > len(facts.points):
        drawn = _density(facts, axes)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.03)
        bar.set_label("sources a square degree", fontsize=8, color=_INK)
        bar.ax.tick_params(labelsize=7, colors=_SOFT)
        bar.outline.set_visible(False)
    else:
        size = 14.0 if len(facts.points) < 300 else 5.0 if len(facts.points) < 1500 else 2.0
        axes.scatter(*_on_map(facts.points), s=size, c=_SOFT, alpha=0.75, linewidths=0, label=f"{total:,} sources")
    if len(facts.marked):
        axes.scatter(
            *_on_map(facts.marked[:, :2]), s=26, facecolors="none", edgecolors=ORANGE, linewidths=1.1,
            label=f"{facts.marked_all:,} with detections", zorder=4,
        )  # fmt: skip
    axes.grid(True, color=_LINE, linewidth=0.6)
    axes.set_xticks(np.radians([-120, -60, 0, 60, 120]), labels=["8h", "4h", "0h", "20h", "16h"])
    axes.set_yticks(np.radians([-60, -30, 0, 30, 60]))
    axes.tick_params(colors=_SOFT, labelsize=7.5)
    axes.spines["geo"].set_color(_SOFT)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.02, -0.06), fontsize=8, frameon=False, labelcolor=_INK)
    return _png(figure)


def _on_map(places: Floats) -> tuple[Floats, Floats]:
    return -np.radians((places[:, 0] + 180.0) % 360.0 - 180.0), np.radians(places[:, 1])


def _density(facts: ReportFacts, axes: Any) -> Any:
    from matplotlib.colors import LogNorm

    from skyvault.pipeline.report_facts import MAP_ORDER

    x = np.linspace(-180.0, 180.0, 721)
    y = np.linspace(-90.0, 90.0, 361)
    lon, lat = np.meshgrid((x[1:] + x[:-1]) / 2.0, (y[1:] + y[:-1]) / 2.0)
    area = 4.0 * math.pi * math.degrees(1.0) ** 2 / len(facts.cell_counts)
    cells = np.asarray(cell_of(MAP_ORDER, (-lon.ravel()) % 360.0, lat.ravel()), np.int64)
    values = (facts.cell_counts[cells] / area).reshape(lon.shape)
    shown = np.ma.masked_equal(values, 0.0)
    high = float(shown.max())
    return axes.pcolormesh(
        np.radians(x), np.radians(y), shown, cmap="Blues", norm=LogNorm(max(high / 1e3, 0.3 / area), high),
        rasterized=True,
    )  # fmt: skip


def _small_field(facts: ReportFacts, ra: float, dec: float, reach: float) -> bytes:
    figure = _figure(5.6, 4.5)
    axes = _tidy(figure.add_subplot())
    axes.set_aspect("equal")

    def offsets(places: Floats) -> tuple[Floats, Floats]:
        east = ((places[:, 0] - ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(places[:, 1]))
        return east, places[:, 1] - dec

    total = facts.status.record.sources
    size = 14.0 if len(facts.points) < 300 else 4.0
    label = f"{total:,} sources"
    if facts.cell_counts.sum() > len(facts.points):
        label = f"{len(facts.points):,} of {total:,} sources"
    axes.scatter(*offsets(facts.points), s=size, c=_SOFT, alpha=0.75, linewidths=0, label=label)
    if len(facts.marked):
        axes.scatter(
            *offsets(facts.marked[:, :2]), s=30, facecolors="none", edgecolors=ORANGE, linewidths=1.2,
            label=f"{facts.marked_all:,} with detections",
        )  # fmt: skip
    axes.invert_xaxis()
    axes.set_xlabel(f"offset east of {ra:.3f}° (degrees on the sky)")
    axes.set_ylabel(f"offset north of {dec:+.3f}° (degrees)")
    figure.legend(loc="outside upper left", fontsize=8, frameon=False, ncols=2, labelcolor=_INK)
    return _png(figure)


# --- counts --------------------------------------------------------------------------------------------------------


def magnitudes(facts: ReportFacts) -> bytes | None:
    """Sources by magnitude, and those with detections among them."""
    from skyvault.pipeline.report_facts import MAG_EDGES

    if not facts.mags.any():
        return None
    used = np.flatnonzero(facts.mags)
    part = slice(max(used[0] - 1, 0), min(used[-1] + 2, len(facts.mags)))
    figure = _figure(4.6, 2.9)
    axes = _tidy(figure.add_subplot())
    edges = MAG_EDGES[part.start : part.stop + 1]
    axes.stairs(facts.mags[part], edges, fill=True, color=SKY, alpha=0.55, label="all sources")
    if facts.mags_found.any():
        axes.stairs(facts.mags_found[part], edges, fill=True, color=ORANGE, label="with detections")
    if facts.mags.max() > 2000:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6)
    axes.set_xlabel("magnitude in the target list")
    axes.set_ylabel("sources")
    axes.legend(fontsize=8, frameon=False, labelcolor=_INK)
    return _png(figure)


def epochs(facts: ReportFacts) -> bytes | None:
    """Sources by how many epochs they have."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from skyvault.pipeline.report_facts import EPOCH_EDGES

    counts = facts.epochs_of_sources[1:]
    if not counts.any():
        return None
    used = np.flatnonzero(counts)
    low, high = max(used[0] - 3, 0), min(used[-1] + 4, len(counts))
    figure = _figure(4.6, 2.9)
    axes = _tidy(figure.add_subplot())
    axes.stairs(counts[low:high], EPOCH_EDGES[1:][low : high + 1], fill=True, color=GREEN, alpha=0.7)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if counts.max() > 50 * counts[used].min():
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6)
    axes.set_xlabel("epochs of a source, all filters")
    axes.set_ylabel("sources")
    return _png(figure)


def coverage(facts: ReportFacts) -> bytes | None:
    """How many light curves are under way at each time, by observatory and filter."""
    if not facts.coverage:
        return None
    figure = _figure(9.2, 2.7)
    axes = _tidy(figure.add_subplot())
    years = 2000.0 + (facts.time_edges - _MJD_OF_J2000) / 365.25
    for one, color in zip(facts.coverage, _SERIES, strict=False):
        axes.stairs(one.counts, years, color=color, linewidth=1.6, label=f"{one.label} ({one.epochs:,} epochs)")
    axes.set_xlim(years[0], years[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("year")
    axes.set_ylabel("light curves under way")
    axes.ticklabel_format(axis="x", useOffset=False)
    figure.legend(loc="outside upper left", fontsize=8, frameon=False, ncols=min(3, len(facts.coverage)),
                  labelcolor=_INK)  # fmt: skip
    return _png(figure)


def scores(facts: ReportFacts) -> bytes | None:
    """Epochs by score, all and those of good quality, beside what pure Gaussian noise would give."""
    found = {name: facts.histograms.get(name, {}).get("snr") for name in ("all_scores", "good_scores")}
    every = found["all_scores"]
    if every is None or not every.total:
        return None
    axis = next(one for one in every.axes if one.name == "snr")
    if not isinstance(axis, FixedAxis):
        return None
    figure = _figure(4.6, 2.9)
    axes = _tidy(figure.add_subplot())
    edges = np.append(axis.centres - axis.step / 2.0, axis.stop + axis.step / 2.0)
    top = 1.0
    for grid, color, label in ((every, _SOFT, "all epochs"), (found["good_scores"], BLUE, "of good quality")):
        if grid is not None and grid.total:
            counts = grid.marginal("snr")[1:-1]
            top = max(top, float(counts.max()))
            axes.stairs(counts, edges, color=color, linewidth=1.3, label=label)
    centres = axis.centres
    good = found["good_scores"] if found["good_scores"] is not None and found["good_scores"].total else every
    noise = good.total * axis.step / math.sqrt(2.0 * math.pi) * np.exp(-0.5 * centres**2)
    axes.plot(
        centres[noise > 0.3], noise[noise > 0.3], color=GREEN, linewidth=1.0, linestyle="--", label="Gaussian noise"
    )
    if facts.threshold is not None:
        for sign in (-1.0, 1.0):
            axes.axvline(sign * facts.threshold, color=ORANGE, linewidth=1.0, label="threshold" if sign > 0 else None)
    used = centres[every.marginal("snr")[1:-1] > 0]
    reach = max(8.0, float(np.abs(used).max()) if len(used) else 0.0, 1.3 * (facts.threshold or 0.0))
    axes.set_xlim(-reach, reach)
    axes.set_yscale("log")
    axes.set_ylim(0.5, 4.0 * top)
    axes.set_xlabel("score of an epoch (S/N)")
    axes.set_ylabel("epochs")
    axes.legend(fontsize=7, framealpha=0.9, edgecolor="none", labelcolor=_INK, loc="upper right")
    return _png(figure)


def efficiency(facts: ReportFacts) -> bytes | None:
    """The fraction of injected events that was found, by amplitude and shape; bars are one sigma (Wilson 1927)."""
    curves = recovered(facts)
    if not curves:
        return None
    figure = _figure(4.6, 2.9)
    axes = _tidy(figure.add_subplot())
    for (shape, amplitude, hit, tried), color in zip(curves, _SERIES, strict=False):
        fraction = hit / tried
        middle, half = wilson(hit, tried)
        axes.errorbar(
            amplitude, fraction, [np.maximum(fraction - middle + half, 0.0), np.maximum(middle + half - fraction, 0.0)],
            color=color, marker="o", markersize=3.5, linewidth=1.2, elinewidth=0.8, capsize=0,
            label=f"{shape} ({int(tried.sum()):,} injected)",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("amplitude of the event (relative flux)")
    axes.set_ylabel("fraction found")
    axes.legend(fontsize=8, frameon=False, labelcolor=_INK, loc="best")
    return _png(figure)


def recovered(facts: ReportFacts) -> list[tuple[str, Floats, Floats, Floats]]:
    """For each shape: amplitudes, events found and events injected, shape (n,); bins without events are left out."""
    grid = facts.histograms.get("injections", {}).get("amplitude")
    if grid is None or not grid.total or not _has(grid, "shape", "found", "amplitude"):
        return []
    shapes = next(axis for axis in grid.axes if axis.name == "shape")
    axis = next(axis for axis in grid.axes if axis.name == "amplitude")
    fates = next(axis for axis in grid.axes if axis.name == "found")
    if not (isinstance(shapes, NamedAxis) and isinstance(axis, FixedAxis) and isinstance(fates, FixedAxis)):
        return []
    counts = grid.marginal("shape", "found", "amplitude").astype(np.float64)
    hits = counts[:, int(fates.bins(1.0)), 1:-1]
    tried = counts[:, :, 1:-1].sum(axis=1)
    amplitude = 10.0**axis.centres
    made = []
    for number, shape in enumerate(shapes.names):
        some = tried[number] > 0
        if some.any():
            made.append((shape, *_coarser(amplitude[some], hits[number][some], tried[number][some])))
    return made


def _coarser(amplitude: Floats, hits: Floats, tried: Floats) -> tuple[Floats, Floats, Floats]:
    """Neighbouring bins put together until most have thirty events; an amplitude is the geometric mean of its bin."""
    size = int(np.clip(np.ceil(30.0 / max(float(np.median(tried)), 1.0)), 1, 6))
    starts = np.arange(0, len(tried), size)
    together = np.add.reduceat(tried, starts)
    middle = np.exp(np.add.reduceat(np.log(amplitude) * tried, starts) / together)
    return middle, np.add.reduceat(hits, starts), together


def _has(grid: CountGrid, *names: str) -> bool:
    return set(names) <= {axis.name for axis in grid.axes}


def wilson(hits: Floats, tried: Floats) -> tuple[Floats, Floats]:
    """Middle and half width of the one-sigma interval of a fraction (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    fraction = hits / tried
    scale = 1.0 + 1.0 / tried
    middle = (fraction + 0.5 / tried) / scale
    return middle, np.sqrt(fraction * (1.0 - fraction) / tried + 0.25 / tried**2) / scale


# --- events --------------------------------------------------------------------------------------------------------


def event(found: FoundEvent) -> bytes | None:
    """The light curve of a detection, all seasons (left) and the time around the event (right)."""
    from skyvault.pipeline.report_facts import _mjd

    if found.curve is None:
        return None
    one = found.detection
    peak = _mjd(one.peak_time)
    first, last = _mjd(one.time_start), _mjd(one.time_end)
    if peak is None or first is None or last is None:
        return None
    figure = _figure(5.4, 2.25)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1.0])
    time = np.concatenate([curve.data["mjd"] for curve in found.seasons])
    mag = np.concatenate([curve.data["mag"] for curve in found.seasons])
    error = np.concatenate([curve.data["magerr"] for curve in found.seasons])
    flag = np.concatenate([curve.is_flagged for curve in found.seasons])
    known = np.isfinite(time) & np.isfinite(mag)
    time, mag, error, flag = time[known], mag[known], np.nan_to_num(error[known]), flag[known]
    if not len(time):
        return None
    # the database keeps microseconds
    inside = (time >= first - _ROUNDED_D) & (time <= last + _ROUNDED_D)
    reach = _reach(time, peak, first, last)
    for axes, zero, unit in ((_tidy(left), 0.0, 1.0), (_tidy(right), peak, _unit(reach))):
        x = (time - zero) / unit
        near = np.abs(time - peak) <= reach if axes is right else np.ones(len(time), bool)
        small = 2.2 if axes is left else 3.5
        for chosen, color, size in (
            (near & flag & ~inside, "#b8bfcc", small),
            (near & ~flag & ~inside, BLUE, small),
            (near & inside, ORANGE, small + 1.6),
        ):
            if chosen.any():
                axes.errorbar(
                    x[chosen], mag[chosen], error[chosen], fmt="o", markersize=size, color=color, elinewidth=0.6,
                    alpha=0.9, markeredgewidth=0,
                )  # fmt: skip
    left.set_xlabel("MJD")
    left.ticklabel_format(axis="x", useOffset=False)
    left.locator_params(axis="x", nbins=5)
    left.set_ylabel(f"{one.filter or one.observatory} (mag)")
    right.set_xlim(-reach / _unit(reach), reach / _unit(reach))
    right.set_xlabel(f"{_unit_name(reach)} from the peak")
    low, high = _range(mag, error, flag & ~inside)
    left.set_ylim(high, low)
    return _png(figure)


def folded(source: PeriodicSource) -> bytes | None:
    """Two cycles of a periodic source, each filter about its own median; flagged epochs are left out."""
    parts: dict[str, list[tuple[Floats, Floats]]] = {}
    for curve in source.curves:
        good = ~curve.is_flagged & np.isfinite(curve.data["mag"])
        label = (
            f"{curve.observatory} {curve.filter}"
            if curve.filter not in (None, curve.observatory)
            else curve.observatory
        )
        parts.setdefault(label, []).append((curve.data["mjd"][good], curve.data["mag"][good]))
    figure = _figure(4.6, 2.5)
    axes = _tidy(figure.add_subplot())
    shown = 0
    values: list[Floats] = []
    for (label, pieces), color in zip(sorted(parts.items()), _SERIES, strict=False):
        mjd, mag = (np.concatenate([piece[number] for piece in pieces]) for number in (0, 1))
        if not len(mjd):
            continue
        shown += len(mjd)
        phase = np.mod((mjd - 50_000.0) / source.period, 1.0)
        change = mag - np.median(mag)
        values.append(change)
        axes.plot(
            np.concatenate([phase, phase + 1.0]), np.tile(change, 2), ".", color=color, markersize=3.2, alpha=0.75,
            markeredgewidth=0, label=label,
        )  # fmt: skip
    if not shown:
        return None
    low, high = np.quantile(np.concatenate(values), (0.002, 0.998))
    margin = 0.08 * (high - low) or 0.05
    axes.set_ylim(high + margin, low - margin)
    axes.set_xlim(0.0, 2.0)
    axes.set_xlabel(f"phase, period {source.period:.6g} d")
    axes.set_ylabel("magnitude less median")
    figure.legend(loc="outside upper left", fontsize=8, frameon=False, ncols=4, markerscale=2.5, labelcolor=_INK)
    return _png(figure)


def _range(mag: Floats, error: Floats, doubtful: Any) -> tuple[float, float]:
    """Brightest and faintest magnitude to show: flagged rows may lie outside."""
    good = mag[~doubtful] if (~doubtful).any() else mag
    usual = float(np.median(error)) if len(error) else 0.0
    margin = max(0.06 * float(np.ptp(good)), min(usual, 1.0), 0.02)
    return float(good.min()) - margin, float(good.max()) + margin


def _reach(time: Floats, peak: float, first: float, last: float) -> float:
    """Days to show around an event: thrice its length, and its nearest twenty neighbours where they are not far."""
    away = np.sort(np.abs(time - peak))
    neighbours = float(away[min(20, len(away) - 1)])
    return max(3.0 * (last - first), min(neighbours, 60.0), 1e-3) * 1.05


def _unit(reach: float) -> float:
    return 1.0 if reach > 2.0 else 1.0 / 24.0 if reach > 2.0 / 24.0 else 1.0 / 1440.0


def _unit_name(reach: float) -> str:
    return {1.0: "days", 1.0 / 24.0: "hours"}.get(_unit(reach), "minutes")
