"""What a session asks of a plate archive; anything that answers so can stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa


class PlateArchive(Protocol):
    """Plates by place. Tables come in the archive's own columns (those of DASCH data release 7), null where empty.

    ``refresh``: ask anew even if an earlier answer is remembered. All raise SkyvaultError with a sentence.
    """

    def catalogue(
        self, refcat: str, ra_deg: float, dec_deg: float, radius_arcsec: float, *, refresh: bool = False
    ) -> pa.Table:
        """Sources of a reference catalogue in a box of that half-size (ICRS)."""
        ...

    def exposures(self, ra_deg: float, dec_deg: float, *, refresh: bool = False) -> pa.Table:
        """All exposures on which a place lies."""
        ...

    def light_curve(self, refcat: str, gsc_bin_index: int, ref_number: int, *, refresh: bool = False) -> pa.Table:
        """All measurements and upper limits of a catalogue source."""
        ...

    def plate_photometry(
        self, refcat: str, plate_id: str, solution: int, ra_deg: float, dec_deg: float, *, refresh: bool = False
    ) -> pa.Table:
        """All measurements around a place on one solution of a plate."""
        ...

    def cutout(
        self, plate_id: str, solution: int, ra_deg: float, dec_deg: float, target: Path, *, refresh: bool = False
    ) -> None:
        """Writes the image around a place (FITS) to ``target``, which does not exist or may be written over."""
        ...


@runtime_checkable
class MosaicArchive(Protocol):
    """An archive that also gives whole plates."""

    def mosaic_package(self, plate_id: str, binning: int) -> Mapping[str, Any]:
        """What is known of a plate's mosaic: ``metadata`` of DASCH data release 7, and the base image's size."""
        ...

    def base_mosaic(self, plate_id: str, binning: int, target: Path) -> None:
        """Fetches the base image (tile-compressed FITS) to ``target``, checked against its checksum."""
        ...

    def plate(self, plate_id: str) -> Mapping[str, Any]:
        """What the curators know of a plate; empty where the archive tells nothing."""
        ...


@runtime_checkable
class DatedArchive(Protocol):
    """An archive that narrows exposures by their dates itself, where an answer would be too large."""

    def exposures_between(
        self,
        ra_deg: float,
        dec_deg: float,
        earliest_jd: float | None,
        latest_jd: float | None,
        *,
        refresh: bool = False,
    ) -> pa.Table:
        """As :meth:`PlateArchive.exposures`, those whose logged midpoint lies between two Julian dates (closed)."""
        ...


@runtime_checkable
class CalibrationArchive(Protocol):
    """An archive that also gives the photometric calibrations of plates."""

    def calibration_link(self, result_id: str) -> str:
        """A link, good for minutes, to the calibration (ASDF) of 32 hexadecimal digits."""
        ...
