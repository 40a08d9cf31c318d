"""Uploads that come in pieces: how much of a table has arrived, whose it is, and when it is forgotten.

Each is two files below ``tmp/uploads/OWNER``: what is to become of it (JSON, written once at the beginning and once at
the end), and the bytes so far. The length of the second is all that is known of progress, so that a process that is
killed at any moment leaves an upload that can be continued.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

from skyvault.errors import Busy, NotFound, QuotaError

_ID = re.compile(r"[0-9a-f]{32}")
#: uploads of one owner that are open at once
MOST_OPEN = 100


@dataclass(frozen=True, slots=True)
class PiecedUpload:
    """A table on its way. ``owner`` is a user's id or "" (the shared space); times are seconds since 1970."""

    id: str
    owner: str
    name: str
    length: int
    created_at: float
    #: of all bytes, lower case; None: the sender does not say
    sha256: str | None = None
    content_type: str | None = None
    position: tuple[str, ...] | None = None
    #: whether the rows are added to the table there is
    appends: bool = False
    only_new: bool = False
    #: once it is a table: what the sender was or would have been told
    done: Mapping[str, Any] | None = None


class PiecedUploads:
    """The uploads of one data directory, seen by all its processes. ``clock`` gives seconds since 1970."""

    def __init__(self, folder: Path, *, life_s: float, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.life_s = life_s
        self.clock = clock

    def begin(self, upload: PiecedUpload) -> PiecedUpload:
        """Keep a new upload, under an id of its own. Raises QuotaError when the owner has too many open."""
        if len(self.of(upload.owner)) >= MOST_OPEN:
            raise QuotaError(f"{MOST_OPEN} uploads are open already", hint="Finish or delete some first.")
        made = replace(upload, id=secrets.token_hex(16), created_at=self.clock())
        place = self._folder_of(made.owner)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.bytes_of(made), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._write(made)
        return made

    def find(self, owner: str, upload_id: str) -> PiecedUpload:
        """The owner's upload. Raises NotFound, also for one of somebody else and one whose time is over."""
        found = self._read(self._folder_of(owner) / f"{upload_id}.json") if _ID.fullmatch(upload_id) else None
        if found is None or self.ends_at(found) <= self.clock():
            raise NotFound(f"there is no upload {upload_id[:64]!r}", hint="Begin another.")
        return found

    def of(self, owner: str) -> list[PiecedUpload]:
        """The owner's uploads that are not tables yet, the oldest first."""
        found = [self._read(path) for path in self._folder_of(owner).glob("*.json")]
        now = self.clock()
        open_ = [one for one in found if one is not None and one.done is None and self.ends_at(one) > now]
        return sorted(open_, key=lambda one: one.created_at)

    def bytes_of(self, upload: PiecedUpload) -> Path:
        """The file of what has arrived."""
        return self._folder_of(upload.owner) / f"{upload.id}.part"

    def received(self, upload: PiecedUpload) -> int:
        """How many bytes have arrived."""
        if upload.done is not None:
            return upload.length
        try:
            return self.bytes_of(upload).stat().st_size
        except FileNotFoundError:
            return 0

    def taken_bytes(self, owner: str) -> int:
        """What the owner's unfinished uploads take on the disk."""
        size = 0
        for path in self._folder_of(owner).glob("*.part"):
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def ends_at(self, upload: PiecedUpload) -> float:
        """When it is forgotten: so long after the last byte came."""
        touched = upload.created_at
        for path in (self.bytes_of(upload), self._told(upload)):
            with suppress(FileNotFoundError):
                touched = max(touched, path.stat().st_mtime)
        return touched + self.life_s

    @contextmanager
    def held(self, upload: PiecedUpload) -> Iterator[FileIO]:
        """The file of its bytes, for nobody else in any process meanwhile. Raises Busy, NotFound."""
        import fcntl

        try:
            file = self.bytes_of(upload).open("r+b", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"there is no upload {upload.id!r}", hint="Begin another.") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy("this upload is busy with an earlier request", retry_after_s=1) from None
            yield file

    def is_busy(self, upload: PiecedUpload) -> bool:
        """Whether a request works on it just now."""
        try:
            with self.held(upload):
                return False
        except Busy:
            return True
        except NotFound:
            return False

    def finish(self, upload: PiecedUpload, told: Mapping[str, Any]) -> PiecedUpload:
        """It is a table: its bytes go, what was told of it stays a while for a sender who did not hear."""
        done = replace(upload, done=dict(told))
        self._write(done)
        self.bytes_of(upload).unlink(missing_ok=True)
        return done

    def drop(self, upload: PiecedUpload) -> None:
        """Forget it."""
        self._told(upload).unlink(missing_ok=True)
        self.bytes_of(upload).unlink(missing_ok=True)

    def drop_all(self, owner: str | None) -> None:
        """Forget those of an owner, or (None) of everybody."""
        shutil.rmtree(self.folder if owner is None else self._folder_of(owner), ignore_errors=True)

    def remove_expired(self) -> int:
        """Delete what nobody continues; returns how many files."""
        gone, now = 0, self.clock()
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):
                other = path.with_suffix(".part" if path.suffix == ".json" else ".json")
                touched = max(one.stat().st_mtime for one in (path, other) if one.exists())
                if touched + self.life_s <= now:
                    path.unlink()
                    gone += 1
        return gone

    def _folder_of(self, owner: str) -> Path:
        return self.folder / (owner or "anonymous")

    def _told(self, upload: PiecedUpload) -> Path:
        return self._folder_of(upload.owner) / f"{upload.id}.json"

    def _write(self, upload: PiecedUpload) -> None:
        path = self._told(upload)
        draft = path.with_name(f"{upload.id}.{secrets.token_hex(4)}.draft")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(asdict(upload), file)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @staticmethod
    def _read(path: Path) -> PiecedUpload | None:
        try:
            told = json.loads(path.read_text())
            position = told.pop("position")
            return PiecedUpload(**told, position=None if position is None else tuple(position))
        except (OSError, ValueError, TypeError, KeyError):
            return None
