"""A small sky with awkward places, published for real: poles, RA 0, base-cell corners, NULL positions, regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyvault.config import Settings
from skyvault.publish.publisher import publish

AWKWARD = [
    (0.0, 0.0), (360.0, 0.0), (359.9999, 0.00005), (45.0, 0.0), (0.0, 41.8103149), (180.0, 90.0), (12.0, 90.0),
    (77.0, -90.0), (300.0, 89.99995), (120.0, 89.99995), (90.0, -41.8103149), (270.0, 0.0), (10.0, 10.0), (10.0, 10.0),
]  # fmt: skip


def positions(count: int = 8_000, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Uniform positions, some crowded around the awkward places; degrees."""
    rng = np.random.default_rng(seed)
    lon = rng.uniform(0, 360, count)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    places = np.array(AWKWARD)
    crowd = rng.integers(0, len(places), count // 4)
    lon[: count // 4] = (places[crowd, 0] + rng.normal(0, 0.5, count // 4)) % 360
    lat[: count // 4] = np.clip(places[crowd, 1] + rng.normal(0, 0.5, count // 4), -90, 90)
    lon[-len(places) :], lat[-len(places) :] = places[:, 0], places[:, 1]
    return lon, lat


def publish_stars(home: Path, folder: Path, name: str = "lab.stars", count: int = 8_000, seed: int = 5) -> None:
    """Stars with magnitudes; the first ten have no position."""
    lon, lat = positions(count, seed)
    lon, lat = lon.copy(), lat.copy()
    lon[:10], lat[5:10] = np.nan, np.nan
    rng = np.random.default_rng(seed + 1)
    table = pa.table(
        {
            "id": np.arange(count),
            "ra": lon,
            "dec": lat,
            "mag": rng.uniform(2, 15, count).astype("f4"),
            "kind": pa.array(np.array(["star", "galaxy", None], dtype=object)[rng.integers(0, 3, count)], pa.string()),
        }
    )
    path = folder / f"{name}.parquet"
    pq.write_table(table, path)
    publish(path, name=name, settings=Settings(home=home))


def publish_footprints(home: Path, folder: Path, name: str = "lab.footprints", count: int = 400, seed: int = 9) -> None:
    """Observations with regions of every spelling; they join ivoa.ObsCore."""
    rng = np.random.default_rng(seed)
    lon, lat = positions(count, seed)
    texts = []
    for i in range(count):
        size = float(rng.choice([0.01, 0.3, 2.0, 15.0]))
        if i % 3 == 0:
            texts.append(f"CIRCLE ICRS {lon[i]} {lat[i]} {size}")
        else:
            corners = square(lon[i], lat[i], size)
            words = " ".join(f"{a:.10f} {b:.10f}" for a, b in corners)
            texts.append(("POLYGON ICRS " if i % 3 == 1 else "POLYGON ") + words)
    table = pa.table(
        {
            "obs_id": [f"o{i}" for i in range(count)],
            "obs_collection": ["lab"] * count,
            "dataproduct_type": ["image"] * count,
            "s_ra": lon,
            "s_dec": lat,
            "s_region": pa.array(texts),
            "t_min": rng.uniform(50000, 60000, count),
            "em_min": np.full(count, 4e-7),
            "em_max": np.full(count, 5e-7),
        }
    )
    path = folder / f"{name}.parquet"
    pq.write_table(table, path)
    publish(path, name=name, settings=Settings(home=home), obscore=True)


def square(lon: float, lat: float, half: float) -> list[tuple[float, float]]:
    """Corners of a square of great circles around a place, by rotating one at (0, 0)."""
    h = np.radians(half)
    a, d = np.radians(lon), np.radians(lat)
    ca, sa, cd, sd = np.cos(a), np.sin(a), np.cos(d), np.sin(d)
    rotation = np.array([[ca * cd, -sa, -ca * sd], [sa * cd, ca, -sa * sd], [sd, 0, cd]])
    corners = []
    for y, z in ((-h, -h), (h, -h), (h, h), (-h, h)):
        v = rotation @ (np.array([1.0, np.tan(y), np.tan(z)]))
        v /= np.linalg.norm(v)
        corners.append((float(np.degrees(np.arctan2(v[1], v[0])) % 360), float(np.degrees(np.arcsin(v[2])))))
    return corners


def vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    a, d = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def separation(lon1, lat1, lon2, lat2):  # type: ignore[no-untyped-def]
    """Degrees, by the vector formula, independent of the code under test."""
    p, q = vectors(np.asarray(lon1), np.asarray(lat1)), vectors(np.asarray(lon2), np.asarray(lat2))
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(p, q), axis=-1), np.sum(p * q, axis=-1)))
