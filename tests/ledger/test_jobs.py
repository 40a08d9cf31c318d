"""Jobs in the ledger: who may change what, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from skyvault.errors import Busy, Conflict, NotFound
from skyvault.ledger.engine import Place
from skyvault.ledger.jobs import Jobs
from skyvault.ledger.ledger import Ledger, open_ledger
from skyvault.model.job import JobError, JobResult, JobUpload, Phase


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(place: Place, clock: Clock) -> Iterator[Ledger]:
    with open_ledger(place, clock=clock, waiting_limit=1500) as one:
        yield one


@pytest.fixture
def jobs(ledger: Ledger) -> Jobs:
    return ledger.jobs


def create(jobs: Jobs, **extra: object) -> str:
    settings = {"execution_duration_s": 60, "destruction_time": jobs.clock() + 1000, **extra}
    return jobs.create("tap", {"QUERY": ["SELECT 1"]}, **settings).id  # type: ignore[arg-type]


def test_a_job_is_read_as_it_was_created(jobs: Jobs) -> None:
    made = jobs.create(
        "tap",
        {"QUERY": ["SELECT 'ü'"], "UPLOAD": ["a,param:x", "b,param:y"]},
        execution_duration_s=60,
        destruction_time=jobs.clock() + 1000,
        owner="ann",
        quota_key="ann",
        run_id="r1",
        uploads=[JobUpload("x", "upload-1", "text/xml", 17)],
    )
    assert jobs.get(made.id) == made
    assert made.phase is Phase.PENDING
    assert len(made.id) == 32
    assert made.quote == made.creation_time + 60


def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    for act in (jobs.get, jobs.submit, jobs.abort, lambda job_id: jobs.set_destruction(job_id, 0)):
        with pytest.raises(NotFound, match="no job 'gone'"):
            act("gone")
    assert jobs.find("gone") is None
    assert jobs.delete("gone") is False


def test_a_job_goes_from_pending_to_completed_with_its_results(jobs: Jobs, clock: Clock) -> None:
    job_id = create(jobs)
    job, claimed = jobs.submit(job_id)
    assert (job.phase, claimed) == (Phase.QUEUED, False)
    assert jobs.queue_position(job_id) == 1
    running = jobs.claim("me", lease_s=15, kinds=["tap"])
    assert running is not None
    assert (running.id, running.phase, running.holder) == (job_id, Phase.EXECUTING, "me")
    assert running.start_time == clock.now
    assert jobs.set_progress(job_id, "me", {"rows": 5})
    assert not jobs.set_progress(job_id, "other", {"rows": 6})
    assert jobs.finish(job_id, "me", Phase.COMPLETED, results=[JobResult("result", "text/csv", 12, 3)])
    done = jobs.get(job_id)
    assert done.phase is Phase.COMPLETED
    assert done.results == (JobResult("result", "text/csv", 12, 3),)
    assert done.holder is None
    assert done.end_time == clock.now
    assert done.progress == {"rows": 5}


def test_submit_with_a_holder_claims_at_once_and_only_once(jobs: Jobs) -> None:
    job_id = create(jobs)
    assert jobs.submit(job_id, holder="me")[1] is True
    assert jobs.submit(job_id, holder="me")[1] is False
    assert jobs.submit(job_id, holder="other")[1] is False
    assert jobs.get(job_id).holder == "me"


def test_a_job_does_not_jump_the_queue(jobs: Jobs) -> None:
    first, second = create(jobs), create(jobs)
    jobs.submit(first)
    assert jobs.submit(second, holder="me")[1] is False
    claimed = jobs.claim("me", lease_s=15, kinds=["tap"])
    assert claimed is not None and claimed.id == first


def test_parameters_may_change_only_while_pending(jobs: Jobs) -> None:
    job_id = create(jobs)
    job = jobs.set_parameters(job_id, replace={"QUERY": ["SELECT 2"]}, add={"UPLOAD": ["a,param:x"]}, run_id="r2")
    assert job.parameters == {"QUERY": ("SELECT 2",), "UPLOAD": ("a,param:x",)}
    assert job.run_id == "r2"
    job = jobs.set_parameters(job_id, add={"UPLOAD": ["b,param:y"]})
    assert job.parameters["UPLOAD"] == ("a,param:x", "b,param:y")
    jobs.submit(job_id)
    with pytest.raises(Conflict, match="QUEUED"):
        jobs.set_parameters(job_id, replace={"QUERY": ["SELECT 3"]})


def test_the_execution_duration_is_fixed_once_a_job_has_begun(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.set_execution_duration(job_id, 5)
    jobs.submit(job_id, holder="me")
    with pytest.raises(Conflict, match="EXECUTING"):
        jobs.set_execution_duration(job_id, 6)
    assert jobs.get(job_id).execution_duration_s == 5


def test_an_abort_is_final_and_the_holder_learns_of_it(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.submit(job_id, holder="me")
    assert jobs.still_wanted("me") == {job_id}
    assert jobs.abort(job_id) is True
    assert jobs.abort(job_id) is False
    assert jobs.still_wanted("me") == set()
    assert jobs.finish(job_id, "me", Phase.COMPLETED) is False
    job = jobs.get(job_id)
    assert (job.phase, job.holder, job.is_cancel_requested) == (Phase.ABORTED, None, True)


def test_an_aborted_job_keeps_its_place_until_its_work_has_stopped(jobs: Jobs) -> None:
    first, second = create(jobs), create(jobs)
    jobs.submit(first, holder="me")
    jobs.abort(first)
    jobs.submit(second)
    assert jobs.claim("me", lease_s=15, kinds=["tap"], in_all=1) is None
    jobs.finish(first, "me", Phase.ABORTED)
    assert jobs.claim("me", lease_s=15, kinds=["tap"], in_all=1) is not None


def test_a_deleted_job_is_no_longer_wanted(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.submit(job_id, holder="me")
    assert jobs.delete(job_id) is True
    assert jobs.still_wanted("me") == set()
    assert jobs.finish(job_id, "me", Phase.COMPLETED) is False


def test_a_finished_job_cannot_run_again(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.abort(job_id)
    with pytest.raises(Conflict, match="ABORTED"):
        jobs.submit(job_id)
    assert jobs.hold(job_id) is False
    assert jobs.archive(job_id) is True
    assert jobs.get(job_id).phase is Phase.ARCHIVED


def test_a_held_job_waits_until_it_is_run(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.submit(job_id)
    assert jobs.hold(job_id)
    assert jobs.claim("me", lease_s=15, kinds=["tap"]) is None
    assert jobs.submit(job_id, holder="me")[1] is True


def test_a_user_with_his_fill_lets_others_pass(jobs: Jobs) -> None:
    ann = [create(jobs, quota_key="ann") for _ in range(3)]
    bob = create(jobs, quota_key="bob")
    for job_id in (*ann, bob):
        jobs.submit(job_id)

    def claim() -> str | None:
        job = jobs.claim("me", lease_s=15, kinds=["tap"], per_user=2, in_all=4)
        return None if job is None else job.id

    assert [claim() for _ in range(4)] == [ann[0], ann[1], bob, None]
    jobs.finish(ann[0], "me", Phase.COMPLETED)
    assert claim() == ann[2]


def test_a_runner_takes_only_the_kinds_it_knows(jobs: Jobs) -> None:
    jobs.submit(create(jobs))
    assert jobs.claim("me", lease_s=15, kinds=["soda"]) is None


def test_too_long_a_queue_takes_no_more(jobs: Jobs) -> None:
    jobs._waiting_limit = 3
    for _ in range(3):
        jobs.submit(create(jobs))
    with pytest.raises(Busy, match="3 jobs are waiting"):
        jobs.submit(create(jobs))


def test_the_list_is_filtered_as_uws_says(jobs: Jobs, clock: Clock) -> None:
    ids = []
    for number in range(4):
        clock.now += 10
        ids.append(create(jobs, owner="ann" if number < 3 else "bob"))
    jobs.abort(ids[1])
    jobs.abort(ids[2])
    jobs.archive(ids[2])

    def listed(**filters: object) -> list[str]:
        return [one.id for one in jobs.summaries(owner="ann", **filters)]  # type: ignore[arg-type]

    assert listed() == ids[:2]
    assert listed(phases=[Phase.ARCHIVED]) == [ids[2]]
    assert listed(phases=[Phase.PENDING, Phase.ABORTED]) == ids[:2]
    assert listed(last=1) == [ids[1]]
    assert listed(last=5) == [ids[1], ids[0]]
    assert listed(after=jobs.get(ids[0]).creation_time) == [ids[1]]
    assert listed(kind="soda") == []
    assert jobs.summaries(owner=None) == []
    assert jobs.count() == {Phase.PENDING: 2, Phase.ABORTED: 1, Phase.ARCHIVED: 1}


def test_jobs_of_a_dead_process_become_errors_and_queued_ones_wait_on(jobs: Jobs) -> None:
    begun, queued = create(jobs), create(jobs)
    jobs.submit(begun, holder="dead")
    jobs.submit(queued)
    assert jobs.expire(lambda holder: "dead") == [begun]
    job = jobs.get(begun)
    assert (job.phase, job.holder) == (Phase.ERROR, None)
    assert job.error is not None and "restarted while this job ran" in job.error.message
    assert jobs.get(queued).phase is Phase.QUEUED
    assert jobs.finish(begun, "dead", Phase.COMPLETED) is False


def test_a_process_that_cannot_be_seen_has_until_its_lease_runs_out(jobs: Jobs, clock: Clock) -> None:
    job_id = create(jobs)
    jobs.submit(job_id, holder="elsewhere", lease_s=15)
    clock.now += 14
    assert jobs.expire(lambda holder: "unknown") == []
    assert jobs.renew("elsewhere", 15) == 1
    clock.now += 14
    assert jobs.expire(lambda holder: "unknown") == []
    clock.now += 2
    assert jobs.expire(lambda holder: "unknown") == [job_id]


def test_a_living_process_survives_a_jump_of_the_clock(jobs: Jobs, clock: Clock) -> None:
    job_id = create(jobs)
    jobs.submit(job_id, holder="here", lease_s=15)
    clock.now += 60
    assert jobs.expire(lambda holder: "alive") == []
    clock.now += 60
    assert jobs.expire(lambda holder: "alive") == [job_id]


def test_jobs_past_their_destruction_are_found(jobs: Jobs, clock: Clock) -> None:
    old, young = create(jobs, destruction_time=clock.now + 5), create(jobs)
    clock.now += 6
    assert jobs.past_destruction() == [old]
    jobs.set_destruction(young, clock.now - 1)
    assert set(jobs.past_destruction()) == {old, young}
    assert jobs.known([old, "other"]) == {old}


def test_an_error_is_kept_with_its_kind(jobs: Jobs) -> None:
    job_id = create(jobs)
    jobs.submit(job_id, holder="me")
    error = JobError("too long", is_transient=True, has_detail=False)
    assert jobs.finish(job_id, "me", Phase.ERROR, error=error)
    assert jobs.get(job_id).error == error


def test_a_list_of_a_thousand_jobs_takes_milliseconds(jobs: Jobs) -> None:
    for _ in range(1000):
        create(jobs, owner="ann")
        create(jobs, owner="bob")
    begun = time.perf_counter()
    listed = jobs.summaries(owner="ann", last=1000)
    took = time.perf_counter() - begun
    assert len(listed) == 1000
    assert took < 0.2


def test_a_duty_is_held_by_one_until_it_is_given_back_or_runs_out(ledger: Ledger, clock: Clock) -> None:
    assert ledger.duties.take("janitor", "one", 10)
    assert ledger.duties.take("janitor", "one", 10)
    assert not ledger.duties.take("janitor", "two", 10)
    clock.now += 11
    assert ledger.duties.take("janitor", "two", 10)
    ledger.duties.give_back("janitor", "one")
    assert not ledger.duties.take("janitor", "one", 10)
    ledger.duties.give_back("janitor", "two")
    assert ledger.duties.take("janitor", "one", 10)
