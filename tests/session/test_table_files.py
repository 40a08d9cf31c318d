"""ECSV files open quickly and exactly as astropy opens them, and what is written, astropy reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time

from skyvault.errors import FormatError
from skyvault.session.cells import values_and_mask
from skyvault.session.table_files import read_table, write_table

FILES = (
    "refcat.ecsv",
    "exposures.ecsv",
    "lightcurves/N311301016169.ecsv",
    "lightcurves/APASS_J005740.6+601417.ecsv",
)


def check_same(ours: Any, theirs: Any, *, degrees: float = 0.0) -> None:
    """Same names, classes, types, units, masks and values."""
    assert ours.colnames == theirs.colnames
    assert dict(ours.meta) == dict(theirs.meta)
    for name in theirs.colnames:
        mine, other = ours[name], theirs[name]
        assert type(mine) is type(other), name
        if isinstance(other, SkyCoord):
            for angle in ("ra", "dec"):
                np.testing.assert_allclose(getattr(mine, angle).deg, getattr(other, angle).deg, rtol=0, atol=degrees)
            continue
        if isinstance(other, Time):
            assert (mine.format, mine.scale, mine.precision) == (other.format, other.scale, other.precision)
            assert np.array_equal(mine.mask, other.mask)
            known = ~np.asarray(other.mask)
            assert np.array_equal(np.asarray(mine.jd1)[known], np.asarray(other.jd1)[known])
            assert np.array_equal(np.asarray(mine.jd2)[known], np.asarray(other.jd2)[known])
            continue
        assert mine.dtype == other.dtype, name
        assert mine.unit == other.unit, name
        (values, mask), (wanted, wanted_mask) = values_and_mask(mine), values_and_mask(other)
        assert np.array_equal(mask, wanted_mask), name
        if values.dtype.kind == "f":
            np.testing.assert_array_equal(values[~mask], wanted[~mask])
        else:
            assert np.array_equal(values[~mask], wanted[~mask]), name


def kind_of(name: str) -> type[Table]:
    return QTable if "/" in name else Table


@pytest.mark.parametrize("name", FILES)
def test_a_real_table_reads_as_astropy_reads_it(hd5501_files: Path, name: str, tmp_path: Path) -> None:
    path = hd5501_files / name
    wanted = kind_of(name).read(path, format="ascii.ecsv")
    check_same(read_table(path, kind_of(name)), wanted)
    check_same(read_table(path, kind_of(name), copies=tmp_path), wanted)  # makes the copy
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    check_same(read_table(path, kind_of(name), copies=tmp_path), wanted)  # reads it


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_both_readers_read_the_same(hd5501_files: Path, name: str, tmp_path: Path) -> None:
    table = read_table(hd5501_files / name, kind_of(name))
    path = tmp_path / "written.ecsv"
    write_table(table, path)
    wanted = kind_of(name).read(path, format="ascii.ecsv")
    check_same(read_table(path, kind_of(name)), wanted)
    # astropy's positions with proper motions lose the last digit each time they are made
    check_same(wanted, table, degrees=1e-13 if name == "refcat.ecsv" else 0.0)


def test_a_copy_is_never_stale_even_if_size_and_date_stay(hd5501_files: Path, tmp_path: Path) -> None:
    path = tmp_path / "refcat.ecsv"
    text = (hd5501_files / "refcat.ecsv").read_text()
    path.write_text(text)
    before = path.stat()
    assert read_table(path, Table, copies=tmp_path / "copies")["ref_text"][1] == "N311301057647"
    path.write_text(text.replace("N311301057647", "N311301057648", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert read_table(path, Table, copies=tmp_path / "copies")["ref_text"][1] == "N311301057648"


def test_a_damaged_copy_is_not_believed(hd5501_files: Path, tmp_path: Path) -> None:
    path = hd5501_files / "refcat.ecsv"
    read_table(path, Table, copies=tmp_path)
    copy = tmp_path / "refcat.parquet"
    whole = copy.read_bytes()
    for broken in (b"", whole[:1000], b"PAR1" + bytes(len(whole) - 8) + b"PAR1", whole[:-100] + bytes(100)):
        copy.write_bytes(broken)
        assert len(read_table(path, Table, copies=tmp_path)) == 4462


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no ECSV"),
        ("a b\n1 2\n", "no ECSV"),
        ("# %ECSV 1.0\n# ---\n# datatype: [\na\n1\n", "header cannot be read"),
        ("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int8}\na\n300\n", "cells cannot be read"),
        ("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int8}\na\nx\n", "cells cannot be read"),
        ("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int8}\na b\n1 2\n", "name"),
        ("# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int8}\n", "cells cannot be read"),
        ("# %ECSV 1.0\n# ---\n# delimiter: '|'\n# datatype:\n# - {name: a, datatype: int8}\na\n1\n", "delimiter"),
        (
            "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: a, datatype: int8}\n# - {name: a, datatype: int8}\na a\n",
            "twice",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "table.ecsv"
    path.write_text(text)
    with pytest.raises(FormatError, match=told) as caught:
        read_table(path, Table)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_header_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.ecsv"
    lines = ["# %ECSV 1.0", "# ---", "# datatype:", "# - {name: a, datatype: int8}", "# meta:", "#   a0: &a0 [x, x]"]
    lines += [f"#   a{i}: &a{i} [{', '.join([f'*a{i - 1} '] * 9)}]" for i in range(1, 12)]
    path.write_text("\n".join([*lines, "a", "1", ""]))
    with pytest.raises(FormatError, match="unfolds without end"):
        read_table(path, Table)


def test_a_table_with_arrays_in_cells_is_left_to_astropy(tmp_path: Path) -> None:
    path = tmp_path / "table.ecsv"
    Table({"a": [[1, 2], [3, 4]]}).write(path, format="ascii.ecsv")
    assert read_table(path, Table)["a"].tolist() == [[1, 2], [3, 4]]


def test_a_file_cut_short_is_told_not_read_as_shorter(tmp_path: Path, hd5501_files: Path) -> None:
    data = (hd5501_files / "refcat.ecsv").read_bytes()
    path = tmp_path / "refcat.ecsv"
    path.write_bytes(data[:200_000])
    with pytest.raises(FormatError, match="cells cannot be read"):
        read_table(path, Table)


#: cells that make trouble in text tables; astropy's reader itself drops rows that begin with # and blanks at the ends
TEXTS = ["", '"', '""', "a b", "a,b", "x#y", "nan", "0", "None", "True", "\u00e9", "a\tb", "'", "a\nb", "[1, 2]", "{}"]


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_troublesome_cells_are_read_as_astropy_reads_them(tmp_path: Path, delimiter: str) -> None:
    rng = np.random.default_rng(7)
    n = 3000
    singles, doubles = rng.bytes(4 * n), rng.bytes(8 * n)  # numbers of all sizes, NaN, infinities, subnormal ones
    table = Table(
        {
            "text": np.array([TEXTS[i % len(TEXTS)] for i in range(n)]),
            "single": np.ma.array(np.frombuffer(singles, dtype="f4"), mask=rng.random(n) < 0.1),
            "double": np.frombuffer(doubles, dtype="f8"),
            "whole": rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
            "truth": np.ma.array(rng.random(n) < 0.5, mask=rng.random(n) < 0.1),
        },
        meta={"tags": {"a": 1}, "list": [1, "two", None]},
    )
    theirs, ours = tmp_path / "theirs.ecsv", tmp_path / "ours.ecsv"
    table.write(theirs, format="ascii.ecsv", delimiter=delimiter)
    check_same(read_table(theirs, Table), Table.read(theirs, format="ascii.ecsv"))
    write_table(table, ours)
    again = read_table(ours, Table)
    check_same(again, Table.read(ours, format="ascii.ecsv"))
    for name in ("single", "double", "whole", "truth"):
        (values, mask), (wanted, wanted_mask) = values_and_mask(again[name]), values_and_mask(table[name])
        assert np.array_equal(mask, wanted_mask)
        np.testing.assert_array_equal(values[~mask], wanted[~mask])
