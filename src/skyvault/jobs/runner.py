"""The runner: takes queued jobs, runs them in a few threads, and stops them when they are aborted or too long.

Several server processes may each have one over the same ledger. A job is claimed by compare-and-set, so one process
runs it; which one does not matter. Two more threads serve all running jobs: the *watch* looks every 50 ms whether
any was aborted or is over its time (and whether another process left a job queued), the *janitor* deletes what has
outlived its time, makes results durable in batches and ends the jobs of processes that are gone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Collection

from skyvault.errors import Busy, Cancelled, NotFound, SkyvaultError, TransientError
from skyvault.jobs.context import JobContext, Reason
from skyvault.jobs.holder import this_process, verdict
from skyvault.jobs.results import Results
from skyvault.ledger.ledger import Ledger
from skyvault.model.job import Job, JobError, Phase

logger = logging.getLogger(__name__)

Work = Callable[[JobContext], None]

#: how long the end of a job is told again and again to a ledger that cannot be reached
_TELL_S = 120.0

_STOPPED = "The server was stopped while this job ran; it did not finish. Run the query again."


class Runner:
    """Runs the jobs of one ledger in this process.

    ``work`` does a job of any of ``kinds`` and returns when it is done; it raises to make the job an ERROR, with
    the error's own sentence if it is a SkyvaultError. ``per_user`` and ``in_all`` limit the jobs that run at once
    over all processes; the others wait, QUEUED. ``threads`` limits this process.

    All durations are seconds. ``lease_s`` is how long the others wait for a sign of life of a process that cannot
    be seen from theirs.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: Work,
        results: Results,
        *,
        kinds: Collection[str] = ("tap",),
        threads: int | None = None,
        per_user: int | None = 4,
        in_all: int | None = None,
        lease_s: float = 15.0,
        renew_s: float = 5.0,
        poll_s: float = 0.05,
        janitor_s: float = 30.0,
        sync_s: float = 1.0,
        orphan_s: float = 86_400.0,
        holder: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.jobs = ledger.jobs
        self.results = results
        self.holder = holder or this_process()
        self._work = work
        self._kinds = tuple(kinds)
        self._in_all = in_all if in_all is not None else 2 * (os.cpu_count() or 1)
        self._per_user = per_user
        self._threads_at_most = threads if threads is not None else self._in_all
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._poll_s = poll_s
        self._janitor_s = janitor_s
        self._sync_s = sync_s
        self._orphan_s = orphan_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: dict[str, JobContext] = {}
        self._places = self._threads_at_most
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._trash: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopping = threading.Event()
        self._all_done = threading.Condition(self._lock)

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take jobs. Those that dead processes left are ended first."""
        self._bury_the_dead()
        for name, loop in (("watch", self._watch), ("janitor", self._janitor)):
            self._spawn(f"skyvault-jobs-{name}", loop)
        self._dispatch()

    def stop(self, grace_s: float = 30.0) -> None:
        """Take no more jobs, let the running ones go on for ``grace_s``, then stop them (they become ERROR).

        Queued jobs stay queued for the other processes or the next start.
        """
        self._stopping.set()
        with self._all_done:
            self._all_done.wait_for(lambda: not self._running, timeout=grace_s)
            left = list(self._running.values())
        for context in left:
            context.cancel("stop")
        with self._all_done:
            self._all_done.wait_for(lambda: not self._running, timeout=min(5.0, max(grace_s, 1.0)))
            stuck, threads = list(self._running), list(self._threads)
        for job_id in stuck:
            # it does not heed; this process is about to end, and the work with it
            with contextlib.suppress(SkyvaultError):
                self.jobs.finish(job_id, self.holder, Phase.ERROR, error=JobError(_STOPPED, is_transient=True))
        for _ in threads:
            self._inbox.put(None)
        for thread in threads:
            thread.join(timeout=5.0)
        self._empty_trash()
        self.results.sync()

    def __enter__(self) -> Runner:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace_s=0.0)

    # -- what clients ask for ------------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[str, ...]:
        """The ids of the jobs this process runs just now."""
        with self._lock:
            return tuple(self._running)

    def submit(self, job_id: str) -> Job:
        """PHASE=RUN. The job begins at once if there is a place, here or in another process.

        Raises NotFound, Conflict when it is over, Busy when too many wait.
        """
        has_place = self._take_place()
        claimed = False
        try:
            job, claimed = self.jobs.submit(
                job_id,
                holder=self.holder if has_place else None,
                lease_s=self._lease_s,
                per_user=self._per_user,
                in_all=self._in_all,
            )
            if claimed:
                self._begin(job)
        finally:
            if has_place and not claimed:
                self._leave_place()
        if job.phase is Phase.QUEUED:
            self._dispatch()
        return job

    def abort(self, job_id: str) -> bool:
        """PHASE=ABORT: the job is ABORTED from now on; its work, wherever it runs, is stopped within 50 ms.

        False when it was over already. Raises NotFound.
        """
        was_stopped = self.jobs.abort(job_id)
        if was_stopped:
            self._cancel(job_id, "abort")
        return was_stopped

    def delete(self, job_id: str) -> bool:
        """Forget the job, stop its work and delete its files (in the background). False when it was gone."""
        was_there = self.jobs.delete(job_id)
        self._cancel(job_id, "abort")
        if was_there:
            self._trash.put(job_id)
        return was_there

    # -- running -------------------------------------------------------------------------------------------------

    def _take_place(self) -> bool:
        with self._lock:
            if self._stopping.is_set() or self._places <= 0:
                return False
            self._places -= 1
            return True

    def _leave_place(self) -> None:
        with self._lock:
            self._places += 1

    def _begin(self, job: Job) -> None:
        """Hand a claimed job, for which a place is taken, to a thread."""
        context = JobContext(
            job,
            self.results,
            # zero means no limit (UWS 1.1, section 2.1.5); whoever takes the request has set the service's own
            deadline=self._monotonic() + (job.execution_duration_s or float("inf")),
            say=self._say,
            monotonic=self._monotonic,
        )
        with self._lock:
            self._running[job.id] = context
            must_spawn = self._idle == 0
            if not must_spawn:
                self._idle -= 1
        if must_spawn:
            self._spawn("skyvault-jobs-work", self._serve)
        self._inbox.put(job)

    def _serve(self) -> None:
        while (job := self._inbox.get()) is not None:
            try:
                self._run(self._running[job.id])
            finally:
                with self._all_done:
                    del self._running[job.id]
                    self._places += 1
                    self._idle += 1
                    self._all_done.notify_all()
            self._dispatch()

    def _dispatch(self) -> None:
        """Claim waiting jobs as long as there is a place for them."""
        try:
            while self._take_place():
                job = None
                try:
                    if self.jobs.is_any_queued():
                        job = self.jobs.claim(
                            self.holder,
                            lease_s=self._lease_s,
                            kinds=self._kinds,
                            per_user=self._per_user,
                            in_all=self._in_all,
                        )
                    if job is not None:
                        self._begin(job)
                finally:
                    if job is None:
                        self._leave_place()
                if job is None:
                    return
        except SkyvaultError as error:
            # the watch tries again
            logger.warning("no job could be taken: %s", error)

    def _run(self, context: JobContext) -> None:
        phase: Phase = Phase.COMPLETED
        results, error = [], None
        try:
            self._work(context)
            context.close()
            results = context.keep_results()
        except BaseException as raised:
            context.close()
            phase, error = self._outcome(context, raised)
        until = self._monotonic() + _TELL_S
        while True:
            try:
                ended = self.jobs.finish(
                    context.id,
                    self.holder,
                    phase,  # type: ignore[arg-type]
                    results=results,
                    error=error,
                    progress=context.said,
                )
                break
            except SkyvaultError as raised:
                # hours of work do not go because a database is started anew
                if isinstance(raised, Busy) and self._monotonic() < until and not self._stopping.wait(0.5):
                    continue
                # its lease will run out and somebody will end it
                logger.error("job %s has ended but the ledger could not be told: %s", context.id, raised)
                return
        if not ended or phase is not Phase.COMPLETED:
            # failed, aborted or deleted meanwhile: what it made, and what came with it, is of no use
            self._trash.put(context.id)

    def _outcome(self, context: JobContext, raised: BaseException) -> tuple[Phase, JobError]:
        if context.reason == "deadline":
            return Phase.ERROR, JobError(
                f"The job ran longer than the {context.job.execution_duration_s} s it may take and was stopped. "
                "Ask for less at a time, or for a longer EXECUTIONDURATION if the service allows it.",
                is_transient=True,
            )
        if context.reason == "stop":
            return Phase.ERROR, JobError(_STOPPED, is_transient=True)
        if context.reason == "abort" or isinstance(raised, Cancelled):
            return Phase.ABORTED, JobError("The job was aborted.")
        if isinstance(raised, SkyvaultError):
            return Phase.ERROR, JobError(str(raised), is_transient=isinstance(raised, TransientError))
        if isinstance(raised, OSError) and raised.errno in (errno.ENOSPC, errno.EDQUOT):
            return Phase.ERROR, JobError("The server's disk is full. Try again later.", is_transient=True)
        number = secrets.token_hex(4)
        logger.error("job %s failed, error %s", context.id, number, exc_info=raised)
        what = (
            "The server ran out of memory" if isinstance(raised, MemoryError) else "Something went wrong in the server"
        )
        return Phase.ERROR, JobError(f"{what} (error {number}). Tell its operator this number.")

    def _cancel(self, job_id: str, reason: Reason) -> None:
        with self._lock:
            context = self._running.get(job_id)
        if context is not None:
            context.cancel(reason)

    def _say(self, job_id: str, what: object) -> None:
        with contextlib.suppress(SkyvaultError):
            self.jobs.set_progress(job_id, self.holder, what)  # type: ignore[arg-type]

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        disturbed = ""
        seen = -1
        renewed_at = self._monotonic()
        while not self._stopping.is_set() or self._running:
            # once stopping is set, wait() returns at once: the pause must come from elsewhere
            if self._stopping.is_set():
                time.sleep(self._poll_s)
            else:
                self._stopping.wait(self._poll_s)
            try:
                counter = self.ledger.change_counter()
                if counter != seen:
                    seen = counter
                    self._look_for_cancels()
                    self._dispatch()
                self._look_for_deadlines()
                if self._monotonic() - renewed_at >= self._renew_s:
                    renewed_at = self._monotonic()
                    if self._running:
                        self.jobs.renew(self.holder, self._lease_s)
                    self._bury_the_dead()
                disturbed = ""
            except SkyvaultError as error:
                # as long as it lasts, it is told once: this comes round twenty times a second
                if str(error) != disturbed:
                    disturbed = str(error)
                    logger.warning("the watch over running jobs was disturbed: %s", error)

    def _look_for_cancels(self) -> None:
        with self._lock:
            contexts = list(self._running.values())
        if not contexts:
            return
        # asked after the list was made: a job claimed in between is in neither
        wanted = self.jobs.still_wanted(self.holder)
        for context in contexts:
            if context.id not in wanted:
                context.cancel("abort")

    def _look_for_deadlines(self) -> None:
        now = self._monotonic()
        with self._lock:
            late = [context for context in self._running.values() if context.deadline <= now]
        for context in late:
            context.cancel("deadline")

    def _bury_the_dead(self) -> None:
        def known(holder: str) -> str:
            return "alive" if holder == self.holder else verdict(holder)

        for job_id in self.jobs.expire(known):  # type: ignore[arg-type]
            logger.warning("job %s was ended: the process that ran it is gone", job_id)

    # -- cleaning ------------------------------------------------------------------------------------------------

    def _janitor(self) -> None:
        cleaned_at = swept_at = float("-inf")
        seen = -1
        while not self._stopping.wait(self._sync_s):
            try:
                self._empty_trash()
                counter = self.ledger.change_counter()
                if counter != seen:
                    # first the results, then the record that they are there
                    self.results.sync()
                    self.ledger.database.checkpoint()
                    seen = counter
                now = self._monotonic()
                if now - cleaned_at >= self._janitor_s:
                    cleaned_at = now
                    if self.ledger.duties.take("janitor", self.holder, 2 * self._janitor_s):
                        self.clean()
                        if now - swept_at >= self._orphan_s / 24:
                            swept_at = now
                            self.results.sweep(self.jobs.known, self._orphan_s)
            except (SkyvaultError, OSError) as error:
                logger.warning("the janitor was disturbed: %s", error)

    def clean(self) -> int:
        """Delete the jobs whose destruction time has come, with their files; returns how many."""
        deleted = 0
        for job_id in self.jobs.past_destruction():
            with contextlib.suppress(NotFound):
                deleted += self.delete(job_id)
        self._empty_trash()
        return deleted

    def _empty_trash(self) -> None:
        while True:
            try:
                job_id = self._trash.get_nowait()
            except queue.Empty:
                return
            self.results.remove(job_id)

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        # daemons: a query that does not heed its interrupt must not keep the process from ending
        thread = threading.Thread(target=target, name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()
