"""The X-ray missions: their observations, filtered and fetched. Each class is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.missions.asca import ASCA
    from skyvault.missions.chandra import Chandra
    from skyvault.missions.erass1de import eRASS1DE
    from skyvault.missions.erosita_calpv import eROSITACalPV
    from skyvault.missions.integral import INTEGRALPointed
    from skyvault.missions.mission import Mission
    from skyvault.missions.nustar import NuSTARPointed
    from skyvault.missions.rosat_all_sky import ROSATAllSky
    from skyvault.missions.rosat_pointed import ROSATPointed
    from skyvault.missions.suzaku import Suzaku
    from skyvault.missions.swift import Swift
    from skyvault.missions.xmm import XMMPointed
    from skyvault.missions.xrism import XRISMPointed

#: public name -> the module that holds it
_HOME_OF = {
    "ASCA": "asca",
    "Chandra": "chandra",
    "INTEGRALPointed": "integral",
    "Mission": "mission",
    "NuSTARPointed": "nustar",
    "ROSATAllSky": "rosat_all_sky",
    "ROSATPointed": "rosat_pointed",
    "Suzaku": "suzaku",
    "Swift": "swift",
    "XMMPointed": "xmm",
    "XRISMPointed": "xrism",
    "eRASS1DE": "erass1de",
    "eROSITACalPV": "erosita_calpv",
}

__all__ = [
    "ASCA",
    "Chandra",
    "INTEGRALPointed",
    "Mission",
    "NuSTARPointed",
    "ROSATAllSky",
    "ROSATPointed",
    "Suzaku",
    "Swift",
    "XMMPointed",
    "XRISMPointed",
    "eRASS1DE",
    "eROSITACalPV",
]


def mission_classes() -> dict[str, type[Mission]]:
    """All mission classes that come with Skyvault, by their class name."""
    return {name: __getattr__(name) for name in __all__ if name != "Mission"}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"there is no mission {name!r}; there are {', '.join(sorted(_HOME_OF))}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
