"""The X-ray archives' tables of observations: names and types as at the archive, rows as odd as there."""

from __future__ import annotations

import csv
import gc
import io
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from skyvault import missions
from skyvault.missions.columns import observations, read_table
from skyvault.sandbox import Fault, calibration_fields, tiles
from skyvault.sandbox.heasarc import TABLES
from skyvault.sandbox.sky import find_object, named_objects
from skyvault.sandbox.xmm_log import all_observations

CLASSES = {
    "chandra": missions.Chandra,
    "nustar_pointed": missions.NuSTARPointed,
    "swift": missions.Swift,
    "xrism_pointed": missions.XRISMPointed,
    "rosat_pointed": missions.ROSATPointed,
    "rosat_all_sky": missions.ROSATAllSky,
    "asca": missions.ASCA,
    "suzaku": missions.Suzaku,
    "integral_pointed": missions.INTEGRALPointed,
}
#: rows of each table, and those that are no observations of the mission: no place, wrong status, slews
COUNTS = {
    "xmm_pointed": (500, 8),
    "chandra": (450, 2),
    "nustar_pointed": (400, 11),
    "swift": (1500, 1),
    "xrism_pointed": (220, 1),
    "rosat_pointed": (500, 1),
    "rosat_all_sky": (1384, 0),
    "asca": (350, 1),
    "suzaku": (300, 1),
    "integral_pointed": (560, 1),
}


def ask(sandbox: Any, archive: str, query: str, form: str = "csv") -> str:
    body = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "FORMAT": form}).encode()
    try:
        with urllib.request.urlopen(f"{sandbox.url}/{archive}/tap/sync", body) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


@pytest.mark.parametrize("mission", CLASSES)
def test_each_table_is_what_its_mission_reads(mission: str) -> None:
    archive = TABLES[mission]().rows
    assert archive.num_rows == COUNTS[mission][0]
    assert archive.column_names == [name.lower() for name in archive.column_names]
    declaration = CLASSES[mission].declaration
    table = observations(archive, declaration, where=mission)
    assert archive.num_rows - table.num_rows == COUNTS[mission][1]
    assert len(set(table["ObsID"].to_pylist())) == table.num_rows
    if mission not in ("rosat_all_sky", "chandra"):
        assert pc.sum(pc.invert(table["science_usable"])).as_py() >= 1
    if "proprietary_usable" in table.column_names:
        assert pc.sum(pc.invert(table["proprietary_usable"])).as_py() >= 3
    if declaration.category:
        codes = {*declaration.category.codes.values(), *declaration.category.fallback_codes.values()}
        assert codes <= set(table["target_category"].to_pylist())


def test_both_copies_of_xmm_newtons_log_tell_the_same_observations() -> None:
    ours = observations(all_observations().rows, missions.XMMPointed.declaration, where="xsa")
    assert (all_observations().rows.num_rows, 500 - ours.num_rows) == COUNTS["xmm_pointed"]
    assert not any(obs_id.startswith("9") for obs_id in ours["ObsID"].to_pylist())
    theirs = TABLES["xmm_pointed"]().rows
    assert theirs["obsid"].to_pylist() == all_observations().rows["observation_id"].to_pylist()
    assert pc.sum(pc.invert(ours["science_usable"])).as_py() > 0
    assert ours["proprietary_end_date"].null_count == 1


def test_a_table_is_the_same_each_time() -> None:
    for make in (TABLES["integral_pointed"], all_observations):
        assert make().rows.equals(make().rows)


def test_several_missions_have_seen_the_objects_of_the_examples() -> None:
    seen: Counter[str] = Counter()
    wanted = ("RY Cnc", "Coma", "Crab", "3C 273", "HD 5501", "J123.1-32.13", "T CrB", "TIC 25155310")
    for mission in (*CLASSES, "xmm_pointed"):
        rows = TABLES[mission]().rows
        for name in wanted:
            one = find_object(name)
            assert one is not None
            near = pc.and_(
                pc.less(pc.abs(pc.subtract(rows["ra"], one.ra_deg)), 3.0),
                pc.less(pc.abs(pc.subtract(rows["dec"], one.dec_deg)), 1.5),
            )
            seen[name] += bool(pc.any(near).as_py())
    assert min(seen.values()) >= 6


