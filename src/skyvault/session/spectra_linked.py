"""Spectra beside a diagram of their stars: choose stars in a colour-magnitude or sky plot and see their spectra.

All spectra stay faint behind; the chosen ones are bright, the active one brightest and with its error bars. One picture
for paper (matplotlib), one that moves (bokeh): there a click on a spectrum finds its star, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, ParameterError
from skyvault.session.live_view import BRIGHT, INK, Built, LiveView, telling
from skyvault.session.spectra_plot import draw_overlaid, faint_lines, flux_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.spectra import Spectrum

#: spectra that are drawn bright at once
_MOST_CHOSEN: Final = 40
#: more faint spectra than this are sent to a browser as one image
_MOST_LINES: Final = 300
#: values of wavelength, flux and error that a page holds for all spectra together, and for one at least
_MOST_VALUES: Final = 2_000_000
_LEAST_POINTS: Final = 200
_CHOSEN: Final = "#0072b2"


@dataclass(frozen=True)
class StarDiagram:
    """Where each spectrum's star lies in a plane: ``x`` and ``y`` of shape (n,), and how the axes run."""

    x: Any
    y: Any
    x_label: str
    y_label: str
    is_x_flipped: bool
    is_y_flipped: bool

    @classmethod
    def of(cls, kind: str, x: Any, y: Any, labels: tuple[str, str] | None, count: int) -> StarDiagram:
        """``kind``: "colour-magnitude" (bright above) or "sky" (east left). Raises ParameterError."""
        known = {
            "colour-magnitude": (("colour", "magnitude"), False, True),
            "sky": (("right ascension (deg)", "declination (deg)"), True, False),
        }
        if kind not in known:
            raise ParameterError(f"there is no diagram {kind!r}", hint=f"There are: {', '.join(known)}.")
        usual, flip_x, flip_y = known[kind]
        across, up = (np.ma.filled(np.ma.asarray(one, dtype=np.float64), np.nan).reshape(-1) for one in (x, y))
        if not len(across) == len(up) == count:
            raise ParameterError(f"{count} spectra need as many stars, not {len(across)} and {len(up)} values")
        return cls(across, up, *(labels or usual), flip_x, flip_y)


