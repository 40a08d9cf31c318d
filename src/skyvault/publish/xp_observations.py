"""A row of ObsCore for each Gaia XP spectrum, and its products: a spectrum and a picture, made when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.formats.arrow import arrow_type
from skyvault.model.table import Table
from skyvault.publish.collection import PRODUCT_SCHEMA
from skyvault.publish.datasets import DATALINK
from skyvault.store import obscore
from skyvault.store.products import did_of
from skyvault.store.snapshot import Spec

if TYPE_CHECKING:
    from skyvault.publish.xp_section import XpSection
    from skyvault.science.xp_instrument import XpDesign

#: when Gaia's measurements of a release were made, MJD: 2014-07-25 10:30 to 2017-05-28 08:44 (Gaia DR3)
_SPANS: Final = {"Gaia DR3": (56863.4375, 57901.364)}
#: bytes of a spectrum as a VOTable: some hundred a sample and the head
_HEAD_BYTES, _SAMPLE_BYTES = 3_000, 90
_SPECTRUM: Final = "application/x-votable+xml"


class XpObservations:
    """The described table of observations that goes with a table of vectors."""

    def __init__(self, vectors: Table, authority: str, section: XpSection, design: XpDesign) -> None:
        self.vectors = vectors
        self.table = Table(
            f"{vectors.name}_obs",
            obscore.COLUMNS,
            title=vectors.title,
            description=f"Observations of {vectors.name}: one row for each spectrum",
            frames=(obscore.PLACES,),
            time_frames=(obscore.TIMES,),
            infos=vectors.infos,
        )
        wavelength = design.wavelength_nm
        # identifiers differ in their last part only
        self._did = did_of(authority, self.table.name, "0")[:-1]
        self._release = section.release
        begin, end = _SPANS.get(section.release, (None, None))
        self._same: dict[str, Any] = {
            "dataproduct_type": "spectrum",
            "calib_level": 3,
            "obs_collection": section.title or self.vectors.name,
            "access_format": DATALINK,
            "access_estsize": max(1, round((_HEAD_BYTES + _SAMPLE_BYTES * len(wavelength)) / 1024)),
            "t_min": begin,
            "t_max": end,
            "em_min": float(wavelength[0]) / 1e9,
            "em_max": float(wavelength[-1]) / 1e9,
            "em_xel": len(wavelength),
            "o_ucd": "phot.flux.density;em.wl",
            "facility_name": "Gaia",
            "instrument_name": "BP/RP",
        }

    def spec(self) -> Spec:
        names = self.table.column_names
        return Spec(self.table, names.index("s_ra"), names.index("s_dec"))

    def rows(self, vectors: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that go with the rows of the table of vectors."""
        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in self.table.columns])
        for batch in vectors:
            numbers = self._numbers(batch)
            name = pc.binary_join_element_wise(self._release, numbers, " ")
            links = pc.binary_join_element_wise(f"/datalink/links?ID={quote(self._did, safe='')}", numbers, "")
            own = {
                "obs_id": name,
                "target_name": name,
                "obs_publisher_did": pc.binary_join_element_wise(self._did, numbers, ""),
                "access_url": links,
                "s_ra": batch.column(self._place("ra")),
                "s_dec": batch.column(self._place("dec")),
            }
            arrays = [
                own[field.name] if field.name in own else _all_the_same(self._same.get(field.name), field.type, batch)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def products(self, vectors: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
        """Two for each spectrum: itself and its picture; what makes them is the row of the table of vectors."""
        kinds = (("#this", _SPECTRUM, "The spectrum"), ("#preview-plot", "image/png", "Picture of the spectrum"))

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in vectors:
                dids = pc.binary_join_element_wise(self._did, self._numbers(batch), "")
                for semantics, content_type, description in kinds:
                    same = {
                        "number": 0,
                        "semantics": semantics,
                        "place": "table",
                        "path": self.vectors.name,
                        "content_type": content_type,
                        "description": description,
                        "content_qualifier": "spectrum" if semantics == "#this" else None,
                    }
                    arrays = [
                        dids if field.name == "did" else _all_the_same(same.get(field.name), field.type, batch)
                        for field in PRODUCT_SCHEMA
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=PRODUCT_SCHEMA)

        return pa.RecordBatchReader.from_batches(PRODUCT_SCHEMA, batches())

    def _numbers(self, batch: pa.RecordBatch) -> pa.StringArray:
        return batch.column(self._place("source_id")).cast(pa.string())

    def _place(self, name: str) -> int:
        return self.vectors.column_names.index(name)


def _all_the_same(value: Any, kind: pa.DataType, batch: pa.RecordBatch) -> pa.Array:
    if value is None:
        return pa.nulls(batch.num_rows, kind)
    return pa.repeat(pa.scalar(value, kind), batch.num_rows)
