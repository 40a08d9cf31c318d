"""Batches of sources on several processes: workers download, reduce, analyse and write files; one writer keeps rows.

A batch's rows, problems and histograms are committed in one transaction, after its files are in place. So a process
killed at any moment loses at most the batches in work, which the next run does again.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import SkyvaultError
from skyvault.pipeline.dataset import save_lightcurves
from skyvault.pipeline.rows import Parcel, Row, parcel_of, source_of
from skyvault.science.histogram import CountGrid

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project

#: a batch whose worker died is given to another one so often
_TRIES: Final = 3


@dataclass
class Batch:
    """What came of some sources of the catalogue."""

    numbers: list[int]
    parcels: list[Parcel] = field(default_factory=list)
    problems: list[Row] = field(default_factory=list)
    counts: list[dict[str, CountGrid]] = field(default_factory=list)


def work(project: Project, numbers: list[int]) -> Batch:
    """Do some sources in this process. A source that fails is a problem of the batch, not an error."""
    batch = Batch(numbers)
    project.analysis.reset_histograms()
    # many sources are fetched at once, ahead of their analysis, as far as each survey's manners allow
    feeds = [obs.fetch_numbers(numbers) for obs in project.observatories]
    for number in numbers:
        name, observatory, step = project.catalog.names[number], None, "catalogue"
        fetched = [next(feed) for feed in feeds]
        try:
            source = source_of(project.catalog.dict_from_row(number), project.name, project.cfg_hash, project.catalog)
            for obs, held in zip(project.observatories, fetched, strict=True):
                observatory, step = obs.name, "download"
                if isinstance(held, Exception):
                    raise held
                step = "reduce"
                obs.take(source, held)
            observatory, step = None, "analysis"
            project.analysis.analyze_sources(source)
            for obs in project.observatories:
                processed = [c for c in source.processed_lightcurves if c.observatory == obs.name]
                save_lightcurves(processed, source.ra, suffix="processed")
            batch.parcels.append(parcel_of(source))
        except Exception as error:  # whatever a survey or a stranger's analysis raises is this source's problem
            what = str(error) if isinstance(error, SkyvaultError) else f"{type(error).__name__}: {error}"
            batch.problems.append({
                "project": project.name, "cfg_hash": project.cfg_hash, "source_name": name, "cat_index": number,
                "observatory": observatory, "step": step, "what": what[:1000],
            })  # fmt: skip
    batch.counts = [histogram.grids for histogram in project.analysis.get_all_histograms()]
    return batch


# --- several processes ---------------------------------------------------------------------------------------------

_project: Any = None


def _begin(project: Project, workers: int = 1) -> None:
    global _project
    _project = project
    for obs in project.observatories:
        obs.begin_process(workers)
    # Ctrl-C in a terminal reaches all its processes; the one that gives out work decides what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _work(numbers: list[int]) -> Batch:
    return work(_project, numbers)


def done_batches(project: Project, batches: Iterable[list[int]], workers: int) -> Iterator[Batch]:
    """The batches as they get done, on ``workers`` processes (0: in this one). At most two a process are in work, so
    that memory does not grow with the catalogue. A batch whose process is killed is done again by another.
    """
    if workers <= 0:
        for numbers in batches:
            yield work(project, numbers)
        return
    waiting = iter(batches)
    tries: dict[int, int] = {}
    again: deque[list[int]] = deque()
    while True:
        flying: dict[Future[Batch], list[int]] = {}
        pool = _pool(project, workers)
        try:
            while True:
                while len(flying) < 2 * workers:
                    numbers = again.popleft() if again else next(waiting, [])
                    if not numbers:
                        break
                    flying[pool.submit(_work, numbers)] = numbers
                if not flying:
                    return
                # the oldest first: rows then lie in the order of the catalogue, or nearly so
                oldest = next(iter(flying))
                result = oldest.result()
                del flying[oldest]
                yield result
        except BrokenProcessPool:
            for numbers in flying.values():
                tries[numbers[0]] = tries.get(numbers[0], 0) + 1
                if tries[numbers[0]] >= _TRIES:
                    yield _lost(project, numbers)
                else:
                    again.append(numbers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pool(project: Project, workers: int) -> ProcessPoolExecutor:
    # forked processes share the catalogue's memory, and know classes that were defined in a notebook
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(project, workers))


def _lost(project: Project, numbers: list[int]) -> Batch:
    """A batch that ended the process of every worker that had it."""
    what = f"the process that worked on it ended {_TRIES} times (out of memory, or killed)"
    return Batch(numbers, problems=[
        {
            "project": project.name, "cfg_hash": project.cfg_hash, "source_name": project.catalog.names[number],
            "cat_index": number, "observatory": None, "step": "process", "what": what,
        } for number in numbers
    ])  # fmt: skip
