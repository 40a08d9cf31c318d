"""Tables that stay: put, queried, described, shared, kept, dropped, in three dialects."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from serve.accounts import PASSWORD, Client, make_token, make_users

VOTABLE = "application/x-votable+xml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("user-tables") / "home"
    make_users(home, "alice", "bob", "carol", groups={"survey": ("alice", "bob")})
    stars = home.parent / "stars.csv"
    rows = [f"{n},{(n * 37.3) % 360:.6f},{(n * 17.7) % 180 - 90:.6f},{n / 10}" for n in range(2000)]
    stars.write_text("id,ra,dec,mag\n" + "\n".join(rows) + "\n")
    from skyvault.publish.publisher import publish

    publish(stars, name="lab.stars", home=home)
    return start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_SNAPSHOT_GRACE_S="0")


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
    from skyvault.ledger.ledger import open_ledger

    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.user_tables.drop_all(None)


def table(rows: int = 50) -> Table:
    """Positions with UCDs, a delimited name, a text and a null."""
    made = Table()
    made["ra"] = np.linspace(10.0, 11.0, rows)
    made["dec"] = np.linspace(-5.0, 5.0, rows)
    made["3.6mag"] = np.arange(rows, dtype=np.float32)
    made["name"] = [f"star {n}" for n in range(rows)]
    for name, ucd in (("ra", "pos.eq.ra;meta.main"), ("dec", "pos.eq.dec;meta.main")):
        made[name].unit = "deg"
        made[name].meta["ucd"] = ucd
    made["3.6mag"].unit = "mag"
    made["3.6mag"].description = "how bright"
    return made


def votable(made: Table | None = None, form: str = "binary2") -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        # its remark that "3.6mag" is no XML identifier
        warnings.simplefilter("ignore", AstropyWarning)
        (table() if made is None else made).write(out, format="votable", tabledata_format=form)
    return out.getvalue()


def as_bytes(form: str) -> bytes:
    out = io.BytesIO()
    if form.startswith("votable/"):
        return votable(form=form.partition("/")[2])
    if form == "fits":
        table().write(out, format="fits")
        return out.getvalue()
    if form in ("csv", "ecsv", "tsv"):
        text = io.StringIO()
        table().write(text, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "tsv": "ascii.tab"}[form])
        return text.getvalue().encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.table({name: np.asarray(table()[name]).tolist() for name in table().colnames})
    if form == "parquet":
        pq.write_table(arrow, out)
    else:
        with pa.ipc.new_stream(out, arrow.schema) as writer:
            writer.write_table(arrow)
    return out.getvalue()


def ask(client: Client, query: str, **more: str) -> Any:
    form = {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv", **more}
    return client("POST", "/tap/sync", urlencode(form))


def column(answer: Any) -> list[str]:
    assert answer.status == 200, answer.text
    return answer.text.strip().split("\r\n" if "\r\n" in answer.text else "\n")[1:]


def put(client: Client, name: str, body: bytes | None = None, kind: str = VOTABLE, query: str = "") -> Any:
    return client("PUT", f"/tap/user_tables/{name}{query}", votable() if body is None else body, content_type=kind)


# --- the seed's story ------------------------------------------------------------------------------------------------


def test_a_table_is_put_queried_described_and_dropped_by_nobody_in_particular(anybody: Client) -> None:
    answer = put(anybody, "my_upload")
    assert answer.text == "Query this table as tap_user.my_upload\n"
    assert answer.headers["Content-Type"].startswith("text/plain")
    mean = column(ask(anybody, 'SELECT AVG("3.6mag") AS blue FROM tap_user.my_upload'))
    assert float(mean[0]) == 24.5
    told = anybody("GET", "/tap/user_tables/my_upload").text
    assert "<name>tap_user.my_upload</name>" in told
    assert '<name>"3.6mag"</name><description>how bright</description><unit>mag</unit>' in told.replace("&quot;", '"')
    assert anybody("DELETE", "/tap/user_tables/my_upload").text == "Dropped user table my_upload\n"
    assert anybody("GET", "/tap/user_tables/my_upload").status == 404
    assert ask(anybody, "SELECT * FROM tap_user.my_upload").status == 400


@pytest.mark.parametrize("name", ["join", "select", "3mag", "a-b", "%C3%A9t%C3%A9", "a%20b", "x" * 200, "%00", "a;b"])
def test_a_name_that_a_query_could_not_use_is_refused_as_dali_says(anybody: Client, name: str) -> None:
    answer = put(anybody, name)
    assert answer.status == 400
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert "cannot be the name of a table" in answer.text


def test_a_list_of_tables_is_for_users_who_are_logged_in(anybody: Client, alice: Client) -> None:
    put(anybody, "hidden")
    put(alice, "privtab")
    refused = anybody("GET", "/tap/user_tables")
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    listed = alice("GET", "/tap/user_tables").text
    assert "<name>tap_user.privtab</name>" in listed and "vtm:tableset" in listed
    assert "hidden" not in listed
    # nor does it join the list of what is published
    assert "privtab" not in alice("GET", "/tap/tables").text
    assert "hidden" not in ask(anybody, "SELECT table_name FROM TAP_SCHEMA.tables").text


def test_create_table_as_keeps_a_sample_with_its_metadata(anybody: Client) -> None:
    answer = ask(anybody, "create table tap_user.smallstars AS SELECT * FROM lab.stars TABLESAMPLE(50)")
    assert answer.status == 200
    assert "tap_user.smallstars" in answer.text
    count = int(column(ask(anybody, "SELECT COUNT(*) AS n FROM tap_user.smallstars"))[0])
    assert 500 < count < 1500
    told = anybody("GET", "/tap/user_tables/smallstars").text
    assert "<ucd>pos.eq.ra;meta.main</ucd>" in told and "<flag>indexed</flag>" in told


def test_the_private_copy_of_a_user_is_another_table_than_that_of_everybody(anybody: Client, alice: Client) -> None:
    put(anybody, "same", votable(table(3)))
    put(alice, "same", votable(table(7)))
    query = "SELECT COUNT(*) AS n FROM tap_user.same"
    assert (column(ask(anybody, query)), column(ask(alice, query))) == (["3"], ["7"])
    anybody("DELETE", "/tap/user_tables/same")
    assert column(ask(alice, query)) == ["7"]
    # whoever is logged in still reaches the shared space
    put(anybody, "same", votable(table(4)))
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.anonymous.same")) == ["4"]


def test_the_shared_space_is_everybody_s_and_can_be_closed(
    tmp_path: Path, start_server: Callable[..., Any], anybody: Client, alice: Client
) -> None:
    # whoever knows a name may look, replace, add, keep, rename and drop; and nobody is told names
    put(anybody, "ours")
    other = Client(anybody.base_url)
    assert other("GET", "/tap/user_tables/ours").status == 200
    assert put(other, "ours", votable(table(3))).status == 200
    assert other("POST", "/tap/user_tables/ours", "NAME=theirs").status == 200
    assert other("DELETE", "/tap/user_tables/theirs").status == 200
    # what nobody owns is neither lent nor frozen, and what somebody owns is not reached by way of it
    put(anybody, "ours")
    for child in ("shares", "freeze"):
        assert anybody("POST", f"/tap/user_tables/ours/{child}", "LINK=true").status == 401
    put(alice, "mine")
    assert anybody("GET", "/tap/user_tables/mine").status == 404
    assert alice("DELETE", "/tap/user_tables/anonymous.ours").status == 403
    home = tmp_path / "home"
    make_users(home, "alice")
    closed = start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_USER_TABLES_ANONYMOUS="false")
    stranger, known = Client(closed.base_url), Client(closed.base_url).as_user("alice")
    assert put(stranger, "t").status == 401
    assert ask(stranger, "CREATE TABLE tap_user.t AS SELECT schema_name FROM tap_schema.schemas").status == 401
    assert put(known, "t").status == 201
    assert "anonymous" not in known("GET", "/tap/user_tables").text


# --- formats, positions -----------------------------------------------------------------------------------------------

FORMS = ["votable/binary2", "votable/binary", "votable/tabledata", "csv", "tsv", "ecsv", "fits", "parquet", "arrow"]


@pytest.mark.parametrize("form", FORMS)
def test_every_format_comes_in(alice: Client, form: str) -> None:
    kind = {"csv": "text/csv", "tsv": "text/tab-separated-values", "fits": "application/fits"}.get(form, VOTABLE)
    answer = put(alice, "t", as_bytes(form), kind)
    assert answer.status == 201, answer.text
    assert column(ask(alice, 'SELECT name FROM tap_user.t WHERE "3.6mag" = 7')) == ["star 7"]
    # a position is found by its UCD, or by its usual names
    assert column(ask(alice, "SELECT name FROM tap_user.t WHERE DISTANCE(ra, dec, 10.0, -5.0) < 0.01")) == ["star 0"]


@pytest.mark.parametrize("form", ["votable", "csv", "tsv", "fits", "parquet", "arrow", "ecsv", "json"])
def test_every_format_goes_out(alice: Client, form: str) -> None:
    put(alice, "t")
    answer = alice("GET", f"/tap/user_tables/t/rows?RESPONSEFORMAT={form}")
    assert answer.status == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    if form != "json":
        assert (
            put(
                alice,
                "again",
                answer.body,
                "application/octet-stream" if form != "tsv" else "text/tab-separated-values",
            ).status
            == 201
        )
        assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.again")) == ["50"]


def test_a_position_of_other_names_is_indexed_on_request(alice: Client) -> None:
    body = b"lon,lat,k\n10,20,1\n10.001,20,2\n200,-20,3\n"
    assert put(alice, "p", body, "text/csv", "?POSITION=lon,lat").status == 201
    assert alice("GET", "/tap/user_tables/p").text.count("<flag>indexed</flag>") == 2
    assert put(alice, "q", body, "text/csv").status == 201
    assert "<flag>indexed</flag>" not in alice("GET", "/tap/user_tables/q").text
    assert alice("POST", "/tap/user_tables/q/index", "POSITION=lon,lat").status == 200
    assert alice("POST", "/tap/user_tables/q/index", "COLUMN=k").status == 200
    assert alice("GET", "/tap/user_tables/q").text.count("<flag>indexed</flag>") == 3
    query = "SELECT k FROM tap_user.{} WHERE DISTANCE(lon, lat, 10, 20) < 0.01 ORDER BY k"
    assert column(ask(alice, query.format("p"))) == column(ask(alice, query.format("q"))) == ["1", "2"]
    assert column(ask(alice, "SELECT lat FROM tap_user.q WHERE k = 3")) == ["-20"]
    assert put(alice, "r", body, "text/csv", "?POSITION=lon,nothing").status == 400


def test_a_column_of_regions_is_indexed_and_asked(alice: Client) -> None:
    field = '<FIELD name="s_region" datatype="char" arraysize="*" xtype="adql:REGION"/><FIELD name="k" datatype="int"/>'
    body = "".join(f"<TR><TD>CIRCLE ICRS {10 * n} 0 1</TD><TD>{n}</TD></TR>" for n in range(20))
    document = (
        f"<VOTABLE><RESOURCE><TABLE>{field}<DATA><TABLEDATA>{body}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    assert put(alice, "fields", document.encode()).status == 201
    assert column(ask(alice, "SELECT k FROM tap_user.fields WHERE 1 = CONTAINS(POINT(30.2, 0.1), s_region)")) == ["3"]
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.fields WHERE s_region IS NOT NULL")) == ["20"]


def test_a_row_that_is_not_on_the_sky_stays_but_no_cone_finds_it(alice: Client) -> None:
    put(alice, "t", b"ra,dec,k\n10,20,1\n10,200,2\n999999,20,3\n,,4\n", "text/csv")
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.t")) == ["4"]
    assert column(ask(alice, "SELECT k FROM tap_user.t WHERE DISTANCE(ra, dec, 10, 20) < 180")) == ["1"]


# --- bad input --------------------------------------------------------------------------------------------------------


TWICE = (
    b'<VOTABLE><RESOURCE><TABLE><FIELD name="a" datatype="int"/><FIELD name="a" datatype="int"/><DATA><TABLEDATA>'
    b"<TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\x00\x01\x02", 400),
        (TWICE, 400),
        (b"a,b\n1,2\n1,2,3\n", 400),
        (b"<VOTABLE", 400),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><VOTABLE/>', 400),
        (b"\x89HDF\r\n", 400),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(alice: Client, site: Any, body: bytes, status: int) -> None:
    before = sorted(path.name for path in (site.home / "store").iterdir())
    answer = put(alice, "bad", body, "text/csv")
    assert answer.status == status
    assert str(site.home) not in answer.text and "upload-" not in answer.text
    assert alice("GET", "/tap/user_tables/bad").status == 404
    assert sorted(path.name for path in (site.home / "store").iterdir()) == before
    assert not list((site.home / "tmp").glob("upload-*"))


def test_a_broken_table_leaves_the_one_before_untouched(alice: Client) -> None:
    put(alice, "t", votable(table(5)))
    assert put(alice, "t", votable(table(5000))[:-3000]).status == 400
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.t")) == ["5"]


def test_a_client_that_breaks_off_leaves_nothing(alice: Client, site: Any) -> None:
    parts = urlsplit(site.base_url)
    body = votable(table(5000))
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"PUT /tap/user_tables/gone HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: {alice.headers['Authorization']}\r\n\r\n"
        connection.sendall(head.encode() + body[: len(body) // 2])
    deadline = time.monotonic() + 10
    while list((site.home / "tmp").glob("upload-*")) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    assert not list((site.home / "tmp").glob("upload-*"))
    assert alice("GET", "/tap/user_tables/gone").status == 404


def test_quotas_are_told_with_413_and_507(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    small = start_server(
        home,
        SKYVAULT_USER_TABLES="true",
        SKYVAULT_USER_TABLE_BYTES="200kB",
        SKYVAULT_USER_QUOTA_TABLES="2",
        SKYVAULT_USER_ANONYMOUS_QUOTA_BYTES="1000",
        SKYVAULT_USER_TABLES_ANONYMOUS="true",
    )
    alice = Client(small.base_url).as_user("alice")
    assert put(alice, "large", b"a,b\n" + b"1,2\n" * 100_000, "text/csv").status == 413
    assert put(Client(small.base_url), "mine").status == 507
    assert [put(alice, name).status for name in ("a", "b", "c", "a")] == [201, 201, 507, 200]
    assert ask(alice, "CREATE TABLE tap_user.d AS SELECT * FROM tap_user.a").status == 507
    assert json.loads(alice("GET", "/account").body)["tables"] == 2
    alice("DELETE", "/tap/user_tables/b")
    assert put(alice, "c").status == 201


def test_nothing_of_it_is_there_unless_the_operator_wants_it(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    alice = Client(start_server(home).base_url).as_user("alice")
    assert put(alice, "t").status in (404, 405)
    assert alice("GET", "/tap/user_tables").status == 404
    assert alice("GET", "/tap/user_tables/t").status == 404
    assert alice("PUT", "/tap/tables/t", votable()).status == 405
    assert alice("POST", "/tap/load/t", b"a\n1\n").status in (404, 405)
    for text in ("CREATE TABLE tap_user.t AS SELECT 1 AS a", "DROP TABLE tap_user.t", "SELECT * FROM tap_user.t"):
        assert ask(alice, text).status == 400


# --- statements -------------------------------------------------------------------------------------------------------


def test_create_and_drop_by_a_job(alice: Client) -> None:
    form = {"LANG": "ADQL", "QUERY": "CREATE TABLE tap_user.j AS SELECT id, mag FROM lab.stars", "PHASE": "RUN"}
    job = alice("POST", "/tap/async", urlencode(form)).headers["Location"]
    path = urlsplit(job).path
    done = alice("GET", f"{path}?WAIT=20").text
    assert ">COMPLETED<" in done, done
    assert ">alice<" in done
    assert b"<VOTABLE" in alice("GET", f"{path}/results/result").body
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.j")) == ["2000"]
    assert ask(alice, "DROP TABLE tap_user.j").status == 200
    assert ask(alice, "DROP TABLE tap_user.j").status == 404
    assert ask(alice, "DROP TABLE IF EXISTS tap_user.j").status == 200


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("CREATE TABLE lab.stars AS SELECT 1 AS a", 400),
        ("CREATE TABLE x AS SELECT 1 AS a", 400),
        ("CREATE TABLE tap_user.select AS SELECT 1 AS a", 400),
        ('CREATE TABLE tap_user."a b" AS SELECT 1 AS a', 400),
        ("CREATE TABLE tap_user.x AS", 400),
        ("CREATE TABLE tap_user.x", 400),
        ("CREATE TABLE tap_user.x AS SELECT nothing FROM lab.stars", 400),
        ("CREATE TABLE tap_user.x AS DROP TABLE tap_user.y", 400),
        ("CREATE VIEW tap_user.x AS SELECT 1 AS a", 400),
        ("DROP TABLE lab.stars", 400),
        ("DROP TABLE tap_user.a, tap_user.b", 400),
        ("DROP SCHEMA tap_user", 400),
        ("CREATE TABLE tap_user.bob.x AS SELECT id FROM lab.stars", 403),
        ("DROP TABLE tap_user.bob.x", 404),
        ("INSERT INTO tap_user.x VALUES (1)", 400),
    ],
)
def test_a_statement_that_cannot_be_is_refused(alice: Client, text: str, status: int) -> None:
    answer = ask(alice, text)
    assert answer.status == status, answer.text
    assert "ERROR" in answer.text


def test_the_place_of_a_mistake_is_that_in_the_whole_text(alice: Client) -> None:
    answer = ask(alice, "CREATE TABLE tap_user.x AS\nSELECT mgg\nFROM lab.stars")
    assert "line 2, column 8" in answer.text


def test_a_link_that_is_clicked_changes_nothing(alice: Client) -> None:
    put(alice, "t")
    for text in ("DROP TABLE tap_user.t", "CREATE TABLE tap_user.u AS SELECT * FROM tap_user.t"):
        assert alice("GET", "/tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": text})).status == 400
    assert alice("GET", "/tap/user_tables/t").status == 200
    assert alice("GET", "/tap/user_tables/u").status == 404


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    answers: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(i: int) -> None:
        start.wait(30)
        answers[i] = act(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_of_many_who_create_one_table_exactly_one_wins(alice: Client) -> None:
    answers = at_once(40, lambda i: ask(alice, f"CREATE TABLE tap_user.one AS SELECT {i} AS who FROM lab.stars").status)
    assert sorted(answers) == [200] + [409] * 39
    winner = answers.index(200)
    assert set(column(ask(alice, "SELECT DISTINCT who FROM tap_user.one"))) == {str(winner)}


async def _asked_at_once(client: Client, queries: list[str]) -> list[int]:
    """The status of each query; all connections are open before the first is asked, and all are asked at once."""
    parts = urlsplit(client.base_url)
    opened = [await asyncio.open_connection(parts.hostname, parts.port) for _ in queries]

    async def ask_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, query: str) -> int:
        body = urlencode({"LANG": "ADQL", "QUERY": query}).encode()
        head = (
            f"POST /tap/sync HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nAuthorization: {client.headers['Authorization']}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    return await asyncio.gather(*(ask_on(*both, query) for both, query in zip(opened, queries, strict=True)))


def test_of_a_thousand_who_create_one_table_exactly_one_wins(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    # two processes that know of each other by the ledger alone; all come from one address
    site = start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_WORKERS="2", SKYVAULT_REQUESTS_PER_MINUTE="100000")
    alice = Client(site.base_url).with_token(make_token(home, "alice"))
    queries = [f"CREATE TABLE tap_user.one AS SELECT {n} AS who FROM tap_schema.columns" for n in range(1000)]
    answers = asyncio.run(_asked_at_once(alice, queries))
    assert {status: answers.count(status) for status in set(answers)} == {200: 1, 409: 999}
    assert set(column(ask(alice, "SELECT DISTINCT who FROM tap_user.one"))) == {str(answers.index(200))}


def test_of_many_who_put_one_table_the_last_one_stays_whole(alice: Client) -> None:
    bodies = {n: votable(table(n)) for n in range(10, 20)}
    answers = at_once(10, lambda i: put(alice, "one", bodies[10 + i]).status)
    assert set(answers) <= {200, 201}
    (count,) = column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.one"))
    assert 10 <= int(count) < 20
    body = votable()
    only_new = at_once(8, lambda i: alice("PUT", "/tap/user_tables/new", body, if_none_match="*").status)
    assert sorted(only_new) == [201] + [409] * 7


# --- sharing ----------------------------------------------------------------------------------------------------------


def test_a_table_is_shared_with_a_user_a_group_and_by_link_and_taken_back(
    alice: Client, bob: Client, anybody: Client
) -> None:
    put(alice, "s")
    put(alice, "secret")
    carol = anybody.as_user("carol")
    theirs = "SELECT COUNT(*) AS n FROM tap_user.alice.s"
    assert {ask(one, theirs).status for one in (bob, carol, anybody)} == {400}
    assert bob("GET", "/tap/user_tables/alice.s").status == 404

    assert alice("POST", "/tap/user_tables/s/shares", "USER=bob").status == 200
    assert column(ask(bob, theirs)) == ["50"]
    assert ask(carol, theirs).status == 400
    assert bob("GET", "/tap/user_tables/alice.s").status == 200
    assert "alice" in bob("GET", "/tap/user_tables").text
    assert bob("DELETE", "/tap/user_tables/alice.s").status == 403
    assert ask(bob, "DROP TABLE tap_user.alice.s").status == 403
    assert bob("GET", "/tap/user_tables/alice.s/shares").status == 403
    assert ask(bob, "SELECT * FROM tap_user.alice.secret").status == 400
    assert alice("DELETE", "/tap/user_tables/s/shares?USER=bob").status == 200
    assert ask(bob, theirs).status == 400
    assert bob("GET", "/tap/user_tables/alice.s").status == 404

    assert alice("POST", "/tap/user_tables/s/shares", "GROUP=survey").status == 200
    assert column(ask(bob, theirs)) == ["50"]
    assert ask(carol, theirs).status == 400
    assert alice("POST", "/tap/user_tables/s/shares", "GROUP=others").status == 404

    told = alice("POST", "/tap/user_tables/s/shares", "LINK=true").text
    name = told.split()[-1]
    assert column(ask(anybody, f"SELECT COUNT(*) AS n FROM {name}")) == ["50"]
    assert ask(anybody, f"SELECT COUNT(*) AS n FROM {name.rpartition('.')[0]}.secret").status == 400
    assert [one["kind"] for one in json.loads(alice("GET", "/tap/user_tables/s/shares").body)] == ["group", "link"]
    assert alice("DELETE", "/tap/user_tables/s/shares?LINK=true").status == 200
    assert ask(anybody, f"SELECT COUNT(*) AS n FROM {name}").status == 400


def test_an_error_hints_at_nobody_s_table_but_one_s_own(alice: Client, bob: Client, anybody: Client) -> None:
    put(alice, "observations")
    put(anybody, "observatory")
    assert "observations" in ask(alice, "SELECT * FROM tap_user.observation").text.replace("tap_user.observation ", "")
    for other in (bob, anybody):
        told = ask(other, "SELECT * FROM tap_user.observatio").text
        assert "observations" not in told and "observatory" not in told


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_table_may_be_kept_longer_within_limits_or_ended_now(alice: Client, anybody: Client) -> None:
    put(alice, "t")
    first = alice("GET", "/tap/user_tables/t/destruction").text
    assert "Warning" not in alice("GET", "/tap/user_tables/t").headers
    later = alice("POST", "/tap/user_tables/t/destruction", "DESTRUCTION=2099-01-01T00:00:00Z").text
    assert first < later < "2099"
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    assert alice("POST", "/tap/user_tables/t/destruction", f"DESTRUCTION={soon}").status == 200
    told = alice("GET", "/tap/user_tables/t")
    assert "dropped at" in told.headers["Warning"] and told.headers["Sunset"].endswith("GMT")
    assert alice("POST", "/tap/user_tables/t/destruction", "DESTRUCTION=2001-01-01T00:00:00Z").status == 200
    assert alice("GET", "/tap/user_tables/t").status == 404
    assert put(alice, "t").status == 201
    put(anybody, "t")
    until = anybody("POST", "/tap/user_tables/t/destruction", "DESTRUCTION=2099-01-01T00:00:00Z").text
    assert until < later


def test_what_is_over_goes_but_not_under_a_query_that_reads_it(tmp_path: Path) -> None:
    from skyvault.config import Settings
    from skyvault.formats import open_table
    from skyvault.ledger.user_tables import Space
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits
    from skyvault.store.user_keep import Keep, UserKeeper
    from skyvault.store.user_space import Reader

    settings = Settings(home=tmp_path, user_tables=True, snapshot_grace_s=0.0)
    with DuckStore(settings) as store:
        keeper = UserKeeper(store.layout, store.ledger, settings)
        body = b"ra,dec,k\n" + b"".join(b"%d,%d,%d\n" % (n % 360, n % 90, n) for n in range(200_000))
        kept = keeper.keep(open_table(body), Keep("u1", "t", Space(10**9, 10), 3600.0))
        file = store.layout.store / kept.snapshot
        answer = store.query("SELECT * FROM tap_user.t", Limits(), reader=Reader("u1"))
        rows = next(answer.stream.batches).num_rows
        store.ledger.user_tables.change(kept, destruction_time=1.0)
        store.collect()
        assert store.ledger.user_tables.find("u1", "t") is None
        assert store.ledger.user_tables.of("u1") == []
        assert file.exists(), "a query reads it"
        rows += sum(batch.num_rows for batch in answer.stream.batches)
        assert rows == 200_000
        answer.close()
        store.collect()
        assert not file.exists()
        assert store.ledger.user_tables.usage("u1").lingering_bytes == 0


# --- changing it ------------------------------------------------------------------------------------------------------


def test_rows_are_added_a_name_and_descriptions_changed(alice: Client) -> None:
    put(alice, "t", b"a,b\n1,x\n", "text/csv")
    assert alice("POST", "/tap/user_tables/t/rows", b"b,a\ny,2\n", content_type="text/csv").status == 200
    assert alice("POST", "/tap/user_tables/t/rows", b"a\n3\n", content_type="text/csv").status == 200
    assert column(ask(alice, "SELECT a, b FROM tap_user.t ORDER BY a")) == ["1,x", "2,y", "3,"]
    assert alice("POST", "/tap/user_tables/t/rows", b"c\n3\n", content_type="text/csv").status == 400
    assert alice("POST", "/tap/user_tables/t/rows", b"a\nword\n", content_type="text/csv").status == 400
    put(alice, "taken")
    assert alice("POST", "/tap/user_tables/t", "NAME=taken").status == 409
    assert alice("POST", "/tap/user_tables/t", "NAME=join").status == 400
    assert alice("POST", "/tap/user_tables/t", "NAME=u&DESCRIPTION=words").status == 200
    assert alice("POST", "/tap/user_tables/u", "COLUMN=a&UNIT=mag&UCD=phot.mag").status == 200
    told = alice("GET", "/tap/user_tables/u").text
    assert "<description>words</description>" in told and "<unit>mag</unit><ucd>phot.mag</ucd>" in told
    assert alice("GET", "/tap/user_tables/t").status == 404
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.u")) == ["3"]


def test_a_frozen_table_stays_as_it_is_and_can_be_cited(alice: Client) -> None:
    import hashlib

    put(alice, "f")
    told = json.loads(alice("POST", "/tap/user_tables/f/freeze", "").body)
    rows = alice("GET", "/tap/user_tables/f/rows?RESPONSEFORMAT=csv").body
    assert told["sha256"] == hashlib.sha256(rows).hexdigest()
    assert told["sha256"] in told["citation"] and "alice" in told["citation"]
    assert put(alice, "f").status == 409
    assert alice("POST", "/tap/user_tables/f/rows", b"ra\n1\n", content_type="text/csv").status == 409
    assert alice("POST", "/tap/user_tables/f", "DESCRIPTION=other").status == 409
    assert alice("DELETE", "/tap/user_tables/f").status == 200


def test_the_result_of_a_job_becomes_a_table_by_one_call(alice: Client, bob: Client) -> None:
    form = {"LANG": "ADQL", "QUERY": "SELECT TOP 10 * FROM lab.stars", "PHASE": "RUN"}
    job = urlsplit(alice("POST", "/tap/async", urlencode(form)).headers["Location"]).path
    assert ">COMPLETED<" in alice("GET", f"{job}?WAIT=20").text
    number = job.rpartition("/")[2]
    assert bob("POST", "/tap/user_tables/kept", f"JOB={number}").status == 404
    assert alice("POST", "/tap/user_tables/kept", f"JOB={number}").status == 201
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.kept")) == ["10"]


# --- the other dialects -----------------------------------------------------------------------------------------------


@pytest.fixture
def _leaves_sockets() -> Iterator[None]:
    """pyvo leaves answers unread and their sockets open; they are collected here, where they are expected."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("_leaves_sockets")
