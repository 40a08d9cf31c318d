"""Images of a session's target by ObsTAP, as in Rubin's tutorial: all columns, true outlines, planes and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.errors import ParameterError, SkyvaultError
from skyvault.sandbox.faults import Fault
from skyvault.session.session import Session


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    return Session(str(tmp_path / "rubin"), False, settings=sandbox_settings).select_target(ra_deg=62.0, dec_deg=-37.0)


def test_images_are_found_tested_fetched_and_shown(session: Session, sandbox: Any) -> None:
    found = session.images("tap", token="gt-sandbox", where="lsst_band = 'i' AND calib_level = 2", most=6)
    assert len(found) == 6
    assert {"lsst_tract", "lsst_patch", "lsst_visit", "lsst_detector", "lsst_band"} <= set(found.to_table().colnames)
    true = found.really_show()
    assert true.shape == (6,) and not true.mask.any() and 0 < true.sum() < 6
    assert np.array_equal(found.really_show([2, 0]), true[[2, 0]])
    row = int(np.flatnonzero(true)[0])
    path = found.fetch(row)
    assert path.parent == session.path("images") and path.stat().st_size > 100_000
    sandbox.faults.set(Fault("unreachable"))
    assert found.fetch(row) == path
    figure = found.show(row, mask=True, has_colour_bar=True)
    assert any("EDGE" in text.get_text() for text in [*figure.legends, *figure.axes[0].artists][0].get_texts())
    assert found.show(row, hdu="VARIANCE") is not None


def test_planes_are_read_and_an_image_moves_beside_the_static_one(session: Session, tmp_path: Path) -> None:
    found = session.images("tap", token="gt-sandbox", where="lsst_band = 'i' AND calib_level = 2", most=3)
    planes = found.planes(1)
    assert set(planes) == {"IMAGE", "MASK", "VARIANCE"}
    assert planes["IMAGE"].shape == planes["VARIANCE"].shape == planes["MASK"].shape
    assert "EDGE" in planes["MASK"].counts() and (planes["VARIANCE"] >= 0).all()

    pytest.importorskip("bokeh")
    from bokeh.models import ColorBar, GlyphRenderer, ImageRGBA, RangeSlider, Scatter, Slider

    view = found.live(1, mask=["EDGE", "DETECTED"], mask_transparency=70, is_static_beside=True)
    model = view.model()
    for kind in (ColorBar, RangeSlider, Slider, Scatter):
        assert list(model.select({"type": kind})), kind
    (over,) = [one.glyph for one in model.select({"type": GlyphRenderer}) if isinstance(one.glyph, ImageRGBA)]
    assert over.global_alpha == pytest.approx(0.3)
    page = view.write(tmp_path / "image.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in page and "transparency of the mask" in page and "<script src" not in page


def test_a_fetch_that_fails_leaves_nothing(session: Session, sandbox: Any) -> None:
    found = session.images("tap", token="gt-sandbox", most=1)
    sandbox.faults.set(Fault("refused", archive="rubin"))
    with pytest.raises(SkyvaultError) as caught:
        found.fetch(0)
    assert "\n" not in str(caught.value)
    assert not list(session.path("images").glob("*.fits"))


def test_a_service_without_token_or_name_is_told(session: Session) -> None:
    for service, how in (("nowhere", {}), ("tap", {}), ("tap", {"most": 0}), ("tap", {"collections": "x", "most": -1})):
        with pytest.raises(SkyvaultError) as caught:
            session.images(service, **how)
        assert "\n" not in str(caught.value)
    with pytest.raises(ParameterError):
        session.images("tap", most=10**6)


def test_nothing_found_is_an_empty_answer(session: Session) -> None:
    found = session.images("tap", token="gt-sandbox", collections="no such collection")
    assert len(found) == 0 and len(found.really_show()) == 0
