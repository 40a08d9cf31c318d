"""Asking archives: what is tried again, how long it may take, who learns who you are, and what the log says."""

from __future__ import annotations

import logging
import pickle
import threading
from datetime import UTC, datetime

import pytest
from fault_server import Fault, FaultServer, File

from skyvault.config import Secret
from skyvault.errors import ConfigError, UsageError
from skyvault.net.addresses import host_of, shown_address
from skyvault.net.auth import Credentials, Password, Token
from skyvault.net.client import Deadlines, HttpClient
from skyvault.net.faults import FetchError, Missing, Refused, Unreachable, WrongContent
from skyvault.net.politeness import Manners, Politeness
from skyvault.net.retry import RetryPolicy, retry_after_s


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_transient_is_asked_again(archive, client, status) -> None:
    archive.files["/a"] = File(b"fine")
    archive.faults["/a"] = [Fault(status=status), Fault(refuses=True)]
    assert client.get(f"{archive.url}/a").body == b"fine"
    assert len(archive.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 500, 501])
def test_what_will_stay_so_is_asked_once(archive, client, status) -> None:
    archive.faults["/a"] = [Fault(status=status, body=b"<title>Sorry &lt;</title>")]
    with pytest.raises(FetchError, match=str(status)):
        client.get(f"{archive.url}/a")
    assert len(archive.seen) == 1


def test_the_waits_grow_and_are_jittered(archive, client, pauses) -> None:
    archive.faults["/a"] = [Fault(status=503)] * 9
    with pytest.raises(Unreachable, match="answers 503"):
        client.get(f"{archive.url}/a")
    assert pauses == pytest.approx([0.0075, 0.015, 0.03])


def test_a_form_is_sent_again_only_when_the_archive_turned_it_away(archive, client) -> None:
    archive.files["/a"] = File(b"fine")
    archive.faults["/a"] = [Fault(status=503, headers=(("Retry-After", "0"),))]
    assert client.post(f"{archive.url}/a", data={"QUERY": "x"}).body == b"fine"
    assert [seen.body for seen in archive.seen] == [b"QUERY=x"] * 2
    archive.faults["/a"] = [Fault(refuses=True)]
    with pytest.raises(Unreachable):
        client.post(f"{archive.url}/a", data={"QUERY": "x"})
    archive.faults["/a"] = [Fault(refuses=True)]
    assert client.post(f"{archive.url}/a", data={"QUERY": "x"}, may_repeat=True).body == b"fine"


def test_a_total_deadline_ends_slow_bytes(archive) -> None:
    archive.files["/a"] = File(bytes(500_000))
    now = [0.0]
    archive.on_block = lambda count: now.__setitem__(0, now[0] + 1.0)
    with (
        HttpClient(clock=lambda: now[0], deadlines=Deadlines(total_s=5.0), sleep=lambda s: None) as client,
        pytest.raises(Unreachable, match="time allowed"),
    ):
        client.get(f"{archive.url}/a")


def test_an_archive_that_falls_silent_is_given_up(archive) -> None:
    silence = threading.Event()
    archive.faults["/a"] = [Fault(waits_for=silence)]
    with (
        HttpClient(deadlines=Deadlines(read_s=0.05), retries=RetryPolicy(attempts=1)) as client,
        pytest.raises(Unreachable, match="stopped sending"),
    ):
        client.get(f"{archive.url}/a")
    silence.set()


def test_nobody_listening_is_a_sentence() -> None:
    with (
        HttpClient(retries=RetryPolicy(attempts=1)) as client,
        pytest.raises(Unreachable, match=r"a\?token=\*\*\*: no connection"),
    ):
        client.get("http://127.0.0.1:1/a?token=hush")


def test_an_answer_has_a_longest_length(archive, client) -> None:
    archive.files["/a"] = File(bytes(100_000))
    with pytest.raises(WrongContent, match="longer than 1,000 bytes"):
        client.get(f"{archive.url}/a", limit_bytes=1000)


# --- who you are ---------------------------------------------------------------------------------------------------


def test_each_host_gets_its_own_credentials_only(archive) -> None:
    with FaultServer() as other:
        other.files["/b"] = File(b"there")
        archive.faults["/a"] = [Fault(status=302, headers=(("Location", f"{other.url}/b"),))]
        credentials = Credentials({host_of(archive.url): Token(Secret("s3cret"))})
        with HttpClient(credentials=credentials) as client:
            assert client.get(f"{archive.url}/a", headers={"Cookie": "session=1"}).body == b"there"
        assert archive.seen[0].headers["authorization"] == "Bearer s3cret"
        assert archive.seen[0].headers["cookie"] == "session=1"
        assert "authorization" not in other.seen[0].headers and "cookie" not in other.seen[0].headers


