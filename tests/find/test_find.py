"""One question to many archives: rows as in ObsCore, problems beside them, duplicates once, deadlines kept."""

import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skyvault
from skyvault.config import Settings
from skyvault.errors import ParameterError, UsageError
from skyvault.find.asking import ask_side_by_side
from skyvault.find.place import Place
from skyvault.find.rows import COLUMNS
from skyvault.find.search import find
from skyvault.missions.faults import MissionValueError, NameResolveError
from skyvault.sandbox import Fault
from skyvault.sandbox.rubin import TOKEN
from skyvault.sandbox.vo_services import IMAGES, MIRRORED, OWN, PLATES, QUASAR_DEG, SAME_IMAGES, SPECTRA

LMC_X1 = (84.91179, -69.74320)
QUASAR = f"{QUASAR_DEG[0]} {QUASAR_DEG[1]}"
SOME = ["chandra", "xmm_pointed", "nustar_pointed", "rosat_pointed"]


@pytest.fixture
def found(settings):
    return find(LMC_X1, radius=0.5, missions=SOME, settings=settings)


# --- where and when ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["84.91179 -69.74320", LMC_X1, [LMC_X1], np.array([LMC_X1]), "LMC X-1"],
)
def test_a_place_is_written_in_many_ways(settings, target):
    place = Place.of(target, settings=settings)
    assert abs(place.ra[0] - LMC_X1[0]) < 1e-3 and abs(place.dec[0] - LMC_X1[1]) < 1e-3


def test_a_row_of_one_instrument_names_it_and_has_its_field_of_view(settings):
    rows = find(LMC_X1, missions=["chandra"], settings=settings).table
    fields = {"ACIS": 2 * 27.8 / 60, "HRC": 2 * 49.5 / 60}
    assert set(rows["instrument_name"].to_pylist()) <= set(fields) and rows.num_rows
    for name, fov in zip(rows["instrument_name"].to_pylist(), rows["s_fov"].to_pylist(), strict=True):
        assert fov == pytest.approx(fields[name])


def test_sky_coordinates_of_any_frame_are_places():
    from astropy.coordinates import SkyCoord

    place = Place.of(SkyCoord(*LMC_X1, unit="deg").galactic)
    assert abs(place.ra[0] - LMC_X1[0]) < 1e-9


def test_names_with_coordinates_need_nobody(tmp_path):
    place = Place.of("J123.1-32.13", settings=skyvault.Settings(home=tmp_path, endpoints={}))
    assert (place.ra[0], place.dec[0]) == (123.1, -32.13)


@pytest.mark.parametrize(
    ("time", "lo", "hi"),
    [
        ("2000-01-01/2000-12-31", 51544.0, 51910.0),
        ("../2000-01-01T12:00:00", -np.inf, 51544.5),
        ("51544/..", 51544.0, np.inf),
        ((51544.0, 51545.0), 51544.0, 51545.0),
        ("2000-01-01", 51544.0, 51545.0),
        (51544.25, 51544.25, 51544.25),
    ],
)
def test_spans_of_time_are_mjd(time, lo, hi):
    span = Place.of((0.0, 0.0), None, time).time
    assert (span.lo, span.hi) == (lo, hi)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"radius": -1}, ParameterError),
        ({"radius": 91}, ParameterError),
        ({"time": "2001/2000"}, ParameterError),
        ({"time": "a/b/c"}, ParameterError),
        ({"missions": ["hubble"]}, MissionValueError),
        ({"missions": []}, UsageError),
        ({"services": "yellow pages"}, ParameterError),
        ({"deadline_s": 0}, ParameterError),
        ({"kinds": " "}, ParameterError),
    ],
)
def test_what_nobody_can_be_asked_is_refused(settings, arguments, error):
    with pytest.raises(error):
        find(LMC_X1, settings=settings, **arguments)


def test_an_unknown_name_is_told(settings):
    with pytest.raises(NameResolveError, match="no position is known of"):
        find("Nowhere In Particular 17", settings=settings)


# --- missions ------------------------------------------------------------------------------------------------------


