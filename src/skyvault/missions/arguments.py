"""What users hand to filters, made plain: positions, search distances, names and times of many shapes.

Every function raises MissionValueError or MissionTypeError with one sentence that names the argument and the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.missions.faults import MissionTypeError, MissionValueError

#: no ID and no name of an object is longer
_LONGEST_TEXT: Final = 200

Floats = NDArray[np.float64]
Times = np.ndarray[Any, np.dtype[np.datetime64]]


def positions_deg(positions: Any, frame: str, argument: str = "positions") -> tuple[Floats, Floats]:
    """Right ascensions and declinations (degrees, in the mission's ``frame``, shape (n,)) of positions of any shape.

    [ra, dec], nested lists or tuples, arrays of shape (2,) or (n, 2), SkyCoord in any frame. Right ascension is
    reduced to [0, 360).
    """
    if hasattr(positions, "transform_to"):
        from astropy.coordinates import FK5, ICRS

        coordinate = positions.transform_to(FK5() if frame == "FK5" else ICRS())
        lon = np.atleast_1d(np.asarray(coordinate.ra.deg, np.float64)).ravel()
        lat = np.atleast_1d(np.asarray(coordinate.dec.deg, np.float64)).ravel()
    else:
        try:
            value = positions.to_value("deg") if hasattr(positions, "to_value") else positions
            if isinstance(value, (list, tuple)) and any(hasattr(one, "to_value") for one in value):
                value = [one.to_value("deg") if hasattr(one, "to_value") else one for one in value]
            # a masked value is none, whatever lies below the mask
            array = np.ma.filled(np.ma.asarray(value, np.float64), np.nan)
        except (TypeError, ValueError):  # astropy's UnitConversionError is both
            raise MissionTypeError(
                f"{argument} are no positions: {str(positions)[:80]!r}",
                hint="Give [ra, dec] or [[ra, dec], ...] in degrees, or a SkyCoord.",
            ) from None
        if array.shape == (2,):
            array = array[None, :]
        if array.ndim != 2 or array.shape[1] != 2:
            raise MissionValueError(
                f"{argument} have the shape {array.shape}, not (n, 2)",
                hint="Give [ra, dec] or [[ra, dec], ...] in degrees, or a SkyCoord.",
            )
        lon, lat = array[:, 0].copy(), array[:, 1].copy()
    if not len(lon):
        raise MissionValueError(f"{argument} are empty", hint="Give at least one [ra, dec].")
    bad = ~np.isfinite(lon) | ~np.isfinite(lat) | (np.abs(np.nan_to_num(lat)) > 90.0)
    if bad.any():
        row = int(np.argmax(bad))
        raise MissionValueError(
            f"{argument} number {row} ({lon[row]}, {lat[row]}) is no place on the sky; {int(bad.sum())} such in all",
            hint="Take out positions that are NaN or beyond a pole.",
        )
    return np.mod(lon, 360.0), lat


def angle_deg(value: Any, argument: str) -> Floats:
    """Degrees of one angle or many: a Quantity of any angular unit, numbers, lists of either."""
    if hasattr(value, "to_value"):
        try:
            value = value.to_value("deg")
        except Exception as error:  # astropy's UnitConversionError, without importing astropy for it
            raise MissionValueError(
                f"{argument} is no angle: {error}", hint="Give degrees, or an angular unit."
            ) from None
    elif isinstance(value, (list, tuple)) and any(hasattr(one, "to_value") for one in value):
        value = [float(angle_deg(one, argument)) for one in value]
    if isinstance(value, (bool, str)):
        raise MissionTypeError(f"{argument} is {value!r}, no angle", hint="Give degrees or a Quantity.")
    try:
        angle = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise MissionTypeError(
            f"{argument} is {str(value)[:60]!r}, no angle", hint="Give degrees or a Quantity."
        ) from None
    if not (np.isfinite(angle) & (angle >= 0.0) & (angle <= 180.0)).all():
        raise MissionValueError(f"{argument} must be 0 to 180 degrees, not {str(angle)[:60]}")
    return angle


def radii_deg(distance: Any, count: int, argument: str = "search_distance") -> Floats:
    """One radius in degrees for each of ``count`` positions, shape (count,)."""
    radius = angle_deg(distance, argument)
    if radius.ndim == 0:
        return np.full(count, float(radius))
    if radius.shape != (count,):
        raise MissionValueError(
            f"{argument} has {radius.size} entries for {count} positions",
            hint="Give one distance, or as many as there are positions.",
        )
    return radius


def texts(value: Any, argument: str) -> list[str]:
    """One text or many as a list."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (Sequence, np.ndarray, set, frozenset)) or isinstance(value, (bytes, Mapping)):
        raise MissionTypeError(f"{argument} must be a text or a list of texts, not {type(value).__name__}")
    words = [str(word) if isinstance(word, np.str_) else word for word in value]
    for word in words:
        if not isinstance(word, str):
            raise MissionTypeError(f"{argument} holds {word!r}, no text", hint="Put IDs and names in quotes.")
        if not word.strip() or not word.isprintable() or len(word) > _LONGEST_TEXT:
            wrong = "is empty" if not word.strip() else "has a line break or control character"
            wrong = f"is longer than {_LONGEST_TEXT} characters" if len(word) > _LONGEST_TEXT else wrong
            raise MissionValueError(f"{argument} holds {word[:40]!r}, which {wrong}")
    if not words:
        raise MissionValueError(f"{argument} is empty", hint="Give at least one.")
    return words


def times_utc(value: Any, argument: str) -> Times:
    """Instants as UTC microseconds, shape () or (n,): datetimes with or without zone, datetime64, Time, ISO text.

    A datetime without a zone is UTC, as the tables are.
    """
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        found = [times_utc(one, argument) for one in value]
        if any(one.ndim for one in found):
            raise MissionValueError(f"{argument} is a nested list", hint="Give one time for each position.")
        return np.array(found, "datetime64[us]")
    if hasattr(value, "utc") and hasattr(value, "to_value"):
        value = value.utc.to_value("datetime64")
    try:
        if isinstance(value, datetime):
            aware = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            instant: Times = np.asarray(np.datetime64(aware, "us"))
        elif isinstance(value, str):
            instant = times_utc(datetime.fromisoformat(value.strip()), argument)
        elif isinstance(value, (np.datetime64, np.ndarray)) and np.asarray(value).dtype.kind in "MU":
            instant = np.asarray(value).astype("datetime64[us]")
        else:
            raise MissionTypeError(
                f"{argument} is of type {type(value).__name__}, no time",
                hint="Give a datetime (UTC when it has no zone).",
            )
    except ValueError as error:
        if isinstance(error, MissionTypeError):
            raise
        raise MissionValueError(
            f"{argument} is no time: {str(value)[:60]!r}", hint="Write 2020-01-31T12:00:00."
        ) from None
    if np.isnat(instant).any():
        raise MissionValueError(f"{argument} holds a time that is none (NaT)")
    return instant