def test_basic_credentials_are_sent_as_rfc_7617_says(archive) -> None:
    archive.files["/a"] = File(b"")
    with HttpClient(credentials=Credentials({archive.url: Password("Aladdin", Secret("open sesame"))})) as client:
        client.get(f"{archive.url}/a")
    assert archive.seen[0].headers["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_credentials_are_never_sent_unencrypted() -> None:
    credentials = Credentials({"archive.example.org": Token(Secret("x"))})
    assert credentials.header_for("https://archive.example.org/a") == "Bearer x"
    with pytest.raises(ConfigError, match="unencrypted"):
        credentials.header_for("http://archive.example.org:80/a")
    assert credentials.header_for("https://sub.archive.example.org/a") is None
    assert credentials.header_for("https://archive.example.org:8443/a") is None


def test_credentials_show_and_save_nothing() -> None:
    credentials = Credentials({"a.org": Token(Secret("s3cret")), "b.org": Password("u5er", Secret("s3cret"))})
    shown = repr(credentials) + repr(credentials._by_host)
    assert "s3cret" not in shown and "u5er" not in shown
    with pytest.raises(TypeError, match="never saved"):
        pickle.dumps(credentials)


def test_a_credentials_file_is_read(tmp_path) -> None:
    path = tmp_path / "credentials.ini"
    path.write_text("[a.org]\ntoken = t%k\n[b.org:8443]\nuser = me\npassword = p=w\n")
    path.chmod(0o600)
    credentials = Credentials.from_file(path)
    assert credentials.header_for("https://a.org/x") == "Bearer t%k"
    assert credentials.header_for("https://b.org:8443/x") == "Basic bWU6cD13"


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("[a.org]\ntoken = s3cret", 0o644, "chmod 600"),
        ("s3cret", 0o600, "line 1: the credentials file is not a valid"),
        ("[a.org]\nuser = s3cret", 0o600, "either a token"),
        ("[a/b]\ntoken = s3cret", 0o600, "name of a host"),
        ("[a.org]\ntoken =", 0o600, "empty"),
    ],
)
def test_a_wrong_credentials_file_is_told_without_its_text(tmp_path, text, mode, says) -> None:
    path = tmp_path / "credentials.ini"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=says) as caught:
        Credentials.from_file(path)
    assert "s3cret" not in str(caught.value)


def test_refused_credentials_are_told(archive) -> None:
    archive.allows = lambda seen: 401
    with HttpClient() as client, pytest.raises(Refused, match="If you have access, give credentials for 127"):
        client.get(f"{archive.url}/a")
    with (
        HttpClient(credentials=Credentials({archive.url: Token(Secret("x"))})) as client,
        pytest.raises(Refused, match="were refused"),
    ):
        client.get(f"{archive.url}/a")


def test_the_log_has_no_signature(archive, client, caplog) -> None:
    archive.files["/a"] = File(b"")
    with caplog.at_level(logging.DEBUG):
        client.get(f"{archive.url}/a?X-Amz-Signature=hush&x=1")
    assert "hush" not in caplog.text and "x=1" in caplog.text


def test_an_address_is_shown_without_its_secrets() -> None:
    assert shown_address("https://me:pw@a.org/x?id=3&sig=abc&se=2026#t") == "https://a.org/x?id=3&sig=***&se=***"
    assert shown_address("https://a.org/x?se=2") == "https://a.org/x?se=2"
    for url in ("https://me:pw@a.org/x", "ftp://me:pw@a.org/x", "me:pw@a.org", "http://me:pw@a.org:x/"):
        with pytest.raises(UsageError) as caught:
            host_of(url)
        assert "pw" not in str(caught.value)


def test_redirects_end(archive, client) -> None:
    archive.allows = lambda seen: None
    archive.faults["/a"] = [Fault(status=302, headers=(("Location", "/a"),))] * 20
    with pytest.raises(FetchError, match="more than 10 redirects"):
        client.get(f"{archive.url}/a")
    archive.faults["/b"] = [Fault(status=302, headers=(("Location", "file:///etc/passwd"),))]
    with pytest.raises(FetchError, match="do not follow"):
        client.get(f"{archive.url}/b")
    with pytest.raises(Missing):
        client.get(f"{archive.url}/c")


# --- manners -------------------------------------------------------------------------------------------------------


def test_no_more_connections_than_manners_allow(archive) -> None:
    archive.files["/a"] = File(bytes(200_000))
    with HttpClient(politeness=Politeness({"127.0.0.1": Manners(connections=2)})) as client:
        threads = [threading.Thread(target=client.get, args=(f"{archive.url}/a",)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(archive.seen) == 12 and archive.most_connections <= 2


def test_no_more_requests_a_minute_than_manners_allow() -> None:
    now, waited = [0.0], []

    def wait(condition: threading.Condition, seconds: float | None) -> None:
        waited.append(seconds)
        now[0] += seconds or 0.0

    politeness = Politeness(default=Manners(requests_per_minute=3), clock=lambda: now[0], wait=wait)
    begun = []
    for _ in range(7):
        with politeness.turn("a.org"):
            begun.append(now[0])
        now[0] += 1.0
    assert begun == [0, 1, 2, 60, 61, 62, 120] and len(waited) == 2
    politeness.hold("a.org", 100)
    with politeness.turn("a.org"):
        assert now[0] == 221
    with pytest.raises(Unreachable, match="deadline"):
        politeness.hold("b.org", 100)
        with politeness.turn("b.org", deadline=now[0] + 5):
            pass


def test_retry_after_is_a_number_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after_s("120") == 120
    assert retry_after_s("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after_s("Thu, 01 Jan 2020 00:01:00 GMT", now) == 0
    assert retry_after_s("soon") is None and retry_after_s(None) is None
