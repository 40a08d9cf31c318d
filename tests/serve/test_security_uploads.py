"""Uploads: every format that is taken, and everything that is refused, each in a sentence."""

from __future__ import annotations

import gzip
import http.server
import io
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Server

COUNT = "SELECT COUNT(*) AS n, SUM(x) AS s FROM TAP_UPLOAD.t"


def send(server: Server, fields: dict[str, str], files: dict[str, bytes]) -> tuple[int, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, content in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    asked = urllib.request.Request(
        f"{server.tap}/sync", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def upload(server: Server, content: bytes, query: str = COUNT, name: str = "t") -> tuple[int, str]:
    return send(server, {"QUERY": query, "RESPONSEFORMAT": "csv", "UPLOAD": f"{name},param:part"}, {"part": content})


def votable(serialization: str) -> bytes:
    from astropy.io.votable import from_table
    from astropy.table import Table

    file = io.BytesIO()
    document = from_table(Table({"x": [1.0, 2.0, 3.5]}))
    document.get_first_table().format = serialization
    document.to_xml(file)
    return file.getvalue()


def as_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"x": [1.0, 2.0, 3.5]}), file)
    return file.getvalue()


def as_fits() -> bytes:
    from astropy.table import Table

    file = io.BytesIO()
    Table({"x": [1.0, 2.0, 3.5]}).write(file, format="fits")
    return file.getvalue()


MAKERS: dict[str, Callable[[], bytes]] = {
    "tabledata": lambda: votable("tabledata"),
    "binary": lambda: votable("binary"),
    "binary2": lambda: votable("binary2"),
    "parquet": as_parquet,
    "fits": as_fits,
    "csv": lambda: b"x\n1.0\n2.0\n3.5\n",
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_table_is_taken_in(server: Server, name: str) -> None:
    assert upload(server, MAKERS[name]()) == (200, "n,s\r\n3,6.5\r\n")


def test_several_tables_are_joined_with_each_other_and_the_published(server: Server) -> None:
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.a AS a JOIN TAP_UPLOAD.b AS b ON a.x = b.x JOIN demo.stars AS s ON s.hip > b.x"
    fields = {"QUERY": query, "RESPONSEFORMAT": "csv", "UPLOAD": "a,param:one;b,param:two"}
    status, text = send(server, fields, {"one": as_parquet(), "two": votable("binary2")})
    assert (status, text.startswith("n\r\n")) == (200, True)


def test_a_part_that_was_not_sent_is_named(server: Server) -> None:
    status, text = send(server, {"QUERY": COUNT, "UPLOAD": "t,param:other"}, {"part": as_parquet()})
    assert status == 400
    assert "'other'" in text or "other" in text


@pytest.mark.parametrize("name", ["a b", "1x", "select", "x.y", 'x"', "é", "x;y", "--"])
def test_a_name_that_is_no_identifier_is_refused(server: Server, name: str) -> None:
    assert upload(server, as_parquet(), name=name)[0] == 400


def test_uploads_of_one_query_are_unknown_to_the_next(server: Server) -> None:
    assert upload(server, as_parquet())[0] == 200
    status, text = send(server, {"QUERY": COUNT}, {})
    assert status == 400
    assert "TAP_UPLOAD.t" in text


ENTITY = b"""<?xml version="1.0"?><!DOCTYPE VOTABLE [<!ENTITY a "x"><!ENTITY f SYSTEM "file:///etc/passwd">]>
<VOTABLE><RESOURCE><TABLE><FIELD name="x" datatype="char" arraysize="*"/><DATA><TABLEDATA><TR><TD>&f;&a;</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
EXTERNAL = ENTITY.replace(
    b'[<!ENTITY a "x"><!ENTITY f SYSTEM "file:///etc/passwd">]', b'SYSTEM "http://127.0.0.1:9/x.dtd"'
)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">'
    + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12))
    + b"]><VOTABLE><RESOURCE><DESCRIPTION>&a11;</DESCRIPTION></RESOURCE></VOTABLE>"
)


@pytest.mark.parametrize("document", [ENTITY, EXTERNAL, BOMB], ids=["entity", "external", "bomb"])
def test_entities_of_xml_are_refused(server: Server, document: bytes) -> None:
    status, text = upload(server, document, "SELECT * FROM TAP_UPLOAD.t")
    assert status == 400
    assert "root:" not in text


RUBBISH = [
    b"",
    b"\x00" * 1000,
    b"PK\x03\x04" + b"\x00" * 200,
    b"<html></html>",
    b"<VOTABLE",
    b"SIMPLE  =",
    b"PAR1xxxxPAR1",
]


@pytest.mark.parametrize("content", RUBBISH)
def test_what_is_no_table_is_refused_in_a_sentence(server: Server, content: bytes) -> None:
    status, text = upload(server, content, "SELECT * FROM TAP_UPLOAD.t")
    assert status == 400
    assert "Traceback" not in text and "went wrong in the server" not in text


@pytest.fixture(scope="module")
def strict(small_home: Path, start_server: Callable[..., Server]) -> Server:
    return start_server(small_home, SKYVAULT_UPLOAD_BYTES="200000", SKYVAULT_UPLOAD_ROWS="1000")


def test_an_upload_over_the_bytes_is_413_with_the_limit(strict: Server) -> None:
    status, text = upload(strict, b"x\n" + b"1.0\n" * 200_000)
    assert status == 413
    assert "200,000" in text or "200000" in text


def test_an_upload_over_the_rows_is_413_with_the_limit(strict: Server) -> None:
    status, text = upload(strict, b"x\n" + b"1.0\n" * 2_000)
    assert status == 413
    assert "1000" in text or "1,000" in text


def test_packed_zeros_do_not_unpack_without_limit(strict: Server) -> None:
    status, text = upload(strict, gzip.compress(b"x\n" + b"0\n" * 20_000_000, 9))
    assert status in (400, 413)
    assert "went wrong" not in text


def test_a_table_is_not_fetched_by_url_unless_the_operator_names_the_host(server: Server) -> None:
    for url in ("http://127.0.0.1:9/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://localhost/x"):
        status, text = send(server, {"QUERY": COUNT, "UPLOAD": f"t,{url}"}, {})
        assert status == 400
        assert "root:" not in text


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server of one file, and of a redirect to somewhere else."""
    content = as_parquet()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/away":
                self.send_response(302)
                self.send_header("location", "file:///etc/passwd")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_a_table_is_fetched_from_a_host_the_operator_has_named(
    small_home: Path, start_server: Callable[..., Server], web: str
) -> None:
    server = start_server(small_home, SKYVAULT_UPLOAD_HOSTS="127.0.0.1")
    fields = {"QUERY": COUNT, "RESPONSEFORMAT": "csv"}
    assert send(server, {**fields, "UPLOAD": f"t,{web}/x"}, {}) == (200, "n,s\r\n3,6.5\r\n")
    assert send(server, {**fields, "UPLOAD": f"t,{web}/away"}, {})[0] == 400


@pytest.mark.parametrize(
    "path", ["/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/app.py", "/tap/tables/..%2f..%2fledger.sqlite"]
)
def test_no_path_leads_out_of_the_service(server: Server, path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            assert answer.status == 404
            assert b"root:" not in answer.read()
    finally:
        connection.close()
