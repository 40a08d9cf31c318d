"""Pictures of plate data (matplotlib, no display needed): light curves with upper limits, scatter, coverage in time.

Each returns a Figure; in a notebook it shows itself, elsewhere ``figure.savefig("lc.png")`` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.session.cells import values_and_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.exposures import Exposures
    from skyvault.session.lightcurve import Lightcurve
    from skyvault.session.photometry import Photometry

Floats = np.ndarray[Any, np.dtype[np.float64]]

_DETECTED: Final = "#1f4e79"
_LIMIT: Final = "#b8b8b8"
_CALLED_OUT: Final = ("crimson", "lightcoral")
#: error bars of more points than this hide the points
_MOST_ERROR_BARS: Final = 3000


def new_figure(width: float = 9.0, height: float = 4.5) -> tuple[Figure, Any]:
    """An empty figure and its axes, without touching matplotlib's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def plot_light_curve(curve: Lightcurve, x_axis: str = "year", callout: Any = None) -> Figure:
    """See :meth:`skyvault.session.lightcurve.Lightcurve.plot`."""
    x, label = _x_values(curve, x_axis)
    called = np.zeros(len(curve), dtype=bool) if callout is None else np.asarray(callout)
    if called.dtype != bool or called.shape != (len(curve),):
        raise ParameterError(f"callout takes an array of {len(curve)} booleans, not one of shape {called.shape}")
    accepted = ~curve.is_rejected()
    detected = curve.is_detected()
    magnitude, sigma, limit = curve.magnitudes(), curve.uncertainties(), curve.limits()
    figure, axes = new_figure()
    for rows, limit_colour, colour, name in (
        (~called, _LIMIT, _DETECTED, ""),
        (called, _CALLED_OUT[1], _CALLED_OUT[0], ", called out"),
    ):
        below = accepted & ~detected & rows & np.isfinite(limit)
        if below.any():
            axes.scatter(
                x[below], limit[below], s=14, marker="v", facecolors="none", edgecolors=limit_colour, linewidths=0.7,
                label=f"upper limits{name} ({int(below.sum())})", zorder=1,
            )  # fmt: skip
        points = accepted & detected & rows
        if points.any():
            bars = points & np.isfinite(sigma)
            if bars.sum() <= _MOST_ERROR_BARS:
                axes.errorbar(x[bars], magnitude[bars], yerr=sigma[bars], fmt="none", ecolor=colour, alpha=0.25, lw=0.7)
            axes.scatter(
                x[points], magnitude[points], s=9, color=colour, lw=0,
                label=f"detections{name} ({int(points.sum())})", zorder=2,
            )  # fmt: skip
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.set_ylabel("magnitude")
    if (accepted & (detected | np.isfinite(limit))).any():
        axes.legend(loc="best", fontsize=8, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing to show: all rows are rejected or empty", ha="center", transform=axes.transAxes)
    return figure


def _x_values(curve: Lightcurve, x_axis: str) -> tuple[Floats, str]:
    if x_axis == "year":
        return curve.years(), "year"
    if x_axis in ("jd", "time"):
        return curve.julian_dates(), "Julian date (UTC)"
    return _column(curve, x_axis)


def _column(table: Any, name: str) -> tuple[Floats, str]:
    """A column's numbers, NaN where missing, and its label with the unit."""
    if name == "time":
        return np.asarray(table.julian_dates()), "Julian date (UTC)"
    if name not in table.colnames:
        raise ParameterError(f"There is no column {name!r}", hint=f"There are: {', '.join(table.colnames[:12])} ...")
    column = table[name]
    if not hasattr(column, "dtype") or column.dtype.kind not in "iufb":
        raise ParameterError(f"The column {name} holds no numbers")
    values, mask = values_and_mask(column)
    unit = getattr(column, "unit", None)
    return np.where(mask, np.nan, values.astype(np.float64)), f"{name} [{unit}]" if unit else name


def scatter(table: Photometry, x: str, y: str, *, rejects: bool = False) -> Figure:
    """See :meth:`skyvault.session.photometry.Photometry.scatter`."""
    (across, x_label), (up, y_label) = _column(table, x), _column(table, y)
    rows = table.is_rejected() if rejects else ~table.is_rejected()
    figure, axes = new_figure(6.5, 5.0)
    axes.scatter(across[rows], up[rows], s=9, lw=0, color=_DETECTED)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if y.startswith(("mag", "limiting_mag")):
        axes.invert_yaxis()
    if x.startswith(("mag", "limiting_mag")):
        axes.invert_xaxis()
    return figure


def time_coverage(table: Exposures) -> Figure:
    """See :meth:`skyvault.session.exposures.Exposures.time_coverage`."""
    years = table.years()[~table.is_rejected()]
    years = years[np.isfinite(years)]
    figure, axes = new_figure(8.0, 3.2)
    if years.size:
        at, density = density_of(years)
        axes.fill_between(at, density, color=_DETECTED, alpha=0.25, lw=0)
        axes.plot(at, density, color=_DETECTED, lw=1.2)
        axes.set_ylim(bottom=0)
    else:
        axes.text(0.5, 0.5, "no dated exposure", ha="center", transform=axes.transAxes)
    axes.set_xlabel("year")
    axes.set_ylabel("exposures a year")
    return figure


def density_of(years: Floats, *, points: int = 400) -> tuple[Floats, Floats]:
    """Exposures a year around 1875 to 1995 or whatever holds them all, smoothed with a Gaussian (Scott's rule).

    Returns years and density, shape (points,); its integral is the number of exposures.
    """
    low, high = min(1875.0, float(years.min()) - 1), max(1995.0, float(years.max()) + 1)
    width = max(float(years.std()) * years.size ** (-0.2), 0.3)
    edges = np.arange(low - 4 * width, high + 4 * width, width / 8)
    counts, _ = np.histogram(years, bins=edges)
    centres = (edges[1:] + edges[:-1]) / 2
    reach = np.arange(-40, 41) / 8
    kernel = np.exp(-0.5 * reach**2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same") / (width / 8)
    at = np.linspace(low, high, points)
    return at, np.interp(at, centres, smooth)
