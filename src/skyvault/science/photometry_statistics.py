"""Fluxes, magnitudes and the plain and robust statistics of one light curve in one filter.

Fluxes are microjansky on the AB system where magnitudes are given (zero point 23.9). Arrays have shape (n,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from skyvault.science.samples import Booleans, Floats, median

#: magnitude of 1 microjansky on the AB system: 8.9 mag is 1 Jy
AB_ZERO_POINT: Final = 23.9
#: magnitudes of a relative flux change: 2.5 / ln 10
POGSON: Final = 2.5 / math.log(10.0)
_CLIP_SIGMA: Final = 3.0
_CLIP_ROUNDS: Final = 3
_FEWEST: Final = 5


def flux_from_mag(mag: Floats, magerr: Floats, zero_point: float = AB_ZERO_POINT) -> tuple[Floats, Floats]:
    """Fluxes and their errors, for errors that are small against the flux."""
    flux = np.power(10.0, (zero_point - mag) / 2.5)
    return flux, flux * magerr / POGSON


def mag_from_flux(flux: Floats, fluxerr: Floats, zero_point: float = AB_ZERO_POINT) -> tuple[Floats, Floats]:
    """Magnitudes and their errors; NaN where the flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        positive = np.where(flux > 0.0, flux, np.nan)
        return zero_point - 2.5 * np.log10(positive), fluxerr / positive * POGSON


def luptitude(flux: Floats, softening: float) -> Floats:
    """Asinh magnitudes (Lupton, Gunn & Szalay 1999), which stay finite where the flux is zero or negative."""
    return -POGSON * (np.arcsinh(flux / (2.0 * softening)) + math.log(softening))


def robust_mean_rms(values: Floats) -> tuple[float, float]:
    """Mean and rms after three rounds of clipping at 3 sigma around the median; NaN for no finite value.

    The median itself and the plain rms when there are fewer than five values or none is clipped.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan
    mean, rms = median(values), float(values.std())
    for _ in range(_CLIP_ROUNDS):
        if len(values) < _FEWEST or not rms > 0.0:
            break
        kept = values[np.abs(values - mean) <= _CLIP_SIGMA * rms]
        if len(kept) == len(values) or len(kept) < _FEWEST:
            break
        values = kept
        mean, rms = float(values.mean()), float(values.std())
    return mean, rms


@dataclass(frozen=True, slots=True)
class FluxStatistics:
    """Numbers of one light curve over its unflagged rows; NaN where there is no finite value.

    ``num_good`` counts unflagged rows, also those without a flux.
    """

    num_good: int
    flux_mean: float
    flux_rms: float
    flux_mean_robust: float
    flux_rms_robust: float
    flux_max: float
    flux_min: float
    snr_max: float
    snr_min: float
    snr_median: float
    dsnr_max: float
    dsnr_min: float
    dmag_brightest: float
    dmag_faintest: float


@dataclass(frozen=True, slots=True)
class Significance:
    """How each row stands out, shape (n,): ``snr`` of the flux, ``dsnr`` and ``dmag`` (brighter is positive) of its
    distance from the robust mean; the noise is the larger one of the row's error and the robust rms."""

    snr: Floats
    dsnr: Floats
    dmag: Floats


def statistics(flux: Floats, fluxerr: Floats, is_flagged: Booleans) -> tuple[FluxStatistics, Significance]:
    """Statistics over the unflagged rows, and how much every row (flagged or not) stands out."""
    good = flux[~is_flagged]
    num_good = len(good)
    good = good[np.isfinite(good)]
    mean_robust, rms_robust = robust_mean_rms(good)
    # a star without scatter and errors has no significance; NaN says so
    noise = np.fmax(fluxerr, rms_robust)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        snr = flux / noise
        dsnr = (flux - mean_robust) / noise
    if rms_robust > 0.0:
        # luptitude(mean) - luptitude(flux): the softening cancels but inside the arcsinh
        dmag = POGSON * (np.arcsinh(flux / (2.0 * rms_robust)) - math.asinh(mean_robust / (2.0 * rms_robust)))
    else:
        dmag = np.zeros(len(flux)) if num_good else np.full(len(flux), np.nan)
    usable = ~is_flagged & np.isfinite(snr)
    snr_good, dsnr_good, dmag_good = snr[usable], dsnr[usable], dmag[usable]
    nan = math.nan
    return (
        FluxStatistics(
            num_good=num_good,
            flux_mean=float(good.mean()) if len(good) else nan,
            flux_rms=float(good.std()) if len(good) else nan,
            flux_mean_robust=mean_robust,
            flux_rms_robust=rms_robust,
            flux_max=float(good.max()) if len(good) else nan,
            flux_min=float(good.min()) if len(good) else nan,
            snr_max=float(snr_good.max()) if len(snr_good) else nan,
            snr_min=float(snr_good.min()) if len(snr_good) else nan,
            snr_median=median(snr_good),
            dsnr_max=float(dsnr_good.max()) if len(dsnr_good) else nan,
            dsnr_min=float(dsnr_good.min()) if len(dsnr_good) else nan,
            dmag_brightest=float(dmag_good.max()) if len(dmag_good) else nan,
            dmag_faintest=float(dmag_good.min()) if len(dmag_good) else nan,
        ),
        Significance(snr, dsnr, dmag),
    )


def median_place(ra_deg: Floats, dec_deg: Floats) -> tuple[float, float]:
    """The median position in degrees, also of right ascensions on both sides of 0; NaN for no finite position."""
    finite = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    ra, dec = ra_deg[finite], dec_deg[finite]
    if not len(ra):
        return math.nan, math.nan
    first = float(ra[0])
    from_first = (ra - first + 180.0) % 360.0 - 180.0
    return (first + median(from_first)) % 360.0, median(dec)


def sampling(mjd: Floats) -> tuple[float, bool]:
    """Frames a second (of the median step between sorted times in days; NaN for fewer than two), and whether
    the middle 90% of the steps agree to 1%."""
    steps = np.diff(mjd) * 86400.0
    steps = np.sort(steps[np.isfinite(steps)])
    if not len(steps):
        return math.nan, False
    low, middle, high = (_quantile(steps, part) for part in (0.05, 0.5, 0.95))
    if middle <= 0.0:
        return math.nan, False
    return 1.0 / middle, (high - low) / middle < 0.01


def _quantile(ranked: Floats, part: float) -> float:
    """Of sorted values, by linear interpolation as np.quantile does."""
    place = part * (len(ranked) - 1)
    below = math.floor(place)
    low, high = float(ranked[below]), float(ranked[min(below + 1, len(ranked) - 1)])
    return low + (high - low) * (place - below)