def test_rows_are_obscores(found):
    assert found.table.column_names == list(COLUMNS)
    assert set(found.table["mission"].to_pylist()) <= set(SOME)
    assert found.is_complete and len(found) >= 3
    assert found.table["separation"].to_pylist() == sorted(found.table["separation"].to_pylist())
    assert max(found.table["separation"].to_pylist()) <= 0.5
    row = found[0]
    assert row["s_region"].startswith("CIRCLE ICRS")
    assert 40_000 < row["t_min"] < row["t_max"] < 70_000
    assert 0 < row["em_min"] < row["em_max"] < 1e-7
    assert set(found.counts) == set(SOME)


def test_rows_agree_with_the_mission_itself(found, settings):
    from skyvault.missions import Chandra

    mission = Chandra(settings=settings)
    mission.filter_on_positions([LMC_X1], 0.5)
    rows = found.where(mission="chandra")
    assert sorted(rows.table["obs_id"].to_pylist()) == sorted(mission.filtered_obs_ids.tolist())
    exposure = dict(zip(rows.table["obs_id"].to_pylist(), rows.table["t_exptime"].to_pylist(), strict=True))
    durations = mission.filtered_obs_info["duration"].to_pylist()
    seconds = {i: d.total_seconds() for i, d in zip(mission.filtered_obs_ids.tolist(), durations, strict=True)}
    assert exposure == pytest.approx(seconds)


def test_times_and_regions_narrow_the_rows(found, settings):
    everything = find(LMC_X1, radius=0.5, missions=SOME, time="../..", settings=settings)
    assert len(everything) == len(found)
    first = min(found.table["t_min"].to_pylist())
    early = find(LMC_X1, radius=0.5, missions=SOME, time=(None, first), settings=settings)
    assert len(early) == 1 and early[0]["t_min"] == first
    region = find("CIRCLE 84.91 -69.74 0.3", missions=SOME, settings=settings)
    assert len(region) > 0 and region[0]["separation"] is None


def test_what_a_monitor_alone_has_seen_is_asked_for_by_name(settings):
    everything = find(LMC_X1, settings=settings, kinds=["event"])
    assert "BAT" in {one.service: one.reason for one in everything.not_asked}["swift"]
    of_all = everything.where(mission="swift")
    of_swift = find(LMC_X1, missions="swift", settings=settings)
    assert set(of_all["instrument_name"].to_pylist()) <= {"XRT"} and not of_swift.not_asked
    assert len(of_swift) > len(of_all)


def test_several_positions_each_have_theirs(settings):
    found = find([LMC_X1, (62.0, -37.0)], radius=0.5, missions=SOME, settings=settings)
    assert set(found.table["position"].to_pylist()) <= {0, 1}
    assert found.place.label == "2 positions"


def test_an_archive_that_fails_is_a_problem_and_the_others_answer(settings, sandbox):
    sandbox.faults.set(Fault("html", archive="xsa"), Fault("missing", archive="heasarc", path="*xmm*"))
    found = find(LMC_X1, radius=0.5, missions=["suzaku", "xmm_pointed"], settings=settings)
    # XMM's table is had from HEASARC, then: only where both fail it is a problem
    assert {problem.service for problem in found.problems} <= {"xmm_pointed"}
    sandbox.faults.set(Fault("unreachable", archive="erosita"))
    found = find(LMC_X1, radius=0.5, missions=["erass1de", "suzaku"], settings=settings)
    assert "suzaku" in found.counts and len(found.asked) == 2


def test_empty_and_failed_never_look_alike(settings, sandbox):
    nothing = find((10.0, 80.0), radius=0.001, missions=["suzaku"], settings=settings)
    assert (len(nothing), nothing.is_complete, nothing.counts) == (0, True, {"suzaku": 0})
    sandbox.faults.set(Fault("unreachable", archive="heasarc"))
    failed = find((10.0, 80.0), radius=0.001, missions=["asca"], settings=settings)
    assert (len(failed), failed.is_complete, failed.counts) == (0, False, {})
    assert failed.problems[0].service == "asca"
    assert "1 of 1 did not answer" in repr(failed)


def test_the_result_is_shown_written_and_drawn(found, tmp_path):
    page = found._repr_html_()
    assert "<table>" in page and "chandra" in page
    table = found.to_table()
    assert table["separation"].unit == "deg" and len(table) == len(found)
    for name in ("found.parquet", "found.vot", "found.csv", "found.fits"):
        assert found.write(tmp_path / name).stat().st_size > 100
    assert pq.read_table(tmp_path / "found.parquet").num_rows == len(found)
    figure = found.plot(tmp_path / "sky.png")
    axes = figure.axes[0]
    left, right = axes.get_xlim()
    assert left > right, "east is to the left"
    assert (tmp_path / "sky.png").stat().st_size > 10_000
    names = {text.get_text().split(" ")[0] for text in axes.get_legend().get_texts()}
    assert names == {name for name, count in found.counts.items() if count}


