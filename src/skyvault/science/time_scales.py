"""One axis of time for all light curves: MJD TDB at the solar system's barycentre, as far as they are known.

Surveys differ by up to 8 minutes: plates give heliocentric UT, TESS and Kepler barycentric TDB, others UTC at the
telescope. What is not known stays as it is and says so. Accuracy: 1 ms from 1960 on; before, UT stands in for UTC and
the rotation of the Earth against TT is known to about a second back to 1800 (Espenak & Meeus 2006).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.quiet import quiet
from skyvault.science.samples import Floats, float_array

Scale = Literal["utc", "tai", "tt", "tdb", "tcb", "tcg"]
Position = Literal["barycenter", "heliocenter", "geocenter", "topocenter"]

#: light takes this long for one astronomical unit, days (IAU 2012 au, SI speed of light)
LIGHT_TIME_AU_DAYS: Final = 149_597_870_700.0 / 299_792_458.0 / 86_400.0
#: what archives write for the same scales (TIMESYS, VOTable 1.4 timescale)
_SCALES: Final = {"ut": "utc", "ut1": "utc", "gmt": "utc", "et": "tt", "tdt": "tt", "iat": "tai", "jdtdb": "tdb"}
_POSITIONS: Final = {
    "solarsystem": "barycenter",
    "barycentre": "barycenter",
    "barycentric": "barycenter",
    "heliocentre": "heliocenter",
    "heliocentric": "heliocenter",
    "geocentre": "geocenter",
    "geocentric": "geocenter",
    "topocentre": "topocenter",
    "topocentric": "topocenter",
    "local": "topocenter",
}
#: UTC has leap seconds from here on (1972-01-01) and other steps since 1960-01-01
_UTC_BEGINS_MJD: Final = 36_934.0
#: days that are tabled together, and times for which no table is made
_BLOCK_D: Final = 64
_FEW: Final = 8


@dataclass(frozen=True, slots=True)
class TimeFrame:
    """A scale of time and the place where it holds; None where an archive does not say.

    UT and UT1 count as UTC (0.9 s at most), TIMEREF's SOLARSYSTEM as the barycentre.
    """

    scale: str | None = None
    position: str | None = None

    def __post_init__(self) -> None:
        for name, aliases, allowed in (
            ("scale", _SCALES, get_args(Scale)),
            ("position", _POSITIONS, get_args(Position)),
        ):
            given = getattr(self, name)
            value = None if given is None else str(given).strip().lower()
            if value in ("", "unknown", "local time"):
                value = None
            value = aliases.get(value, value) if value else None
            if value is not None and value not in allowed:
                raise ParameterError(
                    f"{given!r} is no {name} of time that can be converted",
                    hint=f"Known are {', '.join(allowed)}, or None.",
                )
            object.__setattr__(self, name, value)

    @property
    def is_known(self) -> bool:
        """Whether times can be brought to another frame."""
        return self.scale is not None and self.position is not None

    def __str__(self) -> str:
        return f"{self.scale or 'unknown scale'} at {self.position or 'an unknown place'}"


#: where all light curves are brought together
TDB_BARYCENTER: Final = TimeFrame("tdb", "barycenter")
#: heliocentric Julian dates of plates and of much of the literature (minus 2400000.5)
HJD_UTC: Final = TimeFrame("utc", "heliocenter")


@dataclass(frozen=True, slots=True)
class Site:
    """A telescope: geodetic (WGS84) east longitude and latitude in degrees, height in metres."""

    longitude_deg: float
    latitude_deg: float
    height_m: float = 0.0

    def __post_init__(self) -> None:
        if not (abs(self.latitude_deg) <= 90.0 and abs(self.longitude_deg) <= 360.0 and abs(self.height_m) < 1e6):
            raise ParameterError(f"there is no telescope at {self}")


@dataclass(frozen=True)
class AlignedTimes:
    """Times (MJD, shape (n,)) and the frame they are in now. ``reason`` says why they could not be converted."""

    mjd: Floats
    frame: TimeFrame
    reason: str | None = None

    @property
    def is_converted(self) -> bool:
        """Whether these are TDB at the barycentre."""
        return self.frame == TDB_BARYCENTER


def to_barycenter(
    mjd: ArrayLike, frame: TimeFrame, ra: float | None = None, dec: float | None = None, *, site: Site | None = None
) -> AlignedTimes:
    """Bring times to MJD TDB at the barycentre, as light from (ra, dec), ICRS degrees, would pass there.

    Times come back as they are, with the reason, when the frame is not known, when a place other than the barycentre
    has no position on the sky, or the topocentre no ``site`` (the geocentre would be 21 ms off at most).
    NaN and masked times stay NaN. The Earth's place: ERFA's epv00 (1e-5 s from 1900 to 2100, still under 1 ms in 1850).
    """
    times = float_array(mjd, "times")
    if not frame.is_known:
        missing = "scale" if frame.scale is None else "place"
        return AlignedTimes(times, frame, f"the {missing} of these times is not known")
    if frame.position == "barycenter":
        return AlignedTimes(_tdb(times, str(frame.scale)), TDB_BARYCENTER)
    if ra is None or dec is None:
        return AlignedTimes(times, frame, "without a position on the sky the way of the light is not known")
    if not (np.isfinite(ra) and abs(dec) <= 90.0):
        raise ParameterError(f"({ra!r}, {dec!r}) is no position in ICRS degrees")
    if frame.position == "topocenter" and site is None:
        return AlignedTimes(times, frame, "the telescope's place on Earth is not known")
    tdb = _tdb(times, str(frame.scale))
    direction = _direction(ra, dec)
    # light reaches the barycentre later by the projection of the observer's place on the direction
    if frame.position == "heliocenter":
        heliocentric, barycentric = _earth(tdb)
        delay = (barycentric - heliocentric) @ direction
    else:
        delay = _earth(tdb)[1] @ direction
        if frame.position == "topocenter" and site is not None:
            delay = delay + _site_au(times, tdb, site) @ direction
    return AlignedTimes(tdb + delay * LIGHT_TIME_AU_DAYS, TDB_BARYCENTER)


def light_travel_days(
    mjd_tdb: ArrayLike, ra: float, dec: float, position: Literal["barycenter", "heliocenter"] = "barycenter"
) -> Floats:
    """How much later (days) than the geocentre the barycentre or the Sun sees what comes from (ra, dec)."""
    heliocentric, barycentric = _earth(float_array(mjd_tdb, "times"))
    places = barycentric if position == "barycenter" else heliocentric
    return np.asarray(places @ _direction(ra, dec) * LIGHT_TIME_AU_DAYS, np.float64)


def utc_at_geocenter(mjd_tdb: ArrayLike, ra: ArrayLike, dec: ArrayLike) -> Floats:
    """MJD UTC at which light from (ra, dec), ICRS degrees, was at the Earth's centre, of MJD TDB at the barycentre.

    All of shape (n,). Good to 2 ms (TDB counts as TT), which is what a search by time needs.
    """
    import erfa

    times = float_array(mjd_tdb, "times")
    a, d = np.radians(float_array(ra, "right ascensions")), np.radians(float_array(dec, "declinations"))
    direction = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
    tt = times - (_earth(times)[1] * direction).sum(axis=-1) * LIGHT_TIME_AU_DAYS
    utc = tt - delta_t_s(tt) / 86_400.0
    late = tt > _UTC_BEGINS_MJD + 1.0
    with quiet(erfa.ErfaWarning):
        # years beyond the table of leap seconds: none is announced, so none is taken away
        utc[late] = _joined(*erfa.taiutc(2_400_000.5, tt[late] - 32.184 / 86_400.0))
    return np.asarray(utc, np.float64)


def _direction(ra: float, dec: float) -> Floats:
    a, d = np.radians(ra), np.radians(dec)
    return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


def _tdb(times: Floats, scale: str) -> Floats:
    """MJD in a scale to MJD in TDB, to a microsecond."""
    import erfa

    if scale == "tdb":
        return times
    known = np.isfinite(times)
    tdb = np.full(len(times), np.nan)
    day = times[known]
    if scale == "tcb":
        first, second = erfa.tcbtdb(2_400_000.5, day)
        tdb[known] = _joined(first, second)
        return tdb
    if scale == "tcg":
        tt = _joined(*erfa.tcgtt(2_400_000.5, day))
    elif scale == "tai":
        tt = day + 32.184 / 86_400.0
    elif scale == "utc":
        tt = _terrestrial(day)
    else:
        tt = day
    tdb[known] = tt + _day_by_day(_tdb_ahead, tt)[:, 0] / 86_400.0
    return tdb


def _joined(first: Floats, second: Floats) -> Floats:
    return np.asarray((first - 2_400_000.5) + second, np.float64)


def _terrestrial(day: Floats) -> Floats:
    import erfa

    tt = np.empty(len(day))
    early = day < _UTC_BEGINS_MJD
    tt[early] = day[early] + delta_t_s(day[early]) / 86_400.0
    with quiet(erfa.ErfaWarning):
        # years beyond the table of leap seconds: none is announced, so none is added
        tai = _joined(*erfa.utctai(2_400_000.5, day[~early]))
    tt[~early] = tai + 32.184 / 86_400.0
    return tt


def delta_t_s(mjd: ArrayLike) -> Floats:
    """TT - UT in seconds for days before 1961 (polynomials of Espenak & Meeus 2006, NASA/TP-2006-214141), from 1800 on.

    Earlier days get the parabola of Morrison & Stephenson (2004), which is good to some ten seconds around 1700.
    """
    year = 2000.0 + (np.asarray(mjd, np.float64) - 51_544.5) / 365.25
    pieces = (
        (1860.0, 1800.0, (13.72, -0.332447, 0.0068612, 0.0041116, -0.00037436, 0.0000121272, -1.699e-7, 8.75e-10)),
        (1900.0, 1860.0, (7.62, 0.5737, -0.251754, 0.01680668, -0.0004473624, 1 / 233174)),
        (1920.0, 1900.0, (-2.79, 1.494119, -0.0598939, 0.0061966, -0.000197)),
        (1941.0, 1920.0, (21.20, 0.84493, -0.076100, 0.0020936)),
        (np.inf, 1950.0, (29.07, 0.407, -1 / 233, 1 / 2547)),
    )
    result = -20.0 + 32.0 * ((year - 1820.0) / 100.0) ** 2
    last = 1800.0
    for end, origin, coefficients in pieces:
        here = (year >= last) & (year < end)
        result = np.where(here, np.polynomial.polynomial.polyval(year - origin, coefficients), result)
        last = end
    return np.asarray(result, np.float64)


def _earth(tdb: Floats) -> tuple[Floats, Floats]:
    """Heliocentric and barycentric places of the Earth's centre, au, ICRS axes, shape (n, 3)."""
    known = np.isfinite(tdb)
    heliocentric, barycentric = np.full((len(tdb), 3), np.nan), np.full((len(tdb), 3), np.nan)
    found = _day_by_day(_places, tdb[known])
    heliocentric[known], barycentric[known] = found[:, :3], found[:, 3:]
    return heliocentric, barycentric


