"""Columns of every kind: points, regions, times, arrays, truth values, text in all scripts, odd names, no rows."""

from __future__ import annotations

import datetime as dt
import io

import astropy.io.votable
import pytest

from skyvault.formats import negotiate
from skyvault.model.table import Column, CoordinateFrame, Table
from skyvault.publish.checker import check
from skyvault.serve.local import query
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits, compile_query

PLACES = [[10.0, 20.0], [10.01, 20.01], None, [359.999, -0.001], [0.001, 0.001], [45.0, 90.0]]


@pytest.fixture
def points(written, published):
    table = Table(
        "points",
        (
            Column("id", "int", description="number"),
            Column("place", "double", "2", xtype="point", unit="deg", ucd="pos.eq;meta.main", description="where"),
        ),
        frames=(CoordinateFrame("sys", "ICRS", epoch="J2016"),),
    )
    return published(written((table, [list(range(6)), PLACES]), "votable/b2", "points.vot"), "lab.points")


def test_a_point_column_is_published_indexed_and_searched(points, rows, settings):
    assert points.table.column("place").indexed
    cone = "SELECT id FROM lab.points WHERE 1 = CONTAINS(place, CIRCLE(10, 20, 0.1)) ORDER BY id"
    assert rows(cone) == [(0,), (1,)]
    assert rows("SELECT id FROM lab.points WHERE DISTANCE(place, POINT(0, 0)) < 0.01 ORDER BY id") == [(3,), (4,)]
    assert rows("SELECT id FROM lab.points WHERE DISTANCE(place, POINT(200, 90)) < 0.01") == [(5,)]
    assert rows("SELECT id FROM lab.points WHERE place IS NULL") == [(2,)]
    with DuckStore(settings) as store:
        stored = store.view().get("lab.points").stored
        assert stored.positions[0].point == 1


def test_a_cone_on_a_point_column_reads_the_cells_of_the_index(points, settings):
    with DuckStore(settings) as store:
        adql = "SELECT id FROM lab.points WHERE 1 = CONTAINS(place, CIRCLE(10, 20, 0.1))"
        plan, values = compile_query(adql, store.view(), Limits())
        assert "_healpix_29" in plan.sql(values)


def test_a_point_comes_out_as_it_went_in_and_astropy_reads_it(points, settings):
    stream = query("SELECT id, place FROM lab.points ORDER BY id", settings=settings)
    document = b"".join(negotiate("votable").write(stream))
    table = astropy.io.votable.parse(io.BytesIO(document)).get_first_table()
    field = table.get_field_by_id_or_name("place")
    assert (field.xtype, field.arraysize, str(field.unit), field.ucd) == ("point", "2", "deg", "pos.eq;meta.main")
    assert field.description == "where"
    places = table.array["place"]
    assert places[0].tolist() == [10.0, 20.0] and places[5].tolist() == [45.0, 90.0]
    assert bool(places.mask[2].all())


def test_circles_and_polygons_are_indexed_as_regions(written, published, rows):
    table = Table(
        "fields",
        (
            Column("id", "int"),
            Column("beam", "double", "3", xtype="circle", unit="deg"),
            Column("outline", "double", "*", xtype="polygon", unit="deg"),
        ),
    )
    beams = [[10.0, 0.0, 1.0], [200.0, 89.5, 2.0], None, [0.0, 0.0, 180.0]]
    outlines = [
        [9.0, -1.0, 11.0, -1.0, 11.0, 1.0, 9.0, 1.0],
        None,
        [0.0, 80.0, 120.0, 80.0, 240.0, 80.0],
        [1.0, 2.0, 3.0],
    ]
    done = published(written((table, [[1, 2, 3, 4], beams, outlines]), "votable/td", "fields.vot"), "lab.fields")
    assert done.table.column("beam").indexed and done.table.column("outline").indexed
    ask = "SELECT id FROM lab.fields WHERE 1 = CONTAINS(POINT({}), {}) ORDER BY id"
    assert rows(ask.format("10.5, 0", "beam")) == [(1,), (4,)]
    assert rows(ask.format("20, 90", "beam")) == [(2,), (4,)]
    assert rows(ask.format("10.5, 0", "outline")) == [(1,)]
    assert rows(ask.format("77, 89", "outline")) == [(3,)]
    assert any("outline: 1 values are no region, first in row 4" in note for note in done.inferred)


