"""SIA 2.0: /sia2/query: images and cubes of all collections by place, time, wavelength and what else ObsCore knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from skyvault.errors import ParameterError
from skyvault.formats import negotiate
from skyvault.formats.stream import TableStream
from skyvault.model.region import Circle, Region
from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.span import EnergySpan, Span, TimeSpan
from skyvault.serve.data_origin import request_address, with_origin
from skyvault.serve.dataset_links import with_links
from skyvault.serve.faults import guarded
from skyvault.serve.params import Parameter, ParameterSet, read_form
from skyvault.serve.service import Service
from skyvault.serve.table_response import TableResponse, collect
from skyvault.serve.tap_query import TapQuery, encoded, start
from skyvault.store import obscore
from skyvault.store.query import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

STANDARD: Final = "ivo://ivoa.net/std/SIA#query-2.0"
#: values of one parameter that one query may give
_MOST_VALUES: Final = 100

#: SIA 2.0, section 2.1: name, unit, UCD, what it is, interval or text, the columns it is about
_INTERVALS: Final = (
    ("BAND", "m", "em.wl", "Wavelengths in vacuum", ("em_min", "em_max")),
    ("TIME", "d", "time.interval;obs.exposure", "Times (MJD, UTC)", ("t_min", "t_max")),
    ("FOV", "deg", "phys.angSize;instr.fov", "Field of view", ("s_fov",)),
    ("SPATRES", "arcsec", "pos.angResolution", "Angular resolution", ("s_resolution",)),
    ("SPECRP", None, "spect.resolution", "Resolving power", ("em_res_power",)),
    ("EXPTIME", "s", "time.duration;obs.exposure", "Exposure time", ("t_exptime",)),
    ("TIMERES", "s", "time.resolution", "Time resolution", ("t_resolution",)),
)
_TEXTS: Final = (
    ("ID", "meta.id;meta.main", "Identifier of the dataset", "obs_publisher_did"),
    ("COLLECTION", "meta.id", "Collection", "obs_collection"),
    ("FACILITY", "meta.id;instr.tel", "Telescope or facility", "facility_name"),
    ("INSTRUMENT", "meta.id;instr", "Instrument", "instrument_name"),
    ("DPTYPE", "meta.code.class", "image or cube", "dataproduct_type"),
    ("TARGET", "meta.id;src", "Object observed", "target_name"),
    ("FORMAT", "meta.code.mime", "Media type of the dataset", "access_format"),
)
PARAMETERS: Final = ParameterSet(
    (
        Parameter("POS", multiple=True, doc="CIRCLE, RANGE or POLYGON and its numbers", unit="deg",
                  ucd="pos.outline;obs", longest=100_000),
        *(Parameter(name, multiple=True, doc=doc, unit=unit, ucd=ucd, xtype="interval")
          for name, unit, ucd, doc, _ in _INTERVALS),
        Parameter("POL", multiple=True, doc="Polarisation states", ucd="meta.code;phys.polarization"),
        *(Parameter(name, multiple=True, doc=doc, ucd=ucd, longest=2_000) for name, ucd, doc, _ in _TEXTS),
        Parameter("CALIB", type="integer", multiple=True, doc="Calibration level, 0 to 4", ucd="meta.code;obs.calib",
                  minimum=0, maximum=4),
        Parameter("MAXREC", type="integer", doc="Most rows of the result; 0: columns only", minimum=0),
        Parameter("RESPONSEFORMAT", doc="Format of the result"),
    )
)  # fmt: skip


class Sia2:
    """The image search of a service, over all its collections."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [Route("/sia2/query", guarded()(self.query), methods=["GET", "POST"])]

    async def query(self, request: Request) -> Response:
        async with await read_form(request) as form:
            values = PARAMETERS.read(form.pairs)
            base = self.service.base_url(request)
            address = request_address(f"{base}/sia2/query", form.pairs)
        return await self.service.in_thread(self._answer, values, base, address)

    def _answer(self, values: dict[str, Any], base: str, address: str | None = None) -> Response:
        settings = self.service.settings
        chosen = negotiate(values["RESPONSEFORMAT"] or "votable/td")
        rows = settings.maxrec_default if values["MAXREC"] is None else min(values["MAXREC"], settings.maxrec_hard)
        where = conditions(values)
        descriptor = self_descriptor(base)
        if self.service.store.view().get(obscore.NAME) is None:
            stream = TableStream(obscore.obscore_table(), iter(()), services=(descriptor,))
            return Response(b"".join(chosen.write(stream)), headers={"content-type": chosen.content_type})
        text = f"SELECT * FROM {obscore.NAME} WHERE {where}"
        query = TapQuery(text, chosen, Limits(rows=rows, seconds=settings.sync_time_s), None)
        answer = start(query, self.service.store)
        if rows == 0:
            answer.stream.overflow = False
        answer.stream.services = (descriptor,)
        with_origin(answer.stream, self.service, answer.plan.tables, base, STANDARD, address)
        with_links(answer.stream, self.service, base)
        first, rest = collect(encoded(query, answer))
        return TableResponse(self.service, first, rest, chosen.content_type, {"cache-control": "no-cache"})


