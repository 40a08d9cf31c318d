"""The names of the seed page, read off the page itself: ``python tests/missions/seed_page.py PAGE`` writes the table."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TABLE = Path(__file__).with_name("seed_names.json")
_CLASS = re.compile(r"^class daxa\.mission\.\w+\.(\w+)(?:\(([^)]*)\))?\[source\]")
_METHOD = re.compile(r"^(?:abstract |static )?(\w+)\((.*)\)\[source\]$")
_PROPERTY = re.compile(r"^(?:abstract )?property (\w+)$")

#: {class: {name: arguments with their defaults, or None for a property}}; "" holds the constructor's
Names = dict[str, dict[str, list[str] | None]]


def read_page(page: Path) -> Names:
    """All classes, properties and methods of the page."""
    found: Names = {}
    now: dict[str, list[str] | None] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if match := _CLASS.match(line):
            now = found.setdefault(match[1], {})
            now[""] = _arguments(match[2] or "")
        elif match := _PROPERTY.match(line):
            now[match[1]] = None
        elif match := _METHOD.match(line):
            now[match[1]] = _arguments(match[2])
    return found


def names() -> Names:
    """The table as it is kept here."""
    found: Names = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def names_of(cls: str) -> dict[str, list[str] | None]:
    """What a class of the page has, with what it inherits; classes beyond the page have the base's."""
    known = names()
    merged = {**known["BaseMission"], **known.get(cls, {})}
    if cls not in known:
        merged.pop("")
    return merged


def _arguments(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    TABLE.write_text(json.dumps(read_page(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
