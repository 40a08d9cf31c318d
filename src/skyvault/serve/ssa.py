"""SSA 1.1: /ssa: spectra (and light curves) of all collections by place, wavelength, time and name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import ParameterError
from skyvault.formats import negotiate
from skyvault.formats.stream import TableStream
from skyvault.model.product import Product
from skyvault.model.table import Column, Info, Table
from skyvault.serve.data_origin import request_address, with_origin
from skyvault.serve.dataset_links import with_links
from skyvault.serve.faults import guarded
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.product_addresses import ProductAddresses
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.tap_query import TapQuery, encoded, start
from skyvault.store import obscore
from skyvault.store.products import collections
from skyvault.store.query import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

STANDARD: Final = "ivo://ivoa.net/std/SSA"
_INTERVAL: Final = "Interval: low/high, low/, /high"
PARAMETERS: Final = ParameterSet(
    (
        Parameter("REQUEST", doc="queryData", default="queryData"),
        Parameter("VERSION", doc="Version of the protocol; ignored"),
        Parameter("POS", doc="Longitude,latitude in degrees, perhaps ;frame", ucd="pos.eq;obs"),
        Parameter("SIZE", type="real", doc="Diameter of the search", unit="deg", minimum=0, maximum=360),
        Parameter("BAND", doc=f"Wavelengths in metres. {_INTERVAL}", unit="m", ucd="em.wl"),
        Parameter("TIME", doc=f"Dates (ISO, UTC). {_INTERVAL}", ucd="time;obs"),
        Parameter("FORMAT", doc="ALL, METADATA, or a media type", default="ALL"),
        Parameter("TARGETNAME", doc="Name of the object", ucd="meta.id;src"),
        Parameter("COLLECTION", doc="Name of the collection", ucd="meta.id"),
        Parameter("PUBDID", doc="Identifier of the dataset", ucd="meta.ref.ivoid"),
        Parameter("SPECRP", doc=f"Resolving power. {_INTERVAL}", ucd="spect.resolution"),
        Parameter("DPTYPE", doc="spectrum or timeseries", choices=("spectrum", "timeseries"), default="spectrum"),
        Parameter("TOP", type="integer", doc="Most rows", minimum=0),
        Parameter("MAXREC", type="integer", doc="Most rows", minimum=0),
        Parameter("RESPONSEFORMAT", doc="Format of the result"),
    )
)  # fmt: skip

#: name, ObsCore's column, utype without "ssa:", datatype, unit, UCD (SSA 1.1, section 4.2.5)
_FIELDS: Final = (
    ("accref", "access_url", "Access.Reference", "char", None, "meta.ref.url"),
    ("mime", "access_format", "Access.Format", "char", None, "meta.code.mime"),
    ("accsize", "access_estsize", "Access.Size", "long", "kbyte", "phys.size;meta.file"),
    ("ssa_dstitle", "obs_id", "DataID.Title", "char", None, "meta.title;meta.dataset"),
    ("ssa_collection", "obs_collection", "DataID.Collection", "char", None, "meta.id"),
    ("ssa_pubDID", "obs_publisher_did", "Curation.PublisherDID", "char", None, "meta.ref.ivoid"),
    ("ssa_dstype", "dataproduct_type", "Dataset.Type", "char", None, "meta.code.class"),
    ("ssa_targname", "target_name", "Target.Name", "char", None, "meta.id;src"),
    ("ssa_ra", "s_ra", "Char.SpatialAxis.Coverage.Location.Value.C1", "double", "deg", "pos.eq.ra"),
    ("ssa_dec", "s_dec", "Char.SpatialAxis.Coverage.Location.Value.C2", "double", "deg", "pos.eq.dec"),
    ("ssa_aperture", "s_fov", "Char.SpatialAxis.Coverage.Bounds.Extent", "double", "deg", "phys.angSize;instr.fov"),
    ("ssa_tmin", "t_min", "Char.TimeAxis.Coverage.Bounds.Start", "double", "d", "time.start;obs.exposure"),
    ("ssa_tmax", "t_max", "Char.TimeAxis.Coverage.Bounds.Stop", "double", "d", "time.end;obs.exposure"),
    ("ssa_timeExt", "t_exptime", "Char.TimeAxis.Coverage.Bounds.Extent", "double", "s", "time.duration"),
    ("ssa_specstart", "em_min", "Char.SpectralAxis.Coverage.Bounds.Start", "double", "m", "em.wl;stat.min"),
    ("ssa_specend", "em_max", "Char.SpectralAxis.Coverage.Bounds.Stop", "double", "m", "em.wl;stat.max"),
    ("ssa_specres", "em_res_power", "Char.SpectralAxis.ResPower", "double", None, "spect.resolution"),
    ("ssa_length", "em_xel", "Dataset.Length", "long", None, "meta.number"),
    ("ssa_fluxucd", "o_ucd", "Char.FluxAxis.Ucd", "char", None, "meta.ucd"),
    ("ssa_telescope", "facility_name", "Provenance.ObsConfig.Facility.Name", "char", None, "meta.id;instr.tel"),
    ("ssa_instrument", "instrument_name", "DataID.Instrument", "char", None, "meta.id;instr"),
)
_FRAMES: Final = {
    "ssa_ra": obscore.PLACES.id, "ssa_dec": obscore.PLACES.id,
    "ssa_tmin": obscore.TIMES.id, "ssa_tmax": obscore.TIMES.id,
}  # fmt: skip
_FILES: Final = "/datalink/links?ID="
#: files that are no FITS, by the ends of their names
_ENDINGS: Final = {r"\.(vot|xml)$": "application/x-votable+xml", r"\.csv(\.gz)?$": "text/csv", r"\.ecsv$": "text/plain"}


class Ssa:
    """The search for spectra of a service, over all its collections."""

    def __init__(self, service: Service, addresses: ProductAddresses) -> None:
        self.service = service
        self.addresses = addresses

    def routes(self) -> list[Route]:
        return [Route("/ssa", guarded()(self.query), methods=["GET", "POST"])]

    async def query(self, request: Request) -> Response:
        async with await read_form(request) as form:
            values = PARAMETERS.read(form.pairs)
        if str(values["REQUEST"]).lower() != "querydata":
            raise ParameterError(f"REQUEST={values['REQUEST']!r} is not done here", hint="Send REQUEST=queryData.")
        base = self.service.base_url(request)
        address = request_address(f"{base}/ssa", form.pairs)
        return await self.service.in_thread(self._answer, values, base, address)

    def _answer(self, values: dict[str, Any], base: str, address: str | None) -> Response:
        settings = self.service.settings
        chosen = negotiate(values["RESPONSEFORMAT"] or "votable/td")
        is_metadata = str(values["FORMAT"]).strip().upper() == "METADATA"
        if is_metadata or self.service.store.view().get(obscore.NAME) is None:
            table = replace(ssa_table(), params=tuple(_input(one) for one in PARAMETERS.parameters))
            stream = TableStream(table, iter(()), infos=_INFOS)
            return Response(b"".join(chosen.write(stream)), headers={"content-type": chosen.content_type})
        most = [one for one in (values["TOP"], values["MAXREC"]) if one is not None]
        rows = min([*most, settings.maxrec_hard]) if most else settings.maxrec_default
        names = ", ".join(column for _, column, *_ in _FIELDS)
        text = f"SELECT {names} FROM {obscore.NAME} WHERE {conditions(values)}"
        query = TapQuery(text, chosen, Limits(rows=rows, seconds=settings.sync_time_s), None)
        answer = start(query, self.service.store)
        answer.stream.table = ssa_table()
        answer.stream.batches = self._files(answer.stream.batches, base)
        answer.stream.infos = _INFOS
        with_origin(answer.stream, self.service, answer.plan.tables, base, STANDARD, address)
        with_links(answer.stream, self.service, base)
        first, rest = collect(encoded(query, answer))
        return TableResponse(self.service, first, rest, chosen.content_type, {"cache-control": "no-cache"})

    def _files(self, batches: Iterator[Any], base: str) -> Iterator[Any]:
        """SSA's access reference is the file itself: what our addresses of links stand for."""
        import pyarrow as pa
        import pyarrow.compute as pc

        known = {one.name.lower(): one for one in collections(self.service.store).values()}
        try:
            for batch in batches:
                url, mime, did = batch.column(0), batch.column(1), batch.column(5)
                ours = pc.fill_null(pc.starts_with(url, _FILES), False)
                if pc.any(ours).as_py():
                    path = pc.replace_substring_regex(did, r"^ivo://[^/]*/~\?([^/]+)/(.*)$", r"/get/\1/\2")
                    kinds = pa.scalar("application/fits", mime.type)
                    for ending, kind in _ENDINGS.items():
                        kinds = pc.if_else(pc.match_substring_regex(path, ending), pa.scalar(kind, mime.type), kinds)
                    tables = pc.replace_substring_regex(did, r"^ivo://[^/]*/~\?([^/]+)/(.*)$", r"\1")
                    for table in pc.unique(tables.filter(ours)).to_pylist():
                        found = known.get(str(table).lower())
                        is_of = pc.and_(ours, pc.equal(tables, table))
                        if found is not None and found.made_type is not None:
                            kinds = pc.if_else(is_of, pa.scalar(found.made_type, mime.type), kinds)
                        if found is not None and found.is_signed:
                            signed = [
                                self.addresses.address(Product(one, 0, "#this", "source", ""), found, base)
                                for one in did.filter(is_of).to_pylist()
                            ]
                            path = pc.replace_with_mask(path, is_of, pa.array(signed, path.type))
                    batch = batch.set_column(0, batch.schema.field(0), pc.if_else(ours, path, url))
                    batch = batch.set_column(1, batch.schema.field(1), pc.if_else(ours, kinds, mime))
                yield batch
        finally:
            getattr(batches, "close", lambda: None)()


