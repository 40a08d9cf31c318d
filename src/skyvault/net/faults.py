"""What can go wrong while a file is fetched, each a sentence about one file of one archive."""

from __future__ import annotations

import re
from typing import Final

from skyvault.errors import SkyvaultError, TransientError

_TITLE: Final = re.compile(rb"<title[^>]*>([^<]{1,300})", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")


class FetchError(SkyvaultError):
    """A file cannot be had; trying the same again will not help by itself."""

    http_status = 502


class Missing(FetchError):
    """The archive has no such file (HTTP 404, 410)."""

    http_status = 404


class Refused(FetchError):
    """The archive does not give this file to you (HTTP 401, 403)."""

    http_status = 403


class WrongContent(FetchError):
    """What came is not the file: another size, another checksum, a web page, a damaged archive."""


class Unreachable(TransientError):
    """The archive did not answer, broke off, or asked to come back; ``retry_after_s`` is its own wish, if any."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after_s = retry_after_s


def said(body: bytes) -> str:
    """What a server's error page says, in at most 160 printable characters; empty when it says nothing."""
    title = _TITLE.search(body)
    text = (title[1] if title else body[:2000]).decode("utf-8", "replace")
    text = _TAG.sub(" ", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= 160 else f"{text[:157]}..."
