"""Answers kept for the next time: by address and version, asked anew cheaply, the least recently used dropped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skyvault.errors import ConfigError
from skyvault.net.addresses import shown_address
from skyvault.net.client import HttpClient
from skyvault.net.faults import Unreachable
from skyvault.net.partial import disk_fault

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """``body`` as it came at ``fetched_at`` (seconds since 1970); ``is_stale``: the archive could not be asked."""

    body: bytes
    etag: str | None
    content_type: str | None
    fetched_at: float
    is_stale: bool = False


class ContentCache:
    """A folder of bodies named by their content's address, at most ``limit_bytes`` in all.

    Shared by threads and processes: entries are written beside and renamed, a damaged or cut one counts as none.
    Addresses are kept without their secrets; answers to different users must not share a cache.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, clock: Callable[[], float] = time.time) -> None:
        if limit_bytes < 0:
            raise ConfigError(f"a cache cannot hold {limit_bytes} bytes")
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._clock = clock
        self._lock = threading.Lock()

    def get(
        self, client: HttpClient, url: str, *, fresh_s: float = 0.0, is_stale_welcome: bool = False
    ) -> CachedAnswer:
        """The answer to GET ``url``: from here when younger than ``fresh_s``, else the archive is asked for news.

        ``is_stale_welcome``: an old answer is given, marked, when the archive cannot be reached. Raises what
        :meth:`skyvault.net.client.HttpClient.get` raises; nothing faulty is ever kept.
        """
        kept = self.find(url)
        if kept is not None and self._clock() - kept.fetched_at < fresh_s:
            return kept
        headers = {"If-None-Match": kept.etag} if kept is not None and kept.etag else None
        try:
            answer = client.get(url, headers=headers)
        except Unreachable:
            if kept is None or not is_stale_welcome:
                raise
            return CachedAnswer(kept.body, kept.etag, kept.content_type, kept.fetched_at, is_stale=True)
        if answer.status == 304 and kept is not None:
            return self.put(url, kept.body, etag=kept.etag, content_type=kept.content_type)
        return self.put(
            url, answer.body, etag=answer.headers.get("etag"), content_type=answer.headers.get("content-type")
        )

    def find(self, url: str) -> CachedAnswer | None:
        """What is kept for ``url``, whatever its age; counts as a use."""
        path = self._path(url)
        try:
            raw = path.read_bytes()
            head, _, body = raw.partition(b"\n")
            known = json.loads(head)
            if known["version"] != _VERSION or hashlib.sha256(body).hexdigest() != known["sha256"]:
                return None
            answer = CachedAnswer(body, known["etag"], known["content_type"], float(known["fetched_at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path, (self._clock(), path.stat().st_mtime))
        return answer

    def put(self, url: str, body: bytes, *, etag: str | None, content_type: str | None) -> CachedAnswer:
        """Keep an answer, and drop the least recently used beyond the limit. One that is too large is not kept."""
        answer = CachedAnswer(body, etag, content_type, self._clock())
        known = {
            "version": _VERSION,
            "url": shown_address(url),
            "etag": etag,
            "content_type": content_type,
            "fetched_at": answer.fetched_at,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        raw = json.dumps(known).encode() + b"\n" + body
        if len(raw) > self.limit_bytes:
            self.forget(url)
            return answer
        path = self._path(url)
        beside = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(dir=self.folder, suffix=".new")
            with open(descriptor, "wb") as file:
                file.write(raw)
            now = self._clock()
            os.utime(beside, (now, now))
            os.replace(beside, path)
        except OSError as error:
            if beside is not None:
                Path(beside).unlink(missing_ok=True)
            raise disk_fault(error, path) from None
        self._make_room(path)
        return answer

    def forget(self, url: str) -> None:
        """Drop what is kept for ``url``."""
        self._path(url).unlink(missing_ok=True)

    def used_bytes(self) -> int:
        """What lies in the folder."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, url: str) -> Path:
        # of the whole address: two signatures or keys may mean two answers
        return self.folder / f"{hashlib.sha256(url.encode()).hexdigest()}.kept"

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, size, path), unsorted."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name.endswith(".kept"):
                        status = entry.stat()
                        found.append((status.st_atime, status.st_size, Path(entry.path)))
        return found

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            entries = self._entries()
            used = sum(size for _, size, _ in entries)
            for _, size, path in sorted(entries):
                if used <= self.limit_bytes:
                    return
                if path != newest:
                    path.unlink(missing_ok=True)
                    used -= size
