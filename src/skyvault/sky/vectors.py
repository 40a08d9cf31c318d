"""Directions on the sky as longitude and latitude and as unit vectors, and the angles between them.

Coordinates are degrees, vectors are float64 of shape (n, 3). Angles come from the chord between unit vectors, which
keeps full precision at every scale, where the arc cosine loses half its digits below an arcsecond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: angle (radians, 0.2 microarcseconds) within which a point counts as on an edge: rounding of unit vectors is 2e-16
TOLERANCE = 1e-12


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> Floats:
    """Unit vectors, shape (..., 3), of longitudes and latitudes in degrees."""
    a, b = np.radians(np.asarray(lon, np.float64)), np.radians(np.asarray(lat, np.float64))
    c = np.cos(b)
    return np.stack([c * np.cos(a), c * np.sin(a), np.sin(b)], axis=-1)


def coordinates(vectors: Floats) -> tuple[Floats, Floats]:
    """Longitudes in [0, 360) and latitudes of vectors of any length, shape (..., 3); degrees."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return wrap_longitude(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def wrap_longitude(lon: ArrayLike) -> Floats:
    """Longitudes reduced to [0, 360)."""
    reduced = np.asarray(np.remainder(np.asarray(lon, np.float64), 360.0), np.float64)
    # the remainder of a tiny negative number rounds to 360 itself
    return np.where(reduced == 360.0, 0.0, reduced)


def angle_between(first: Floats, second: Floats) -> Floats:
    """Radians between unit vectors, shapes (..., 3): 2 atan2(|a - b|, |a + b|), exact at all scales."""
    apart = np.sqrt(dot(first - second, first - second))
    together = np.sqrt(dot(first + second, first + second))
    return np.asarray(2.0 * np.arctan2(apart, together), np.float64)


def separation(lon1: ArrayLike, lat1: ArrayLike, lon2: ArrayLike, lat2: ArrayLike) -> Floats:
    """Degrees along the great circle between positions in degrees."""
    return np.degrees(angle_between(unit_vectors(lon1, lat1), unit_vectors(lon2, lat2)))


def dot(first: Floats, second: Floats) -> Floats:
    """Scalar products along the last axis."""
    return np.asarray(
        first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1] + first[..., 2] * second[..., 2], np.float64
    )


def cross(first: Floats, second: Floats) -> Floats:
    """Vector products along the last axis (several times faster than numpy.cross on many rows)."""
    a0, a1, a2 = first[..., 0], first[..., 1], first[..., 2]
    b0, b1, b2 = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def arc_normals(first: Floats, second: Floats) -> Floats:
    """Unit normals of the great circles from ``first`` to ``second``; the left-hand side of travel is positive.

    Zero where the two are the same or opposite points. (a - b) x (a + b) = 2 a x b, but is exact for near points.
    """
    normals = cross(first - second, first + second)
    length = np.sqrt(dot(normals, normals))
    return np.asarray(normals / np.where(length > 1e-300, length, np.inf)[..., None], np.float64)


def normalised(vectors: Floats) -> Floats:
    """Vectors scaled to length 1; zero vectors stay zero."""
    length = np.sqrt(dot(vectors, vectors))
    return np.asarray(vectors / np.where(length > 0.0, length, 1.0)[..., None], np.float64)
