"""Data links of many rows: batches, what a service leaves out, rows kept, files fetched by links that expire."""

import pyarrow as pa
import pytest

from skyvault.errors import NotFound, UsageError
from skyvault.find import fetch, links
from skyvault.find.datalink import DATALINK, Links
from skyvault.sandbox import Fault
from skyvault.sandbox.rubin import MOST_IDS

ALL = "SELECT TOP {} obs_id, access_url, access_format FROM ivoa.ObsCore"


def requests_of(rubin, monkeypatch):
    """Counts what the session sends."""
    sent = []
    inner = rubin.session.send

    def send(request, **how):
        sent.append(request)
        return inner(request, **how)

    monkeypatch.setattr(rubin.session, "send", send)
    return sent


def test_every_row_has_its_links_and_keeps_itself(in_i):
    found = links(in_i)
    assert len(found) == 256
    assert found.problems == ()
    this = list(found.bysemantics("#this"))
    assert [link.row for link in this] == list(range(128))
    assert all(f"ID=butler%3A//{link.id[9:]}" in in_i[link.row]["access_url"] for link in this)
    assert found.original_row(this[17])["obs_id"] == in_i[17]["obs_id"]
    assert {link.semantics for link in found.of_row(5)} == {"#this", "#cutout"}
    assert len(found.bysemantics("proc")) == 128


def test_rows_know_the_session_they_were_asked_with(in_i):
    assert len(links(in_i[0])) == 2
    assert len(links([in_i[0], in_i[1]])) == 4


def test_requests_grow_with_the_batches_not_with_the_rows(rubin, monkeypatch):
    results = rubin.search(ALL.format(600))
    sent = requests_of(rubin, monkeypatch)
    found = links(results)
    assert len(found.bysemantics("#this")) == 600
    # the first request teaches how many identifiers the service takes
    assert len(sent) == 600 / MOST_IDS


def test_signatures_are_not_shown(in_i):
    found = links(in_i[0])
    assert "X-Goog-Signature=" in found[0].access_url
    assert found[0].access_url.partition("X-Goog-Signature=")[2] not in repr(found[0]) + repr(found)


def test_one_row_a_list_of_rows_addresses_and_tables_are_taken(in_i, rubin):
    session = rubin.session
    address = str(in_i[3]["access_url"])
    table = pa.table({"access_url": [address, None], "access_format": [DATALINK, None]})
    for what in (in_i[3], [in_i[3]], address, [address], table, in_i.to_table()[3:4]):
        found = links(what, session=session)
        assert [link.semantics for link in found] == ["#this", "#cutout"], type(what)


def test_a_dataset_in_two_rows_has_its_links_in_both(in_i, rubin):
    address = str(in_i[0]["access_url"])
    found = links([address, address], session=rubin.session)
    assert found.table["row"].to_pylist() == [0, 0, 1, 1]


def test_rows_that_lead_to_files_are_links_themselves():
    table = pa.table({"access_url": ["http://127.0.0.1/a.fits"], "access_format": ["application/fits"]})
    (link,) = links(table)
    assert (link.semantics, link.access_url, link.content_type) == (
        "#this",
        "http://127.0.0.1/a.fits",
        "application/fits",
    )


def test_an_unknown_dataset_says_so_in_its_link(in_i, rubin):
    wrong = str(in_i[0]["access_url"])[:-4] + "0000"
    found = links([wrong, str(in_i[1]["access_url"])], session=rubin.session)
    assert found[0].error_message.startswith("NotFoundFault")
    assert len(found.of_row(1)) == 2


def test_a_service_that_fails_is_a_problem_of_its_rows(in_i, rubin, sandbox):
    sandbox.faults.set(Fault("html", archive="rubin", path="*links*"))
    found = links([in_i[0], in_i[1]], session=rubin.session)
    assert len(found) == 0
    assert {row for problem in found.problems for row in problem.rows} == {0, 1}
    assert "no VOTable" in found.problems[0].reason


def test_a_dropped_connection_is_no_problem(in_i, sandbox):
    sandbox.faults.set(Fault("dropped", archive="rubin", path="*links*", times=2))
    assert len(links(in_i)) == 256


def test_rows_without_addresses_are_refused():
    with pytest.raises(UsageError, match="no column access_url"):
        links(pa.table({"a": [1]}))


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_are_fetched_by_their_links(in_i, tmp_path, rubin):
    report = fetch([in_i[0], in_i[1]], tmp_path / "images", session=rubin.session)
    assert report.is_complete
    paths = [row.order.target for row in report.rows]
    assert all(path.read_bytes().startswith(b"SIMPLE") and path.suffix == ".fits" for path in paths)
    again = fetch([in_i[0], in_i[1]], tmp_path / "images", session=rubin.session)
    assert [row.was_there for row in again.rows] == [True, True]


def test_an_expired_link_is_asked_for_again(in_i, tmp_path, rubin, sandbox):
    sandbox.faults.set(Fault("expired-links", archive="rubin", times=1))
    report = fetch(in_i[2], tmp_path / "image.fits", session=rubin.session)
    assert report.is_complete and sandbox.faults.struck["expired-links"] >= 1
    assert (tmp_path / "image.fits").stat().st_size > 100_000


def test_a_fetch_that_breaks_off_is_taken_up(in_i, tmp_path, rubin, sandbox):
    fetch(in_i[3], tmp_path / "whole.fits", session=rubin.session)
    sandbox.faults.set(Fault("dropped", archive="rubin", path="*storage*", times=2))
    report = fetch(in_i[3], tmp_path / "image.fits", session=rubin.session)
    assert report.is_complete and report.rows[0].tries > 1
    assert (tmp_path / "image.fits").read_bytes() == (tmp_path / "whole.fits").read_bytes()


def test_names_are_what_the_caller_says(in_i, tmp_path, rubin):
    report = fetch([in_i[0], in_i[1]], tmp_path, session=rubin.session, names=["a.fits", "b.fits"])
    assert report.is_complete and (tmp_path / "a.fits").exists() and (tmp_path / "b.fits").exists()
    with pytest.raises(UsageError, match="no file name"):
        fetch(in_i[0], tmp_path, session=rubin.session, names=["../evil.fits"])
    with pytest.raises(UsageError, match="1 names are given for 2"):
        fetch([in_i[0], in_i[1]], tmp_path, session=rubin.session, names=["a.fits"])


def test_nothing_to_fetch_is_told():
    empty = links(pa.table({"access_url": pa.array([], pa.string())}))
    assert isinstance(empty, Links)
    with pytest.raises(NotFound, match="no #this to fetch"):
        fetch(empty, "nowhere")
