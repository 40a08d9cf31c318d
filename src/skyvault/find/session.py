"""The HTTP session of a TAP service and its data links: patient with archives, careful with the token.

It is a ``requests.Session``, since that is what pyvo's classes take. Requests that break off, and answers of 429, 502,
503 and 504, are tried again until one deadline for all tries is over. The token goes to the service's own host, and
there only below the path its interfaces share: never to a signed address, never anywhere else after a redirect.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO, Any, Final
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError as TransportError

import skyvault
from skyvault.config import Secret
from skyvault.errors import ConfigError
from skyvault.net.addresses import shown_address, split_address
from skyvault.net.auth import Token, is_private_way
from skyvault.net.retry import TRANSIENT_STATUS, RetryPolicy, retry_after_s

#: how long one request may take with its retries when nothing else is said
TOTAL_S: Final = 600.0
_CONNECT_S: Final = 10.0
_BLOCK_BYTES: Final = 1 << 20
#: documents up to this size are kept in memory
_IN_MEMORY_BYTES: Final = 32 << 20
#: the longest document taken
_DOCUMENT_BYTES: Final = 20 << 30
_SIGNATURES: Final = frozenset(
    ("x-goog-signature", "x-amz-signature", "signature", "sig", "x-goog-credential", "x-amz-credential")
)

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class ArchiveSession(requests.Session):  # type: ignore[misc]
    """A session for the service at ``base_url``; ``token`` is sent to its own interfaces only.

    Clock (seconds), sleep and random are given by tests. Raises ConfigError for a token that would travel unencrypted.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Secret | str | None = None,
        retries: RetryPolicy | None = None,
        total_s: float = TOTAL_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__()
        split_address(base_url)
        self.base_url = base_url.rstrip("/")
        self.total_s = total_s
        self.headers["User-Agent"] = f"skyvault/{skyvault.__version__} (IVOA-science)"
        secret = Secret(token) if isinstance(token, str) else token
        if secret is not None and not is_private_way(base_url):
            raise ConfigError(
                "the token would be sent unencrypted",
                where=shown_address(base_url),
                hint="Use the service's https address.",
            )
        self.has_token = secret is not None
        self.auth = _TokenAuth(self.base_url, secret)
        adapter = _PatientAdapter(retries or RetryPolicy(), total_s, clock, sleep, random)
        self.clock = clock
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """All requests inside end within so many seconds, their retries and waits included."""
        limit = None if seconds is None else self.clock() + seconds
        outer = _deadline.get()
        if limit is None or (outer is not None and outer < limit):
            limit = outer
        mark = _deadline.set(limit)
        try:
            yield
        finally:
            _deadline.reset(mark)

    def left_s(self) -> float | None:
        """Seconds left of :meth:`within`."""
        limit = _deadline.get()
        return None if limit is None else limit - self.clock()

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """After a redirect: the token again, or none, by the new address alone."""
        prepared_request.headers.pop("Authorization", None)
        self.auth(prepared_request)

    def __repr__(self) -> str:
        return f"<ArchiveSession of {shown_address(self.base_url)}>"

    def __getstate__(self) -> Any:
        raise TypeError("a session is never saved: it may hold a token")


class _TokenAuth:
    """Puts the token on requests to the service's own interfaces."""

    def __init__(self, base_url: str, token: Secret | None) -> None:
        self._token = token
        parts = urlsplit(base_url)
        self._origin = _origin(base_url)
        # the interfaces of a service stand side by side: /api/tap, /api/datalink
        self._prefix = parts.path.rpartition("/")[0] + "/"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None and request.url is not None and self.covers(request.url):
            request.headers["Authorization"] = Token(self._token).header()
        return request

    def covers(self, url: str) -> bool:
        """Whether the token may be sent to this address."""
        parts = urlsplit(url)
        if _origin(url) != self._origin or not parts.path.startswith(self._prefix):
            return False
        path = parts.path.lower()
        if "/.." in path or "%2e" in path or "%2f.." in path or "\\" in path:
            return False
        return not any(name.lower() in _SIGNATURES for name, _ in parse_qsl(parts.query, keep_blank_values=True))

    def __repr__(self) -> str:
        return "<token>"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


