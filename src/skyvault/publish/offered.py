"""Publish the tables that something else offers, such as the detections and light curves of a pipeline's run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyvault.formats.stream import TableStream
from skyvault.publish.publisher import Published, Publisher, table_name
from skyvault.store import obscore as obs
from skyvault.store.building import disk_faults
from skyvault.store.home_ledger import open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.model.offer import Offer
    from skyvault.model.ports import Progress, Publishable


@dataclass(slots=True)
class PublishedTables:
    """What was published, in the order it was; ``problems`` are sentences about what is missing in it."""

    tables: list[Published] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {"tables": [one.to_dict() for one in self.tables], "problems": self.problems}


def publish_offered(
    source: Publishable, *, settings: Settings, may_replace: bool = True, progress: Progress | None = None
) -> PublishedTables:
    """Publish all tables of ``source``, one after the other; each becomes visible when it is whole.

    Rows stream: memory does not grow with their number. Raises IngestError for a name that cannot be, Conflict where a
    name is taken and ``may_replace`` is off, StoreError for a full disk; what was published before stays.
    """
    done = PublishedTables()
    layout = Layout.of(settings)
    with disk_faults(settings.home):
        layout.make()
    with open_home_ledger(layout) as ledger:
        publisher = Publisher(layout, ledger.holdings, settings, progress)
        for offer in source.offers():
            done.tables.append(_publish(publisher, offer, may_replace))
    done.problems = source.problems()
    return done


def _publish(publisher: Publisher, offer: Offer, may_replace: bool) -> Published:
    began = time.perf_counter()
    name = table_name(offer.table.name, Path(offer.table.name))
    table = replace(offer.table, name=name)
    if offer.is_observations:
        table = obs.as_observations(table)
    names = table.column_names
    lon, lat = (names.index(one) for one in offer.position) if offer.position else (None, None)
    spec = Spec(table, lon, lat, None, (), tuple(names.index(one) for one in offer.indexed))
    batches: Iterator[Any] = offer.batches()
    try:
        holding, built = publisher.publish_stream(
            spec, TableStream(table, batches), obscore=offer.is_observations, may_replace=may_replace, skip_bad=True
        )
    finally:
        # what was not read to its end still holds files and a connection
        with suppress(ValueError):
            getattr(batches, "close", lambda: None)()
    return Published(
        holding.table, holding.nrows, holding.bytes, time.perf_counter() - began, [], built.bad_rows,
        built.bad_row_notes, built.extra.get("coverage"), holding.version,
    )  # fmt: skip
