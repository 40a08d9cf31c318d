"""What X-ray telescopes' files say of them: clocks, fields of view, columns of event lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

#: days since which there has been one more leap second (IERS Bulletin C), and how many there were before
_LEAPS_MJD: Final = np.array(
    [47892, 48257, 48804, 49169, 49534, 50083, 50630, 51179, 53736, 54832, 56109, 57204, 57754], float
)
_LEAPS_BEFORE: Final = 24.0


@dataclass(frozen=True, slots=True)
class Telescope:
    """What headers say of a mission: TELESCOP, reference time (MJD), half-width of the field, columns of events.

    ``columns`` are in order; times are in the scale ``timesys``: TT for all but the oldest.
    """

    name: str
    reference_mjd: float
    field_deg: float
    columns: tuple[str, ...] = ("TIME", "X", "Y", "DETX", "DETY", "PHA", "PI", "GRADE")
    events: str = "EVENTS"
    intervals: str = "GTI"
    timesys: str = "TT"

    def seconds(self, utc_mjd: float) -> float:
        """Seconds of the mission's clock at a time that is given as MJD (UTC)."""
        return (self.mjd(utc_mjd) - self.reference_mjd) * 86400.0

    def mjd(self, utc_mjd: float) -> float:
        """MJD (UTC) in the mission's own scale."""
        if self.timesys == "UTC":
            return utc_mjd
        return utc_mjd + (32.184 + float(np.searchsorted(_LEAPS_MJD, utc_mjd, "right")) + _LEAPS_BEFORE) / 86400.0


TELESCOPES: Final[Mapping[str, Telescope]] = {
    "xmm_pointed": Telescope("XMM", 50814, 0.25),
    "chandra": Telescope(
        "CHANDRA", 50814, 0.2, ("time", "ccd_id", "chipx", "chipy", "x", "y", "pha", "energy", "pi", "grade")
    ),
    "nustar_pointed": Telescope("NuSTAR", 55197.00076601852, 0.11, ("TIME", "RAWX", "RAWY", "X", "Y", "PI", "GRADE")),
    "swift": Telescope("SWIFT", 51910.00074287037, 0.2),
    "xrism_pointed": Telescope(
        "XRISM", 58484.00080074074, 0.3, ("TIME", "PIXEL", "X", "Y", "DETX", "DETY", "PHA", "PI")
    ),
    "rosat_pointed": Telescope(
        "ROSAT", 48043, 1.0, ("TIME", "X", "Y", "DETX", "DETY", "PHA", "PI"), "STDEVT", "STDGTI", "UTC"
    ),
    "rosat_all_sky": Telescope(
        "ROSAT", 48043, 3.0, ("TIME", "X", "Y", "DETX", "DETY", "PHA", "PI"), "STDEVT", "STDGTI", "UTC"
    ),
    "asca": Telescope("ASCA", 48988, 0.4, timesys="UTC"),
    "suzaku": Telescope("SUZAKU", 51544.00074287037, 0.15),
    "integral_pointed": Telescope("INTEGRAL", 51544, 4.0, ("TIME", "RAWX", "RAWY", "PHA", "PI")),
    "erosita": Telescope("eROSITA", 51543.875, 1.8, ("TIME", "RA", "DEC", "X", "Y", "PI", "FLAG", "TM_NR")),
}
