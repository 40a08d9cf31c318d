"""ZTF light curves for pipelines: all objects around a source, those that are it, by filter and season."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.source import Source
from skyvault.pipeline.survey_observatory import ParsSurvey, SurveyObservatory, unkept
from skyvault.pipeline.tables import datetime_of_mjd, mjd_of_datetime
from skyvault.science.light_curve_reduction import rows_of_source
from skyvault.science.time_scales import Site

if TYPE_CHECKING:
    from skyvault.missions.ztf_api import ZtfApi


class ParsObsZTF(ParsSurvey):
    """What is asked of ZTF, and which of its objects are the source."""

    connections: ClassVar[int] = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("minimal_declination", -30.0, float, "nothing further south is asked for, degrees")
        self.add_par("cone_search_radius", 2.0, float, "radius asked for, arcsec; 3 years of proper motion are added")
        self.add_par("limiting_magnitude", 20.5, float, "nothing fainter is asked for")
        self.add_par("image_filters", ["zg", "zr", "zi"], list, "filters of images and cutouts")
        self.add_par("image_size", 2.0, float, "side of cutouts, arcmin")
        self.add_par("max_images", 200, int, "images of a source, spread over the years; altdata tells of the others")
        self.download_pars_list = ["minimal_declination", "cone_search_radius", "limiting_magnitude"]


class VirtualZTF(SurveyObservatory):
    """The Zwicky Transient Facility as IRSA serves it, by position or by its object IDs."""

    pars_class = ParsObsZTF
    pars: ParsObsZTF
    obs_name: ClassVar[str] = "ZTF"
    #: Palomar's 48-inch telescope (geodetic, WGS84)
    site: ClassVar[Site | None] = Site(-116.8633, 33.3574, 1700.0)

    def service_class(self) -> type[ZtfApi]:
        from skyvault.missions.ztf_api import ZtfApi

        return ZtfApi

    def download_from_observatory(
        self, cat_row: Mapping[str, Any], *, oids: Sequence[int] = (), **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """All measurements within ``cone_search_radius`` of a source, or of ZTF's objects ``oids``, one request."""
        archive, refresh = self.archive, self.pars.refresh
        where = archive.address("lightcurves")
        if oids:
            rows = archive.light_curves(oids=tuple(oids), refresh=refresh)
            return rows, {"service": where, "oids": [int(oid) for oid in oids]}
        pars = self.pars
        mag = cat_row.get("mag")
        if cat_row["dec"] < pars.minimal_declination or (mag is not None and mag > pars.limiting_magnitude):
            return {}, {"skipped": "too far south or too faint"}
        motion = np.hypot(cat_row.get("pmra") or 0.0, cat_row.get("pmdec") or 0.0)
        radius = pars.cone_search_radius + 0.003 * float(motion)
        place = (float(cat_row["ra"]), float(cat_row["dec"]))
        rows = archive.light_curves(place=place, radius_arcsec=radius, refresh=refresh)
        return rows, {"service": where, "radius_arcsec": radius}

    def download_images(self, cat_row: Mapping[str, Any], folder: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The whole quadrants (3k x 3k pixels each) that show a source."""
        return self._images(cat_row, folder, None)

    def download_cutouts(self, cat_row: Mapping[str, Any], folder: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The parts of ``image_size`` around a source of the images that show it."""
        return self._images(cat_row, folder, self.pars.image_size * 60.0)

    def _images(
        self, cat_row: Mapping[str, Any], folder: Path, size_arcsec: float | None
    ) -> tuple[Any, dict[str, Any]]:
        from skyvault.missions.ztf import ZTF
        from skyvault.science.cutouts import spread_in_time

        pars = self.pars
        if cat_row["dec"] < pars.minimal_declination:
            return {}, {"skipped": "too far south"}
        place = (float(cat_row["ra"]) % 360.0, float(cat_row["dec"]))
        with tempfile.TemporaryDirectory(prefix="skyvault_ztf_") as asked:
            mission = unkept(ZTF).around(
                place, 0.0, settings=self.archive.settings, client=self.archive.client, cache=asked
            )
        rows = [
            row for row in mission.all_obs_info.to_pylist()
            if row["science_usable"] and row["filtercode"] in pars.image_filters
        ]  # fmt: skip
        mjd = np.array([mjd_of_datetime(row["start"]) for row in rows], np.float64)
        chosen = spread_in_time(mjd, pars.max_images).tolist() if rows else []
        wanted = [
            (self.archive.image_of(rows[n], place=place if size_arcsec else None, size_arcsec=size_arcsec),
             f"{rows[n]['ObsID']}.fits") for n in chosen
        ]  # fmt: skip
        if wanted:
            self._fetched(wanted, folder)
        columns = {
            "file": [name for _, name in wanted], "mjd": mjd[chosen], "obs_id": [rows[n]["ObsID"] for n in chosen],
            "exptime": np.array([rows[n]["duration"].total_seconds() for n in chosen]),
            "filter": [rows[n]["filtercode"] for n in chosen], "zero_point": np.full(len(chosen), np.nan),
            "maglimit": np.array([rows[n]["maglimit"] or np.nan for n in chosen], np.float64),
        }  # fmt: skip
        about = {"service": self.archive.address("files"), "left_out": len(rows) - len(chosen)}
        return (columns if chosen else {}), about

    def times_of(self, kind: str) -> dict[str, Any]:
        return {"format": "mjd", "offset": 0.0, "scale": "utc", "position": "topocenter"}

    def fetch_by_oid(self, oids: int | str | Sequence[int | str], name: str | None = None) -> Source:
        """A source of ZTF's own objects (one ID, or those of several filters), with raw data and light curves; not
        saved. Raises MissionValueError for what is no ID, DataMissing where ZTF has none of them."""
        from skyvault.missions.ztf_api import checked_oid, light_curve_table
        from skyvault.pipeline.faults import DataMissing

        numbers = [checked_oid(one) for one in ([oids] if isinstance(oids, int | str) else oids)]
        rows, altdata = self.download_from_observatory({}, oids=numbers)
        if not len(rows):
            raise DataMissing(f"ZTF has no object {', '.join(map(str, numbers))[:100]}")
        found = light_curve_table(rows, str(numbers[0]), None, altdata["service"])
        row = {"name": name or f"ZTF {numbers[0]}", "ra": found.ra_deg, "dec": found.dec_deg}
        return self._source_with(row, found.rows, altdata)

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        # UTC at the telescope when the exposure began
        times = {"format": "mjd", "offset": 0.0, "scale": "utc", "position": "topocenter"}
        return {"time": "mjd", "flag": "catflags", "filter": "filtercode"}, times

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

        def own(rows: Any, first: float) -> dict[str, Any]:
            began = datetime_of_mjd(first)
            return {"series": f"{began.year}-{began.month}", "object_id": int(oid[rows[0]])}

        curves = self.pieces(dataset, keep, gap=gap, drop_bad=drop_bad, each=own, time_stamp_alignment="start")
        for curve in curves:
            curve.altdata["series_name"] = f"{curve.altdata.pop('series')}-{curve.filter}"
        return curves
