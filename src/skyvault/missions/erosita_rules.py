"""What eROSITA's two missions share: instruments, and which observations are worth processing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TELESCOPES: Final = tuple(f"TM{i}" for i in range(1, 8))


def assess(obs_info: Mapping[str, Any]) -> dict[str, Any]:
    """{instrument: usable?}: those whose filter wheel was open or held a filter."""
    return {inst: str(facts["filter"]).upper() in ("OPEN", "FILTER") for inst, facts in obs_info.items()}
