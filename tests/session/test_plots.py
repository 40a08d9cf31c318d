"""Pictures were looked at, then pinned by what they look like at 16 x 16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from skyvault.errors import ParameterError
from skyvault.session.exposures import Exposures
from skyvault.session.lightcurve import Lightcurve
from skyvault.session.plots import density_of
from skyvault.session.table_files import read_table

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


def average_hash(figure: Figure) -> int:
    """256 bits: which of 16 x 16 fields are darker than most."""
    figure.canvas.draw()
    grey = np.asarray(figure.canvas.buffer_rgba())[..., :3].mean(axis=2)  # type: ignore[attr-defined]
    rows, columns = (np.linspace(0, size, 17).astype(int) for size in grey.shape)
    fields = np.array([
        [grey[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean() for j in range(16)] for i in range(16)
    ])  # fmt: skip
    bits = (fields < fields.mean()).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def differing(one: int, other: int) -> int:
    return bin(one ^ other).count("1")


@pytest.fixture(scope="module")
def curve(hd5501_files: Path) -> Lightcurve:
    table = read_table(hd5501_files / "lightcurves" / "N311301016169.ecsv", Lightcurve)
    table.apply_standard_rejections(verbose=False)
    return table


HASHES = {
    "light curve": 0x300031FCE1FEF00C0008097E087C023C021C001C001000000000014960080,
    "called out": 0x1FCE1FEF00C0008097E087C023C021C001C001000006000714960080,
    "scatter": 0x7FFF400070503071F0F0B8F0F0C0F000D000D00000004000400040003FFF01C0,
    "coverage": 0x7FFF804000C080C080E080E080E087E087E087E08FE00FE00FE07FFF2A550080,
}


@pytest.mark.parametrize("name", ["light curve", "called out", "scatter", "coverage"])
def test_a_picture_looks_as_it_did(name: str, curve: Lightcurve, hd5501_files: Path) -> None:
    if name == "coverage":
        figure = read_table(hd5501_files / "exposures.ecsv", Exposures).time_coverage()
    elif name == "scatter":
        figure = curve.scatter("plate_dist", "magcal_magdep")
    else:
        figure = curve.plot(callout=curve.magnitudes() > 9.8 if name == "called out" else None)
    assert differing(average_hash(figure), HASHES[name]) <= 12


def test_upper_limits_are_triangles_below_and_brightness_is_upwards(curve: Lightcurve) -> None:
    figure = curve.plot()
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert low > high
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    accepted = ~curve.is_rejected()
    assert labels == [
        f"upper limits ({int((accepted & ~curve.is_detected()).sum())})",
        f"detections ({int((accepted & curve.is_detected()).sum())})",
    ]


def test_nothing_to_show_is_said_in_the_picture(curve: Lightcurve) -> None:
    figure = curve[:0].plot()
    assert "nothing to show" in figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize("callout", [[True], np.ones(3, dtype=bool), "all"])
def test_a_callout_of_another_length_is_refused(curve: Lightcurve, callout: Any) -> None:
    with pytest.raises(ParameterError, match="callout"):
        curve.plot(callout=callout)


def test_the_density_holds_every_exposure() -> None:
    years = np.random.default_rng(1).normal(1930, 15, 5000)
    at, density = density_of(years, points=2000)
    assert float(np.trapezoid(density, at)) == pytest.approx(5000, rel=0.01)


def test_pictures_need_no_display_and_leave_no_state(curve: Lightcurve, tmp_path: Path) -> None:
    import sys

    curve.plot("jd").savefig(tmp_path / "lc.png")
    assert (tmp_path / "lc.png").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
