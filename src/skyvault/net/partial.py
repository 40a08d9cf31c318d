"""The beginning of a file that is still on its way: ``NAME.part``, and beside it what is known of the whole."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from skyvault.errors import Conflict, StoreError
from skyvault.net.remote_file import Checksum

_STATE_VERSION: Final = 1
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PartState:
    """Which file the bytes belong to: where from, which version (``etag``, ``last_modified``), how long in all.

    ``boot`` names the run of this machine: after a power failure a file may be longer than what reached the disk.
    """

    identity: str
    etag: str | None
    last_modified: str | None
    total_bytes: int | None
    boot: str

    @property
    def validator(self) -> str | None:
        """For If-Range: only strong ones may be used (RFC 9110 section 13.1.5)."""
        return self.etag or self.last_modified


class Part:
    """A file in the making, locked against other processes. A context: leaving it keeps what came.

    Raises Conflict when somebody else is fetching the same file, StoreError when the disk does not take it.
    """

    def __init__(self, target: Path, checksum: Checksum | None) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.state_path = target.with_name(f"{target.name}.part.json")
        self._checksum = checksum
        self.state: PartState | None = None
        self.length = 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._locked()
        except OSError as error:
            raise disk_fault(error, self.path) from None
        try:
            self.length = os.fstat(self._file).st_size
            self.state = self._read_state()
            self._hasher = checksum.hasher() if checksum else None
            self._hashed = 0
        except BaseException:
            os.close(self._file)
            raise

    def _locked(self) -> int:
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # whoever had the lock may have finished and renamed the file meanwhile
                if os.fstat(file).st_ino == os.stat(self.path).st_ino:
                    return file
                os.close(file)
            except BlockingIOError:
                os.close(file)
                raise Conflict("somebody else is fetching this file right now", where=str(self.target)) from None
            except FileNotFoundError:
                os.close(file)
            except OSError:
                os.close(file)
                raise

    # -- what is there --------------------------------------------------------------------------------------------

    def can_resume(self, identity: str) -> bool:
        """Whether the bytes here are the beginning of this file, as far as anybody can know.

        Without a validator only a checksum could tell that two versions were not glued together.
        """
        state = self.state
        if state is None or self.length == 0 or state.identity != identity:
            return False
        if state.boot != _boot() and self._checksum is None:
            return False
        if state.total_bytes is not None and self.length > state.total_bytes:
            return False
        return state.validator is not None or self._checksum is not None

    def restart(self, state: PartState | None) -> None:
        """Forget all bytes; the next ones belong to ``state``."""
        try:
            if os.fstat(self._file).st_size:
                # not without need: ext4 flushes a file that was truncated when it is closed, 70 ms for 5 MB
                os.ftruncate(self._file, 0)
            self.length = self._hashed = 0
            self._hasher = self._checksum.hasher() if self._checksum else None
            self.state = state
            if state is None:
                self.state_path.unlink(missing_ok=True)
            else:
                beside = self.state_path.with_name(f"{self.state_path.name}.new")
                beside.write_text(json.dumps({"version": _STATE_VERSION, **asdict(state)}), encoding="utf-8")
                os.replace(beside, self.state_path)
        except OSError as error:
            raise disk_fault(error, self.path) from None

    def append(self, block: bytes) -> None:
        """Write a block at the end. A kill after it loses nothing of it."""
        self._catch_up()
        if self._hasher:
            self._hasher.update(block)
        view = memoryview(block)
        try:
            while view:
                written = os.pwrite(self._file, view, self.length)
                self.length += written
                self._hashed += written
                view = view[written:]
        except OSError as error:
            # what the checksum has seen and the disk has not is read again, should anybody go on
            self._hasher = self._checksum.hasher() if self._checksum else None
            self._hashed = 0
            raise disk_fault(error, self.path) from None

    def head(self, count: int) -> bytes:
        """The first bytes."""
        return os.pread(self._file, count, 0)

    def digest(self) -> str | None:
        """Of all bytes that are here; None when no checksum is wanted."""
        self._catch_up()
        return self._hasher.hexdigest() if self._hasher else None

    def _catch_up(self) -> None:
        """Let the checksum see what an earlier process wrote."""
        while self._hasher and self._hashed < self.length:
            block = os.pread(self._file, min(_BLOCK, self.length - self._hashed), self._hashed)
            if not block:
                raise StoreError("the file became shorter while it was read", where=str(self.path))
            self._hasher.update(block)
            self._hashed += len(block)

    # -- the end --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Rename to the target: from now on the file is there, and whole."""
        try:
            os.replace(self.path, self.target)
        except OSError as error:
            raise disk_fault(error, self.target) from None
        self.state_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete what came."""
        self.path.unlink(missing_ok=True)
        self.state_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up the lock; an empty part leaves no trace."""
        try:
            if self.length == 0 and self._is_ours():
                self.discard()
        finally:
            os.close(self._file)

    def _is_ours(self) -> bool:
        try:
            return os.stat(self.path).st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            return False

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_state(self) -> PartState | None:
        """None for no state, or one that is damaged or of another release: then the bytes are of no use."""
        try:
            found: Any = json.loads(self.state_path.read_text(encoding="utf-8"))
            if found.pop("version") != _STATE_VERSION:
                return None
            state = PartState(**found)
        except (FileNotFoundError, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError):
            return None
        texts = (state.etag, state.last_modified)
        sound = (
            isinstance(state.identity, str)
            and isinstance(state.boot, str)
            and all(text is None or (isinstance(text, str) and text.isprintable()) for text in texts)
            and (state.total_bytes is None or (isinstance(state.total_bytes, int) and state.total_bytes >= 0))
        )
        return state if sound else None


def new_state(identity: str, etag: str | None, last_modified: str | None, total_bytes: int | None) -> PartState:
    """The state of a file whose first answer has just come."""
    return PartState(identity, etag, last_modified, total_bytes, _boot())


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def disk_fault(error: OSError, path: Path) -> StoreError:
    """What the disk said, as a sentence with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "the disk is full",
            where=str(path),
            hint="Make room and fetch again: what has come is kept and not fetched twice.",
        )
    return StoreError(f"the file cannot be written: {error.strerror or error}", where=str(path))
