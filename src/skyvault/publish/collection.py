"""A collection of files as a published table: ObsCore's columns and its own, and the products beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from skyvault.formats.arrow import arrow_type
from skyvault.formats.stream import TableStream
from skyvault.model.product import Product
from skyvault.model.table import Column, Info, Table
from skyvault.publish.resource import FilesSection, Resource
from skyvault.store import obscore
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    from skyvault.publish.ingest_state import IngestState

_ROWS: Final = 5_000
#: columns beyond ObsCore's mandatory ones that files often say something of (ObsCore 1.1, table 5)
OPTIONAL: Final[tuple[Column, ...]] = tuple(
    Column(name, "double" if unit else "char", None if unit else "*", xtype, unit, ucd, utype, description)
    for name, xtype, unit, ucd, utype, description in (
        ("obs_title", None, None, "meta.title;obs", "obscore:DataID.Title", "Title"),
        ("obs_release_date", "timestamp", None, "time.release", "obscore:Curation.releaseDate",
         "When everybody may fetch it (UTC)"),
        ("data_rights", None, None, "meta.code", "obscore:Curation.Rights", "public or proprietary"),
        ("s_pixel_scale", None, "arcsec", "phys.angSize;instr.pixel",
         "obscore:Char.SpatialAxis.Sampling.RefVal.SamplingPeriod", "Side of a pixel"),
        ("filter", None, None, "meta.id;instr.filter", None, "Filter, as the file names it"),
        ("s_region_nominal", "adql:REGION", None, "pos.outline;instr.fov", None,
         "Field of view by the pointing and the instrument's geometry; s_region follows the pixels"),
    )
)  # fmt: skip
_EXTRA: Final = {"text": ("char", "*"), "int": ("int", None), "long": ("long", None), "double": ("double", None),
                 "boolean": ("boolean", None)}  # fmt: skip

#: the table of products in a snapshot; sorted by its first two columns
PRODUCTS: Final = "products"
PRODUCT_SCHEMA: Final = pa.schema(
    [
        pa.field(one.name, pa.int64() if one.name in ("size", "hdu", "number") else pa.string())
        for one in fields(Product)
    ]
)


@dataclass(frozen=True, slots=True)
class CollectionTable:
    """The described table of a collection, and its rows."""

    spec: Spec
    state: IngestState

    def stream(self) -> TableStream:
        """All rows."""
        return TableStream(self.spec.table, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        columns = self.spec.table.columns
        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])
        rows: list[dict[str, Any]] = []
        for dataset in self.state.datasets():
            rows.append(dataset["row"])
            if len(rows) == _ROWS:
                yield _batch(rows, columns, schema)
                rows = []
        if rows:
            yield _batch(rows, columns, schema)

    def products(self) -> pa.RecordBatchReader:
        """The products of all datasets."""
        return pa.RecordBatchReader.from_batches(PRODUCT_SCHEMA, self._product_batches())

    def _product_batches(self) -> Iterator[pa.RecordBatch]:
        held: list[dict[str, Any]] = []
        for dataset in self.state.datasets():
            held += dataset["products"]
            if len(held) >= _ROWS:
                yield pa.RecordBatch.from_pylist(held, schema=PRODUCT_SCHEMA)
                held = []
        if held:
            yield pa.RecordBatch.from_pylist(held, schema=PRODUCT_SCHEMA)

    def left_out(self) -> pa.RecordBatchReader | None:
        """Identifiers of datasets that do not join ivoa.ObsCore; None when all do."""
        dids = [
            one["row"]["obs_publisher_did"] for one in self.state.datasets() if not one["row"].get("_in_obscore", True)
        ]
        if not dids:
            return None
        table = pa.table({"did": pa.array(dids, pa.string()), "number": pa.array([0] * len(dids), pa.int64())})
        return table.to_reader()


def collection_table(name: str, section: FilesSection, resource: Resource, state: IngestState) -> CollectionTable:
    """Describe a collection by what its section says and its datasets hold."""
    held: set[str] = set()
    for dataset in state.datasets():
        held |= {key for key, value in dataset["row"].items() if value is not None}
    extras = {key: extra for key, extra in section.extra.items()}
    columns = list(obscore.COLUMNS)
    columns += [column for column in OPTIONAL if column.name in held and column.name not in extras]
    for key, extra in extras.items():
        datatype, size = _EXTRA[extra.type]
        columns.append(
            Column(key, datatype, size, unit=extra.unit, ucd=extra.ucd, description=extra.description, principal=True)  # type: ignore[arg-type]
        )
    known = {column.name for column in columns} | {"_in_obscore"}
    # what hooks added without a word in the resource
    for key in sorted(held - known):
        columns.append(_guessed(key, state))
    infos = []
    if resource.licence:
        infos.append(Info("rights", resource.licence, resource.rights))
    if resource.bibcode or resource.doi:
        infos.append(
            Info("citation", str(resource.doi or resource.bibcode), "Please cite this where you use the data.")
        )
    table = Table(
        f"{resource.schema_name}.{name}",
        tuple(columns),
        title=section.title,
        description=section.description or resource.description,
        frames=(obscore.PLACES,),
        time_frames=(obscore.TIMES,),
        infos=tuple(infos),
    )
    names = table.column_names
    regions = tuple(i for i, column in enumerate(names) if column in ("s_region", "s_region_nominal"))
    return CollectionTable(Spec(table, names.index("s_ra"), names.index("s_dec"), None, regions), state)


def _guessed(name: str, state: IngestState) -> Column:
    value = next(one["row"][name] for one in state.datasets() if one["row"].get(name) is not None)
    if isinstance(value, bool):
        return Column(name, "boolean")
    if isinstance(value, int):
        return Column(name, "long")
    return Column(name, "double") if isinstance(value, float) else Column(name, "char", "*")


def _batch(rows: list[dict[str, Any]], columns: tuple[Column, ...], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array([_plain(row.get(column.name), column) for row in rows], field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(value: Any, column: Column) -> Any:
    """A value as its column holds it; headers and hooks mix texts and numbers."""
    if value is None or column.datatype == "boolean":
        return None if value is None else bool(value)
    if column.is_timestamp:
        import datetime

        try:
            return datetime.datetime.fromisoformat(str(value).rstrip("Zz"))
        except ValueError:
            return None
    if column.is_text:
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number != number:
        return None
    return round(number) if column.datatype in ("int", "long", "short", "unsignedByte") else number
