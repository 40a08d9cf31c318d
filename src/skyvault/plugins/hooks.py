"""Functions of a resource's hooks.py: loaded once, by name, from the folder of the resource.

Rows at ingest, products on demand and scheduled actions share them: what the file defines is there for all three.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from skyvault.errors import ConfigError, SkyvaultError


def hook(path: Path, name: str) -> Callable[..., Any]:
    """The function ``name`` of this hooks.py as it is now. Raises ConfigError."""
    module = hooks_module(path, name)
    found = getattr(module, name, None)
    if not callable(found):
        known = [one for one in vars(module) if not one.startswith("_") and callable(getattr(module, one))]
        told = f"There are {', '.join(known)}." if known else None
        raise ConfigError(f"there is no function {name!r} in it", where=path.name, hint=told)
    return found  # type: ignore[no-any-return]


def hooks_module(path: Path, name: str = "") -> Any:
    """What hooks.py defines, as it is now. Raises ConfigError with the line where it cannot be loaded."""
    try:
        status = path.stat()
    except OSError:
        raise ConfigError(f"the hook {name!r} is named, but there is no hooks.py", where=str(path.parent)) from None
    return _module(str(path), status.st_mtime_ns, status.st_size)


def call(act: Callable[..., Any], *given: Any, named: Mapping[str, Any] | None = None, **offered: Any) -> Any:
    """Call a hook with what it is ``given``, with ``named`` values, and of what is ``offered`` with what it asks for.

    It asks by having a parameter of that name (``context``, ``row``). What is offered may be a function that gives the
    value when it is wanted. Raises ConfigError, before anything runs, when the hook cannot be called so.
    """
    values = dict(named or {})
    wanted = _parameters(act)
    for name, value in offered.items():
        if name in wanted:
            values[name] = value() if callable(value) else value
    try:
        inspect.signature(act).bind(*given, **values)
    except TypeError as problem:
        told = [*(["what it is about"] if given else []), *(named or {})]
        also = " and ".join(offered)
        raise ConfigError(
            f"the function {getattr(act, '__name__', 'it')} cannot be called as a hook ({problem})",
            where=place_of(act),
            hint=f"It is given {', '.join(told) or 'nothing'}; parameters named {also} are filled in.",
        ) from None
    except ValueError:
        # something built in that does not tell its parameters
        pass
    return act(*given, **values)


def place_of(act: Callable[..., Any]) -> str:
    """The file and line where a function begins."""
    code = getattr(act, "__code__", None)
    return "hooks.py" if code is None else f"{Path(code.co_filename).name}, line {code.co_firstlineno}"


def told(problem: BaseException, path: Path) -> str:
    """What went wrong in a hook, in one sentence with the line of hooks.py."""
    where = f"{path.name}{_line_of(problem, str(path))}"
    if isinstance(problem, SkyvaultError):
        return str(problem) if problem.where else f"{where}: {problem}"
    said = " ".join(str(problem).split())
    return f"{where}: {type(problem).__name__}{f': {said}' if said else ''}"


def _parameters(act: Callable[..., Any]) -> frozenset[str]:
    """The names of a function's parameters, as far as they can be known."""
    try:
        return frozenset(inspect.signature(act).parameters)
    except (TypeError, ValueError):
        return frozenset()


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
