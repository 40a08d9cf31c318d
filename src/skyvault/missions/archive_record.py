"""What was done to the observations of an archive: which process, on what, with what success, errors and warnings.

Each record is a nested dictionary {mission: {process: {ident: value}}}; an ident is an ObsID, or an ObsID with
instrument and sub-exposure, such as 0201903501M1S001.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from skyvault.errors import NotFound, UsageError
from skyvault.missions.faults import MissionTypeError, MissionValueError

#: kinds of record, and the type of a value; None: anything JSON takes
KINDS: Final[Mapping[str, type | tuple[type, ...] | None]] = {
    "process_success": bool,
    "process_errors": (list, str),
    "raw_process_errors": str,
    "process_warnings": (list, str),
    "process_logs": str,
    "process_extra_info": dict,
}


class NoProcessingError(UsageError):
    """No process was ever run on the data."""


class NoDependencyProcessError(UsageError):
    """A process needs another one that was not run, or failed."""


class ObsNotAssociatedError(NotFound):
    """The archive has no such observation."""


class MissionNotAssociatedError(NotFound):
    """The archive has no such mission."""


class ProcessRecord:
    """The records of one archive, in memory; ``as_document`` and ``from_document`` are for its file."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, dict[str, dict[str, Any]]]] = {kind: {} for kind in KINDS}
        #: {mission: {process: parameters}}
        self.configurations: dict[str, dict[str, Any]] = {}

    def of(self, kind: str) -> dict[str, dict[str, dict[str, Any]]]:
        """A copy of all records of a kind."""
        return copy.deepcopy(self._values[kind])

    def value(self, kind: str, mission: str, process: str, ident: str) -> Any:
        """One record, or None."""
        return self._values[kind].get(mission, {}).get(process, {}).get(ident)

    def names(self) -> dict[str, list[str]]:
        """{mission: processes in the order they were first run}."""
        return {mission: list(processes) for mission, processes in self._values["process_success"].items()}

    def put(self, kind: str, process: str, mission: str, ident: str, value: Any) -> None:
        """Add or replace a record. Raises MissionTypeError."""
        wanted = KINDS[kind]
        if wanted is not None and not isinstance(value, wanted):
            raise MissionTypeError(f"{kind} of {process} for {ident} is of type {type(value).__name__}")
        if kind in ("process_errors", "process_warnings") and isinstance(value, str):
            value = [value] if value else []
        self._values[kind].setdefault(mission, {}).setdefault(process, {})[ident] = value

    def take(self, kind: str, given: Any, missions: list[str]) -> None:
        """Records in the form (process, {mission: {ident: value}}). Raises MissionTypeError, MissionValueError."""
        if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[0], str):
            raise MissionTypeError(f"{kind} is set to a pair: name of the process, {{mission: {{ident: value}}}}")
        process, by_mission = given
        if not isinstance(by_mission, Mapping) or not all(isinstance(one, Mapping) for one in by_mission.values()):
            raise MissionTypeError(f"{kind} of {process} is no dictionary {{mission: {{ident: value}}}}")
        if strange := [mission for mission in by_mission if mission not in missions]:
            raise MissionValueError(
                f"{kind} of {process} names {', '.join(map(repr, strange))}, no mission of the archive"
            )
        for mission, values in by_mission.items():
            for ident, value in values.items():
                self.put(kind, process, mission, str(ident), value)

    def forget(self, mission: str, process: str | None = None) -> None:
        """Drop all records of a mission, or of one process on it."""
        for values in self._values.values():
            if process is None:
                values.pop(mission, None)
            else:
                values.get(mission, {}).pop(process, None)
        if process is None:
            self.configurations.pop(mission, None)

    def success_of(self, mission: str, process: str, ident: str, obs_id: str) -> bool | None:
        """Whether a process went well for an ident, or for the whole observation it belongs to; None: it never ran."""
        found = self._values["process_success"].get(mission, {}).get(process)
        if found is None:
            return None
        if ident in found:
            return bool(found[ident])
        if obs_id in found:
            return bool(found[obs_id])
        # an observation's step needs what was run on its parts: one that went well is enough to go on
        parts = [bool(value) for name, value in found.items() if name.startswith(ident)]
        return any(parts) if parts else False

    def as_document(self) -> dict[str, Any]:
        return {**self._values, "process_run_config": self.configurations}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ProcessRecord:
        """Raises KeyError, TypeError, AttributeError for a damaged document."""
        made = cls()
        for kind in KINDS:
            for mission, processes in document[kind].items():
                for process, values in processes.items():
                    made._values[kind].setdefault(mission, {}).setdefault(process, {}).update(values)
        made.configurations = {str(mission): dict(one) for mission, one in document["process_run_config"].items()}
        return made
