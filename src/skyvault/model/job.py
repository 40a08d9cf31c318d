"""A job and the phases it goes through: what UWS calls a job, whoever does the work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from skyvault.errors import ParameterError


class Phase(StrEnum):
    """The state of a job (UWS 1.1, section 2.1.3)."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in FINAL

    @property
    def is_active(self) -> bool:
        """Whether the phase may change without the client's doing; WAIT blocks only in these (UWS 1.1, 2.2.1.1)."""
        return self in ACTIVE


FINAL = frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED, Phase.ARCHIVED})
ACTIVE = frozenset({Phase.PENDING, Phase.QUEUED, Phase.EXECUTING})

#: From which phase a job may come into which. All else is refused, whoever asks.
TRANSITIONS: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.PENDING: frozenset({Phase.QUEUED, Phase.HELD, Phase.ABORTED, Phase.ERROR}),
        Phase.HELD: frozenset({Phase.QUEUED, Phase.PENDING, Phase.ABORTED}),
        Phase.QUEUED: frozenset({Phase.EXECUTING, Phase.HELD, Phase.ABORTED, Phase.ERROR}),
        Phase.EXECUTING: frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED, Phase.SUSPENDED}),
        Phase.SUSPENDED: frozenset({Phase.EXECUTING, Phase.ABORTED, Phase.ERROR}),
        Phase.COMPLETED: frozenset({Phase.ARCHIVED}),
        Phase.ERROR: frozenset({Phase.ARCHIVED}),
        Phase.ABORTED: frozenset({Phase.ARCHIVED}),
        Phase.ARCHIVED: frozenset(),
        Phase.UNKNOWN: frozenset(),
    }
)


def phases_before(phase: Phase) -> frozenset[Phase]:
    """The phases a job may be in just before it comes into ``phase``."""
    return frozenset(before for before, after in TRANSITIONS.items() if phase in after)


@dataclass(frozen=True, slots=True)
class JobResult:
    """One file a job has made. ``name`` is its id in UWS, ``size`` in bytes, ``rows`` for a table."""

    name: str
    content_type: str
    size: int
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class JobUpload:
    """A file that came with the job's parameters: the multipart part ``name``, stored as ``file`` in its folder."""

    name: str
    file: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed. Transient: the same job may succeed later."""

    message: str
    is_transient: bool = False
    has_detail: bool = True


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as a list shows it. Times are seconds since 1970 (UTC)."""

    id: str
    phase: Phase
    run_id: str | None
    owner: str | None
    creation_time: float


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work and how far it is. Times are seconds since 1970 (UTC); durations are seconds.

    ``owner`` is the user (None: anonymous, then whoever knows ``id`` may use it); ``holder`` is the server process
    that runs it. ``progress`` holds what the work says of itself ("rows", "fraction"); it is free of form.
    """

    id: str
    kind: str
    phase: Phase
    creation_time: float
    execution_duration_s: int
    destruction_time: float
    owner: str | None = None
    quota_key: str | None = None
    run_id: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uploads: tuple[JobUpload, ...] = ()
    results: tuple[JobResult, ...] = ()
    error: JobError | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    holder: str | None = None
    lease_until: float | None = None
    is_cancel_requested: bool = False

    @property
    def quote(self) -> float:
        """When the job will be done at the latest, if it began now or has begun (UWS 1.1, section 2.1.8)."""
        return (self.start_time or self.creation_time) + self.execution_duration_s

    def result(self, name: str) -> JobResult | None:
        """The result of this name, or None."""
        return next((result for result in self.results if result.name == name), None)

    @property
    def summary(self) -> JobSummary:
        return JobSummary(self.id, self.phase, self.run_id, self.owner, self.creation_time)


_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,12})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def format_instant(time_s: float) -> str:
    """A time as UWS writes it: ISO 8601, UTC, milliseconds, with the "Z" (UWS 1.1, section 2.2.2.1)."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; without a zone it is UTC. Raises ParameterError."""
    try:
        # fromisoformat takes any run of digits for a date
        if not _INSTANT.fullmatch(text.strip()):
            raise ValueError(text)
        instant = datetime.fromisoformat(text.strip())
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ParameterError(
            f"{text[:64]!r} is not a time", hint="Write UTC as 2026-03-01T12:00:00Z (ISO 8601)."
        ) from None
