"""Time-series science against its peers in one run: Lomb-Scargle, box least squares, an ephemeris, time scales. Prints JSON.

usage: bench_time_series.py [--points 7000] [--frequencies 1000000] [--rounds 5]

Set OMP_NUM_THREADS=1 for one core. Peers: astropy's ``LombScargle`` (its fast method, as
``autopower`` takes it) and ``BoxLeastSquares``. "error" is the largest difference of power from astropy's exact method,
over the highest power, at 300 frequencies and around the peak.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.time import Time
from astropy.timeseries import BoxLeastSquares, LombScargle

from skyvault.science.box_periods import box_least_squares, box_period_grid
from skyvault.science.ephemeris import Ephemeris
from skyvault.science.ephemeris_match import ExposureList, match_ephemeris
from skyvault.science.periods import lomb_scargle
from skyvault.science.time_scales import HJD_UTC, TimeFrame, to_barycenter
from skyvault.science.trigonometric_sums import FrequencyGrid
from skyvault.sky.shapes import POLYGON, Shapes


def timed(work: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Wall seconds: best and median; processor seconds: best (the machine may be shared)."""
    walls, processors = [], []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return {
        "best_s": round(min(walls), 4),
        "median_s": round(statistics.median(walls), 4),
        "processor_s": round(min(processors), 4),
    }


def periods(points: int, frequencies: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    day = np.sort(random.uniform(15_000.0, 48_000.0, points))
    error = random.uniform(0.1, 0.4, points)
    magnitude = 9.0 + 0.15 * np.sin(2 * np.pi * day / 7.5352272) + error * random.normal(size=points)
    band = np.arange(points) % 3
    grid = FrequencyGrid(0.001, 1.0 / (5.0 * 33_000.0), frequencies)
    ours = lomb_scargle(day, magnitude, error, grid=grid)
    peer = LombScargle(day, magnitude, error)
    rows = np.r_[random.integers(0, frequencies, 300), np.argmax(ours.power) + np.arange(-5, 6)]
    exact = peer.power(grid.at(rows), method="slow")
    out: dict[str, Any] = {
        "points": points,
        "frequencies": frequencies,
        "error": float(np.abs(exact - ours.power[rows]).max() / ours.power.max()),
        "ours": timed(lambda: lomb_scargle(day, magnitude, error, grid=grid), rounds),
        "ours_3_terms": timed(lambda: lomb_scargle(day, magnitude, error, grid=grid, terms=3), max(1, rounds // 2)),
        "ours_3_bands": timed(lambda: lomb_scargle(day, magnitude, error, band, grid=grid), max(1, rounds // 2)),
    }
    fast = peer.power(grid.values, method="fast", assume_regular_frequency=True)
    out["astropy_error"] = float(np.abs(exact - fast[rows]).max() / ours.power.max())
    out["astropy_fast"] = timed(
        lambda: peer.power(grid.values, method="fast", assume_regular_frequency=True), max(1, rounds // 2)
    )
    out["astropy_autopower"] = timed(
        lambda: peer.autopower(minimum_frequency=grid.start, maximum_frequency=grid.last), max(1, rounds // 2)
    )
    return out


def boxes(rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(2)
    day = np.arange(0.0, 27.0, 2.0 / 1440.0)
    flux = 1.0 - 0.007 * (np.abs(np.mod(day - 1.0 + 1.644, 3.288) - 1.644) < 0.06) + random.normal(0, 0.0015, len(day))
    error = np.full(len(day), 0.0015)
    durations = [0.08, 0.12, 0.2]
    trial = box_period_grid(day, durations, minimum=0.5, maximum=13.0)
    peer = BoxLeastSquares(day, flux, error)
    return {
        "points": len(day),
        "periods": len(trial),
        "ours": timed(lambda: box_least_squares(day, flux, error, durations=durations, periods=trial), rounds),
        "ours_not_averaged": timed(
            lambda: box_least_squares(day, flux, error, durations=durations, periods=trial, bin_time=0.0), 1
        ),
        "astropy": timed(lambda: peer.power(trial, durations, objective="likelihood"), max(1, rounds // 2)),
        "found": box_least_squares(day, flux, error, durations=durations, periods=trial).refined().period,
    }


def moving(epochs: int, exposures: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(3)
    day = np.linspace(20_000.0, 50_000.0, epochs)
    lon, lat = np.mod((day - 20_000) * 0.25, 360), 20 * np.sin((day - 20_000) / 700)
    orbit = Ephemeris.from_columns(day, lon, lat, magnitude=np.full(epochs, 14.5))
    begin = random.uniform(19_500.0, 50_500.0, exposures)
    ra, dec = random.uniform(0, 360, exposures), np.degrees(np.arcsin(random.uniform(-0.99, 0.99, exposures)))
    size, depth = random.uniform(1.0, 8.0, exposures), random.uniform(11.0, 17.0, exposures)

    def circles() -> Any:
        return ExposureList.from_circles(begin, begin + 0.05, ra, dec, size, limiting_magnitude=depth)

    half = np.minimum(size, 80 - np.abs(np.clip(dec, -75, 75))) / 2
    middle = np.clip(dec, -75, 75)
    wide = half / np.cos(np.radians(middle))
    corners = [ra - wide, middle - half, ra + wide, middle - half, ra + wide, middle + half, ra - wide, middle + half]
    flat = np.stack([np.full(exposures, float(POLYGON)), np.full(exposures, 4.0), *corners], axis=1)
    flat[:, 2::2] %= 360.0
    shapes = Shapes(flat.reshape(-1), np.arange(exposures + 1) * 10)
    polygons = ExposureList.from_footprints(begin, begin + 0.05, shapes, limiting_magnitude=depth)
    return {
        "epochs": epochs,
        "exposures": exposures,
        "circles_from_columns": timed(lambda: match_ephemeris(orbit, circles()), rounds),
        "found_in_circles": len(match_ephemeris(orbit, circles())),
        "polygons_list": timed(lambda: ExposureList.from_footprints(begin, begin + 0.05, shapes), 1),
        "polygons_match": timed(lambda: match_ephemeris(orbit, polygons), rounds),
        "found_in_polygons": len(match_ephemeris(orbit, polygons)),
    }


def clocks(rounds: int) -> dict[str, Any]:
    day = np.sort(np.random.default_rng(4).uniform(37_000.0, 60_000.0, 100_000))
    return {
        "times": len(day),
        "hjd_to_barycentre": timed(lambda: to_barycenter(day, HJD_UTC, 14.4, 60.2), rounds),
        "utc_to_tdb": timed(lambda: to_barycenter(day, TimeFrame("utc", "barycenter")), rounds),
        "astropy_utc_to_tdb": timed(lambda: Time(day, format="mjd", scale="utc").tdb.mjd, rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=7000)
    parser.add_argument("--frequencies", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "lomb_scargle": periods(options.points, options.frequencies, options.rounds),
                "box_least_squares": boxes(options.rounds),
                "ephemeris": moving(10_000, 500_000, options.rounds),
                "time_scales": clocks(options.rounds),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
