"""Which exposures should show a comet or asteroid: its ephemeris against footprints, times and limiting magnitudes.

Every exposure is compared at its own times, so that none is missed between two rows of the ephemeris. A bounding
circle widened by the motion within the exposure sorts out most; the exact footprint decides about start, middle, end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.ephemeris import Ephemeris
from skyvault.science.samples import Booleans, Floats, Indices, float_array
from skyvault.sky.area import areas
from skyvault.sky.cover import bounding_caps
from skyvault.sky.points import points_in_shapes
from skyvault.sky.shapes import Shapes
from skyvault.sky.vectors import angle_between, coordinates, dot, unit_vectors

#: places looked at along an exposure: at least start, middle and end, more for one that lasts many steps
_LEAST_PLACES: Final = 3
_MOST_PLACES: Final = 65
_SQUARE_DEGREES: Final = 360.0**2 / np.pi


@dataclass(frozen=True)
class ExposureList:
    """Exposures of any archive, shape (n,): start and end (MJD UTC), a circle around each, and its exact footprint.

    ``radius`` is in degrees; without ``footprints`` the circle is the footprint. ``limiting_magnitude`` is NaN where
    unknown. Build it once and match many objects: what it works out is kept.
    """

    t_min: Floats
    t_max: Floats
    ra: Floats
    dec: Floats
    radius: Floats
    footprints: Shapes | None
    limiting_magnitude: Floats

    def __len__(self) -> int:
        return len(self.t_min)

    @classmethod
    def from_circles(
        cls,
        t_min: ArrayLike,
        t_max: ArrayLike,
        ra: ArrayLike,
        dec: ArrayLike,
        radius: ArrayLike,
        *,
        limiting_magnitude: ArrayLike | None = None,
    ) -> ExposureList:
        """From centres (ICRS degrees) and radii (degrees, one for all or one each)."""
        begin, end = float_array(t_min, "times"), float_array(t_max, "times")
        lon, lat = float_array(ra, "right ascensions"), float_array(dec, "declinations")
        size = np.broadcast_to(np.asarray(radius, np.float64), begin.shape)
        return cls(begin, end, lon, lat, size, None, _depths(limiting_magnitude, len(begin)))._checked()

    @classmethod
    def from_footprints(
        cls, t_min: ArrayLike, t_max: ArrayLike, footprints: Shapes, *, limiting_magnitude: ArrayLike | None = None
    ) -> ExposureList:
        """From footprints of any form (s_region of ObsCore); a row without one matches nothing."""
        begin, end = float_array(t_min, "times"), float_array(t_max, "times")
        lon, lat, size = bounding_caps(footprints)
        return cls(begin, end, lon, lat, size, footprints, _depths(limiting_magnitude, len(begin)))._checked()

    def _checked(self) -> ExposureList:
        lengths = {len(a) for a in (self.t_min, self.t_max, self.ra, self.dec, self.radius, self.limiting_magnitude)}
        if len(lengths) != 1:
            raise ParameterError("the columns of exposures differ in length")
        return self

    @cached_property
    def centres(self) -> Floats:
        """Unit vectors, shape (n, 3); NaN where there is no position."""
        return unit_vectors(self.ra, self.dec)

    def square_degrees(self, rows: Indices) -> Floats:
        """The area of the footprints of these rows."""
        if self.footprints is not None:
            return areas(self.footprints.take(rows))
        half = np.radians(np.clip(self.radius[rows], 0.0, 180.0)) / 2.0
        return np.asarray(_SQUARE_DEGREES * np.sin(half) ** 2, np.float64)


@dataclass(frozen=True)
class EphemerisMatches:
    """Exposures that should show the object, best first: shape (n,).

    Best are those known to reach its magnitude, then those of which it is not known, then the others; among them the
    narrowest footprint, then the deepest. ``row`` counts exposures as given; ``mjd``, ``ra``, ``dec`` are the object's
    at the middle of the exposure (or of the part the ephemeris covers); ``motion_arcsec`` its way meanwhile;
    ``from_centre`` degrees to the middle of the footprint; ``margin`` limiting minus expected magnitude (NaN unknown);
    ``is_inside_throughout`` whether every place looked at lies in the footprint.
    """

    row: Indices
    mjd: Floats
    ra: Floats
    dec: Floats
    motion_arcsec: Floats
    from_centre: Floats
    area_deg2: Floats
    magnitude: Floats
    margin: Floats
    is_inside_throughout: Booleans

    def __len__(self) -> int:
        return len(self.row)


def match_ephemeris(ephemeris: Ephemeris, exposures: ExposureList) -> EphemerisMatches:
    """All exposures whose footprint holds the object at their start, middle or end (or on the way, for long ones).

    An exposure of 0 s is a moment. Exposures that reach over the ephemeris' ends are compared where it covers them;
    those with unknown times, or longer than a year, match nothing. 10,000 rows against 500,000 exposures take 0.2 s.
    """
    begin, end = exposures.t_min, exposures.t_max
    # the part of each exposure that the ephemeris covers
    start, stop = np.maximum(begin, ephemeris.mjd[0]), np.minimum(end, ephemeris.mjd[-1])
    rows = np.flatnonzero((start <= stop) & (end - begin <= 366.0))
    rows = _near(ephemeris, exposures, rows, start[rows], stop[rows])
    start, stop = start[rows], stop[rows]
    step = float(np.median(np.diff(ephemeris.mjd)))
    places = np.clip(2 * np.ceil((stop - start) / step).astype(np.int64) + 1, _LEAST_PLACES, _MOST_PLACES)
    owner = np.repeat(np.arange(len(rows)), places)
    turn = np.arange(len(owner)) - np.repeat(np.cumsum(places) - places, places)
    times = start[owner] + (stop - start)[owner] * turn / (places - 1)[owner]
    points = ephemeris.at(times)
    known = np.isfinite(points[:, 0])
    inside = np.zeros(len(owner), np.bool_)
    inside[known] = _held(exposures, rows[owner[known]], points[known])
    hits = np.bincount(owner[inside], minlength=len(rows))
    found = np.flatnonzero(hits)
    chosen = rows[found]
    middle = 0.5 * (start + stop)[found]
    centre = ephemeris.at(middle)
    lost = ~np.isfinite(centre[:, 0])
    if lost.any():  # the middle falls in a gap of the ephemeris: take the first place inside
        first = np.full(len(rows), len(owner))
        np.minimum.at(first, owner[inside], np.flatnonzero(inside))
        centre[lost], middle[lost] = points[first[found][lost]], times[first[found][lost]]
    ends = ephemeris.at(np.stack([start[found], stop[found]]))
    magnitude = ephemeris.magnitudes_at(middle)
    lon, lat = coordinates(centre)
    matches = EphemerisMatches(
        row=chosen,
        mjd=middle,
        ra=lon,
        dec=lat,
        motion_arcsec=np.degrees(angle_between(ends[0], ends[1])) * 3600.0,
        from_centre=np.degrees(angle_between(centre, exposures.centres[chosen])),
        area_deg2=exposures.square_degrees(chosen),
        magnitude=magnitude,
        margin=exposures.limiting_magnitude[chosen] - magnitude,
        is_inside_throughout=hits[found] == np.bincount(owner[known], minlength=len(rows))[found],
    )
    return _ranked(matches, exposures.limiting_magnitude[chosen])


def _near(ephemeris: Ephemeris, exposures: ExposureList, rows: Indices, start: Floats, stop: Floats) -> Indices:
    """Rows whose circle the object can have touched: a straight line to the middle, and room for motion and bend."""
    middle, half = 0.5 * (start + stop), 0.5 * (stop - start)
    # in the order of time both lists are read from front to back
    row = np.clip(np.searchsorted(ephemeris.mjd, middle, side="right") - 1, 0, len(ephemeris) - 2)
    step = np.diff(ephemeris.mjd)
    vectors = ephemeris.vectors
    fraction = (middle - ephemeris.mjd[row]) / step[row]
    point = vectors[row] + fraction[:, None] * np.diff(vectors, axis=0)[row]
    # the object is never further from the line than half the way between the two rows; in gaps nothing is known
    usable = step <= ephemeris.longest_step
    way = np.where(usable, angle_between(vectors[:-1], vectors[1:]), 0.0)
    room = np.radians(np.clip(exposures.radius[rows], 0.0, 180.0)) + half * ephemeris.fastest() + 0.6 * way[row] + 1e-6
    chord = point - exposures.centres[rows]
    with np.errstate(invalid="ignore"):
        near = (dot(chord, chord) <= 4.0 * np.sin(np.minimum(room, np.pi) / 2.0) ** 2) | (room >= np.pi)
    # a short exposure in a gap of the ephemeris
    near &= usable[row] | (half > 0.0)
    return rows[near]


def _held(exposures: ExposureList, rows: Indices, points: Floats) -> Booleans:
    if exposures.footprints is None:
        apart = angle_between(points, exposures.centres[rows])
        return np.asarray(apart <= np.radians(exposures.radius[rows]) + 1e-12)
    lon, lat = coordinates(points)
    return points_in_shapes(lon, lat, exposures.footprints.take(rows))


def _ranked(matches: EphemerisMatches, depth: Floats) -> EphemerisMatches:
    reach = np.where(np.isnan(matches.margin), 1, np.where(matches.margin >= 0.0, 0, 2))
    order = np.lexsort((matches.mjd, -np.nan_to_num(depth, nan=-np.inf), matches.area_deg2, reach))
    return EphemerisMatches(**{name: getattr(matches, name)[order] for name in matches.__dataclass_fields__})


def _depths(values: ArrayLike | None, count: int) -> Floats:
    return np.full(count, np.nan) if values is None else float_array(values, "limiting magnitudes")


def ephemeris_query(
    table: str = "ivoa.ObsCore",
    *,
    upload: str = "orbit",
    columns: str = "p.*",
    collection: str | None = None,
    t_min: str = "t_min",
    t_max: str = "t_max",
    region: str = "s_region",
) -> str:
    """ADQL that finds by TAP every exposure which can show the object: upload :meth:`Ephemeris.segments` with it.

    The segments' circles hold the way between two rows, so nothing is missed; some exposures too many come back, and
    one that lasts over several segments comes back for each (regions cannot be compared for DISTINCT everywhere):
    :func:`match_ephemeris` sorts that out. Names must be plain ADQL identifiers; raises ParameterError.
    """
    for name in (*table.split("."), upload, t_min, t_max, region):
        if not (name.isascii() and name.replace("_", "a").isalnum() and name[0].isalpha()):
            raise ParameterError(f"{name[:40]!r} is no plain ADQL name")
    chosen = ""
    if collection is not None:
        chosen = "\n  AND p.obs_collection = '{}'".format(collection.replace("'", "''"))
    return (
        f"SELECT {columns}\n"
        f"FROM {table} AS p\n"
        f"JOIN TAP_UPLOAD.{upload} AS o\n"
        f"  ON 1 = INTERSECTS(CIRCLE(o.ra, o.dec, o.radius), p.{region})\n"
        f"WHERE p.{t_min} <= o.epoch_end AND p.{t_max} >= o.epoch_start{chosen}"
    )
