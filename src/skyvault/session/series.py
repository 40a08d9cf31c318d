"""The Harvard plate series as a session uses them: which camera took a plate, and how wide it looks.

A plate's name begins with its series (``ai37139`` is plate 37139 of series ``ai``). Coarse scales mean wide fields and
many blends: that is why light curves are often restricted by the kind of series.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from skyvault.missions import dasch_series


class SeriesKind(enum.Enum):
    """How wide the cameras of a series look, by the plate scale in arcsec/mm."""

    NARROW = "narrow"  #: up to 400
    PATROL = "patrol"  #: 400 to 900
    METEOR = "meteor"  #: from about 900
    UNKNOWN = "unknown"  #: a series the list does not hold


@dataclass(frozen=True, slots=True)
class PlateSeries:
    """One plate series. ``plate_scale`` in arcsec/mm and ``aperture_m`` in metres; NaN where nobody knows."""

    name: str
    kind: SeriesKind
    plate_scale: float
    aperture_m: float
    description: str

    @property
    def emulsion(self) -> str:
        """ "blue", "red" or "yellow" for the Damon series whose names say it, else ""; the colour term says more."""
        return EMULSION_HINTS.get(self.name, "")


#: what the names of the Damon series tell of emulsion and filter
EMULSION_HINTS: Final = {"dnb": "blue", "dsb": "blue", "dnr": "red", "dsr": "red", "dny": "yellow", "dsy": "yellow"}


@cache
def all_series() -> dict[str, PlateSeries]:
    """The series by name."""
    return {
        name: PlateSeries(
            name,
            SeriesKind(series.kind),
            math.nan if series.scale_arcsec_mm is None else series.scale_arcsec_mm,
            math.nan if series.aperture_m is None else series.aperture_m,
            series.telescope,
        )
        for name, series in dasch_series.SERIES.items()
    }


def series_of(name: str) -> PlateSeries:
    """The series of that name; one that the list lacks has kind UNKNOWN and NaN everywhere, never an error."""
    key = name.lower()
    known = all_series().get(key)
    return known or PlateSeries(key, SeriesKind.UNKNOWN, math.nan, math.nan, "not in the list of series")


def names_of_kind(kind: SeriesKind) -> tuple[str, ...]:
    """The names of all series of a kind."""
    return tuple(name for name, series in all_series().items() if series.kind is kind)


def is_one_of(column: Iterable[str], names: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which cells of a column of series names are among ``names``, whatever their case; shape (n,)."""
    cells = np.asarray(column, dtype=str)
    distinct, which = np.unique(cells, return_inverse=True)
    wanted = {name.lower() for name in names}
    hits = np.array([str(name).lower() in wanted for name in distinct], dtype=bool)
    return np.asarray(hits[which].reshape(cells.shape) if distinct.size else np.zeros(cells.shape, dtype=bool))