class _PatientAdapter(HTTPAdapter):  # type: ignore[misc]
    """Sends one request, again and again where that may help, and reads documents to their end before it returns."""

    def __init__(
        self,
        retries: RetryPolicy,
        total_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        random: Callable[[], float],
    ) -> None:
        super().__init__(pool_maxsize=32)
        self._policy = retries
        self._total_s = total_s
        self._clock = clock
        self._sleep = sleep
        self._random = random

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        limit = _deadline.get()
        deadline = self._clock() + self._total_s if limit is None else limit
        failures = 0
        while True:
            fault: requests.RequestException | None = None
            response: requests.Response | None = None
            wish_s: float | None = None
            try:
                named["timeout"] = self._timeout(named.get("timeout"), deadline, request)
                response = super().send(request, *arguments, **named)
                if response.status_code not in TRANSIENT_STATUS:
                    return self._whole(response, deadline)
                wish_s = retry_after_s(response.headers.get("retry-after"))
            except _Over:
                raise requests.exceptions.Timeout(
                    f"the time allowed for {shown_address(request.url or '')} is over", request=request
                ) from None
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                fault = error
            failures += 1
            wait_s = self._policy.wait_s(failures, wish_s, self._random)
            if wait_s is None or self._clock() + wait_s >= deadline or not _can_be_sent_again(request):
                if response is not None:
                    return response
                assert fault is not None
                raise _told(fault, request, failures) from None
            if response is not None:
                response.close()
            self._sleep(wait_s)

    def _timeout(self, asked: Any, deadline: float, request: requests.PreparedRequest) -> tuple[float, float]:
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise _Over
        connect, read = asked if isinstance(asked, tuple) else (None, asked)
        return min(connect or _CONNECT_S, left_s), min(read or left_s, left_s)

    def _whole(self, response: requests.Response, deadline: float) -> requests.Response:
        """Documents are read here, so that one that breaks off is asked for again; files are left to who wants them."""
        kind = response.headers.get("content-type", "").lower()
        if not any(word in kind for word in ("xml", "json", "text", "parquet", "arrow")) or response.raw is None:
            return response
        body = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 (the response owns it)
        length = 0
        try:
            for block in response.raw.stream(_BLOCK_BYTES, decode_content=True):
                length += len(block)
                if length > _DOCUMENT_BYTES or self._clock() > deadline:
                    raise _Over
                body.write(block)
        except TransportError as error:
            body.close()
            raise requests.ConnectionError(f"the answer broke off ({type(error).__name__})") from None
        except BaseException:
            body.close()
            raise
        finally:
            response.raw.release_conn()
        body.seek(0)
        headers = {k: v for k, v in response.headers.items() if k.lower() not in ("content-encoding", "content-length")}
        response.raw = HTTPResponse(
            body, headers=headers, status=response.status_code, preload_content=False, reason=response.reason
        )
        response.raw.document = body
        response.headers.pop("content-encoding", None)
        return response


def document(response: requests.Response) -> IO[bytes]:
    """The body as a seekable file; one the session did not take for a document is read now."""
    held: IO[bytes] | None = getattr(response.raw, "document", None)
    if held is None:
        held = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 (the caller closes it)
        try:
            for block in response.iter_content(_BLOCK_BYTES):
                held.write(block)
        except requests.RequestException:
            held.close()
            raise requests.ConnectionError("the answer broke off") from None
    held.seek(0)
    return held


class _Over(Exception):
    """The time allowed, or the bytes, are used up."""


def _can_be_sent_again(request: requests.PreparedRequest) -> bool:
    # asking twice costs a service a second query at most: jobs that were never started vanish by themselves
    return request.body is None or isinstance(request.body, bytes | str)


def _told(fault: requests.RequestException, request: requests.PreparedRequest, tries: int) -> requests.RequestException:
    """The same fault in one sentence, without the secrets of the address."""
    host = urlsplit(request.url or "").netloc.rpartition("@")[2]
    times = "" if tries == 1 else f" {tries} times"
    if isinstance(fault, requests.Timeout):
        return requests.exceptions.Timeout(f"{host} did not answer in time{times}", request=request)
    if isinstance(fault, requests.exceptions.SSLError):
        return requests.exceptions.SSLError(f"the certificate of {host} cannot be trusted", request=request)
    why = "the connection broke off" if "abort" in str(fault).lower() or "broke" in str(fault) else "no connection"
    return requests.ConnectionError(f"{host}: {why}{times}", request=request)
