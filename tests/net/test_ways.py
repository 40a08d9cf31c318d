"""The way to an archive: certificates, proxies, and redirects from one to another."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyvault.errors import ConfigError
from skyvault.net.client import HttpClient
from skyvault.net.faults import FetchError, Refused, Unreachable
from skyvault.net.retry import RetryPolicy


class Desk(http.server.BaseHTTPRequestHandler):
    """Answers everything, as an archive or as a proxy."""

    seen: list[str]
    there = ""
    refusal = 403

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.there)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(407 if self.path.endswith("/closed") else 200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"well")

    def do_CONNECT(self) -> None:
        self.seen.append(f"CONNECT {self.path}")
        self.send_error(self.refusal)

    def log_message(self, *told: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[object]:
    running = []

    def begin(context: ssl.SSLContext | None = None) -> tuple[str, type[Desk]]:
        desk = type("OneDesk", (Desk,), {"seen": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), desk)
        running.append(server)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"{'https' if context else 'http'}://localhost:{server.server_address[1]}", desk

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def own_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate nobody knows, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is missing")
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def one_try() -> HttpClient:
    return HttpClient(retries=RetryPolicy(attempts=1))


def test_a_certificate_nobody_vouches_for_is_one_sentence_with_what_to_do(serve, own_authority) -> None:
    url, _ = serve(own_authority[1])
    with one_try() as client, pytest.raises(FetchError, match=r"certificate cannot be trusted.*SSL_CERT_FILE"):
        client.get(url)


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(serve, own_authority, monkeypatch) -> None:
    url, _ = serve(own_authority[1])
    monkeypatch.setenv("SSL_CERT_FILE", str(own_authority[0]))
    with one_try() as client:
        assert client.get(url).body == b"well"


def test_a_redirect_never_leads_from_https_to_plain_http(serve, own_authority, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own_authority[0]))
    plain, open_desk = serve()
    url, desk = serve(own_authority[1])
    desk.there = f"{plain}/secret"
    with one_try() as client, pytest.raises(FetchError, match="from https to unencrypted"):
        client.get(f"{url}/moved")
    assert open_desk.seen == []


def test_a_file_of_certificates_that_is_missing_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        one_try()


def test_the_proxy_of_the_environment_is_asked_but_not_for_those_it_leaves_out(serve, monkeypatch) -> None:
    proxy, desk = serve()
    direct, _ = serve()
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "localhost")
    with one_try() as client:
        assert client.get("http://archive.example/tap").body == b"well"
        assert client.get(f"{direct}/tap").body == b"well"
    assert desk.seen == ["http://archive.example/tap"]


@pytest.mark.parametrize("refusal, kind", [(403, FetchError), (407, FetchError), (503, Unreachable)])
def test_a_proxy_that_refuses_is_told_as_such(serve, monkeypatch, refusal, kind) -> None:
    proxy, desk = serve()
    desk.refusal = refusal
    monkeypatch.setenv("HTTPS_PROXY", proxy.replace("http://", "http://me:hush-hush@"))
    with one_try() as client, pytest.raises(kind, match=f"the proxy does not let the request through .*{refusal}") as e:
        client.get("https://archive.example/tap")
    assert "hush" not in str(e.value)


def test_a_proxy_that_wants_a_login_is_not_taken_for_the_archive(serve, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", serve()[0])
    with one_try() as client, pytest.raises(Refused, match="the proxy wants a user and password"):
        client.get("http://archive.example/closed")


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hush-hush@127.0.0.1:9")
    with one_try() as client, pytest.raises(Unreachable, match=r"asked of the proxy http://127\.0\.0\.1:9") as error:
        client.get("https://archive.example/tap")
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("proxy", ["nonsense://me:hush-hush@host", "socks5://me:hush-hush@host:1"])
def test_a_proxy_that_cannot_be_used_is_a_sentence_without_its_password(monkeypatch, proxy) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as error:
        one_try()
    assert "hush" not in str(error.value)
