"""ZTF light curves for pipelines: all objects around a source, those that are it, by filter and season."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.observatory import Observatory, ParsObservatory
from skyvault.pipeline.source import Source
from skyvault.pipeline.tables import datetime_of_mjd
from skyvault.science.light_curve_reduction import rows_of_source


class ParsObsZTF(ParsObservatory):
    """What is asked of ZTF, and which of its objects are the source."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("minimal_declination", -30.0, float, "nothing further south is asked for, degrees")
        self.add_par("cone_search_radius", 2.0, float, "radius asked for, arcsec; 3 years of proper motion are added")
        self.add_par("limiting_magnitude", 20.5, float, "nothing fainter is asked for")
        self.download_pars_list = ["minimal_declination", "cone_search_radius", "limiting_magnitude"]


class VirtualZTF(Observatory):
    """The Zwicky Transient Facility, by position, as IRSA serves it; ``mission`` is a ZTF mission to use."""

    pars_class = ParsObsZTF
    pars: ParsObsZTF
    obs_name: ClassVar[str] = "ZTF"

    def __init__(self, *, mission: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._mission = mission

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        pars = self.pars
        mag = cat_row.get("mag")
        if cat_row["dec"] < pars.minimal_declination or (mag is not None and mag > pars.limiting_magnitude):
            return {}, {"skipped": "too far south or too faint"}
        motion = np.hypot(cat_row.get("pmra") or 0.0, cat_row.get("pmdec") or 0.0)
        radius = pars.cone_search_radius + 0.003 * float(motion)
        place = (float(cat_row["ra"]), float(cat_row["dec"]))
        if self._mission is None:
            from skyvault.missions.ztf import ZTF

            curve = ZTF.around(place, 0.0).light_curve(place, radius_arcsec=radius)
        else:
            curve = self._mission.light_curve(place, radius_arcsec=radius)
        return curve.rows, {"service": curve.service, "radius_arcsec": radius}

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        return {"time": "mjd", "flag": "catflags", "filter": "filtercode"}, {"format": "mjd", "offset": 0.0}

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, mag_range: float | None = 0.75,
        radius: float | None = 3.0, gap: float = 40.0, drop_bad: bool = False, **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """Light curves by season (gaps longer than ``gap`` days in any filter) and filter.

        An object of ZTF is taken when the medians of its good epochs are within ``radius`` arcsec and ``mag_range`` of
        the source's; 0 or None leaves a test out. Times are of the start of an exposure.
        """
        rows = dataset.data
        if not len(rows):
            return []
        oid = rows["oid"]
        ra, dec, mag, flag = (dataset.column(name) for name in ("ra", "dec", "mag", "flag"))
        if ra is None or dec is None or mag is None or flag is None:
            return []
        keep = rows_of_source(
            oid, ra, dec, mag, flag != 0,
            place=None if source is None else (source.ra, source.dec), radius_arcsec=radius,
            source_mag=None if source is None else source.mag, mag_range=mag_range,
        )  # fmt: skip
        curves = self.pieces(dataset, keep, gap=gap, drop_bad=drop_bad, time_stamp_alignment="start")
        mjd = dataset.mjds
        for curve in curves:
            first = curve.data["mjd"][0]
            began = datetime_of_mjd(float(first))
            curve.altdata["series_name"] = f"{began.year}-{began.month}-{curve.filter}"
            same = np.flatnonzero((mjd == first) & keep)
            curve.altdata["object_id"] = int(oid[same[0]])
        return curves
