"""The exposures on which a session's target lies: plates, their places in time and how they were solved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from astropy.table import Row, Table

from skyvault.errors import NotFound, ParameterError, UsageError
from skyvault.session.archive import CalibrationArchive
from skyvault.session.cells import values_and_mask
from skyvault.session.columns import REFCATS
from skyvault.session.plate_ids import ExposureId, PlateId
from skyvault.session.plate_tables import PlateTable
from skyvault.session.selection import Selector
from skyvault.session.series import series_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

E = TypeVar("E", bound="Exposures")
Floats = np.ndarray[Any, np.dtype[np.float64]]


class ExposureSelector(Selector[E]):
    """Rows of an exposure table."""

    def scanned(self, **how: Any) -> Any:
        """Exposures on plates that were scanned."""
        return self._apply(~values_and_mask(self._table["scannum"])[1], **how)

    def has_imaging(self, **how: Any) -> Any:
        """Exposures with an astrometric solution, so that cutouts can be made."""
        return self._apply(np.asarray(values_and_mask(self._table["wcssource"])[0]) == "imwcs", **how)

    def has_phot(self, **how: Any) -> Any:
        """Exposures calibrated with the session's reference catalogue."""
        return self._apply(np.isfinite(self._numbers(f"lim_mag_{self._table.refcat_name()}")), **how)

    def plate_names(self, names: Iterable[str], **how: Any) -> Any:
        """Exposures on the plates of these names (``ai37139``; case and zeros do not matter)."""
        if isinstance(names, str):
            raise ParameterError("plate_names() takes a list of names", hint=f"Write [{names!r}].")
        wanted = {PlateId.parse(name) for name in names}
        series = np.char.lower(np.asarray(values_and_mask(self._table["series"])[0], dtype=str))
        number = np.asarray(self._table["platenum"])
        rows = np.zeros(len(self._table), dtype=bool)
        for plate in wanted:
            rows |= (series == plate.series) & (number == plate.number)
        return self._apply(rows, **how)

    def jyear_range(self, jyear_min: float, jyear_max: float, **how: Any) -> Any:
        """Exposures of a closed range of Julian years; those without a date do not match."""
        years = self._table.years()
        with np.errstate(invalid="ignore"):
            return self._apply((years >= jyear_min) & (years <= jyear_max), **how)

    def colorterm_range(self, lowest: float | None = None, highest: float | None = None, **how: Any) -> Any:
        """Exposures whose plate's median colour term, for the session's catalogue, lies in a closed range.

        It tells emulsion and filter better than the series does; plates without calibration do not match.
        """
        return self._apply(self._between(f"median_colorterm_{self._table.refcat_name()}", lowest, highest), **how)

    def deeper_than(self, limit: Any, **how: Any) -> Any:
        """Exposures whose limiting magnitude at the target is fainter than ``limit`` (a number or a Quantity)."""
        from skyvault.session.photometry import magnitude

        depth = self._numbers(f"lim_mag_{self._table.refcat_name()}")
        with np.errstate(invalid="ignore"):
            return self._apply(depth > magnitude(limit), **how)


class ExposureRow(Row):  # type: ignore[misc]
    """One exposure."""

    def exp_id(self) -> ExposureId:
        """Its name: ``mc34382m0s0`` where scanned, ``b00065e0`` where not."""
        return self.table.exposure_id(self.index)  # type: ignore[no-any-return]

    def plate_id(self) -> str:
        """The plate's name: ``mc34382``."""
        return str(self.exp_id().plate)

    def has_imaging(self) -> bool:
        """Whether there is an astrometric solution, so that cutouts can be made."""
        return bool(self["wcssource"] == "imwcs")

    def has_phot(self) -> bool:
        """Whether it is calibrated with the session's reference catalogue."""
        return bool(self.table.match.has_phot()[self.index])

    def photcal_asdf_url(self, refcat: str | None = None) -> str:
        """A link, good for some minutes, to its plate's photometric calibration (an ASDF file of megabytes).

        ``refcat`` is the session's catalogue unless given. Raises ParameterError for another one, NotFound where the
        plate is not calibrated with it, and what the archive raises.
        """
        name = refcat or self.table.refcat_name()
        if name not in REFCATS:
            raise ParameterError(f"There is no reference catalogue {name!r}", hint="Take apass (recommended) or atlas.")
        column = f"result_id_{name}"
        values, mask = values_and_mask(self.table[column]) if column in self.table.colnames else ([""], [False])
        result = "" if len(values) != len(self.table) or mask[self.index] else str(values[self.index])
        if not result:
            raise NotFound(f"The plate of {self.exp_id()} is not calibrated with {name}")
        archive = self.table._session().archive
        if not isinstance(archive, CalibrationArchive):
            raise UsageError("This archive gives no calibrations of plates")
        return archive.calibration_link(result)

    def show(self) -> Any:
        """Shows its cutout in the WorldWide Telescope. Raises UsageError where it is not connected."""
        return self.table.show(self)


