"""A described table whose rows come in Arrow batches: what every reader yields and every writer takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.table import Info, Table


@dataclass(slots=True)
class TableStream:
    """Rows on their way.

    ``table`` describes the columns in the order of the batches. ``batches`` may be consumed once. While it runs dry
    the producer may set ``overflow`` (rows were left out: the limit is in ``limit``) or ``error`` (the rest could
    not be had): writers look at both *after* the last batch.

    Arrow types of the columns are those of :func:`skyvault.formats.arrow.arrow_type`.
    """

    table: Table
    batches: Iterator[pa.RecordBatch]
    overflow: bool = False
    limit: int | None = None
    error: str | None = None
    #: remarks written before the table (QUERY, citation, ...)
    infos: tuple[Info, ...] = field(default=())
    #: services that go with the rows, written after them by formats that can hold them
    services: tuple[ServiceDescriptor, ...] = field(default=())
