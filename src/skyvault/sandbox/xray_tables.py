"""How the X-ray archives' tables of observations are made: pointings over the simulated sky, times, words, columns.

Everything follows from a seed, so every sandbox holds the same observations. The last rows of each table are odd on
purpose (:data:`ODD`): archives have such rows, and a client must mind them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skyvault.sandbox.emulation import HeldTable
from skyvault.sandbox.sky import named_objects

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]

#: what is odd about a table's last rows: -1 has no coordinates, -2 no time on target, -3 is not yet processed,
#: -4 has an unknown public date, -5 and -6 belong to their proposers
ODD: Final = 6
#: a public date far from now (the year 2064), MJD
FUTURE_MJD: Final = 75000.0

#: unit, UCD and description of columns that several tables have
_DESCRIBED: Final[Mapping[str, tuple[str, str, str]]] = {
    "ra": ("deg", "pos.eq.ra;meta.main", "Right Ascension of the Pointing Position (J2000)"),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination of the Pointing Position (J2000)"),
    "lii": ("deg", "pos.galactic.lon", "Galactic Longitude"),
    "bii": ("deg", "pos.galactic.lat", "Galactic Latitude"),
    "name": ("", "meta.id", "Designation of the Target"),
    "obsid": ("", "meta.id;obs", "Observation Identifier"),
    "observation_id": ("", "meta.id;obs", "Observation Identifier"),
    "seq_id": ("", "meta.id;obs", "Sequence Identifier"),
    "sequence_number": ("", "meta.id;obs", "Sequence Number of the Observation"),
    "scw_id": ("", "meta.id;obs", "Science Window Identifier"),
    "time": ("d", "time.start;obs", "Start Time of the Observation (MJD)"),
    "start_time": ("d", "time.start;obs", "Start Time of the Observation (MJD)"),
    "start_date": ("d", "time.start;obs", "Start Date of the Observation (MJD)"),
    "end_time": ("d", "time.end;obs", "End Time of the Observation (MJD)"),
    "stop_time": ("d", "time.end;obs", "End Time of the Observation (MJD)"),
    "end_date": ("d", "time.end;obs", "End Date of the Observation (MJD)"),
    "public_date": ("d", "time.release", "Date the Data Become Public (MJD); 0 Is Unknown"),
    "processing_date": ("d", "time.processing", "Date of the Last Processing (MJD)"),
    "exposure": ("s", "time.duration;obs.exposure", "Exposure Time"),
    "duration": ("s", "time.duration;obs", "Duration of the Observation"),
    "status": ("", "meta.code.status", "Status of the Observation"),
    "instrument": ("", "meta.id;instr", "Instrument Used"),
    "pi_lname": ("", "meta.id.PI", "Last Name of the Principal Investigator"),
    "cycle": ("", "obs.proposal.cycle", "Cycle of Proposals"),
    "roll_angle": ("deg", "pos.posAng", "Roll Angle of the Spacecraft"),
}
_PROPOSERS: Final = ("ABELL", "CHANDRASEKHAR", "GIACCONI", "HEWISH", "LEAVITT", "OORT", "PAYNE", "ZWICKY")


@dataclass(frozen=True, slots=True)
class Pointings:
    """Where a mission looked: ICRS degrees, the target's name, and its kind (as in :mod:`.sky`, or "")."""

    ra: Floats
    dec: Floats
    target: Texts
    kind: Texts

    def __len__(self) -> int:
        return len(self.ra)


def generator(name: str) -> np.random.Generator:
    """Random numbers that belong to a name."""
    return np.random.default_rng([zlib.crc32(name.encode()), 1962])


def pointings(
    rng: np.random.Generator, count: int, *, scatter_deg: float = 0.03, seen: Sequence[str] | None = None
) -> Pointings:
    """``count`` pointings: up to three at each named object (or those ``seen``), the others over the whole sky."""
    objects = [one for one in named_objects() if seen is None or one.name in seen]
    often = rng.integers(1, 4, len(objects))
    which = np.repeat(np.arange(len(objects)), often)[: max(count - ODD - 20, 0)]
    radius = np.array([one.radius_deg for one in objects])[which]
    near_ra = np.array([one.ra_deg for one in objects])[which]
    near_dec = np.array([one.dec_deg for one in objects])[which]
    north, east = rng.normal(0.0, 1.0, (2, len(which))) * np.maximum(scatter_deg, radius / 2)
    dec = np.clip(near_dec + north, -89.9, 89.9)
    ra = near_ra + east / np.cos(np.radians(dec))
    others = count - len(which)
    far_ra = rng.uniform(0.0, 360.0, others)
    far_dec = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, others)))
    names = [objects[i].name.upper().removeprefix("V* ") for i in which]
    names += [jname(r, d) for r, d in zip(far_ra, far_dec, strict=True)]
    return Pointings(
        np.round(np.concatenate([ra, far_ra]) % 360.0, 5),
        np.round(np.concatenate([dec, far_dec]), 5),
        np.array(names, np.str_),
        np.array([objects[i].kind for i in which] + [""] * others, np.str_),
    )


