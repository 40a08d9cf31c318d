"""What SODA is asked: the parameters of a cutout, declared once, and how they narrow an image (SODA 1.0, section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ParameterError
from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.model.span import EnergySpan, Span, TimeSpan
from skyvault.serve.params import Pairs, Parameter, ParameterSet

if TYPE_CHECKING:
    from skyvault.model.region import Region

STANDARDS: Final = {"sync": "ivo://ivoa.net/std/SODA#sync-1.0", "async": "ivo://ivoa.net/std/SODA#async-1.0"}
#: cutouts one job may make
MOST_CUTOUTS: Final = 1_000

PARAMETERS: Final = (
    Parameter("ID", multiple=True, doc="Identifier of the dataset", ucd="meta.id;meta.main", longest=2_000),
    Parameter("CIRCLE", multiple=True, doc="Centre and radius", unit="deg", ucd="pos.outline;obs", xtype="circle"),
    Parameter("POLYGON", multiple=True, doc="Corners", unit="deg", ucd="pos.outline;obs", xtype="polygon"),
    Parameter("POS", multiple=True, doc="CIRCLE, RANGE or POLYGON and its numbers", unit="deg", ucd="pos.outline;obs"),
    Parameter("BAND", multiple=True, doc="Wavelengths", unit="m", ucd="em.wl;stat.interval", xtype="interval"),
    Parameter("TIME", multiple=True, doc="Times (MJD, UTC)", unit="d", ucd="time.interval", xtype="interval"),
    Parameter("POL", multiple=True, doc="Polarisation states", ucd="meta.code;phys.polarization"),
    Parameter("PIXEL_1", multiple=True, doc="Pixels along the first axis, from 1", xtype="interval"),
    Parameter("PIXEL_2", multiple=True, doc="Pixels along the second axis", xtype="interval"),
    Parameter("PIXEL_3", multiple=True, doc="Pixels along the third axis", xtype="interval"),
    Parameter("RESPONSEFORMAT", doc="application/fits (as it is) or image/png"),
)  # fmt: skip
_SET: Final = ParameterSet(PARAMETERS)


#: parameters that are so many numbers (DALI 1.1, section 3.3)
_NUMBERS: Final = {"CIRCLE": "3", "POLYGON": "*", "BAND": "2", "TIME": "2", "PIXEL_1": "2", "PIXEL_2": "2"}


@dataclass(frozen=True, slots=True)
class CutoutRequest:
    """One cutout of one dataset. Regions are ICRS, wavelengths metres in vacuum, times MJD UTC, pixels from 1."""

    did: str
    region: Region | None = None
    band: Span | None = None
    time: Span | None = None
    polarisations: tuple[str, ...] = ()
    pixels: tuple[Span | None, Span | None, Span | None] = (None, None, None)
    format: str = "application/fits"


class MultiValued(ParameterError):
    """A parameter is repeated that takes one value here."""

    fault = "MultiValuedParamNotSupported"


def read_requests(pairs: Pairs, *, several: bool) -> list[CutoutRequest]:
    """The cutouts that are asked for: one, or (``several``) one for each combination of the values.

    Raises ParameterError.
    """
    values = _SET.read(pairs)
    if not values["ID"]:
        raise ParameterError("ID is missing", hint="It is the dataset's obs_publisher_did.")
    if not several:
        for name in ("ID", "CIRCLE", "POLYGON", "POS", "BAND", "TIME", "PIXEL_1", "PIXEL_2", "PIXEL_3"):
            if len(values[name]) > 1:
                raise MultiValued(f"{name} is given {len(values[name])} times", hint="Use /soda/async for several.")
        if sum(bool(values[name]) for name in ("CIRCLE", "POLYGON", "POS")) > 1:
            raise MultiValued(
                "CIRCLE, POLYGON and POS are given together", hint="Give one of them, or use /soda/async."
            )
    return list(_combined(values, several))


def _combined(values: dict[str, Any], several: bool) -> Iterator[CutoutRequest]:
    regions: list[Region | None] = []
    for name, xtype in (("CIRCLE", "circle"), ("POLYGON", "polygon"), ("POS", None)):
        regions += [_region(name, text, xtype) for text in values[name]]
    bands, times = _spans(EnergySpan, "BAND", values), _spans(TimeSpan, "TIME", values)
    pixels = [_spans(Span, name, values) for name in ("PIXEL_1", "PIXEL_2", "PIXEL_3")]
    states = tuple(state.strip().upper() for text in values["POL"] for state in text.replace("/", " ").split())
    wanted = _format(values["RESPONSEFORMAT"])
    combined = product(values["ID"], regions or [None], bands, times, *pixels)
    for count, (did, region, band, time, one, two, three) in enumerate(combined, start=1):
        if several and count > MOST_CUTOUTS:
            raise ParameterError(f"these are more than {MOST_CUTOUTS:,} cutouts", hint="Send several jobs.")
        yield CutoutRequest(did, region, band, time, states, (one, two, three), wanted)


def _region(name: str, text: str, xtype: str | None) -> Region:
    from skyvault.sky.region_text import parse_region

    if xtype is None and not text.strip()[:1].isalpha():
        raise ParameterError(f"POS={text[:64]!r} does not say its shape", hint="Write POS=CIRCLE 10 20 0.1.")
    try:
        return parse_region(text, xtype)
    except ParameterError:
        raise
    except Exception as problem:
        raise ParameterError(f"{name}={text[:64]!r} is no region ({getattr(problem, 'what', problem)})") from None


def _span(kind: type[Span], name: str, text: str) -> Span:
    try:
        return kind.parse(text)
    except ParameterError as problem:
        raise ParameterError(f"{name}: {problem.what}", hint=problem.hint) from None


def _spans(kind: type[Span], name: str, values: dict[str, Any]) -> list[Span | None]:
    return [_span(kind, name, text) for text in values[name]] or [None]


def _format(text: str | None) -> str:
    plain = (text or "application/fits").partition(";")[0].strip().lower()
    if plain in ("fits", "application/fits", "image/fits"):
        return "application/fits"
    if plain in ("png", "image/png"):
        return "image/png"
    raise ParameterError(
        f"RESPONSEFORMAT={plain[:64]!r} cannot be made", hint="There are application/fits and image/png."
    )


def soda_descriptor(identifier: str, address: str, reference: str, kind: str) -> ServiceDescriptor:
    """The service for the datasets of a table, whose column of identifiers has the ID ``reference``.

    With what it may be asked (DataLink 1.1, section 4.1; SODA 1.0, section 4.4).
    """
    inputs = [
        replace(
            one.as_column(),
            ref=reference if one.name == "ID" else None,
            value="",
            datatype="double" if one.name in _NUMBERS else "char",
            arraysize=_NUMBERS.get(one.name, "*"),
        )
        for one in PARAMETERS
        if not one.name.startswith("PIXEL") or one.name in ("PIXEL_1", "PIXEL_2")
    ]
    return ServiceDescriptor(
        identifier, address, tuple(inputs), STANDARDS[kind], "application/fits", "Cutouts (SODA 1.0)"
    )
