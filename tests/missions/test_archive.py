"""Missions together in an archive: downloaded, tidied, processed step by step, saved and taken up again."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from missions.archive_tables import archive_table
from skyvault.errors import FormatError, NotFound
from skyvault.missions import (
    Archive,
    Chandra,
    NuSTARPointed,
    Suzaku,
    XMMPointed,
    eRASS1DE,
    mission_classes,
    multi_mission_filter_on_positions,
)
from skyvault.missions.archive import ArchiveExistsError, DuplicateMissionError
from skyvault.missions.archive_processes import NoRegionsAssociatedError
from skyvault.missions.archive_record import (
    MissionNotAssociatedError,
    NoDependencyProcessError,
    NoProcessingError,
    ObsNotAssociatedError,
)
from skyvault.missions.archive_regions import sky_regions
from skyvault.missions.faults import MissionTypeError, MissionValueError, MissionWarning, NoObsAfterFilterError
from skyvault.missions.naming import mission_class as class_named
from skyvault.missions.processing import Outcome, Task, run_step
from skyvault.sandbox import Fault


class Desk:
    """A downloader that writes small files for what is ordered, and counts its orders."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.orders = 0

    def download(self, order) -> list[str]:
        self.orders += 1
        ids = [str(one) for one in order.rows["ObsID"].to_pylist()]
        for obs_id in ids:
            for name in self.names:
                path = order.directory / obs_id / name.format(oi=obs_id)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{name} of {obs_id}".encode() * 40)
        return ids


NUSTAR_FILES = ("event_cl/nu{oi}A01_cl.evt", "event_cl/nu{oi}B01_cl.evt", "event_cl/nu{oi}A01_sk.img")


def nustar(tmp_path: Path, desk: Desk | None = None) -> NuSTARPointed:
    mission = NuSTARPointed(
        table=archive_table(NuSTARPointed), output=tmp_path, downloader=desk or Desk(*NUSTAR_FILES), cache=tmp_path
    )
    mission.filter_on_obs_ids(mission.obs_ids[:4].tolist())
    return mission


def erass(tmp_path: Path) -> eRASS1DE:
    names = [
        "EXP_010/em01_{oi}_020_EventList_c010.fits",
        "EXP_010/em01_{oi}_021_Image_c010.fits",
        "EXP_010/em01_{oi}_024_Image_c010.fits",
        "DET_010/em01_{oi}_024_ExposureMap_c010.fits",
        "DET_010/em01_{oi}_024_BackgrImage_c010.fits",
    ]
    mission = eRASS1DE(table=archive_table(eRASS1DE), output=tmp_path, downloader=Desk(*names), cache=tmp_path)
    mission.filter_on_obs_ids(mission.obs_ids[:3].tolist())
    return mission


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive("clusters", [nustar(tmp_path), erass(tmp_path)], use_preprocessed=True)


# --- made, tidied, reloaded ------------------------------------------------------------------------------------------


def test_downloaded_products_lie_in_a_tidy_tree_under_names_that_say_what_they_are(archive, tmp_path):
    tree = archive.archive_path / "processed_data"
    found = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    assert "nustar_pointed/00000000001/events/obsid00000000001-instFPMA-subexpALL-finalevents.fits" in found
    assert "nustar_pointed/00000000001/images/obsid00000000001-instFPMA-subexpALL-en3_78keV-image.fits" in found
    tile = "erosita_all_sky_de_dr1/000001"
    assert f"{tile}/images/obsid000001-instALL-subexpALL-en0.2_0.6keV-image.fits" in found
    assert f"{tile}/images/obsid000001-instALL-subexpALL-en0.2_2.3keV-expmap.fits" in found
    assert f"{tile}/background/obsid000001-instALL-subexpALL-en0.2_2.3keV-backmap.fits" in found
    assert len(found) == 4 * 3 + 3 * 5 == len(archive.files)


