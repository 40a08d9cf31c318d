"""What a job's values say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import ParameterError
from skyvault.model.job import Job, JobResult, Phase, format_instant, parse_instant, phases_before


def test_wait_blocks_in_the_active_phases_only() -> None:
    assert {phase for phase in Phase if phase.is_active} == {Phase.PENDING, Phase.QUEUED, Phase.EXECUTING}
    assert Phase.ABORTED.is_final and not Phase.HELD.is_final


def test_only_queued_and_suspended_jobs_begin_to_execute() -> None:
    assert phases_before(Phase.EXECUTING) == {Phase.QUEUED, Phase.SUSPENDED}
    assert Phase.COMPLETED not in phases_before(Phase.ABORTED)


def test_the_quote_counts_from_the_start_or_from_the_creation() -> None:
    assert Job("x", "tap", Phase.PENDING, 100.0, 60, 1e9).quote == 160.0
    assert Job("x", "tap", Phase.EXECUTING, 100.0, 60, 1e9, start_time=150.0).quote == 210.0


def test_a_result_is_found_by_its_name() -> None:
    result = JobResult("result", "text/csv", 1)
    job = Job("x", "tap", Phase.COMPLETED, 0.0, 1, 2.0, results=(result,))
    assert job.result("result") is result
    assert job.result("other") is None


@given(st.integers(0, 4_000_000_000_000))
def test_an_instant_comes_back_to_the_millisecond(milliseconds: int) -> None:
    text = format_instant(milliseconds / 1000)
    assert text.endswith("Z")
    assert parse_instant(text) == pytest.approx(milliseconds / 1000, abs=6e-4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01:00", 60),
        ("1970-01-01 00:01:00.5", 60.5),
        ("1970-01-01T01:01:00+01:00", 60),
        ("1970-01-02", 86_400),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, seconds: float) -> None:
    assert parse_instant(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "1" * 500])
def test_what_is_no_time_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(ParameterError, match="is not a time"):
        parse_instant(text)
