"""A TAP service on pyvo: names, tokens that stay at home, patience, jobs that are taken up elsewhere."""

import json
import pickle
import stat
import subprocess
import sys

import numpy as np
import pytest
import pyvo
import requests

from processes import environment
from skyvault.config import Settings
from skyvault.errors import ConfigError, FormatError, NotFound, UsageError
from skyvault.find import get_tap_service, resume_job
from skyvault.find.faults import QueryRefused, ServiceFault, ServiceUnreachable, TruncatedWarning, WrongAnswer
from skyvault.find.session import ArchiveSession
from skyvault.sandbox import Fault
from skyvault.sandbox.rubin import TOKEN

QUERY = "SELECT TOP 50 obs_id, s_ra, s_dec, lsst_visit, s_region FROM ivoa.ObsCore"


# --- which service is meant ----------------------------------------------------------------------------------------


def test_names_come_from_the_settings_first(tmp_path):
    settings = Settings(home=tmp_path, services={"lab": "https://lab.example.org/tap", "tap": "https://a.example/tap"})
    assert get_tap_service("lab", settings=settings).baseurl == "https://lab.example.org/tap"
    assert get_tap_service(settings=settings).baseurl == "https://a.example/tap"


def test_a_variable_names_a_service(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYVAULT_SERVICES__LAB", "https://lab.example.org/tap")
    assert get_tap_service("LAB", settings=Settings(home=tmp_path)).baseurl == "https://lab.example.org/tap"


def test_archives_are_known_by_their_names_and_follow_their_endpoints(tmp_path):
    settings = Settings(home=tmp_path, endpoints={"xsa": {"tap": "https://mirror.example.org/tap"}})
    assert get_tap_service("xsa", settings=settings).baseurl == "https://mirror.example.org/tap"
    assert get_tap_service("tap", settings=settings).baseurl == "https://data.lsst.cloud/api/tap"


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path):
    with pytest.raises(NotFound, match=r"no TAP service named 'hubbble'.*heasarc.*SKYVAULT_SERVICES__HUBBBLE"):
        get_tap_service("hubbble", settings=Settings(home=tmp_path))


# --- the token -----------------------------------------------------------------------------------------------------


def test_without_a_token_the_service_says_what_is_missing(settings):
    with pytest.raises(ServiceFault, match=r"refuses access \(401\).*token") as caught:
        get_tap_service("tap", settings=settings).search(QUERY)
    assert caught.value.code == 401
    assert isinstance(caught.value, pyvo.dal.DALServiceError)


def test_the_token_is_read_from_the_credentials_file(settings, tmp_path, sandbox):
    path = tmp_path / "credentials.ini"
    path.write_text(f"[127.0.0.1:{sandbox.port}]\ntoken = {TOKEN}\n")
    path.chmod(0o600)
    with_file = Settings(home=tmp_path, endpoints=sandbox.endpoints(), credentials_file=path)
    assert len(get_tap_service("tap", settings=with_file).search(QUERY)) == 50


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://host.example/api/tap/sync", True),
        ("https://host.example/api/datalink/links?ID=x", True),
        ("https://host.example:443/api/tap", True),
        ("https://host.example/storage/file.fits", False),
        ("https://host.example/apiary/tap", False),
        ("https://host.example/api/../storage/file.fits", False),
        ("https://host.example/api/%2e%2e/storage/file.fits", False),
        ("https://host.example/api/file.fits?X-Goog-Signature=abc", False),
        ("https://host.example/api/file.fits?X-Amz-Signature=abc&x=1", False),
        ("https://other.example/api/tap/sync", False),
        ("https://host.example.evil.example/api/tap", False),
        ("https://host.example:8443/api/tap", False),
        ("http://host.example/api/tap", False),
    ],
)
def test_the_token_goes_to_the_services_own_interfaces_only(url, is_sent):
    session = ArchiveSession("https://host.example/api/tap", token="secret-token")
    request = session.prepare_request(requests.Request("GET", url))
    assert ("Authorization" in request.headers) is is_sent


def test_a_redirect_to_another_place_loses_the_token():
    session = ArchiveSession("https://host.example/api/tap", token="secret-token")
    request = session.prepare_request(requests.Request("GET", "https://host.example/api/tap/sync"))
    request.url = "https://host.example/storage/x"
    session.rebuild_auth(request, requests.Response())
    assert "Authorization" not in request.headers


