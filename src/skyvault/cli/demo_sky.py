"""The demo's simulated survey: a small camera that pictured the real bright stars on a few hundred pointings.

Stars come from the embedded sample (Tycho-2); exposures, noise and files are made here, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDE_PIXELS: Final = 96
SIDE_DEG: Final = 4.0
PIXEL_DEG: Final = SIDE_DEG / SIDE_PIXELS
#: standard deviation of a star's image
SEEING_PIXELS: Final = 0.8
#: counts of a star of magnitude 0 in one second
ZERO_POINT_COUNTS: Final = 4.0e4
SKY_COUNTS: Final = 60.0
FIRST_NIGHT_MJD: Final = 60200.0
SEED: Final = 2000
#: filter -> (shortest, longest wavelength in metres)
BANDS: Final = {"B": (3.9e-7, 4.9e-7), "V": (5.0e-7, 6.0e-7)}


@dataclass(frozen=True, slots=True)
class Exposure:
    """One picture: where, when, how. Position in ICRS degrees, time in MJD UTC, angle from north through east."""

    id: str
    field: str
    lon_deg: float
    lat_deg: float
    angle_deg: float
    mjd: float
    exposure_s: float
    band: str


def exposures() -> list[Exposure]:
    """The survey: a ring along the Milky Way in two bands, the north polar cap, and Orion night after night."""
    random = np.random.default_rng(SEED)
    places: list[tuple[str, float, float, str]] = []
    for longitude, ra, dec in _along_the_milky_way(range(0, 360, 5)):
        places += [(f"Milky Way l={longitude:03d}", ra, dec, band) for band in BANDS]
    for ring, (dec, count) in enumerate(((90.0, 1), (86.0, 6), (82.0, 12), (78.0, 18))):
        places += [(f"North Pole {ring}.{i:02d}", 360.0 * i / count, dec, "V") for i in range(count)]
    for _ in range(80):
        ra = 84.5 + float(random.uniform(-6, 6))
        places.append(("Orion", ra, float(random.uniform(-9, 9)), str(random.choice(list(BANDS)))))
    return [
        Exposure(
            id=f"demo-{number:04d}",
            field=field,
            lon_deg=round(ra, 5),
            lat_deg=round(dec, 5),
            angle_deg=float(random.integers(0, 90)),
            mjd=round(FIRST_NIGHT_MJD + number // 8 + 0.8 + (number % 8) * 0.01, 5),
            exposure_s=float(random.choice([30, 60, 120])),
            band=band,
        )
        for number, (field, ra, dec, band) in enumerate(places)
    ]


def _along_the_milky_way(longitudes_deg: Iterable[int]) -> list[tuple[int, float, float]]:
    """(galactic longitude, right ascension, declination) of places at galactic latitude 0."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    longitudes = list(longitudes_deg)
    icrs = SkyCoord(l=longitudes * u.deg, b=np.zeros(len(longitudes)) * u.deg, frame="galactic").icrs
    return list(zip(longitudes, icrs.ra.deg.tolist(), icrs.dec.deg.tolist(), strict=True))


def wcs_cards(exposure: Exposure) -> dict[str, str | float]:
    """The picture's tangential projection, as FITS keywords (Calabretta & Greisen 2002, A&A 395, 1077)."""
    sine, cosine = np.sin(np.radians(exposure.angle_deg)), np.cos(np.radians(exposure.angle_deg))
    return {
        "RADESYS": "ICRS",
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": (SIDE_PIXELS + 1) / 2,
        "CRPIX2": (SIDE_PIXELS + 1) / 2,
        "CRVAL1": exposure.lon_deg,
        "CRVAL2": exposure.lat_deg,
        # said, because its default is another just at the pole (Calabretta & Greisen 2002, section 2.2)
        "LONPOLE": 180.0,
        "CD1_1": -PIXEL_DEG * cosine,
        "CD1_2": PIXEL_DEG * sine,
        "CD2_1": PIXEL_DEG * sine,
        "CD2_2": PIXEL_DEG * cosine,
    }


