"""Coordinates in catalogue names: sexagesimal as the IAU writes them, and decimal degrees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.missions.parse_name import parse_name


@pytest.mark.parametrize(
    ("name", "ra", "dec"),
    [
        ("CRTS SSS100805 J194428-420209", 296.116667, -42.035833),
        ("eFEDS J082626.6-003429", 126.610833, -0.574722),
        ("PSR J1944-4202", 296.0, -42.033333),
        ("1RXS J1302.0-6358", 195.5, -63.966667),
        ("J123.1-32.13", 123.1, -32.13),
        ("WD J123.1+32", 123.1, 32.0),
        ("2MASS J19442830-4202095", 296.117917, -42.035972),
        ("SDSS J19 44 28.3 -42 02 09", 296.117917, -42.035833),
        ("SDSS J19:44:28.3 \u221242:02:09", 296.117917, -42.035833),
    ],
)
def test_coordinates_are_read_out_of_names(name: str, ra: float, dec: float) -> None:
    assert parse_name(name) == pytest.approx((ra, dec), abs=1e-5)


@pytest.mark.parametrize(
    "name", ["M 31", "V* RY Cnc", "J254428-420209", "J196128-420209", "J1944-9202", "J400.1-32.13", "", "J" * 500]
)
def test_names_without_coordinates_give_none(name: str) -> None:
    assert parse_name(name) is None


@given(st.text(max_size=60))
def test_any_text_gives_a_place_on_the_sky_or_none(text: str) -> None:
    place = parse_name("J" + text)
    assert place is None or (0 <= place[0] < 360 and -90 <= place[1] <= 90)
