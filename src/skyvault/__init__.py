"""Skyvault: from a file of sky positions to a queried Virtual Observatory service.

The names below are loaded when they are first used, so that ``import skyvault`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.errors import SkyvaultError
    from skyvault.find.search import find
    from skyvault.find.tap import get_tap_service
    from skyvault.model.table import Column, Table
    from skyvault.pipeline.catalog import Catalog
    from skyvault.pipeline.project import Project
    from skyvault.session.session import open_session

#: public name -> the module that holds it
_HOME_OF = {
    "Catalog": "skyvault.pipeline.catalog",
    "Column": "skyvault.model.table",
    "Project": "skyvault.pipeline.project",
    "Settings": "skyvault.config",
    "SkyvaultError": "skyvault.errors",
    "Table": "skyvault.model.table",
    "get_tap_service": "skyvault.find.tap",
    "open_session": "skyvault.session.session",
}

__all__ = [
    "Catalog",
    "Column",
    "Project",
    "Settings",
    "SkyvaultError",
    "Table",
    "__version__",
    "find",
    "get_tap_service",
    "open_session",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "find":
        # a package that can be called, so that skyvault.find.links and skyvault.find("M 31") both go
        return importlib.import_module("skyvault.find")
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'skyvault' has no public name {name!r}; it has {', '.join(sorted(_HOME_OF))}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
