"""From an archive's rows to light curves: which objects are the source, one piece a filter and observing season."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyvault.science.photometry_statistics import median_place
from skyvault.science.samples import Booleans, Floats, Indices


def seasons(mjd: Floats, gap_days: float) -> list[slice]:
    """Stretches of sorted times without a gap longer than ``gap_days``; one stretch for a gap that is not positive."""
    if not len(mjd):
        return []
    if not gap_days > 0.0:
        return [slice(0, len(mjd))]
    breaks = np.flatnonzero(np.diff(mjd) > gap_days) + 1
    edges = [0, *breaks.tolist(), len(mjd)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def by_filter_and_season(mjd: Floats, filters: NDArray[Any] | None, gap_days: float) -> list[Indices]:
    """Rows of each piece, sorted by time; the pieces are ordered by the time they start.

    Seasons are those of all filters together. Rows without a time are left out. ``filters`` None is one filter.
    """
    rows = np.flatnonzero(np.isfinite(mjd))
    rows = rows[np.argsort(mjd[rows], kind="stable")]
    pieces: list[Indices] = []
    for season in seasons(mjd[rows], gap_days):
        inside = rows[season]
        if filters is None:
            pieces.append(inside)
            continue
        names = filters[inside]
        if (names == names[0]).all():
            pieces.append(inside)
        else:
            pieces += [inside[names == name] for name in np.unique(names)]
    return sorted(pieces, key=lambda piece: (float(mjd[piece[0]]), int(piece[0])))


def separation_arcsec(ra_deg: float, dec_deg: float, other_ra_deg: float, other_dec_deg: float) -> float:
    """Angle between two places that are near each other, right ascensions on both sides of 0 included."""
    ra = (ra_deg - other_ra_deg + 180.0) % 360.0 - 180.0
    return 3600.0 * float(np.hypot(ra * np.cos(np.radians(other_dec_deg)), dec_deg - other_dec_deg))


def rows_of_source(
    object_id: NDArray[Any],
    ra_deg: Floats,
    dec_deg: Floats,
    mag: Floats,
    is_flagged: Booleans,
    *,
    place: tuple[float, float] | None,
    radius_arcsec: float | None,
    source_mag: float | None,
    mag_range: float | None,
) -> Booleans:
    """Which rows belong to the source, shape (n,): those of objects whose median place and magnitude are near it.

    Medians are over the unflagged rows with a magnitude. A test whose limit is None or 0, or whose quantity of the
    source is unknown, is left out; an object without a single good row is left out when any test is made.
    """
    keep = np.zeros(len(object_id), np.bool_)
    finite = ~is_flagged & np.isfinite(mag)
    test_place = place is not None and bool(radius_arcsec)
    test_mag = source_mag is not None and np.isfinite(source_mag) and bool(mag_range)
    names, inverse = np.unique(object_id, return_inverse=True)
    for number in range(len(names)):
        rows = inverse == number
        good = rows & finite
        if test_place or test_mag:
            if not good.any():
                continue
            if test_place and place is not None and radius_arcsec is not None:
                ra, dec = median_place(ra_deg[good], dec_deg[good])
                # a place that is not known is no reason to keep an object
                if not separation_arcsec(ra, dec, *place) <= radius_arcsec:
                    continue
            if (
                test_mag
                and source_mag is not None
                and mag_range is not None
                and abs(source_mag - float(np.median(mag[good]))) > mag_range
            ):
                continue
        keep |= rows
    return keep