def test_products_are_links_that_survive_the_deletion_of_raw_data(archive):
    one = archive.files[0]
    path = archive.archive_path / one.path
    assert path.samefile(one.source)
    archive.delete_raw_data(force_del=True)
    assert path.is_file() and not Path(one.source).exists()
    assert archive.damaged_files() == {}


def test_copies_are_made_where_links_are_not_wanted(tmp_path):
    archive = Archive("copies", nustar(tmp_path), use_preprocessed=True, is_linked=False)
    one = archive.files[0]
    assert not (archive.archive_path / one.path).samefile(one.source)


def test_the_manifest_finds_damage_of_every_kind(archive):
    first, second, third, *_ = [archive.archive_path / one.path for one in archive.files]
    first.unlink()
    second.unlink()
    second.write_bytes(b"short")
    data = bytearray(third.read_bytes())
    data[7] ^= 1
    third.unlink()
    third.write_bytes(data)
    assert sorted(archive.damaged_files().values()) == ["has 5 bytes instead of 1,600", "has other bytes than it had",
                                                         "is missing"]  # fmt: skip


def test_an_archive_is_reloaded_by_its_name_and_asks_nobody(archive, tmp_path):
    archive.process_success = ("flares", {"nustar_pointed": {"00000000001": True}})
    again = Archive("clusters", output=tmp_path)
    assert again.mission_names == ["nustar_pointed", "erosita_all_sky_de_dr1"]
    assert [one.filtered_obs_ids.tolist() for one in again] == [one.filtered_obs_ids.tolist() for one in archive]
    assert again.process_success == archive.process_success
    assert again["nustar_pointed"].locked and again["nustar_pointed"].download_completed
    assert again["nustar_pointed"].get_evt_list_path("00000000002", "FPMB").endswith("B01_cl.evt")
    assert len(again.files) == len(archive.files)


def test_the_filters_are_kept_with_the_archive(archive, tmp_path):
    again = Archive("clusters", output=tmp_path)
    assert [one["name"] for one in again[0].filtering_operations] == ["filter_on_obs_ids"]


def test_raw_data_alone_may_be_fetched_or_nothing(tmp_path):
    desk = Desk()
    raw = Archive("raw", nustar(tmp_path, desk), download_products=False)
    assert raw[0].downloaded_type == "raw" and desk.orders == 1
    none = Archive("none", nustar(tmp_path, desk), download_products=None)
    assert not none[0].download_completed and desk.orders == 1
    mixed = Archive("mixed", [nustar(tmp_path, desk)], download_products={"nustar_pointed": False})
    assert mixed[0].downloaded_type == "raw"


def test_a_downloaded_and_locked_mission_is_taken_as_it_is(tmp_path):
    desk = Desk(*NUSTAR_FILES)
    mission = nustar(tmp_path, desk)
    mission.download()
    mission.locked = True
    assert Archive("later", mission)[0] is mission and desk.orders == 1


def test_an_archive_that_fails_does_not_stop_the_others(tmp_path):
    class Broken:
        def download(self, order):
            raise NotFound("the archive is closed")

    broken = nustar(tmp_path, Broken())
    with pytest.raises(Exception, match="the archive is closed") as caught:
        Archive("partly", [broken, erass(tmp_path)], use_preprocessed=True)
    assert caught.value.hint == "What came is kept; download() of the archive goes on."
    again = Archive("partly", output=tmp_path)
    assert {one.mission for one in again.files} == {"erosita_all_sky_de_dr1"}
    assert not again["nustar_pointed"].download_completed


