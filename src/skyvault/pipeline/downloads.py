"""Many downloads at once, as many as an archive likes: a window that moves along the catalogue, results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from skyvault.net.stopping import stopped_when

Item = TypeVar("Item")
Result = TypeVar("Result")

#: results that may wait for a slow one before them, for each thread
_AHEAD: Final = 4


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[tuple[Item, Result | Exception]]:
    """``work`` of each item in ``threads`` threads: (item, result or what it raised), in the order of the items.

    One slow item holds up no thread but its own; at most four results a thread wait for it, so that memory does not
    grow with the items. When the caller stops listening, waits for archives end and nothing more is begun.
    """
    if threads <= 1:
        for item in items:
            yield item, _tried(work, item)
        return
    stop = threading.Event()

    def watched(item: Item) -> Result | Exception:
        with stopped_when(stop.is_set):
            return _tried(work, item)

    waiting = iter(items)
    flying: deque[tuple[Item, Future[Result | Exception]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="download")
    try:
        while True:
            for item in islice(waiting, threads * (1 + _AHEAD) - len(flying)):
                flying.append((item, pool.submit(watched, item)))
            if not flying:
                return
            item, future = flying.popleft()
            yield item, future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _tried(work: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return work(item)
    except Exception as error:  # whatever a survey or a stranger's code raises is this item's own problem
        return error
