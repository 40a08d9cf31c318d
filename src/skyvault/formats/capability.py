"""What a service can do, as registries and clients read it: its interfaces, languages, formats and limits.

The values here are written as a VOSI capabilities document (VOSI 1.1, section 5; VOResource 1.1; TAPRegExt 1.0 with
erratum 1, and 1.1's ``forMode`` on demand; SimpleDALRegExt 1.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from skyvault.formats.vosi_xml import VS, XSI
from skyvault.formats.xml_text import attributes, element

CAPABILITIES = "http://www.ivoa.net/xml/VOSICapabilities/v1.0"
VR = "http://www.ivoa.net/xml/VOResource/v1.0"
TR = "http://www.ivoa.net/xml/TAPRegExt/v1.0"
CS = "http://www.ivoa.net/xml/ConeSearch/v1.0"
SSA = "http://www.ivoa.net/xml/SSA/v1.1"
SIA = "http://www.ivoa.net/xml/SIA/v1.1"
VG = "http://www.ivoa.net/xml/VORegistry/v1.0"

STD = "ivo://ivoa.net/std/"
#: Types of language features (TAPRegExt 1.0, section 2.3; ADQL 2.1, section 4)
UDF_FEATURES = "ivo://ivoa.net/std/TAPRegExt#features-udf"
GEOMETRY_FEATURES = "ivo://ivoa.net/std/TAPRegExt#features-adqlgeo"

Mode = Literal["sync", "async"]


@dataclass(frozen=True, slots=True)
class InputParam:
    """A parameter an interface takes; ``datatype`` is one of VODataService's simple types."""

    name: str
    datatype: Literal["integer", "real", "complex", "boolean", "char", "string"] = "string"
    arraysize: str | None = None
    description: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    use: Literal["required", "optional", "ignored"] = "optional"
    is_standard: bool = True


