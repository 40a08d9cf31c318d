"""Figures in notebooks: those that were made without pyplot show themselves, too."""

from __future__ import annotations

import io
import sys
from typing import Any


def show_figures_inline() -> None:
    """In IPython: a matplotlib Figure that ends a cell is shown as its picture. Elsewhere nothing happens.

    IPython does so by itself only after pyplot was imported, which nothing here needs.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or shell.display_formatter is None:
        return
    formatter = shell.display_formatter.formatters["image/png"]
    if ("matplotlib.figure", "Figure") not in formatter.deferred_printers:
        formatter.for_type_by_name("matplotlib.figure", "Figure", _png)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = io.BytesIO()
    if figure.canvas is None or not hasattr(figure.canvas, "print_png"):
        FigureCanvasAgg(figure)
    # contact sheets are made for their own size: no cutting
    figure.canvas.print_png(picture)
    return picture.getvalue()
