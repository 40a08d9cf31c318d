"""What is known of a downloaded observation: ``.skyvault.json`` in its directory, written when all files are there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NAME: Final = ".skyvault.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for; ``instruments`` is empty, ``with_products`` False where the files do not depend on them."""

    instruments: tuple[str, ...]
    with_products: bool
    version: str | None = None


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file below the mission's raw directory, as it was when it came."""

    path: str
    size_bytes: int
    sha256: str
    url: str


def kept_file(root: Path, path: Path, url: str) -> KeptFile:
    """The facts of a file that is there."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return KeptFile(path.relative_to(root).as_posix(), path.stat().st_size, digest, url)


def write_manifest(root: Path, obs_id: str, choice: Choice, files: Iterable[KeptFile]) -> None:
    """Say that an observation is whole; the last act of its download."""
    listed = {one.path: one for one in files}
    known = _read(root / obs_id / NAME)
    instruments = set(choice.instruments)
    if known is not None and _is_alike(known[0], choice) and all(_is_there(root, one) for one in known[1]):
        # fetched for other instruments before: these files are still here
        instruments |= set(known[0].instruments)
        listed = {one.path: one for one in known[1]} | listed
    document = {
        "format": _FORMAT,
        "obs_id": obs_id,
        "instruments": sorted(instruments),
        "with_products": choice.with_products,
        "version": choice.version,
        "files": [
            {"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256, "url": one.url}
            for one in sorted(listed.values(), key=lambda one: one.path)
        ],
    }
    directory = root / obs_id
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f"{NAME}.part"
    beside.write_text(json.dumps(document, indent=1), encoding="utf-8")
    os.replace(beside, directory / NAME)


def whole_files(root: Path, obs_id: str, choice: Choice) -> Sequence[KeptFile] | None:
    """The files of an observation that was fetched for at least this choice and whose sizes are still right."""
    known = _read(root / obs_id / NAME)
    if known is None:
        return None
    before, files = known
    if choice.with_products != before.with_products or not set(choice.instruments) <= set(before.instruments):
        return None
    if choice.version is not None and choice.version != before.version:
        return None
    return files if all(_is_there(root, one) for one in files) else None


def _is_alike(before: Choice, now: Choice) -> bool:
    """Whether only the instruments differ."""
    return (before.with_products, before.version) == (now.with_products, now.version)


def _is_there(root: Path, one: KeptFile) -> bool:
    try:
        return (root / one.path).stat().st_size == one.size_bytes
    except OSError:
        return False


def _read(path: Path) -> tuple[Choice, list[KeptFile]] | None:
    """None for none, or one that is damaged: then the observation is looked at anew."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != _FORMAT:
            return None
        choice = Choice(tuple(map(str, found["instruments"])), bool(found["with_products"]), found["version"])
        return choice, [
            KeptFile(str(one["path"]), int(one["size_bytes"]), str(one["sha256"]), str(one["url"]))
            for one in found["files"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
