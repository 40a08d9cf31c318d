"""Sources in an image: stars and galaxies above the background, with places, brightness and shapes (photutils)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyvault.errors import ParameterError
from skyvault.quiet import quiet
from skyvault.science.deblending import deblended
from skyvault.science.samples import Booleans, Floats, Indices

#: pixels of an image taken at once; a cutout of a whole plate at full resolution is larger: work on parts
MAX_PIXELS: Final = 100_000_000
#: pixels above half the peak from which on a star counts as overexposed: 11 pixels of half width
_LARGE_CORE: Final = 100
#: why a source may be no good
NEAR_EDGE: Final = 1
SATURATED: Final = 2
ELONGATED: Final = 4


@dataclass(frozen=True)
class ImageSources:
    """Sources of one image, shape (n,), brightest first.

    ``x``, ``y``: centres in pixels, the first pixel's middle being (0, 0); ``ra``, ``dec``: ICRS degrees, with all
    terms of the WCS (NaN without one). ``flux`` in the image's counts, ``magnitude`` = -2.5 log10(flux), without a zero
    point; ``fwhm`` in pixels, ``elongation`` long over short axis; ``snr`` of the isophotal flux; ``flags``: NEAR_EDGE,
    SATURATED, ELONGATED added. ``background`` and ``noise`` are the image's medians.
    """

    x: Floats
    y: Floats
    ra: Floats
    dec: Floats
    flux: Floats
    magnitude: Floats
    snr: Floats
    area: Floats
    fwhm: Floats
    elongation: Floats
    peak: Floats
    flags: Indices
    background: float
    noise: float

    def __len__(self) -> int:
        return len(self.x)

    @property
    def is_good(self) -> Booleans:
        """Sources without a flag."""
        return np.asarray(self.flags == 0)

    def take(self, rows: ArrayLike) -> ImageSources:
        """Only these rows (numbers or booleans)."""
        chosen = np.asarray(rows)
        columns = {
            name: value[chosen] if isinstance(value := getattr(self, name), np.ndarray) else value
            for name in self.__dataclass_fields__
        }
        return ImageSources(**columns)


def extract_sources(
    image: ArrayLike,
    wcs: Any = None,
    *,
    threshold_sigma: float = 4.0,
    least_pixels: int = 5,
    background_box: int = 64,
    smoothing_fwhm: float = 2.0,
    saturation: float | None = None,
    mask: ArrayLike | None = None,
    is_negative: bool = False,
    are_blends_split: bool = True,
) -> ImageSources:
    """Find what stands ``threshold_sigma`` above the local background on ``least_pixels`` connected pixels.

    The background is a clipped median in boxes of ``background_box`` pixels; detection works on an image smoothed by a
    Gaussian, measurement does not. ``wcs`` is an astropy WCS; ``saturation`` a pixel value in counts; ``mask`` is True
    where pixels are no good (NaN pixels are masked anyway); ``is_negative`` for plates where stars are dark. Raises
    ParameterError for what is no image. No source is an empty result, not an error.
    """
    pixels = np.array(image, dtype=np.float64)
    if pixels.ndim != 2 or min(pixels.shape) < 3:
        raise ParameterError(f"an image has two axes of at least 3 pixels, not shape {pixels.shape}")
    if pixels.size > MAX_PIXELS:
        raise ParameterError(
            f"an image of {pixels.size:,} pixels is larger than {MAX_PIXELS:,}", hint="Cut it into parts."
        )
    if not threshold_sigma > 0.0 or least_pixels < 1 or background_box < 4 or smoothing_fwhm < 0.0:
        raise ParameterError("the threshold, the number of pixels, the box and the smoothing must be positive")
    if is_negative:
        pixels = -pixels
        saturation = None if saturation is None else -saturation
    bad = ~np.isfinite(pixels)
    if mask is not None:
        given = np.asarray(mask, np.bool_)
        if given.shape != pixels.shape:
            raise ParameterError(f"the mask has shape {given.shape}, but the image {pixels.shape}")
        bad |= given
    if bad.all():
        raise ParameterError("every pixel of the image is masked or not a number")
    level = float(np.median(pixels[~bad]))
    pixels[bad] = level
    with quiet():
        # photutils warns of images without sources and of sources without a fitted shape; both are in the result
        return _measured(
            pixels,
            bad,
            wcs,
            threshold_sigma,
            least_pixels,
            background_box,
            smoothing_fwhm,
            saturation,
            are_blends_split,
        )


def _measured(
    pixels: Floats,
    bad: Booleans,
    wcs: Any,
    threshold_sigma: float,
    least_pixels: int,
    box: int,
    smoothing_fwhm: float,
    saturation: float | None,
    are_blends_split: bool,
) -> ImageSources:
    from photutils.segmentation import SegmentationImage, SourceCatalog, detect_sources

    background, noise = _background(pixels, bad, box)
    above = pixels - background
    searched, gain = _smoothed(above, smoothing_fwhm)
    noise_level = float(np.median(noise))
    if noise_level <= 0.0:
        return _nothing(float(np.median(background)), noise_level)
    segments = detect_sources(searched, threshold_sigma * noise * gain, least_pixels, mask=bad)
    if segments is None:
        return _nothing(float(np.median(background)), noise_level)
    if are_blends_split:
        segments = SegmentationImage(deblended(searched, segments.data, least_pixels=least_pixels))
    catalog = SourceCatalog(above, segments, error=noise, mask=bad)
    columns = {
        "x": catalog.x_centroid_win if hasattr(catalog, "x_centroid_win") else catalog.xcentroid_win,
        "y": catalog.y_centroid_win if hasattr(catalog, "y_centroid_win") else catalog.ycentroid_win,
        "x_iso": catalog.x_centroid if hasattr(catalog, "x_centroid") else catalog.xcentroid,
        "y_iso": catalog.y_centroid if hasattr(catalog, "y_centroid") else catalog.ycentroid,
        "flux": catalog.segment_flux,
        "error": catalog.segment_flux_err if hasattr(catalog, "segment_flux_err") else catalog.segment_fluxerr,
        "area": catalog.area,
        "fwhm": catalog.fwhm,
        "elongation": catalog.elongation,
        "peak": catalog.max_value,
    }
    found = {name: np.atleast_1d(np.asarray(getattr(v, "value", v), np.float64)) for name, v in columns.items()}
    # windowed centres do not converge for some faint or odd shapes: there the isophotal ones stand; of overexposed
    # stars, whose haloes and spikes are not round, the core
    wild = ~(np.hypot(found["x"] - found["x_iso"], found["y"] - found["y_iso"]) < 3.0)
    core_x, core_y, core_size = _cores(above, segments.data, np.asarray(segments.labels), found["peak"])
    is_large = core_size >= _LARGE_CORE
    for axis, core in (("x", core_x), ("y", core_y)):
        found[axis] = np.where(is_large, core, np.where(wild, found[f"{axis}_iso"], found[axis]))
    usable = (found["flux"] > 0.0) & np.isfinite(found["x"]) & np.isfinite(found["y"])
    order = np.flatnonzero(usable)
    order = order[np.argsort(-found["flux"][order], kind="stable")]
    found = {name: column[order] for name, column in found.items()}
    flags = _flags(found, np.atleast_1d(np.asarray(catalog.bbox_xmin))[order], catalog, order, pixels, saturation)
    ra, dec = sky_positions(wcs, found["x"], found["y"])
    return ImageSources(
        x=found["x"],
        y=found["y"],
        ra=ra,
        dec=dec,
        flux=found["flux"],
        magnitude=-2.5 * np.log10(found["flux"]),
        snr=found["flux"] / np.maximum(found["error"], 1e-300),
        area=found["area"],
        fwhm=found["fwhm"],
        elongation=found["elongation"],
        peak=found["peak"],
        flags=flags,
        background=float(np.median(background)),
        noise=noise_level,
    )


def _cores(above: Floats, labels: NDArray[Any], wanted: NDArray[Any], peak: Floats) -> tuple[Floats, Floats, Indices]:
    """Centre of light and number of the pixels of each segment above half its peak."""
    rows, columns = np.nonzero(labels)
    slot = np.searchsorted(wanted, labels[rows, columns])
    light = above[rows, columns]
    inside = light > 0.5 * peak[slot]
    rows, columns, slot, light = rows[inside], columns[inside], slot[inside], light[inside]
    n = len(wanted)
    total = np.maximum(np.bincount(slot, light, minlength=n), 1e-300)
    return (
        np.bincount(slot, light * columns, minlength=n) / total,
        np.bincount(slot, light * rows, minlength=n) / total,
        np.bincount(slot, minlength=n),
    )


def _flags(
    found: dict[str, Floats], left: NDArray[Any], catalog: Any, order: Indices, pixels: Floats, saturation: float | None
) -> Indices:
    right, bottom, top = (
        np.atleast_1d(np.asarray(getattr(catalog, name)))[order] for name in ("bbox_xmax", "bbox_ymin", "bbox_ymax")
    )
    height, width = pixels.shape
    flags = np.zeros(len(order), np.int64)
    flags[(left <= 0) | (bottom <= 0) | (right >= width - 1) | (top >= height - 1)] |= NEAR_EDGE
    flags[found["elongation"] > 2.5] |= ELONGATED
    if saturation is not None:
        ix, iy = (
            np.clip(np.round(found[axis]).astype(np.int64), 0, n - 1) for axis, n in (("x", width), ("y", height))
        )
        flags[pixels[iy, ix] >= saturation] |= SATURATED
    return flags


def _background(pixels: Floats, bad: Booleans, box: int) -> tuple[Floats, Floats]:
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MADStdBackgroundRMS, MedianBackground

    clip = SigmaClip(sigma=3.0, maxiters=10)
    size = tuple(min(box, n) for n in pixels.shape)
    if min(pixels.shape) < 3 * box:
        good = clip(pixels[~bad], masked=False)
        level = float(np.median(good))
        spread = 1.4826 * float(np.median(np.abs(good - level)))
        return np.full(pixels.shape, level), np.full(pixels.shape, spread)
    found = Background2D(
        pixels,
        size,
        mask=bad,
        filter_size=3,
        sigma_clip=clip,
        bkg_estimator=MedianBackground(),
        bkgrms_estimator=MADStdBackgroundRMS(),
        exclude_percentile=90.0,
    )
    return np.asarray(found.background, np.float64), np.asarray(found.background_rms, np.float64)


def _smoothed(above: Floats, fwhm: float) -> tuple[Floats, float]:
    """The image smoothed, and by how much white noise shrinks in it."""
    from scipy.ndimage import gaussian_filter

    if fwhm == 0.0:
        return above, 1.0
    sigma = fwhm / 2.3548
    point = np.zeros((33, 33))
    point[16, 16] = 1.0
    kernel = gaussian_filter(point, sigma, mode="constant", truncate=5.0)
    return np.asarray(gaussian_filter(above, sigma, mode="nearest", truncate=5.0)), float(np.sqrt(np.sum(kernel**2)))


def sky_positions(wcs: Any, x: ArrayLike, y: ArrayLike, *, with_distortion: bool = True) -> tuple[Floats, Floats]:
    """ICRS degrees of pixels (the first is 0), by an astropy WCS; ``with_distortion=False`` leaves SIP, TPV and lookup
    tables out. NaN without a celestial WCS.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if wcs is None or not getattr(wcs, "has_celestial", False):
        return np.full(xs.shape, np.nan), np.full(xs.shape, np.nan)
    from astropy.coordinates import ICRS, SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    plane = wcs.celestial
    if not with_distortion:
        plane = without_distortion(plane)
    lon, lat = plane.all_pix2world(xs, ys, 0)
    frame = wcs_to_celestial_frame(plane)
    if not isinstance(frame, ICRS):
        coordinates = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
        lon, lat = coordinates.ra.deg, coordinates.dec.deg
    return np.mod(np.asarray(lon, np.float64), 360.0), np.asarray(lat, np.float64)


def without_distortion(wcs: Any) -> Any:
    """A copy of a celestial WCS with its linear terms and projection only: no SIP, no lookup tables, TPV as TAN."""
    plain = wcs.deepcopy()
    plain.sip = None
    plain.cpdis1 = plain.cpdis2 = plain.det2im1 = plain.det2im2 = None
    types = [str(name) for name in plain.wcs.ctype]
    if any(name.endswith(("-TPV", "-TPD", "-SIP")) for name in types):
        plain.wcs.ctype = [name.replace("-TPV", "-TAN").replace("-TPD", "-TAN").replace("-SIP", "") for name in types]
        if any(name.endswith("-TPV") for name in types):
            plain.wcs.set_pv([])
        plain.wcs.set()
    return plain


def has_distortion(wcs: Any) -> bool:
    """Whether a WCS has terms beyond the linear ones and its projection."""
    tables = (wcs.sip, wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)
    return any(table is not None for table in tables) or any(
        str(name).endswith(("-TPV", "-TPD")) for name in wcs.wcs.ctype
    )


def _nothing(background: float, noise: float) -> ImageSources:
    none = np.empty(0)
    return ImageSources(
        none, none, none, none, none, none, none, none, none, none, none, np.empty(0, np.int64), background, noise
    )
