"""Periods of real planets from TESS and Kepler against the published ones, and how many are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.science.box_periods import box_least_squares, box_period_grid
from skyvault.session.curve_sources import curve_of_file

pytestmark = pytest.mark.shared

#: file, published period (d) and its source, transit's duration (d), depth
PLANETS = {
    "WASP-126 b": (
        "hlsp_tess-data-alerts_tess_phot_00025155310-s01_tess_v1_lc.fits.gz", 3.28880, 0.14, 0.0060,
    ),  # Maxted et al. 2016, A&A 591, A55
    "HAT-P-7 b": ("kplr010666592-2009131110544_slc.fits.gz", 2.204735, 0.16, 0.0067),  # Pal et al. 2008, ApJ 680, 1450
}  # fmt: skip


def searched(path: Path) -> tuple[Any, float]:
    """The best box of a file's good measurements, and the baseline in days; slow changes of the flux are taken out."""
    curve = curve_of_file(path)
    good = curve.is_good
    mjd, flux = curve.mjd[good], 10.0 ** (-0.4 * curve.mag[good])
    # a running median of 1.5 d: longer than any transit, shorter than the star's rotation
    day = np.floor((mjd - mjd[0]) / 1.5).astype(int)
    levels = np.array([np.median(flux[day == one]) for one in np.unique(day)])
    times = np.array([np.median(mjd[day == one]) for one in np.unique(day)])
    flux = flux / np.interp(mjd, times, levels)
    baseline = float(np.ptp(mjd))
    durations = [0.1, 0.15]
    trial = box_period_grid(mjd, durations, minimum=1.0, maximum=baseline / 2.5)
    return box_least_squares(mjd, flux, durations=durations, periods=trial, bin_time=0.02).refined(), baseline


@pytest.mark.parametrize("name", PLANETS)
def test_a_planets_period_is_the_published_one(name: str, shared_data: Path) -> None:
    """2 of 2: a quarter of a transit's duration right over the whole light curve, the depth within a quarter."""
    file, period, duration, depth = PLANETS[name]
    box, baseline = searched(shared_data / "lightcurves" / "tess_kepler" / file)
    cycles = baseline / period
    assert abs(box.period - period) * cycles < 0.25 * duration, (box.period, period)
    assert box.depth == pytest.approx(depth, rel=0.25)
