"""Rubin: single exposures, coadds and difference images of its data previews, through a science platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from skyvault.config import Secret, Settings
from skyvault.missions.declaration import Declaration, ObsColumn, Politeness, Selector, observation
from skyvault.missions.rubin_api import RubinApi
from skyvault.missions.rubin_rules import prepare
from skyvault.missions.service import ArchiveService
from skyvault.missions.time_domain import TimeDomainMission
from skyvault.net.faults import Refused

_BANDS = ("u", "g", "r", "i", "z", "y")


class Rubin(TimeDomainMission):
    """Images whose outline holds a place (``Rubin.around(target)``) or meets a circle; instruments are the bands.

    ObsIDs are made of the kind of image and the archive's own number: calexp.698740112 (visit times 1000 plus detector)
    or deepCoadd_calexp.3831_10_i (tract, patch, band); ``obs_ids_of(698740112)`` finds all images of that number.
    Outlines are padded: an image may not hold a place that its outline holds. ``token`` is the platform's.
    """

    service_class: ClassVar[type[ArchiveService]] = RubinApi
    id_columns: ClassVar[tuple[str, ...]] = ("ccdvisitid", "visit", "obs_publisher_did", "archive_obs_id")
    archive: RubinApi
    declaration = Declaration(
        name="rubin",
        pretty_name="Rubin",
        id_pattern=r"^[A-Za-z_]+\.([0-9]+|[0-9]+_[0-9]+_[a-z]|[0-9A-Za-z_.-]+)$",
        archive="rubin",
        service="tap",
        service_url="https://data.lsst.cloud/api/tap",
        table="ivoa.ObsCore",
        frame="ICRS",
        columns=(
            ObsColumn("ra", "s_ra", "float"),
            ObsColumn("dec", "s_dec", "float"),
            *observation(start="t_min", end="t_max", obs_id="image_id")[2:],
            ObsColumn("band", "lsst_band"),
            ObsColumn("subtype", "dataproduct_subtype"),
            ObsColumn("calib_level", "calib_level", "int"),
            ObsColumn("visit", "lsst_visit", "int"),
            ObsColumn("detector", "lsst_detector", "int"),
            ObsColumn("ccdvisitid", "lsst_ccdvisitid", "int"),
            ObsColumn("tract", "lsst_tract", "int"),
            ObsColumn("patch", "lsst_patch", "int"),
            ObsColumn("s_region", "s_region"),
            ObsColumn("archive_obs_id", "obs_id"),
            ObsColumn("obs_publisher_did", "obs_publisher_did"),
            ObsColumn("access_url", "access_url"),
            ObsColumn("access_format", "access_format"),
        ),
        needs=("dataproduct_subtype", "lsst_ccdvisitid", "lsst_tract", "lsst_patch", "lsst_band", "obs_id"),
        makes=("image_id",),
        prepare=prepare,
        instruments=_BANDS,
        default_instruments=_BANDS,
        selectors=(Selector("band", {band: (band,) for band in _BANDS}),),
        fov_column="band",
        # from the middle of a detector of 4072 by 4000 pixels of 0.2 arcsec to its edge
        fov_deg=dict.fromkeys(_BANDS, 0.113),
        wavelength_m=(3.2e-7, 1.06e-6),
        politeness=Politeness(connections=4, requests_per_minute=120),
    )

    def __init__(
        self,
        insts: str | Sequence[str] | None = None,
        save_file_path: Any = None,
        *,
        token: str | Secret | None = None,
        settings: Settings | None = None,
        client: Any = None,
        **how: Any,
    ) -> None:
        self._given = RubinApi(settings, client, token)
        try:
            super().__init__(insts, save_file_path, settings=settings, client=client, **how)
        except Refused as error:
            raise Refused(
                "Rubin's archive wants a token, or another one", where=error.where, hint="Give token=..., yours there."
            ) from None

    def _archive_of(self, settings: Settings, client: Any) -> ArchiveService:
        return self._given
