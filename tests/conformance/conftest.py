"""A published sky and a way to ask it, for suites that every store must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skyvault.config import Settings
from skyvault.model.table import Table
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.query import Limits
from skyvault.store.uploads import Uploads

from . import sky_tables


@pytest.fixture(scope="session")
def sky_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home, folder = tmp_path_factory.mktemp("sky"), tmp_path_factory.mktemp("files")
    sky_tables.publish_stars(home, folder)
    sky_tables.publish_stars(home, folder, "lab.others", 1000, seed=77)
    sky_tables.publish_footprints(home, folder)
    return home


@pytest.fixture(scope="session")
def sky_store(sky_home: Path) -> Iterator[DuckStore]:
    with DuckStore(Settings(home=sky_home)) as store:
        yield store


Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def ask(sky_store: DuckStore) -> Ask:
    """Rows of a query, as tuples; uploads are given as name=arrow table."""

    def run(text: str, rows: int | None = None, **uploads: pa.Table) -> list[tuple[Any, ...]]:
        given = Uploads() if uploads else None
        for name, table in uploads.items():
            assert given is not None
            given.add(name, arrow_stream(table))
        answer = sky_store.query(text, Limits(rows=rows), uploads=given)
        found: list[tuple[Any, ...]] = []
        for batch in answer.stream.batches:
            found += list(zip(*[column.to_pylist() for column in batch.columns], strict=True))
        assert answer.stream.error is None
        return found

    return run


def arrow_stream(table: pa.Table):  # type: ignore[no-untyped-def]
    from skyvault.formats.arrow import column_of
    from skyvault.formats.stream import TableStream

    columns = tuple(column for field in table.schema if (column := column_of(field)) is not None)
    return TableStream(Table("upload", columns, nrows=table.num_rows), iter(table.to_batches()))
