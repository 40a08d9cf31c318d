"""The sandbox's photographic plates: when and where each was exposed, what it shows, and how well it was measured."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.missions.dasch_series import SERIES
from skyvault.sandbox.light_curves import all_clocks, variables
from skyvault.sandbox.star_fields import StarField

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Booleans = np.ndarray[Any, np.dtype[np.bool_]]

_SEED: Final = 19891231
#: pixels of the scanner, 11 micrometres
PIXEL_MM: Final = 0.011
#: series: plates of each field, first and last year, limiting magnitude
_SURVEY: Final = {
    "a": (14, 1894, 1950, 16.8),
    "ac": (40, 1898, 1953, 12.6),
    "ai": (30, 1930, 1950, 11.8),
    "b": (30, 1886, 1953, 14.3),
    "c": (4, 1886, 1910, 15.3),
    "dnb": (15, 1968, 1990, 13.4),
    "fa": (15, 1935, 1950, 11.4),
    "i": (80, 1890, 1941, 14.6),
    "mc": (50, 1910, 1952, 15.8),
    "rb": (50, 1928, 1962, 14.4),
}
#: width and height of plates in pixels of the full scan; those of "c" are small ones here, to be fetched unbinned
_SIZES: Final = {"a": (39255, 32332), "c": (2048, 2048)}
_SIZE: Final = (23091, 18473)

#: what spoils a measurement, as DASCH's AFLAGS say it
HIGH_BACKGROUND, LARGE_ISO_RMS, SUSPECTED_DEFECT, LARGE_DRAD, CLOSE_TO_LIMITING = 64, 2048, 1 << 25, 1 << 23, 8192


class Defect(enum.IntEnum):
    """What is wrong with the emulsion where a star was measured."""

    NONE = 0
    #: fogged, or thin
    FOG = 1
    #: coarse, clumped grain
    GRAIN = 2
    #: a blot on the star, or a scratch through it
    BLOT = 3
    #: something 20 to 35 arcsec away that was taken for the star
    GHOST = 4


#: the warning the archive's pipeline has for each
_WARNINGS: Final = np.array([0, HIGH_BACKGROUND, LARGE_ISO_RMS, SUSPECTED_DEFECT, LARGE_DRAD], np.int64)
#: parts of the defects that no warning tells of, and of good measurements that have one
_OVERLOOKED, _FALSE_WARNINGS = 0.08, 0.004


@dataclass(frozen=True)
class Plates:
    """Exposures, all arrays of the shape (n,), in the order of time. Positions ICRS degrees, sizes in pixels."""

    series: tuple[str, ...]
    number: Ints
    mosnum: Ints
    solnum: Ints
    expnum: Ints
    is_scanned: Booleans
    is_solved: Booleans
    ra_deg: Floats
    dec_deg: Floats
    mjd_utc: Floats
    minutes: Floats
    lim_mag: Floats
    colorterm: Floats
    arcsec_px: Floats
    width: Ints
    height: Ints
    rotation: Ints

    def __len__(self) -> int:
        return len(self.series)

    def plate_id(self, row: int) -> str:
        """Series and number, such as a01267."""
        return f"{self.series[row]}{self.number[row]:05d}"

    def rows_of(self, plate_id: str) -> list[int]:
        """The exposures of a plate."""
        return _rows_by_plate().get(plate_id, [])

    def pixel_of(self, ra_deg: float, dec_deg: float) -> tuple[Floats, Floats, Booleans]:
        """Where a place lies on every plate (pixels from 1), and whether it lies on it."""
        x, y, front = project(ra_deg, dec_deg, self.ra_deg, self.dec_deg)
        px = self.width / 2.0 + 0.5 - x / self.arcsec_px
        py = self.height / 2.0 + 0.5 + y / self.arcsec_px
        inside = front & (px >= 0.5) & (px <= self.width + 0.5) & (py >= 0.5) & (py <= self.height + 0.5)
        return px, py, inside


def project(ra: Any, dec: Any, ra0: Any, dec0: Any) -> tuple[Any, Any, Any]:
    """Gnomonic: arcseconds east and north of a plate's centre, and whether the place is on the centre's half sky."""
    ra, dec, ra0, dec0 = (np.radians(v) for v in (ra, dec, ra0, dec0))
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    safe = np.where(cosine > 0.1, cosine, 1.0)
    east = np.cos(dec) * np.sin(ra - ra0) / safe
    north = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / safe
    arcsec = np.degrees(1.0) * 3600.0
    return east * arcsec, north * arcsec, cosine > 0.1


@functools.cache
def plates() -> Plates:
    """All exposures of the simulated collection."""
    rng = np.random.default_rng(_SEED)
    parts: list[dict[str, Any]] = []
    for one in variables():
        for name, (count, first, last, limit) in _SURVEY.items():
            scale = (SERIES[name].scale_arcsec_mm or 600.0) * PIXEL_MM
            width, height = _SIZES.get(name, _SIZE)
            half_w, half_h = width * scale / 7200.0, height * scale / 7200.0
            dec = np.clip(one.dec_deg + rng.uniform(-1.1, 1.1, count) * min(half_h, 20.0), -88.0, 88.0)
            ra = one.ra_deg + rng.uniform(-1.1, 1.1, count) * min(half_w, 20.0) / np.cos(np.radians(dec))
            year = rng.uniform(first, last, count)
            # few plates were taken from 1953 to 1968
            gap = (year > 1953) & (year < 1968) & (rng.random(count) < 0.8)
            year[gap] = rng.uniform(first, max(first, min(last, 1953)), int(gap.sum()))
            mjd = 15020.0 + (year - 1900.0) * 365.2422
            # at night in Massachusetts: 0 to 9 h UTC
            mjd = np.floor(mjd) + rng.uniform(0.0, 0.4, count)
            fate = rng.random(count)
            parts.append(
                {
                    "series": np.full(count, name), "ra": np.mod(ra, 360.0), "dec": dec, "mjd": mjd,
                    "minutes": np.round(rng.uniform(10, 120, count)), "scanned": fate > 0.06, "solved": fate > 0.12,
                    "limit": limit + rng.normal(0, 0.4, count), "color": rng.normal(-0.08, 0.05, count),
                    "mosnum": rng.choice(3, count, p=(0.8, 0.15, 0.05)), "double": rng.random(count) < 0.02,
                    "scale": np.full(count, scale), "width": np.full(count, width), "height": np.full(count, height),
                    "rotation": rng.choice((0, 90, 180, -90, -180), count, p=(0.8, 0.05, 0.05, 0.05, 0.05)),
                }
            )  # fmt: skip
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(whole["mjd"], kind="stable")
    whole = {key: column[order] for key, column in whole.items()}
    number = np.zeros(len(order), np.int64)
    for series in _SURVEY:
        mine = whole["series"] == series
        number[mine] = np.arange(1, int(mine.sum()) + 1) * 3
    whole["number"] = number
    # a plate exposed twice: a second solution, a little aside and an hour later
    twice = np.flatnonzero(whole["double"] & whole["solved"])
    rows = np.concatenate([np.arange(len(order)), twice])
    solution = np.repeat(np.array([0, 1], np.int64), [len(order), len(twice)])
    moved = solution == 1
    picked = {key: column[rows] for key, column in whole.items()}
    picked["dec"] = np.where(moved, picked["dec"] + 0.02, picked["dec"])
    picked["mjd"] = np.where(moved, picked["mjd"] + 0.045, picked["mjd"])
    order = np.argsort(picked["mjd"], kind="stable")
    p = {key: column[order] for key, column in picked.items()}
    solution = solution[order]
    scanned, solved = p["scanned"], p["solved"]
    return Plates(
        series=tuple(p["series"].tolist()),
        number=p["number"],
        mosnum=np.where(scanned, p["mosnum"], -1),
        solnum=np.where(solved, solution, -1),
        expnum=solution,
        is_scanned=scanned,
        is_solved=solved,
        ra_deg=p["ra"],
        dec_deg=p["dec"],
        mjd_utc=p["mjd"],
        minutes=p["minutes"],
        lim_mag=np.round(p["limit"], 3),
        colorterm=np.round(p["color"], 3),
        arcsec_px=p["scale"],
        width=p["width"].astype(np.int64),
        height=p["height"].astype(np.int64),
        rotation=p["rotation"].astype(np.int64),
    )


@functools.cache
def _rows_by_plate() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    all_plates = plates()
    for row in range(len(all_plates)):
        found.setdefault(all_plates.plate_id(row), []).append(row)
    return found


@dataclass(frozen=True)
class PlateMeasurements:
    """A star on every solved exposure that shows it, in the order of time; arrays of the shape (n,).

    ``true_mag`` is the truth, ``mag`` what was measured where ``is_detected``. ``is_spoiled`` marks measurements that
    are wrong by more than their error because of a ``defect``; ``aflags`` tell of most of them, and wrongly of a few
    others. ``angle_deg`` is the direction of ``offset_arcsec``, counted from east to north.
    """

    rows: Ints
    jd: Floats
    true_mag: Floats
    mag: Floats
    error: Floats
    is_detected: Booleans
    is_spoiled: Booleans
    aflags: Ints
    defect: Ints
    offset_arcsec: Floats
    angle_deg: Floats
    x: Floats
    y: Floats


def measure(field: StarField, star: int) -> PlateMeasurements:
    """What the plates tell of a star of a field; JD is heliocentric for detections, geocentric for limits."""
    return _measure(field.variable.name, star)


def truth_on(field: StarField, row: int) -> Floats:
    """The magnitudes all stars of a field had at the middle of an exposure, shape (200,)."""
    when = _times(field.variable.name)[2][row]
    change = [
        field.change(star, when) if field.variable_of(star) is not None else 0.0 for star in range(len(field.mag))
    ]
    return np.asarray(field.mag + np.array(change, np.float64), np.float64)


@functools.lru_cache(maxsize=4096)
def _measure(name: str, star: int) -> PlateMeasurements:
    from skyvault.sandbox.star_fields import star_fields

    field = next(one for one in star_fields() if one.variable.name == name)
    ra, dec = float(field.ra_deg[star]), float(field.dec_deg[star])
    all_plates = plates()
    x, y, inside = all_plates.pixel_of(ra, dec)
    rows = np.flatnonzero(inside & all_plates.is_solved)
    mjd, sun, barycentre = _times(name)
    change = field.change(star, barycentre[rows])
    rng = np.random.default_rng([_SEED, field.ref_number[star] % (1 << 62), star])
    error = np.round(rng.uniform(0.08, 0.16, len(rows)), 4)
    true = field.mag[star] + change
    measured = true + rng.normal(0.0, error)
    fate = rng.random(len(rows))
    # 2 % fog, 2 % grain, 1.5 % blots, 1.5 % ghosts
    defect = np.searchsorted([0.02, 0.04, 0.055, 0.07], fate, side="right")
    defect = np.where(defect < 4, defect + 1, 0).astype(np.int64)
    spoiled, drifted = defect != Defect.NONE, defect == Defect.GHOST
    measured[spoiled] += rng.choice((-1.0, 1.0), int(spoiled.sum())) * rng.uniform(0.8, 2.0, int(spoiled.sum()))
    luck = np.random.default_rng([_SEED, field.ref_number[star] % (1 << 62), star, 1])
    told = np.where(luck.random(len(rows)) < _OVERLOOKED, Defect.NONE, defect)
    wrongly = ~spoiled & (luck.random(len(rows)) < _FALSE_WARNINGS)
    told[wrongly] = luck.integers(1, 5, int(wrongly.sum()))
    flags = _WARNINGS[told]
    limit = all_plates.lim_mag[rows]
    detected = measured < limit
    flags[detected & (measured > limit - 0.2)] |= CLOSE_TO_LIMITING
    offset = np.abs(rng.normal(0.0, 1.5, len(rows)))
    offset[drifted] = rng.uniform(20.0, 35.0, int(drifted.sum()))
    jd = np.where(detected, sun[rows], mjd[rows]) + 2400000.5
    angle = np.mod(rows * 37.0 + star, 360.0)
    return PlateMeasurements(
        rows, jd, true, measured, error, detected, spoiled & detected, flags, defect, offset, angle, x[rows], y[rows]
    )


@functools.cache
def _times(name: str) -> tuple[Floats, Floats, Floats]:
    """UTC at the Earth, UTC at the Sun and TDB at the barycentre of all exposures, for one field of half a degree."""
    return _all_times()[name]


@functools.cache
def _all_times() -> dict[str, tuple[Floats, Floats, Floats]]:
    mjd = plates().mjd_utc
    clocks = all_clocks(mjd, [(one.ra_deg, one.dec_deg) for one in variables()])
    return {one.name: (mjd, *clock) for one, clock in zip(variables(), clocks, strict=True)}
