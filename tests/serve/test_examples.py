"""The generated examples: every one runs and finds something; pyvo, an XML parser and STILTS read the document."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyvault.config import Settings
from skyvault.publish.publisher import publish
from skyvault.serve.examples import Example, cone_query, examples, table_examples
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.uploads import Uploads
from skyvault.store.view import View

VOCABULARY = "http://www.ivoa.net/rdf/examples#"
XHTML = "{http://www.w3.org/1999/xhtml}"


def tables() -> dict[str, tuple[pa.Table, dict[str, Any]]]:
    """Tables of many kinds: dense, sparse, at a pole and over RA 0, with odd names, without rows, without positions."""
    random = np.random.default_rng(11)
    n = 20_000

    def field(lon: float, lat: float, size: float, rows: int) -> pa.Table:
        return pa.table(
            {
                "ra": (lon + random.uniform(-size, size, rows)) % 360,
                "dec": np.clip(lat + random.uniform(-size, size, rows), -90, 90),
                "flux": random.lognormal(0, 1, rows),
            }
        )

    odd = field(120, -30, 2, 50).rename_columns(["ra", "dec", "select"])
    odd = odd.append_column("my col", pa.array(np.arange(50)))
    odd = odd.append_column('say "hi"', pa.array(["x"] * 50))
    return {
        "lab.dense": (field(200, 10, 1.5, n), {"columns": {"flux": {"ucd": "phot.mag;em.opt.V"}}}),
        "lab.sparse": (pa.table({"ra": random.uniform(0, 360, 30), "dec": random.uniform(-80, 80, 30)}), {}),
        "lab.pole": (field(0, 89, 1, 200), {}),
        "lab.wrap": (field(0, 0, 0.01, 10), {}),
        "lab.one": (pa.table({"ra": [33.3], "dec": [-7.7], "mag": [1.5]}), {}),
        "lab.odd": (odd, {}),
        "lab.empty": (field(10, 10, 1, 0), {}),
        "lab.plain": (pa.table({"year": [1999, 2000, 2000], "name": ["a", "b", None]}), {}),
        "lab.texts": (pa.table({"a": ["x"]}), {}),
        "lab.extreme": (pa.table({"v": [-1e300, 0.0, 1e300, float("inf"), float("nan")], "w": [1e-300, 2e-300, 3e-300, 4e-300, 5e-300]}), {}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("examples")
    settings = Settings(home=directory / "home")
    for name, (table, overrides) in tables().items():
        pq.write_table(table, directory / "table.parquet")
        publish(directory / "table.parquet", name=name, settings=settings, overrides=overrides)
    observations = pa.table(
        {
            "dataproduct_type": ["image", "spectrum"],
            "obs_id": ["a", "b"],
            "s_ra": [40.0, 41.0],
            "s_dec": [-5.0, -5.0],
            "s_region": ["CIRCLE ICRS 40 -5 0.2", "POLYGON ICRS 40.9 -5.1 41.1 -5.1 41 -4.9"],
            "t_min": [59000.0, 59001.0],
        }
    )
    pq.write_table(observations, directory / "table.parquet")
    publish(directory / "table.parquet", name="lab.obs", settings=settings, obscore=True)
    return directory / "home"


@pytest.fixture(scope="module")
def store(home: Path) -> Iterator[DuckStore]:
    with DuckStore(Settings(home=home)) as store:
        yield store


def rows(store: DuckStore, query: str, uploads: Uploads | None = None) -> pa.Table:
    answer = store.query(query, Limits(rows=1000, seconds=20), uploads=uploads)
    try:
        batches = list(answer.stream.batches)
        assert answer.stream.error is None
    finally:
        answer.close()
    return pa.Table.from_batches(batches) if batches else pa.table({})


def one_of(store: DuckStore, id: str) -> Example:
    return next(example for example in examples(store.view()) if example.id == id)


# ---------------------------------------------------------------- they run


def test_every_example_without_an_upload_runs_and_finds_rows(store: DuckStore) -> None:
    found = examples(store.view())
    assert len(found) > 30
    for example in found:
        if not example.upload:
            count = rows(store, example.query).num_rows
            assert count > 0 or example.table == "lab.empty", example.query


def test_every_example_with_an_upload_runs_and_finds_its_own_rows(store: DuckStore) -> None:
    joined = [example for example in examples(store.view()) if example.upload]
    assert {example.table for example in joined} >= {"lab.dense", "lab.sparse", "lab.pole", "lab.odd", "lab.one"}
    for example in joined:
        mine = tables()[example.table][0].select(["ra", "dec"]).slice(0, 5)
        uploads = Uploads(1000, 100)
        uploads.add("mine", _stream(mine))
        assert rows(store, example.query, uploads).num_rows >= mine.num_rows, example.query


def _stream(table: pa.Table) -> Any:
    import io

    from skyvault.formats import open_table

    sink = io.BytesIO()
    pq.write_table(table, sink)
    sink.seek(0)
    return open_table(sink)


def test_a_table_page_and_the_document_have_the_same_examples(store: DuckStore) -> None:
    view = store.view()
    all_of_them = examples(view)
    for name in ("lab.dense", "lab.obs", "ivoa.ObsCore"):
        shelf = view.get(name)
        assert shelf is not None
        assert [e for e in all_of_them if e.table == name] == table_examples(shelf)


def test_examples_of_tap_schema_tables_run_too(store: DuckStore) -> None:
    view = store.view()
    for name in ("TAP_SCHEMA.schemas", "TAP_SCHEMA.tables", "TAP_SCHEMA.columns", "TAP_SCHEMA.keys"):
        shelf = view.get(name)
        assert shelf is not None
        assert all(rows(store, example.query).num_rows > 0 for example in table_examples(shelf))


def test_there_is_a_cone_a_histogram_an_upload_a_region_and_tap_schema(store: DuckStore) -> None:
    ids = {example.id for example in examples(store.view())}
    assert ids >= {
        "tables", "columns", "lab-dense-rows", "lab-dense-brightest", "lab-dense-cone", "lab-dense-histogram",
        "lab-dense-upload", "ivoa-ObsCore-region", "ivoa-ObsCore-kinds", "lab-obs-region",
    }  # fmt: skip


def test_ids_are_xml_names_and_unique(store: DuckStore) -> None:
    import re

    ids = [example.id for example in examples(store.view())]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", id) for id in ids)


def test_a_cone_on_a_dense_table_is_small(store: DuckStore) -> None:
    example = one_of(store, "lab-dense-cone")
    whole = example.query.replace("TOP 100 ", "")
    assert 20 < rows(store, whole).num_rows < 1000


def test_a_histogram_has_a_readable_number_of_bins_and_counts_every_value(store: DuckStore) -> None:
    counted = rows(store, one_of(store, "lab-dense-histogram").query)
    assert 5 <= counted.num_rows <= 30
    assert sum(counted.column("n").to_pylist()) == 20_000
    lows = counted.column("low").to_pylist()
    assert lows == sorted(lows)


def test_the_cone_of_the_pages_gives_all_columns_the_nearest_first(store: DuckStore) -> None:
    shelf = store.view().get("lab.pole")
    assert shelf is not None
    found = rows(store, cone_query(shelf, 123.0, 89.9, 0.8))
    assert found.column_names == ["separation", "ra", "dec", "flux"]
    separations = found.column("separation").to_pylist()
    assert separations == sorted(separations) and 0 < separations[-1] <= 0.8 * 3600


def test_nothing_published_leaves_tap_schema_to_explore() -> None:
    assert [example.table for example in examples(View(()))] == ["TAP_SCHEMA.tables"]


# ---------------------------------------------------------------- the document


@pytest.fixture(scope="module")
def server(home: Path, start_server: Callable[..., Any]) -> Any:
    return start_server(home)


def document(server: Any) -> ET.Element:
    import urllib.request

    with urllib.request.urlopen(f"{server.tap}/examples") as answer:
        assert answer.headers["content-type"].startswith("application/xhtml+xml")
        return ET.fromstring(answer.read())


def test_the_document_is_xhtml_with_one_vocabulary(server: Any) -> None:
    root = document(server)
    assert root.tag == f"{XHTML}html"
    assert [element.get("vocab") for element in root.iter() if element.get("vocab")] == [VOCABULARY]


def test_each_example_has_an_id_a_resource_a_name_and_a_query(server: Any) -> None:
    vocabulary = next(element for element in document(server).iter() if element.get("vocab"))
    found = [element for element in vocabulary.iter() if element.get("typeof") == "example"]
    assert len(found) > 30
    for element in found:
        assert element.get("resource") == f"#{element.get('id')}"
        properties = {inner.get("property"): inner for inner in element.iter() if inner.get("property")}
        assert set(properties) == {"name", "query", "table"}
        for inner in properties.values():
            # RDFa Lite: of an element with href or src the link would be the value; pyvo reads the text alone
            assert inner.get("href") is None and inner.get("src") is None and len(inner) == 0
            assert (inner.text or "").strip()


def test_pyvo_reads_the_examples_and_they_run(server: Any) -> None:
    import pyvo

    service = pyvo.dal.TAPService(server.tap)
    found = service.examples
    assert len(found) > 30
    runnable = [query for query in found if "TAP_UPLOAD" not in query["QUERY"] and "lab.empty" not in query["QUERY"]]
    for query in runnable[::5]:
        assert len(query.execute()) > 0


@pytest.mark.stilts
def test_stilts_finds_every_example_valid_and_runnable(server: Any) -> None:
    # its ADQL parser knows 2.0 only: examples keep to what is valid in both
    done = subprocess.run(
        ["stilts", "taplint", f"tapurl={server.tap}", "stages=TMV CAP EXA", "report=EWF", "maxrepeat=100"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    problems = [line for line in done.stdout.splitlines() if "-EXA-" in line and "NOTM" not in line]
    assert not problems, "\n".join(problems)
    assert "Section EXA" in done.stdout
