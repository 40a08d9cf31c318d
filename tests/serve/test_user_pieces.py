"""Tables that come in pieces: continued after every break, visible when whole, their sender's alone, not for ever."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from serve.accounts import Client, make_users
from skyvault.errors import NotFound
from skyvault.store.user_pieces import PiecedUpload, PiecedUploads

BODY = b"ra,dec,k\n" + b"".join(b"%d,%d,%d\n" % (n % 360, n % 90, n) for n in range(40_000))
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Any:
    home = tmp_path_factory.mktemp("pieces") / "home"
    make_users(home, "alice", "bob")
    return start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_SNAPSHOT_GRACE_S="0")


@pytest.fixture
def alice(site: Any) -> Iterator[Client]:
    yield Client(site.base_url).as_user("alice")
    from skyvault.ledger.ledger import open_ledger

    with open_ledger(site.home / "ledger.sqlite") as ledger:
        ledger.user_tables.drop_all(None)


def begin(client: Client, name: str = "t", **form: Any) -> str:
    answer = client("POST", f"/tap/user_tables/{name}/uploads", urlencode({"LENGTH": len(BODY), **form}))
    assert answer.status == 201, answer.text
    return urlsplit(answer.headers["Location"]).path


def send(client: Client, place: str, first: int, piece: bytes, length: int = len(BODY)) -> Any:
    return client("PUT", place, piece, content_range=f"bytes {first}-{first + len(piece) - 1}/{length}")


def state(client: Client, place: str) -> Any:
    return json.loads(client("GET", place).body)


def count(client: Client, name: str = "t") -> int:
    form = {"LANG": "ADQL", "FORMAT": "csv", "QUERY": f"SELECT COUNT(*) AS n FROM tap_user.{name}"}
    answer = client("POST", "/tap/sync", urlencode(form))
    assert answer.status == 200, answer.text
    return int(answer.text.split()[1])


def cut_off(site: Any, client: Client, place: str, first: int, sent: bytes, announced: int) -> None:
    """A piece whose connection breaks after ``sent``."""
    parts = urlsplit(site.base_url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = (
            f"PUT {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n"
            f"Content-Range: bytes {first}-{first + announced - 1}/{len(BODY)}\r\n"
            f"Authorization: {client.headers['Authorization']}\r\n\r\n"
        )
        connection.sendall(head.encode() + sent)


def settled(client: Client, place: str, least: int) -> int:
    """How much has arrived, once the server has seen that the connection broke."""
    deadline = time.monotonic() + 10
    while True:
        here = state(client, place)["received"]
        if here >= least or time.monotonic() > deadline:
            return int(here)
        threading.Event().wait(0.01)


def test_pieces_become_a_table_when_all_are_there(alice: Client) -> None:
    place = begin(alice, SHA256=SHA256)
    half = len(BODY) // 2
    assert send(alice, place, 0, BODY[:half]).status == 200
    assert alice("POST", place).status == 409
    assert alice("GET", "/tap/user_tables/t").status == 404
    assert json.loads(send(alice, place, half, BODY[half:]).body)["received"] == len(BODY)
    assert alice("GET", "/tap/user_tables/t").status == 404
    done = alice("POST", place)
    assert done.status == 201 and done.text == "Query this table as tap_user.t\n"
    assert count(alice) == 40_000
    # whoever did not hear the answer asks again
    again = alice("POST", place)
    assert (again.status, again.text) == (201, done.text)
    assert state(alice, place)["state"] == "done"
    assert json.loads(alice("GET", "/tap/user_tables/t/uploads").body) == []


def test_an_upload_that_is_cut_at_random_bytes_goes_on_from_there(site: Any, alice: Client) -> None:
    chance = random.Random(3)
    place, here = begin(alice, SHA256=SHA256), 0
    for _ in range(12):
        stop = min(len(BODY) - 1, here + chance.randrange(1, 80_000))
        cut_off(site, alice, place, here, BODY[here:stop], len(BODY) - here)
        here = settled(alice, place, stop)
        assert here == stop, "what was sent before the break is kept"
        assert alice("GET", "/tap/user_tables/t").status == 404
    # a connection that broke a moment ago may still be held
    for _ in range(100):
        answer = send(alice, place, here, BODY[here:])
        if answer.status != 503:
            break
    assert answer.status == 200, answer.text
    assert alice("POST", place).status == 201
    assert count(alice) == 40_000


def test_rows_sent_in_pieces_are_added_once(alice: Client) -> None:
    alice("PUT", "/tap/user_tables/t", b"ra,dec,k\n1,2,3\n", content_type="text/csv")
    place = begin(alice, APPEND="true")
    send(alice, place, 0, BODY)
    assert [alice("POST", place).status for _ in range(2)] == [200, 200]
    assert count(alice) == 40_001


@pytest.mark.parametrize(
    ("name", "form", "status"),
    [
        ("t", {"LENGTH": "0"}, 400),
        ("t", {"LENGTH": "-3"}, 400),
        ("t", {"LENGTH": "many"}, 400),
        ("t", {"LENGTH": ""}, 400),
        ("t", {"LENGTH": "3000000000"}, 413),
        ("t", {"SHA256": "abc"}, 400),
        ("join", {}, 400),
        ("bob.t", {}, 403),
        ("nothing", {"APPEND": "true"}, 404),
    ],
)
def test_an_upload_that_cannot_be_is_refused_at_its_beginning(
    alice: Client, name: str, form: dict[str, str], status: int
) -> None:
    answer = alice("POST", f"/tap/user_tables/{name}/uploads", urlencode({"LENGTH": len(BODY), **form}))
    assert answer.status == status, answer.text


@pytest.mark.parametrize(
    "said", ["", "bytes 0-9", "bytes 9-0/{n}", "bytes 0-9/17", "bytes -9/{n}", "bytes 0-{n}/{n}", "lines 0-9/{n}"]
)
def test_a_piece_whose_place_is_nonsense_is_refused(alice: Client, said: str) -> None:
    place = begin(alice)
    answer = alice("PUT", place, BODY[:10], **({"content_range": said.format(n=len(BODY))} if said else {}))
    assert answer.status == 400
    assert state(alice, place)["received"] == 0


def test_a_piece_that_leaves_a_gap_or_is_too_long_changes_nothing(alice: Client) -> None:
    place = begin(alice)
    assert send(alice, place, 0, BODY[:100]).status == 200
    assert send(alice, place, 50, BODY[50:200]).status == 409
    gap = send(alice, place, 300, BODY[300:400])
    assert gap.status == 409 and "100 bytes have arrived" in gap.text
    assert alice("PUT", place, BODY[100:300], content_range=f"bytes 100-199/{len(BODY)}").status == 400
    assert state(alice, place)["received"] == 100


def test_what_arrived_wrong_is_no_table(alice: Client) -> None:
    place = begin(alice, SHA256=SHA256)
    send(alice, place, 0, BODY[:-1] + b"7")
    answer = alice("POST", place)
    assert answer.status == 400 and "checksum" in answer.text
    assert alice("GET", place).status == 404
    place = begin(alice)
    send(alice, place, 0, b"\x89HDF" + BODY[4:])
    assert alice("POST", place).status == 400
    assert alice("GET", "/tap/user_tables/t").status == 404


def test_a_table_that_is_there_is_kept_where_only_new_ones_are_wanted(alice: Client) -> None:
    place = begin(alice, NEW="true")
    send(alice, place, 0, BODY)
    alice("PUT", "/tap/user_tables/t", b"a,b\n1,2\n", content_type="text/csv")
    assert alice("POST", place).status == 409
    assert count(alice) == 1
    alice("DELETE", "/tap/user_tables/t")
    # nothing was lost by the refusal
    assert alice("POST", place).status == 201


def test_of_many_who_finish_one_upload_one_makes_it(alice: Client, site: Any) -> None:
    place = begin(alice)
    send(alice, place, 0, BODY)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(alice("POST", place).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(answers) <= {201, 503} and 201 in answers
    from skyvault.ledger.ledger import open_ledger

    with open_ledger(site.home / "ledger.sqlite") as ledger:
        acts = [entry.act for entry in ledger.audit.newest(2) if entry.subject == "t"]
    assert acts == ["create table"]


def test_unfinished_uploads_count_and_can_be_forgotten(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    small = start_server(home, SKYVAULT_USER_TABLES="true", SKYVAULT_USER_QUOTA_BYTES=str(len(BODY) + 1000))
    alice = Client(small.base_url).as_user("alice")
    first, second = begin(alice, "a"), begin(alice, "b")
    assert send(alice, first, 0, BODY[: len(BODY) // 2]).status == 200
    assert send(alice, second, 0, BODY).status == 507
    assert alice("DELETE", first).status == 200
    assert alice("GET", first).status == 404
    assert send(alice, second, 0, BODY).status == 200


def test_kill_9_at_any_moment_loses_nothing_that_arrived(tmp_path: Path, start_server: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    make_users(home, "alice")
    chance = random.Random(5)
    place, known = "", 0
    for _ in range(4):
        server = start_server(home, SKYVAULT_USER_TABLES="true")
        alice = Client(server.base_url).as_user("alice")
        place = place or begin(alice, SHA256=SHA256)
        here = state(alice, place)["received"]
        assert here >= known
        stop = here + chance.randrange(1000, 100_000)
        killer = threading.Timer(chance.uniform(0.0, 0.03), lambda: os.kill(server.process.pid, signal.SIGKILL))  # noqa: B023
        killer.start()
        try:
            while here < stop:
                answer = send(alice, place, here, BODY[here : here + 3000])
                here = known = json.loads(answer.body)["received"]
        except (OSError, ValueError, http.client.HTTPException):
            pass
        killer.join()
        server.process.wait(10)
        assert not list((home / "store").glob("*.duckdb"))
    server = start_server(home, SKYVAULT_USER_TABLES="true")
    alice = Client(server.base_url).as_user("alice")
    here = state(alice, place)["received"]
    assert here >= known
    assert send(alice, place, here, BODY[here:]).status == 200
    assert alice("POST", place).status == 201
    assert count(alice) == 40_000


# --- on the disk ------------------------------------------------------------------------------------------------------


def _upload(name: str = "t") -> PiecedUpload:
    return PiecedUpload("", "u1", name, 10, 0.0)


def test_an_upload_nobody_continues_is_forgotten(tmp_path: Path) -> None:
    now = [time.time()]
    uploads = PiecedUploads(tmp_path, life_s=100.0, clock=lambda: now[0])
    begun = uploads.begin(_upload())
    assert uploads.find("u1", begun.id) == begun
    assert uploads.remove_expired() == 0
    now[0] += 200
    assert uploads.of("u1") == []
    with pytest.raises(NotFound):
        uploads.find("u1", begun.id)
    assert uploads.remove_expired() == 2
    assert not list((tmp_path / "u1").iterdir())


@pytest.mark.parametrize("asked", ["", ".", "..", "../u2/" + "0" * 32, "0" * 31, "G" * 32, "0" * 32])
def test_what_is_no_id_of_an_upload_finds_nothing(tmp_path: Path, asked: str) -> None:
    with pytest.raises(NotFound):
        PiecedUploads(tmp_path, life_s=100.0).find("u1", asked)


def test_a_table_is_not_made_again_when_its_maker_died_before_saying_so(alice: Client, site: Any) -> None:
    alice("PUT", "/tap/user_tables/t", b"ra,dec,k\n1,2,3\n", content_type="text/csv")
    place = begin(alice, APPEND="true")
    send(alice, place, 0, BODY)
    (told,) = (site.home / "tmp" / "uploads").glob(f"*/{place.rpartition('/')[2]}.json")
    before = told.read_bytes()
    assert alice("POST", place).status == 200
    # as if the last two acts had never been
    told.write_bytes(before)
    told.with_suffix(".part").write_bytes(BODY)
    assert alice("POST", place).status == 200
    assert count(alice) == 40_001
