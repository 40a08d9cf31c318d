"""ivoa.ObsCore is one table over all collections; what is wrong in a collection is told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.config import Settings
from skyvault.errors import IngestError, UsageError
from skyvault.formats import negotiate
from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.table import Column, Table
from skyvault.publish.checker import check
from skyvault.publish.publisher import publish, unpublish
from skyvault.serve.local import query
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits, compile_query


@pytest.fixture
def settings(home):
    return Settings(home=home)


def rows(settings, adql):
    table = pa.Table.from_batches(list(query(adql, settings=settings).batches))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def observations(path, number=10, **columns):
    lon, lat = np.linspace(10, 20, number), np.linspace(-5, 5, number)
    table = {
        "obs_id": [f"o{i}" for i in range(number)],
        "obs_publisher_did": [f"ivo://example.org/{path.stem}?{i}" for i in range(number)],
        "obs_collection": ["Test"] * number,
        "calib_level": np.full(number, 2, np.int32),
        "dataproduct_type": ["image"] * number,
        "s_ra": lon,
        "s_dec": lat,
        "s_region": [f"CIRCLE ICRS {ra:.4f} {dec:.4f} 0.3" for ra, dec in zip(lon, lat, strict=True)],
        "t_min": np.full(number, 60000.0),
        "t_max": np.full(number, 60001.0),
    } | columns
    pq.write_table(pa.table(table), path)
    return path


def test_what_a_row_must_have_is_filled_in(tmp_path, settings):
    columns = {"obs_id": ["a", "b"], "s_ra": [1.0, 2.0], "s_dec": [3.0, 4.0]}
    pq.write_table(pa.table(columns), tmp_path / "bare.parquet")
    publish(tmp_path / "bare.parquet", name="lab.bare", settings=settings, obscore=True)
    found = rows(settings, "SELECT obs_collection, calib_level, obs_publisher_did FROM ivoa.ObsCore ORDER BY obs_id")
    assert found[0][:2] == ("bare", 2) and found[0][2].endswith("~?lab.bare/a")


def test_rows_leave_with_their_collection(tmp_path, settings):
    for name in ("one", "two"):
        publish(observations(tmp_path / f"{name}.parquet"), name=f"lab.{name}", settings=settings, obscore=True)
    assert rows(settings, "SELECT COUNT(*) FROM ivoa.ObsCore") == [(20,)]
    with pytest.raises(UsageError, match="made from its collections"):
        unpublish("ivoa.ObsCore", settings=settings)
    unpublish("lab.one", settings=settings)
    assert rows(settings, "SELECT COUNT(*) FROM ivoa.ObsCore") == [(10,)]
    unpublish("lab.two", settings=settings)
    with pytest.raises(UsageError):
        rows(settings, "SELECT COUNT(*) FROM ivoa.ObsCore")


def test_merged_regions_are_found_as_those_of_the_collections_are(tmp_path, settings):
    for number, name in enumerate(("one", "two", "three")):
        path = observations(tmp_path / f"{name}.parquet", 200, s_ra=np.linspace(0, 359, 200) + number)
        publish(path, name=f"lab.{name}", settings=settings, obscore=True)
    where = "WHERE 1 = CONTAINS(POINT(12.5, -2.5), s_region)"
    apart = sum(rows(settings, f"SELECT COUNT(*) FROM lab.{name} {where}")[0][0] for name in ("one", "two", "three"))
    assert rows(settings, f"SELECT COUNT(*) FROM ivoa.ObsCore {where}") == [(apart,)] and apart > 3
    assert not [finding for finding in check(settings=settings) if finding.severity == "error"]


def test_footprints_given_as_dali_shapes_join_as_text(tmp_path, settings):
    columns = (
        Column("obs_id", "char", "*"),
        Column("s_ra", "double", unit="deg"),
        Column("s_dec", "double", unit="deg"),
        Column("s_region", "double", "*", xtype="polygon", unit="deg"),
    )
    values = [["a", "b"], [10.0, 20.0], [0.0, 0.0], [[9.0, -1.0, 11.0, -1.0, 10.0, 1.0], None]]
    arrays = [pa.array(v, arrow_type(c)) for v, c in zip(values, columns, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])
    path = tmp_path / "typed.vot"
    path.write_bytes(b"".join(negotiate("votable").write(TableStream(Table("typed", columns), iter([batch])))))
    publish(path, name="lab.typed", settings=settings, obscore=True)
    where = "WHERE 1 = CONTAINS(POINT(10, 0), s_region)"
    assert rows(settings, f"SELECT obs_id, s_region FROM ivoa.ObsCore {where}") == [
        ("a", "POLYGON ICRS 9 -1 11 -1 10 1")
    ]
    assert rows(settings, f"SELECT obs_id FROM lab.typed {where}") == [("a",)]


def test_a_file_without_what_an_observation_needs_is_refused(tmp_path, settings):
    pq.write_table(pa.table({"obs_id": ["a"], "ra": [1.0], "dec": [2.0]}), tmp_path / "t.parquet")
    with pytest.raises(IngestError, match="column s_ra is missing"):
        publish(tmp_path / "t.parquet", name="lab.t", settings=settings, obscore=True)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("calib_level", np.array([7] * 10, np.int32), "calib_level is none of 0 to 4"),
        ("dataproduct_type", ["picture"] * 10, "not in the vocabulary"),
        ("t_max", np.zeros(10), "t_min is after t_max"),
        ("obs_id", [None] + ["x"] * 9, "obs_id is empty"),
        ("s_region", ["POLYGON ICRS 1 2", "CIRCLE 1 2 3 4 5 6 7"] + [None] * 8, "2 values are no region"),
        ("t_min", np.full(10, 2460000.5), "looks like a Julian Date"),
    ],
)
def test_a_value_that_obscore_does_not_allow_is_found(tmp_path, settings, column, values, words):
    path = observations(tmp_path / "odd.parquet", **{column: values})
    done = publish(path, name="lab.odd", settings=settings, obscore=True)
    found = [f for f in check("lab.odd", settings=settings) if f.severity in ("error", "warning") and words in f.what]
    # a pair of limits in the wrong order is told at the lower one
    place = "t_min" if column == "t_max" else column
    assert found and found[0].where == f"lab.odd.{place}" and found[0].hint
    if column == "s_region":
        assert any("first in row 1: POLYGON ICRS 1 2" in note for note in done.inferred)


def test_good_observations_have_no_faults(tmp_path, settings):
    publish(observations(tmp_path / "good.parquet"), name="lab.good", settings=settings, obscore=True)
    assert [f for f in check("lab.good", settings=settings) if f.severity == "error"] == []


@pytest.mark.parametrize(("region", "is_list"), [("CIRCLE(15, 0, 0.4)", True), ("CIRCLE(15, 0, 60)", False)])
def test_few_footprints_are_looked_up_before_any_region_is_tested(tmp_path, settings, region, is_list):
    """The engine thinks the rows of an index many, and tested each region of 5 million rows for half of all cones."""
    publish(observations(tmp_path / "one.parquet", 500), name="lab.one", settings=settings, obscore=True)
    text = f"SELECT obs_id FROM ivoa.ObsCore WHERE 1=INTERSECTS(s_region, {region}) AND t_min < 60000.5"
    with DuckStore(settings) as store:
        plan, values = compile_query(text, store.view(), Limits())
        assert ("unnest(list(row))" in plan.sql(values)) is is_list
        answer = store.query(text, Limits())
        found = sum(batch.num_rows for batch in answer.stream.batches)
        answer.close()
        anew = f"SELECT obs_id FROM ivoa.ObsCore WHERE 1=INTERSECTS(CIRCLE(s_ra, s_dec, 0.3), {region})"
        answer = store.query(anew, Limits())
        assert found == sum(batch.num_rows for batch in answer.stream.batches) > 0
        answer.close()
