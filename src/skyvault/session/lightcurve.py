"""Light curves from plates: one source on all plates that could show it, detections and upper limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from astropy.timeseries import TimeSeries

from skyvault.errors import UsageError
from skyvault.session.periodic_curve import PeriodicCurve, Series
from skyvault.session.photometry import Floats, Photometry, PhotometrySelector
from skyvault.session.selection import Selector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.session.live_view import LiveView

L = TypeVar("L", bound="Lightcurve")

#: arcsec; a star measured farther away than this is likely another one
USUAL_SEPARATION_ARCSEC = 20.0


class LightcurveSelector(PhotometrySelector[L]):
    """Rows of a light curve."""

    def sep_below(self, limit: Any = USUAL_SEPARATION_ARCSEC, pos: Any = None, **how: Any) -> Any:
        """Detections nearer than ``limit`` (arcsec, or a Quantity) to ``pos``, the mean position if None."""
        with np.errstate(invalid="ignore"):
            return self._apply(self._separations(pos) < _arcsec(limit), **how)

    def sep_above(self, limit: Any = USUAL_SEPARATION_ARCSEC, pos: Any = None, **how: Any) -> Any:
        """Detections farther than ``limit`` (arcsec, or a Quantity) from ``pos``, the mean position if None."""
        with np.errstate(invalid="ignore"):
            return self._apply(self._separations(pos) > _arcsec(limit), **how)

    def jyear_range(self, lowest: float | None = None, highest: float | None = None, **how: Any) -> Any:
        """Rows of a closed range of Julian years."""
        years = self._table.years()
        rows = np.isfinite(years)
        if lowest is not None:
            rows &= years >= lowest
        if highest is not None:
            rows &= years <= highest
        return self._apply(rows, **how)

    def _separations(self, pos: Any) -> Floats:
        return self._table.separations(pos)


def _arcsec(limit: Any) -> float:
    from skyvault.session.photometry import _in_unit

    return _in_unit(limit, "arcsec")


class Lightcurve(Photometry, PeriodicCurve, TimeSeries):  # type: ignore[misc]
    """A light curve: an astropy TimeSeries with the columns of :func:`~skyvault.session.columns.photometry_columns`.

    Numbers with a unit are quantities, masked where there is no detection. ``time`` (scale utc) is heliocentric for
    detections and geocentric for upper limits, which differ by up to 8.3 minutes.
    """

    _selector: ClassVar[type[Selector[Any]]] = LightcurveSelector

    def years(self) -> Floats:
        """Times as Julian years; shape (n,)."""
        return np.asarray(2000.0 + (self.julian_dates() - 2451545.0) / 365.25)

    def barycentric_mjd(self) -> Floats:
        """Times as MJD TDB at the solar system's barycentre, shape (n,).

        The star's place is the mean of its good detections, or without any the session's target.
        """
        from skyvault.science.time_scales import HJD_UTC, TimeFrame, to_barycenter

        try:
            centre = self.mean_pos()
        except UsageError:
            centre = self._session().query().pos_as_skycoord()
        place = float(centre.ra.deg), float(centre.dec.deg)
        mjd = self.julian_dates() - 2_400_000.5
        # detections are counted from the Sun, upper limits from the Earth
        seen = self.is_detected()
        from_sun = to_barycenter(mjd, HJD_UTC, *place).mjd
        return np.where(seen, from_sun, to_barycenter(mjd, TimeFrame("utc", "geocenter"), *place).mjd)

    def series(self) -> Series:
        """See :class:`~skyvault.session.periodic_curve.PeriodicCurve`: all plates are one band."""
        return Series(
            self.barycentric_mjd(), self.magnitudes(), self.uncertainties(), np.full(len(self), "plate"), self.is_good()
        )

    def separations(self, pos: Any = None) -> Floats:
        """Distances in arcsec of the measured positions from ``pos`` (SkyCoord; None: the mean position).

        Shape (n,), NaN for upper limits.
        """
        centre = self.mean_pos() if pos is None else pos
        return np.asarray(self["pos"].separation(centre).arcsec, dtype=np.float64)

    def plot(self, x_axis: str = "year", callout: Any = None) -> Figure:
        """Draws the light curve (matplotlib): detections as points with error bars, upper limits as arrows downwards.

        ``x_axis`` is "year", "jd" or a column's name; rows of the boolean array ``callout`` are drawn in red. Rejected
        rows are left out.
        """
        from skyvault.session.plots import plot_light_curve

        return plot_light_curve(self, x_axis, callout)

    def live(self) -> LiveView:
        """The light curve as a view that moves: enlarge, point, and click on a point to learn its plate and row.

        ``.write("lc.html")`` makes a page of it, ``.show()`` draws it in a notebook, where ``.clicked()`` is the row.
        Raises ConfigError where bokeh is not installed.
        """
        from skyvault.session.live_curve import live_curve

        return live_curve(self)

    def to_lightkurve(self) -> Any:
        """The good detections as a ``lightkurve.LightCurve``: flux 1 at their mean magnitude.

        Raises UsageError where lightkurve is not installed.
        """
        from skyvault.session.export import to_lightkurve

        return to_lightkurve(self)
