"""Jobs in the ledger: made, read, listed, and moved from phase to phase by compare-and-set.

Every change names the phases it may start from, in the same statement that makes it: of two who try, one wins and
the other is told so. A job has at most one *holder*, the process that runs it, which must renew its lease; as long
as a row has a holder, it takes one of the places to run, even when the job has been aborted and its query is only
about to stop.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from skyvault.errors import Busy, Conflict, NotFound
from skyvault.ledger.engine import Database, Row
from skyvault.model.job import FINAL, Job, JobError, JobResult, JobSummary, JobUpload, Phase, phases_before

#: What is known of a process: gone, running, or not to be told from here.
Verdict = Literal["dead", "alive", "unknown"]

#: More rows than there will ever be.
_ALL = 2**62
#: A process that lives but has not renewed its lease for so long is taken for stuck.
_STUCK_S = 60.0
_LEFT_BY_A_DEAD_PROCESS = (
    "The server was restarted while this job ran; it did not finish. Run the query again, nothing was lost but the time"
)


def new_job_id() -> str:
    """A name nobody can guess, for knowing it is the permission to use an anonymous job (128 bits)."""
    return secrets.token_hex(16)


class Jobs:
    """All jobs of one ledger.

    ``clock`` gives seconds since 1970. ``waiting_limit`` is the number of jobs that may be queued; beyond it
    Busy is raised.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_job_id,
        waiting_limit: int = 10_000,
    ) -> None:
        self.database = database
        self.clock = clock
        self._new_id = new_id
        self._waiting_limit = waiting_limit

    # -- making and reading --------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id for a job about to be created, so that its files can be stored before."""
        return self._new_id()

    def create(
        self,
        kind: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        execution_duration_s: int,
        destruction_time: float,
        owner: str | None = None,
        quota_key: str | None = None,
        run_id: str | None = None,
        uploads: Sequence[JobUpload] = (),
        job_id: str | None = None,
    ) -> Job:
        """A new job, PENDING. ``quota_key`` names whose limit of running jobs it counts against."""
        job = Job(
            id=job_id or self._new_id(),
            kind=kind,
            phase=Phase.PENDING,
            # to the millisecond, as it is written: AFTER with a job's own time must not find that job
            creation_time=round(self.clock(), 3),
            execution_duration_s=execution_duration_s,
            destruction_time=destruction_time,
            owner=owner,
            quota_key=quota_key,
            run_id=run_id,
            parameters={name: tuple(values) for name, values in parameters.items()},
            uploads=tuple(uploads),
        )
        self.database.change(
            "INSERT INTO jobs (id, kind, phase, owner, quota_key, run_id, creation_time, execution_duration_s,"
            " destruction_time, parameters, uploads) VALUES (:id, :kind, 'PENDING', :owner, :quota_key, :run_id,"
            " :creation_time, :execution_duration_s, :destruction_time, :parameters, :uploads)",
            {
                "id": job.id,
                "kind": kind,
                "owner": owner,
                "quota_key": quota_key,
                "run_id": run_id,
                "creation_time": job.creation_time,
                "execution_duration_s": execution_duration_s,
                "destruction_time": destruction_time,
                "parameters": json.dumps(job.parameters),
                "uploads": _dump_uploads(job.uploads),
            },
            is_lasting=False,
        )
        return job

    def get(self, job_id: str) -> Job:
        """The job of this id. Raises NotFound."""
        job = self.find(job_id)
        if job is None:
            raise _no_such_job(job_id)
        return job

    def find(self, job_id: str) -> Job | None:
        """The job of this id, or None."""
        row = self.database.fetch_one("SELECT * FROM jobs WHERE id = :id", {"id": job_id})
        return None if row is None else _job(row)

    def phases(self, job_ids: Collection[str]) -> dict[str, Phase]:
        """The phases of many jobs at once; those that are gone are missing."""
        rows = self.database.fetch_all(
            "SELECT id, phase FROM jobs WHERE id IN (SELECT value FROM json_each(:ids))",
            {"ids": json.dumps(list(job_ids))},
        )
        return {row[0]: Phase(row[1]) for row in rows}

    def summaries(
        self,
        *,
        owner: str | None,
        kind: str | None = None,
        phases: Collection[Phase] = (),
        after: float | None = None,
        last: int | None = None,
    ) -> list[JobSummary]:
        """The jobs of one user (``owner`` None: the anonymous ones), filtered as UWS 1.1, section 2.2.2.1, says.

        Oldest first; with ``last`` the newest so many, newest first. ARCHIVED jobs only when asked for.
        """
        words = [str(phase) for phase in phases] or [str(phase) for phase in Phase if phase is not Phase.ARCHIVED]
        # two spellings, so that the index of owners is used
        whose = "owner IS NULL" if owner is None else "owner = :owner"
        rows = self.database.fetch_all(
            f"SELECT id, phase, run_id, owner, creation_time FROM jobs WHERE {whose}"
            " AND (CAST(:kind AS TEXT) IS NULL OR kind = :kind) AND phase IN (SELECT value FROM json_each(:phases))"
            " AND (CAST(:after AS DOUBLE PRECISION) IS NULL OR creation_time > :after)"
            f" ORDER BY seq {'ASC' if last is None else 'DESC'} LIMIT :last",
            {
                "owner": owner,
                "kind": kind,
                "phases": json.dumps(words),
                "after": after,
                "last": _ALL if last is None else last,
            },
        )
        return [JobSummary(row[0], Phase(row[1]), row[2], row[3], row[4]) for row in rows]

    def count(self) -> dict[Phase, int]:
        """How many jobs are in each phase."""
        rows = self.database.fetch_all("SELECT phase, COUNT(*) FROM jobs GROUP BY phase")
        return {Phase(row[0]): row[1] for row in rows}

    def is_any_queued(self) -> bool:
        """Whether a job waits to be run by anybody."""
        return self.database.fetch_one("SELECT 1 FROM jobs WHERE phase = 'QUEUED' LIMIT 1") is not None

    def queue_position(self, job_id: str) -> int | None:
        """The place of a queued job, 1 for the next; None when it is not queued."""
        row = self.database.fetch_one(
            "SELECT COUNT(*) FROM jobs q JOIN jobs j ON j.id = :id AND j.phase = 'QUEUED'"
            " WHERE q.phase = 'QUEUED' AND q.seq <= j.seq",
            {"id": job_id},
        )
        return int(row[0]) or None if row is not None else None

    # -- what the client may change ------------------------------------------------------------------------------

    def set_parameters(
        self,
        job_id: str,
        *,
        replace: Mapping[str, Sequence[str]] | None = None,
        add: Mapping[str, Sequence[str]] | None = None,
        uploads: Sequence[JobUpload] = (),
        run_id: str | None = None,
    ) -> Job:
        """Change a job's parameters while it is PENDING. Raises NotFound, Conflict when it is not PENDING any more."""
        with self.database.write(is_lasting=False) as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = :id", {"id": job_id}).fetchone()
            if row is None:
                raise _no_such_job(job_id)
            job = _job(row)
            if job.phase is not Phase.PENDING:
                raise Conflict(
                    f"the parameters of job {job_id} cannot be changed any more, its phase is {job.phase}",
                    hint="Create a new job.",
                )
            parameters = dict(job.parameters)
            for name, values in (replace or {}).items():
                parameters[name] = tuple(values)
            for name, values in (add or {}).items():
                parameters[name] = parameters.get(name, ()) + tuple(values)
            kept = tuple(upload for upload in job.uploads if upload.name not in {new.name for new in uploads})
            connection.execute(
                "UPDATE jobs SET parameters = :parameters, uploads = :uploads, run_id = COALESCE(:run_id, run_id)"
                " WHERE id = :id",
                {
                    "id": job_id,
                    "parameters": json.dumps(parameters),
                    "uploads": _dump_uploads((*kept, *uploads)),
                    "run_id": run_id,
                },
            )
        return self.get(job_id)

    def set_execution_duration(self, job_id: str, seconds: int) -> None:
        """Change how long the job may run. Raises NotFound, and Conflict when it has begun."""
        changed = self._change(
            "UPDATE jobs SET execution_duration_s = :seconds WHERE id = :id AND phase IN ('PENDING', 'HELD', 'QUEUED')",
            {"id": job_id, "seconds": seconds},
        )
        if not changed:
            raise Conflict(
                f"the execution duration of job {job_id} cannot be changed any more, its phase is "
                f"{self.get(job_id).phase}"
            )

    def set_destruction(self, job_id: str, time_s: float) -> None:
        """Change when the job and its results are deleted. Raises NotFound."""
        if not self._change("UPDATE jobs SET destruction_time = :time WHERE id = :id", {"id": job_id, "time": time_s}):
            raise _no_such_job(job_id)

    def submit(
        self,
        job_id: str,
        *,
        holder: str | None = None,
        lease_s: float = 15.0,
        per_user: int | None = None,
        in_all: int | None = None,
    ) -> tuple[Job, bool]:
        """PHASE=RUN: PENDING or HELD becomes QUEUED; a job already on its way is left so.

        When ``holder`` is given and nobody waits before it, the job is claimed in the same breath: EXECUTING and held
        by ``holder``. Returns the job and whether it was claimed by this call. Raises NotFound, Conflict when the job
        is over, Busy when too many wait.
        """
        if holder is not None and self._waiting_limit > 0:
            # what nearly always happens: nobody waits, and there is room
            parameters = self._claim(holder, lease_s, per_user, in_all) | {"id": job_id}
            rows = self.database.change(_CLAIM_AT_ONCE, parameters, is_lasting=False).rows
            if rows:
                return _job(rows[0]), True
        with self.database.write(is_lasting=False) as connection:
            before = connection.execute(
                "SELECT phase, (SELECT COUNT(*) FROM jobs WHERE phase = 'QUEUED') AS waiting FROM jobs WHERE id = :id",
                {"id": job_id},
            ).fetchone()
            if before is None:
                raise _no_such_job(job_id)
            phase = Phase(before["phase"])
            if phase in phases_before(Phase.QUEUED):
                if before["waiting"] >= self._waiting_limit:
                    raise Busy(
                        f"{before['waiting']} jobs are waiting already, no more are taken now",
                        retry_after_s=30,
                        hint="Try again in a while.",
                    )
                connection.execute("UPDATE jobs SET phase = 'QUEUED' WHERE id = :id", {"id": job_id})
            elif phase in FINAL:
                raise Conflict(f"job {job_id} cannot be run again, its phase is {phase}", hint="Create a new job.")
            row = connection.execute("SELECT * FROM jobs WHERE id = :id", {"id": job_id}).fetchone()
            return _job(row), False

    def abort(self, job_id: str) -> bool:
        """PHASE=ABORT: whether the job was stopped by this; False when it was over already. Raises NotFound.

        The phase changes at once; its holder, if it has one, sees it and stops the work.
        """
        if self._change(
            "UPDATE jobs SET phase = 'ABORTED', end_time = :now, cancel_requested = 1 WHERE id = :id"
            f" AND phase IN ({_words(phases_before(Phase.ABORTED))})",
            {"id": job_id, "now": self.clock()},
        ):
            return True
        self.get(job_id)
        return False

    def hold(self, job_id: str) -> bool:
        """PENDING or QUEUED becomes HELD: it will not run until it is queued again."""
        return self._change(
            f"UPDATE jobs SET phase = 'HELD' WHERE id = :id AND phase IN ({_words(phases_before(Phase.HELD))})",
            {"id": job_id},
        )

    def archive(self, job_id: str) -> bool:
        """A finished job becomes ARCHIVED: its record stays, its results may go."""
        return self._change(
            "UPDATE jobs SET phase = 'ARCHIVED', results = '[]' WHERE id = :id"
            f" AND phase IN ({_words(phases_before(Phase.ARCHIVED))})",
            {"id": job_id},
        )

    def delete(self, job_id: str) -> bool:
        """Forget a job, whatever its phase; its holder sees that it is gone. False when somebody was faster."""
        return self._change("DELETE FROM jobs WHERE id = :id", {"id": job_id})

    # -- what the process that runs it may change ----------------------------------------------------------------

    def claim(
        self,
        holder: str,
        *,
        lease_s: float,
        kinds: Collection[str],
        per_user: int | None = None,
        in_all: int | None = None,
    ) -> Job | None:
        """The longest waiting job that may run now becomes EXECUTING, held by ``holder``; None when there is none.

        A user who has ``per_user`` jobs running, or a ledger with ``in_all``, lets the others wait.
        """
        parameters = self._claim(holder, lease_s, per_user, in_all) | {"kinds": json.dumps(list(kinds))}
        rows = self.database.change(_CLAIM, parameters, is_lasting=False).rows
        return _job(rows[0]) if rows else None

    def finish(
        self,
        job_id: str,
        holder: str,
        phase: Literal[Phase.COMPLETED, Phase.ERROR, Phase.ABORTED],
        *,
        results: Sequence[JobResult] = (),
        error: JobError | None = None,
        progress: Mapping[str, Any] | None = None,
    ) -> bool:
        """The end of the work, by the one who did it. False: the job was aborted, deleted or taken away meanwhile."""
        done = self._change(
            "UPDATE jobs SET phase = :phase, end_time = :now, results = :results, error = :error,"
            " progress = COALESCE(:progress, progress), holder = NULL, lease_until = NULL"
            " WHERE id = :id AND holder = :holder AND phase = 'EXECUTING'",
            {
                "id": job_id,
                "holder": holder,
                "phase": str(phase),
                "now": self.clock(),
                "results": _dump_results(results),
                "error": _dump_error(error),
                "progress": json.dumps(dict(progress)) if progress else None,
            },
        )
        if not done:
            self._change(
                "UPDATE jobs SET holder = NULL, lease_until = NULL WHERE id = :id AND holder = :holder",
                {"id": job_id, "holder": holder},
            )
        return done

    def renew(self, holder: str, lease_s: float) -> int:
        """Promise anew that ``holder`` lives; returns how many jobs it holds."""
        return self.database.change(
            "UPDATE jobs SET lease_until = :until WHERE holder = :holder",
            {"holder": holder, "until": self.clock() + lease_s},
            is_lasting=False,
        ).rowcount

    def still_wanted(self, holder: str) -> set[str]:
        """The jobs this holder should go on running: neither aborted, nor deleted, nor taken away."""
        rows = self.database.fetch_all(
            "SELECT id FROM jobs WHERE holder = :holder AND phase = 'EXECUTING' AND cancel_requested = 0",
            {"holder": holder},
        )
        return {row[0] for row in rows}

    def set_progress(self, job_id: str, holder: str, progress: Mapping[str, Any]) -> bool:
        """What the work says about how far it is."""
        return self._change(
            "UPDATE jobs SET progress = :progress WHERE id = :id AND holder = :holder AND phase = 'EXECUTING'",
            {"id": job_id, "holder": holder, "progress": json.dumps(dict(progress))},
        )

    # -- what anybody may do for others that are gone ------------------------------------------------------------

    def expire(self, verdict: Callable[[str], Verdict]) -> list[str]:
        """End the jobs of processes that are gone; returns their ids.

        ``verdict`` tells what is known of a holder. Dead: at once. Unknown: when its lease has run out. Alive (a
        clock may have jumped): only when the lease ran out a minute ago. Jobs that had begun become ERROR; queued
        ones have no holder and simply wait for another.
        """
        rows = self.database.fetch_all(
            "SELECT holder, MAX(lease_until) AS lease_until FROM jobs WHERE holder IS NOT NULL GROUP BY holder"
        )
        now = self.clock()
        ended: list[str] = []
        for row in rows:
            holder, lease_until = row["holder"], row["lease_until"]
            margin_s = {"dead": float("-inf"), "unknown": 0.0, "alive": _STUCK_S}[verdict(holder)]
            if now < lease_until + margin_s:
                continue
            with self.database.write(is_lasting=False) as connection:
                # the same lease as was read: a holder that has renewed meanwhile keeps its jobs
                begun = connection.execute(
                    "UPDATE jobs SET phase = 'ERROR', end_time = :now, error = :error, results = '[]'"
                    " WHERE holder = :holder AND phase = 'EXECUTING' AND lease_until <= :until RETURNING id",
                    {
                        "holder": holder,
                        "until": lease_until,
                        "now": now,
                        "error": _dump_error(JobError(_LEFT_BY_A_DEAD_PROCESS + ".", is_transient=True)),
                    },
                ).fetchall()
                connection.execute(
                    "UPDATE jobs SET holder = NULL, lease_until = NULL"
                    " WHERE holder = :holder AND lease_until <= :until",
                    {"holder": holder, "until": lease_until},
                )
            ended += [row[0] for row in begun]
        return ended

    def past_destruction(self, limit: int = 1000) -> list[str]:
        """Jobs whose time is over."""
        rows = self.database.fetch_all(
            "SELECT id FROM jobs WHERE destruction_time <= :now ORDER BY destruction_time LIMIT :limit",
            {"now": self.clock(), "limit": limit},
        )
        return [row[0] for row in rows]

    def known(self, job_ids: Iterable[str]) -> set[str]:
        """Which of these jobs there are."""
        return set(self.phases(list(job_ids)))

    # -- inside --------------------------------------------------------------------------------------------------

    def _change(self, sql: str, parameters: Mapping[str, Any]) -> bool:
        return bool(self.database.change(sql, parameters, is_lasting=False).rowcount)

    def _claim(self, holder: str, lease_s: float, per_user: int | None, in_all: int | None) -> dict[str, Any]:
        now = self.clock()
        return {
            "holder": holder,
            "now": now,
            "until": now + lease_s,
            "per_user": -1 if per_user is None else per_user,
            "in_all": -1 if in_all is None else in_all,
        }


