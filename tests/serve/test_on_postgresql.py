"""The suites of jobs, accounts and users' tables again, with the ledger in PostgreSQL (``pytest --ledger postgresql``).

A few of their tests always; whole suites with --slow.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

import postgresql_server
from processes import PROJECT, environment
from serve.accounts import Client

pytestmark = pytest.mark.postgresql

A_FEW = (
    "test_user_tables.py::test_a_table_is_put_queried_described_and_dropped_by_nobody_in_particular",
    "test_user_tables.py::test_of_a_thousand_who_create_one_table_exactly_one_wins",
    "../jobs/test_runner.py::test_kill_9_of_a_process_leaves_its_jobs_to_the_others_at_once",
    "test_uws.py::test_two_processes_share_the_jobs",
    "test_uws.py::test_an_abort_reaches_the_process_that_runs_the_job",
)
WHOLE = (
    "test_account_elsewhere.py",
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


def test_while_the_database_is_away_requests_are_told_to_come_back_and_then_all_goes_on(
    tmp_path: Path, start_server: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--ledger") != "sqlite":
        pytest.skip("has a database of its own")
    database = postgresql_server.Server(keeps=True)
    try:
        home = tmp_path / "home"
        site = start_server(home, SKYVAULT_LEDGER=database.url)
        query = "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": "SELECT COUNT(*) FROM tap_schema.tables"})
        job = Client(site.base_url)("POST", "/tap/async", urlencode({"LANG": "ADQL", "QUERY": "SELECT 1"}))
        assert job.status == 303
        place = urlsplit(job.headers["Location"]).path
        for _ in range(2):
            assert Client(site.base_url)("GET", query).status == 200
            assert Client(site.base_url)("GET", place).status == 200
            database.stop()
            for path in (query, place):
                answer = Client(site.base_url)("GET", path)
                assert (answer.status, "cannot be used just now" in answer.text) == (503, True)
                assert int(answer.headers["Retry-After"]) > 0
                assert urlsplit(database.url).password not in answer.text
            database.start()
            _wait_for_answer(Client(site.base_url), query)
        assert Client(site.base_url)("POST", f"{place}/phase", "PHASE=RUN").status == 303
    finally:
        database.remove()


def _wait_for_answer(client: Client, query: str) -> None:
    """Until the database, which was started a moment ago, takes connections."""
    limit = time.monotonic() + 30
    while client("GET", query).status == 503 and time.monotonic() < limit:
        time.sleep(0.05)
    assert client("GET", query).status == 200


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", WHOLE)
def test_a_whole_suite_keeps_its_promises(suite: str, tmp_path: Path) -> None:
    run((suite,), tmp_path, "--slow", seconds=1700)
