"""Word that work must stop reaches it once, and never anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.errors import Cancelled
from skyvault.jobs.context import JobContext
from skyvault.jobs.results import Results
from skyvault.model.job import Job, Phase


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    job = Job("0123456789abcdef", "tap", Phase.EXECUTING, 0.0, 60, 100.0, parameters={"QUERY": ("x",)})
    return JobContext(job, Results(tmp_path), deadline=50.0, monotonic=lambda: 20.0)


def test_a_callback_is_called_once_and_the_first_reason_counts(context: JobContext) -> None:
    called: list[int] = []
    context.on_cancel(lambda: called.append(1))
    context.raise_if_cancelled()
    context.cancel("deadline")
    context.cancel("abort")
    assert called == [1]
    assert context.reason == "deadline"
    assert context.cancelled.is_set()
    with pytest.raises(Cancelled):
        context.raise_if_cancelled()


def test_a_callback_registered_too_late_is_called_at_once(context: JobContext) -> None:
    context.cancel("abort")
    called: list[int] = []
    context.on_cancel(lambda: called.append(1))
    assert called == [1]


def test_after_it_is_withdrawn_or_the_work_is_over_nothing_is_called(context: JobContext) -> None:
    called: list[int] = []
    withdraw = context.on_cancel(lambda: called.append(1))
    context.on_cancel(lambda: called.append(2))
    withdraw()
    withdraw()
    context.close()
    context.cancel("abort")
    assert called == []


def test_one_failing_callback_does_not_keep_the_others(context: JobContext, caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []
    context.on_cancel(lambda: [][1])
    context.on_cancel(lambda: called.append(1))
    context.cancel("abort")
    assert called == [1]


def test_the_context_tells_what_the_job_says(context: JobContext) -> None:
    assert context.parameters == {"QUERY": ["x"]}
    assert context.remaining_s == 30.0
    assert context.uploads == {}
