"""Frames of the sky (ICRS, GALACTIC, FK5, FK4, ECLIPTIC), motion from epoch to epoch, sexagesimal angles.

Rotations are constant matrices; no astropy object is built per position.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from skyvault.errors import ParameterError
from skyvault.sky.vectors import Floats, coordinates, dot, normalised, unit_vectors


def _matrix(rows: list[list[float]]) -> Floats:
    matrix = np.array(rows, np.float64)
    matrix.setflags(write=False)
    return matrix


#: from ICRS into each frame of the IVOA vocabulary "refframe" whose rotation is fixed
MATRICES: Final[dict[str, Floats]] = {
    "ICRS": _matrix([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    # IAU 1958 pole and origin at J2000 (Reid & Brunthaler 2004), through FK5
    "GALACTIC": _matrix(
        [
            [-0.05487565771259168, -0.8734370519556163, -0.4838350736167155],
            [0.4941094371927275, -0.44482972122329517, 0.7469821839866676],
            [-0.8676661375596587, -0.19807633727300075, 0.4559838136873016],
        ]
    ),
    # equinox J2000; 23 mas from ICRS (USNO Circular 179, equation 3.4, at J2000)
    "FK5": _matrix(
        [
            [0.9999999999999928, -1.1102233282139344e-07, -4.4118044877913306e-08],
            [1.1102233723050045e-07, 0.9999999999999891, 9.647792236864428e-08],
            [4.41180342697633e-08, -9.64779275195813e-08, 0.9999999999999943],
        ]
    ),
    # equinox and epoch B1950, before the E-terms of aberration are put back (Seidelmann 1992, 3.59)
    "FK4": _matrix(
        [
            [0.9999256809514503, 0.011181371753884863, 0.004858960740738751],
            [-0.011181372203850917, 0.9999374861373453, -2.7073328535969073e-05],
            [-0.004858959705285428, -2.7258532094298532e-05, 0.9999881948140962],
        ]
    ),
    # mean ecliptic and equinox of J2000 (IAU 2006 obliquity, frame bias included)
    "ECLIPTIC": _matrix(
        [
            [0.9999999999999942, -7.078368958079222e-08, 8.056213983565801e-08],
            [3.2897004077419646e-08, 0.9174821299149585, 0.3977769994440478],
            [-1.0207044725484357e-07, -0.39777699944404304, 0.9174821299149556],
        ]
    ),
}
#: E-terms of aberration at B1950, which FK4 catalogue places contain (Seidelmann 1992, section 3.53)
E_TERMS: Final[Floats] = np.array([-1.6255741516894347e-06, -3.191905371563791e-07, -1.384290671929659e-07])

#: one au a Julian year, in km/s
AU_PER_YEAR_KM_S: Final = 149597870.7 / (365.25 * 86400.0)
_MAS: Final = np.pi / (180.0 * 3600.0e3)


def transform(vectors: Floats, source: str, target: str) -> Floats:
    """Unit vectors (..., 3) turned from one frame into another. Raises ParameterError for an unknown frame.

    Frame names are those of the IVOA vocabulary and case-sensitive, as for ivo_geom_transform (UDF catalogue 1.2).
    """
    for name in (source, target):
        if name not in MATRICES:
            raise ParameterError(f"{name[:40]!r} is not a frame known here", hint="Known are " + ", ".join(MATRICES))
    if source == target:
        return vectors
    if source == "FK4":
        vectors = normalised(vectors - E_TERMS + dot(vectors, E_TERMS)[..., None] * vectors)
    turned = vectors @ (MATRICES[target] @ MATRICES[source].T).T
    if target == "FK4":
        mean = turned
        # a contraction by 1e-6 a round: three rounds are beyond double precision
        for _ in range(4):
            turned = (mean + E_TERMS) / (1.0 + dot(turned, E_TERMS))[..., None]
        turned = normalised(turned)
    return np.asarray(turned, np.float64)


def transform_coordinates(lon: ArrayLike, lat: ArrayLike, source: str, target: str) -> tuple[Floats, Floats]:
    """Positions in degrees turned from one frame into another; see :func:`transform`."""
    if source == target == "ICRS":
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    return coordinates(transform(unit_vectors(lon, lat), source, target))


def propagate(
    lon: ArrayLike,
    lat: ArrayLike,
    parallax: ArrayLike,
    pm_lon: ArrayLike,
    pm_lat: ArrayLike,
    rv: ArrayLike,
    ref_epoch: ArrayLike,
    out_epoch: ArrayLike,
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """Move stars from one epoch to another: uniform straight motion in space (Butkevich & Lindegren 2014).

    Degrees, milliarcseconds, mas/yr (``pm_lon`` with cos(lat)), km/s, Julian years; returns the same six quantities at
    ``out_epoch``. NaN in parallax means infinitely far, NaN in a motion means none (UDF catalogue 1.2, ivo_epoch_prop
    _pos); NaN elsewhere gives NaN. A negative parallax, which no star has, counts as infinitely far. Light-time
    effects are left out, as Gaia and Hipparcos do.
    """
    a, d = np.radians(np.asarray(lon, np.float64)), np.radians(np.asarray(lat, np.float64))
    plx = np.maximum(np.nan_to_num(np.asarray(parallax, np.float64)), 0.0)
    mu_a, mu_d = (np.nan_to_num(np.asarray(value, np.float64)) * _MAS for value in (pm_lon, pm_lat))
    velocity = np.nan_to_num(np.asarray(rv, np.float64))
    years = np.asarray(out_epoch, np.float64) - np.asarray(ref_epoch, np.float64)
    a, d, plx, mu_a, mu_d, velocity, years = np.broadcast_arrays(a, d, plx, mu_a, mu_d, velocity, years)
    mu_r = velocity * plx * _MAS / AU_PER_YEAR_KM_S

    sin_a, cos_a, sin_d, cos_d = np.sin(a), np.cos(a), np.sin(d), np.cos(d)
    east = np.stack([-sin_a, cos_a, np.zeros_like(a)], axis=-1)
    north = np.stack([-sin_d * cos_a, -sin_d * sin_a, cos_d], axis=-1)
    radial = np.stack([cos_d * cos_a, cos_d * sin_a, sin_d], axis=-1)
    motion = east * mu_a[..., None] + north * mu_d[..., None]

    moved = radial * (1.0 + mu_r * years)[..., None] + motion * years[..., None]
    scale = 1.0 / np.sqrt(dot(moved, moved))
    place = moved * scale[..., None]
    total = mu_a**2 + mu_d**2
    proper = (motion * (1.0 + mu_r * years)[..., None] - radial * (total * years)[..., None]) * (scale**3)[..., None]
    radial_rate = (mu_r + (total + mu_r**2) * years) * scale**2

    lon_out, lat_out = coordinates(place)
    a_out, d_out = np.radians(lon_out), np.radians(lat_out)
    sin_a, cos_a, sin_d, cos_d = np.sin(a_out), np.cos(a_out), np.sin(d_out), np.cos(d_out)
    pm_a = -sin_a * proper[..., 0] + cos_a * proper[..., 1]
    pm_d = -sin_d * cos_a * proper[..., 0] - sin_d * sin_a * proper[..., 1] + cos_d * proper[..., 2]
    plx_out = plx * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        # without a distance the radial velocity cannot change the place, and stays what it was
        rv_out = np.where(plx > 0.0, radial_rate * AU_PER_YEAR_KM_S / (plx_out * _MAS), velocity)
    return lon_out, lat_out, plx_out, pm_a / _MAS, pm_d / _MAS, np.asarray(rv_out, np.float64)


_SEXAGESIMAL: Final = tuple(
    re.compile(r"\s*(?P<sign>[+-]?)\s*" + body + r"\s*", re.ASCII | re.IGNORECASE)
    for body in (
        # h:m:s and "h m s"; minutes and seconds may be missing
        r"(?P<a>[0-9]{1,3})(?:\s*:\s*|\s+)(?P<b>[0-9]{1,2})(?:(?:\s*:\s*|\s+)(?P<c>[0-9]{1,2}(?:\.[0-9]*)?))?",
        r"(?P<a>[0-9]{1,3})(?P<unit>[hd°])\s*(?:(?P<b>[0-9]{1,2})[m'\u2032]\s*)?"
        r"(?:(?P<c>[0-9]{1,2}(?:\.[0-9]*)?)(?:s|\"|\u2033|''))?",
        r"(?P<a>[0-9]{2})(?P<b>[0-9]{2})(?P<c>[0-9]{2}(?:\.[0-9]*)?)",
    )
)


def parse_hms(text: str) -> float | None:
    """Degrees of an angle in hours, minutes and seconds of time; None when it is none.

    Forms h:m:s, "h m s", hhmmss.s, hHmMsS in any case (UDF catalogue 1.2, ivo_hms_to_degrees). Hours go from 0 to 24.
    """
    parts = _sexagesimal(text, "h")
    if parts is None or parts[0] < 0 or parts[1] > 24.0:
        return None
    return parts[1] * 15.0


def parse_dms(text: str) -> float | None:
    """Degrees of a signed angle in degrees, minutes and seconds of arc; None when it is none. "-00:15:00" is -0.25."""
    parts = _sexagesimal(text, "d°")
    return None if parts is None or parts[1] > 360.0 else parts[0] * parts[1]


def _sexagesimal(text: str, units: str) -> tuple[float, float] | None:
    if len(text) > 64:
        return None
    for pattern in _SEXAGESIMAL:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        groups = match.groupdict()
        if (groups.get("unit") or units[0]).lower() not in units:
            return None
        minutes, seconds = float(groups["b"] or 0), float(groups["c"] or 0)
        if minutes >= 60.0 or seconds >= 60.0:
            return None
        return (-1.0 if groups["sign"] == "-" else 1.0), float(groups["a"]) + minutes / 60.0 + seconds / 3600.0
    return None
