"""UWS documents validate against the schema of UWS 1.1 and come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import FormatError
from skyvault.formats.uws_xml import job_document, jobs_document, parameters_document, read_job, results_document
from skyvault.formats.xml_text import clean, read_small
from skyvault.model.job import Job, JobError, JobResult, JobSummary, Phase

URL = "http://localhost:8421/tap/async/0123456789abcdef"
JOB = Job(
    id="0123456789abcdef",
    kind="tap",
    phase=Phase.ERROR,
    creation_time=1_800_000_000.25,
    execution_duration_s=60,
    destruction_time=1_800_600_000.0,
    owner="ann <a&b>",
    run_id="night 7",
    start_time=1_800_000_001.0,
    end_time=1_800_000_002.0,
    parameters={"QUERY": ("SELECT 1 FROM t WHERE a < 'é' \x00",), "UPLOAD": ("a,param:x", "b,param:y")},
    results=(JobResult("result", "text/csv;header=present", 12, 3),),
    error=JobError("it <failed> & ended", is_transient=True, has_detail=False),
    progress={"rows": 5, "not a name": 1},
)


@pytest.mark.stilts
@pytest.mark.parametrize("phase", Phase)
def test_a_job_document_validates_against_the_schema(phase: Phase, validate: Callable[[bytes], None]) -> None:
    validate(job_document(Job("x", "tap", phase, 0.0, 1, 2.0), url=URL))
    validate(job_document(JOB, url=URL, queue_position=4))


@pytest.mark.stilts
def test_the_other_documents_validate_too(validate: Callable[[bytes], None]) -> None:
    summaries = [JOB.summary, JobSummary("x", Phase.PENDING, None, None, 0.0)]
    validate(b"".join(jobs_document(summaries, url=URL)))
    validate(b"".join(jobs_document([], url=URL)))
    validate(parameters_document(JOB))
    validate(results_document(JOB, url=URL))


def test_a_job_document_is_read_as_it_was_written() -> None:
    read = read_job(job_document(JOB, url=URL, queue_position=2))
    assert (read.id, read.phase, read.run_id, read.owner) == (JOB.id, JOB.phase, JOB.run_id, JOB.owner)
    assert (read.creation_time, read.start_time, read.end_time) == (JOB.creation_time, JOB.start_time, JOB.end_time)
    assert (read.execution_duration_s, read.destruction_time) == (60, JOB.destruction_time)
    assert read.quote is None
    assert read.parameters == (
        ("QUERY", "SELECT 1 FROM t WHERE a < 'é'"),
        ("UPLOAD", "a,param:x"),
        ("UPLOAD", "b,param:y"),
    )
    assert [(one.name, one.href, one.size) for one in read.results] == [("result", URL + "/results/result", 12)]
    assert read.error == JOB.error
    assert read.info == {"queuePosition": "2", "rows": "5"}


def test_times_end_with_z_and_an_absent_owner_is_nil() -> None:
    document = job_document(Job("x", "tap", Phase.PENDING, 1_800_000_000.0, 7, 1_800_000_001.5), url=URL).decode()
    assert "<uws:creationTime>2027-01-15T08:00:00.000Z</uws:creationTime>" in document
    assert "<uws:quote>2027-01-15T08:00:07.000Z</uws:quote>" in document
    assert '<uws:ownerId xsi:nil="true"/>' in document
    assert 'version="1.1"' in document


def test_the_list_names_each_jobs_address() -> None:
    root = ElementTree.fromstring(b"".join(jobs_document([JOB.summary], url="http://h/async")))
    assert root.attrib["version"] == "1.1"
    assert root[0].attrib["{http://www.w3.org/1999/xlink}href"] == "http://h/async/0123456789abcdef"


@given(st.text(), st.text())
def test_no_text_of_a_user_breaks_a_document(value: str, message: str) -> None:
    job = Job("x", "tap", Phase.ERROR, 0.0, 1, 2.0, run_id=value, parameters={value: (value,)}, error=JobError(message))
    read = read_job(job_document(job, url=URL))
    assert read.error is not None
    assert read.error.message == clean(message).strip()
    assert read.parameters == ((clean(value), clean(value).strip()),)


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["pyvo/io/uws/tests/data", "ivoa"])
def test_documents_of_real_services_are_read(shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / "vo_docs" / folder).glob("*[jJ]ob*.xml"))
    assert paths
    for path in paths:
        document = read_job(path.read_bytes())
        assert document.id
        assert document.phase in (Phase.COMPLETED, Phase.ERROR)
        assert all(one.href.startswith("http") for one in document.results)


@pytest.mark.shared
def test_other_documents_are_refused_in_a_sentence(shared_data: Path) -> None:
    for path in sorted((shared_data / "vo_docs").rglob("*.xml")):
        document = path.read_bytes()
        if b"<uws:job " in document or b"<job " in document or len(document) > 1_000_000:
            continue
        with pytest.raises(FormatError, match=r"no UWS job document|not an XML|no jobId|DOCTYPE"):
            read_job(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "line 1"),
        (b"<a><b></a>", "line 1, column"),
        (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "DOCTYPE"),
        (b"<a>" * 200 + b"</a>" * 200, "nested"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "not an XML document"),
        (b"<a>&nbsp;</a>", "undefined entity"),
        (b"\xff\xfe\x00", "not an XML document"),
    ],
)
def test_what_is_not_plain_xml_is_refused_with_its_place(document: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_small(document)


def test_a_document_over_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="more than the 10"):
        read_small(b"<aaaaaaaaaa/>", limit=10)
