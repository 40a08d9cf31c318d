"""A process that makes products on demand: ``python -m skyvault.jobs.make_products``, told what by its input.

It answers a line of JSON for each product, whose bytes it has written; it ends when its input is closed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.jobs.hook_pool import HookTask
    from skyvault.jobs.resource_context import ResourceContext

_VOTABLE = "application/x-votable+xml"
#: how long a resource's YAML is taken to say the same
_FRESH_S = 5.0


def main() -> None:
    """Make one product after the other."""
    # what hooks print belongs to the log, and must not stand between the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings: Settings = pickle.load(sys.stdin.buffer)
    _bound(settings)
    from skyvault.jobs.resource_context import log_to_output

    log_to_output()
    threading.Thread(target=_end_with_server, args=(os.getppid(),), daemon=True).start()
    contexts = _Contexts(settings)
    while True:
        try:
            task, target = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer = answered(task, Path(target), settings, contexts)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _end_with_server(server: int) -> None:
    """A hook that hangs must not outlive a server that is killed; its input is not looked at while it works."""
    while os.getppid() == server:
        time.sleep(1.0)
    os.killpg(os.getpgid(0), signal.SIGKILL)


class _Contexts:
    """The contexts of resources, each with what its YAML said some seconds ago at most."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, tuple[float, ResourceContext]] = {}

    def of(self, task: HookTask) -> ResourceContext:
        from skyvault.jobs.resource_context import ResourceContext

        read_at, context = self._known.get(task.schema, (-math.inf, None))
        if context is None or context.folder != task.hooks.parent:
            context = ResourceContext(task.schema, {}, task.hooks.parent, self.settings)
        if time.monotonic() - read_at > _FRESH_S:
            context.resource = _document(task.schema, self.settings)
            self._known[task.schema] = (time.monotonic(), context)
        return context


def _bound(settings: Settings) -> None:
    """What a hook may use at most."""
    import resource

    for kind, most in (
        (resource.RLIMIT_DATA, settings.hook_memory_bytes),
        (resource.RLIMIT_FSIZE, settings.hook_result_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def answered(task: HookTask, target: Path, settings: Settings, contexts: _Contexts) -> dict[str, Any]:
    """Make a product; what to tell of it: its media type, or the fault."""
    from skyvault.errors import NotFound, SkyvaultError
    from skyvault.plugins.hooks import call, hook, told

    context = contexts.of(task)

    def row() -> dict[str, Any]:
        return _row(task, context)

    try:
        act = hook(task.hooks, task.name)
        if task.path is None:
            value = call(act, row(), named=task.named, context=context)
        else:
            value = call(act, task.path, named=task.named, context=context, row=row)
        if value is None:
            raise NotFound("there is nothing of this dataset")
        with target.open("wb") as file:
            content_type = _write(value, task.content_type, file, context)
        return {"content_type": content_type}
    except SkyvaultError as problem:
        return {"fault": type(problem).__name__, "what": problem.what, "hint": problem.hint}
    except MemoryError:
        return {"fault": "MemoryError", "what": f"it wants more than {settings.hook_memory_bytes:,} bytes of memory"}
    except OSError as problem:
        if problem.errno == errno.EFBIG:
            return {"fault": "OSError", "what": f"the product has more than {settings.hook_result_bytes:,} bytes"}
        return {"fault": type(problem).__name__, "what": told(problem, task.hooks)}
    except Exception as problem:
        return {"fault": type(problem).__name__, "what": told(problem, task.hooks)}


def _document(schema: str, settings: Settings) -> dict[str, Any]:
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout

    with open_home_ledger(Layout.of(settings)) as ledger:
        found = ledger.resources.find(schema)
    return {} if found is None else found.document


def _row(task: HookTask, context: ResourceContext) -> dict[str, Any]:
    """The published row of the dataset. Raises NotFound."""
    from skyvault.errors import NotFound
    from skyvault.store.tap_schema import spelled_name

    quoted = task.did.replace("'", "''")
    adql = f"SELECT * FROM {spelled_name(task.table)} WHERE obs_publisher_did = '{quoted}'"
    for row in context.query(adql, maxrec=2):
        return row
    raise NotFound("there is no such dataset here")


def _write(value: Any, content_type: str, file: IO[bytes], context: ResourceContext) -> str:
    """Write what a hook gave; its media type. Tables become what the media type says, VOTable above all."""
    from skyvault.errors import ConfigError
    from skyvault.jobs.query_result import QueryResult

    if isinstance(value, bytes | bytearray | memoryview):
        file.write(value)
    elif isinstance(value, str):
        file.write(value.encode())
    elif isinstance(value, Path):
        with value.open("rb") as source:
            while block := source.read(1 << 20):
                file.write(block)
    elif isinstance(value, QueryResult):
        from skyvault.formats import negotiate

        chosen = negotiate("votable/td" if content_type.startswith(_VOTABLE) else content_type)
        for chunk in chosen.write(value.stream()):
            file.write(chunk)
    elif hasattr(value, "writeto"):
        # FITS of astropy: a list of units or a single one
        value.writeto(file)
    elif hasattr(value, "colnames"):
        kinds = {"application/fits": "fits", "text/csv": "ascii.csv", _VOTABLE: "votable"}
        kind = kinds.get(content_type.partition(";")[0], "votable")
        _write_table(value, kind, file)
    elif isinstance(value, Iterable) and not isinstance(value, dict):
        for chunk in value:
            file.write(chunk)
    else:
        raise ConfigError(
            f"the hook gave {type(value).__name__}",
            where=context.name,
            hint="It may give bytes, a text, a path, a query's result, a table or FITS of astropy.",
        )
    return content_type


def _write_table(table: Any, kind: str, file: IO[bytes]) -> None:
    import io

    if kind == "ascii.csv":
        held = io.StringIO()
        table.write(held, format=kind)
        file.write(held.getvalue().encode())
    else:
        table.write(file, format=kind)


if __name__ == "__main__":
    main()