# Users who have their fill are found once, not for each waiting job: the queue may be long.
_CLAIM = """
UPDATE jobs SET phase = 'EXECUTING', holder = :holder, lease_until = :until, start_time = :now
WHERE seq = (
    SELECT q.seq FROM jobs q
    WHERE q.phase = 'QUEUED' AND q.kind IN (SELECT value FROM json_each(:kinds))
    AND (q.quota_key IS NULL OR :per_user < 0 OR q.quota_key NOT IN (
        SELECT r.quota_key FROM jobs r WHERE r.holder IS NOT NULL AND r.quota_key IS NOT NULL
        GROUP BY r.quota_key HAVING COUNT(*) >= :per_user))
    ORDER BY q.seq LIMIT 1)
AND (:in_all < 0 OR (SELECT COUNT(*) FROM jobs r WHERE r.holder IS NOT NULL) < :in_all)
RETURNING *
"""

_CLAIM_AT_ONCE = f"""
UPDATE jobs SET phase = 'EXECUTING', holder = :holder, lease_until = :until, start_time = :now
WHERE id = :id AND phase IN ({", ".join(f"'{phase}'" for phase in sorted(phases_before(Phase.QUEUED)))})
AND NOT EXISTS (SELECT 1 FROM jobs q WHERE q.phase = 'QUEUED')
AND (quota_key IS NULL OR :per_user < 0 OR (
    SELECT COUNT(*) FROM jobs r WHERE r.holder IS NOT NULL AND r.quota_key = jobs.quota_key) < :per_user)
AND (:in_all < 0 OR (SELECT COUNT(*) FROM jobs r WHERE r.holder IS NOT NULL) < :in_all)
RETURNING *
"""