def test_pyvo_s_prototype_of_cadc_s_calls_works(site: Any) -> None:
    import pyvo
    import requests
    from pyvo.utils import activate_features

    activate_features("cadc-tb-upload")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {make_token(site.home, 'alice')}"
        service = pyvo.dal.TAPService(site.tap, session=session)
        definition = (
            '<vosi:table xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" xmlns:xsi='
            '"http://www.w3.org/2001/XMLSchema-instance" xmlns:vod="http://www.ivoa.net/xml/VODataService/v1.1">'
            "<name>tap_user.cadc</name><column><name>article</name><ucd>meta.id</ucd>"
            '<dataType xsi:type="vod:VOTableType" arraysize="30*">char</dataType></column>'
            '<column><name>cites</name><dataType xsi:type="vod:VOTableType">long</dataType></column></vosi:table>'
        )
        service.create_table("tap_user.cadc", io.BytesIO(definition.encode()))
        service.load_table("tap_user.cadc", io.StringIO("article\tcites\nart1\t1\nart2\t2\n"))
        service.load_table("tap_user.cadc", io.StringIO("article,cites\nart3,3\n"), format="csv")
        service.create_index("tap_user.cadc", "cites")
        rows = service.search("SELECT article FROM tap_user.cadc WHERE cites = 3")
        assert list(rows["article"]) == ["art3"]
        assert "<flag>indexed</flag>" in session.get(f"{site.tap}/tables/tap_user.cadc").text
        service.remove_table("tap_user.cadc")
        assert session.get(f"{site.tap}/tables/tap_user.cadc").status_code == 404
        service.create_table("tap_user.vot", io.BytesIO(votable()), format="VOTable")
        assert len(service.search("SELECT * FROM tap_user.vot")) == 50


