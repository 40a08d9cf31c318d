"""Answers that a client may have already, in whole or in part: entity tags, dates, byte ranges (RFC 9110)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def entity_tag(body: bytes) -> str:
    """A strong tag of these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:20]}"'


def is_known(request: Request, tag: str, modified: float | None = None) -> bool:
    """Whether the client says that it has this already; the tag decides where one is named (section 13.1.3)."""
    named = request.headers.get("if-none-match")
    if named is not None:
        tags = [one.strip().removeprefix("W/") for one in named.split(",")]
        return tag.removeprefix("W/") in tags or "*" in tags
    since = request.headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).timestamp()
    except (TypeError, ValueError, OverflowError):
        return False


def validators(tag: str, modified: float | None = None) -> dict[str, str]:
    """The headers by which a client may ask again."""
    dated = {} if modified is None else {"last-modified": formatdate(modified, usegmt=True)}
    return {"etag": tag, **dated}


def bytes_response(
    request: Request,
    body: bytes,
    content_type: str,
    *,
    modified: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """These bytes, one range of them (206), or that the client has them (304). HEAD gets the headers alone."""
    tag = entity_tag(body)
    sent = {"content-type": content_type, "accept-ranges": "bytes", **validators(tag, modified), **(headers or {})}
    if is_known(request, tag, modified):
        return Response(status_code=304, headers=sent)
    part = _part(request, len(body), tag)
    if part is None:
        return Response(body, headers=sent)
    first, last = part
    if first > last:
        return Response(status_code=416, headers={**sent, "content-range": f"bytes */{len(body)}"})
    sent["content-range"] = f"bytes {first}-{last}/{len(body)}"
    return Response(body[first : last + 1], status_code=206, headers=sent)


def _part(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """The one range that is asked for; (1, 0) when there is nothing in it, None for everything."""
    given = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if given is None or request.headers.get("if-range", tag) != tag:
        return None
    low, high = given.groups()
    if low:
        first, last = int(low), min(int(high) if high else size - 1, size - 1)
        if high and int(high) < int(low):
            return None
        return (first, last) if first < size else (1, 0)
    if not high:
        return None
    return (max(0, size - int(high)), size - 1) if int(high) and size else (1, 0)
