"""What was done to the observations of an archive, and where their data lie now.

The half of :class:`skyvault.missions.archive.Archive` that a process step sees: what is to be processed, whether the
steps before went well, how it went, and the source regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skyvault.errors import SkyvaultError, StoreError
from skyvault.missions.archive_layout import Layout
from skyvault.missions.archive_record import (
    MissionNotAssociatedError,
    NoDependencyProcessError,
    NoProcessingError,
    ObsNotAssociatedError,
    ProcessRecord,
)
from skyvault.missions.faults import MissionTypeError
from skyvault.missions.match import Booleans

if TYPE_CHECKING:
    from skyvault.missions.mission import Mission
    from skyvault.missions.processing import Outcome


class NoRegionsAssociatedError(SkyvaultError):
    """No source regions were given for the observation."""

    exit_code = 1


def _recorded(kind: str, what: str) -> Any:
    """A property of records; assigning (process, {mission: {ident: value}}) adds to them and saves."""

    def read(self: ProcessedArchive) -> dict[str, dict[str, dict[str, Any]]]:
        return self._record.of(kind)

    def write(self: ProcessedArchive, given: Any) -> None:
        self._record.take(kind, given, self.mission_names)
        self.save()

    return property(read, write, doc=f"{{mission: {{process: {{ident: {what}}}}}}}.")


class ProcessedArchive:
    """Missions with records of what was done to their observations."""

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        self._missions: dict[str, Mission] = {}
        self._record = ProcessRecord()
        self._summaries: dict[str, dict[str, Any]] = {}
        self._use: dict[str, dict[str, Any]] = {}
        self._final: dict[str, dict[str, bool]] = {}
        self._regions: dict[str, list[str]] = {}

    def save(self) -> None:
        """Write everything down."""
        raise NotImplementedError

    @property
    def missions(self) -> list[Mission]:
        return list(self._missions.values())

    @property
    def mission_names(self) -> list[str]:
        return list(self._missions)

    def __getitem__(self, which: int | str) -> Mission:
        if isinstance(which, bool) or not isinstance(which, int | str):
            raise MissionTypeError(f"a mission is asked for by its name or number, not by {which!r}")
        if isinstance(which, int):
            # IndexError, as of a list, so that loops over numbers end
            return self.missions[which]
        if which not in self._missions:
            raise MissionNotAssociatedError(
                f"the archive {self._name!r} has no mission {which!r}",
                hint=f"It has {', '.join(self._missions) or 'none'}.",
            )
        return self._missions[which]

    # --- paths -----------------------------------------------------------------------------------------------------

    def construct_processed_data_path(self, mission_name: str, obs_id: str | None = None) -> Path:
        """Where processed data of a mission, or of one observation, are kept."""
        self._require(mission_name, obs_id)
        return self._layout.processed(mission_name, obs_id)

    def construct_failed_data_path(self, mission_name: str, obs_id: str | None = None) -> Path:
        """Where the data of observations go whose processing failed."""
        self._require(mission_name, obs_id)
        return self._layout.failed(mission_name, obs_id)

    def construct_raw_data_path(self, mission_name: str, obs_id: str | None = None) -> Path:
        """Where a mission's downloads are."""
        self._require(mission_name, obs_id)
        root = Path(self[mission_name].raw_data_path)
        return root if obs_id is None else root / obs_id

    def construct_region_path(self, mission_name: str, obs_id: str) -> Path:
        """Where the source regions of an observation are kept."""
        self._require(mission_name, obs_id)
        return self._layout.regions(mission_name, obs_id)

    def get_current_data_path(self, mission_name: str, obs_id: str) -> Path:
        """Where an observation's data are now: among the processed, or the failed."""
        self._require(mission_name, obs_id)
        has_failed = self._final.get(mission_name, {}).get(obs_id) is False
        return (self._layout.failed if has_failed else self._layout.processed)(mission_name, obs_id)

    def get_region_file_path(self, mission_name: str, obs_id: str) -> Path:
        """The file of an observation's source regions. Raises NoRegionsAssociatedError."""
        path = self.construct_region_path(mission_name, obs_id)
        if not path.is_file():
            raise NoRegionsAssociatedError(f"observation {obs_id} of {mission_name} has no source regions")
        return path

    def _require(self, mission_name: str, obs_id: str | None = None) -> None:
        mission = self[mission_name]
        if obs_id is not None and obs_id not in mission.filtered_obs_ids:
            raise ObsNotAssociatedError(f"the archive {self._name!r} has no observation {obs_id} of {mission_name}")

    # --- what is worth processing ----------------------------------------------------------------------------------

    @property
    def observation_summaries(self) -> dict[str, dict[str, Any]]:
        """{mission: {ObsID: what is known of it}}; assigning assesses them, see ``process_observation``."""
        return self._summaries

    @observation_summaries.setter
    def observation_summaries(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        _require_nested(given, "observation_summaries")
        for mission, by_obs in given.items():
            for obs_id in by_obs:
                self._require(mission, obs_id)
        assessed = {
            mission: {obs_id: self[mission].assess_process_obs(one) for obs_id, one in by_obs.items()}
            for mission, by_obs in given.items()
        }
        for mission, by_obs in given.items():
            self._summaries.setdefault(mission, {}).update(by_obs)
            self._use.setdefault(mission, {}).update(assessed[mission])
        self.save()

    @property
    def process_observation(self) -> dict[str, dict[str, Any]]:
        """{mission: {ObsID: usable}}, usable being a boolean or {instrument: {sub-exposure: boolean}}."""
        return self._use

    def get_obs_to_process(self, mission_name: str, search_ident: str | None = None) -> list[list[str]]:
        """What is to be processed: [ObsID], or [ObsID, instrument], or [ObsID, instrument, sub-exposure] each.

        Observations that were never assessed are processed whole; ``search_ident`` keeps those with that instrument
        or sub-exposure.
        """
        self._require(mission_name)
        use = self._use.get(mission_name, {})
        found = [
            [obs_id, *parts]
            for obs_id in self[mission_name].filtered_obs_ids.tolist()
            if self._final.get(mission_name, {}).get(obs_id) is not False
            for parts in _usable_parts(use.get(obs_id, True))
        ]
        return found if search_ident is None else [one for one in found if search_ident in one]

    def check_dependence_success(
        self,
        mission_name: str,
        obs_ident: str | Sequence[str] | Sequence[Sequence[str]],
        dep_proc: str | Sequence[str],
        no_success_error: bool = True,
    ) -> Booleans:
        """For which idents all these processes went well, shape (n,).

        Raises NoProcessingError when none was ever run, NoDependencyProcessError when one was not, or when nothing
        went well (unless ``no_success_error`` is False).
        """
        self._require(mission_name)
        idents = [obs_ident] if isinstance(obs_ident, str) else ["".join(one) for one in obs_ident]
        processes = [dep_proc] if isinstance(dep_proc, str) else list(dep_proc)
        ran = self._record.names().get(mission_name, [])
        if not ran:
            raise NoProcessingError(f"nothing was processed yet of {mission_name}")
        if missing := [process for process in processes if process not in ran]:
            raise NoDependencyProcessError(f"{', '.join(missing)} was not run on {mission_name}")
        mission = self[mission_name]
        result = np.array(
            [
                all(self._record.success_of(mission_name, one, ident, obs_id) for one in processes)
                for ident, obs_id in ((ident, mission.ident_to_obsid(ident)) for ident in idents)
            ],
            np.bool_,
        )
        if no_success_error and len(result) and not result.any():
            raise NoDependencyProcessError(f"{', '.join(processes)} went well for none of {len(idents)} observations")
        return result

    # --- what was done ---------------------------------------------------------------------------------------------

    def record(self, process: str, mission_name: str, ident: str, outcome: Outcome) -> None:
        """Note how a process went; its logs are written beside."""
        self._require(mission_name, self[mission_name].ident_to_obsid(ident))
        for kind, value in (
            ("process_success", outcome.is_success),
            ("process_errors", list(outcome.errors)),
            ("process_warnings", list(outcome.warnings)),
            ("process_extra_info", dict(outcome.extra)),
        ):
            self._record.put(kind, process, mission_name, ident, value)
        for stream, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
            path = self._layout.log(mission_name, process, ident, stream)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            except OSError as error:
                raise StoreError(f"the log cannot be written: {error.strerror}", where=str(path)) from None
        self._record.put("process_logs", process, mission_name, ident, outcome.stdout)
        self._record.put("raw_process_errors", process, mission_name, ident, outcome.stderr)

    def record_configuration(self, mission_name: str, process: str, configuration: Any) -> None:
        """Note with what a process is run; another configuration than before forgets what was recorded of it."""
        self._require(mission_name)
        known = self._record.configurations.setdefault(mission_name, {})
        if process in known and known[process] != configuration:
            self._record.forget(mission_name, process)
        known[process] = configuration

    process_success = _recorded("process_success", "whether it went well")
    process_errors = _recorded("process_errors", "list of errors")
    process_warnings = _recorded("process_warnings", "list of warnings")
    raw_process_errors = _recorded("raw_process_errors", "what it printed to stderr")
    process_logs = _recorded("process_logs", "what it printed")
    process_extra_info = _recorded("process_extra_info", "what later steps want to know")

    @property
    def process_names(self) -> dict[str, list[str]]:
        """{mission: processes that were run on it}."""
        return self._record.names()

    @property
    def process_configurations(self) -> dict[str, dict[str, Any]]:
        """{mission: {process: with what it was run}}."""
        return self._record.configurations

    @property
    def final_process_success(self) -> dict[str, dict[str, bool]]:
        """{mission: {ObsID: whether its processing ended well}}; data of those that failed move to failed_data."""
        return self._final

    @final_process_success.setter
    def final_process_success(self, given: Mapping[str, Mapping[str, bool]]) -> None:
        _require_nested(given, "final_process_success")
        for mission, by_obs in given.items():
            for obs_id, is_well in by_obs.items():
                self._require(mission, obs_id)
                if not isinstance(is_well, bool):
                    raise MissionTypeError(f"final_process_success of {obs_id} must be True or False, not {is_well!r}")
        for mission, by_obs in given.items():
            for obs_id, is_well in by_obs.items():
                before = self.get_current_data_path(mission, obs_id)
                self._final.setdefault(mission, {})[obs_id] = is_well
                after = self.get_current_data_path(mission, obs_id)
                if before != after and before.is_dir():
                    after.parent.mkdir(parents=True, exist_ok=True)
                    before.replace(after)
            if set(self._final[mission]) >= set(self[mission].filtered_obs_ids.tolist()):
                self[mission].processed = True
        self.save()

    def get_process_logs(
        self, process_name: str, mission_name: str | None = None, obs_id: str | None = None
    ) -> dict[str, dict[str, str]]:
        """{mission: {ident: what the process printed}}."""
        return self._logs("process_logs", process_name, mission_name, obs_id)

    def get_process_raw_error_logs(
        self, process_name: str, mission_name: str | None = None, obs_id: str | None = None
    ) -> dict[str, dict[str, str]]:
        """{mission: {ident: what the process printed to stderr}}."""
        return self._logs("raw_process_errors", process_name, mission_name, obs_id)

    def get_failed_processes(self, process_name: str) -> dict[str, list[str]]:
        """{mission: idents for which the process failed}."""
        found = self._record.of("process_success")
        self._require_ran(process_name)
        return {
            mission: [ident for ident, is_well in processes[process_name].items() if not is_well]
            for mission, processes in found.items()
            if process_name in processes
        }

    def get_failed_logs(self, process_name: str) -> dict[str, dict[str, tuple[str, str]]]:
        """{mission: {ident: (what it printed, what it printed to stderr)}} where the process failed."""
        logs, errors = self.get_process_logs(process_name), self.get_process_raw_error_logs(process_name)
        return {
            mission: {ident: (logs[mission].get(ident, ""), errors[mission].get(ident, "")) for ident in idents}
            for mission, idents in self.get_failed_processes(process_name).items()
        }

    def _logs(self, kind: str, process: str, mission_name: str | None, obs_id: str | None) -> dict[str, dict[str, str]]:
        self._require_ran(process)
        if mission_name is not None:
            self._require(mission_name, obs_id)
        found = self._record.of(kind)
        return {
            mission: {
                ident: text
                for ident, text in found.get(mission, {}).get(process, {}).items()
                if obs_id is None or self[mission].ident_to_obsid(ident) == obs_id
            }
            for mission in ([mission_name] if mission_name else self.mission_names)
        }

    def _require_ran(self, process: str) -> None:
        ran = {one for names in self._record.names().values() for one in names}
        if process not in ran:
            raise NoProcessingError(
                f"{process!r} was not run on this archive", hint=f"Run were: {', '.join(sorted(ran)) or 'none'}."
            )

    # --- source regions --------------------------------------------------------------------------------------------

    @property
    def source_regions(self) -> dict[str, dict[str, str]]:
        """{mission: {ObsID: DS9 regions in degrees, ICRS}}; assign DS9 files or texts, with an image for pixels:

        {mission: {ObsID: "file.reg"}} or {mission: {ObsID: {"regions": ..., "wcs_src": image or WCS}}}.
        """
        return {
            mission: {obs_id: self._layout.regions(mission, obs_id).read_text(encoding="utf-8") for obs_id in obs_ids}
            for mission, obs_ids in self._regions.items()
        }

    @source_regions.setter
    def source_regions(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        from skyvault.missions.archive_regions import sky_regions

        _require_nested(given, "source_regions")
        made = {}
        for mission, by_obs in given.items():
            for obs_id, regions in by_obs.items():
                self._require(mission, obs_id)
                one = regions if isinstance(regions, Mapping) else {"regions": regions}
                made[mission, obs_id] = sky_regions(one.get("regions"), one.get("wcs_src"), where=obs_id)
        for (mission, obs_id), text in made.items():
            path = self._layout.regions(mission, obs_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if obs_id not in self._regions.setdefault(mission, []):
                self._regions[mission].append(obs_id)
        self.save()


def _usable_parts(use: Any) -> list[list[str]]:
    """The paths to what is usable in nested dictionaries; [[]] for a whole observation."""
    if isinstance(use, Mapping):
        return [[str(name), *rest] for name, one in use.items() for rest in _usable_parts(one)]
    return [[]] if use else []


def _require_nested(given: Any, what: str) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(one, Mapping) for one in given.values()):
        raise MissionTypeError(f"{what} is set to a dictionary {{mission: {{ObsID: value}}}}")
