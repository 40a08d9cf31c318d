"""Many files at once: fetched side by side with one progress, each fault kept beside the file it belongs to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from skyvault.errors import Cancelled, Conflict, SkyvaultError, UsageError
from skyvault.ledger.downloads import Downloads
from skyvault.model.ports import Progress
from skyvault.net.client import HttpClient
from skyvault.net.download import Downloader, Fetched
from skyvault.net.faults import Unreachable
from skyvault.net.remote_file import Order
from skyvault.net.stopping import LOOK_S, look, side_by_side
from skyvault.net.unpack import UnpackLimits

#: more threads than that only wait for each other on one machine
_MOST_PARALLEL: Final = 64
#: another process that fetches the same file, and has not got on for so long, is not waited for
_OTHERS_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class FetchProblem:
    """A file that did not come, and why; ``may_pass``: the same may work later."""

    order: Order
    error: SkyvaultError

    @property
    def may_pass(self) -> bool:
        return isinstance(self.error, Unreachable | Cancelled)

    @property
    def reason(self) -> str:
        """One sentence that names the file."""
        text, name = str(self.error), self.order.remote.name
        return text if name in text else f"{name}: {text}"


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What came (``rows``) and what did not (``problems``), both in the order in which they were asked for."""

    rows: tuple[Fetched, ...]
    problems: tuple[FetchProblem, ...]

    @property
    def is_complete(self) -> bool:
        return not self.problems

    @property
    def received_bytes(self) -> int:
        """Over the network, this time."""
        return sum(row.received_bytes for row in self.rows)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A dry run's line: ``size_bytes`` of the file at the archive (None: not known), ``have_bytes`` of it here."""

    order: Order
    size_bytes: int | None
    have_bytes: int
    is_here: bool


def fetch_files(
    orders: Iterable[Order],
    client: HttpClient,
    *,
    parallel: int = 8,
    progress: Progress | None = None,
    ledger: Downloads | None = None,
    refresh: bool = False,
    file_total_s: float | None = None,
    limits: UnpackLimits | None = None,
    on_done: Callable[[Fetched | FetchProblem], object] = lambda result: None,
) -> FetchReport:
    """Fetch all files, ``parallel`` at once (fewer where an archive's manners say so).

    A file that fails never stops the others. Progress counts bytes. Ctrl-C stops at once, keeps
    what came and raises KeyboardInterrupt; ``file_total_s`` limits each file with its retries. ``on_done`` is told of
    each file at once, in the thread that fetched it.
    Raises UsageError when two orders have the same target.
    """
    wanted = list(orders)
    _refuse_same_targets(wanted)
    if not 1 <= parallel <= _MOST_PARALLEL:
        raise UsageError(f"{parallel} files at once are not possible: 1 to {_MOST_PARALLEL} are")
    bar = _SharedProgress(progress)
    downloader = Downloader(client, ledger=ledger, on_bytes=bar.advance, limits=limits)

    def told(order: Order) -> Fetched | FetchProblem:
        result = one(order)
        on_done(result)
        return result

    def one(order: Order) -> Fetched | FetchProblem:
        try:
            return _after_others(order, lambda: downloader.fetch(order, refresh=refresh, total_s=file_total_s))
        except SkyvaultError as error:
            return FetchProblem(order, error)
        except Exception as error:
            # a fault of ours in one file must not lose the report of the others
            fault = SkyvaultError(f"unexpected {type(error).__name__}: {error}", where=order.remote.name)
            fault.__cause__ = error
            return FetchProblem(order, fault)

    sizes = [order.remote.size_bytes for order in wanted]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    bar.start(f"{len(wanted)} files", total)
    try:
        results = side_by_side(told, wanted, parallel=parallel, name="fetch")
    finally:
        bar.finish()
    return FetchReport(
        tuple(result for result in results if isinstance(result, Fetched)),
        tuple(result for result in results if isinstance(result, FetchProblem)),
    )


def retry(
    report: FetchReport,
    client: HttpClient,
    *,
    parallel: int = 8,
    progress: Progress | None = None,
    ledger: Downloads | None = None,
    file_total_s: float | None = None,
    limits: UnpackLimits | None = None,
) -> FetchReport:
    """Fetch what failed once more, each from where it broke off; the report of all files together."""
    again = fetch_files(
        [problem.order for problem in report.problems],
        client,
        parallel=parallel,
        progress=progress,
        ledger=ledger,
        file_total_s=file_total_s,
        limits=limits,
    )
    return FetchReport(report.rows + again.rows, again.problems)


def plan_fetch(orders: Sequence[Order], client: HttpClient, *, ledger: Downloads | None = None) -> list[PlannedFile]:
    """What :func:`fetch_files` would do. Asks nobody: sizes are those that are declared or known from a beginning."""
    _refuse_same_targets(orders)
    downloader = Downloader(client, ledger=ledger)
    planned = []
    for order in orders:
        size = order.remote.size_bytes
        if downloader.is_whole(order):
            known = size if size is not None else (order.target.stat().st_size if order.target.is_file() else None)
            planned.append(PlannedFile(order, known, known or 0, True))
            continue
        part = order.target.with_name(f"{order.target.name}.part")
        planned.append(PlannedFile(order, size, part.stat().st_size if part.exists() else 0, False))
    return planned


def _after_others(order: Order, fetch: Callable[[], Fetched]) -> Fetched:
    """Where another process fetches the same file, wait until it is done, as long as it gets on."""
    part = order.target.with_name(f"{order.target.name}.part")
    stuck_since, before = time.monotonic(), None
    while True:
        try:
            return fetch()
        except Conflict:
            with suppress(OSError):
                now = (part.stat().st_size, part.stat().st_mtime_ns)
                if now != before:
                    stuck_since, before = time.monotonic(), now
            if time.monotonic() - stuck_since > _OTHERS_S:
                raise
            look()
            time.sleep(LOOK_S)


def _refuse_same_targets(orders: Sequence[Order]) -> None:
    seen: dict[str, Order] = {}
    for order in orders:
        other = seen.setdefault(str(order.target.absolute()), order)
        if other is not order:
            raise UsageError(
                f"{other.remote.name} and {order.remote.name} would be written to the same file",
                where=str(order.target),
            )


class _SharedProgress:
    """A progress for many threads; a display that fails is no reason to lose files."""

    def __init__(self, inner: Progress | None) -> None:
        self._inner = inner
        self._lock = threading.Lock()

    def start(self, what: str, total: int | None) -> None:
        if self._inner is not None:
            self._inner.start(what, total)

    def advance(self, by: int) -> None:
        if self._inner is not None and by > 0:
            with self._lock:
                self._inner.advance(by)

    def finish(self) -> None:
        if self._inner is not None:
            self._inner.finish()
