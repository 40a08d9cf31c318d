"""Pictures of counted photons: nothing is black, one photon can be seen, and bright sources are not all white."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from skyvault.science.previews import PREVIEW, THUMBNAIL, Pictures
from skyvault.science.samples import Floats


def counts_pictures(counts: Floats) -> Pictures:
    """Pictures of counts by pixel, shape (rows, columns), row 0 at the bottom: brightness goes with the logarithm.

    Where photons are few, pixels are joined until about one in five holds one.
    """
    from PIL import Image

    joined = _joined(counts)
    most = float(joined.max(initial=0.0))
    grey = np.zeros(joined.shape, np.uint8)
    if most > 0:
        grey = (np.log1p(joined) / np.log1p(most) * 255.0).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(grey[::-1]))
    size = (counts.shape[1], counts.shape[0])
    picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((PREVIEW, PREVIEW), Image.Resampling.BOX)
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Pictures(_png(picture), _png(small))


def _joined(counts: Floats) -> Floats:
    for step in (1, 2, 4, 8):
        height, width = (max(size // step, 1) * step for size in counts.shape)
        padded = np.zeros((height, width))
        rows, columns = min(height, counts.shape[0]), min(width, counts.shape[1])
        padded[:rows, :columns] = counts[:rows, :columns]
        joined: Floats = padded.reshape(height // step, step, width // step, step).sum(axis=(1, 3))
        if (joined > 0).mean() > 0.2:
            break
    return joined


def _png(picture: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, "PNG", compress_level=4)
    return held.getvalue()
