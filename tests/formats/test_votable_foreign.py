"""VOTables written here as other programs read them, and theirs as they are read here."""

from __future__ import annotations

import io
import subprocess
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from skyvault.formats.votable_in import open_votable
from skyvault.formats.votable_out import error_document, write_votable

from .random_tables import COMMON, KINDS, Made, rows_of, tables

SERIALIZATIONS = ["TABLEDATA", "BINARY", "BINARY2"]
#: STILTS 3.4.7 counts the parts, not the numbers, of variable arrays of complex numbers
FOR_STILTS = [kind for kind in COMMON if kind != "complexes"]

#: astropy 8 writes variable arrays of integers and complex numbers in the wrong width, and char as ASCII or not at all
BY_ASTROPY = [kind for kind in COMMON if kind not in ("ints", "bytes", "complex", "complexes", "char", "booleans")]


def loose(value: Any) -> Any:
    """A value as far as every program keeps it: NULL, NaN, empty text and empty arrays are one, as are trailing
    blanks and none (VOTable 1.5, section 5.5, leaves these to the reader)."""
    if isinstance(value, datetime):
        text = value.isoformat()
        return text.rstrip("0") if "." in text else text
    if isinstance(value, (np.ma.MaskedArray, np.ndarray, list)):
        parts = np.ma.asarray(value).ravel().tolist() if not isinstance(value, list) else value
        flat: list[Any] = []
        for part in parts:
            if isinstance(part, complex):
                flat += [loose(part.real), loose(part.imag)]
            else:
                flat.append(loose(part))
        return None if all(part is None for part in flat) else flat
    if isinstance(value, np.generic):
        return loose(value.item())
    if isinstance(value, complex):
        return loose([value.real, value.imag])
    if value is np.ma.masked or value in ("", "NaN") or (isinstance(value, float) and value != value):
        return None
    return value.rstrip() or None if isinstance(value, str) else value


def _written(made: Made, serialization: Any) -> bytes:
    return b"".join(write_votable(made.stream(), serialization))


def _expected(made: Made, serialization: str) -> list[list[Any]]:
    rows = []
    for row in rows_of(made.stream()):
        cells = []
        for column in made.table.columns:
            value = row[column.name]
            if serialization != "TABLEDATA" and column.datatype == "char" and isinstance(value, str):
                value = value.encode("ascii", "replace").decode()
            cells.append(loose(value))
        rows.append(cells)
    return rows


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
@given(made=tables(COMMON, max_rows=12))
@settings(max_examples=40)
def test_astropy_reads_every_table_equal(serialization: str, made: Made) -> None:
    from astropy.io.votable import parse_single_table

    if serialization == "BINARY" and any(
        column.datatype == "boolean" and column.arraysize for column in made.table.columns
    ):
        return  # astropy takes the NULLs of arrays of booleans for false there
    document = _written(made, serialization)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = parse_single_table(io.BytesIO(document)).array
    # astropy does not give a row's array when the table has none
    rows = [[loose(array[name][index]) for name in made.table.column_names] for index in range(len(array))]
    expected = _expected(made, serialization)
    if expected:
        assert rows == expected


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
@given(made=tables(BY_ASTROPY, max_rows=12, nulls=False))
@settings(max_examples=25)
def test_what_astropy_writes_is_read_equal(serialization: str, made: Made) -> None:
    from astropy.io.votable import parse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = parse(io.BytesIO(_written(made, "TABLEDATA")))
        out = io.BytesIO()
        document.to_xml(out, tabledata_format=serialization.lower())
    stream = open_votable(out.getvalue())
    names = stream.table.column_names
    rows = [[loose(row[name]) for name in names] for row in rows_of(stream)]
    expected = _expected(made, "TABLEDATA")
    assert rows == expected or not expected


@pytest.mark.stilts
@pytest.mark.parametrize("null_share", [0.0, 0.3])
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_stilts_reads_and_writes_the_same_table(serialization: str, null_share: float, tmp_path: Path) -> None:
    kinds = [kind for kind in FOR_STILTS if not (kind == "char" and serialization == "TABLEDATA")]
    made = Made(kinds, 100, null_share, 0, seed=3)
    source, target = tmp_path / "ours.vot", tmp_path / "theirs.vot"
    source.write_bytes(_written(made, serialization))
    subprocess.run(
        ["stilts", "tcopy", "ifmt=votable", "ofmt=votable-binary2-inline", f"in={source}", f"out={target}"],
        check=True,
        capture_output=True,
        timeout=100,
    )
    stream = open_votable(target)
    names = stream.table.column_names
    rows = [[_of_stilts(row[name]) for name in names] for row in rows_of(stream)]
    assert rows == [[_of_stilts(value) for value in row] for row in _expected(made, serialization)]


def _of_stilts(value: Any) -> Any:
    """STILTS has no NULL within an array: there it is 0 or false, or the number that stands for NULL."""
    value = loose(value)
    if isinstance(value, list) and set(value) <= {0, -32768}:
        return None
    return value


@pytest.mark.stilts
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_votlint_finds_no_error(serialization: Any, tmp_path: Path) -> None:
    # votlint 3.4.7 itself fails on binary polygons, and wants fixed arrays filled even where they are NULL
    kinds = [
        kind for kind in FOR_STILTS if kind not in ("polygon", "shorts_fixed", "floats_2d", "booleans_fixed", "complex")
    ]
    made = Made(kinds, 50, 0.3, 0, seed=4)
    file = tmp_path / "ours.vot"
    stream = made.stream(overflow=True, limit=50)
    file.write_bytes(b"".join(write_votable(stream, serialization)))
    assert _votlint(file) == []


@pytest.mark.stilts
def test_votlint_finds_no_error_in_an_error_document(tmp_path: Path) -> None:
    file = tmp_path / "error.vot"
    file.write_bytes(error_document("Column <ra> & such"))
    assert _votlint(file) == []


def _votlint(file: Path) -> list[str]:
    done = subprocess.run(["stilts", "votlint", str(file)], check=True, capture_output=True, text=True, timeout=100)
    complaints = (done.stdout + done.stderr).splitlines()
    return [line for line in complaints if line and "never referenced" not in line]


def test_every_datatype_is_tested() -> None:
    datatypes = {column.datatype for column, _ in KINDS.values()}
    assert datatypes == {
        "boolean", "bit", "unsignedByte", "short", "int", "long", "char", "unicodeChar", "float", "double",
        "floatComplex", "doubleComplex",
    }  # fmt: skip
