"""What queries mean, on a published table with a column of every type: values, NULLs, types, and sentences for errors."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.config import Settings
from skyvault.errors import LimitError, QueryError, SkyvaultError, UsageError
from skyvault.formats.arrow import column_of
from skyvault.formats.stream import TableStream
from skyvault.model.table import Table
from skyvault.publish.publisher import publish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.uploads import Uploads

Ask = Callable[..., list[tuple[Any, ...]]]


def every(values: list[Any], kind: pa.DataType, step: int) -> pa.Array:
    """The values with every ``step``-th one NULL."""
    return pa.array([None if i % step == step - 1 else value for i, value in enumerate(values)], kind)


def types_table(count: int = 200) -> pa.Table:
    rng, i = np.random.default_rng(1), range(count)
    start = dt.datetime(2000, 1, 1)
    return pa.table(
        {
            "id": pa.array(list(i), pa.int64()),
            "ra": rng.uniform(0, 360, count),
            "dec": rng.uniform(-90, 90, count),
            "b": every([n % 3 == 0 for n in i], pa.bool_(), 7),
            "u": every([n % 250 for n in i], pa.uint8(), 9),
            "s": every([n * 7 - 300 for n in i], pa.int16(), 11),
            "i": every([n * 1000 - 50000 for n in i], pa.int32(), 13),
            "l": every([n * 10**15 for n in i], pa.int64(), 17),
            "f": every([n / 8 - 3 for n in i], pa.float32(), 6),
            "d": every([n / 7 - 5 for n in i], pa.float64(), 8),
            "t": every([f"name {n} ÄB_%" if n % 4 else "O'Neil -- x" for n in i], pa.string(), 5),
            "moment": every([start + dt.timedelta(hours=7 * n) for n in i], pa.timestamp("us"), 10),
            "arr": pa.array([[float(n), None, n / 2][: 1 + n % 3] for n in i], pa.list_(pa.float64())),
            "pair": pa.array([[n, n + 1] for n in i], pa.list_(pa.int32(), 2)),
            "number": pa.array([str(n) if n < count - 1 else "bad" for n in i]),
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckStore]:
    folder = tmp_path_factory.mktemp("types")
    settings = Settings(home=folder / "home")
    pq.write_table(types_table(), folder / "types.parquet")
    publish(folder / "types.parquet", name="lab.types", settings=settings)
    with DuckStore(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def ask(store: DuckStore) -> Ask:
    def run(text: str, **uploads: pa.Table) -> list[tuple[Any, ...]]:
        given = Uploads() if uploads else None
        for name, table in uploads.items():
            assert given is not None
            columns = tuple(column for field in table.schema if (column := column_of(field)) is not None)
            given.add(name, TableStream(Table("upload", columns), iter(table.to_batches())))
        answer = store.query(text, Limits(), uploads=given)
        rows: list[tuple[Any, ...]] = []
        for batch in answer.stream.batches:
            rows += list(zip(*[column.to_pylist() for column in batch.columns], strict=True))
        if answer.stream.error:
            raise UsageError(answer.stream.error)
        return rows

    return run


def one(ask: Ask, expression: str, row: int = 1) -> Any:
    return ask(f"SELECT {expression} AS x FROM lab.types WHERE id = {row}")[0][0]


VALUES: dict[str, Any] = {
    "ABS(-3)": 3, "CEILING(1.2)": 2, "FLOOR(-1.5)": -2, "DEGREES(3)": math.degrees(3), "RADIANS(180)": math.pi,
    "EXP(1)": math.e, "LOG(10)": math.log(10), "LOG10(1000)": 3, "MOD(-7, 3)": -1, "MOD(7, -3)": 1, "MOD(5.5, 2)": 1.5,
    "PI()": math.pi, "POWER(2, 10)": 1024, "ROUND(12.345, 1)": 12.3, "ROUND(1234, -2)": 1200, "SQRT(2)": math.sqrt(2),
    "TRUNCATE(-1.567, 2)": -1.56, "TRUNCATE(1567, -2)": 1500, "ACOS(0.5)": math.acos(0.5), "ASIN(0.5)": math.asin(0.5),
    "ATAN(1)": math.atan(1), "ATAN2(1, -1)": math.atan2(1, -1), "COS(1)": math.cos(1), "COT(0.5)": 1 / math.tan(0.5),
    "SIN(1)": math.sin(1), "TAN(1)": math.tan(1), "LOWER('AbC')": "abc", "UPPER('AbC')": "ABC", "'a' || 'b'": "ab",
    "5 / 2": 2, "-5 / 2": -2, "5.0 / 2": 2.5, "1 / (1 + 1.0)": 0.5, "COALESCE(NULL, 3)": 3,
    "CASE WHEN id = 1 THEN 'a' ELSE 'b' END": "a", "CASE id WHEN 5 THEN 1 END": None,
    # values outside of a function's domain are unknown, not NaN, which would compare as the largest number
    "SQRT(-1)": None, "SQRT(d - 100)": None, "LOG(0)": None, "LOG10(-1)": None, "ACOS(2)": None, "POWER(-8, 0.5)": None,
    "5 / 0": None, "5.0 / 0": None, "5 / (id - 1)": None, "MOD(5, 0)": None, "MOD(d, 0)": None, "MOD(s, id - 1)": None,
    # small integers do not overflow where the result is said to be an INTEGER
    "s * s": 293 * 293, "u - 5": -4, "-u": -1, "s + 32767": 32474, "u * 300": 300,
    # IVOA catalogue of user-defined functions 1.2
    "ivo_healpix_index(0, 1, 1)": 4, "ivo_healpix_index(17, 1, 1)": 81609757711,
    "ivo_healpix_index(17, 359, -1)": 73009064944, "ivo_healpix_index(5, NULL, dec)": None,
    "ivo_healpix_center(0, 6)": [180.0, 0.0],
    "ivo_epoch_prop_pos(7.606083572, 11.79044105, 125, 300, -428.8, 52.51, 2016.0, 1992.25)": [
        7.604061404627978, 11.7932703828279],
    "ivo_geom_transform('ICRS', 'GALACTIC', POINT(120, -23))": [241.121831182, 3.62785788087],
    "ivo_to_jd('2000-01-02T12:00:00')": 2451546.0, "ivo_to_mjd('2000-01-02T12:00:00')": 51545.5, "ivo_to_mjd(NULL)": None,
    "ivo_nocasematch('Orion', 'oRI%')": 1, "ivo_hasword('Galaxies, at night', 'NIGHT galaxies')": 1,
    "ivo_hasword('Galaxies', 'gal')": 0, "ivo_hashlist_has('a#Bc#d', 'bC')": 1, "ivo_hashlist_has('a#b', 'a#b')": 0,
    "ivo_interval_overlaps(1, 2, 2, 3)": 1, "ivo_interval_overlaps(2, 1, 0, 5)": 0,
    "ivo_interval_overlaps(d - d, 2, 2.5, 3)": 0, "ivo_hms_to_degrees('12:30:00')": 187.5,
    "ivo_hms_to_degrees('12h30m00S')": 187.5, "ivo_hms_to_degrees('123000')": 187.5, "ivo_hms_to_degrees('x')": None,
    "ivo_dms_to_degrees('-00:15:00')": -0.25, "gavo_match('^na.*B', t)": 1,
    "gavo_getauthority('ivo://org.gavo.dc/x?y')": "org.gavo.dc", "greatest(1, 3, 2)": 3, "least(1, 3, 2)": 1,
    "nullif(1, 1)": None, "nullif(id + 1, 3)": 2, "substring('abcdef', 2, 3)": "bcd", "left('abc', 2)": "ab",
    "right('abc', 2)": "bc", "length('ÄB')": 2, "position('b', 'abc')": 2, "replace('aba', 'a', 'x')": "xbx",
    "trim('  a ')": "a", "sign(-3.5)": -1, "cbrt(27)": 3, "width_bucket(5, 0, 10, 5)": 3, "width_bucket(id + 4, 0, 10, 5)": 3,
    # geometry in the form of DALI
    "POINT(10, 20)": [10.0, 20.0], "CIRCLE(10, 20, 3)": [10.0, 20.0, 3.0], "POLYGON(0, 0, 1, 0, 1, 1)": [0, 0, 1, 0, 1, 1],
    "DISTANCE(0, 0, 0, 90)": 90, "DISTANCE(POINT(0, 0), POINT(0.001, 0))": 0.001, "COORD2(POINT(10, 20))": 20,
    "CONTAINS(POINT(10, 20), CIRCLE(10, 20.5, 1))": 1, "INTERSECTS(CIRCLE(0, 0, 1), CIRCLE(3, 0, 1))": 0,
    "CAST('12.3 45.6' AS POINT)": [12.3, 45.6], "DISTANCE(NULL, dec, ra, dec)": None,
    # CAST
    "CAST('12' AS INTEGER)": 12, "CAST(2.25 AS VARCHAR)": "2.25", "CAST(12345 AS CHAR(3))": "123", "CAST('1e3' AS REAL)": 1000,
    "CAST(moment AS CHAR(10))": "2000-01-01", "CAST('2001-02-03' AS TIMESTAMP)": dt.datetime(2001, 2, 3),
    "CAST('2001-02-03T04:05:06.5Z' AS TIMESTAMP)": dt.datetime(2001, 2, 3, 4, 5, 6, 500000),
    # arrays count from 1
    "pair[1]": 1, "pair[2]": 2, "pair[3]": None, "pair[0]": None, "arr[2]": None, "pair[1:1]": [1],
}  # fmt: skip


@pytest.mark.parametrize("expression", VALUES)
def test_the_value_of(ask: Ask, expression: str) -> None:
    found, wanted = one(ask, expression), VALUES[expression]
    if wanted is None or isinstance(wanted, str | dt.datetime):
        assert found == wanted
    else:
        assert found == pytest.approx(wanted, rel=1e-10, abs=1e-12)


ROWS: dict[str, list[int]] = {
    "moment > '2000-01-01T06:00:00' AND moment < '2000-01-02'": [1, 2, 3],
    "moment BETWEEN '2000-01-01' AND '2000-01-01T14:00:00'": [0, 1, 2],
    "moment IN ('2000-01-01', '2000-01-01T07:00:00')": [0, 1],
    "id < 7 AND b = 1": [0, 3], "id < 7 AND b IS NULL": [6], "id < 7 AND NOT b = 1": [1, 2, 4, 5],
    "t LIKE 'name 1 %'": [1], "t LIKE 'NAME 1 %'": [], "t ILIKE 'NAME 1 äb%'": [1], "id < 5 AND t NOT LIKE 'n%'": [0],
    "id IN (SELECT x.id FROM lab.types AS x WHERE x.id < 3)": [0, 1, 2],
    "id < 3 AND NOT EXISTS (SELECT * FROM lab.types AS x WHERE x.id = lab.types.id + 198)": [2],
    "id IN (1, 2.0, 3)": [1, 2, 3], "id NOT IN (SELECT x.id FROM lab.types AS x WHERE x.id > 1)": [0, 1],
    "id = (SELECT MAX(x.id) FROM lab.types AS x)": [199], "arr[1] > 196.5": [197, 198, 199],
    "t = 'O''Neil -- x' AND id < 8": [0], "id BETWEEN 2 AND 4": [2, 3, 4], "SQRT(d) > 4.8 AND id < 150": [],
}  # fmt: skip


@pytest.mark.parametrize("condition", ROWS)
def test_the_rows_where(ask: Ask, condition: str) -> None:
    assert [row[0] for row in ask(f"SELECT id FROM lab.types WHERE {condition} ORDER BY id")] == ROWS[condition]


QUERIES: dict[str, list[tuple[Any, ...]]] = {
    "SELECT id FROM lab.types WHERE id < 2 UNION SELECT id FROM lab.types WHERE id < 3 ORDER BY 1": [(0,), (1,), (2,)],
    "SELECT b FROM lab.types WHERE id < 6 UNION ALL SELECT b FROM lab.types WHERE id < 0 ORDER BY b": [
        (False,)] * 4 + [(True,)] * 2,
    "SELECT u FROM lab.types WHERE id < 4 EXCEPT SELECT u FROM lab.types WHERE id < 2 ORDER BY u DESC": [(3,), (2,)],
    "SELECT id FROM lab.types INTERSECT SELECT id FROM lab.types WHERE id < 2 ORDER BY id OFFSET 1": [(1,)],
    "SELECT a.id, x.u FROM lab.types AS a JOIN lab.types AS x USING (id) WHERE a.id = 3": [(3, 3)],
    "SELECT a.id, x.id FROM lab.types AS a LEFT JOIN lab.types AS x ON x.id = a.id + 199 WHERE a.id < 2 ORDER BY 1": [
        (0, 199), (1, None)],
    "SELECT MOD(id, 3) AS m, COUNT(*) AS n FROM lab.types GROUP BY MOD(id, 3) HAVING COUNT(*) > 66 ORDER BY m DESC": [
        (1, 67), (0, 67)],
    "SELECT TOP 2 id FROM lab.types ORDER BY -id OFFSET 1": [(198,), (197,)],
    "SELECT DISTINCT TOP 2 b FROM lab.types WHERE id < 6 ORDER BY b": [(False,), (True,)],
    "SELECT COUNT(t) AS a, COUNT(DISTINCT b) AS b, SUM(u) AS c, MIN(moment) AS m FROM lab.types WHERE id < 9": [
        (8, 2, 28, dt.datetime(2000, 1, 1))],
    "WITH few AS (SELECT id, u FROM lab.types WHERE id < 3) SELECT SUM(u) AS n FROM few": [(3,)],
    "SELECT ivo_string_agg(number, '+') AS x FROM lab.types WHERE id < 0": [("",)],
    "SELECT ivo_histogram(id, 0, 100, 4) AS x FROM lab.types": [([0, 25, 25, 25, 25, 100],)],
    "SELECT COUNT(*) AS n FROM lab.types NATURAL JOIN (SELECT id FROM lab.types WHERE id < 9) AS x": [(9,)],
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_the_result_of(ask: Ask, query: str) -> None:
    assert ask(query) == QUERIES[query]


def test_a_sample_has_about_the_percentage_asked_for(ask: Ask) -> None:
    assert 50 < ask("SELECT COUNT(*) AS n FROM lab.types TABLESAMPLE(50)")[0][0] < 150


FAULTS = {
    "CAST(number AS INTEGER)": "bad", "CAST(1e10 AS INTEGER)": "out of range", "l * l * l": "Overflow",
    "CAST('nonsense' AS TIMESTAMP)": "nonsense", "gavo_match('(', t)": "missing", "moment || 'a'": "text",
    "(SELECT id FROM lab.types)": "More than one row", "ROUND(d, 99999999999)": "out of range",
    "ivo_simbadpoint('M31')": "not resolved", "t + 1": "CAST", "IN_UNIT(ra, 'kg')": "kg", "MEDIAN(arr)": "array",
}  # fmt: skip


@pytest.mark.parametrize("expression", FAULTS)
def test_a_query_that_cannot_be_computed_is_a_sentence(ask: Ask, expression: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(f"SELECT {expression} AS x FROM lab.types")
    text = str(caught.value)
    assert FAULTS[expression] in text
    assert "could not run" not in text and "r1." not in text and "TRY" not in text


DEEP = {
    "a division": ("1/(", "d + 0", ")"), "ACOS": ("ACOS(", "d", ")"), "MOD": ("MOD(5, ", "i", ")"),
    "nullif": ("nullif(", "i", ", 1)"), "SQRT": ("SQRT(", "d", ")"), "width_bucket": ("width_bucket(", "i", ", 1, 5, 3)"),
    "DISTANCE": ("DISTANCE(1, 2, 3, ", "d", ")"), "CENTROID": ("COORD1(CENTROID(CIRCLE(", "d", ", 1, 1)))"),
    "CONTAINS": ("CONTAINS(POINT(1, ", "d", "), CIRCLE(1, 2, 3))"), "CASE": ("CASE WHEN 1=1 THEN ", "d", " END"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_costs_no_more_than_its_length(ask: Ask, name: str) -> None:
    before, middle, after = DEEP[name]
    depth = 20 if name != "CASE" else 60
    try:
        ask(f"SELECT {before * depth}{middle}{after * depth} AS x FROM lab.types WHERE id = 1")
    except (LimitError, QueryError) as problem:
        assert "deep" in str(problem)


def test_common_tables_that_double_and_double_are_computed_once(ask: Ask) -> None:
    steps = "".join(f", a{i} AS (SELECT x.n FROM a{i - 1} AS x JOIN a{i - 1} AS y ON x.n = y.n)" for i in range(1, 30))
    query = f"WITH a0 AS (SELECT id AS n FROM lab.types WHERE id = 1){steps} SELECT COUNT(*) AS c FROM a29"
    assert ask(query) == [(1,)]


HOSTILE = ["{0}", "{1}", "a\x01b", "\x010\x02", "x\x03r1\x04", 'q"uote', "semi; DROP TABLE x", "--c", "rowid", "_healpix_29",
           "_x", "A", "a", "c12_a", "$1", "?", "select", "e\u0301", "\u00e9", "  ", "a.b", "\x00nul", "x'y", "\u017f", "s", "S",
           ") OR 1=1 --"]  # fmt: skip


def test_uploaded_columns_of_any_name_come_back_as_they_are(ask: Ask) -> None:
    table = pa.table([pa.array([float(i)]) for i in range(len(HOSTILE))], names=HOSTILE)
    assert ask("SELECT * FROM TAP_UPLOAD.t", t=table) == [tuple(float(i) for i in range(len(HOSTILE)))]
    for i, name in enumerate(HOSTILE):
        if name.isprintable():
            quoted = '"' + name.replace('"', '""') + '"'
            assert ask(f"SELECT POWER({quoted}, 1) + 0 AS x FROM TAP_UPLOAD.t", t=table) == [(float(i),)]


def test_the_name_of_a_column_is_never_taken_for_a_place_in_a_template(ask: Ask) -> None:
    table = pa.table({"{1}": [3.0], "x": [2.0]})
    assert ask('SELECT POWER("{1}", x) AS y, POWER("{1}" + 0, x + 0) AS z FROM TAP_UPLOAD.t', t=table) == [(9.0, 9.0)]


@pytest.mark.parametrize(
    "text",
    ["it''s", "-- no", "$1 ? {0} {1}", "; DROP TABLE x", "\\", "é\u0301 \u017f \U0001f52d", "' || (SELECT 1) || '"],
)
def test_a_text_comes_back_as_it_was_written(ask: Ask, text: str) -> None:
    literal = "'" + text.replace("''", "'").replace("'", "''") + "'"
    assert one(ask, literal) == text.replace("''", "'")


@pytest.mark.parametrize(
    "place",
    ["duckdb_settings", "information_schema.tables", "sqlite_master", "memory.main.tap_schema_1_tables", "temp.upload_0",
     "upload_0", '"/etc/passwd"', "read_csv('/etc/passwd')", "pg_catalog.pg_class", '"store"."data"'],
)  # fmt: skip
def test_nothing_but_published_tables_can_be_named(ask: Ask, place: str) -> None:
    with pytest.raises(QueryError):
        ask(f"SELECT * FROM {place}", t=pa.table({"x": [1]}))


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE lab.types", "PRAGMA database_list", "ATTACH '/tmp/x'", "COPY lab.types TO '/tmp/x'", "SET threads=1",
     "INSTALL httpfs", "CALL pragma_version()", "SELECT 1 FROM lab.types; DROP TABLE x", "EXPLAIN SELECT 1 FROM lab.types",
     "VALUES (1)", "FROM lab.types", "SELECT getenv('HOME') FROM lab.types", "SELECT current_setting('x') FROM lab.types",
     "SELECT id FROM lab.types WHERE id = $1", "SELECT id::TEXT FROM lab.types", "SELECT rowid FROM lab.types",
     'SELECT "_healpix_29" FROM lab.types', "SELECT c0 FROM lab.types", "SELECT s_types.data.id FROM lab.types"],
)  # fmt: skip
def test_nothing_but_queries_of_described_columns_reaches_the_engine(ask: Ask, statement: str) -> None:
    with pytest.raises(QueryError):
        ask(statement)


def test_a_published_table_replaced_is_seen_at_once(store: DuckStore, ask: Ask, tmp_path: Any) -> None:
    for count in (3, 5, 8):
        pq.write_table(pa.table({"id": list(range(count))}), tmp_path / "again.parquet")
        publish(tmp_path / "again.parquet", name="lab.again", settings=Settings(home=store.layout.home))
        assert len(ask("SELECT id FROM lab.again")) == count
    assert issubclass(LimitError, SkyvaultError)
