"""Every name of the seed page exists, with its arguments in their order: the table is read off the page itself."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from skyvault.missions import Mission, mission_classes

CLASS = re.compile(r"^class daxa\.mission\.\w+\.(\w+)(?:\(([^)]*)\))?\[source\]")
METHOD = re.compile(r"^(?:abstract |static )?(\w+)\((.*)\)\[source\]$")
PROPERTY = re.compile(r"^(?:abstract )?property (\w+)$")


@pytest.fixture(scope="module")
def page(shared: Path) -> dict[str, dict[str, list[str] | None]]:
    """{class: {name: arguments, or None for a property}}; "" holds the constructor's."""
    found: dict[str, dict[str, list[str] | None]] = {}
    now: dict[str, list[str] | None] = {}
    for line in (shared / "reference" / "seeds" / "4-daxa-missions.txt").read_text(encoding="utf-8").splitlines():
        if match := CLASS.match(line):
            now = found.setdefault(match[1], {})
            now[""] = _arguments(match[2] or "")
        elif match := PROPERTY.match(line):
            now[match[1]] = None
        elif match := METHOD.match(line):
            now[match[1]] = _arguments(match[2])
    return found


def _arguments(text: str) -> list[str]:
    return [word.partition("=")[0].strip() for word in text.split(",") if word.strip()]


def test_the_page_names_the_base_and_eleven_missions(page: dict[str, dict[str, list[str] | None]]) -> None:
    assert len(page) == 12 and "BaseMission" in page
    assert sum(len(names) for names in page.values()) > 120
    assert set(page) - {"BaseMission"} <= set(mission_classes())


def test_every_class_has_every_name_of_the_page_with_its_arguments(
    page: dict[str, dict[str, list[str] | None]], mission_class: type[Mission]
) -> None:
    names = {**page["BaseMission"], **page.get(mission_class.__name__, {})}
    if mission_class.__name__ not in page:
        names.pop("")
    for name, arguments in names.items():
        if arguments is None:
            value = inspect.getattr_static(mission_class, name)
            assert hasattr(value, "__get__") and not inspect.isfunction(value), f"{name} is no property"
            continue
        member = getattr(mission_class, name or "__init__")
        ours = [p for p in inspect.signature(member).parameters if p != "self"]
        if name == "":
            assert ours[: len(arguments)] == arguments
        elif name == "download":
            assert set(arguments) <= set(ours)
        else:
            assert ours[: len(arguments)] == arguments, name


def test_every_property_of_the_page_answers(page: dict[str, dict[str, list[str] | None]], mission: Mission) -> None:
    from skyvault.missions.faults import NotDownloadedError, PreProcessedNotSupportedError

    names = {**page["BaseMission"], **page.get(type(mission).__name__, {})}
    for name, arguments in names.items():
        if arguments is not None:
            continue
        if name == "downloaded_type":
            with pytest.raises(NotDownloadedError):
                mission.downloaded_type  # noqa: B018
        else:
            try:
                assert getattr(mission, name) is not None
            except PreProcessedNotSupportedError:
                assert name == "preprocessed_energy_bands" and not mission.declaration.bands
