"""Intervals are closed, their ends may be open, and different time scales are never compared in silence."""

from __future__ import annotations

import math

import pytest

from skyvault.errors import ParameterError
from skyvault.model.span import EnergySpan, Span, TimeSpan


@pytest.mark.parametrize(
    ("text", "lo", "hi"),
    [
        ("1 2", 1.0, 2.0),
        (" 55000.5 ", 55000.5, 55000.5),
        ("-Inf 3", -math.inf, 3.0),
        ("3 +Inf", 3.0, math.inf),
        ("-inf inf", -math.inf, math.inf),
        ("5e-7 8e-7", 5e-7, 8e-7),
    ],
)
def test_a_dali_interval_is_read(text: str, lo: float, hi: float) -> None:
    span = Span.parse(text)
    assert (span.lo, span.hi) == (lo, hi)
    assert Span.parse(span.format()) == span


@pytest.mark.parametrize("text", ["", "a b", "1 2 3", "2 1", "nan 1", "1_0 2", "1,2"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        Span.parse(text)


def test_ends_belong_to_an_interval() -> None:
    assert Span(1, 2).contains(2)
    assert Span(1, 2).overlaps(Span(2, 3))
    assert not Span(1, 2).overlaps(Span(2.1, 3))
    assert Span(1, 3).contains(Span(1, 3))
    assert not Span(1, 3).contains(Span(0, 3))
    assert Span().contains(Span(-math.inf, 5))


def test_times_of_different_scales_are_not_compared() -> None:
    assert TimeSpan(1, 2).overlaps(TimeSpan.parse("2 3"))
    with pytest.raises(ParameterError, match="tdb"):
        TimeSpan(1, 2).overlaps(TimeSpan(1, 2, "tdb"))
    with pytest.raises(ParameterError):
        TimeSpan(1, 2, "tdb").contains(TimeSpan(1, 2))


def test_a_wavelength_is_not_negative() -> None:
    assert EnergySpan.parse("4e-7 8e-7").contains(5e-7)
    with pytest.raises(ParameterError):
        EnergySpan(-2, -1)
