"""The pixels of the Rubin-like survey: small FITS files of several extensions with a true WCS, made when asked for."""

from __future__ import annotations

import functools
import io
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.sandbox.rubin_sky import BANDS, Image, stars

SIDE: Final = 400
#: noise of the sky (nJy); the display limits of the tutorial's first image are about those of this noise
_NOISE: Final = {1: 95.0, 2: 65.0, 3: 20.0}
_PSF_PIXELS: Final = 0.9
_STAMP: Final = 5
#: planes of the masks: name and number of the bit
MASK_PLANES: Final = {
    "BAD": 0,
    "SAT": 1,
    "INTRP": 2,
    "CR": 3,
    "EDGE": 4,
    "DETECTED": 5,
    "DETECTED_NEGATIVE": 6,
    "SUSPECT": 7,
    "NO_DATA": 8,
}
_EDGE_PIXELS: Final = 5
#: nJy a pixel holds
_FULL: Final = 40_000.0
#: tables a science pipeline keeps beside the pixels
_TABLES: Final = (
    *("ARCHIVE_INDEX", "FilterLabel", "Detector", "TransformMap", "ExposureSummaryStats", "Detector", "SkyWcs"),
    *("PsfexPsf", "PsfexPsf", "PhotoCalib", "ChebyshevBoundedField", "ApCorrMap", "ChebyshevBoundedField"),
)


def wcs_header(image: Image) -> Any:
    """The header with the image's WCS: TAN-SIP for single exposures, TAN for coadds."""
    from astropy.io import fits

    turn = math.radians(image.turn_deg)
    x_deg, y_deg = (side / SIDE for side in image.sides_deg)
    is_coadd = image.visit is None
    header = fits.Header()
    kind = "" if is_coadd else "-SIP"
    for key, value in (
        ("CTYPE1", f"RA---TAN{kind}"),
        ("CTYPE2", f"DEC--TAN{kind}"),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("RADESYS", "ICRS"),
        ("CRPIX1", (SIDE + 1) / 2),
        ("CRPIX2", (SIDE + 1) / 2),
        ("CRVAL1", image.ra_deg),
        ("CRVAL2", image.dec_deg),
        # right ascension grows to the left when there is no turn
        ("CD1_1", -x_deg * math.cos(turn)),
        ("CD1_2", -y_deg * math.sin(turn)),
        ("CD2_1", -x_deg * math.sin(turn)),
        ("CD2_2", y_deg * math.cos(turn)),
    ):
        header[key] = value
    if not is_coadd:
        for key, value in (
            ("A_ORDER", 2),
            ("A_2_0", 2.0e-7),
            ("A_0_2", 1.0e-7),
            ("B_ORDER", 2),
            ("B_1_1", -1.5e-7),
            ("B_0_2", 1.0e-7),
        ):
            header[key] = value
    return header


def stars_of(image: Image) -> tuple[Any, Any, Any, Any, Any]:
    """The stars on an image's pixels: x, y (from 0), right ascension, declination (degrees), flux (nJy)."""
    from astropy.wcs import WCS

    ra, dec, flux = stars()
    wcs = WCS(wcs_header(image), fix=False)
    near = np.hypot((ra - image.ra_deg) * math.cos(math.radians(image.dec_deg)), dec - image.dec_deg) < 0.18
    ra, dec, flux = ra[near], dec[near], flux[near]
    x, y = wcs.all_world2pix(ra, dec, 0, quiet=True)
    on = (x > -0.5) & (y > -0.5) & (x < SIDE - 0.5) & (y < SIDE - 0.5)
    return x[on], y[on], ra[on], dec[on], flux[on]


