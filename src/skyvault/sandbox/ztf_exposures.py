"""The sandbox's ZTF: which quadrants were exposed when, and what was measured of the stars in them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.sandbox.light_curves import barycentric, heliocentric
from skyvault.sandbox.star_fields import StarField, star_fields

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_SEED: Final = 20180317
#: filter -> its number, exposures of each field, limiting magnitude, star's magnitude less B per colour
FILTERS: Final = {"zg": (1, 120, 20.8, -0.4), "zr": (2, 150, 20.6, -1.1), "zi": (3, 20, 19.9, -1.4)}
EXPOSURE_S: Final = 30.0
#: brighter stars are saturated
_BRIGHT: Final = 12.0
_SOUTH_END_DEG: Final = -31.0
PIXEL_ARCSEC: Final = 1.012
WIDTH, HEIGHT = 3072, 3080
#: what spoils a measurement
BAD: Final = 32768


@dataclass(frozen=True)
class Quadrant:
    """A CCD quadrant of a field of ZTF's grid, which covers one of the sky's star fields. Degrees."""

    field: int
    ccd: int
    qid: int
    ra_deg: float
    dec_deg: float
    stars: StarField


@dataclass(frozen=True)
class Exposures:
    """Exposures of a quadrant in the order of time; arrays of the shape (n,). ``mjd_utc`` is their begin."""

    quadrant: Quadrant
    mjd_utc: Floats
    filtercode: tuple[str, ...]
    pid: Ints
    expid: Ints
    limit: Floats
    seeing: Floats
    airmass: Floats
    is_bad: np.ndarray[Any, np.dtype[np.bool_]]

    def day(self, row: int) -> str:
        """Year, month, day and fraction of the day (UTC) as file names have them."""
        from datetime import UTC, datetime, timedelta

        whole, fraction = divmod(float(self.mjd_utc[row]), 1.0)
        date = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=int(whole))
        return f"{date:%Y%m%d}{int(fraction * 1e6):06d}"


@functools.cache
def quadrants() -> tuple[Exposures, ...]:
    """All quadrants with their exposures; every third star field lies in two fields of the grid."""
    found = []
    for index, stars in enumerate(star_fields()):
        one = stars.variable
        if one.dec_deg < _SOUTH_END_DEG or one.ra_deg == 62.0:
            continue
        for number, base in enumerate((400, 1400) if index % 3 == 0 else (400,)):
            rng = np.random.default_rng([_SEED, index, number])
            quadrant = Quadrant(
                base + index, int(rng.integers(1, 17)), int(rng.integers(1, 5)),
                float(np.mod(one.ra_deg + rng.uniform(-0.1, 0.1), 360.0)), one.dec_deg + float(rng.uniform(-0.1, 0.1)),
                stars,
            )  # fmt: skip
            found.append(_exposed(quadrant, rng))
    return tuple(found)


def _exposed(quadrant: Quadrant, rng: np.random.Generator) -> Exposures:
    names = np.concatenate([np.full(count, name) for name, (_, count, _, _) in FILTERS.items()])
    # the half year in which the place stands high at night; nights are 3 to 12 h UTC
    season = (79.0 + (quadrant.ra_deg - 180.0)) % 365.25
    day = 58200.0 + 365.25 * rng.integers(0, 6, len(names)) + (season - 58200.0 % 365.25) % 365.25
    mjd = np.floor(day + rng.uniform(-90.0, 90.0, len(names))) + rng.uniform(0.13, 0.5, len(names))
    # shifted to whole seconds, as shutters are
    mjd = np.round(mjd * 86400.0) / 86400.0
    order = np.argsort(mjd, kind="stable")
    names, mjd = names[order], mjd[order]
    count = len(order)
    limit = np.array([FILTERS[name][2] for name in names]) + rng.normal(0.0, 0.3, count)
    expid = 45_000_000 + np.round((mjd - 58200.0) * 7000.0).astype(np.int64)
    pid = expid * 100_000 + quadrant.ccd * 400 + quadrant.qid * 100
    return Exposures(
        quadrant, mjd, tuple(names.tolist()), pid, expid, np.round(limit, 4), rng.uniform(1.6, 3.5, count),
        np.round(rng.uniform(1.0, 2.0, count), 3), rng.random(count) < 0.02,
    )  # fmt: skip


@dataclass(frozen=True)
class ObjectRows:
    """An object of ZTF: one star in one quadrant and filter. ``is_spoiled`` are the measurements that are wrong."""

    oid: int
    exposures: Exposures
    rows: Ints
    hjd: Floats
    true_mag: Floats
    mag: Floats
    error: Floats
    catflags: Ints
    is_spoiled: np.ndarray[Any, np.dtype[np.bool_]]
    ra_deg: Floats
    dec_deg: Floats


def oid_of(quadrant: Quadrant, filtercode: str, star: int) -> int:
    """Field, filter, CCD, quadrant and a number within: ZTF's way of numbering objects."""
    return int(f"{quadrant.field}{FILTERS[filtercode][0]}{quadrant.ccd:02d}{quadrant.qid}{star + 1:08d}")


@functools.cache
def objects() -> dict[int, tuple[int, str, int]]:
    """{object: (quadrant's index, filter, star)} of all stars that are not saturated."""
    found = {}
    for index, exposures in enumerate(quadrants()):
        for name in FILTERS:
            mags = magnitudes(exposures.quadrant.stars, name)
            for star in np.flatnonzero(mags > _BRIGHT).tolist():
                found[oid_of(exposures.quadrant, name, star)] = (index, name, star)
    return found


def magnitudes(stars: StarField, filtercode: str) -> Floats:
    """AB magnitudes of a field's stars in a filter."""
    return np.asarray(stars.mag + FILTERS[filtercode][3] * np.clip(stars.color, 0.0, 2.0), np.float64)


@functools.lru_cache(maxsize=2048)
def measured(oid: int) -> ObjectRows:
    """What was measured of an object. Raises KeyError."""
    index, name, star = objects()[oid]
    exposures = quadrants()[index]
    stars = exposures.quadrant.stars
    rows = np.flatnonzero(np.array(exposures.filtercode) == name)
    middle = exposures.mjd_utc[rows] + EXPOSURE_S / 172800.0
    ra, dec = float(stars.ra_deg[star]), float(stars.dec_deg[star])
    rng = np.random.default_rng([_SEED, oid])
    is_constant = stars.variable_of(star) is None
    change = np.zeros(len(rows)) if is_constant else stars.change(star, barycentric(middle, ra, dec))
    true = magnitudes(stars, name)[star] + change
    error = np.round(0.012 + 0.15 * 10.0 ** (0.4 * (true - 20.0)), 6)
    mag = true + rng.normal(0.0, error)
    fate = rng.random(len(rows))
    spoiled = (fate < 0.03) | exposures.is_bad[rows]
    mag[spoiled] += rng.choice((-1.0, 1.0), int(spoiled.sum())) * rng.uniform(0.5, 1.5, int(spoiled.sum()))
    flags = np.where(spoiled, BAD, np.where(fate > 0.99, 2, 0)).astype(np.int64)
    seen = mag < exposures.limit[rows]
    count = int(seen.sum())
    jitter = rng.normal(0.0, 0.06 / 3600.0, (2, count))
    return ObjectRows(
        oid, exposures, rows[seen], heliocentric(middle[seen], ra, dec) + 2400000.5, true[seen], mag[seen], error[seen],
        flags[seen], spoiled[seen], ra + jitter[0] / np.cos(np.radians(dec)), dec + jitter[1],
    )  # fmt: skip
