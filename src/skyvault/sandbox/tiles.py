"""The tiling of eROSITA's sky: strips of declination three degrees high, cut into tiles about as wide, and their table.

A tile's name is the right ascension of its middle and the distance of its strip from the north pole, both in whole
degrees: 134135 lies at right ascension 134 and declination -45.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from skyvault.sandbox.sky import named_objects
from skyvault.sandbox.xray_tables import galactic

#: tiles within so many degrees of a named object are held
_NEAR_DEG: Final = 7.5
#: and these: the tile whose pages of the archive are well known
_OTHERS: Final = ("134135",)
_HEAD: Final = (
    "ObsID,OWNER,RA_MIN,RA_MAX,DEC_MIN,DEC_MAX,RA,DEC,X_MIN,Y_MIN,N_NBRS,"
    "FIELD1,FIELD2,FIELD3,FIELD4,FIELD5,FIELD6,FIELD7,FIELD8,FIELD9,START,END"
)
_FIRST: Final = datetime(2019, 12, 11, 18, 0)
#: a place in the ecliptic is seen again after half a year
_HALF_YEAR_DAYS: Final = 182.6


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile: its edges and middle in ICRS degrees, its neighbours' names, when it was seen. ``owner`` 2 is German."""

    name: str
    owner: int
    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float
    ra: float
    dec: float
    neighbours: tuple[str, ...]
    start: datetime
    end: datetime

    def row(self) -> str:
        """Its line of the table."""
        fields = [*self.neighbours, *("000000",) * (9 - len(self.neighbours))]
        numbers = (self.ra_min, self.ra_max, self.dec_min, self.dec_max, self.ra, self.dec, 18.0, 17.5)
        return ",".join(
            [
                self.name,
                str(self.owner),
                *(repr(number) for number in numbers),
                str(len(self.neighbours)),
                *fields,
                self.start.isoformat(timespec="seconds"),
                self.end.isoformat(timespec="seconds"),
            ]
        )


def table() -> str:
    """The table as the survey's listing gives it (CSV); times are UTC."""
    return "\n".join([_HEAD, *(tile.row() for tile in tiles().values())]) + "\n"


@functools.cache
def tiles() -> dict[str, Tile]:
    """The tiles that are held: in the western Galactic half, near the named objects; and a few others."""
    edges = _all_edges()
    names = _names(edges)
    ra, dec = (edges[:, 0] + edges[:, 1]) / 2, (edges[:, 2] + edges[:, 3]) / 2
    ra[edges[:, 1] - edges[:, 0] == 360.0] = 0.0
    dec[edges[:, 2] == -90.0] = -90.0
    dec[edges[:, 3] == 90.0] = 90.0
    longitude, _ = galactic(ra, dec)
    near = np.zeros(len(edges), bool)
    for one in named_objects():
        near |= _separation(ra, dec, one.ra_deg, one.dec_deg) < _NEAR_DEG
    held = (near & (longitude > 179.0)) | (dec == -90.0)
    held |= np.isin(names, _OTHERS)
    found: dict[str, Tile] = {}
    for index in np.flatnonzero(held).tolist():
        touching = _touching(edges, index)
        west, east, south, north = edges[index].tolist()
        start, days = _seen(float(ra[index]), float(dec[index]))
        found[names[index]] = Tile(
            names[index],
            2 if longitude[index] > 181.0 else 0,
            west,
            east,
            south,
            north,
            float(ra[index]),
            float(dec[index]),
            tuple(names[other] for other in touching[:9]),
            start,
            start + timedelta(days=days),
        )
    return found


def _all_edges() -> npt.NDArray[np.float64]:
    """West, east, south and north edge of every tile of the sky, from north to south."""
    rows = [(0.0, 360.0, 88.5, 90.0)]
    for strip in range(1, 60):
        north = 90.0 - 3.0 * strip + 1.5
        # about three degrees wide at the strip's longer edge
        longer = min(abs(north), abs(north - 3.0)) if north * (north - 3.0) > 0 else 0.0
        count = round(120.0 * float(np.cos(np.radians(longer))))
        edges = np.arange(count + 1) * 360.0 / count
        rows += [(west, east, north - 3.0, north) for west, east in itertools.pairwise(edges.tolist())]
    rows.append((0.0, 360.0, -90.0, -88.5))
    return np.array(rows)


def _names(edges: npt.NDArray[np.float64]) -> list[str]:
    names = []
    for west, east, south, north in edges.tolist():
        is_pole = east - west == 360.0
        distance = 180 if south == -90.0 else 0 if north == 90.0 else round(90.0 - (south + north) / 2)
        names.append(f"{1 if is_pole else int((west + east) / 2 + 0.5) % 360:03d}{distance:03d}")
    return names


def _touching(edges: npt.NDArray[np.float64], index: int) -> list[int]:
    """Tiles that share an edge with this one, or whose corner lies within a degree of its own."""
    west, east, south, north = edges[index]
    margin = 1.0 / np.cos(np.radians((south + north) / 2))
    meets = (edges[:, 2] <= north + 1e-6) & (edges[:, 3] >= south - 1e-6)
    # the overlap of two arcs, over the point where right ascension begins anew
    apart = np.abs((edges[:, 0] + edges[:, 1] - west - east) / 2)
    apart = np.minimum(apart, 360.0 - apart)
    meets &= apart <= (edges[:, 1] - edges[:, 0] + east - west) / 2 + margin
    meets[index] = False
    return [int(other) for other in np.flatnonzero(meets)]


def _seen(ra: float, dec: float) -> tuple[datetime, float]:
    """When the scans passed a place, and for how many days: longer near the ecliptic poles."""
    obliquity = np.radians(23.4393)
    a, d = np.radians(ra), np.radians(dec)
    latitude = np.degrees(np.arcsin(np.sin(d) * np.cos(obliquity) - np.cos(d) * np.sin(obliquity) * np.sin(a)))
    longitude = np.degrees(np.arctan2(np.sin(a) * np.cos(obliquity) + np.tan(d) * np.sin(obliquity), np.cos(a)))
    days = min(3.5 / max(np.cos(np.radians(latitude)), 0.02), _HALF_YEAR_DAYS)
    # the scans' plane turns through 180 degrees in half a year
    phase = (longitude - 150.0) % 180.0 / 180.0 * (_HALF_YEAR_DAYS - days)
    return _FIRST + timedelta(seconds=round(float(phase) * 86400.0)), round(float(days) * 86400.0) / 86400.0


def _separation(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], ra0: float, dec0: float
) -> npt.NDArray[np.float64]:
    d, d0 = np.radians(dec), np.radians(dec0)
    cosine = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(np.radians(ra - ra0))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
