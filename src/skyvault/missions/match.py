"""Which observations lie near which positions: a positional match in zones of declination, with a radius each.

Observations are sorted once into cells of about a square degree: zones of declination, each cut in right ascension.
A circle then touches one or two runs of cells a zone, whatever its radius, so that fields of 2 arcminutes and of 60
degrees, and a radius for each position, cost alike; sorting 400,000 observations takes 20 ms (a HEALPix join of the
same table sorts three times as long, and cannot take a radius for each position). The exact chord decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyvault.missions.faults import MissionValueError
from skyvault.sky.shapes import spread

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Booleans = NDArray[np.bool_]

#: pairs looked at together: bounds the memory to some 60 MB
_PORTION: Final = 1_000_000
#: more pairs than this are refused: the table of them would not fit a desk's memory
MOST_PAIRS: Final = 20_000_000
#: degrees; covers the rounding of cell numbers
_SLACK: Final = 1e-9

#: right-ascension cells in each one-degree zone of declination, and the number of cells before each
_BINS: Final = np.maximum(1, np.floor(360.0 * np.cos(np.radians(np.arange(-89.5, 90.0))))).astype(np.int64)
_FIRST: Final = np.concatenate([[0], np.cumsum(_BINS)])


class Pairs(NamedTuple):
    """Position numbers, observation numbers and degrees between them, sorted by the first, then the second."""

    position: Indices
    observation: Indices
    separation: Floats

    def only(self, chosen: Booleans) -> Pairs:
        """The chosen ones."""
        return Pairs(self.position[chosen], self.observation[chosen], self.separation[chosen])


class Zones:
    """Positions (degrees) sorted into cells, to be asked what lies near others. Those that are NaN are left out."""

    def __init__(self, lon: Floats, lat: Floats) -> None:
        lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        with np.errstate(invalid="ignore"):
            valid = np.isfinite(lon) & (np.abs(lat) <= 90.0)
        self.size = len(lon)
        rows = None if valid.all() else np.flatnonzero(valid)
        lon, lat = (lon, lat) if rows is None else (lon[rows], lat[rows])
        zone = np.minimum((lat + 90.0).astype(np.int64), 179)
        turn = lon / 360.0
        bins = _BINS[zone]
        # 41,252 cells fit 16 bits, which numpy sorts by radix, ten times faster than 64
        cell = (_FIRST[zone] + np.minimum(((turn - np.floor(turn)) * bins).astype(np.int64), bins - 1)).astype(
            np.uint16
        )
        order = np.argsort(cell, kind="stable")
        self.rows: Indices = order if rows is None else rows[order]
        self.first = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=int(_FIRST[-1])))])
        self._lon, self._lat = lon[order], lat[order]
        self._vectors: tuple[Floats, Floats, Floats] | None = None
        self._asked = 0

    @classmethod
    def from_sorted(cls, size: int, rows: Indices, first: Indices, lon: Floats, lat: Floats) -> Zones:
        """What :meth:`sorted_places` and ``first`` gave, of a table of ``size`` rows, without sorting again."""
        made = cls.__new__(cls)
        made.size, made.rows, made.first, made._lon, made._lat = size, rows, first, lon, lat
        made._vectors, made._asked = None, 0
        return made

    def sorted_places(self) -> tuple[Indices, Floats, Floats]:
        """Rows, longitudes and latitudes in the order of the cells."""
        return self.rows, self._lon, self._lat

    def places(self, place: Indices) -> tuple[Floats, Floats]:
        """Longitudes and latitudes of sorted places."""
        return self._lon[place], self._lat[place]

    def vectors(self, place: Indices | None = None) -> tuple[Floats, Floats, Floats]:
        """Unit vectors of sorted places, or of all. All are worked out only when many were asked for."""
        if self._vectors is None:
            self._asked += len(self._lon) if place is None else len(place)
            if place is not None and 4 * self._asked < len(self._lon):
                return _vectors(self._lon[place], self._lat[place])
            self._vectors = _vectors(self._lon, self._lat)
        x, y, z = self._vectors
        return (x, y, z) if place is None else (x[place], y[place], z[place])

    def runs(self, lon: Floats, lat: Floats, radius: Floats) -> tuple[Indices, Indices, Indices]:
        """(circle, first place, number) of the runs of sorted places that circles (degrees) may touch."""
        south = np.clip(np.floor(lat - radius - _SLACK + 90.0), 0, 179).astype(np.int64)
        north = np.clip(np.floor(lat + radius + _SLACK + 90.0), 0, 179).astype(np.int64)
        circle, zone = spread(south, north - south + 1)
        reach = half_width(lat, radius)
        bins = _BINS[zone]
        scale = bins / 360.0
        low = np.floor((lon[circle] - reach[circle]) * scale).astype(np.int64)
        length = np.minimum(np.floor((lon[circle] + reach[circle]) * scale).astype(np.int64) - low + 1, bins)
        low %= bins
        over = low + length - bins
        base = _FIRST[zone]
        begin, end = base + low, base + np.minimum(low + length, bins)
        wraps = over > 0
        if wraps.any():
            circle = np.concatenate([circle, circle[wraps]])
            begin = np.concatenate([begin, base[wraps]])
            end = np.concatenate([end, base[wraps] + over[wraps]])
        place = self.first[begin]
        count = self.first[end] - place
        some = count > 0
        return circle[some], place[some], count[some]


def _vectors(lon: Floats, lat: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit vectors as three arrays, which are read faster than one of shape (n, 3)."""
    a, d = np.radians(lon), np.radians(lat)
    c = np.cos(d)
    return c * np.cos(a), c * np.sin(a), np.sin(d)