def test_an_observation_that_failed_is_kept_in_mind_and_fetched_later(sandbox, sandbox_settings, tmp_path):
    mission = NuSTARPointed(settings=sandbox_settings, output=tmp_path)
    mission.filter_on_name("3C 273")
    lost = mission.filtered_obs_ids[0]
    sandbox.faults.set(Fault("missing", archive="heasarc", path=f"*nu{lost}*evt*"))
    with pytest.warns(MissionWarning, match="did not come"):
        Archive("holes", mission, use_preprocessed=True, settings=sandbox_settings)
    sandbox.faults.clear()
    archive = Archive("holes", output=tmp_path, settings=sandbox_settings)
    assert archive.missing_observations.keys() == {"nustar_pointed"}
    assert archive.missing_observations["nustar_pointed"].keys() == {lost}
    before = {one.obs_id for one in archive.files}
    assert lost in archive.download()["nustar_pointed"]
    assert archive.missing_observations == {} and lost not in before
    assert lost in {one.obs_id for one in archive.files}
    assert archive.damaged_files() == {}
    changes = archive.update()
    assert not changes["nustar_pointed"]["sel_obs_change"] and archive.version == "0.0.0"


def test_names_and_missions_are_checked_before_anything_is_made(tmp_path):
    with pytest.raises(MissionValueError, match="cannot be a name"):
        Archive("../elsewhere", nustar(tmp_path))
    with pytest.raises(DuplicateMissionError, match="nustar_pointed is given twice"):
        Archive("two", [nustar(tmp_path), nustar(tmp_path)])
    with pytest.raises(MissionTypeError, match="made of missions"):
        Archive("wrong", ["NuSTAR"])
    with pytest.raises(MissionValueError, match="there is no archive 'nothing'"):
        Archive("nothing", output=tmp_path)
    with pytest.raises(MissionValueError, match="no mission of the archive"):
        Archive("keys", nustar(tmp_path), use_preprocessed={"swift": True})
    assert not (tmp_path / "archives").exists()


def test_an_archive_is_replaced_only_when_that_is_said(archive, tmp_path):
    with pytest.raises(ArchiveExistsError, match="already"):
        Archive("clusters", nustar(tmp_path))
    assert len(Archive("clusters", nustar(tmp_path), clobber=True)) == 1


def test_a_damaged_save_is_told_in_a_sentence(archive, tmp_path):
    path = archive.archive_path / ".save_info" / "process_info.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(FormatError, match="cannot be read"):
        Archive("clusters", output=tmp_path)


def test_missions_are_reached_by_number_name_and_loop_and_taken_out(archive, tmp_path, capsys):
    assert len(archive) == 2 and archive[0] is archive["nustar_pointed"] and list(archive) == archive.missions
    assert "nustar_pointed" in archive
    archive.info()
    assert "NuSTAR Pointed: 4 observations" in capsys.readouterr().out
    del archive["nustar_pointed"]
    assert archive.mission_names == ["erosita_all_sky_de_dr1"]
    assert not archive.archive_path.joinpath("processed_data", "nustar_pointed").exists()
    assert Archive("clusters", output=tmp_path).mission_names == ["erosita_all_sky_de_dr1"]
    with pytest.raises(MissionNotAssociatedError, match="It has erosita"):
        archive["nustar_pointed"]


# --- processing ------------------------------------------------------------------------------------------------------


class CountBytes:
    """A small step in Python: the size of an observation's files, written beside the products."""

    name = "count_bytes"
    version = "1"
    missions = ("nustar_pointed",)
    requires: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, task: Task) -> Outcome:
        self.ran.append(task.ident)
        if task.obs_id == "00000000003":
            raise RuntimeError("no event is left")
        size = sum(path.stat().st_size for path in task.raw.rglob("*") if path.is_file())
        (task.processed / "size.txt").write_text(str(size * task.parameters.get("factor", 1)))
        return Outcome(True, warnings=("few events",), extra={"bytes": size}, stdout=f"counted {size}\n")


class NeedsCount(CountBytes):
    name = "after_count"
    requires = ("count_bytes",)

    def run(self, task: Task) -> Outcome:
        self.ran.append(task.ident)
        return Outcome(True)