def test_names_of_archives_do_not_become_markup(found):
    from dataclasses import replace

    from skyvault.find.found import Problem

    hostile = replace(found, problems=(Problem("<script>alert(1)</script>", "a & b"),))
    assert "<script>" not in hostile._repr_html_()


def test_the_files_of_a_row_are_fetched(settings, tmp_path):
    found = find(LMC_X1, radius=0.5, missions=["suzaku"], settings=settings)
    one = found.where(obs_id=found[0]["obs_id"])
    fetched = one.fetch(tmp_path / "data")
    assert fetched.is_complete, fetched.problems
    assert fetched.whole["suzaku"] == (found[0]["obs_id"],)
    assert list((tmp_path / "data").rglob("*.*"))


# --- services of the registry ----------------------------------------------------------------------------------------


def by_protocol(found):
    return {name.rpartition("(")[2].rstrip(")") + ":" + name.partition(" (")[0]: n for name, n in found.counts.items()}


def test_all_services_that_cover_a_lensed_quasar_are_asked_at_once(settings):
    found = find(QUASAR, missions=[], services="registry", settings=settings)
    assert len(found) == PLATES + OWN + (IMAGES - SAME_IMAGES) + SPECTRA
    assert found.duplicates == MIRRORED + SAME_IMAGES
    # what has data at the south pole only was not asked
    assert not any("Polar" in name for name in found.asked)
    told = {problem.service: problem.reason for problem in found.problems}
    assert sorted(told) == ["Closed Observatory (obstap)", "Moved Observatory (obstap)"]
    assert "no connection" in told["Closed Observatory (obstap)"]
    assert "no VOTable: 'Welcome to our new portal'" in told["Moved Observatory (obstap)"]
    assert min(value for value in found.table["t_min"].to_pylist()) < 15_000
    dids = [did for did in found.table["obs_publisher_did"].to_pylist() if did]
    assert len(dids) == len(set(dids))


def test_kinds_and_times_narrow_the_services_rows(settings):
    spectra = find(QUASAR, missions=[], services="registry", kinds="spectrum", settings=settings)
    assert len(spectra) == SPECTRA and set(spectra.table["target_name"].to_pylist()) == {"Q 2237+0305"}
    early = find(QUASAR, missions=[], services="registry", time="../1905-01-01", settings=settings)
    assert 0 < len(early) < PLATES and max(early.table["t_min"].to_pylist()) <= 16_846
    ccd = find(QUASAR, missions=[], services="registry", collections="CCD survey", settings=settings)
    assert len(ccd) == IMAGES - SAME_IMAGES


def test_files_of_services_are_fetched(settings, tmp_path):
    found = find(QUASAR, missions=[], services="registry", kinds="spectrum", settings=settings)
    fetched = found.fetch(tmp_path)
    assert fetched.is_complete and len(fetched.whole["Lens Spectra (ssa)"]) == SPECTRA


def test_a_registry_that_does_not_answer_is_a_problem(settings, sandbox):
    sandbox.faults.set(Fault("html", archive="registry"))
    found = find(LMC_X1, radius=0.5, missions=["suzaku"], services="registry", settings=settings)
    assert [problem.service for problem in found.problems] == ["registry"]
    assert found.counts["suzaku"] == len(found)


def test_a_service_that_hangs_has_its_own_deadline(settings, sandbox):
    sandbox.faults.set(Fault("slow", archive="vo", path="*ssa*", seconds=5.0))
    begun = time.monotonic()
    found = find(QUASAR, missions=[], services="registry", deadline_s=2.0, settings=settings)
    assert time.monotonic() - begun < 8.0
    assert any("Lens Spectra" in problem.service for problem in found.problems)
    assert len(found) >= PLATES


# --- side by side ----------------------------------------------------------------------------------------------------


