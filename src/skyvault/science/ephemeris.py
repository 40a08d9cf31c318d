"""Where a comet or asteroid was when: an ephemeris from numbers or sexagesimal text, interpolated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.science.samples import Booleans, Floats, Indices, float_array
from skyvault.sky.frames import parse_dms, parse_hms
from skyvault.sky.vectors import angle_between, coordinates, normalised, unit_vectors

#: rows one ephemeris may have
MAX_EPOCHS: Final = 5_000_000
#: numbers above this are Julian dates, not modified ones (MJD 400,000 is the year 2954)
_JULIAN: Final = 1_000_000.0


@dataclass(frozen=True)
class Ephemeris:
    """Positions of a moving object, sorted by time: MJD (UTC, as exposures are given) and ICRS degrees, shape (n,).

    ``magnitude`` is what it should have been (NaN unknown). ``longest_step`` in days: between rows further apart
    nothing is interpolated.
    """

    mjd: Floats
    ra: Floats
    dec: Floats
    magnitude: Floats
    longest_step: float

    def __len__(self) -> int:
        return len(self.mjd)

    @property
    def vectors(self) -> Floats:
        """Unit vectors, shape (n, 3)."""
        return unit_vectors(self.ra, self.dec)

    @classmethod
    def from_columns(
        cls,
        time: ArrayLike,
        ra: ArrayLike,
        dec: ArrayLike,
        *,
        magnitude: ArrayLike | None = None,
        longest_step: float | None = None,
    ) -> Ephemeris:
        """From columns as services give them; rows that hold no position are left out.

        ``time`` is MJD, JD or ISO text. Text in ``ra`` is hours (``"12 34 56.7"``, ``"12h34m56.7s"``), text in ``dec``
        degrees (``"-01:02:03"``); text of a decimal number is degrees in both. ``longest_step`` is 5 times the median
        step unless given. Raises ParameterError for a text that is none of these, and for fewer than two positions.
        """
        days = _days(time)
        lon, lat = _angles(ra, "right ascension", parse_hms), _angles(dec, "declination", parse_dms)
        brightness = np.full(len(days), np.nan) if magnitude is None else float_array(magnitude, "magnitudes")
        if not len(days) == len(lon) == len(lat) == len(brightness):
            raise ParameterError("the columns of an ephemeris differ in length")
        if len(days) > MAX_EPOCHS:
            raise ParameterError(f"an ephemeris of {len(days):,} rows is larger than the {MAX_EPOCHS:,} taken")
        good = np.isfinite(days) & np.isfinite(lon) & np.isfinite(lat)
        outside = good & (np.abs(lat) > 90.0)
        if outside.any():
            raise ParameterError(f"a declination of an ephemeris is {lat[outside][0]:.6g}, beyond the pole")
        rows = np.flatnonzero(good)
        rows = rows[np.argsort(days[rows], kind="stable")]
        rows = rows[np.r_[True, np.diff(days[rows]) > 0.0]] if len(rows) else rows
        if len(rows) < 2:
            raise ParameterError("an ephemeris needs positions at two different times at least")
        step = 5.0 * float(np.median(np.diff(days[rows]))) if longest_step is None else float(longest_step)
        if not step > 0.0:
            raise ParameterError(f"longest_step is {longest_step!r}, but it must be positive")
        return cls(days[rows], np.mod(lon[rows], 360.0), lat[rows], brightness[rows], step)

    def at(self, mjd: ArrayLike) -> Floats:
        """Unit vectors at any times, shape (n, 3): a cubic through the four nearest rows. NaN outside and in gaps."""
        times = np.asarray(mjd, np.float64)
        row, is_inside = self.interval(times)
        points = np.full((*times.shape, 3), np.nan)
        points[is_inside] = self._cubic(row[is_inside], times[is_inside])
        return points

    def interval(self, mjd: Floats) -> tuple[Indices, Booleans]:
        """The row before each time (at most the last but one), and whether it lies between rows near enough."""
        row = np.clip(np.searchsorted(self.mjd, mjd, side="right") - 1, 0, len(self) - 2)
        step = self.mjd[row + 1] - self.mjd[row]
        return row, (mjd >= self.mjd[0]) & (mjd <= self.mjd[-1]) & (step <= self.longest_step)

    def _cubic(self, row: Indices, mjd: Floats) -> Floats:
        vectors, days, last = self.vectors, self.mjd, len(self) - 1
        places = np.stack([row - 1, row, row + 1, row + 2])
        # at the ends, and over a gap, the nearest rows again: the cubic there becomes a parabola or a line
        usable = (places >= 0) & (places <= last)
        places = np.clip(places, 0, last)
        usable[0] &= days[places[1]] - days[places[0]] <= self.longest_step
        usable[3] &= days[places[3]] - days[places[2]] <= self.longest_step
        result = np.zeros((len(row), 3))
        for i in range(4):
            factor = np.ones(len(row))
            for j in range(4):
                if i != j:
                    span = days[places[i]] - days[places[j]]
                    # a place used twice is not usable once, and drops out
                    ratio = (mjd - days[places[j]]) / np.where(span == 0.0, 1.0, span)
                    factor *= np.where(usable[j], ratio, 1.0)
            result += np.where(usable[i], factor, 0.0)[:, None] * vectors[places[i]]
        return normalised(result)

    def magnitudes_at(self, mjd: ArrayLike) -> Floats:
        """Expected magnitudes, straight between rows; NaN where unknown."""
        return np.asarray(np.interp(np.asarray(mjd, np.float64), self.mjd, self.magnitude), np.float64)

    def fastest(self) -> float:
        """The largest motion between two rows that are interpolated, radians a day."""
        steps = np.diff(self.mjd)
        moved = angle_between(self.vectors[:-1], self.vectors[1:])
        usable = steps <= self.longest_step
        return float((moved[usable] / steps[usable]).max()) if usable.any() else 0.0

    def segments(self) -> dict[str, Floats]:
        """A table to upload: one row for each two neighbouring rows, with a circle that holds the way between them.

        Columns: epoch_start, epoch_end (MJD), ra, dec, radius (degrees). The radius is half the way and a tenth of it
        for its bend.
        """
        step = np.diff(self.mjd)
        usable = step <= self.longest_step
        vectors = self.vectors
        first, last = vectors[:-1][usable], vectors[1:][usable]
        lon, lat = coordinates(normalised(first + last))
        radius = np.degrees(angle_between(first, last)) * 0.55 + 1.0 / 3600.0
        return {
            "epoch_start": self.mjd[:-1][usable],
            "epoch_end": self.mjd[1:][usable],
            "ra": lon,
            "dec": lat,
            "radius": radius,
        }


def _is_text(column: Any) -> bool:
    return np.asarray(column).dtype.kind in "USOT"


def _days(column: ArrayLike) -> Floats:
    if not _is_text(column):
        days = float_array(column, "epochs")
        return np.where(days > _JULIAN, days - 2_400_000.5, days)
    texts = [str(value).strip() for value in np.ma.filled(np.ma.asarray(column), "")]
    result = np.full(len(texts), np.nan)
    iso: list[int] = []
    for row, text in enumerate(texts):
        try:
            number = float(text)
            result[row] = number - 2_400_000.5 if number > _JULIAN else number
        except ValueError:
            if text and text != "--":
                iso.append(row)
    if iso:
        stamps = [texts[row].removesuffix("Z").replace(" ", "T") for row in iso]
        try:
            # proleptic Gregorian days, in whole nanoseconds within a day; numpy warns of what it does not know
            moments = np.array([np.datetime64(stamp, "us") for stamp in stamps])
        except (ValueError, UserWarning):
            raise ParameterError(
                f"{texts[iso[0]][:40]!r} is no time of an ephemeris",
                hint="Use MJD, JD or ISO text like 1941-04-01T00:00:00.",
            ) from None
        result[iso] = (moments - np.datetime64("1858-11-17T00:00:00", "us")).astype(np.int64) / 86_400e6
    return result


def _angles(column: ArrayLike, what: str, parse: Callable[[str], float | None]) -> Floats:
    if not _is_text(column):
        return float_array(column, what)
    values: list[Any] = np.ma.filled(np.ma.asarray(column), "").tolist()
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        text = text.strip()
        if text in ("", "--", "nan", "None"):
            continue
        try:
            result[row] = float(text)
            continue
        except ValueError:
            angle = parse(text)
        if angle is None:
            raise ParameterError(f"{text[:40]!r} is no {what}", where=f"row {row + 1}")
        result[row] = angle
    return result
