"""The relational registry: names, types and meanings of the tables of the schema ``rr`` (RegTAP 1.2, section 8).

Utypes say where in VOResource a value comes from, as that section's ``xpath:`` strings do.
"""

from __future__ import annotations

from typing import Final

from skyvault.model.table import Column, Datatype, ForeignKey, Table

SCHEMA: Final = "rr"
UTYPE: Final = "ivo://ivoa.net/std/RegTAP#1.1"
DESCRIPTION: Final = "The relational registry: resources of this service, and of the registries it harvests"

#: type words below -> (datatype, arraysize, xtype)
_TYPES: Final[dict[str, tuple[Datatype, str | None, str | None]]] = {
    "text": ("unicodeChar", "*", None),
    "number": ("short", None, None),
    "real": ("double", None, None),
    "time": ("char", "19", "timestamp"),
    "moc": ("char", "*", "moc"),
}

#: table -> (utype, description, columns: name, type word, utype, unit, description)
_TABLES: Final[dict[str, tuple[str | None, str, tuple[tuple[str, str, str | None, str | None, str], ...]]]] = {
    "resource": ("xpath:/", "Resources (services, tables, collections, organisations) this registry knows", (
        ("ivoid", "text", "xpath:identifier", None, "Identifier of the resource"),
        ("res_type", "text", "xpath:@xsi:type", None, "Type of the resource, such as vs:catalogservice"),
        ("created", "time", "xpath:@created", None, "When the record was made (UTC)"),
        ("short_name", "text", "xpath:shortName", None, "Short name, 16 characters at most"),
        ("res_title", "text", "xpath:title", None, "Title"),
        ("updated", "time", "xpath:@updated", None, "When the record last changed (UTC)"),
        ("content_level", "text", "xpath:content/contentLevel", None, "Whom it is for: words separated by #"),
        ("res_description", "text", "xpath:content/description", None, "What the resource is"),
        ("reference_url", "text", "xpath:content/referenceURL", None, "Address of a page about the resource"),
        ("creator_seq", "text", "xpath:curation/creator/name", None, "Creators in their order, separated by ;"),
        ("content_type", "text", "xpath:content/type", None, "Kinds of content: words separated by #"),
        ("source_format", "text", "xpath:content/source/@format", None, "How source_value is written: bibcode ..."),
        ("source_value", "text", "xpath:content/source", None, "The publication the resource comes from"),
        ("res_version", "text", "xpath:curation/version", None, "Version of the resource"),
        ("region_of_regard", "real", "xpath:coverage/regionOfRegard", "deg", "Radius by which positions are blurred"),
        ("waveband", "text", "xpath:coverage/waveband", None, "Messengers and bands: words separated by #"),
        ("rights", "text", "xpath:/rights", None, "What one may do with it"),
        ("rights_uri", "text", "xpath:/rights/@rightsURI", None, "Address of the licence"),
    )),
    "res_role": (None, "People and institutes, and what they are to resources", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("role_name", "text", None, None, "Name of a person or institute"),
        ("role_ivoid", "text", None, None, "Identifier of a person or institute"),
        ("street_address", "text", None, None, "Postal address"),
        ("email", "text", None, None, "Mail address"),
        ("telephone", "text", None, None, "Telephone number"),
        ("logo", "text", None, None, "Address of a logo"),
        ("base_role", "text", None, None, "contact, publisher, contributor or creator"),
    )),
    "res_subject": ("xpath:/content/", "What resources are about", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("res_subject", "text", "xpath:subject", None, "Subject, a concept of the UAT where all goes well"),
    )),
    "capability": ("xpath:/capability/", "What resources do", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("cap_index", "number", None, None, "Number of the capability within the resource"),
        ("cap_type", "text", "xpath:@xsi:type", None, "Type of the capability; standard_id is better for searches"),
        ("cap_description", "text", "xpath:description", None, "What the capability is for"),
        ("standard_id", "text", "xpath:@standardID", None, "The standard it follows"),
    )),
    "res_schema": ("xpath:/tableset/schema/", "Schemas of resources with tables", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("schema_index", "number", None, None, "Number of the schema within the resource"),
        ("schema_description", "text", "xpath:description", None, "What the schema holds"),
        ("schema_name", "text", "xpath:name", None, "Name of the schema"),
        ("schema_title", "text", "xpath:title", None, "Title of the schema"),
        ("schema_utype", "text", "xpath:utype", None, "Data model the schema follows"),
    )),
    "res_table": ("xpath:/(tableset/schema/|)table/", "Tables of resources", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("schema_index", "number", None, None, "The schema it belongs to"),
        ("table_description", "text", "xpath:description", None, "What the table holds"),
        ("table_name", "text", "xpath:name", None, "Qualified name, as a query must write it"),
        ("table_index", "number", None, None, "Number of the table within the resource"),
        ("table_title", "text", "xpath:title", None, "Title of the table"),
        ("table_type", "text", "xpath:@type", None, "table, view, output ..."),
        ("table_utype", "text", "xpath:utype", None, "Data model the table follows"),
    )),
    "table_column": ("xpath:/(tableset/schema/|)/table/column/", "Columns of the tables of resources", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("table_index", "number", None, None, "The table it belongs to"),
        ("name", "text", "xpath:name", None, "Name of the column, in lower case"),
        ("ucd", "text", "xpath:ucd", None, "UCD"),
        ("unit", "text", "xpath:unit", None, "Unit"),
        ("utype", "text", "xpath:utype", None, "Utype"),
        ("std", "number", "xpath:@std", None, "1: defined by a standard"),
        ("datatype", "text", "xpath:dataType", None, "Type, in lower case"),
        ("extended_schema", "text", "xpath:dataType/@extendedSchema", None, "Where extended_type is defined"),
        ("extended_type", "text", "xpath:dataType/@extendedType", None, "Finer type (xtype)"),
        ("arraysize", "text", "xpath:dataType/@arraysize", None, "Shape of arrays"),
        ("delim", "text", "xpath:dataType/@delim", None, "What separates elements of arrays"),
        ("type_system", "text", "xpath:dataType/@xsi:type", None, "Where datatype is defined: vs:votabletype ..."),
        ("flag", "text", "xpath:flag", None, "Traits (indexed, primary, nullable): words separated by #"),
        ("column_description", "text", "xpath:description", None, "What the column holds"),
    )),
    "interface": ("xpath:/capability/interface/", "How capabilities are reached", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("cap_index", "number", None, None, "The capability it belongs to"),
        ("intf_index", "number", None, None, "Number of the interface within the resource"),
        ("intf_type", "text", "xpath:@xsi:type", None, "Type of the interface: vs:paramhttp, vr:webbrowser ..."),
        ("intf_role", "text", "xpath:@role", None, "std: the interface the standard speaks of"),
        ("std_version", "text", "xpath:@version", None, "Version of the standard"),
        ("query_type", "text", "xpath:queryType", None, "Methods (get, post): words separated by #"),
        ("result_type", "text", "xpath:resultType", None, "Media type of answers"),
        ("wsdl_url", "text", "xpath:wsdlURL", None, "Address of a WSDL description"),
        ("url_use", "text", "xpath:accessURL/@use", None, "full, base or dir: what access_url is"),
        ("access_url", "text", "xpath:accessURL", None, "Address"),
        ("mirror_url", "text", "xpath:mirrorURL", None, "Other addresses, separated by #"),
        ("authenticated_only", "number", None, None, "1: only for those who log in"),
    )),
    "intf_param": ("xpath:/capability/interface/param/", "Parameters of interfaces", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("intf_index", "number", None, None, "The interface it belongs to"),
        ("name", "text", "xpath:name", None, "Name of the parameter, in lower case"),
        ("ucd", "text", "xpath:ucd", None, "UCD"),
        ("unit", "text", "xpath:unit", None, "Unit"),
        ("utype", "text", "xpath:utype", None, "Utype"),
        ("std", "number", "xpath:@std", None, "1: defined by a standard"),
        ("datatype", "text", "xpath:dataType", None, "Type, in lower case"),
        ("extended_schema", "text", "xpath:dataType/@extendedSchema", None, "Where extended_type is defined"),
        ("extended_type", "text", "xpath:dataType/@extendedType", None, "Finer type (xtype)"),
        ("arraysize", "text", "xpath:dataType/@arraysize", None, "Shape of arrays"),
        ("delim", "text", "xpath:dataType/@delim", None, "What separates elements of arrays"),
        ("param_use", "text", "xpath:@use", None, "required, optional or ignored"),
        ("param_description", "text", "xpath:description", None, "What the parameter means"),
    )),
    "relationship": ("xpath:/content/relationship/", "What resources are to each other", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("relationship_type", "text", "xpath:relationshipType", None, "Kind of relationship: isservedby ..."),
        ("related_id", "text", "xpath:relatedResource/@ivo-id", None, "Identifier of the other resource"),
        ("related_name", "text", "xpath:relatedResource", None, "Name of the other resource"),
    )),
    "validation": ("xpath:/(capability/|)validationLevel", "Who has validated resources, and how thoroughly", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("validated_by", "text", "xpath:validationLevel/@validatedBy", None, "Identifier of the validating registry"),
        ("val_level", "number", "xpath:validationLevel", None, "0 (stored) to 4 (inspected by a person)"),
        ("cap_index", "number", None, None, "The capability it is about; NULL: all of the resource"),
    )),
    "res_date": ("xpath:/curation/", "Dates in the lives of resources", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("date_value", "time", "xpath:date", None, "Date (UTC)"),
        ("value_role", "text", "xpath:date/@role", None, "What happened then: created, updated ..."),
    )),
    "res_detail": (None, "What has no column of its own: pairs of XPath and value", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("cap_index", "number", None, None, "The capability it is about; NULL: all of the resource"),
        ("detail_xpath", "text", None, None, "XPath of the value within the record"),
        ("detail_value", "text", None, None, "Value"),
    )),
    "alt_identifier": ("xpath:/(curation/creator/|)altIdentifier", "Other identifiers: DOIs, ORCIDs, bibcodes", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("alt_identifier", "text", None, None, "Identifier as a URI"),
    )),
    "stc_spatial": ("xpath:/coverage/spatial", "Where on the sky resources have data", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("coverage", "moc", "xpath:.", None, "MOC of the coverage (ICRS)"),
        ("ref_system_name", "text", "xpath:@frame", None, "Frame of what is not the sky; NULL: ICRS"),
    )),
    "stc_temporal": ("xpath:/coverage/temporal", "When resources have data", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("time_start", "real", "xpath:.", "d", "Begin of an interval (MJD, TDB at the barycentre)"),
        ("time_end", "real", "xpath:.", "d", "End of an interval (MJD, TDB at the barycentre)"),
    )),
    "stc_spectral": ("xpath:/coverage/spectral", "At which energies resources have data", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("spectral_start", "real", "xpath:.", "J", "Lower limit of an interval of energies (barycentre)"),
        ("spectral_end", "real", "xpath:.", "J", "Upper limit of an interval of energies (barycentre)"),
    )),
    "tap_table": (None, "Tables that can be queried by TAP, and where", (
        ("ivoid", "text", "xpath:/identifier", None, "The resource"),
        ("table_name", "text", None, None, "Qualified name, as a query must write it"),
        ("table_title", "text", None, None, "Title of the table"),
        ("table_description", "text", None, None, "What the table holds"),
        ("table_utype", "text", None, None, "Data model the table follows"),
        ("svcid", "text", None, None, "Identifier of the TAP service"),
        ("access_url", "text", None, None, "Address of the TAP service"),
    )),
}  # fmt: skip

