"""What FITS headers say of an exposure, in the many ways they say it: when, how long, through which filter, of what."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

#: wavelengths of the common filters, half power, nm (Bessell 2005; SDSS, Pan-STARRS, DECam and 2MASS handbooks)
_FILTERS_NM: Final = {
    "u": (300, 400), "g": (390, 550), "r": (550, 700), "i": (690, 840), "z": (820, 990), "y": (930, 1060),
    "U": (330, 400), "B": (390, 490), "V": (500, 590), "R": (570, 720), "I": (730, 880),
    "J": (1110, 1390), "H": (1470, 1810), "K": (1980, 2390), "Ks": (1980, 2310),
    "W1": (2750, 3870), "W2": (3960, 5340), "W3": (7440, 17260), "W4": (19520, 27910),
}  # fmt: skip
_LONG: Final = re.compile(
    r"(?:SDSS|DECam|sloan|PS1|ps1|LSST|bok)?[-_ ]?([ugrizy])(?:['pd]|\.MP\d{4}|[-_ ]?(?:band|DECam|SDSS|sdss|PS1))?"
)
_CLOCK: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d*)?))?)?")
_DAYS_BEFORE_2000: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2})(T.*)?")


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment as MJD (UTC unless the header says otherwise), and what was odd about how it was written."""

    mjd: float
    remark: str | None = None


def instant_of(text: str) -> Instant:
    """A DATE-OBS text. Minutes or seconds of 60 carry over; DD/MM/YY is of the 20th century (FITS 4.0, section 4.4.2).

    Raises ValueError for what is no date.
    """
    import datetime

    cleaned = text.strip().rstrip("Zz").strip("' ")
    remark = None
    old = _DAYS_BEFORE_2000.fullmatch(cleaned)
    if old:
        day, month, year = map(int, old.groups()[:3])
        cleaned = f"{1900 + year:04d}-{month:02d}-{day:02d}{old[4] or ''}"
        remark = f"{text.strip()!r} is read as {cleaned}"
    found = _CLOCK.fullmatch(cleaned)
    if found is None:
        raise ValueError(f"{text.strip()!r} is no date")
    year, month, day = (int(part) for part in found.groups()[:3])
    hour, minute, second = int(found[4] or 0), int(found[5] or 0), float(found[6] or 0.0)
    if hour > 24 or minute > 60 or second >= 61.0:
        raise ValueError(f"{text.strip()!r} is no time of day")
    if minute == 60 or hour == 24:
        remark = f"{text.strip()!r} is carried over to the next {'hour' if minute == 60 else 'day'}"
    days = (datetime.date(year, month, day) - datetime.date(1858, 11, 17)).days
    return Instant(days + (hour + (minute + second / 60.0) / 60.0) / 24.0, remark)


def begin_of(header: Any) -> Instant | None:
    """When the exposure began, from the cards that say so; None where none does. Raises ValueError for nonsense."""
    for card in ("MJD-BEG", "MJD-OBS", "TSTART_MJD", "MJD"):
        value = _number(header.get(card))
        if value is not None and 0.0 < value < 2e5:
            return Instant(value)
    complaint: ValueError | None = None
    for card, clocks in (("DATE-BEG", ()), ("DATE-OBS", ("TIME-OBS", "UT")), ("DATE_OBS", ())):
        text = header.get(card)
        if not isinstance(text, str) or not text.strip():
            continue
        time_of_day = next((header[clock] for clock in clocks if clock in header), None)
        if isinstance(time_of_day, str) and re.fullmatch(r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d*)?)?\s*", time_of_day):
            bare = text.strip()
            is_day = len(bare) == 10 or _DAYS_BEFORE_2000.fullmatch(bare) is not None
            text = f"{bare}T{time_of_day.strip()}" if is_day else text
        try:
            return instant_of(text)
        except ValueError as problem:
            complaint = problem
    if complaint is not None:
        raise complaint
    return None


def exposure_s(header: Any) -> float | None:
    """The exposure time in seconds, where a card says it."""
    for card in ("XPOSURE", "EXPTIME", "EXPOSURE", "TELAPSE", "ITIME", "EXP_TIME", "EXPOS"):
        value = _number(header.get(card))
        if value is not None and value > 0:
            return value
    return None


def filter_of(header: Any) -> str | None:
    """The filter's name as the header has it."""
    for card in ("FILTER", "FILTER1", "FILTNAM", "FILTERS", "BAND", "FILTNAME", "FILTER2"):
        value = header.get(card)
        if isinstance(value, str) and value.strip() and value.strip().lower() not in ("none", "clear", "open", "n/a"):
            return value.strip()
    return None


def wavelengths_of(name: str) -> tuple[float, float] | None:
    """Shortest and longest wavelength of a common filter, metres in vacuum; None for one that is not known."""
    plain = name.strip()
    known = _FILTERS_NM.get(plain)
    if known is None:
        first = plain.split()[0] if plain.split() else ""
        known = _FILTERS_NM.get(first.rstrip("'p") or first)
    if known is None:
        match = _LONG.fullmatch(plain) or _LONG.fullmatch(plain.partition(" ")[0])
        known = _FILTERS_NM.get(match[1]) if match else None
    return None if known is None else (known[0] * 1e-9, known[1] * 1e-9)


def text_of(header: Any, *cards: str) -> str | None:
    """The first of these cards that says something."""
    for card in cards:
        value = header.get(card)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
