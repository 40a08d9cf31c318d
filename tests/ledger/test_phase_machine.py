"""Whatever several processes do to a job, in whatever order: one holder at a time, and no abort is ever lost."""

from __future__ import annotations

import random
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

import postgresql_server
from skyvault.config import Secret
from skyvault.errors import Conflict, NotFound
from skyvault.ledger.engine import Place
from skyvault.ledger.ledger import open_ledger
from skyvault.model.job import FINAL, TRANSITIONS, Phase

HOLDERS = ("one", "two", "three")
PER_USER, IN_ALL = 2, 3


class PhaseMachine(RuleBasedStateMachine):
    """Three processes, each with its own connections, act on a few jobs; a model says what must be true."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        place = self.new_place()
        self.now = 1_800_000_000.0
        self.ledgers = {holder: open_ledger(place, clock=lambda: self.now) for holder in HOLDERS}
        self.phases: dict[str, Phase] = {}
        #: who runs each job, as those who run it believe
        self.believed: dict[str, str] = {}
        self.dead: set[str] = set()

    def teardown(self) -> None:
        for ledger in self.ledgers.values():
            ledger.close()
        self.stack.close()

    def new_place(self) -> Place:
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "ledger.db"

    def _jobs(self, holder: str) -> Any:
        return self.ledgers[holder].jobs

    def _began(self, job_id: str, holder: str) -> None:
        assert job_id not in self.believed, f"{job_id} is run by {self.believed[job_id]} and by {holder}"
        assert self.phases[job_id] in (Phase.PENDING, Phase.QUEUED)
        self.believed[job_id] = holder
        self.phases[job_id] = Phase.EXECUTING

    @rule(target=jobs, user=st.sampled_from(["ann", "bob", None]), holder=st.sampled_from(HOLDERS))
    def create(self, user: str | None, holder: str) -> str:
        job = self._jobs(holder).create(
            "tap", {}, execution_duration_s=1, destruction_time=self.now + 1e6, quota_key=user
        )
        self.phases[job.id] = Phase.PENDING
        return str(job.id)

    @rule(job_id=jobs, holder=st.sampled_from(HOLDERS), claims=st.booleans())
    def submit(self, job_id: str, holder: str, claims: bool) -> None:
        before = self.phases.get(job_id)
        try:
            job, claimed = self._jobs(holder).submit(
                job_id, holder=holder if claims else None, lease_s=15, per_user=PER_USER, in_all=IN_ALL
            )
        except NotFound:
            assert before is None
            return
        except Conflict:
            assert before in FINAL
            return
        if claimed:
            self._began(job_id, holder)
        elif before is Phase.PENDING:
            self.phases[job_id] = Phase.QUEUED
        assert job.phase is self.phases[job_id]

    @rule(holder=st.sampled_from(HOLDERS))
    def claim(self, holder: str) -> None:
        job = self._jobs(holder).claim(holder, lease_s=15, kinds=["tap"], per_user=PER_USER, in_all=IN_ALL)
        if job is not None:
            self._began(job.id, holder)

    @rule(job_id=jobs, phase=st.sampled_from([Phase.COMPLETED, Phase.ERROR]))
    def finish(self, job_id: str, phase: Any) -> None:
        holder = self.believed.get(job_id)
        if holder is None:
            return
        ended = self._jobs(holder).finish(job_id, holder, phase)
        assert ended == (self.phases.get(job_id) is Phase.EXECUTING)
        if ended:
            self.phases[job_id] = phase
        del self.believed[job_id]

    @rule(job_id=jobs, holder=st.sampled_from(HOLDERS), phase=st.sampled_from([Phase.COMPLETED, Phase.ERROR]))
    def finish_by_another(self, job_id: str, holder: str, phase: Any) -> None:
        if self.believed.get(job_id) != holder:
            assert self._jobs(holder).finish(job_id, holder, phase) is False

    @rule(job_id=jobs, holder=st.sampled_from(HOLDERS))
    def abort(self, job_id: str, holder: str) -> None:
        try:
            stopped = self._jobs(holder).abort(job_id)
        except NotFound:
            assert job_id not in self.phases
            return
        assert stopped == (self.phases[job_id] not in FINAL)
        if stopped:
            self.phases[job_id] = Phase.ABORTED

    @rule(job_id=consumes(jobs), holder=st.sampled_from(HOLDERS))
    def delete(self, job_id: str, holder: str) -> None:
        assert self._jobs(holder).delete(job_id)
        del self.phases[job_id]

    @rule(seconds=st.sampled_from([1.0, 10.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(holder=st.sampled_from(HOLDERS))
    def renew(self, holder: str) -> None:
        self._jobs(holder).renew(holder, 15)

    @rule(holder=st.sampled_from(HOLDERS), dead=st.sampled_from(HOLDERS))
    def a_process_dies_and_another_notices(self, holder: str, dead: str) -> None:
        ended = self._jobs(holder).expire(lambda name: "dead" if name == dead else "alive")
        expected = {
            job_id
            for job_id, name in self.believed.items()
            if name == dead and self.phases.get(job_id) is Phase.EXECUTING
        }
        assert set(ended) - expected <= {
            job_id for job_id, name in self.believed.items() if name != dead
        }  # stuck for a minute, alive or not
        assert expected <= set(ended)
        for job_id in ended:
            self.phases[job_id] = Phase.ERROR
        for job_id in [one for one, name in self.believed.items() if name == dead]:
            del self.believed[job_id]

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for holder in HOLDERS:
            assert self._jobs(holder).phases(self.phases) == self.phases

    @invariant()
    def only_jobs_that_execute_are_wanted_and_nobody_wants_what_was_aborted(self) -> None:
        for holder in HOLDERS:
            wanted = self._jobs(holder).still_wanted(holder)
            assert {self.phases[job_id] for job_id in wanted} <= {Phase.EXECUTING}
            for job_id in wanted:
                assert self.believed.get(job_id) == holder

    @invariant()
    def no_more_run_than_may(self) -> None:
        assert sum(phase is Phase.EXECUTING for phase in self.phases.values()) <= IN_ALL


def test_the_phase_machine_keeps_its_promises() -> None:
    run_state_machine_as_test(PhaseMachine, settings=_steps(40))


@pytest.mark.postgresql
@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_the_phase_machine_keeps_its_promises_on_postgresql(postgresql_url: str, examples: int) -> None:
    class OnPostgresql(PhaseMachine):
        def new_place(self) -> Place:
            return Secret(self.stack.enter_context(postgresql_server.schema(postgresql_url)))

    run_state_machine_as_test(OnPostgresql, settings=_steps(examples))


def _steps(examples: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=40, deadline=None)


def test_every_phase_has_its_transitions_and_the_final_ones_lead_nowhere_but_the_archive() -> None:
    assert set(TRANSITIONS) == set(Phase)
    for phase in FINAL:
        assert TRANSITIONS[phase] <= {Phase.ARCHIVED}


@pytest.mark.parametrize("seed", range(3))
def test_threads_of_several_processes_never_hold_one_job_twice_nor_lose_an_abort(place: Place, seed: int) -> None:
    ledgers = [open_ledger(place) for _ in range(3)]
    ids = [ledgers[0].jobs.create("tap", {}, execution_duration_s=1, destruction_time=9e9).id for _ in range(60)]
    lock = threading.Lock()
    running: set[str] = set()
    completed: set[str] = set()
    aborted: set[str] = set()
    faults: list[str] = []

    def run(number: int) -> None:
        jobs, chance = ledgers[number % 3].jobs, random.Random(seed * 100 + number)
        holder = f"holder-{number}"
        for _ in range(80):
            job_id, act = chance.choice(ids), chance.random()
            if act < 0.35:
                try:
                    jobs.submit(job_id)
                except Conflict:
                    continue
            elif act < 0.5:
                if jobs.abort(job_id):
                    with lock:
                        aborted.add(job_id)
            elif (job := jobs.claim(holder, lease_s=60, kinds=["tap"])) is not None:
                with lock:
                    if job.id in running:
                        faults.append(f"{job.id} runs twice")
                    running.add(job.id)
                with lock:
                    # before the ledger frees the job nobody else may begin it
                    running.discard(job.id)
                if jobs.finish(job.id, holder, Phase.COMPLETED):
                    with lock:
                        if job.id in completed:
                            faults.append(f"{job.id} completed twice")
                        completed.add(job.id)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    phases = ledgers[0].jobs.phases(ids)
    assert faults == []
    assert not completed & aborted
    assert {job_id for job_id in ids if phases[job_id] is Phase.ABORTED} == aborted
    assert {job_id for job_id in ids if phases[job_id] is Phase.COMPLETED} == completed
    for ledger in ledgers:
        ledger.close()