def plot_linked(
    spectra: Sequence[Spectrum], diagram: StarDiagram, active: int, chosen: Sequence[int], normalised: bool
) -> Figure:
    """See :meth:`skyvault.session.spectra.Spectra.plot_linked`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not spectra:
        raise NotFound("There is no spectrum to draw")
    for number in chosen:
        if not 0 <= number < len(spectra):
            raise ParameterError(f"there is no spectrum {number}: there are {len(spectra)}")
    if len(chosen) > _MOST_CHOSEN:
        raise ParameterError(f"{len(chosen)} spectra cannot be told apart", hint=f"Choose {_MOST_CHOSEN} or fewer.")
    figure = Figure(figsize=(11.0, 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    plane, axes = figure.subplots(1, 2, width_ratios=(1.0, 1.7))
    draw_overlaid(axes, spectra, active, normalised=normalised)
    for number in chosen:
        if number != active:
            line = thinned(spectra[number], normalised, 2000)
            axes.plot(line[0], line[1], color=_CHOSEN, linewidth=0.7, alpha=0.7, zorder=1.5)
    size = float(np.clip(60.0 / np.sqrt(len(spectra)), 1.0, 5.0))
    plane.plot(diagram.x, diagram.y, "o", markersize=size, color="#7f8fa6", alpha=0.6, markeredgewidth=0, zorder=1,
               rasterized=len(spectra) > 2000)  # fmt: skip
    rows = [number for number in chosen if number != active]
    plane.plot(diagram.x[rows], diagram.y[rows], "o", markersize=4, color=_CHOSEN, markeredgewidth=0, zorder=2)
    plane.plot(diagram.x[active], diagram.y[active], "o", markersize=8, markerfacecolor=BRIGHT,
               markeredgecolor="white", zorder=3)  # fmt: skip
    plane.set_xlabel(diagram.x_label)
    plane.set_ylabel(diagram.y_label)
    if diagram.is_x_flipped:
        plane.invert_xaxis()
    if diagram.is_y_flipped:
        plane.invert_yaxis()
    plane.set_title(f"{len(spectra)} stars, {len({*chosen, active})} chosen", fontsize=10, loc="left")
    return figure


def thinned(one: Spectrum, normalised: bool, most: int) -> Any:
    """Wavelength, flux and its error as float32, shape (3, n): means of neighbouring points where there are more."""
    good = np.isfinite(one.flux)
    wave, flux, error = one.wavelength[good], one.flux[good], one.error[good]
    if normalised and len(flux):
        scale = float(np.median(np.abs(flux))) or 1.0
        flux, error = flux / scale, error / scale
    if len(wave) > most:
        begins = np.linspace(0, len(wave), most, endpoint=False).astype(np.int64)
        counts = np.diff(np.r_[begins, len(wave)])
        wave, flux = np.add.reduceat(wave, begins) / counts, np.add.reduceat(flux, begins) / counts
        error = np.sqrt(np.add.reduceat(error**2, begins)) / counts
    return np.array([wave, flux, error], np.float32)


#: of the chosen stars the first is the active one
_SHOW = """
    const chosen = stars.selected.indices.slice(0, most);
    const of = (i) => [waves[Math.min(i, waves.length - 1)], fluxes[i], errors[i]];
    const xs = [], ys = [];
    for (const i of chosen) { const [w, f] = of(i); xs.push(w); ys.push(f); }
    others.data = {x: xs.slice(1), y: ys.slice(1)};
    mark.data = {x: chosen.slice(0, 1).map((i) => stars.data.x[i]), y: chosen.slice(0, 1).map((i) => stars.data.y[i])};
    bright.data = {x: chosen.length ? xs[0] : [], y: chosen.length ? ys[0] : []};
    const bars = {x: [], low: [], high: []};
    if (chosen.length) {
        const [w, f, e] = of(chosen[0]);
        const step = Math.max(1, Math.floor(w.length / 400));
        for (let k = 0; k < w.length; k += step) {
            if (!Number.isFinite(e[k])) continue;
            bars.x.push(w[k]); bars.low.push(f[k] - e[k]); bars.high.push(f[k] + e[k]);
        }
    }
    error.data = bars;
"""
#: the star whose spectrum passes nearest to the place that was clicked
_FIND = """
    let best = -1, nearest = Infinity;
    for (let i = 0; i < fluxes.length; i++) {
        const w = waves[Math.min(i, waves.length - 1)], f = fluxes[i];
        if (!w.length || cb_obj.x < w[0] || cb_obj.x > w[w.length - 1]) continue;
        let low = 0, high = w.length - 1;
        while (high - low > 1) { const mid = (low + high) >> 1; if (w[mid] <= cb_obj.x) low = mid; else high = mid; }
        const part = high === low ? 0 : (cb_obj.x - w[low]) / (w[high] - w[low]);
        const away = Math.abs(f[low] + part * (f[high] - f[low]) - cb_obj.y);
        if (away < nearest) { nearest = away; best = i; }
    }
    if (best >= 0) stars.selected.indices = [best];
