"""A century of photographic plates for pipelines: the reference star that a source is, and its light curve in DASCH."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry
from skyvault.pipeline.raw_data import RawImages
from skyvault.pipeline.source import Source
from skyvault.pipeline.survey_observatory import ParsSurvey, SurveyObservatory, unkept
from skyvault.pipeline.tables import mjd_of_datetime

if TYPE_CHECKING:
    from skyvault.missions.dasch_api import DaschApi

_JD_ZERO: Final = 2400000.5
#: warnings (AFLAGS) with which DASCH's reduction guide leaves a measurement out: high background, large isophotal or
#: local scatter, close to the limit, unknown drad of its bin
STANDARD_REJECTION: Final = 0xB840
#: what the guide has for outliers a person looks at, suspected defects and large distances from the star; where nobody
#: looks, they count as bad from the beginning
OUTLIERS: Final = 1 << 25 | 1 << 23


class ParsObsDASCH(ParsSurvey):
    """Which star of DASCH's reference catalogue a source is, and which measurements are good."""

    connections: ClassVar[int] = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("refcat", "apass", str, "reference catalogue: apass or atlas")
        self.add_par("match_radius", 15.0, float, "a reference star further from the source is another one, arcsec")
        self.add_par("magdiff_thresh", None, (None, float), "one that differs more is another one, magnitudes")
        self.add_par("mag_limit", 18.0, float, "nothing fainter is asked for: plates end there")
        self.add_par("bad_flags", STANDARD_REJECTION | OUTLIERS, int, "AFLAGS with which a measurement counts as bad")
        self.add_par(
            "max_offset", 15.0, (None, float), "a measurement further from the star, at its epoch, is bad, arcsec"
        )
        self.add_par("exposure_times", False, bool, "ask for the list of exposures, too, which tells their lengths")
        self.add_par("max_images", 50, int, "cutouts of a source, spread over the century; altdata tells of the others")
        self.download_pars_list = ["refcat", "match_radius", "magdiff_thresh", "mag_limit", "exposure_times"]


