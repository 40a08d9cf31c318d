"""How the simulated sky's variables vary: what all archives of the sandbox saw, and what tests may ask the truth of.

Times are MJD in TDB at the Solar System's barycentre; brightness changes are magnitudes, positive when fainter.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from skyvault.quiet import quiet
from skyvault.sandbox.sky import SkyObject, named_objects

Floats = np.ndarray[Any, np.dtype[np.float64]]
Kind = Literal["eclipsing", "transit", "ellipsoidal", "pulsating", "dips", "constant"]

#: a mid-eclipse of all periodic objects: the same century for plates and CCDs
EPOCH_MJD: Final = 45000.25


@dataclass(frozen=True, slots=True)
class Variable:
    """The truth about a variable: ``depth_mag`` of the primary minimum (or full amplitude), its period and epoch."""

    name: str
    ra_deg: float
    dec_deg: float
    mag: float
    kind: Kind
    period_d: float | None
    depth_mag: float
    epoch_mjd: float = EPOCH_MJD

    def change(self, mjd_tdb: Floats) -> Floats:
        """Magnitudes fainter than usual at these barycentric times, shape as given."""
        mjd_tdb = np.asarray(mjd_tdb, np.float64)
        if self.kind == "dips":
            # irregular, but the same for everybody: three dips every 726 days
            days = np.mod(mjd_tdb - self.epoch_mjd, 726.0)
            dips = [np.exp(-0.5 * ((days - t) / w) ** 2) for t, w in ((90, 2), (400, 1), (411, 4))]
            return np.asarray(self.depth_mag * np.sum(dips, axis=0), np.float64)
        if self.period_d is None or self.kind == "constant":
            return np.zeros_like(mjd_tdb)
        phase = np.mod((mjd_tdb - self.epoch_mjd) / self.period_d, 1.0)
        from_minimum = np.minimum(phase, 1.0 - phase)
        if self.kind == "eclipsing":
            primary = np.exp(-0.5 * (from_minimum / 0.025) ** 2)
            secondary = np.exp(-0.5 * ((0.5 - from_minimum) / 0.025) ** 2)
            return self.depth_mag * (primary + 0.3 * secondary)
        if self.kind == "transit":
            return self.depth_mag / (1.0 + np.exp((from_minimum - 0.015) / 0.0015))
        if self.kind == "ellipsoidal":
            return 0.5 * self.depth_mag * np.cos(4.0 * np.pi * phase)
        return 0.5 * self.depth_mag * np.cos(2.0 * np.pi * phase)


#: what is known of some by name: kind, depth; others by their kind of object
_BY_NAME: Final[dict[str, tuple[Kind, float]]] = {
    "V* RY Cnc": ("eclipsing", 1.1),
    "HD 5501": ("eclipsing", 0.6),
    "V* T CrB": ("ellipsoidal", 0.35),
    "KIC 8462852": ("dips", 0.22),
    "WASP-126": ("transit", 0.0075),
    "pi Men": ("transit", 0.0004),
    "Cyg X-1": ("ellipsoidal", 0.06),
    "LMC X-1": ("ellipsoidal", 0.06),
    "G 29-38": ("pulsating", 0.12),
    "GD 358": ("pulsating", 0.15),
}
#: the periods of pulsating white dwarfs, which are minutes
_PERIODS: Final = {"G 29-38": 613.0 / 86400.0, "GD 358": 823.0 / 86400.0}


@functools.cache
def variables() -> tuple[Variable, ...]:
    """The truth about all objects that are points, variable or not, in the sky's order."""
    return tuple(_variable(one) for one in named_objects() if one.radius_deg == 0.0 and one.mag < 25.0)


def variable(name: str) -> Variable:
    """The truth about one of them, by its main name. Raises KeyError."""
    return next(one for one in variables() if one.name == name)


def _variable(one: SkyObject) -> Variable:
    kind, depth = _BY_NAME.get(one.name, ("constant", 0.0))
    period = one.period_d if one.period_d is not None else _PERIODS.get(one.name)
    return Variable(one.name, one.ra_deg, one.dec_deg, one.mag, kind, period, depth)


def barycentric(mjd_utc: Floats, ra_deg: float, dec_deg: float) -> Floats:
    """MJD TDB at the barycentre of light that reached the Earth's centre at ``mjd_utc``."""
    return _tdb(mjd_utc) + earth_places(mjd_utc).delay_d("barycentre", ra_deg, dec_deg)


def heliocentric(mjd_utc: Floats, ra_deg: float, dec_deg: float) -> Floats:
    """MJD UTC at the Sun's centre of light that reached the Earth's centre at ``mjd_utc``."""
    return np.asarray(mjd_utc, np.float64) + earth_places(mjd_utc).delay_d("sun", ra_deg, dec_deg)


def all_clocks(mjd_utc: Floats, places: Sequence[tuple[float, float]]) -> list[tuple[Floats, Floats]]:
    """For each place on the sky: UTC at the Sun's centre and TDB at the barycentre; the Earth's way is worked out once.

    Exactly what :func:`heliocentric` and :func:`barycentric` give.
    """
    earth, tdb = earth_places(mjd_utc), _tdb(mjd_utc)
    utc = np.asarray(mjd_utc, np.float64)
    return [(utc + earth.delay_d("sun", *one), tdb + earth.delay_d("barycentre", *one)) for one in places]


def _tdb(mjd_utc: Floats) -> Floats:
    from astropy.time import Time

    with quiet(message="ERFA function"):
        return np.asarray(Time(mjd_utc, format="mjd", scale="utc").tdb.mjd, np.float64)


@dataclass(frozen=True)
class EarthPlaces:
    """Where the Earth's centre was, from the Sun's and from the barycentre: astronomical units, shape (3, n)."""

    from_sun: Floats
    from_barycentre: Floats

    def delay_d(self, centre: Literal["sun", "barycentre"], ra_deg: float, dec_deg: float) -> Floats:
        """Days that light from a direction takes from the Earth to a centre."""
        ra, dec = np.radians(ra_deg), np.radians(dec_deg)
        towards = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        # light crosses an astronomical unit in 499.004784 s
        place = self.from_sun if centre == "sun" else self.from_barycentre
        return np.asarray(towards @ place, np.float64) * (499.004784 / 86400.0)


def earth_places(mjd_utc: Floats) -> EarthPlaces:
    """By astropy's built-in ephemeris."""
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    with quiet(message="ERFA function"):
        time = Time(mjd_utc, format="mjd", scale="tt")
        earth = get_body_barycentric("earth", time, ephemeris="builtin")
        sun = get_body_barycentric("sun", time, ephemeris="builtin")
    return EarthPlaces(
        np.asarray((earth - sun).xyz.to_value("AU"), np.float64), np.asarray(earth.xyz.to_value("AU"), np.float64)
    )