def pixels(image: Image) -> Any:
    """float32, (400, 400), nJy: sky noise and stars; a difference image has what is left of them."""
    random = np.random.default_rng(zlib.crc32(image.key.encode()))
    sky = 2500.0 if image.level == 1 else 65.0 if image.level == 2 else 0.0
    data = random.normal(sky, _NOISE[image.level], (SIDE, SIDE)).astype(np.float32)
    x, y, _, _, flux = stars_of(image)
    part = 0.01 if "Diff" in image.subtype else 1.0
    offsets = np.arange(-_STAMP, _STAMP + 1)
    # all stars' stamps at once: (stars, 11, 11)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    across = np.exp(-0.5 * ((offsets + (column - x)[:, None]) / _PSF_PIXELS) ** 2)
    along = np.exp(-0.5 * ((offsets + (row - y)[:, None]) / _PSF_PIXELS) ** 2)
    stamps = (part * flux / (2 * math.pi * _PSF_PIXELS**2))[:, None, None] * along[:, :, None] * across[:, None, :]
    columns = np.broadcast_to((column[:, None] + offsets)[:, None, :], stamps.shape)
    rows = np.broadcast_to((row[:, None] + offsets)[:, :, None], stamps.shape)
    on = (columns >= 0) & (columns < SIDE) & (rows >= 0) & (rows < SIDE)
    np.add.at(data, (rows[on], columns[on]), stamps[on])
    return data


def _mask(data: Any) -> Any:
    """int32, (400, 400): detected stars, saturated pixels, which are then interpolated, and the edge."""
    bits = {name: np.int32(1 << bit) for name, bit in MASK_PLANES.items()}
    mask = np.where(data > 2000.0, bits["DETECTED"], np.int32(0)).astype(np.int32)
    mask[data > _FULL] |= bits["SAT"] | bits["INTRP"]
    mask[:_EDGE_PIXELS] |= bits["EDGE"]
    mask[-_EDGE_PIXELS:] |= bits["EDGE"]
    mask[:, :_EDGE_PIXELS] |= bits["EDGE"]
    mask[:, -_EDGE_PIXELS:] |= bits["EDGE"]
    return mask


def file_bytes(image: Image) -> bytes:
    """The file: headers of the exposure, pixels, mask, variance, and the tables of a science pipeline."""
    from astropy.io import fits

    first = fits.PrimaryHDU()
    first.header["EXTNAME"] = "IMAGE"
    first.header["TELESCOP"] = "LSST"
    first.header["INSTRUME"] = "LSSTCam-imSim"
    first.header["FILTER"] = f"{image.band}_sim_1.4"
    if image.visit is not None and image.mjd is not None and image.detector is not None:
        first.header["MJD-OBS"] = image.mjd
        first.header["EXPTIME"] = 30.0
        first.header["VISIT"] = image.visit
        first.header["DETECTOR"] = image.detector
    wcs = wcs_header(image)
    data = pixels(image)
    planes = [("IMAGE", data)]
    if image.level > 1:
        mask = _mask(data)
        variance = (_NOISE[image.level] ** 2 + np.clip(data, 0.0, None) / 2).astype(np.float32)
        planes += [("MASK", mask), ("VARIANCE", variance)]
    hdus = [first, *(fits.ImageHDU(plane, header=wcs, name=name) for name, plane in planes)]
    if image.level > 1:
        for name, bit in MASK_PLANES.items():
            # long names are cards of HIERARCH, as the pipeline writes them
            key = f"MP_{name}"
            hdus[2].header[key if len(key) <= 8 else f"HIERARCH {key}"] = bit
    if image.level > 1:
        for name in _TABLES:
            hdus.append(fits.BinTableHDU.from_columns([fits.Column("id", "J", array=np.arange(2))]))
            hdus[-1].header["EXTNAME"] = name
    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()


def file_of(image: Image, directory: Path) -> Path:
    """The image's file in a directory, made when it is not there."""
    path = directory / f"{image.uuid}.fits"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".part", delete=False) as file:
            file.write(_kept(image))
        os.replace(file.name, path)
    return path


@functools.lru_cache(maxsize=8)
def _kept(image: Image) -> bytes:
    return file_bytes(image)


def wavelengths(band: str) -> tuple[float, float]:
    """A band's limits in metres."""
    return BANDS[band][1], BANDS[band][2]
