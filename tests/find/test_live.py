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
    monkeypatch.setitem(sys.modules, "bokeh.plotting", None)
    with pytest.raises(ConfigError, match=r"need bokeh.*skyvault\[live\]"):
        live_image(exposure, tmp_path / "page.html")


def test_the_page_is_whole_in_itself(exposure, tmp_path):
    pytest.importorskip("bokeh", reason="the extra live is not installed")
    page = live_image(exposure, tmp_path / "page.html", title="exposure <1>").read_text(encoding="utf-8")
    assert "bokeh" in page.lower() and "exposure &lt;1&gt;" in page
    assert "<script src" not in page and "<link" not in page and not list(tmp_path.glob("*.part"))


def test_a_thinned_mask_loses_no_set_pixel(tmp_path):
    pytest.importorskip("bokeh", reason="the extra live is not installed")
    import numpy as np
    from astropy.io import fits
    from bokeh.models import GlyphRenderer, ImageRGBA

    from skyvault.errors import UsageError
    from skyvault.find.live import live_figure

    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 1.0,
                          "CRPIX2": 1.0, "CDELT1": -1e-4, "CDELT2": 1e-4})  # fmt: skip
    bits = np.zeros((3001, 2003), np.int32)
    # one pixel struck by a cosmic ray, which a step of three would miss
    bits[1000, 1001] = 1 << 3
    planes = fits.ImageHDU(bits, fits.Header({"MP_CR": 3, "MP_BAD": 0}), name="MASK")
    file = fits.HDUList([fits.PrimaryHDU(np.ones((3001, 2003), np.float32), header), planes])
    model = live_figure(file, mask=True, target="10.0 20.1")
    (over,) = [one for one in model.select({"type": GlyphRenderer}) if isinstance(one.glyph, ImageRGBA)]
    assert np.count_nonzero(over.data_source.data["image"][0]) == 1
    with pytest.raises(UsageError, match="between 0 and 100"):
        live_figure(file, mask=True, mask_transparency=120)
