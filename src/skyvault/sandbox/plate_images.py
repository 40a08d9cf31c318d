"""Pictures of the sandbox's plates: cutouts around a place and whole plates, as FITS files with true astrometry."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.sandbox.plates import Plates, plates, project
from skyvault.sandbox.star_fields import bright_stars, fields_near

Ints16 = np.ndarray[Any, np.dtype[np.int16]]

#: DASCH's cutouts: pixels a side, degrees a pixel
CUTOUT_PX: Final = 835
CUTOUT_DEG: Final = 0.0004
_SKY_LEVEL: Final = 5000.0


def cutout(row: int, ra_deg: float, dec_deg: float) -> str:
    """The 20 arcmin around a place on an exposure: base64 of a gzipped FITS file; north up, east left."""
    from astropy.io import fits

    all_plates = plates()
    offset = (np.arange(CUTOUT_PX) - (CUTOUT_PX - 1) / 2.0) * CUTOUT_DEG * 3600.0
    image = _noise((row, int(ra_deg * 1e4), int((dec_deg + 90) * 1e4)), (CUTOUT_PX, CUTOUT_PX))
    for ra, dec, mag in _stars(ra_deg, dec_deg, 0.3):
        east, north, _ = project(ra, dec, ra_deg, dec_deg)
        _add_star(image, -east / (CUTOUT_DEG * 3600.0), north / (CUTOUT_DEG * 3600.0), mag, all_plates, row, 1.44)
    # what lies beyond the plate's edge is 0
    east0, north0, _ = project(ra_deg, dec_deg, all_plates.ra_deg[row], all_plates.dec_deg[row])
    x = all_plates.width[row] / 2.0 - (east0 - offset) / all_plates.arcsec_px[row]
    y = all_plates.height[row] / 2.0 + (north0 + offset) / all_plates.arcsec_px[row]
    image[:, (x < 0) | (x > all_plates.width[row])] = 0
    image[(y < 0) | (y > all_plates.height[row]), :] = 0
    header = fits.Header()
    header["BLANK"] = 0
    for key, value in _tan(ra_deg, dec_deg, (CUTOUT_PX + 1) / 2.0, (CUTOUT_PX + 1) / 2.0, CUTOUT_DEG).items():
        header[key] = value
    out = io.BytesIO()
    fits.PrimaryHDU(np.clip(image, 0, 32767).astype(np.int16), header).writeto(out)
    return base64.b64encode(gzip.compress(out.getvalue(), compresslevel=1, mtime=0)).decode("ascii")


def mosaic_file(directory: Path, plate_id: str, binning: int) -> Path:
    """A plate's image as it is stored (turned by its rotation), tile-compressed without loss; made once."""
    path = directory / f"{plate_id}_{binning:02d}.fits.fz"
    if path.is_file():
        return path
    from astropy.io import fits

    all_plates = plates()
    row = all_plates.rows_of(plate_id)[0]
    width, height = int(all_plates.width[row]) // binning, int(all_plates.height[row]) // binning
    image = _noise((row, binning), (height, width))
    scale = float(all_plates.arcsec_px[row]) * binning
    ra0, dec0 = float(all_plates.ra_deg[row]), float(all_plates.dec_deg[row])
    # to the corners
    radius = float(np.hypot(width, height)) * scale / 7200.0
    for ra, dec, mag in _stars(ra0, dec0, min(radius, 60.0)):
        east, north, front = project(ra, dec, ra0, dec0)
        if front:
            _add_star(image, -east / scale, north / scale, mag, all_plates, row, scale)
    stored = np.rot90(np.clip(image, 0, 32767).astype(np.int16), int(all_plates.rotation[row]) // 90)
    header = fits.Header()
    header["PLATE"] = plate_id
    header["SCANNUM"] = 0
    header["MOSNUM"] = int(all_plates.mosnum[row])
    header["OPERATOR"] = "Sandbox"
    header["DATE-SCN"] = "2014-03-02T10-11-12"
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f".{path.name}.part"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(np.ascontiguousarray(stored), header, compression_type="RICE_1")]
    ).writeto(beside, overwrite=True)
    beside.replace(path)
    return path


