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
        return self.exposures_between(ra_deg, dec_deg, None, None, refresh=refresh)

    def exposures_between(
        self,
        ra_deg: float,
        dec_deg: float,
        earliest_jd: float | None,
        latest_jd: float | None,
        *,
        refresh: bool = False,
    ) -> pa.Table:
        """See DatedArchive. Raises LimitError where the archive's answer would be larger than it may be."""
        from skyvault.errors import LimitError
        from skyvault.missions.dasch_api import AnswerTooLarge

        try:
            return self._api.exposures(ra_deg, dec_deg, earliest_jd, latest_jd, refresh=refresh)
        except AnswerTooLarge as problem:
            raise LimitError(
                "There are more exposures of this place than one answer of the archive holds",
                where=problem.where,
                hint='Give limits: sess.exposures(midpoint_min=Time("1920-01-01"), midpoint_max=Time("1940-01-01")).',
            ) from None

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

        try:
            return self._api.plate(plate_id)
        except SkyvaultError:
            return {}

    def calibration_link(self, result_id: str) -> str:
        """See CalibrationArchive."""
        return self._api.calibration_link(result_id)
