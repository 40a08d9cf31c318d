"""The documentation is whole: reference pages are those of the code, and no link leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from processes import PROJECT

PAGES = [*sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "README.md", PROJECT / "CHANGELOG.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", PROJECT / "docs" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "cli.md", "adql.md", "formats.md", "resource.md"])
def test_the_reference_page_is_that_of_the_code(make_reference, name):
    written = (PROJECT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == make_reference.PAGES[name](), "run: python docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_to_a_file_leads_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            path = page.parent / target.partition("#")[0]
            assert path.exists(), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    waiting = [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = LINK.findall(page.read_text(encoding="utf-8"))
        paths = ((page.parent / target.partition("#")[0]).resolve() for target in targets if "://" not in target)
        waiting += [path for path in paths if path.suffix == ".md" and path.exists()]
    assert set((PROJECT / "docs").rglob("*.md")) <= reached


def test_every_setting_is_documented_in_words():
    import dataclasses

    from skyvault.config import Settings

    for field in dataclasses.fields(Settings):
        assert field.metadata["description"].strip().endswith((".", "`.", ")."))


def test_the_picture_of_the_readme_is_small():
    assert (PROJECT / "docs" / "images" / "demo-sky.png").stat().st_size < 300_000


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-live.lock"])
def test_the_lock_names_no_address(name):
    lock = (PROJECT / name).read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--hash=sha256:" in lock
