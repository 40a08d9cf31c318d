"""NASA's HEASARC: the observing logs of ten X-ray missions by TAP, and their files below /FTP/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from skyvault.sandbox import past_missions, present_missions
from skyvault.sandbox.emulation import Emulation, HeldTable

#: mission -> its table
TABLES = {
    "xmm_pointed": present_missions.xmmmaster,
    "chandra": present_missions.chanmaster,
    "nustar_pointed": present_missions.numaster,
    "swift": present_missions.swiftmastr,
    "xrism_pointed": present_missions.xrismmastr,
    "rosat_pointed": past_missions.rosmaster,
    "rosat_all_sky": past_missions.rassmaster,
    "asca": past_missions.ascamaster,
    "suzaku": past_missions.suzamaster,
    "integral_pointed": past_missions.intscwpub,
}


class Heasarc(Emulation):
    """The archive. Tables are in the schema public and may be named without it; files lie below /heasarc/FTP/."""

    name: ClassVar[str] = "heasarc"
    services: ClassVar[Mapping[str, str]] = {"tap": "/tap", "files": "/FTP/"}

    def tables(self) -> Iterable[HeldTable]:
        """The ten observing logs."""
        return [table() for table in TABLES.values()]
