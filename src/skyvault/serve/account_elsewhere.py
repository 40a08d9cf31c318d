"""Logging in by a login service elsewhere (OpenID Connect), and whose account that opens.

A person of the login service has an account when it was linked to that person: by the person, logged in here; by the
operator; or because it was made at the person's first login. An account that is there is never given to somebody for
having the same name or address of e-mail elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import json
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from skyvault.errors import Busy, Conflict, Forbidden, SkyvaultError
from skyvault.ledger.users import User, is_reserved
from skyvault.serve.account import LIMITS, NO_STORE, Account, form_of, own_path
from skyvault.serve.faults import guarded
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.login_service import Attempt, LoginFailed, LoginService, Person
from skyvault.serve.params import read_form

T = TypeVar("T")
#: cookie that ties a login under way to the browser it began in
_COOKIE = "skyvault_elsewhere"
PATH = "/login/elsewhere"
#: how long somebody may take to log in there
PATIENCE_S = 900.0
#: logins at once by a process, and how many may wait: a login service that hangs takes no query's thread
THREADS, WAITING = 2, 64


class AccountElsewhere:
    """The resources of logging in elsewhere; there are none without ``oidc_issuer``."""

    def __init__(self, account: Account, logins: LoginService) -> None:
        self.account = account
        self.service = account.service
        self.ledger = account.ledger
        self.keys = account.accounts.keys
        self.logins = logins
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="skyvault-logins")
        self._waiting = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.logins.close()

    def routes(self) -> list[Route]:
        guard = guarded(form_of)
        return [
            Route(PATH, guard(self.begin), methods=["GET"]),
            Route(f"{PATH}/back", guard(self.come_back), methods=["GET"]),
            Route("/account/elsewhere", guard(self.unlink), methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """GET /login/elsewhere: to the login service, and from there back and on to NEXT; with LINK, which the account
        page gives, whoever logs in there is tied to the account of whoever is logged in here.
        """
        identity, asked = identity_of(request), request.query_params.get("link")
        if asked is None:
            return await self._sent(request, own_path(request.query_params.get("next")), link=None)
        identity.known_user()
        # a link and no form: pages may not send forms elsewhere (form-action in the content security policy). What it
        # carries is good in this one session only, so that another site's link ties nothing to anybody
        if identity.way != "session" or not self.keys.is_signed("link", identity.token_id or "", asked):
            raise Forbidden("the link is too old", hint="Load the account page again.")
        return await self._sent(request, "/account", link=identity.token_id)

    async def unlink(self, request: Request) -> Response:
        """POST /account/elsewhere: nobody of the login service opens this account any more."""
        identity = identity_of(request)
        user = identity.known_user()
        identity.need("account")
        async with await read_form(request, LIMITS) as form:
            self.account.refuse_forged(request, identity, form)
        if user.password_hash is None:
            raise Conflict("you could not log in any more", hint="Ask the operator for a password first.")
        await self.service.in_thread(self.ledger.external_logins.unlink, user, self.logins.issuer, actor=user.name)
        return RedirectResponse(f"{self.account.root(request)}/account", status_code=303, headers=NO_STORE)

    async def come_back(self, request: Request) -> Response:
        """GET /login/elsewhere/back, where the login service sends the browser: a session, and on to where it was."""
        identity = identity_of(request)
        try:
            under_way = self._under_way(request)
            attempt = Attempt(under_way["state"], under_way["nonce"], under_way["verifier"])
            answer = _answer(request)
            person = await self._in_thread(self.logins.person, attempt, answer, self._back(request))
            user = await self.service.in_thread(self._user_of, person, identity, under_way["link"])
            response = await self.account.opened(request, user, under_way["next"])
        except SkyvaultError as problem:
            response = self.account.login_page(request, next_path="/account", problem=problem)
        self.account.set_cookie(request, response, _COOKIE, "", 0)
        return response

    # ------------------------------------------------------------ inside

    async def _sent(self, request: Request, next_path: str, *, link: str | None) -> Response:
        attempt = Attempt.new()
        try:
            place = await self._in_thread(self.logins.address, attempt, self._back(request))
        except SkyvaultError as problem:
            return self.account.login_page(request, next_path=next_path, problem=problem)
        kept = {
            "state": attempt.state,
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "next": next_path,
            "link": link,
            "until": time.time() + PATIENCE_S,
        }
        text = base64.urlsafe_b64encode(json.dumps(kept).encode()).rstrip(b"=").decode()
        response = RedirectResponse(place, status_code=303, headers=NO_STORE)
        self.account.set_cookie(
            request, response, _COOKIE, f"{text}.{self.keys.sign('elsewhere', text)}", int(PATIENCE_S)
        )
        return response

    def _under_way(self, request: Request) -> dict[str, Any]:
        """The login that began in this browser. Raises LoginFailed when none did, or too long ago."""
        nothing = LoginFailed("no login was begun in this browser, or too long ago", hint="Log in again.")
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")[:16_384]).get(_COOKIE)
        except CookieError:
            cookie = None
        text, _, signature = ("" if cookie is None else cookie.value).rpartition(".")
        if not text or not self.keys.is_signed("elsewhere", text, signature):
            raise nothing
        try:
            found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, binascii.Error):
            raise nothing from None
        if not isinstance(found, dict) or found["until"] < time.time():
            raise nothing
        return found

    def _user_of(self, person: Person, identity: Identity, link: str | None) -> User:
        """Whose account this person opens. Raises LoginFailed, Conflict."""
        users, logins = self.ledger.users, self.ledger.external_logins
        if link is not None:
            # only the very session that asked for it: in another one somebody else may be logged in by now
            if identity.user is None or identity.way != "session" or identity.token_id != link:
                raise LoginFailed("you have logged out meanwhile", hint="Log in, then link again.")
            logins.link(identity.user, person.issuer, person.subject, actor=identity.user.name)
            return identity.user
        known = logins.user_id_of(person.issuer, person.subject)
        user = None if known is None else users.by_id(known)
        if user is not None:
            return user
        if not self.service.settings.oidc_new_users:
            raise LoginFailed(
                "no account here belongs to this login",
                hint="Log in with name and password and link it on the account page, or ask the operator.",
            )
        made = self._made(person)
        try:
            logins.link(made, person.issuer, person.subject, actor=made.name)
        except Conflict:
            # the same person in two windows at once: the first one's account stays
            users.remove(made.name, actor="first login")
            return self._user_of(person, identity, None)
        return made

    def _made(self, person: Person) -> User:
        """A new account without a password, of a name that nobody has."""
        wished = account_name(person)
        for number in range(1, 1000):
            try:
                return self.ledger.users.add(wished if number == 1 else f"{wished}-{number}", None, actor="first login")
            except Conflict:
                continue
        raise LoginFailed("there are too many accounts of this name", hint="Tell the operator.")

    def _back(self, request: Request) -> str:
        return f"{self.service.base_url(request)}{PATH}/back"

    async def _in_thread(self, act: Callable[..., T], *given: Any) -> T:
        if self._waiting >= WAITING:
            raise Busy("too many people log in just now", retry_after_s=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(act, *given))
        finally:
            self._waiting -= 1


def account_name(person: Person) -> str:
    """What a person's account is called where the name is free: what they are called there, made fit to be a name."""
    wished = re.sub(r"[^A-Za-z0-9._@-]+", "-", person.name or "").lstrip("._@-")[:50].rstrip("-")
    return wished if wished and not is_reserved(wished) else "user"


def _answer(request: Request) -> Mapping[str, str]:
    """The parameters the browser came back with. Raises LoginFailed where one comes twice (RFC 6749, section 3.1)."""
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise LoginFailed("the answer of the login service cannot be understood", hint="Log in again.")
    return dict(pairs)
