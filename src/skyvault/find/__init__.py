"""Find: observations of many archives at once, TAP services and their data links, and images as they are on the sky.

The package itself can be called: ``skyvault.find("M 31")`` is :func:`skyvault.find.search.find`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.find.datalink import Links, fetch, links
    from skyvault.find.found import Found, Problem
    from skyvault.find.image import open_image, really_contains, show_image
    from skyvault.find.jobs import Job, resume_job
    from skyvault.find.search import find
    from skyvault.find.tap import Service, get_tap_service

#: public name -> the module that holds it
_HOME_OF = {
    "Found": "found",
    "Job": "jobs",
    "Links": "datalink",
    "Problem": "found",
    "Service": "tap",
    "fetch": "datalink",
    "find": "search",
    "get_tap_service": "tap",
    "links": "datalink",
    "open_image": "image",
    "really_contains": "image",
    "resume_job": "jobs",
    "show_image": "image",
}

__all__ = [
    "Found",
    "Job",
    "Links",
    "Problem",
    "Service",
    "fetch",
    "find",
    "get_tap_service",
    "links",
    "open_image",
    "really_contains",
    "resume_job",
    "show_image",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"skyvault.find has no {name!r}; it has {', '.join(sorted(_HOME_OF))}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


class _CallableModule(ModuleType):
    """``from skyvault import find`` gives this package, and people write ``find("M 31")``."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.find(*arguments, **named)


sys.modules[__name__].__class__ = _CallableModule
