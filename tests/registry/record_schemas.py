"""XML schemas to check registry records with: those of VOResource, VODataService and TAPRegExt that STILTS brings, and
around them what OAI-PMH 2.0, Registry Interfaces 1.1 and SimpleDALRegExt 1.1 say, written down here in short."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from typing import Any

#: where Debian puts it
JAR = Path("/usr/share/java/starlink-ttools.jar")
_IVOA = "http://www.ivoa.net/xml"
_IN_JAR = {
    f"{_IVOA}/VOResource/v1.0": "VOResource-v1.1.xsd",
    f"{_IVOA}/VODataService/v1.1": "VODataService-v1.2.xsd",
    f"{_IVOA}/TAPRegExt/v1.0": "TAPRegExt-v1.0-Erratum1.xsd",
}
_OPEN = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="{form}" targetNamespace="{ns}" {more}>'
)


def _schema(namespace: str, body: str, more: str = "", form: str = "unqualified") -> str:
    return (
        _OPEN.format(form=form, ns=namespace, more=f'xmlns:vr="{_IVOA}/VOResource/v1.0" {more}') + body + "</xs:schema>"
    )


_IMPORT_VR = f'<xs:import namespace="{_IVOA}/VOResource/v1.0" schemaLocation="{_IVOA}/VOResource/v1.0"/>'


def _type(name: str, base: str, elements: str) -> str:
    return (
        f'<xs:complexType name="{name}"><xs:complexContent><xs:extension base="{base}"><xs:sequence>{elements}'
        "</xs:sequence></xs:extension></xs:complexContent></xs:complexType>"
    )


def _element(name: str, kind: str, occurs: str = "") -> str:
    return f'<xs:element name="{name}" type="{kind}" {occurs}/>'


_MANY = 'minOccurs="0" maxOccurs="unbounded"'
_OWN = {
    # only named, never used
    f"{_IVOA}/STC/stc-v1.30.xsd": _schema(
        f"{_IVOA}/STC/stc-v1.30.xsd",
        '<xs:element name="STCResourceProfile" type="xs:anyType"/>'
        '<xs:complexType name="stcDescriptionType"><xs:sequence/></xs:complexType>',
    ),
    f"{_IVOA}/RegistryInterface/v1.0": _schema(
        f"{_IVOA}/RegistryInterface/v1.0", _IMPORT_VR + _element("Resource", "vr:Resource")
    ),
    f"{_IVOA}/VORegistry/v1.0": _schema(
        f"{_IVOA}/VORegistry/v1.0",
        _IMPORT_VR
        + _type(
            "Registry", "vr:Service", _element("full", "xs:boolean") + _element("managedAuthority", "xs:token", _MANY)
        )
        + _type("Authority", "vr:Resource", _element("managingOrg", "vr:ResourceName"))
        + _type("Harvest", "vr:Capability", _element("maxRecords", "xs:int"))
        + _type("OAIHTTP", "vr:Interface", ""),
    ),
    f"{_IVOA}/ConeSearch/v1.0": _schema(
        f"{_IVOA}/ConeSearch/v1.0",
        _IMPORT_VR
        + '<xs:complexType name="Query"><xs:sequence>'
        + "".join(_element(name, "xs:double") for name in ("ra", "dec", "sr"))
        + "</xs:sequence></xs:complexType>"
        + _type(
            "ConeSearch",
            "vr:Capability",
            _element("maxSR", "xs:float", 'minOccurs="0"')
            + _element("maxRecords", "xs:positiveInteger", 'minOccurs="0"')
            + _element("verbosity", "xs:boolean")
            + _element("testQuery", "cs:Query", 'minOccurs="0"'),
        ),
        f'xmlns:cs="{_IVOA}/ConeSearch/v1.0"',
    ),
    f"{_IVOA}/SSA/v1.1": _schema(
        f"{_IVOA}/SSA/v1.1",
        _IMPORT_VR
        + _type(
            "SimpleSpectralAccess",
            "vr:Capability",
            _element("complianceLevel", "xs:token")
            + "".join(_element(n, "xs:token", 'maxOccurs="unbounded"') for n in ("dataSource", "creationType"))
            + _element("supportedFrame", "xs:token", 'maxOccurs="unbounded"')
            + "".join(
                _element(name, "xs:decimal", 'minOccurs="0"')
                for name in ("maxSearchRadius", "maxRecords", "defaultMaxRecords", "maxAperture")
            ),
        ),
    ),
    f"{_IVOA}/SIA/v1.1": _schema(
        f"{_IVOA}/SIA/v1.1",
        _IMPORT_VR
        + _type(
            "SimpleImageAccess",
            "vr:Capability",
            _element("imageServiceType", "xs:token") + _element("maxRecords", "xs:positiveInteger", 'minOccurs="0"'),
        ),
    ),
    "http://www.openarchives.org/OAI/2.0/oai_dc/": _schema(
        "http://www.openarchives.org/OAI/2.0/oai_dc/",
        '<xs:element name="dc"><xs:complexType><xs:sequence><xs:any namespace="http://purl.org/dc/elements/1.1/"'
        ' processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>',
    ),
}
#: OAI-PMH 2.0, sections 3 and 4
_OAI = _schema(
    "http://www.openarchives.org/OAI/2.0/",
    '<xs:simpleType name="stamp"><xs:restriction base="xs:dateTime">'
    r'<xs:pattern value="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/></xs:restriction></xs:simpleType>'
    '<xs:complexType name="header"><xs:sequence><xs:element name="identifier" type="xs:anyURI"/>'
    '<xs:element name="datestamp" type="o:stamp"/><xs:element name="setSpec" type="xs:token" minOccurs="0"/>'
    '</xs:sequence><xs:attribute name="status" fixed="deleted"/></xs:complexType>'
    '<xs:complexType name="any"><xs:sequence><xs:any namespace="##other" processContents="strict"/></xs:sequence>'
    "</xs:complexType>"
    '<xs:complexType name="record"><xs:sequence><xs:element name="header" type="o:header"/>'
    '<xs:element name="metadata" type="o:any" minOccurs="0"/></xs:sequence></xs:complexType>'
    '<xs:complexType name="token"><xs:simpleContent><xs:extension base="xs:string">'
    '<xs:attribute name="completeListSize" type="xs:positiveInteger"/>'
    '<xs:attribute name="cursor" type="xs:nonNegativeInteger"/></xs:extension></xs:simpleContent></xs:complexType>'
    '<xs:element name="OAI-PMH"><xs:complexType><xs:sequence><xs:element name="responseDate" type="o:stamp"/>'
    '<xs:element name="request"><xs:complexType><xs:simpleContent><xs:extension base="xs:anyURI">'
    + "".join(
        f'<xs:attribute name="{name}" type="xs:string"/>'
        for name in ("verb", "identifier", "metadataPrefix", "from", "until", "set", "resumptionToken")
    )
    + "</xs:extension></xs:simpleContent></xs:complexType></xs:element><xs:choice>"
    '<xs:element name="error" maxOccurs="unbounded"><xs:complexType><xs:simpleContent><xs:extension base="xs:string">'
    '<xs:attribute name="code" use="required"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>'
    '<xs:element name="Identify"><xs:complexType><xs:sequence>'
    + "".join(
        _element(name, kind)
        for name, kind in (
            ("repositoryName", "xs:string"), ("baseURL", "xs:anyURI"), ("protocolVersion", "xs:token"),
            ("adminEmail", "xs:token"), ("earliestDatestamp", "o:stamp"), ("deletedRecord", "xs:token"),
            ("granularity", "xs:token"), ("compression", "xs:token"), ("description", "o:any"),
        )
    )
    + "</xs:sequence></xs:complexType></xs:element>"
    '<xs:element name="ListMetadataFormats"><xs:complexType><xs:sequence>'
    '<xs:element name="metadataFormat" maxOccurs="unbounded"><xs:complexType><xs:sequence>'
    + _element("metadataPrefix", "xs:token") + _element("schema", "xs:anyURI") + _element("metadataNamespace", "xs:anyURI")
    + "</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>"
    '<xs:element name="ListSets"><xs:complexType><xs:sequence><xs:element name="set" maxOccurs="unbounded">'
    "<xs:complexType><xs:sequence>" + _element("setSpec", "xs:token") + _element("setName", "xs:string")
    + "</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>"
    '<xs:element name="GetRecord"><xs:complexType><xs:sequence>' + _element("record", "o:record")
    + "</xs:sequence></xs:complexType></xs:element>"
    + "".join(
        f'<xs:element name="{verb}"><xs:complexType><xs:sequence>' + _element(part, f"o:{part}", 'maxOccurs="unbounded"')
        + _element("resumptionToken", "o:token", 'minOccurs="0"')
        + "</xs:sequence></xs:complexType></xs:element>"
        for verb, part in (("ListIdentifiers", "header"), ("ListRecords", "record"))
    )
    + "</xs:choice></xs:sequence></xs:complexType></xs:element>",
    'xmlns:o="http://www.openarchives.org/OAI/2.0/"',
    "qualified",
)  # fmt: skip


@cache
def oai_schema() -> Any:
    """What checks an answer of a publishing registry, records included."""
    from lxml import etree

    class Local(etree.Resolver):
        def resolve(self, url: str, _public: str, context: Any) -> Any:
            if url in _IN_JAR:
                with zipfile.ZipFile(JAR) as jar:
                    content = jar.read(f"uk/ac/starlink/ttools/taplint/{_IN_JAR[url]}")
                return self.resolve_string(content, context, base_url=url)
            if url in _OWN:
                return self.resolve_string(_OWN[url], context, base_url=url)
            if url == "oai":
                return self.resolve_string(_OAI, context, base_url=url)
            raise AssertionError(f"no schema for {url}")

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    wanted = [*_IN_JAR, *_OWN]
    imports = "".join(f'<xs:import namespace="{url}" schemaLocation="{url}"/>' for url in wanted)
    imports += '<xs:import namespace="http://www.openarchives.org/OAI/2.0/" schemaLocation="oai"/>'
    root = etree.fromstring(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>', parser)
    return etree.XMLSchema(root)
