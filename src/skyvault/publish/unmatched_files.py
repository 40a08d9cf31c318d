"""FITS files that lie among those of a collection and match none of its patterns, by what their names end in."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final

#: names of FITS files, packed or not
_FITS: Final = re.compile(r"\.(?:fits|fit|fts)(?:\.(?:gz|fz|bz2))?$", re.IGNORECASE)
_NAMES_FITS: Final = re.compile(r"\.(?:fits?|fts)", re.IGNORECASE)


def unmatched_files(
    root: Path, patterns: Sequence[str], passed_over: Sequence[str], is_known: Callable[[str], bool]
) -> Iterator[tuple[str, str, int]]:
    """(folder, ending, how many) of FITS files where ``patterns`` look that are not known; by folder and ending.

    Endings that a pattern has itself are chosen by their other letters, and not told. ``passed_over`` are patterns of
    what is left out on purpose, or belongs to other collections.
    """
    if not any(_NAMES_FITS.search(one) for one in patterns):
        return
    home = root.resolve()
    seen: set[Path] = set()
    for pattern in patterns:
        parent = PurePath(pattern).parent.as_posix()
        for folder in [root] if parent == "." else root.glob(parent):
            relative = folder.relative_to(root)
            if folder in seen or not folder.is_dir() or any(part.startswith(".") for part in relative.parts):
                continue
            seen.add(folder)
            if not folder.resolve().is_relative_to(home):
                continue
            counts: Counter[str] = Counter()
            with os.scandir(folder) as entries:
                for entry in entries:
                    found = _FITS.search(entry.name)
                    if found is None or entry.name.startswith(".") or any(one.endswith(found[0]) for one in patterns):
                        continue
                    path = relative / entry.name
                    if any(path.match(one) for one in passed_over) or is_known(path.as_posix()) or not entry.is_file():
                        continue
                    counts[found[0]] += 1
            for ending, count in sorted(counts.items()):
                yield ("" if relative == Path() else relative.as_posix()), ending, count


def patterns_of_others(resource: Mapping[str, Any], name: str) -> list[str]:
    """The patterns of a resource's other collections."""
    found: list[str] = []
    for key, section in (resource.get("files") or {}).items():
        if key != name and (given := section.get("files")):
            found += [given] if isinstance(given, str) else given
    return found
