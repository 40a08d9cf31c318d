"""Products made on demand: functions of hooks.py run in processes beside the server, bounded in time and memory."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import select
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from skyvault import errors
from skyvault.errors import Busy, Cancelled, QueryTimeout, SkyvaultError, StoreError
from skyvault.jobs.action_process import end_group, start_python

if TYPE_CHECKING:
    from skyvault.config import Settings

logger = logging.getLogger("skyvault.hooks")

_PROGRAM: Final = "skyvault.jobs.make_products"
#: who may wait for a process, and how long
_WAITING: Final = 32
_WAIT_S: Final = 10.0
#: products a process makes before another takes its place: what libraries leak ends with it
_PRODUCTS: Final = 500
_BLOCK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class HookTask:
    """One product: the function ``name`` of ``hooks`` is given the file ``path``, or the published row of ``did``.

    ``named`` are further values by the names of the function's parameters. ``schema`` is the resource's name, ``table``
    where the row is.
    """

    schema: str
    hooks: Path
    name: str
    did: str
    table: str
    path: Path | None = None
    named: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "application/octet-stream"


@dataclass(slots=True)
class Made:
    """A product: an open file nobody else sees, its length in bytes, its media type. Read it to its end or close it."""

    file: IO[bytes]
    size: int
    content_type: str

    def chunks(self) -> Iterator[bytes]:
        """The bytes, once."""
        with self.file:
            while block := self.file.read(_BLOCK):
                yield block

    def close(self) -> None:
        self.file.close()


class _Process:
    """One process that makes products, one after the other."""

    def __init__(self, settings: Settings) -> None:
        self.made = 0
        self._process: subprocess.Popen[bytes] = start_python(_PROGRAM, stderr=None)
        self._send(settings)

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        # a process that is gone is found out about when it does not answer
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(pickle.dumps(what))
            self._process.stdin.flush()

    def make(
        self, task: HookTask, target: Path, deadline: float, stopping: threading.Event | None
    ) -> dict[str, Any] | None:
        """What it answers; None when it ended without. Raises QueryTimeout, Cancelled."""
        self.made += 1
        self._send((task, str(target)))
        assert self._process.stdout is not None
        output, answer = self._process.stdout.fileno(), b""
        while not answer.endswith(b"\n"):
            if time.monotonic() > deadline:
                raise QueryTimeout("the product took too long to make", hint="Ask for less, or by an asynchronous job.")
            if stopping is not None and stopping.is_set():
                raise Cancelled("the job was stopped")
            if select.select([output], [], [], 0.05)[0]:
                words = os.read(output, 65_536)
                if not words:
                    return None
                answer += words
        answered: dict[str, Any] = json.loads(answer)
        return answered

    def end(self) -> None:
        """End it, whatever it does; whoever waits for its answer hears that it is gone."""
        end_group(self._process)

    def close(self) -> None:
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # what is left in its buffer is of no use to a process that is gone
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class HookPool:
    """Makes products, at most ``settings.hook_processes`` at once. Safe to use from several threads."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self.settings = settings
        self.scratch = scratch
        self._free = threading.Semaphore(settings.hook_processes)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._waiting = 0
        self._closed = False

    def make(self, task: HookTask, *, seconds: float, stopping: threading.Event | None = None) -> Made:
        """Run the hook. Raises what the hook raises of :mod:`skyvault.errors`; Busy, QueryTimeout, Cancelled.

        Anything else that goes wrong in it is told to the log with its line, and to the caller as a SkyvaultError
        without it.
        """
        with self._lock:
            if self._waiting >= _WAITING + self.settings.hook_processes:
                raise Busy("too many products wait to be made", retry_after_s=10)
            self._waiting += 1
        try:
            if not self._free.acquire(timeout=min(_WAIT_S, seconds)):
                raise Busy("all processes that make products are busy", retry_after_s=10)
            try:
                return self._make(task, time.monotonic() + seconds, stopping)
            finally:
                self._free.release()
        finally:
            with self._lock:
                self._waiting -= 1

    def _make(self, task: HookTask, deadline: float, stopping: threading.Event | None) -> Made:
        with self._lock:
            if self._closed:
                raise Busy("the server stops")
            process = self._idle.pop() if self._idle else None
        if process is None:
            process = _Process(self.settings)
            with self._lock:
                self._all.add(process)
        self.scratch.mkdir(parents=True, exist_ok=True)
        target = self.scratch / f"product-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        is_well = False
        try:
            answer = process.make(task, target, deadline, stopping)
            if answer is None:
                logger.warning("%s: the process of the hook %s ended (memory?)", task.schema, task.name)
                raise SkyvaultError(f"the product cannot be made: the function {task.name} ended its process")
            is_well = process.made < _PRODUCTS
            if "fault" in answer:
                raise _raised(task, answer)
            file = target.open("rb")
            return Made(file, os.fstat(file.fileno()).st_size, str(answer["content_type"]))
        except OSError as problem:
            raise StoreError(f"the product cannot be handed on ({problem.strerror})") from None
        finally:
            # an open file stays readable; a process that is killed leaves nothing behind
            target.unlink(missing_ok=True)
            with self._lock:
                is_kept = is_well and not self._closed
                if is_kept:
                    self._idle.append(process)
                else:
                    self._all.discard(process)
            if not is_kept:
                process.close()

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed = True
            processes, self._all, self._idle = self._all, set(), []
        for process in processes:
            # those that work end their answers, too
            process.end()


def _raised(task: HookTask, answer: Mapping[str, Any]) -> SkyvaultError:
    """The error that a hook means, or a plain one for what it did not mean."""
    kind = getattr(errors, str(answer["fault"]), None)
    ours = (errors.QueryError, errors.ConfigError)
    if isinstance(kind, type) and issubclass(kind, errors.UsageError) and not issubclass(kind, ours):
        try:
            return kind(str(answer["what"]), hint=answer.get("hint"))
        except TypeError:
            return errors.UsageError(str(answer["what"]), hint=answer.get("hint"))
    logger.warning("%s: the hook %s failed for %s: %s", task.schema, task.name, task.did, answer["what"])
    return SkyvaultError(
        f"the product cannot be made: the function {task.name} of this resource failed",
        hint="The operator's log says where.",
    )
