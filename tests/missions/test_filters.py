"""Filters are cumulative, completely recorded, safe when nothing is left, and say what is wrong in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from astropy import units as u

from missions.archive_tables import archive_table
from skyvault.errors import SkyvaultError
from skyvault.missions import Chandra, Mission, ROSATPointed, Swift, XMMPointed
from skyvault.missions.faults import (
    IllegalSourceType,
    MissionLockedError,
    MissionTypeError,
    MissionValueError,
    MissionWarning,
    NameResolveError,
    NoObsAfterFilterError,
    NoTargetSourceTypeInfo,
)

FILTERS: dict[str, Callable[[Mission], Any]] = {
    "ids": lambda m: m.filter_on_obs_ids([m.filtered_obs_ids[i] for i in range(40)]),
    "rect": lambda m: m.filter_on_rect_region([10, -80], [170, 80]),
    "positions": lambda m: m.filter_on_positions([[ra, 0.0] for ra in range(0, 360, 20)], 60.0),
    "time": lambda m: m.filter_on_time(datetime(2002, 1, 1), datetime(2010, 1, 1)),
    "at time": lambda m: m.filter_on_positions_at_time(
        [[0, 0], [180, 0]], [datetime(2000, 1, 1)] * 2, [datetime(2020, 1, 1)] * 2, 90.0
    ),
    "name": lambda m: m.filter_on_name("PSR J0000.0+0000.0", 170.0, parse_name=True),
    "array": lambda m: setattr(m, "filter_array", m.filter_array),
}


@pytest.mark.parametrize("first", FILTERS)
@pytest.mark.parametrize("second", [name for name in FILTERS if name != "array"])
def test_each_filter_keeps_what_another_filtered(first: str, second: str) -> None:
    mission = XMMPointed(table=archive_table(XMMPointed, 400))
    FILTERS[first](mission)
    before = mission.filter_array
    FILTERS[second](mission)
    assert mission.filter_array.any() and not (mission.filter_array & ~before).any()
    assert len(mission.filtering_operations) == 2


def test_all_filters_work_for_every_mission_and_are_recorded(mission: Mission) -> None:
    for number, one in enumerate(FILTERS.values(), 1):
        mission.reset_filter()
        one(mission)
        assert len(mission.filtering_operations) == 1, number
        assert len(mission) == len(mission.filtered_obs_info) == len(mission.filtered_obs_ids)


def test_positional_arguments_are_recorded(mission: Mission) -> None:
    mission.filter_on_positions([[10, 10], [200, -10]], 50.0, True)
    (operation,) = mission.filtering_operations
    assert operation["arguments"]["search_distance"] == 50.0
    assert operation["arguments"]["positions"].tolist() == [[10, 10], [200, -10]]


def test_a_filter_that_raises_does_not_stop_the_recording_of_the_next(mission: Mission) -> None:
    with pytest.raises(NoObsAfterFilterError):
        mission.filter_on_time(datetime(1900, 1, 1), datetime(1901, 1, 1))
    mission.filter_on_time(datetime(1990, 1, 1), datetime(2030, 1, 1))
    assert len(mission.filtering_operations) == 1


EMPTY: dict[str, Callable[[Mission], Any]] = {
    "ids": lambda m: (
        m.filter_on_obs_ids(sorted(m.obs_ids)[0], invert=True) or m.filter_on_obs_ids(sorted(m.obs_ids)[0])
    ),
    "rect": lambda m: m.filter_on_rect_region([10, 89.9999], [10.0001, 90]),
    "positions": lambda m: m.filter_on_positions([10, 10], 1e-6),
    "each its own distance": lambda m: m.filter_on_positions([[10, 10], [11, 10]], [1e-6, 1e-7], True),
    "time": lambda m: m.filter_on_time(datetime(1900, 1, 1), datetime(1901, 1, 1)),
    "at time": lambda m: m.filter_on_positions_at_time([10, 10], datetime(1900, 1, 1), datetime(1901, 1, 1), 180.0),
    "array": lambda m: setattr(m, "filter_array", np.zeros(m.num_obs, np.bool_)),
}


@pytest.mark.parametrize("name", [name for name in EMPTY if name != "ids"])
def test_when_nothing_would_be_left_nothing_changes(mission: Mission, name: str) -> None:
    mission.filter_on_rect_region([0, -89], [359.9, 89])
    before, operations = mission.filter_array, mission.filtering_operations
    with pytest.raises(NoObsAfterFilterError):
        EMPTY[name](mission)
    assert (mission.filter_array == before).all() and mission.filtering_operations == operations


def test_a_locked_mission_takes_no_filter_and_no_array(mission: Mission) -> None:
    mission.locked = True
    for one in FILTERS.values():
        with pytest.raises(MissionLockedError):
            one(mission)
    with pytest.raises(MissionLockedError):
        mission.reset_filter()
    with pytest.raises(MissionLockedError):
        mission.chosen_instruments = mission.all_mission_instruments[:1]


BAD: dict[str, tuple[type[Exception], Callable[[Mission], Any]]] = {
    "unknown instrument": (MissionValueError, lambda m: m.check_inst_names("NICMOS")),
    "instrument that is no text": (MissionTypeError, lambda m: m.check_inst_names([1])),
    "ID of the wrong pattern": (MissionValueError, lambda m: m.filter_on_obs_ids(["nonsense!", "x y"])),
    "ID that is a number": (MissionTypeError, lambda m: m.filter_on_obs_ids([102])),
    "three coordinates": (MissionValueError, lambda m: m.filter_on_positions([1, 2, 3])),
    "NaN position": (MissionValueError, lambda m: m.filter_on_positions([[1, 2], [np.nan, 3]])),
    "beyond the pole": (MissionValueError, lambda m: m.filter_on_positions([1, 91])),
    "masked position": (MissionValueError, lambda m: m.filter_on_positions(np.ma.masked_all((2, 2)), 180)),
    "position in metres": (MissionTypeError, lambda m: m.filter_on_positions([1, 2] * u.m)),
    "empty name": (MissionValueError, lambda m: m.filter_on_name(" ")),
    "name of two lines": (MissionValueError, lambda m: m.filter_on_name("M31\nM33")),
    "endless name": (MissionValueError, lambda m: m.filter_on_name("x" * 10_000)),
    "no information to assess": (SkyvaultError, lambda m: m.assess_process_obs(None)),
    "text position": (MissionTypeError, lambda m: m.filter_on_positions("M31")),
    "no position": (MissionValueError, lambda m: m.filter_on_positions([])),
    "distances of wrong number": (MissionValueError, lambda m: m.filter_on_positions([[1, 2], [3, 4]], [1.0])),
    "negative distance": (MissionValueError, lambda m: m.filter_on_positions([1, 2], -1)),
    "distance as text": (MissionTypeError, lambda m: m.filter_on_positions([1, 2], "near")),
    "names of wrong number": (MissionValueError, lambda m: m.filter_on_positions([1, 2], 1.0, True, ["a", "b"])),
    "time as number": (MissionTypeError, lambda m: m.filter_on_time(2020, 2021)),
    "window reversed": (MissionValueError, lambda m: m.filter_on_time(datetime(2020, 1, 1), datetime(2019, 1, 1))),
    "one window for two": (
        MissionValueError,
        lambda m: m.filter_on_positions_at_time([[1, 2], [3, 4]], datetime(2020, 1, 1), datetime(2021, 1, 1)),
    ),
    "target type": (IllegalSourceType, lambda m: m.filter_on_target_type("QSO")),
    "rectangle upside down": (MissionValueError, lambda m: m.filter_on_rect_region([1, 5], [2, 4])),
    "array of numbers": (MissionTypeError, lambda m: setattr(m, "filter_array", np.ones(m.num_obs))),
    "array too short": (MissionValueError, lambda m: setattr(m, "filter_array", np.ones(3, np.bool_))),
    "unreachable resolver": (NameResolveError, lambda m: m.filter_on_name("no such object")),
    "cores": (MissionValueError, lambda m: m.download(num_cores=0)),
    "credentials": (MissionTypeError, lambda m: m.download(credentials=3)),
    "table": (MissionTypeError, lambda m: type(m)(table=3)),
    "file": (SkyvaultError, lambda m: type(m)(table="/no/such/file.csv")),
    "path": (SkyvaultError, lambda m: m.get_evt_list_path(m.obs_ids[0])),
    "top level": (MissionValueError, lambda m: setattr(m, "top_level_path", "/no/such/place")),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_changes_nothing(mission: Mission, name: str) -> None:
    error, act = BAD[name]
    before = mission.filter_array
    with pytest.raises(error) as caught:
        act(mission)
    assert isinstance(caught.value, SkyvaultError)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    assert (mission.filter_array == before).all() and mission.filtering_operations == []


def test_a_zone_of_time_is_respected() -> None:
    here = XMMPointed(table=archive_table(XMMPointed))
    there = XMMPointed(table=archive_table(XMMPointed))
    here.filter_on_time(datetime(2005, 1, 1, 12), datetime(2006, 1, 1, 12))
    east = timezone(timedelta(hours=5))
    there.filter_on_time(datetime(2005, 1, 1, 17, tzinfo=east), datetime(2006, 1, 1, 12, tzinfo=UTC))
    assert (here.filter_array == there.filter_array).all()


def test_target_types_are_unknown_to_xmm_and_known_to_chandra() -> None:
    with pytest.raises(NoTargetSourceTypeInfo):
        XMMPointed(table=archive_table(XMMPointed)).filter_on_target_type("agn")
    chandra = Chandra(table=archive_table(Chandra))
    chandra.filter_on_target_type(["agn", "TOO"])
    assert set(chandra.filtered_obs_info["target_category"].to_pylist()) == {"AGN", "TOO"}


# --- instruments ------------------------------------------------------------------------------------------------------


def test_chandras_detectors_are_real_choices() -> None:
    table = archive_table(Chandra)
    by_choice = {
        one: set(Chandra(one, table=table).filtered_obs_info["detector"].to_pylist())
        for one in ("ACIS-I", "ACIS", "HRC-S")
    }
    assert by_choice == {"ACIS-I": {"ACIS-I"}, "ACIS": {"ACIS-I", "ACIS-S"}, "HRC-S": {"HRC-S"}}


def test_gratings_are_left_out_unless_chosen() -> None:
    table = archive_table(Chandra)
    assert set(Chandra(table=table).filtered_obs_info["grating"].to_pylist()) == {"NONE"}
    assert set(Chandra("HETG", table=table).filtered_obs_info["grating"].to_pylist()) == {"HETG"}


@pytest.mark.parametrize(("cls", "narrow"), [(Chandra, "HRC"), (ROSATPointed, "HRI"), (Chandra, "ACIS-S")])
def test_choosing_fewer_and_more_instruments_keeps_filters_and_loses_nothing(cls: type[Mission], narrow: str) -> None:
    mission = cls(table=archive_table(cls))
    mission.filter_on_time(datetime(2002, 1, 1), datetime(2010, 1, 1))
    before, chosen = mission.filter_array, mission.chosen_instruments
    mission.chosen_instruments = [narrow]
    assert 0 < len(mission) < before.sum()
    mission.chosen_instruments = chosen
    assert (mission.filter_array == before).all() and len(mission.filtering_operations) == 1


def test_an_earlier_filter_survives_a_positional_one_with_fields_by_instrument() -> None:
    mission = Chandra(table=archive_table(Chandra, 2000))
    mission.filter_on_time(datetime(2002, 1, 1), datetime(2004, 1, 1))
    before = mission.filter_array
    mission.filter_on_positions(mission.ra_decs[mission.filter_array][:5])
    assert 5 <= len(mission) < before.sum() and not (mission.filter_array & ~before).any()


def test_aliases_warn_and_duplicates_go() -> None:
    mission = XMMPointed(table=archive_table(XMMPointed))
    with pytest.warns(MissionWarning, match="mos1 = M1"):
        assert mission.check_inst_names(["mos1", "M1", "pn"]) == ["M1", "PN"]
    assert mission.check_inst_names(["PN", "nonsense"], error_on_bad_inst=False) == ["PN"]


def test_simultaneous_instruments_are_matched_each_by_its_own_field() -> None:
    table = archive_table(Swift, 3000)
    info = Swift(table=table).all_obs_info
    # the first observation without XRT, another with all: only BAT holds what is 30 degrees away
    exposure = np.array(info["xrt_exposure"].cast("int64").to_numpy())
    exposure[0] = 0
    import pyarrow as pa

    at = info.column_names.index("xrt_exposure")
    info = info.set_column(at, "xrt_exposure", pa.array(exposure).cast(pa.duration("us")))
    mission = Swift(table=info)
    place = [float(info["ra"][0].as_py()), float(info["dec"][0].as_py())]
    found = mission.filter_on_positions(place, return_pos_obs_info=True, names=["here"])
    assert found is not None
    (row,) = found.to_pylist()
    assert row["pos_name"] == "here"
    by_id = dict(zip(row["ObsIDs"], zip(row["separation"], row["instruments"], strict=True), strict=True))
    assert by_id[info["ObsID"][0].as_py()][1] == ["BAT"]
    for apart, instruments in by_id.values():
        assert apart <= 60.0 + 1e-9
        assert "XRT" not in instruments or apart <= 1.2 * 11.8 / 60
    narrow = Swift("XRT", table=info)
    with pytest.raises(NoObsAfterFilterError):
        narrow.filter_on_positions(place)


def test_distances_by_instrument_need_one_for_each() -> None:
    mission = Swift(table=archive_table(Swift))
    with pytest.raises(MissionValueError, match="BAT"):
        mission.filter_on_positions([10, 10], {"XRT": 1.0})
    mission.filter_on_positions([10, 10], {"XRT": 1.0, "BAT": 90.0})
    with pytest.raises(MissionTypeError):
        XMMPointed(table=archive_table(XMMPointed)).filter_on_positions([10, 10], {"PN": 1.0})


# --- names and fields -------------------------------------------------------------------------------------------------


class Known:
    """A resolver that knows one object and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, names: Any) -> dict[str, tuple[float, float]]:
        self.asked += names
        return {name: (180.0, 0.0) for name in names if name == "M 31"}