def _words(phases: Collection[Phase]) -> str:
    return ", ".join(f"'{phase}'" for phase in sorted(phases))


def _no_such_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id[:64]!r}", hint="It may have been deleted, or its time is over.")


def _dump_uploads(uploads: Sequence[JobUpload]) -> str:
    return json.dumps([(one.name, one.file, one.content_type, one.size) for one in uploads]) if uploads else "[]"


def _dump_results(results: Sequence[JobResult]) -> str:
    return json.dumps([(one.name, one.content_type, one.size, one.rows) for one in results]) if results else "[]"


def _dump_error(error: JobError | None) -> str | None:
    return None if error is None else json.dumps((error.message, error.is_transient, error.has_detail))


def _job(row: Row) -> Job:
    parameters: dict[str, list[str]] = json.loads(row["parameters"])
    return Job(
        id=row["id"],
        kind=row["kind"],
        phase=Phase(row["phase"]),
        creation_time=row["creation_time"],
        execution_duration_s=row["execution_duration_s"],
        destruction_time=row["destruction_time"],
        owner=row["owner"],
        quota_key=row["quota_key"],
        run_id=row["run_id"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        parameters={name: tuple(values) for name, values in parameters.items()},
        uploads=tuple(JobUpload(*one) for one in json.loads(row["uploads"])),
        results=tuple(JobResult(*one) for one in json.loads(row["results"])),
        error=None if row["error"] is None else JobError(*json.loads(row["error"])),
        progress={} if row["progress"] is None else json.loads(row["progress"]),
        holder=row["holder"],
        lease_until=row["lease_until"],
        is_cancel_requested=bool(row["cancel_requested"]),
    )
