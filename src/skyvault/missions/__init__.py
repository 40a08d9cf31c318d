"""The missions: archives of X-ray astronomy and of variable stars. Each class is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.missions.archive import Archive
    from skyvault.missions.archive_search import assemble_archive_from_positions, multi_mission_filter_on_positions
    from skyvault.missions.asca import ASCA
    from skyvault.missions.chandra import Chandra
    from skyvault.missions.dasch import DASCH
    from skyvault.missions.erass1de import eRASS1DE
    from skyvault.missions.erosita_calpv import eROSITACalPV
    from skyvault.missions.integral import INTEGRALPointed
    from skyvault.missions.mission import Mission
    from skyvault.missions.nustar import NuSTARPointed
    from skyvault.missions.rosat_all_sky import ROSATAllSky
    from skyvault.missions.rosat_pointed import ROSATPointed
    from skyvault.missions.rubin import Rubin
    from skyvault.missions.suzaku import Suzaku
    from skyvault.missions.swift import Swift
    from skyvault.missions.tess import TESS
    from skyvault.missions.xmm import XMMPointed
    from skyvault.missions.xrism import XRISMPointed
    from skyvault.missions.ztf import ZTF

#: public name -> the module that holds it
_HOME_OF = {
    "ASCA": "asca",
    "Archive": "archive",
    "Chandra": "chandra",
    "DASCH": "dasch",
    "INTEGRALPointed": "integral",
    "Mission": "mission",
    "NuSTARPointed": "nustar",
    "ROSATAllSky": "rosat_all_sky",
    "ROSATPointed": "rosat_pointed",
    "Rubin": "rubin",
    "Suzaku": "suzaku",
    "Swift": "swift",
    "TESS": "tess",
    "XMMPointed": "xmm",
    "XRISMPointed": "xrism",
    "ZTF": "ztf",
    "assemble_archive_from_positions": "archive_search",
    "eRASS1DE": "erass1de",
    "eROSITACalPV": "erosita_calpv",
    "multi_mission_filter_on_positions": "archive_search",
}

#: the classes of the archives of X-ray astronomy
X_RAY_MISSIONS = (
    "XMMPointed",
    "eROSITACalPV",
    "eRASS1DE",
    "Chandra",
    "NuSTARPointed",
    "ROSATPointed",
    "ROSATAllSky",
    "Swift",
    "Suzaku",
    "ASCA",
    "INTEGRALPointed",
    "XRISMPointed",
)

#: the classes of archives of variable stars, which are made for one search: ``ZTF.around("RY Cnc")``
TIME_DOMAIN_MISSIONS = ("DASCH", "ZTF", "TESS", "Rubin")

__all__ = [
    "ASCA",
    "DASCH",
    "TESS",
    "TIME_DOMAIN_MISSIONS",
    "X_RAY_MISSIONS",
    "ZTF",
    "Archive",
    "Chandra",
    "INTEGRALPointed",
    "Mission",
    "NuSTARPointed",
    "ROSATAllSky",
    "ROSATPointed",
    "Rubin",
    "Suzaku",
    "Swift",
    "XMMPointed",
    "XRISMPointed",
    "assemble_archive_from_positions",
    "eRASS1DE",
    "eROSITACalPV",
    "mission_classes",
    "multi_mission_filter_on_positions",
]


def mission_classes() -> dict[str, type[Mission]]:
    """All mission classes that come with Skyvault, by their class name."""
    return {name: __getattr__(name) for name in X_RAY_MISSIONS}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"there is no mission {name!r}; there are {', '.join(sorted(_HOME_OF))}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
