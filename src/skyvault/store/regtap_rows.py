"""A registry record as rows of the relational registry (RegTAP 1.2, sections 4 and 8, appendix A).

Records come from anywhere: what cannot be understood is left out, values that the standard wants in lower case are
made so, white space is stripped, empty counts as absent.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element

from skyvault.store.regtap import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
#: rows of one record in one table; a record that has more is not meant for people
MOST_ROWS: Final = 200_000
#: characters of one value
_LONGEST: Final = 1_000_000

#: deprecated words and what they are called now (RegTAP 1.2, appendix C)
_DATE_ROLES: Final = {"representative": "collected", "creation": "created", "update": "updated"}
_RELATIONSHIPS: Final = {
    "mirror-of": "isidenticalto",
    "service-for": "isservicefor",
    "served-by": "isservedby",
    "derived-from": "isderivedfrom",
    "related-to": "isrelatedto",
}
#: the prefix a type has by convention (RegTAP 1.2, section 4.4), by its name; whatever a document calls it
_PREFIXES: Final = {
    name: prefix
    for prefix, names in {
        "vr": "resource organisation service capability webbrowser webservice",
        "vs": "datacollection dataservice dataresource catalogservice catalogresource paramhttp standardstc"
        " votabletype taptype simpledatatype",
        "vg": "authority registry harvest search oaihttp oaisoap",
        "tr": "tableaccess",
        "cs": "conesearch",
        "sia": "simpleimageaccess",
        "ssap": "simplespectralaccess",
        "slap": "simplelineaccess",
        "vstd": "standard servicestandard standardkeyenumeration",
    }.items()
    for name in names.split()
}

#: what of a capability becomes a detail (appendix A), as paths below it
_CAPABILITY_DETAILS: Final = (
    "executionDuration/hard", "complianceLevel", "creationType", "dataModel", "dataModel/@ivo-id", "dataSource",
    "defaultMaxRecords", "executionDuration/default", "imageServiceType", "interface/securityMethod/@standardID",
    "interface/testQueryString", "language/name", "language/version/@ivo-id", "maxAperture", "maxFileSize",
    "maxImageExtent/lat", "maxImageExtent/long", "maxImageSize/lat", "maxImageSize/long", "maxImageSize",
    "maxQueryRegionSize/lat", "maxQueryRegionSize/long", "maxRecords", "maxSearchRadius", "maxSR",
    "outputFormat/@ivo-id", "outputFormat/alias", "outputFormat/mime", "outputLimit/default",
    "outputLimit/default/@unit", "outputLimit/hard", "outputLimit/hard/@unit", "retentionPeriod/default",
    "retentionPeriod/hard", "supportedFrame", "testQuery/catalog", "testQuery/dec", "testQuery/extras",
    "testQuery/pos/lat", "testQuery/pos/long", "testQuery/pos/refframe", "testQuery/queryDataCmd", "testQuery/ra",
    "testQuery/size", "testQuery/size/lat", "testQuery/size/long", "testQuery/sr", "testQuery/verb",
    "uploadLimit/default", "uploadLimit/default/@unit", "uploadLimit/hard", "uploadLimit/hard/@unit",
    "uploadMethod/@ivo-id", "verbosity",
)  # fmt: skip
_RESOURCE_DETAILS: Final = (
    "accessURL", "coverage/footprint", "coverage/footprint/@ivo-id", "deprecated", "endorsedVersion", "facility",
    "format", "format/@isMIMEType", "full", "instrument", "instrument/@ivo-id", "managedAuthority", "managingOrg",
    "rights", "rights/@rightsURI", "schema/@namespace",
)  # fmt: skip

_INTERVAL: Final = re.compile(r"\s+|,")
_MOC: Final = re.compile(r"[0-9/\-,\s]+")


class Rows:
    """Rows of all tables of the relational registry, gathered record by record."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def add(self, resource: Element, *, expected: str | None = None) -> str:
        """Take in one ``ri:Resource``; returns its identifier in lower case.

        Raises ValueError, with what is wrong, when it has none, or another one than ``expected``, or no title.
        """
        ivoid = _lower(_text(resource, "identifier"))
        if ivoid is None or not ivoid.startswith("ivo://"):
            raise ValueError("it has no IVOA identifier")
        if expected is not None and ivoid != expected:
            raise ValueError(f"the record says it is {ivoid[:200]}")
        if _text(resource, "title") is None:
            raise ValueError("it has no title")
        rows = _rows_of(resource, ivoid)
        for name, found in rows.items():
            if len(found) > MOST_ROWS:
                raise ValueError(f"it has {len(found):,} rows for rr.{name}")
            self._rows[name] += found
        return ivoid

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def table(self, name: str) -> pa.Table:
        """The rows of one table of ``rr``, with the types of its columns."""
        return arrow_rows(name, self._rows[name])


