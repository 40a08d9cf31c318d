"""Tables come by TAP in whatever way a service allows, whole or not at all, and every refusal is one sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from missions.archive_tables import archive_table
from skyvault.config import Settings
from skyvault.formats.arrow import from_schema
from skyvault.formats.registry import negotiate
from skyvault.formats.stream import TableStream
from skyvault.missions import Chandra, Mission, Suzaku, XMMPointed, eRASS1DE, mission_classes
from skyvault.missions.connections import default_archives
from skyvault.missions.faults import ArchiveTableError, MissionWarning
from skyvault.missions.tap_source import ArchiveTables
from skyvault.net.client import HttpClient
from skyvault.net.retry import RetryPolicy
from skyvault.sandbox import Fault

ERROR = (
    b'<?xml version="1.0"?><VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3" version="1.3"><RESOURCE type="results">'
    b'<INFO name="QUERY_STATUS" value="ERROR">%s</INFO></RESOURCE></VOTABLE>'
)
PAGE = b"<!DOCTYPE html><html><head><title>Down for maintenance</title></head><body>Sorry</body></html>"
UWS = '<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0"><uws:jobId>j1</uws:jobId><uws:phase>{}</uws:phase>{}</uws:job>'


def votable(rows: pa.Table, *, overflow: bool = False, how: str = "votable") -> bytes:
    stream = TableStream(from_schema(rows.schema)[0], iter(rows.to_batches()), overflow=overflow, limit=rows.num_rows)
    return b"".join(negotiate(how).write(stream))


@dataclass
class TapService:
    """A TAP service on loopback that answers as a test says."""

    sync: Callable[[dict[str, str]], tuple[int, bytes]]
    result: bytes = b""
    capabilities: bytes = b""
    phases: list[str] = field(default_factory=lambda: ["EXECUTING", "COMPLETED"])
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        self.asked.append((method, path, query))
        if path == "/capabilities":
            return (200 if self.capabilities else 404), self.capabilities, {}
        if path == "/sync":
            return (*self.sync(query), {})
        if path == "/async":
            return 303, b"", {"Location": f"{self.url}/async/j1"}
        if path == "/async/j1" and method == "GET":
            phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
            more = (
                "<uws:errorSummary><uws:message>out of memory</uws:message></uws:errorSummary>"
                if phase == "ERROR"
                else ""
            )
            return 200, UWS.format(phase, more).encode(), {}
        if path == "/async/j1/results/result":
            return 200, self.result, {}
        return (200 if method == "DELETE" else 404), b"", {}


@pytest.fixture
def serve() -> Iterator[Callable[[TapService], TapService]]:
    servers: list[ThreadingHTTPServer] = []

    def start(service: TapService) -> TapService:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                parts = urlsplit(self.path)
                text = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                query = {key: values[-1] for key, values in parse_qs(parts.query or text).items()}
                status, body, headers = service.answer(self.command, parts.path, query)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = _any

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        service.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return service

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def tables(service: TapService, tmp_path: Path, **times: float) -> Iterator[ArchiveTables]:
    endpoints = {archive: {"tap": service.url, "tables": service.url} for archive in ("heasarc", "erosita")}
    with HttpClient(retries=RetryPolicy(2, 0.0)) as client:
        yield ArchiveTables(Settings(home=tmp_path, endpoints=endpoints), client, sleep=lambda s: None, **times)


@pytest.fixture
def ask(tmp_path: Path, serve: Callable[[TapService], TapService]) -> Iterator[Callable[..., tuple[Any, TapService]]]:
    open_ones: list[Iterator[ArchiveTables]] = []

    def asked(service: TapService, cls: type[Mission] = Suzaku, **times: float) -> tuple[Any, TapService]:
        made = tables(serve(service), tmp_path, **times)
        open_ones.append(made)
        return next(made).observations(cls.declaration), service

    yield asked
    for one in open_ones:
        one.close()  # type: ignore[attr-defined]


def told(ask: Callable[..., Any], service: TapService, cls: type[Mission] = Suzaku, **times: float) -> str:
    with pytest.raises(ArchiveTableError) as error:
        ask(service, cls, **times)
    text = str(error.value)
    assert "table=FILE" in text and "\n" not in text and cls.declaration.table in text
    return text


# --- the ways ------------------------------------------------------------------------------------------------------


def test_exactly_the_declared_columns_are_asked_for_in_lower_case_and_reserved_words_are_quoted(ask: Any) -> None:
    (rows, url), service = ask(TapService(lambda query: (200, votable(archive_table(Suzaku, 20)))))
    assert rows.num_rows == 20 and url == service.url
    adql = next(query for _, path, query in service.asked if path == "/sync")["QUERY"]
    names = adql.removeprefix("SELECT ").removesuffix(" FROM suzamaster").split(", ")
    assert names == [f'"{n}"' if n == "time" else n for n in map(str.lower, Suzaku.declaration.sources())]


@pytest.mark.parametrize(
    "offered, expected",
    [
        (b"<outputFormat><mime>application/vnd.apache.parquet</mime>", "application/vnd.apache.parquet"),
        (b'ivo-id="ivo://ivoa.net/std/TAPRegExt#output-votable-binary2"', "serialization=BINARY2"),
        (b"<capabilities/>", "votable"),
        (b"", "votable"),
    ],
)
def test_the_fastest_format_that_is_offered_is_taken(ask: Any, offered: bytes, expected: str) -> None:
    how = "parquet" if "parquet" in expected else "votable"
    table = archive_table(Suzaku, 5)
    (rows, _), service = ask(TapService(lambda query: (200, votable(table, how=how)), capabilities=offered))
    assert rows.num_rows == 5
    assert expected in next(query for _, path, query in service.asked if path == "/sync")["RESPONSEFORMAT"]


@pytest.mark.parametrize("sync", ["overflow", "timeout", "cut without a word"])
def test_what_a_synchronous_query_cannot_do_a_job_does_and_is_deleted(ask: Any, sync: str) -> None:
    whole = archive_table(Suzaku, 1500)

    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        if "COUNT" in query["QUERY"]:
            return 200, votable(pa.table({"n": [1500]}))
        if sync == "timeout":
            return 504, b"too slow"
        return 200, votable(whole.slice(0, 1000), overflow=sync == "overflow")

    (rows, _), service = ask(TapService(answer, result=votable(whole)))
    assert rows.num_rows == 1500
    assert ("DELETE", "/async/j1", {}) in service.asked


def test_esas_archive_is_counted_first_since_it_cuts_without_a_word(
    serve: Callable[[TapService], TapService], tmp_path: Path
) -> None:
    whole = archive_table(XMMPointed, 2300)

    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        if "COUNT" in query["QUERY"]:
            return 200, votable(pa.table({"n": [2300]}))
        return 200, votable(whole if "TOP 3000" in query["QUERY"] else whole.slice(0, 2000))

    service = serve(TapService(answer))
    with HttpClient() as client:
        settings = Settings(home=tmp_path, endpoints={"xsa": {"tap": service.url}})
        rows, _ = ArchiveTables(settings, client).observations(XMMPointed.declaration)
    assert rows.num_rows == 2300


# --- refusals, one sentence each -----------------------------------------------------------------------------------


def test_rows_that_even_a_job_leaves_out_are_never_silent(ask: Any) -> None:
    cut = votable(archive_table(Suzaku, 100), overflow=True)
    assert "100 rows only" in told(ask, TapService(lambda query: (200, cut), result=cut))


def test_a_job_that_fails_or_never_ends_is_told(ask: Any) -> None:
    cut = votable(archive_table(Suzaku, 10), overflow=True)
    assert "out of memory" in told(ask, TapService(lambda query: (200, cut), phases=["ERROR"]))
    never = told(ask, TapService(lambda query: (200, cut), phases=["EXECUTING"]), job_s=0.3)
    assert "not done within" in never


def test_a_web_page_instead_of_a_table_is_told_as_such(ask: Any) -> None:
    assert "web page" in (text := told(ask, TapService(lambda query: (200, PAGE)))) and "maintenance" in text


@pytest.mark.parametrize("status", [200, 400])
def test_a_services_own_words_and_the_lost_column_are_quoted(ask: Any, status: int) -> None:
    text = told(ask, TapService(lambda query: (status, ERROR % b"Column XIS0_EXPO not found in suzamaster")))
    assert "XIS0_EXPO not found" in text and "no longer has the column xis0_expo" in text


def test_a_damaged_or_hostile_table_is_refused(ask: Any) -> None:
    body = votable(archive_table(Suzaku, 50))
    told(ask, TapService(lambda query: (200, body[: len(body) // 2])))
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE>&a;</VOTABLE>'
    told(ask, TapService(lambda query: (200, bomb)))
    told(ask, TapService(lambda query: (200, b"")))


def test_a_job_on_another_host_is_not_followed(ask: Any) -> None:
    cut = votable(archive_table(Suzaku, 10), overflow=True)
    service = TapService(lambda query: (200, cut))
    original = service.answer

    def elsewhere(method: str, path: str, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if (method, path) == ("GET", "/async/j1"):
            link = 'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="http://10.1.1.1/inner/secret"'
            results = f'<uws:results><uws:result id="result" {link}/></uws:results>'
            return 200, UWS.format("COMPLETED", results).encode(), {}
        return original(method, path, query)

    service.answer = elsewhere  # type: ignore[method-assign]
    told(ask, service)
    assert ("GET", "/inner/secret", {}) in service.asked


def test_a_service_that_makes_no_job_is_told(ask: Any) -> None:
    cut = votable(archive_table(Suzaku, 10), overflow=True)
    service = TapService(lambda query: (200, cut))
    original = service.answer
    service.answer = lambda method, path, query: (  # type: ignore[method-assign]
        (200, b"hello", {}) if path == "/async" else original(method, path, query)
    )
    assert "makes no job" in told(ask, service)
    assert not any(method == "DELETE" for method, _, _ in service.asked)


def test_a_csv_table_that_is_a_page_is_told(ask: Any) -> None:
    service = TapService(lambda query: (200, b""))
    service.answer = lambda method, path, query: (200, PAGE, {})  # type: ignore[method-assign]
    assert "web page" in told(ask, service, eRASS1DE)


# --- with the sandbox ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(mission_classes()))
def test_an_unreachable_archive_is_one_sentence_and_leaves_the_mission_as_it_was(
    name: str, sandbox: Any, sandbox_settings: Settings
) -> None:
    cls = mission_classes()[name]
    settings = Settings(home=sandbox_settings.home, endpoints=sandbox_settings.endpoints, archive_attempts=1)
    mission = cls(settings=settings)
    before = mission.all_obs_info
    sandbox.faults.set(Fault("unreachable"))
    with pytest.raises(ArchiveTableError, match="table=FILE"):
        mission.refresh()
    assert mission.all_obs_info.equals(before)
    sandbox.faults.clear()
    assert not mission.refresh().is_table_changed


def test_a_renamed_column_is_named(sandbox: Any, sandbox_settings: Settings) -> None:
    sandbox.faults.set(Fault("renamed-column"))
    with pytest.raises(ArchiveTableError) as told:
        Chandra(settings=sandbox_settings)
    assert "column" in str(told.value) and "chanmaster" in str(told.value)


def test_xmm_comes_from_heasarc_where_esa_cannot_answer(sandbox: Any, sandbox_settings: Settings) -> None:
    settings = Settings(home=sandbox_settings.home, endpoints=sandbox_settings.endpoints, archive_attempts=1)
    sandbox.faults.set(Fault("unreachable", archive="xsa"))
    with pytest.warns(MissionWarning, match=r"XMM-Newton.*taken from"):
        mission = XMMPointed(settings=settings)
    assert "/heasarc/" in mission.table_origin.service and mission.num_obs > 100
    assert XMMPointed(settings=settings).num_obs == mission.num_obs
    with pytest.raises(ArchiveTableError):
        sandbox.faults.set(Fault("unreachable"))
        mission.refresh()


def test_manners_hold_for_the_declared_host_and_as_the_settings_say(tmp_path: Path) -> None:
    declared = changed(Suzaku.declaration.politeness, connections=3)
    declaration = changed(Suzaku.declaration, politeness=declared)
    real = default_archives(Settings(home=tmp_path / "a"))
    real.agree(declaration)
    assert real.client.politeness._host("heasarc.gsfc.nasa.gov").manners.connections == 3
    mirror = default_archives(
        Settings(
            home=tmp_path / "b",
            endpoints={"heasarc": {"tap": "http://127.0.0.1:9", "files": "http://127.0.0.1:9/"}},
            politeness={"heasarc": {"connections": 2, "requests_per_minute": 0}},
        )
    )
    mirror.agree(declaration)
    manners = mirror.client.politeness._host("127.0.0.1:9").manners
    assert manners.connections == 2 and manners.requests_per_minute is None
