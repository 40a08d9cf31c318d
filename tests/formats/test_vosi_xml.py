"""VOSI documents validate against the schemas and are read by pyvo as they were meant."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.formats.capability import (
    STD,
    UDF_FEATURES,
    Capability,
    ConeSearchCapability,
    Feature,
    InputParam,
    Interface,
    Language,
    Limit,
    OutputFormat,
    TapCapability,
    capabilities_document,
)
from skyvault.formats.vosi_xml import SchemaDescription, availability_document, table_document, tableset_document
from skyvault.model.table import Column, ForeignKey, Table

STARS = Table(
    "lab.stars",
    (
        Column("source_id", "long", indexed=True, nullable=False, ucd="meta.id;meta.main", std=True),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra", utype="x:y", description="Right < ascension & more"),
        Column("name", "char", "*"),
        Column("epoch", "char", "19*", xtype="timestamp"),
        Column("flux", "float", "5"),
        Column("matrix", "double", "3x*"),
        Column("letter", "char", "1"),
        Column("one", "int", "1"),
        Column("order", "int"),
    ),
    title="Stars",
    description="All stars",
    utype="u:t",
    nrows=1_871_011,
    foreign_keys=(ForeignKey("k", "lab.other", (("source_id", "id"), ("order", "order")), "why", "u:k"),),
)
OTHER = Table("lab.other", (Column("id", "long"),), kind="view")
SCHEMAS = (SchemaDescription("lab", (STARS, OTHER), description="A laboratory"), SchemaDescription("empty"))
TAP = TapCapability(
    STD + "TAP",
    (Interface("http://h/tap", "base", version="1.1", security_methods=("ivo://ivoa.net/sso#BasicAA",)),),
    description="Queries",
    languages=(
        Language(
            "ADQL",
            (("2.0", "ivo://ivoa.net/std/ADQL#v2.0"), ("2.1", "ivo://ivoa.net/std/ADQL#v2.1")),
            "The <language>",
            {UDF_FEATURES: (Feature("ivo_f(a DOUBLE) -> DOUBLE", "a & b"), Feature("ivo_g() -> INTEGER"))},
        ),
    ),
    output_formats=(OutputFormat("text/csv", ("csv", "c")), OutputFormat("application/fits", (), "ivo://x/y#fits")),
    data_models=(("ObsCore-1.1", "ivo://ivoa.net/std/ObsCore#core-1.1"),),
    upload_methods=("ivo://ivoa.net/std/TAPRegExt#upload-inline",),
    retention_period=(Limit(604_800, 604_800),),
    execution_duration=(Limit(60, 60, mode="sync"), Limit(7200, 7200, mode="async")),
    output_limit=(Limit(20_000, 20_000_000, "row"),),
    upload_limit=(Limit(None, 100_000_000, "byte"),),
)
CONE = ConeSearchCapability(
    STD + "ConeSearch",
    (
        Interface(
            "http://h/lab/stars/scs?",
            "base",
            query_types=("GET",),
            result_type="application/x-votable+xml",
            params=(InputParam("RA", "real", unit="deg", use="required"),),
            test_query="RA=1&DEC=2&SR=0.1",
        ),
    ),
    test_cone=(1.0, 2.0, 0.1),
)
PAGE = Capability(None, (Interface("http://h/", kind="vr:WebBrowser", role=None),))


def tableset(detail: Any = "max", spell: Any = str) -> bytes:
    return b"".join(tableset_document(SCHEMAS, detail=detail, spell=spell))


def capabilities(*which: Capability, **settings: Any) -> bytes:
    return b"".join(capabilities_document(which, **settings))


@pytest.mark.stilts
def test_the_documents_validate_against_the_schemas(validate: Any) -> None:
    validate(tableset("max"))
    validate(tableset("min"))
    validate(table_document(STARS))
    validate(capabilities(TAP, PAGE, Capability(STD + "VOSI#tables-1.1", (Interface("http://h/tables"),))))
    validate(availability_document(is_available=True, up_since=0.0, down_at=1.0, back_at=2.0, notes=["a", "<b>"]))
    validate(availability_document(is_available=False))


@pytest.mark.filterwarnings("error")
def test_pyvo_reads_the_tableset_as_it_was_meant() -> None:
    from pyvo.io.vosi import parse_tables

    tables = parse_tables(io.BytesIO(tableset()))
    stars = tables.get_table_by_name("lab.stars")
    assert stars.description == "All stars"
    assert stars.nrows == 1_871_011
    assert {table.name: table.type for table in tables.iter_tables()} == {"lab.stars": "table", "lab.other": "view"}
    columns = {column.name: column for column in stars.columns}
    assert list(columns) == list(STARS.column_names)
    assert columns["ra"].description == "Right < ascension & more"
    assert (columns["ra"].unit, columns["ra"].ucd, columns["ra"].utype) == ("deg", "pos.eq.ra", "x:y")
    assert (columns["epoch"].datatype.content, columns["epoch"].datatype.arraysize) == ("char", "19*")
    # pyvo's getter of extendedType forgets to return it
    assert b'arraysize="19*" extendedType="timestamp">char<' in tableset()
    assert columns["matrix"].datatype.arraysize == "3x*"
    assert columns["source_id"].flags == ["indexed"]
    assert columns["ra"].flags == ["nullable"]
    key = stars.foreignkeys[0]
    assert key.targettable == "lab.other"
    assert [(one.fromcolumn, one.targetcolumn) for one in key.fkcolumns] == [("source_id", "id"), ("order", "order")]


def test_a_scalar_has_no_arraysize_and_a_text_of_one_character_has() -> None:
    document = table_document(STARS).decode()
    assert '<name>letter</name><dataType xsi:type="vs:VOTableType" arraysize="1">' in document
    assert '<name>one</name><dataType xsi:type="vs:VOTableType">' in document


def test_detail_min_has_no_columns_and_no_keys() -> None:
    document = tableset("min").decode()
    assert "lab.stars" in document and "1871011" in document
    assert "<column" not in document and "foreignKey" not in document


def test_column_names_are_spelt_as_in_a_query() -> None:
    document = tableset(spell=lambda name: '"order"' if name == "order" else name).decode()
    assert document.count('<name>"order"</name>') == 1
    assert '<fromColumn>"order"</fromColumn><targetColumn>"order"</targetColumn>' in document


@pytest.mark.filterwarnings("error")
def test_pyvo_reads_the_capabilities_as_they_were_meant() -> None:
    from pyvo.io.vosi import parse_capabilities

    tap = parse_capabilities(io.BytesIO(capabilities(TAP)))[0]
    assert tap.standardid == STD + "TAP"
    assert tap.interfaces[0].accessurls[0].content == "http://h/tap"
    assert tap.interfaces[0].version == "1.1"
    language = tap.get_adql()
    assert [version.content for version in language.versions] == ["2.0", "2.1"]
    assert language.get_feature(UDF_FEATURES, "ivo_f(a DOUBLE) -> DOUBLE").description == "a & b"
    assert [(one.mime, list(one.aliases)) for one in tap.outputformats] == [
        ("text/csv", ["csv", "c"]),
        ("application/fits", []),
    ]
    assert tap.executionduration.hard == 7200
    assert tap.retentionperiod.default == 604_800
    assert (tap.outputlimit.hard.content, tap.outputlimit.hard.unit) == (20_000_000, "row")
    assert tap.uploadlimit.hard.unit == "byte"
    assert tap.datamodels[0].ivo_id == "ivo://ivoa.net/std/ObsCore#core-1.1"


def test_limits_by_mode_are_written_only_on_demand() -> None:
    plain, with_modes = capabilities(TAP).decode(), capabilities(TAP, with_modes=True).decode()
    assert plain.count("<executionDuration") == 1 and "forMode" not in plain
    assert '<executionDuration forMode="sync"><default>60</default>' in with_modes
    assert '<executionDuration forMode="async"><default>7200</default>' in with_modes


def test_a_cone_search_has_its_test_query_and_parameters() -> None:
    document = capabilities(CONE).decode()
    assert 'xsi:type="cs:ConeSearch"' in document
    assert "<testQuery><ra>1.0</ra><dec>2.0</dec><sr>0.1</sr></testQuery>" in document
    assert "<testQuery>RA=1&amp;DEC=2&amp;SR=0.1</testQuery>" in document
    assert '<param use="required" std="true"><name>RA</name>' in document


@given(st.text())
def test_no_text_breaks_a_document(text: str) -> None:
    from skyvault.formats.xml_text import read_small

    table = Table(text, (Column(text, "char", "*", unit=text, description=text),), description=text)
    read_small(b"".join(tableset_document([SchemaDescription(text, (table,))], detail="max")))
    read_small(availability_document(is_available=True, notes=[text]))
    read_small(capabilities(Capability(text, (Interface(text, version=text),), description=text)))
