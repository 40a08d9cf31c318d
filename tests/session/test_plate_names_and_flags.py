"""Plate and exposure names, series and flags are those of the archive."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skyvault.errors import ParameterError
from skyvault.session.columns import exposure_columns, meaning_of, photometry_columns, refcat_columns
from skyvault.session.flags import (
    BLEND_CASES,
    STANDARD_REJECTION,
    AFlags,
    BFlags,
    LocalBinRejectFlags,
    blend_case,
    told,
)
from skyvault.session.plate_ids import ExposureId, PlateId
from skyvault.session.query import folder_name
from skyvault.session.series import SeriesKind, all_series, is_one_of, names_of_kind, series_of
from skyvault.session.source_file import file_stem


@pytest.mark.parametrize(("text", "name"), [("ai37139", "ai37139"), ("B65", "b00065"), (" mc034382 ", "mc34382")])
def test_a_plate_name_is_a_series_and_five_digits(text: str, name: str) -> None:
    assert str(PlateId.parse(text)) == name


@pytest.mark.parametrize("text", ["", "123", "ai", "ai 37139", "ai37139m0s0", "ai-1", "../b00065", None, 65])
def test_anything_else_is_no_plate(text: object) -> None:
    with pytest.raises(ParameterError, match="no plate name"):
        PlateId.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mc34382m0s0", "b00065e0", "ai37139m12s1"])
def test_an_exposure_name_is_read_as_it_is_written(name: str) -> None:
    assert str(ExposureId.parse(name)) == name


def test_there_are_73_series_of_three_kinds() -> None:
    assert len(all_series()) == 73
    assert [len(names_of_kind(kind)) for kind in SeriesKind] == [37, 20, 16, 0]
    assert series_of("AI").plate_scale == 1360
    assert math.isnan(series_of("ayroe").plate_scale)
    assert (series_of("dny").emulsion, series_of("dsb").emulsion, series_of("a").emulsion) == ("yellow", "blue", "")


def test_an_unknown_series_is_of_unknown_kind_and_no_error() -> None:
    assert series_of("zz").kind is SeriesKind.UNKNOWN
    assert is_one_of(np.array(["zz", "A", "ai"]), names_of_kind(SeriesKind.METEOR)).tolist() == [False, False, True]
    assert is_one_of(np.array([], dtype=str), ["a"]).tolist() == []


def test_the_standard_rejection_is_47168() -> None:
    assert int(STANDARD_REJECTION) == 47168 == 0xB840


def test_flags_have_their_documented_bits() -> None:
    # a real row of T CrB, JD 2412262.67
    assert [bit for bit, _, _ in told(AFlags, 0x10088080)] == [8, 16, 20, 29]
    assert [bit for bit, _, _ in told(BFlags, 0x406A0400)] == [11, 18, 20, 22, 23, 31]
    assert [bit for bit, _, _ in told(LocalBinRejectFlags, 5)] == [1, 3]
    assert all(name != "?" and meaning != "unused" for _, name, meaning in told(BFlags, 0x406A0400))
    assert BLEND_CASES[blend_case(0x121B8000)] == "not a star"
    assert [name for _, name, _ in told(AFlags, 1)] == ["?"]


def test_every_flag_and_every_column_has_a_meaning() -> None:
    from skyvault.session.flags import PlateQualityFlags, meaning

    assert all(
        meaning(flag) != "unused" for kind in (AFlags, BFlags, LocalBinRejectFlags, PlateQualityFlags) for flag in kind
    )
    for kind, columns in (
        ("refcat", refcat_columns()),
        ("exposures", exposure_columns()),
        ("photometry", photometry_columns()),
    ):
        assert all(meaning_of(kind, column.name) for column in columns)
    assert meaning_of("photometry", "exp_local_id")
    assert meaning_of("photometry", "mine") == ""


def test_a_source_names_its_folder_and_its_files() -> None:
    assert folder_name("V* RY Cnc") == "v_ry_cnc"
    assert folder_name("HD 5501") == "hd_5501"
    assert file_stem("APASS_J005740.6+601417") == "APASS_J005740.6+601417"
    for name in ("../../etc/passwd", "", ".hidden", "a/b", "x" * 500, "a\0b"):
        stem = file_stem(name)
        assert "/" not in stem and not stem.startswith(".") and 0 < len(stem) < 100
    assert file_stem("a/b") != file_stem("a?b")
