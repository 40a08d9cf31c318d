"""Sessions: one target and everything a plate archive holds about it, kept in a folder.

``open_session("folder")`` begins; see :class:`~skyvault.session.session.Session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.session.exposures import ExposureRow, Exposures
    from skyvault.session.extract import Extract
    from skyvault.session.flags import AFlags, BFlags, LocalBinRejectFlags, PlateQualityFlags
    from skyvault.session.lightcurve import Lightcurve
    from skyvault.session.merge import merge
    from skyvault.session.query import SessionQuery
    from skyvault.session.refcat import RefcatSourceRow, RefcatSources
    from skyvault.session.series import SeriesKind
    from skyvault.session.session import Session, open_session

#: name -> module; loaded when first asked for, since astropy's tables take their time
_PLACES = {
    "AFlags": "flags",
    "BFlags": "flags",
    "ExposureRow": "exposures",
    "Exposures": "exposures",
    "Extract": "extract",
    "Lightcurve": "lightcurve",
    "LocalBinRejectFlags": "flags",
    "PlateQualityFlags": "flags",
    "RefcatSourceRow": "refcat",
    "RefcatSources": "refcat",
    "SeriesKind": "series",
    "Session": "session",
    "SessionQuery": "query",
    "merge": "merge",
    "open_session": "session",
}

__all__ = [
    "AFlags",
    "BFlags",
    "ExposureRow",
    "Exposures",
    "Extract",
    "Lightcurve",
    "LocalBinRejectFlags",
    "PlateQualityFlags",
    "RefcatSourceRow",
    "RefcatSources",
    "SeriesKind",
    "Session",
    "SessionQuery",
    "merge",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
