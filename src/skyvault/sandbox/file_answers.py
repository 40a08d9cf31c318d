"""Files over HTTP as archives' web servers send them: sizes, dates, ETags, single ranges (RFC 9110, sections 13-14)."""

from __future__ import annotations

import base64
import binascii
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

#: the one user who may read what is not yet public, and the password
USER, PASSWORD = "observer", "plates"
_TYPES: Final = (
    ((".tar.gz", ".tgz", ".gz", ".ftz"), "application/x-gzip"),
    ((".z",), "application/x-compress"),
    ((".fits", ".fit", ".img", ".evt"), "application/fits"),
    ((".gif",), "image/gif"),
    ((".jpg",), "image/jpeg"),
    ((".csv",), "text/csv; charset=utf-8"),
    ((".html",), "text/html; charset=utf-8"),
    ((".txt", ".log", ".asc"), "text/plain; charset=utf-8"),
)
_PIECE: Final = 1 << 18


class Bodies:
    """Files' bytes that were made, the last used kept up to a number of bytes; sizes are kept for good."""

    def __init__(self, most_bytes: int = 160_000_000) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes under this name, made when they are not there."""
        with self._lock:
            body = self._kept.get(name)
            if body is not None:
                self._kept.move_to_end(name)
                return body
        body = make()
        with self._lock:
            self._sizes[name] = len(body)
            if name not in self._kept:
                self._kept[name] = body
                self._kept_bytes += len(body)
            while self._kept_bytes > self._most_bytes and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._kept_bytes -= len(gone)
        return body

    def size(self, name: str, make: Callable[[], bytes]) -> int:
        """How many bytes there are under this name."""
        known = self._sizes.get(name)
        return len(self.get(name, make)) if known is None else known


def content_type(name: str) -> str:
    """The media type a web server tells by a file's name."""
    return next((told for ends, told in _TYPES if name.lower().endswith(ends)), "application/octet-stream")


def file_answer(request: Request, name: str, body: bytes, modified: datetime, *, attachment: bool = False) -> Response:
    """The file, or the part of it that was asked for. HEAD has no body; several ranges are answered by the whole."""
    modified = modified.astimezone(UTC).replace(microsecond=0)
    tag = f'"{len(body):x}-{zlib.crc32(body):08x}"'
    headers = {
        "accept-ranges": "bytes",
        "etag": tag,
        "last-modified": format_datetime(modified, usegmt=True),
        "content-type": content_type(name),
    }
    if attachment:
        headers["content-disposition"] = f'attachment; filename="{name}"'
    if _is_fresh(request, tag, modified):
        del headers["content-type"]
        return Response(status_code=304, headers=headers)
    begin, end, status = 0, len(body), 200
    wanted = _range(request.headers.get("range", ""), len(body))
    if wanted is not None and _may_continue(request, tag, modified):
        begin, end = wanted
        if begin >= end:
            headers["content-range"] = f"bytes */{len(body)}"
            return PlainTextResponse("The range is beyond the file.", 416, headers | {"content-type": "text/plain"})
        status = 206
        headers["content-range"] = f"bytes {begin}-{end - 1}/{len(body)}"
    headers["content-length"] = str(end - begin)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    if end - begin <= _PIECE:
        return Response(body[begin:end], status, headers)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(begin, end, _PIECE):
            yield body[at : min(at + _PIECE, end)]

    return StreamingResponse(pieces(), status, headers)


def refusal(request: Request) -> Response | None:
    """401 for who does not log in (HTTP Basic), 403 for a wrong user or password, None for who may read."""
    scheme, _, told = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        challenge = {"www-authenticate": 'Basic realm="Proprietary data", charset="UTF-8"'}
        return _page(401, "Unauthorized", "These data are not public yet: log in as their proposer.", challenge)
    try:
        user, _, password = base64.b64decode(told, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = password = ""
    if (user, password) == (USER, PASSWORD):
        return None
    return _page(403, "Forbidden", "You don't have permission to access this resource.")


def not_found() -> Response:
    """Apache's page for what is not there."""
    return _page(404, "Not Found", "The requested URL was not found on this server.")


def _page(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> Response:
    page = (
        '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n'
        f"<html><head>\n<title>{status} {title}</title>\n</head><body>\n<h1>{title}</h1>\n"
        f"<p>{text}</p>\n</body></html>\n"
    )
    return Response(page, status, headers, media_type="text/html; charset=iso-8859-1")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """(first byte, byte behind the last) of a single range; None when there is none that can be read."""
    match = re.fullmatch(r"\s*bytes=\s*(\d{0,18})-(\d{0,18})\s*", header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(size - int(match[2]), 0) if int(match[2]) else size, size
    begin = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < begin:
        return None
    return begin, end


def _may_continue(request: Request, tag: str, modified: datetime) -> bool:
    """Whether If-Range allows a part: the same strong ETag, or exactly this date (RFC 9110, section 13.1.5)."""
    told = request.headers.get("if-range")
    if told is None:
        return True
    return told == tag if '"' in told else _date(told) == modified


def _is_fresh(request: Request, tag: str, modified: datetime) -> bool:
    told = request.headers.get("if-none-match")
    if told is not None:
        return told.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in told.split(",")]
    since = _date(request.headers.get("if-modified-since", ""))
    return since is not None and modified <= since


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError):
        return None
