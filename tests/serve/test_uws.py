"""UWS 1.1 over HTTP, sentence by sentence, against a real server on loopback."""

from __future__ import annotations

import concurrent.futures
import gc
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from skyvault.formats.uws_xml import JobDocument, read_job
from skyvault.model.job import Phase, format_instant

JOB = {"REQUEST": "doQuery", "LANG": "ADQL"}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as one:
        one.trust_env = False
        yield one


class Client:
    """A thin client: every call says what it posts and follows no redirect."""

    def __init__(self, session: requests.Session, jobs: str) -> None:
        self.session = session
        self.jobs = jobs

    def create(self, query: str = "hello", *, files: Any = None, **parameters: Any) -> str:
        answer = self.post(self.jobs, files=files, QUERY=query, **JOB, **parameters)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def post(self, url: str, *, files: Any = None, **parameters: Any) -> requests.Response:
        return self.session.post(url, data=parameters, files=files, allow_redirects=False, timeout=30)

    def get(self, url: str, **parameters: Any) -> requests.Response:
        return self.session.get(url, params=parameters, allow_redirects=False, timeout=40)

    def job(self, url: str, **parameters: Any) -> JobDocument:
        answer = self.get(url, **parameters)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/xml")
        return read_job(answer.content)

    def until_over(self, url: str) -> JobDocument:
        while not (job := self.job(url, WAIT=10)).phase.is_final:
            pass
        return job


@pytest.fixture
def client(session: requests.Session, uws: Any) -> Client:
    return Client(session, uws.jobs)


def test_posting_to_the_job_list_creates_a_pending_job_and_redirects_to_it(client: Client) -> None:
    url = client.create("hello world", MAXREC=5, RUNID="night-7")
    assert url.startswith(client.jobs + "/")
    job = client.job(url)
    assert job.phase is Phase.PENDING
    assert job.id == url.rpartition("/")[2]
    assert job.run_id == "night-7"
    assert dict(job.parameters) == {**JOB, "QUERY": "hello world", "MAXREC": "5"}
    assert job.results == ()


def test_an_empty_post_creates_a_job(client: Client) -> None:
    assert client.post(client.jobs).status_code == 303


