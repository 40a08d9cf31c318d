"""SIA 1.0: /sia1?POS=10.7,41.3&SIZE=0.5: images of all collections around a place, for clients that know no newer one.

A row is a file one can fetch: the image itself, and its preview where pictures are asked for (FORMAT=GRAPHIC).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import ParameterError, SkyvaultError
from skyvault.formats import negotiate
from skyvault.formats.stream import TableStream
from skyvault.model.region import Box, Polygon, Region
from skyvault.model.table import Column, Info, Table
from skyvault.serve.data_origin import request_address, with_origin
from skyvault.serve.faults import as_skyvault_error
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.tap_query import TapQuery, encoded, start
from skyvault.store import obscore
from skyvault.store.products import collections, products_of
from skyvault.store.query import Limits

if TYPE_CHECKING:
    from skyvault.model.product import Product
    from skyvault.serve.product_addresses import ProductAddresses

STANDARD: Final = "ivo://ivoa.net/std/SIA"
CONTENT_TYPE: Final = "text/xml;content=x-votable"
_INTERSECT: Final = ("COVERS", "ENCLOSED", "CENTER", "OVERLAPS")
PARAMETERS: Final = ParameterSet(
    (
        Parameter("POS", doc="Right ascension,declination of the centre (ICRS)", unit="deg", longest=100),
        Parameter("SIZE", doc="Width, or width,height", unit="deg", longest=100),
        Parameter("FORMAT", doc="ALL, GRAPHIC, METADATA, or media types with commas", default="ALL", longest=500),
        Parameter("INTERSECT", doc="How image and region lie", choices=_INTERSECT, default="OVERLAPS"),
        Parameter("COLLECTION", doc="Only images of this collection, as obs_collection names it", longest=200),
        Parameter("VERB", type="integer", doc="Columns: 0 the fewest, 3 all", default=2, minimum=0, maximum=3),
        Parameter("MAXREC", type="integer", doc="Most rows", minimum=0),
    )
)
#: wider regions are ranges of coordinates
_WIDEST_DEG: Final = 60.0
#: rows whose products are looked up at once
_ROWS: Final = 500
_READ: Final = (
    "obs_publisher_did", "obs_id", "obs_collection", "instrument_name", "access_url", "access_format",
    "access_estsize", "target_name", "s_ra", "s_dec", "s_fov", "s_xel1", "s_xel2", "t_min", "t_max", "t_exptime",
    "em_min", "em_max",
)  # fmt: skip
#: columns that collections may have besides
_READ_TOO: Final = ("obs_title", "filter", "s_pixel_scale")


def _column(
    name: str, datatype: str, size: str | None, ucd: str, description: str, verb: int, unit: str | None = None
) -> tuple[int, Column]:
    return verb, Column(name, datatype, size, unit=unit, ucd=ucd, description=description)  # type: ignore[arg-type]


#: the columns and from which VERB on they are given (SIA 1.0, section 4.2.4 and appendix A)
COLUMNS: Final = (
    _column("title", "char", "*", "VOX:Image_Title", "Name of the image", 0),
    _column("instrument", "char", "*", "INST_ID", "Instrument", 1),
    _column("date_obs", "double", None, "VOX:Image_MJDateObs", "Middle of the exposure (MJD, UTC)", 1, "d"),
    _column("ra", "double", None, "POS_EQ_RA_MAIN", "Right ascension of the centre (ICRS)", 0, "deg"),
    _column("dec", "double", None, "POS_EQ_DEC_MAIN", "Declination of the centre (ICRS)", 0, "deg"),
    _column("naxes", "int", None, "VOX:Image_Naxes", "Number of axes", 0),
    _column("naxis", "int", "*", "VOX:Image_Naxis", "Pixels along each axis", 0),
    _column("scale", "double", "*", "VOX:Image_Scale", "Size of a pixel", 0, "deg"),
    _column("format", "char", "*", "VOX:Image_Format", "Media type of the file", 0),
    _column("frame", "char", "*", "VOX:STC_CoordRefFrame", "Frame of the coordinates", 1),
    _column("bandpass", "char", "*", "VOX:BandPass_ID", "Band", 2),
    _column("band_unit", "char", "*", "VOX:BandPass_Unit", "Unit of the band's limits", 2),
    _column("band_ref", "double", None, "VOX:BandPass_RefValue", "Middle of the band", 2, "m"),
    _column("band_high", "double", None, "VOX:BandPass_HiLimit", "Longest wavelength", 2, "m"),
    _column("band_low", "double", None, "VOX:BandPass_LoLimit", "Shortest wavelength", 2, "m"),
    _column("pixflags", "char", "*", "VOX:Image_PixFlags", "What was done to the pixels: C copied, V for pictures", 2),
    _column("url", "char", "*", "VOX:Image_AccessReference", "Address of the file", 0),
    _column("ttl", "int", None, "VOX:Image_AccessRefTTL", "Seconds the address is good for", 2, "s"),
    _column("filesize", "long", None, "VOX:Image_FileSize", "Size of the file", 1, "byte"),
    _column("target", "char", "*", "ID_TARGET", "Object observed", 3),
    _column("collection", "char", "*", "ID_COLLECTION", "Collection", 3),
    _column("exposure", "double", None, "TIME_EXPTIME", "Exposure time", 3, "s"),
    _column("publisher_did", "char", "*", "ID_MAIN", "Identifier of the dataset", 3),
)


class Sia1:
    """The old image search of a service, over all its collections."""

    def __init__(self, service: Service, addresses: ProductAddresses) -> None:
        self.service = service
        self.addresses = addresses

    def routes(self) -> list[Route]:
        return [Route("/sia1", self.query, methods=["GET", "POST"])]

    async def query(self, request: Request) -> Response:
        try:
            async with await read_form(request) as form:
                values = PARAMETERS.read(form.pairs)
            base = self.service.base_url(request)
            address = request_address(f"{base}/sia1", form.pairs)
            return await self.service.in_thread(self._answer, values, base, address)
        except Exception as problem:
            return _error(as_skyvault_error(problem))

    def _answer(self, values: dict[str, Any], base: str, address: str | None) -> Response:
        settings = self.service.settings
        chosen = negotiate("votable/td")
        wanted = wanted_formats(str(values["FORMAT"]))
        columns = tuple(column for verb, column in COLUMNS if verb <= values["VERB"])
        shelf = self.service.store.view().get(obscore.NAME)
        if wanted is None or shelf is None:
            params = tuple(_input(one) for one in PARAMETERS.parameters) if wanted is None else ()
            stream = TableStream(Table("results", columns, params=params), iter(()), infos=_INFOS)
            return Response(b"".join(chosen.write(stream)), headers={"content-type": CONTENT_TYPE})
        rows = settings.maxrec_default if values["MAXREC"] is None else min(values["MAXREC"], settings.maxrec_hard)
        names = (*_READ, *(name for name in _READ_TOO if name in shelf.table.column_names))
        text = f"SELECT {', '.join(names)} FROM {obscore.NAME} WHERE {condition(values)}"
        query = TapQuery(text, chosen, Limits(rows=rows, seconds=settings.sync_time_s), None)
        answer = start(query, self.service.store)
        if rows == 0:
            answer.stream.overflow = False
        answer.stream.batches = self._files(answer.stream.batches, columns, wanted, base)
        answer.stream.table = Table("results", columns)
        answer.stream.infos = _INFOS
        with_origin(answer.stream, self.service, answer.plan.tables, base, STANDARD, address)
        first, rest = collect(encoded(query, answer))
        return TableResponse(self.service, first, rest, CONTENT_TYPE, {"cache-control": "no-cache"})

    # ------------------------------------------------------------ files

    def _files(
        self, batches: Iterator[Any], columns: tuple[Column, ...], wanted: frozenset[str], base: str
    ) -> Iterator[Any]:
        """A row for each file of the images that has one of the wanted formats; no formats: any image."""
        import pyarrow as pa

        from skyvault.formats.arrow import arrow_type

        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])
        try:
            for batch in batches:
                for first in range(0, batch.num_rows, _ROWS):
                    rows = batch.slice(first, _ROWS).to_pylist()
                    found = products_of(self.service.store, [row["obs_publisher_did"] for row in rows])
                    made = [
                        {column.name: file.get(column.name) for column in columns}
                        for row in rows
                        for file in self._of_row(row, found.get(row["obs_publisher_did"], ()), wanted, base)
                    ]
                    yield pa.RecordBatch.from_pylist(made, schema=schema)
        finally:
            getattr(batches, "close", lambda: None)()

    def _of_row(
        self, row: dict[str, Any], products: Any, wanted: frozenset[str], base: str
    ) -> Iterator[dict[str, Any]]:
        told = _told(row)
        known = collections(self.service.store)
        this = next((one for one in products if one.semantics == "#this"), None)
        if this is None:
            # a table of observations whose files lie elsewhere
            if _is_wanted(row["access_format"], wanted):
                size = row["access_estsize"]
                yield told | {
                    "url": _whole(row["access_url"], base),
                    "format": row["access_format"],
                    "filesize": None if size is None else size * 1000,
                    "pixflags": "C",
                }
            return
        collection = known[_table(row["obs_publisher_did"])]
        for product in products:
            is_picture = product.semantics in ("#preview", "#preview-image")
            if product is not this and not (is_picture and wanted):
                continue
            if not _is_wanted(_kind(product), wanted):
                continue
            yield told | {
                "url": self.addresses.address(product, collection, base),
                "format": _kind(product),
                "filesize": product.size,
                "ttl": collection.link_lifetime_s if collection.is_signed else None,
                "pixflags": "V" if is_picture else "C",
                **({} if product is this else {"naxis": None, "scale": None, "naxes": 2}),
            }


_INFOS: Final = (Info("SERVICE_PROTOCOL", "1.0", "SIAP"),)


def _input(parameter: Parameter) -> Column:
    column = parameter.as_column()
    return replace(column, name=f"INPUT:{column.name}", ucd=None)


def _kind(product: Product) -> str:
    """SIA's name of FITS is image/fits, whatever our server calls the file."""
    kind = product.content_type or "application/fits"
    return "image/fits" if kind in ("application/fits", "image/fits") else kind


