"""Which epochs of a light curve are to be trusted: how far each measured position lies from the usual one."""

from __future__ import annotations

import numpy as np

from skyvault.science.samples import Booleans, Floats, median


def sky_offsets(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """How unusual each position is: its distance from the median place, in median absolute deviations, shape (n,).

    Right ascensions on both sides of 0 are near each other. NaN where a position is unknown; zeros where the usual
    distance does not vary at all.
    """
    finite = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    if not finite.any():
        return np.full(len(ra_deg), np.nan)
    first = ra_deg[np.argmax(finite)]
    ra = (ra_deg - first + 180.0) % 360.0 - 180.0
    ra = ra - median(ra[finite])
    dec = dec_deg - median(dec_deg[finite])
    return _deviations(np.hypot(ra * np.cos(np.radians(dec_deg)), dec), finite)


def pixel_offsets(x: Floats, y: Floats) -> Floats:
    """The same as :func:`sky_offsets` of positions on the detector, in pixels."""
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return np.full(len(x), np.nan)
    return _deviations(np.hypot(x - median(x[finite]), y - median(y[finite])), finite)


def _deviations(distance: Floats, finite: Booleans) -> Floats:
    usual = median(distance[finite])
    spread = median(np.abs(distance[finite] - usual))
    if not spread > 0.0:
        return np.where(finite, 0.0, np.nan)
    return np.asarray((distance - usual) / spread, np.float64)


def is_beyond(values: Floats, threshold: float, *, is_two_sided: bool = True) -> Booleans:
    """Values that exceed a threshold; what is not known exceeds it."""
    return ~((np.abs(values) if is_two_sided else values) <= threshold)
