"""/tap/sync as TAP 1.1 and DALI 1.1 describe it, asked over real sockets."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Server

TEN = "SELECT TOP 10 hip, ra, dec, mag_vt FROM demo.stars ORDER BY mag_vt"


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def request(url: str, data: bytes | None = None, method: str | None = None, **headers: str) -> Reply:
    asked = urllib.request.Request(url, data, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        with answer:
            return Reply(answer.code, answer.headers, answer.read())


def sync(server: Server, *pairs: tuple[str, str], post: bool = False, **values: str) -> Reply:
    """A query of named and of repeated parameters."""
    encoded = urllib.parse.urlencode([*pairs, *values.items()])
    if post:
        return request(f"{server.tap}/sync", encoded.encode())
    return request(f"{server.tap}/sync?{encoded}")


def votable(reply: Reply) -> Any:
    from astropy.io.votable import parse

    return parse(io.BytesIO(reply.body), verify="exception")


def status_of(reply: Reply) -> list[tuple[str, str]]:
    """Values and texts of the QUERY_STATUS INFOs, in order, by an XML parser of the standard library."""
    import xml.etree.ElementTree as ET

    infos = ET.fromstring(reply.body).iter("{http://www.ivoa.net/xml/VOTable/v1.3}INFO")
    return [(info.get("value", ""), info.text or "") for info in infos if info.get("name") == "QUERY_STATUS"]


# ------------------------------------------------------------------------------------------------ parameters


@pytest.mark.parametrize("post", [False, True])
def test_a_query_is_answered_by_get_and_by_post(server: Server, post: bool) -> None:
    reply = sync(server, LANG="ADQL", QUERY=TEN, post=post)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/x-votable+xml"
    assert len(votable(reply).get_first_table().array) == 10
    assert status_of(reply)[0][0] == "OK"


def test_names_of_parameters_are_taken_in_any_case(server: Server) -> None:
    assert sync(server, lang="adql", Query=TEN, responseFormat="csv").text.count("\n") == 11


def test_unknown_parameters_are_ignored(server: Server) -> None:
    assert sync(server, LANG="ADQL", QUERY=TEN, NONSENSE="1").status == 200


@pytest.mark.parametrize("name", ["QUERY", "LANG", "MAXREC", "RESPONSEFORMAT"])
def test_a_repeated_parameter_is_an_error(server: Server, name: str) -> None:
    values = {"QUERY": TEN, "LANG": "ADQL", "MAXREC": "5", "RESPONSEFORMAT": "votable"}
    reply = sync(server, (name, values[name]), **values)
    assert reply.status == 400
    assert status_of(reply)[0][0] == "ERROR"
    assert name in status_of(reply)[0][1]


def test_a_missing_query_is_an_error_that_says_so(server: Server) -> None:
    reply = sync(server, LANG="ADQL")
    assert (reply.status, status_of(reply)[0][0]) == (400, "ERROR")
    assert "QUERY" in status_of(reply)[0][1]


def test_a_missing_lang_means_adql(server: Server) -> None:
    assert sync(server, QUERY=TEN).status == 200


def test_an_unknown_language_is_an_error(server: Server) -> None:
    assert status_of(sync(server, LANG="PQL", QUERY=TEN))[0][0] == "ERROR"


def test_responseformat_wins_over_its_older_name(server: Server) -> None:
    assert sync(server, QUERY=TEN, FORMAT="csv", RESPONSEFORMAT="tsv").headers["content-type"].startswith("text/tab")


@pytest.mark.parametrize("value", ["-1", "abc", "1.5", "1e3"])
def test_maxrec_is_a_whole_number_from_zero(server: Server, value: str) -> None:
    reply = sync(server, QUERY=TEN, MAXREC=value)
    assert (reply.status, status_of(reply)[0][0]) == (400, "ERROR")


def test_a_head_request_tells_without_a_body(server: Server) -> None:
    for path in ("availability", "capabilities", "tables"):
        reply = request(f"{server.tap}/{path}", method="HEAD")
        assert (reply.status, reply.body) == (200, b"")


# ------------------------------------------------------------------------------------------------ formats


def read_votable(body: bytes) -> tuple[list[str], int]:
    from astropy.io.votable import parse

    table = parse(io.BytesIO(body), verify="exception").get_first_table()
    return [field.name for field in table.fields], len(table.array)


def read_csv(body: bytes, delimiter: str = ",") -> tuple[list[str], int]:
    import csv

    rows = list(csv.reader(io.StringIO(body.decode()), delimiter=delimiter))
    return rows[0], len(rows) - 1


def read_fits(body: bytes) -> tuple[list[str], int]:
    from astropy.io import fits

    with fits.open(io.BytesIO(body)) as hdus:
        return list(hdus[1].columns.names), len(hdus[1].data)


def read_parquet(body: bytes) -> tuple[list[str], int]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(body))
    return table.column_names, table.num_rows


def read_arrow(body: bytes) -> tuple[list[str], int]:
    import pyarrow as pa

    table = pa.ipc.open_stream(body).read_all()
    return table.column_names, table.num_rows


def read_json(body: bytes) -> tuple[list[str], int]:
    document = json.loads(body)
    return [column["name"] for column in document["metadata"]], len(document["data"])


def read_ecsv(body: bytes) -> tuple[list[str], int]:
    from astropy.table import Table

    table = Table.read(body.decode(), format="ascii.ecsv")
    return table.colnames, len(table)


def read_html(body: bytes) -> tuple[list[str], int]:
    from html.parser import HTMLParser

    class Rows(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []
            self.rows = 0
            self.inside = ""

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.inside = tag
            self.rows += tag == "tr"

        def handle_data(self, data: str) -> None:
            if self.inside == "th" and data.strip():
                self.names.append(data.strip())

        def handle_endtag(self, tag: str) -> None:
            self.inside = ""

    rows = Rows()
    rows.feed(body.decode())
    return rows.names, rows.rows - 1


FORMATS = {
    "votable": ("application/x-votable+xml", read_votable),
    "votable/td": ("application/x-votable+xml;serialization=TABLEDATA", read_votable),
    "votable/b": ("application/x-votable+xml;serialization=BINARY", read_votable),
    "votable/b2": ("application/x-votable+xml;serialization=BINARY2", read_votable),
    "text/xml": ("text/xml", read_votable),
    "application/x-votable+xml;serialization=TABLEDATA": (
        "application/x-votable+xml;serialization=TABLEDATA",
        read_votable,
    ),
    "csv": ("text/csv;header=present", read_csv),
    "tsv": ("text/tab-separated-values", lambda body: read_csv(body, "\t")),
    "fits": ("application/fits", read_fits),
    "parquet": ("application/vnd.apache.parquet", read_parquet),
    "arrow": ("application/vnd.apache.arrow.stream", read_arrow),
    "json": ("application/json", read_json),
    "ecsv": ("text/ecsv", read_ecsv),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows", [0, 10])
def test_each_format_is_read_by_an_independent_reader(server: Server, name: str, rows: int) -> None:
    query = TEN if rows else "SELECT hip, ra, dec, mag_vt FROM demo.stars WHERE mag_vt > 99"
    content_type, read = FORMATS[name]
    reply = sync(server, QUERY=query, RESPONSEFORMAT=name)
    assert reply.status == 200, reply.text
    assert reply.headers["content-type"] == content_type
    assert read(reply.body) == (["hip", "ra", "dec", "mag_vt"], rows)


def test_html_is_a_table_for_people(server: Server) -> None:
    reply = sync(server, QUERY=TEN, RESPONSEFORMAT="html")
    assert reply.headers["content-type"] == "text/html;charset=utf-8"
    names, rows = read_html(reply.body)
    assert names[:4] == ["hip", "ra", "dec", "mag_vt"]
    assert rows >= 10


def test_an_unknown_format_is_an_error_that_names_the_known_ones(server: Server) -> None:
    reply = sync(server, QUERY=TEN, RESPONSEFORMAT="application/x-unknown")
    assert reply.status == 400
    assert "parquet" in status_of(reply)[0][1]


# ------------------------------------------------------------------------------------------------ overflow


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_of_exactly_maxrec_rows_is_no_overflow(server: Server, name: str) -> None:
    reply = sync(server, QUERY=TEN, MAXREC="10", RESPONSEFORMAT=name)
    assert FORMATS[name][1](reply.body)[1] == 10
    assert reply.headers["x-skyvault-overflow"] == "false"


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_cut_at_maxrec_says_so(server: Server, name: str) -> None:
    reply = sync(server, QUERY=TEN, MAXREC="9", RESPONSEFORMAT=name)
    assert FORMATS[name][1](reply.body)[1] == 9
    assert reply.headers["x-skyvault-overflow"] == "true"
    if FORMATS[name][1] is read_votable:
        assert [value for value, _ in status_of(reply)] == ["OK", "OVERFLOW"]


@pytest.mark.parametrize("name", FORMATS)
def test_maxrec_zero_gives_the_columns_without_rows_and_an_overflow(server: Server, name: str) -> None:
    reply = sync(server, QUERY=TEN, MAXREC="0", RESPONSEFORMAT=name)
    assert FORMATS[name][1](reply.body) == (["hip", "ra", "dec", "mag_vt"], 0)
    assert reply.headers["x-skyvault-overflow"] == "true"


def test_top_within_maxrec_is_no_overflow_and_top_zero_gives_columns(server: Server) -> None:
    inside = sync(server, QUERY="SELECT TOP 5 ra FROM demo.stars", MAXREC="6")
    assert [value for value, _ in status_of(inside)] == ["OK"]
    none = sync(server, QUERY="SELECT TOP 0 ra FROM demo.stars")
    assert (read_votable(none.body), [value for value, _ in status_of(none)]) == ((["ra"], 0), ["OK"])


def test_the_default_limit_holds_without_maxrec(server: Server) -> None:
    reply = sync(server, QUERY="SELECT ra FROM demo.stars")
    assert len(votable(reply).get_first_table().array) == 20_000
    assert [value for value, _ in status_of(reply)] == ["OK", "OVERFLOW"]


def test_a_large_result_is_whole(server: Server) -> None:
    reply = sync(server, QUERY="SELECT ra, dec FROM demo.stars", MAXREC="1000000", RESPONSEFORMAT="parquet")
    assert read_parquet(reply.body) == (["ra", "dec"], 119_288)


# ------------------------------------------------------------------------------------------------ errors


def test_an_error_is_a_votable_with_line_column_and_a_suggestion(server: Server) -> None:
    reply = sync(server, QUERY="SELECT ra,\n  magvt FROM demo.stars")
    assert reply.status == 400
    [(value, text)] = status_of(reply)
    assert value == "ERROR"
    assert text.startswith("line 2, column 3")
    assert "mag_vt" in text


def test_an_error_in_any_format_is_a_votable(server: Server) -> None:
    for name in ("csv", "fits", "json"):
        reply = sync(server, QUERY="SELECT FROM", RESPONSEFORMAT=name)
        assert (reply.status, status_of(reply)[0][0]) == (400, "ERROR")


LATE = "SELECT CAST(CASE WHEN mag_vt < 20 AND ra > 0 THEN CAST(hip AS VARCHAR) || 'x' ELSE '1' END AS INTEGER) FROM demo.stars"


def test_a_value_that_cannot_be_computed_is_an_error_in_a_sentence(server: Server) -> None:
    reply = sync(server, QUERY=LATE)
    assert reply.status == 400
    [(value, text)] = status_of(reply)
    assert value == "ERROR"
    assert "cannot be computed" in text


@pytest.fixture(scope="module")
def late_server(tmp_path_factory: pytest.TempPathFactory, start_server: Any) -> Iterator[Server]:
    """A table whose last rows only make a query fail."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from skyvault.config import Settings
    from skyvault.publish.publisher import publish

    folder = tmp_path_factory.mktemp("late")
    count = 1_000_000
    text = np.full(count, "1", dtype=object)
    text[-10:] = "bad"
    pq.write_table(pa.table({"id": np.arange(count), "text": pa.array(text, pa.string())}), folder / "late.parquet")
    publish(folder / "late.parquet", name="demo.late", settings=Settings(home=folder / "home"))
    return start_server(folder / "home")


