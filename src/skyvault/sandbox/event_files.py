"""What stands in the X-ray archives' files: event lists with good time intervals, images, exposure maps, tables.

Small, but true FITS with the missions' own names of columns and units. A file is made from its observation and its
name, always with the same bytes.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from skyvault.sandbox.fits_bytes import Cards, image_extension, primary, table_extension
from skyvault.sandbox.lzw_writer import lzw
from skyvault.sandbox.telescopes import TELESCOPES, Telescope

Kind = Literal["events", "image", "expmap", "background", "table", "text", "picture"]

#: rows of the one large event list: 40 MB
BIG_ROWS: Final = 1_250_000
_SKY_PIXELS: Final = 1024
_IMAGE_PIXELS: Final = 64


_DOUBLE: Final = frozenset(("TIME", "RA", "DEC"))
_SINGLE: Final = frozenset(("ENERGY",))
_UNITS: Final = {"TIME": "s", "RA": "deg", "DEC": "deg", "X": "pixel", "Y": "pixel", "DETX": "pixel", "DETY": "pixel"}
_UNITS_MORE: Final = {"PHA": "chan", "PI": "chan", "ENERGY": "eV", "RAWX": "pixel", "RAWY": "pixel"}
#: the least and the largest value of a column
_LIMITS: Final = {
    "X": (1, _SKY_PIXELS),
    "Y": (1, _SKY_PIXELS),
    "DETX": (1, 600),
    "DETY": (1, 600),
    "RAWX": (0, 63),
    "RAWY": (0, 63),
    "CHIPX": (1, 1024),
    "CHIPY": (1, 1024),
    "PHA": (0, 4095),
    "PI": (0, 1023),
    "GRADE": (0, 12),
    "PIXEL": (0, 35),
    "CCD_ID": (0, 9),
    "FLAG": (0, 0x7FFFFFFF),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation as headers tell of it. ICRS degrees, MJD (UTC), seconds."""

    mission: str
    obs_id: str
    target: str
    ra_deg: float
    dec_deg: float
    start_mjd: float
    seconds: float

    @property
    def modified(self) -> datetime:
        """When its files were written: some months later, at noon."""
        return EPOCH + timedelta(days=int(self.start_mjd) + 200.5)


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file of an observation: its path below the observation's directory, what is in it, of which instrument.

    The path's end says how it is packed (.gz, .Z).
    """

    path: str
    kind: Kind
    instrument: str = ""
    is_big: bool = False
    #: eROSITA's telescopes that were on
    telescopes: tuple[int, ...] = ()


#: a GIF of one pixel
_PICTURE: Final = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
#: day 0 of the Modified Julian Date
EPOCH: Final = datetime(1858, 11, 17, tzinfo=UTC)


def file_bytes(seen: Seen, file: HeldFile) -> bytes:
    """The file as the archive sends it."""
    body = unpacked(seen, file)
    if file.path.endswith((".gz", ".FTZ")):
        # events of a large file are random anyway
        return gzip.compress(body, 0 if file.is_big else 1, mtime=0)
    return lzw(body) if file.path.endswith(".Z") else body


def unpacked(seen: Seen, file: HeldFile) -> bytes:
    """The file once it is unpacked."""
    rng = np.random.default_rng([zlib.crc32(f"{seen.mission}/{seen.obs_id}/{file.path}".encode()), 7])
    if file.kind == "text":
        return _text(seen, file)
    if file.kind == "picture":
        return _PICTURE
    if file.kind == "events":
        return _events(seen, file, rng)
    if file.kind == "table":
        return primary(_cards(seen, file)) + _housekeeping(seen, file, rng)
    return _image(seen, file, rng)


# --- headers ---------------------------------------------------------------------------------------------------------


def _iso(mjd: float) -> str:
    return (EPOCH + timedelta(seconds=round(mjd * 86400.0, 3))).isoformat(timespec="milliseconds").partition("+")[0]


def _cards(seen: Seen, file: HeldFile) -> list[tuple[str, Any, str]]:
    telescope = TELESCOPES[seen.mission]
    start = telescope.seconds(seen.start_mjd)
    begin_mjd = round(telescope.mjd(seen.start_mjd) * 86400.0, 3) / 86400.0
    end_mjd = begin_mjd + round(seen.seconds, 3) / 86400.0
    whole_days = int(telescope.reference_mjd)
    return [
        ("TELESCOP", telescope.name, "mission"),
        ("INSTRUME", file.instrument or "NONE", "instrument"),
        ("FILTER", "OPEN", "filter in the beam"),
        ("OBJECT", seen.target, "name of the target"),
        ("OBS_ID", seen.obs_id, "observation identifier"),
        ("DATE-OBS", _iso(begin_mjd), "start of the observation"),
        ("DATE-END", _iso(end_mjd), "end of the observation"),
        ("MJD-OBS", begin_mjd, "[d] start of the observation"),
        ("MJD-END", end_mjd, "[d] end of the observation"),
        ("DATEREF", _iso(telescope.reference_mjd), "reference time"),
        ("MJDREFI", whole_days, "[d] reference time, whole days"),
        ("MJDREFF", round(telescope.reference_mjd - whole_days, 14), "[d] reference time, rest"),
        ("TIMESYS", telescope.timesys, "time system"),
        ("TIMEREF", "LOCAL", "times are those at the satellite"),
        ("TIMEUNIT", "s", "unit of times"),
        ("TSTART", round(start, 3), "[s] start"),
        ("TSTOP", round(start + seen.seconds, 3), "[s] end"),
        ("EXPOSURE", float(seen.seconds), "[s] time on target"),
        ("RA_OBJ", seen.ra_deg, "[deg] right ascension of the target"),
        ("DEC_OBJ", seen.dec_deg, "[deg] declination of the target"),
        ("RA_PNT", seen.ra_deg, "[deg] right ascension of the pointing"),
        ("DEC_PNT", seen.dec_deg, "[deg] declination of the pointing"),
        ("RADESYS", "ICRS", "reference frame"),
        ("EQUINOX", 2000.0, "equinox"),
        ("ORIGIN", "Skyvault sandbox", "simulated, no data of the mission"),
    ]


# --- event lists -----------------------------------------------------------------------------------------------------


def _events(seen: Seen, file: HeldFile, rng: np.random.Generator) -> bytes:
    telescope = TELESCOPES[seen.mission]
    cards = _cards(seen, file)
    rows = _event_rows(seen, file, telescope, rng)
    names = rows.dtype.names or ()
    step = 2.0 * telescope.field_deg / _SKY_PIXELS
    of_columns: dict[str, Cards] = {}
    for name in names:
        more: list[tuple[str, Any, str]] = []
        if name.upper() in _LIMITS:
            low, high = _LIMITS[name.upper()]
            more += [("TLMIN", low, "least value"), ("TLMAX", high, "largest value")]
        if name.upper() in ("X", "Y"):
            is_x = name.upper() == "X"
            more += [
                ("TCTYP", "RA---TAN" if is_x else "DEC--TAN", "projection"),
                ("TCRPX", _SKY_PIXELS / 2 + 0.5, "reference pixel"),
                ("TCRVL", seen.ra_deg if is_x else seen.dec_deg, "[deg] value there"),
                ("TCDLT", -step if is_x else step, "[deg] step"),
                ("TCUNI", "deg", ""),
            ]
        of_columns[name] = more
    units = {**_UNITS, **_UNITS_MORE}
    more_cards: Cards = [*cards, ("HDUCLASS", "OGIP", ""), ("HDUCLAS1", "EVENTS", "")]
    table = table_extension(telescope.events, rows, more_cards, [units.get(n.upper(), "") for n in names], of_columns)
    return primary(cards) + table + _intervals(seen, telescope, cards)


def _event_rows(seen: Seen, file: HeldFile, telescope: Telescope, rng: np.random.Generator) -> npt.NDArray[Any]:
    count = BIG_ROWS if file.is_big else int(rng.integers(900, 1500))
    types = [
        (
            name,
            ">f8"
            if name.upper() in _DOUBLE
            else ">f4"
            if name.upper() in _SINGLE
            else "u1"
            if name == "TM_NR"
            else ">i4"
            if name.upper() in ("X", "Y", "FLAG")
            else ">i2",
        )
        for name in telescope.columns
    ]
    rows = np.zeros(count, np.dtype(types))
    start = telescope.seconds(seen.start_mjd)
    # one source in the middle over an even background
    is_source = rng.random(count) < 0.5
    sky = {
        axis: np.where(is_source, rng.normal(_SKY_PIXELS / 2, 12.0, count), rng.uniform(1, _SKY_PIXELS, count))
        for axis in ("X", "Y")
    }
    pi = np.minimum(rng.exponential(120.0, count) + 20.0, 1023.0).astype(np.int64)
    for name in telescope.columns:
        column = name.upper()
        if column == "TIME":
            rows[name] = start + np.sort(_good_times(seen, rng, count))
        elif column in sky:
            rows[name] = np.clip(sky[column], 1, _SKY_PIXELS).astype(np.int64)
        elif column == "PI":
            rows[name] = pi
        elif column == "ENERGY":
            rows[name] = pi * 14.6
        elif column == "PHA":
            rows[name] = np.minimum(pi * 4 + rng.integers(0, 4, count), 4095)
        elif column == "RA":
            step = 2.0 * telescope.field_deg / _SKY_PIXELS
            east = (_SKY_PIXELS / 2 + 0.5 - sky["X"]) * step
            rows[name] = (seen.ra_deg + east / max(np.cos(np.radians(seen.dec_deg)), 0.01)) % 360.0
        elif column == "DEC":
            step = 2.0 * telescope.field_deg / _SKY_PIXELS
            rows[name] = np.clip(seen.dec_deg + (sky["Y"] - _SKY_PIXELS / 2 - 0.5) * step, -90.0, 90.0)
        elif column == "TM_NR":
            on = np.array(file.telescopes or (1, 2, 3, 4, 5, 6, 7))
            rows[name] = on[rng.integers(0, len(on), count)]
        else:
            low, high = _LIMITS[column]
            rows[name] = rng.integers(low, high, count, endpoint=True)
    return rows


def _good_times(seen: Seen, rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Seconds after the start, within the good time intervals: all but the fifth tenth."""
    drawn = rng.uniform(0.0, 0.9, count)
    return np.where(drawn < 0.4, drawn, drawn + 0.1) * max(seen.seconds, 1.0)


