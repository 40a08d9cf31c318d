"""What is known about the last run of a project while it goes on and after it ended, in a small file of its folder.

``run.json`` lies beside the run's products. Only the process that holds the lock ``run.lock`` writes it; the operating
system gives the lock back when that process ends, however it ends, so that a run that died is told from one that goes
on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from skyvault.errors import Conflict
from skyvault.pipeline.faults import DataError

NAME: Final = "run.json"
_LOCK: Final = "run.lock"
_MOST_BYTES: Final = 100_000
#: seconds between two writings of the file
_PAUSE_S: Final = 0.5
#: looks at a lock that is taken
_TRIES: Final = 5
#: locks of this process: opening their files once more would give them back
_held: set[Path] = set()

Phase = Literal["running", "done", "stopped", "failed", "died"]


@dataclass
class RunRecord:
    """One run: whose, since when, how far. Times are seconds since 1970 (UTC).

    ``chosen`` sources were to be looked at, ``skipped`` of them were done before, ``done`` and ``failed`` now.
    ``file`` is the YAML file and ``directory`` the folder it was started in, where there was a file.
    """

    project: str
    cfg_hash: str = ""
    description: str = ""
    sources: int = 0
    chosen: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    phase: Phase = "running"
    message: str = ""
    started: float = 0.0
    updated: float = 0.0
    seconds: float = 0.0
    host: str = ""
    pid: int = 0
    executor: str = ""
    file: str | None = None
    directory: str | None = None

    @property
    def name(self) -> str:
        """``PROJECT``, or ``PROJECT_<checksum>`` of a version: the folder's name."""
        return f"{self.project}_{self.cfg_hash}" if self.cfg_hash else self.project

    @property
    def left(self) -> int:
        """Sources that this run has not come to yet."""
        return max(0, self.chosen - self.skipped - self.done - self.failed)

    @property
    def per_second(self) -> float | None:
        """Sources a second of this run, those left out that were done before."""
        worked = self.done + self.failed
        return worked / self.seconds if worked and self.seconds > 0.0 else None

    @property
    def seconds_left(self) -> float | None:
        """How long it will go on at the pace so far; None when it does not run or nothing is known yet."""
        if self.phase != "running" or self.per_second is None:
            return None
        return self.left / self.per_second

    @property
    def started_at(self) -> str:
        return dt.datetime.fromtimestamp(self.started, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Recorder:
    """Writes the record of the run that this process does; see :func:`recorded`."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.record = record
        self._path = folder / NAME
        self._began = time.monotonic()
        self._written = 0.0

    def advance(self, done: int, failed: int) -> None:
        """So many sources are done and failed by now; written twice a second at most."""
        self.record.done, self.record.failed = done, failed
        if time.monotonic() - self._written >= _PAUSE_S:
            self.write()

    def write(self) -> None:
        record = self.record
        record.seconds = time.monotonic() - self._began
        record.updated = time.time()
        self._written = time.monotonic()
        beside = self._path.with_name(f".{NAME}.{os.getpid()}")
        beside.write_text(json.dumps(dataclasses.asdict(record), indent=1), encoding="utf-8")
        os.replace(beside, self._path)


@contextlib.contextmanager
def recorded(folder: Path, record: RunRecord) -> Iterator[Recorder]:
    """Holds the lock of a run's folder and keeps its record until the end, with what ended it.

    Raises Conflict when a run of this project and version goes on already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        record.started = time.time()
        record.host, record.pid = socket.gethostname(), os.getpid()
        recorder = Recorder(folder, record)
        recorder.write()
        try:
            yield recorder
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
            record.phase = "stopped" if stopped else "failed"
            record.message = "" if stopped else " ".join(str(error).split())[:1000]
            with contextlib.suppress(OSError):
                recorder.write()
            raise
        record.phase = "done"
        recorder.write()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = (folder / _LOCK).resolve()
    if path in _held:
        raise _goes_on(folder)
    try:
        import fcntl
    except ImportError:  # pragma: no cover - a system without such locks
        yield
        return
    with path.open("a") as file:
        for tries_left in reversed(range(_TRIES)):
            try:
                # a lock of the process: its workers do not inherit it, and cannot keep it when the process is killed
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not tries_left:
                    raise _goes_on(folder) from None
                # somebody may only be looking whether a run goes on
                time.sleep(0.02)
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)


def _goes_on(folder: Path) -> Conflict:
    there = read_record(folder)
    who = f" since {there.started_at} (process {there.pid} of {there.host})" if there is not None else ""
    return Conflict(
        f"a run of {folder.name} goes on already{who}",
        hint=f"skyvault status {folder.name} shows how far it is; a run that was stopped is resumed.",
    )


def is_running(folder: Path) -> bool:
    """Whether some process of this machine runs the project of this folder now."""
    path = (folder / _LOCK).resolve()
    if path in _held:
        return True
    try:
        import fcntl
    except ImportError:  # pragma: no cover
        return False
    try:
        with path.open("r") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read_record(folder: Path) -> RunRecord | None:
    """The record as it was written last; None where there is none. Raises DataError for a damaged one."""
    path = folder / NAME
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    known = {field.name for field in dataclasses.fields(RunRecord)}
    try:
        document: dict[str, Any] = json.loads(content)
        record = RunRecord(**{name: value for name, value in document.items() if name in known})
        numbers = (record.sources, record.chosen, record.skipped, record.done, record.failed, record.pid)
        if not all(isinstance(one, int) for one in numbers) or not isinstance(record.project, str):
            raise ValueError("a number is no number")
        record.started, record.seconds = float(record.started), float(record.seconds)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the record of the run is damaged: {str(error)[:100]}", where=str(path)) from None
    return record


def record_now(folder: Path) -> RunRecord | None:
    """The record with the phase as it is: a run that says it goes on while nobody holds its lock has died."""
    record = read_record(folder)
    if record is not None and record.phase == "running" and not is_running(folder):
        # it may have ended between the two looks
        record = read_record(folder) or record
        if record.phase == "running":
            record.phase = "died"
    return record
