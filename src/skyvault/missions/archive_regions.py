"""Source regions of an observation: DS9 regions on the sky or on an image, as DS9 regions in degrees (ICRS).

Circles, ellipses, boxes, annuli, points and polygons are read, with their sign; angles count as DS9's do, from the
west towards the north.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import FormatError, NotFound
from skyvault.missions.faults import MissionTypeError, MissionValueError

_SKY: Final = {"fk5": "FK5", "j2000": "FK5", "icrs": "ICRS", "galactic": "GALACTIC"}
_PIXELS: Final = ("image", "physical")
_SHAPE: Final = re.compile(
    r"([+-]?)\s*(circle|ellipse|box|annulus|point|polygon)\s*[( ]\s*([^)]*)\)?\s*$", re.IGNORECASE
)
#: number of values; None: any even number from 6 up
_VALUES: Final = {"circle": (3,), "ellipse": (5, 4), "box": (5, 4), "annulus": (4,), "point": (2,), "polygon": None}
_SEXAGESIMAL: Final = re.compile(r"([+-]?)(\d+):(\d+):(\d+(?:\.\d*)?)")
_UNITS: Final = {'"': 1 / 3600.0, "'": 1 / 60.0, "d": 1.0, "r": math.degrees(1.0), "p": 1.0, "i": 1.0, "": 1.0}
_MOST_BYTES: Final = 20_000_000


def sky_regions(regions: Any, wcs_src: Any = None, *, where: str = "regions") -> str:
    """A DS9 file's text in ICRS degrees, from a DS9 file or text. ``wcs_src`` (FITS image or WCS) is for pixels.

    Raises NotFound, FormatError (the line is named), MissionValueError when pixels lack an image, MissionTypeError.
    """
    text = _text_of(regions)
    wcs = None
    system = "fk5"
    lines = ["# Region file format: DS9", "icrs"]
    for number, line in enumerate(text.splitlines(), 1):
        for part in line.split("#", 1)[0].split(";"):
            word = part.strip()
            if not word or word.lower().startswith("global"):
                continue
            if word.lower() in _SKY or word.lower() in _PIXELS:
                system = word.lower()
                continue
            found = _SHAPE.fullmatch(word)
            if found is None:
                raise FormatError(f"{word[:60]!r} is no region that is known", where=f"{where}, line {number}")
            sign, shape, values = found[1], found[2].lower(), re.split(r"[\s,]+", found[3].strip())
            allowed = _VALUES[shape]
            if len(values) not in allowed if allowed else len(values) < 6 or len(values) % 2:
                raise FormatError(f"a {shape} of {len(values)} numbers", where=f"{where}, line {number}")
            try:
                if system in _PIXELS:
                    wcs = wcs or _wcs_of(wcs_src, where)
                    made = _from_pixels(shape, [_number(value) for value in values], wcs)
                else:
                    made = _from_sky(shape, values, _SKY[system])
            except ValueError as error:
                raise FormatError(f"a {shape} cannot be read: {error}", where=f"{where}, line {number}") from None
            lines.append(f"{sign if sign == '-' else ''}{shape}({','.join(made)})")
    return "\n".join(lines) + "\n"


def _text_of(regions: Any) -> str:
    if not isinstance(regions, str | Path):
        raise MissionTypeError(f"regions are a DS9 file or its text, not {type(regions).__name__}")
    if isinstance(regions, str) and ("\n" in regions or "(" in regions):
        return regions
    path = Path(regions).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no region file {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise FormatError(f"the region file is larger than {_MOST_BYTES:,} bytes", where=str(path))
    return path.read_text(encoding="utf-8", errors="replace")


def _wcs_of(source: Any, where: str) -> Any:
    if source is None:
        raise MissionValueError(
            f"regions of {where} are in pixels", hint="Give their image: {'regions': ..., 'wcs_src': image}."
        )
    if hasattr(source, "pixel_to_world"):
        return source
    from astropy.io import fits
    from astropy.wcs import WCS

    path = Path(source)
    if not path.is_file():
        raise NotFound(f"there is no image {path}")
    try:
        with fits.open(path) as hdus:
            for hdu in hdus:
                if hdu.header.get("NAXIS", 0) >= 2:
                    wcs = WCS(hdu.header).celestial
                    if wcs.has_celestial:
                        return wcs
    except (OSError, ValueError) as error:
        raise FormatError(f"the image cannot be read: {str(error)[:100]}", where=str(path)) from None
    raise FormatError("the file has no image with celestial coordinates", where=str(path))


def _number(text: str) -> float:
    """A value in degrees, or pixels."""
    body, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "")
    value = float(body) * _UNITS[unit]
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


def _longitude_or_latitude(text: str, *, is_hours: bool) -> float:
    found = _SEXAGESIMAL.fullmatch(text)
    if found is None:
        return _number(text)
    value = int(found[2]) + int(found[3]) / 60.0 + float(found[4]) / 3600.0
    return (-value if found[1] == "-" else value) * (15.0 if is_hours else 1.0)


def _from_sky(shape: str, values: list[str], frame: str) -> list[str]:
    from skyvault.sky.frames import transform_coordinates

    count = len(values) if shape == "polygon" else 2
    lon = [_longitude_or_latitude(text, is_hours=frame != "GALACTIC") for text in values[:count:2]]
    lat = [_longitude_or_latitude(text, is_hours=False) for text in values[1:count:2]]
    if any(abs(one) > 90.0 for one in lat):
        raise ValueError("a declination beyond the pole")
    ra, dec = transform_coordinates(np.asarray(lon), np.asarray(lat), frame, "ICRS")
    rest = [_number(text) for text in values[count:]]
    if shape in ("ellipse", "box") and len(values) == 5 and frame == "GALACTIC":
        # the angle turns with the pole: a step to the galactic north shows by how much
        north = transform_coordinates(np.asarray(lon), np.asarray(lat) + 1e-4, frame, "ICRS")
        east = (float(north[0][0]) - float(ra[0])) * math.cos(math.radians(float(dec[0])))
        rest[-1] += math.degrees(math.atan2(east, float(north[1][0]) - float(dec[0])))
    return _written(ra, dec, rest)


def _from_pixels(shape: str, values: list[float], wcs: Any) -> list[str]:
    count = len(values) if shape == "polygon" else 2
    x, y = np.asarray(values[:count:2]) - 1.0, np.asarray(values[1:count:2]) - 1.0
    place = wcs.pixel_to_world(x, y).icrs
    rest = values[count:]
    if not rest:
        return _written(place.ra.deg, place.dec.deg, [])
    beside = wcs.pixel_to_world(x[0] + np.array([1.0, 0.0]), y[0] + np.array([0.0, 1.0])).icrs
    step = place[0].separation(beside).deg
    turn = place[0].position_angle(beside).deg
    scale = float(np.sqrt(step[0] * step[1]))
    # seen from the inside of the sphere, position angles grow from the image's x towards its y
    handed = 1.0 if 0.0 < (turn[1] - turn[0]) % 360.0 < 180.0 else -1.0
    has_angle = shape in ("ellipse", "box") and len(values) == 5
    sizes = [size * scale for size in (rest[:-1] if has_angle else rest)]
    return _written(
        place.ra.deg, place.dec.deg, [*sizes, *([turn[0] - 270.0 + handed * rest[-1]] if has_angle else [])]
    )


def _written(ra: Any, dec: Any, rest: list[float]) -> list[str]:
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise ValueError("it lies off the sky")
    places = [f"{value:.7f}" for pair in zip(np.mod(ra, 360.0), dec, strict=True) for value in pair]
    return [*places, *(f"{value:.7g}" for value in rest)]
