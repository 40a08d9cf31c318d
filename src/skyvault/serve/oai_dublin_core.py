"""A registry record in Dublin Core, which every OAI-PMH repository must offer (OAI-PMH 2.0, section 3.4)."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from skyvault.formats.xml_text import element

_HEAD: Final = (
    '<oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://www.openarchives.org/OAI/2.0/oai_dc/ http://www.openarchives.org/OAI/2.0/oai_dc.xsd">'
)
#: element of Dublin Core -> paths within the record (VOResource 1.1, annotations "dcterm")
_TERMS: Final = (
    ("title", ("title",)),
    ("creator", ("curation/creator/name",)),
    ("subject", ("content/subject", "instrument", "facility")),
    ("description", ("content/description",)),
    ("publisher", ("curation/publisher",)),
    ("contributor", ("curation/contributor",)),
    ("date", ("curation/date",)),
    ("type", ("content/type",)),
    ("identifier", ("identifier", "altIdentifier", "content/referenceURL")),
    ("source", ("content/source",)),
    ("relation", ("content/relationship/relatedResource",)),
    ("coverage", ("coverage/waveband",)),
    ("rights", ("rights",)),
)


def dublin_core(resource: Element) -> str:
    """The ``oai_dc:dc`` element of an ``ri:Resource``."""
    parts = [_HEAD]
    for term, paths in _TERMS:
        for path in paths:
            parts += [
                element(f"dc:{term}", " ".join(found.text.split()))
                for found in resource.findall(path)
                if found.text and found.text.strip()
            ]
    parts.append("</oai_dc:dc>\n")
    return "".join(parts)