def test_the_atomic_resources_are_plain_text_and_agree_with_the_job_document(client: Client) -> None:
    url = client.create()
    job = client.job(url)

    def text(name: str) -> str:
        answer = client.get(f"{url}/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    assert text("phase") == "PENDING"
    assert text("executionduration") == str(job.execution_duration_s) == "60"
    assert text("owner") == ""
    for name, time_s in (("destruction", job.destruction_time), ("quote", job.quote)):
        assert text(name).endswith("Z")
        assert text(name) == format_instant(time_s or 0)


def test_a_run_job_completes_and_its_result_has_the_type_and_size_it_was_stored_with(client: Client) -> None:
    url = client.create("hello", RESPONSEFORMAT="text/csv;header=present")
    answer = client.post(url + "/phase", PHASE="RUN")
    assert (answer.status_code, answer.headers["location"]) == (303, url)
    job = client.until_over(url)
    assert job.phase is Phase.COMPLETED
    assert [(one.name, one.content_type, one.size) for one in job.results] == [
        ("result", "text/csv;header=present", 14)
    ]
    result = client.get(job.results[0].href)
    assert job.results[0].href == url + "/results/result"
    assert result.content == b"answer\nhello \n"
    assert result.headers["content-type"] == "text/csv;header=present"
    assert result.headers["content-length"] == "14"
    assert client.get(url + "/results").content.count(b"<uws:result ") == 1
    part = client.session.get(url + "/results/result", headers={"range": "bytes=0-5"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"answer")
    assert client.session.head(url + "/results/result", timeout=10).headers["content-length"] == "14"


def test_phase_run_in_the_creating_post_starts_the_job(client: Client) -> None:
    assert client.until_over(client.create(PHASE="RUN")).phase is Phase.COMPLETED


def test_running_a_job_twice_is_no_error_while_it_runs_and_a_conflict_when_it_is_over(client: Client) -> None:
    url = client.create("sleep 20", PHASE="RUN")
    assert client.post(url + "/phase", PHASE="RUN").status_code == 303
    client.post(url + "/phase", PHASE="ABORT")
    answer = client.post(url + "/phase", PHASE="RUN")
    assert answer.status_code == 409
    assert 'value="ERROR"' in answer.text
    assert client.post(url + "/phase", PHASE="ABORT").status_code == 303
    assert client.post(url + "/phase", PHASE="DANCE").status_code == 400


def test_a_failed_job_tells_why_in_its_document_and_at_error_and_has_no_result(client: Client) -> None:
    url = client.create("fail", PHASE="RUN")
    job = client.until_over(url)
    assert job.phase is Phase.ERROR
    assert job.error is not None
    assert job.error.message == "line 1, column 8: there is no column vmga. Did you mean vmag?"
    error = client.get(url + "/error")
    assert error.status_code == 200
    assert 'name="QUERY_STATUS" value="ERROR"' in error.text
    assert "no column vmga" in error.text
    assert client.get(url + "/results/result").status_code == 404


def test_a_fault_of_the_servers_own_does_not_show_its_insides(client: Client) -> None:
    job = client.until_over(client.create("crash", PHASE="RUN"))
    assert job.phase is Phase.ERROR
    assert job.error is not None
    assert "secret" not in job.error.message
    assert "error " in job.error.message


def test_an_aborted_job_is_aborted_at_once_and_its_work_stops(client: Client) -> None:
    url = client.create("sleep 30", PHASE="RUN")
    while client.get(url + "/phase").text != "EXECUTING":
        pass
    assert client.post(url + "/phase", PHASE="ABORT").status_code == 303
    assert client.get(url + "/phase").text == "ABORTED"
    # four places in all: were the work still there, others could not run
    urls = [client.create("sleep 0.01", PHASE="RUN") for _ in range(5)]
    assert {client.until_over(one).phase for one in urls} == {Phase.COMPLETED}


def test_a_job_over_its_execution_duration_ends_as_error_with_advice(client: Client) -> None:
    url = client.create("sleep 30", EXECUTIONDURATION=1)
    begun = time.monotonic()
    client.post(url + "/phase", PHASE="RUN")
    job = client.until_over(url)
    assert time.monotonic() - begun < 10
    assert job.phase is Phase.ERROR
    assert job.error is not None
    assert "longer than the 1 s" in job.error.message
    assert job.error.is_transient


def test_execution_duration_and_destruction_are_clamped_to_the_services_limits(client: Client) -> None:
    url = client.create()
    assert client.post(url + "/executionduration", EXECUTIONDURATION=86_400).status_code == 303
    assert client.get(url + "/executionduration").text == "600"
    assert client.post(url + "/executionduration", EXECUTIONDURATION=7).status_code == 303
    assert client.get(url + "/executionduration").text == "7"
    far = datetime.now(UTC) + timedelta(days=400)
    assert client.post(url + "/destruction", DESTRUCTION=far.isoformat()).status_code == 303
    job = client.job(url)
    assert job.destruction_time == pytest.approx((job.creation_time or 0) + 7200, abs=1)
    near = datetime.now(UTC) + timedelta(minutes=5)
    client.post(url + "/destruction", DESTRUCTION=near.strftime("%Y-%m-%dT%H:%M:%S"))
    assert client.job(url).destruction_time == pytest.approx(near.timestamp(), abs=1)
    for name in ("executionduration", "destruction"):
        assert client.post(f"{url}/{name}", **{name: "soon"}).status_code == 400
        assert client.post(f"{url}/{name}").status_code == 400


def test_parameters_can_be_posted_while_pending_and_not_later(client: Client) -> None:
    url = client.create("hello")
    assert client.post(url + "/parameters", query="welcome", RunId="seven", nonsense="1").status_code == 303
    job = client.job(url)
    assert dict(job.parameters)["QUERY"] == "welcome"
    assert job.run_id == "seven"
    assert b"welcome" in client.get(url + "/parameters").content
    client.post(url + "/phase", PHASE="RUN")
    client.until_over(url)
    assert client.post(url + "/parameters", QUERY="late").status_code == 409


def test_parameters_cannot_be_posted_to_the_job_itself(client: Client) -> None:
    assert client.post(client.create(), QUERY="other").status_code == 400


def test_a_single_valued_parameter_given_twice_is_refused(client: Client, session: requests.Session) -> None:
    twice = session.post(client.jobs, data=[("QUERY", "a"), ("query", "b")], allow_redirects=False, timeout=10)
    assert twice.status_code == 400
    assert "QUERY is given 2 times" in twice.text


@pytest.mark.parametrize("way", ["DELETE", "ACTION"])
def test_a_deleted_job_redirects_to_the_list_and_is_gone_with_its_files(client: Client, uws: Any, way: str) -> None:
    url = client.create(PHASE="RUN")
    client.until_over(url)
    folder = uws.home / "jobs" / url.rpartition("/")[2][:2] / url.rpartition("/")[2]
    assert folder.exists()
    answer = (
        client.session.delete(url, allow_redirects=False, timeout=10)
        if way == "DELETE"
        else client.post(url, ACTION="DELETE")
    )
    assert (answer.status_code, answer.headers["location"]) == (303, client.jobs)
    for resource in ("", "/phase", "/results/result", "/parameters", "/error"):
        gone = client.get(url + resource)
        assert gone.status_code == 404
        assert 'name="QUERY_STATUS" value="ERROR"' in gone.text
    assert client.post(url, ACTION="DELETE").status_code == 404
    deadline = time.monotonic() + 5
    while folder.exists():
        assert time.monotonic() < deadline


def test_wait_returns_when_the_phase_changes(client: Client) -> None:
    url = client.create("sleep 0.3", PHASE="RUN")
    begun = time.monotonic()
    assert client.until_over(url).phase is Phase.COMPLETED
    assert 0.2 < time.monotonic() - begun < 10


def test_wait_returns_at_once_when_the_phase_is_another_one_or_nothing_can_change(client: Client) -> None:
    begun = time.monotonic()
    pending = client.create()
    assert client.job(pending, WAIT=20, PHASE="QUEUED").phase is Phase.PENDING
    assert client.job(pending, WAIT=0).phase is Phase.PENDING
    client.post(pending + "/phase", PHASE="ABORT")
    assert client.job(pending, WAIT=-1).phase is Phase.ABORTED
    assert time.monotonic() - begun < 10
    assert client.get(pending, WAIT="long").status_code == 400
    assert client.get(pending, WAIT="1", PHASE="WRONG").status_code in (200, 400)


def test_wait_ends_after_the_seconds_it_names(client: Client) -> None:
    begun = time.monotonic()
    assert client.job(client.create(), WAIT=1).phase is Phase.PENDING
    assert 0.9 < time.monotonic() - begun < 10


def test_wait_returns_when_the_job_is_deleted(client: Client, uws: Any) -> None:
    url = client.create()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, requests.Session() as other:
        waiting = pool.submit(other.get, url, params={"WAIT": 20}, timeout=30)
        concurrent.futures.wait([waiting], timeout=0.2)
        client.post(url, ACTION="DELETE")
        assert waiting.result(5).status_code == 404


def test_an_anonymous_caller_sees_an_empty_list(client: Client) -> None:
    client.create()
    answer = client.get(client.jobs)
    assert answer.status_code == 200
    assert b"jobref" not in answer.content
    assert b'version="1.1"' in answer.content


def test_the_list_shows_an_owners_jobs_filtered_by_phase_last_and_after(client: Client) -> None:
    client.session.headers["x-user"] = "lister"
    urls = [client.create(f"hello {number}") for number in range(3)]
    client.post(urls[1] + "/phase", PHASE="ABORT")
    after = format_instant(client.job(urls[0]).creation_time or 0)

    def ids(**filters: Any) -> list[str]:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(client.get(client.jobs, **filters).content)
        return [one.attrib["id"] for one in root]

    own = [url.rpartition("/")[2] for url in urls]
    assert sorted(ids()) == sorted(own)
    assert ids(PHASE="ABORTED") == [own[1]]
    assert sorted(ids(PHASE=["PENDING", "ABORTED"])) == sorted(own)
    assert ids(LAST=2) == [own[2], own[1]]
    assert set(ids(AFTER=after)) <= set(own[1:])
    assert client.get(client.jobs, PHASE="NONE").status_code == 400
    assert client.get(client.jobs, LAST="many").status_code == 400
    assert client.get(client.jobs, AFTER="yesterday").status_code == 400
    del client.session.headers["x-user"]
    assert ids() == []


def test_somebody_elses_job_is_closed(client: Client) -> None:
    client.session.headers["x-user"] = "ann"
    url = client.create()
    assert client.get(url + "/owner").text == "ann"
    client.session.headers["x-user"] = "bob"
    assert {client.get(url + path).status_code for path in ("", "/phase", "/results")} == {403}
    assert client.post(url, ACTION="DELETE").status_code == 403
    del client.session.headers["x-user"]
    assert client.get(url).status_code == 401


def test_an_inline_upload_reaches_the_job(client: Client) -> None:
    table = b"<VOTABLE/>" * 1000
    url = client.create("upload part1", UPLOAD="mine,param:part1", PHASE="RUN", files={"part1": ("t.vot", table)})
    assert client.until_over(url).phase is Phase.COMPLETED
    assert client.get(url + "/results/result").content == table
    assert dict(client.job(url).parameters)["UPLOAD"] == "mine,param:part1"


def test_an_upload_may_follow_in_a_post_to_parameters(client: Client) -> None:
    url = client.create("upload late")
    answer = client.post(url + "/parameters", UPLOAD="mine,param:late", files={"late": ("t.csv", b"a\n1\n")})
    assert answer.status_code == 303
    client.post(url + "/phase", PHASE="RUN")
    client.until_over(url)
    assert client.get(url + "/results/result").content == b"a\n1\n"


def test_an_upload_that_is_not_in_the_request_is_refused(client: Client) -> None:
    answer = client.post(client.jobs, QUERY="x", UPLOAD="mine,param:missing")
    assert answer.status_code == 400
    assert "missing" in answer.text


def test_an_upload_over_the_limit_is_413_with_the_limit(client: Client) -> None:
    answer = client.post(client.jobs, QUERY="x", UPLOAD="t,param:p", files={"p": ("t.vot", bytes(3_000_001))})
    assert answer.status_code == 413
    assert "3,000,000 bytes" in answer.text


def test_a_query_over_the_limit_is_413(client: Client) -> None:
    assert client.post(client.jobs, QUERY="x" * 30_000).status_code == 413
    assert client.post(client.jobs, QUERY="x" * 21_000, files={"a": ("b", b"c")}).status_code == 413


@pytest.mark.parametrize("job_id", ["unknown", "..%2f..%2fetc", "%00", "a" * 500, "🌌"])
def test_an_unknown_job_is_a_dali_error_with_status_404(client: Client, job_id: str) -> None:
    answer = client.get(f"{client.jobs}/{job_id}")
    assert answer.status_code == 404
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text


def test_a_result_that_is_not_there_yet_says_so(client: Client) -> None:
    answer = client.get(client.create() + "/results/result")
    assert answer.status_code == 404
    assert "PENDING" in answer.text
    assert client.get(client.create() + "/error").status_code == 404


def test_a_browser_gets_pages_without_scripts_and_others_do_not(client: Client) -> None:
    url = client.create("<script>alert(1)</script>")
    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = client.session.get(url, headers=browser, timeout=10)
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "PENDING" in page.text
    assert client.session.get(client.jobs, headers=browser, timeout=10).text.count("<li>") == 0
    java = {"accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}
    assert client.session.get(url, headers=java, timeout=10).headers["content-type"].startswith("text/xml")


def test_status_calls_answer_in_milliseconds_while_every_place_is_taken(client: Client) -> None:
    busy = [client.create("spin 30", PHASE="RUN") for _ in range(4)]
    waiting = client.create("hello", PHASE="RUN")
    try:
        job = client.job(waiting)
        assert job.phase is Phase.QUEUED
        assert job.info["queuePosition"] == "1"
        times = []
        for _ in range(40):
            begun = time.perf_counter()
            assert client.get(waiting + "/phase").text == "QUEUED"
            times.append(time.perf_counter() - begun)
        # four threads of pure Python fight for the interpreter here, which a real query does not
        assert sorted(times)[20] < 0.1
    finally:
        for url in busy:
            client.post(url, ACTION="DELETE")
    assert client.until_over(waiting).phase is Phase.COMPLETED


def test_two_processes_share_the_jobs(session: requests.Session, start_uws: Callable[..., Any]) -> None:
    client = Client(session, start_uws(workers=2).jobs)

    def round_trip(number: int) -> tuple[Phase, bytes, int]:
        # a connection of its own each time: any of the processes may answer
        with requests.Session() as one:
            own = Client(one, client.jobs)
            url = own.create(f"hello {number}")
            own.post(url + "/phase", PHASE="RUN")
            phase = own.until_over(url).phase
            content = own.get(url + "/results/result").content
            return phase, content, own.post(url, ACTION="DELETE").status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(round_trip, range(60)))
    assert answers == [(Phase.COMPLETED, f"answer\nhello {number}\n".encode(), 303) for number in range(60)]


def test_an_abort_reaches_the_process_that_runs_the_job(session: requests.Session, start_uws: Any) -> None:
    jobs = start_uws(workers=2).jobs
    for _ in range(6):
        with requests.Session() as one, requests.Session() as two:
            url = Client(one, jobs).create("sleep 60", PHASE="RUN")
            Client(two, jobs).post(url + "/phase", PHASE="ABORT")
    # four places in all: they are free again only if every sleeper has stopped
    client = Client(session, jobs)
    urls = [client.create("hello", PHASE="RUN") for _ in range(4)]
    begun = time.monotonic()
    assert {client.until_over(url).phase for url in urls} == {Phase.COMPLETED}
    assert time.monotonic() - begun < 5


def test_kill_9_loses_no_job_and_a_restart_ends_those_that_had_begun(
    session: requests.Session, start_uws: Callable[..., Any]
) -> None:
    server = start_uws()
    client = Client(session, server.jobs)
    done = client.create("hello", PHASE="RUN")
    client.until_over(done)
    pending = client.create("hello")
    running = [client.create("sleep 60", PHASE="RUN") for _ in range(4)]
    queued = client.create("hello", PHASE="RUN")
    assert client.job(queued).phase is Phase.QUEUED
    assert {client.job(url).phase for url in running} == {Phase.EXECUTING}
    server.kill()
    again = Client(session, start_uws(home=server.home).jobs)

    def moved(url: str) -> str:
        return f"{again.jobs}/{url.rpartition('/')[2]}"

    for url in running:
        job = again.job(moved(url))
        assert job.phase is Phase.ERROR
        assert job.error is not None
        assert "restarted while this job ran" in job.error.message
        assert job.error.is_transient
    assert again.until_over(moved(queued)).phase is Phase.COMPLETED
    assert again.job(moved(pending)).phase is Phase.PENDING
    assert again.job(moved(done)).phase is Phase.COMPLETED
    assert again.get(moved(done) + "/results/result").status_code == 200


def test_a_graceful_stop_ends_running_jobs_with_a_reason(
    session: requests.Session, start_uws: Callable[..., Any]
) -> None:
    server = start_uws()
    client = Client(session, server.jobs)
    url = client.create("sleep 60", PHASE="RUN")
    server.stop()
    again = Client(session, start_uws(home=server.home).jobs)
    job = again.job(f"{again.jobs}/{url.rpartition('/')[2]}")
    assert job.phase is Phase.ERROR
    assert job.error is not None
    assert "stopped while this job ran" in job.error.message


# pyvo leaves closing its connections to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_pyvo_runs_a_job_from_creation_to_deletion(uws: Any) -> None:
    try:
        _round_trip_with_pyvo(uws)
    finally:
        gc.collect()


def _round_trip_with_pyvo(uws: Any) -> None:
    from pyvo.dal import DALQueryError, TAPService
    from pyvo.dal.tap import AsyncTAPJob

    job = AsyncTAPJob.create(uws.tap, "hello world", maxrec=10)
    assert job.phase == "PENDING"
    job.execution_duration = 30
    assert job.execution_duration.to_value("sec") == 30
    job.query = "hello pyvo"
    job.run().wait(timeout=20)
    assert job.phase == "COMPLETED"
    assert job.result_uri == job.url + "/results/result"
    assert requests.get(job.result_uri, timeout=10).text == "answer\nhello pyvo\n"
    job.delete()
    failing = AsyncTAPJob.create(uws.tap, "fail").run().wait(timeout=20)
    with pytest.raises(DALQueryError, match="no column vmga"):
        failing.raise_if_error()
    with requests.Session() as session:
        session.headers["x-user"] = "pyvo"
        AsyncTAPJob.create(uws.tap, "hello", session=session)
        service = TAPService(uws.tap, session=session)
        assert [one.phase for one in service.get_job_list(phases=["PENDING"], last=5)] == ["PENDING"]
    assert TAPService(uws.tap).get_job_list() == []


@pytest.mark.stilts
@pytest.mark.slow
def test_taplint_finds_nothing_wrong_with_jobs_and_documents(uws: Any) -> None:
    stilts = shutil.which("stilts")
    assert stilts is not None
    done = subprocess.run(
        [stilts, "taplint", f"tapurl={uws.tap}", "stages=TMV TME CPV CAP AVV UWS", "report=EWF"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert "Totals: Errors: 0; Warnings: 0;" in done.stdout, done.stdout