def test_a_step_runs_over_all_observations_and_goes_on_after_a_failure(archive, tmp_path):
    done = run_step(archive, CountBytes(), num_cores=2)
    assert done == {"nustar_pointed": {f"{i:011d}": i != 3 for i in range(1, 5)}}
    again = Archive("clusters", output=tmp_path)
    assert again.process_names == {"nustar_pointed": ["count_bytes"]}
    assert again.process_extra_info["nustar_pointed"]["count_bytes"]["00000000001"]["bytes"] > 0
    assert again.process_warnings["nustar_pointed"]["count_bytes"]["00000000001"] == ["few events"]
    assert again.get_failed_processes("count_bytes") == {"nustar_pointed": ["00000000003"]}
    told = again.process_errors["nustar_pointed"]["count_bytes"]["00000000003"]
    assert told == ["00000000003: count_bytes stopped with RuntimeError: no event is left"]
    assert again.get_process_logs("count_bytes", "nustar_pointed", "00000000001")["nustar_pointed"].keys() == {
        "00000000001"
    }
    assert (again.archive_path / "logs/nustar_pointed/count_bytes_00000000001_stdout.log").is_file()
    assert again.get_failed_logs("count_bytes") == {"nustar_pointed": {"00000000003": ("", "")}}


def test_what_went_well_is_not_done_again_unless_parameters_or_version_changed(archive):
    step = CountBytes()
    run_step(archive, step)
    run_step(archive, step)
    assert step.ran == [f"{i:011d}" for i in (1, 2, 3, 4, 3)]
    step.ran.clear()
    run_step(archive, step, factor=2)
    step.version = "2"
    run_step(archive, step, factor=2)
    assert len(step.ran) == 8
    assert archive.process_configurations["nustar_pointed"]["count_bytes"] == {
        "version": "2",
        "parameters": {"factor": 2},
    }


def test_a_step_waits_for_those_it_needs(archive):
    with pytest.raises(NoProcessingError, match="nothing was processed"):
        run_step(archive, NeedsCount())
    run_step(archive, CountBytes())
    after = NeedsCount()
    run_step(archive, after)
    assert after.ran == [f"{i:011d}" for i in (1, 2, 4)]
    ready = archive.check_dependence_success("nustar_pointed", ["00000000001", "00000000003"], "count_bytes")
    assert ready.tolist() == [True, False] and ready.dtype == np.bool_
    with pytest.raises(NoDependencyProcessError, match="deflare was not run"):
        archive.check_dependence_success("nustar_pointed", "00000000001", "deflare")
    with pytest.raises(NoDependencyProcessError, match="went well for none"):
        archive.check_dependence_success("nustar_pointed", "00000000003", "count_bytes")


def test_data_of_observations_that_failed_move_and_are_processed_no_more(archive):
    before = archive.get_current_data_path("nustar_pointed", "00000000003")
    archive.final_process_success = {"nustar_pointed": {"00000000003": False, "00000000001": True}}
    after = archive.get_current_data_path("nustar_pointed", "00000000003")
    assert after == archive.construct_failed_data_path("nustar_pointed", "00000000003")
    assert after.is_dir() and not before.exists()
    assert archive.damaged_files() == {}
    assert ["00000000003"] not in archive.get_obs_to_process("nustar_pointed")
    assert not archive["nustar_pointed"].processed
    archive.final_process_success = {"nustar_pointed": {"00000000002": True, "00000000004": True}}
    assert archive["nustar_pointed"].processed


def test_observations_are_assessed_by_the_missions_rule(archive):
    archive.observation_summaries = {
        "nustar_pointed": {
            "00000000001": {"FPMA": {"active": True}, "FPMB": {"active": False}},
        }
    }
    parts = archive.get_obs_to_process("nustar_pointed")
    assert ["00000000001", "FPMA"] in parts and ["00000000001", "FPMB"] not in parts and ["00000000002"] in parts
    assert archive.get_obs_to_process("nustar_pointed", "FPMA") == [["00000000001", "FPMA"]]


