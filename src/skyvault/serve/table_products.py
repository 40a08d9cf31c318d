"""Spectra made from rows of a table when somebody asks for one: a VOTable as IVOA's Spectrum has it, or a picture.

The table holds vectors that refer to an axis (a PARAM with as many values), as Gaia's XP spectra are published.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from skyvault.errors import NotFound
from skyvault.formats.stream import TableStream
from skyvault.model.frames import axes_of, numbers_of
from skyvault.model.table import Column, CoordinateFrame, Info, Table
from skyvault.store.products import local_part
from skyvault.store.query import Limits
from skyvault.store.tap_schema import spelled, spelled_name

if TYPE_CHECKING:
    from skyvault.model.product import Product
    from skyvault.serve.service import Service
    from skyvault.store.products import Collection
    from skyvault.store.view import Shelved

_SECONDS: Final = 30.0
_AXIS: Final = "spec:Spectrum.Data.SpectralAxis.Value"
_FLUX: Final = "spec:Spectrum.Data.FluxAxis.Value"
_ERROR: Final = "spec:Spectrum.Data.FluxAxis.Accuracy.StatError"


class TableProducts:
    """Makes the products whose place is a table."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def answer(self, product: Product, found: Collection) -> Response:
        """The product as an answer; whoever asks has been let in. Raises NotFound."""
        shelf = self.service.store.view().get(product.path)
        if shelf is None:
            raise NotFound(f"the table {product.path} is not published any more")
        axis, row = _axis(shelf), self._row(shelf, product)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in local_part(product.did))[:100]
        if product.content_type == "image/png":
            content, ending, shown = _picture(shelf.table, axis, row), ".png", "inline"
        else:
            content, ending, shown = _document(shelf.table, axis, row, product, found), ".vot", "attachment"
        headers = {
            "cache-control": "private, no-store" if found.is_signed else "public, max-age=300",
            "content-disposition": f'{shown}; filename="{name}{ending}"',
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox",
        }
        return Response(content, media_type=product.content_type, headers=headers)

    def _row(self, shelf: Shelved, product: Product) -> dict[str, Any]:
        identifier = next((one for one in shelf.table.columns if one.ucd == "meta.id;meta.main"), None)
        local = local_part(product.did)
        if identifier is None or not local.lstrip("-").isdigit():
            raise NotFound(f"there is no row {local[:100]!r} in {product.path}")
        text = f"SELECT TOP 1 * FROM {spelled_name(shelf.table.name)} WHERE {spelled(identifier.name)} = {int(local)}"
        answer = self.service.store.query(text, Limits(rows=1, seconds=_SECONDS))
        try:
            rows = [row for batch in answer.stream.batches for row in batch.to_pylist()]
        finally:
            answer.close()
        if not rows:
            raise NotFound(f"there is no spectrum {local} any more")
        return dict(rows[0])


def _axis(shelf: Shelved) -> Column:
    for axis in axes_of(shelf.table).values():
        return axis
    raise NotFound(f"{shelf.table.name} holds no spectra")


def _vectors(table: Table, axis: Column, row: dict[str, Any]) -> list[tuple[Column, Any]]:
    return [(column, row[column.name]) for column in table.columns if column.ref == axis.id and column.is_array]


def _picture(table: Table, axis: Column, row: dict[str, Any]) -> bytes:
    from skyvault.science.spectrum_picture import spectrum_picture

    vectors = {column.utype: (column, values) for column, values in _vectors(table, axis, row)}
    if _FLUX not in vectors:
        raise NotFound(f"{table.name} holds no fluxes")
    column, flux = vectors[_FLUX]
    error = vectors[_ERROR][1] if _ERROR in vectors else None
    numbers = [None if one is None else [math.nan if v is None else v for v in one] for one in (flux, error)]
    # units as people write them
    unit = (column.unit or "").replace("**", "^").replace(".", " ")
    wavelength = numbers_of(axis)
    known = numbers[0] or [math.nan] * len(wavelength)
    return spectrum_picture(wavelength, known, numbers[1], unit=axis.unit or "", flux_unit=unit)


def _document(table: Table, axis: Column, row: dict[str, Any], product: Product, found: Collection) -> bytes:
    """A spectrum as a VOTable (IVOA Spectrum Data Model 1.1, section 8.2)."""
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type
    from skyvault.formats.votable_out import write_votable

    vectors = _vectors(table, axis, row)
    columns = [replace(axis, arraysize=None, value=None, id=None, utype=_AXIS)]
    columns += [replace(column, arraysize=None, ref=None, id=None) for column, _ in vectors]
    cells = [numbers_of(axis), *(values for _, values in vectors)]
    arrays = [pa.array(one, arrow_type(column)) for one, column in zip(cells, columns, strict=True)]
    described = Table(
        "spectrum",
        tuple(columns),
        utype="spec:Spectrum",
        title=table.title,
        description=table.description,
        params=tuple(_params(table, row, product, found)),
        frames=(CoordinateFrame("icrs", "ICRS"),),
        infos=table.infos,
    )
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])
    infos = (Info("publisherDID", product.did),)
    return b"".join(write_votable(TableStream(described, iter([batch]), infos=infos), "TABLEDATA"))


def _params(table: Table, row: dict[str, Any], product: Product, found: Collection) -> list[Column]:
    """What is said of the whole spectrum; ``ra`` and ``dec`` by their UCDs."""
    place = {(column.ucd or "").removesuffix(";meta.main"): row[column.name] for column in table.columns}
    name = local_part(product.did)
    told = [
        ("DataModel", "spec:Spectrum.DataModel", "Spectrum-1.1", None, None),
        ("Type", "spec:Spectrum.Type", "Spectrum", None, None),
        (
            "Title",
            "spec:Spectrum.DataID.Title",
            f"{table.title or table.name}: {name}",
            None,
            "meta.title;meta.dataset",
        ),
        ("Collection", "spec:Spectrum.DataID.Collection", found.name, None, None),
        ("PublisherDID", "spec:Spectrum.Curation.PublisherDID", product.did, None, "meta.ref.ivoid;meta.main"),
        ("Target", "spec:Spectrum.Target.Name", name, None, "meta.id;src"),
    ]
    params = [
        Column(key, "char", "*", unit=unit, ucd=ucd, utype=utype, value=value) for key, utype, value, unit, ucd in told
    ]
    if place.get("pos.eq.ra") is not None and place.get("pos.eq.dec") is not None:
        params.append(
            Column(
                "Position", "double", "2", "point", "deg", "pos.eq",
                "spec:Spectrum.Char.SpatialAxis.Coverage.Location.Value", ref="icrs",
                value=f"{place['pos.eq.ra']!r} {place['pos.eq.dec']!r}",
            )
        )  # fmt: skip
    return params
