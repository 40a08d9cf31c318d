"""A saved mission comes back as it was, tells what changed upstream, and applies its filters again exactly."""

from __future__ import annotations

import contextlib
import json
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from missions.archive_tables import archive_table
from skyvault.config import Settings
from skyvault.errors import NotFound, SkyvaultError
from skyvault.missions import Chandra, Mission, Swift, XMMPointed
from skyvault.missions.faults import (
    IncompatibleSaveError,
    MissionTableError,
    MissionValueError,
    MissionWarning,
    NoObsAfterFilterError,
    NoTableError,
)
from skyvault.missions.table_cache import cache_path, content_hash


def _filtered(mission: Mission) -> Mission:
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    mission.filter_on_time(datetime(2002, 1, 1), datetime(2010, 6, 1, 12, 0, 0, 5))
    mission.filter_on_positions(SkyCoord([10, 100, 200], [1, -20, 50], unit="deg", frame="galactic"), 80 * u.deg)
    mission.filter_on_positions([[10.123456789012, 5], [200, -5]], [170.0, 3.0], True, ["a", "b"])
    mission.filter_on_rect_region([0, -85], [359, 85])
    mission.filter_on_positions_at_time([[0, 0]], [datetime(2003, 1, 1)], [datetime(2009, 1, 1)], 175.0)
    return mission


def test_a_saved_mission_comes_back_and_its_filters_apply_again(mission_class: type[Mission], tmp_path: Path) -> None:
    table = archive_table(mission_class, 400)
    first = _filtered(mission_class(table=table))
    first.save(tmp_path)
    again = mission_class(save_file_path=tmp_path / f"{first.name}_state.json", table=table)
    assert (again.filter_array == first.filter_array).all() and 0 < len(again) < 400
    assert again.chosen_instruments == first.chosen_instruments
    assert [one["name"] for one in again.filtering_operations] == [one["name"] for one in first.filtering_operations]
    assert again.upstream_change is not None and not again.upstream_change.is_table_changed
    changes = again.update()
    assert (again.filter_array == first.filter_array).all()
    assert not any(value for value in changes.values())


def test_distances_by_instrument_as_quantities_can_be_saved(tmp_path: Path) -> None:
    from astropy import units as u

    mission = Swift(table=archive_table(Swift))
    mission.filter_on_positions([10, 10], {"XRT": 5 * u.arcmin, "BAT": 80 * u.deg})
    mission.save(tmp_path, "mine.json")
    again = Swift(save_file_path=tmp_path / "mine.json", table=archive_table(Swift))
    again.update()
    assert (again.filter_array == mission.filter_array).all()
    assert again.filtering_operations[0]["arguments"]["search_distance"]["XRT"] == 5 * u.arcmin


def test_a_choice_by_hand_comes_back(tmp_path: Path) -> None:
    mission = XMMPointed(table=archive_table(XMMPointed))
    mask = np.zeros(mission.num_obs, np.bool_)
    mask[[3, 5, 8]] = True
    mission.filter_array = mask
    mission.save(tmp_path)
    again = XMMPointed(save_file_path=tmp_path / "xmm_pointed_state.json", table=archive_table(XMMPointed))
    again.update()
    assert list(np.flatnonzero(again.filter_array)) == [3, 5, 8]


def test_what_changed_upstream_is_told_and_the_filters_find_what_is_new(tmp_path: Path) -> None:
    whole = archive_table(XMMPointed, 300)
    early = XMMPointed(table=whole.slice(0, 200))
    early.filter_on_positions([0, 0], 90.0)
    early.save(tmp_path)
    state = tmp_path / "xmm_pointed_state.json"
    # the first of the selection vanishes, another turns unusable, a hundred are new
    gone, unusable = early.filtered_obs_ids[:2]
    ids = np.array(whole["observation_id"].to_pylist())
    usable = pa.array(ids != unusable)
    later = whole.set_column(whole.column_names.index("with_science"), "with_science", usable)
    later = later.filter(pa.array(ids != gone))
    with pytest.warns(MissionWarning, match="2 saved observations"):
        again = XMMPointed(save_file_path=state, table=later)
    change = again.upstream_change
    assert change is not None and change.is_table_changed
    assert set(change.removed_obs_ids) == {gone, unusable} and change.which_changed_science_usable == (unusable,)
    assert not change.new_obs_ids and len(again) == len(early) - 2
    told = again.update()
    assert told["any_obs_add"] and set(told["new_obs_ids"]) <= set(ids[200:])
    assert len(again) == len(early) - 2 + len(told["new_obs_ids"])


def test_an_update_that_finds_nothing_changes_nothing() -> None:
    mission = XMMPointed(table=archive_table(XMMPointed))
    mission.filter_on_positions([10, 10], 50.0)
    before = mission.filter_array
    mission._operations.append(
        {"name": "filter_on_positions", "arguments": {"positions": [10, 10], "search_distance": 1e-9}}
    )
    with pytest.raises(NoObsAfterFilterError):
        mission.update()
    assert (mission.filter_array == before).all()


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda s: "not json", IncompatibleSaveError),
        (lambda s: "[]", IncompatibleSaveError),
        (lambda s: json.dumps({**s, "name": "swift"}), IncompatibleSaveError),
        (lambda s: json.dumps({**s, "format": 99}), IncompatibleSaveError),
        (lambda s: json.dumps({k: v for k, v in s.items() if k != "selected_obs"}), IncompatibleSaveError),
    ],
)
def test_a_damaged_state_is_refused_in_a_sentence(tmp_path: Path, damage: Any, error: type[Exception]) -> None:
    mission = Chandra(table=archive_table(Chandra))
    mission.save(tmp_path)
    path = tmp_path / "chandra_state.json"
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(error):
        Chandra(save_file_path=path, table=archive_table(Chandra))