def test_records_take_the_seeds_form_and_refuse_others(archive):
    archive.process_errors = ("p", {"nustar_pointed": {"00000000001": "bad"}})
    assert archive.process_errors["nustar_pointed"]["p"]["00000000001"] == ["bad"]
    with pytest.raises(MissionTypeError, match="pair"):
        archive.process_success = {"nustar_pointed": {}}
    with pytest.raises(MissionValueError, match="no mission of the archive"):
        archive.process_success = ("p", {"swift": {"1": True}})
    with pytest.raises(MissionTypeError, match="type str"):
        archive.process_success = ("p", {"nustar_pointed": {"00000000001": "yes"}})
    with pytest.raises(ObsNotAssociatedError):
        archive.construct_processed_data_path("nustar_pointed", "99999999999")
    with pytest.raises(NoProcessingError, match="'q' was not run"):
        archive.get_process_logs("q")


# --- source regions --------------------------------------------------------------------------------------------------


def wcs(rotation_deg: float = 0.0, flip: float = -1.0):
    from astropy.wcs import WCS

    made = WCS(naxis=2)
    made.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    made.wcs.crval, made.wcs.crpix, made.wcs.cdelt = [150.0, 20.0], [100.0, 100.0], [flip * 0.001, 0.001]
    c, s = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    made.wcs.pc = [[c, -s], [s, c]]
    return made


def numbers(text: str) -> list[float]:
    return [float(one) for one in text.split("(")[1].split(")")[0].split(",")]


def test_pixel_regions_become_degrees_by_their_image():
    made = sky_regions("global color=red\nimage ; ellipse(100,100,20,10,30)\n", wcs())
    assert made.splitlines()[1] == "icrs"
    assert numbers(made) == pytest.approx([150.0, 20.0, 0.02, 0.01, 30.0], abs=1e-5)


def test_angles_follow_turned_and_mirrored_images():
    turned = numbers(sky_regions("image;box(100,100,20,10,30)", wcs(40.0)))
    # ten pixels along the box's own axis lie in the direction the angle says
    step = wcs(40.0).pixel_to_world(99 + 10 * np.cos(np.radians(30)), 99 + 10 * np.sin(np.radians(30)))
    centre = wcs().pixel_to_world(99, 99)
    assert (centre.position_angle(step).deg - 270.0 - turned[4]) % 360.0 == pytest.approx(0.0, abs=0.01) or (
        centre.position_angle(step).deg - 270.0 - turned[4]
    ) % 360.0 == pytest.approx(360.0, abs=0.01)
    mirrored = numbers(sky_regions("image;box(100,100,20,10,30)", wcs(0.0, 1.0)))
    assert mirrored[4] % 180.0 == pytest.approx(150.0, abs=0.01)


def test_sky_regions_are_read_in_all_their_spellings():
    text = "fk5\ncircle(10:00:00,+20:00:00,30\")  # color=red\n-point(150,20)\ngalactic;circle(0,0,1')\n"
    lines = sky_regions(text).splitlines()[2:]
    assert numbers(lines[0]) == pytest.approx([150.0, 20.0, 30 / 3600], abs=1e-4)
    assert lines[1].startswith("-point(149.99999")
    assert numbers(lines[2]) == pytest.approx([266.405, -28.936, 1 / 60], abs=1e-3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fk5;circle(1,2)", "a circle of 2 numbers"),
        ("fk5;vector(1,2,3,4)", "no region that is known"),
        ("fk5\nfk5\ncircle(1,99,2)", "line 3"),
        ("fk5;circle(a,b,c)", "cannot be read"),
        ("image;circle(1,2,3)", "are in pixels"),
    ],
)
def test_what_is_no_region_is_told_with_its_line(text, told):
    with pytest.raises((FormatError, MissionValueError), match=told):
        sky_regions(text)


def test_regions_are_kept_with_their_observation(archive, tmp_path):
    with pytest.raises(NoRegionsAssociatedError):
        archive.get_region_file_path("nustar_pointed", "00000000001")
    archive.source_regions = {
        "nustar_pointed": {"00000000001": {"regions": "image;circle(100,100,5)", "wcs_src": wcs()}}
    }
    again = Archive("clusters", output=tmp_path)
    text = again.source_regions["nustar_pointed"]["00000000001"]
    assert numbers(text) == pytest.approx([150.0, 20.0, 0.005], abs=1e-5)
    assert again.get_region_file_path("nustar_pointed", "00000000001").name == "source_regions_radec.reg"


