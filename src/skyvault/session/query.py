"""What a session is about: a name, or a place, in the file query.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from skyvault.errors import ParameterError, StoreError
from skyvault.session.files import written_beside

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

#: places nearer than this are the same target
SAME_PLACE_ARCSEC: Final = 0.1


class NameResolver(Protocol):
    """Finds places of names."""

    def resolve(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """ICRS positions in degrees of the names that are known."""
        ...


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """The centre of a session: ICRS position in degrees, and the name it was found by ("" for a position)."""

    name: str
    ra_deg: float
    dec_deg: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ra_deg) and 0.0 <= self.ra_deg <= 360.0):
            raise ParameterError(f"A right ascension of {self.ra_deg!r} is not possible: it is 0 to 360 degrees")
        if not (math.isfinite(self.dec_deg) and -90.0 <= self.dec_deg <= 90.0):
            raise ParameterError(f"A declination of {self.dec_deg!r} is not possible: it is -90 to 90 degrees")

    @classmethod
    def new_from_coords(cls, coords: SkyCoord) -> Self:
        """From a position in any frame that astropy can turn to ICRS. Raises ParameterError for others."""
        try:
            place = coords.icrs
            if not place.isscalar:
                raise ParameterError(f"One position is needed, not {len(place)}")
            return cls("", float(place.ra.deg), float(place.dec.deg))
        except ParameterError:
            raise
        except Exception as problem:  # astropy's frames raise many kinds
            told = str(problem).strip().splitlines() or [type(problem).__name__]
            raise ParameterError(f"The position cannot be turned to ICRS ({told[0][:160].rstrip('.')})") from None

    @classmethod
    def new_from_radec(cls, ra_deg: float, dec_deg: float) -> Self:
        """From ICRS degrees."""
        try:
            return cls("", float(ra_deg) if float(ra_deg) != 360.0 else 0.0, float(dec_deg))
        except (TypeError, ValueError):
            raise ParameterError(f"ra_deg {ra_deg!r} and dec_deg {dec_deg!r} are no numbers") from None

    @classmethod
    def new_from_name(cls, name: str, resolver: NameResolver) -> Self:
        """From a name that the resolver knows. Raises ParameterError where it knows none such."""
        if not isinstance(name, str) or not name.strip():
            raise ParameterError("The target's name is empty")
        found = resolver.resolve([name])
        if name not in found:
            raise ParameterError(
                f"No position is known of {name[:80]!r}",
                hint="Check the spelling, or give ra_deg and dec_deg.",
            )
        return cls(name, *found[name])

    def pos_as_skycoord(self) -> SkyCoord:
        """The position (ICRS)."""
        import astropy.units as u
        from astropy.coordinates import SkyCoord

        return SkyCoord(self.ra_deg * u.deg, self.dec_deg * u.deg, frame="icrs")

    def separation_arcsec(self, other: SessionQuery) -> float:
        """The distance between two targets."""
        one, two = math.radians(self.dec_deg), math.radians(other.dec_deg)
        step = math.radians(self.ra_deg - other.ra_deg)
        half = math.sin((one - two) / 2) ** 2 + math.cos(one) * math.cos(two) * math.sin(step / 2) ** 2
        return math.degrees(2 * math.asin(min(1.0, math.sqrt(half)))) * 3600.0

    def is_named(self, name: str) -> bool:
        """Whether a name is this target's, whatever its case and blanks."""
        return same_name(self.name) == same_name(name)

    def sexagesimal(self) -> str:
        """For people: 00h57m40.6s +60d14m17s."""
        return str(self.pos_as_skycoord().to_string("hmsdms", precision=1))

    # --- the file ---

    def save(self, path: Path) -> None:
        """Writes query.json."""
        text = json.dumps({"name": self.name, "ra_deg": self.ra_deg, "dec_deg": self.dec_deg}, indent=2)
        with written_beside(path) as beside:
            beside.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Reads query.json; None where there is none. Raises StoreError where it is damaged."""
        try:
            if path.stat().st_size > 65536:
                raise ValueError
            told: Any = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(told.get("name") or ""), float(told["ra_deg"]), float(told["dec_deg"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ParameterError):
            raise StoreError(
                "The session's target cannot be read",
                where=str(path),
                hint='It should hold {"name": ..., "ra_deg": ..., "dec_deg": ...}; repair it, or open another folder.',
            ) from None


def same_name(name: str) -> str:
    """A name without the differences that do not matter."""
    return re.sub(r"\s+", " ", name).strip().casefold()


def folder_name(source: str) -> str:
    """The folder of a source's session, without its beginning: "V* RY Cnc" gives ``v_ry_cnc``."""
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9+\-_.]", "_", source.lower()))
