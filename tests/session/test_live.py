"""Views that move in a browser: whole pages, clicks that the program hears over bokeh's own protocol, plain refusals."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.errors import ConfigError, UsageError
from skyvault.session.live_view import LiveView
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    made = Session(str(tmp_path / "ry_cnc"), False, settings=sandbox_settings)
    return made.select_target("V* RY Cnc").select_refcat("apass")


def click(view: LiveView, number: int) -> None:
    """Opens the view as a browser does, over a socket, and chooses a point in it."""
    pytest.importorskip("bokeh")
    from bokeh.client import pull_session
    from bokeh.models import ColumnDataSource
    from tornado.ioloop import IOLoop

    async def clicked() -> None:
        server = view.server(["127.0.0.1"])
        try:
            address = f"http://127.0.0.1:{server.port}/view"
            await asyncio.to_thread(choose, address)
            for _ in range(200):
                if view.clicked_row == number:
                    break
                await asyncio.sleep(0.01)  # the message is on its way
        finally:
            server.stop()
            server.unlisten()

    def choose(address: str) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        pulled = pull_session(url=address, io_loop=IOLoop(make_current=False, asyncio_loop=loop))
        sources = [
            one
            for one in pulled.document.select({"type": ColumnDataSource})
            if "row" in one.data or "local_id" in one.data
        ]
        sources[0].selected.indices = [number]
        pulled.force_roundtrip()
        pulled.close()
        loop.close()

    asyncio.run(clicked())


def test_a_click_on_a_point_gives_its_row_and_plate(session: Session) -> None:
    curve = session.lightcurve(0)
    curve.apply_standard_rejections(verbose=False)
    view = curve.live()
    with pytest.raises(UsageError, match="No point was clicked"):
        view.clicked()
    click(view, 17)
    shown = np.flatnonzero(~curve.is_rejected())
    assert view.clicked()["exp_local_id"] == curve["exp_local_id"][shown[17]]
    assert view.clicked().index == shown[17]


def test_a_click_on_a_star_chooses_its_light_curve(session: Session) -> None:
    chart = session.refcat().live()
    with pytest.raises(UsageError, match="No star was clicked") as caught:
        session.lightcurve("click")
    assert "\n" not in str(caught.value)
    click(chart, 2)
    assert chart.clicked()["local_id"] == 2
    assert session.lightcurve("click") is session.lightcurve(2)
    assert len(session.merge_lightcurves(["click", 0])) > 0


def test_pages_are_whole_in_themselves_and_hold_the_data(session: Session, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    for view, words in (
        (session.lightcurve(0).live(), ["magnitude", "plate"]),
        (session.refcat().live(), ["declination"]),
    ):
        page = view.write(tmp_path / "view.html").read_text(encoding="utf-8")
        assert "<script src" not in page and "<link" not in page
        assert all(word in page for word in words)
        (roots,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
        json.loads(roots.replace("&quot;", '"').replace("&amp;", "&"))
    assert not list(tmp_path.glob(".*"))


def test_without_bokeh_or_notebook_one_sentence_says_what_to_do(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = session.lightcurve(0)
    with pytest.raises(UsageError, match="runs in no notebook"):
        curve.live().show()
    curve.reject.detected(tag="all", verbose=False)
    curve.reject.undetected(tag="all", verbose=False)
    with pytest.raises(UsageError, match="nothing to show"):
        curve.live()
    for name in [one for one in sys.modules if one.partition(".")[0] == "bokeh"] + ["bokeh"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"need bokeh.*skyvault\[live\]") as caught:
        session.refcat().live()
    assert "\n" not in str(caught.value)
