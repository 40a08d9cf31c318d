"""Classes of the user's own that take the place of the pipeline's: found by module and name, told apart by content."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
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


def code_of(one: object) -> dict[str, str]:
    """Module -> checksum of its file, for every class of an object's ancestry that is not the pipeline's."""
    found = {}
    for cls in type(one).__mro__:
        if cls.__module__.startswith(("skyvault.", "builtins")) or cls is object:
            continue
        path = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if path and Path(path).is_file():
            # lines may end otherwise on another machine
            content = Path(path).read_bytes().replace(b"\r\n", b"\n")
            found[cls.__module__] = hashlib.sha256(content).hexdigest()
    return found


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
