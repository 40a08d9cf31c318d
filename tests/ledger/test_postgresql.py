"""A ledger in PostgreSQL: reached again after a restart, without its password in any sentence, moved and copied."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgresql_server
from processes import environment, free_port
from skyvault.config import Secret
from skyvault.errors import Busy, ConfigError, Conflict, NotFound, ParameterError, SkyvaultError, StoreError
from skyvault.ledger.copying import copy_from_file, refuse_filled
from skyvault.ledger.ledger import Ledger, open_ledger
from skyvault.ledger.postgresql_link import without_password
from skyvault.ledger.postgresql_statements import numbered, translated
from skyvault.model.job import Phase
from skyvault.model.table import Column, Table

pytestmark = pytest.mark.postgresql
PASSWORD = "correct-horse"


@pytest.fixture
def ledger(postgresql_schema: str) -> Iterator[Ledger]:
    with open_ledger(Secret(postgresql_schema)) as one:
        yield one


@pytest.mark.parametrize(
    ("sql", "other"),
    [
        ("SELECT 1 FROM t WHERE a = :a AND b = :b_2", "SELECT 1 FROM t WHERE a = %(a)s AND b = %(b_2)s"),
        ("SELECT ':a' || '%' || :a, 5 % 2", "SELECT ':a' || '%%' || %(a)s, 5 %% 2"),
        (
            "IN (SELECT value FROM json_each(:ids))",
            "IN (SELECT value FROM json_array_elements_text(%(ids)s))",
        ),
    ],
)
def test_statements_are_written_as_psycopg_wants_them(sql: str, other: str) -> None:
    assert translated(sql) == other


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ann:{PASSWORD}@127.0.0.1:{{port}}/ledger",
        f"postgresql://ann:{PASSWORD}/x@127.0.0.1:{{port}}/ledger",
        f"postgresql://ann:{PASSWORD}@127.0.0.1:{{port}}/ledger?sslmode={PASSWORD}",
        f"postgresql://ann@127.0.0.1:{{port}}/ledger?passwort={PASSWORD}",
        f"mysql://ann:{PASSWORD}@127.0.0.1/ledger",
        f"postgresql://ann:{PASSWORD}@[::1/ledger",
    ],
)
def test_no_sentence_shows_the_password(address: str) -> None:
    with pytest.raises(SkyvaultError) as caught:
        open_ledger(Secret(address.format(port=free_port())))
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert PASSWORD not in repr(Secret(address))


def test_a_wrong_password_is_told_in_a_sentence(postgresql_url: str) -> None:
    head, _, tail = postgresql_url.partition("@")
    with pytest.raises(StoreError, match=r"postgresql://skyvault@127.*password authentication failed.*SKYVAULT_LEDGER"):
        open_ledger(Secret(f"{head}x@{tail}"))


def test_a_server_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(StoreError, match=r"cannot be reached.*Check that it runs"):
        open_ledger(Secret(f"postgresql://ann@127.0.0.1:{free_port()}/ledger"))


def test_an_address_is_shown_without_password_and_options() -> None:
    shown = without_password(Secret("postgres://ann:secret@db.example.org:5433/vo?password=other"))
    assert shown == "postgresql://ann@db.example.org:5433/vo"
    with pytest.raises(ConfigError, match="postgresql://user:password@host"):
        without_password(Secret("secret"))


def test_two_schemas_are_two_ledgers(postgresql_url: str) -> None:
    with (
        postgresql_server.schema(postgresql_url) as one,
        postgresql_server.schema(postgresql_url) as two,
        open_ledger(Secret(one)) as first,
        open_ledger(Secret(two)) as second,
    ):
        first.users.add("ann", None)
        assert second.users.find("ann") is None
        before = second.change_counter()
        first.users.add("bob", None)
        assert second.change_counter() == before


def test_names_are_ordered_and_compared_byte_by_byte(ledger: Ledger) -> None:
    for name in ("b", "a-1", "B2", "a1", "z_x"):
        ledger.users.add(name, None)
    assert [user.name for user in ledger.users.all()] == sorted(["b", "a-1", "B2", "a1", "z_x"], key=str.lower)


def test_a_character_that_postgresql_cannot_keep_is_the_users_fault_or_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.jobs.get("a\0b")
    with pytest.raises(ParameterError, match="NUL"):
        ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2, run_id="a\0b")
    job = ledger.jobs.create("tap", {"QUERY": ["a\0b"]}, execution_duration_s=1, destruction_time=2)
    assert ledger.jobs.get(job.id).parameters["QUERY"] == ("a\0b",)


def test_what_was_lost_in_a_transaction_was_never_there(ledger: Ledger, postgresql_url: str) -> None:
    with pytest.raises(Busy, match="cannot be used just now"), ledger.database.write() as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')", {})
        _end_others(postgresql_url)
        connection.execute("INSERT INTO meta (key, value) VALUES ('c', 'd')", {})
    assert ledger.database.fetch_one("SELECT 1 FROM meta WHERE key IN ('a', 'c')") is None
    ledger.users.add("ann", None)


def test_a_change_whose_end_was_not_heard_says_so(ledger: Ledger, postgresql_url: str) -> None:
    with pytest.raises(StoreError, match="which was made or not made"), ledger.database.write() as connection:
        connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')", {})
        _end_others(postgresql_url)


def test_connections_that_were_ended_are_made_anew_unnoticed(ledger: Ledger, postgresql_url: str) -> None:
    ledger.users.add("ann", None)
    seen = ledger.change_counter()
    _end_others(postgresql_url)
    assert ledger.users.find("ann") is not None
    assert ledger.change_counter() == seen
    _end_others(postgresql_url)
    ledger.users.add("bob", None)
    assert ledger.change_counter() != seen
    for _ in range(2):
        ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2)
        _end_others(postgresql_url)
    assert len(ledger.jobs.summaries(owner=None)) == 2


def test_a_server_that_was_away_is_waited_for_and_loses_nothing() -> None:
    server = postgresql_server.Server(keeps=True)
    try:
        with open_ledger(Secret(server.url)) as ledger:
            ledger.users.add("ann", None)
            server.stop(signal.SIGQUIT)
            for act in (ledger.users.all, ledger.change_counter, lambda: ledger.users.add("bob", None)):
                with pytest.raises(Busy, match="cannot be used just now"):
                    act()
            server.start()
            assert [user.name for user in ledger.users.all()] == ["ann"]
            ledger.users.add("bob", None)
            ledger.database.checkpoint()
    finally:
        server.remove()


def test_tables_changed_by_a_newer_release_do_not_confuse_old_connections(
    ledger: Ledger, postgresql_schema: str
) -> None:
    ledger.users.add("ann", None)
    ledger.jobs.submit(ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2).id, holder="me")
    for _ in range(5):
        assert ledger.users.find("ann") is not None
    with open_ledger(Secret(postgresql_schema)) as other, other.database.write() as connection:
        connection.execute("ALTER TABLE users ADD COLUMN more TEXT", {})
        connection.execute("ALTER TABLE jobs ADD COLUMN more TEXT", {})
    assert ledger.users.find("ann") is not None
    job_id = ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2).id
    job, claimed = ledger.jobs.submit(job_id, holder="me")
    assert claimed and job.holder == "me"


def test_a_ledger_without_its_counter_is_refused(ledger: Ledger) -> None:
    with ledger.database.write() as connection:
        connection.execute("DELETE FROM meta", {})
    with pytest.raises(StoreError, match=r"not whole.*backup"):
        ledger.users.add("ann", None)
    with pytest.raises(StoreError, match=r"not whole.*backup"):
        ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2)


def test_a_clock_that_differs_is_told(postgresql_schema: str, caplog: pytest.LogCaptureFixture) -> None:
    with open_ledger(Secret(postgresql_schema)):
        assert caplog.text == ""
        with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr("skyvault.ledger.postgresql_link.time.time", lambda: 1e9)
            open_ledger(Secret(postgresql_schema)).close()
    assert "behind that of the ledger's database" in caplog.text


def test_a_ledger_is_moved_from_a_file_and_back_with_everything_in_it(ledger: Ledger, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "old.db") as old:
        user = old.users.add("ann", "hash")
        old.users.join("survey", "ann")
        _, token = old.tokens.create(user, "t", ["read"], 1000.0)
        jobs = [old.jobs.create("tap", {"QUERY": ["ü"]}, execution_duration_s=1, destruction_time=2) for _ in range(3)]
        old.jobs.submit(jobs[1].id)
        old.holdings.publish(Table("lab.x", (Column("a", "int"),)), "x-1", nrows=1, bytes=2, format=1)
    refuse_filled(ledger.database)
    assert copy_from_file(tmp_path / "old.db", ledger.database) > 10
    assert ledger.tokens.check(token) is not None
    assert ledger.holdings.get("lab.X").nrows == 1
    claimed = ledger.jobs.claim("me", lease_s=1, kinds=["tap"])
    assert claimed is not None and claimed.id == jobs[1].id
    # numbers go on where they were
    ledger.jobs.create("tap", {}, execution_duration_s=1, destruction_time=2)
    with pytest.raises(Conflict, match="not empty"):
        copy_from_file(tmp_path / "old.db", ledger.database)
    ledger.backup(tmp_path / "copy.db")
    with open_ledger(tmp_path / "copy.db") as copy:
        assert copy.users.get("ann").id == user.id
        assert copy.users.members("survey") == ["ann"]
        assert copy.jobs.count() == {Phase.PENDING: 3, Phase.EXECUTING: 1}
        assert [entry.act for entry in copy.audit.newest()] == ["create token", "join group", "add user"]


def _end_others(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'skyvault'"
        )


def test_statements_are_numbered_for_prepare() -> None:
    assert numbered("a = :b AND c = :d OR :b < 5 % 2 AND x = ':b'") == (
        "a = $1 AND c = $2 OR $1 < 5 % 2 AND x = ':b'",
        ["b", "d"],
    )


def test_a_server_that_does_not_answer_is_not_waited_for_by_every_request(
    ledger: Ledger, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        monkeypatch.setattr("skyvault.ledger.postgresql_link.CONNECT_S", 2)
        address = Secret(f"postgresql://ann@127.0.0.1:{mute.getsockname()[1]}/x")
        monkeypatch.setattr(ledger.database._link, "url", address)  # type: ignore[attr-defined]
        _end_others(postgresql_url)
        took = []
        for _ in range(20):
            began = time.monotonic()
            with pytest.raises(Busy, match="cannot be used just now"):
                ledger.users.all()
            took.append(time.monotonic() - began)
    assert sum(took) < 2 * took[0]
    assert took[0] > 1


def test_without_psycopg_the_sentence_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from skyvault.config import Secret\nfrom skyvault.ledger.ledger import open_ledger\n"
        "try: open_ledger(Secret('postgresql://ann@127.0.0.1/x'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), timeout=60
    )
    assert done.stdout.startswith("ConfigError a ledger in PostgreSQL needs the package psycopg"), done.stderr
    assert "pip install 'skyvault[postgres]'" in done.stdout
