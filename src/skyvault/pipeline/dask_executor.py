"""Batches on a dask cluster: a laptop's, a batch system's by dask-jobqueue, a cloud's.

Workers download, reduce, analyse and write files, which they must see in the same folders as the process that runs the
project; that one commits rows. They need the same version of Skyvault; classes of the user's own travel with
the project.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import threading
import uuid
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import skyvault
from skyvault.config import cores
from skyvault.pipeline.batches import Batch, work
from skyvault.pipeline.custom_code import code_of
from skyvault.pipeline.executors import Backlog, Work, begin_process
from skyvault.pipeline.faults import ExecutorError

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project

#: seconds to wait for a scheduler to answer
_CONNECT_S: Final = 20
#: batches in work for each thread of the cluster
_AHEAD: Final = 2


class DaskExecutor:
    """Batches on the client a project was given, on the scheduler at an address, or on a cluster of this machine."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def done(self, batches: Iterable[list[int]]) -> Generator[Batch, None, None]:
        """Each batch once, as it gets done. Raises ExecutorError where the cluster cannot be used."""
        with _client_of(self._project) as client, _explained(client):
            yield from _done_on(client, self._project, batches)


def _done_on(client: Any, project: Project, batches: Iterable[list[int]]) -> Iterator[Batch]:
    distributed = _distributed()
    packed = _packed(project)
    token = uuid.uuid4().hex
    threads = _threads(client)
    # a result, not scattered data: the scheduler makes it anew when those who held it are gone
    held = client.submit(bytes, packed, key=f"skyvault-{project.name}-{token}", pure=False)
    backlog = Backlog(project, batches, _AHEAD * max(threads, 1))
    flying: dict[Any, Work] = {}
    try:
        while True:
            while (one := backlog.next(len(flying))) is not None:
                # a key of its own: what was tried before shall not be answered from memory
                key = f"skyvault-{project.name}-{one.numbers[0]}-{uuid.uuid4().hex[:8]}"
                future = client.submit(work_there, held, token, one.numbers, threads, key=key, pure=False)
                flying[future] = one
            if not flying:
                return
            with contextlib.suppress(distributed.CancelledError):
                distributed.wait(list(flying), return_when="FIRST_COMPLETED")
            for future in [one for one in flying if one.done()]:
                one = flying.pop(future)
                try:
                    yield future.result()
                except distributed.KilledWorker as error:
                    # the scheduler has already given it to others
                    yield from backlog.ended([one], error.allowed_failures + 1)
                except distributed.CancelledError:
                    # the scheduler was started anew, or the task cancelled by somebody
                    yield from backlog.ended([one])
            # workers come and go: a batch system starts them as it likes
            threads = _threads(client)
            backlog.most = _AHEAD * max(threads, 1)
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(flying))


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise ExecutorError(
            "dask.distributed is not installed", hint="Install the extra: pip install 'skyvault[dask]'."
        ) from None


def _threads(client: Any) -> int:
    return sum(client.nthreads().values())


@contextlib.contextmanager
def _client_of(project: Project) -> Iterator[Any]:
    """The client the project was given, which stays open, or one that is closed at the end."""
    if project.dask_client is not None:
        yield project.dask_client
        return
    distributed = _distributed()
    wanted = str(project.pars.executor)
    if wanted == "dask":
        with (
            distributed.LocalCluster(
                n_workers=int(project.pars.num_workers or cores()),
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs="ERROR",
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    where = {"scheduler_file": wanted} if wanted.endswith(".json") else {"address": wanted}
    try:
        client = distributed.Client(**where, timeout=_CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise ExecutorError(
            f"the dask scheduler does not answer: {type(error).__name__}", where=wanted,
            hint="Start it, or take executor='local'.",
        ) from None  # fmt: skip
    with client:
        yield client


@contextlib.contextmanager
def _explained(client: Any) -> Iterator[None]:
    try:
        yield
    except (_distributed().comm.CommClosedError, TimeoutError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and getattr(client, "status", "running") == "running":
            raise
        raise ExecutorError(
            f"the dask scheduler is away: {str(error)[:120] or type(error).__name__}",
            hint="What was finished is kept; run again once it is back.",
        ) from None


# --- on the workers ------------------------------------------------------------------------------------------------

_of_this_thread = threading.local()


def work_there(packed: bytes, token: str, numbers: list[int], threads: int) -> Batch:
    """Do a batch on a worker; each thread has a project of its own, which counts what it has seen."""
    if getattr(_of_this_thread, "token", None) != token:
        version, inner = pickle.loads(packed)
        if version != skyvault.__version__:
            raise ExecutorError(
                f"a worker has Skyvault {skyvault.__version__}, and the run is one of {version}",
                hint="Install the same version everywhere.",
            )
        _of_this_thread.project = pickle.loads(inner)
        begin_process(_of_this_thread.project, max(threads, 1))
        _of_this_thread.token = token
    return work(_of_this_thread.project, numbers)


def _packed(project: Project) -> bytes:
    """The project for other machines: classes that no installed package knows travel by value."""
    cloudpickle: Any = importlib.import_module("cloudpickle")

    own = {name.rpartition(".")[0] or name for _, part in project.parts() for name in code_of(part)}
    own |= {name for _, part in project.parts() for name in code_of(part)}
    modules = [sys.modules[name] for name in own if name in sys.modules and name != "__main__"]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    client, project.dask_client = project.dask_client, None
    try:
        return pickle.dumps((skyvault.__version__, cloudpickle.dumps(project)))
    finally:
        project.dask_client = client
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
