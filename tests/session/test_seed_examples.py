"""The example calls of daschlab's page about sessions run as they are printed there, with the import's name changed.

What needs the application of the WorldWide Telescope (``NEEDS_WWT``) is checked here for its refusal in one sentence,
and runs in a real JupyterLab in ``tests/live/test_telescope.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from skyvault.errors import UsageError
from skyvault.session.session import Session

pytestmark = [pytest.mark.shared, pytest.mark.filterwarnings("ignore:.*dubious year")]

#: calls of the page that only a browser with the application can answer
NEEDS_WWT = (
    "await sess.connect_to_wwt()",
    "sess.wwt().layers.add_image_layer(diskpath, tiling_method=TilingMethod.TOAST)",
)


@pytest.fixture
def page(shared: Path) -> str:
    return (shared / "reference" / "seeds" / "1-daschlab-session.txt").read_text(encoding="utf-8")


def between(page: str, first: str, last: str) -> str:
    """The lines of an example from the one that begins with ``first`` to the one that begins with ``last``."""
    lines = page.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(first))
    end = next(number for number in range(begin, len(lines)) if lines[number].startswith(last))
    return "\n".join(lines[begin : end + 1])


@pytest.fixture
def names(page: str, sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names after the page's first example, run in an empty folder with the sandbox as the archive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKYVAULT_HOME", str(tmp_path / "home"))
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    example = between(page, "from daschlab import", 'sess.select_refcat("apass")')
    exec(example.replace("daschlab", "skyvault"), names)
    return names


def test_the_first_example_makes_a_session(names: dict[str, Any], tmp_path: Path) -> None:
    sess = names["sess"]
    assert isinstance(sess, Session) and sess.root == tmp_path.resolve()
    assert sess.query().name == "V* RY Cnc" and sess.refcat_name() == "apass"
    # the products the page lists after it
    for product in (sess.refcat(), sess.exposures(), sess.lightcurve(0)):
        assert len(product) > 100
    assert sess.path("exposures.ecsv").exists() and sess.path("query.json").exists()


def test_a_cutout_as_in_the_page(page: str, names: dict[str, Any]) -> None:
    example = between(page, "imaged_exposures = sess.exposures()", "hdu_list = fits.open")
    # the page forgets the last bracket, and the import
    assert example.count("(") == example.count(")") + 1
    names["fits"] = fits
    exec(example + ")", names)
    with names["hdu_list"] as file:
        x, y = WCS(file[0].header).world_to_pixel(names["sess"].query().pos_as_skycoord())
        assert np.allclose([float(x), float(y)], 417, atol=1)
    assert names["exp"]["local_id"] == np.flatnonzero(names["sess"].exposures().match.has_imaging())[0]


def test_light_curves_are_merged_as_in_the_page(page: str, names: dict[str, Any]) -> None:
    (example,) = re.findall(r"^lc = session\.merge_lightcurves\(.*\)$", page, re.MULTILINE)
    names["session"] = names["sess"]
    exec(example, names)
    merged = names["lc"]
    assert len(np.unique(merged.exposure_rows())) == len(merged)
    assert len(merged) >= len(names["sess"].lightcurve(0))


def test_a_mosaic_as_in_the_page(page: str, names: dict[str, Any]) -> None:
    example = between(page, "# Assumes `sess` is a Session", "diskpath = ")
    assert "from toasty import TilingMethod" in example
    exec(example.replace("from toasty import TilingMethod", ""), names)
    with fits.open(names["diskpath"]) as file:
        assert file[0].data.ndim == 2 and file[0].header["D_PLATE"] == names["exp"].plate_id()


def test_what_needs_the_application_is_refused_in_a_sentence(
    page: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import sys

    for call in NEEDS_WWT:
        assert call in page
    # as where pywwt is not installed, which this machine may have
    monkeypatch.setitem(sys.modules, "pywwt", None)
    monkeypatch.setitem(sys.modules, "pywwt.jupyter", None)
    sess = names["sess"]
    with pytest.raises(UsageError, match="pywwt, which is not installed") as missing:
        asyncio.run(sess.connect_to_wwt())
    with pytest.raises(UsageError, match="not connected to the WorldWide Telescope") as unconnected:
        sess.wwt()
    with pytest.raises(UsageError):
        sess.lightcurve("click")
    for caught in (missing, unconnected):
        assert "\n" not in str(caught.value)


def test_every_method_of_the_page_is_there(page: str) -> None:
    summary = page[page.index("Methods Summary") : page.index("Methods Documentation")]
    methods = re.findall(r"^(\w+)\(", summary, re.MULTILINE)
    assert len(methods) >= 14
    for name in methods:
        assert callable(getattr(Session, name)) and getattr(Session, name).__doc__
