"""Columns annotated by data models, read by pyvo's MivotViewer, and frames that results keep."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from astropy import units as u
from astropy.io.votable import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from skyvault.formats import negotiate, open_table
from skyvault.formats.mivot import NAMESPACE, annotated
from skyvault.formats.stream import TableStream
from skyvault.formats.votable_out import write_votable
from skyvault.model.frames import PhotometricSystem, canonical, with_frames_of
from skyvault.model.table import Column, CoordinateFrame, Table, TimeFrame

G = PhotometricSystem("GAIA/GAIA3.G", "Vega", 3228.75, 5.8224e-7).group()
BARY = CoordinateFrame("sys", "ICRS", epoch="J2016.0", refposition="BARYCENTER")
TDB = TimeFrame("t", "TDB", "BARYCENTER", "MJD-origin")


def gaia() -> Table:
    """Columns of a catalogue like Gaia's."""

    def number(name: str, unit: str, ucd: str, ref: str | None = None) -> Column:
        return Column(name, "double", unit=unit, ucd=ucd, ref=ref)

    table = Table(
        "gaia.stars",
        (
            Column("source_id", "long", ucd="meta.id;meta.main"),
            number("ra", "deg", "pos.eq.ra;meta.main", "sys"),
            number("dec", "deg", "pos.eq.dec;meta.main", "sys"),
            number("ra_error", "mas", "stat.error;pos.eq.ra"),
            number("dec_error", "mas", "stat.error;pos.eq.dec"),
            number("pmra", "mas.yr**-1", "pos.pm;pos.eq.ra"),
            number("pmdec", "mas.yr**-1", "pos.pm;pos.eq.dec"),
            number("pmra_error", "mas.yr**-1", "stat.error;pos.pm;pos.eq.ra"),
            number("pmdec_error", "mas.yr**-1", "stat.error;pos.pm;pos.eq.dec"),
            number("parallax", "mas", "pos.parallax.trig"),
            number("parallax_error", "mas", "stat.error;pos.parallax.trig"),
            number("radial_velocity", "km.s**-1", "spect.dopplerVeloc.opt"),
            number("ra_dec_corr", "", "stat.correlation;pos.eq.ra;pos.eq.dec"),
            number("phot_g_mean_mag", "mag", "phot.mag;em.opt", str(G.id)),
            number("g_error", "mag", "stat.error;phot.mag;em.opt"),
            number("mjd", "d", "time.epoch", "t"),
        ),
        frames=(BARY,),
        time_frames=(TDB,),
        groups=(G,),
    )
    return canonical(table)


VALUES = (
    4295806720,
    44.99615,
    0.00561,
    0.1,
    0.11,
    11.0,
    -12.5,
    0.13,
    0.12,
    2.5,
    0.13,
    31.2,
    0.2,
    17.64,
    0.003,
    57388.5,
)


def written(table: Table, **options: Any) -> bytes:
    arrays = [pa.array([value]) for value in VALUES[: len(table.columns)]]
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in table.columns])
    return b"".join(write_votable(TableStream(table, iter([batch])), version="1.5", **options))


def result() -> Table:
    """The catalogue as a query's result has it."""
    source = gaia()
    return with_frames_of(replace(source, frames=(), time_frames=(), groups=()), [source])


def viewed(document: bytes) -> Any:
    from pyvo.mivot.viewer.mivot_viewer import MivotViewer
    from pyvo.utils import activate_features

    activate_features("MIVOT")
    return MivotViewer(parse(io.BytesIO(document)), resolve_ref=True)


@pytest.mark.parametrize("serialization", ["TABLEDATA", "BINARY2"])
def test_pyvo_makes_a_sky_coordinate_with_its_motion_and_epoch(serialization: Any) -> None:
    star = viewed(written(result(), serialization=serialization, mivot="asked")).dm_instance
    assert star.dmtype == "mango:MangoObject"
    place = star.get_SkyCoord()
    assert (place.ra.deg, place.dec.deg) == (44.99615, 0.00561)
    assert place.pm_ra_cosdec.to_value(u.mas / u.yr) == pytest.approx(11.0)
    assert place.pm_dec.to_value(u.mas / u.yr) == pytest.approx(-12.5)
    assert place.distance.to_value(u.pc) == pytest.approx(400.0)
    assert place.radial_velocity.to_value(u.km / u.s) == pytest.approx(31.2)
    assert place.obstime.jyear == pytest.approx(2016.0)


def test_errors_correlations_brightness_and_time_are_told() -> None:
    star = viewed(written(result(), mivot="asked")).dm_instance
    position, brightness, instant = star.propertyDock
    assert position.errors.position.sigma1.value == 0.1 and position.errors.parallax.sigma.unit == "mas"
    assert position.correlations.longitudeLatitude.value == 0.2
    assert position.spaceSys.frame.refPosition.position.value == "BARYCENTER"
    assert (brightness.dmtype, brightness.value.value, brightness.error.sigma.value) == (
        "mango:Brightness",
        17.64,
        0.003,
    )
    assert brightness.photCal.identifier.value == "GAIA/GAIA3.G/Vega"
    assert brightness.photCal.zeroPoint.flux.value.value == 3228.75
    assert brightness.photCal.photometryFilter.spectralLocation.value.value == 5.8224e-7
    assert instant.measure.coord.dmtype == "coords:MJD" and instant.measure.coord.date.value == 57388.5
    assert instant.measure.coord.coordSys.frame.timescale.value == "TDB"