def test_a_job_that_fails_after_many_rows_is_an_error_and_has_no_result(late_server: Server) -> None:
    query = {"LANG": "ADQL", "QUERY": "SELECT id, CAST(text AS INTEGER) AS n FROM demo.late", "MAXREC": "2000000"}
    body = urllib.parse.urlencode(query | {"PHASE": "RUN"}).encode()
    with urllib.request.urlopen(f"{late_server.tap}/async", body, timeout=30) as created:
        job = created.geturl()
    with urllib.request.urlopen(f"{job}?WAIT=30", timeout=60) as answer:
        answer.read()
    with urllib.request.urlopen(f"{job}/phase", timeout=30) as answer:
        assert answer.read().strip() == b"ERROR"
    with urllib.request.urlopen(f"{job}/error", timeout=30) as answer:
        assert b"cannot be computed" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{job}/results/result", timeout=30)
    assert refused.value.code == 404
    refused.value.close()


@pytest.mark.parametrize("name", ["votable", "votable/td", "votable/b"])
def test_a_query_that_fails_after_many_rows_ends_in_an_error_info(late_server: Server, name: str) -> None:
    query = "SELECT id, CAST(text AS INTEGER) AS n FROM demo.late"
    reply = sync(late_server, QUERY=query, MAXREC="2000000", RESPONSEFORMAT=name)
    found = status_of(reply)
    assert found[-1][0] == "ERROR"
    assert "bad" in found[-1][1]


