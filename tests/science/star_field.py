"""A star field with known truth: places, motions, magnitudes, an optional scanner wobble and SIP terms."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS, Sip

SIZE = 512
SCALE = 1.7  # arcsec a pixel


def wcs(with_sip: bool = False) -> WCS:
    plane = WCS(naxis=2)
    plane.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"] if with_sip else ["RA---TAN", "DEC--TAN"]
    plane.wcs.crval, plane.wcs.crpix = [359.98, 41.0], [SIZE / 2, SIZE / 2]
    plane.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    if with_sip:
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], b[0, 2] = 4e-5, -3e-5
        plane.sip = Sip(a, b, None, None, plane.wcs.crpix)
    plane.wcs.set()
    return plane


def field(seed: int = 0, count: int = 300, wobble_px: float = 0.0, wavelength: float = 60.0, with_sip: bool = False):
    """Image, WCS, true pixel places, and the catalogue's columns at epoch 2016 for an image of 1950."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(15, SIZE - 15, count), random.uniform(15, SIZE - 15, count)
    magnitude = random.uniform(9.0, 13.5, count)
    plane = wcs(with_sip)
    ra, dec = plane.all_pix2world(x, y, 0)
    pm = random.normal(0, 30.0, (2, count))
    shown_x = x + wobble_px * np.sin(2 * np.pi * x / wavelength)
    image = random.normal(1000.0, 10.0, (SIZE, SIZE))
    yy, xx = np.mgrid[-12:13, -12:13]
    for cx, cy, m in zip(shown_x, y, magnitude, strict=True):
        ix, iy = round(cx), round(cy)
        star = (
            10 ** (0.4 * (20.0 - m))
            / (2 * np.pi * 1.5**2)
            * np.exp(-0.5 * ((xx - cx + ix) ** 2 + (yy - cy + iy) ** 2) / 1.5**2)
        )
        image[iy - 12 : iy + 13, ix - 12 : ix + 13] += star
    now_ra = ra + 66.0 * pm[0] / 3.6e6 / np.cos(np.radians(dec))
    return (
        image,
        plane,
        (shown_x, y),
        {
            "ra": now_ra % 360,
            "dec": dec + 66.0 * pm[1] / 3.6e6,
            "pm_ra": pm[0],
            "pm_dec": pm[1],
            "magnitude": magnitude,
        },
    )
