"""Views for a browser in a real browser: they draw without a complaint, and clicks do what they should."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from live.browser import CHROMIUM, Browser
from skyvault.session.spectra import Spectra, Spectrum

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (./run live installs it)"),
    pytest.mark.skipif(
        importlib.util.find_spec("websocket") is None, reason="websocket-client is missing (./run live installs it)"
    ),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    running = Browser(tmp_path)
    yield running
    running.close()


def test_a_click_on_a_spectrum_finds_its_star(browser: Browser, tmp_path: Path) -> None:
    wave = np.linspace(400.0, 800.0, 60)
    found = Spectra(tuple(
        Spectrum.of(f"star {n}", wave, np.full(60, n * 0.01), np.full(60, 0.004)) for n in range(400)
    ))  # fmt: skip
    page = found.live(np.arange(400.0), np.arange(400.0), active=3).write(tmp_path / "spectra.html")
    browser.go(page.as_uri())
    browser.until("Bokeh.documents[0].is_idle")
    said = "Bokeh.documents[0].roots()[0].children[1].text"
    box = browser.until(
        "(() => { const views = [...Object.values(Bokeh.index.roots ?? Bokeh.index)];"
        " const row = views[0].child_views[0]; const box = row.child_views[1].el.getBoundingClientRect();"
        " return [box.x, box.y, box.width, box.height] })()"
    )
    browser.click(box[0] + box[2] / 2, box[1] + box[3] / 2)
    first = browser.until(f"/star \\d+/.exec({said})")[0]
    browser.click(box[0] + box[2] / 2, box[1] + box[3] / 4)
    second = browser.until(f"(m => m && m[0] !== '{first}' && m)(/star \\d+/.exec({said}))")[0]
    # fluxes grow with the number, and the second click was higher
    assert int(second.split()[1]) > int(first.split()[1])
    assert not [one for one in browser.told if one.startswith(("exception", "dialog"))]
