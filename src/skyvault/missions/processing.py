"""The seam where reduction software would be called: one step over an archive's observations, its outcomes recorded.

Skyvault runs no external software. Whoever has SAS, eSASS, CIAO or NuSTARDAS wraps a task of it in a class with the
attributes of :class:`Step`; steps in Python are written the same way. :func:`run_step` calls it for each observation
(or instrument, or sub-exposure), notes success, errors, warnings and logs in the archive, and goes on after a failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skyvault.errors import SkyvaultError
from skyvault.missions.archive_record import NoDependencyProcessError
from skyvault.missions.faults import MissionValueError

if TYPE_CHECKING:
    from skyvault.missions.archive import Archive

_MOST_CORES = 64


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a step: ``ident`` is what it works on; files are read below ``raw``, written below ``processed``."""

    mission: str
    obs_id: str
    ident: str
    raw: Path
    processed: Path
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. ``extra`` is what later steps want to know; values must be JSON's."""

    is_success: bool
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""


class Step(Protocol):
    """A process step. ``version`` goes up when its results change; ``requires`` are steps that come first."""

    name: str
    version: str
    missions: tuple[str, ...]
    requires: tuple[str, ...]

    def run(self, task: Task) -> Outcome:
        """Do it. What it raises is noted as an error of this task; the others go on."""
        ...


def run_step(archive: Archive, step: Step, *, num_cores: int = 1, **parameters: Any) -> dict[str, dict[str, bool]]:
    """Run a step over all observations of the archive that are to be processed, ``num_cores`` threads at once.

    Done before with the same version and parameters, a task that went well is not done again. Returns {mission:
    {ident: success}}. Raises NoDependencyProcessError when a required step was not run, MissionValueError.
    """
    if isinstance(num_cores, bool) or not isinstance(num_cores, int) or not 1 <= num_cores <= _MOST_CORES:
        raise MissionValueError(f"num_cores must be 1 to {_MOST_CORES}, not {num_cores!r}")
    wanted = [name for name in archive.mission_names if name in step.missions]
    if not wanted:
        raise MissionValueError(f"the archive has no mission that {step.name} is for: {', '.join(step.missions)}")
    said = json.loads(json.dumps({"version": step.version, "parameters": parameters}, default=str))
    results: dict[str, dict[str, bool]] = {}
    for mission in wanted:
        idents = ["".join(parts) for parts in archive.get_obs_to_process(mission)]
        if step.requires:
            ready = archive.check_dependence_success(mission, idents, list(step.requires), no_success_error=False)
            if idents and not ready.any():
                raise NoDependencyProcessError(
                    f"no observation of {mission} went well through {', '.join(step.requires)}",
                    hint=f"Run it before {step.name}.",
                )
            idents = [ident for ident, is_ready in zip(idents, ready.tolist(), strict=True) if is_ready]
        is_same = archive.process_configurations.get(mission, {}).get(step.name) == said
        done = archive.process_success.get(mission, {}).get(step.name, {}) if is_same else {}
        left = [ident for ident in idents if not done.get(ident)]
        tasks = [_task(archive, mission, ident, parameters) for ident in left]
        archive.record_configuration(mission, step.name, said)
        with ThreadPoolExecutor(num_cores, thread_name_prefix=step.name) as threads:
            for task, outcome in zip(tasks, threads.map(lambda one: _outcome(step, one), tasks), strict=True):
                archive.record(step.name, task.mission, task.ident, outcome)
        results[mission] = {ident: archive.process_success[mission][step.name][ident] for ident in idents}
        archive.save()
    return results


def _task(archive: Archive, mission: str, ident: str, parameters: Mapping[str, Any]) -> Task:
    obs_id = archive[mission].ident_to_obsid(ident)
    processed = archive.construct_processed_data_path(mission, obs_id)
    processed.mkdir(parents=True, exist_ok=True)
    raw = Path(archive[mission].raw_data_path) / obs_id
    return Task(mission, obs_id, ident, raw, processed, parameters)


def _outcome(step: Step, task: Task) -> Outcome:
    try:
        return step.run(task)
    except SkyvaultError as error:
        return Outcome(False, errors=(str(error),))
    except Exception as error:
        return Outcome(False, errors=(f"{task.ident}: {step.name} stopped with {type(error).__name__}: {error}",))
