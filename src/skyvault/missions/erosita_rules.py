"""What eROSITA's two missions share: instruments, and which observations are worth processing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skyvault.missions.wanted_files import Narrowing

TELESCOPES: Final = tuple(f"TM{i}" for i in range(1, 8))
#: the two tables are no service of the archive's; the DAXA project (BSD-3-Clause) made and keeps them
TABLES_URL: Final = "https://raw.githubusercontent.com/DavidT3/DAXA/HEAD/daxa/files/"
#: event lists hold all seven telescopes
TM_ROWS: Final = Narrowing("TM_NR", {name: int(name[-1]) for name in TELESCOPES})


def assess(obs_info: Mapping[str, Any]) -> dict[str, Any]:
    """{instrument: usable?}: those whose filter wheel was open or held a filter."""
    return {inst: str(facts["filter"]).upper() in ("OPEN", "FILTER") for inst, facts in obs_info.items()}
