"""An observatory that makes up its data: for trying out projects, for tests, and for measuring speed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.source import Source


class ParsDemoObs(ParsObservatory):
    """What the simulated survey does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("demo_boolean", True, bool, "a truth value, to try out")
        self.add_par("demo_string", "foo", str, "a text, to try out")
        self.add_par("wait_time", 0.0, float, "seconds a download takes", critical=False)
        self.add_par("sim_args", {}, dict, "arguments of simulate_lightcurve")
        self.add_par("seed", 0, int, "first number of the random series")
        self.download_pars_list = ["sim_args", "seed"]


class VirtualDemoObs(Observatory):
    """A survey of one filter with white noise; the same source always gives the same data."""

    pars_class = ParsDemoObs
    pars: ParsDemoObs
    obs_name: ClassVar[str] = "DEMO"

    def download_from_observatory(
        self, cat_row: Mapping[str, Any], *, wait_time: float | None = None, sim_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        wait = self.pars.wait_time if wait_time is None else wait_time
        if wait > 0.0:
            time.sleep(wait)
        data = self.simulate_lightcurve(cat_row, **{**self.pars.sim_args, **(sim_args or {})})
        return data, {"demo_boolean": self.pars.demo_boolean, "wait_time": wait}

    def simulate_lightcurve(
        self, cat_row: Mapping[str, Any], *, num_points: int = 100, mjd_range: tuple[float, float] = (57000, 58000),
        mag_err_range: tuple[float, float] = (0.09, 0.11), mean_mag: float = 18.0, exptime: float = 30.0,
        filter: str = "R",
    ) -> Any:  # fmt: skip
        """Columns mjd, mag, mag_err, ra, dec, filter, flag, exptime, shape (num_points,)."""
        rng = np.random.default_rng([self.pars.seed, zlib.crc32(str(cat_row["name"]).encode())])
        errors = rng.uniform(*mag_err_range, num_points)
        kinds = [(name, "<f8") for name in ("mjd", "mag", "mag_err", "ra", "dec")]
        rows = np.zeros(num_points, [*kinds, ("filter", f"S{max(len(filter), 1)}"), ("flag", "?"), ("exptime", "<f8")])
        rows["mjd"] = np.sort(rng.uniform(*mjd_range, num_points))
        rows["mag"] = mean_mag + errors * rng.standard_normal(num_points)
        rows["mag_err"] = errors
        rows["ra"] = (cat_row["ra"] + 1e-4 * rng.standard_normal(num_points)) % 360.0
        rows["dec"] = np.clip(cat_row["dec"] + 1e-4 * rng.standard_normal(num_points), -90.0, 90.0)
        rows["filter"], rows["exptime"] = filter.encode(), exptime
        return rows

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, mag_range: float | None = None,
        drop_bad: bool = False, gap: float = 0.0, **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """One light curve a filter; none where the median magnitude is not within ``mag_range`` of the source's."""
        mag = dataset.column("mag")
        if mag is None or not len(mag):
            return []
        known = source.mag if source is not None else None
        if mag_range and known is not None and not abs(float(np.nanmedian(mag)) - known) < mag_range:
            return []
        return self.pieces(dataset, np.ones(len(mag), np.bool_), gap=gap, drop_bad=drop_bad)
