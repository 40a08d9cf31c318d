"""Thumbnails: small, faithful, drawn without a plotting library, and hard to be fooled by."""

from __future__ import annotations

import io

import numpy as np
import pytest

from skyvault.errors import FormatError
from skyvault.science.thumbnail import Thumbnail


def flare(n: int = 2000) -> Thumbnail:
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(58000.0, 58300.0, n))
    flux = 30.0 + rng.normal(0.0, 1.0, n)
    flux[700:706] += 40.0
    flagged = np.zeros(n, bool)
    flagged[100] = True
    return Thumbnail.of(mjd, flux, np.ones(n), 30.0, 702, slice(700, 706), flagged)


def test_a_thumbnail_holds_the_event_and_some_of_the_rest_in_two_kilobytes() -> None:
    made = flare()
    assert made.is_event.sum() == 6 and len(made.days) <= 181 and made.flux.max() > 2.0
    assert np.ptp(made.days) == pytest.approx(300.0, rel=0.05) and (np.diff(made.days) > 0).all()
    packed = made.to_bytes()
    assert len(packed) < 2500
    again = Thumbnail.from_bytes(packed)
    np.testing.assert_allclose(again.flux, made.flux, rtol=1e-6)
    assert again.mjd == made.mjd and (again.is_event == made.is_event).all()


def test_its_picture_shows_the_event_in_red_above_the_rest() -> None:
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(flare().png(180, 72))))
    assert picture.shape == (72, 180, 3)
    red = (picture == (205, 40, 30)).all(axis=2)
    blue = (picture == (70, 90, 120)).all(axis=2)
    assert red.any() and np.argwhere(red)[:, 0].mean() < np.argwhere(blue)[:, 0].mean()


def test_one_point_and_no_point_can_be_drawn() -> None:
    one = np.array([1.0])
    for flux in (one, np.array([np.nan])):
        made = Thumbnail.of(one, flux, one, 1.0, 0, slice(0, 1), np.array([False]))
        assert made.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("damaged", [b"", b"LC1", b"LC1" + b"x" * 50, b"XXX" + flare().to_bytes()[3:]])
def test_what_is_no_thumbnail_is_refused(damaged: bytes) -> None:
    with pytest.raises(FormatError, match="no thumbnail"):
        Thumbnail.from_bytes(damaged)
