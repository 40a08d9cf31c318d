"""Dates and filters as headers write them."""

from __future__ import annotations

import pytest
from astropy.io import fits

from skyvault.science.exposure_headers import begin_of, wavelengths_of


@pytest.mark.parametrize(
    ("cards", "begin", "remark"),
    [
        ({"DATE-OBS": "29/11/51", "UT": "12:07:00.00"}, 33979.504861111, "is read as 1951-11-29T12:07:00.00"),
        ({"DATE-OBS": "11/03/76"}, 42848.0, "is read as 1976-03-11"),
        ({"DATE-OBS": "1999-10-07", "TIME-OBS": "01:02:03"}, 51458.043090278, None),
        ({"DATE-OBS": "1951-08-09T09:60:00"}, 33867.416666667, "is carried over to the next hour"),
    ],
)
def test_old_dates_keep_their_time_of_day(cards: dict[str, str], begin: float, remark: str | None) -> None:
    found = begin_of(fits.Header(cards))
    assert found is not None and found.mjd == pytest.approx(begin, abs=1e-8)
    assert (found.remark or "").endswith(remark or "") and bool(found.remark) == bool(remark)


@pytest.mark.parametrize(
    ("name", "band"),
    [("bokr", "r"), ("zd DECam k1038", "z"), ("r DECam SDSS c0002 6415.0 1480.0", "r"), ("r.MP9601", "r"), ("g'", "g")],
)
def test_filters_of_cameras_are_known_by_their_letter(name: str, band: str) -> None:
    assert wavelengths_of(name) == wavelengths_of(band)


@pytest.mark.parametrize("name", ["F160W", "OG590", "plexi", "250", "red"])
def test_other_filters_are_not_guessed(name: str) -> None:
    assert wavelengths_of(name) is None
