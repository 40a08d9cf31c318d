"""The stars around the sandbox's named objects: places, magnitudes, colours and their numbers in DASCH's catalogue."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.sandbox.light_curves import EPOCH_MJD, Kind, Variable, variables

Floats = np.ndarray[Any, np.dtype[np.float64]]
_SEED: Final = 18850101
#: stars in a field, its own object the first of them, and half the field's side
STARS: Final = 200
HALF_DEG: Final = 0.25
#: what also varies in each field, two of each: kind, shortest and longest period (days), least and most amplitude
_NEIGHBOURS: Final[tuple[tuple[Kind, float, float, float, float], ...]] = (
    ("pulsating", 0.3, 0.9, 0.6, 1.2),
    ("pulsating", 3.0, 30.0, 0.5, 1.2),
    ("pulsating", 100.0, 400.0, 1.5, 3.0),
    ("eclipsing", 0.6, 6.0, 0.6, 1.5),
    ("ellipsoidal", 1.0, 10.0, 0.3, 0.6),
)
#: which magnitudes they have at rest
_NEIGHBOUR_MAG: Final = (10.0, 13.5)


@dataclass(frozen=True, eq=False)
class StarField:
    """Stars around one object, which is the first; all arrays have the shape (200,). Magnitudes are B, at rest.

    ``neighbours``: the variables among the other stars, by their number; those that are neither are constant.
    """

    variable: Variable
    ra_deg: Floats
    dec_deg: Floats
    mag: Floats
    color: Floats
    pm_ra_masyr: Floats
    pm_dec_masyr: Floats
    ref_number: tuple[int, ...]
    ref_text: tuple[str, ...]
    gsc_bin: tuple[int, ...]
    neighbours: Mapping[int, Variable]

    def variable_of(self, star: int) -> Variable | None:
        """The truth about a star of the field; None for a constant one."""
        return self.variable if star == 0 else self.neighbours.get(star)

    def change(self, star: int, mjd_tdb: Floats) -> Floats:
        """Magnitudes a star is fainter than at rest, at times (MJD TDB at the barycentre); shape as given."""
        one = self.variable_of(star)
        return np.zeros_like(np.asarray(mjd_tdb, np.float64)) if one is None else one.change(mjd_tdb)


@functools.cache
def star_fields() -> tuple[StarField, ...]:
    """One for each object of :func:`~skyvault.sandbox.light_curves.variables`."""
    return tuple(_field(index, one) for index, one in enumerate(variables()))


def fields_near(ra_deg: float, dec_deg: float, radius_deg: float) -> list[StarField]:
    """Fields that reach into a circle."""
    return [
        f for f in star_fields()
        if separation(f.variable.ra_deg, f.variable.dec_deg, ra_deg, dec_deg) < radius_deg + 1.5 * HALF_DEG
    ]  # fmt: skip


@functools.cache
def _bright() -> tuple[Floats, Floats, Floats]:
    """The real sky's stars down to VT 9 (Tycho-2, as the demo has them), but those at the place of a named object."""
    import io
    from importlib.resources import files

    import pyarrow.parquet as pq

    body = (files("skyvault") / "demo_data" / "stars.parquet").read_bytes()
    table = pq.read_table(io.BytesIO(body), columns=["ra", "dec", "mag_vt", "bv"])
    ra, dec, mag, color = (np.asarray(table[name].to_numpy(), np.float64) for name in table.column_names)
    keep = np.ones(len(ra), np.bool_)
    for one in variables():
        keep &= separation(ra, dec, one.ra_deg, one.dec_deg) > 0.03
    return ra[keep], dec[keep], (mag + np.nan_to_num(color, nan=0.6))[keep]


def bright_stars(ra_deg: float, dec_deg: float, radius_deg: float) -> tuple[Floats, Floats, Floats]:
    """Places (degrees) and B magnitudes of the real bright stars in a circle, which no catalogue here lists."""
    ra, dec, mag = _bright()
    near = separation(ra, dec, ra_deg, dec_deg) < radius_deg
    return ra[near], dec[near], mag[near]


def separation(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    """Degrees between places."""
    ra1, dec1, ra2, dec2 = (np.radians(x) for x in (ra1, dec1, ra2, dec2))
    hav = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(hav, 0, 1))))


