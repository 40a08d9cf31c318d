"""DASCH: a century of photographic plates at Harvard, 1885 to 1992, scanned and measured (data release 7)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from skyvault.missions.arguments import angle_deg
from skyvault.missions.dasch_api import CUTOUT_DEG, DaschApi
from skyvault.missions.dasch_rules import nearest, prepare, star_of
from skyvault.missions.dasch_series import SERIES, half_side_deg
from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, Selector, observation
from skyvault.missions.faults import MissionValueError, MissionWarning
from skyvault.missions.light_curve_files import LightCurveTable
from skyvault.missions.search import Search, place_of
from skyvault.missions.service import ArchiveService
from skyvault.missions.time_domain import TimeDomainMission

#: series with plates whose camera DASCH does not describe
_OTHERS = (
    "d", "e", "hsl", "misc", "n", "nviews", "o", "oa", "p", "q", "qa", "qb", "ra", "rp", "solar", "sp", "sq", "t", "u",
    "v", "vq", "w", "wa", "ww", "z",
)  # fmt: skip
_ALL = (*SERIES, *_OTHERS)


class DASCH(TimeDomainMission):
    """Exposures on plates that show a place. Instruments are the plate series.

    ``DASCH.around(target)``: the archive is asked for one point and tells every exposure whose plate holds it, by the
    plate's true outline where it was solved. There is no list of all exposures, and no question for a region: so a
    radius is refused rather than half obeyed.
    """

    service_class: ClassVar[type[ArchiveService]] = DaschApi
    id_columns: ClassVar[tuple[str, ...]] = ("plate_id",)
    archive: DaschApi
    declaration = Declaration(
        name="dasch",
        pretty_name="DASCH",
        id_pattern=r"^[a-z]+[0-9]{5,6}(m-?[0-9]+s-?[0-9]+|e[0-9]+)$",
        archive="dasch",
        service="api",
        service_url="https://api.starglass.cfa.harvard.edu/public/",
        frame="ICRS",
        columns=(
            *observation(start="start", end="end", duration="duration", obs_id="exp_id", usable="has_imaging"),
            ObsColumn("plate_id", "plate_id"),
            ObsColumn("series", "series"),
            ObsColumn("platenum", "platenum", "int"),
            ObsColumn("mosnum", "mosnum", "int"),
            ObsColumn("solnum", "solnum", "int"),
            ObsColumn("expnum", "expnum", "int"),
            ObsColumn("is_scanned", "is_scanned", "bool"),
            ObsColumn("wcssource", "wcssource"),
            ObsColumn("center_distance_cm", "centerdist", "float"),
            ObsColumn("edge_distance_cm", "edgedist", "float"),
            ObsColumn("lim_mag_apass", "limMagApass", "float"),
            ObsColumn("lim_mag_atlas", "limMagAtlas", "float"),
            ObsColumn("median_colorterm_apass", "medianColortermApass", "float"),
            ObsColumn("median_colorterm_atlas", "medianColortermAtlas", "float"),
            ObsColumn("result_id_apass", "resultIdApass"),
            ObsColumn("result_id_atlas", "resultIdAtlas"),
        ),
        needs=("series", "platenum", "scannum", "mosnum", "expnum", "solnum", "ra", "dec", "exptime", "expdate",
               "wcssource"),
        makes=("exp_id", "plate_id", "start", "end", "duration", "has_imaging", "is_scanned"),
        prepare=prepare,
        instruments=_ALL,
        default_instruments=_ALL,
        selectors=(Selector("series", {name: (name,) for name in _ALL}),),
        fov_column="series",
        fov_deg={name: half_side_deg(name) for name in _ALL},
        wavelength_m=(3.5e-7, 7.0e-7),
        politeness=Politeness(connections=2, requests_per_minute=30),
        notes=("2024-12-29: data release 7. Cite https://dasch.cfa.harvard.edu/citing/.",),
    )  # fmt: skip

    @classmethod
    def around(cls, target: Any, radius: Any = None, insts: Any = None, **how: Any) -> DASCH:
        """The exposures of plates that show a point; see :meth:`TimeDomainMission.around`. No ``radius`` is taken."""
        if radius is not None:
            raise MissionValueError(
                "DASCH is asked for plates that show one point, and takes no radius", hint="Leave the radius out."
            )
        return super().around(target, 0.0, insts, **how)

    def reference_stars(
        self, target: Any = None, radius_arcsec: float = 850.0, refcat: str = "apass", *, refresh: bool = False
    ) -> pa.Table:
        """Stars of the reference catalogue near a place (that of the search), nearest first, with ``sep_arcsec``."""
        place = self._place(target)
        stars = self.archive.reference_stars(*place, radius_arcsec, refcat, refresh=refresh)
        return nearest(stars, radius_arcsec)

    def light_curve(
        self, source: Any = None, *, refcat: str = "apass", radius_arcsec: float = 20.0, refresh: bool = False,
        **how: Any,
    ) -> LightCurveTable:  # fmt: skip
        """The century-long light curve of a star.

        ``source`` is a row of :meth:`reference_stars` (a mapping with ref_number and gsc_bin_index), the pair
        (ref_number, gsc_bin_index), a catalogue name such as "APASS_J083954.6+194919", or a place: then the nearest
        star of the catalogue within ``radius_arcsec`` is taken; None means the place of the search.
        """
        star = star_of(source, lambda where, radius: self.reference_stars(where, radius, refcat), radius_arcsec)
        return self.archive.light_curve(
            star["ref_number"],
            star["gsc_bin_index"],
            refcat,
            source_id=str(star.get("ref_text") or star["ref_number"]),
            place=(star["ra_deg"], star["dec_deg"]) if "ra_deg" in star else None,
            refresh=refresh,
        )

    def cutout(self, obs_id: str, target: Any = None, *, refresh: bool = False) -> Path:
        """The path of the 20 arcmin image of a place (that of the search) on an exposure, fetched unless here."""
        row = self._solved(obs_id)
        ra_deg, dec_deg = self._place(target)
        name = f"cutout_{Search(ra_deg, dec_deg).key}.fits"
        return self.archive.cutout(
            row["plate_id"], row["solnum"], ra_deg, dec_deg, self.folder / obs_id / name, refresh=refresh
        )

    def image(
        self, obs_id: str, *, position: Any = None, size: Any = None, binning: int | None = None, refresh: bool = False
    ) -> Path:
        """The path of an image of an exposure: around ``position`` a cutout, which is 20 arcmin wide whatever ``size``;
        otherwise the whole plate, binned by 16 or (up to 2 GB) by 1."""
        if size is not None and abs(float(angle_deg(size, "size")) - CUTOUT_DEG) > 0.01:
            warnings.warn(
                f"images around a place are {CUTOUT_DEG * 60:.0f} arcmin wide here, not as asked", MissionWarning,
                stacklevel=2,
            )  # fmt: skip
        if binning is None and position is not None:
            return self.cutout(obs_id, position, refresh=refresh)
        row = self._solved(obs_id)
        factor = 16 if binning is None else binning
        target = self.folder / obs_id / f"{row['plate_id']}_{factor:02d}.fits.fz"
        if target.is_file() and not refresh:
            return target
        return self.archive.fetched(self.archive.mosaic(row["plate_id"], factor), target, refresh=refresh)

    def plate_photometry(self, obs_id: str, target: Any = None, refcat: str = "apass") -> pa.Table:
        """What an exposure shows within 10 arcmin of a place, detections without a catalogued star included."""
        row = self._solved(obs_id)
        return self.archive.plate_photometry(row["plate_id"], row["solnum"], *self._place(target), refcat)

    def _place(self, target: Any) -> tuple[float, float]:
        if target is None:
            if self.search is None:
                raise MissionValueError("this mission was made of a table, and knows no place", hint="Give a target.")
            return self.search.ra_deg, self.search.dec_deg
        return place_of(target, self.resolver)

    def _solved(self, obs_id: str) -> dict[str, Any]:
        row = self.row_of(obs_id)
        if not row["science_usable"]:
            raise MissionValueError(f"exposure {obs_id} was not scanned, or has no astrometric solution")
        return row