def test_times_truth_values_arrays_and_text_in_all_scripts_are_kept(written, published, answer):
    table = Table(
        "mixed",
        (
            Column("id", "long", ucd="meta.id;meta.main"),
            Column("seen", "char", "*", xtype="timestamp", ucd="time.epoch"),
            Column("good", "boolean"),
            Column("fluxes", "float", "3", unit="Jy"),
            Column("counts", "int", "*"),
            Column("name", "unicodeChar", "*"),
            Column("small", "short", null="-9"),
            Column("z", "double"),
        ),
    )
    times = [dt.datetime(2020, 1, 2, 3, 4, 5, 600000), None, dt.datetime(1850, 1, 1)]
    values = [
        [9007199254740993, 2, 3],
        times,
        [True, False, None],
        [[1.0, 2.0, 3.0], None, [4.0, 5.0, 6.5]],
        [[1, 2], [], [3]],
        ["\u03b1 Lyr\u00e6", "織女一 🌟", None],
        [1, -9, 3],
        [float("nan"), 1.5, float("inf")],
    ]
    published(written((table, values), "votable/b2", "mixed.vot"), "lab.mixed")
    described, found = answer("SELECT * FROM lab.mixed ORDER BY id DESC")
    columns = [column.to_pylist()[::1] for column in found.columns]
    expected = [list(v) for v in values]
    expected[6], expected[7] = [1, None, 3], [None, 1.5, float("inf")]
    order = [0, 2, 1]
    assert columns == [[column[i] for i in order] for column in expected]
    assert [c.xtype for c in described.columns][1] == "timestamp"
    assert described.columns[3].unit == "Jy"


def test_names_that_differ_by_case_or_are_words_of_the_language_or_no_names_at_all_can_be_asked_for(
    written, published, rows
):
    names = ("Mag", "mag", "select", "Flux 1", 'a"b', "_RAJ2000", "été", "rowid", "data", "x", "_x")
    table = Table("odd", tuple(Column(name, "int") for name in names))
    published(written((table, [[i] for i in range(len(names))]), "votable/b2", "odd.vot"), "lab.odd")
    for i, name in enumerate(names):
        quoted = '"' + name.replace('"', '""') + '"'
        assert rows(f"SELECT {quoted} FROM lab.odd WHERE {quoted} = {i}") == [(i,)], name
    assert rows("SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = 'lab.odd' AND column_index = 3") == [
        ('"select"',)
    ]
    assert rows("SELECT * FROM lab.odd") == [tuple(range(len(names)))]


@pytest.mark.parametrize("name", ["t.vot", "t.parquet", "t.fits", "t.ecsv"])
def test_a_table_without_rows_is_published(written, published, rows, name):
    kind = {"vot": "votable", "parquet": "parquet", "fits": "fits", "ecsv": "ecsv"}[name.partition(".")[2]]
    table = Table("none", (Column("ra", "double", unit="deg"), Column("dec", "double", unit="deg"), Column("n", "int")))
    done = published(written((table, [[], [], []]), kind, name), "lab.none")
    assert (done.nrows, done.coverage) == (0, "")
    assert rows("SELECT COUNT(*) FROM lab.none") == [(0,)]
    assert rows("SELECT * FROM lab.none WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(1, 2, 3))") == []


def test_a_table_of_one_column_is_published(tmp_path, published, rows):
    path = tmp_path / "one.csv"
    path.write_text("n\n3\n1\n2\n")
    published(path)
    assert sorted(rows("SELECT n FROM data.one")) == [(1,), (2,), (3,)]


def test_two_thousand_columns_are_published_and_asked_for(tmp_path, published, rows, settings):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f"c{i}": np.arange(500) * (i + 1.0) for i in range(1998)}
    rng = np.random.default_rng(1)
    place = {"ra": rng.uniform(0, 360, 500), "dec": rng.uniform(-90, 90, 500)}
    pq.write_table(pa.table(place | columns), tmp_path / "wide.parquet")
    done = published(tmp_path / "wide.parquet", "lab.wide")
    assert len(done.table.columns) == 2000
    assert rows("SELECT c1997 FROM lab.wide WHERE c0 = 7") == [(7 * 1998.0,)]
    assert rows("SELECT COUNT(*) FROM TAP_SCHEMA.columns WHERE table_name = 'lab.wide'") == [(2000,)]
    assert not [f for f in check("lab.wide", settings=settings) if f.severity == "error"]


def test_not_a_number_is_null_and_so_is_the_files_own_sign_for_none(tmp_path, published, rows):
    path = tmp_path / "nulls.csv"
    path.write_text("id,ra,dec,hip,mag\n1,1,1,-1,nan\n2,2,2,77,5.5\n3,nan,3,5,\n")
    done = published(path, "lab.nulls")
    assert any("hip: -1 is read as NULL" in note for note in done.inferred)
    assert rows("SELECT id FROM lab.nulls WHERE mag IS NULL ORDER BY id") == [(1,), (3,)]
    assert rows("SELECT id FROM lab.nulls WHERE hip IS NULL") == [(1,)]
    assert rows("SELECT id FROM lab.nulls WHERE ra IS NULL") == [(3,)]
    again = published(path, "lab.nulls", overrides={"columns": {"hip": {"null": None}}})
    assert again.nrows == 3