"""


def live_linked(spectra: Sequence[Spectrum], diagram: StarDiagram, active: int, normalised: bool) -> LiveView:
    """See :meth:`skyvault.session.spectra.Spectra.live`."""
    if not spectra:
        raise NotFound("There is no spectrum to draw")
    if not 0 <= active < len(spectra):
        raise ParameterError(f"there is no spectrum {active}: there are {len(spectra)}")
    lines, limits, alpha = faint_lines(spectra, normalised)
    most = max(_LEAST_POINTS, _MOST_VALUES // (3 * len(spectra)))
    held = [thinned(one, normalised, most) for one in spectra]
    is_one_grid = all(one.shape == held[0].shape and np.array_equal(one[0], held[0][0]) for one in held)
    data = {
        "x": diagram.x,
        "y": diagram.y,
        "number": np.arange(len(spectra), dtype=np.int32),
        "name": np.array([one.name for one in spectra], dtype=str),
    }

    def build() -> Built:
        from bokeh.events import Tap
        from bokeh.layouts import column, row
        from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d, Whisker
        from bokeh.plotting import figure

        stars = ColumnDataSource(data)
        stars.selected.indices = [active]
        plane = figure(
            width=430, height=430, x_axis_label=diagram.x_label, y_axis_label=diagram.y_label, output_backend="webgl",
            tools="pan,wheel_zoom,box_select,lasso_select,tap,reset", active_drag="box_select",
        )  # fmt: skip
        plane.x_range.flipped, plane.y_range.flipped = diagram.is_x_flipped, diagram.is_y_flipped
        points = plane.scatter(
            "x", "y", source=stars, size=float(np.clip(90.0 / np.sqrt(len(spectra)), 3.0, 8.0)), color=INK,
            line_color=None, selection_color=BRIGHT, nonselection_fill_alpha=0.35, nonselection_fill_color="#7f8fa6",
        )  # fmt: skip
        mark = ColumnDataSource({"x": diagram.x[[active]], "y": diagram.y[[active]]})
        plane.scatter("x", "y", source=mark, size=13, color=BRIGHT, line_color="white")
        plane.add_tools(HoverTool(tooltips=[("star", "@name"), ("number", "@number")], renderers=[points]))
        shown = figure(
            width=800, height=430, x_axis_label="wavelength [nm]", y_axis_label=flux_label(spectra, normalised),
            x_range=Range1d(*limits[:2]), y_range=Range1d(*limits[2:]), tools="pan,box_zoom,wheel_zoom,reset,save",
            active_drag="box_zoom",
        )  # fmt: skip
        _draw_faint(shown, lines, limits, alpha)
        others, bright, error = (ColumnDataSource(dict.fromkeys(names, ())) for names in
                                 (("x", "y"), ("x", "y"), ("x", "low", "high")))  # fmt: skip
        shown.multi_line("x", "y", source=others, color=_CHOSEN, line_width=0.9, line_alpha=0.7)
        bars = Whisker(base="x", lower="low", upper="high", source=error, line_color=BRIGHT, line_alpha=0.45)
        bars.upper_head.size = bars.lower_head.size = 0
        shown.add_layout(bars)
        shown.line("x", "y", source=bright, color=BRIGHT, line_width=1.6)
        # the first ones as well, so that a page opens with them
        first = held[active]
        others.data, bright.data = {"x": [], "y": []}, {"x": first[0], "y": first[1]}
        known = np.flatnonzero(np.isfinite(first[2]))[:: max(1, first.shape[1] // 400)]
        error.data = {"x": first[0][known], "low": (first[1] - first[2])[known], "high": (first[1] + first[2])[known]}
        where = {"waves": [held[0][0]] if is_one_grid else [one[0] for one in held], "fluxes": [one[1] for one in held]}
        every = where | {"errors": [one[2] for one in held], "stars": stars, "others": others, "bright": bright}
        every |= {"error": error, "mark": mark, "most": _MOST_CHOSEN}
        stars.selected.js_on_change("indices", CustomJS(args=every, code=_SHOW))
        shown.js_on_event(Tap, CustomJS(args=where | {"stars": stars}, code=_FIND))
        names = {"star": "name", "number": "number"}
        said = telling(stars, names, "Choose stars by a box or a click; click on a spectrum to find its star.")
        return column(row(plane, shown), said), stars

    return LiveView(build, f"{len(spectra)} spectra", told=lambda number: spectra[number], what="star")


def _draw_faint(shown: Any, lines: list[Any], limits: tuple[float, float, float, float], alpha: float) -> None:
    if len(lines) <= _MOST_LINES:
        xs, ys = [line[:, 0] for line in lines], [line[:, 1] for line in lines]
        shown.multi_line(xs, ys, color="#7f8fa6", line_width=0.6, line_alpha=alpha)
        return
    # a browser that draws thousands of lines at each movement stutters
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.0, 7.0), dpi=100)
    figure.patch.set_alpha(0.0)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(*limits[:2])
    axes.set_ylim(*limits[2:])
    axes.add_collection(LineCollection(lines, colors="#7f8fa6", linewidths=0.8, alpha=alpha))
    canvas.draw()
    pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[::-1]).view(np.uint32)[:, :, 0]
    left, right, low, high = limits
    shown.image_rgba([pixels], x=left, y=low, dw=right - left, dh=high - low, level="underlay")