@pytest.mark.parametrize("name", ["csv", "tsv", "json", "ecsv", "arrow", "parquet", "fits"])
def test_a_format_that_cannot_tell_of_an_error_is_broken_off(late_server: Server, name: str) -> None:
    query = urllib.parse.quote("SELECT id, CAST(text AS INTEGER) AS n FROM demo.late")
    host = late_server.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", f"/tap/sync?QUERY={query}&MAXREC=2000000&RESPONSEFORMAT={name}")
        answer = connection.getresponse()
        if answer.status == 400:
            assert b"ERROR" in answer.read()
            return
        body = b""
        try:
            while piece := answer.read(1 << 20):
                body += piece
        except (http.client.IncompleteRead, ConnectionError):
            return  # not finished: the client knows
        assert b"bad" in body[-2000:], "an answer that ends well must tell of the error"
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------ TAP_SCHEMA, VOSI


def test_tap_schema_describes_itself(server: Server) -> None:
    query = "SELECT table_name FROM TAP_SCHEMA.tables WHERE schema_name = 'TAP_SCHEMA'"
    names = read_lines(sync(server, QUERY=query, RESPONSEFORMAT="csv"))
    assert {name.upper().removeprefix("TAP_SCHEMA.") for name in names} == {
        "SCHEMAS", "TABLES", "COLUMNS", "KEYS", "KEY_COLUMNS"
    }  # fmt: skip
    query = (
        "SELECT k.key_id, kc.from_column FROM TAP_SCHEMA.keys AS k JOIN TAP_SCHEMA.key_columns AS kc "
        "ON k.key_id = kc.key_id JOIN TAP_SCHEMA.tables AS t ON t.table_name = k.target_table"
    )
    assert len(read_lines(sync(server, QUERY=query, RESPONSEFORMAT="csv"))) >= 5


