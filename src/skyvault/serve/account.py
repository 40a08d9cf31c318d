"""Logging in and out, and a user's own account: who am I, which tokens have I, another password."""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from skyvault.errors import Forbidden, ParameterError, SkyvaultError, Unauthorised
from skyvault.ledger.tokens import Token
from skyvault.ledger.users import User
from skyvault.model.job import format_instant
from skyvault.serve import passwords
from skyvault.serve.authentication import COOKIE, refuse_foreign, session_cookie
from skyvault.serve.faults import FaultForm, guarded, prefers_html
from skyvault.serve.identity import Identity, identity_of
from skyvault.serve.page_reply import document, render, static_version
from skyvault.serve.params import Form, FormLimits, Parameter, ParameterSet, read_form
from skyvault.serve.service import Service

LIMITS = FormLimits(field_bytes=20_000, file_bytes=0, fields=20, files=0)
NO_STORE = {"cache-control": "no-store"}
#: cookie that ties a login form to the browser it was sent to
_FORM_COOKIE = "skyvault_form"
DAY_S = 86_400.0

_LOGIN = ParameterSet(
    (
        Parameter("USERNAME", longest=100),
        Parameter("PASSWORD", longest=passwords.MOST),
        Parameter("NEXT", longest=2000),
        Parameter("CSRF", longest=200),
    )
)
_NEW_TOKEN = ParameterSet(
    (
        Parameter("NAME", doc="What the token is for", longest=100),
        Parameter("SCOPES", doc="Some of read, write, account, divided by blanks or commas", longest=100),
        Parameter("DAYS", type="real", doc="How long it is valid", minimum=0.0001),
        Parameter("CSRF", longest=200),
        Parameter("ACTION", choices=("CREATE", "DELETE")),
        Parameter("ID", longest=64),
    )
)
_PASSWORD = ParameterSet(
    (
        Parameter("OLD", longest=passwords.MOST),
        Parameter("NEW", longest=passwords.MOST),
        Parameter("CSRF", longest=200),
    )
)


