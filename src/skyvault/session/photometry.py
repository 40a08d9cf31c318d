"""Plate photometry: what light curves (one source, all plates) and extracts (one plate, all sources) have in common."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from astropy.table import Row

from skyvault.errors import UsageError
from skyvault.session import flags
from skyvault.session.cells import Bools, values_and_mask
from skyvault.session.plate_tables import PlateTable
from skyvault.session.selection import Selector

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from matplotlib.figure import Figure

Floats = np.ndarray[Any, np.dtype[np.float64]]
P = TypeVar("P", bound="Photometry")


class PhotometrySelector(Selector[P]):
    """Rows of plate photometry. Rows without a detection match no condition on a measurement."""

    def detected(self, **how: Any) -> Any:
        """Rows with a measured magnitude."""
        return self._apply(self._table.is_detected(), **how)

    def undetected(self, **how: Any) -> Any:
        """Rows with an upper limit only."""
        return self._apply(~self._table.is_detected(), **how)

    def nonrej_detected(self, **how: Any) -> Any:
        """Rows with a measured magnitude that are not rejected."""
        return self._apply(self._table.is_good(), **how)

    def exposure_linked(self, **how: Any) -> Any:
        """Rows whose exposure the session's table of exposures holds."""
        return self._apply(self._table.exposure_rows() >= 0, **how)

    def any_aflags(self, aflags: int, **how: Any) -> Any:
        """Rows with at least one of these :class:`~skyvault.session.flags.AFlags`."""
        return self._bits("aflags", aflags, how)

    def any_bflags(self, bflags: int, **how: Any) -> Any:
        """Rows with at least one of these :class:`~skyvault.session.flags.BFlags`."""
        return self._bits("bflags", bflags, how)

    def any_local_bin_reject(self, reject_flags: int, **how: Any) -> Any:
        """Rows with at least one of these :class:`~skyvault.session.flags.LocalBinRejectFlags`."""
        return self._bits("local_bin_reject_flag", reject_flags, how)

    def _bits(self, name: str, bits: int, how: dict[str, Any]) -> Any:
        values, mask = values_and_mask(self._table[name])
        return self._apply((values.astype(np.uint64) & np.uint64(int(bits)) != 0) & ~mask, **how)

    def brighter(self, cutoff: Any, **how: Any) -> Any:
        """Detections brighter than a magnitude (a number or a Quantity)."""
        return self._apply(self._numbers("magcal_magdep") < magnitude(cutoff), **how)

    def detected_and_fainter(self, cutoff: Any, **how: Any) -> Any:
        """Detections fainter than a magnitude (a number or a Quantity)."""
        return self._apply(self._numbers("magcal_magdep") > magnitude(cutoff), **how)

    def time_accuracy_below(self, limit: Any, **how: Any) -> Any:
        """Detections whose time is known better than ``limit`` (days, or a Quantity)."""
        return self._apply(self._numbers("time_accuracy") < _in_unit(limit, "day"), **how)

    def time_accuracy_above(self, limit: Any, **how: Any) -> Any:
        """Detections whose time is known worse than ``limit`` (days, or a Quantity); logged dates have 1 d."""
        return self._apply(self._numbers("time_accuracy") > _in_unit(limit, "day"), **how)

    def colorterm_range(self, lowest: float | None = None, highest: float | None = None, **how: Any) -> Any:
        """Rows from plates whose colour term lies in a closed range; those of unknown colour term do not match.

        The colour term tells the emulsion and filter; it is taken from the session's exposures.
        """
        exposures = self._table._session().exposures()
        matches = exposures.match.colorterm_range(lowest, highest)
        linked = self._table.exposure_rows()
        rows = (linked >= 0) & (linked < len(matches))
        rows[rows] = matches[linked[rows]]
        return self._apply(rows, **how)


def magnitude(value: Any) -> float:
    """A magnitude given as a number or a Quantity."""
    return _in_unit(value, "mag")


def _in_unit(value: Any, unit: str) -> float:
    import astropy.units as u

    from skyvault.errors import UnitError

    try:
        return float(u.Quantity(value, getattr(value, "unit", None) or unit).to_value(unit))
    except (u.UnitsError, TypeError, ValueError):
        raise UnitError(f"{value!r} is no number or quantity in {unit}") from None


class PhotometryPoint(Row):  # type: ignore[misc]
    """One row of plate photometry."""

    def flags(self) -> None:
        """Prints the flags of this measurement: the number in hexadecimal, then each bit with its meaning."""
        print(self.flags_text())

    def flags_text(self) -> str:
        """What :meth:`flags` prints."""
        if not self.table.is_detected()[self.index]:
            return "This row is an upper limit: it has no flags."
        lines = []
        for title, name, kind in (
            ("AFLAGS", "aflags", flags.AFlags),
            ("BFLAGS", "bflags", flags.BFlags),
            ("LocalBinReject", "local_bin_reject_flag", flags.LocalBinRejectFlags),
        ):
            value = self._number(name)
            lines.append(f"{title}: {'missing' if value is None else f'0x{value:08X}'}")
            lines += _flag_lines(kind, value or 0)
            if kind is flags.AFlags and (case := flags.blend_case(value or 0)):
                lines.append(f"  bits 17-19 = {case}: {flags.BLEND_CASES[case]}")
        return "\n".join(lines)

    def _number(self, name: str) -> int | None:
        values, mask = values_and_mask(self.table[name])
        return None if mask[self.index] else int(values[self.index])


