"""The HTTP client through which every archive is asked: deadlines, retries, credentials by host, manners."""

from __future__ import annotations

import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import urljoin

import httpx2

import skyvault
from skyvault.errors import ConfigError, UsageError
from skyvault.net.addresses import host_of, shown_address, split_address
from skyvault.net.auth import IDENTIFYING, Credential, Credentials
from skyvault.net.faults import FetchError, Missing, Refused, Unreachable, WrongContent, said
from skyvault.net.politeness import Politeness
from skyvault.net.retry import TRANSIENT_STATUS, RetryPolicy, retry_after_s
from skyvault.net.stopping import LOOK_S, checking, look
from skyvault.net.transport import read_in_large_blocks

Result = TypeVar("Result")

_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_MAX_REDIRECTS: Final = 10
#: asking twice does what asking once does (RFC 9110 section 9.2.2)
_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "DELETE", "PUT"))
_ERROR_PAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds to connect, between two pieces of an answer, and (None: no limit) for a request with all its retries."""

    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float | None = None

    def __post_init__(self) -> None:
        if self.connect_s <= 0 or self.read_s <= 0 or (self.total_s is not None and self.total_s <= 0):
            raise ConfigError(f"deadlines are longer than no time at all, not {self}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: ``url`` is where it came from in the end, as it may be shown; header names are lower case."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Asks archives. One for a whole program, shared by its threads; close it, or use it as a context.

    Clock (seconds), sleep and random (in [0, 1)) are given by tests.
    """

    def __init__(
        self,
        *,
        credentials: Credentials | None = None,
        politeness: Politeness | None = None,
        retries: RetryPolicy | None = None,
        deadlines: Deadlines | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.credentials = credentials or Credentials()
        self.politeness = politeness or Politeness(clock=clock)
        self.retries = retries or RetryPolicy()
        self.deadlines = deadlines or Deadlines()
        self.clock = clock
        self.sleep = sleep
        self.random = random
        with _wrong_environment():
            self._client = httpx2.Client(
                transport=transport,
                verify=verify,
                headers={"User-Agent": f"skyvault/{skyvault.__version__}", "Accept": "*/*"},
                # Politeness counts connections by host; a limit over all would let one slow archive stop the rest
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=20.0),
                follow_redirects=False,
            )
        read_in_large_blocks(self._client)
        _hide_secrets_in_the_log()

    # -- whole answers -------------------------------------------------------------------------------------------

    def get(self, url: str, *, params: Mapping[str, str] | None = None, **how: Any) -> Answer:
        """GET; see :meth:`request`."""
        return self.request("GET", url, params=params, **how)

    def post(self, url: str, *, data: Mapping[str, str] | None = None, **how: Any) -> Answer:
        """POST a form, or ``json=``; repeated after a broken connection only with ``may_repeat``: :meth:`request`."""
        return self.request("POST", url, data=data, **how)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        credential: Credential | None = None,
        may_repeat: bool | None = None,
        total_s: float | None = None,
        limit_bytes: int = 256_000_000,
    ) -> Answer:
        """Ask, with retries, and read the whole answer (at most ``limit_bytes``, decoded).

        ``credential`` is for this address's host, instead of what is known for it.

        Raises Missing, Refused or FetchError for what will stay so, Unreachable when the retries or the
        total deadline are used up.
        """
        repeatable = method in _REPEATABLE if may_repeat is None else may_repeat
        deadline = self.deadline(total_s)

        def once() -> Answer:
            with self.open(
                method,
                url,
                params=params,
                data=data,
                json=json,
                files=files,
                headers=headers,
                credential=credential,
                deadline=deadline,
            ) as response:
                self.refuse_fault(response, url)
                body = bytearray()
                for block in self.blocks(response, url, deadline=deadline, decoded=True):
                    body += block
                    if len(body) > limit_bytes:
                        raise WrongContent(f"the answer is longer than {limit_bytes:,} bytes", where=shown_address(url))
                address = shown_address(str(response.url))
                return Answer(response.status_code, address, dict(response.headers), bytes(body))

        return self.repeat(once, host_of(url), deadline=deadline, repeatable=repeatable)

    def repeat(
        self, once: Callable[[], Result], host: str, *, deadline: float | None, repeatable: bool = True
    ) -> Result:
        """``once()`` again as long as the policy allows and what it raises is Unreachable."""
        failures = 0
        while True:
            try:
                return once()
            except Unreachable as error:
                failures += 1
                if not repeatable and error.retry_after_s is None:
                    raise
                self.pause(error, failures, host, deadline=deadline)

    def pause(
        self,
        error: Unreachable,
        failures: int,
        host: str,
        *,
        deadline: float | None,
    ) -> None:
        """Wait before the next try, or raise ``error`` where there shall be none. Raises Cancelled when stopped."""
        if error.retry_after_s is not None:
            self.politeness.hold(host, min(error.retry_after_s, self.retries.patience_s))
        left_s = self.retries.wait_s(failures, error.retry_after_s, self.random)
        if left_s is None or (deadline is not None and self.clock() + left_s >= deadline):
            raise error
        while left_s > 0:
            look()
            self.sleep(min(left_s, LOOK_S))
            left_s -= LOOK_S

    # -- one try ---------------------------------------------------------------------------------------------------

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: Any = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        credential: Credential | None = None,
        deadline: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """One request; the answer's body is unread. Redirects are followed, each host gets its own credentials only.

        A faulty status is no error here: :meth:`refuse_fault` makes it one. Raises Unreachable, FetchError.
        """
        here = url
        split_address(here)
        given = dict(headers or {})
        first_host = host_of(here)
        for _ in range(_MAX_REDIRECTS + 1):
            host = host_of(here)
            if host != first_host:
                # what a caller gave was meant for the first host
                given = {name: value for name, value in given.items() if name.lower() not in _PERSONAL}
            with ExitStack() as stack:
                stack.enter_context(self.politeness.turn(host, deadline=deadline))
                request = self._client.build_request(
                    method,
                    here,
                    params=params,
                    data=data,
                    json=json,
                    files=files,
                    headers=given,
                    timeout=self._timeout(deadline, url),
                )
                own = credential if host == first_host else None
                authorization = self.credentials.header_for(here, own)
                if authorization is not None:
                    request.headers[self.credentials.header_name(here, own)] = authorization
                with _network_faults(here), self._within(deadline, url):
                    response = self._client.send(request, stream=True, auth=_no_auth)
                stack.callback(_close, response)
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    yield response
                    return
                here, method, params, body = _redirected(response, here, method, (data, json, files))
                data, json, files = body
        raise FetchError(f"more than {_MAX_REDIRECTS} redirects", where=shown_address(url))

    def blocks(
        self, response: httpx2.Response, url: str, *, deadline: float | None = None, decoded: bool = False
    ) -> Iterator[bytes]:
        """The body piece by piece as it comes. Raises Unreachable when it breaks off or the deadline passes."""
        pieces = response.iter_bytes() if decoded else response.iter_raw()
        while True:
            with _network_faults(url), self._within(deadline, url):
                # before, not after: a block that has come is not thrown away
                look()
                block = next(pieces, None)
            if block is None:
                return
            yield block

    @contextmanager
    def _within(self, deadline: float | None, url: str) -> Iterator[None]:
        """No read goes on after the deadline, however slowly single bytes come."""

        def check() -> None:
            if deadline is not None and self.clock() > deadline:
                raise Unreachable("the time allowed was over before the answer was whole", where=shown_address(url))

        if deadline is None:
            yield
        else:
            with checking(check):
                yield

    def refuse_fault(self, response: httpx2.Response, url: str) -> None:
        """Raise what a status of 400 or more means: Missing, Refused, Unreachable or FetchError."""
        status = response.status_code
        if status < 400:
            return
        place = shown_address(url)
        told = _error_page(response)
        quoted = f" and says {told!r}" if told else ""
        if status in TRANSIENT_STATUS:
            wish_s = retry_after_s(response.headers.get("retry-after"))
            after = f" and asks to come back after {wish_s:,.0f} s" if wish_s is not None else quoted
            raise Unreachable(f"the archive answers {status}{after}", where=place, retry_after_s=wish_s)
        if status == 407:
            raise Refused("the proxy wants a user and password", where=place, hint=_PROXY_HINT)
        if status in (401, 403):
            known = any(name.lower() in IDENTIFYING for name in response.request.headers)
            hint = (
                "The credentials were refused; check them."
                if known
                else f"If you have access, give credentials for {host_of(url)}."
            )
            raise Refused(f"the archive refuses access ({status}){quoted}", where=place, hint=hint)
        if status in (404, 410):
            raise Missing(f"the archive has no such file ({status})", where=place)
        raise FetchError(f"the archive answers {status}{quoted}", where=place)

    def deadline(self, total_s: float | None = None) -> float | None:
        """When a piece of work that begins now must be done, on the clock."""
        limit_s = total_s if total_s is not None else self.deadlines.total_s
        return None if limit_s is None else self.clock() + limit_s

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _timeout(self, deadline: float | None, url: str) -> httpx2.Timeout:
        left_s = float("inf") if deadline is None else deadline - self.clock()
        if left_s <= 0:
            raise Unreachable("the time allowed is over", where=shown_address(url))
        return httpx2.Timeout(min(self.deadlines.read_s, left_s), connect=min(self.deadlines.connect_s, left_s))


