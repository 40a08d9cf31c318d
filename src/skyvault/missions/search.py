"""A search: the place on the sky an archive is asked about, or the archive's own ID of an object there.

The time-domain archives hold too many observations to copy whole, so that their missions are made for one search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.missions.arguments import angle_deg, positions_deg
from skyvault.missions.faults import MissionTypeError, MissionValueError, NameResolveError
from skyvault.missions.parse_name import Resolver, parse_name

_DEGREES: Final = re.compile(r"\s*(\d+(?:\.\d*)?)[\s,]+([+-]?\d+(?:\.\d*)?)\s*")
_SAFE_ID: Final = re.compile(r"[0-9A-Za-z_.+-]{1,80}")


@dataclass(frozen=True, slots=True)
class Search:
    """A place (ICRS degrees) and the radius (degrees) around it; ``source_id`` is the archive's own name of it."""

    ra_deg: float
    dec_deg: float
    radius_deg: float = 0.0
    source_id: str = ""

    def __post_init__(self) -> None:
        numbers = (self.ra_deg, self.dec_deg, self.radius_deg)
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
            raise MissionTypeError(f"a search needs degrees, not {numbers!r}")
        if not all(map(math.isfinite, numbers)) or not 0.0 <= self.ra_deg < 360.0 or abs(self.dec_deg) > 90.0:
            raise MissionValueError(f"({self.ra_deg}, {self.dec_deg}) degrees is no place on the sky")
        if not 0.0 <= self.radius_deg <= 90.0:
            raise MissionValueError(f"a search radius of {self.radius_deg:g} degrees is not possible: 0 to 90 are")
        if self.source_id and not _SAFE_ID.fullmatch(self.source_id):
            raise MissionValueError(f"{self.source_id[:40]!r} cannot be an ID of an archive")

    @classmethod
    def around(cls, target: Any, radius: Any = 0.0, resolver: Resolver | None = None) -> Search:
        """The search around a name, "ra dec" in degrees, (ra, dec), or a SkyCoord of any frame.

        ``radius`` is a Quantity or degrees. Raises NameResolveError, MissionValueError, MissionTypeError.
        """
        ra_deg, dec_deg = place_of(target, resolver)
        width = angle_deg(radius, "radius")
        if width.ndim:
            raise MissionValueError("radius must be one angle")
        return cls(ra_deg, dec_deg, float(width))

    @classmethod
    def read(cls, saved: Any) -> Search:
        """The search of a saved state. Raises MissionValueError for what is none."""
        if not isinstance(saved, Mapping) or set(saved) != {"ra_deg", "dec_deg", "radius_deg", "source_id"}:
            raise MissionValueError("the saved search of a mission cannot be read")
        return cls(**saved)

    def as_dict(self) -> dict[str, float | str]:
        """For a saved state."""
        return {
            "ra_deg": self.ra_deg,
            "dec_deg": self.dec_deg,
            "radius_deg": self.radius_deg,
            "source_id": self.source_id,
        }

    @property
    def key(self) -> str:
        """A file's name that no other search has; positions to 0.4 milliarcseconds."""
        if self.source_id:
            return f"id_{self.source_id}"
        return f"ra{self.ra_deg:.7f}_dec{self.dec_deg:+.7f}_r{self.radius_deg:.7f}"


def place_of(target: Any, resolver: Resolver | None = None) -> tuple[float, float]:
    """The ICRS position (degrees) of a name, "ra dec", (ra, dec) or SkyCoord. Raises NameResolveError."""
    if isinstance(target, str):
        if match := _DEGREES.fullmatch(target):
            target = (float(match[1]), float(match[2]))
        elif (place := parse_name(target)) is not None:
            target = place
        else:
            if resolver is None:
                raise NameResolveError(
                    f"there is no name resolver to ask for {target[:80]!r}", hint="Give 'ra dec' in degrees."
                )
            known = resolver.resolve([target])
            if target not in known:
                raise NameResolveError(f"no position is known of {target[:80]!r}", hint="Check the spelling.")
            target = known[target]
    lon, lat = positions_deg(target, "ICRS", "target")
    if len(lon) != 1:
        raise MissionValueError(f"one target is needed, not {len(lon)}")
    return float(np.mod(lon[0], 360.0)), float(lat[0])
