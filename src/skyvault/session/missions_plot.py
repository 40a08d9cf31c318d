"""Light curves of several missions below each other, and the map of all their exposures in time (matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.mission_curve import MissionCurve
    from skyvault.session.other_missions import SideBySide

#: Okabe & Ito (2008); bands by name, others in this order
_PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_BANDS: Final = {"zg": "#009e73", "zr": "#d55e00", "zi": "#7b3294", "plate": "#0072b2", "TESS": "#222222"}
_GREY: Final = "#b8b8b8"
_MOST_ERROR_BARS: Final = 3000
_MOST_LINES: Final = 28


def _figure(width: float, height: float, rows: int) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def plot_side_by_side(found: SideBySide, elements: Any, flagged: bool) -> Figure:
    """See :meth:`skyvault.session.other_missions.SideBySide.plot`."""
    curves = found.curves
    if not curves:
        raise NotFound("There is no light curve to draw", hint="; ".join(found.problems.values()) or None)
    figure, panels = _figure(9.0, 1.0 + 2.1 * len(curves), len(curves))
    for axes, curve in zip(panels, curves, strict=True):
        x = _x(curve, elements)
        _panel(axes, curve, x, flagged, elements is not None)
        if elements is not None:
            axes.set_xlim(-0.5, 1.0)
    panels[-1].set_xlabel(
        "year (TDB at the barycentre)"
        if elements is None
        else f"phase (P = {elements.period:.8g} d, phase 0 at MJD {elements.epoch:.8g} TDB at the barycentre)"
    )
    figure.suptitle(found.target, fontsize=11)
    return figure


def _x(curve: MissionCurve, elements: Any) -> Any:
    if elements is None:
        return 2000.0 + (curve.mjd - 51_544.5) / 365.25
    from skyvault.science.folding import fold

    return fold(curve.mjd, elements).phase


def _panel(axes: Any, curve: MissionCurve, x: Any, flagged: bool, folded: bool) -> None:
    seen = np.isfinite(x) & np.isfinite(curve.mag)
    limits = np.isfinite(x) & ~np.isfinite(curve.mag) & np.isfinite(curve.limit) & ~curve.is_flagged

    def dots(rows: Any, y: Any, **how: Any) -> None:
        across, up = x[rows], y[rows]
        if folded:
            across, up = np.r_[across, across[across < 0.0] + 1.0], np.r_[up, up[across < 0.0]]
        axes.plot(across, up, linestyle="none", **how)

    if limits.any():
        dots(limits, curve.limit, marker="v", markersize=3, color=_GREY, markerfacecolor="none", markeredgewidth=0.6,
             label=f"upper limits ({int(limits.sum())})", zorder=1)  # fmt: skip
    bad = seen & curve.is_flagged
    if flagged and bad.any():
        dots(bad, curve.mag, marker="x", markersize=3, color=_GREY, label=f"flagged ({int(bad.sum())})", zorder=1)
    good = seen & ~curve.is_flagged
    # times that are not known to be barycentric are drawn as open circles
    face = {"markeredgewidth": 0.0} if curve.is_barycentric else {"markerfacecolor": "none", "markeredgewidth": 0.7}
    face = {} if curve.is_barycentric else {"markerfacecolor": "none", "markeredgewidth": 0.7}
    many = int(good.sum())
    for number, band in enumerate(np.unique(curve.band[good])):
        rows = good & (curve.band == band)
        colour = _BANDS.get(str(band), _PALETTE[number % len(_PALETTE)])
        if many <= _MOST_ERROR_BARS and not folded:
            errors = np.where(np.isfinite(curve.error[rows]), curve.error[rows], 0.0)
            axes.errorbar(x[rows], curve.mag[rows], errors, fmt="none", ecolor=colour, elinewidth=0.6, alpha=0.35)
        dots(rows, curve.mag, marker="o", markersize=2.2 if many < 5000 else 1.2, color=colour,
             label=f"{band} ({int(rows.sum())})", zorder=3, **face)  # fmt: skip
    if good.any():
        mags = curve.mag[good]
        low, high = np.percentile(mags, (0.2, 99.8))
        room = max(0.15 * float(high - low), 0.02)
        # a few wild points must not flatten the rest
        near = mags[(mags > low - 3 * room) & (mags < high + 3 * room)]
        axes.set_ylim(float(near.max()) + room, float(near.min()) - room)
    else:
        axes.invert_yaxis()
    axes.set_ylabel("relative mag" if curve.is_relative else "mag")
    times = "" if curve.is_barycentric else f"; times {curve.time_said}"
    axes.set_title(f"{curve.mission}: {curve.zero_point}{times}", fontsize=8, loc="left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2)


def plot_exposure_map(found: SideBySide) -> Figure:
    """See :meth:`skyvault.session.other_missions.SideBySide.exposure_map`."""
    lines: list[tuple[str, str, Any]] = []
    for number, exposed in enumerate(found.exposed):
        years = 2000.0 + ((exposed.begin + exposed.end) / 2.0 - 51_544.5) / 365.25
        years, words = years[np.isfinite(years)], exposed.instrument[np.isfinite(years)]
        names, counts = np.unique(words, return_counts=True)
        names = names[np.argsort(-counts, kind="stable")]
        most = max(3, _MOST_LINES // len(found.exposed))
        kept, rest = (names, names[:0]) if len(names) <= most else (names[: most - 1], names[most - 1 :])
        colour = _PALETTE[number % len(_PALETTE)]
        lines += [(_label(exposed.mission, str(name)), colour, years[words == name]) for name in kept]
        if len(rest):
            lines.append((f"{exposed.mission}: {len(rest)} others", colour, years[np.isin(words, rest)]))
    if not lines:
        raise NotFound("There is no exposure to draw", hint="; ".join(found.problems.values()) or None)
    figure, (axes,) = _figure(9.0, 1.2 + 0.24 * len(lines), 1)
    axes.eventplot([years for _, _, years in lines], colors=[c for _, c, _ in lines], linelengths=0.7, linewidths=0.7)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=8)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    for row, (_, colour, years) in enumerate(lines):
        axes.text(1.01, row, f"{len(years):,}", transform=axes.get_yaxis_transform(), fontsize=8, va="center",
                  color=colour)  # fmt: skip
    axes.set_xlabel("year")
    axes.set_title(f"{found.target}: exposures that cover it", fontsize=10, loc="left")
    axes.grid(axis="x", lw=0.4, alpha=0.5)
    return figure


def _label(mission: str, instrument: str) -> str:
    return mission if instrument.lower() == mission else f"{mission} {instrument}"
