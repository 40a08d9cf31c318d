"""The runner: jobs begin, end, and are stopped, one process or several, and none is run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import postgresql_server
from skyvault.config import Secret
from skyvault.errors import Busy, Cancelled, Conflict, QueryError
from skyvault.jobs.context import JobContext
from skyvault.jobs.holder import this_process
from skyvault.jobs.results import Results
from skyvault.jobs.runner import Runner
from skyvault.ledger.ledger import Ledger, open_ledger
from skyvault.model.job import Job, Phase


class Bench:
    """A ledger in a folder, and runners over it that are stopped in the end."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.ledger = self.open()
        self.results = Results(folder / "jobs")

    def open(self) -> Ledger:
        return self._stack.enter_context(open_ledger(self.folder / "ledger.db"))

    def runner(self, work: Callable[[JobContext], None], ledger: Ledger | None = None, **settings: Any) -> Runner:
        settings = {"poll_s": 0.01, "renew_s": 0.1, "sync_s": 0.05, "janitor_s": 0.1, **settings}
        runner = Runner(ledger or self.ledger, work, self.results, **settings)
        self._stack.callback(runner.stop, grace_s=0.0)
        runner.start()
        return runner

    def create(self, query: str = "", *, duration_s: int = 60, life_s: float = 1000.0, **extra: Any) -> str:
        return self.ledger.jobs.create(
            "tap",
            {"QUERY": [query]},
            execution_duration_s=duration_s,
            destruction_time=time.time() + life_s,
            **extra,
        ).id

    def until(self, job_id: str, *phases: Phase) -> Job:
        return eventually(lambda: (job := self.ledger.jobs.get(job_id)).phase in phases and job)


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What ``look`` gives as soon as it is true."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it has not come to pass"
        pause.wait(0.002)
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def answer(context: JobContext) -> None:
    context.result_path().write_text(context.parameters["QUERY"][0])
    context.set_result(content_type="text/plain", rows=1)


def until_cancelled(context: JobContext) -> None:
    assert context.cancelled.wait(30)
    raise Cancelled("stopped")


def test_a_submitted_job_begins_at_once_and_leaves_its_result(bench: Bench) -> None:
    runner = bench.runner(answer)
    job_id = bench.create("hello")
    assert runner.submit(job_id).phase is Phase.EXECUTING
    job = bench.until(job_id, Phase.COMPLETED)
    assert [(one.name, one.content_type, one.size, one.rows) for one in job.results] == [("result", "text/plain", 5, 1)]
    assert bench.results.path(job, job.results[0]).read_text() == "hello"


def test_a_job_that_another_process_queued_is_found(bench: Bench) -> None:
    bench.runner(answer)
    other = bench.open()
    job_id = bench.create()
    other.jobs.submit(job_id)
    bench.until(job_id, Phase.COMPLETED)


def test_jobs_that_were_queued_while_nobody_ran_begin_at_the_start(bench: Bench) -> None:
    job_id = bench.create()
    bench.ledger.jobs.submit(job_id)
    bench.runner(answer)
    bench.until(job_id, Phase.COMPLETED)


def test_no_more_jobs_run_than_may_over_all_processes_and_for_each_user(bench: Bench) -> None:
    lock, now, most = threading.Lock(), {"all": 0, "ann": 0}, {"all": 0, "ann": 0}

    def work(context: JobContext) -> None:
        keys = ["all"] + ["ann"] * (context.job.quota_key == "ann")
        with lock:
            for key in keys:
                now[key] += 1
                most[key] = max(most[key], now[key])
        context.cancelled.wait(0.01)
        with lock:
            for key in keys:
                now[key] -= 1

    runners = [bench.runner(work, bench.open(), in_all=3, per_user=2, holder=f"process-{n}") for n in range(2)]
    # the names are made up, so nobody may judge them dead: all are judged by their lease
    ids = [bench.create(quota_key=user) for user in ["ann", "bob"] * 15]
    for number, job_id in enumerate(ids):
        runners[number % 2].submit(job_id)
    for job_id in ids:
        bench.until(job_id, Phase.COMPLETED)
    assert most["all"] <= 3
    assert most["ann"] <= 2


