"""What the Properties of a source say: counts, extremes, variability in each filter, and its best period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from skyvault.pipeline.lightcurve import Lightcurve
from skyvault.pipeline.source import Detection
from skyvault.science.samples import Floats
from skyvault.science.variability import Variability, variability

#: measurements of which at least some must be there for a period
_FEWEST: Final = 20
#: magnitudes; smaller errors are mistakes, and their squares no numbers
_LEAST_ERROR: Final = 1e-50
#: when periods are looked for
PERIOD_SEARCHES: Final = ("auto", "always", "never")


def counts(curves: Sequence[Lightcurve], found: Sequence[Detection]) -> dict[str, Any]:
    """Epochs, good ones, light curves and detections; the best score; first and last time (MJD)."""
    times = [one for c in curves if c.number for one in (c.data["mjd"][0], c.data["mjd"][-1])]
    best = [float(np.nanmax(np.abs(score))) for c in curves if np.isfinite(score := c.data["snr"]).any()]
    return {
        "num_epochs": sum(curve.number or 0 for curve in curves),
        "num_good": sum(curve.num_good or 0 for curve in curves),
        "num_lightcurves": len(curves),
        "num_detections": len(found),
        "best_snr": max(best, default=None),
        "mjd_first": float(min(times)) if times else None,
        "mjd_last": float(max(times)) if times else None,
    }


def by_filter(curves: Sequence[Lightcurve]) -> dict[str, tuple[Variability, Floats, Floats, Floats]]:
    """Filter -> variability of its good epochs, and their times, magnitudes and errors, joined from all seasons."""
    found = {}
    for name in sorted({curve.filter or "" for curve in curves}):
        parts = []
        for curve in curves:
            if (curve.filter or "") == name:
                rows = curve.data
                mag, error = rows["mag"], rows["magerr"]
                good = ~rows["qflag"] & np.isfinite(mag) & (error > _LEAST_ERROR) & (error < 1.0 / _LEAST_ERROR)
                parts.append((rows["mjd"][good], mag[good], error[good]))
        mjd, mag, error = parts[0] if len(parts) == 1 else (np.concatenate(one) for one in zip(*parts, strict=True))
        numbers = variability(mjd, mag, error)
        if numbers is not None:
            found[name] = (numbers, mjd, mag, error)
    return found


def best_period(filters: Mapping[str, tuple[Variability, Floats, Floats, Floats]], pars: Any) -> dict[str, Any]:
    """The best period of all filters together (days), as the parameters of the analysis ask for it; {} for none.

    With ``period_search`` "auto" only stars are searched whose magnitudes scatter ``period_min_chi2`` times more than
    their errors in some filter. The grid has at most ``period_max_trials`` frequencies: where a long baseline needs
    more, short periods are left out, and ``period_range`` says which were searched.
    """
    if pars.period_search == "never" or not filters:
        return {}
    if pars.period_search == "auto" and not any(
        one.reduced_chi2 >= pars.period_min_chi2 and one.num >= _FEWEST for one, *_ in filters.values()
    ):
        return {}
    from skyvault.errors import ParameterError
    from skyvault.science.periods import frequency_grid, lomb_scargle

    wanted = {name: part for name, part in filters.items() if part[0].num >= 5}
    parts = list(wanted.values())
    if sum(part[0].num for part in parts) < _FEWEST:
        return {}
    mjd, mag, error = (np.concatenate([part[number] for part in parts]) for number in (1, 2, 3))
    band = np.repeat(np.arange(len(parts)), [part[0].num for part in parts])
    # errors that are too small would let a few bright epochs decide alone
    error = np.hypot(error, pars.period_error_floor)
    scales = pars.period_band_scales
    factors = None if not scales else {i: float(scales.get(name, 1.0)) for i, name in enumerate(wanted)}
    try:
        grid = frequency_grid(mjd, minimum=1.0 / pars.period_max, maximum=1.0 / pars.period_min)
        if grid.count > pars.period_max_trials:
            grid = frequency_grid(mjd, minimum=grid.start, maximum=grid.start + grid.step * pars.period_max_trials)
        search = lomb_scargle(
            mjd, mag, error, band, grid=grid, terms=pars.period_terms, band_scales=factors or "measured"
        )
        best = search.fundamental if pars.period_terms > 1 else search.best
    except ParameterError:
        # too few epochs for so many harmonics: a source without a period, not a problem
        return {}
    return {
        "best_period": best.period,
        "period_error": best.period_error,
        "period_power": best.power,
        "period_false_alarm": float(search.false_alarm_probability([best.power])[0]),
        "period_range": [1.0 / grid.last, 1.0 / grid.start],
    }


def properties_of(curves: Sequence[Lightcurve], found: Sequence[Detection], pars: Any) -> dict[str, Any]:
    """Everything Properties hold: see :func:`counts`, :class:`Variability` and :func:`best_period`."""
    filters = by_filter(curves)
    return {
        **counts(curves, found),
        **best_period(filters, pars),
        "filters": {name: part[0].to_dict() for name, part in filters.items()},
    }
