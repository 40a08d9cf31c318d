"""Reading a resource.yaml: every fault is told with the file's line."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final

from skyvault.errors import ConfigError
from skyvault.publish.resource import WANTED, Resource

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
    """Read and check a resource. Raises ConfigError: all faults, each with its line."""
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
        if "\\t" in said:
            said = "a tab; YAML wants blanks"
        raise ConfigError(f"{said}", where=f"{path.name}{line}") from None
    if not isinstance(content, dict):
        raise ConfigError("a resource is a mapping of keys to values", where=path.name, hint="skyvault new makes one.")
    lines: dict[tuple[str | int, ...], int] = {}
    _number(tree, (), lines)
    try:
        return ResourceFile(path, Resource.model_validate(content), lines)
    except ValidationError as problem:
        raise ResourceFaults(_faults(problem.errors(include_url=False), lines, path.name)) from None


@cache
def _loader() -> Any:
    """YAML's safe loader, to which ``on:`` is a word and 12:30 no number of base 60, as in YAML 1.2."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Truths are true and false alone; where one is expected, yes and no are understood all the same."""

    ours = {f"tag:yaml.org,2002:{one}" for one in ("bool", "int", "float")}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in ours]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    truth = re.compile("^(?:true|True|TRUE|false|False|FALSE)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("tTfF"))
    whole = re.compile("^[-+]?(?:0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", whole, list("-+0123456789"))
    number = re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*"
        r"(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    )
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
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


def _faults(found: list[Any], lines: dict[tuple[str | int, ...], int], name: str) -> list[ConfigError]:
    """What a validation found as sentences, by line."""
    placed = [(_yaml_place(tuple(one["loc"]), lines), one) for one in found]
    meant = {(place[:-1], near) for place, one in placed if (near := _meant(one)) is not None}
    told: dict[tuple[Any, ...], ConfigError] = {}
    for place, one in sorted(placed, key=lambda pair: line_of(lines, pair[0])):
        is_missing = one["type"] == "missing"
        if is_missing and (place, str(one["loc"][-1])) in meant:
            # it is there, misspelt
            continue
        # a value that may be of several kinds is complained of once for each: the deepest place knows most
        if len(place) < len(one["loc"]) - is_missing and any(
            place == other[: len(place)] and (len(other), other_one["type"] == "missing") > (len(place), is_missing)
            for other, other_one in placed
        ):
            continue
        key = (*place, one["loc"][-1]) if is_missing else place
        told.setdefault((is_missing, *key), _sentence(place, one, lines, name))
    return list(told.values())


def _sentence(
    place: tuple[str | int, ...], fault: Any, lines: dict[tuple[str | int, ...], int], name: str
) -> ConfigError:
    where = f"{name}, line {line_of(lines, place)}"
    key, kind, given = ".".join(map(str, place)), fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        known, near = _known_keys(place[:-1]), _meant(fault)
        hint = f"Did you mean {near!r}?" if near else f"There are {', '.join(known)}." if known else None
        return ConfigError(f"{key!r} is not a key of a resource", where=where, hint=hint)
    if kind == "missing":
        return ConfigError(f"{'.'.join(map(str, (*place, fault['loc'][-1])))!r} is missing", where=where)
    if kind == "string_pattern_mismatch":
        wanted = WANTED.get(fault["ctx"]["pattern"])
        if wanted is not None:
            return ConfigError(f"{key}: {str(given)[:80]!r} is not {wanted}", where=where)
    if kind == "string_type" and isinstance(given, int | float | datetime.date):
        return ConfigError(f"{key}: {given} is no text", where=where, hint="Put it in quotes.")
    said = str(fault["msg"]).removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    return ConfigError(f"{key}: {said}" if key else said, where=where)


def _yaml_place(loc: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """A place as the YAML has it: without the kinds of values that were tried, and keys that are not there."""
    place: tuple[str | int, ...] = ()
    for part in loc:
        if (*place, part) in lines:
            place = (*place, part)
    return place


def _meant(fault: Any) -> str | None:
    """The key that an unknown one is most like."""
    if fault["type"] != "extra_forbidden":
        return None
    near = get_close_matches(str(fault["loc"][-1]), _known_keys(tuple(fault["loc"][:-1])), n=1, cutoff=0.6)
    return near[0] if near else None


def _known_keys(place: tuple[str | int, ...]) -> list[str]:
    """The keys that a section of this place may have, as far as one can tell from its first words."""
    from skyvault.publish import resource as words
    from skyvault.publish.xp_section import XpSection

    sections: dict[str, Any] = {
        "tables": words.TableSection,
        "files": words.FilesSection,
        "examples": words.Example,
        "actions": words.Action,
        "records": words.RecordElsewhere,
        "tests": words.RegressionTest,
        "coverage": words.Coverage,
        "creators": words.Person,
        "xp": XpSection,
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
            "this": words.ThisFile,
            "frame": words.FrameWords,
        }.get(str(part), sections.get(str(part), model))
    return [field.alias or name for name, field in model.model_fields.items()]


def json_schema() -> dict[str, Any]:
    """The JSON schema of a resource.yaml, for editors."""
    schema = Resource.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Skyvault resource"
    return schema