def conditions(values: Mapping[str, Any]) -> str:
    """What the parameters ask, in ADQL: values of one are alternatives, parameters go together (SIA 2.0, section 2.1).

    Raises ParameterError.
    """
    found: list[str] = []
    for one in PARAMETERS.parameters:
        given = values.get(one.name)
        if isinstance(given, list) and len(given) > _MOST_VALUES:
            raise ParameterError(f"{one.name} is given {len(given)} times, at most {_MOST_VALUES} are taken")
    found += _any(values["POS"], lambda text: f"1=INTERSECTS(s_region, {_shape(_region(text))})")
    for name, _, _, _, columns in _INTERVALS:
        kind = {"BAND": EnergySpan, "TIME": TimeSpan}.get(name, Span)
        found += _any(values[name], lambda text, k=kind, n=name, c=columns: _overlaps(_span(k, n, text), c))
    found += _any(values["POL"], lambda text: f"pol_states LIKE '%/{_quoted(text.strip().upper())}/%'")
    for name, _, _, column in _TEXTS:
        fold = str.lower if name == "DPTYPE" else str
        found += _any(values[name], lambda text, c=column, f=fold: f"{c} = '{_quoted(f(text))}'")
    found += _any(values["CALIB"], lambda level: f"calib_level = {int(level)}")
    if not values["DPTYPE"]:
        # SIA is about images and cubes (SIA 2.0, section 1)
        found.append("dataproduct_type IN ('image', 'cube')")
    return " AND ".join(found)


def _any(values: list[Any], one: Callable[..., str]) -> list[str]:
    if not values:
        return []
    return [f"({' OR '.join(one(value) for value in values)})"]


def _region(text: str) -> Region:
    from skyvault.sky.region_text import parse_region

    word = text.strip().partition(" ")[0].upper()
    if word not in ("CIRCLE", "RANGE", "POLYGON"):
        raise ParameterError(f"POS={text[:64]!r} is no CIRCLE, RANGE or POLYGON", hint="Write POS=CIRCLE 10 20 0.1.")
    try:
        return parse_region(text)
    except Exception as problem:
        raise ParameterError(f"POS={text[:64]!r} is no region ({getattr(problem, 'what', problem)})") from None


def _shape(region: Region) -> str:
    from skyvault.sky.region_text import format_region

    if isinstance(region, Circle):
        return f"CIRCLE({region.lon!r}, {region.lat!r}, {region.radius!r})"
    return f"REGION('{format_region(region)}')"


def _span(kind: type[Span], name: str, text: str) -> Span:
    try:
        return kind.parse(text)
    except ParameterError as problem:
        raise ParameterError(f"{name}: {problem.what}", hint=problem.hint) from None


def _overlaps(span: Span, columns: tuple[str, ...]) -> str:
    import math

    low, high = columns[0], columns[-1]
    parts = []
    if not math.isinf(span.hi):
        parts.append(f"{low} <= {span.hi!r}")
    if not math.isinf(span.lo):
        parts.append(f"{high} >= {span.lo!r}")
    return f"({' AND '.join(parts)})" if parts else f"{low} IS NOT NULL"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


@lru_cache(maxsize=16)
def self_descriptor(base: str) -> ServiceDescriptor:
    """The search itself, as its answers describe it (SIA 2.0, section 4.4)."""
    pair: dict[str, Any] = {"datatype": "double", "arraysize": "2"}
    columns = (one.as_column() for one in PARAMETERS.parameters)
    # an interval is a pair of numbers (DALI 1.1, section 3.3.4)
    inputs = tuple(replace(one, **pair) if one.xtype == "interval" else one for one in columns)
    return ServiceDescriptor(
        "sia2", f"{base}/sia2/query", inputs, STANDARD, None, "Search for images", "this", is_self=True
    )