def _places(days: Floats) -> Floats:
    """About the Sun and about the barycentre, shape (n, 6)."""
    import erfa

    with quiet(erfa.ErfaWarning):
        # beyond 1900-2100 its series is less exact, but far from a millisecond of light time for centuries
        about_sun, about_barycentre = erfa.epv00(2_400_000.5, days)
    return np.concatenate([about_sun["p"], about_barycentre["p"]], axis=-1)


def _tdb_ahead(days: Floats) -> Floats:
    """TDB - TT, seconds, shape (n, 1); the place on Earth would change it by 2 microseconds."""
    import erfa

    return np.asarray(erfa.dtdb(2_400_000.5, days, 0.0, 0.0, 0.0, 0.0)[:, None], np.float64)


def _day_by_day(function: Callable[[Floats], Floats], days: Floats) -> Floats:
    """A smooth function of time, shape (n, k): worked out once a day and kept, cubics between.

    The light curves of a survey share their days, so that thousands of them cost little more than one. The Earth's
    places so come out to 5e-9 au, two microseconds of light time, for the Moon's month is the shortest period.
    """
    if len(days) < _FEW:
        return function(days)
    block = np.floor(days / _BLOCK_D).astype(np.int64)
    used, place = np.unique(block, return_inverse=True)
    table = np.stack([_block(function, int(number)) for number in used])
    since = days - block * _BLOCK_D
    row = np.minimum(np.floor(since).astype(np.int64), _BLOCK_D - 1)
    t = (since - row)[:, None]
    # the table begins a day before its block
    a, b, c, d = (table[place, row + 1 + shift] for shift in (-1, 0, 1, 2))
    # Lagrange's cubic through four days
    return np.asarray(
        -a * t * (t - 1) * (t - 2) / 6
        + b * (t + 1) * (t - 1) * (t - 2) / 2
        - c * (t + 1) * t * (t - 2) / 2
        + d * (t + 1) * t * (t - 1) / 6,
        np.float64,
    )


