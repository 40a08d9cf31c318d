"""What runs by itself: a function of a resource's hooks.py, and when it is due."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_DAY_S: Final = 86_400.0
_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": _DAY_S}
#: how long a run may take unless the resource says otherwise
LIMIT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """One action: ``every_s`` seconds, at a time of day (``at_s`` seconds after midnight, UTC), or once loaded."""

    name: str
    hook: str
    every_s: float | None = None
    at_s: float | None = None
    on_loaded: bool = False
    limit_s: float = LIMIT_S

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> ScheduledAction:
        """The action that an entry of ``actions:`` describes, which has been checked."""
        every, at, seconds = section.get("every"), section.get("at"), section.get("seconds")
        hour, _, minute = (at or "0:0").partition(":")
        return cls(
            str(section.get("name") or section["hook"]),
            str(section["hook"]),
            None if every is None else float(every[:-1]) * _UNITS_S[every[-1]],
            None if at is None else 3_600.0 * int(hour) + 60.0 * int(minute),
            section.get("on") == "loaded",
            LIMIT_S if seconds is None else float(seconds),
        )

    def due(self, now: float, *, since: float, loaded_at: float, last: float | None) -> float | None:
        """When it is to run next (UTC, seconds since 1970; a past instant: now); None: not before it is loaded anew.

        ``since`` is when it was first asked for, ``last`` when it last began. Of runs that were missed, one is made up.
        """
        if self.every_s is not None:
            return since if last is None else last + self.every_s
        if self.at_s is not None:
            latest = math.floor((now - self.at_s) / _DAY_S) * _DAY_S + self.at_s
            return latest if latest > max(since, last or 0.0) else latest + _DAY_S
        return loaded_at if last is None or last < loaded_at else None

    @property
    def rhythm(self) -> str:
        """For people: "every 6 h", "at 03:00 UTC", "when loaded"."""
        if self.every_s is not None:
            for unit, size in (("d", _DAY_S), ("h", 3_600.0), ("min", 60.0)):
                if self.every_s % size == 0:
                    return f"every {self.every_s / size:g} {unit}"
            return f"every {self.every_s:g} s"
        if self.at_s is not None:
            return f"at {int(self.at_s // 3600):02d}:{int(self.at_s % 3600 // 60):02d} UTC"
        return "when loaded"


def actions_of(document: Mapping[str, Any]) -> list[ScheduledAction]:
    """The actions of a resource, as published."""
    return [ScheduledAction.of(section) for section in document.get("actions") or ()]
