"""Authentication of every request: HTTP Basic, bearer tokens, session cookies; what is open stays open.

No credentials at all is fine (RFC 9110, section 11: a challenge comes only where they are needed, and as an offer below
/tap, as the AuthVO draft has it); wrong, expired or revoked ones are answered 401, except a cookie of an old session,
which a browser sends by itself. The name of who was recognised is told in X-VO-Authenticated.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skyvault.errors import Busy, Forbidden, SkyvaultError, Unauthorised, UsageError
from skyvault.serve import passwords
from skyvault.serve.faults import fault_response
from skyvault.serve.identity import KEY, NOBODY, Identity
from skyvault.serve.rate_limit import TooManyRequests, network
from skyvault.serve.secret import Keys

if TYPE_CHECKING:
    from skyvault.ledger.ledger import Ledger
    from skyvault.ledger.users import User

COOKIE = "skyvault_session"
_TOKEN = re.compile(rb"skv_[0-9a-f]{16}_")
#: methods that change nothing
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: a password that was right is taken for right again so long, in this process
TRUST_S = 300.0
MOST_TRUSTED = 10_000
#: password checks at once, and how many may wait
CHECKS, CHECKS_WAITING = 2, 256


class Accounts:
    """Recognises users by what their requests carry. One for each process; close it at the end."""

    def __init__(self, ledger: Ledger, keys: Keys) -> None:
        self.ledger = ledger
        self.keys = keys
        self._pool = ThreadPoolExecutor(CHECKS, thread_name_prefix="skyvault-passwords")
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        #: a keyed hash of name and password -> (the ledger's hash it was checked against, until when)
        self._trusted: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def identify(self, headers: Headers, address: str, method: str, host: str) -> Identity:
        """Who sends these headers. Raises Unauthorised (401), TooManyRequests (429), Forbidden for forged requests."""
        given = headers.get("authorization")
        if given is not None:
            scheme, _, rest = given.strip().partition(" ")
            if scheme.lower() == "bearer":
                return self._bearer(rest.strip())
            if scheme.lower() == "basic":
                if method not in SAFE:
                    # browsers send a remembered password by themselves, too
                    refuse_foreign(headers, host)
                name, password = _pair(rest.strip())
                return self.known(await self.log_in(name, password, address), "basic")
            raise Unauthorised(f"the scheme {scheme[:20]!r} is not known here", hint="Use Basic or Bearer.")
        cookie = session_cookie(headers)
        return NOBODY if cookie is None else self._session(cookie, headers, method, host)

    async def log_in(self, name: str, password: str, address: str) -> User:
        """The user of this name and password. Raises Unauthorised, and TooManyRequests after many failures."""
        attempts = self.ledger.login_attempts
        user = self.ledger.users.find(name) if len(name) <= 100 else None
        seen = hmac.digest(self._key, f"{name.lower()}\0{password}".encode("utf-8", "surrogateescape"), "sha256")
        trusted = self._trusted.get(seen)
        if trusted and user and user.password_hash == trusted[0] and time.monotonic() < trusted[1]:
            return user
        place = network(address) or ""
        wait_s = attempts.wait_s(name, place)
        if wait_s:
            raise TooManyRequests("too many logins have failed", retry_after_s=wait_s, hint="Wait, or use a token.")
        if self._waiting >= CHECKS_WAITING:
            raise Busy("too many people log in just now", retry_after_s=2)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            kept = None if user is None else user.password_hash
            good = await loop.run_in_executor(self._pool, passwords.is_right, password, kept)
            if user is None or kept is None or not good:
                await loop.run_in_executor(self._pool, attempts.failed, name, place)
                raise Unauthorised("the name or the password is wrong")
            await loop.run_in_executor(self._pool, attempts.succeeded, name, place)
        finally:
            self._waiting -= 1
        self._trusted[seen] = (kept, time.monotonic() + TRUST_S)
        if len(self._trusted) > MOST_TRUSTED:
            self._trusted.popitem(last=False)
        return user

    def known(self, user: User, way: str) -> Identity:
        """A user who has shown a password: everything is allowed."""
        return Identity(user, self.ledger.users.groups_of(user.id), way="basic" if way == "basic" else "session")

    def _bearer(self, text: str) -> Identity:
        token = self.ledger.tokens.check(text)
        user = None if token is None else self.ledger.users.by_id(token.user_id)
        if token is None or user is None:
            raise Unauthorised("the token is not valid (any more)", hint="Make a new one: skyvault login URL.")
        return Identity(user, self.ledger.users.groups_of(user.id), token.scopes, "bearer", token.id)

    def _session(self, cookie: str, headers: Headers, method: str, host: str) -> Identity:
        text, _, signature = cookie.rpartition(".")
        if not text or not self.keys.is_signed("session", text, signature):
            return NOBODY
        session = self.ledger.tokens.check(text, "session")
        user = None if session is None else self.ledger.users.by_id(session.user_id)
        if session is None or user is None:
            return NOBODY
        if method not in SAFE:
            # SameSite keeps other sites' forms from sending the cookie; this is the second wall, forms have a third.
            # A program that logged in for a cookie says nothing of where it comes from
            refuse_foreign(headers, host)
        return Identity(user, self.ledger.users.groups_of(user.id), session.scopes, "session", session.id)


class Authentication:
    """Middleware: recognises who asks before anything else, and says so in the answer."""

    def __init__(self, app: ASGIApp, accounts: Accounts, base_url: str | None = None) -> None:
        self._app = app
        self._accounts = accounts
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = urlsplit(self._base_url).netloc if self._base_url else headers.get("host", "")
        base = self._base_url or f"{scope.get('scheme', 'http')}://{host}"
        is_tap = scope["path"].startswith("/tap")
        try:
            _refuse_in_address(scope)
            identity = await self._accounts.identify(headers, (scope.get("client") or ("",))[0], scope["method"], host)
        except SkyvaultError as problem:
            response = fault_response(problem, "votable" if is_tap else "text")
            if isinstance(problem, Unauthorised):
                for challenge in challenges(base):
                    response.headers.append("www-authenticate", challenge)
            await response(scope, receive, send)
            return
        scope[KEY] = identity

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                if identity.name is not None:
                    out["x-vo-authenticated"] = identity.name
                elif message["status"] == 401 or (is_tap and self._accounts.ledger.users.any_there()):
                    for challenge in challenges(base):
                        out.append("www-authenticate", challenge)
            await send(message)

        await self._app(scope, receive, told)


def _refuse_in_address(scope: Scope) -> None:
    """Raises UsageError for a token in an address, which logs, histories and other sites get to see (RFC 6750, 2.3)."""
    if _TOKEN.search(scope.get("query_string", b"")) or _TOKEN.search(scope.get("raw_path") or b""):
        raise UsageError(
            "a token does not belong in an address, where others can read it",
            hint="Send it as Authorization: Bearer, and revoke this one: it may have been seen.",
        )


def challenges(base: str) -> tuple[str, ...]:
    """How one may authenticate here (AuthVO draft, section 3)."""
    quoted = base.replace('"', "").replace("\\", "")
    return (
        'Basic realm="skyvault", charset="UTF-8"',
        "Bearer",
        f'ivoa_cookie standard_id="ivo://ivoa.net/sso#tls-with-password", access_url="{quoted}/login"',
    )


def refuse_foreign(headers: Headers, host: str) -> None:
    """Raises Forbidden for a request that another site made a browser send (cross-site request forgery)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin") or headers.get("referer")
    good = True
    if site is not None:
        good = site in ("same-origin", "none")
    elif origin is not None:
        good = urlsplit(origin).netloc.lower() == host.lower()
    if not good:
        raise Forbidden("this request does not come from the pages of this service", hint="Use a token.")


def session_cookie(headers: Headers) -> str | None:
    """The session cookie's value, or None."""
    given = headers.get("cookie")
    if not given or COOKIE not in given:
        return None
    try:
        found = SimpleCookie(given[:16_384]).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _pair(encoded: str) -> tuple[str, str]:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorised("the Authorization header cannot be read") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthorised("the Authorization header cannot be read")
    return name, password
