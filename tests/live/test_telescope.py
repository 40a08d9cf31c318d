"""The seed page's calls that need the WorldWide Telescope, in a real JupyterLab in a real browser."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live.browser import CHROMIUM
from live.jupyterlab import JupyterLab
from skyvault.errors import UsageError
from skyvault.session.session import Session

MISSING = [
    name
    for name in ("jupyterlab", "pywwt", "wwt_jupyterlab_extension", "wwt_kernel_data_relay", "websocket", "bokeh")
    if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (./run live installs them)")


@pytest.fixture(scope="module")
def lab(running_sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    folder = tmp_path_factory.mktemp("lab")
    variables = running_sandbox.environment() | {"SKYVAULT_HOME": str(folder / "home"), "PYTHONWARNINGS": "ignore"}
    with JupyterLab(folder, variables) as running:
        yield running


def example(page: str, first: str, last: str) -> str:
    lines = page.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(first))
    end = next(number for number in range(begin, len(lines)) if lines[number].startswith(last))
    return "\n".join(lines[begin : end + 1])


def test_outside_a_notebook_one_sentence_says_where_it_works(tmp_path: Path) -> None:
    session = Session(str(tmp_path), False).select_target(ra_deg=10.0, dec_deg=20.0)
    with pytest.raises(UsageError, match="this program runs in none") as caught:
        asyncio.run(session.connect_to_wwt())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (./run live installs it)")
def test_the_calls_of_the_page_show_catalogue_and_plates_in_the_telescope(
    lab: JupyterLab, shared: Path, tmp_path: Path
) -> None:
    page = (shared / "reference" / "seeds" / "1-daschlab-session.txt").read_text(encoding="utf-8")
    first = example(page, "from daschlab import", "output_notebook()").replace("daschlab", "skyvault")
    assert "await sess.connect_to_wwt()" in first and "output_notebook()" in first
    mosaic = example(page, "# Assumes `sess` is a Session", "sess.wwt().layers.add_image_layer(")
    cells = [
        first,
        "layer = sess.refcat().show()\nprint(len(sess.wwt().layers), layer.size_att, sess.refcat().show() is layer)",
        "try:\n    sess.lightcurve('click')\nexcept Exception as problem:\n    print(problem)",
        "import astropy.units as u\n"
        "sess.wwt().center_on_coordinates(sess.refcat()['pos'][0], fov=2 * u.arcmin, instant=True)",
        "print(sess.wwt().most_recent_source is not None)",
        "print(sess.lightcurve('click') is sess.lightcurve(0), len(sess.merge_lightcurves(['click', 1])))",
        "exps = sess.exposures().keep_only.has_imaging()\nshown = exps.show(exps[0])\nprint(type(shown).__name__)",
        mosaic,
        "print(len(sess.wwt().layers))",
    ]
    lab.open(cells, with_telescope=True)
    try:
        assert "Saved the target" in lab.cell(0, 150)
        assert lab.cell(1).split() == ["1", "viz_mag", "True"]
        assert "No source of the reference catalogue was clicked" in lab.cell(2)
        lab.cell(3)
        click_until_chosen(lab, 4)
        lab.page.photograph(tmp_path / "catalogue.png")
        same, rows = lab.cell(5).split()[-2:]
        assert same == "True" and int(rows) > 100
        assert lab.cell(6).split()[-1].endswith("ImageLayer")
        lab.cell(7)
        assert lab.cell(8).strip() == "3"
    finally:
        lab.page.photograph(tmp_path / "telescope.png")


def click_until_chosen(lab: JupyterLab, cell: int) -> None:
    """Clicks into the middle of the telescope's view until the notebook has heard of it."""
    x, y = lab.page.run(
        "(() => { const box = document.querySelector('iframe').getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2] })()"
    )
    for attempt in range(30):
        # the application looks for the nearest source when the pointer moves
        lab.page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + attempt % 3, y=y)
        lab.page.click(x + attempt % 3, y)
        if lab.cell(cell).strip() == "True":
            return
    raise AssertionError("a click into the view chooses no source\n" + "\n".join(lab.page.told))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (./run live installs it)")
def test_a_click_into_a_light_curve_below_a_cell_is_heard_in_the_notebook(lab: JupyterLab, tmp_path: Path) -> None:
    cells = [
        "from skyvault.session import open_session\n"
        "sess = open_session('curve', interactive=False).select_target('V* RY Cnc').select_refcat('apass')\n"
        "view = sess.lightcurve(0).live()",
        "view.show()",
        "print(view.clicked_row)",
        "print(view.clicked()['exp_local_id'] == sess.lightcurve(0)['exp_local_id'][view.clicked().index])",
        "sess.lightcurve(0).plot()",
    ]
    lab.open(cells, with_telescope=False)
    try:
        lab.cell(0)
        lab.cell(1)
        page = lab.page
        page.until("window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle")
        # points are where the axes say; the tenth is clicked
        where = (
            "(() => { const view = Object.values(Bokeh.index.roots ?? Bokeh.index)[0].child_views[0];"
            " view.el.scrollIntoView(); const box = view.el.getBoundingClientRect();"
            " const source = [...Bokeh.documents[0]._all_models.values()]"
            ".find(m => m.type === 'ColumnDataSource' && m.data.plate);"
            " const at = (scale, v) => view.frame[scale].compute(v);"
            " return [box.x + at('x_scale', source.data.year[10]), box.y + at('y_scale', source.data.shown[10])] })()"
        )
        for _ in range(30):
            lab.dismiss()
            page.click(*page.until(where))
            if lab.cell(2).strip() != "None":
                break
        assert lab.cell(3).strip() == "True"
        lab.cell(4)
        kinds = page.run(
            "shown.content.widgets[4].model.outputs.toJSON().map(one => Object.keys(one.data ?? {})).flat()"
        )
        assert "image/png" in kinds
    finally:
        lab.page.photograph(tmp_path / "curve.png")