def read_lines(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.text
    return reply.text.splitlines()[1:]


def test_the_size_column_of_tap_schema_is_reached_in_quotes(server: Server) -> None:
    assert sync(server, QUERY='SELECT "size" FROM TAP_SCHEMA.columns', RESPONSEFORMAT="csv").status == 200
    assert status_of(sync(server, QUERY="SELECT size FROM TAP_SCHEMA.columns"))[0][0] == "ERROR"


def test_documents_have_an_etag_and_are_not_sent_twice(server: Server) -> None:
    for path in ("capabilities", "tables", "tables?detail=min", "tables/demo.stars"):
        first = request(f"{server.tap}/{path}")
        assert first.status == 200
        again = request(f"{server.tap}/{path}", if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")


def test_documents_are_packed_for_who_takes_gzip(server: Server) -> None:
    packed = request(f"{server.tap}/tables", accept_encoding="gzip", user_agent="test")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == request(f"{server.tap}/tables", user_agent="test").body


def test_tables_are_listed_with_and_without_columns(server: Server) -> None:
    assert b"<column" not in request(f"{server.tap}/tables?detail=min").body
    assert b"mag_vt" in request(f"{server.tap}/tables?DETAIL=max").body
    assert request(f"{server.tap}/tables?detail=some").status == 400


@pytest.mark.parametrize(
    "name", ["demo.nothing", "nothing", "..%2F..%2Fetc%2Fpasswd", "demo.stars/x", "%00", "a" * 3000]
)
def test_a_table_that_is_not_there_is_404(server: Server, name: str) -> None:
    assert request(f"{server.tap}/tables/{name}").status == 404
