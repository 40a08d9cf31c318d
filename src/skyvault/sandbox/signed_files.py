"""Files of a sandbox archive behind links that expire, as object stores sign them (S3's query parameters)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skyvault.sandbox.emulation import Place

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_KEY: Final = b"no secret: the sandbox signs for itself"


class SignedFiles:
    """Signs links below ``prefix`` of an archive and answers them, whole or in ranges.

    ``file_of`` makes the file of a key, or gives None for one that does not exist.
    """

    def __init__(
        self, place: Place, prefix: str, file_of: Callable[[str], Path | None], *, valid_s: float = 900.0,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.place = place
        self.prefix = prefix
        self.file_of = file_of
        self.valid_s = valid_s
        self.clock = clock

    def link(self, key: str) -> str:
        """An address that works for a quarter of an hour."""
        begun = int(self.clock())
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(begun))
        return (
            f"{self.place.url}{self.prefix}/{key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SANDBOX"
            f"&X-Amz-Date={date}&X-Amz-Expires={int(self.valid_s)}&X-Amz-SignedHeaders=host"
            f"&X-Amz-Signature={self._signature(key, date)}"
        )

    def _signature(self, key: str, date: str) -> str:
        return hmac.new(_KEY, f"{key} {date} {int(self.valid_s)}".encode(), hashlib.sha256).hexdigest()

    async def answer(self, request: Request) -> Response:
        """The route's answer; its path parameter is ``key``."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import FileResponse

        key, asked = request.path_params["key"], request.query_params
        date = asked.get("X-Amz-Date", "")
        if not hmac.compare_digest(asked.get("X-Amz-Signature", ""), self._signature(key, date)):
            return _refusal(403, "SignatureDoesNotMatch", "The request signature does not match.")
        try:
            begun = float(_seconds(date))
        except ValueError:
            return _refusal(403, "AccessDenied", "Invalid date.")
        expired = self.clock() > begun + self.valid_s
        if expired or self.place.faults.is_on(
            "expired-links", self.place.url.rpartition("/")[2], f"{self.prefix}/{key}"
        ):
            return _refusal(403, "AccessDenied", "Request has expired")
        path = await run_in_threadpool(self.file_of, key)
        if path is None:
            return _refusal(404, "NoSuchKey", "The specified key does not exist.")
        return FileResponse(path, media_type="application/octet-stream")


def _seconds(date: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))


def _refusal(status: int, code: str, message: str) -> Response:
    from starlette.responses import Response as Plain

    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Plain(body, status, media_type="application/xml")