def astrometry_header(plate_id: str) -> str:
    """base64 of the gzipped header cards of a plate's solutions at full size: cards joined by newlines.

    One solution has plain keywords; of several the first is A, the second B, and the last stands once more untagged.
    """
    all_plates = plates()
    solved = [row for row in all_plates.rows_of(plate_id) if all_plates.is_solved[row]]
    if not solved:
        return ""
    cards: list[str] = []
    tags = [(row, "" if len(solved) == 1 else "ABCDEFG"[number]) for number, row in enumerate(solved)]
    if len(solved) > 1:
        tags.append((solved[-1], ""))
    for row, tag in tags:
        width, height = int(all_plates.width[row]), int(all_plates.height[row])
        # axes of the image as solved: width and height are those of the unturned plate
        words = _tan(
            float(all_plates.ra_deg[row]), float(all_plates.dec_deg[row]), width / 2.0 + 0.5, height / 2.0 + 0.5,
            float(all_plates.arcsec_px[row]) / 3600.0,
        )  # fmt: skip
        for key, value in (words | {"PV1_1": 1.0, "PV2_1": 1.0}).items():
            shown = f"'{value:8s}'" if isinstance(value, str) else f"{value!r:>20}"
            cards.append(f"{key + tag:8s}= {shown}".ljust(80)[:80])
    return base64.b64encode(gzip.compress("\n".join(cards).encode("ascii"), mtime=0)).decode("ascii")


def md5_base64(path: Path) -> str:
    """The MD5 of a file as the archive writes it."""
    return base64.b64encode(hashlib.md5(path.read_bytes(), usedforsecurity=False).digest()).decode("ascii")


def _tan(ra: float, dec: float, crpix1: float, crpix2: float, scale_deg: float) -> dict[str, str | float]:
    """DASCH calls its axes TAN, though its headers hold terms of TPV."""
    return {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": crpix1, "CRPIX2": crpix2,
        "CD1_1": -scale_deg, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale_deg, "CUNIT1": "deg", "CUNIT2": "deg",
    }  # fmt: skip


def _stars(ra_deg: float, dec_deg: float, radius_deg: float) -> list[tuple[float, float, float]]:
    found = list(zip(*(column.tolist() for column in bright_stars(ra_deg, dec_deg, radius_deg)), strict=True))
    for field in fields_near(ra_deg, dec_deg, radius_deg):
        found += list(zip(field.ra_deg.tolist(), field.dec_deg.tolist(), field.mag.tolist(), strict=True))
    return found


def _noise(seed: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng([*map(abs, seed), 7])
    noise: np.ndarray[Any, np.dtype[np.float32]] = rng.standard_normal(shape, dtype=np.float32)
    noise *= 20.0
    noise += np.float32(_SKY_LEVEL)
    np.rint(noise, out=noise)
    return noise


def _add_star(
    image: np.ndarray[Any, np.dtype[np.float32]], dx: float, dy: float, mag: float, all_plates: Plates, row: int,
    arcsec_px: float,
) -> None:  # fmt: skip
    """A round image, wider on plates of a coarse scale, as bright as the plate's limit lets it be."""
    height, width = image.shape
    x, y = (width - 1) / 2.0 + float(dx), (height - 1) / 2.0 + float(dy)
    sigma = max(0.9, 1.8 * float(all_plates.arcsec_px[row]) / arcsec_px)
    peak = min(22000.0, 60.0 * 10.0 ** (0.4 * (float(all_plates.lim_mag[row]) - mag)))
    reach = int(4 * sigma) + 2
    left, right, low, high = int(x) - reach, int(x) + reach + 1, int(y) - reach, int(y) + reach + 1
    left, low, right, high = max(left, 0), max(low, 0), min(right, width), min(high, height)
    if left >= right or low >= high or peak < 1.0:
        return
    gx = np.exp(-0.5 * ((np.arange(left, right) - x) / sigma) ** 2)
    gy = np.exp(-0.5 * ((np.arange(low, high) - y) / sigma) ** 2)
    image[low:high, left:right] += np.float32(peak) * np.outer(gy, gx).astype(np.float32)