def test_real_region_files_of_xmm_are_read(shared_data):
    for path in sorted((shared_data / "daxa").glob("*.reg")):
        made = sky_regions(path, wcs())
        assert made.count("ellipse") == path.read_text().count("ellipse") > 0


# --- updates ---------------------------------------------------------------------------------------------------------


class Source:
    """An archive's table, of which only the first rows are there at first."""

    def __init__(self, rows: int) -> None:
        self.table = archive_table(NuSTARPointed, 60).slice(0, rows)

    def observations(self, declaration):
        return self.table, "test"


def test_an_update_fetches_what_is_new_and_keeps_what_was(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    mission = NuSTARPointed(cache=cache, source=Source(20), output=tmp_path, downloader=Desk(*NUSTAR_FILES))
    mission.filter_on_time("1990-01-01", "2040-01-01")
    archive = Archive("growing", mission, use_preprocessed=True)
    assert archive.update(source=Source(20), cache=cache)["nustar_pointed"]["sel_obs_change"] is False
    assert archive.version == "0.0.0"
    changes = archive.update(source=Source(60), cache=cache, downloader=Desk(*NUSTAR_FILES))
    assert len(changes["nustar_pointed"]["new_obs_ids"]) == 40
    assert archive.version == "0.1.0" and len(archive[0]) == 60
    kept = archive.archive_path / ".save_info/previous_versions/0.0.0/nustar_pointed_state.json"
    assert len(json.loads(kept.read_text())["selected_obs"]) == 20
    again = Archive("growing", output=tmp_path)
    assert again.version == "0.1.0" and len(again[0]) == 60 and len(again.files) == 180


# --- many missions at once -------------------------------------------------------------------------------------------


def test_missions_that_cover_positions_are_found_together(tmp_path):
    for cls in (XMMPointed, Suzaku, Chandra):
        cls(table=archive_table(cls), cache=tmp_path).cache_table()
    info = XMMPointed(cache=tmp_path).all_obs_info
    place = [info["ra"][0].as_py(), info["dec"][0].as_py()]
    with warnings.catch_warnings():
        warnings.simplefilter("error", MissionWarning)
        found = multi_mission_filter_on_positions(
            place, {"xmm_pointed": 0.1, "Chandra": 90.0}, ["XMMPointed", "chandra"], {"chandra": "ACIS"}, cache=tmp_path
        )
    assert [one.name for one in found] == ["xmm_pointed", "chandra"]
    assert len(found[0]) == 1 and found[1].chosen_instruments == ["ACIS"]
    with pytest.warns(MissionWarning, match="no observation of the positions has Suzaku"):
        found = multi_mission_filter_on_positions([0.0, 89.99], {"xmm_pointed": 60}, ["xmm", "Suzaku"], cache=tmp_path)
    assert [one.name for one in found] == ["xmm_pointed"]
    with pytest.raises(NoObsAfterFilterError, match="none of Suzaku"):
        multi_mission_filter_on_positions([0.0, 89.99], 1e-6, "Suzaku", cache=tmp_path)


@pytest.mark.parametrize("cls", mission_classes().values())
def test_every_mission_is_found_by_all_its_names(cls):
    for name in (cls.__name__, cls.declaration.name, cls.declaration.pretty_name, cls.__name__.upper()):
        assert class_named(name) is cls


@pytest.mark.parametrize(
    ("name", "meant"), [("Chandre", "Chandra"), ("nustr", "NuSTARPointed"), ("rosat", "ROSATPoin")]
)
def test_names_that_nearly_fit_are_suggested(name, meant):
    with pytest.raises(MissionValueError, match=f"Did you mean .*{meant}"):
        class_named(name)
    with pytest.raises(MissionValueError, match="There are XMMPointed"):
        class_named("Hubble Space Telescope WFC3")
