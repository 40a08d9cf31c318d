"""The archives of the world, in small, on loopback: each in its own wire protocol, over one simulated sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.sandbox.faults import Fault
    from skyvault.sandbox.server import Sandbox

_HOME_OF = {"Fault": "faults", "Sandbox": "server"}

__all__ = ["Fault", "Sandbox"]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"skyvault.sandbox has no {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
