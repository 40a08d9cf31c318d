"""Pictures of the sandbox's plates: cutouts around a place and whole plates, as FITS files with true astrometry."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.sandbox.emulsion import LIMIT_PEAK, Image, add_dust, add_reseau, add_star, add_stars, developed, spoil
from skyvault.sandbox.plates import PIXEL_MM, Defect, measure, plates, project, truth_on
from skyvault.sandbox.star_fields import StarField, bright_stars, fields_near

#: DASCH's cutouts: pixels a side, degrees a pixel
CUTOUT_PX: Final = 835
CUTOUT_DEG: Final = 0.0004
#: series with lines of a reseau
_WITH_RESEAU: Final = ("a",)
#: specks of dust on a whole plate
_DUST: Final = 400


@dataclass(frozen=True)
class _Frame:
    """How an image lies on a plate: its middle (degrees), its pixel's size, and where its pixels are on the plate."""

    row: int
    ra_deg: float
    dec_deg: float
    arcsec_px: float
    x_px: Any
    y_px: Any

    @property
    def sigma(self) -> float:
        """Of a star's image, in this image's pixels: 1.8 of the scanner's."""
        return max(0.9, 1.8 * float(plates().arcsec_px[self.row]) / self.arcsec_px)

    def place(self, ra: Any, dec: Any) -> tuple[Any, Any, Any]:
        """Pixels from 0, and whether a place is in front."""
        east, north, front = project(ra, dec, self.ra_deg, self.dec_deg)
        return (
            (len(self.x_px) - 1) / 2.0 - east / self.arcsec_px,
            (len(self.y_px) - 1) / 2.0 + north / self.arcsec_px,
            front,
        )


def cutout(row: int, ra_deg: float, dec_deg: float) -> str:
    """The 20 arcmin around a place on an exposure: base64 of a gzipped FITS file; north up, east left."""
    from astropy.io import fits

    all_plates = plates()
    offset = (np.arange(CUTOUT_PX) - (CUTOUT_PX - 1) / 2.0) * CUTOUT_DEG * 3600.0
    east0, north0, _ = project(ra_deg, dec_deg, all_plates.ra_deg[row], all_plates.dec_deg[row])
    x = all_plates.width[row] / 2.0 - (east0 - offset) / all_plates.arcsec_px[row]
    y = all_plates.height[row] / 2.0 + (north0 + offset) / all_plates.arcsec_px[row]
    frame = _Frame(row, ra_deg, dec_deg, CUTOUT_DEG * 3600.0, x, y)
    image = _image(frame, 0.3, (row, int(ra_deg * 1e4), int((dec_deg + 90) * 1e4)))
    # what lies beyond the plate's edge is 0
    image[:, (x < 0) | (x > all_plates.width[row])] = 0
    image[(y < 0) | (y > all_plates.height[row]), :] = 0
    header = fits.Header()
    header["BLANK"] = 0
    for key, value in _tan(ra_deg, dec_deg, (CUTOUT_PX + 1) / 2.0, (CUTOUT_PX + 1) / 2.0, CUTOUT_DEG).items():
        header[key] = value
    out = io.BytesIO()
    fits.PrimaryHDU(np.clip(image, 0, 32767).astype(np.int16), header).writeto(out)
    return base64.b64encode(gzip.compress(out.getvalue(), compresslevel=1, mtime=0)).decode("ascii")


