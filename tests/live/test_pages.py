"""Pages in a real browser: pictures come, nothing is refused or complained of, and a phone shows all of it."""

from __future__ import annotations

import importlib.util
import io
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy.io import fits

from live.browser import CHROMIUM, Browser
from skyvault.config import Settings
from skyvault.publish.resource_publisher import publish_resource
from skyvault.store.products import did_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (./run live installs it)"),
    pytest.mark.skipif(
        importlib.util.find_spec("websocket") is None, reason="websocket-client is missing (./run live installs it)"
    ),
]
RESOURCE = """\
schema: sky
title: Pictures
description: Noise with a star in it, for a browser.
creators: [{name: 'Somebody, S.', orcid: 0000-0002-1825-0097}]
licence: CC0-1.0
services: [sia2, soda]
files:
  open: {files: 'open/*.fits'}
  signed: {files: 'signed/*.fits', links: signed}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> str:
    folder = tmp_path_factory.mktemp("pages")
    header = fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
        "CDELT1": -0.01, "CDELT2": 0.01,
    })  # fmt: skip
    for name in ("open", "signed"):
        (folder / name).mkdir()
        for number in range(3):
            pixels = np.random.default_rng(number).poisson(40, (64, 64)).astype(np.int16)
            fits.PrimaryHDU(pixels, header).writeto(folder / name / f"a_rather_long_name_of_a_file_{number}.fits")
    (folder / "resource.yaml").write_text(RESOURCE)
    publish_resource(folder, settings=Settings(home=folder / "home"), processes=1)
    return str(start_server(folder / "home").base_url)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


DID = quote(did_of("skyvault.invalid", "sky.signed", "signed/a_rather_long_name_of_a_file_1.fits"), safe="")
#: pages, and how many pictures each shows
PAGES = {"/sky/open": 3, "/sky/signed": 3, f"/dataset?ID={DID}": 1, "/ivoa/ObsCore": 0, "/": 0}


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_pictures_and_fits_the_screen(base: str, browser: Browser, path: str, width: int) -> None:
    browser.told.clear()
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=5000, deviceScaleFactor=1, mobile=width < 500
    )
    browser.go(base + path)
    browser.until(f"location.href === {base + path!r} && document.readyState === 'complete'")
    browser.until("[...document.images].every((one) => one.complete)")
    assert browser.run("document.images.length") == PAGES[path]
    assert browser.run("[...document.images].every((one) => one.naturalWidth > 0)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    # what the policy refuses, scripts that fail and files that are not there are told as errors
    assert browser.told == []


def test_the_citation_is_copied_by_its_button(base: str, browser: Browser) -> None:
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.go(base + "/sky/open")
    browser.until("document.readyState === 'complete' && document.querySelector('#origin .copy') !== null")
    browser.run("document.querySelector('#origin .copy').click()")
    browser.until("document.querySelector('#origin .copy').textContent === 'Copied'")


def test_a_form_cuts_a_piece_out_of_the_image(base: str, browser: Browser) -> None:
    browser.go(f"{base}/dataset?ID={DID}")
    browser.until("document.querySelector('#cutout form') !== null")
    asked = browser.run("'?' + new URLSearchParams(new FormData(document.querySelector('#cutout form')))")
    # the page's own scripts may fetch nothing; the form leads there
    with urllib.request.urlopen(f"{base}/soda/sync{asked}") as answer:
        pixels = fits.open(io.BytesIO(answer.read()))[0].data
    assert 8 < pixels.shape[0] < 64