def test_objects_are_found_by_any_of_their_names() -> None:
    assert len(named_objects()) >= 30
    crab = find_object("crab")
    assert crab is not None and crab is find_object("M1") is find_object("  ngc 1952 ")
    ry = find_object("RY cnc")
    assert ry is not None and (ry.name, ry.period_d) == ("V* RY Cnc", 1.092943)
    assert ry is find_object("v*ry cnc")
    tic = find_object("TIC25155310")
    assert tic is not None and abs(tic.ra_deg - 63.3739) < 1e-3
    assert find_object("nobody") is None
    names = [name for one in named_objects() for name in (one.name, *one.aliases)]
    assert len(set(names)) == len(names)


def test_tap_knows_heasarcs_columns_units_and_reserved_words(sandbox: Any) -> None:
    text = ask(sandbox, "heasarc", 'select top 2 obsid, "time", end_time, ra from numaster where ra is not null')
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2, text
    assert 50000.0 < float(rows[0]["time"]) < float(rows[0]["end_time"]) < 70000.0
    described = ask(
        sandbox,
        "heasarc",
        "select column_name, unit, ucd from tap_schema.columns where table_name like '%numaster' and unit <> ''",
    )
    told = {row["column_name"]: row for row in csv.DictReader(io.StringIO(described))}
    assert told["ra"]["ucd"].startswith("pos.eq.ra") and told["ontime_a"]["unit"] == "s"
    assert ask(sandbox, "heasarc", "select count(*) as n from swiftmastr").split() == ["n", "1500"]
    assert '"QUERY_STATUS" value="ERROR"' in ask(sandbox, "heasarc", "select top 1 nonsense from numaster")


def test_heasarcs_schema_needs_no_quotes(sandbox: Any) -> None:
    for table in ("public.chanmaster", '"public".chanmaster', "PUBLIC . chanmaster", "chanmaster"):
        text = ask(sandbox, "heasarc", f"select count(*) as n from {table} where name <> 'public.x'")
        assert text.split() == ["n", "450"], (table, text)
    address = f"{sandbox.url}/heasarc/tap/sync?" + urllib.parse.urlencode(
        {"LANG": "ADQL", "FORMAT": "csv", "query": "select top 1 cat.obsid from public.numaster as cat"}
    )
    with urllib.request.urlopen(address) as answer:
        assert len(answer.read().split()) == 2


# pyvo leaves closing its connections to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_pyvo_asks_at_once_and_by_jobs(sandbox: Any) -> None:
    pyvo = pytest.importorskip("pyvo")
    query = (
        "select obsid, ra, dec from public.numaster"
        " where 1 = contains(point('ICRS', ra, dec), circle('ICRS', 194.95, 27.98, 1))"
    )
    service = pyvo.dal.TAPService(f"{sandbox.url}/heasarc/tap")
    at_once = service.search(query).to_table()
    job = service.submit_job(query)
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"], timeout=30)
    assert len(job.fetch_result()) == len(at_once) >= 1
    assert at_once["ra"].unit == "deg"
    job.delete()
    del service, job
    gc.collect()


