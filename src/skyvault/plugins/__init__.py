"""What others may add to Skyvault: missions, file formats, pipeline steps and web routes of installed packages.

A package announces an addition by an entry point, for example in its ``pyproject.toml``::

    [project.entry-points."skyvault.formats"]
    asdf = "skyvault_asdf:Reader"

Nothing is imported before it is asked for by name, and a plugin that cannot be loaded never stops the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: the entry-point groups, and what an entry of each must be
GROUPS: Final[dict[str, str]] = {
    "missions": "a mission class",
    "formats": "a reader or writer of a file format",
    "steps": "a pipeline step",
    "routes": "a function that returns Starlette routes",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A plugin that is installed but cannot be used."""

    group: str
    name: str
    what: str


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ValueError(f"there is no plugin group {group!r}, only {', '.join(GROUPS)}")
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=f"skyvault.{group}")}


def names(group: str) -> tuple[str, ...]:
    """Names of the installed plugins of one of :data:`GROUPS`, sorted; none of them is imported."""
    return tuple(sorted(_entry_points(group)))


def load(group: str, name: str) -> Any:
    """The object a plugin provides.

    Raises :class:`~skyvault.errors.NotFound` when no such plugin is installed, and
    :class:`~skyvault.errors.ConfigError` when it is installed but cannot be imported.
    """
    entry = _entry_points(group).get(name)
    if entry is None:
        known = ", ".join(names(group)) or "none is installed"
        raise NotFound(f"there is no plugin {name!r} among the {group}", hint=f"Known: {known}.")
    try:
        return entry.load()
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise ConfigError(
            f"the plugin {name!r} cannot be loaded: {error}",
            where=f"entry point skyvault.{group}, {entry.value}",
            hint="Repair or uninstall the package that provides it.",
        ) from error


def load_all(group: str) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """All plugins of a group that can be loaded, by name, and the problems of those that cannot."""
    loaded: dict[str, Any] = {}
    problems: list[Problem] = []
    for name in names(group):
        try:
            loaded[name] = load(group, name)
        except ConfigError as error:
            problems.append(Problem(group=group, name=name, what=str(error)))
    return loaded, tuple(problems)
