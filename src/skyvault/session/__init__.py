"""Sessions: one target and everything a plate archive holds about it, kept in a folder.

``open_session("folder")`` begins; see :class:`~skyvault.session.session.Session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.errors import SkyvaultError as InteractiveError
    from skyvault.session.columns import REFCATS as SUPPORTED_REFCATS
    from skyvault.session.exposures import ExposureRow, Exposures
    from skyvault.session.extract import Extract
    from skyvault.session.flags import AFlags, BFlags, LocalBinRejectFlags, PlateQualityFlags
    from skyvault.session.lightcurve import Lightcurve
    from skyvault.session.merging import merge
    from skyvault.session.photometry import PhotometryPoint
    from skyvault.session.query import SessionQuery
    from skyvault.session.query import folder_name as source_name_to_fs_name
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
    "PhotometryPoint": "photometry",
    "PlateQualityFlags": "flags",
    "RefcatSourceRow": "refcat",
    "RefcatSources": "refcat",
    "SeriesKind": "series",
    "Session": "session",
    "SessionQuery": "query",
    "merge": "merging",
    "open_session": "session",
}

#: other names of the same, as users of daschlab know them
_ALSO = {
    "InteractiveError": ("skyvault.errors", "SkyvaultError"),
    "SUPPORTED_REFCATS": ("skyvault.session.columns", "REFCATS"),
    "source_name_to_fs_name": ("skyvault.session.query", "folder_name"),
}

__all__ = [
    "SUPPORTED_REFCATS",
    "AFlags",
    "BFlags",
    "ExposureRow",
    "Exposures",
    "Extract",
    "InteractiveError",
    "Lightcurve",
    "LocalBinRejectFlags",
    "PhotometryPoint",
    "PlateQualityFlags",
    "RefcatSourceRow",
    "RefcatSources",
    "SeriesKind",
    "Session",
    "SessionQuery",
    "merge",
    "open_session",
    "source_name_to_fs_name",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _ALSO:
        module, known = _ALSO[name]
        return getattr(import_module(module), known)
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