def _intervals(seen: Seen, telescope: Telescope, cards: Cards) -> bytes:
    start = telescope.seconds(seen.start_mjd)
    rows = np.zeros(2, np.dtype([("START", ">f8"), ("STOP", ">f8")]))
    length = max(seen.seconds, 1.0)
    rows["START"] = start, start + 0.5 * length
    rows["STOP"] = start + 0.4 * length, start + length
    more: Cards = [*cards, ("HDUCLASS", "OGIP", ""), ("HDUCLAS1", "GTI", "")]
    return table_extension(telescope.intervals, rows, more, ("s", "s"))


# --- images and others -----------------------------------------------------------------------------------------------


def _image(seen: Seen, file: HeldFile, rng: np.random.Generator) -> bytes:
    telescope = TELESCOPES[seen.mission]
    size, step = _IMAGE_PIXELS, 2.0 * telescope.field_deg / _IMAGE_PIXELS
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    distance = np.hypot(x, y)
    if file.kind == "expmap":
        image = (seen.seconds * np.clip(1.0 - (distance / size) ** 2, 0.0, 1.0)).astype(np.float32)
    elif file.kind == "background":
        image = (0.3 * np.clip(1.0 - (distance / size) ** 2, 0.0, 1.0)).astype(np.float32)
    else:
        image = rng.poisson(0.3 + 40.0 * np.exp(-0.5 * (distance / 1.5) ** 2)).astype(np.int32)
    cards = [
        *_cards(seen, file),
        ("BUNIT", "s" if file.kind == "expmap" else "count", "unit of pixels"),
        ("CTYPE1", "RA---TAN", "projection"),
        ("CTYPE2", "DEC--TAN", "projection"),
        ("CRPIX1", size / 2 + 0.5, "reference pixel"),
        ("CRPIX2", size / 2 + 0.5, "reference pixel"),
        ("CRVAL1", seen.ra_deg, "[deg] right ascension there"),
        ("CRVAL2", seen.dec_deg, "[deg] declination there"),
        ("CDELT1", -step, "[deg] step"),
        ("CDELT2", step, "[deg] step"),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
    ]
    # Suzaku's, NuSTAR's and most others' images stand in the primary unit; XRISM's masks follow in an extension
    if seen.mission == "xrism_pointed":
        return primary(cards, image) + image_extension("MASK", cards, (distance < size / 2).astype(np.int16))
    return primary(cards, image)


def _housekeeping(seen: Seen, file: HeldFile, rng: np.random.Generator) -> bytes:
    telescope = TELESCOPES[seen.mission]
    rows = np.zeros(200, np.dtype([("TIME", ">f8"), ("VALUE", ">f4"), ("QUALITY", ">i2"), ("STATE", "S8")]))
    start = telescope.seconds(seen.start_mjd)
    rows["TIME"] = start + np.linspace(0.0, max(seen.seconds, 1.0), len(rows))
    rows["VALUE"] = rng.normal(-90.0, 0.5, len(rows))
    rows["STATE"] = np.where(rng.random(len(rows)) < 0.95, b"NORMAL", b"IDLE")
    return table_extension("HK", rows, _cards(seen, file), ("s", "deg_C", "", ""))


def _text(seen: Seen, file: HeldFile) -> bytes:
    lines = [
        f"{file.path.rpartition('/')[2]}",
        f"Observation {seen.obs_id} of {seen.target}",
        f"Start {_iso(seen.start_mjd)}, {seen.seconds:.0f} s",
        "Simulated: no data of the mission.",
    ]
    return ("\n".join(lines) + "\n").encode()