def _image(frame: _Frame, radius_deg: float, seed: tuple[int, ...]) -> Image:
    """Stars as bright as they truly were, what spoiled their measurements, a reseau, grain and dust."""
    all_plates, row = plates(), frame.row
    light = np.zeros((len(frame.y_px), len(frame.x_px)), np.float32)
    limit, sigma = float(all_plates.lim_mag[row]), frame.sigma
    ra, dec, mag = bright_stars(frame.ra_deg, frame.dec_deg, radius_deg)
    fields = fields_near(frame.ra_deg, frame.dec_deg, radius_deg)
    x, y, front = frame.place(
        np.concatenate([ra, *(field.ra_deg for field in fields)]),
        np.concatenate([dec, *(field.dec_deg for field in fields)]),
    )
    height, width = light.shape
    # a ghost, and the wings of the brightest, reach in from outside
    room = 40.0 / frame.arcsec_px + 8.0 * sigma
    front = front & (x > -room) & (x < width + room) & (y > -room) & (y < height + room)
    firsts = np.cumsum([len(ra), *(len(field.mag) for field in fields)])
    truths = [
        _truth(field, row, limit, front[first : first + len(field.mag)])
        for field, first in zip(fields, firsts.tolist(), strict=False)
    ]
    peaks = LIMIT_PEAK * 10.0 ** (0.4 * (limit - np.concatenate([mag, *(one.mag for one in truths)])))
    add_stars(light, x, y, np.where(front, peaks, 0.0), sigma)
    spoiled: list[tuple[float, float, Defect, float]] = []
    for first, truth in zip(firsts.tolist(), truths, strict=False):
        for star, (defect, change, east, north) in truth.defects.items():
            place = float(x[first + star]), float(y[first + star])
            if defect is Defect.GHOST:
                peak = LIMIT_PEAK * 10.0 ** (0.4 * (limit - truth.mag[star] - change))
                aside = place[0] - east / frame.arcsec_px, place[1] + north / frame.arcsec_px
                add_star(light, *aside, float(peak), 1.5 * sigma)
            else:
                spoiled.append((*place, defect, change))
    if all_plates.series[row] in _WITH_RESEAU:
        add_reseau(light, frame.x_px, frame.y_px, PIXEL_MM)
    image = developed(light, seed)
    rng = np.random.default_rng([*map(abs, seed), 8])
    for dx, dy, defect, change in spoiled:
        spoil(image, dx, dy, defect, change, sigma, rng)
    dust = np.random.default_rng([row, 9])
    on_x, on_y = dust.uniform(0.0, 1.0, (2, _DUST)) * np.array([[all_plates.width[row]], [all_plates.height[row]]])
    scale = float(frame.x_px[1] - frame.x_px[0])
    add_dust(
        image, (on_x - frame.x_px[0]) / scale, (on_y - frame.y_px[0]) / scale, dust.uniform(0.5, 4.0, _DUST) / scale
    )
    return image


@dataclass(frozen=True)
class _FieldTruth:
    """A field's stars on one exposure: magnitudes as they were, and the defects of those that were or should have been
    measured: kind, change of magnitude, arcsec east and north.
    """

    mag: np.ndarray[Any, np.dtype[np.float64]]
    defects: dict[int, tuple[Defect, float, float, float]]


def _truth(field: StarField, row: int, limit: float, is_shown: Any) -> _FieldTruth:
    if not is_shown.any():
        return _FieldTruth(field.mag, {})
    mag = truth_on(field, row)
    defects = {}
    # a defect makes a star brighter by 2 mag at most
    for star in np.flatnonzero(is_shown & (mag < limit + 2.0)).tolist():
        seen = measure(field, star)
        index = int(np.searchsorted(seen.rows, row))
        if index == len(seen.rows) or seen.rows[index] != row or not seen.defect[index]:
            continue
        if seen.is_detected[index] or mag[star] < limit:
            angle, offset = np.radians(seen.angle_deg[index]), seen.offset_arcsec[index]
            defects[star] = (
                Defect(int(seen.defect[index])), float(seen.mag[index] - seen.true_mag[index]),
                float(offset * np.cos(angle)), float(offset * np.sin(angle)),
            )  # fmt: skip
    return _FieldTruth(mag, defects)


def mosaic_file(directory: Path, plate_id: str, binning: int) -> Path:
    """A plate's image as it is stored (turned by its rotation), tile-compressed without loss; made once."""
    path = directory / f"{plate_id}_{binning:02d}.fits.fz"
    if path.is_file():
        return path
    from astropy.io import fits

    all_plates = plates()
    row = all_plates.rows_of(plate_id)[0]
    width, height = int(all_plates.width[row]) // binning, int(all_plates.height[row]) // binning
    scale = float(all_plates.arcsec_px[row]) * binning
    # to the corners
    radius = float(np.hypot(width, height)) * scale / 7200.0
    frame = _Frame(
        row, float(all_plates.ra_deg[row]), float(all_plates.dec_deg[row]), scale,
        (np.arange(width) + 0.5) * binning, (np.arange(height) + 0.5) * binning,
    )  # fmt: skip
    image = _image(frame, min(radius, 60.0), (row, binning))
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
