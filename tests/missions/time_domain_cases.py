"""The missions of variable stars with a place each has seen in the sandbox, for tests of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from skyvault.config import Settings
from skyvault.missions import DASCH, TESS, ZTF, Rubin
from skyvault.missions.time_domain import TimeDomainMission

RY_CNC = (129.97758, 19.82192)


@dataclass(frozen=True)
class Case:
    """A mission, a place it has seen, how many observations at least, and its archive's name of one of them."""

    mission_class: type[TimeDomainMission]
    archive: str
    place: tuple[float, float]
    at_least: int
    own_id: str
    how: tuple[tuple[str, Any], ...] = ()

    def make(self, settings: Settings, tmp_path: Path, **more: Any) -> Any:
        return self.mission_class.around(self.place, settings=settings, output=tmp_path, **dict(self.how), **more)


CASES = (
    Case(DASCH, "dasch", RY_CNC, 200, "plate_id"),
    Case(ZTF, "ztf", RY_CNC, 300, "pid"),
    Case(TESS, "mast", RY_CNC, 4, "ticid"),
    Case(Rubin, "rubin", (62.0, -37.0), 1500, "ccdvisitid", (("token", "gt-sandbox"),)),
)


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables hold the same; NaN is NaN."""
    return one.schema.equals(other.schema) and repr(one.to_pydict()) == repr(other.to_pydict())
