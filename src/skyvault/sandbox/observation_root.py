"""The directory of an observation in an archive's tree: where it lies, what it holds, who may read it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from skyvault.sandbox.event_files import HeldFile, Kind, Seen

#: a row of an archive's table
Row = Mapping[str, Any]
_MJD_OF_1970: Final = 40587.0


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that belongs to one observation, or to a revolution of INTEGRAL: its address, and what it holds."""

    path: str
    seen: Seen
    files: Callable[[], list[HeldFile]] = field(compare=False)
    #: MJD from which everybody may read it; 0: nobody knows yet
    public_mjd: float | None = None
    #: it belongs to several observations
    is_shared: bool = False

    @property
    def is_public(self) -> bool:
        """Whether everybody may read it by now."""
        if self.public_mjd is None:
            return True
        return 0.0 < self.public_mjd <= time.time() / 86400.0 + _MJD_OF_1970


def seen_of(mission: str, row: Row, obs_id: Any, start: float, seconds: float) -> Seen:
    """The observation of a row of HEASARC's tables; start is MJD."""
    return Seen(mission, str(obs_id), row["name"], row["ra"], row["dec"], start, float(seconds))


def files_in(folder: str, kind: Kind, inst: str, *names: str) -> list[HeldFile]:
    """Files of one kind in one folder below the observation's directory."""
    return [HeldFile(f"{folder}/{name}" if folder else name, kind, inst) for name in names]
