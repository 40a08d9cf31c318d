"""Classes of the user's own that take the place of the pipeline's: found by module and name, told apart by content."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from skyvault.pipeline.faults import CustomCodeError

#: modules of the seed's scripts, and where their classes are here
_SEED_MODULES: Final = {"src": "skyvault.pipeline"}


def class_named(module: str, name: str, kind: type) -> Any:
    """The class ``name`` of a module, which must be a ``kind``; modules of this folder are found, too.

    Raises CustomCodeError.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module):
        raise CustomCodeError(f"{module[:60]!r} is no name of a module")
    first, _, rest = module.partition(".")
    if first in _SEED_MODULES and rest:
        module = f"{_SEED_MODULES[first]}.{rest}"
    here = os.getcwd()
    _refuse_twin(module, Path(here))
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise CustomCodeError(f"the module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        if added:
            sys.path.remove(here)
    if not isinstance(found, type):
        raise CustomCodeError(f"the module {module!r} has no class {name!r}")
    if not issubclass(found, kind):
        raise CustomCodeError(f"{module}.{name} is no {kind.__name__}", hint=f"Let it inherit from {kind.__name__}.")
    return found


def _refuse_twin(module: str, folder: Path) -> None:
    """Two files with modules of one name: the one that was imported first would silently be used for both."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    inside = folder.joinpath(*module.split("."))
    mine = next((one for one in (inside.with_suffix(".py"), inside / "__init__.py") if one.is_file()), None)
    if loaded and mine is not None and Path(loaded).is_file() and not mine.samefile(loaded):
        raise CustomCodeError(
            f"there are two modules {module!r}: {loaded}, which is in use, and {mine}",
            hint="Give one of them another name.",
        )


def code_of(one: object) -> dict[str, str]:
    """Module -> checksum of its file, for every class of an object's ancestry that is not the pipeline's.

    A class that was typed into a notebook or a prompt has no file: the text of the class counts, under its own name.
    """
    found = {}
    for cls in type(one).__mro__:
        if cls.__module__.startswith(("skyvault.", "builtins")) or cls is object:
            continue
        path = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if path and Path(path).is_file():
            found[cls.__module__] = _checksum(Path(path).read_bytes())
        else:
            found[f"{cls.__module__}.{cls.__qualname__}"] = _checksum(_text_of(cls))
    return found


def _checksum(content: bytes) -> str:
    # lines may end otherwise on another machine
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _text_of(cls: type) -> bytes:
    """The source of a class without a file, or what can be told of its methods."""
    import inspect

    try:
        return inspect.getsource(cls).encode()
    except (OSError, TypeError):
        parts = []
        for name, member in sorted(vars(cls).items()):
            code = getattr(getattr(member, "__func__", member), "__code__", None)
            if code is not None:
                constants = [value for value in code.co_consts if not hasattr(value, "co_code")]
                parts.append(repr((name, code.co_code.hex(), code.co_names, constants)))
        return "\n".join(parts).encode()


def code_folders(parts: Iterable[object], config: Path | None) -> list[Path]:
    """Where the user's repository may be: beside his configuration file, his classes, the script that runs."""
    folders = [] if config is None else [config.parent.absolute()]
    for part in parts:
        for cls in type(part).__mro__:
            path = getattr(sys.modules.get(cls.__module__), "__file__", None)
            if path and not cls.__module__.startswith(("skyvault.", "builtins")) and not _is_installed(Path(path)):
                folders.append(Path(path).absolute().parent)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script and Path(script).is_file() and not _is_installed(Path(script)):
        folders.append(Path(script).absolute().parent)
    return list(dict.fromkeys(folders))


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or an installed package, whose environment may lie inside any repository."""
    path = path.absolute()
    return any(path.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix)) or "site-packages" in path.parts


def code_version(folders: list[Path]) -> str:
    """RETRIEVER_GIT_HASH, else the commit of the repository that one of the folders lies in, else our own version."""
    given = os.environ.get("RETRIEVER_GIT_HASH")
    if given:
        return given
    for folder in folders:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and re.fullmatch(r"[0-9a-f]{40,64}", done.stdout.strip()):
            return done.stdout.strip()
    import skyvault

    return f"skyvault {skyvault.__version__}"