@dataclass(frozen=True, slots=True)
class Interface:
    """Where and how a capability is reached. ``kind`` is its xsi:type."""

    access_url: str
    use: Literal["full", "base", "dir"] = "full"
    role: str | None = "std"
    version: str | None = None
    kind: Literal["vs:ParamHTTP", "vr:WebBrowser", "vg:OAIHTTP"] = "vs:ParamHTTP"
    security_methods: tuple[str, ...] = ()
    query_types: tuple[Literal["GET", "POST"], ...] = ()
    result_type: str | None = None
    params: tuple[InputParam, ...] = ()
    test_query: str | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a service does; ``standard_id`` says after which standard (None: its own)."""

    standard_id: str | None
    interfaces: tuple[Interface, ...]
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """A function or construct of a query language: its form, such as a UDF's signature."""

    form: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Language:
    """A query language. ``versions`` are pairs of (number, IVOID), ``features`` are grouped by their type's IVOID."""

    name: str
    versions: tuple[tuple[str, str | None], ...]
    description: str | None = None
    features: Mapping[str, tuple[Feature, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A format of results: media type, short names for RESPONSEFORMAT, IVOID if it is a standard one."""

    mime: str
    aliases: tuple[str, ...] = ()
    ivo_id: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: what holds by default and at the most. ``unit`` "s" for times, else "row" or "byte"."""

    default: int | None
    hard: int | None
    unit: Literal["s", "row", "byte"] = "s"
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class TapCapability(Capability):
    """A TAP service (TAPRegExt). ``data_models`` are pairs of (name, IVOID).

    Several limits of a kind are told apart by their ``mode``; TAPRegExt 1.0 knows one only, the asynchronous.
    """

    languages: tuple[Language, ...] = ()
    output_formats: tuple[OutputFormat, ...] = ()
    data_models: tuple[tuple[str, str], ...] = ()
    upload_methods: tuple[str, ...] = ()
    retention_period: tuple[Limit, ...] = ()
    execution_duration: tuple[Limit, ...] = ()
    output_limit: tuple[Limit, ...] = ()
    upload_limit: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class ConeSearchCapability(Capability):
    """A simple cone search. ``max_radius_deg`` is the largest SR, ``test_cone`` is (ra, dec, sr) in degrees."""

    max_radius_deg: float = 180.0
    max_records: int = 20_000
    has_verbosity: bool = True
    test_cone: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class SpectralCapability(Capability):
    """A simple spectral access service (SimpleDALRegExt 1.1, section 3.3)."""

    max_records: int = 20_000
    default_records: int = 20_000
    data_sources: tuple[str, ...] = ("survey",)
    creation_types: tuple[str, ...] = ("archival",)


@dataclass(frozen=True, slots=True)
class ImageCapability(Capability):
    """A simple image access service of version 1 (SimpleDALRegExt 1.1, section 3.2)."""

    max_records: int = 20_000


@dataclass(frozen=True, slots=True)
class HarvestCapability(Capability):
    """A registry's records by OAI-PMH (Registry Interfaces 1.1, section 3.4); ``max_records`` are those of a page."""

    max_records: int = 200


def capabilities_document(capabilities: Iterable[Capability], *, with_modes: bool = False) -> Iterator[bytes]:
    """The document, capability by capability.

    ``with_modes`` writes limits with ``forMode`` (TAPRegExt 1.1); without, as the schema of 1.0 demands, only the
    asynchronous or common one of each kind, so that validators are content.
    """
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<vosi:capabilities xmlns:vosi="{CAPABILITIES}" xmlns:vr="{VR}"'
        f' xmlns:vs="{VS}" xmlns:tr="{TR}" xmlns:cs="{CS}" xmlns:xsi="{XSI}">\n'
    ).encode()
    for capability in capabilities:
        yield _capability(capability, with_modes).encode()
    yield b"</vosi:capabilities>\n"


def capability_element(capability: Capability) -> str:
    """One capability as a registry record holds it; the prefixes are those of :mod:`skyvault.formats.voresource`."""
    return _capability(capability, False)


def _capability(capability: Capability, with_modes: bool) -> str:
    kind, special = None, ""
    if isinstance(capability, TapCapability):
        kind, special = "tr:TableAccess", _tap(capability, with_modes)
    elif isinstance(capability, ConeSearchCapability):
        kind, special = "cs:ConeSearch", _cone_search(capability)
    elif isinstance(capability, SpectralCapability):
        kind, special = "ssap:SimpleSpectralAccess", _spectral(capability)
    elif isinstance(capability, ImageCapability):
        kind = "sia:SimpleImageAccess"
        special = element("imageServiceType", "Pointed") + element("maxRecords", capability.max_records)
    elif isinstance(capability, HarvestCapability):
        kind, special = "vg:Harvest", element("maxRecords", capability.max_records)
    interfaces = "".join(_interface(interface) for interface in capability.interfaces)
    return (
        f"<capability{attributes([('standardID', capability.standard_id), ('xsi:type', kind)])}>\n"
        f"{element('description', capability.description)}{interfaces}{special}</capability>\n"
    )


def _interface(interface: Interface) -> str:
    pairs = (("xsi:type", interface.kind), ("role", interface.role), ("version", interface.version))
    return "".join(
        (
            f"<interface{attributes(pairs)}>",
            element("accessURL", interface.access_url, ("use", interface.use)),
            *(f"<securityMethod{attributes([('standardID', method)])}/>" for method in interface.security_methods),
            *(element("queryType", kind) for kind in interface.query_types),
            element("resultType", interface.result_type),
            *(_param(param) for param in interface.params),
            element("testQuery", interface.test_query),
            "</interface>\n",
        )
    )


def _param(param: InputParam) -> str:
    return "".join(
        (
            f"<param{attributes([('use', param.use), ('std', 'true' if param.is_standard else 'false')])}>",
            element("name", param.name),
            element("description", param.description),
            element("unit", param.unit),
            element("ucd", param.ucd),
            element("utype", param.utype),
            element("dataType", param.datatype, ("arraysize", param.arraysize)),
            "</param>",
        )
    )


def _tap(tap: TapCapability, with_modes: bool) -> str:
    # the order of the schema: data models, languages, formats, uploads, limits
    return "".join(
        (
            *(element("dataModel", name, ("ivo-id", ivo_id)) + "\n" for name, ivo_id in tap.data_models),
            *(_language(language) for language in tap.languages),
            *(_output_format(one) for one in tap.output_formats),
            *(f"<uploadMethod{attributes([('ivo-id', method)])}/>\n" for method in tap.upload_methods),
            _limits("retentionPeriod", tap.retention_period, with_modes),
            _limits("executionDuration", tap.execution_duration, with_modes),
            _limits("outputLimit", tap.output_limit, with_modes),
            _limits("uploadLimit", tap.upload_limit, with_modes),
        )
    )


def _language(language: Language) -> str:
    return "".join(
        (
            "<language>",
            element("name", language.name),
            *(element("version", number, ("ivo-id", ivo_id)) for number, ivo_id in language.versions),
            element("description", language.description),
            "\n",
            *(_features(kind, features) for kind, features in language.features.items()),
            "</language>\n",
        )
    )


def _features(kind: str, features: tuple[Feature, ...]) -> str:
    listed = "".join(
        f"<feature>{element('form', feature.form)}{element('description', feature.description)}</feature>\n"
        for feature in features
    )
    return f"<languageFeatures{attributes([('type', kind)])}>\n{listed}</languageFeatures>\n"


def _output_format(one: OutputFormat) -> str:
    aliases = "".join(element("alias", alias) for alias in one.aliases)
    return f"<outputFormat{attributes([('ivo-id', one.ivo_id)])}>{element('mime', one.mime)}{aliases}</outputFormat>\n"


def _limits(tag: str, limits: tuple[Limit, ...], with_modes: bool) -> str:
    if not with_modes:
        limits = tuple(limit for limit in limits if limit.mode != "sync")[:1]
    written = []
    for limit in limits:
        unit = None if limit.unit == "s" else limit.unit
        mode = limit.mode if with_modes else None
        default = element("default", limit.default, ("unit", unit))
        hard = element("hard", limit.hard, ("unit", unit))
        written.append(f"<{tag}{attributes([('forMode', mode)])}>{default}{hard}</{tag}>\n")
    return "".join(written)


def _cone_search(cone: ConeSearchCapability) -> str:
    test = ""
    if cone.test_cone is not None:
        ra, dec, sr = cone.test_cone
        test = f"<testQuery>{element('ra', ra)}{element('dec', dec)}{element('sr', sr)}</testQuery>"
    return (
        f"{element('maxSR', cone.max_radius_deg)}{element('maxRecords', cone.max_records)}"
        f"{element('verbosity', 'true' if cone.has_verbosity else 'false')}{test}"
    )


def _spectral(spectral: SpectralCapability) -> str:
    return "".join(
        (
            element("complianceLevel", "query"),
            *(element("dataSource", one) for one in spectral.data_sources),
            *(element("creationType", one) for one in spectral.creation_types),
            element("supportedFrame", "ICRS"),
            element("maxSearchRadius", 180),
            element("maxRecords", spectral.max_records),
            element("defaultMaxRecords", spectral.default_records),
        )
    )
