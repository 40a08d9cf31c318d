"""Which column is which: what surveys call times, magnitudes, fluxes and flags, and what the pipeline calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_JD_ZERO: Final = 2400000.5
#: standard name -> simplified names that mean it, the better one first
_MEANINGS: Final[dict[str, tuple[str, ...]]] = {
    "exptime": ("exptime", "exposuretime"),
    "ra": ("ra", "rightascension"),
    "dec": ("dec", "declination"),
    "mag": ("mag", "magnitude"),
    "magerr": ("magerr", "magerror", "emag", "magnitudeerror", "magnitudeerr", "sigmamag"),
    "flux": ("flux", "fluxe", "count"),
    "fluxerr": ("fluxerr", "fluxerror", "eflux", "counterr", "counterror"),
    "filter": ("filter", "filt", "filtername", "filtercode", "band", "passband"),
    "flag": ("flag", "catflag", "baddata", "quality"),
}
_TIMES: Final[dict[str, float]] = {
    # days to add to become an MJD
    "mjd": 0.0,
    "jd": -_JD_ZERO,
    "juliandate": -_JD_ZERO,
    "bjd": -_JD_ZERO,
    "hjd": -_JD_ZERO,
    "btjd": 2457000.0 - _JD_ZERO,
}


def simplified(name: str) -> str:
    """Lower case, without blanks, underscores, dashes, digits, a unit after a comma, and a final s."""
    plain = re.sub(r"[\s_\-\d.+]", "", name.lower().split(",")[0])
    return plain[:-1] if plain.endswith("s") and len(plain) > 3 else plain


def guess_columns(names: Iterable[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Standard name -> column, and how the time column becomes MJD: {"format": "mjd", "offset": days to add}.

    Columns that nothing is known about are left out.
    """
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(simplified(name), name)
    colmap = {}
    for standard, words in _MEANINGS.items():
        found = next((by_plain[word] for word in words if word in by_plain), None)
        if found is not None:
            colmap[standard] = found
    time_info: dict[str, Any] = {}
    for word, to_mjd in _TIMES.items():
        if word in by_plain:
            colmap["time"] = by_plain[word]
            # "BJD - 2457000": what was subtracted must be added again
            said = re.search(r"([+-])\s*(\d{5,7}(?:\.\d+)?)", by_plain[word])
            taken = 0.0 if said is None else float(said[2]) * (1.0 if said[1] == "-" else -1.0)
            time_info = {"format": word, "offset": to_mjd + taken}
            break
    else:
        if "time" in by_plain:
            colmap["time"] = by_plain["time"]
            time_info = {"format": "mjd", "offset": 0.0}
    return colmap, time_info
