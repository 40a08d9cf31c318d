"""Batches cut to a writer's measure, and formatted two at a time with their order kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from skyvault.errors import SkyvaultError

_T = TypeVar("_T")

#: Rows of the first piece: the first row is to leave at once.
FIRST_ROWS = 1_000
#: Batches being formatted ahead of the one that is sent.
AHEAD = 2


def begun(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the first already taken: what can go wrong at once goes wrong before a byte is sent."""
    iterator = iter(batches)
    first = next(iterator, None)
    return iterator if first is None else _rejoined(first, iterator)


def _rejoined(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    del first
    yield from rest


def sliced(batches: Iterable[pa.RecordBatch], rows: int, *, first: int = FIRST_ROWS) -> Iterator[pa.RecordBatch]:
    """Batches of at most ``rows`` rows (the first of at most ``first``), never empty ones."""
    limit = first
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, limit)
            start += piece.num_rows
            limit = rows
            yield piece


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """The same items, the next one being made in a thread while the last is used. The first two are made at once, so
    that short work starts no thread."""
    for count, item in enumerate(items):
        yield item
        if count == 1:
            break
    else:
        return
    done = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="skyvault-read")
    try:
        waiting = pool.submit(next, items, done)
        while (following := waiting.result()) is not done:
            waiting = pool.submit(next, items, done)
            yield following  # type: ignore[misc]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def formatted(
    batches: Iterator[pa.RecordBatch], work: Callable[[pa.RecordBatch], _T], *, threads: int = 2
) -> Iterator[_T]:
    """``work`` of every batch, in order. The first is done at once; from the third batch on, threads help.

    Batches are taken from their source in the caller's thread only, at most ``AHEAD`` before they are needed.
    """
    for count, batch in enumerate(batches):
        yield work(batch)
        if count == 1:
            break
    else:
        return
    if threads < 2:
        yield from map(work, batches)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="skyvault-format")
    waiting: deque[Future[_T]] = deque()
    try:
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
        except SkyvaultError:
            # what was there before the error still goes out
            while waiting:
                yield waiting.popleft().result()
            raise
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
