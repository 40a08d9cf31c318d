"""Contact sheets: one star on many plates side by side, oldest first, marked and dated, all in equal grey."""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.epoch_frames import BLANK, EpochFrames
from skyvault.science.time_series_plot import GREY, INK, ORANGE

#: pixels: between frames, under a frame for its two lines, above all for the title, below for a line of the caption
_GAP: Final = 8
_LINES: Final = 30
_TITLE: Final = 34
_CAPTION: Final = 12
_DPI: Final = 100
#: pixels of a frame in the picture, at least and at most
_SMALLEST, _LARGEST = 110, 420
_MOST_A_PAGE: Final = 100
#: grey of the line around a frame
_FRAME: Final = 170


def contact_sheet(
    frames: EpochFrames, *, columns: int | None = None, title: str = "", mark_arcsec: float | None = None
) -> Any:
    """A matplotlib Figure of all frames, by time from left to right; north is up, east left.

    Each has a circle of ``mark_arcsec`` around the target (a seventh of the frame's half if None), its date and its
    exposure's name; where the plate ends before the target, that is said instead. ``columns``: about square if None.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import EllipseCollection

    count, grid = len(frames), frames.grid
    across = max(1, columns or min(count, max(3, math.ceil(math.sqrt(1.25 * count)))))
    down = -(-count // across)
    # small frames are shown larger by whole factors, so that pixels stay square and equal
    zoom = max(1, math.ceil(_SMALLEST / grid.width)) if grid.width < _SMALLEST else 1
    shrink = max(1, math.ceil(grid.width / _LARGEST))
    width, height = (_shown(side, zoom, shrink) for side in (grid.width, grid.height))
    total_x = across * (width + _GAP) + _GAP
    caption = textwrap.wrap(_caption(frames), max(30, int(total_x / 5.6)))
    total_y = down * (height + _LINES + _GAP) + _GAP + _TITLE + _CAPTION * (1 + len(caption))
    # as RGB: matplotlib takes three times as long to draw grey numbers
    sheet = np.full((total_y, total_x, 3), 255, np.uint8)
    corners = []
    for number, frame in enumerate(frames.frames):
        left = _GAP + (number % across) * (width + _GAP)
        top = _TITLE + _GAP + (number // across) * (height + _LINES + _GAP)
        picture = _scaled(frame.grey[::-1], zoom, shrink)
        sheet[top - 1 : top + height + 1, left - 1 : left + width + 1] = _FRAME
        sheet[top : top + height, left : left + width] = picture[:, :, None]
        corners.append((left, top))

    figure = _sheet_class()(figsize=(total_x / _DPI, total_y / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.imshow(sheet, extent=(0, total_x, total_y, 0), interpolation="nearest")
    axes.set_xlim(0, total_x)
    axes.set_ylim(total_y, 0)
    arcsec = grid.pixel_arcsec * grid.width / width
    mark = 2.0 * (mark_arcsec if mark_arcsec is not None else grid.width * grid.pixel_arcsec / 14.0) / arcsec
    middles = np.array([(left + width / 2.0, top + height / 2.0) for left, top in corners])
    shown = np.array([frame.shows_target for frame in frames.frames], bool)
    if shown.any():
        sizes = np.full(int(shown.sum()), mark)
        axes.add_collection(
            EllipseCollection(
                sizes, sizes, np.zeros(len(sizes)), units="xy", offsets=middles[shown], transOffset=axes.transData,
                facecolors="none", edgecolors=ORANGE, linewidths=1.1,
            )
        )  # fmt: skip
    font = 6.5 if width < 150 else 7.5
    for (left, top), frame, (x, y) in zip(corners, frames.frames, middles, strict=True):
        axes.text(left, top + height + 11, frame.cutout.date(), fontsize=font, color=INK, va="baseline")
        axes.text(
            left, top + height + 22, _short(frame.cutout.name, width, font), fontsize=font, color=GREY, va="baseline"
        )
        if not frame.shows_target:
            axes.text(x, y, "target not\non this plate", fontsize=font, color=INK, ha="center", va="center")
    axes.text(_GAP, 23, title or "Epochs", fontsize=11, color=INK, va="baseline")
    for line, text in enumerate(reversed(caption)):
        axes.text(_GAP, total_y - 9 - line * _CAPTION, text, fontsize=6.5, color=GREY, va="baseline")
    return figure


@cache
def _sheet_class() -> Any:
    """A matplotlib Figure that writes PNG quickly."""
    from matplotlib.figure import Figure

    class Sheet(Figure):
        """A contact sheet."""

        def savefig(self, fname: Any, **how: Any) -> None:
            # the grain of plates does not compress: trying harder takes 0.6 s longer and gives a larger file
            if str(how.get("format") or fname).lower().endswith("png"):
                how["pil_kwargs"] = {"compress_level": 1} | (how.get("pil_kwargs") or {})
            super().savefig(fname, **how)

    return Sheet


def write_pages(
    frames: EpochFrames, path: Path, *, per_page: int = 20, columns: int | None = None, title: str = ""
) -> int:
    """Writes all frames as pages of a PDF, ``per_page`` contact sheet by contact sheet; the number of pages.

    The same frames make the same bytes. Raises ParameterError unless 1 to 100 frames go on a page.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    if not 1 <= per_page <= _MOST_A_PAGE:
        raise ParameterError(f"from 1 to {_MOST_A_PAGE} images go on a page, not {per_page}")
    pages = -(-len(frames) // per_page)
    # pages of one width, the last one too
    across = columns or max(3, math.ceil(math.sqrt(per_page / 1.25)))
    with PdfPages(path, metadata={"CreationDate": None, "Title": title or "Epochs"}) as document:
        for page in range(pages):
            part = replace(frames, frames=frames.frames[page * per_page : (page + 1) * per_page])
            head = f"{title or 'Epochs'} ({page + 1} of {pages})" if pages > 1 else title
            document.savefig(contact_sheet(part, columns=across, title=head))
    return pages


def _caption(frames: EpochFrames) -> str:
    side = frames.grid.width * frames.grid.pixel_arcsec / 60.0
    ra, dec = frames.target
    rule = frames.stretch
    unit = "times the sky's noise above the sky" if rule.unit == "noise" else "in pixel values"
    return (
        f"RA {ra:.5f}, Dec {dec:+.5f} (ICRS); frames {side:.3g} arcmin wide, north up, east left; "
        f"{rule.curve} from {rule.low:g} to {rule.high:g} {unit}"
    )


def _short(name: str, width: int, font: float) -> str:
    # letters are about 0.6 of the font's size wide, and a point is 100 / 72 pixels
    room = max(6, int(width / (font * 0.88)))
    return name if len(name) <= room else name[: room - 1] + "…"


def _shown(side: int, zoom: int, shrink: int) -> int:
    return side * zoom if shrink == 1 else -(-side // shrink)


def _scaled(grey: Any, zoom: int, shrink: int) -> Any:
    if shrink > 1:
        rows, columns = (-(-side // shrink) * shrink for side in grey.shape)
        whole = np.full((rows, columns), BLANK, np.float32)
        whole[: grey.shape[0], : grey.shape[1]] = grey
        return whole.reshape(rows // shrink, shrink, columns // shrink, shrink).mean(axis=(1, 3)).astype(np.uint8)
    return grey.repeat(zoom, axis=0).repeat(zoom, axis=1) if zoom > 1 else grey