def _field(index: int, one: Variable) -> StarField:
    rng = np.random.default_rng([_SEED, index])
    dec = np.clip(one.dec_deg + rng.uniform(-HALF_DEG, HALF_DEG, STARS), -89.99, 89.99)
    ra = np.mod(one.ra_deg + rng.uniform(-HALF_DEG, HALF_DEG, STARS) / np.cos(np.radians(one.dec_deg)), 360.0)
    # more faint ones than bright ones, as everywhere
    mag = 17.0 - rng.exponential(1.6, STARS)
    color = rng.normal(0.7, 0.3, STARS)
    pm = rng.normal(0.0, 6.0, (2, STARS))
    ra[0], dec[0], mag[0], color[0] = one.ra_deg, one.dec_deg, one.mag + 0.3, 0.3
    mag[1:] = np.maximum(mag[1:], 9.5)
    # nothing but the object itself within 25 arcsec of it
    close = separation(ra[1:], dec[1:], ra[0], dec[0]) < 25.0 / 3600.0
    dec[1:][close] += 0.02
    numbers, texts = zip(*(_name(r, d, i) for i, (r, d) in enumerate(zip(ra, dec, strict=True))), strict=True)
    bins = tuple(gsc_bin_index(r, d) for r, d in zip(ra, dec, strict=True))
    return StarField(
        one, ra, dec, mag, color, pm[0], pm[1], numbers, texts, bins, _neighbours(index, ra, dec, mag, texts)
    )


def _neighbours(index: int, ra: Floats, dec: Floats, mag: Floats, names: tuple[str, ...]) -> dict[int, Variable]:
    """Two stars of each kind; times of minimum anywhere in a period."""
    rng = np.random.default_rng([_SEED, index, 1])
    bright = np.flatnonzero((mag > _NEIGHBOUR_MAG[0]) & (mag < _NEIGHBOUR_MAG[1]))
    stars = rng.permutation(bright[bright > 0])[: 2 * len(_NEIGHBOURS)]
    found = {}
    for number, star in enumerate(stars.tolist()):
        kind, shortest, longest, least, most = _NEIGHBOURS[number // 2]
        period = float(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
        epoch = EPOCH_MJD + period * float(rng.random())
        amplitude = float(rng.uniform(least, most))
        found[star] = Variable(
            names[star], float(ra[star]), float(dec[star]), float(mag[star]), kind, period, amplitude, epoch
        )
    return found


def _name(ra_deg: float, dec_deg: float, index: int) -> tuple[int, str]:
    """Number and text of a star in DASCH's APASS catalogue: APASS's own form, or for every seventh GSC 2.3.2's."""
    if index % 7 == 3:
        rest = f"{int(ra_deg * 100):05d}{int((dec_deg + 90) * 100):05d}{index:02d}"[:12]
        return int(f"1{'1' if dec_deg >= 0 else '2'}{rest}"), f"{'N' if dec_deg >= 0 else 'S'}{rest}"
    tenths = int(ra_deg / 15.0 * 36000.0)
    hours, tenths = divmod(tenths, 36000)
    minutes, tenths = divmod(tenths, 600)
    seconds, tenth = divmod(tenths, 10)
    arcsec = int(abs(dec_deg) * 3600.0)
    degrees, arcsec = divmod(arcsec, 3600)
    arcmin, arcsec = divmod(arcsec, 60)
    north = dec_deg >= 0
    time, angle = f"{hours:02d}{minutes:02d}{seconds:02d}", f"{degrees:02d}{arcmin:02d}{arcsec:02d}"
    return int(f"4{time}{tenth}{1 if north else 2}{angle}"), f"APASS_J{time}.{tenth}{'+' if north else '-'}{angle}"


@functools.cache
def _strips() -> tuple[Any, Any]:
    """Bins in each strip of declination 1/64 degree wide, and in all before it."""
    strip = np.arange(11520)
    count = np.floor(360 * 64 * np.cos(np.radians(strip / 64.0 - 90.0 + 1.0 / 128.0))).astype(np.int64)
    return count, np.concatenate([[0], np.cumsum(count)])


def gsc_bin_index(ra_deg: float, dec_deg: float) -> int:
    """The cell of DASCH's division of the sky a place lies in."""
    count, before = _strips()
    strip = min(int((dec_deg + 90.0) * 64.0), 11519)
    return int(before[strip] + min(int(ra_deg * count[strip] / 360.0), int(count[strip]) - 1))
