"""What tests of publishing share: publish a file, ask for its rows, write a table in any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skyvault.config import Settings
from skyvault.formats import negotiate, open_table
from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.table import Table
from skyvault.publish.publisher import Published, publish
from skyvault.serve.local import query as run_query


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, memory_limit=512_000_000, threads=2)


@pytest.fixture
def published(settings: Settings) -> Callable[..., Published]:
    """``published(path, "lab.stars", skip_bad=True)`` publishes into the test's own data directory."""

    def run(path: Path, name: str | None = None, **more: Any) -> Published:
        return publish(path, name=name, settings=settings, **more)

    return run


@pytest.fixture
def answer(settings: Settings) -> Callable[..., tuple[Any, pa.Table]]:
    """``answer("SELECT ...")`` gives the described table and all its rows."""

    def run(adql: str, **more: Any) -> tuple[Any, pa.Table]:
        stream = run_query(adql, settings=settings, **more)
        names = [f"{i}" for i in range(len(stream.table.columns))]
        batches = [pa.RecordBatch.from_arrays(batch.columns, names=names) for batch in stream.batches]
        schema = pa.schema([pa.field(n, arrow_type(c)) for n, c in zip(names, stream.table.columns, strict=True)])
        rows = pa.Table.from_batches(batches) if batches else schema.empty_table()
        return stream.table, rows

    return run


@pytest.fixture
def rows(answer: Callable[..., tuple[Any, pa.Table]]) -> Callable[[str], list[tuple[Any, ...]]]:
    """``rows("SELECT ...")`` gives tuples."""

    def run(adql: str) -> list[tuple[Any, ...]]:
        table = answer(adql)[1]
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    return run


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """``written(file or (Table, lists of values), "fits", "name.fits")``: a table in any format that can be written."""

    def run(source: Path | tuple[Table, list[list[Any]]], kind: str, name: str) -> Path:
        target = tmp_path / name
        if isinstance(source, Path):
            stream = open_table(source)
        else:
            table, values = source
            arrays = [pa.array(v, arrow_type(c)) for v, c in zip(values, table.columns, strict=True)]
            batch = pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(arrays))])
            stream = TableStream(table, iter([batch]))
        with target.open("wb") as file:
            for block in negotiate(kind).write(stream):
                file.write(block)
        return target

    return run