@functools.lru_cache(maxsize=4096)
def _block(function: Callable[[Floats], Floats], number: int) -> Floats:
    """The function on the days of a block, and on one before and two after it: 3 kB of the Earth's places."""
    return function(number * _BLOCK_D + np.arange(-1.0, _BLOCK_D + 2.0))


def _site_au(times: Floats, tdb: Floats, site: Site) -> Floats:
    """The telescope against the Earth's centre, au, ICRS axes; nutation and polar motion (below 1 us) left out."""
    import erfa

    x, y, z = erfa.gd2gc(1, np.radians(site.longitude_deg), np.radians(site.latitude_deg), site.height_m)
    known = np.isfinite(times)
    offset = np.full((len(times), 3), np.nan)
    # UTC stands in for UT1: 0.9 s of rotation are 1.4 microseconds of light time
    ut = tdb[known] - (_terrestrial(times[known]) - times[known])
    angle = erfa.gmst06(2_400_000.5, ut, 2_400_000.5, tdb[known])
    cos, sin = np.cos(angle), np.sin(angle)
    of_date = np.stack([cos * x - sin * y, sin * x + cos * y, np.full(len(ut), z)], axis=-1)
    precession = erfa.pmat06(2_400_000.5, tdb[known])
    offset[known] = np.einsum("nji,nj->ni", precession, of_date) / 149_597_870_700.0
    return offset
