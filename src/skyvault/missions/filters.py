"""Which rows of a mission's table a filter lets through: rectangles, tiles, time windows, IDs and target types.

Functions from a table's columns and plain arguments to a mask of shape (n,). Bounds belong to what they bound.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.arguments import Floats, Times
from skyvault.missions.faults import IllegalSourceType, MissionValueError, MissionWarning
from skyvault.missions.match import Booleans, Pairs, Zones, pairs_within
from skyvault.missions.targets import TARGET_TYPES
from skyvault.sky.vectors import separation


def mask_of(column: pa.ChunkedArray) -> Booleans:
    """A boolean column as an array; unknown is False."""
    known = pc.fill_null(column, False) if column.null_count else column
    return np.asarray(known.to_numpy(zero_copy_only=False), np.bool_)


def times_of(column: pa.ChunkedArray) -> Times:
    """A column of times as datetime64[us]; unknown is NaT, which no comparison lets through."""
    return np.asarray(column.to_numpy(), "datetime64[us]")


def checked_ids(ids: Sequence[str], pattern: str, pretty_name: str) -> list[str]:
    """ObsIDs as the mission writes them, mostly in capitals. Raises one MissionValueError that lists all that do not
    match the mission's pattern."""
    regex = re.compile(pattern)
    upper = [next((i for i in (one, one.lower()) if regex.match(i)), one.upper()) for one in map(str.strip, ids)]
    wrong = [one for one in upper if not regex.match(one)]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise MissionValueError(
            f"{', '.join(repr(one[:40]) for one in wrong[:5])}{more} cannot be an ObsID of {pretty_name}",
            hint=f"Its ObsIDs match {pattern}.",
        )
    return upper


def ids_mask(column: pa.ChunkedArray, ids: Sequence[str], *, is_inverted: bool = False) -> Booleans:
    """Rows whose ObsID is listed, or is not."""
    listed = mask_of(pc.is_in(column, pa.array(list(ids), pa.string())))
    return ~listed if is_inverted else listed


def rectangle_mask(
    ra: Floats, dec: Floats, lower_left: tuple[float, float], upper_right: tuple[float, float]
) -> Booleans:
    """Rows whose centre lies between two meridians and two parallels (degrees, the table's frame).

    With the left edge at a larger right ascension than the right one, the rectangle is the shorter of two arcs: the one
    through 0 where that is under 180 degrees, else the two are swapped and a warning says so.
    """
    (west, south), (east, north) = lower_left, upper_right
    if south > north:
        raise MissionValueError(
            f"the lower edge of the rectangle ({south} deg) is above the upper one ({north} deg)",
            hint="Give the lower left corner first.",
        )
    inside = (dec >= south) & (dec <= north)
    lon = np.mod(ra, 360.0)
    if west > east:
        if east + 360.0 - west < 180.0:
            return np.asarray(inside & ((lon >= west) | (lon <= east)), np.bool_)
        warnings.warn(
            f"the left edge ({west} deg) is at a larger right ascension than the right edge ({east} deg): swapped",
            MissionWarning,
            stacklevel=4,
        )
        west, east = east, west
    return np.asarray(inside & (lon >= west) & (lon <= east), np.bool_)


def time_mask(start: Times, end: Times, window_start: Times, window_end: Times, *, over_run: bool) -> Booleans:
    """Observations that touch the window, or with ``over_run`` False those wholly inside; arrays broadcast."""
    if over_run:
        return np.asarray((start <= window_end) & (end >= window_start), np.bool_)
    return np.asarray((start >= window_start) & (end <= window_end), np.bool_)


def checked_window(start: Times, end: Times) -> None:
    """Raises MissionValueError when a time window ends before it begins."""
    wrong = np.atleast_1d(end < start)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise MissionValueError(
            f"the time window {np.atleast_1d(start)[row]} to {np.atleast_1d(end)[row]} ends before it begins"
        )


def checked_types(types: Sequence[str]) -> list[str]:
    """Target types in capitals. Raises IllegalSourceType for one that is not in the taxonomy."""
    upper = [one.strip().upper() for one in types]
    if strange := [one for one in upper if one not in TARGET_TYPES]:
        raise IllegalSourceType(
            f"{', '.join(map(repr, strange))} is no target type", hint=f"Types are {', '.join(TARGET_TYPES)}."
        )
    return upper


def tile_pairs(zones: Zones, edges: tuple[Floats, Floats, Floats, Floats], centre: tuple[Floats, Floats],
               lon: Floats, lat: Floats) -> Pairs:  # fmt: skip
    """Positions and the survey tiles that hold them; edges are west, east, south, north in degrees, all included.

    A tile is found by the circle around its centre that holds its corners and the middles of its edges.
    """
    west, east, south, north = edges
    around = np.zeros(len(west))
    middle = (west + east) / 2.0
    for edge_lon, edge_lat in (
        (west, south),
        (west, north),
        (east, south),
        (east, north),
        (middle, south),
        (middle, north),
    ):
        np.maximum(around, separation(*centre, edge_lon, np.clip(edge_lat, -90.0, 90.0)), out=around)
    # the tile around a pole holds it: its rim is as far everywhere
    found = pairs_within(zones, lon, lat, np.full(len(lon), float(np.max(around)) + 0.01))
    p, o = found.position, found.observation
    turned = np.mod(lon[p] - west[o], 360.0)
    width = east[o] - west[o]
    # a position on the western edge to rounding, a turn away
    in_lon = (turned <= width) | (turned >= 360.0 - 1e-12)
    inside = in_lon & (lat[p] >= south[o]) & (lat[p] <= north[o])
    return Pairs(p[inside], o[inside], found.separation[inside])


def tile_rows(
    edges: tuple[Floats, Floats, Floats, Floats],
    centre: tuple[Floats, Floats],
    lon: Floats,
    lat: Floats,
    wanted: Booleans,
) -> Booleans:
    """Which of the ``wanted`` tiles hold any of the positions; the first positions settle most of the tiles."""
    result = np.zeros(len(wanted), np.bool_)
    still, begin, size = np.flatnonzero(wanted), 0, 10_000
    while begin < len(lon) and len(still):
        part = slice(begin, begin + size)
        west, east, south, north = (edge[still] for edge in edges)
        near = (centre[0][still], centre[1][still])
        found = tile_pairs(Zones(*near), (west, east, south, north), near, lon[part], lat[part])
        hit = np.zeros(len(still), np.bool_)
        hit[found.observation] = True
        result[still[hit]] = True
        still, begin, size = still[~hit], begin + size, 100_000
    return result
