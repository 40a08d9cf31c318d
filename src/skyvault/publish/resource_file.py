"""Reading a resource.yaml: every fault is told with the file's line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final

from skyvault.errors import ConfigError
from skyvault.publish.resource import Resource

NAME: Final = "resource.yaml"
#: no resource a person writes is longer
_MOST_BYTES: Final = 2_000_000
#: faults that are told one by one
_TOLD: Final = 20
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ResourceFaults(ConfigError):
    """All that is wrong with a resource, a sentence a line; as an error it is the first of them."""

    def __init__(self, faults: Sequence[ConfigError]) -> None:
        first = faults[0]
        super().__init__(first.what, where=first.where, hint=first.hint)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        told = [str(one) for one in self.faults[:_TOLD]]
        if (more := len(self.faults) - _TOLD) > 0:
            told.append(f"and {more} more")
        return "\n".join(told)


@dataclass(frozen=True)
class ResourceFile:
    """A resource and the folder that its paths are relative to."""

    path: Path
    resource: Resource
    #: where each key is: path of keys -> line, counted from 1
    lines: dict[tuple[str | int, ...], int]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def root(self) -> Path:
        """The folder its files lie in: its own, or the one it names.

        Raises ConfigError when a variable in the name is not set, or there is no such folder.
        """
        named = self.resource.root
        if named is None:
            return self.folder
        path = (self.folder / _with_environment(named, self.place("root"))).resolve()
        if not path.is_dir():
            raise ConfigError(f"there is no folder {str(path)!r}", where=self.place("root"))
        return path

    @property
    def hooks(self) -> Path:
        return self.folder / "hooks.py"

    def place(self, *keys: str | int) -> str:
        """The file and line of a key, for messages."""
        return f"{self.path.name}, line {line_of(self.lines, keys)}"


def _with_environment(text: str, where: str) -> str:
    """A text with ${NAME} replaced. Raises ConfigError for a variable that is not set."""

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if not known:
            raise ConfigError(
                f"the environment variable {found[1]} is not set", where=where, hint=f"It is in {text!r}."
            )
        return known

    return _VARIABLE.sub(value, text)


def resource_file(path: Path) -> Path:
    """The resource.yaml that a path means: itself, or the one in that folder. Raises ConfigError."""
    if path.is_dir():
        for name in (NAME, "resource.yml"):
            if (path / name).is_file():
                return path / name
        raise ConfigError(f"there is no {NAME} in it", where=str(path), hint="skyvault new makes one.")
    return path


def read_resource(path: Path) -> ResourceFile:
    """Read and check a resource. Raises ConfigError with the line of the first fault (others are counted)."""
    import yaml
    from pydantic import ValidationError

    path = resource_file(Path(path)).absolute()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"it is larger than {_MOST_BYTES:,} bytes", where=path.name)
        text = path.read_text("utf-8")
    except OSError as problem:
        raise ConfigError(f"it cannot be read ({problem.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text", where=path.name) from None
    try:
        loader = _loader()
        tree = yaml.compose(text, Loader=loader)
        # a subclass of the safe loader
        content = yaml.load(text, Loader=loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(problem, "problem", None) or "it is no YAML"
        raise ConfigError(f"{said}", where=f"{path.name}{line}") from None
    if not isinstance(content, dict):
        raise ConfigError("a resource is a mapping of keys to values", where=path.name, hint="skyvault new makes one.")
    lines: dict[tuple[str | int, ...], int] = {}
    _number(tree, (), lines)
    try:
        return ResourceFile(path, Resource.model_validate(content), lines)
    except ValidationError as problem:
        raise _sentence(problem.errors(include_url=False), lines, path.name) from None


@cache
def _loader() -> Any:
    """YAML's safe loader, to which ``on:`` is a word and not a truth, as in YAML 1.2."""
    import re

    import yaml

    class Loader(yaml.SafeLoader):
        """Truths are true and false alone; where one is expected, yes and no are understood all the same."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:bool"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    truth = re.compile("^(?:true|True|TRUE|false|False|FALSE)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("tTfF"))
    return Loader


def _number(node: Any, place: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    if node is None:
        return
    lines.setdefault(place, node.start_mark.line + 1)
    if node.id == "mapping":
        for key, value in node.value:
            inner = (*place, str(key.value))
            lines[inner] = key.start_mark.line + 1
            _number(value, inner, lines)
    elif node.id == "sequence":
        for index, value in enumerate(node.value):
            _number(value, (*place, index), lines)


def line_of(lines: dict[tuple[str | int, ...], int], place: tuple[str | int, ...]) -> int:
    """The line of a key, or of the nearest one above it."""
    for length in range(len(place), -1, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return 1


def _sentence(faults: list[Any], lines: dict[tuple[str | int, ...], int], name: str) -> ConfigError:
    # a value that may be of several kinds is complained of once for each: the deepest place knows most
    fault = min(faults, key=lambda one: (line_of(lines, tuple(one["loc"])), -len(one["loc"])))
    place = tuple(one for one in fault["loc"] if one in _parts(lines))
    line = line_of(lines, tuple(fault["loc"]))
    others = len({tuple(one["loc"][:2]) for one in faults}) - 1
    more = f" ({others} more faults follow)" if others > 0 else ""
    key = ".".join(str(part) for part in place) or str(fault["loc"][-1] if fault["loc"] else "")
    where = f"{name}, line {line}"
    kind = fault["type"]
    if kind == "extra_forbidden":
        known = _known_keys(tuple(fault["loc"][:-1]))
        near = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.6)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}." if known else None
        return ConfigError(f"{key!r} is not a key of a resource{more}", where=where, hint=hint)
    if kind == "missing":
        return ConfigError(f"{'.'.join(map(str, fault['loc']))!r} is missing{more}", where=where)
    said = str(fault["msg"]).removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    return ConfigError(f"{key}: {said}{more}", where=where)


def _parts(lines: dict[tuple[str | int, ...], int]) -> set[str | int]:
    return {part for place in lines for part in place}


def _known_keys(place: tuple[str | int, ...]) -> list[str]:
    """The keys that a section of this place may have, as far as one can tell from its first words."""
    from skyvault.publish import resource as words

    sections: dict[str, Any] = {
        "tables": words.TableSection,
        "files": words.FilesSection,
        "examples": words.Example,
        "actions": words.Action,
        "records": words.RecordElsewhere,
        "tests": words.RegressionTest,
        "coverage": words.Coverage,
        "creators": words.Person,
    }
    model: Any = words.Resource
    for part in place:
        model = {
            "columns": words.ColumnWords,
            "extra": words.ExtraColumn,
            "companions": words.Companion,
            "services": words.OwnService,
            "parameters": words.ServiceParameter,
            "hdf5": words.Hdf5Section,
        }.get(str(part), sections.get(str(part), model))
    return [field.alias or name for name, field in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON schema of a resource.yaml, for editors."""
    schema = Resource.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Skyvault resource"
    return schema
