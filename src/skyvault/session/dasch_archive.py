"""DASCH (the Harvard plates) as a session's archive, over the mission's client of its programming interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.missions.dasch_api import DaschApi


class DaschArchive:
    """Answers a session's questions from DASCH data release 7; see :class:`skyvault.session.archive.PlateArchive`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._made: DaschApi | None = None

    @property
    def _api(self) -> DaschApi:
        if self._made is None:
            from skyvault.missions.dasch_api import DaschApi

            self._made = DaschApi(self._settings)
        return self._made

    def catalogue(
        self, refcat: str, ra_deg: float, dec_deg: float, radius_arcsec: float, *, refresh: bool = False
    ) -> pa.Table:
        """See PlateArchive."""
        return self._api.reference_stars(ra_deg, dec_deg, radius_arcsec, refcat, refresh=refresh)

    def exposures(self, ra_deg: float, dec_deg: float, *, refresh: bool = False) -> pa.Table:
        """See PlateArchive."""
        from skyvault.missions.search import Search

        rows, _ = self._api.observations(Search(ra_deg, dec_deg, 0.0), refresh=refresh)
        return rows

    def light_curve(self, refcat: str, gsc_bin_index: int, ref_number: int, *, refresh: bool = False) -> pa.Table:
        """See PlateArchive."""
        return self._api.light_curve(ref_number, gsc_bin_index, refcat, refresh=refresh).rows

    def plate_photometry(
        self, refcat: str, plate_id: str, solution: int, ra_deg: float, dec_deg: float, *, refresh: bool = False
    ) -> pa.Table:
        """See PlateArchive."""
        return self._api.plate_photometry(plate_id, solution, ra_deg, dec_deg, refcat, refresh=refresh)

    def cutout(
        self, plate_id: str, solution: int, ra_deg: float, dec_deg: float, target: Path, *, refresh: bool = False
    ) -> None:
        """See PlateArchive."""
        target.unlink(missing_ok=True)
        self._api.cutout(plate_id, solution, ra_deg, dec_deg, target, refresh=refresh)

    def mosaic_package(self, plate_id: str, binning: int) -> Mapping[str, Any]:
        """See MosaicArchive."""
        return self._api.mosaic_package(plate_id, binning)

    def base_mosaic(self, plate_id: str, binning: int, target: Path) -> None:
        """See MosaicArchive."""
        self._api.fetched(self._api.mosaic(plate_id, binning), target)

    def plate(self, plate_id: str) -> Mapping[str, Any]:
        """See MosaicArchive. A plate's image is worth having without its record: {} where that cannot be had."""
        from skyvault.errors import SkyvaultError
        from skyvault.missions.service import json_of

        url = f"{self._api.address('api').rstrip('/')}/plates/p/{plate_id}"
        try:
            told = self._api.asked(url, lambda body: json_of(body, url), limit_bytes=4_000_000)
        except SkyvaultError:
            return {}
        return told if isinstance(told, dict) else {}
