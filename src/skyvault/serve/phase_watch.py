"""Waiting for a job's phase to change without holding a thread: all who wait share one look at the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from skyvault.errors import SkyvaultError
from skyvault.ledger.jobs import Jobs
from skyvault.model.job import Phase


class PhaseWatch:
    """One for each process (event loop). Every ``poll_s`` it compares the ledger's change counter (5 us); only when
    that has moved are the phases of the awaited jobs read, all in one query.
    """

    def __init__(self, jobs: Jobs, counter: Callable[[], int], *, poll_s: float = 0.005) -> None:
        self._jobs = jobs
        self._counter = counter
        self._poll_s = poll_s
        self._waiting: dict[asyncio.Future[None], tuple[str, Phase]] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, phase: Phase, timeout_s: float) -> None:
        """Return when the job is no longer in ``phase``, is gone, or ``timeout_s`` seconds have passed."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[changed] = (job_id, phase)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="skyvault-phase-watch")
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed, timeout_s)
        finally:
            self._waiting.pop(changed, None)

    async def _look(self) -> None:
        seen = -1
        known: set[asyncio.Future[None]] = set()
        while self._waiting:
            with contextlib.suppress(SkyvaultError):
                counter = self._counter()
                # the phase may have changed between the caller's reading it and its beginning to wait
                if counter != seen or not known.issuperset(self._waiting):
                    seen = counter
                    known = set(self._waiting)
                    phases = self._jobs.phases({job_id for job_id, _ in self._waiting.values()})
                    for changed, (job_id, phase) in list(self._waiting.items()):
                        if phases.get(job_id) is not phase and not changed.done():
                            changed.set_result(None)
            await asyncio.sleep(self._poll_s)