def test_a_document_with_a_block_is_read_like_one_without() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_block = parse(io.BytesIO(written(result(), mivot="asked"))).get_first_table()
        plain = parse(io.BytesIO(written(result()))).get_first_table()
    assert [field.name for field in with_block.fields] == [field.name for field in plain.fields]
    assert list(with_block.array[0]) == list(plain.array[0])


@pytest.mark.parametrize("serialization", ["TABLEDATA", "BINARY", "BINARY2"])
def test_our_own_reader_takes_it_for_what_it_is(serialization: Any) -> None:
    stream = open_table(io.BytesIO(written(result(), serialization=serialization, mivot="asked")))
    rows = [row for batch in stream.batches for row in batch.to_pylist()]
    assert [row["ra"] for row in rows] == [44.99615]
    assert canonical(stream.table).frames == result().frames
    kept = canonical(stream.table)
    assert kept.column("phot_g_mean_mag").ref == G.id and kept.column("mjd").ref == kept.time_frames[0].id


def test_every_reference_of_a_block_leads_to_something() -> None:
    document = ElementTree.fromstring(written(result(), mivot="asked"))
    vo = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    fields = {field.get("ID") for field in document.iter(f"{vo}FIELD")}
    shared = {one.get("dmid") for one in document.iter(f"{{{NAMESPACE}}}INSTANCE")}
    assert {one.get("ref") for one in document.iter(f"{{{NAMESPACE}}}ATTRIBUTE") if one.get("ref")} <= fields
    assert {one.get("dmref") for one in document.iter(f"{{{NAMESPACE}}}REFERENCE")} <= shared
    ids = [element.get("ID") for element in document.iter() if element.get("ID")]
    assert len(ids) == len(set(ids))
    refs = {field.get("ref") for field in document.iter(f"{vo}FIELD") if field.get("ref")}
    assert refs <= set(ids)
    assert {one.get("ref") for one in document.iter(f"{vo}FIELDref")} == {"phot_g_mean_mag"}
    models = {one.get("name") for one in document.iter(f"{{{NAMESPACE}}}MODEL")}
    assert models == {"ivoa", "mango", "coords", "meas", "Phot"}


@pytest.mark.parametrize("table", [result(), Table("x", (Column("a", "int"),))], ids=["annotated", "nothing to say"])
def test_a_block_is_valid_by_the_schema_of_mivot(table: Table) -> None:
    import pyvo
    import xmlschema

    schema = xmlschema.XMLSchema11(str(Path(pyvo.__file__).parent / "mivot" / "writer" / "mivot-v1.xsd"))
    _, text = annotated(table, is_asked=True)
    schema.validate(text[text.index("<VODML") : text.index("</RESOURCE>")])


def test_nothing_is_claimed_of_columns_whose_frame_is_unknown() -> None:
    bare = replace(result(), columns=tuple(replace(one, ref=None) for one in result().columns))
    assert annotated(bare) == (bare, "")
    _, text = annotated(bare, is_asked=True)
    assert 'status="FAILED"' in text and "TEMPLATES" not in text


def test_galactic_positions_are_galactic() -> None:
    table = canonical(
        Table(
            "x.y",
            (
                Column("l", "double", unit="deg", ucd="pos.galactic.lon", ref="g"),
                Column("b", "double", unit="deg", ucd="pos.galactic.lat", ref="g"),
            ),
            frames=(CoordinateFrame("g", "GALACTIC"),),
        )
    )
    batch = pa.RecordBatch.from_arrays([pa.array([120.5]), pa.array([-27.25])], names=["l", "b"])
    document = b"".join(write_votable(TableStream(table, iter([batch])), version="1.5", mivot="some"))
    place = viewed(document).dm_instance.get_SkyCoord()
    assert (place.name, place.l.deg, place.b.deg) == ("galactic", 120.5, -27.25)


@pytest.mark.parametrize(
    ("system", "equinox", "name"),
    [("eq_FK5", "2000.0", "fk5"), ("FK5", "J1975", "fk5"), ("FK4", "1950", "fk4"), ("FK4", None, "fk4")],
)
def test_frames_of_old_catalogues_keep_their_equinox(system: str, equinox: str | None, name: str) -> None:
    table = canonical(
        replace(
            Table("x.y", gaia().columns[1:3]),
            frames=(CoordinateFrame("icrs_j2016_0_barycenter", system, None, equinox),),
        )
    )
    batch = pa.RecordBatch.from_arrays([pa.array([120.5]), pa.array([-27.25])], names=["ra", "dec"])
    document = b"".join(write_votable(TableStream(table, iter([batch])), version="1.5", mivot="some"))
    place = viewed(document).dm_instance.get_SkyCoord()
    assert (place.name, place.ra.deg) == (name, 120.5)
    if equinox is not None:
        assert place.equinox.value in (
            f"J{equinox}",
            f"B{equinox}",
            "J2000.000",
            "J1975.000",
            "B1950.000",
            "B1950",
            "J1975",
            "J2000.0",
        )