@pytest.mark.usefixtures("_leaves_sockets")
def test_pyvo_queries_private_tables_with_a_password(site: Any, alice: Client) -> None:
    import pyvo
    import requests

    put(alice, "mine")
    with requests.Session() as session:
        session.auth = ("alice", PASSWORD)
        service = pyvo.dal.TAPService(site.tap, session=session)
        near = "1 = CONTAINS(POINT(ra, dec), CIRCLE(10.0, -5.0, 0.5))"
        assert len(service.search(f"SELECT * FROM tap_user.mine WHERE {near}")) == len(
            service.run_async(f"SELECT * FROM tap_user.mine WHERE {near}")
        )


def test_a_cone_in_a_user_table_joins_what_is_published(alice: Client) -> None:
    ask(alice, "CREATE TABLE tap_user.sample AS SELECT * FROM lab.stars WHERE id < 100")
    pairs = column(
        ask(
            alice,
            "SELECT COUNT(*) AS n FROM tap_user.sample AS a JOIN lab.stars AS b"
            " ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.0001",
        )
    )
    assert int(pairs[0]) >= 100


def test_a_shared_table_of_a_removed_user_is_gone(site: Any, alice: Client, skyvault: Callable[..., Any]) -> None:
    here = {"SKYVAULT_HOME": str(site.home)}
    skyvault("users", "add", "dave", "--password-stdin", stdin=f"{PASSWORD}\n", env=here)
    dave = Client(site.base_url).as_user("dave")
    put(dave, "d")
    dave("POST", "/tap/user_tables/d/shares", "USER=alice")
    assert column(ask(alice, "SELECT COUNT(*) AS n FROM tap_user.dave.d")) == ["50"]
    assert skyvault("users", "remove", "dave", "--yes", env=here).code == 0
    assert ask(alice, "SELECT COUNT(*) AS n FROM tap_user.dave.d").status == 400
    put(alice, "p")
    assert "1 tables" in skyvault("users", "purge-tables", "--all", "--yes", env=here).out
    assert alice("GET", "/tap/user_tables/p").status == 404