def jname(ra_deg: float, dec_deg: float) -> str:
    """A name from a position: J1230.4+1223."""
    minutes = ra_deg * 4.0
    north = abs(dec_deg)
    return (
        f"J{int(minutes // 60):02d}{minutes % 60:04.1f}"
        f"{'-' if dec_deg < 0 else '+'}{int(north):02d}{int(north % 1 * 60):02d}"
    )


def words(rng: np.random.Generator, kinds: Texts, known: Mapping[str, str], others: Sequence[str]) -> Texts:
    """The archive's word for each target's kind; targets of no known kind get one of ``others``."""
    drawn = np.array(others, np.str_)[rng.integers(0, len(others), len(kinds))]
    return np.array([known.get(kind, word) for kind, word in zip(kinds.tolist(), drawn.tolist(), strict=True)], np.str_)


def numbers(rng: np.random.Generator, count: int, low: int, high: int) -> npt.NDArray[np.int64]:
    """``count`` different whole numbers from ``low`` to below ``high``."""
    return low + rng.choice(high - low, count, replace=False)


def starts(rng: np.random.Generator, count: int, first_mjd: float, last_mjd: float) -> Floats:
    """Start times within a mission's life, MJD to the second."""
    return np.round(rng.uniform(first_mjd, last_mjd, count) * 86400.0) / 86400.0


def after(start_mjd: Floats, seconds: Floats) -> Floats:
    """MJD, so many seconds later."""
    return np.asarray(start_mjd + seconds / 86400.0)


def exposures(rng: np.random.Generator, count: int, typical_s: float, *, decimals: int = 0) -> Floats:
    """Exposure times in seconds, spread about a typical one; the odd row has none."""
    drawn = np.round(typical_s * np.exp(rng.normal(0.0, 0.8, count)), decimals)
    drawn[-2] = 0.0
    return drawn


def public_dates(rng: np.random.Generator, start_mjd: Floats) -> Floats:
    """A year after the observation; the odd rows' are unknown (0) and in the future."""
    dates = np.floor(start_mjd) + 366.0 + rng.integers(0, 90, len(start_mjd))
    dates[-4] = 0.0
    dates[-6:-4] = FUTURE_MJD
    return dates


def statuses(rng: np.random.Generator, count: int, *, odd: str = "scheduled") -> Texts:
    """Processed or archived; the odd row's is another."""
    drawn = np.where(rng.random(count) < 0.1, "processed", "archived").astype("U16")
    drawn[-3] = odd
    return drawn


def proposers(rng: np.random.Generator, count: int) -> Texts:
    """Last names of principal investigators."""
    return np.array(_PROPOSERS, np.str_)[rng.integers(0, len(_PROPOSERS), count)]


def galactic(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Galactic longitude and latitude, degrees (IAU 1958 pole at 192.85948 +27.12825, J2000)."""
    a, d = np.radians(ra - 192.85948), np.radians(dec)
    pole = np.radians(27.12825)
    sin_b = np.sin(d) * np.sin(pole) + np.cos(d) * np.cos(pole) * np.cos(a)
    y = np.cos(d) * np.sin(a)
    x = np.sin(d) * np.cos(pole) - np.cos(d) * np.sin(pole) * np.cos(a)
    return np.round((122.93192 - np.degrees(np.arctan2(y, x))) % 360.0, 5), np.round(np.degrees(np.arcsin(sin_b)), 5)


def placed(where: Pointings) -> dict[str, Any]:
    """Columns name, ra, dec, lii, bii; the odd row has no coordinates."""
    lii, bii = galactic(where.ra, where.dec)
    missing = np.zeros(len(where), bool)
    missing[-1] = True
    return {
        "name": where.target,
        "ra": pa.array(where.ra, mask=missing),
        "dec": pa.array(where.dec, mask=missing),
        "lii": pa.array(lii, mask=missing),
        "bii": pa.array(bii, mask=missing),
    }


def held_table(
    name: str, description: str, columns: Mapping[str, Any], more: Mapping[str, tuple[str, str, str]] | None = None
) -> HeldTable:
    """A table of a TAP service. ``more`` describes columns beyond the usual: (unit, UCD, description)."""
    described = {**_DESCRIBED, **(more or {})}
    arrays = {n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}
    about = {}
    for column in arrays:
        unit, ucd, text = described.get(column, ("", "", column.replace("_", " ").capitalize()))
        about[column] = {key: value for key, value in (("unit", unit), ("ucd", ucd), ("description", text)) if value}
    return HeldTable(
        name,
        pa.table(arrays),
        {"title": description, "description": description, "position": ["ra", "dec"], "columns": about},
    )