def test_many_processes_run_each_job_once(bench: Bench) -> None:
    runs: list[str] = []
    runners = [
        bench.runner(lambda context: runs.append(context.id), bench.open(), per_user=None, in_all=8, holder=f"p{n}")
        for n in range(3)
    ]
    ids = [bench.create() for _ in range(100)]
    threads = [
        threading.Thread(target=lambda own=own, runner=runner: [runner.submit(job_id) for job_id in own])
        for own, runner in zip((ids[::3], ids[1::3], ids[2::3]), runners, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job_id in ids:
        bench.until(job_id, Phase.COMPLETED)
    assert sorted(runs) == sorted(ids)


def test_an_abort_in_this_process_interrupts_the_work_at_once(bench: Bench) -> None:
    interrupted = threading.Event()

    def work(context: JobContext) -> None:
        context.on_cancel(interrupted.set)
        interrupted.wait(30)
        context.raise_if_cancelled()

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    begun = time.monotonic()
    assert runner.abort(job_id) is True
    assert interrupted.wait(5)
    assert time.monotonic() - begun < 5
    assert bench.ledger.jobs.get(job_id).phase is Phase.ABORTED
    eventually(lambda: bench.ledger.jobs.get(job_id).holder is None)
    assert runner.abort(job_id) is False


def test_an_abort_by_another_process_reaches_the_work(bench: Bench) -> None:
    bench_runner = bench.runner(until_cancelled)
    other = bench.open()
    job_id = bench.create()
    bench_runner.submit(job_id)
    assert other.jobs.abort(job_id)
    eventually(lambda: not bench_runner.running)
    assert other.jobs.get(job_id).phase is Phase.ABORTED


def test_a_job_deleted_while_it_runs_is_stopped_and_leaves_no_files(bench: Bench) -> None:
    writing = threading.Event()

    def work(context: JobContext) -> None:
        context.result_path().write_text("half")
        writing.set()
        until_cancelled(context)

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    assert writing.wait(5)
    other = bench.open()
    assert other.jobs.delete(job_id)
    eventually(lambda: not runner.running)
    eventually(lambda: not bench.results.folder(job_id).exists())


def test_a_result_that_comes_too_late_is_thrown_away(bench: Bench) -> None:
    may_end = threading.Event()

    def work(context: JobContext) -> None:
        assert may_end.wait(10)
        answer(context)

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    runner.abort(job_id)
    may_end.set()
    eventually(lambda: not runner.running)
    job = bench.ledger.jobs.get(job_id)
    assert (job.phase, job.results) == (Phase.ABORTED, ())
    eventually(lambda: not bench.results.folder(job_id).exists())


def test_the_deadline_interrupts_and_says_so(bench: Bench) -> None:
    runner = bench.runner(until_cancelled)
    job_id = bench.create(duration_s=1)
    begun = time.monotonic()
    runner.submit(job_id)
    job = bench.until(job_id, Phase.ERROR)
    assert 0.9 < time.monotonic() - begun < 10
    assert job.error is not None and "longer than the 1 s" in job.error.message and job.error.is_transient


def test_an_error_of_the_work_is_told_in_its_own_words(bench: Bench) -> None:
    def work(context: JobContext) -> None:
        raise QueryError("there is no column vmga", line=2, column=5)

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    error = bench.until(job_id, Phase.ERROR).error
    assert error is not None
    assert (error.message, error.is_transient) == ("line 2, column 5: there is no column vmga.", False)


@pytest.mark.parametrize(
    ("raised", "words"),
    [(ValueError("/etc/shadow"), "error "), (OSError(28, "No space"), "disk is full"), (MemoryError(), "memory")],
)
def test_what_was_not_expected_is_logged_and_not_told(
    bench: Bench, caplog: pytest.LogCaptureFixture, raised: BaseException, words: str
) -> None:
    def work(context: JobContext) -> None:
        raise raised

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    error = bench.until(job_id, Phase.ERROR).error
    assert error is not None
    assert words in error.message
    assert "shadow" not in error.message


def test_running_twice_is_harmless_and_running_what_is_over_a_conflict(bench: Bench) -> None:
    runner = bench.runner(until_cancelled)
    job_id = bench.create()
    runner.submit(job_id)
    assert runner.submit(job_id).phase is Phase.EXECUTING
    assert runner.running == (job_id,)
    runner.abort(job_id)
    with pytest.raises(Conflict):
        runner.submit(job_id)


def test_a_place_is_free_again_when_submitting_failed(bench: Bench) -> None:
    runner = bench.runner(answer, in_all=1)
    bench.ledger.jobs._waiting_limit = 0
    for _ in range(3):
        with pytest.raises(Busy):
            runner.submit(bench.create())
    bench.ledger.jobs._waiting_limit = 10
    job_id = bench.create()
    runner.submit(job_id)
    bench.until(job_id, Phase.COMPLETED)


def test_jobs_past_their_destruction_go_with_their_results(bench: Bench) -> None:
    runner = bench.runner(answer)
    job_id = bench.create(life_s=0.3)
    runner.submit(job_id)
    bench.until(job_id, Phase.COMPLETED)
    eventually(lambda: bench.ledger.jobs.find(job_id) is None)
    eventually(lambda: not bench.results.folder(job_id).exists())


def test_stopping_waits_for_the_running_and_leaves_the_queued(bench: Bench) -> None:
    begun = threading.Event()

    def work(context: JobContext) -> None:
        begun.set()
        context.cancelled.wait(0.2)
        answer(context)

    runner = bench.runner(work, in_all=1)
    running, queued = bench.create(), bench.create()
    runner.submit(running)
    runner.submit(queued)
    assert begun.wait(5)
    runner.stop(grace_s=10)
    assert bench.ledger.jobs.get(running).phase is Phase.COMPLETED
    assert bench.ledger.jobs.get(queued).phase is Phase.QUEUED
    assert runner.submit(bench.create()).phase is Phase.QUEUED


def test_stopping_ends_what_does_not_end_by_itself_with_a_reason(bench: Bench) -> None:
    runner = bench.runner(until_cancelled)
    job_id = bench.create()
    runner.submit(job_id)
    runner.stop(grace_s=0.05)
    job = bench.ledger.jobs.get(job_id)
    assert job.phase is Phase.ERROR
    assert job.error is not None and "stopped while this job ran" in job.error.message


def test_work_that_does_not_heed_its_end_is_given_up_at_the_stop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    runner = bench.runner(lambda context: release.wait(60) and None)
    job_id = bench.create()
    runner.submit(job_id)
    threading.Timer(2.0, release.set).start()
    runner.stop(grace_s=0.01)
    assert bench.ledger.jobs.get(job_id).phase is Phase.ERROR
    eventually(lambda: not runner.running)


def test_progress_is_written_now_and_then(bench: Bench) -> None:
    told, may_end = threading.Event(), threading.Event()

    def work(context: JobContext) -> None:
        for rows in range(1000):
            context.progress(rows=rows)
        told.set()
        assert may_end.wait(10)

    runner = bench.runner(work)
    job_id = bench.create()
    runner.submit(job_id)
    assert told.wait(5)
    assert bench.ledger.jobs.get(job_id).progress == {"rows": 0}
    may_end.set()
    assert bench.until(job_id, Phase.COMPLETED).progress == {"rows": 999}


def test_uploads_are_found_by_the_name_of_their_part(bench: Bench) -> None:
    from skyvault.model.job import JobUpload

    job_id = bench.ledger.jobs.new_id()
    (bench.results.make_folder(job_id) / "upload-0").write_text("table")
    found: list[str] = []
    runner = bench.runner(lambda context: found.append(context.uploads["part"].read_text()))
    bench.create(job_id=job_id, uploads=[JobUpload("part", "upload-0", "text/csv", 5)])
    runner.submit(job_id)
    bench.until(job_id, Phase.COMPLETED)
    assert found == ["table"]


PROGRAM = """
import os, sys, pathlib, threading
from skyvault.config import Secret
from skyvault.jobs.results import Results
from skyvault.jobs.runner import Runner
from skyvault.ledger.ledger import open_ledger
folder = pathlib.Path(sys.argv[1])
address = os.environ.get("SKYVAULT_LEDGER")
ledger = open_ledger(Secret(address) if address else folder / "ledger.db")
def work(context):
    context.result_path().write_text("half")
    # one write: two threads must not mix their lines
    os.write(1, (context.id + "\\n").encode())
    threading.Event().wait()
runner = Runner(ledger, work, Results(folder / "jobs"), in_all=2)
runner.start()
for job_id in sys.argv[2:]:
    runner.submit(job_id)
threading.Event().wait()
"""


def test_kill_9_of_a_process_leaves_its_jobs_to_the_others_at_once(
    bench: Bench, ledger_variables: Callable[[Path], dict[str, str]]
) -> None:
    ids = [bench.create() for _ in range(3)]
    variables = os.environ | ledger_variables(bench.folder)
    command = [sys.executable, "-c", PROGRAM, str(bench.folder), *ids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) as process:
        try:
            assert process.stdout is not None
            begun = {process.stdout.readline().decode().strip() for _ in range(2)}
            assert begun == set(ids[:2])
            # another process that lives does not touch them
            runner = bench.runner(answer, in_all=2)
            runner.submit(bench.create())
            assert {bench.ledger.jobs.get(job_id).phase for job_id in begun} == {Phase.EXECUTING}
        finally:
            os.kill(process.pid, signal.SIGKILL)
    for job_id in begun:
        error = bench.until(job_id, Phase.ERROR).error
        assert error is not None and "restarted while this job ran" in error.message
    assert bench.until(ids[2], Phase.COMPLETED).results


def test_the_name_of_a_process_says_who_it_is() -> None:
    assert this_process() == this_process()
    other = subprocess.run(
        [sys.executable, "-c", "from skyvault.jobs.holder import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    from skyvault.jobs.holder import verdict

    assert verdict(this_process()) == "alive"
    assert verdict(other) == "dead"
    boot, namespace, pid, start = this_process().split("/")
    assert verdict(f"another-boot/{namespace}/{pid}/{start}") == "unknown"
    assert verdict(f"{boot}/1/{pid}/{start}") == "unknown"
    assert verdict(f"{boot}/{namespace}/{pid}/1") == "dead"
    assert verdict(f"-/{namespace}/{pid}/{start}") == "unknown"
    assert verdict("somebody") == "unknown"


@pytest.mark.postgresql
def test_a_job_whose_end_falls_into_a_restart_of_the_database_is_not_lost(tmp_path: Path) -> None:
    server = postgresql_server.Server()
    try:
        with open_ledger(Secret(server.url)) as ledger:
            may_end = threading.Event()

            def work(context: JobContext) -> None:
                assert may_end.wait(30)
                answer(context)

            with Runner(ledger, work, Results(tmp_path / "jobs"), in_all=1) as runner:
                parameters = {"QUERY": ["x"]}
                job = ledger.jobs.create("tap", parameters, execution_duration_s=60, destruction_time=time.time() + 99)
                runner.submit(job.id)
                eventually(lambda: ledger.jobs.get(job.id).phase is Phase.EXECUTING)
                server.stop()
                may_end.set()
                eventually(lambda: list((tmp_path / "jobs").rglob("result")))
                server.start()
                eventually(lambda: _is_completed(ledger, job.id))
                assert ledger.jobs.get(job.id).results
    finally:
        server.remove()


def _is_completed(ledger: Any, job_id: str) -> bool:
    try:
        return ledger.jobs.get(job_id).phase is Phase.COMPLETED
    except Busy:
        # the server is not up yet
        return False