def test_esas_times_are_text_and_flags_are_flags(sandbox: Any) -> None:
    text = ask(
        sandbox,
        "xsa",
        "select observation_id, start_utc, with_science, duration, proprietary_end_date, revolution"
        " from xsa.v_all_observations",
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 500
    assert {row["with_science"] for row in rows} == {"true", "false"}
    assert all(row["start_utc"][10] == " " for row in rows)
    assert sum(row["proprietary_end_date"] == "" for row in rows) == 1


def test_a_renamed_column_is_refused_by_its_old_name_and_answered_by_its_new_one(sandbox: Any) -> None:
    sandbox.faults.set(Fault("renamed-column", archive="heasarc"))
    assert 'column "ra" does not exist' in ask(sandbox, "heasarc", "select top 1 ra, dec from chanmaster")
    answer = ask(sandbox, "heasarc", "select top 1 ra_j2000, dec from chanmaster", "votable")
    assert '<FIELD name="ra_j2000"' in answer and 'name="ra"' not in answer
    with urllib.request.urlopen(f"{sandbox.url}/heasarc/tap/tables") as page:
        tables = page.read().decode()
    assert tables.count("<name>ra_j2000</name>") == len(TABLES) and "<name>ra</name>" not in tables
    about = ask(sandbox, "heasarc", "select top 1 dec, 'ra' as word, \"dec\" as x from public.chanmaster")
    assert about.startswith("dec,word")
    assert "ra,dec" in ask(sandbox, "xsa", "select top 1 ra, dec from xsa.v_all_observations")
    sandbox.faults.clear()
    assert "ra,dec" in ask(sandbox, "heasarc", "select top 1 ra, dec from chanmaster")


def test_erositas_tables_are_what_its_missions_read(sandbox: Any, tmp_path: Any) -> None:
    address = sandbox.endpoints()["erosita"]["tables"]
    for name, mission, count in (
        ("erass_de_dr1_info.csv", missions.eRASS1DE, len(tiles.tiles())),
        ("erosita_calpv_info.csv", missions.eROSITACalPV, len(calibration_fields.POINTINGS)),
    ):
        with urllib.request.urlopen(address + name) as answer:
            assert answer.headers["Content-Type"].startswith("text/csv")
            (tmp_path / name).write_bytes(answer.read())
        table = observations(read_table(tmp_path / name), mission.declaration, where=name)
        assert table.num_rows == count >= 30
        assert pc.all(pc.greater(table["end"], table["start"])).as_py()
        if mission is missions.eROSITACalPV:
            edr = sandbox.endpoints()["erosita"]["edr"]
            assert all(link.startswith(edr) for link in table["download"].to_pylist())


def test_erositas_tables_may_have_a_column_renamed(sandbox: Any) -> None:
    address = sandbox.endpoints()["erosita"]["tables"]
    sandbox.faults.set(Fault("renamed-column", archive="erosita", times=2))
    for name, column in (
        ("erass_de_dr1_info.csv", "RA_J2000"),
        ("erosita_calpv_info.csv", "ra_j2000"),
        ("erass_de_dr1_info.csv", "RA"),
    ):
        with urllib.request.urlopen(address + name) as answer:
            head = answer.readline().decode().split(",")
        assert {one for one in head if one.lower() in ("ra", "ra_j2000")} == {column}


def test_tiles_are_those_of_the_survey(shared_data: Any) -> None:
    with (shared_data / "daxa" / "erass_de_dr1_info.csv").open() as file:
        real = {row["ObsID"]: row for row in csv.DictReader(file)}
    held = tiles.tiles()
    assert set(held) <= set(real) and 250 <= len(held) <= 400 and "134135" in held
    for name, tile in held.items():
        row = real[name]
        for column, value in (
            ("RA_MIN", tile.ra_min),
            ("RA_MAX", tile.ra_max),
            ("DEC_MIN", tile.dec_min),
            ("DEC_MAX", tile.dec_max),
            ("RA", tile.ra),
        ):
            assert float(row[column]) == pytest.approx(value, abs=1e-6)
        assert 6 <= len(tile.neighbours) <= 9
    same = sum(
        set(tile.neighbours) == {real[name][f"FIELD{i}"] for i in range(1, 10)} - {"000000"}
        for name, tile in held.items()
    )
    assert same > 0.9 * len(held)


def test_calibration_fields_are_real_ones(shared_data: Any) -> None:
    with (shared_data / "daxa" / "erosita_calpv_info.csv").open() as file:
        real = {row["ObsID"]: row for row in csv.DictReader(file)}
    for one in calibration_fields.POINTINGS:
        row = real[one.obs_id]
        assert (one.field, one.kind) == (row["Field_Name"], row["Field_Type"])
        assert row["download"].endswith(f"/{one.archive}.tar.gz")
        assert float(row["ra"]) == pytest.approx(one.ra, abs=2e-5)
        assert one.start.isoformat() == row["start"] and one.seconds == float(row["duration"])
        assert ",".join(f"TM{digit}" for digit in one.telescopes) == row["active_insts"]


def test_types_are_those_of_the_archive() -> None:
    assert TABLES["suzaku"]().rows["category_code"].type == pa.int32()
    assert TABLES["asca"]().rows["sequence_number"].type == pa.int32()
    assert TABLES["rosat_pointed"]().rows["subj_cat"].type == pa.int16()
    assert TABLES["integral_pointed"]().rows["scw_ver"].type == pa.string()
    assert TABLES["chandra"]().rows["public_date"].to_pylist().count(0.0) == 1
