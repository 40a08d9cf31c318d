"""Functions of a resource's hooks.py: loaded once, by name, from the folder of the resource."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from skyvault.errors import ConfigError


def hook(path: Path, name: str) -> Callable[..., Any]:
    """The function ``name`` of this hooks.py as it is now. Raises ConfigError."""
    try:
        status = path.stat()
    except OSError:
        raise ConfigError(f"the hook {name!r} is named, but there is no hooks.py", where=str(path.parent)) from None
    module = _module(str(path), status.st_mtime_ns, status.st_size)
    found = getattr(module, name, None)
    if not callable(found):
        known = [one for one in vars(module) if not one.startswith("_") and callable(getattr(module, one))]
        told = f"There are {', '.join(known)}." if known else None
        raise ConfigError(f"there is no function {name!r} in it", where=path.name, hint=told)
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _module(path: str, mtime_ns: int, size: int) -> Any:
    name = f"skyvault_hooks_{hashlib.sha256(f'{path}{mtime_ns}'.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        del sys.modules[name]
        line = _line_of(problem, path)
        raise ConfigError(
            f"it cannot be loaded ({type(problem).__name__}: {problem})", where=f"hooks.py{line}"
        ) from None
    return module


def _line_of(problem: BaseException, path: str) -> str:
    line = getattr(problem, "lineno", None) if isinstance(problem, SyntaxError) else None
    trace = problem.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f", line {line}"
