"""Stars that pulse: light curves with a period that noise alone would not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skyvault.pipeline.finder import Finder, ParsFinder
from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.source import Detection, Source
from skyvault.science.finding import Peak

_FEWEST: int = 20


class ParsPeriodFinder(ParsFinder):
    """Which periods are looked for, and how sure one must be."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("shortest_period", 0.05, float, "shortest period, days")
        self.add_par("longest_period", 100.0, float, "longest period, days")
        self.add_par("harmonics", 1, int, "harmonics of the fit: 1 is a sinusoid")
        self.add_par("most_trials", 200_000, int, "most frequencies; beyond, short periods are left out")
        self.add_par("false_alarm", 1e-6, float, "largest chance that noise has such a period")


class PeriodFinder(Finder):
    """Looks for a period in each light curve by the Lomb-Scargle periodogram; single peaks are left to others.

    A detection covers the whole light curve. Its ``snr`` is the root of the chi^2 that the period takes away, in units
    of what remains; ``extra_scores`` holds period (days), amplitude (relative flux), power and false-alarm probability.
    """

    pars_class = ParsPeriodFinder
    pars: ParsPeriodFinder
    method: ClassVar[str] = "periodogram"

    def detect(
        self, lightcurves: Sequence[Lightcurve], source: Source, sim: dict[str, Any] | None = None
    ) -> list[Detection]:
        found = []
        for number, curve in enumerate(lightcurves):
            best = self._best(curve)
            if best is None or best["false_alarm"] > self.pars.false_alarm:
                continue
            rows = np.flatnonzero(self.usable(curve))
            curve.data["detected"][rows] = True
            brightest = int(rows[np.argmax(curve.data["flux"][rows])])
            peak = Peak(brightest, int(rows[0]), int(rows[-1]), best.pop("snr"))
            made = self.make_detection(peak, number, lightcurves, source, sim)
            made.extra_scores = {**made.extra_scores, **best}
            found.append(made)
        return found

    def _best(self, curve: Lightcurve) -> dict[str, float] | None:
        from skyvault.errors import ParameterError
        from skyvault.science.periods import frequency_grid, lomb_scargle

        rows = curve.data
        good = self.usable(curve) & np.isfinite(rows["flux"]) & (rows["fluxerr"] > 0.0)
        if good.sum() < _FEWEST:
            return None
        mjd, flux, error = (np.asarray(rows[name][good], np.float64) for name in ("mjd", "flux", "fluxerr"))
        pars = self.pars
        try:
            grid = frequency_grid(mjd, minimum=1.0 / pars.longest_period, maximum=1.0 / pars.shortest_period)
            if grid.count > pars.most_trials:
                grid = frequency_grid(mjd, minimum=grid.start, maximum=grid.start + grid.step * pars.most_trials)
            search = lomb_scargle(mjd, flux, error, grid=grid, terms=pars.harmonics)
            chance = float(search.false_alarm_probability([float(search.power.max())])[0])
            if chance > pars.false_alarm:
                # most stars do not pulse: their peaks need no summits
                return None
            best = search.best
        except ParameterError:
            return None
        left = max(1.0 - best.power, 1e-12)
        spread = float(flux.std())
        return {
            "period": best.period,
            "period_error": best.period_error,
            "power": best.power,
            "false_alarm": chance,
            "amplitude": (2.0 * best.power) ** 0.5 * spread / max(curve.flux_mean_robust or spread, 1e-300),
            "snr": (best.power / left * (len(mjd) - 2 * pars.harmonics - 1)) ** 0.5,
        }
