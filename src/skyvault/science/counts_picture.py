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
    joined = np.asarray(counts, np.float64)
    for _ in range(3):
        if np.count_nonzero(joined) > 0.2 * joined.size:
            break
        height, width = joined.shape
        # pairs of rows and of columns; an odd one at the end stays alone
        joined = np.pad(joined, ((0, height % 2), (0, width % 2)))
        joined = joined[0::2] + joined[1::2]
        joined = joined[:, 0::2] + joined[:, 1::2]
    return joined


def _png(picture: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, "PNG", compress_level=4)
    return held.getvalue()
