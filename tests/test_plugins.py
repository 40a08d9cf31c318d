"""Plugins of installed packages, found by their entry points."""

from __future__ import annotations

import pytest

from skyvault import plugins
from skyvault.errors import ConfigError, NotFound


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with one good and one broken format."""
    info = tmp_path / "skyvault_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: skyvault-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[skyvault.formats]\ngood = skyvault_extra_good:reader\nbroken = skyvault_extra_broken:reader\n"
    )
    (tmp_path / "skyvault_extra_good.py").write_text("reader = 'the reader'\n")
    (tmp_path / "skyvault_extra_broken.py").write_text("raise RuntimeError('no library')\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_plugin_is_found_by_name_and_loaded_on_demand():
    assert plugins.names("formats") == ("broken", "good")
    assert plugins.load("formats", "good") == "the reader"


@pytest.mark.usefixtures("package")
def test_a_broken_plugin_is_a_sentence_and_does_not_stop_the_others():
    with pytest.raises(ConfigError, match=r"skyvault_extra_broken:reader: the plugin 'broken' cannot be loaded"):
        plugins.load("formats", "broken")
    loaded, problems = plugins.load_all("formats")
    assert loaded == {"good": "the reader"}
    assert [problem.name for problem in problems] == ["broken"]


def test_an_unknown_plugin_is_not_found_and_an_unknown_group_is_a_mistake_of_the_program():
    with pytest.raises(NotFound, match="no plugin 'x' among the missions"):
        plugins.load("missions", "x")
    with pytest.raises(ValueError, match="no plugin group 'planets'"):
        plugins.names("planets")
