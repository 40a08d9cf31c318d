"""The images a DP0.2-like survey has of the sky around RA 62, Dec -37: visits, detectors, coadds, and its stars.

At the point itself the numbers are those of the public DP0.2 tutorial on image queries: 510 calibrated exposures of
443 visits (some twice, since the padding of neighbouring detectors overlaps), as many raw and difference images, and
two patches of two kinds of coadds in six bands. The outline of a detector is larger than its pixels, as it is there.
"""

from __future__ import annotations

import functools
import math
import uuid
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

POINT_DEG: Final = (62.0, -37.0)
COLLECTION: Final = "LSST.DP02"
#: a detector's pixels, its outline with padding, and the way from one detector to the next, degrees
PIXELS_DEG: Final = (0.2262, 0.2222)
OUTLINE_DEG: Final = 0.254
PITCH_DEG: Final = 0.2337
PATCH_DEG: Final = 0.2278
_SEED: Final = 20240728
_NAMES: Final = uuid.UUID("8d3c2a4e-5f0b-5c1f-9b0e-3f1f0d0b0202")

#: band -> calibrated exposures at the point, wavelengths in metres, exposures among them that are there twice
BANDS: Final = {
    "u": (34, 324e-9, 395e-9),
    "g": (57, 400e-9, 552e-9),
    "r": (137, 552e-9, 691e-9),
    "i": (128, 691e-9, 818e-9),
    "z": (66, 818e-9, 922e-9),
    "y": (88, 922e-9, 1060e-9),
}
_TWICE: Final = 510 - 443
#: rafts of the camera's science detectors, nine detectors each
_RAFTS: Final = tuple(f"R{r}{c}" for r in range(5) for c in range(5) if (r, c) not in ((0, 0), (0, 4), (4, 0), (4, 4)))


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its row in ObsCore, and where its pixels lie (centre ICRS degrees, turn in degrees, sides)."""

    subtype: str
    level: int
    band: str
    ra_deg: float
    dec_deg: float
    turn_deg: float
    outline: tuple[tuple[float, float], ...]
    sides_deg: tuple[float, float]
    mjd: float | None = None
    visit: int | None = None
    detector: int | None = None
    tract: int | None = None
    patch: int | None = None

    @property
    def key(self) -> str:
        where = f"{self.visit}/{self.detector}" if self.visit is not None else f"{self.tract}/{self.patch}"
        return f"{self.subtype}/{self.band}/{where}"

    @property
    def uuid(self) -> str:
        """Its identifier in the data repository."""
        return str(uuid.uuid5(_NAMES, self.key))

    @property
    def obs_id(self) -> str:
        if self.visit is not None and self.detector is not None:
            return f"{self.visit}-{detector_name(self.detector)}"
        return f"{self.tract}-{self.patch}-{self.band}"

    @property
    def region(self) -> str:
        return "POLYGON ICRS " + " ".join(f"{ra:.6f} {dec:.6f}" for ra, dec in self.outline)


def detector_name(detector: int) -> str:
    """ "R20_S20" of detector 78."""
    return f"{_RAFTS[detector // 9]}_S{detector % 9 // 3}{detector % 3}"


def _place_on_sky(ra_deg: float, dec_deg: float, x_deg: float, y_deg: float, turn_deg: float) -> tuple[float, float]:
    """The position at (x, y) of a plane that touches the sky at a centre; x to the east when there is no turn."""
    turn = math.radians(turn_deg)
    xi = math.radians(x_deg * math.cos(turn) - y_deg * math.sin(turn))
    eta = math.radians(x_deg * math.sin(turn) + y_deg * math.cos(turn))
    dec0 = math.radians(dec_deg)
    down = math.cos(dec0) - eta * math.sin(dec0)
    ra = ra_deg + math.degrees(math.atan2(xi, down))
    dec = math.degrees(math.atan2(math.sin(dec0) + eta * math.cos(dec0), math.hypot(xi, down)))
    return ra, dec


def _corners(
    ra_deg: float, dec_deg: float, turn_deg: float, width: float, height: float
) -> tuple[tuple[float, float], ...]:
    half = ((-width, -height), (-width, height), (width, height), (width, -height))
    return tuple(_place_on_sky(ra_deg, dec_deg, x / 2, y / 2, turn_deg) for x, y in half)


def _detector(band: str, visit: int, detector: int, mjd: float, centre: tuple[float, float], turn: float) -> Image:
    outline = _corners(*centre, turn, OUTLINE_DEG, OUTLINE_DEG)
    return Image("lsst.calexp", 2, band, *centre, turn, outline, PIXELS_DEG, mjd, visit, detector)


def _given(
    band: str, visit: int, detector: int, mjd: float, centre: tuple[float, float], outline: tuple[Any, ...]
) -> Image:
    """An exposure whose outline the tutorial prints; its turn is that of the outline's second side from the east."""
    (ra1, dec1), (ra2, dec2) = outline[1], outline[2]
    turn = math.degrees(math.atan2(dec1 - dec2, (ra1 - ra2) * math.cos(math.radians(centre[1]))))
    return Image("lsst.calexp", 2, band, *centre, turn, outline, PIXELS_DEG, mjd, visit, detector)


