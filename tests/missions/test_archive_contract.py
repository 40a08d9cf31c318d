"""Every mission does what the seed page says with its archive: table, filters, files, getters, saved states."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from missions.archive_truth import assert_whole, files_here
from missions.seed_page import names_of
from skyvault.config import Settings
from skyvault.errors import NotFound
from skyvault.missions import Mission
from skyvault.missions.faults import (
    MissionLockedError,
    MissionValueError,
    NoTargetSourceTypeInfo,
    NotDownloadedError,
    PreProcessedNotSupportedError,
)
from skyvault.sandbox import Fault

GETTERS = {
    "get_evt_list_path": "events",
    "get_image_path": "image",
    "get_expmap_path": "expmap",
    "get_background_path": "background",
}


@pytest.fixture
def fresh(mission_class: type[Mission], sandbox_settings: Settings, tmp_path: Path) -> Mission:
    return mission_class(settings=sandbox_settings, output=tmp_path / "out")


def usual(mission: Mission, sandbox: Any, count: int) -> list[str]:
    """Observations everybody may have, made with all default instruments, or with the first where each has one."""
    public = set(sandbox.emulations[mission.declaration.archive].observations(mission.name))
    rows = mission.filtered_obs_info
    exposed = np.ones(rows.num_rows, bool)
    if mission.one_inst_per_obs:
        exposed &= np.array(rows["instrument"].to_pylist()) == mission.chosen_instruments[0]
    for inst in mission.chosen_instruments:
        column = mission.declaration.exposures.get(inst)
        if column is not None:
            exposed &= np.array([bool(value) for value in rows[column].to_pylist()])
    ids = [one for one, good in zip(rows["ObsID"].to_pylist(), exposed, strict=True) if good and one in public]
    return ids[:count]


def test_the_table_comes_from_the_archive_and_then_from_the_cache(
    fresh: Mission, mission_class: type[Mission], sandbox: Any, sandbox_settings: Settings
) -> None:
    assert fresh.num_obs > 20
    assert fresh.table_origin.service.startswith(sandbox.url)
    sandbox.faults.set(Fault("unreachable"))
    again = mission_class(settings=sandbox_settings)
    assert again.all_obs_info.equals(fresh.all_obs_info)
    assert not sandbox.faults.struck.get("unreachable")


def test_every_filter_works_on_the_archives_table(fresh: Mission, sandbox: Any) -> None:
    row = fresh.filtered_obs_info.slice(3, 1).to_pylist()[0]
    place, obs_id = [row["ra"], row["dec"]], row["ObsID"]
    begin, end = row["start"], row["start"] + timedelta(days=30)
    calls: dict[str, Any] = {
        "filter_on_obs_ids": lambda: fresh.filter_on_obs_ids(obs_id),
        "filter_on_rect_region": lambda: fresh.filter_on_rect_region(
            [max(0.0, place[0] - 1), max(-90.0, place[1] - 1)], [min(360.0, place[0] + 1), min(90.0, place[1] + 1)]
        ),
        "filter_on_positions": lambda: fresh.filter_on_positions(place),
        "filter_on_name": lambda: fresh.filter_on_name("3C 273", search_distance=180),
        "filter_on_time": lambda: fresh.filter_on_time(begin, end),
        "filter_on_positions_at_time": lambda: fresh.filter_on_positions_at_time(place, begin, end),
        "filter_on_target_type": lambda: fresh.filter_on_target_type(row["target_category"]),
        "filter_on_fields": lambda: fresh.filter_on_fields(row["Field_Name"]),
    }
    wanted = [name for name in names_of(type(fresh).__name__) if name.startswith("filter_on_")]
    assert set(wanted) <= set(calls)
    for name in wanted:
        if name == "filter_on_target_type" and "target_category" not in row:
            with pytest.raises(NoTargetSourceTypeInfo):
                fresh.filter_on_target_type("AGN")
            continue
        calls[name]()
        assert obs_id in fresh.filtered_obs_ids, name
        assert fresh.filtering_operations[-1]["name"] == name
    fresh.reset_filter()
    assert fresh.filtering_operations == [] and len(fresh) > 1


def test_observations_are_downloaded_found_saved_reloaded_updated_and_deleted(
    fresh: Mission, mission_class: type[Mission], sandbox: Any, sandbox_settings: Settings, tmp_path: Path
) -> None:
    mission, (first, second) = fresh, usual(fresh, sandbox, 2)
    mission.filter_on_obs_ids([first, second])
    plan = mission.plan_download()
    assert not plan.problems and plan.files and not Path(mission.raw_data_path).exists()
    assert set(mission.download(download_products=False)) == {first, second}
    assert mission.download_completed and mission.downloaded_type == "raw"
    assert_whole(sandbox, mission, [first, second])
    assert set(mission.download(2)) == {first, second}
    assert_whole(sandbox, mission, [first, second])
    assert all(path.exists() for path in {file.path for file in plan.files} if mission.declaration.bundle is None)
    assert mission.downloaded_type == ("raw+preprocessed" if mission.declaration.products else "raw")
    all_getters_lead_to_files(mission, first)

    before = files_here(mission, first)
    sandbox.faults.set(Fault("unreachable"))
    assert set(mission.download()) == {first, second}
    assert mission.download_report is not None and mission.download_report.received_bytes == 0
    sandbox.faults.clear()
    assert files_here(mission, first) == before

    mission.processed = True
    with pytest.raises(MissionLockedError):
        mission.reset_filter()
    mission.save(tmp_path / "saved")
    state = tmp_path / "saved" / f"{mission.name}_state.json"
    loaded = mission_class(save_file_path=state, settings=sandbox_settings, output=tmp_path / "out")
    assert set(loaded.filtered_obs_ids) == {first, second} and loaded.downloaded_type == mission.downloaded_type
    change = loaded.update()
    assert change["sel_obs_change"] is False and change["new_obs_ids"] == []
    loaded.delete_raw_data(force_del=True)
    assert not (Path(loaded.raw_data_path) / first).exists()
    if mission.declaration.products:
        with pytest.raises(NotDownloadedError):
            loaded.get_evt_list_path(first)


def all_getters_lead_to_files(mission: Mission, obs_id: str) -> None:
    """Every getter of the page, for every chosen instrument and band."""
    for getter, kind in GETTERS.items():
        if not mission.declaration.products.get(kind):  # type: ignore[call-overload]
            with pytest.raises(PreProcessedNotSupportedError):
                getattr(mission, getter)(obs_id)
            continue
        found = 0
        for inst in mission.chosen_instruments[: 1 if mission.one_inst_per_obs else None]:
            bands = mission.declaration.bands.get(inst) or mission.declaration.bands.get("*") or ()
            for band in bands if kind != "events" else ("",):
                energies = () if kind == "events" else (band.lo_kev, band.hi_kev)
                try:
                    path = getattr(mission, getter)(obs_id, *energies, inst=inst)
                except (PreProcessedNotSupportedError, NotFound):
                    # no such product of this instrument, or no file of it in this observation
                    continue
                except MissionValueError as several:
                    assert "such files" in str(several)
                    path = mission._paths(kind, obs_id, inst, *(energies or (None, None)))[0]  # type: ignore[arg-type]
                found += 1
                assert Path(path).is_file() and obs_id in str(path)
        assert found, getter


def test_raw_data_have_no_image(fresh: Mission, sandbox: Any) -> None:
    if not fresh.declaration.products.get("image"):
        pytest.skip("the archive offers no images")
    obs_id = usual(fresh, sandbox, 1)[0]
    fresh.filter_on_obs_ids(obs_id)
    fresh.download(download_products=False)
    with pytest.raises(NotDownloadedError):
        fresh.get_image_path(obs_id, inst=fresh.chosen_instruments[0])
