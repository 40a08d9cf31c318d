"""Frames and photometric systems as a publisher says them, and as source files do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.config import Settings
from skyvault.errors import ConfigError, IngestError
from skyvault.formats.votable_out import dataless
from skyvault.model.frames import PhotometricSystem, canonical, is_photometric
from skyvault.model.table import Column, CoordinateFrame, Group, Table, TimeFrame
from skyvault.publish.inference import infer
from skyvault.publish.resource_checks import check_resource
from skyvault.publish.resource_publisher import publish_resource

COLUMNS = (
    Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
    Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
    Column("pmra", "double", unit="mas/yr", ucd="pos.pm;pos.eq.ra"),
    Column("t", "double", unit="d"),
    Column("mjd_mid", "double", unit="d"),
    Column("seen", "char", "*", xtype="timestamp"),
    Column("r", "float"),
    Column("l", "double", unit="deg", ucd="pos.galactic.lon"),
)
TABLE = Table("x", COLUMNS)


def described(columns: dict[str, Any] | None = None, **more: Any) -> Table:
    return infer(TABLE, "a.b", {**({"columns": columns} if columns else {}), **more}).spec.table


def test_positions_are_icrs_when_nothing_is_said() -> None:
    table = described()
    (frame,) = table.frames
    assert (frame.system, frame.epoch, table.column("ra").ref) == ("ICRS", None, frame.id)


def test_a_frame_holds_for_positions_and_what_is_measured_in_it() -> None:
    table = described(frame={"system": "ICRS", "epoch": 2016.0, "refposition": "barycenter"})
    (frame,) = table.frames
    assert (frame.epoch, frame.refposition) == ("J2016.0", "BARYCENTER")
    assert {one.name for one in table.columns if one.ref == frame.id} == {"ra", "dec", "pmra"}


def test_a_column_may_have_a_frame_of_its_own() -> None:
    table = described({"l": {"frame": "GALACTIC"}})
    systems = {frame.id: frame.system for frame in table.frames}
    assert (systems[str(table.column("l").ref)], systems[str(table.column("ra").ref)]) == ("GALACTIC", "ICRS")


@pytest.mark.parametrize(
    ("name", "words", "origin"),
    [
        ("t", {"timescale": "tdb", "refposition": "BARYCENTER", "timeorigin": "mjd-origin"}, "MJD-origin"),
        ("t", {"timescale": "TCB", "timeorigin": 2454833}, "2454833.0"),
        ("t", {"timescale": "UTC", "timeorigin": 0}, "JD-origin"),
        ("t", {"timescale": "UTC", "timeorigin": 2400000.5}, "MJD-origin"),
        ("mjd_mid", {"timescale": "UTC"}, "MJD-origin"),
        ("seen", {"timescale": "UTC", "refposition": "TOPOCENTER"}, None),
    ],
)
def test_times_have_a_scale_and_an_origin(name: str, words: dict[str, Any], origin: str | None) -> None:
    table = described({name: words})
    (frame,) = table.time_frames
    assert frame.timeorigin == origin and table.column(name).ref == frame.id
    assert table.column(name).ucd == "time.epoch"


def test_a_magnitude_is_measured_in_a_system() -> None:
    table = described({"r": {"filter": "SLOAN/SDSS.r", "magnitude_system": "AB", "zero_point": 3631}})
    (group,) = table.groups
    assert PhotometricSystem.of(group) == PhotometricSystem("SLOAN/SDSS.r", "AB", 3631.0)
    assert (table.column("r").unit, table.column("r").ucd, table.column("r").ref) == ("mag", "phot.mag", group.id)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"t": {"timescale": "UTX"}}, "Use one of TAI"),
        ({"t": {"timescale": "UTC"}}, "Give timeorigin"),
        ({"t": {"timescale": "UTC", "timeorigin": "yesterday"}}, "no Julian Date"),
        ({"t": {"timescale": "UTC", "timeorigin": -1}}, "no Julian Date"),
        ({"t": {"timescale": "UTC", "timeorigin": 0, "refposition": "MOON"}}, "Use one of TOPOCENTER"),
        ({"seen": {"timescale": "UTC", "timeorigin": 0}}, "no timeorigin"),
        ({"r": {"filter": "g", "zero_point": -1}}, "no positive number"),
        ({"r": {"zero_point": 3631}}, "says nothing alone"),
        ({"r": {"filter": "g", "timescale": "UTC"}}, "a place, a time or a brightness"),
        ({"l": {"frame": "SUPERGALACTIC2"}}, "Use one of ICRS"),
        ({"l": {"frame": {"epoch": "soon"}}}, "J2016.0"),
        ({"l": {"frame": {"colour": "red"}}}, "no part of a frame"),
        ({"absent": {"timescale": "UTC"}}, "no column"),
    ],
)
def test_what_no_vocabulary_knows_is_told_in_a_sentence(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(IngestError, match=said.replace("(", r"\(")):
        described(columns)


def test_what_a_votable_says_of_its_frames_is_kept(tmp_path: Path) -> None:
    system = PhotometricSystem("GAIA/GAIA3.G", "Vega", 3228.75)
    group = Group("photcal", "gsys", params=system.group().params, column_refs=("gmag",))
    source = Table(
        "x",
        (
            Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", ref="sys"),
            Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main", ref="sys"),
            Column("t", "double", unit="d", ucd="time.epoch", ref="ts"),
            Column("g", "double", unit="mag", ucd="phot.mag", id="gmag"),
        ),
        frames=(CoordinateFrame("sys", "ICRS", "J2015.5"),),
        time_frames=(TimeFrame("ts", "TCB", "BARYCENTER", "2455197.5"),),
        groups=(group,),
    )
    path = tmp_path / "stars.vot"
    path.write_bytes(
        dataless(source).replace(
            b"</TABLE>",
            b"<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD><TD>3</TD><TD>4</TD></TR></TABLEDATA></DATA></TABLE>",
        )
    )
    (tmp_path / "resource.yaml").write_text(
        "schema: lab\ntitle: t\ndescription: d\ntables: {stars: {source: stars.vot}}\n"
    )
    done = publish_resource(tmp_path, settings=Settings(home=tmp_path / "home"))
    table = canonical(done.tables[0].table)
    assert (table.frames[0].epoch, table.time_frames[0].timeorigin) == ("J2015.5", "2455197.5")
    (kept,) = [one for one in table.groups if is_photometric(one)]
    assert PhotometricSystem.of(kept) == system and table.column("g").ref == kept.id


def test_a_wrong_word_in_the_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "resource.yaml").write_text(
        "schema: lab\ntitle: t\ndescription: d\ntables:\n  stars:\n    source: x.csv\n    columns:\n      t: {timescal: UTC}\n"
    )
    with pytest.raises(ConfigError, match="line 8"):
        publish_resource(tmp_path, settings=Settings(home=tmp_path / "home"))


def test_check_tells_of_times_without_a_scale_and_magnitudes_without_a_filter(tmp_path: Path) -> None:
    (tmp_path / "stars.csv").write_text("ra,dec,mjd,jd_end,gmag\n1,2,3,4,5\n")
    words = "schema: lab\ntitle: t\ndescription: d\ntables:\n  stars:\n    source: stars.csv\n"
    (tmp_path / "resource.yaml").write_text(words)
    said = {one.what for one in check_resource(tmp_path / "resource.yaml")}
    assert {"times without a scale: mjd, jd_end", "magnitudes without a filter: gmag"} <= said
    framed = "    columns: {mjd: {timescale: UTC}, jd_end: {timescale: TDB}, gmag: {filter: GAIA/GAIA3.G}}\n"
    (tmp_path / "resource.yaml").write_text(words + framed)
    assert not [one for one in check_resource(tmp_path / "resource.yaml") if "without a" in one.what]
    (tmp_path / "resource.yaml").write_text(words + "    columns: {mjd: {timescale: MOON}}\n")
    (wrong,) = [one for one in check_resource(tmp_path / "resource.yaml") if one.severity == "error"]
    assert "columns.mjd.timescale" in wrong.what and "TDB" in wrong.hint


WORDS = st.text(max_size=20)


@given(st.builds(CoordinateFrame, WORDS, WORDS, WORDS, WORDS, WORDS), st.builds(TimeFrame, WORDS, WORDS, WORDS, WORDS))
def test_names_of_frames_are_xml_ids_and_depend_on_their_content_only(frame: CoordinateFrame, times: TimeFrame) -> None:
    table = Table("x", (Column("a", "double", ref=frame.id),), frames=(frame,), time_frames=(times,))
    once = canonical(table)
    assert canonical(once) == once
    for name in (once.frames[0].id, once.time_frames[0].id):
        assert name.isascii() and name[0].isalpha() and name.replace("_", "").isalnum() and len(name) < 80
