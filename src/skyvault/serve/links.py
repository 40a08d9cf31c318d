"""DataLink 1.1: /datalink/links?ID=...: the files and services of datasets, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.formats import negotiate
from skyvault.formats.stream import TableStream
from skyvault.model.product import Product
from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.table import Column, Info, Table
from skyvault.serve.dataset_links import LINKS
from skyvault.serve.faults import guarded
from skyvault.serve.hook_products import hook_descriptor
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.product_addresses import ProductAddresses
from skyvault.serve.soda_parameters import soda_descriptor
from skyvault.store.products import Collection, collections, products_of, table_of

if TYPE_CHECKING:
    from skyvault.serve.service import Service

#: datasets answered at once; the rest is left out, and said to be (DataLink 1.1, section 2.1.2)
MOST_IDS: Final = 5_000
CONTENT_TYPE: Final = "application/x-votable+xml;content=datalink"
PARAMETERS: Final = ParameterSet(
    (
        Parameter("ID", multiple=True, doc="Identifier of a dataset", ucd="meta.id;meta.main", longest=2_000),
        Parameter("RESPONSEFORMAT", doc="Format of the result", aliases=("FORMAT",)),
    )
)
#: what the descriptions of services call the column of identifiers: its name, which astropy takes the ID for
_ID: Final = "ID"
#: DataLink 1.1, section 3.2
COLUMNS: Final = (
    Column("ID", "char", "*", ucd="meta.id;meta.main", description="Identifier of the dataset, as given", id=_ID),
    Column("access_url", "char", "*", ucd="meta.ref.url", description="Where to fetch it"),
    Column("service_def", "char", "*", ucd="meta.ref", description="ID of the description of a service"),
    Column("error_message", "char", "*", ucd="meta.code.error", description="Why there is no link"),
    Column("semantics", "char", "*", ucd="meta.code", description="What it is to the dataset"),
    Column("local_semantics", "char", "*", ucd="meta.id.assoc", description="Our own word for this kind of link"),
    Column("description", "char", "*", ucd="meta.note", description="For people"),
    Column("content_type", "char", "*", ucd="meta.code.mime", description="Media type"),
    Column("content_length", "long", unit="byte", ucd="phys.size;meta.file", description="Size"),
    Column("content_qualifier", "char", "*", ucd="meta.code", description="Kind of data product"),
    Column("link_auth", "char", "*", ucd="meta.code", description="Whether one must log in: false, optional or true"),
    Column("link_authorized", "boolean", ucd="meta.code", description="Whether you may fetch it as you are"),
)
WORDS: Final[Mapping[str, str]] = {
    "#this": "The dataset itself",
    "#preview": "Preview",
    "#preview-image": "Preview picture",
    "#preview-plot": "Plot",
    "#thumbnail": "Small picture",
    "#documentation": "Documentation",
    "#progenitor": "What it was made from",
    "#derivation": "What was made from it",
}
_CUTOUTS: Final = (("sync", "Cutout of the image"), ("async", "Cutouts of the image, as a job"))


class Links:
    """The links service."""

    def __init__(self, service: Service, addresses: ProductAddresses) -> None:
        self.service = service
        self.addresses = addresses

    def routes(self) -> list[Route]:
        return [Route("/datalink/links", guarded()(self.links), methods=["GET", "POST"])]

    async def links(self, request: Request) -> Response:
        async with await read_form(request) as form:
            values = PARAMETERS.read(form.pairs)
        base = self.service.base_url(request)
        return await self.service.in_thread(self._answer, list(values["ID"] or ()), values["RESPONSEFORMAT"], base)

    def _answer(self, ids: Sequence[str], wanted: str | None, base: str) -> Response:
        told = ids[:MOST_IDS]
        found = products_of(self.service.store, told)
        known = collections(self.service.store)
        rows: list[tuple[Any, ...]] = []
        services: dict[str, ServiceDescriptor] = {}
        for did in dict.fromkeys(told):
            products = found.get(did)
            if not products:
                fault = "NotFoundFault: there is no such dataset here"
                rows.append((did, None, None, fault, "#this", None, None, None, None, None, None, None))
                continue
            collection = known[str(table_of(did)).lower()]
            rows += [self._row(product, collection, base) for product in products]
            rows += self._service_rows(products[0], collection, base, services)
        is_plain = (wanted or "").strip().lower() in (
            "",
            "votable",
            "text/xml",
            "application/x-votable+xml",
            CONTENT_TYPE,
        )
        chosen = negotiate("votable/td" if is_plain else wanted)
        stream = _stream(rows, tuple(services.values()), len(ids) > MOST_IDS)
        body = b"".join(chosen.write(stream))
        return Response(
            body,
            headers={"content-type": CONTENT_TYPE if is_plain else chosen.content_type, "cache-control": "no-cache"},
        )

    def _row(self, product: Product, collection: Collection, base: str) -> tuple[Any, ...]:
        held = self.addresses.is_held(product)
        return (
            product.did,
            self.addresses.address(product, collection, base),
            None,
            None,
            product.semantics,
            product.local_semantics,
            product.description or WORDS.get(product.semantics),
            product.content_type,
            product.size,
            product.content_qualifier,
            "optional" if held else "false",
            not held,
        )

    def _service_rows(
        self, this: Product, collection: Collection, base: str, services: dict[str, ServiceDescriptor]
    ) -> list[tuple[Any, ...]]:
        """The services that work on a dataset: cutouts, and those of hooks.py. A description serves all its rows."""
        if this.semantics != "#this":
            return []
        rows: list[tuple[Any, ...]] = []
        # cutouts before all else: pyvo's get_first_proc takes what comes first
        has_cutouts = "soda" in collection.services and collection.kind == "images" and this.place != "hook"
        for name, text in _CUTOUTS if has_cutouts else ():
            identifier = f"soda-{name}"
            if identifier not in services:
                services[identifier] = soda_descriptor(identifier, f"{base}/soda/{name}", _ID, name)
            rows.append(
                (this.did, None, identifier, None, "#cutout", None, text, "application/fits", None, None, "false", True)
            )
        return rows + (self._hook_rows(this, collection, base, services) if collection.hook_services else [])

    def _hook_rows(
        self, this: Product, collection: Collection, base: str, services: dict[str, ServiceDescriptor]
    ) -> list[tuple[Any, ...]]:
        """Services that functions of the resource's hooks.py do; each collection has its own."""
        rows = []
        table = collection.name.replace(".", "-").lower()
        held = self.addresses.is_held(this)
        for own in collection.hook_services:
            identifier = f"{own.name}-{table}"
            if identifier not in services:
                services[identifier] = hook_descriptor(own, identifier, f"{base}/soda/sync", _ID)
            told = own.description or own.name
            rows.append(
                (this.did, None, identifier, None, own.semantics, own.name, told, own.content_type, None, None,
                 "optional" if held else "false", not held)
            )  # fmt: skip
        return rows


def _stream(rows: list[tuple[Any, ...]], services: tuple[ServiceDescriptor, ...], is_cut: bool) -> TableStream:
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    arrays = [
        pa.array(values, arrow_type(column))
        for column, values in zip(COLUMNS, zip(*rows, strict=True) if rows else ((),) * len(COLUMNS), strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in COLUMNS])
    table = Table("links", COLUMNS, description="Links of datasets (DataLink 1.1)")
    return TableStream(
        table,
        iter([batch]),
        overflow=is_cut,
        limit=MOST_IDS if is_cut else None,
        infos=(Info("standardID", LINKS),),
        services=services,
    )
