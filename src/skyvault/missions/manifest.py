"""What is known of a downloaded observation: ``.skyvault.json`` in its directory, written when all files are there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
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

    def covers(self, other: Choice) -> bool:
        """Whether who has the files of this choice has those of the other."""
        return (
            set(other.instruments) <= set(self.instruments)
            and self.with_products == other.with_products
            and other.version in (None, self.version)
        )


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it was when it came; ``path`` is below the mission's raw directory."""

    path: str
    size_bytes: int
    sha256: str
    url: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one observation: the choices of which all files are there, and the files."""

    choices: tuple[Choice, ...]
    files: tuple[KeptFile, ...]


def kept_file(root: Path, path: Path, url: str) -> KeptFile:
    """The facts of a file that is there."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return KeptFile(path.relative_to(root).as_posix(), path.stat().st_size, digest, url)


def write_manifest(root: Path, obs_id: str, choice: Choice, files: Iterable[KeptFile]) -> None:
    """Say that an observation is whole; the last act of its download. What was fetched before stays known."""
    listed = {one.path: one for one in files}
    choices = [choice]
    before = read_manifest(root, obs_id)
    if before is not None and all(_is_there(root, one) for one in before.files if one.path not in listed):
        choices += [one for one in before.choices if not choice.covers(one)]
        listed = {one.path: one for one in before.files} | listed
    document = {
        "format": _FORMAT,
        "obs_id": obs_id,
        "choices": [asdict(one) for one in choices],
        "files": [asdict(one) for one in sorted(listed.values(), key=lambda one: one.path)],
    }
    directory = root / obs_id
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f"{NAME}.part"
    text = json.dumps(document, indent=1)
    for is_last in (False, True):
        beside.write_text(text, encoding="utf-8")
        try:
            os.replace(beside, directory / NAME)
            return
        except FileNotFoundError:
            # another process, which fetched the same, has just renamed it
            if is_last:
                raise


def whole_files(root: Path, obs_id: str, choice: Choice) -> Sequence[KeptFile] | None:
    """The files of an observation that was fetched for this choice and whose sizes are still right, else None."""
    known = read_manifest(root, obs_id)
    if known is None or not any(one.covers(choice) for one in known.choices):
        return None
    return known.files if all(_is_there(root, one) for one in known.files) else None


def read_manifest(root: Path, obs_id: str) -> Manifest | None:
    """None for none, or one that is damaged: then the observation is looked at anew."""
    try:
        found: Any = json.loads((root / obs_id / NAME).read_text(encoding="utf-8"))
        if found["format"] != _FORMAT:
            return None
        return Manifest(
            tuple(
                Choice(tuple(map(str, one["instruments"])), bool(one["with_products"]), one["version"])
                for one in found["choices"]
            ),
            tuple(
                KeptFile(str(one["path"]), int(one["size_bytes"]), str(one["sha256"]), str(one["url"]))
                for one in found["files"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_there(root: Path, one: KeptFile) -> bool:
    try:
        return (root / one.path).stat().st_size == one.size_bytes
    except OSError:
        return False
