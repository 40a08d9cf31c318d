"""Parquet, Arrow, FITS, ECSV, CSV, TSV, JSON and HTML: what goes out comes back, here and elsewhere."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import warnings
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from skyvault.formats import negotiate, open_table
from skyvault.formats.parquet import CONTENT_KEY, VERSION_KEY
from skyvault.formats.votable_in import open_votable

from .random_tables import KINDS, Made, rows_of, tables
from .test_votable_foreign import loose

#: FITS text is ASCII, and a variable array of words has no place in it
IN_FITS = [kind for kind in KINDS if kind not in ("char", "unicode", "unicode_fixed", "words")]


def _written(made: Made, name: str, **more: Any) -> bytes:
    return b"".join(negotiate(name).write(made.stream(**more)))


def _loose(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: loose(value) for key, value in row.items()} for row in rows]


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@given(made=tables())
def test_parquet_and_arrow_keep_everything(name: str, made: Made) -> None:
    stream = open_table(_written(made, name))
    assert stream.table.columns == made.table.columns
    assert stream.table.groups == made.table.groups
    assert stream.table.frames == made.table.frames
    assert rows_of(stream) == rows_of(made.stream())


@given(made=tables(IN_FITS))
def test_fits_keeps_what_fits_can(made: Made) -> None:
    stream = open_table(_written(made, "fits"))
    for got, put in zip(stream.table.columns, made.table.columns, strict=True):
        assert (got.name, got.unit, got.ucd, got.xtype) == (put.name, put.unit, put.ucd, put.xtype)
        assert got.description == put.description
    assert _fits(rows_of(stream)) == _fits(rows_of(made.stream()))


def _fits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """FITS has no NULL for arrays: they are empty, NaN, zero or false, or the number that stands for NULL."""
    kept = _loose(rows)
    for row in kept:
        for key, value in row.items():
            if isinstance(value, str):
                row[key] = "".join(char if " " <= char <= "~" else "?" for char in value).rstrip() or None
            elif value is False or (isinstance(value, list) and set(value) <= {0, -(1 << 15)}):
                row[key] = None
    return kept


@given(made=tables([kind for kind in IN_FITS if kind not in ("complexes", "bit")], max_rows=12))
@settings(max_examples=40)
def test_astropy_reads_our_fits(made: Made) -> None:
    from astropy.io import fits

    expected = _fits(rows_of(made.stream()))
    document = _written(made, "fits")
    assert len(document) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(document)) as units:
            units.verify("exception")
            data, header = units[1].data, units[1].header
            rows = []
            for index in range(len(data)):
                row = {}
                for number, column in enumerate(made.table.columns, start=1):
                    value = data[column.name][index]
                    null = header.get(f"TNULL{number}")
                    row[column.name] = None if null is not None and np.all(value == null) else loose(value)
                rows.append(row)
    assert _fits(rows) == expected


@pytest.mark.stilts
def test_stilts_reads_our_fits(tmp_path: Path) -> None:
    made = Made(
        [kind for kind in IN_FITS if kind not in ("bit", "bits", "bits_fixed", "complexes")], 60, 0.2, 0, seed=5
    )
    source, target = tmp_path / "ours.fits", tmp_path / "theirs.vot"
    source.write_bytes(_written(made, "fits"))
    subprocess.run(
        ["stilts", "tcopy", "ifmt=fits", "ofmt=votable-binary2-inline", f"in={source}", f"out={target}"],
        check=True,
        capture_output=True,
        timeout=100,
    )
    stream = open_votable(target)
    assert [column.ucd for column in stream.table.columns] == [column.ucd for column in made.table.columns]
    assert _fits(rows_of(stream)) == _fits(rows_of(made.stream()))


@pytest.mark.stilts
def test_stilts_reads_our_parquet_description_and_rows(tmp_path: Path) -> None:
    made = Made(["long", "double", "char", "unicode", "boolean"], 60, 0.2, 0, seed=6)
    (tmp_path / "ours.parquet").write_bytes(_written(made, "parquet"))
    metadata = pq.read_schema(tmp_path / "ours.parquet").metadata
    assert metadata[VERSION_KEY] == b"1.0"
    described = open_votable(metadata[CONTENT_KEY])
    assert described.table.columns[1].ucd == "pos.eq.ra;meta.main"
    assert list(described.batches) == []
    (tmp_path / "inside.vot").write_bytes(metadata[CONTENT_KEY])
    done = subprocess.run(
        ["stilts", "votlint", str(tmp_path / "inside.vot")], check=True, capture_output=True, text=True, timeout=100
    )
    assert "ERROR" not in done.stdout


def test_voparquet_of_others_gives_units_and_ucds() -> None:
    made = Made(["double", "char"], 5, 0.0, 0, seed=7)
    table = pa.Table.from_batches(made.batches)
    content = pq.read_schema(io.BytesIO(_written(made, "parquet"))).metadata[CONTENT_KEY]
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: b"1.0", CONTENT_KEY: content}), out)
    stream = open_table(out.getvalue())
    assert stream.table.columns[0].ucd == "pos.eq.ra;meta.main"
    assert stream.table.columns[0].unit == "deg"
    assert rows_of(stream) == rows_of(made.stream())


def test_any_arrow_type_finds_its_column_or_is_left_out_aloud() -> None:
    table = pa.table(
        {
            "i8": pa.array([-1, None], pa.int8()),
            "u16": pa.array([65535, 0], pa.uint16()),
            "u32": pa.array([2**32 - 1, 0], pa.uint32()),
            "u64": pa.array([2**63 - 1, 0], pa.uint64()),
            "half": pa.array([1.5, None], pa.float16()),
            "decimal": pa.array([1, 2], pa.decimal128(5, 2)),
            "day": pa.array([18000, None], pa.date32()),
            "zoned": pa.array([datetime(2020, 1, 1), None], pa.timestamp("ms", "Europe/Berlin")),
            "nanos": pa.array([1_000_000_001, None], pa.timestamp("ns")),
            "words": pa.array(["x", "y"]).dictionary_encode(),
            "large": pa.array(["x", None], pa.large_string()),
            "raw": pa.array([b"ab", None]),
            "pair": pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)),
            "spread": pa.array([1_500_000, None], pa.duration("us")),
            "part": pa.array([{"ra": 1.0, "name": "x"}, {"ra": 2.0, "name": None}]),
            "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int32())),
            "nothing": pa.nulls(2),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    stream = open_table(out.getvalue())
    rows = rows_of(stream)
    assert rows[0] | {"zoned": None} == {
        "i8": -1, "u16": 65535, "u32": 2**32 - 1, "u64": 2**63 - 1, "half": 1.5, "decimal": 1.0,
        "day": datetime(2019, 4, 14), "zoned": None, "nanos": datetime(1970, 1, 1, 0, 0, 1),
        "words": "x", "large": "x", "raw": [97, 98], "pair": [1.0, 2.0], "spread": 1.5,
        "part.ra": 1.0, "part.name": "x", "nothing": None,
    }  # fmt: skip
    assert rows[0]["zoned"] == datetime(2020, 1, 1)
    assert [info.value for info in stream.table.infos if info.name == "left-out"] == ["map"]
    assert stream.table.column("pair").arraysize == "2"


@given(made=tables([kind for kind in KINDS if kind not in ("words", "longs_2d", "complex", "complexes")]))
def test_ecsv_keeps_what_ecsv_can(made: Made) -> None:
    stream = open_table(_written(made, "ecsv"))
    for got, put in zip(stream.table.columns, made.table.columns, strict=True):
        assert (got.name, got.unit, got.ucd, got.description) == (put.name, put.unit, put.ucd, put.description)
    assert _loose(rows_of(stream)) == _loose(rows_of(made.stream()))


@given(made=tables(["boolean", "byte", "short", "long", "float", "double", "unicode", "point", "polygon", "ints"]))
@settings(max_examples=25)
def test_astropy_reads_our_ecsv(made: Made) -> None:
    from astropy.table import Table

    if not made.batches:
        return  # astropy stumbles over arrays of a fixed size in a table without rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(_written(made, "ecsv").decode(), format="ascii.ecsv")
    rows = [{name: loose(row[name]) for name in made.table.column_names} for row in table]
    assert rows == _loose(rows_of(made.stream()))


@given(made=tables(["long", "double", "boolean", "unicode", "instant"]))
def test_csv_is_rfc_4180(made: Made) -> None:
    text = _written(made, "csv").decode()
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines[0] == list(made.table.column_names)
    for line, row in zip(lines[1:], rows_of(made.stream()), strict=True):
        for cell, value in zip(line, row.values(), strict=True):
            assert cell == _as_text(value)


@given(made=tables(["long", "double", "boolean", "unicode", "instant"]))
def test_tsv_has_a_line_a_row_and_a_tab_a_gap(made: Made) -> None:
    lines = _written(made, "tsv").decode().removesuffix("\n").split("\n")
    rows = rows_of(made.stream())
    if len(made.table.columns) == 1 and not all(map(str, rows)):
        return
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        told = [_as_text(value).replace("\t", " ").replace("\n", " ") for value in row.values()]
        assert line.split("\t") == told


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.isoformat()
        return text.rstrip("0") if "." in text else text
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            return "Inf" if value > 0 else "-Inf"
        written = pa.array([value]).cast(pa.string())[0].as_py()
        assert float(written) == value
        return str(written)
    return str(value)


@given(made=tables([kind for kind in KINDS if kind != "words"]))
def test_json_is_json(made: Made) -> None:
    content = json.loads(_written(made, "json"))
    assert [column["name"] for column in content["metadata"]] == list(made.table.column_names)
    assert content["query_status"] == "OK"
    expected = [list(row.values()) for row in rows_of(made.stream())]
    assert _same(content["data"], expected)


def _same(told: Any, value: Any) -> bool:
    """JSON has no NaN and no infinity; a float is written as short as a float can be."""
    if isinstance(value, list):
        return isinstance(told, list) and len(told) == len(value) and all(map(_same, told, value))
    if isinstance(value, datetime):
        return bool(told == loose(value))
    if isinstance(value, float):
        if not np.isfinite(value):
            return told is None
        return told == value or (abs(value) < 1e38 and np.float32(told) == np.float32(value))
    return bool(told == value) or (value == "NaN" and told is None)


@given(made=tables())
@settings(max_examples=30)
def test_html_is_a_table_of_escaped_text(made: Made) -> None:
    page = _written(made, "html").decode()
    found: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(tag)

    Tags().feed(page)
    rows = len(rows_of(made.stream()))
    assert found.count("tr") == rows + 1
    assert found.count("td") == rows * len(made.table.columns)
    assert "b" not in found


@pytest.mark.parametrize("name", ["votable/td", "votable/b2", "json", "html", "ecsv", "fits", "parquet", "arrow"])
def test_overflow_is_told_inside(name: str) -> None:
    made = Made(["long", "double"], 5, 0.0, 0, seed=8)
    chosen = negotiate(name)
    assert chosen.can_tell_overflow
    document = b"".join(chosen.write(made.stream(overflow=True, limit=5)))
    without = b"".join(chosen.write(made.stream()))
    assert document != without
    assert b"OVERFLOW" in document or b"limit of 5" in document


@pytest.mark.parametrize("name", ["votable/td", "votable/b2", "arrow"])
def test_our_reader_hears_of_overflow(name: str) -> None:
    made = Made(["long", "double"], 5, 0.0, 0, seed=8)
    stream = open_table(_written(made, name, overflow=True, limit=5))
    assert len(rows_of(stream)) == 5
    assert stream.overflow


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "float32", "float64", "bool"])
def test_numbers_of_every_width_go_through_csv_whole(kind: str) -> None:
    array = pa.array([None, 0, 1], pa.int8()).cast(pa.bool_() if kind == "bool" else getattr(pa, kind)())
    out = io.BytesIO()
    pq.write_table(pa.table({"a": array}), out)
    text = b"".join(negotiate("csv").write(open_table(out.getvalue())))
    rows = rows_of(open_table(text))
    assert [row["a"] for row in rows] == [None, False if kind == "bool" else 0, True if kind == "bool" else 1]


@pytest.mark.parametrize("length", [1_000_000, 5_000_000])
def test_a_field_of_megabytes_is_read_whole(length: int) -> None:
    lines = ["a,b", *(f"{row},{'x' * (length if row == 70_000 else 30)}" for row in range(100_000))]
    stream = open_table(io.BytesIO("\r\n".join(lines).encode()), name="long.csv")
    lengths = np.array([len(text) for batch in stream.batches for text in batch.column(1).to_pylist()])
    assert len(lengths) == 100_000 and lengths[70_000] == length and np.delete(lengths, 70_000).max() == 30
