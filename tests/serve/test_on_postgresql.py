"""The suites of jobs, accounts and users' tables again, with the ledger in PostgreSQL (``pytest --ledger postgresql``).

A few of their tests always; whole suites with --slow.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from processes import PROJECT, environment

pytestmark = pytest.mark.postgresql

A_FEW = (
    "test_user_tables.py::test_a_table_is_put_queried_described_and_dropped_by_nobody_in_particular",
    "test_user_tables.py::test_of_a_thousand_who_create_one_table_exactly_one_wins",
    "../jobs/test_runner.py::test_kill_9_of_a_process_leaves_its_jobs_to_the_others_at_once",
    "test_uws.py::test_two_processes_share_the_jobs",
    "test_uws.py::test_an_abort_reaches_the_process_that_runs_the_job",
)
WHOLE = (
    "../jobs",
    "test_accounts.py",
    "test_isolation.py",
    "test_user_pieces.py",
    "test_user_tables.py",
    "test_user_tables_killed.py",
    "test_uws.py",
    "test_workers.py",
)


def run(tests: tuple[str, ...], folder: Path, *options: str, seconds: float) -> None:
    arguments = ["-q", "-p", "no:cacheprovider", "-n", "0", "--ledger", "postgresql", f"--basetemp={folder / 'tests'}"]
    arguments += [*options, *(str(PROJECT / "tests" / "serve" / test) for test in tests)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-20_000:]


def test_a_few_of_each_suite_keep_their_promises(tmp_path: Path) -> None:
    run(A_FEW, tmp_path, seconds=110)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", WHOLE)
def test_a_whole_suite_keeps_its_promises(suite: str, tmp_path: Path) -> None:
    run((suite,), tmp_path, "--slow", seconds=1700)
