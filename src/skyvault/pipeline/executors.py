"""Who does the batches of a run: this process, several processes of this machine, or a dask cluster.

Whoever it is: few batches are in work at any time, so that memory does not grow with the catalogue and nothing is
planned for all of it. A batch whose process ends is done again, alone; if it ends that one, too, its sources are done
one by one. A source that ends three processes is a problem; all others are done.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from skyvault.config import cores
from skyvault.pipeline.batches import Batch, lost, work
from skyvault.pipeline.faults import DiskFull, ParameterValueError

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project

#: executors by name; others are addresses of a dask scheduler, or a client
NAMES: Final = ("local", "serial", "dask")
#: folders of results on their way, beside a project's products
_RESULTS: Final = ".results-"
#: a single source ends so many processes before it is left alone
_TRIES: Final = 3


class Executor(Protocol):
    """Does batches of rows of the catalogue, in any order; closing the iterator stops what is in work."""

    def done(self, batches: Iterable[list[int]]) -> Generator[Batch, None, None]:
        """Each batch once, as it gets done."""


def is_executor(value: Any) -> bool:
    """Whether a parameter's value says who does the batches."""
    return value in NAMES or (isinstance(value, str) and ("://" in value or value.endswith(".json")))


def executor_of(project: Project, sources: int) -> Executor:
    """The executor a project asks for. Raises ParameterValueError, and ExecutorError where a cluster is away."""
    wanted = project.pars.executor
    if wanted == "dask" or project.dask_client is not None or wanted not in NAMES:
        if not is_executor(wanted):
            raise ParameterValueError(f"there is no executor {wanted!r}", hint=f"There are {', '.join(NAMES)}.")
        from skyvault.pipeline.dask_executor import DaskExecutor

        return DaskExecutor(project)
    # a few sources are done before processes have started
    if wanted == "serial" or sources <= project.pars.source_batch_size:
        return SerialExecutor(project)
    return LocalExecutor(project, int(project.pars.num_workers or cores()))


class SerialExecutor:
    """One batch after the other in this process."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def done(self, batches: Iterable[list[int]]) -> Generator[Batch, None, None]:
        for numbers in batches:
            yield work(self._project, numbers)


class Work(NamedTuple):
    """Rows of the catalogue to be done, and how many processes have ended over them."""

    numbers: list[int]
    ended: int = 0


class Backlog:
    """What is to be done next: new batches while all is well, and suspects one at a time.

    ``most`` is how many may be in work together.
    """

    def __init__(self, project: Project, batches: Iterable[list[int]], most: int) -> None:
        self._project = project
        self._waiting = iter(batches)
        self.most = most
        self._suspects: deque[Work] = deque()

    def next(self, flying: int) -> Work | None:
        """The next to begin; None when nothing is left, or nothing may be begun beside what is in work."""
        if self._suspects:
            # alone: whose process ends is then known
            return self._suspects.popleft() if not flying else None
        if flying >= self.most:
            return None
        numbers = next(self._waiting, None)
        return None if numbers is None else Work(numbers)

    def put_back(self, one: Work) -> None:
        """This was not begun after all."""
        self._suspects.appendleft(one)

    def ended(self, works: Iterable[Work], times: int = 1) -> Iterator[Batch]:
        """These were in work when a process ended, so many times: they are tried again, or given up."""
        for one in works:
            ended = one.ended + times
            if len(one.numbers) == 1 and ended >= _TRIES:
                yield lost(self._project, one.numbers, ended)
            elif len(one.numbers) > 1 and ended > 1:
                # the first time it was in company; now one of its sources must be the reason
                self._suspects.extend(Work([number], 0) for number in one.numbers)
            else:
                self._suspects.append(Work(one.numbers, ended))


class LocalExecutor:
    """``workers`` processes of this machine, at most two batches each in work.

    What a batch gave comes by way of a file, and only its name through the pipe that the processes share: one that is
    killed while it writes leaves half a message there, which would be waited for without end. Names are shorter than
    what a pipe takes all or nothing (PIPE_BUF, POSIX).
    """

    def __init__(self, project: Project, workers: int) -> None:
        self._project, self._workers = project, workers

    def done(self, batches: Iterable[list[int]]) -> Generator[Batch, None, None]:
        backlog = Backlog(self._project, batches, 2 * self._workers)
        with contextlib.ExitStack() as stack:
            folder = self._folder(stack)
            yield from self._done(backlog, folder)

    def _folder(self, stack: contextlib.ExitStack) -> Path:
        """Where results lie until they are taken; what runs that were killed have left is removed."""
        home = self._project.output_folder
        if home is not None and home.is_dir():
            for left in home.glob(f"{_RESULTS}*"):
                shutil.rmtree(left, ignore_errors=True)
        made = tempfile.TemporaryDirectory(prefix=_RESULTS, dir=home if home is not None and home.is_dir() else None)
        return Path(stack.enter_context(made))

    def _done(self, backlog: Backlog, folder: Path) -> Generator[Batch, None, None]:
        from concurrent.futures import FIRST_COMPLETED, Future, wait

        is_left = True
        while is_left:
            flying: dict[Future[str], Work] = {}
            pool = self._pool(folder)
            try:
                while True:
                    while (one := backlog.next(len(flying))) is not None:
                        try:
                            flying[pool.submit(_work, one.numbers)] = one
                        except BrokenProcessPool:
                            backlog.put_back(one)
                            raise
                    if not flying:
                        is_left = False
                        break
                    ready = wait(flying, return_when=FIRST_COMPLETED).done
                    # in the order of the catalogue, or nearly so
                    for future in [one for one in flying if one in ready]:
                        name = future.result()
                        del flying[future]
                        yield _taken(Path(name))
            except BrokenProcessPool:
                yield from backlog.ended(flying.values())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self, folder: Path) -> Any:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # forked processes share the catalogue's memory, and know classes that were defined in a notebook
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
        return ProcessPoolExecutor(
            self._workers,
            mp_context=context,
            initializer=_begin,
            initargs=(self._project, self._workers, os.getpid(), folder),
        )


_project: Any = None
_folder: Any = None


def _begin(project: Project, workers: int, parent: int, folder: Path) -> None:
    import gc
    import signal

    global _project, _folder
    _project, _folder = project, folder
    begin_process(project, workers)
    # Ctrl-C in a terminal reaches all its processes; the one that gives out work decides what becomes of it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with(parent)
    # what came with the fork is shared, and stays so as long as nobody counts or collects it
    gc.freeze()


def _end_with(parent: int) -> None:
    """Let the system end this process when the one that gives out work is killed (Linux)."""
    import ctypes
    import signal

    with contextlib.suppress(OSError, AttributeError):
        # PR_SET_PDEATHSIG; else a worker would wait for work that nobody gives any more
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def begin_process(project: Project, workers: int) -> None:
    """Tell the observatories that ``workers`` processes share what a survey allows."""
    for obs in project.observatories:
        obs.begin_process(workers)


def _work(numbers: list[int]) -> str:
    """The name of a file with what the batch gave."""
    batch = work(_project, numbers)
    try:
        handle, name = tempfile.mkstemp(dir=_folder)
        with open(handle, "wb") as file:
            pickle.dump(batch, file, protocol=pickle.HIGHEST_PROTOCOL)
    except OSError as problem:
        raise DiskFull(
            f"what was found cannot be handed on ({problem.strerror})",
            where=str(_folder),
            hint="Make room and run again: what was finished is kept.",
        ) from None
    return str(name)


def _taken(path: Path) -> Batch:
    with path.open("rb") as file:
        batch: Batch = pickle.load(file)
    path.unlink()
    return batch
