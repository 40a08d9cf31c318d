"""What is wrong with the words of a resource before any file is read: expressions, hooks, columns of ObsCore.

Publishing refuses what could never work and tells the rest; ``skyvault check`` tells all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from skyvault.errors import ConfigError, SkyvaultError
from skyvault.publish.checker import Finding
from skyvault.publish.hook_checks import hook_findings
from skyvault.publish.mapping import is_expression, parsed
from skyvault.publish.resource import FilesSection
from skyvault.publish.resource_file import ResourceFaults, ResourceFile
from skyvault.publish.vocabulary_checks import vocabulary_findings
from skyvault.store.obscore import COLUMNS

#: columns of ObsCore, and those that every collection may have beside them
_COLUMNS: Final = frozenset(
    {column.name for column in COLUMNS} | {"s_region_nominal", "obs_title", "filter", "s_pixel_scale"}
)


def values_of(section: FilesSection) -> dict[tuple[str | int, ...], Any]:
    """All values of a section that may be expressions, by their keys."""
    values: dict[tuple[str | int, ...], Any] = {("map", key): value for key, value in section.map.items()}
    values |= {("extra", key): extra.value for key, extra in section.extra.items()}
    values |= {("this", "description"): section.this.description, ("obscore",): section.obscore}
    values |= {("id",): section.id, ("embargo",): section.embargo}
    return values | {
        ("companions", index, key): getattr(one, key)
        for index, one in enumerate(section.companions)
        for key in ("file", "url", "description")
    }


def expression_findings(file: ResourceFile) -> Iterator[Finding]:
    """An error for each expression that no file could make a value of."""
    for name, section in file.resource.files.items():
        for keys, value in values_of(section).items():
            if is_expression(value):
                try:
                    parsed(str(value))
                except SkyvaultError as problem:
                    yield Finding("error", file.place("files", name, *keys), problem.what, problem.hint or "")


def column_findings(file: ResourceFile) -> Iterator[Finding]:
    """A warning for each mapped column that looks like a misspelt one of ObsCore, a note for others it has not."""
    for name, section in file.resource.files.items():
        for key in section.map:
            if key in _COLUMNS:
                continue
            place = file.place("files", name, "map", key)
            near = get_close_matches(key.lower(), sorted(_COLUMNS), n=1, cutoff=0.75)
            what = f"{key} is no column of ObsCore"
            if near:
                yield Finding("warning", place, what, f"Did you mean {near[0]}?")
            else:
                yield Finding("note", place, what, "Describe it under extra:, with a unit.")


def refuse_what_cannot_be(file: ResourceFile) -> None:
    """Raises ResourceFaults for expressions and hooks that could never work, each with its line."""
    found = [*expression_findings(file), *hook_findings(file)]
    if faults := [ConfigError(one.what, where=one.where, hint=one.hint or None) for one in found]:
        raise ResourceFaults(faults)


def remarks_on(file: ResourceFile) -> list[Finding]:
    """What can be published and will not be understood as it was meant."""
    wrong = [one for one in vocabulary_findings(file) if one.severity == "error"]
    return [*wrong, *(one for one in column_findings(file) if one.severity == "warning")]
