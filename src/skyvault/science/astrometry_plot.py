"""Static pictures of an astrometric check: residuals against x and y, magnitudes, where sources and stars lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyvault.science.astrometric_residuals import AstrometricCheck
from skyvault.science.time_series_plot import BLUE, GREEN, GREY, INK, ORANGE


def plot_residuals(check: AstrometricCheck, *, other: AstrometricCheck | None = None) -> Any:
    """Residuals in RA and Dec (arcsec) against x and y (pixels); ``other`` (without distortion terms) in grey behind.

    Spurious pairs are orange; the line is the strongest believed wobble of its panel.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    for row, (name, label) in enumerate((("d_ra", "RA"), ("d_dec", "Dec"))):
        for column, axis in enumerate("xy"):
            ax = panels[row, column]
            ax.axhline(0.0, color=GREY, linewidth=0.8)
            if other is not None:
                ax.plot(getattr(other, axis), getattr(other, name), ".", color=GREY, markersize=3, zorder=1)
            place, residual = getattr(check, axis), getattr(check, name)
            spurious = check.is_spurious
            ax.plot(place[~spurious], residual[~spurious], ".", color=INK, markersize=4, zorder=2)
            ax.plot(place[spurious], residual[spurious], "x", color=ORANGE, markersize=4, zorder=2)
            _draw_wobble(ax, check, "ra" if row == 0 else "dec", axis, place[~spurious], residual[~spurious])
            if row == 1:
                ax.set_xlabel(f"{axis} (pixels)")
        panels[row, 0].set_ylabel(f"{label} image - catalogue (arcsec)")
    figure.suptitle(f"{check.verdict}: {check.sentence}", fontsize="small", wrap=True)
    return figure


def _draw_wobble(ax: Any, check: AstrometricCheck, of: str, axis: str, place: Any, residual: Any) -> None:
    mine = [wobble for wobble in check.wobbles if (wobble.of, wobble.axis) == (of, axis)]
    if not mine:
        return
    wave = 2.0 * np.pi * mine[0].frequency
    columns = np.stack([np.ones(len(place)), np.cos(wave * place), np.sin(wave * place), place - place.mean()], axis=1)
    solution = np.linalg.lstsq(columns, residual, rcond=None)[0]
    grid = np.linspace(place.min(), place.max(), 600)
    model = np.stack([np.ones(600), np.cos(wave * grid), np.sin(wave * grid), grid - place.mean()], axis=1) @ solution
    ax.plot(grid, model, color=BLUE, linewidth=1.2, zorder=3)
    text = f"{mine[0].amplitude:.2f} arcsec every {mine[0].wavelength:.0f} px"
    ax.text(0.02, 0.97, text, transform=ax.transAxes, color=BLUE, fontsize="x-small", va="top")


def plot_magnitudes(check: AstrometricCheck, ax: Any = None) -> Any:
    """Catalogue against instrumental magnitude, the law between them, and the pairs it calls spurious in orange."""
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.0, 4.5), layout="constrained")
        ax = figure.add_subplot()
    figure = ax.figure
    spurious = check.is_spurious
    ax.plot(check.image_magnitude[~spurious], check.magnitude[~spurious], ".", color=INK, markersize=4)
    ax.plot(
        check.image_magnitude[spurious], check.magnitude[spurious], "x", color=ORANGE, markersize=4, label="spurious"
    )
    start, slope = check.magnitude_law
    if np.isfinite(slope):
        ends = np.array([check.image_magnitude.min(), check.image_magnitude.max()])
        ax.plot(ends, start + slope * ends, color=GREEN, linewidth=1.2, label=f"slope {slope:.2f}")
        ax.legend(frameon=False, fontsize="small")
    ax.set_xlabel("instrumental magnitude")
    ax.set_ylabel("catalogue magnitude")
    return figure


def plot_image_sources(image: Any, x: Any, y: Any, *, catalogue: Any = None, ax: Any = None) -> Any:
    """The image in grey (sky to the brightest two in a thousand), its sources as circles, catalogue places as crosses.

    ``catalogue`` is a pair of pixel coordinates; the first pixel's middle is (0, 0).
    """
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.0, 6.0), layout="constrained")
        ax = figure.add_subplot()
    pixels = np.asarray(image, np.float64)
    good = pixels[np.isfinite(pixels)]
    low, high = np.percentile(good, [5.0, 99.8]) if len(good) else (0.0, 1.0)
    ax.imshow(pixels, origin="lower", cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    ax.plot(x, y, "o", markerfacecolor="none", markeredgecolor=BLUE, markersize=8)
    if catalogue is not None:
        ax.plot(*catalogue, "+", color=ORANGE, markersize=9)
    ax.set_xlim(-0.5, pixels.shape[1] - 0.5)
    ax.set_ylim(-0.5, pixels.shape[0] - 0.5)
    ax.set_xlabel("x (pixels)")
    ax.set_ylabel("y (pixels)")
    return ax.figure
