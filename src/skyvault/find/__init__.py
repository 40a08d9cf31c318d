"""Find: observations of many archives at once, TAP services and their data links, and images as they are on the sky.

The package itself can be called: ``skyvault.find("M 31")`` is :func:`skyvault.find.search.find`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.find.datalink import Links, links
    from skyvault.find.display import show_image
    from skyvault.find.fetching import fetch
    from skyvault.find.footprint import really_contains
    from skyvault.find.found import Found, Problem
    from skyvault.find.image import open_image
    from skyvault.find.jobs import Job, resume_job
    from skyvault.find.live import live_image
    from skyvault.find.mask import Mask, read_mask
    from skyvault.find.samp import send_image, send_table
    from skyvault.find.search import find
    from skyvault.find.tap import Service, get_tap_service

#: public name -> the module that holds it
_HOME_OF = {
    "Found": "found",
    "Job": "jobs",
    "Links": "datalink",
    "Mask": "mask",
    "Problem": "found",
    "Service": "tap",
    "fetch": "fetching",
    "find": "search",
    "get_tap_service": "tap",
    "links": "datalink",
    "live_image": "live",
    "open_image": "image",
    "read_mask": "mask",
    "really_contains": "footprint",
    "resume_job": "jobs",
    "send_image": "samp",
    "send_table": "samp",
    "show_image": "display",
}

__all__ = [
    "Found",
    "Job",
    "Links",
    "Mask",
    "Problem",
    "Service",
    "fetch",
    "find",
    "get_tap_service",
    "links",
    "live_image",
    "open_image",
    "read_mask",
    "really_contains",
    "resume_job",
    "send_image",
    "send_table",
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
