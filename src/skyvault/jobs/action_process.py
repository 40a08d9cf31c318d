"""An action's run in a process of its own: started, looked after, ended in time, its last words kept."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skyvault.errors import SkyvaultError
from skyvault.jobs.holder import process_name
from skyvault.ledger.resources import KEPT_OUTPUT, Outcome, Registered

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.ledger.ledger import Ledger
    from skyvault.model.action import ScheduledAction

logger = logging.getLogger("skyvault.actions")

#: what runs in the process; it is given an :class:`ActionTask` by its standard input, and ends when that is closed
_PROGRAM: Final = "skyvault.publish.run_action"
#: how long nobody else takes a run for given up, and how often that is said again
LEASE_S: Final = 60.0
_RENEW_S: Final = 5.0
#: between a polite and an impolite end
_GRACE_S: Final = 3.0
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class ActionTask:
    """What the process is told."""

    settings: Settings
    resource: Registered
    action: ScheduledAction


def run_process(
    ledger: Ledger,
    task: ActionTask,
    number: int,
    *,
    stopping: threading.Event,
    echo: Callable[[bytes], object] | None = None,
) -> Outcome:
    """Run an action that has been begun under ``number``; its end is in the ledger when this returns.

    ``stopping`` ends it early. ``echo`` is given what it says, as it says it.
    """
    said = bytearray()

    def hear(words: bytes) -> None:
        said.extend(words)
        del said[: -4 * KEPT_OUTPUT]
        if echo is not None:
            echo(words)

    try:
        outcome = _run(ledger, task, number, stopping, hear)
    except OSError as problem:
        hear(f"it cannot be started ({problem.strerror}: {problem.filename})\n".encode())
        outcome = "failed"
    text = said.decode("utf-8", "replace").replace("\x00", "").strip()[-KEPT_OUTPUT:]
    _tell_end(ledger, number, outcome, text)
    return outcome


def _run(
    ledger: Ledger, task: ActionTask, number: int, stopping: threading.Event, hear: Callable[[bytes], object]
) -> Outcome:
    process = start_python(_PROGRAM, cwd=Path(task.resource.path).parent)
    assert process.stdin is not None and process.stdout is not None
    output = process.stdout.fileno()
    deadline = time.monotonic() + task.action.limit_s
    renewed = 0.0
    ended: Outcome | None = None
    holder = process_name(process.pid)
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps(task))
            process.stdin.flush()
        while process.poll() is None:
            if not _hear_some(output, hear):
                # it has closed its output and goes on
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_S)
            now = time.monotonic()
            if now - renewed >= _RENEW_S:
                renewed = now
                if not _renewed(ledger, number, holder):
                    ended = "died"
            if stopping.is_set():
                ended = "stopped"
            elif now > deadline:
                ended = "over time"
                hear(f"\nit was ended after {task.action.limit_s:g} s\n".encode())
            if ended is not None:
                end_group(process)
    finally:
        end_group(process)
        process.stdin.close()
        while select.select([output], [], [], 0)[0] and _hear_some(output, hear):
            pass
        process.stdout.close()
    if ended is not None:
        return ended
    code = process.returncode
    if code < 0:
        hear(f"\nits process was ended by {signal.Signals(-code).name}\n".encode())
    return "done" if code == 0 else "failed"


def start_python(
    module: str, *, cwd: Path | None = None, stderr: int | None = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """A new process of this Python that runs a module of ours, in a group of its own, with pipes to and from it.

    Its errors go with its output, unless ``stderr`` says otherwise (None: where ours go).
    """
    import skyvault

    source = str(Path(skyvault.__file__).parents[1])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-u", "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=cwd,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it has started: politely, then for certain."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _hear_some(output: int, hear: Callable[[bytes], object]) -> bool:
    """Read what is there, waiting a moment; False when the output is closed."""
    if not select.select([output], [], [], _LOOK_S)[0]:
        return True
    words = os.read(output, 65_536)
    if words:
        hear(words)
    return bool(words)


def _renewed(ledger: Ledger, number: int, holder: str) -> bool:
    try:
        return ledger.resources.renew(number, holder, LEASE_S)
    except SkyvaultError as problem:
        # a ledger that is busy now is there the next time
        logger.warning("a run could not be renewed: %s", problem)
        return True


def _tell_end(ledger: Ledger, number: int, outcome: Outcome, text: str) -> None:
    for pause in (0.1, 1.0, 5.0, 0.0):
        try:
            ledger.resources.end(number, outcome, text)
            return
        except SkyvaultError as problem:
            logger.warning("the end of a run could not be written down: %s", problem)
            time.sleep(pause)
