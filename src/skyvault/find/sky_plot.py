"""Footprints of found observations around what was looked for, as a picture."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from skyvault.errors import SkyvaultError
from skyvault.find.outline import circle, outlines

#: footprints drawn of one mission: more would only be a blot
_MOST_LINES: Final = 400
#: colours that people with any eyes tell apart (after P. Tol's "muted" and "bright" schemes)
_COLOURS: Final = (
    "#332288", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999933", "#882255",
    "#44aa99", "#4477aa", "#cc6677", "#117733", "#88ccee", "#ddcc77", "#aa4499", "#555555",
)  # fmt: skip


def plot_footprints(found: Any, *, size_in: float = 7.0) -> Any:
    """A matplotlib Figure: east to the left, offsets in degrees from the middle, one colour a mission."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    place = found.place
    middle = _middle(found)
    figure = Figure(figsize=(size_in, size_in * 0.93), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    handles = []
    names = list(dict.fromkeys(found.table["mission"].to_pylist()))
    reach: list[float] = []
    around = [0.05]
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        rows = found.where(mission=name).table
        lines = []
        for text in rows["s_region"].to_pylist()[:_MOST_LINES]:
            lines += _lines(text, middle)
        if lines:
            width = 1.6 if len(lines) < 20 else 0.9
            opacity = 0.9 if len(lines) < 20 else max(0.25, 6 / len(lines))
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=opacity))
            sizes = sorted(float(np.abs(line).max()) for line in lines)
            # the widest fields would make dots of the others
            reach.append(sizes[int(0.75 * (len(sizes) - 1))])
        else:
            ra, dec = (rows[key].to_numpy() for key in ("s_ra", "s_dec"))
            x, y = _offsets(ra, dec, middle)
            axes.plot(x, y, ".", color=colour, markersize=4)
            reach += [float(v) for v in np.hypot(x, y)[:1] if np.isfinite(v)]
        handles.append(Line2D([], [], color=colour, label=f"{name} ({rows.num_rows:,})"))
    x, y = _offsets(place.ra, place.dec, middle)
    if len(place):
        axes.plot(x, y, "+", color="black", markersize=13 if len(place) < 10 else 5, markeredgewidth=1.6, zorder=5)
        if place.radius_deg:
            for ra, dec in list(zip(place.ra, place.dec, strict=True))[:_MOST_LINES]:
                axes.plot(*_offsets(*circle(ra, dec, place.radius_deg), middle), color="black", lw=0.8, ls="--")
        around.append(float(np.hypot(x, y).max()) * 1.1 + (place.radius_deg or 0.0))
    elif place.region is not None:
        for line in outlines(place.region):
            xs, ys = _offsets(*line, middle)
            axes.plot(xs, ys, color="black", lw=1.2, ls="--")
            around.append(float(np.nanmax(np.hypot(xs, ys))))
    limit = min(max(_limit(reach), *around), 180.0) * 1.08
    axes.set_xlim(limit, -limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")
    axes.grid(color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"east of {middle[0]:.4f}° (degrees on the sky)")
    axes.set_ylabel(f"north of {middle[1]:+.4f}° (degrees)")
    told = f"; {len(found.problems)} did not answer" if found.problems else ""
    axes.set_title(f"{len(found):,} observations of {place.label}{told}", fontsize=11)
    if handles:
        axes.legend(handles=handles, loc="upper right", fontsize=8, framealpha=0.9)
    return figure


def _limit(reach: list[float]) -> float:
    """The half width that shows most footprints whole: the median of the missions' sizes decides between extremes."""
    known = sorted(value for value in reach if math.isfinite(value) and value > 0)
    return min(known[-1], 4 * known[len(known) // 2]) if known else 0.0


def _middle(found: Any) -> tuple[float, float]:
    place = found.place
    if len(place):
        vectors = np.column_stack(
            [
                np.cos(np.radians(place.dec)) * np.cos(np.radians(place.ra)),
                np.cos(np.radians(place.dec)) * np.sin(np.radians(place.ra)),
                np.sin(np.radians(place.dec)),
            ]
        ).mean(axis=0)
        if np.linalg.norm(vectors) > 1e-6:
            return (
                float(np.degrees(np.arctan2(vectors[1], vectors[0])) % 360.0),
                float(np.degrees(np.arctan2(vectors[2], np.hypot(vectors[0], vectors[1])))),
            )
    if place.region is not None:
        lines = outlines(place.region)
        if lines:
            return float(np.mean(lines[0][0])) % 360.0, float(np.mean(lines[0][1]))
    return 0.0, 0.0


def _offsets(ra: Any, dec: Any, middle: tuple[float, float]) -> tuple[Any, Any]:
    """Offsets to the east and north in degrees: an azimuthal equidistant projection, good for any size."""
    lon, lat = np.radians(np.asarray(ra, float) - middle[0]), np.radians(np.asarray(dec, float))
    lat0 = math.radians(middle[1])
    cos_c = math.sin(lat0) * np.sin(lat) + math.cos(lat0) * np.cos(lat) * np.cos(lon)
    angle = np.arccos(np.clip(cos_c, -1.0, 1.0))
    sin_c = np.sin(angle)
    factor = np.where(sin_c < 1e-12, 1.0, angle / np.where(sin_c < 1e-12, 1.0, sin_c))
    x = factor * np.cos(lat) * np.sin(lon)
    y = factor * (math.cos(lat0) * np.sin(lat) - math.sin(lat0) * np.cos(lat) * np.cos(lon))
    return np.degrees(x), np.degrees(y)


def _lines(text: str | None, middle: tuple[float, float]) -> list[Any]:
    if not text:
        return []
    try:
        return [np.column_stack(_offsets(ra, dec, middle)) for ra, dec in outlines(text)]
    except SkyvaultError:
        # an archive's odd region is no reason to draw nothing
        return []