def test_only_names_without_coordinates_are_asked_for() -> None:
    resolver = Known()
    mission = XMMPointed(table=archive_table(XMMPointed), resolver=resolver)
    with pytest.warns(MissionWarning, match="Nobody"):
        found = mission.filter_on_name(["SN J0000.0+0000", "M 31", "Nobody"], [60, 30, 10], True, True)
    assert resolver.asked == ["M 31", "Nobody"] and found is not None
    assert found["pos_name"].to_pylist() == ["SN J0000.0+0000", "M 31"]
    # replayed without asking again
    with pytest.warns(MissionWarning, match="Nobody"):
        mission.update()
    assert resolver.asked == ["M 31", "Nobody"]


def test_calpv_fields_by_name_type_and_common_name(calpv: Mission) -> None:
    from skyvault.missions import eROSITACalPV

    assert isinstance(calpv, eROSITACalPV)
    assert len(calpv.all_mission_fields) == 32 and len(calpv.all_mission_field_types) == 4
    for word, count in (("47 Tuc", 8), ("crab", 108), ("SURVEY", 5), ("A3391", 4), ("efeds", 4)):
        calpv.reset_filter()
        calpv.filter_on_fields(word)
        assert len(calpv) == count and calpv.filtering_operations[0]["name"] == "filter_on_fields"
    with pytest.raises(MissionValueError, match="no field"):
        calpv.filter_on_fields("Fornax")


def test_the_efeds_sections_hold_the_efeds_clusters(calpv: Mission, shared_data: Any) -> None:
    import pyarrow.csv as pa_csv

    table = pa_csv.read_csv(shared_data / "daxa" / "efeds_xray_cluster_candidates.csv")
    positions = np.column_stack([table["RA"].to_numpy(), table["DEC"].to_numpy()])
    found = calpv.filter_on_positions(positions, return_pos_obs_info=True, names=table["ID"].to_pylist())
    assert found is not None and found.num_rows == 542 and len(calpv) == 4
    assert found["pos_name"][0].as_py() == "eFEDS J082626.6-003429"


def test_thousands_of_unknown_names_are_told_in_one_short_warning() -> None:
    mission = Chandra(table=archive_table(Chandra))
    known = {"here": (float(mission.ra_decs[0].ra.deg), float(mission.ra_decs[0].dec.deg))}
    names = ["here", *(f"Star number {number}" for number in range(5000))]
    with pytest.warns(MissionWarning, match="Star number 9 and 4,990 more") as told:
        mission.filter_on_name(names, 90.0, resolved=known)
    assert len(str(told[0].message)) < 300
