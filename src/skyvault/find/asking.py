"""Several archives asked side by side, each with a deadline of its own; one that hangs does not hold up the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from skyvault.errors import SkyvaultError
from skyvault.find.found import Problem
from skyvault.net.faults import Unreachable

Result = TypeVar("Result")

_PARALLEL: Final = 16


def ask_side_by_side(
    tasks: Mapping[str, Callable[[], Result]], deadline_s: float, *, parallel: int = _PARALLEL
) -> tuple[dict[str, Result], list[Problem]]:
    """The results by name, in the order of the tasks, and a problem for each that failed or took too long.

    The deadline counts from the moment a task begins; all are over after two deadlines at the latest. Threads that
    hang are left behind: they are daemons and hold nothing that others need.
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Any, BaseException | None]] = queue.SimpleQueue()
    begun: dict[str, float] = {}
    for name in tasks:
        waiting.put(name)

    def work() -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            begun[name] = time.monotonic()
            try:
                done.put((name, tasks[name](), None))
            except BaseException as error:
                done.put((name, None, error))

    count = min(parallel, len(tasks))
    for number in range(count):
        threading.Thread(target=work, name=f"find-{number}", daemon=True).start()
    results: dict[str, Any] = {}
    faults: dict[str, Problem] = {}
    last = time.monotonic() + 2 * deadline_s
    while len(results) + len(faults) < len(tasks):
        now = time.monotonic()
        for name, since in list(begun.items()):
            if name not in results and name not in faults and now - since >= deadline_s:
                faults[name] = Problem(name, f"no answer within {deadline_s:g} s", True)
                # its thread may hang for long: another takes its place
                threading.Thread(target=work, name="find", daemon=True).start()
        if now >= last:
            for name in tasks:
                if name not in results and name not in faults:
                    faults[name] = Problem(name, f"not asked within {2 * deadline_s:g} s", True)
            break
        open_since = [since for name, since in list(begun.items()) if name not in results and name not in faults]
        until = min([since + deadline_s for since in open_since] + [last])
        try:
            name, result, error = done.get(timeout=max(0.001, min(until - now, 0.25)))
        except queue.Empty:
            continue
        if name in faults:
            continue
        if error is None:
            results[name] = result
        else:
            faults[name] = problem_of(name, error)
    return {name: results[name] for name in tasks if name in results}, [
        faults[name] for name in tasks if name in faults
    ]


def problem_of(name: str, error: BaseException) -> Problem:
    """An error as a problem of a service; a fault of ours is told as such."""
    if isinstance(error, SkyvaultError):
        return Problem(name, str(error), isinstance(error, Unreachable))
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise error
    return Problem(name, f"unexpected {type(error).__name__}: {error}")