#: pairs of columns that make the natural joins of RegTAP
_KEYS: Final[dict[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "interface": (("capability", ("ivoid", "cap_index")),),
    "intf_param": (("interface", ("ivoid", "intf_index")),),
    "table_column": (("res_table", ("ivoid", "table_index")),),
}
#: the one table that others are all about
MAIN: Final = "resource"


def _column(name: str, word: str, utype: str | None, unit: str | None, description: str) -> Column:
    datatype, arraysize, xtype = _TYPES[word]
    return Column(
        name,
        datatype,
        arraysize,
        xtype,
        unit,
        utype=utype,
        description=description,
        std=True,
        principal=name in ("ivoid", "res_title", "access_url", "standard_id", "res_type"),
        nullable=name != "ivoid",
    )


def _table(name: str) -> Table:
    utype, description, columns = _TABLES[name]
    keys = [
        ForeignKey(f"rr_{name}_{target}", f"{SCHEMA}.{target}", tuple((column, column) for column in pairs))
        for target, pairs in _KEYS.get(name, () if name == MAIN else ((MAIN, ("ivoid",)),))
    ]
    return Table(
        f"{SCHEMA}.{name}",
        tuple(_column(*column) for column in columns),
        description=description,
        utype=utype,
        foreign_keys=tuple(keys),
    )


#: plain name -> table, all that there are
TABLES: Final[dict[str, Table]] = {name: _table(name) for name in _TABLES}
