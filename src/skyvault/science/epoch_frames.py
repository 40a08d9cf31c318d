"""Frames of one place at several epochs: on one grid, in equal grey, each knowing its date and whether it shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skyvault.errors import ParameterError
from skyvault.science.cutouts import Cutout, by_time
from skyvault.science.reprojected import SkyGrid, reproject
from skyvault.science.stretch import Stretch, sky_of

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

#: how a blank pixel looks: beyond the plate
BLANK: Final = 255
#: frames one picture may have
MAX_FRAMES: Final = 1000
_MAX_SIDE: Final = 1200


@dataclass(frozen=True)
class EpochFrame:
    """One epoch: grey of shape (height, width), row 0 in the south, dark stars on a light sky; blank is ``BLANK``."""

    cutout: Cutout
    grey: Bytes
    #: whether the image has a value at the place itself
    shows_target: bool


@dataclass(frozen=True)
class EpochFrames:
    """All epochs by time, undated last, on one grid. Source of contact sheets and blink animations."""

    frames: tuple[EpochFrame, ...]
    grid: SkyGrid
    stretch: Stretch
    target: tuple[float, float]

    def __len__(self) -> int:
        return len(self.frames)


def epoch_frames(
    cutouts: Sequence[Cutout],
    target: tuple[float, float],
    *,
    radius_arcmin: float = 2.0,
    pixel_arcsec: float | None = None,
    stretch: Stretch | None = None,
    kernel: Any = "bilinear",
) -> EpochFrames:
    """Brings cutouts to one grid around ``target`` (ICRS degrees) and to grey by one rule.

    ``pixel_arcsec``: the median of the images' own if None. Sky and noise are those of the frame where it holds enough
    sky, so that fog elsewhere on a plate does not count. Raises ParameterError for no image, or more than a thousand.
    """
    if not cutouts:
        raise ParameterError("there is no image to show")
    if len(cutouts) > MAX_FRAMES:
        raise ParameterError(
            f"{len(cutouts)} images are too many for one picture", hint=f"Choose {MAX_FRAMES} of them or fewer."
        )
    rule = Stretch() if stretch is None else stretch
    if pixel_arcsec is None:
        pixel_arcsec = float(np.median([one.pixel_arcsec for one in cutouts]))
        pixel_arcsec = max(pixel_arcsec, 120.0 * radius_arcmin / _MAX_SIDE)
    grid = SkyGrid.around(*target, radius_arcmin, pixel_arcsec)
    if grid.width > 2 * _MAX_SIDE:
        raise ParameterError(f"frames of {grid.width} pixels are too large", hint="Take larger pixels.")
    middle = grid.height // 2, grid.width // 2
    frames = []
    for cutout in by_time(cutouts):
        pixels = reproject(cutout.pixels, cutout.wcs, grid, kernel).pixels
        known = np.isfinite(pixels)
        grey = np.full(pixels.shape, BLANK, np.uint8)
        if known.any():
            part = rule.grey(pixels, sky_of(pixels))
            grey[known] = np.round(255.0 * (1.0 - part[known])).astype(np.uint8)
        frames.append(EpochFrame(cutout, grey, bool(known[middle])))
    return EpochFrames(tuple(frames), grid, rule, (grid.ra, grid.dec))
