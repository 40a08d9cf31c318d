"""Pictures of spectra with axes and errors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from skyvault.science.spectrum_picture import _limits, _runs, _ticks, spectrum_picture

WAVE = np.arange(400.0, 801.0, 10.0)


def pixels(*given: Any, **more: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(spectrum_picture(*given, **more))).convert("RGB")).astype(int)


def ink(image: Any) -> Any:
    """Columns in which the line of the spectrum is."""
    return np.flatnonzero(((image[:, :, 2] - image[:, :, 0]) > 60).any(axis=0))


def test_the_line_goes_from_end_to_end_and_the_errors_are_a_band() -> None:
    flux = np.linspace(1.0, 2.0, 41) * 1e-16
    image = pixels(WAVE, flux, np.full(41, 2e-17), flux_unit="W m^-2 nm^-1")
    assert image.shape == (400, 720, 3)
    columns = ink(image)
    assert columns.min() < 70 and columns.max() > 695
    band = (np.abs(image - [205, 220, 234]).sum(axis=2) < 12).sum()
    assert band > 4_000 and (np.abs(pixels(WAVE, flux) - [205, 220, 234]).sum(axis=2) < 12).sum() < 600


def test_wavelengths_without_flux_stay_empty_but_are_on_the_axis() -> None:
    flux = np.where(WAVE > 635, 1.0, np.nan)
    columns = ink(pixels(WAVE, flux))
    begin = 64 + (640 - 400) / 400 * (720 - 18 - 64)
    assert columns.min() > begin - 6


def test_gaps_are_no_lines() -> None:
    assert _runs(np.array([True, True, False, True, False])) == [(0, 2), (3, 4)]
    assert _runs(np.zeros(3, bool)) == []


def test_one_sample_with_a_huge_error_does_not_flatten_the_rest() -> None:
    low, high = _limits(np.ones(41), np.r_[np.full(40, 0.01), 1e6])
    assert low == 0.0 and high < 1.2


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (400.0, 800.0), (-1e-18, 3e-17), (1e-300, 1.7e-300), (0, 1e300)])
def test_ticks_are_few_and_round(low: float, high: float) -> None:
    ticks = _ticks(low, high, 8)
    assert 2 <= len(ticks) <= 9 and low - 1e-9 * (high - low) <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=20),
    st.floats(0, 1e6) | st.just(float("nan")),
)
@settings(max_examples=40)
def test_whatever_the_numbers_there_is_a_picture(flux: list[float], error: float) -> None:
    wave = np.linspace(400, 800, len(flux))
    assert spectrum_picture(wave, flux, np.full(len(flux), error)).startswith(b"\x89PNG")


def test_a_spectrum_without_any_flux_says_so() -> None:
    assert spectrum_picture(WAVE, np.full(41, np.nan)).startswith(b"\x89PNG")
    assert spectrum_picture([np.nan], [1.0]).startswith(b"\x89PNG")
