"""Accounts and users' tables as an attacker finds them: forged requests, guesses, what answers betray, names that are
paths, secrets in the wrong place, uploads that grow.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve.accounts import PASSWORD, Browser, Client, make_token, make_users
from skyvault.ledger.ledger import open_ledger
from skyvault.ledger.user_tables import MOST_GRANTS
from skyvault.serve import passwords

ROWS = b"ra,dec,k\n10,20,1\n"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("attacked") / "home"
    make_users(home, "alice", "bob")
    variables = {"SKYVAULT_USER_TABLES": "true", "SKYVAULT_USER_TABLE_BYTES": "20MB", "SKYVAULT_SNAPSHOT_GRACE_S": "0"}
    return start_server(home, **variables)


@pytest.fixture
def anybody(site: Any) -> Client:
    return Client(site.base_url)


@pytest.fixture
def alice(anybody: Client) -> Client:
    return anybody.as_user("alice")


@pytest.fixture
def bob(anybody: Client) -> Client:
    return anybody.as_user("bob")


@pytest.fixture(autouse=True)
def _clean(site: Any) -> Iterator[None]:
    yield
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.user_tables.drop_all(None)


def put(client: Client, name: str, body: bytes = ROWS, kind: str = "text/csv") -> Any:
    return client("PUT", f"/tap/user_tables/{name}", body, content_type=kind)


def ask(client: Client, query: str) -> Any:
    return client("POST", "/tap/sync", urlencode({"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"}))


# --- other sites' pages in a user's browser -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tap/sync", "LANG=ADQL&QUERY=DROP+TABLE+tap_user.t"),
        ("POST", "/tap/async", "LANG=ADQL&QUERY=SELECT+1+AS+a"),
        ("PUT", "/tap/user_tables/t", "a\n1\n"),
        ("POST", "/tap/user_tables/t", "NAME=u"),
        ("DELETE", "/tap/user_tables/t", None),
        ("POST", "/tap/user_tables/t/shares", "LINK=true"),
        ("POST", "/tap/user_tables/t/freeze", ""),
        ("POST", "/tap/user_tables/t/destruction", "DESTRUCTION=2001-01-01"),
        ("POST", "/tap/load/t", "ra,dec,k\n1,1,1\n"),
        ("DELETE", "/tap/tables/t", None),
        ("POST", "/account/tokens", "NAME=x"),
        ("POST", "/account/password", f"OLD={PASSWORD}&NEW=another password"),
        ("POST", "/logout", ""),
    ],
)
def test_another_site_s_page_changes_nothing_by_cookie_or_remembered_password(
    site: Any, alice: Client, method: str, path: str, body: str | None
) -> None:
    put(alice, "t")
    browser = Browser(site.base_url)
    browser.log_in("alice")
    for headers in ({"origin": EVIL}, {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}):
        assert browser(method, path, body, **headers).status == 403
        assert alice(method, path, body, **headers).status == 403
    assert browser(method, path, body, referer=f"{EVIL}/page").status == 403
    table = json.loads(alice("GET", "/account", None, accept="application/json").body)
    assert table["tables"] == 1
    assert browser("GET", "/account").status == 200


def test_another_site_s_script_is_not_told_what_a_user_sees(alice: Client) -> None:
    answer = alice("GET", "/account", None, origin=EVIL)
    # a star lets nobody send credentials along
    assert answer.headers["Access-Control-Allow-Credentials"] is None
    asked = alice("OPTIONS", "/tap/user_tables/t", None, origin=EVIL, access_control_request_method="PUT")
    assert "PUT" not in (asked.headers["Access-Control-Allow-Methods"] or "")


def test_a_session_is_new_at_each_login_and_over_at_its_end(site: Any) -> None:
    browser = Browser(site.base_url)
    browser.cookies["skyvault_session"] = "planted"
    browser.log_in("alice")
    first = browser.cookies["skyvault_session"]
    browser.log_in("alice")
    assert "planted" not in first and browser.cookies["skyvault_session"] != first
    # the form of one browser is no good in another
    other = Browser(site.base_url)
    form = {"USERNAME": "alice", "PASSWORD": PASSWORD, "CSRF": browser.csrf("/login"), "NEXT": "/"}
    assert other("POST", "/login", urlencode(form), origin=site.base_url).status == 403
    # nor is a session's text a token
    text = first.rpartition(".")[0]
    assert Client(site.base_url, {"Authorization": f"Bearer {text}"})("GET", "/account").status == 401


# --- guesses and what answers betray ----------------------------------------------------------------------------------


def test_a_wrong_password_takes_as_long_whether_or_not_there_is_such_a_user() -> None:
    kept = passwords.hashed(PASSWORD)

    def cpu_s(kept: str | None) -> float:
        began = time.thread_time()
        assert not passwords.is_right("a wrong password", kept)
        return time.thread_time() - began

    cpu_s(None)
    there, nobody = (statistics.median(cpu_s(one) for _ in range(7)) for one in (kept, None))
    assert 0.5 < there / nobody < 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/tap/user_tables/alice.{}", None),
        ("GET", "/tap/user_tables/alice.{}/rows", None),
        ("GET", "/tap/user_tables/alice.{}/destruction", None),
        ("GET", "/tap/user_tables/alice.{}/freeze", None),
        ("GET", "/tap/user_tables/alice.{}/shares", None),
        ("GET", "/tap/tables/tap_user.alice.{}", None),
        ("POST", "/tap/user_tables/alice.{}", "DESCRIPTION=x"),
        ("POST", "/tap/user_tables/alice.{}/index", "COLUMN=k"),
        ("POST", "/tap/user_tables/alice.{}/rows", "ra\n1\n"),
        ("POST", "/tap/user_tables/alice.{}/uploads", "LENGTH=1"),
        ("PUT", "/tap/user_tables/alice.{}", "a\n1\n"),
        ("PUT", "/tap/tables/alice.{}", "a\n1\n"),
        ("DELETE", "/tap/user_tables/alice.{}", None),
        ("POST", "/tap/table-update", "TABLE=alice.{}&INDEX=k"),
        ("POST", "/tap/sync", "LANG=ADQL&QUERY=SELECT+*+FROM+tap_user.alice.{}"),
        ("POST", "/tap/sync", "LANG=ADQL&QUERY=DROP+TABLE+tap_user.alice.{}"),
        ("POST", "/tap/sync", "LANG=ADQL&QUERY=CREATE+TABLE+tap_user.alice.{}+AS+SELECT+1+AS+a"),
    ],
)
def test_no_answer_tells_a_private_table_from_one_that_is_not_there(
    alice: Client, bob: Client, anybody: Client, method: str, path: str, body: str | None
) -> None:
    put(alice, "hidden")
    for asker in (bob, anybody):
        told = []
        for name in ("hidden", "absent"):
            answer = asker(method, path.format(name), None if body is None else body.format(name))
            shown = re.sub(r"line \d+, column \d+", "", answer.text.replace(name, "NAME"))
            told.append((answer.status, shown, sorted(name.lower() for name in answer.headers)))
        assert told[0] == told[1]
        assert told[0][0] in (400, 401, 403, 404)


def test_nor_does_a_user_s_name(anybody: Client, bob: Client) -> None:
    for asker in (anybody, bob):
        told = [asker("GET", f"/tap/user_tables/{name}.t") for name in ("alice", "zelda")]
        assert told[0].status == told[1].status == 404
        assert told[0].text.replace("alice", "") == told[1].text.replace("zelda", "")


def test_a_read_only_token_changes_nothing_by_detours(site: Any, alice: Client) -> None:
    put(alice, "t")
    reader = Client(site.base_url).with_token(make_token(site.home, "alice", "read"))
    for query in ("DROP TABLE tap_user.t", "/**/drop/**/table tap_user.t", "CREATE TABLE tap_user.u AS SELECT 1 AS a"):
        made = reader("POST", "/tap/async", urlencode({"LANG": "ADQL", "QUERY": "SELECT k FROM tap_user.t"}))
        path = urlsplit(made.headers["Location"]).path
        changed = reader("POST", f"{path}/parameters", urlencode({"QUERY": query})).status
        assert changed == (303 if query.startswith("/") else 403)
        ran = reader("POST", f"{path}/phase", "PHASE=RUN").status
        # what is no statement here runs as a query, and fails
        assert ran == 303
        assert (">ERROR<" in reader("GET", f"{path}?WAIT=20").text) == query.startswith("/")
        assert alice("GET", "/tap/user_tables/t").status == 200
        assert alice("GET", "/tap/user_tables/u").status == 404
    made = reader("POST", "/tap/async", urlencode({"LANG": "ADQL", "TABLE": "t", "INDEX": "k", "PHASE": "RUN"}))
    assert made.status in (400, 403, 303)
    assert "<flag>indexed</flag>" not in alice("GET", "/tap/user_tables/t").text.partition("<name>k")[2]
    assert reader("GET", "/account/tokens").status == 403
    assert reader("POST", "/account/tokens", "NAME=x&SCOPES=write").status == 403


# --- secrets in the wrong place ------------------------------------------------------------------------------------------


def test_a_token_in_an_address_is_refused(site: Any, anybody: Client) -> None:
    token = make_token(site.home, "alice")
    for path in (f"/account?access_token={token}", f"/tap/user_tables?token={token}", f"/tap/user_tables/{token}"):
        answer = anybody("GET", path)
        assert answer.status == 400 and "does not belong in an address" in answer.text
        assert token not in answer.text


def test_the_audit_log_tells_who_did_what_and_no_secret(site: Any, alice: Client) -> None:
    put(alice, "audited", b"ra,dec,word\n1,2,confidential\n")
    link = alice("POST", "/tap/user_tables/audited/shares", "LINK=true").text.split()[-1]
    secret = link.split(".")[1].removeprefix("link_")
    token = json.loads(alice("POST", "/account/tokens", "NAME=notebook").body)["token"]
    alice("DELETE", "/tap/user_tables/audited")
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        entries = ledger.audit.newest(6)
    told = [(one.actor, one.act, one.subject) for one in entries]
    assert ("alice", "create table", "audited") in told and ("alice", "drop table", "audited") in told
    assert any(act == "create token" for _, act, _ in told)
    text = " ".join(" ".join(one) for one in told)
    assert secret not in text and token.split("_")[2] not in text and "confidential" not in text


# --- names, headers, pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fledger.sqlite", "%2e%2e", "..", "%00t", "t%00", "t%0d%0aX-Evil:%201", "%ff", "t%2fu", "t;drop",
        "tap_user..t", "tap_user.alice.bob.t", "link_.t", "link_%25.t", "%E2%84%AAt", "con.", "a" * 5000,
    ],
)  # fmt: skip
def test_a_name_that_is_a_trick_is_no_table(site: Any, alice: Client, name: str) -> None:
    before = sorted(path.name for path in site.home.rglob("*.duckdb"))
    for method, body in (("PUT", ROWS), ("GET", None), ("DELETE", None)):
        answer = alice(method, f"/tap/user_tables/{name}", body)
        assert answer.status in (307, 400, 403, 404, 405, 414, 431), answer.text
        assert answer.headers["X-Evil"] is None
        assert str(site.home) not in answer.text
    assert sorted(path.name for path in site.home.rglob("*.duckdb")) == before


def test_what_users_call_things_is_no_markup(site: Any, alice: Client) -> None:
    script = "<script>alert(1)</script>"
    assert alice("POST", "/account/tokens", urlencode({"NAME": script})).status == 201
    page = alice("GET", "/account", None, accept="text/html,application/xhtml+xml").text
    assert script not in page and "&lt;script&gt;" in page
    put(alice, "t", f'"{script}"\n1\n'.encode())
    assert script not in alice("GET", "/tap/user_tables/t").text
    alice("POST", "/tap/user_tables/t", urlencode({"DESCRIPTION": "]]>" + script + "\r\nSet-Cookie: a=b"}))
    told = alice("GET", "/tap/user_tables/t")
    assert told.status == 200 and script not in told.text and told.headers["Set-Cookie"] is None


def test_a_host_that_is_made_up_breaks_no_header(site: Any) -> None:
    parts = urlsplit(site.base_url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(b'GET /tap/user_tables HTTP/1.1\r\nHost: a", x="b\\\r\nConnection: close\r\n\r\n')
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")
    offers = [line for line in answer.splitlines() if line.lower().startswith("www-authenticate: ivoa_cookie")]
    assert all(line.count('"') == 4 for line in offers)


# --- uploads that grow --------------------------------------------------------------------------------------------------


def bomb(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "entities":
        return (
            b'<!DOCTYPE a [<!ENTITY b "'
            + b"c" * 10_000
            + b'"><!ENTITY d "'
            + b"&b;" * 10_000
            + b'">]><VOTABLE>&d;</VOTABLE>'
        )
    if kind == "gzip":
        with gzip.GzipFile(fileobj=out, mode="wb") as file:
            file.write(b"a\n")
            for _ in range(300):
                file.write(b"1\n" * 500_000)
        return out.getvalue()
    if kind == "parquet":
        column = pa.array(["x" * 1_000_000] * 300)
        pq.write_table(pa.table({"a": column}), out, compression="zstd", use_dictionary=False, row_group_size=300)
    else:
        table = pa.table({"a": pa.repeat(0.0, 50_000_000)})
        with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["entities", "gzip", "parquet", "arrow"])
def test_a_bomb_is_refused_and_leaves_nothing(site: Any, alice: Client, kind: str) -> None:
    answer = put(alice, "bomb", bomb(kind), "application/octet-stream")
    assert answer.status in (400, 413), answer.text
    assert alice("GET", "/tap/user_tables/bomb").status == 404
    assert not list((site.home / "tmp").glob("upload-*"))


def test_a_definition_is_read_only_while_it_is_small(alice: Client) -> None:
    body = b"<vosi:table>" + b" " * 9_000_000 + b"</vosi:table>"
    assert alice("PUT", "/tap/tables/t", body, content_type="text/xml").status == 413


def test_a_table_is_shared_only_so_often(site: Any, alice: Client) -> None:
    put(alice, "t")
    with open_ledger(site.home / "ledger.sqlite") as ledger:
        table = ledger.user_tables.get(ledger.users.get("alice").id, "t")
        for number in range(MOST_GRANTS):
            ledger.user_tables.grant(table, "link", f"{number}", actor="alice")
    refused = alice("POST", "/tap/user_tables/t/shares", "LINK=true")
    assert refused.status == 507 and "shared 500 times already" in refused.text


def test_a_table_of_too_many_rows_is_refused_before_they_are_read(
    tmp_path: Path, start_server: Callable[..., Any]
) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    small = start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_USER_TABLE_ROWS="1000")
    alice = Client(small.base_url).as_user("alice")
    out = io.BytesIO()
    pq.write_table(pa.table({"a": range(1001)}), out)
    for body in (out.getvalue(), b"a\n" + b"1\n" * 1001):
        answer = put(alice, "t", body, "application/octet-stream")
        assert answer.status == 413 and "more than the 1" in answer.text and "rows" in answer.text
    assert ask(alice, "CREATE TABLE tap_user.t AS SELECT * FROM tap_schema.columns").status == 200
    assert json.loads(alice("GET", "/account").body)["tables"] == 1
