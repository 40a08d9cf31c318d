"""Pictures of spectra: thousands overlaid, all faint and one bright with its errors; or each in its own panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import NotFound, ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.spectra import Spectrum

_FAINT: Final = "#7f8fa6"
_BRIGHT: Final = "#d55e00"
#: points all faint spectra together are drawn with, and one of them at least: drawing is what takes the time
_MOST_POINTS: Final = 400_000
_LEAST_POINTS: Final = 80
_MOST_BARS: Final = 400


def _figure(width: float, height: float, rows: int = 1) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def plot_overlaid(
    spectra: Sequence[Spectrum], active: int | None = 0, *, normalised: bool = False, title: str = ""
) -> Figure:
    """All spectra over each other; the ``active`` one bright, with error bars. ``normalised``: by their medians.

    Many faint ones are drawn by the means of neighbouring points, the active one by each of its own.
    """
    if not spectra:
        raise NotFound("There is no spectrum to draw")
    figure, (axes,) = _figure(8.5, 4.5)
    draw_overlaid(axes, spectra, active, normalised=normalised)
    axes.set_title(title or f"{len(spectra)} spectra", fontsize=10, loc="left")
    return figure


def faint_lines(
    spectra: Sequence[Spectrum], normalised: bool, active: int | None = None
) -> tuple[list[Any], tuple[float, float, float, float], float]:
    """What draws all but the ``active``: lines of shape (n, 2), the limits of the axes, and how opaque lines are.

    Limits are first and last wavelength, lowest and highest flux. Raises NotFound where all spectra are empty.
    """
    lines, extremes = [], []
    budget = max(_LEAST_POINTS, _MOST_POINTS // max(len(spectra), 1))
    for number, one in enumerate(spectra):
        line = _line(one, normalised, len(one) if number == active else budget)
        if not len(line):
            continue
        extremes.append(np.r_[np.percentile(line[:, 1], (0.5, 99.5)), line[0, 0], line[-1, 0]])
        if number != active:
            lines.append(line)
    if not extremes:
        raise NotFound("All spectra are empty")
    reach = np.array(extremes)
    low, high = float(np.min(reach[:, 0])), float(np.max(reach[:, 1]))
    room = 0.06 * (high - low) or 1.0
    limits = (float(reach[:, 2].min()), float(reach[:, 3].max()) or 1.0, low - room, high + room)
    count = max(len(lines), 1)
    # of thousands each must be fainter, or where they lie close one sees a flat area
    return lines, limits, float(np.clip(min(2.0 / np.sqrt(count), 40.0 / count), 0.01, 0.6))


def draw_overlaid(axes: Any, spectra: Sequence[Spectrum], active: int | None, *, normalised: bool = False) -> None:
    """Draws what :func:`plot_overlaid` shows on axes of matplotlib."""
    from matplotlib.collections import LineCollection

    if active is not None and not 0 <= active < len(spectra):
        raise ParameterError(f"there is no spectrum {active}: there are {len(spectra)}")
    lines, limits, alpha = faint_lines(spectra, normalised, active)
    axes.add_collection(
        LineCollection(
            lines,
            colors=_FAINT,
            linewidths=0.6,
            alpha=alpha,
            zorder=1,
            rasterized=len(lines) > 100,
            antialiaseds=len(lines) < 1000,
        )
    )
    if active is not None:
        one, line = spectra[active], _line(spectra[active], normalised, len(spectra[active]))
        scale = _scale(one) if normalised else 1.0
        bars = np.flatnonzero(np.isfinite(one.error) & np.isfinite(one.flux))
        bars = bars[:: max(1, len(bars) // _MOST_BARS)]
        if len(bars):
            axes.errorbar(
                one.wavelength[bars], one.flux[bars] / scale, one.error[bars] / scale, fmt="none", ecolor=_BRIGHT,
                elinewidth=0.6, alpha=0.5, zorder=2,
            )  # fmt: skip
        axes.plot(line[:, 0], line[:, 1], color=_BRIGHT, linewidth=1.1, zorder=3, label=one.name)
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlim(limits[0], limits[1])
    axes.set_ylim(limits[2], limits[3])
    axes.set_xlabel("wavelength [nm]")
    axes.set_ylabel(flux_label(spectra, normalised))


def plot_apart(spectra: Sequence[Spectrum]) -> Figure:
    """Each spectrum in its own panel, with error bars where they are known."""
    if not spectra:
        raise NotFound("There is no spectrum to draw")
    figure, panels = _figure(8.5, 0.8 + 1.5 * len(spectra), len(spectra))
    for axes, one in zip(panels, spectra, strict=True):
        line = _line(one, False, len(one))
        known = np.isfinite(one.error) & np.isfinite(one.flux)
        if known.any():
            axes.fill_between(
                one.wavelength[known], (one.flux - one.error)[known], (one.flux + one.error)[known], color=_FAINT,
                alpha=0.4, linewidth=0,
            )  # fmt: skip
        axes.plot(line[:, 0], line[:, 1], color="#222222", linewidth=0.8)
        when = "" if not np.isfinite(one.mjd) else f", MJD {one.mjd:.2f}"
        axes.set_title(f"{one.name}{when}", fontsize=8, loc="left")
        axes.set_ylabel(f"flux [{one.unit}]" if one.unit else "flux", fontsize=8)
    panels[-1].set_xlabel("wavelength [nm]")
    return figure


def flux_label(spectra: Sequence[Spectrum], normalised: bool) -> str:
    """What the flux axis says."""
    units = {one.unit for one in spectra}
    if normalised:
        return "flux / median"
    if len(units) > 1:
        return "flux (several units: normalise them)"
    unit = next(iter(units), "")
    return f"flux [{unit}]" if unit else "flux"


def _scale(one: Spectrum) -> float:
    middle = float(np.nanmedian(np.abs(one.flux))) if np.isfinite(one.flux).any() else 1.0
    return middle or 1.0


def _line(one: Spectrum, normalised: bool, most: int) -> Any:
    good = np.isfinite(one.flux)
    wave, flux = one.wavelength[good], one.flux[good] / (_scale(one) if normalised else 1.0)
    if len(wave) > most:
        begins = np.linspace(0, len(wave), most, endpoint=False).astype(np.int64)
        counts = np.diff(np.r_[begins, len(wave)])
        wave, flux = np.add.reduceat(wave, begins) / counts, np.add.reduceat(flux, begins) / counts
    return np.column_stack([wave, flux])