def to_pixels(exposure: Exposure, lon_deg: Floats, lat_deg: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Pixel places (counted from 0) of positions, and which of them lie on the picture."""
    lon, lat = np.radians(lon_deg - exposure.lon_deg), np.radians(lat_deg)
    lat0 = np.radians(exposure.lat_deg)
    depth = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon)
    before = depth > 0.1
    depth = np.where(before, depth, 1.0)
    east = np.degrees(np.cos(lat) * np.sin(lon) / depth)
    north = np.degrees((np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon)) / depth)
    sine, cosine = np.sin(np.radians(exposure.angle_deg)), np.cos(np.radians(exposure.angle_deg))
    middle = (SIDE_PIXELS - 1) / 2
    x = (-east * cosine + north * sine) / PIXEL_DEG + middle
    y = (east * sine + north * cosine) / PIXEL_DEG + middle
    inside = before & (np.abs(x - middle) < SIDE_PIXELS / 2) & (np.abs(y - middle) < SIDE_PIXELS / 2)
    return x, y, inside


def corners(exposure: Exposure) -> list[tuple[float, float]]:
    """The picture's four corners, counterclockwise on the sky, ICRS degrees."""
    half = np.radians(SIDE_DEG / 2)  # a length on the tangential plane, not an angle
    sine, cosine = np.sin(np.radians(exposure.angle_deg)), np.cos(np.radians(exposure.angle_deg))
    lon0, lat0 = np.radians(exposure.lon_deg), np.radians(exposure.lat_deg)
    result = []
    for x, y in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
        # the inverse of to_pixels: CD is a rotation times a scale
        east = half * (-x * cosine + y * sine)
        north = half * (x * sine + y * cosine)
        lon = lon0 + np.arctan2(east, np.cos(lat0) - north * np.sin(lat0))
        lat = np.arcsin((np.sin(lat0) + north * np.cos(lat0)) / np.sqrt(1 + east**2 + north**2))
        result.append((float(np.degrees(lon)) % 360.0, float(np.degrees(lat))))
    return result


def picture(exposure: Exposure, lon_deg: Floats, lat_deg: Floats, mag: Floats) -> NDArray[np.int32]:
    """Counts a pixel, shape (SIDE_PIXELS, SIDE_PIXELS): stars blurred by the seeing on a noisy sky."""
    random = np.random.default_rng([SEED, int(exposure.id.removeprefix("demo-"))])
    counts = np.full((SIDE_PIXELS, SIDE_PIXELS), SKY_COUNTS)
    x, y, inside = to_pixels(exposure, lon_deg, lat_deg)
    flux = ZERO_POINT_COUNTS * exposure.exposure_s * 10 ** (-0.4 * mag[inside])
    grid = np.arange(SIDE_PIXELS)
    # a round Gaussian is a product of two, so that the picture is a product of two small matrices
    across = np.exp(-0.5 * ((grid - x[inside, None]) / SEEING_PIXELS) ** 2)
    along = np.exp(-0.5 * ((grid - y[inside, None]) / SEEING_PIXELS) ** 2)
    counts += (along * (flux / (2 * np.pi * SEEING_PIXELS**2))[:, None]).T @ across
    return np.asarray(random.poisson(np.minimum(counts, 60_000)), dtype=np.int32)


def _directions(lon_deg: Floats, lat_deg: Floats) -> Floats:
    """Unit vectors, shape (n, 3)."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def write_pictures(directory: Path, stars: pa.Table, survey: list[Exposure]) -> list[Path]:
    """One FITS file an exposure, with true WCS; paths in the order of ``survey``."""
    from astropy.io import fits

    directory.mkdir(parents=True, exist_ok=True)
    lon, lat, mag = (stars[name].to_numpy().astype(np.float64) for name in ("ra", "dec", "mag_vt"))
    directions = _directions(lon, lat)
    paths = []
    for exposure in survey:
        centre = _directions(np.array([exposure.lon_deg]), np.array([exposure.lat_deg]))[0]
        near = directions @ centre > np.cos(np.radians(SIDE_DEG))
        header = fits.Header()
        header["OBJECT"] = exposure.field
        header["TELESCOP"] = "SIMULATED"
        header["INSTRUME"] = "DemoCam"
        header["FILTER"] = exposure.band
        header["EXPTIME"] = (exposure.exposure_s, "[s]")
        header["MJD-OBS"] = (exposure.mjd, "[d] UTC")
        header["DATE-OBS"] = (datetime(1858, 11, 17) + timedelta(days=exposure.mjd)).isoformat(timespec="milliseconds")
        header["BUNIT"] = "count"
        header.update(wcs_cards(exposure))
        path = directory / f"{exposure.id}.fits"
        fits.PrimaryHDU(picture(exposure, lon[near], lat[near], mag[near]), header).writeto(path, overwrite=True)
        paths.append(path)
    return paths


def observations(survey: list[Exposure], paths: list[Path]) -> pa.Table:
    """The pictures as ObsCore rows (ObsCore 1.1, section 4), in the order of ``survey``."""
    bands = [BANDS[exposure.band] for exposure in survey]
    starts = [exposure.mjd for exposure in survey]
    seconds = [exposure.exposure_s for exposure in survey]
    rows = len(survey)

    def text(value: str) -> pa.Array:
        return pa.array([value] * rows)

    def integers(value: int | None) -> pa.Array:
        return pa.array([value] * rows, type=pa.int64())

    return pa.table(
        {
            "dataproduct_type": text("image"),
            "calib_level": pa.array([2] * rows, type=pa.int32()),
            "obs_collection": text("DemoCam"),
            "obs_id": [exposure.id for exposure in survey],
            "obs_publisher_did": [f"ivo://skyvault.invalid/democam?{exposure.id}" for exposure in survey],
            "access_url": [path.absolute().as_uri() for path in paths],
            "access_format": text("image/fits"),
            # kbyte, ObsCore 1.1 table 1
            "access_estsize": pa.array([-(-path.stat().st_size // 1000) for path in paths], type=pa.int64()),
            "target_name": [exposure.field for exposure in survey],
            "s_ra": [exposure.lon_deg for exposure in survey],
            "s_dec": [exposure.lat_deg for exposure in survey],
            "s_fov": pa.array([SIDE_DEG * 2**0.5] * rows, type=pa.float64()),
            "s_region": [
                "POLYGON ICRS " + " ".join(f"{lon:.6f} {lat:.6f}" for lon, lat in corners(exposure))
                for exposure in survey
            ],
            "s_resolution": pa.array([2.355 * SEEING_PIXELS * PIXEL_DEG * 3600] * rows, type=pa.float64()),
            "s_xel1": integers(SIDE_PIXELS),
            "s_xel2": integers(SIDE_PIXELS),
            "t_min": starts,
            "t_max": [start + length / 86400 for start, length in zip(starts, seconds, strict=True)],
            "t_exptime": seconds,
            "t_resolution": seconds,
            "t_xel": integers(1),
            "em_min": [shortest for shortest, _ in bands],
            "em_max": [longest for _, longest in bands],
            "em_res_power": pa.array([None] * rows, type=pa.float64()),
            "em_xel": integers(1),
            "o_ucd": text("phot.count"),
            "pol_states": pa.array([None] * rows, type=pa.string()),
            "pol_xel": integers(None),
            "facility_name": text("SIMULATED"),
            "instrument_name": text("DemoCam"),
        }
    )
