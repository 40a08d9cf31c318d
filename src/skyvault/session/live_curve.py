"""A light curve and the stars around a target as views that move: a click names the plate, the row, the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skyvault.errors import UsageError
from skyvault.session.cells import values_and_mask
from skyvault.session.live_view import BRIGHT, GREY, INK, Built, LiveView, numbers, telling

if TYPE_CHECKING:
    from skyvault.session.lightcurve import Lightcurve
    from skyvault.session.refcat import RefcatSources


def live_curve(curve: Lightcurve) -> LiveView:
    """See :meth:`skyvault.session.lightcurve.Lightcurve.live`."""
    rows = np.flatnonzero(~curve.is_rejected() & (curve.is_detected() | np.isfinite(curve.limits())))
    if not rows.size:
        raise UsageError("There is nothing to show: all rows are rejected or empty")
    data = _cells(curve, rows)

    def build() -> Built:
        from bokeh.layouts import column
        from bokeh.models import CDSView, ColumnDataSource, HoverTool, IndexFilter, Whisker
        from bokeh.plotting import figure

        source = ColumnDataSource(data)
        shown = figure(
            width=900, height=420, x_axis_label="year", y_axis_label="magnitude", active_drag="box_zoom",
            tools="pan,box_zoom,wheel_zoom,tap,reset,save", output_backend="webgl",
        )  # fmt: skip
        shown.y_range.flipped = True
        seen = data["is_detected"]
        limits, points = (CDSView(filter=IndexFilter(np.flatnonzero(one).tolist())) for one in (~seen, seen))
        drawn = []
        if (~seen).any():
            drawn.append(shown.scatter(
                "year", "shown", source=source, view=limits, marker="inverted_triangle", size=6, fill_alpha=0.0,
                line_color=GREY, selection_line_color=BRIGHT, legend_label=f"upper limits ({int((~seen).sum())})",
            ))  # fmt: skip
        if seen.any():
            # bars have a source of their own: a selection would fade them
            known = seen & np.isfinite(data["error"])
            bars = ColumnDataSource({
                "year": data["year"][known], "low": (data["shown"] - data["error"])[known],
                "high": (data["shown"] + data["error"])[known],
            })  # fmt: skip
            whisker = Whisker(base="year", lower="low", upper="high", source=bars, line_color=INK, line_alpha=0.3)
            whisker.upper_head.size = whisker.lower_head.size = 0
            shown.add_layout(whisker)
            drawn.append(shown.scatter(
                "year", "shown", source=source, view=points, size=5, color=INK, selection_color=BRIGHT,
                nonselection_fill_alpha=0.5, legend_label=f"detections ({int(seen.sum())})",
            ))  # fmt: skip
        under = [("plate", "@plate"), ("date", "@date"), ("magnitude", "@shown{0.00} ± @error{0.00}"), ("row", "@row")]
        shown.add_tools(HoverTool(tooltips=under, renderers=drawn))
        shown.legend.click_policy = "hide"
        shown.legend.background_fill_alpha = 0.6
        names = {"row": "row", "exposure": "exposure", "plate": "plate", "date": "date", "magnitude": "text"}
        return column(shown, telling(source, names, "Click on a point to learn its plate.")), source

    return LiveView(build, "a light curve", told=lambda number: curve[int(rows[number])])


def _cells(curve: Lightcurve, rows: Any) -> dict[str, Any]:
    detected = curve.is_detected()[rows]
    magnitude, error, limit = (one[rows] for one in (curve.magnitudes(), curve.uncertainties(), curve.limits()))
    shown = np.where(detected, magnitude, limit)
    texts = [
        f"{value:.3f}" if seen else f"fainter than {value:.2f}" for value, seen in zip(shown, detected, strict=True)
    ]
    days = np.floor(curve.julian_dates()[rows] - 2_400_000.5).astype(np.int64)
    series = np.asarray(values_and_mask(curve["series"])[0], dtype=str)[rows]
    number = np.asarray(values_and_mask(curve["platenum"])[0], dtype=np.int64)[rows].astype(str)
    return {
        "year": curve.years()[rows],
        "shown": shown,
        "error": np.where(detected, error, np.nan),
        "is_detected": detected,
        "row": rows.astype(np.int32),
        "exposure": curve.exposure_rows()[rows].astype(np.int32),
        "plate": np.char.add(np.char.lower(series), np.char.zfill(number, 5)),
        "date": np.datetime_as_string(np.datetime64("1858-11-17") + days),
        "text": texts,
    }


def live_sources(table: RefcatSources, chosen: Any) -> LiveView:
    """See :meth:`skyvault.session.refcat.RefcatSources.live`; ``chosen`` is told the local ID of a clicked source."""
    if not len(table):
        raise UsageError("The reference catalogue has no source here")
    magnitude = numbers(np.ma.MaskedArray(*values_and_mask(table["stdmag"])))
    known = magnitude[np.isfinite(magnitude)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    bright = np.where(np.isfinite(magnitude), high - magnitude, 0.0) / max(high - low, 1e-9)
    places = table["pos"].icrs
    data = {
        "local_id": np.asarray(table["local_id"], np.int32),
        "ra": np.asarray(places.ra.deg, np.float64),
        "dec": np.asarray(places.dec.deg, np.float64),
        "mag": magnitude,
        "size": 3.0 + 15.0 * bright,
        "name": np.asarray(table["ref_text"], dtype=str),
    }

    def build() -> Built:
        from bokeh.layouts import column
        from bokeh.models import ColumnDataSource, HoverTool
        from bokeh.plotting import figure

        source = ColumnDataSource(data)
        middle = float(np.median(data["dec"]))
        shown = figure(
            width=620, height=600, x_axis_label="right ascension (deg)", y_axis_label="declination (deg)",
            active_drag="box_zoom", tools="pan,box_zoom,wheel_zoom,tap,reset,save", match_aspect=True,
            aspect_scale=1.0 / max(np.cos(np.radians(middle)), 0.01),
        )  # fmt: skip
        # east is left
        shown.x_range.flipped = True
        stars = shown.scatter(
            "ra", "dec", source=source, size="size", color=INK, line_color="white", selection_color=BRIGHT,
            nonselection_fill_alpha=0.7,
        )  # fmt: skip
        shown.scatter(data["ra"][:1], data["dec"][:1], size=26, fill_alpha=0.0, line_color=BRIGHT, line_width=1.5)
        under = [("source", "@local_id"), ("name", "@name"), ("magnitude", "@mag{0.00}")]
        shown.add_tools(HoverTool(tooltips=under, renderers=[stars]))
        names = {"source": "local_id", "name": "name", "magnitude": "mag"}
        return column(shown, telling(source, names, "Click on a star to choose it.")), source

    def told(number: int) -> Any:
        return table[number]

    view = LiveView(build, "the stars around the target", told=told, what="star")
    chosen(view)
    return view
