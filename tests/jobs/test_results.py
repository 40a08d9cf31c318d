"""The files of jobs: named when they are whole, kept inside their folder, gone with their job."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from skyvault.errors import NotFound, ParameterError, StoreError
from skyvault.jobs.results import Results
from skyvault.model.job import Job, JobResult, Phase

ID = "0123456789abcdef"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "jobs")


def test_a_result_has_its_name_only_when_it_is_kept(results: Results) -> None:
    path = results.writing_path(ID, "result")
    path.write_text("rows")
    assert path.name == "result.part"
    assert results.keep(ID, ["result"]) == {"result": 4}
    assert (results.folder(ID) / "result").read_text() == "rows"
    assert not path.exists()
    assert results.sync() == 1
    assert results.sync() == 0


@pytest.mark.parametrize("job_id", ["..", "../../etc/passwd", "short", "", "a/b/c/d/e/f", "x" * 100, "abc\0defghi"])
def test_an_id_that_could_be_a_path_is_no_job(results: Results, job_id: str) -> None:
    with pytest.raises(NotFound):
        results.folder(job_id)
    results.remove(job_id)


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "x.part", "a\0b", "n" * 65])
def test_a_name_that_could_be_a_path_is_no_result(results: Results, name: str) -> None:
    with pytest.raises(ParameterError):
        results.writing_path(ID, name)


def test_a_file_that_is_not_what_the_ledger_says_is_told(results: Results) -> None:
    job = Job(ID, "tap", Phase.COMPLETED, 0.0, 1, 2.0)
    result = JobResult("result", "text/plain", 4)
    with pytest.raises(StoreError, match="missing"):
        results.path(job, result)
    results.writing_path(ID, "result").write_text("ro")
    results.keep(ID, ["result"])
    with pytest.raises(StoreError, match="damaged"):
        results.path(job, result)


def test_what_was_never_written_cannot_be_kept(results: Results) -> None:
    with pytest.raises(StoreError, match="cannot be stored"):
        results.keep(ID, ["result"])


def test_sync_passes_over_what_was_deleted_meanwhile(results: Results) -> None:
    results.writing_path(ID, "result").write_text("rows")
    results.keep(ID, ["result"])
    results.remove(ID)
    results.sync()


def test_only_old_folders_of_unknown_jobs_are_swept(results: Results) -> None:
    old = time.time() - 100
    for job_id in ("known123", "unknown1", "unknown2"):
        os.utime(results.make_folder(job_id), (old, old))
    results.make_folder("young123")
    assert results.sweep(lambda ids: {one for one in ids if one.startswith("known")}, older_than_s=50) == 2
    assert results.folder("known123").exists()
    assert results.folder("young123").exists()
    assert not results.folder("unknown1").exists()
    assert Results(results.root / "none").sweep(lambda ids: set(), 0) == 0
