"""A position as an astronomer types it: degrees, or hours, minutes and seconds with degrees, minutes and seconds."""

from __future__ import annotations

import math
import re

from skyvault.errors import ParameterError

_HINT = "Write degrees (84.053 -1.202) or sexagesimal (05:36:12.8 -01:12:07), ICRS."
_SEPARATORS = re.compile(r"[\s,:hmsd°'\"\u2032\u2033]+")
_NUMBER = re.compile(r"[+\-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+\-]?\d{1,3})?")
RADIUS_UNITS = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}


def read_position(text: str) -> tuple[float, float]:
    """Right ascension (0 to 360) and declination in degrees. Raises ParameterError.

    Two numbers are degrees; four or six are hours, minutes (and seconds), then degrees, minutes (and seconds).
    """
    if len(text) > 200:
        raise ParameterError("the position is too long", hint=_HINT)
    parts = [part for part in _SEPARATORS.split(text.replace("\u2212", "-").strip().lower()) if part]
    if len(parts) not in (2, 4, 6) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ParameterError(f"{text[:64]!r} is not a position", hint=_HINT)
    half = len(parts) // 2
    lon, lat = _angle(parts[:half], text), _angle(parts[half:], text)
    if half > 1 or re.search(r"\dh", text.lower()):
        lon *= 15.0
    if not -360.0 <= lon <= 720.0:
        raise ParameterError(f"{text[:64]!r} is not a position: the right ascension is off the circle", hint=_HINT)
    if abs(lat) > 90.0:
        raise ParameterError(f"{text[:64]!r} is not a position: the declination is beyond a pole", hint=_HINT)
    return round(lon % 360.0, 9) % 360.0, round(lat, 9)


def _angle(parts: list[str], text: str) -> float:
    """Units, minutes and seconds as one number; minutes and seconds are below 60 and bear no sign."""
    values = [float(part) for part in parts]
    if any(part[0] in "+-" or not value < 60.0 for part, value in zip(parts[1:], values[1:], strict=True)):
        raise ParameterError(f"{text[:64]!r} is not a position: minutes and seconds go from 0 to 60", hint=_HINT)
    total = sum(abs(value) / 60.0**power for power, value in enumerate(values))
    return -total if parts[0].startswith("-") else total


def read_radius(text: str, unit: str) -> float:
    """Degrees, 0 to 180. Raises ParameterError."""
    factor = RADIUS_UNITS.get(unit)
    if factor is None:
        raise ParameterError(f"unit={unit[:32]!r} is not known", hint=f"Use one of {', '.join(RADIUS_UNITS)}.")
    try:
        radius = float(text) * factor
    except ValueError:
        raise ParameterError(f"{text[:64]!r} is not a radius", hint="Write a number.") from None
    if not (math.isfinite(radius) and 0.0 < radius <= 180.0):
        raise ParameterError(f"{text[:64]!r} {unit} is not a radius", hint="It must be above 0 and at most 180 deg.")
    return radius
