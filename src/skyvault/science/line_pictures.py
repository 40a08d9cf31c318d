"""Small pictures of spectra and light curves: the shape at a glance, quickly drawn."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.science.previews import Pictures

_SIZE: Final = (512, 256)
_SMALL: Final = (128, 64)
_INK: Final = (31, 78, 121)
_PAPER: Final = (255, 255, 255)


def line_pictures(x: ArrayLike, y: ArrayLike, *, points: bool = False, flipped: bool = False) -> Pictures:
    """Pictures of values over an axis: a line, or ``points``; ``flipped`` for magnitudes (bright above).

    The middle 98 percent of the values fill the height: one cosmic ray does not flatten a spectrum.
    """
    from PIL import Image, ImageDraw

    across, up = np.asarray(x, np.float64).reshape(-1), np.asarray(y, np.float64).reshape(-1)
    good = np.isfinite(across) & np.isfinite(up)
    pictures = []
    for size in (_SIZE, _SMALL):
        picture = Image.new("RGB", size, _PAPER)
        if good.sum() >= 2:
            draw = ImageDraw.Draw(picture)
            places = _places(across[good], up[good], size, points=points, flipped=flipped)
            if points:
                radius = 1.5 if size is _SIZE else 0.7
                for a, b in places:
                    draw.ellipse((a - radius, b - radius, a + radius, b + radius), fill=_INK)
            else:
                draw.line([tuple(one) for one in places], fill=_INK, width=1)
        held = io.BytesIO()
        picture.save(held, "PNG", compress_level=4)
        pictures.append(held.getvalue())
    return Pictures(*pictures)


def _places(x: Any, y: Any, size: tuple[int, int], *, points: bool, flipped: bool) -> Any:
    width, height = size
    margin = max(2, height // 32)
    low, high = np.percentile(y, (1.0, 99.0))
    span = high - low if high > low else 1.0
    low, high = low - 0.1 * span, high + 0.1 * span
    if not points and len(x) > 4 * width:
        # lows and highs of each column of pixels: a line of millions of points is no better
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        cells = np.minimum((np.arange(len(x)) * width) // len(x), width - 1)
        starts = np.flatnonzero(np.r_[True, np.diff(cells) > 0])
        lows, highs = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        x = np.repeat(x[starts], 2)
        y = np.stack([lows, highs], axis=1).reshape(-1)
    elif points and len(x) > 8 * width:
        step = len(x) // (4 * width)
        x, y = x[::step], y[::step]
    begin, end = float(x.min()), float(x.max())
    across = margin + (x - begin) / (end - begin if end > begin else 1.0) * (width - 2 * margin)
    part = np.clip((y - low) / (high - low), -0.05, 1.05)
    up = part if flipped else 1.0 - part
    return np.stack([across, margin + up * (height - 2 * margin)], axis=1)