def arrow_rows(name: str, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Rows of one table of ``rr`` as Arrow."""
    import pyarrow as pa

    from skyvault.formats.arrow import arrow_type

    columns = TABLES[name].columns
    schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(one, field.type) for one, field in zip(values, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _rows_of(resource: Element, ivoid: str) -> Mapping[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    _resource(rows, resource, ivoid)
    _roles(rows, resource, ivoid)
    _content(rows, resource, ivoid)
    _capabilities(rows, resource, ivoid)
    _tables(rows, resource, ivoid)
    _coverage(rows, resource, ivoid)
    for path in _present(resource, _RESOURCE_DETAILS):
        rows["res_detail"] += [(ivoid, None, f"/{path}", value) for value in _values(resource, path)]
    return rows


def _resource(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    rights = _first(resource, "rights")
    source = _first(resource, "content", "source")
    creators = [name for one in _all(resource, "curation", "creator") if (name := _text(one, "name"))]
    rows["resource"].append(
        (
            ivoid,
            _type(resource),
            _instant(resource.get("created")),
            _text(resource, "shortName"),
            _text(resource, "title"),
            _instant(resource.get("updated")),
            _hashed(_all(resource, "content", "contentLevel")),
            _text(resource, "content", "description"),
            _text(resource, "content", "referenceURL"),
            "; ".join(creators) or None,
            _hashed(_all(resource, "content", "type")),
            None if source is None else _lower(source.get("format")),
            None if source is None else _own(source),
            _text(resource, "curation", "version"),
            _number(_text(resource, "coverage", "regionOfRegard")),
            _hashed(_all(resource, "coverage", "waveband")),
            None if rights is None else _own(rights),
            None if rights is None else _clean(rights.get("rightsURI")),
        )
    )
    # validation of the whole; that of capabilities stands with them
    rows["validation"] += [(ivoid, *_validation(one), None) for one in _all(resource, "validationLevel")]
    for one in (*_all(resource, "altIdentifier"), *_all(resource, "curation", "creator", "altIdentifier")):
        if (uri := _own(one)) is not None:
            rows["alt_identifier"].append((ivoid, uri))


def _roles(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    for role in ("publisher", "contributor"):
        for one in _all(resource, "curation", role):
            rows["res_role"].append((ivoid, _own(one), _lower(one.get("ivo-id")), None, None, None, None, role))
    for role in ("creator", "contact"):
        for one in _all(resource, "curation", role):
            name = _first(one, "name")
            known = (None if name is None else name.get("ivo-id")) or one.get("ivo-id")
            rows["res_role"].append(
                (
                    ivoid,
                    None if name is None else _own(name),
                    _lower(known),
                    _text(one, "address"),
                    _text(one, "email"),
                    _text(one, "telephone"),
                    _text(one, "logo"),
                    role,
                )
            )


def _content(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    for one in _all(resource, "content", "subject"):
        if (subject := _own(one)) is not None:
            rows["res_subject"].append((ivoid, subject))
    for one in _all(resource, "content", "relationship"):
        kind = _lower(_text(one, "relationshipType"))
        kind = _RELATIONSHIPS.get(kind or "", kind)
        for other in _all(one, "relatedResource"):
            rows["relationship"].append((ivoid, kind, _lower(other.get("ivo-id")), _own(other)))
    for one in _all(resource, "curation", "date"):
        role = _lower(one.get("role")) or "representative"
        if (when := _instant(one.text)) is not None:
            rows["res_date"].append((ivoid, when, _DATE_ROLES.get(role, role)))


def _capabilities(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    interface_number = 0
    for number, capability in enumerate(_all(resource, "capability"), 1):
        standard = _lower(capability.get("standardID"))
        rows["capability"].append((ivoid, number, _type(capability), _text(capability, "description"), standard))
        rows["validation"] += [(ivoid, *_validation(one), number) for one in _all(capability, "validationLevel")]
        for path in _present(capability, _CAPABILITY_DETAILS):
            rows["res_detail"] += [(ivoid, number, f"/capability/{path}", value) for value in _values(capability, path)]
        for interface in _all(capability, "interface"):
            interface_number += 1
            address = _first(interface, "accessURL")
            methods = _all(interface, "securityMethod")
            is_open = not methods or any(not one.get("standardID") for one in methods)
            mirrors = [url for one in _all(interface, "mirrorURL") if (url := _own(one))]
            rows["interface"].append(
                (
                    ivoid,
                    number,
                    interface_number,
                    _type(interface),
                    _lower(interface.get("role")),
                    _lower(interface.get("version")),
                    _hashed(_all(interface, "queryType")),
                    _lower(_text(interface, "resultType")),
                    _text(interface, "wsdlURL"),
                    None if address is None else _lower(address.get("use")),
                    None if address is None else _own(address),
                    "#".join(mirrors) or None,
                    0 if is_open else 1,
                )
            )
            for param in _all(interface, "param"):
                rows["intf_param"].append(
                    (ivoid, interface_number, *_described(param), _lower(param.get("use")), _text(param, "description"))
                )


def _tables(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    schemas: list[tuple[int | None, Element]] = []
    for number, schema in enumerate(_all(resource, "tableset", "schema"), 1):
        rows["res_schema"].append(
            (
                ivoid,
                number,
                _text(schema, "description"),
                _lower(_text(schema, "name")),
                _text(schema, "title"),
                _lower(_text(schema, "utype")),
            )
        )
        schemas.append((number, schema))
    # tables right below the resource, as VODataService 1.0 had them
    schemas.append((None, resource))
    table_number = 0
    for own, schema in schemas:
        for table in _all(schema, "table"):
            table_number += 1
            kind = table.get("type") or table.get("role")
            rows["res_table"].append(
                (
                    ivoid,
                    own,
                    _text(table, "description"),
                    _text(table, "name"),
                    table_number,
                    _text(table, "title"),
                    _lower(kind),
                    _lower(_text(table, "utype")),
                )
            )
            for column in _all(table, "column"):
                rows["table_column"].append(
                    (
                        ivoid,
                        table_number,
                        *_described(column),
                        _hashed(_all(column, "flag")),
                        _text(column, "description"),
                    )
                )
    _tap_tables(rows, ivoid)


def _tap_tables(rows: dict[str, list[tuple[Any, ...]]], ivoid: str) -> None:
    """Tables of a resource that has a TAP capability, its own or an auxiliary one."""
    tap = {number for _, number, _, _, standard in rows["capability"] if (standard or "").startswith(_TAP)}
    addresses = [row[10] for row in rows["interface"] if row[1] in tap and row[4] == "std" and row[10]]
    if not addresses:
        return
    served = [other for _, kind, other, _ in rows["relationship"] if kind == "isservedby" and other]
    for _, _, description, name, _, title, _, utype in rows["res_table"]:
        if name:
            rows["tap_table"].append(
                (ivoid, name, title, description, utype, served[0] if served else ivoid, addresses[0])
            )


_TAP: Final = "ivo://ivoa.net/std/tap"


def _described(param: Element) -> tuple[Any, ...]:
    """Name, UCD, unit, utype, std, and what is said of the type: of a column or a parameter."""
    kind = _first(param, "dataType")
    std = _lower(param.get("std"))
    return (
        _lower(_text(param, "name")),
        _lower(_text(param, "ucd")),
        _text(param, "unit"),
        _lower(_text(param, "utype")),
        None if std is None else int(std in ("true", "1")),
        None if kind is None else _lower(_own(kind)),
        None if kind is None else _clean(kind.get("extendedSchema")),
        None if kind is None else _clean(kind.get("extendedType")),
        None if kind is None else _clean(kind.get("arraysize")),
        None if kind is None else _clean(kind.get("delim")),
        None if kind is None else _type(kind),
    )


def _coverage(rows: dict[str, list[tuple[Any, ...]]], resource: Element, ivoid: str) -> None:
    for one in _all(resource, "coverage", "spatial"):
        moc = _own(one)
        if moc is not None and _MOC.fullmatch(moc):
            rows["stc_spatial"].append((ivoid, moc, _clean(one.get("frame"))))
    for name in ("temporal", "spectral"):
        for one in _all(resource, "coverage", name):
            limits = [_number(part) for part in _INTERVAL.split((one.text or "").strip())]
            if len(limits) == 2 and None not in limits:
                rows[f"stc_{name}"].append((ivoid, *limits))


def _validation(element: Element) -> tuple[str | None, int | None]:
    level = _own(element)
    return _lower(element.get("validatedBy")), int(level) if level is not None and level in "01234" else None


def harvest_addresses(resource: Element) -> list[str]:
    """Where a registry's records are harvested, by its own record; empty of anything else than an active registry."""
    if (_lower(resource.get("status")) or "active") != "active":
        return []
    return [
        url
        for capability in _all(resource, "capability")
        if _type(capability) == "vg:harvest"
        for interface in _all(capability, "interface")
        if _type(interface) == "vg:oaihttp" and (url := _text(interface, "accessURL")) is not None
    ]


# ------------------------------------------------------------------------------------------------ reading elements


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _all(element: Element, *path: str) -> list[Element]:
    found = [element]
    for name in path:
        # nearly always without a namespace; written out because it is asked a thousand times a record
        qualified = "}" + name
        found = [child for one in found for child in one if child.tag == name or child.tag.endswith(qualified)]
    return found


def _first(element: Element, *path: str) -> Element | None:
    return next(iter(_all(element, *path)), None)


def _text(element: Element, *path: str) -> str | None:
    found = _first(element, *path)
    return None if found is None else _own(found)


def _own(element: Element) -> str | None:
    return _clean(element.text)


def _clean(text: str | None) -> str | None:
    if text is None:
        return None
    # NUL cannot come from XML; one blank for each run of white space, except in what is read as paragraphs
    stripped = text.strip()[:_LONGEST]
    return (stripped if "\n\n" in stripped else " ".join(stripped.split())) or None


def _lower(text: str | None) -> str | None:
    cleaned = _clean(text)
    return None if cleaned is None else cleaned.lower()


def _hashed(elements: Iterable[Element]) -> str | None:
    """Words of a list as one text; the sign between them cannot be in one."""
    words = [word.replace("#", " ") for one in elements if (word := _lower(one.text)) is not None]
    return "#".join(words) or None


def _type(element: Element) -> str | None:
    """The xsi:type with the prefix it has by convention."""
    said = _lower(element.get(XSI_TYPE))
    if said is None:
        return None
    name = said.rpartition(":")[2]
    known = _PREFIXES.get(name)
    return f"{known}:{name}" if known else said


def _present(element: Element, paths: Iterable[str]) -> list[str]:
    """Those of the paths whose first step is there."""
    names = {local(child) for child in element}
    return [path for path in paths if path.partition("/")[0] in names]


def _values(element: Element, path: str) -> list[str]:
    """Texts at a path such as "outputLimit/hard/@unit"."""
    *names, last = path.split("/")
    if last.startswith("@"):
        found = [_clean(one.get(last[1:])) for one in _all(element, *names)]
    else:
        found = [_own(one) for one in _all(element, *names, last)]
    return [value for value in found if value is not None]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _instant(text: str | None) -> datetime | None:
    """A date or instant, which is in UTC whether it says so or not."""
    try:
        instant = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    if instant.tzinfo is not None:
        from datetime import UTC

        instant = instant.astimezone(UTC)
    return instant.replace(tzinfo=None, microsecond=0)