#: headers that tell who somebody is
_PERSONAL: Final = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key"))


def _no_auth(request: httpx2.Request) -> httpx2.Request:
    """Instead of what httpx2 would take from addresses and .netrc."""
    return request


def _redirected(
    response: httpx2.Response, here: str, method: str, body: tuple[Any, Any, Any]
) -> tuple[str, str, None, tuple[Any, Any, Any]]:
    """Where to ask next and how (RFC 9110 section 15.4); ``body`` is form, JSON and files."""
    there = urljoin(here, response.headers["location"])
    try:
        parts = split_address(there)
    except UsageError as error:
        raise FetchError(
            f"the archive redirects to an address we do not follow: {error.what}", where=host_of(here)
        ) from None
    if here.startswith("https:") and parts.scheme == "http":
        raise FetchError(
            f"the archive redirects from https to unencrypted {shown_address(there)}", where=shown_address(here)
        )
    if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
        return there, "HEAD" if method == "HEAD" else "GET", None, (None, None, None)
    return there, method, None, body


@contextmanager
def _network_faults(url: str) -> Iterator[None]:
    """httpx2's errors in our words; none carries an address with its secrets."""
    try:
        yield
    except httpx2.HTTPError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise FetchError(
                f"the archive's certificate cannot be trusted: {cause.verify_message}",
                where=host_of(url),
                hint="If your institute has an authority of its own, let SSL_CERT_FILE name its certificates.",
            ) from None
        if isinstance(error, httpx2.ProxyError):
            refusal = " ".join(str(error).split())[:100]
            what = f"the proxy does not let the request through ({refusal})"
            if refusal.startswith(("502", "503", "504")):
                raise Unreachable(what, where=shown_address(url)) from None
            raise FetchError(what, where=shown_address(url), hint=_PROXY_HINT) from None
        raise Unreachable(_in_words(error) + _by_proxy(url, error), where=shown_address(url)) from None
    except (httpx2.InvalidURL, httpx2.CookieConflict, ValueError) as error:
        raise FetchError(f"the request cannot be made: {type(error).__name__}", where=shown_address(url)) from None


