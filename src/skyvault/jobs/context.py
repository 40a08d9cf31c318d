"""What a piece of work is given: its parameters, its folder, how long it may run, and word when it must stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from skyvault.errors import Cancelled
from skyvault.jobs.results import Results
from skyvault.model.job import Job, JobResult

logger = logging.getLogger(__name__)

#: Why work is stopped: a client aborted or deleted the job, its time is up, or the server goes down.
Reason = Literal["abort", "deadline", "stop"]


class JobContext:
    """One run of one job. Made by the runner; the work reads it and leaves its results here.

    ``parameters`` maps names to lists of values; ``uploads`` maps the name of a multipart part to its file.
    ``deadline`` is a moment of :func:`time.monotonic`. Safe to use from several threads.
    """

    def __init__(
        self,
        job: Job,
        results: Results,
        *,
        deadline: float,
        say: Callable[[str, Mapping[str, Any]], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self.id = job.id
        self.kind = job.kind
        self.owner = job.owner
        self.parameters: dict[str, list[str]] = {name: list(values) for name, values in job.parameters.items()}
        self.uploads: dict[str, Path] = {one.name: results.folder(job.id) / one.file for one in job.uploads}
        self.deadline = deadline
        self.cancelled = threading.Event()
        self.reason: Reason | None = None
        self._results = results
        self._say = say
        self._monotonic = monotonic
        self._said_at = float("-inf")
        self._said: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._made: dict[str, JobResult] = {}

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, not below zero."""
        return max(0.0, self.deadline - self._monotonic())

    def on_cancel(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` (from another thread, quickly) when the work must stop; at once if it must already.

        Returns a function that withdraws it. After that, and after the work has returned, it will not be called:
        an interrupt cannot hit the next query of the same connection.
        """
        key = object()
        with self._lock:
            if not self.cancelled.is_set():
                self._callbacks[key] = callback
            else:
                _call(callback)

        def withdraw() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        return withdraw

    def raise_if_cancelled(self) -> None:
        """For work that looks by itself now and then. Raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled(f"job {self.id} was stopped")

    def result_path(self, name: str = "result") -> Path:
        """Where to write the result ``name``; it takes its own name when the work is done."""
        return self._results.writing_path(self.id, name)

    def set_result(
        self, name: str = "result", *, content_type: str, size: int | None = None, rows: int | None = None
    ) -> None:
        """The result ``name`` is written. Its size is measured anyway; ``size`` None is the usual thing."""
        self._made[name] = JobResult(name, content_type, -1 if size is None else size, rows)

    def progress(self, **what: Any) -> None:
        """Tell how far the work is (``rows=120000``, ``fraction=0.4``); written to the ledger once a second at most."""
        self._said.update(what)
        now = self._monotonic()
        if self._say is not None and now - self._said_at >= 1.0:
            self._said_at = now
            self._say(self.id, dict(self._said))

    # -- for the runner ------------------------------------------------------------------------------------------

    def cancel(self, reason: Reason) -> None:
        """Stop the work: set the event and call what was registered. The first reason counts."""
        with self._lock:
            if self.cancelled.is_set():
                return
            self.reason = reason
            self.cancelled.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
            for callback in callbacks:
                _call(callback)

    def close(self) -> None:
        """The work has returned: nothing is called any more."""
        with self._lock:
            self._callbacks = {}

    def keep_results(self) -> list[JobResult]:
        """Give the written results their names; returns them with their true sizes."""
        sizes = self._results.keep(self.id, self._made)
        return [JobResult(made.name, made.content_type, sizes[made.name], made.rows) for made in self._made.values()]

    @property
    def said(self) -> Mapping[str, Any]:
        return self._said


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        # the others must be told all the same
        logger.exception("a callback failed while a job was being stopped")
