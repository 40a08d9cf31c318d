"""What a download brought, observation by observation, and what it would bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from skyvault.missions.faults import MissionValueError


@dataclass(frozen=True, slots=True)
class WholeObservation:
    """An observation whose wanted files are all on disk. ``received_bytes`` came over the network now."""

    obs_id: str
    files: int
    stored_bytes: int
    received_bytes: int = 0
    was_there: bool = False


@dataclass(frozen=True, slots=True)
class ObservationProblem:
    """An observation that is not whole, and why: a sentence, and one for each file that did not come.

    ``may_pass``: the same may work later. ``is_refused``: the archive wants a login, or another one.
    """

    obs_id: str
    reason: str
    files: tuple[tuple[str, str], ...] = ()
    may_pass: bool = False
    is_refused: bool = False

    def __str__(self) -> str:
        return self.reason if self.obs_id in self.reason else f"ObsID {self.obs_id}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """``rows`` are whole, ``problems`` are not; both in the order of the mission's table."""

    rows: tuple[WholeObservation, ...]
    problems: tuple[ObservationProblem, ...]
    _again: Callable[[DownloadReport], DownloadReport] | None = field(default=None, repr=False, compare=False)

    @property
    def is_complete(self) -> bool:
        return not self.problems

    @property
    def whole(self) -> list[str]:
        """The ObsIDs that are whole on disk."""
        return [row.obs_id for row in self.rows]

    @property
    def refused(self) -> dict[str, str]:
        """{ObsID: reason} of the observations that the archive did not give to this user."""
        return {problem.obs_id: problem.reason for problem in self.problems if problem.is_refused}

    @property
    def received_bytes(self) -> int:
        """Over the network, this time."""
        return sum(row.received_bytes for row in self.rows)

    def retry(self) -> DownloadReport:
        """Fetch what failed once more, in the same way; the report of all observations together."""
        if self._again is None:
            raise MissionValueError(
                "this report cannot be retried by itself", hint="Use mission.download(retry=report)."
            )
        return self._again(self)

    def __str__(self) -> str:
        lines = [f"{len(self.rows)} observations are whole, {len(self.problems)} are not"]
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file a download would fetch: its address, its place, its size as far as the archive's pages tell (rounded)."""

    obs_id: str
    url: str
    path: Path
    about_bytes: int | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """All files of a download, and the observations of which the archive tells nothing."""

    files: tuple[PlannedFile, ...]
    problems: tuple[ObservationProblem, ...]
    whole: tuple[str, ...]

    @property
    def about_bytes(self) -> int:
        """What would come over the network, as far as sizes are known."""
        return sum(one.about_bytes or 0 for one in self.files if not one.is_here)

    def __str__(self) -> str:
        missing = [one for one in self.files if not one.is_here]
        return (
            f"{len(missing)} files to fetch, about {self.about_bytes / 1e6:,.1f} MB;"
            f" {len(self.whole)} observations are whole, {len(self.problems)} cannot be had"
        )
