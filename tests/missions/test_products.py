"""Downloads are ordered completely, and downloaded files are found by instrument and energy band."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from missions.archive_tables import archive_table
from skyvault.missions import (
    ASCA,
    X_RAY_MISSIONS,
    Mission,
    ROSATPointed,
    Suzaku,
    Swift,
    XMMPointed,
    eRASS1DE,
    mission_classes,
)
from skyvault.missions.download import Order, directory_url, directory_urls, logins_of
from skyvault.missions.faults import (
    MissionValueError,
    NotDownloadedError,
    PreProcessedNotAvailableError,
    PreProcessedNotSupportedError,
)


class Desk:
    """A downloader that writes small files for what is ordered."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.order: Order | None = None

    def download(self, order: Order) -> list[str]:
        self.order = order
        ids = [str(one) for one in order.rows["ObsID"].to_pylist()]
        for obs_id in ids:
            for name in self.names:
                path = order.directory / obs_id / name.format(oi=obs_id, low=obs_id.lower())
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
        return ids


def _downloaded(cls: type[Mission], tmp_path: Path, *names: str, insts: str | None = None) -> Mission:
    mission = cls(insts, table=archive_table(cls, 8), output=tmp_path, downloader=Desk(*names))
    mission.download()
    return mission


def test_files_are_found_by_band_with_tolerance(tmp_path: Path) -> None:
    from astropy import units as u

    mission = _downloaded(
        eRASS1DE, tmp_path, "EXP_010/em01_{oi}_020_EventList_c010.fits", "EXP_010/em01_{oi}_024_Image_c010.fits"
    )
    assert mission.downloaded_type == "raw+preprocessed"
    assert mission.get_evt_list_path("000001").endswith("em01_000001_020_EventList_c010.fits")
    assert mission.get_image_path("000001", 200 * u.eV, 2300 * u.eV).endswith("_024_Image_c010.fits")
    with pytest.raises(PreProcessedNotAvailableError, match=r"0\.2-0\.6"):
        mission.get_image_path("000001", 1 * u.keV, 9 * u.keV)
    with pytest.raises(MissionValueError, match="lo_en"):
        mission.get_image_path("000001")


def test_rosats_files_are_lower_case_and_its_hri_has_no_exposure_map(tmp_path: Path) -> None:
    mission = _downloaded(ROSATPointed, tmp_path, "{low}_bas.fits", "{low}_im1.fits")
    assert Path(mission.get_evt_list_path("RP000001N00")).name == "rp000001n00_bas.fits"
    with pytest.raises(PreProcessedNotSupportedError):
        mission.get_expmap_path("RP000004N00")


def test_ascas_gis_event_lists_are_found(tmp_path: Path) -> None:
    mission = _downloaded(ASCA, tmp_path, "screened/ad{oi}g200170h.evt")
    assert mission.get_evt_list_path("00000001", "GIS2").endswith("g200170h.evt")


def test_several_event_lists_can_be_listed(tmp_path: Path) -> None:
    mission = _downloaded(
        Suzaku, tmp_path, "xis/event_cl/ae{oi}xi0_0_3x3n000a_cl.evt", "xis/event_cl/ae{oi}xi0_0_5x5n000a_cl.evt"
    )
    assert len(mission.get_evt_list_paths("000000001", "XIS0")) == 2
    with pytest.raises(MissionValueError, match="2 such files"):
        mission.get_evt_list_path("000000001", "XIS0")


def test_nothing_is_found_before_a_download_or_where_the_archive_has_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotDownloadedError):
        eRASS1DE(table=archive_table(eRASS1DE)).get_evt_list_path("000001")
    with pytest.raises(PreProcessedNotSupportedError):
        _downloaded(XMMPointed, tmp_path).get_image_path("0000000001")


def test_raw_data_are_deleted_for_the_chosen_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mission = _downloaded(ASCA, tmp_path, "a")
    mission.filter_on_obs_ids("00000001")
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    mission.delete_raw_data()
    assert len(list(Path(mission.raw_data_path).iterdir())) == 8
    mission.delete_raw_data(force_del=True)
    assert len(list(Path(mission.raw_data_path).iterdir())) == 7