WORDS = ("chos_inst", "selected_obs", "science_usable", "filtering_operations", "table", "processed", "downloaded_type")


@pytest.mark.parametrize("word", WORDS)
def test_a_state_edited_by_hand_is_taken_up_or_refused_in_a_sentence(tmp_path: Path, word: str) -> None:
    mission = Chandra(table=archive_table(Chandra))
    mission.filter_on_time("1990-01-01", "2040-01-01")
    mission.save(tmp_path)
    path = tmp_path / "chandra_state.json"
    saved = json.loads(path.read_text())
    for value in (None, 5, "x", [], {}, [5], {"a": 1}, [{"name": "filter_on_time", "arguments": {"a": {"b": 1}}}]):
        path.write_text(json.dumps({**saved, word: value}))
        with contextlib.suppress(SkyvaultError), warnings.catch_warnings():
            warnings.simplefilter("ignore", MissionWarning)
            Chandra(save_file_path=path, table=archive_table(Chandra)).update()
    path.write_text("[" * 100_000)
    with pytest.raises(IncompatibleSaveError):
        Chandra(save_file_path=path, table=archive_table(Chandra))


def test_names_of_states_are_checked(tmp_path: Path) -> None:
    mission = Chandra(table=archive_table(Chandra))
    for name in ("state.txt", "../state.json"):
        with pytest.raises(MissionValueError):
            mission.save(tmp_path, name)
    with pytest.raises(NotFound):
        Chandra(save_file_path=tmp_path / "none.json", table=archive_table(Chandra))


# --- the cache and the table ------------------------------------------------------------------------------------------


class Archive:
    """A source that hands out a table and counts how often it is asked."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.asked = table, 0

    def observations(self, declaration: Any) -> tuple[pa.Table, str]:
        self.asked += 1
        return self.table, "http://127.0.0.1/tap"


def test_the_archive_is_asked_once_and_then_the_cache_answers(mission_class: type[Mission], tmp_path: Path) -> None:
    source = Archive(archive_table(mission_class, upper=True))
    first = mission_class(cache=tmp_path, source=source)
    again = mission_class(cache=tmp_path, source=source)
    assert source.asked == 1
    assert again.all_obs_info.equals(first.all_obs_info)
    assert again.table_origin == first.table_origin and again.table_origin.service == "http://127.0.0.1/tap"
    assert again.table_origin.content_hash == content_hash(again.all_obs_info)


def test_a_refresh_applies_the_filters_to_the_new_table(tmp_path: Path) -> None:
    whole = archive_table(XMMPointed, 300)
    source = Archive(whole.slice(0, 200))
    mission = XMMPointed(cache=tmp_path, source=source)
    mission.filter_on_positions([0, 0], 90.0)
    before = set(mission.filtered_obs_ids)
    source.table = whole
    change = mission.refresh()
    assert change.is_table_changed and set(change.new_obs_ids) == set(mission.filtered_obs_ids) - before
    assert XMMPointed(cache=tmp_path).num_obs == 300


def test_without_table_and_cache_an_unreachable_archive_is_told_in_a_sentence_that_says_what_to_do(
    mission_class: type[Mission], tmp_path: Path, nobody_answers: Settings
) -> None:
    with pytest.raises(NoTableError, match=r"^http.*cannot be had: .*table=FILE\.$") as told:
        mission_class(cache=tmp_path, settings=nobody_answers)
    assert mission_class.declaration.pretty_name in str(told.value) and "\n" not in str(told.value)


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    XMMPointed(table=archive_table(XMMPointed), cache=tmp_path).cache_table()
    cache_path(tmp_path, "xmm_pointed").write_bytes(b"PAR1 nonsense")
    with pytest.raises(MissionTableError, match="Delete the file"):
        XMMPointed(cache=tmp_path)


def test_the_case_of_the_archives_columns_does_not_matter(mission_class: type[Mission]) -> None:
    lower, upper = (mission_class(table=archive_table(mission_class, upper=case)) for case in (False, True))
    assert lower.all_obs_info.equals(upper.all_obs_info)
    assert content_hash(lower.all_obs_info) == content_hash(upper.all_obs_info)


def test_a_missing_column_is_named(mission_class: type[Mission]) -> None:
    table = archive_table(mission_class)
    source = mission_class.declaration.columns[4].source
    with pytest.raises(MissionTableError, match=f"no column {source}"):
        mission_class(table=table.drop_columns([str(source)]))


def test_rows_without_a_place_go_and_those_without_exposure_stay_unusable() -> None:
    table = archive_table(Swift, 10)
    ra = [float("nan"), 0.0, *table["ra"].to_pylist()[2:]]
    dec = [1.0, 0.0, *table["dec"].to_pylist()[2:]]
    zero = [0.0] * 5 + [100.0] * 5
    made = {name: table[name].to_pylist() for name in table.column_names} | {"ra": ra, "dec": dec}
    made |= {"xrt_exposure": zero, "bat_exposure": zero, "uvot_exposure": zero}
    mission = Swift(table=pa.table(made))
    assert mission.num_obs == 8 and mission.science_usable.tolist() == [False] * 3 + [True] * 5
    assert len(mission) == 5


def test_all_real_tiles_of_erass1_have_a_time(erass: Mission) -> None:
    """Some times end in second 60."""
    assert erass.num_obs == 2447 and erass.all_obs_info["start"].null_count == 0
    row = erass.obs_ids.tolist().index("260177")
    assert str(erass.all_obs_info["start"][row].as_py()) == "2020-03-25 16:41:00"
