"""A project made from its YAML file, with all that a person may have mistyped in it told in one sentence."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ConfigError

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project

#: keys of the file that no part reads on its own
_SHARED: Final = ("project", "catalog", "observatories", "analysis", "quality", "finder", "simulator", "histograms")


def use_home(home: Path | None) -> None:
    """Make ``--home`` the data directory of this process and of those it starts."""
    if home is not None:
        os.environ["SKYVAULT_HOME"] = str(home.expanduser().absolute())
        # said on the command line, which wins over everything
        os.environ.pop("RETRIEVER_DATA", None)


def project_from(file: Path, **given: Any) -> Project:
    """The project of a YAML file; ``given`` are parameters of the project over those of the file (None: not given).

    Files and modules that it names are looked for beside it, too. Raises ConfigError.
    """
    from skyvault.pipeline.parameter_files import config_path, read_yaml
    from skyvault.pipeline.project import Project
    from skyvault.pipeline.stored_run import project_name

    path = config_path(file, None)
    assert path is not None
    path = path.absolute()
    document = read_yaml(path)
    folder = str(path.parent)
    if folder not in sys.path:
        # after all others: nothing of Python's own is hidden
        sys.path.append(folder)
    if isinstance(document.get("project"), str):
        raise ConfigError(
            "'project' must hold names and values",
            where=str(path),
            hint=f"Write project: {{name: {document['project']}}}.",
        )
    project = Project(
        project_name(path),
        cfg_file=str(path),
        catalog_kwargs=_beside(document, path),
        **{name: value for name, value in given.items() if value is not None},
    )
    _refuse_unknown(document, project, path)
    return project


def _beside(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The target list's file where it lies beside the YAML file and not in this folder."""
    part = document.get("catalog")
    name = part.get("filename") if isinstance(part, dict) else None
    if not isinstance(name, str) or Path(name).expanduser().is_absolute() or Path(name).is_file():
        return {}
    found = path.parent / name
    return {"filename": str(found)} if found.is_file() else {}


def _refuse_unknown(document: dict[str, Any], project: Project, path: Path) -> None:
    """A part of the file that nobody reads would be silently without effect."""
    known = {*_SHARED, *(str(part.pars._cfg_key) for _, part in project.parts() if part.pars._cfg_key)}
    for key in document:
        name = str(key)
        if name in known or name.startswith(("x-", "_", ".")):
            continue
        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(sorted(known))}."
        raise ConfigError(f"no part of a project is called {name!r}", where=str(path), hint=hint)
