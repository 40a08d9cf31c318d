"""MOCs of regions: the cells of one order that a region touches."""

from __future__ import annotations

from typing import Final

import numpy as np

from skyvault.errors import RegionError
from skyvault.model.region import MAX_ORDER, Moc, Region
from skyvault.sky.area import area
from skyvault.sky.cover import bounding_cap, cells_at

#: cells of a MOC that is made while a query waits
MOST_CELLS: Final = 1_000_000


def moc_of(region: Region, order: int) -> Moc:
    """The cells (nested, ICRS) of an order that a region touches. Raises RegionError for an order that is too fine."""
    if not 0 <= order <= MAX_ORDER:
        raise RegionError(f"the order of a MOC is from 0 to {MAX_ORDER}, not {order}")
    shift = 2 * (MAX_ORDER - order)
    if isinstance(region, Moc):
        cells = region.ranges >> shift
        return Moc(np.stack([cells[:, 0] << shift, (cells[:, 1] + 1 << shift) - 1], axis=1))
    _, _, radius = bounding_cap(region)
    cap = 2.0 * np.pi * (1.0 - np.cos(np.radians(min(radius, 180.0))))
    if cap / (4.0 * np.pi) * 12 * 4**order > MOST_CELLS:
        raise RegionError(
            f"a region of {area(region):.3g} square degrees has too many cells of order {order}",
            hint="Take a lower order.",
        )
    first = cells_at(region, order) << shift
    return Moc(np.stack([first, first + ((1 << shift) - 1)], axis=1))