def _table(did: str) -> str:
    return did.partition("/~?")[2].partition("/")[0].lower()


def _whole(address: str | None, base: str) -> str | None:
    return f"{base}{address}" if address is not None and address.startswith("/") else address


def _is_wanted(kind: str | None, wanted: frozenset[str]) -> bool:
    if not wanted:
        return True
    told = (kind or "").partition(";")[0].strip().lower()
    same = {"application/fits", "image/fits", "image/x-fits"}
    return told in wanted or (told in same and bool(wanted & same))


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the columns say of an image, whichever of its files a row is about."""
    first, last = row["t_min"], row["t_max"]
    low, high = row["em_min"], row["em_max"]
    wide, tall = row["s_xel1"], row["s_xel2"]
    has_pixels = bool(wide and tall)
    # else the field is the circle around the image
    exact = row.get("s_pixel_scale")
    scale = exact / 3600 if exact else row["s_fov"] / math.hypot(wide, tall) if has_pixels and row["s_fov"] else None
    return {
        "title": row.get("obs_title") or row["obs_id"],
        "instrument": row["instrument_name"],
        "date_obs": (first + last) / 2 if first is not None and last is not None else first,
        "ra": row["s_ra"],
        "dec": row["s_dec"],
        "naxes": 2,
        "naxis": [wide, tall] if has_pixels else None,
        "scale": [-scale, scale] if scale is not None else None,
        "frame": "ICRS",
        "bandpass": row.get("filter"),
        "band_unit": "m" if low is not None else None,
        "band_ref": (low + high) / 2 if low is not None and high is not None else None,
        "band_high": high,
        "band_low": low,
        "target": row["target_name"],
        "collection": row["obs_collection"],
        "exposure": row["t_exptime"],
        "publisher_did": row["obs_publisher_did"],
    }


def wanted_formats(text: str) -> frozenset[str] | None:
    """The media types that FORMAT means: empty for all, None for METADATA (SIA 1.0, section 4.1.3)."""
    found: set[str] = set()
    for part in text.split(","):
        word = part.strip().lower()
        if word == "metadata":
            return None
        if word in ("", "all"):
            return frozenset()
        if word.startswith("graphic"):
            # GRAPHIC-png and GRAPHIC-all are more exact wishes
            kind = word.removeprefix("graphic").lstrip("-")
            found |= {f"image/{kind}"} if kind and kind != "all" else {"image/png", "image/jpeg", "image/gif"}
        else:
            found.add(word)
    return frozenset(found)


def condition(values: Mapping[str, Any]) -> str:
    """What the parameters ask, in ADQL. Raises ParameterError."""
    from skyvault.sky.region_text import format_region

    if values["POS"] is None or values["SIZE"] is None:
        raise ParameterError("POS and SIZE are needed", hint="Write POS=10.7,41.3&SIZE=0.5.")
    lon, lat = _numbers("POS", values["POS"], (2,))
    if abs(lat) > 90 or not math.isfinite(lon):
        raise ParameterError(f"POS={values['POS'][:64]!r} is not on the sky")
    size = _numbers("SIZE", values["SIZE"], (1, 2))
    width, height = size[0], size[-1]
    if min(size) < 0 or max(size) > 360:
        raise ParameterError(f"SIZE={values['SIZE'][:64]!r} is not between 0 and 360 degrees")
    how = values["INTERSECT"]
    kind = "dataproduct_type = 'image'"
    if values["COLLECTION"]:
        quoted = values["COLLECTION"].replace("'", "''")
        kind += f" AND obs_collection = '{quoted}'"
    if how == "CENTER" or max(size) == 0:
        return f"{kind} AND 1=CONTAINS(POINT({lon % 360!r}, {lat!r}), s_region)"
    region = f"REGION('{format_region(_region(lon % 360, lat, width, height))}')"
    if how == "COVERS":
        return f"{kind} AND 1=CONTAINS({region}, s_region)"
    if how == "ENCLOSED":
        return f"{kind} AND 1=CONTAINS(s_region, {region})"
    return f"{kind} AND 1=INTERSECTS(s_region, {region})"


def _numbers(name: str, text: str, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(one) for one in text.partition(";")[0].split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not all(map(math.isfinite, numbers)):
        hint = "Write POS=10.7,41.3." if name == "POS" else "Write SIZE=0.5 or SIZE=0.5,0.2."
        raise ParameterError(f"{name}={text[:64]!r} cannot be read", hint=hint)
    return numbers


def _region(lon: float, lat: float, width: float, height: float) -> Region:
    """The rectangle of the search; sides of no length are a hair."""
    from skyvault.sky.region_text import box_corners

    width, height = max(width, 1e-6), max(height, 1e-6)
    if max(width, height) <= _WIDEST_DEG and abs(lat) < 90:
        return Polygon(box_corners(lon, lat, width, height))
    half = width / 2 / max(math.cos(math.radians(lat)), 1e-6)
    low, high = max(-90.0, lat - height / 2), min(90.0, lat + height / 2)
    # a region that reaches over a pole has all longitudes
    if half >= 180 or max(abs(lat - height / 2), abs(lat + height / 2)) > 90:
        return Box(0.0, 360.0, low, high)
    return Box(lon - half, lon + half, low, high)


def _error(problem: SkyvaultError) -> Response:
    """A VOTable whose QUERY_STATUS is ERROR (SIA 1.0, section 4.2.5); with status 200 where the request is at fault."""
    from skyvault.formats.votable_out import error_document

    status = 200 if problem.http_status == 400 else problem.http_status
    headers = {"content-type": CONTENT_TYPE}
    if problem.http_status == 503:
        headers["retry-after"] = "5"
    return Response(error_document(str(problem)), status_code=status, headers=headers)
