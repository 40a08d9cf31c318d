"""TESS: light curves and pixels of two million chosen stars since 2018, each sector 27 days; as served by MAST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.config import Settings
from skyvault.errors import FormatError
from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, observation
from skyvault.missions.faults import MissionValueError
from skyvault.missions.light_curve_files import LightCurveTable
from skyvault.missions.mast_api import MastApi, checked_ticid
from skyvault.missions.search import Search
from skyvault.missions.service import ArchiveService
from skyvault.missions.tess_files import joined, read_light_curve
from skyvault.missions.tess_rules import prepare
from skyvault.missions.time_domain import TimeDomainMission, fetch_all
from skyvault.net.client import HttpClient


class TESS(TimeDomainMission):
    """Observations of one target in one sector at one cadence, made by the mission itself (not the community's).

    ``TESS.of_tic(25155310)`` takes a target by its number in the TESS Input Catalog; ``TESS.around(target, radius)``
    all targets in a circle, by default of 10 arcsec: TESS's pixels are 21 arcsec wide.
    """

    service_class: ClassVar[type[ArchiveService]] = MastApi
    id_columns: ClassVar[tuple[str, ...]] = ("ticid", "obsid")
    default_radius_deg: ClassVar[float] = 10.0 / 3600.0
    archive: MastApi
    declaration = Declaration(
        name="tess",
        pretty_name="TESS",
        id_pattern=r"^tess[0-9]{13}-s[0-9]{4}-[0-9]{16}-[0-9]{4}-[a-z](_fast)?$",
        archive="mast",
        service="api",
        service_url="https://mast.stsci.edu/api/v0/",
        frame="ICRS",
        columns=(
            ObsColumn("ra", "s_ra", "float"),
            ObsColumn("dec", "s_dec", "float"),
            *observation(start="t_min", end="t_max", obs_id="obs_id")[2:],
            ObsColumn("ticid", "ticid", "int"),
            ObsColumn("sector", "sector", "int"),
            ObsColumn("cadence_s", "cadence_s", "int"),
            ObsColumn("obsid", "obsid"),
            ObsColumn("data_url", "dataURL"),
        ),
        needs=("obs_id", "target_name"),
        makes=("ticid", "sector", "cadence_s"),
        prepare=prepare,
        keep={"obs_collection": ("tess",), "dataproduct_type": ("timeseries",)},
        keep_ids=r"^tess[0-9]{13}-s",
        instruments=("Photometer",),
        default_instruments=("Photometer",),
        # 11 pixels of 21 arcsec
        fov_deg=0.032,
        wavelength_m=(6.0e-7, 1.0e-6),
        politeness=Politeness(connections=4, requests_per_minute=120),
    )

    @classmethod
    def of_tic(
        cls,
        ticid: Any,
        insts: str | Sequence[str] | None = None,
        *,
        settings: Settings | None = None,
        client: HttpClient | None = None,
        **how: Any,
    ) -> Self:
        """The observations of one target of the TESS Input Catalog: 25155310, "TIC 25155310".

        Raises MissionValueError when the catalogue has no such number.
        """
        settings = settings or Settings()
        number = checked_ticid(ticid)
        found = MastApi(settings, client).targets(Search(0.0, 0.0, source_id=str(number)))
        if not found.num_rows:
            raise MissionValueError(f"the TESS Input Catalog has no TIC {number}")
        row = {name: found[name][0].as_py() for name in ("ra", "dec")}
        search = Search(float(row["ra"]) % 360.0, float(row["dec"]), source_id=str(number))
        return cls(insts, search=search, settings=settings, client=client, **how)

    def targets(self, radius: Any = None) -> pa.Table:
        """Rows of the TESS Input Catalog around the search's place (``radius`` by default 6 arcmin), nearest first."""
        if self.search is None:
            raise MissionValueError("this mission was made of a table, and knows no place")
        place = (self.search.ra_deg, self.search.dec_deg)
        found = self.archive.targets(Search.around(place, 0.1 if radius is None else radius))
        return found.sort_by("dstArcSec") if "dstArcSec" in found.column_names else found

    def light_curve(
        self, source: Any = None, *, sector: int | None = None, refresh: bool = False, **how: Any
    ) -> LightCurveTable:
        """The light curve of a target, one sector or all together, by time; at the fastest cadence of each sector.

        ``source`` is a TIC number, or None where the chosen observations are of one target. Files are fetched unless
        they are here. Raises MissionValueError when there are several targets or none, and what fetching raises.
        """
        rows = self._table.filter(pc.equal(self._table["ticid"], checked_ticid(source))) if source is not None else (
            self.filtered_obs_info
        )  # fmt: skip
        if sector is not None:
            rows = rows.filter(pc.equal(rows["sector"], int(sector)))
        rows = rows.filter(pc.match_substring_regex(pc.fill_null(rows["data_url"], ""), r"lc\.fits$"))
        tics = pc.unique(rows["ticid"]).to_pylist()
        if len(tics) != 1:
            listed = ", ".join(f"TIC {tic}" for tic in sorted(tics)[:8])
            raise MissionValueError(
                f"there are light curves of {len(tics)} targets{f': {listed}' if listed else ''}",
                hint="Give one of them as source." if tics else "Ask TESS.of_tic(number), or another sector.",
            )
        # the fastest cadence of a sector, whose file has the most rows
        best: dict[int, dict[str, Any]] = {}
        for row in rows.select(["ObsID", "sector", "cadence_s", "data_url"]).to_pylist():
            if row["sector"] not in best or row["cadence_s"] < best[row["sector"]]["cadence_s"]:
                best[row["sector"]] = row
        wanted = [
            (self.archive.file(row["data_url"]), self.folder / row["ObsID"] / row["data_url"].rpartition("/")[2])
            for row in best.values()
        ]
        paths = fetch_all(self.archive, wanted, refresh=refresh)
        try:
            curves = [read_light_curve(path) for path in paths]
        except FormatError:
            if refresh:
                raise
            # a file that was damaged on this disk, or came damaged and said it was whole
            return self.light_curve(source, sector=sector, refresh=True)
        return joined(curves, self.archive.address("files"))

    def target_pixels(self, obs_id: str, *, refresh: bool = False) -> Path:
        """The path of an observation's target pixel file, fetched unless it is here."""
        return self.image(obs_id, refresh=refresh)
