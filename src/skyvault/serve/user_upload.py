"""A table that is sent as the body of a request: onto the disk, counted, never whole in memory; then its rows."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from starlette.requests import ClientDisconnect, Request

from skyvault.errors import Busy, Cancelled, ParameterError, QuotaError, TooLarge
from skyvault.formats import ReadLimits, open_table
from skyvault.store.user_keep import SPARE_BYTES

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.formats.stream import TableStream

#: bodies taken at once by a process, and how much of one is written at a time
MOST_AT_ONCE = 128
_PIECE = 1 << 20
#: what a compressed table may unpack to, times the size that is taken
_UNPACKED = 10
#: a body that nobody has written to for so long is nobody's
_LEFT_S = 7200.0
_at_once = 0


@asynccontextmanager
async def received(request: Request, settings: Settings, folder: Path) -> AsyncIterator[Path]:
    """The request's body as a file that is gone afterwards.

    Raises TooLarge (413) beyond ``user_table_bytes``, QuotaError (507) when the disk has no room, ParameterError for
    an empty body, Cancelled when the client breaks off, Busy when too many send at once.
    """
    global _at_once
    most = settings.user_table_bytes
    length = request.headers.get("content-length", "")
    too_large = TooLarge(
        f"the table is larger than the {most:,} bytes this service takes", hint="Send it in parts, or as Parquet."
    )
    if length.isdigit() and int(length) > most:
        await _drain(request, most // 10)
        raise too_large
    if _at_once >= MOST_AT_ONCE:
        raise Busy("too many tables are being sent just now", retry_after_s=10)
    if shutil.disk_usage(folder).free < SPARE_BYTES + (int(length) if length.isdigit() else 0):
        raise QuotaError("the server's disk is full", hint="Tell its operator.")
    path = folder / f"upload-{os.getpid()}-{secrets.token_hex(8)}"
    _at_once += 1
    try:
        with _private(path) as file:
            size = await _write(request, file, most, folder)
            if size < 0:
                raise too_large
        if size == 0:
            raise ParameterError("the request has no body", hint="Send a table: curl -T table.vot URL.")
        yield path
    finally:
        _at_once -= 1
        path.unlink(missing_ok=True)


async def _write(request: Request, file: BinaryIO, most: int, folder: Path) -> int:
    """The number of bytes written; -1 when there are more than ``most``."""
    size, pieces, held = 0, [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                await _drain(request, most // 10)
                return -1
            pieces.append(chunk)
            held += len(chunk)
            if held >= _PIECE:
                await asyncio.to_thread(file.write, b"".join(pieces))
                pieces, held = [], 0
                if size % (64 * _PIECE) < _PIECE and shutil.disk_usage(folder).free < SPARE_BYTES:
                    raise QuotaError("the server's disk is full", hint="Tell its operator.")
    except ClientDisconnect:
        raise Cancelled("the client has broken off; nothing was kept") from None
    file.write(b"".join(pieces))
    return size


def opened(path: Path, content_type: str | None, settings: Settings, name: str) -> TableStream:
    """The table in a received file; its bytes decide on the format, the stated type only between CSV and TSV.

    Raises FormatError in a sentence that names no path, TooLarge.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    limits = ReadLimits(_UNPACKED * settings.user_table_bytes, settings.user_table_rows, settings.upload_columns)
    # the name decides between CSV and TSV where nothing else does
    called = f"{name}.tsv" if kind == "text/tab-separated-values" else name
    return open_table(path, limits=limits, name=called)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def _drain(request: Request, most: int) -> None:
    """A client that is still sending does not see an answer: let it finish, within reason."""
    seen = 0
    try:
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > most:
                return
    except (ClientDisconnect, RuntimeError):
        return


def remove_left(folder: Path) -> int:
    """Delete bodies that a killed process left behind; returns how many."""
    gone = 0
    for path in folder.glob("upload-*-*"):
        with suppress(FileNotFoundError):
            # a number says nothing about processes in another container: only age tells
            if time.time() - path.stat().st_mtime > _LEFT_S:
                path.unlink()
                gone += 1
    return gone