_PROXY_HINT: Final = (
    "See HTTP_PROXY, HTTPS_PROXY and NO_PROXY; a user and password are given as http://USER:PASSWORD@HOST:PORT."
)


@contextmanager
def _wrong_environment() -> Iterator[None]:
    """What the environment says of proxies and certificates, refused in a sentence; it may hold a password."""
    try:
        yield
    except ImportError:
        raise ConfigError(
            "proxies of the SOCKS kind are not spoken to", where="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY", hint=_PROXY_HINT
        ) from None
    except (ValueError, httpx2.InvalidURL):
        raise ConfigError(
            "the address of the proxy cannot be read", where="HTTP_PROXY, HTTPS_PROXY, ALL_PROXY", hint=_PROXY_HINT
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the file of certificates cannot be read: {error.strerror or type(error).__name__}",
            where="SSL_CERT_FILE or SSL_CERT_DIR",
        ) from None


def _by_proxy(url: str, error: httpx2.HTTPError) -> str:
    """Which proxy was asked for the connection that failed, without its password."""
    from urllib.request import getproxies, proxy_bypass

    if not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ""
    parts = split_address(url)
    known = getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return ""
    with suppress(ValueError):
        return f", asked of the proxy {shown_address(proxy if '://' in proxy else f'http://{proxy}').rstrip('/')}"
    return ", asked of a proxy"


def _in_words(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return "no connection within the time allowed"
    if isinstance(error, httpx2.TimeoutException):
        return "the archive stopped sending"
    if isinstance(error, httpx2.ConnectError):
        return f"no connection ({str(error) or type(error).__name__})"
    if isinstance(error, httpx2.DecodingError):
        return "the answer's compression is damaged"
    return f"the connection broke off ({str(error) or type(error).__name__})"


def _error_page(response: httpx2.Response) -> str:
    page = b""
    try:
        for block in response.iter_bytes():
            page += block
            if len(page) >= _ERROR_PAGE_BYTES:
                break
    except (httpx2.HTTPError, httpx2.StreamError):
        pass  # the status is what counts
    return said(page)


def _close(response: httpx2.Response) -> None:
    # a connection that broke must not hide what was wrong with it
    with suppress(httpx2.HTTPError):
        response.close()


class _HideSecrets(logging.Filter):
    """httpx2 logs whole addresses; a signed link's signature is as good as a password."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                shown_address(str(value)) if isinstance(value, httpx2.URL) else value for value in record.args
            )
        return True


_HIDING: Final = _HideSecrets()


def _hide_secrets_in_the_log() -> None:
    log = logging.getLogger("httpx2")
    if _HIDING not in log.filters:
        log.addFilter(_HIDING)