_INFOS: Final = (Info("SERVICE_PROTOCOL", "1.1", "SSAP"), Info("REQUEST", "queryData"))


def ssa_table() -> Table:
    """The described result (SSA 1.1, section 4.2.5)."""
    columns = tuple(
        Column(
            name,
            datatype,  # type: ignore[arg-type]
            "*" if datatype == "char" else None,
            unit=unit,
            ucd=ucd,
            utype=f"ssa:{utype}",
            ref=_FRAMES.get(name),
        )
        for name, _, utype, datatype, unit, ucd in _FIELDS
    )
    return Table("results", columns, utype="ssa:Dataset", frames=(obscore.PLACES,), time_frames=(obscore.TIMES,))


def _input(parameter: Parameter) -> Column:
    column = parameter.as_column()
    return replace(column, name=f"INPUT:{column.name}")


def conditions(values: Mapping[str, Any]) -> str:
    """What the parameters ask, in ADQL. Raises ParameterError."""
    found = [f"dataproduct_type = '{values['DPTYPE']}'"]
    if values["POS"]:
        lon, lat = _place(values["POS"])
        radius = (0.2 if values["SIZE"] is None else values["SIZE"]) / 2.0
        found.append(f"DISTANCE(s_ra, s_dec, {lon!r}, {lat!r}) < {max(radius, 1e-6)!r}")
    for name, low, high in (("BAND", "em_min", "em_max"), ("SPECRP", "em_res_power", "em_res_power")):
        if values[name]:
            found += _ranges(name, values[name], low, high, _number)
    if values["TIME"]:
        found += _ranges("TIME", values["TIME"], "t_min", "t_max", _day)
    if values["PUBDID"]:
        found.append(f"obs_publisher_did = '{_quoted(values['PUBDID'])}'")
    for name, column in (("TARGETNAME", "target_name"), ("COLLECTION", "obs_collection")):
        if values[name]:
            found.append(f"LOWER({column}) = '{_quoted(values[name]).lower()}'")
    wanted = str(values["FORMAT"]).strip().lower()
    if wanted not in ("", "all", "compliant", "native", "fits", "application/fits", "votable", "metadata"):
        raise ParameterError(f"FORMAT={values['FORMAT']!r} is not given out here", hint="Use ALL.")
    return " AND ".join(found)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _place(text: str) -> tuple[float, float]:
    place, _, frame = text.partition(";")
    numbers = place.split(",")
    try:
        lon, lat = (float(one) for one in numbers)
    except ValueError:
        raise ParameterError(f"POS={text[:64]!r} is no position", hint="Write POS=10.5,-20.3.") from None
    if not (math.isfinite(lon) and abs(lat) <= 90):
        raise ParameterError(f"POS={text[:64]!r} is not on the sky")
    if frame.strip().upper() not in ("", "ICRS"):
        from skyvault.sky.frames import transform_coordinates

        try:
            turned = transform_coordinates([lon], [lat], frame.strip().upper(), "ICRS")
        except Exception:
            raise ParameterError(f"POS: the frame {frame[:20]!r} is not known", hint="Use ICRS or GALACTIC.") from None
        lon, lat = float(turned[0][0]), float(turned[1][0])
    return lon % 360.0, lat


