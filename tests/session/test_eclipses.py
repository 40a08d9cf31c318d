"""A century of HD 5501: the eclipses of the merged light curve by epoch, and their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from science.picture_hash import bits_apart, picture_hash
from skyvault.errors import ParameterError
from skyvault.science.folding import LightElements
from skyvault.session.eclipses import Eclipses
from skyvault.session.session import Session

pytestmark = pytest.mark.shared

PERIOD = 7.5352272
EPOCHS = "bffeffff8000bf7f8140be7c8f7e00188f7e80008f7e84009f7f8000bf7fda3f"
TIMING = "800037feb7feb7feb7de37d600563e963ec6bef2bef43ff6bffe3ffe8000fc1f"
YEARS = (1892, 1900, 1908, 1916, 1924, 1932, 1940, 1948)


@pytest.fixture(scope="module")
def session(hd5501_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    import shutil

    folder = tmp_path_factory.mktemp("eclipses") / "hd_5501"
    shutil.copytree(hd5501_files, folder)
    made = Session(str(folder), False)
    for number in range(11):
        made.lightcurve(number).apply_standard_rejections(verbose=False)
    return made


@pytest.fixture(scope="module")
def found(session: Session) -> Eclipses:
    return session.merge_lightcurves(range(11)).eclipses(PERIOD, years=YEARS)


def test_the_merged_curve_times_more_epochs_than_the_stars_main_entry(session: Session, found: Eclipses) -> None:
    """Six epochs of 1900 to 1948 against five: the catalogue has split the star into eleven entries."""
    main = session.lightcurve(2).eclipses(PERIOD, years=YEARS)
    assert (len(found), len(main)) == (6, 5)
    timed = np.isfinite(found.timing.error)
    assert (np.abs(found.timing.o_minus_c[timed]) < 0.3).all() and (found.timing.depth[timed] > 0.2).all()
    assert 0.25 < found.template.amplitude < 0.35


def test_its_period_drifts(found: Eclipses) -> None:
    """By the 1940s eclipses come 4 +- 1.6 hours early; a parabola has them ever shorter apart."""
    assert 24 * found.timing.o_minus_c[-1] == pytest.approx(-4.3, abs=1.0)
    assert 24 * found.timing.error[-1] < 2.0
    assert found.drifting().drift < 0.0


def test_the_pictures_are_as_they_were_looked_at(found: Eclipses) -> None:
    for figure, pinned in ((found.plot(), EPOCHS), (found.plot_timing(), TIMING)):
        assert bits_apart(picture_hash(figure), pinned) <= 24, picture_hash(figure)


def test_elements_and_epochs_may_be_left_to_the_session(session: Session, found: Eclipses) -> None:
    curve = session.merge_lightcurves(range(11))
    same = curve.eclipses(LightElements(PERIOD, found.elements.epoch))
    assert same.elements == LightElements(PERIOD, found.elements.epoch)
    # 8 years each from 1899 to 1990, of which the gap after 1953 has too few plates
    assert 7 <= len(same.edges) - 1 <= 12 and len(same) >= 5


@pytest.mark.parametrize("years", [(1900,), (1900, 1890), ()])
def test_epochs_ascend(session: Session, years: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="ascending"):
        session.lightcurve(2).eclipses(PERIOD, years=years)


def test_too_few_measurements_have_no_eclipses(session: Session) -> None:
    with pytest.raises(ParameterError, match="too few"):
        session.lightcurve(5).eclipses(PERIOD)
