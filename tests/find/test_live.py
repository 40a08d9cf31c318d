"""Images that move in a browser, where bokeh is installed."""

import sys

import pytest

from skyvault.errors import ConfigError
from skyvault.find import live_image
from skyvault.sandbox.rubin_images import file_bytes
from skyvault.sandbox.rubin_sky import exposures


@pytest.fixture(scope="module")
def exposure(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "exposure.fits"
    path.write_bytes(file_bytes(exposures()[0][0]))
    return path


def test_without_bokeh_one_sentence_says_how_to_install_it(exposure, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setitem(sys.modules, "bokeh.embed", None)
    with pytest.raises(ConfigError, match=r"need bokeh.*skyvault\[live\]"):
        live_image(exposure, tmp_path / "page.html")


def test_the_page_is_whole_in_itself(exposure, tmp_path):
    pytest.importorskip("bokeh", reason="the extra live is not installed")
    page = live_image(exposure, tmp_path / "page.html", title="exposure <1>").read_text(encoding="utf-8")
    assert "bokeh" in page.lower() and "exposure &lt;1&gt;" in page
    assert "<script src" not in page and "<link" not in page and not list(tmp_path.glob("*.part"))
