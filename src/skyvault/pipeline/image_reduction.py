"""From images to light curves: one source measured on every image, in one flux unit where zero points are stated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import DataError, DataMissing
from skyvault.pipeline.image_files import ImageFile, read_image
from skyvault.science.aperture_photometry import measure, star_width
from skyvault.science.photometry_statistics import AB_ZERO_POINT
from skyvault.science.samples import Floats

#: radius of an aperture in widths of a star (full, at half height): for a Gaussian all but 1 part in 10,000
_RADIUS_FWHM: Final = 1.75
#: pixels, where no star tells how wide stars are
_RADIUS_PIXELS: Final = 5.0


@dataclass
class ImagePhotometry:
    """One row an image that shows the source; arrays of shape (n,). ``zero_point`` NaN: the counts' unit is unknown.

    ``flux`` in microjansky where the zero point is known, else in counts; ``pos1`` and ``pos2`` are pixels,
    ``bg`` the sky (counts a pixel). ``problems``: images that could not be measured, and why.
    """

    columns: dict[str, Any]
    zero_point: Floats
    filters: list[str]
    problems: list[str] = field(default_factory=list)
    #: images on which the place does not lie
    off_image: int = 0


def photometry_of_images(
    paths: Sequence[Path],
    place: tuple[float, float],
    *,
    mjd: Floats,
    exptime: Floats,
    filters: Sequence[str],
    zero_points: Floats,
    method: str = "forced",
    radius_arcsec: float | None = None,
    zero_point: float | None = None,
    gain: float | None = None,
    recentre_arcsec: float = 1.5,
    aperture_correction: bool = True,
    place_at: Callable[[float], tuple[float, float]] | None = None,
) -> ImagePhotometry:
    """Measure the place (ICRS degrees) on each image, or for a star that moves where ``place_at`` an MJD says it is.

    Times, exposures, filters and zero points of the rows (NaN, "": unknown) are taken before those of the headers.
    ``zero_point`` and ``gain`` are for images that state none.

    ``method`` "forced" measures exactly there, "aperture" at the centre of light within ``recentre_arcsec``. Without
    ``radius_arcsec`` the aperture is 1.75 times as wide as the image's stars. An image that cannot be read is a
    problem, and the others are measured.
    """
    if method not in ("forced", "aperture"):
        raise DataError(f"there is no photometry of the kind {method!r}", hint="There are forced and aperture.")
    names = ("mjd", "exptime", "flux", "fluxerr", "flag", "pos1", "pos2", "bg", "ra", "dec")
    made: dict[str, list[float]] = {name: [] for name in names}
    points: list[float] = []
    bands: list[str] = []
    result = ImagePhotometry({}, np.zeros(0), bands)
    for number, path in enumerate(paths):
        try:
            image = read_image(path)
        except (DataError, DataMissing) as error:
            result.problems.append(str(error))
            continue
        when = float(mjd[number]) if np.isfinite(mjd[number]) else image.mjd
        at = image.place(*(place if place_at is None or when is None else place_at(when)))
        scale = image.pixel_scale_arcsec()
        found = None if at is None else _measured(
            image, at, scale, method, radius_arcsec, gain, recentre_arcsec, aperture_correction
        )  # fmt: skip
        if found is None:
            result.off_image += 1
            continue
        if when is None:
            result.problems.append(f"no time is known of {path.name}")
            continue
        known = [float(zero_points[number]), image.zero_point, zero_point]
        point = next((one for one in known if one is not None and np.isfinite(one)), float("nan"))
        unit = 10.0 ** ((AB_ZERO_POINT - point) / 2.5) if np.isfinite(point) else 1.0
        length = float(exptime[number]) if np.isfinite(exptime[number]) else image.exptime
        ra, dec = (float(one[0]) for one in image.wcs.all_pix2world([found.x], [found.y], 0))
        values = (when, length if length is not None else np.nan, found.flux * unit, found.error * unit,
                  float(found.flags), found.x, found.y, found.sky, ra % 360.0, dec)  # fmt: skip
        for name, value in zip(names, values, strict=True):
            made[name].append(float(value))
        points.append(point)
        bands.append(filters[number] or image.filter or "")
    result.columns = {name: np.array(values, np.float64) for name, values in made.items()}
    result.columns["flag"] = result.columns["flag"].astype(np.int64)
    result.zero_point = np.array(points, np.float64)
    return result


def _measured(
    image: ImageFile, at: tuple[float, float], scale: float, method: str, radius_arcsec: float | None,
    gain: float | None, recentre_arcsec: float, is_corrected: bool,
) -> Any:  # fmt: skip
    fwhm = star_width(image.pixels, image.bad, image.saturation) if radius_arcsec is None or is_corrected else None
    if radius_arcsec is not None:
        radius = radius_arcsec / scale
    else:
        radius = _RADIUS_PIXELS if fwhm is None else max(_RADIUS_FWHM * fwhm, 2.0)
    return measure(
        image.pixels, *at, radius, mask=image.bad, variance=image.variance, gain=image.gain or gain,
        saturation=image.saturation, recentre=recentre_arcsec / scale if method == "aperture" else 0.0,
        fwhm=fwhm if is_corrected else None,
    )  # fmt: skip