class Account:
    """The pages and resources of accounts."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.accounts = service.accounts
        self.ledger = service.store.ledger

    def routes(self) -> list[Route]:
        guard = guarded(form_of)
        return [
            Route("/login", guard(self.login_form), methods=["GET"]),
            Route("/login", guard(self.log_in), methods=["POST"]),
            Route("/logout", guard(self.log_out), methods=["POST"]),
            Route("/account", guard(self.show), methods=["GET"]),
            Route("/account/password", guard(self.change_password), methods=["POST"]),
            Route("/account/tokens", guard(self.tokens), methods=["GET"]),
            Route("/account/tokens", guard(self.change_tokens), methods=["POST"]),
            Route("/account/tokens/{token_id}", guard(self.revoke), methods=["DELETE"]),
        ]

    # ------------------------------------------------------------ logging in

    async def login_form(self, request: Request) -> Response:
        """GET /login: the form."""
        return self.login_page(request, next_path=own_path(request.query_params.get("next")))

    async def log_in(self, request: Request) -> Response:
        """POST /login (USERNAME, PASSWORD): a session cookie; a browser is sent on to NEXT."""
        async with await read_form(request, LIMITS) as form:
            values = _LOGIN.read(form.pairs)
        refuse_foreign(request.headers, self._host(request))
        is_browser = prefers_html(request) or "origin" in request.headers or "sec-fetch-site" in request.headers
        next_path = own_path(values["NEXT"])
        if is_browser and not self._is_our_form(request, values["CSRF"]):
            problem = Forbidden("the form is too old, or cookies are switched off", hint="Log in again.")
            return self.login_page(request, next_path=next_path, problem=problem)
        if not values["USERNAME"] or not values["PASSWORD"]:
            raise ParameterError("USERNAME or PASSWORD is missing")
        address = request.client.host if request.client else ""
        try:
            user = await self.accounts.log_in(values["USERNAME"], values["PASSWORD"], address)
        except SkyvaultError as problem:
            if not is_browser:
                raise
            return self.login_page(request, next_path=next_path, problem=problem)
        return await self.opened(request, user, next_path if is_browser else None)

    async def opened(self, request: Request, user: User, next_path: str | None) -> Response:
        """A new session for a user who is recognised; a browser is sent on, within this service."""
        life_s = self.service.settings.user_session_days * DAY_S
        _, text = await self.service.in_thread(
            self.ledger.tokens.create, user, "web pages", ("read", "write", "account"), life_s, kind="session"
        )
        response: Response
        if next_path is not None:
            response = RedirectResponse(self.root(request) + own_path(next_path), status_code=303, headers=NO_STORE)
        else:
            response = Response(f"Logged in as {user.name}\n", media_type="text/plain", headers=NO_STORE)
        response.headers["x-vo-authenticated"] = user.name
        self.set_cookie(request, response, COOKIE, f"{text}.{self.accounts.keys.sign('session', text)}", int(life_s))
        return response

    async def log_out(self, request: Request) -> Response:
        """POST /logout: the session ends, here and everywhere its cookie went."""
        identity = identity_of(request)
        async with await read_form(request, LIMITS) as form:
            self.refuse_forged(request, identity, form)
        if identity.way == "session" and identity.user is not None and identity.token_id is not None:
            await self.service.in_thread(self.ledger.tokens.revoke, identity.user, identity.token_id)
        response = RedirectResponse(self.root(request) + "/", status_code=303, headers=NO_STORE)
        response.delete_cookie(COOKIE, path=self.root(request) + "/")
        return response

    # ------------------------------------------------------------ the account

    async def show(self, request: Request) -> Response:
        """GET /account: who one is, what one keeps; a page for people, JSON for programs."""
        identity = identity_of(request)
        if identity.user is None and prefers_html(request):
            return RedirectResponse(f"{self.root(request)}/login?next=/account", status_code=303, headers=NO_STORE)
        identity.known_user()
        if prefers_html(request):
            return self._account_page(request, identity)
        return JSONResponse(self._facts(identity), headers=NO_STORE)

    async def change_password(self, request: Request) -> Response:
        """POST /account/password (OLD, NEW): all sessions end."""
        identity = identity_of(request)
        user = identity.known_user()
        identity.need("account")
        async with await read_form(request, LIMITS) as form:
            self.refuse_forged(request, identity, form)
            values = _PASSWORD.read(form.pairs)
        if not values["OLD"] or not values["NEW"]:
            raise ParameterError("OLD or NEW is missing")
        address = request.client.host if request.client else ""
        try:
            await self.accounts.log_in(user.name, values["OLD"], address)
        except Unauthorised:
            raise Forbidden("the old password is wrong") from None
        new = await self.service.in_thread(passwords.hashed, values["NEW"])
        await self.service.in_thread(self.ledger.users.set_password, user.name, new, actor=user.name)
        if prefers_html(request):
            return RedirectResponse(f"{self.root(request)}/login?next=/account", status_code=303, headers=NO_STORE)
        return Response("The password is changed.\n", media_type="text/plain", headers=NO_STORE)

    async def tokens(self, request: Request) -> Response:
        """GET /account/tokens: the user's tokens as JSON, without their secrets."""
        identity = identity_of(request)
        user = identity.known_user()
        identity.need("account")
        return JSONResponse([_told(one) for one in self.ledger.tokens.of(user.id)], headers=NO_STORE)

    async def change_tokens(self, request: Request) -> Response:
        """POST /account/tokens: NAME, SCOPES, DAYS make a token, told once; ACTION=DELETE and ID revoke one."""
        identity = identity_of(request)
        user = identity.known_user()
        identity.need("account")
        async with await read_form(request, LIMITS) as form:
            self.refuse_forged(request, identity, form)
            values = _NEW_TOKEN.read(form.pairs)
        if values["ACTION"] == "DELETE":
            await self.service.in_thread(self.ledger.tokens.revoke, user, values["ID"] or "")
            return RedirectResponse(f"{self.root(request)}/account", status_code=303, headers=NO_STORE)
        most = self.service.settings.user_token_life_days
        days = min(values["DAYS"] or most / 4, most)
        scopes = (values["SCOPES"] or "read write").replace(",", " ").split()
        token, text = await self.service.in_thread(
            self.ledger.tokens.create, user, values["NAME"] or "token", scopes, days * DAY_S
        )
        if prefers_html(request):
            return self._account_page(request, identity, new_token=text)
        return JSONResponse({**_told(token), "token": text}, status_code=201, headers=NO_STORE)

    async def revoke(self, request: Request) -> Response:
        """DELETE /account/tokens/{id}."""
        identity = identity_of(request)
        user = identity.known_user()
        identity.need("account")
        self.refuse_forged(request, identity, None)
        await self.service.in_thread(self.ledger.tokens.revoke, user, request.path_params["token_id"])
        return Response("The token is revoked.\n", media_type="text/plain", headers=NO_STORE)

    # ------------------------------------------------------------ inside

    def _facts(self, identity: Identity) -> dict[str, Any]:
        user = identity.known_user()
        usage = self.ledger.user_tables.usage(user.id)
        settings = self.service.settings
        return {
            "name": user.name,
            "groups": sorted(identity.groups),
            "scopes": sorted(identity.scopes),
            "way": identity.way,
            "tables": usage.tables,
            "tables_most": settings.user_quota_tables if user.quota_tables is None else user.quota_tables,
            "bytes": usage.bytes,
            "bytes_most": settings.user_quota_bytes if user.quota_bytes is None else user.quota_bytes,
        }

    def refuse_forged(self, request: Request, identity: Identity, form: Form | None) -> None:
        """A page's form must carry the session's token. Raises Forbidden."""
        if identity.way != "session":
            return
        given = request.headers.get("x-csrf-token") or ""
        for name, value in () if form is None else form.pairs:
            given = value if name.upper() == "CSRF" else given
        if not self.accounts.keys.is_signed("form", identity.token_id or "", given):
            raise Forbidden("the form is too old", hint="Load the page again.")

    def _is_our_form(self, request: Request, given: str | None) -> bool:
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")[:16_384]).get(_FORM_COOKIE)
        except CookieError:
            return False
        return cookie is not None and self.accounts.keys.is_signed("login", cookie.value, given or "")

    def login_page(self, request: Request, *, next_path: str, problem: SkyvaultError | None = None) -> Response:
        nonce = secrets.token_urlsafe(16)
        body = render(
            "login.html.j2", **self._around(request), next_path=next_path, problem=problem,
            csrf=self.accounts.keys.sign("login", nonce), identity=identity_of(request), urlencode=urlencode,
        )  # fmt: skip
        response = document(body, level=1).response(
            request, cache="no-store", status=problem.http_status if problem else 200
        )
        self.set_cookie(request, response, _FORM_COOKIE, nonce, 3600)
        return response

    def _account_page(self, request: Request, identity: Identity, *, new_token: str | None = None) -> Response:
        user = identity.known_user()
        csrf = self.accounts.keys.sign("form", identity.token_id or "") if session_cookie(request.headers) else ""
        body = render(
            "account.html.j2", **self._around(request), facts=self._facts(identity), csrf=csrf, new_token=new_token,
            tokens=[_told(one) for one in self.ledger.tokens.of(user.id)],
            link=self.accounts.keys.sign("link", identity.token_id or "") if csrf else "", urlencode=urlencode,
            logins=self.ledger.external_logins.of(user.id), has_password=user.password_hash is not None,
            tables=self.ledger.user_tables.of(user.id) if self.service.settings.user_tables else [],
            instant=format_instant,
        )  # fmt: skip
        return document(body, level=1).response(request, cache="no-store")

    def set_cookie(self, request: Request, response: Response, name: str, value: str, life_s: int) -> None:
        is_https = self.service.base_url(request).startswith("https:")
        response.set_cookie(
            name, value, max_age=life_s, path=self.root(request) + "/", httponly=True, samesite="lax", secure=is_https
        )

    def _host(self, request: Request) -> str:
        return urlsplit(self.service.base_url(request)).netloc

    def root(self, request: Request) -> str:
        return urlsplit(self.service.base_url(request)).path.rstrip("/")

    def _around(self, request: Request) -> dict[str, Any]:
        from skyvault import __version__

        base = self.service.base_url(request)
        return {
            "base": base,
            "root": self.root(request),
            "tap": f"{base}/tap",
            "settings": self.service.settings,
            "version": __version__,
            "static_version": static_version(),
        }


def form_of(request: Request) -> FaultForm:
    return "html" if prefers_html(request) else "text"


def own_path(text: str | None) -> str:
    """A path of this service to go on to; anything that could lead elsewhere becomes the account page."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or any(c < "!" for c in text):
        return "/account"
    return text


def _told(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created": format_instant(token.created_at),
        "expires": format_instant(token.expires_at),
    }