def test_a_token_never_travels_unencrypted():
    with pytest.raises(ConfigError, match="unencrypted"):
        ArchiveSession("http://host.example/api/tap", token="secret-token")


def test_a_session_neither_shows_nor_saves_its_token():
    session = ArchiveSession("https://host.example/api/tap", token="secret-token")
    assert "secret-token" not in repr(session) + repr(session.auth) + repr(session.headers)
    with pytest.raises(TypeError, match="never saved"):
        pickle.dumps(session)


def test_a_signed_file_on_the_same_host_is_fetched_without_the_token(rubin, in_i):
    from skyvault.find import links

    url = links(in_i[0], session=rubin.session).bysemantics("#this")[0].access_url
    # the object store refuses a request with both
    answer = rubin.session.get(url)
    assert answer.status_code == 200
    assert "Authorization" not in answer.request.headers


# --- results -------------------------------------------------------------------------------------------------------


def test_results_are_those_of_pyvo(rubin):
    ours = rubin.search("SELECT * FROM ivoa.ObsCore")
    theirs = pyvo.dal.TAPService(rubin.baseurl, session=rubin.session).search("SELECT * FROM ivoa.ObsCore")
    assert ours.fieldnames == theirs.fieldnames
    assert len(ours) == len(theirs) == 1976
    a, b = ours.to_table(), theirs.to_table()
    for name in a.colnames:
        assert a[name].dtype == b[name].dtype, name
        assert type(a[name]) is type(b[name]), name
        assert (a[name].unit, a[name].description) == (b[name].unit, b[name].description)
        # a text that is NULL is masked here, and empty there
        empty = "" if a[name].dtype == object else -1
        assert list(np.ma.filled(a[name], empty)) == list(np.ma.filled(b[name], empty)), name
    assert dict(ours[7]) == dict(theirs[7]) or str(dict(ours[7])) == str(dict(theirs[7]))
    assert ours.getvalue("obs_id", 3) == theirs.getvalue("obs_id", 3)
    assert ours.fieldname_with_ucd("pos.eq.ra") == "s_ra"


def test_a_result_cut_by_the_service_warns_and_says_so(settings, rubin):
    with pytest.warns(TruncatedWarning, match="cut after 5 rows"):
        results = rubin.create_query("SELECT obs_id FROM ivoa.ObsCore", MAXREC=5).execute()
    assert results.is_truncated and len(results) == 5


def test_exactly_the_rows_asked_for_are_no_news(rubin):
    results = rubin.search("SELECT obs_id FROM ivoa.ObsCore", maxrec=5)
    assert len(results) == 5 and results.is_truncated
    assert not rubin.search(QUERY).is_truncated


def test_a_wrong_query_is_told_in_the_services_words(rubin):
    with pytest.raises(QueryRefused, match="no column nothing") as caught:
        rubin.search("SELECT nothing FROM ivoa.ObsCore")
    assert isinstance(caught.value, pyvo.dal.DALQueryError)


def test_an_empty_query_is_not_sent(rubin):
    with pytest.raises(UsageError, match="empty"):
        rubin.search(" ")


def test_no_rows_are_still_a_table(rubin):
    results = rubin.search("SELECT obs_id, s_ra FROM ivoa.ObsCore WHERE s_ra < 0")
    assert len(results) == 0
    assert results.to_table().colnames == ["obs_id", "s_ra"]


def test_a_table_is_uploaded_with_a_query(rubin):
    from astropy.table import Table

    mine = Table({"name": ["a", "b"], "ra": [62.0, 10.0], "dec": [-37.0, 10.0]})
    results = rubin.search(
        "SELECT u.name, COUNT(*) AS n FROM TAP_UPLOAD.mine AS u JOIN ivoa.ObsCore AS o"
        " ON 1 = CONTAINS(POINT(u.ra, u.dec), o.s_region) GROUP BY u.name",
        uploads={"mine": mine},
    )
    assert [(row["name"], row["n"]) for row in results] == [("a", 1554)]


