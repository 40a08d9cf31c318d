"""A table that is a query over what is published: asked when its resource is published, and kept like any other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.errors import SkyvaultError
from skyvault.publish.inference import infer
from skyvault.publish.publisher import Published, Publisher, table_name
from skyvault.store import obscore as obs
from skyvault.store.building import disk_faults
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.ports import Progress


def publish_query(
    adql: str,
    *,
    name: str,
    settings: Settings,
    where: str,
    obscore: bool = False,
    overrides: dict[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Published:
    """Publish all rows of a query under ``name`` (schema.table), with the columns' descriptions as they come.

    Columns that identify datasets go on leading to their files. Raises what a query raises, its place told by
    ``where``; IngestError, StoreError (disk full). What was published under the name stays until the new is whole.
    """
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    began = time.perf_counter()
    full_name = table_name(name, Path(where))
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    with DuckStore(settings) as store:
        try:
            answer = store.query(adql, Limits(seconds=settings.async_time_s, asynchronous=True))
        except SkyvaultError as problem:
            problem.where = f"{where}, {problem.where}" if problem.where else where
            raise
        try:
            inferred = infer(answer.stream.table, full_name, dict(overrides or {}))
            spec = inferred.spec
            if obscore:
                spec = replace(spec, table=obs.as_observations(spec.table))
            with open_home_ledger(layout) as ledger:
                publisher = Publisher(layout, ledger.holdings, settings, progress)
                holding, built = publisher.publish_stream(spec, answer.stream, obscore=obscore, more=more)
        finally:
            answer.close()
    return Published(
        holding.table, holding.nrows, holding.bytes, time.perf_counter() - began, [], built.bad_rows,
        built.bad_row_notes, built.extra.get("coverage"), holding.version,
    )  # fmt: skip