def _flag_lines(kind: type[enum.IntFlag], value: int) -> list[str]:
    return [f"  bit {bit:2d}: {name} - {meaning}" for bit, name, meaning in flags.told(kind, value)]


class Photometry(PlateTable[PhotometrySelector[Any]]):
    """A table of measurements on plates; rows without a detection hold an upper limit (``limiting_mag_local``)."""

    _columns_kind: ClassVar[str] = "photometry"
    _selector: ClassVar[type[Selector[Any]]] = PhotometrySelector
    Row = PhotometryPoint

    def is_detected(self) -> Bools:
        """Which rows have a measured magnitude; shape (n,)."""
        values, mask = values_and_mask(self["magcal_magdep"])
        return np.asarray(~mask & np.isfinite(values))

    def is_good(self) -> Bools:
        """Which rows have a measured magnitude and are not rejected; shape (n,)."""
        return np.asarray(self.is_detected() & ~self.is_rejected())

    def julian_dates(self) -> Floats:
        """Times as Julian dates, shape (n,): heliocentric for detections, geocentric for limits."""
        return np.asarray(self["time"].jd, dtype=np.float64)

    def exposure_rows(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The row of each exposure in the session's table, -1 where none is linked; shape (n,)."""
        if "exp_local_id" not in self.colnames or np.asarray(self["exp_local_id"]).dtype.kind not in "iu":
            return np.full(len(self), -1, dtype=np.int64)
        return np.asarray(self["exp_local_id"], dtype=np.int64)

    def magnitudes(self) -> Floats:
        """``magcal_magdep`` in mag, NaN where not detected; shape (n,)."""
        values, mask = values_and_mask(self["magcal_magdep"])
        return np.where(mask, np.nan, values.astype(np.float64))

    def uncertainties(self) -> Floats:
        """``magcal_local_rms`` in mag, the recommended uncertainty, NaN where unknown; shape (n,)."""
        values, mask = values_and_mask(self["magcal_local_rms"])
        return np.where(mask, np.nan, values.astype(np.float64))

    def limits(self) -> Floats:
        """``limiting_mag_local`` in mag, NaN where unknown; shape (n,)."""
        values, mask = values_and_mask(self["limiting_mag_local"])
        return np.where(mask, np.nan, values.astype(np.float64))

    # --- standard rejections, summaries ---

    def apply_standard_rejections(self, *, verbose: bool = True) -> None:
        """Rejects, under the tag ``aflags``, measurements with warnings that spoil them for most purposes.

        The warnings are those of :data:`~skyvault.session.flags.STANDARD_REJECTION` (0xB840).
        """
        self.reject.any_aflags(flags.STANDARD_REJECTION, tag="aflags", verbose=verbose)
        if verbose:
            print(f"There are now {int(self.is_good().sum())} good detections")

    def summary(self) -> None:
        """Prints the numbers of rows, rejected rows and good detections, and their mean magnitude and scatter."""
        print(self.summary_text())

    def summary_text(self) -> str:
        """What :meth:`summary` prints."""
        good = self.magnitudes()[self.is_good()]
        lines = [
            f"Number of rows: {len(self)}",
            f"Rejected rows: {int(self.is_rejected().sum())}",
            f"Non-rejected detections: {len(good)}",
        ]
        if len(good):
            lines.append(f"Mean magnitude: {good.mean():.3f} ± {good.std():.3f}")
        return "\n".join(lines)

    def mean_pos(self) -> SkyCoord:
        """The mean position of the good detections (ICRS), a mean of directions.

        Raises UsageError where there is no good detection.
        """
        import astropy.units as u
        from astropy.coordinates import SkyCoord

        rows = self.is_good()
        lon, lat = (np.asarray(getattr(self["pos"], name).rad)[rows] for name in ("ra", "dec"))
        known = np.isfinite(lon) & np.isfinite(lat)
        if not known.any():
            raise UsageError("There is no good detection to take a mean position of")
        lon, lat = lon[known], lat[known]
        x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
        return SkyCoord(np.arctan2(y, x) * u.rad, np.arctan2(z, np.hypot(x, y)) * u.rad, frame="icrs")

    # --- pictures and files ---

    def scatter(self, x: str, y: str, *, rejects: bool = False) -> Figure:
        """One column against another (matplotlib); the y axis runs downwards for magnitudes.

        ``rejects``: show the rejected rows instead of the accepted ones. Raises ParameterError for unknown columns.
        """
        from skyvault.session.plots import scatter

        return scatter(self, x, y, rejects=rejects)

    def export(self, path: str | Path, format: str | None = None, *, drop_rejects: bool = True) -> None:
        """Writes the table for other programs; see :func:`skyvault.session.export.export`."""
        from skyvault.session.export import export

        export(self, path, format, drop_rejects=drop_rejects)
