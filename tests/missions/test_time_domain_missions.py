"""DASCH, ZTF, TESS and Rubin against the sandbox: what every mission for one search must do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from missions.time_domain_cases import CASES, RY_CNC, Case, same
from skyvault.config import Settings
from skyvault.errors import SkyvaultError
from skyvault.missions import DASCH, TESS, TIME_DOMAIN_MISSIONS, ZTF, Rubin
from skyvault.missions.connections import close_all, table_directory
from skyvault.missions.faults import (
    MissionValueError,
    MissionWarning,
    NameResolveError,
    NoObsAfterFilterError,
    NoTableError,
)
from skyvault.missions.table_cache import cache_path
from skyvault.net.faults import FetchError, Refused, Unreachable, WrongContent
from skyvault.sandbox import Fault, Sandbox


@pytest.fixture(params=CASES, ids=lambda case: case.mission_class.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> Iterator[Settings]:
    yield Settings(home=tmp_path / "home", endpoints=sandbox.endpoints(), archive_backoff_s=0.0)
    close_all()


# --- every mission -------------------------------------------------------------------------------------------------


def test_the_cases_are_all_the_missions() -> None:
    assert sorted(case.mission_class.__name__ for case in CASES) == sorted(TIME_DOMAIN_MISSIONS)


def test_a_place_gives_a_typed_table_of_observations(case: Case, settings: Settings, tmp_path: Path) -> None:
    mission = case.make(settings, tmp_path)
    assert mission.num_obs >= case.at_least
    table = mission.all_obs_info
    assert str(table.schema.field("start").type) == "timestamp[us]"
    assert len(set(table["ObsID"].to_pylist())) == mission.num_obs
    assert repr(mission).startswith(f"<{mission.pretty_name}: ")


def test_the_second_time_nobody_is_asked(case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    first = case.make(settings, tmp_path)
    sandbox.faults.set(Fault("unreachable"))
    second = case.make(settings, tmp_path)
    assert same(second.all_obs_info, first.all_obs_info)
    assert second.table_origin.service.startswith(sandbox.url)


def test_another_place_is_another_table(case: Case, settings: Settings, tmp_path: Path) -> None:
    first = case.make(settings, tmp_path)
    assert case.mission_class.__name__
    other = (first.search.ra_deg + 0.01, first.search.dec_deg)
    folder = table_directory(settings, first.declaration) / first.name
    if case.mission_class is not TESS:
        case.mission_class.around(other, settings=settings, **dict(case.how))
        assert len(list(folder.iterdir())) == 2
    assert cache_path(folder / first.search.key, first.name).is_file()


def test_filters_and_saved_states_are_those_of_every_mission(
    case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    mission = case.make(settings, tmp_path)
    starts = np.sort(mission.all_obs_info["start"].drop_null().to_numpy())
    mission.filter_on_time(starts[0], starts[len(starts) // 3])
    mission.filter_on_positions(case.place, search_distance=60.0)
    assert 0 < len(mission) < mission.num_obs
    path = mission.save(tmp_path / "states")
    sandbox.faults.set(Fault("unreachable"))
    state = next((tmp_path / "states").glob("*.json")) if path is None else path
    again = case.mission_class(save_file_path=state, settings=settings, **dict(case.how))
    assert again.filtered_obs_ids.tolist() == mission.filtered_obs_ids.tolist()
    assert again.search == mission.search


def test_observations_are_found_by_their_archives_own_ids(case: Case, settings: Settings, tmp_path: Path) -> None:
    mission = case.make(settings, tmp_path)
    one = mission.filtered_obs_info.slice(0, 1).to_pylist()[0]
    found = mission.obs_ids_of(one[case.own_id])
    assert one["ObsID"] in found
    mission.filter_on_obs_ids(found)
    assert sorted(mission.filtered_obs_ids) == sorted(set(found) & set(mission.filtered_obs_ids))
    with pytest.raises(MissionValueError, match=r"'nothing-such' is none of the \d+ observations"):
        mission.obs_ids_of("nothing-such")


def test_an_image_is_fetched_once(case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    from astropy.io import fits

    mission = case.make(settings, tmp_path)
    obs_id = str(mission.filtered_obs_ids[0])
    path = Path(mission.get_image_path(obs_id))
    assert path.parent.name == obs_id
    with fits.open(path) as hdus:
        assert any(hdu.size for hdu in hdus)
    before = path.stat().st_mtime_ns
    sandbox.faults.set(Fault("unreachable", path="/store/*"), Fault("unreachable", path="*.fits"))
    assert mission.get_image_path(obs_id) == str(path)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(MissionValueError, match="no energy bands"):
        mission.get_image_path(obs_id, 1.0, 2.0)


def test_chosen_observations_are_downloaded_and_failures_are_told(
    case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    mission = case.make(settings, tmp_path)
    ids = [str(one) for one in mission.filtered_obs_ids[:3]]
    mission.filter_on_obs_ids(ids)
    files = "/store/*" if case.archive == "dasch" else "*.fits" if case.archive != "mast" else "*/Download/*"
    sandbox.faults.set(Fault("missing", archive=case.archive, path=files, times=1))
    with pytest.warns(MissionWarning, match="1 of 3 observations"):
        whole = mission.download(1)
    assert len(whole) == 2
    assert len(mission.download_report.problems) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mission.download(2, retry=mission.download_report)
    assert mission.download_report.is_complete
    assert sorted(mission.download_report.whole) == sorted(ids)


@pytest.mark.parametrize("kind", ["dropped", "busy", "too-many-requests", "bad-gateway", "truncated", "html"])
def test_a_passing_fault_is_lived_through(
    kind: str, case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    sandbox.faults.set(Fault(kind, archive=case.archive, times=1))
    mission = case.make(settings, tmp_path)
    assert sandbox.faults.struck[kind]
    assert mission.num_obs >= case.at_least


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("html", WrongContent, "web page"),
        ("missing", FetchError, "404"),
        ("refused", Refused, "."),
        ("busy", Unreachable, "503"),
        ("unreachable", Unreachable, "."),
    ],
)
def test_a_lasting_fault_is_one_sentence_and_nothing_is_kept(
    kind: str, error: type[SkyvaultError], told: str, case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path
) -> None:
    sandbox.faults.set(Fault(kind, archive=case.archive))
    with pytest.raises(error, match=told) as caught:
        case.make(settings, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    sandbox.faults.clear()
    assert case.make(settings, tmp_path).num_obs >= case.at_least


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.mission_class.__name__)
def test_a_renamed_column_is_named(case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    sandbox.faults.set(Fault("renamed-column", archive=case.archive))
    lost = {"dasch": "expdate", "ztf": "obsdate", "mast": "s_ra"}[case.archive]
    with pytest.raises(SkyvaultError, match=f"no column {lost}"):
        case.make(settings, tmp_path)


def test_without_a_place_the_error_says_how(case: Case, settings: Settings) -> None:
    with pytest.raises(NoTableError, match=rf"{case.mission_class.__name__}\.around\("):
        case.mission_class(settings=settings)


def test_names_are_resolved_and_unknown_ones_refused(case: Case, settings: Settings, tmp_path: Path) -> None:
    if case.mission_class is not Rubin:
        mission = case.mission_class.around("V* RY Cnc", settings=settings, output=tmp_path)
        assert mission.search.ra_deg == pytest.approx(RY_CNC[0], abs=0.05)
    with pytest.raises(NameResolveError, match="no position is known"):
        case.mission_class.around("Nothing At All 99", settings=settings, **dict(case.how))


@pytest.mark.parametrize("target", ["400 10", (10.0, 95.0), (float("nan"), 1.0), [[1, 2], [3, 4]], "10 -91"])
def test_what_is_no_place_is_refused(target: Any, settings: Settings) -> None:
    with pytest.raises(SkyvaultError):
        ZTF.around(target if target != "400 10" else (float("inf"), 10.0), settings=settings)


def test_a_table_of_ones_own_needs_no_archive(settings: Settings, tmp_path: Path, sandbox: Sandbox, case: Case) -> None:
    import pyarrow.parquet as pq

    first = case.make(settings, tmp_path)
    pq.write_table(first.all_obs_info, tmp_path / "own.parquet")
    sandbox.faults.set(Fault("unreachable"))
    mine = case.mission_class(table=tmp_path / "own.parquet", settings=settings)
    assert mine.obs_ids.tolist() == first.obs_ids.tolist()
    if case.mission_class in (DASCH, ZTF):
        with pytest.raises(MissionValueError, match="knows no place"):
            mine.light_curve()


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.mission_class.__name__)
def test_a_place_nobody_looked_at_is_an_empty_mission(case: Case, settings: Settings, tmp_path: Path) -> None:
    far = (200.0, -75.0)
    mission = case.mission_class.around(far, settings=settings, output=tmp_path)
    assert (mission.num_obs, len(mission)) == (0, 0) or case.mission_class is DASCH
    again = case.mission_class.around(far, settings=settings, output=tmp_path)
    assert again.num_obs == mission.num_obs
    if case.mission_class is not DASCH:
        with pytest.raises(NoObsAfterFilterError):
            mission.filter_on_positions(far)


def test_the_archive_is_asked_anew_on_request(case: Case, sandbox: Sandbox, settings: Settings, tmp_path: Path) -> None:
    mission = case.make(settings, tmp_path)
    sandbox.faults.set(Fault("bad-gateway", archive=case.archive, times=1))
    change = mission.refresh()
    assert sandbox.faults.struck.get("bad-gateway", 0) and not sandbox.faults.all()
    assert not change.is_selection_changed
    sandbox.faults.set(Fault("refused", archive=case.archive, times=1))
    with pytest.raises(Refused):
        case.make(settings, tmp_path, refresh=True)
    sandbox.faults.set(Fault("unreachable"))
    assert case.make(settings, tmp_path).num_obs == mission.num_obs


def test_manners_are_those_declared_or_set(tmp_path: Path) -> None:
    from skyvault.missions.dasch_api import DaschApi
    from skyvault.net.politeness import Manners

    public = DaschApi(Settings(home=tmp_path / "a"))
    one = public.client.politeness._host("api.starglass.cfa.harvard.edu")
    assert one.manners == Manners(2, 60)
    mine = DaschApi(Settings(home=tmp_path / "b", politeness={"dasch": {"connections": 1, "requests_per_minute": 7}}))
    assert mine.client.politeness._host("api.starglass.cfa.harvard.edu").manners == Manners(1, 7)
    close_all()
