"""Registry records: what a registry knows of a resource, as values and as VOResource XML.

VOResource 1.1, VODataService 1.2 and VORegistry 1.0 (of Registry Interfaces 1.1); capabilities are the values of
:mod:`skyvault.formats.capability`. Times are seconds since 1970 (UTC).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from skyvault.formats.capability import CS, SIA, SSA, TR, VG, VR, Capability, capability_element
from skyvault.formats.vosi_xml import VS, XSI, SchemaDescription, schema_element
from skyvault.formats.xml_text import attributes, clean, element

RI: Final = "http://www.ivoa.net/xml/RegistryInterface/v1.0"

RecordType = Literal[
    "vg:Authority", "vg:Registry", "vr:Organisation", "vr:Service", "vs:CatalogService", "vs:CatalogResource",
    "vs:DataService", "vs:DataResource",
]  # fmt: skip

#: records of these types have no rights, capabilities, coverage and tables (VOResource 1.1, section 3)
_PLAIN: Final = frozenset({"vg:Authority", "vr:Organisation"})
_WITH_COVERAGE: Final = frozenset({"vs:CatalogService", "vs:CatalogResource", "vs:DataService", "vs:DataResource"})
_WITH_TABLES: Final = frozenset({"vs:CatalogService", "vs:CatalogResource"})
#: characters of a short name (VOResource 1.1, section 3.1.1)
SHORT_NAME: Final = 16


@dataclass(frozen=True, slots=True)
class Creator:
    """Who made the data: "Last, F." or an institute; ``alt_identifiers`` are URIs such as orcid:..."""

    name: str
    alt_identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to ask about a resource."""

    name: str
    email: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """What a resource is to others (IsServedBy, IsServiceFor, Cites ...); ``to`` are pairs of (name, IVOID or None)."""

    kind: str
    to: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where, when and at which energies there are data (VODataService 1.2, section 3.2).

    ``spatial`` is an ASCII MOC (ICRS), ``temporal`` holds intervals in MJD (TDB, barycentre), ``spectral`` intervals
    of energy in joule; ``footprint`` is the address of a MOC, ``wavebands`` are terms of the vocabulary "messenger".
    """

    spatial: str | None = None
    temporal: tuple[tuple[float, float], ...] = ()
    spectral: tuple[tuple[float, float], ...] = ()
    footprint: str | None = None
    wavebands: tuple[str, ...] = ()
    region_of_regard_deg: float | None = None

    @property
    def is_empty(self) -> bool:
        return self == Coverage()


@dataclass(frozen=True, slots=True)
class Record:
    """One resource as a registry shows it. Empty tuples and None are left out of the document.

    ``dates`` are pairs of (date or instant as text, role), ``rights`` pairs of (text, address of the licence),
    ``source`` is (value, format) with "bibcode" as the usual format.
    """

    kind: RecordType
    ivoid: str
    title: str
    description: str
    reference_url: str
    publisher: str
    contacts: tuple[Contact, ...]
    subjects: tuple[str, ...]
    short_name: str | None = None
    publisher_id: str | None = None
    alt_identifiers: tuple[str, ...] = ()
    creators: tuple[Creator, ...] = ()
    contributors: tuple[str, ...] = ()
    dates: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    source: tuple[str, str | None] | None = None
    types: tuple[str, ...] = ()
    content_levels: tuple[str, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    rights: tuple[tuple[str, str | None], ...] = ()
    capabilities: tuple[Capability, ...] = ()
    facilities: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    coverage: Coverage = Coverage()
    schemas: tuple[SchemaDescription, ...] = ()
    #: of an authority: who owns it
    managing_org: str | None = None
    #: of a registry: the authorities whose records begin here, and whether it has those of the whole VO
    managed_authorities: tuple[str, ...] = ()
    is_full: bool = False

    @property
    def key(self) -> str:
        """The identifier as identifiers are compared (IVOA Identifiers 2.0, section 2.6): in lower case."""
        return self.ivoid.lower()


def to_the_second(time_s: float) -> str:
    """A time as registries write it: ISO 8601, UTC, whole seconds, with the "Z"."""
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record_element(
    record: Record, *, created: float, updated: float, spell: Callable[[str], str] = str, is_deleted: bool = False
) -> str:
    """The record as ``ri:Resource``, with all namespaces it needs.

    ``spell`` writes a column's name as it must be written in a query.
    """
    pairs = (
        # the elements of VOResource are in no namespace, wherever the record stands
        ("xmlns", ""), ("xmlns:ri", RI), ("xmlns:vr", VR), ("xmlns:vs", VS), ("xmlns:vg", VG), ("xmlns:tr", TR),
        ("xmlns:cs", CS), ("xmlns:ssap", SSA), ("xmlns:sia", SIA), ("xmlns:xsi", XSI), ("xsi:type", record.kind),
        ("created", to_the_second(created)), ("updated", to_the_second(updated)),
        ("status", "deleted" if is_deleted else "active"), ("version", "1.1"),
    )  # fmt: skip
    parts = [f"<ri:Resource{attributes(pairs)}>\n", _head(record), _curation(record), _content(record)]
    if record.kind not in _PLAIN:
        parts += [element("rights", _line(said), ("rightsURI", uri)) for said, uri in record.rights]
        parts += [capability_element(capability) for capability in record.capabilities]
    parts += _own_part(record, spell)
    parts.append("</ri:Resource>\n")
    return "".join(parts)


def _head(record: Record) -> str:
    return "".join(
        (
            element("title", _line(record.title)),
            element("shortName", None if record.short_name is None else _line(record.short_name)[:SHORT_NAME].strip()),
            element("identifier", record.ivoid),
            *(element("altIdentifier", uri) for uri in record.alt_identifiers),
            "\n",
        )
    )


def _curation(record: Record) -> str:
    creators = (
        "<creator>" + element("name", _line(one.name)) + _each("altIdentifier", one.alt_identifiers) + "</creator>\n"
        for one in record.creators
    )
    contacts = (
        f"<contact>{element('name', _line(one.name))}{element('address', one.address)}{element('email', one.email)}"
        "</contact>\n"
        for one in record.contacts
    )
    return "".join(
        (
            "<curation>",
            element("publisher", _line(record.publisher), ("ivo-id", record.publisher_id)),
            "\n",
            *creators,
            _each("contributor", map(_line, record.contributors)),
            *(element("date", date, ("role", role)) for date, role in record.dates),
            element("version", record.version),
            *contacts,
            "</curation>\n",
        )
    )


def _content(record: Record) -> str:
    relationships = (
        "<relationship>"
        + element("relationshipType", one.kind)
        + "".join(element("relatedResource", _line(name), ("ivo-id", ivoid)) for name, ivoid in one.to)
        + "</relationship>\n"
        for one in record.relationships
    )
    source = "" if record.source is None else element("source", record.source[0], ("format", record.source[1]))
    return "".join(
        (
            "<content>",
            _each("subject", map(_line, record.subjects)),
            element("description", record.description.strip()),
            source,
            element("referenceURL", record.reference_url),
            _each("type", record.types),
            _each("contentLevel", record.content_levels),
            "\n",
            *relationships,
            "</content>\n",
        )
    )


def _own_part(record: Record, spell: Callable[[str], str]) -> list[str]:
    """What only records of this type have, in the order of their schema."""
    if record.kind == "vg:Authority":
        return [element("managingOrg", record.managing_org, ("ivo-id", record.publisher_id))]
    if record.kind == "vg:Registry":
        return [element("full", "true" if record.is_full else "false"),
                _each("managedAuthority", record.managed_authorities)]  # fmt: skip
    parts = []
    if record.kind in _WITH_COVERAGE or record.kind == "vr:Organisation":
        parts += [_each("facility", map(_line, record.facilities)), _each("instrument", map(_line, record.instruments))]
    if record.kind in _WITH_COVERAGE and not record.coverage.is_empty:
        parts.append(_coverage(record.coverage))
    if record.kind in _WITH_TABLES and record.schemas:
        parts += ["<tableset>\n", *(schema_element(schema, spell=spell) for schema in record.schemas), "</tableset>\n"]
    return parts


def _coverage(coverage: Coverage) -> str:
    def intervals(tag: str, spans: Iterable[tuple[float, float]]) -> str:
        return "".join(element(tag, f"{low:.12g} {high:.12g}") for low, high in spans)

    return "".join(
        (
            "<coverage>",
            element("spatial", coverage.spatial),
            intervals("temporal", coverage.temporal),
            intervals("spectral", coverage.spectral),
            element("footprint", coverage.footprint, ("ivo-id", "ivo://ivoa.net/std/moc")),
            _each("waveband", coverage.wavebands),
            element("regionOfRegard", coverage.region_of_regard_deg),
            "</coverage>\n",
        )
    )


def _each(tag: str, values: Iterable[str]) -> str:
    return "".join(element(tag, value) for value in values)


def _line(text: str) -> str:
    """Text that registries show in one line."""
    return " ".join(clean(text).split())