def test_credentials_come_in_three_forms_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "login.ini"
    path.write_text("[xmm]\nuser = ann\npassword = s%cret\n[0000000001]\nuser = bob\npassword = other\n")
    pair = {"user": "ann", "password": "s%cret"}
    for given in (path, pair):
        assert logins_of(given)[""].user == "ann" and logins_of(given)[""].password == "s%cret"
    assert logins_of(path)["0000000001"].user == "bob" == logins_of({"1": {"user": "bob", "password": "x"}})["1"].user
    assert "s%cret" not in repr(logins_of(path))
    with pytest.raises(MissionValueError):
        logins_of({"1": {"user": "bob"}})


def test_identifiers_hold_obsids(mission: Mission) -> None:
    obs_id = str(mission.obs_ids[0])
    assert mission.ident_to_obsid(obs_id) == obs_id
    with pytest.raises(MissionValueError):
        mission.ident_to_obsid("???")


def test_xmm_sub_exposures_are_assessed() -> None:
    mission = XMMPointed(table=archive_table(XMMPointed, 3))
    assert mission.ident_to_obsid("0201903501M1S001") == "0201903501"
    one = {"type": "SCIENCE", "mode": "PrimeFullWindow", "filter": "Thin1"}
    facts = {
        "M1": {"active": True, "exposures": {"S1": one, "S2": {**one, "filter": "Closed"}}},
        "R1": {"active": False, "exposures": {}},
    }
    assert mission.assess_process_obs(facts) == {"M1": {"S1": True, "S2": False}, "R1": {}}
    with pytest.raises(MissionValueError):
        mission.assess_process_obs({"M1": 3})


def test_target_types_and_facts_are_printed(mission: Mission, capsys: pytest.CaptureFixture[str]) -> None:
    mission.show_allowed_target_types()
    mission.info()
    told = capsys.readouterr().out
    assert "AGN" in told and "observations" in told


def test_an_observations_directory_lies_where_the_archive_keeps_it() -> None:
    begin = datetime(2005, 6, 3)
    for name, obs_id, expected in (
        ("eRASS1DE", "134135", "/download/135/134/"),
        ("Chandra", "3205", "/byobsid/5/3205/"),
        ("NuSTARPointed", "40001014013", "/obs/00/4/40001014013/"),
        ("ROSATPointed", "RH701867A01", "/rosat/data/hri/processed_data/700000/rh701867a01/"),
        ("Swift", "00131560002", "/obs/2005_06/00131560002/"),
        ("INTEGRALPointed", "218500510010", "/scw/2185/218500510010.001/"),
    ):
        row = {"ObsID": obs_id, "start": begin, "scw_ver": "001"}
        assert directory_url(mission_classes()[name].declaration, row).endswith(expected)


X_RAY = [mission_classes()[name] for name in X_RAY_MISSIONS]


@pytest.mark.parametrize("cls", [cls for cls in X_RAY if cls.declaration.directory], ids=lambda cls: cls.__name__)
def test_directories_of_all_rows_at_once_are_those_of_each_row(cls):
    table = cls(table=archive_table(cls, rows=50)).all_obs_info
    if "scw_ver" in table.column_names:
        versions = pa.array(["001", "002"] * 25)
        table = table.set_column(table.column_names.index("scw_ver"), "scw_ver", versions)
    assert directory_urls(cls.declaration, table).to_pylist() == [
        directory_url(cls.declaration, row) for row in table.to_pylist()
    ]


def test_a_row_that_leads_elsewhere_has_no_directory():
    table = Swift(table=archive_table(Swift, rows=3)).all_obs_info
    ids = pa.array(["00000000001", "../../etc", None])
    table = table.set_column(table.column_names.index("ObsID"), "ObsID", ids)
    assert [one is None for one in directory_urls(Swift.declaration, table).to_pylist()] == [False, True, True]
