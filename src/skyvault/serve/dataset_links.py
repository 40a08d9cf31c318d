"""What makes a result's datasets reachable: whole addresses, and the links service described beside the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.table import Column
from skyvault.store.products import collections

if TYPE_CHECKING:
    from skyvault.formats.stream import TableStream
    from skyvault.serve.service import Service

LINKS: Final = "ivo://ivoa.net/std/DataLink#links-1.1"
#: addresses of ours begin so in the tables, since the service's own address may change
_OURS: Final = ("/datalink/", "/get/", "/soda/")
PUBLISHER_DID: Final = "curation.publisherdid"


def with_links(stream: TableStream, service: Service, base: str) -> TableStream:
    """The stream with our addresses made whole, and the links service described where its rows are datasets."""
    if not collections(service.store):
        return stream
    columns = list(stream.table.columns)
    addresses = [i for i, one in enumerate(columns) if one.is_text and (one.ucd or "").startswith("meta.ref.url")]
    if addresses:
        stream.batches = _whole(stream.batches, addresses, base)
    place = next((i for i, one in enumerate(columns) if (one.utype or "").lower().endswith(PUBLISHER_DID)), None)
    if place is not None:
        identifier = columns[place].id or "dataset_id"
        columns[place] = replace(columns[place], id=identifier)
        stream.table = replace(stream.table, columns=tuple(columns))
        stream.services = (*stream.services, links_descriptor(base, identifier))
    return stream


def links_descriptor(base: str, reference: str) -> ServiceDescriptor:
    """The links service, asked with the identifiers of the rows."""
    return ServiceDescriptor(
        "datalink",
        f"{base}/datalink/links",
        (Column("ID", "char", "*", ucd="meta.id;meta.main", ref=reference, value="", description="Dataset"),),
        LINKS,
        "application/x-votable+xml;content=datalink",
        "Links of these datasets: the file, previews, services that work on it",
    )


def _whole(batches: Iterator[Any], columns: list[int], base: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        for batch in batches:
            for index in columns:
                array = batch.column(index)
                if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
                    continue
                ours = pc.starts_with(array, _OURS[0])
                for beginning in _OURS[1:]:
                    ours = pc.or_(ours, pc.starts_with(array, beginning))
                if not pc.any(ours).as_py():
                    continue
                whole = pc.binary_join_element_wise(pa.scalar(base, array.type), array, pa.scalar("", array.type))
                batch = batch.set_column(index, batch.schema.field(index), pc.if_else(ours, whole, array))
            yield batch
    finally:
        getattr(batches, "close", lambda: None)()
