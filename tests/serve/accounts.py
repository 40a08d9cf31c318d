"""A server with accounts, and clients of it that may be anybody."""

from __future__ import annotations

import base64
import http.client
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from skyvault.ledger.ledger import open_ledger
from skyvault.serve.passwords import hashed

PASSWORD = "correct horse"
BROWSER = "text/html,application/xhtml+xml"


def make_users(home: Path, *names: str, groups: dict[str, tuple[str, ...]] | None = None) -> None:
    """Users of this data directory, all with ``PASSWORD``, in these groups."""
    home.mkdir(parents=True, exist_ok=True)
    kept = hashed(PASSWORD)
    with open_ledger(home / "ledger.sqlite") as ledger:
        for name in names:
            ledger.users.add(name, kept)
        for group, members in (groups or {}).items():
            for name in members:
                ledger.users.join(group, name)


def make_token(home: Path, name: str, *scopes: str, life_s: float = 3600.0) -> str:
    with open_ledger(home / "ledger.sqlite") as ledger:
        return ledger.tokens.create(ledger.users.get(name), "test", scopes or ("read", "write"), life_s)[1]


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@dataclass
class Client:
    """Sends requests as somebody, one connection each; redirects are not followed."""

    base_url: str
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, method: str, path: str, body: bytes | str | None = None, /, **headers: str) -> Answer:
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            if method == "POST" and isinstance(body, str):
                given.setdefault("content-type", "application/x-www-form-urlencoded")
            payload = body.encode() if isinstance(body, str) else body
            connection.request(method, path, payload, {**self.headers, **given})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def as_user(self, name: str, password: str = PASSWORD) -> Client:
        return Client(self.base_url, basic(name, password))

    def with_token(self, token: str) -> Client:
        return Client(self.base_url, {"Authorization": f"Bearer {token}"})


class Browser:
    """Keeps cookies, as a browser does, and reads forms."""

    def __init__(self, base_url: str) -> None:
        self.client = Client(base_url)
        self.cookies: dict[str, str] = {}

    def __call__(self, method: str, path: str, body: str | None = None, **headers: str) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.client(method, path, body, accept=BROWSER, cookie=cookie, **headers)
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def csrf(self, path: str) -> str:
        found = re.search(r'name="CSRF" value="([^"]*)"', self("GET", path).text)
        assert found is not None
        return found[1]

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        form = {"USERNAME": name, "PASSWORD": password, "CSRF": self.csrf("/login"), "NEXT": "/account"}
        return self("POST", "/login", urlencode(form), origin=self.client.base_url)
