"""The archives the sandbox has, and which class speaks for each."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from skyvault.sandbox.emulation import Emulation

#: archive -> module of this package and class
ARCHIVES: Final = {
    "heasarc": ("heasarc", "Heasarc"),
    "xsa": ("xsa", "Xsa"),
    "erosita": ("erosita", "Erosita"),
    "sesame": ("sesame", "Sesame"),
    "miriade": ("miriade", "Miriade"),
    "rubin": ("rubin", "Rubin"),
    "registry": ("registry", "Registry"),
    "vo": ("vo_services", "VoServices"),
    "dasch": ("dasch", "Dasch"),
    "ztf": ("ztf", "Ztf"),
    "mast": ("mast", "Mast"),
    "catalogs": ("catalogs", "Catalogs"),
    "gaia": ("gaia", "Gaia"),
}


def emulation(archive: str) -> type[Emulation]:
    """The class that speaks for an archive."""
    module, name = ARCHIVES[archive]
    found: type[Emulation] = getattr(importlib.import_module(f"skyvault.sandbox.{module}"), name)
    return found


def present() -> tuple[str, ...]:
    """The archives whose emulation is there."""
    return tuple(
        archive for archive, (module, _) in ARCHIVES.items() if importlib.util.find_spec(f"skyvault.sandbox.{module}")
    )
