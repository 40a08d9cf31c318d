"""High-energy telescopes whose event lists are known: their fields of view, bands, and energies of channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EventTelescope:
    """Half the field of view (degrees), the band (keV), and the energy of a channel PI: ``kev_pi * PI + kev_0``."""

    radius_deg: float
    low_kev: float
    high_kev: float
    kev_pi: float | None = None
    kev_0: float = 0.0


#: by TELESCOP in capitals; from the missions' handbooks (HEASARC's calibration guides, SOC pages)
TELESCOPES: Final[Mapping[str, EventTelescope]] = {
    "XMM": EventTelescope(0.25, 0.1, 15.0, 0.001),
    "CHANDRA": EventTelescope(0.2, 0.08, 12.0, 0.0146),
    "NUSTAR": EventTelescope(0.11, 1.6, 165.0, 0.04, 1.6),
    "SWIFT": EventTelescope(0.2, 0.1, 12.0, 0.01),
    "XRISM": EventTelescope(0.32, 0.1, 30.0),
    "HITOMI": EventTelescope(0.32, 0.1, 80.0),
    "ROSAT": EventTelescope(1.0, 0.1, 2.5, 0.01),
    "ASCA": EventTelescope(0.42, 0.3, 12.0),
    "SUZAKU": EventTelescope(0.15, 0.2, 16.0, 0.00365),
    "INTEGRAL": EventTelescope(4.5, 15.0, 10_000.0),
    "EROSITA": EventTelescope(0.52, 0.1, 12.0, 0.001),
    "EINSTEIN": EventTelescope(0.63, 0.1, 4.5),
    "XTE": EventTelescope(0.5, 2.0, 60.0),
    "NICER": EventTelescope(0.05, 0.1, 15.0, 0.01),
    "IXPE": EventTelescope(0.11, 1.0, 12.0, 0.04),
    "GLAST": EventTelescope(60.0, 20_000.0, 1e9),
    "FERMI": EventTelescope(60.0, 20_000.0, 1e9),
    "ASTROSAT": EventTelescope(0.5, 0.3, 100.0),
}
