"""Periods, phases and variability of any light curve of a session: plates, other missions, or all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skyvault.errors import UsageError

if TYPE_CHECKING:
    from skyvault.science.folding import Folded, LightElements
    from skyvault.science.period_search import PeriodSearch
    from skyvault.science.periods import Periodogram
    from skyvault.session.eclipses import Eclipses

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Series:
    """What the time-series science takes of a curve, all of shape (n,): MJD (TDB at the barycentre where known).

    ``mag`` and its ``error`` are NaN where there is none; ``is_good``: detected and not rejected or flagged.
    """

    mjd: Floats
    mag: Floats
    error: Floats
    band: np.ndarray[Any, np.dtype[np.str_]]
    is_good: Bools

    @property
    def good(self) -> tuple[Floats, Floats, Floats, np.ndarray[Any, np.dtype[np.str_]]]:
        """Times, magnitudes, errors and bands of the good measurements."""
        rows = self.is_good & np.isfinite(self.mjd)
        return self.mjd[rows], self.mag[rows], self.error[rows], self.band[rows]


class PeriodicCurve:
    """Methods of light curves; good measurements only, each band with an offset of its own."""

    def series(self) -> Series:
        """Times, magnitudes, errors, bands and which are good."""
        raise NotImplementedError

    def periodogram(self, **how: Any) -> Periodogram:
        """The Lomb-Scargle periodogram; keywords as for :func:`skyvault.science.periods.lomb_scargle`."""
        from skyvault.science.periods import lomb_scargle

        mjd, mag, error, band = self._good(3)
        return lomb_scargle(mjd, mag, _errors(error), band, **how)

    def search_period(self, minimum_period: float = 0.3, **how: Any) -> PeriodSearch:
        """The best period from ``minimum_period`` (days) up, with its false-alarm probability.

        Keywords as for :func:`skyvault.science.period_search.search_period`.
        """
        from skyvault.science.period_search import search_period

        mjd, mag, error, band = self._good(8)
        return search_period(mjd, mag, _errors(error), band, minimum_period=minimum_period, **how)

    def folded(self, period: float | LightElements, epoch: float = 0.0) -> Folded:
        """Phases (-0.5 to 0.5) and cycles of all rows, upper limits too; ``epoch`` (MJD) has phase 0."""
        from skyvault.science.folding import fold

        return fold(self.series().mjd, period, epoch)

    def eclipses(
        self, period: float | LightElements, *, years: Sequence[float] | None = None, widest_shift: float = 0.2
    ) -> Eclipses:
        """When eclipses came against when they should have, epoch by epoch, with pictures of both.

        ``period`` in days, or elements with an epoch (MJD); ``years`` are the ends of the epochs (Julian years), about
        eight years each unless given; eclipses are looked for within ``widest_shift`` cycles of their time.
        Raises ParameterError where no eclipse can be found at this period.
        """
        from skyvault.session.eclipses import eclipses

        return eclipses(self, period, years=years, widest_shift=widest_shift)

    def variability(self) -> float:
        """How many times larger the scatter is than the errors say, in the median: about 1 for a constant star.

        From absolute deviations from each band's median, so that few wrong measurements do not matter.
        """
        _, mag, error, band = self._good(3)
        known = np.isfinite(error) & (error > 0.0)
        if known.sum() < 3:
            raise UsageError("Without uncertainties it cannot be said whether a star varies")
        mag, error, band = mag[known], error[known], band[known]
        middle = np.array([np.median(mag[band == one]) for one in np.unique(band)])
        apart = np.abs(mag - middle[np.unique(band, return_inverse=True)[1]]) / error
        return float(1.482602218505602 * np.median(apart))

    def _good(self, least: int) -> Any:
        good = self.series().good
        if len(good[0]) < least:
            raise UsageError(f"There are {len(good[0])} good measurements with a time: {least} are needed for this")
        return good


def _errors(error: Floats) -> Floats | None:
    """None unless most are known; the few unknown ones count as the median."""
    known = np.isfinite(error) & (error > 0.0)
    return np.where(known, error, np.median(error[known])) if known.mean() > 0.5 else None
