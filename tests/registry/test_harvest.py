"""One Skyvault harvests another over real sockets: new, changed and deleted records, stops, hostile answers."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from processes import environment
from registry.hilltop import Site, age_records
from skyvault.config import Settings
from skyvault.errors import Busy, FormatError, UsageError
from skyvault.publish.harvest import forget, harvest
from skyvault.publish.publisher import publish, unpublish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits

HOLDER = "far.example"


class Far:
    """The registry that is harvested: a Skyvault of its own."""

    def __init__(self, folder: Path, start_server: Callable[..., Any]) -> None:
        self.folder = folder
        folder.mkdir()
        self.settings = Settings(home=folder / "home", authority=HOLDER)
        (folder / "t.csv").write_text("ra,dec,vmag\n83.6,22.0,9\n")
        self.publish("one", "Quasars of the far survey")
        server = start_server(folder / "home", SKYVAULT_AUTHORITY=HOLDER, SKYVAULT_OAI_PAGE_RECORDS="2")
        self.site = Site(server, self.settings)
        self.oai = f"{server.base_url}/oai"

    def publish(self, name: str, title: str) -> None:
        publish(self.folder / "t.csv", name=f"far.{name}", settings=self.settings, overrides={"title": title})

    def withdraw(self, name: str) -> None:
        unpublish(f"far.{name}", settings=self.settings)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Far:
    return Far(tmp_path_factory.mktemp("harvested") / "far", start_server)


@pytest.fixture
def near(tmp_path: Path) -> Settings:
    """The service that harvests."""
    return Settings(home=tmp_path / "near", authority="near.example", archive_attempts=2, archive_backoff_s=0.01)


def _titles(settings: Settings) -> dict[str, str]:
    """What a query finds in rr.resource."""
    with DuckStore(settings) as store:
        answer = store.query("SELECT ivoid, res_title FROM rr.resource", Limits())
        rows = [row for batch in answer.stream.batches for row in batch.to_pylist()]
        answer.close()
    return {row["ivoid"]: row["res_title"] for row in rows}


def test_what_is_published_there_is_found_here_and_gone_when_it_is_withdrawn(far: Far, near: Settings) -> None:
    first = harvest(far.oai, near)
    # authority, organisation, registry, TAP service, table; two to a page
    assert first.is_full and first.pages == 3 and first.records == 5 and not first.skipped
    assert _titles(near)[f"ivo://{HOLDER}/far/one"] == "Quasars of the far survey"
    age_records(far.settings, 86_400)
    far.publish("two", "Blazars")
    far.publish("one", "Quasars, second edition")
    second = harvest(far.oai, near)
    # little changed, little is asked for: two tables, and the service that lists them
    assert not second.is_full and second.records == 3
    found = _titles(near)
    assert found[f"ivo://{HOLDER}/far/two"] == "Blazars"
    assert found[f"ivo://{HOLDER}/far/one"] == "Quasars, second edition"
    far.withdraw("two")
    third = harvest(far.oai, near)
    assert third.deleted == 1
    assert f"ivo://{HOLDER}/far/two" not in _titles(near)
    assert harvest(far.oai, near, is_full=True).records == 5
    far.publish("one", "Quasars of the far survey")


def test_several_registries_and_our_own_records_live_side_by_side(
    far: Far, near: Settings, tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    (tmp_path / "own.csv").write_text("ra,dec\n1,2\n")
    publish(tmp_path / "own.csv", name="lab.own", settings=near, overrides={"title": "Ours"})
    harvest(far.oai, near)
    server = start_server(near.home, SKYVAULT_AUTHORITY="near.example")
    site = Site(server, near)
    rows = site.rows("SELECT ivoid, res_title FROM rr.resource")
    found = {row["ivoid"]: row["res_title"] for row in rows}
    assert found["ivo://near.example/lab/own"] == "Ours"
    assert found[f"ivo://{HOLDER}/far/one"] == "Quasars of the far survey"
    # a harvest shows in a running server, and in natural joins over all
    far.publish("two", "Blazars")
    harvest(far.oai, near)
    joined = site.rows(
        "SELECT ivoid, access_url FROM rr.capability NATURAL JOIN rr.interface NATURAL JOIN rr.resource"
        " WHERE standard_id = 'ivo://ivoa.net/std/conesearch'"
    )
    assert {row["ivoid"] for row in joined} == {
        "ivo://near.example/lab/own", f"ivo://{HOLDER}/far/one", f"ivo://{HOLDER}/far/two",
    }  # fmt: skip
    assert {row["access_url"].split("/far/")[0] for row in joined if "far" in row["ivoid"]} == {far.site.base}
    here = site.rows(
        "SELECT ivoid FROM rr.stc_spatial WHERE 1 = CONTAINS(MOC(6, POINT(83.6, 22.0)), coverage) ORDER BY ivoid"
    )
    assert {row["ivoid"] for row in here} == {f"ivo://{HOLDER}/far/one", f"ivo://{HOLDER}/far/two"}
    far_one = f"ivo://{HOLDER}/far/one"
    for query, count in (
        ("SELECT * FROM rr.resource AS r LEFT JOIN rr.stc_spatial AS s ON r.ivoid = s.ivoid", len(found) + 1),
        (f"SELECT * FROM rr.stc_spatial WHERE ivoid = '{far_one}' AND 0 = CONTAINS(POINT(1, 2), coverage)", 1),
        ("SELECT * FROM rr.stc_spatial WHERE 1 = INTERSECTS(CIRCLE(83.6, 22, 0.1), coverage)", 2),
        ("SELECT * FROM rr.stc_spatial WHERE 1 = CONTAINS(POINT(1, 2), coverage)", 1),
        ("SELECT * FROM rr.stc_spatial WHERE 1 = CONTAINS(coverage, CIRCLE(83.6, 22, 20))", 2),
        ("SELECT a.ivoid FROM rr.stc_spatial AS a JOIN lab.own AS o ON 1 = CONTAINS(POINT(o.ra, o.dec), a.coverage)", 1),
        ("SELECT o.ra, a.ivoid FROM lab.own AS o LEFT JOIN rr.stc_spatial AS a ON"
         " 1 = CONTAINS(POINT(o.ra, o.dec), a.coverage)", 1),
        ("SELECT * FROM rr.interface TABLESAMPLE (100)", len(site.rows("SELECT * FROM rr.interface"))),
    ):  # fmt: skip
        assert len(site.rows(query)) == count, query
    # what was harvested is not given out as ours
    status, listed = site.get("/oai", verb="ListIdentifiers", metadataPrefix="ivo_vor")
    assert status == 200 and HOLDER.encode() not in listed
    assert forget(far.oai, near) == len(found) - len([one for one in found if "near.example" in one]) + 1
    assert {row["ivoid"].split("/")[2] for row in site.rows("SELECT ivoid FROM rr.resource")} == {"near.example"}
    assert harvest(far.oai, near).is_full


# ------------------------------------------------------------------------------------------------ registries in trouble

_HEAD = '<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" {ns}>'
_NS = (
    'xmlns:ri="http://www.ivoa.net/xml/RegistryInterface/v1.0" xmlns:v="http://www.ivoa.net/xml/VODataService/v1.1"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def _document(content: str) -> str:
    return f"{_HEAD.format(ns=_NS)}<responseDate>2026-01-01T00:00:00Z</responseDate><request>x</request>{content}</OAI-PMH>"


def _identify(deleted: str = "persistent") -> str:
    return _document(
        "<Identify><repositoryName>Odd</repositoryName><protocolVersion>2.0</protocolVersion>"
        f"<deletedRecord>{deleted}</deletedRecord><granularity>YYYY-MM-DDThh:mm:ssZ</granularity></Identify>"
    )


def _record(
    ivoid: str, title: str = "T", *, inner: str = "", kind: str = "v:CatalogService", status: str = "active"
) -> str:
    return (
        f"<record><header><identifier>{ivoid}</identifier><datestamp>2025-01-01T00:00:00Z</datestamp></header><metadata>"
        f'<ri:Resource xmlns="" xsi:type="{kind}" status="{status}"><title>{title}</title><identifier>{ivoid}</identifier>'
        f"<curation/><content><subject>x</subject></content>{inner}</ri:Resource></metadata></record>"
    )


def _gone(ivoid: str) -> str:
    return (
        f'<record><header status="deleted"><identifier>{ivoid}</identifier><datestamp>2025-01-01T00:00:00Z</datestamp>'
        "</header></record>"
    )


class Odd:
    """A registry whose answers a test writes itself: query -> document, in turns."""

    def __init__(self) -> None:
        self.pages: dict[str, list[str | bytes | int]] = {}
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
                outer.asked.append(query)
                key = query.get("resumptionToken") or query["verb"]
                answers = outer.pages[key]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if isinstance(answer, int):
                    self.send_response(answer)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = answer.encode() if isinstance(answer, str) else answer
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/oai"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def listed(self, *records: str, token: str | None = None) -> str:
        more = "" if token is None else f"<resumptionToken>{token}</resumptionToken>"
        return _document(f"<ListRecords>{''.join(records)}{more}</ListRecords>")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def odd() -> Iterator[Odd]:
    registry = Odd()
    registry.pages["Identify"] = [_identify()]
    yield registry
    registry.close()


def test_records_that_are_none_are_listed_and_left_out(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [
        odd.listed(
            _record("ivo://odd/good", "Good"),
            "<record><header><identifier>ivo://odd/dc</identifier><datestamp/></header><metadata><x/></metadata></record>",
            _record("ivo://odd/untitled", " "),
            _record("http://odd/other"),
            _record("ivo://near.example/stolen"),
            _record("ivo://odd/here").replace("<identifier>ivo://odd/here</identifier><curation", "<identifier>ivo://odd/there</identifier><curation"),
            _record("ivo://odd/asleep", status="inactive"),
            "<record/>",
        )
    ]  # fmt: skip
    done = harvest(odd.address, near)
    assert done.records == 1 and done.skipped_count == 6
    reasons = dict(done.skipped)
    assert reasons["ivo://near.example/stolen"] == "its authority is ours"
    assert "ivo://odd/there" in reasons["ivo://odd/here"]
    assert _titles(near) == {"ivo://odd/good": "Good"}


def test_nobody_takes_over_the_records_of_another_registry(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/good", "The first"))]
    harvest(odd.address, near)
    thief = Odd()
    try:
        thief.pages["Identify"] = [_identify()]
        thief.pages["ListRecords"] = [thief.listed(_record("ivo://odd/good", "Stolen"), _record("ivo://thief/x", "X"))]
        done = harvest(thief.address, near)
        assert dict(done.skipped)["ivo://odd/good"].startswith("it belongs to the registry")
        thief.pages["ListRecords"] = [thief.listed(_gone("ivo://odd/good"))]
        harvest(thief.address, near)
        assert _titles(near) == {"ivo://odd/good": "The first", "ivo://thief/x": "X"}
    finally:
        thief.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><x>&b;</x>", "DOCTYPE"),
        (b"<html><body>Welcome</body></html>", "no registry's answer"),
        (b"\x00\x01not xml", "cannot be read"),
        (b"<a>" * 5000, "cannot be read"),
        (_document('<error code="badArgument">no</error>').encode(), "no"),
    ],
)
def test_answers_that_are_no_list_are_told_in_a_sentence(odd: Odd, near: Settings, answer: bytes, words: str) -> None:
    odd.pages["ListRecords"] = [answer]
    with pytest.raises(FormatError, match=words):
        harvest(odd.address, near)
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/good"))]
    assert harvest(odd.address, near).records == 1


def test_a_page_without_end_is_cut_off(odd: Odd, near: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from skyvault.net.faults import WrongContent
    from skyvault.publish import harvest as module

    monkeypatch.setattr(module, "PAGE_LIMIT", 100_000)
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/long", "x" * 200_000))]
    with pytest.raises(WrongContent, match="longer than 100,000 bytes"):
        harvest(odd.address, near)


def test_a_list_that_goes_round_in_circles_is_left(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a"), token="again")]
    odd.pages["again"] = [odd.listed(_record("ivo://odd/b"), token="again")]
    with pytest.raises(FormatError, match="same resumption token"):
        harvest(odd.address, near)


def test_a_harvest_that_breaks_off_goes_on_with_its_token(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a"), token="second")]
    odd.pages["second"] = [500, odd.listed(_record("ivo://odd/b"), _record("ivo://odd/a", "Newer"), token="third")]
    odd.pages["third"] = [odd.listed(_gone("ivo://odd/b"))]
    with pytest.raises(Exception, match="500"):
        harvest(odd.address, near)
    assert _titles(near) == {}
    odd.asked.clear()
    done = harvest(odd.address, near)
    assert done.is_resumed and done.pages == 3
    assert [one.get("resumptionToken") for one in odd.asked] == [None, "second", "third"]
    assert _titles(near) == {"ivo://odd/a": "Newer"}


def test_a_forgotten_token_begins_the_list_anew(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a"), token="second")]
    odd.pages["second"] = [500, _document('<error code="badResumptionToken">expired</error>')]
    with pytest.raises(Exception, match="500"):
        harvest(odd.address, near)
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/c"))]
    assert harvest(odd.address, near).records == 1
    assert set(_titles(near)) == {"ivo://odd/c"}


def test_a_registry_that_keeps_no_deleted_records_is_read_whole(odd: Odd, near: Settings) -> None:
    odd.pages["Identify"] = [_identify("no")]
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a"), _record("ivo://odd/b"))]
    harvest(odd.address, near)
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/b"))]
    done = harvest(odd.address, near)
    assert done.is_full and done.deleted == 1 and set(_titles(near)) == {"ivo://odd/b"}


def test_a_registry_of_registries_leads_to_the_others(
    far: Far, odd: Odd, near: Settings, skyvault: Callable[..., Any]
) -> None:
    from skyvault.publish.harvest import publishers

    def registry(url: str) -> str:
        return (
            '<capability xsi:type="g:Harvest" standardID="ivo://ivoa.net/std/Registry"><interface xsi:type="g:OAIHTTP"'
            f' role="std"><accessURL use="base"> {url} </accessURL></interface></capability>'
        )

    nowhere = "http://127.0.0.1:9/oai"
    odd.pages["ListRecords"] = [
        odd.listed(_record("ivo://far/r", inner=registry(far.oai), kind="g:Registry"), token="2")
    ]
    odd.pages["2"] = [
        odd.listed(
            _record("ivo://down/r", inner=registry(nowhere), kind="g:Registry"),
            _record("ivo://old/r", inner=registry("http://old.example/oai"), kind="g:Registry", status="inactive"),
            _record("ivo://other/s"),
        )
    ]
    assert publishers(odd.address, near) == [far.oai, nowhere]
    assert odd.asked[0]["set"] == "ivo_publishers"
    done = skyvault(
        "registry", "harvest", "--listed-by", odd.address, "--home", near.home, env={"SKYVAULT_ARCHIVE_ATTEMPTS": "1"}
    )
    # one that is down does not keep the others from being read
    assert done.code == 1 and nowhere in done.err and "new or changed records" in done.out
    assert f"ivo://{HOLDER}/far/one" in _titles(near)


def test_what_was_harvested_outlives_an_upgrade(odd: Odd, near: Settings) -> None:
    from skyvault.publish.upgrade import upgrade

    covered = "<coverage><spatial>0/0-11</spatial></coverage>"
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a", inner=covered), _record("ivo://odd/b"))]
    harvest(odd.address, near)
    assert [one.name for one in upgrade(settings=near, everything=True)] == ["rr.resource"]
    assert set(_titles(near)) == {"ivo://odd/a", "ivo://odd/b"}
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a", "Again", inner=covered))]
    assert harvest(odd.address, near).records == 1
    assert _titles(near) == {"ivo://odd/a": "Again", "ivo://odd/b": "T"}
    with pytest.raises(UsageError, match="holds what was harvested"):
        unpublish("rr.resource", settings=near)


def test_nothing_new_is_no_fault(odd: Odd, near: Settings) -> None:
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a")), _document('<error code="noRecordsMatch"/>')]
    harvest(odd.address, near)
    done = harvest(odd.address, near)
    assert (done.records, done.deleted, done.is_full) == (0, 0, False)
    assert odd.asked[-1]["from"] == "2025-12-31T23:00:00Z"
    assert set(_titles(near)) == {"ivo://odd/a"}


def test_types_are_known_by_their_names_whatever_their_prefix(odd: Odd, near: Settings) -> None:
    inner = (
        '<capability xsi:type="q:ConeSearch" standardID="ivo://ivoa.net/std/ConeSearch"><interface xsi:type="v:ParamHTTP"'
        ' role="std"><accessURL use="base"> http://odd.example/scs? </accessURL></interface></capability>'
        "<coverage><spatial>0/0-3</spatial><temporal>1 2</temporal><temporal>broken</temporal><spectral>NaN 1</spectral>"
        "<waveband>Optical</waveband><waveband>X-ray</waveband></coverage>"
    )
    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/SCS", inner=inner))]
    # identifiers are compared in lower case
    harvest(odd.address, near)
    with DuckStore(near) as store:

        def rows(query: str) -> list[dict[str, Any]]:
            answer = store.query(query, Limits())
            found = [row for batch in answer.stream.batches for row in batch.to_pylist()]
            answer.close()
            return found

        assert rows("SELECT ivoid, res_type, waveband FROM rr.resource") == [
            {"ivoid": "ivo://odd/scs", "res_type": "vs:catalogservice", "waveband": "optical#x-ray"}
        ]
        assert rows("SELECT cap_type, access_url FROM rr.capability NATURAL JOIN rr.interface") == [
            {"cap_type": "cs:conesearch", "access_url": "http://odd.example/scs?"}
        ]
        assert len(rows("SELECT * FROM rr.stc_temporal")) == 1 and not rows("SELECT * FROM rr.stc_spectral")
        assert rows("SELECT count(*) AS n FROM rr.stc_spatial WHERE 1 = CONTAINS(POINT(45, 60), coverage)") == [
            {"n": 1}
        ]


def test_one_registry_is_harvested_by_one_process_at_a_time(odd: Odd, near: Settings) -> None:
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    odd.pages["ListRecords"] = [odd.listed(_record("ivo://odd/a"))]
    with open_home_ledger(Layout.of(near).make()) as ledger:
        ledger.duties.take(f"harvest {odd.address}", "somebody else", 100.0)
        with pytest.raises(Busy, match="another process"):
            harvest(odd.address, near)
        ledger.duties.give_back(f"harvest {odd.address}", "somebody else")
    assert harvest(odd.address, near).records == 1


def test_what_is_no_address_is_told(near: Settings) -> None:
    for wrong in ("dc.example/oai", "ftp://dc.example/oai", ""):
        with pytest.raises(UsageError, match="not the address of a registry"):
            harvest(wrong, near)
    with pytest.raises(UsageError, match="password") as told:
        harvest("https://me:secret@dc.example/oai", near)
    assert "secret" not in str(told.value)


KILLED = """
import sys
from skyvault.config import Settings
from skyvault.publish.harvest import harvest
harvest(sys.argv[1], Settings(home=sys.argv[2], authority="near.example"))
"""


def test_a_harvest_that_is_killed_goes_on(
    odd: Odd, near: Settings, ledger_variables: Callable[[Path], dict[str, str]]
) -> None:
    odd.pages["ListRecords"] = [odd.listed(*(_record(f"ivo://odd/a{n}") for n in range(5)), token="second")]
    waiting, released = threading.Event(), threading.Event()

    class Slow(list):  # type: ignore[type-arg]
        """The second page comes when the test says so."""

        def __getitem__(self, index: Any) -> Any:
            waiting.set()
            released.wait(30)
            return odd.listed(_record("ivo://odd/b"))

        def __len__(self) -> int:
            return 1

    odd.pages["second"] = Slow()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, odd.address, str(near.home)],
        env=environment() | ledger_variables(near.home),
    )
    try:
        assert waiting.wait(30)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait()
        released.set()
    assert _titles(near) == {}
    # the duty of the dead process ends with its lease
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    with open_home_ledger(Layout.of(near)) as ledger:
        ledger.database.change("DELETE FROM duties", {})
    done = harvest(odd.address, near)
    assert done.is_resumed and done.records == 6 and len(_titles(near)) == 6
    assert not list((near.home / "harvest").glob("*"))
    assert not list((near.home / "tmp").glob("build-*"))
