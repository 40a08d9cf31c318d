"""Vectors, MOCs and spectral units in ADQL (IVOA wiki ADQLVectorMath; GAVO's extensions)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.config import Settings
from skyvault.errors import QueryError
from skyvault.publish.publisher import publish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits

FLUX = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], None, [7.0, 8.0]]
Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckStore]:
    folder = tmp_path_factory.mktemp("vectors")
    table = pa.table(
        {
            "id": pa.array([1, 2, 3, 4]),
            "ra": [10.0, 20.0, 30.0, 40.0],
            "dec": [0.0, 0.0, 0.0, 0.0],
            "scale": [2.0, 10.0, 1.0, 0.0],
            "flux": pa.array(FLUX, pa.list_(pa.float32())),
            "err": pa.array([[0.1, 0.2, 0.3], [0.5, 0.5], [1.0], []], pa.list_(pa.float64())),
            "n": pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.int32())),
            "wave": [500.0, 1000.0, 1.0, 0.0],
        }
    )
    pq.write_table(table, folder / "spectra.parquet")
    settings = Settings(home=folder / "home")
    words = {
        "wave": {"unit": "nm"},
        "flux": {"unit": "W.m-2.nm-1", "ucd": "phot.flux;em.opt"},
        "err": {"unit": "W.m-2.nm-1"},
    }
    publish(folder / "spectra.parquet", name="lab.spectra", settings=settings, overrides={"columns": words})
    opened = DuckStore(settings)
    yield opened
    opened.close()


@pytest.fixture
def ask(store: DuckStore) -> Ask:
    def one(expression: str, where: str = "id = 1") -> Any:
        answer = store.query(f"SELECT {expression} AS v FROM lab.spectra WHERE {where}", Limits())
        rows = [row["v"] for batch in answer.stream.batches for row in batch.to_pylist()]
        answer.close()
        return rows[0] if len(rows) == 1 else rows

    return one


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(_same, got, wanted))
    if wanted is None or got is None:
        return got is wanted
    return math.isnan(got) if math.isnan(wanted) else math.isclose(got, wanted, rel_tol=1e-6)


NAN = math.nan


@pytest.mark.parametrize(
    ("expression", "where", "wanted"),
    [
        ("flux[1]", "id = 1", 1.0), ("flux[4]", "id = 1", None), ("flux[0]", "id = 1", None),
        ("flux[2:3]", "id = 1", [2.0, 3.0]), ("flux[2:99]", "id = 1", [2.0, 3.0]),
        ("flux + flux", "id = 1", [2.0, 4.0, 6.0]), ("flux - err", "id = 1", [0.9, 1.8, 2.7]),
        ("flux * flux", "id = 2", [16.0, 25.0, 36.0]), ("flux / flux", "id = 4", [1.0, 1.0]),
        ("flux + err", "id = 2", [4.5, 5.5, NAN]), ("flux + err", "id = 3", None),
        ("2 * flux", "id = 1", [2.0, 4.0, 6.0]), ("flux * scale", "id = 2", [40.0, 50.0, 60.0]),
        ("flux / 2", "id = 1", [0.5, 1.0, 1.5]), ("scale / flux", "id = 2", [2.5, 2.0, 10 / 6]),
        ("-flux", "id = 1", [-1.0, -2.0, -3.0]), ("(flux + flux) * (flux - 1)", "id = 1", [0.0, 4.0, 12.0]),
        ("n + n", "id = 1", [2, 4]), ("n / 2", "id = 1", [0.5, 1.0]),
        ("arr_dot(flux, flux)", "id = 1", 14.0), ("arr_dot(flux, err)", "id = 2", NAN),
        ("arr_dot(flux, err)", "id = 3", None), ("arr_sum(flux)", "id = 1", 6.0), ("arr_avg(flux)", "id = 2", 5.0),
        ("arr_min(flux)", "id = 2", 4.0), ("arr_max(flux)", "id = 4", 8.0), ("arr_count(flux)", "id = 4", 2),
        ("arr_stddev(flux)", "id = 1", 1.0), ("arr_sum(err)", "id = 4", None),
        ("arr_map(x * x + scale, flux)", "id = 1", [3.0, 6.0, 11.0]),
        ("arr_map(POWER(10, x), flux)", "id = 1", [10.0, 100.0, 1000.0]),
        ("arr_map(arr_sum(x * n), flux)", "id = 1", [3.0, 6.0, 9.0]),
        ("arr_sum(arr_map(x, flux[1:2]))", "id = 1", 3.0),
        ("arr_map(CASE WHEN x > 1 THEN x ELSE 0 END, flux)", "id = 1", [0.0, 2.0, 3.0]),
        ("AVG(flux)", "id < 3", [2.5, 3.5, 4.5]), ("SUM(flux)", "id <> 3", [12.0, 15.0, 9.0]),
        ("MIN(flux)", "id > 0", [1.0, 2.0, 3.0]), ("MAX(n)", "id > 0", [7, 8]), ("AVG(flux)", "id = 3", None),
        ("AVG(flux * scale)", "id < 3", [21.0, 27.0, 33.0]), ("AVG(arr_max(flux))", "id < 3", 4.5),
        ("ivo_specconv(wave, 'um')", "id = 1", 0.5), ("gavo_specconv(wave, 'THz')", "id = 1", 599.584916),
        ("ivo_specconv(wave, 'eV')", "id = 2", 1.2398419843), ("ivo_specconv(wave, 'nm')", "id = 4", 0.0),
        ("ivo_specconv(2.0, 'keV', 'nm')", "id = 1", 0.6199209922),
        ("ivo_specconv(wave, 'Hz')", "id = 4", None),
    ],
)  # fmt: skip
def test_what_an_expression_of_vectors_gives(ask: Ask, expression: str, where: str, wanted: Any) -> None:
    got = ask(expression, where)
    assert _same(got, wanted), got


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("flux + 'a'", "A text cannot be an operand"), ("flux || 'a'", "joins texts"),
        ("arr_sum(scale)", "must be an array"), ("arr_map(x, scale)", "takes an array of numbers"),
        ("arr_map('a', flux)", "makes numbers"), ("x", "x"), ("arr_map(AVG(x), flux)", "cannot stand in"),
        ("ivo_specconv(scale, 'nm')", "has no unit"), ("ivo_specconv(wave, 'kg')", "no unit of the spectrum"),
        ("arr_dot(flux, 3)", "must be an array"), ("MOC('x')", "MOC"), ("MOC(3, POINT(ra, dec))", "geometry of constants"),
        ("MEDIAN(flux)", "number"),
    ],
)  # fmt: skip
def test_what_is_no_expression_of_vectors_is_told(ask: Ask, expression: str, told: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(expression)
    assert told in str(caught.value)


def test_results_carry_units_and_ucds(store: DuckStore) -> None:
    answer = store.query(
        "SELECT flux * 2 AS a, arr_avg(flux) AS b, AVG(flux) AS c, arr_map(x / 2, flux) AS d, flux / err AS e,"
        " ivo_specconv(wave, 'Angstrom') AS f FROM lab.spectra GROUP BY flux, err, wave",
        Limits(),
    )
    answer.close()
    told = {
        column.name: (column.datatype, column.arraysize, column.unit, column.ucd)
        for column in answer.stream.table.columns
    }
    assert told["b"] == ("double", None, "W.m-2.nm-1", "phot.flux;em.opt;stat.mean")
    assert told["c"] == ("double", "*", "W.m-2.nm-1", "phot.flux;em.opt;stat.mean")
    assert told["d"][2] == "W.m-2.nm-1" and told["e"][2] is None and told["f"] == ("double", None, "Angstrom", None)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("CONTAINS(POINT(ra, dec), MOC(5, CIRCLE(10, 0, 1))) = 1", [1]),
        ("CONTAINS(POINT(ra, dec), MOC('0/0-11')) = 1", [1, 2, 3, 4]),
        ("INTERSECTS(MOC(4, CIRCLE(20, 0, 0.1)), CIRCLE(ra, dec, 1)) = 1", [2]),
        ("CONTAINS(POINT(ra, dec), MOC('3/')) = 1", []),
        ("CONTAINS(POINT(ra, dec), MOC(6, POLYGON(25, -5, 35, -5, 35, 5, 25, 5))) = 1", [3]),
    ],
)
def test_mocs_are_regions(store: DuckStore, condition: str, ids: list[int]) -> None:
    answer = store.query(f"SELECT id FROM lab.spectra WHERE {condition} ORDER BY id", Limits())
    assert [row["id"] for batch in answer.stream.batches for row in batch.to_pylist()] == ids
    answer.close()


def test_a_moc_holds_what_its_region_holds(store: DuckStore) -> None:
    rng = np.random.default_rng(5)
    from skyvault.model.region import Circle, Point
    from skyvault.sky.moc import moc_of
    from skyvault.sky.predicates import region_contains

    circle = Circle(83.0, -5.0, 3.0)
    moc = moc_of(circle, 7)
    for lon, lat in zip(83 + rng.uniform(-4, 4, 200), -5 + rng.uniform(-4, 4, 200), strict=True):
        point = Point(float(lon), float(lat))
        if region_contains(circle, point):
            assert region_contains(moc, point)
