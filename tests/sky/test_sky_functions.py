"""The sky functions inside DuckDB: the catalogue's values, NULL for what is none, and never an error for data."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from skyvault.sky.cells import cell_of
from skyvault.sky.predicates import region_contains, region_intersects
from skyvault.sky.region_text import parse_region
from skyvault.store.sky_functions import FUNCTIONS, register


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    register(connection)
    yield connection
    connection.close()


def value(connection: duckdb.DuckDBPyConnection, expression: str) -> object:
    row = connection.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sv_healpix(0, 1, 1)", 4),
        ("sv_healpix(17, 1, 1)", 81609757711),
        ("sv_healpix(17, 359, -1)", 73009064944),
        ("sv_healpix_center(0, 6)", [180.0, 0.0]),
        ("sv_epoch_prop_pos(7.606083572, 11.79044105, 125, 300, -428.8, 52.51, 2016.0, 1992.25)",
         [7.604061404627978, 11.7932703828279]),
        ("sv_epoch_prop_pos(10, 20, NULL, NULL, NULL, NULL, 2016.0, 1992.25)", [10.0, 20.0]),
        ("sv_epoch_prop(10, 20, 5, 0, 0, 0, 2016.0, 1992.25)", [10.0, 20.0, 5.0, 0.0, 0.0, 0.0]),
        ("sv_geom_transform('ICRS', 'GALACTIC', [1e0, 120, -23])", [1.0, 241.121831182, 3.62785788087]),
        ("sv_geom_transform('ICRS', 'ICRS', [4e0, 1, 2, 3, 4])", [4.0, 1.0, 2.0, 3.0, 4.0]),
        ("sv_hms('12:00:00')", 180.0),
        ("sv_dms('-00:15:00')", -0.25),
        ("sv_shape('CIRCLE ICRS 1 2 3')", [2.0, 1.0, 2.0, 3.0]),
        ("sv_format_shape([2e0, 1, 2, 3])", "CIRCLE ICRS 1.0 2.0 3.0"),
        ("sv_format_shape([3e0, 3, 1, 1, 2, 1, 2, 2])", "POLYGON ICRS 1.0 1.0 2.0 1.0 2.0 2.0"),
        ("sv_format_shape([3e0, 3, -1, 1, 2, 1, 2, 2])", "POLYGON ICRS 359.0 1.0 2.0 1.0 2.0 2.0"),
        ("sv_format_shape([2e0, 1, 2, 3, 1, 4, 5])", "UNION ICRS (CIRCLE ICRS 1.0 2.0 3.0 POSITION ICRS 4.0 5.0)"),
        ("sv_contains([2e0, 0, 0, 5], [1e0, 1, 1])", True),
        ("sv_contains([1e0, 1, 1], [2e0, 0, 0, 5])", False),
        ("sv_intersects([2e0, 0, 0, 5], [3e0, 3, 3, 0, 10, 0, 10, 10])", True),
        ("sv_point_in(1, 1, '2.0,0.0,0.0,5.0')", True),
        ("sv_point_in(6, 1, '2.0,0.0,0.0,5.0')", False),
        ("sv_area([2e0, 0, 0, 180])", 41252.96124941928),
        ("sv_centroid([4e0, 350, 10, -5, 5])", [0.0, 0.0]),
        ("sv_box(10, 0, 2, 2)[1:3]", [3.0, 4.0, 9.0]),
        ("len(sv_cells(10, 20, 0.0001, 5))", 1),
        ("sv_cells(10, 20, 0.0001, 5)[1]", int(cell_of(5, 10, 20)[0])),
        ("sv_cells_of(sv_healpix(29, 10, 20), 0, 0, 0, 0.0001, 5)[1]", int(cell_of(5, 10, 20)[0])),
    ],
)  # fmt: skip
def test_a_function_gives_the_value_of_the_catalogue(
    connection: duckdb.DuckDBPyConnection, expression: str, expected: object
) -> None:
    found = value(connection, expression)
    if isinstance(expected, list):
        assert isinstance(found, list)
        # 360 is 0
        assert [(a + 1) % 360 for a in found] == pytest.approx([(a + 1) % 360 for a in expected], abs=1e-9)
    else:
        assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    "expression",
    [
        "sv_healpix(30, 1, 1)", "sv_healpix(-1, 1, 1)", "sv_healpix(NULL, 1, 1)", "sv_healpix(3, NULL, 1)",
        "sv_healpix(3, 1, 'NaN')", "sv_healpix(3, 1, 90.5)", "sv_healpix(3, 'inf', 0)",
        "sv_healpix_center(0, 12)", "sv_healpix_center(0, -1)", "sv_healpix_center(0, NULL)", "sv_healpix_center(40, 1)",
        "sv_shape(NULL)", "sv_shape('nonsense')", "sv_shape('CIRCLE 1 95 3')",
        "sv_contains(NULL, [1e0, 1, 1])", "sv_contains([2e0, 0, 0, 5], NULL)", "sv_contains([7e0], [1e0, 1, 1])",
        "sv_contains([]::DOUBLE[], [1e0, 1, 1])", "sv_contains([2e0, 0, 0, NULL], [1e0, 1, 1])",
        "sv_intersects([2e0, 0, 'nan', 5], [1e0, 1, 1])",
        "sv_point_in(NULL, 1, '2.0,0.0,0.0,5.0')", "sv_point_in(1, 100, '2.0,0.0,0.0,5.0')",
        "sv_point_in(1, 1, NULL)", "sv_point_in(1, 1, 'nonsense')", "sv_point_in(1, 1, '9.0')",
        "sv_area(NULL)", "sv_area([3e0, 2, 1, 1, 2, 2])", "sv_centroid(NULL)", "sv_centroid([2e0, 0, 0, 180])",
        "sv_box(1, 2, 0, 1)", "sv_box(1, 2, 180, 1)", "sv_box(1, NULL, 1, 1)", "sv_box(1, 95, 1, 1)",
        "sv_epoch_prop_pos(NULL, 20, 1, 1, 1, 1, 2000, 2010)", "sv_epoch_prop_pos(1, 20, 1, 1, 1, 1, NULL, 2010)",
        "sv_epoch_prop_pos(1, 95, 1, 1, 1, 1, 2000, 2010)", "sv_epoch_prop(NULL, 20, 1, 1, 1, 1, 2000, 2010)",
        "sv_geom_transform('ICRS', 'BOGUS', [1e0, 1, 2])", "sv_geom_transform(NULL, 'ICRS', [1e0, 1, 2])",
        "sv_geom_transform('ICRS', 'GALACTIC', NULL)", "sv_geom_transform('ICRS', 'GALACTIC', [4e0, 1, 2, 3, 4])",
        "sv_hms('x')", "sv_hms(NULL)", "sv_dms('12h')", "sv_dms(NULL)",
        "sv_cells(NULL, 1, 1, 3)", "sv_cells(1, 1, -1, 3)", "sv_cells(1, 1, 1, 30)", "sv_cells(1, 1, 'nan', 3)",
        "sv_cells_of(NULL, 1, 0, 0, 1, 3)", "sv_cells_of(5, 1, 0, 0, -1, 3)", "sv_format_shape(NULL)",
        "sv_format_shape([2e0, 1])",
    ],
)  # fmt: skip
def test_what_is_none_gives_null_and_no_error(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    assert value(connection, expression) is None


def test_every_function_takes_an_empty_column(connection: duckdb.DuckDBPyConnection) -> None:
    for name, (_, arguments, _) in FUNCTIONS.items():
        columns = ", ".join(f"NULL::{kind}" for kind in arguments)
        assert connection.execute(f"SELECT {name}({columns}) FROM range(0)").fetchall() == []
        assert connection.execute(f"SELECT {name}({columns}) FROM range(2)").fetchall() == [(None,), (None,)]


def test_functions_work_on_many_mixed_rows(connection: duckdb.DuckDBPyConnection) -> None:
    texts = [
        "CIRCLE 10 20 1", "POLYGON 9 19 11 19 11 21 9 21", "RANGE 9 11 19 21", "nonsense", None, "POSITION 10 20",
        "UNION (CIRCLE 10 20 1 CIRCLE 50 20 1)", "POLYGON J2000 9 19 11 19 10 20.5 11 21 9 21", "MOC 5/100",
    ]  # fmt: skip
    connection.execute("CREATE OR REPLACE TABLE regions (i INTEGER, text VARCHAR)")
    connection.executemany("INSERT INTO regions VALUES (?, ?)", [(i, texts[i % len(texts)]) for i in range(5000)])
    target = parse_region("CIRCLE 10.2 20 0.5")
    rows = connection.execute(
        "SELECT text, sv_intersects(sv_shape(text), [2e0, 10.2, 20, 0.5]), sv_contains(sv_shape(text), [2e0, 10.2, 20, 0.5]),"
        " sv_contains([2e0, 10.2, 20, 0.5], sv_shape(text)), sv_area(sv_shape(text)) FROM regions ORDER BY i"
    ).fetchall()
    for text, meets, holds, held, square_degrees in rows[:: len(texts) + 1]:
        if text is None or text == "nonsense":
            assert (meets, holds, held, square_degrees) == (None, None, None, None)
            continue
        region = parse_region(text)
        assert meets == region_intersects(region, target)
        assert holds == region_contains(region, target)
        assert held == region_contains(target, region)
        assert square_degrees >= 0.0


def test_a_positional_join_by_cells_finds_every_pair(connection: duckdb.DuckDBPyConnection) -> None:
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    connection.execute("CREATE OR REPLACE TABLE stars (lon DOUBLE, lat DOUBLE)")
    connection.executemany("INSERT INTO stars VALUES (?, ?)", np.stack([lon, lat], axis=1).tolist())
    near = "degrees(2 * asin(sqrt((pow(sin(radians(a.lat - b.lat) / 2), 2) + cos(radians(a.lat)) * cos(radians(b.lat))"
    near += " * pow(sin(radians(a.lon - b.lon) / 2), 2))))) < 0.7"
    whole = connection.execute(f"SELECT count(*) FROM stars a, stars b WHERE {near}").fetchone()
    joined = connection.execute(
        "WITH wide AS (SELECT lon, lat, unnest(sv_cells(lon, lat, 0.7, 4)) AS cell FROM stars),"
        " placed AS (SELECT *, sv_healpix(4, lon, lat) AS cell FROM stars)"
        f" SELECT count(*) FROM wide a JOIN placed b USING (cell) WHERE {near}"
    ).fetchone()
    assert joined == whole


def test_cursors_of_a_connection_know_the_functions(connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.cursor().execute("SELECT sv_hms('12:00:00')").fetchone() == (180.0,)