def half_width(lat: Floats, radius: Floats) -> Floats:
    """Degrees of longitude that circles reach to either side; 180 where they hold a pole."""
    holds_pole = np.abs(lat) + radius >= 90.0 - _SLACK
    ratio = np.sin(np.radians(np.minimum(radius, 90.0))) / np.where(holds_pole, 1.0, np.cos(np.radians(lat)))
    return np.where(holds_pole, 180.0, np.degrees(np.arcsin(np.minimum(ratio, 1.0))) + _SLACK)


def chord_squared(radius: Floats) -> Floats:
    """Squared chords of angles in degrees, and a hair for the rounding of two unit vectors."""
    half = np.sin(np.radians(np.minimum(radius, 180.0)) / 2.0)
    return np.asarray(np.where(radius >= 180.0, 5.0, 4.0 * half * half * (1.0 + 4e-16) + 1e-30), np.float64)


def pairs_within(zones: Zones, lon: Floats, lat: Floats, radius: Floats, wanted: Booleans | None = None) -> Pairs:
    """All pairs of a position and one of the ``wanted`` observations within the position's ``radius`` (degrees).

    Raises MissionValueError when there are more than MOST_PAIRS of them.
    """
    found: list[tuple[Indices, Indices, Floats]] = []
    total = 0
    for circle, place, square in _near(zones, lon, lat, radius):
        row = zones.rows[place]
        if wanted is not None:
            chosen = wanted[row]
            circle, row, square = circle[chosen], row[chosen], square[chosen]
        found.append((circle, row, square))
        total += len(row)
        if total > MOST_PAIRS:
            raise MissionValueError(
                f"the positions match observations more than {MOST_PAIRS} times",
                hint="Ask with a smaller search_distance or fewer positions, or without a table of matches.",
            )
    if not found:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    circle, row, square = (np.concatenate([part[i] for part in found]) for i in range(3))
    order = np.argsort(circle * np.int64(zones.size) + row, kind="stable")
    apart = np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(square[order], 4.0)) / 2.0))
    return Pairs(circle[order], row[order], apart)


