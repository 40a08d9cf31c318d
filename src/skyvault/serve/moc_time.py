"""Coverages of time: spans of MJD (UTC) as a TMOC, ranges of microseconds of TCB since JD 0 (MOC 2.0, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from skyvault.formats.moc_fits import time_moc_fits
from skyvault.model.span import TimeSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: finest order of time, whose cells are a microsecond, and the order of these coverages: cells of 18 minutes
_DEEPEST: Final = 61
ORDER: Final = 31
_DAY_US: Final = 86_400_000_000
#: TCB is ahead of UTC by no less and no more than this, microseconds, from 1850 to 2050: the Earth's rotation, leap
#: seconds, and the drift of 0.49 s a year since 1977. Cells are much wider: exact times would change nothing
_TCB_UTC_US: Final = (-70e6, 120e6)


def time_ranges(spans: Sequence[TimeSpan], order: int = ORDER) -> NDArray[np.int64]:
    """Ranges (n, 2) of cells of an order, both ends included, that hold the spans."""
    import numpy as np

    ends = np.array([[span.lo, span.hi] for span in spans if math.isfinite(span.lo) and math.isfinite(span.hi)])
    if not len(ends):
        return np.empty((0, 2), np.int64)
    days = np.floor(ends)
    since = (days + 2_400_000.0 + 0.5) * _DAY_US + np.round((ends - days) * _DAY_US) + np.array(_TCB_UTC_US)
    cells = since.astype(np.int64) >> (_DEEPEST - order)
    cells = cells[np.argsort(cells[:, 0])]
    last = np.maximum.accumulate(cells[:, 1])
    starts = np.flatnonzero(np.r_[True, cells[1:, 0] > last[:-1] + 1])
    return np.stack([cells[starts, 0], last[np.r_[starts[1:] - 1, len(cells) - 1]]], axis=1)


def time_fits(spans: Sequence[TimeSpan], *, name: str | None = None) -> bytes:
    """The coverage as FITS."""
    import numpy as np

    ranges = (time_ranges(spans) + np.array([0, 1])) << (_DEEPEST - ORDER)
    return time_moc_fits(ranges.ravel(), ORDER, name=name)


def time_text(spans: Sequence[TimeSpan]) -> str:
    """The coverage in ASCII, all at one order: 31/first-last ..."""
    words = " ".join(str(a) if a == b else f"{a}-{b}" for a, b in time_ranges(spans).tolist())
    return f"{ORDER}/{words}"
