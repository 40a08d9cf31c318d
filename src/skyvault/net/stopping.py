"""Waiting that ends at once: whoever waits for an archive looks, some times a second, whether it is still wanted.

A thread that sleeps under Retry-After, waits for its turn or reads from an archive that has fallen silent cannot be
interrupted from outside; so all such places call :func:`look`, which raises what the checks of this thread raise.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from skyvault.errors import Cancelled

Item = TypeVar("Item")
Result = TypeVar("Result")

#: how often a waiting thread looks whether it shall go on waiting
LOOK_S: Final = 0.25
#: how long threads may take to end after they were stopped; one that connects to a dead host cannot look
_END_S: Final = 2.0

_here = threading.local()


def look() -> None:
    """Raise what a check of this thread raises: Cancelled when stopped, Unreachable when its time is over."""
    for check in _checks():
        check()


def is_watched() -> bool:
    """Whether this thread has anything to look at."""
    return bool(_checks())


@contextmanager
def checking(check: Callable[[], object]) -> Iterator[None]:
    """Within, every wait of this thread calls ``check`` now and then; it raises where the wait shall end."""
    before = _checks()
    _here.checks = (*before, check)
    try:
        yield
    finally:
        _here.checks = before


@contextmanager
def stopped_when(is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Within, every wait of this thread ends with Cancelled as soon as ``is_stopped()``."""

    def check() -> None:
        if is_stopped():
            raise Cancelled("stopped", hint="What came is kept; the same again goes on.")

    with checking(check):
        yield


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], *, parallel: int, name: str = "work"
) -> list[Result]:
    """``work`` of each item in at most ``parallel`` threads; the results in the order of the items.

    Ctrl-C, or any other exception in the caller, stops the waits of all threads and begins no further item; the first
    exception of ``work`` does so too and is raised. Checks of the caller's thread hold in the threads.
    """
    todo: Sequence[Item] = list(items)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(todo)):
        waiting.put(number)
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()
    inherited = _checks()

    def run() -> None:
        _here.checks = inherited
        with stopped_when(stop.is_set):
            while not stop.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((number, work(todo[number]), None))
                except BaseException as error:
                    # told before the others are stopped, whose own exceptions say less
                    done.put((number, None, error))
                    stop.set()

    # daemons: one that is stuck in a connection must not keep the program from ending
    threads = [
        threading.Thread(target=run, name=f"{name}-{number}", daemon=True) for number in range(min(parallel, len(todo)))
    ]
    results: dict[int, Any] = {}
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(todo):
            try:
                number, result, error = done.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            results[number] = result
    except BaseException:
        stop.set()
        end = time.monotonic() + _END_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        raise
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(todo))]


def _checks() -> tuple[Callable[[], object], ...]:
    checks: tuple[Callable[[], object], ...] = getattr(_here, "checks", ())
    return checks
