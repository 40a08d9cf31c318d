"""Downloads of one mission and another: logins, shared files, copies for few telescopes, other copies, retries."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from missions.archive_truth import assert_whole, files_here
from skyvault.config import Settings
from skyvault.missions import (
    Chandra,
    INTEGRALPointed,
    Mission,
    NuSTARPointed,
    ROSATPointed,
    Swift,
    XMMPointed,
    eRASS1DE,
    eROSITACalPV,
)
from skyvault.missions.faults import MissionValueError, MissionWarning, NotDownloadedError
from skyvault.missions.manifest import NAME
from skyvault.sandbox import Fault

LOGIN = {"user": "observer", "password": "plates"}


@pytest.fixture
def make(sandbox: Any, tmp_path: Path) -> Any:
    settings = Settings(
        home=tmp_path / "home", endpoints=sandbox.endpoints(), archive_attempts=2, archive_backoff_s=0.0
    )

    def made(cls: type[Mission], insts: Any = None, count: int = 2, **how: Any) -> Mission:
        mission = cls(insts, settings=settings, output=tmp_path / "out", **how)
        public = set(sandbox.emulations[mission.declaration.archive].observations(mission.name))
        mission.filter_on_obs_ids([one for one in mission.filtered_obs_ids if one in public][:count])
        return mission

    return made


class Shown:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done = 0
        self.ended = 0

    def start(self, what: str, total: int | None = None) -> None:
        self.begun.append(what)

    def advance(self, by: int = 1) -> None:
        self.done += by

    def finish(self) -> None:
        self.ended += 1


# --- logins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Chandra, NuSTARPointed, XMMPointed], ids=lambda cls: cls.__name__)
def test_proprietary_observations_come_with_the_login_and_are_marked_without(
    cls: type[Mission], sandbox: Any, make: Any
) -> None:
    mission = make(cls)
    archive = sandbox.emulations[mission.declaration.archive]
    public, mission = list(mission.filtered_obs_ids), make(cls)
    secret = archive.private_observations(mission.name)[:2]
    mission.reset_filter()
    secret = [one for one in secret if one in mission.filtered_obs_ids]
    assert secret, "proprietary observations stay usable"
    mission.filter_on_obs_ids([*public, *secret])
    with pytest.warns(MissionWarning, match="did not come"):
        assert set(mission.download()) == set(public)
    report = mission.download_report
    assert report is not None and set(report.refused) == set(secret)
    assert all("refuses access" in reason and "credentials" in reason for reason in report.refused.values())
    with pytest.warns(MissionWarning):
        mission.download(credentials={secret[0]: {"user": "observer", "password": "wrong"}}, retry=report)
    assert mission.download_report is not None and "were refused" in mission.download_report.refused[secret[0]]
    assert set(mission.download(credentials={one: LOGIN for one in secret})) == {*public, *secret}
    assert "plates" not in repr(mission.download_report)
    here = b"".join(path.read_bytes() for path in Path(mission.raw_data_path).rglob(NAME))
    assert b"plates" not in here and b"observer" not in here


# --- what is fetched -----------------------------------------------------------------------------------------------


def test_science_windows_of_a_revolution_share_its_files(sandbox: Any, make: Any) -> None:
    mission = make(INTEGRALPointed, "ISGRI", 40)
    by_turn: dict[str, list[str]] = {}
    for one in mission.filtered_obs_ids:
        by_turn.setdefault(one[:4], []).append(one)
    pair = max(by_turn.values(), key=len)[:2]
    assert len(pair) == 2
    mission.filter_on_obs_ids(pair)
    assert mission.download() == list(mission.filtered_obs_ids)
    root = Path(mission.raw_data_path)
    turn = pair[0][:4]
    assert any((root / "scw" / turn).glob("rev.*/**/*.fits*")) and any((root / "aux" / "adp").glob(f"{turn}.*/**/*"))
    names = set(files_here(mission, pair[0]))
    assert "swg.fits" in names and any("isgri" in name for name in names)
    assert not any(word in name for name in names for word in ("jmx", "spi_", "picsit", "omc"))
    assert_whole(sandbox, mission, pair)
    mission.delete_raw_data(force_del=True)
    assert (root / "scw").is_dir() and not (root / pair[0]).exists()


def test_fewer_telescopes_are_a_copy_of_the_event_list(make: Any) -> None:
    from astropy.io import fits

    for cls in (eROSITACalPV, eRASS1DE):
        mission = make(cls, ["TM1", "TM2"], 1)
        obs_id = mission.download()[0]
        path = Path(mission.get_evt_list_path(obs_id))
        assert path.name.endswith("_if_12.fits")
        with fits.open(path) as copy, fits.open(str(path).replace("_if_12", "")) as whole:
            assert set(np.unique(copy[1].data["TM_NR"])) <= {1, 2} < set(np.unique(whole[1].data["TM_NR"]))
            assert len(copy[1].data) == np.isin(whole[1].data["TM_NR"], [1, 2]).sum()
        mission.chosen_instruments = ["TM5"]
        with pytest.raises(NotDownloadedError):
            mission.get_evt_list_path(obs_id)
        mission.download()
        assert mission.get_evt_list_path(obs_id).endswith("_if_5.fits")


def test_xmms_files_are_those_of_the_instruments_chosen_and_of_the_spacecraft(sandbox: Any, make: Any) -> None:
    mission = make(XMMPointed, ["PN", "R1"], 2)
    ids = mission.download()
    names = set(files_here(mission, ids[0]))
    kinds = {name.split("_")[2][:2] for name in names if "MANIFEST" not in name}
    assert {"PN", "SC"} <= kinds <= {"PN", "R1", "SC"} and any("MANIFEST" in name for name in names)
    mission.chosen_instruments = ["M1"]
    assert mission.download() == ids
    assert {"M1", "PN"} <= {name.split("_")[2][:2] for name in files_here(mission, ids[0]) if "MANIFEST" not in name}
    assert_whole(sandbox, mission, ids)


def test_xmm_from_heasarcs_copy(sandbox: Any, make: Any) -> None:
    mission = make(XMMPointed, "PN", 2, use_heasarc=True)
    assert "/heasarc/" in mission.table_origin.service
    ids = mission.download()
    assert_whole(sandbox, mission, ids)
    names = set(files_here(mission, ids[0]))
    assert not any("_M1" in name or name.endswith(".gz") for name in names) and any("_PN" in name for name in names)


def test_the_pipeline_version_that_is_asked_for_or_the_newest(make: Any) -> None:
    mission = make(eRASS1DE, None, 1)
    obs_id = mission.download(pipeline_version=9, download_products=False)[0]
    root = Path(mission.raw_data_path) / obs_id
    assert (root / "EXP_009").is_dir() and not (root / "EXP_010").exists()
    mission.download()
    assert "EXP_010" in mission.get_evt_list_path(obs_id)
    with pytest.warns(MissionWarning, match=r"no EXP_77.*It has"):
        mission.download(pipeline_version=77)
    with pytest.raises(MissionValueError, match="no number"):
        mission.download(pipeline_version="newest")
    with pytest.raises(MissionValueError, match="no pipeline versions"):
        make(Chandra).download(pipeline_version=9)


def test_swifts_raw_data_have_no_cleaned_events_and_no_instrument_that_did_not_observe(make: Any) -> None:
    mission = make(Swift, ["XRT"], 1)
    obs_id = mission.download(download_products=False)[0]
    names = set(files_here(mission, obs_id))
    assert any(name.startswith("xrt/event/") for name in names) and any(name.startswith("auxil/") for name in names)
    assert not any("cl.evt" in name or name.startswith(("bat/", "uvot/", "xrt/products", "log")) for name in names)


def test_an_observation_that_lacks_files_is_named_and_the_others_come(make: Any) -> None:
    mission = make(ROSATPointed, None, 1)
    good = str(mission.filtered_obs_ids[0])
    mission.reset_filter()
    # never processed anew: its files have other names
    mission.filter_on_obs_ids(["RP700068N00", good])
    with pytest.warns(MissionWarning, match="ObsID RP700068N00: the archive has no"):
        assert mission.download() == [good]


def test_nustar_without_cleaned_events_is_whole_with_what_there_is(make: Any) -> None:
    mission = make(NuSTARPointed, None, 1)
    mission.reset_filter()
    mission.filter_on_obs_ids("60001003002")
    assert mission.download() == ["60001003002"]
    names = files_here(mission, "60001003002")
    assert any("_uf" in name for name in names) and not any(name.startswith("event_cl") for name in names)


# --- reports, plans, progress --------------------------------------------------------------------------------------


def test_a_report_is_retried_and_progress_counts_bytes_once(sandbox: Any, make: Any) -> None:
    mission, shown = make(Chandra, None, 4), Shown()
    sandbox.faults.set(Fault("refused", path="*evt2*", times=1))
    with pytest.warns(MissionWarning):
        first = mission.download(progress=shown)
    report = mission.download_report
    assert report is not None and len(first) == 3 and len(report.problems) == 1 and report.problems[0].files
    assert shown.ended == len(shown.begun) == 2 and shown.done >= report.received_bytes > 0
    done = report.retry()
    assert len(done.rows) == 4 and done.is_complete and mission.download_report == done
    assert sorted(done.whole) == sorted(mission.filtered_obs_ids)
    sandbox.faults.set(Fault("unreachable"))
    mission.reset_filter()
    assert len(mission.download(retry=report)) == 4, "what is whole by now needs no network"


def test_a_plan_names_files_and_sizes_and_fetches_none(sandbox: Any, make: Any) -> None:
    mission = make(Chandra, None, 2)
    plan = mission.plan_download()
    assert not Path(mission.raw_data_path).exists() and "files to fetch" in str(plan)
    assert all(one.about_bytes and one.url.startswith(sandbox.url) and not one.is_here for one in plan.files)
    mission.download()
    assert all(one.path.is_file() for one in plan.files)
    assert mission.plan_download().files == () and len(mission.plan_download().whole) == 2


def test_a_file_that_was_deleted_or_changed_is_fetched_again(sandbox: Any, make: Any) -> None:
    mission = make(Chandra, None, 1)
    obs_id = mission.download()[0]
    event_list = Path(mission.get_evt_list_path(obs_id))
    event_list.unlink()
    mission.download()
    assert event_list.is_file()
    event_list.write_bytes(event_list.read_bytes()[:-10])
    mission.download()
    assert_whole(sandbox, mission, [obs_id])
    manifest = json.loads((Path(mission.raw_data_path) / obs_id / NAME).read_text())
    assert manifest["obs_id"] == obs_id and all(one["sha256"] and one["size_bytes"] for one in manifest["files"])
    (Path(mission.raw_data_path) / obs_id / NAME).write_text("damaged")
    assert mission.download() == [obs_id]


def test_nothing_is_lost_when_no_observation_comes(sandbox: Any, make: Any) -> None:
    mission = make(Chandra, None, 2)
    sandbox.faults.set(Fault("missing", path="/FTP/*"))
    with pytest.warns(MissionWarning, match="2 of 2 observations"):
        assert mission.download() == []
    assert not mission.download_completed and len(mission) == 2 and mission.filtering_operations


def test_a_full_disk_is_one_sentence(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    mission = make(Chandra, None, 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    with pytest.warns(MissionWarning, match="disk is too full"):
        assert mission.download() == []
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(mission.download()) == 2
