"""Where stars stand at another epoch: proper motion along straight lines in space, and the Earth's yearly parallax."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from skyvault.quiet import quiet
from skyvault.science.samples import Floats

_MAS: Final = np.radians(1.0 / 3.6e6)
_J2000: Final = 2000.0
_MJD_J2000: Final = 51544.5
_YEAR_D: Final = 365.25


def unit_vectors(ra_deg: Any, dec_deg: Any) -> Floats:
    """Unit vectors of places in degrees, shape (n, 3)."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def earth_au(year: float) -> Floats:
    """The Earth's place at a Julian year (TDB) from the barycentre, ICRS axes, au, shape (3,). Source: ERFA's epv00."""

    import erfa

    with quiet(erfa.ErfaWarning):
        # beyond 1900 to 2100 it is good to 1e-4 au still, far better than any parallax needs
        about_barycentre = erfa.epv00(2_400_000.5, _MJD_J2000 + (year - _J2000) * _YEAR_D)[1]
    return np.array(about_barycentre["p"], np.float64)


def places_at(
    ra_deg: Floats, dec_deg: Floats, pm_ra_cosdec: Any, pm_dec: Any, parallax_mas: Any, from_year: float, to_year: float
) -> tuple[Floats, Floats]:
    """ICRS right ascension (0 to 360) and declination in degrees as seen from the Earth at ``to_year``, shape (n,).

    Proper motions are mas/yr, the one in right ascension times cos(dec); places and motions are those of ``from_year``.
    What is NaN counts as 0, as does a parallax below 0, which noise made. Radial velocities are taken as 0, light
    deflection and aberration left out: these are catalogue places. As ERFA's ``pmpx``, but exact at the poles.
    """
    a, d = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    years = to_year - from_year
    east = np.nan_to_num(np.asarray(pm_ra_cosdec, np.float64)) * _MAS * years
    north = np.nan_to_num(np.asarray(pm_dec, np.float64)) * _MAS * years
    sin_a, cos_a, sin_d, cos_d = np.sin(a), np.cos(a), np.sin(d), np.cos(d)
    x = cos_d * cos_a - sin_a * east - sin_d * cos_a * north
    y = cos_d * sin_a + cos_a * east - sin_d * sin_a * north
    z = sin_d + cos_d * north
    parallax = np.maximum(np.nan_to_num(np.asarray(parallax_mas, np.float64)), 0.0) * _MAS
    if parallax.any():
        earth = earth_au(to_year)
        x, y, z = x - parallax * earth[0], y - parallax * earth[1], z - parallax * earth[2]
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