def _ranges(name: str, text: str, low: str, high: str, read: Any) -> list[str]:
    """A range-list (SSA 1.1, section 8.7.2): a/b, a/, /b, a, with commas between."""
    parts = []
    for piece in text.partition(";")[0].split(","):
        begin, slash, end = piece.strip().partition("/")
        first = read(name, begin) if begin else -math.inf
        last = read(name, end) if end else math.inf if slash else first
        limits = [f"{low} <= {last!r}"] if math.isfinite(last) else []
        limits += [f"{high} >= {first!r}"] if math.isfinite(first) else []
        if limits:
            parts.append(f"({' AND '.join(limits)})")
    return [f"({' OR '.join(parts)})"] if parts else []


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ParameterError(f"{name}={text[:64]!r} is no number", hint=f"{_INTERVAL}.")
    return value


def _day(name: str, text: str) -> float:
    import datetime

    if re.fullmatch(r"\d{4}(-\d{2})?", text):
        text += "-01" * (3 - text.count("-") - 1)
    try:
        at = datetime.datetime.fromisoformat(text.rstrip("Zz"))
    except ValueError:
        raise ParameterError(f"{name}={text[:64]!r} is no date", hint="Write 2001-02-03/2001-02-04.") from None
    return (at - datetime.datetime(1858, 11, 17)) / datetime.timedelta(days=1)