# --- patience ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unreachable", "dropped", "busy", "too-many-requests", "bad-gateway"])
def test_what_passes_is_waited_for(rubin, sandbox, kind):
    sandbox.faults.set(Fault(kind, archive="rubin", times=2))
    assert len(rubin.search(QUERY)) == 50


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("html", WrongAnswer, "no VOTable: 'Service error'"),
        ("truncated", WrongAnswer, "breaks off|cannot be read|no VOTable"),
        ("corrupt", WrongAnswer, "cannot be read|no VOTable"),
        ("refused", ServiceFault, "refuses access"),
        ("missing", ServiceFault, "nothing here"),
        ("busy", ServiceUnreachable, "answers 503"),
        ("unreachable", ServiceUnreachable, "no connection|broke off"),
    ],
)
def test_what_does_not_pass_is_told_in_a_sentence(rubin, sandbox, kind, error, told):
    sandbox.faults.set(Fault(kind, archive="rubin"))
    with pytest.raises(error, match=told):
        rubin.search(QUERY)


def test_one_deadline_holds_for_all_tries(settings, sandbox):
    import time

    patient = Settings(home=settings.home, endpoints=sandbox.endpoints(), archive_backoff_s=0.2, archive_attempts=100)
    service = get_tap_service("tap", token=TOKEN, settings=patient)
    sandbox.faults.set(Fault("busy", archive="rubin"))
    begun = time.monotonic()
    with pytest.raises(ServiceUnreachable):
        service.search(QUERY, deadline_s=0.5)
    assert time.monotonic() - begun < 2.0


def test_capabilities_and_tables_survive_a_dropped_connection(rubin, sandbox):
    sandbox.faults.set(Fault("dropped", archive="rubin", times=2))
    assert rubin.maxrec > 0
    sandbox.faults.set(Fault("dropped", archive="rubin", path="*tables*", times=1))
    assert "ivoa.ObsCore" in [table.name for table in rubin.tables.values()]


# --- jobs ----------------------------------------------------------------------------------------------------------


def test_a_job_waits_through_dropped_connections(rubin, sandbox):
    job = rubin.submit_job(QUERY)
    job.run()
    sandbox.faults.set(Fault("unreachable", archive="rubin", path="*/async/*", times=3))
    job.wait(timeout=20)
    assert job.phase == "COMPLETED"
    assert len(job.fetch_result()) == 50


def test_a_job_that_fails_says_why(rubin):
    job = rubin.submit_job("SELECT nothing FROM ivoa.ObsCore")
    job.run()
    job.wait(timeout=20)
    with pytest.raises(QueryRefused, match="no column nothing"):
        job.raise_if_error()
    with pytest.raises(QueryRefused, match="no column nothing"):
        job.fetch_result()


def test_a_job_that_was_not_started_is_not_waited_for(rubin):
    with pytest.raises(ServiceFault, match=r"never started.*run\(\)"):
        rubin.submit_job(QUERY).wait(timeout=20)


def test_a_query_by_way_of_a_job_leaves_no_job_behind(rubin):
    assert len(rubin.run_async(QUERY)) == 50
    assert rubin.get_job_list() == []


def test_another_process_takes_up_a_saved_job(rubin, settings, tmp_path, sandbox):
    job = rubin.submit_job(QUERY, maxrec=7)
    path = job.save(tmp_path / "job.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in path.read_text()
    code = (
        "import sys; from skyvault.find import resume_job; job = resume_job(sys.argv[1], token=sys.argv[2]);"
        " job.run(); job.wait(timeout=20); r = job.fetch_result(); print(len(r), r.is_truncated)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), TOKEN],
        env=environment() | sandbox.environment() | {"SKYVAULT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["7", "True"], done.stderr
    again = resume_job(path, token=TOKEN, settings=settings)
    assert again.phase == "COMPLETED"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 1, "job": "file:///etc/passwd", "service": "x", "maxrec": 1}']
)
def test_what_is_no_saved_job_is_refused(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(FormatError, match="no saved job"):
        resume_job(tmp_path / "job.json")


def test_a_job_of_a_later_version_is_refused(tmp_path):
    document = {
        "format": 99,
        "job": "https://a.example/tap/async/1",
        "service": "https://a.example/tap",
        "maxrec": None,
    }
    (tmp_path / "job.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="form this version does not know"):
        resume_job(tmp_path / "job.json")
