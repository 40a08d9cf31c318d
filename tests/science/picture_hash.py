"""An average hash of a picture: 16 x 16 squares, each brighter or darker than the mean; like pictures differ in few bits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

SIDE = 16


def picture_hash(figure: Any) -> str:
    """64 hexadecimal digits of a matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    grey = np.asarray(canvas.buffer_rgba(), float)[..., :3].mean(axis=2)
    rows, columns = (np.linspace(0, n, SIDE + 1).astype(int) for n in grey.shape)
    squares = np.array([[grey[a:b, c:d].mean() for c, d in pairwise(columns)] for a, b in pairwise(rows)])
    return np.packbits(squares > squares.mean()).tobytes().hex()


def bits_apart(first: str, second: str) -> int:
    """In how many of the 256 squares two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()