def test_one_that_hangs_does_not_hold_up_the_others():
    stop = threading.Event()
    tasks = {f"hangs {n}": lambda: stop.wait(30) for n in range(3)} | {
        f"answers {n}": (lambda n=n: n) for n in range(5)
    }
    begun = time.monotonic()
    results, problems = ask_side_by_side(tasks, 0.3, parallel=3)
    stop.set()
    assert time.monotonic() - begun < 2.0
    assert results == {f"answers {n}": n for n in range(5)}
    assert [str(problem) for problem in problems] == [f"hangs {n}: no answer within 0.3 s" for n in range(3)]


def test_a_fault_of_ours_is_told_as_such():
    results, problems = ask_side_by_side({"a": lambda: 1 // 0, "b": lambda: 2}, 5.0)
    assert results == {"b": 2}
    assert "unexpected ZeroDivisionError" in problems[0].reason


def test_odd_columns_of_services_lose_no_rows():
    from skyvault.find.rows import rows_from

    place = Place.of((0.0, 0.0))
    columns = {
        "OBS_ID": pa.array([1, 2, 3]),
        "s_ra": pa.array(["1.5", "x", ""]),
        "s_dec": pa.array([1.0, np.inf, None]),
        "t_min": pa.array([True, False, None]),
        "s_region": pa.array([[1.0, 2.0, 0.5], [1.0, 1, 2, 2, 1, 2], None]),
    }
    rows = rows_from(columns, 3, place).to_pylist()
    assert [row["obs_id"] for row in rows] == ["1", "2", "3"]
    assert [row["s_ra"] for row in rows] == [1.5, None, None]
    assert [row["s_dec"] for row in rows] == [1.0, None, None]
    assert rows[0]["s_region"] == "CIRCLE ICRS 1 2 0.5" and rows[1]["s_region"].startswith("POLYGON ICRS 1 1 2")
    assert rows[0]["separation"] == pytest.approx(1.8027, abs=1e-3) and rows[1]["separation"] is None


# --- the archive that wants a token --------------------------------------------------------------------------------


def test_rubin_without_a_token_says_how_to_give_one(settings):
    found = find((62.0, -37.0), missions="rubin", settings=settings)
    assert len(found) == 0 and [one.service for one in found.problems] == ["rubin"]
    assert "[127.0.0.1" in found.problems[0].reason and "SKYVAULT_CREDENTIALS_FILE" in found.problems[0].reason


def test_a_token_that_is_given_goes_to_rubin_only(settings, monkeypatch):
    sent = []
    from skyvault.missions import Chandra, Rubin

    inner = Rubin.__init__
    monkeypatch.setattr(Rubin, "__init__", lambda self, *a, **k: (sent.append(k.get("token")), inner(self, *a, **k))[1])
    found = find((62.0, -37.0), missions=["rubin", "chandra"], token=TOKEN, settings=settings)
    assert not found.problems and found.counts["rubin"] > 1000
    assert sent == [TOKEN] and "token" not in Chandra.__init__.__kwdefaults__
    assert TOKEN not in repr(found) + str(vars(found))


def test_a_token_of_the_credentials_file_is_taken(settings, tmp_path):
    path = tmp_path / "credentials.ini"
    host = settings.endpoint("rubin", "tap", "").split("/")[2]
    path.write_text(f"[{host}]\ntoken = {TOKEN}\n")
    path.chmod(0o600)
    known = Settings(home=tmp_path / "home", endpoints=settings.endpoints, credentials_file=path)
    found = find((62.0, -37.0), missions="rubin", settings=known)
    assert not found.problems and found.counts["rubin"] > 1000


def test_a_wrong_token_is_told_without_showing_it(settings):
    wrong = find((62.0, -37.0), missions="rubin", token="gt-wrong", settings=settings)
    assert "token" in wrong.problems[0].reason and "gt-wrong" not in str(wrong.problems)


def test_every_mission_declares_what_it_sees():
    from skyvault.find.by_mission import class_of, default_missions

    for name in default_missions():
        declared = class_of(name).declaration
        low, high = declared.energy_kev or declared.wavelength_m
        assert 0 < low < high, name


def test_of_all_missions_those_that_would_only_refuse_are_left_out_and_said_to_be(settings):
    found = find(LMC_X1, settings=settings)
    assert [one.service for one in found.not_asked] == ["rubin", "swift"] and "rubin" not in found.asked
    assert "wants a token" in str(found.not_asked[0]) and found.is_complete
    assert "Not asked: rubin" in found._repr_html_()
    named = find(LMC_X1, missions="rubin", settings=settings)
    assert not named.not_asked and [one.service for one in named.problems] == ["rubin"]