def _off_the_point(x_deg: float, y_deg: float, turn_deg: float) -> tuple[float, float]:
    """The centre of a detector that has the point at (x, y) of its own axes (degrees)."""
    centre = POINT_DEG
    for _ in range(3):
        # the first step is right but for the convergence of meridians
        ra, dec = _place_on_sky(*centre, x_deg, y_deg, turn_deg)
        centre = (centre[0] + POINT_DEG[0] - ra, centre[1] + POINT_DEG[1] - dec)
    return centre


#: exposures whose outline the tutorial prints
_GIVEN: Final = (
    _given(
        "y",
        698740,
        112,
        60671.21355,
        (61.854056086259405, -36.90350302893365),
        ((61.693243, -36.780375), (61.702475, -37.034112), (62.015405, -37.026409), (62.005102, -36.772698)),
    ),
    _given(
        "i",
        214437,
        78,
        59870.20678561111,
        (61.9699, -36.8508),
        ((62.045708, -37.018191), (62.177779, -36.787420), (61.894356, -36.683272), (61.761576, -36.913711)),
    ),
)


@functools.cache
def exposures() -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    """Calibrated exposures whose outline holds the point, and others around it, each in the order of the archive."""
    random = np.random.default_rng(_SEED)
    visits = iter(random.choice(np.arange(2_000, 1_200_000), 1000, replace=False).tolist())
    #: beyond this offset a neighbour's outline holds the point, too
    edge = PITCH_DEG - OUTLINE_DEG / 2
    here: list[Image] = []
    around: list[Image] = []

    def visit(band: str, x_deg: float) -> tuple[Image, Image]:
        """A detector with the point at ``x_deg`` of its first axis, and its neighbour on that side."""
        turn, mjd = float(random.uniform(0, 360)), float(random.uniform(59_580, 61_400))
        number, detector = next(visits), int(random.integers(0, 63)) * 3
        centre = _off_the_point(x_deg, float(random.uniform(-0.105, 0.105)), turn)
        beside = _place_on_sky(*centre, PITCH_DEG, 0.0, turn)
        return (
            _detector(band, number, detector, mjd, centre, turn),
            _detector(band, number, detector + 1, mjd, beside, turn),
        )

    left = _TWICE
    for band in "yirgzu":
        given = [image for image in _GIVEN if image.band == band]
        count = BANDS[band][0]
        twice = left if band == "u" else round(_TWICE * count / 510)
        left -= twice
        once = []
        for _ in range(count - len(given) - 2 * twice):
            first, beside = visit(band, float(random.uniform(-0.98, 0.98)) * edge)
            once.append(first)
            around.append(beside)
        pairs = [
            # the first has the point in the gap between the pixels of both
            visit(band, float(random.uniform(0.1150, 0.1180) if i == 0 else random.uniform(edge + 1e-3, 0.1260)))
            for i in range(twice)
        ]
        # the first five in i have the point beside, on, on, beside and on their pixels
        here += [
            *given,
            *once[:2],
            pairs[0][0],
            *once[2:],
            *(image for pair in pairs for image in pair if image is not pairs[0][0]),
        ]
    return tuple(here), tuple(around)


@functools.cache
def images() -> tuple[Image, ...]:
    """Every image of the survey: raw, calibrated and difference images, and two kinds of coadds."""
    here, around = exposures()
    result = list(here)
    for subtype, level in (("lsst.raw", 1), ("lsst.goodSeeingDiff_differenceExp", 3)):
        result += [replace(image, subtype=subtype, level=level) for image in here]
    for subtype in ("lsst.deepCoadd_calexp", "lsst.goodSeeingCoadd"):
        for patch, x, y in ((3, 0, 0), (10, 0, 1), (2, 1, 0), (4, -1, 0), (9, 1, 1), (11, -1, 1)):
            for band in BANDS:
                # patches overlap by half a minute of arc; the point lies where the third and the tenth do
                step = PATCH_DEG - 0.0085
                centre = _place_on_sky(*POINT_DEG, x * step, (y - 0.5) * step, 0.0)
                corners = _corners(*centre, 0.0, PATCH_DEG, PATCH_DEG)
                sides = (PATCH_DEG, PATCH_DEG)
                result.append(Image(subtype, 3, band, *centre, 0.0, corners, sides, tract=3831, patch=patch))
    return (*result, *around)


@functools.cache
def stars() -> tuple[Any, Any, Any]:
    """Right ascension and declination (degrees) and flux (nJy) of the survey's stars, all images alike."""
    random = np.random.default_rng(_SEED + 1)
    count = 9000
    ra = POINT_DEG[0] + random.uniform(-0.95, 0.95, count) / math.cos(math.radians(POINT_DEG[1]))
    dec = POINT_DEG[1] + random.uniform(-0.95, 0.95, count)
    flux = 3_631e9 * 10 ** (-0.4 * (15.0 + 9.0 * random.random(count) ** 0.45))
    return ra, dec, flux