class Exposures(PlateTable[ExposureSelector[Any]], Table):  # type: ignore[misc]
    """Exposures in the order of time, undated ones last; see :func:`~skyvault.session.columns.exposure_columns`."""

    _columns_kind: ClassVar[str] = "exposures"
    _selector: ClassVar[type[Selector[Any]]] = ExposureSelector
    Row = ExposureRow

    def exposure_id(self, row: int) -> ExposureId:
        """The name of the exposure in a row."""
        plate = PlateId(str(self["series"][row]).lower(), int(self["platenum"][row]))
        number = {}
        for name in ("mosnum", "solnum", "expnum"):
            values, mask = values_and_mask(self[name])
            number[name] = None if mask[row] else int(values[row])
        if number["mosnum"] is not None:
            return ExposureId(plate, mosaic=number["mosnum"], solution=number["solnum"])
        return ExposureId(plate, exposure=number["expnum"])

    def refcat_name(self) -> str:
        """The session's reference catalogue; apass where none is chosen yet."""
        from skyvault.session.open_sessions import OPEN, SESSION_KEY

        session = OPEN.get(str(self.meta.get(SESSION_KEY, "")))
        return (session.refcat_name() if session is not None else None) or "apass"

    def julian_dates(self) -> Floats:
        """Middle of the exposures as Julian dates (UTC), NaN where unknown; shape (n,)."""
        dates = self["obs_date"]
        days = np.asarray(getattr(dates.jd, "unmasked", dates.jd), dtype=np.float64)
        return np.where(np.broadcast_to(np.asarray(dates.mask), days.shape), np.nan, days)

    def years(self) -> Floats:
        """Middle of the exposures as Julian years, NaN where unknown; shape (n,)."""
        return np.asarray(2000.0 + (self.julian_dates() - 2451545.0) / 365.25)

    def series_info(self) -> Table:
        """The series of the accepted exposures, the most frequent first.

        Columns: series, count, kind, plate_scale (arcsec/mm), aperture (m), description.
        """
        names = np.asarray(values_and_mask(self["series"])[0], dtype=str)[~self.is_rejected()]
        distinct, counts = np.unique(names, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        known = [series_of(str(name)) for name in distinct[order]]
        table = Table(
            {
                "series": distinct[order],
                "count": counts[order],
                "kind": np.array([series.kind.name for series in known], dtype=str),
                "plate_scale": np.array([series.plate_scale for series in known], dtype=float),
                "aperture": np.array([series.aperture_m for series in known], dtype=float),
                "description": np.array([series.description for series in known], dtype=str),
            }
        )
        table["plate_scale"].unit = "arcsec / mm"
        table["aperture"].unit = "m"
        return table

    def candidate_nice_cutouts(
        self, source_of_interest: Any = 0, *, limit_cols: bool = True, limit_rows: int | None = 8
    ) -> Table:
        """Where a source should look best: its good detections on the deepest plates, from its light curve.

        ``source_of_interest`` as in :meth:`~skyvault.session.session.Session.lightcurve`.
        """
        curve = self._session().lightcurve(source_of_interest)
        good = curve.is_good()
        rows = np.flatnonzero(good if good.sum() > 10 else ~curve.is_rejected())
        rows = rows[np.argsort(-curve.limits()[rows], kind="stable")][:limit_rows]
        found = curve[rows]
        if not limit_cols:
            return found
        names = ("limiting_mag_local", "exp_local_id", "series", "platenum", "fwhm_world", "ellipticity", "background")
        return Table({name: found[name] for name in names if name in found.colnames})

    def time_coverage(self) -> Figure:
        """Draws when the accepted exposures were taken (matplotlib): exposures a year, smoothed."""
        from skyvault.session.plots import time_coverage

        return time_coverage(self)

    def show(self, exp_ref: Any) -> Any:
        """Shows the cutout of an exposure (row or local ID) in the WorldWide Telescope.

        Raises UsageError where it is not connected or there is no cutout.
        """
        return self._session().wwt_layers().show_cutout(exp_ref)

    def export_cutouts_to_pdf(
        self, path: str | Path, refcat_stdmag_limit: float | None = None, no_download: bool = False
    ) -> Path:
        """Writes a PDF with a page for each accepted exposure that has an image; returns its path.

        Each shows the target (circle of 1 arcmin) among the catalogue's stars (crosses, moved to the epoch by their
        proper motion; to ``refcat_stdmag_limit``). Cutouts are fetched unless ``no_download``; those that cannot be had
        are told and left out. Raises UsageError where no exposure has an image, NotFound where none could be had.
        """
        from skyvault.session.cutout_pdf import write_cutouts

        return write_cutouts(self, path, refcat_stdmag_limit=refcat_stdmag_limit, no_download=no_download)

    def show_extract(self, exp_ref: Any) -> Any:
        """Shows what was measured on an exposure in the WorldWide Telescope."""
        extract = self._session().extract(exp_ref)
        return None if extract is None else extract.show()

    def export(self, path: str | Path, format: str | None = None, *, drop_rejects: bool = True) -> None:
        """Writes the table for other programs; see :func:`skyvault.session.export.export`."""
        from skyvault.session.export import export

        export(self, path, format, drop_rejects=drop_rejects)