class VirtualDASCH(SurveyObservatory):
    """Harvard's plates of 1885 to 1992 as DASCH measured them (data release 7)."""

    pars_class = ParsObsDASCH
    pars: ParsObsDASCH
    obs_name: ClassVar[str] = "DASCH"

    def service_class(self) -> type[DaschApi]:
        from skyvault.missions.dasch_api import DaschApi

        return DaschApi

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """All measurements and upper limits of the reference star that the source is; two requests."""
        pars = self.pars
        mag = cat_row.get("mag")
        if mag is not None and mag > pars.mag_limit:
            return {}, {"skipped": "too faint"}
        place = (float(cat_row["ra"]) % 360.0, float(cat_row["dec"]))
        star = self._star(place, mag)
        if star is None:
            return {}, {"skipped": f"no star of {pars.refcat} is this one"}
        curve = self.archive.light_curve(
            star["ref_number"], star["gsc_bin_index"], pars.refcat, source_id=str(star["ref_text"] or ""), place=place,
            refresh=pars.refresh,
        )  # fmt: skip
        about = {
            "service": curve.service, "ref_number": int(star["ref_number"]), "ref_text": star["ref_text"],
            "gsc_bin_index": int(star["gsc_bin_index"]), "refcat": pars.refcat, "filter": "B",
            "stdmag": star.get("stdmag"), "separation_arcsec": star["sep_arcsec"],
            "num_limits": int(curve.is_limit.sum()),
        }  # fmt: skip
        rows = curve.rows
        if pars.exposure_times:
            rows = rows.append_column("exptime", self._exposure_times(place, rows))
        return rows, about

    def _star(self, place: tuple[float, float], mag: float | None) -> dict[str, Any] | None:
        from skyvault.missions.dasch_rules import nearest

        pars = self.pars
        stars = self.archive.reference_stars(*place, pars.match_radius, pars.refcat, refresh=pars.refresh)
        for star in nearest(stars, pars.match_radius).to_pylist():
            known = star.get("stdmag")
            limit = pars.magdiff_thresh
            if limit is None or mag is None or known is None or abs(float(known) - mag) < limit:
                return dict(star)
        return None

    def download_cutouts(self, cat_row: Mapping[str, Any], folder: Path, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The 20 arcmin around a source on the plates that show it, spread over the century."""
        from skyvault.missions.dasch import DASCH
        from skyvault.net.stopping import side_by_side
        from skyvault.science.cutouts import spread_in_time

        place = (float(cat_row["ra"]) % 360.0, float(cat_row["dec"]))
        with tempfile.TemporaryDirectory(prefix="skyvault_dasch_") as asked:
            mission = unkept(DASCH).around(
                place, settings=self.archive.settings, client=self.archive.client, cache=asked
            )
        rows = [row for row in mission.all_obs_info.to_pylist() if row["science_usable"]]
        mjd = np.array([np.nan if row["start"] is None else mjd_of_datetime(row["start"]) for row in rows], np.float64)
        chosen = [rows[n] for n in (spread_in_time(mjd, self.pars.max_images).tolist() if rows else [])]
        folder.mkdir(parents=True, exist_ok=True)

        def fetch(row: dict[str, Any]) -> Path:
            path: Path = self.archive.cutout(row["plate_id"], row["solnum"], *place, folder / f"{row['ObsID']}.fits")
            return path

        side_by_side(fetch, chosen, parallel=self.pars.connections, name="cutouts")
        columns = {
            "file": [f"{row['ObsID']}.fits" for row in chosen], "obs_id": [row["ObsID"] for row in chosen],
            "mjd": np.array([mjd_of_datetime(row["start"]) for row in chosen], np.float64),
            "exptime": np.array([row["duration"].total_seconds() or np.nan for row in chosen], np.float64),
            "filter": ["B"] * len(chosen), "zero_point": np.full(len(chosen), np.nan),
            "series": [row["series"] for row in chosen],
        }  # fmt: skip
        about = {"service": self.archive.address("api"), "left_out": len(rows) - len(chosen)}
        return (columns if chosen else {}), about

    def times_of(self, kind: str) -> dict[str, Any]:
        # of the list of exposures: not corrected to the Sun, unlike the light curves
        return {"format": "mjd", "offset": 0.0, "scale": "utc", "position": "geocenter"}

    def reduce_cutouts(self, dataset: RawImages, source: Source | None = None, **kwargs: Any) -> list[Lightcurve]:
        """None: the blackening of a plate is no flux. Magnitudes of plates are DASCH's own, by data type photometry."""
        return []

    def _exposure_times(self, place: tuple[float, float], rows: Any) -> Any:
        """Seconds of each row's exposure, by plate and solution; NaN where the list of exposures has none."""
        import pyarrow as pa

        from skyvault.missions.search import Search

        listed, _ = self.archive.observations(Search(*place), refresh=self.pars.refresh)
        names = ("series", "platenum", "solnum")
        known = {
            (str(row["series"]).lower(), row["platenum"], row["solnum"]): float(row["exptime"] or 0.0) * 60.0
            for row in listed.select([*names, "exptime"]).to_pylist()
        }
        keys = zip(*(rows[name].to_pylist() for name in ("series", "plate_number", "solution_number")), strict=True)
        return pa.array(
            [known.get((str(series).lower(), plate, solution)) or float("nan") for series, plate, solution in keys],
            pa.float64(),
        )

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        colmap = {
            "time": "date_jd", "mag": "magcal_magdep", "magerr": "magcal_local_rms", "ra": "ra_deg", "dec": "dec_deg",
            "flag": "aflags", "exptime": "exptime",
        }  # fmt: skip
        # heliocentric for measurements; those of upper limits, which are no part of light curves, are geocentric
        times = {"format": "jd", "offset": -_JD_ZERO, "scale": "utc", "position": "heliocenter"}
        return colmap, times

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, gap: float = 0.0, drop_bad: bool = False,
        series: str | list[str] | None = None, **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """One light curve of the calibrated magnitudes (and of each season, where ``gap`` days is positive).

        Measurements with any of ``bad_flags``, or beyond ``max_offset``, are flagged. ``series`` takes only these plate
        series. Upper limits are counted, not shown: altdata ``num_limits``. Times are of the middle of an exposure;
        exposure times are NaN unless they were asked for.
        """
        rows = dataset.data
        if not len(rows):
            return []
        keep = (rows["gsc_bin_index"] != 0) | (rows["sextractor_number"] != 0)
        keep &= np.isfinite(rows["magcal_magdep"])
        if series is not None:
            wanted = [name.strip().lower().encode() for name in ([series] if isinstance(series, str) else series)]
            keep &= np.isin(np.char.lower(rows["series"]), wanted)
        return self.pieces(dataset, keep, gap=gap, drop_bad=drop_bad, time_stamp_alignment="middle")

    def taken_over(self, dataset: RawPhotometry) -> dict[str, Any]:
        columns = super().taken_over(dataset)
        if "flag" in columns:
            flag = columns["flag"]
            # unknown warnings (of upper limits) are no good measurement either
            known = np.isfinite(flag)
            columns["flag"] = ~known | ((np.where(known, flag, 0).astype(np.int64) & self.pars.bad_flags) != 0)
            if self.pars.max_offset is not None:
                columns["flag"] |= self._offsets(dataset) > self.pars.max_offset
        # plates' exposure times are another question to the archive: unknown is said, not made up
        columns.setdefault("exptime", np.full(len(dataset.data), np.nan))
        return columns

    def _offsets(self, dataset: RawPhotometry) -> Any:
        """Arcsec between each measurement and the star at the plate's epoch (as DASCH moves it; else where it is in the
        catalogue), shape (n,); NaN where a place is not known."""
        rows = dataset.data
        ra, dec = self._place_of(dataset)
        star_ra = np.where(
            np.isfinite(rows["ra_cat_corrected"]), rows["ra_cat_corrected"], np.nan if ra is None else ra
        )
        star_dec = np.where(
            np.isfinite(rows["dec_cat_corrected"]), rows["dec_cat_corrected"], np.nan if dec is None else dec
        )
        east = ((rows["ra_deg"] - star_ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(star_dec))
        return 3600.0 * np.hypot(east, rows["dec_deg"] - star_dec)
