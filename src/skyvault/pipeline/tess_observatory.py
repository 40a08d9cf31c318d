"""TESS light curves for pipelines: which target of the TESS Input Catalog a source is, and its sectors at MAST."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from skyvault.pipeline.dataset import Lightcurve, RawPhotometry, data_root
from skyvault.pipeline.faults import DataMissing
from skyvault.pipeline.source import Source
from skyvault.pipeline.survey_observatory import ParsSurvey, SurveyObservatory, unkept

if TYPE_CHECKING:
    from skyvault.missions.mast_api import MastApi

#: magnitude of one electron a second (TESS Instrument Handbook, section 7.1)
ZERO_POINT: Final = 20.44
#: magnitudes of catalogues that are compared with TESS's own (600 to 1000 nm), not with Gaia's G
_RED: Final = ("GAIA_RP", "TESS", "I", "RP")
_JD_ZERO: Final = 2400000.5


class ParsObsTESS(ParsSurvey):
    """Which target of TESS a source is, and which of its fluxes are taken."""

    connections: ClassVar[int] = 4

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.preferred_catalog_mag = "Gaia_RP"
        self.add_par("distance_thresh", 10.0, float, "a target further from the source is another star, arcsec")
        self.add_par("magdiff_thresh", 0.75, float, "a target that differs more is another star, magnitudes")
        self.add_par("mag_limit", 18.0, float, "nothing fainter is asked for")
        self.add_par("cat_query_radius", 360.0, float, "radius in which targets are looked for, arcsec")
        self.add_alias("query_radius", "cat_query_radius")
        self.add_par("use_simple_flux", False, bool, "SAP_FLUX, of the aperture alone, instead of PDCSAP_FLUX")
        self.add_par("use_psf_positions", False, bool, "positions from the star's image instead of its moments")
        self.add_par("keep_files", False, bool, "keep the archive's FITS files beside the raw data", critical=False)
        self.download_pars_list = ["distance_thresh", "magdiff_thresh", "mag_limit", "cat_query_radius"]


class VirtualTESS(SurveyObservatory):
    """The light curves that TESS's pipeline (SPOC) made of its chosen targets, sector by sector."""

    pars_class = ParsObsTESS
    pars: ParsObsTESS
    obs_name: ClassVar[str] = "TESS"

    def service_class(self) -> type[MastApi]:
        from skyvault.missions.mast_api import MastApi

        return MastApi

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """All sectors of the target that the source is, at the fastest cadence of each."""
        pars = self.pars
        mag = cat_row.get("mag")
        if mag is not None and mag > pars.mag_limit:
            return {}, {"skipped": "too faint"}
        target = self._target(cat_row)
        if target is None:
            return {}, {"skipped": "no target of TESS is this star"}
        return self._light_curves(target)

    def _target(self, cat_row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The nearest row of the TESS Input Catalog with about the source's magnitude."""
        from skyvault.missions.search import Search

        pars = self.pars
        radius = min(pars.cat_query_radius, max(pars.distance_thresh, 1.0))
        place = Search(float(cat_row["ra"]) % 360.0, float(cat_row["dec"]), radius / 3600.0)
        rows = self.archive.targets(place, refresh=pars.refresh).to_pylist()
        mag = cat_row.get("mag")
        band = str(cat_row.get("mag_filter") or pars.preferred_catalog_mag or "").upper()
        order = ("Tmag", "GAIAmag") if band in _RED else ("GAIAmag", "Tmag")
        for row in sorted(rows, key=lambda row: _number(row.get("dstArcSec"))):
            if not _number(row.get("dstArcSec")) <= pars.distance_thresh:
                break
            known = next((row[name] for name in order if row.get(name) is not None), None)
            if mag is None or known is None or abs(float(known) - mag) < pars.magdiff_thresh:
                return dict(row)
        return None

    def _light_curves(self, target: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        from skyvault.missions.search import Search
        from skyvault.missions.tess import TESS

        ticid = int(target["ID"])
        about: dict[str, Any] = {"TICID": ticid, "filter": "TESS", "TESSMAG": target.get("Tmag")}
        own = (self.root or data_root()) / self.name / "files"
        # the rows are kept as raw data: the files would be the same once more
        folder = own if self.pars.keep_files else Path(tempfile.mkdtemp(prefix="skyvault_tess_"))
        try:
            place = Search(float(target["ra"]) % 360.0, float(target["dec"]), source_id=str(ticid))
            mission = unkept(TESS)(
                search=place, settings=self.archive.settings, client=self.archive.client, output=folder, cache=folder,
                refresh=self.pars.refresh,
            )  # fmt: skip
            if not any(str(url).endswith("lc.fits") for url in mission.all_obs_info["data_url"].to_pylist()):
                return {}, {**about, "skipped": "the target has no light curves"}
            curve = mission.light_curve(ticid)
        finally:
            if not self.pars.keep_files:
                shutil.rmtree(folder, ignore_errors=True)
        headers = [{**one["primary"], **one["lightcurve"]} for one in curve.about["headers"]]
        sectors = [{name: one.get(name) for name in _CARDS} for one in headers]
        about |= {
            "service": curve.service, "files": list(curve.about["files"]), "zero_jd": curve.time.zero_jd,
            "time_stamp_alignment": curve.time.stamp, "SECTORS": [one["SECTOR"] for one in sectors],
            "headers": sectors, "RA_OBJ": curve.ra_deg, "DEC_OBJ": curve.dec_deg,
            "time_scale": None if curve.time.scale == "unknown" else curve.time.scale,
        }  # fmt: skip
        return curve.rows, about

    def fetch_by_ticid(self, ticid: int | str, *, use_catalog: bool = True) -> Source:
        """A source by its number in the TESS Input Catalog (25155310, "TIC 25155310"), with raw data and light curves;
        not saved.

        Where this observatory has a catalogue, ``use_catalog`` gives the source the name, place and magnitude of the
        nearest row within ``distance_thresh``. Raises DataMissing where there is no such target or no light curve.
        """
        from skyvault.missions.mast_api import checked_ticid
        from skyvault.missions.search import Search

        number = checked_ticid(ticid)
        found = self.archive.targets(Search(0.0, 0.0, source_id=str(number)), refresh=self.pars.refresh).to_pylist()
        if not found:
            raise DataMissing(f"the TESS Input Catalog has no TIC {number}")
        target = found[0]
        place = (float(target["ra"]) % 360.0, float(target["dec"]))
        row = {
            "name": f"TIC {number}",
            "ra": place[0],
            "dec": place[1],
            "mag": target.get("Tmag"),
            "mag_filter": "TESS",
        }
        if use_catalog and self.catalog is not None:
            near = self.catalog.get_nearest_row(*place, radius=self.pars.distance_thresh, output="dict")
            row = row if near is None else dict(near)
        data, altdata = self._light_curves(target)
        if not len(data):
            raise DataMissing(f"TESS has no light curve of TIC {number}")
        return self._source_with(row, data, altdata)

    #: the name it has in the seed's documentation
    download_by_tic = fetch_by_ticid

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        pars = self.pars
        flux = "SAP_FLUX" if pars.use_simple_flux else "PDCSAP_FLUX"
        place = "PSF_CENTR" if pars.use_psf_positions else "MOM_CENTR"
        colmap = {
            "time": "TIME", "flux": flux, "fluxerr": f"{flux}_ERR", "flag": "QUALITY", "exptime": "EXPOSURE_S",
            "bg": "SAP_BKG", "pos1": f"{place}1", "pos2": f"{place}2",
        }  # fmt: skip
        zero = float(altdata.get("zero_jd") or 2457000.0)
        times = {"format": "bjd", "offset": zero - _JD_ZERO, "position": "barycenter"}
        # empty answers have no time to speak of
        return colmap, {**times, "scale": altdata.get("time_scale", "tdb")}

    def reduce_photometry(
        self, dataset: RawPhotometry, source: Source | None = None, *, gap: float = 0.0, drop_bad: bool = False,
        **kwargs: Any,
    ) -> list[Lightcurve]:  # fmt: skip
        """One light curve a sector (and season within it, where ``gap`` days is positive), in electrons a second.

        Magnitudes are those of the instrument's zero point, 20.44; ``zero_point_measured`` is the one that gives the
        target the catalogue's TESS magnitude. Neither trends nor bad rows are taken out unless ``drop_bad``.
        """
        rows = dataset.data
        if not len(rows):
            return []
        altdata = dataset.altdata or {}
        sectors = rows["SECTOR"] if "SECTOR" in (rows.dtype.names or ()) else np.zeros(len(rows))
        headers = {one.get("SECTOR"): one for one in altdata.get("headers", ())}
        made: list[Lightcurve] = []
        for sector in np.unique(sectors).tolist():
            head = headers.get(int(sector), {})
            about = {name.lower(): head.get(name) for name in ("CAMERA", "CCD") if head.get(name) is not None}
            made += self.pieces(
                dataset, sectors == sector, gap=gap, drop_bad=drop_bad, **about, sector=int(sector),
                zero_point=ZERO_POINT, object_id=altdata.get("TICID"), flux_unit="electron/s", headers=None, files=None,
                series_name=f"TESS_{int(sector)}_{head.get('CAMERA', 0)}_{head.get('CCD', 0)}",
                time_stamp_alignment=altdata.get("time_stamp_alignment", "middle"),
                ra=altdata.get("RA_OBJ"), dec=altdata.get("DEC_OBJ"),
            )  # fmt: skip
        for curve in made:
            for name in ("headers", "files"):
                curve.altdata.pop(name)
            if altdata.get("TESSMAG") is not None and curve.flux_mean_robust and curve.flux_mean_robust > 0.0:
                usual = float(np.nanmedian(curve.data["flux"][~curve.is_flagged]))
                curve.zero_point_measured = float(altdata["TESSMAG"]) + 2.5 * float(np.log10(usual))
        return made


def _number(value: Any) -> float:
    return float("inf") if value is None else float(value)


#: cards of the light-curve files that are kept with the raw data
_CARDS: Final = (
    "SECTOR", "CAMERA", "CCD", "TICID", "TESSMAG", "RA_OBJ", "DEC_OBJ", "PMRA", "PMDEC", "TEFF", "LOGG", "RADIUS",
    "TIMESYS", "TIMEPIXR", "INT_TIME", "NUM_FRM", "CRBLKSZ", "CRMITEN", "EXPOSURE", "TSTART", "TSTOP", "CDPP1_0",
    "FILENAME", "PROCVER", "DATA_REL",
)  # fmt: skip
