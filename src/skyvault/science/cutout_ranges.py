"""Which pixels of an image's further axes belong to a range of wavelengths or a polarisation."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skyvault.errors import FormatError
from skyvault.model.span import Span
from skyvault.quiet import quiet
from skyvault.science.fits_cutouts import NoPixels, OpenedImage

Floats = NDArray[np.float64]

#: first letters of CTYPEs of spectral axes (FITS paper III, table 1)
_SPECTRAL: Final = ("FREQ", "WAVE", "AWAV", "WAVN", "ENER", "VRAD", "VOPT", "VELO", "ZOPT", "BETA", "FELO")
#: FITS 4.0, table 29
_STOKES: Final = {1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY",
                  -8: "YX"}  # fmt: skip


def axis_of(image: OpenedImage, kinds: tuple[str, ...]) -> int | None:
    """The axis (from 0) whose CTYPE begins with one of these words."""
    for axis in range(len(image.planes)):
        if str(image.header.get(f"CTYPE{axis + 1}", "")).upper().startswith(kinds):
            return axis
    return None


def channels_of(image: OpenedImage, band: Span) -> tuple[int, int, int] | None:
    """(axis, first, beyond the last) of the channels that touch a range of vacuum wavelengths in metres.

    None when the image has no spectral axis. Raises NoPixels, and FormatError when its spectral WCS cannot be used.
    """
    axis = axis_of(image, _SPECTRAL)
    if axis is None:
        return None
    waves = _wavelengths(image, axis, np.arange(image.planes[axis] + 1, dtype=np.float64) - 0.5)
    low, high = np.minimum(waves[:-1], waves[1:]), np.maximum(waves[:-1], waves[1:])
    touched = np.flatnonzero((high >= band.lo) & (low <= band.hi))
    if not len(touched):
        raise NoPixels("no channel is of those wavelengths")
    return axis, int(touched[0]), int(touched[-1]) + 1


def _wavelengths(image: OpenedImage, axis: int, pixels: Floats) -> Floats:
    """Vacuum wavelengths in metres at places along the spectral axis, the sky's reference pixel elsewhere."""
    from astropy import units as u
    from astropy.coordinates import SpectralCoord
    from astropy.wcs import WCS

    header = image.header
    try:
        with quiet():
            wcs = WCS(header, fix=True).sub([axis + 1])
            values = wcs.wcs_pix2world(pixels[:, None], 0)[:, 0]
            unit = u.Unit(str(wcs.wcs.cunit[0]))
            rest = _rest(header)
            kind = str(header[f"CTYPE{axis + 1}"])[:4].upper()
            told: dict[str, Any] = {"doppler_rest": rest} if rest is not None else {}
            if kind in ("VRAD", "VELO", "VOPT", "FELO"):
                told["doppler_convention"] = "optical" if kind in ("VOPT", "FELO") else "radio"
            waves = SpectralCoord(values * unit, **told).to_value(u.m)
            if kind == "AWAV":
                waves = waves * _refraction(waves)
    except Exception as problem:
        raise FormatError(f"its spectral axis cannot be used ({type(problem).__name__})") from None
    return np.asarray(waves, np.float64)


def _rest(header: Any) -> Any:
    from astropy import units as u

    for card, unit in (("RESTFRQ", u.Hz), ("RESTFREQ", u.Hz), ("RESTWAV", u.m)):
        value = header.get(card)
        if isinstance(value, int | float) and value > 0:
            return value * unit
    return None


def _refraction(waves: Floats) -> Floats:
    """The refractive index of standard air (FITS paper III, equation 65), wavelengths in metres."""
    sigma2 = (1e-6 / waves) ** 2
    return np.asarray(1.0 + 1e-6 * (287.6155 + 1.62887 * sigma2 + 0.01360 * sigma2**2), np.float64)


def polarisation_of(image: OpenedImage, states: tuple[str, ...]) -> tuple[int, int, int] | None:
    """(axis, first, beyond the last) of the planes of these states; None when the image has no Stokes axis."""
    axis = axis_of(image, ("STOKES",))
    if axis is None:
        return None
    number, header = axis + 1, image.header
    planes = np.arange(image.planes[axis])
    codes = header.get(f"CRVAL{number}", 1.0) + (planes + 1 - header.get(f"CRPIX{number}", 1.0)) * header.get(
        f"CDELT{number}", 1.0
    )
    found = [i for i, code in enumerate(codes) if _STOKES.get(round(float(code))) in states]
    if not found:
        raise NoPixels("the image has none of these polarisations")
    return axis, found[0], found[-1] + 1
