"""One snapshot file: rows sorted by place, regions indexed, statistics kept, in a file of its own."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from skyvault.errors import IngestError
from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.region import Moc
from skyvault.model.table import Column, Table
from skyvault.sky.cells import healpix_29
from skyvault.sky.cover import footprint_cells
from skyvault.sky.shape_text import shapes_of_texts
from skyvault.store.layout import FORMAT
from skyvault.store.snapshot import Builder, Carried, Spec

COLUMNS = (
    Column("id", "long", ucd="meta.id;meta.main"),
    Column("ra", "double", unit="deg"),
    Column("dec", "double", unit="deg"),
    Column("s_region", "char", "*", xtype="adql:REGION"),
)


@pytest.fixture
def build(tmp_path):
    """``build(spec, [lists of values], piece=100)`` writes ``tmp_path/name``."""

    def run(spec, values, *, name="t.duckdb", piece=700, **more):
        arrays = [pa.array(v, arrow_type(c)) for v, c in zip(values, spec.table.columns, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, names=[c.name for c in spec.table.columns])
        pieces = (batch.slice(start, piece) for start in range(0, batch.num_rows, piece))
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return Builder(spec, tmp_path / name, scratch, **more).build(TableStream(spec.table, pieces))

    return run


def observations(number, *, distinct=None):
    rng = np.random.default_rng(number)
    ra, dec = rng.uniform(0, 360, number), np.degrees(np.arcsin(rng.uniform(-1, 1, number)))
    which = np.arange(number) if distinct is None else rng.integers(0, distinct, number)
    regions = [f"CIRCLE ICRS {ra[i]:.5f} {dec[i]:.5f} 0.4" for i in which]
    return [list(range(number)), ra.tolist(), dec.tolist(), regions]


def read(built, sql):
    with duckdb.connect(str(built.path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def spec(regions=(3,)):
    return Spec(Table("lab.t", COLUMNS), 1, 2, None, regions)


def cells_of(built):
    """(identifier, key) of every entry of the region index."""
    return set(read(built, "SELECT d.id, c.key FROM cells_3 AS c JOIN data AS d ON d.rowid = c.row"))


def test_rows_are_sorted_by_cell_and_know_their_direction(build):
    built = build(spec(()), observations(5000))
    rows = np.array(read(built, "SELECT ra, dec, _healpix_29, _x, _y, _z FROM data"))
    cells = np.array([row[0] for row in read(built, "SELECT _healpix_29 FROM data")])
    assert (np.diff(cells) >= 0).all() and np.array_equal(cells, healpix_29(rows[:, 0], rows[:, 1]))
    lon, lat = np.radians(rows[:, 0]), np.radians(rows[:, 1])
    expected = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    assert np.abs(rows[:, 3:] - expected).max() < 1e-15
    assert dict(read(built, "SELECT key, value FROM meta"))["format"] == str(FORMAT)


@pytest.mark.parametrize("distinct", [None, 5], ids=["each its own", "shared by many"])
def test_each_region_is_indexed_by_the_cells_it_touches(build, distinct):
    values = observations(3000, distinct=distinct)
    values[3][7], values[3][8] = None, "no region"
    built = build(spec(), values)
    row, order, cell = footprint_cells(shapes_of_texts(pa.array(values[3])))
    assert cells_of(built) == set(zip(row.tolist(), (order.astype(np.int64) * (1 << 40) + cell).tolist(), strict=True))
    assert built.extra["regions"] == [
        {"column": 3, "orders": sorted(set(order.tolist())), "unreadable": 1, "row": 9, "example": "no region"}
    ]
    keys = [key for (key,) in read(built, "SELECT key FROM cells_3")]
    assert keys == sorted(keys)
    assert [name for (name,) in read(built, "SELECT column_name FROM information_schema.columns")].count("_row") == 0


def test_an_index_taken_over_from_other_snapshots_equals_one_made_anew(build):
    parts = [observations(1000), observations(700, distinct=9)]
    parts[1][0] = [1000 + i for i in parts[1][0]]
    built = [build(spec(), values, name=f"{i}.duckdb") for i, values in enumerate(parts)]
    # the collections' rows come in as they lie in their snapshots
    rows = [row for part in built for row in read(part, "SELECT id, ra, dec, s_region FROM data")]
    values = [list(column) for column in zip(*rows, strict=True)]
    values[2][5] = 99.0  # off the sky: left out, and the numbers of the rows after it stay right
    carried = {3: [Carried(built[0].path, "cells_3", 0), Carried(built[1].path, "cells_3", 1000)]}
    taken = build(spec(), values, name="taken.duckdb", carried=carried, skip_bad=True)
    made = build(spec(), values, name="made.duckdb", skip_bad=True)
    assert (taken.nrows, taken.bad_rows) == (1699, 1)
    assert cells_of(taken) == cells_of(made)
    # the index holds the regions and a little more; the coverage made anew follows their outlines
    from skyvault.sky.moc import intersection

    wide, close = (Moc.from_text(one.extra["coverage"]) for one in (taken, made))
    assert intersection(wide, close) == close


def test_statistics_are_those_of_the_rows(build):
    values = observations(2000)
    values[1][3] = float("nan")
    built = build(spec(()), values)
    told = {one["name"]: one for one in built.extra["statistics"]}
    known = [ra for i, ra in enumerate(values[1]) if i != 3]
    assert (told["ra"]["filled"], told["ra"]["minimum"], told["ra"]["maximum"]) == (1999, min(known), max(known))
    assert (told["id"]["minimum"], told["id"]["maximum"]) == (0, 1999)
    assert told["s_region"]["longest"] == max(map(len, values[3]))
    assert built.extra["nrows"] == built.nrows == 2000 and built.extra["duplicate_ids"] == []


def test_a_snapshot_that_fails_leaves_no_file(build, tmp_path):
    values = observations(2000)
    values[2][1500] = -90.001
    with pytest.raises(IngestError, match="row 1501"):
        build(spec(), values)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    with pytest.raises(ZeroDivisionError):
        build(spec(), observations(10), advance=lambda rows: 1 / 0)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