def rows_within(zones: Zones, lon: Floats, lat: Floats, radius: Floats, wanted: Booleans) -> Booleans:
    """Which of the ``wanted`` observations lie within ``radius`` (degrees) of any of the positions, shape (n,).

    Needs no list of pairs: wide fields are tested against what is still unmatched, and when positions outnumber
    the observations the few observations look for positions instead.
    """
    result = np.zeros(zones.size, np.bool_)
    if not len(lon):
        return result
    if len(lon) > 4 * len(zones.rows) and float(np.ptp(radius)) == 0.0:
        return _rows_near_many(zones, lon, lat, float(radius[0]), wanted)
    # an estimate of the work by area decides, before any run is laid out
    area = float(np.sum((1.0 - np.cos(np.radians(np.minimum(radius, 180.0)))) / 2.0))
    if area * len(zones.rows) > 2 * _PORTION or area > 0.5 * len(lon):
        return _rows_near_wide(zones, lon, lat, radius, wanted)
    for begin in range(0, len(lon), _PORTION // 10):
        part = slice(begin, begin + _PORTION // 10)
        for _, place, _ in _near(zones, lon[part], lat[part], radius[part]):
            result[zones.rows[place]] = True
    return result & wanted


def _near(zones: Zones, lon: Floats, lat: Floats, radius: Floats) -> Iterator[tuple[Indices, Indices, Floats]]:
    """(circle, sorted place, squared chord) of all that lies within, in portions."""
    owner, first, count = zones.runs(lon, lat, radius)
    (x, y, z), limit = _vectors(lon, lat), chord_squared(radius)
    done = np.cumsum(count)
    begin = 0
    while begin < len(count):
        end = max(begin + 1, int(np.searchsorted(done, (done[begin - 1] if begin else 0) + _PORTION, side="right")))
        run, place = spread(first[begin:end], count[begin:end])
        circle = owner[begin:end][run]
        their_x, their_y, their_z = zones.vectors(place)
        square = (their_x - x[circle]) ** 2
        square += (their_y - y[circle]) ** 2
        square += (their_z - z[circle]) ** 2
        near = square <= limit[circle]
        yield circle[near], place[near], square[near]
        begin = end


def _rows_near_many(zones: Zones, lon: Floats, lat: Floats, radius: float, wanted: Booleans) -> Booleans:
    """The few observations, each once, among many positions: a sample of these settles nearly all."""
    open_places = np.flatnonzero(wanted[zones.rows])
    result = np.zeros(zones.size, np.bool_)
    begin = 0
    while begin < len(lon) and len(open_places):
        end = min(len(lon), max(4 * len(zones.rows), 10 * begin))
        among = Zones(lon[begin:end], lat[begin:end])
        hit = np.zeros(len(open_places), np.bool_)
        centre_lon, centre_lat = zones.places(open_places)
        for circle, _, _ in _near(among, centre_lon, centre_lat, np.full(len(open_places), radius)):
            hit[circle] = True
        result[zones.rows[open_places[hit]]] = True
        open_places = open_places[~hit]
        begin = end
    return result


def _rows_near_wide(zones: Zones, lon: Floats, lat: Floats, radius: Floats, wanted: Booleans) -> Booleans:
    """Fields that cover much of the sky: each position against all observations that none has matched yet."""
    result = np.zeros(zones.size, np.bool_)
    rows = zones.rows
    x, y, z = zones.vectors()
    if not wanted.all():
        kept = wanted[rows]
        rows, x, y, z = rows[kept], x[kept], y[kept], z[kept]
    (px, py, pz), limit = _vectors(lon, lat), chord_squared(radius)
    for i in np.argsort(-radius, kind="stable"):
        if not len(rows):
            break
        square = (x - px[i]) ** 2
        square += (y - py[i]) ** 2
        square += (z - pz[i]) ** 2
        near = square <= limit[i]
        count = int(np.count_nonzero(near))
        if count:
            result[rows[near]] = True
        # the arrays are cut only when that saves more than it costs
        if count * 8 > len(rows):
            far = ~near
            rows, x, y, z = rows[far], x[far], y[far], z[far]
    return result