def test_a_position_in_ecliptic_coordinates_is_not_called_equatorial() -> None:
    source = replace(gaia(), frames=(CoordinateFrame("sys", "ECLIPTIC"),))
    table = canonical(
        replace(
            source,
            columns=tuple(
                replace(one, ref="sys" if one.ref == "icrs_j2016_0_barycenter" else None) for one in source.columns
            ),
        )
    )
    assert "EpochPosition" not in annotated(table)[1]


@pytest.mark.parametrize(
    ("unit", "origin", "dmtype"),
    [
        ("d", "JD-origin", "coords:JD"),
        ("d", "0", "coords:JD"),
        ("d", "MJD-origin", "coords:MJD"),
        ("d", "2454833.0", "coords:TimeOffset"),
        ("s", "MJD-origin", "coords:TimeOffset"),
    ],
)
def test_times_are_instants_of_their_origin(unit: str, origin: str, dmtype: str) -> None:
    column = Column("t", "double", unit=unit, ucd="time.epoch", ref="t")
    table = canonical(Table("a.b", (column,), time_frames=(TimeFrame("t", "TCB", "BARYCENTER", origin),)))
    assert f'dmtype="{dmtype}"' in annotated(table)[1]


HOSTILE = st.text(min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_names_units_and_filters_may_be_anything(name: str, unit: str, filter_name: str) -> None:
    system = PhotometricSystem(filter_name, unit, 1.0).group()
    columns = (
        Column(name, "double", unit=unit, ucd="pos.eq.ra;meta.main", ref="s"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", ref="s"),
        Column("mag", "double", unit=unit, ucd="phot.mag", ref=str(system.id)),
    )
    source = canonical(Table("a.b", columns, frames=(CoordinateFrame("s", "ICRS", epoch=unit),), groups=(system,)))
    table = with_frames_of(replace(source, frames=(), groups=()), [source])
    batch = pa.RecordBatch.from_arrays([pa.array([1.0])] * 3, names=["a", "b", "c"])
    document = b"".join(write_votable(TableStream(table, iter([batch])), version="1.5", mivot="asked"))
    tree = ElementTree.fromstring(document)
    assert tree.find(f".//{{{NAMESPACE}}}TEMPLATES") is not None
    ids = [one.get("ID") for one in tree.iter() if one.get("ID")]
    assert len(ids) == len(set(ids))


def test_a_filter_with_an_apostrophe_survives_astropy() -> None:
    system = PhotometricSystem("SLOAN/SDSS.g'", "AB").group()
    table = canonical(
        Table("a.b", (Column("g", "double", unit="mag", ucd="phot.mag", ref=str(system.id)),), groups=(system,))
    )
    batch = pa.RecordBatch.from_arrays([pa.array([17.0])], names=["g"])
    star = viewed(b"".join(write_votable(TableStream(table, iter([batch])), version="1.5", mivot="asked"))).dm_instance
    assert star.propertyDock[0].value.value == 17.0


def test_equal_frames_of_two_tables_are_one_and_different_ones_are_kept_apart() -> None:
    one = canonical(Table("a.b", (Column("ra", "double", ref="x"),), frames=(CoordinateFrame("x", "ICRS"),)))
    two = canonical(
        Table("c.d", (Column("ra", "double", ref="x"),), frames=(CoordinateFrame("x", "FK5", equinox="J2000"),))
    )
    three = canonical(Table("e.f", (Column("ra", "double", ref="y"),), frames=(CoordinateFrame("y", "ICRS"),)))
    columns = tuple(replace(table.columns[0], name=f"ra_{i}") for i, table in enumerate((one, two, three)))
    joined = with_frames_of(Table("result", columns), (one, two, three))
    assert [frame.system for frame in joined.frames] == ["ICRS", "FK5"]
    assert joined.columns[0].ref == joined.columns[2].ref != joined.columns[1].ref


def test_formats_that_ask_for_annotations() -> None:
    assert negotiate("votable/mivot").content_type == "application/x-votable+xml;version=1.5;content=mivot"
    asked = {
        name: b"".join(negotiate(name).write(TableStream(result(), iter(()))))
        for name in (
            "votable", "votable/mivot", "application/x-votable+xml;version=1.5",
            "application/x-votable+xml;content=mivot;serialization=tabledata",
        )
    }  # fmt: skip
    has_block = {name: b"<VODML" in document for name, document in asked.items()}
    assert list(has_block.values()) == [False, True, True, True]
    assert b"<TABLEDATA>" in list(asked.values())[3]
