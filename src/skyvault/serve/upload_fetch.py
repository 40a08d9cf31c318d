"""Fetch an uploaded table by URL: only from hosts the operator has named, within size and time limits."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from skyvault.errors import ParameterError, TooLarge, TransientError

if TYPE_CHECKING:
    from skyvault.config import Settings

TIME_S = 30.0
SPOOL_BYTES = 4_000_000


@contextmanager
def fetched(url: str, settings: Settings) -> Iterator[IO[bytes]]:
    """The table at ``url`` as a temporary file. Raises ParameterError for a host that is not on the list.

    Redirects are not followed: they could lead to a host nobody has named.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise ParameterError(
            f"UPLOAD from {parts.scheme[:20]}: is not possible", hint="Send the table inline (param:)."
        )
    if (parts.hostname or "").lower() not in settings.upload_hosts:
        raise ParameterError(
            f"tables are not fetched from {(parts.hostname or '?')[:100]}",
            hint="Send the table inline (UPLOAD=name,param:part); the operator can allow hosts.",
        )
    import httpx2

    ends = time.monotonic() + TIME_S
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(settings.home / "tmp")) as file:
        try:
            client = httpx2.Client(follow_redirects=False, timeout=10.0, trust_env=False)
            with client, client.stream("GET", url) as got:
                if got.status_code != 200:
                    raise ParameterError(f"the upload's host answered {got.status_code}")
                size = 0
                for chunk in got.iter_bytes():
                    size += len(chunk)
                    if size > settings.upload_bytes:
                        raise TooLarge(f"the table to upload is larger than {settings.upload_bytes} bytes")
                    if time.monotonic() > ends:
                        raise TransientError(f"the table to upload did not arrive within {TIME_S:g} s")
                    file.write(chunk)
        except httpx2.HTTPError as problem:
            raise TransientError(f"the table to upload cannot be fetched ({type(problem).__name__})") from None
        file.seek(0)
        yield file
