"""The YAML file of a project: where it is looked for, what it says to one part, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from skyvault.errors import ConfigError
from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.names import legal_name

_EXTENSIONS: Final = ("", ".yaml", ".yml", ".cfg")
_MOST_BYTES: Final = 10_000_000


def read_parameters(
    filename: str | Path | None, project: str | None, key: str | None, sub_key: str | None = None
) -> dict[str, Any]:
    """What a file says under ``key`` (and ``sub_key``); everything without a key; {} where it says nothing.

    A ``filename`` that does not exist raises ConfigError; None looks for the project's own file, which need not be.
    Looked through: this folder, then ``configs`` in it, without regard to case, with or without .yaml, .yml, .cfg.
    """
    path = config_path(filename, project)
    if path is None:
        return {}
    document = read_yaml(path)
    for name in (key, sub_key):
        if name is None:
            continue
        part = document.get(name)
        if part is None:
            return {}
        if not isinstance(part, Mapping):
            raise ConfigError(f"{name!r} must hold names and values", where=str(path))
        document = dict(part)
    return document


def config_path(filename: str | Path | None, project: str | None) -> Path | None:
    """The file meant, or None where the project has none."""
    if filename is not None:
        found = _found(Path(filename).expanduser())
        if found is None:
            raise ConfigError(
                f"there is no configuration file {str(filename)!r}",
                hint="It was looked for as it is written and in the folder configs.",
            )
        return found
    if not project:
        return None
    try:
        return _found(Path(legal_name(str(project)).lower()), only_files_named=_EXTENSIONS[1:])
    except ParameterValueError:
        return None


def _found(path: Path, only_files_named: tuple[str, ...] = _EXTENSIONS) -> Path | None:
    folders = [path.parent] if path.is_absolute() else [Path.cwd() / path.parent, Path.cwd() / "configs" / path.parent]
    for folder in folders:
        try:
            listed = {name.lower(): name for name in sorted(os.listdir(folder))}
        except OSError:
            continue
        for extension in only_files_named:
            name = listed.get((path.name + extension).lower())
            if name is not None and (folder / name).is_file():
                return folder / name
    return None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML document of names and values. Raises ConfigError; nothing but plain values is ever made from it."""
    import yaml

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"the file is larger than {_MOST_BYTES:,} bytes", where=str(path))
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=str(path)) from None
    except (yaml.YAMLError, RecursionError) as error:
        told = " ".join(str(error).split())[:200]
        raise ConfigError(f"the file is not valid YAML: {told}", where=str(path)) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("the file must hold names and values", where=str(path))
    return document


def write_parameters(path: Path, document: Mapping[str, Any]) -> None:
    """Write names and values as YAML, beside and then in place, so that no half file is ever read."""
    import yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(yaml.safe_dump(plain(document), sort_keys=True, allow_unicode=True), encoding="utf-8")
    os.replace(beside, path)


def plain(value: Any) -> Any:
    """A value of plain types only, in an order that does not depend on the process: for YAML, JSON and checksums."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, set | frozenset):
        return sorted((plain(one) for one in value), key=repr)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ParameterValueError(f"a parameter cannot be of type {type(value).__name__}")
