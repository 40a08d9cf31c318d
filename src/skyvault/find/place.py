"""Where to look: a name, a position or many, or a region, and when, as the archives are asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.model.region import Box, Circle, Moc, Point, Polygon, Region, Union
from skyvault.model.span import TimeSpan

if TYPE_CHECKING:
    from skyvault.config import Settings

_REGIONS: Final = (Point, Circle, Polygon, Box, Moc, Union)
#: more than that is a table to be uploaded, not a search
MOST_POSITIONS: Final = 100_000


@dataclass(frozen=True)
class Place:
    """Positions (ICRS degrees) and their names, or a region; ``radius_deg`` around each; ``time`` in MJD UTC."""

    ra: Any
    dec: Any
    names: tuple[str, ...]
    region: Region | None = None
    radius_deg: float | None = None
    time: TimeSpan | None = None

    def __len__(self) -> int:
        return len(self.ra)

    @classmethod
    def of(cls, target: Any, radius: Any = None, time: Any = None, *, settings: Settings | None = None) -> Place:
        """What a user wrote. Raises NameResolveError, ParameterError, RegionError."""
        from skyvault.missions.arguments import angle_deg

        width = None
        if radius is not None:
            angle = np.asarray(angle_deg(radius, "radius"))
            if angle.ndim or not math.isfinite(float(angle)) or not 0.0 <= float(angle) <= 90.0:
                raise ParameterError(
                    "radius must be one angle of 0 to 90 degrees", hint="For example 0.1, or 6*u.arcmin."
                )
            width = float(angle)
        when = _span(time)
        region = _region(target)
        if region is not None:
            return cls(np.empty(0), np.empty(0), (), region, width, when)
        ra, dec, names = _positions(target, settings)
        if not 0 < len(ra) <= MOST_POSITIONS:
            raise ParameterError(f"{len(ra):,} positions are given: 1 to {MOST_POSITIONS:,} are possible")
        return cls(ra, dec, names, None, width, when)

    @property
    def label(self) -> str:
        """What is looked for, in a few words."""
        if self.region is not None:
            return f"a {type(self.region).__name__.lower()}"
        if len(self) == 1:
            return self.names[0] or f"{self.ra[0]:.5f} {self.dec[0]:+.5f}"
        return f"{len(self):,} positions"

    def separations(self, ra: Any, dec: Any) -> tuple[Any, Any]:
        """The nearest position to each of these places: separation (degrees) and number; NaN and -1 without any."""
        count = len(ra)
        if not len(self) or not count:
            return np.full(count, np.nan), np.full(count, -1)
        from scipy.spatial import cKDTree

        known = np.isfinite(ra) & np.isfinite(dec)
        distance, index = np.full(count, np.nan), np.full(count, -1)
        if known.any():
            chord, nearest = cKDTree(_vectors(self.ra, self.dec)).query(_vectors(ra[known], dec[known]))
            distance[known] = np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))
            index[known] = nearest
        return distance, index


def _vectors(ra: Any, dec: Any) -> Any:
    lon, lat = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _region(target: Any) -> Region | None:
    if isinstance(target, _REGIONS):
        return Circle(target.lon, target.lat, 0.0) if isinstance(target, Point) else target
    if isinstance(target, str):
        word = target.strip().split(" ")[0].split("/")[0].upper()
        if word in ("CIRCLE", "POLYGON", "BOX", "RANGE", "UNION", "MOC") or (word.isdigit() and "/" in target[:4]):
            from skyvault.sky.region_text import parse_region

            return parse_region(target)
    return None


def _positions(target: Any, settings: Settings | None) -> tuple[Any, Any, tuple[str, ...]]:
    from skyvault.missions.arguments import positions_deg
    from skyvault.missions.search import place_of

    if isinstance(target, str):
        ra, dec = place_of(target, _resolver(settings))
        return np.array([ra]), np.array([dec]), (target,)
    is_list = isinstance(target, Sequence) and not hasattr(target, "ra")
    if is_list and target and all(isinstance(one, str) for one in target):
        places = [place_of(one, _resolver(settings)) for one in target]
        return np.array([p[0] for p in places]), np.array([p[1] for p in places]), tuple(target)
    lon, lat = positions_deg(target, "ICRS", "target")
    return np.mod(lon, 360.0), np.asarray(lat), ("",) * len(lon)


def _resolver(settings: Settings | None) -> Any:
    from skyvault.missions.sesame import Sesame

    return Sesame(settings)


def _span(time: Any) -> TimeSpan | None:
    """A TimeSpan, "2001-01-01/2010-12-31", or a pair of anything that is a time; an open end is ".." or None."""
    if time is None:
        return None
    if isinstance(time, TimeSpan):
        return time
    if isinstance(time, str):
        parts: list[Any] = [part.strip() or None for part in time.split("/")]
    elif isinstance(time, Sequence):
        parts = list(time)
    else:
        parts = [time, time]
    if len(parts) == 1:
        parts = [parts[0], parts[0]]
    if len(parts) != 2:
        raise ParameterError("a time is one, or two with / between", hint="For example 2001-01-01/2010-12-31.")
    first, last = (_mjd(part, is_end=bool(i)) for i, part in enumerate(parts))
    return TimeSpan(first, last)


def _mjd(value: Any, *, is_end: bool) -> float:
    if value is None or value == "..":
        return math.inf if is_end else -math.inf
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    from skyvault.missions.arguments import times_utc

    read = times_utc(value, "time")
    if read.ndim:
        raise ParameterError("one time is needed, not several")
    days = float((read - np.datetime64("1858-11-17")) / np.timedelta64(1, "D"))
    # a bare date as the end means all of that day
    is_date = isinstance(value, str) and len(value.strip()) == 10
    return days + 1.0 if is_end and is_date else days
