"""The cache of tables: copies for speed beside the Parquet file, which never say anything else than it."""

import os
from pathlib import Path

import numpy as np
import pytest

from missions.archive_tables import archive_table
from skyvault.config import Settings
from skyvault.missions import Swift, XMMPointed
from skyvault.missions.connections import table_directory
from skyvault.missions.faults import MissionWarning
from skyvault.missions.table_cache import cache_path, read_cache, read_zones

POSITIONS = np.column_stack([np.linspace(1, 359, 50), np.linspace(-80, 80, 50)])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    Swift(table=archive_table(Swift), cache=tmp_path).cache_table()
    return tmp_path


def matched(cache: Path):
    return Swift("XRT", cache=cache).filter_on_positions(POSITIONS, 20.0, return_pos_obs_info=True)


def test_the_copies_hold_what_the_parquet_file_holds(cache):
    fast, origin = read_cache(cache, "swift")
    assert read_zones(cache, origin) is not None
    (cache / "swift.arrow").unlink()
    slow, same = read_cache(cache, "swift")
    assert same == origin and fast.equals(slow) and fast.schema.equals(slow.schema, check_metadata=True)
    assert (cache / "swift.arrow").is_file(), "a missing copy is made again"


@pytest.mark.parametrize("name", ["swift.arrow", "swift.zones.arrow"])
@pytest.mark.parametrize("damage", [b"", b"ARROW1\0\0nonsense", None])
def test_damaged_and_missing_copies_change_no_answer(cache, name, damage):
    expected = matched(cache)
    (cache / name).unlink()
    if damage is not None:
        (cache / name).write_bytes(damage)
    assert matched(cache).equals(expected)


def test_copies_of_another_table_are_not_taken(cache, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    rows = archive_table(Swift)
    Swift(table=rows.slice(0, rows.num_rows // 2), cache=other).cache_table()
    for name in ("swift.arrow", "swift.zones.arrow"):
        (cache / name).write_bytes((other / name).read_bytes())
    assert Swift(cache=cache).num_obs == Swift(table=rows, cache=other).num_obs
    assert matched(cache).num_rows


def test_a_table_set_by_hand_is_not_searched_by_the_cached_positions(cache):
    mission = Swift("XRT", cache=cache)
    half = mission.all_obs_info.slice(0, mission.num_obs // 2)
    mission.all_obs_info = half
    found = mission.filter_on_positions(POSITIONS, 20.0, return_pos_obs_info=True)
    assert set(found["ObsIDs"].combine_chunks().flatten().to_pylist()) <= set(half["ObsID"].to_pylist())


def test_a_cache_that_cannot_be_written_is_read_all_the_same(tmp_path):
    XMMPointed(table=archive_table(XMMPointed), cache=tmp_path).cache_table()
    for name in ("xmm_pointed.arrow", "xmm_pointed.zones.arrow"):
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    assert len(XMMPointed(cache=tmp_path))
    assert cache_path(tmp_path, "xmm_pointed").is_file()


class Desk:
    """Gives the first rows of a table, as an archive would."""

    def __init__(self, count: int = 20) -> None:
        self.count = count
        self.asked = 0

    def observations(self, declaration):
        self.asked += 1
        return archive_table(Swift).slice(0, self.count), "https://swift.example/tap"


def test_a_table_that_cannot_be_kept_is_used_all_the_same_and_that_is_said(tmp_path):
    (tmp_path / "missions").write_text("a file where the folder should be")
    with pytest.warns(MissionWarning, match=r"Swift cannot be kept .* fetched again next time"):
        mission = Swift(settings=Settings(home=tmp_path), source=Desk())
    assert len(mission.all_obs_info)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_is_read_only_stops_nobody(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    with pytest.warns(MissionWarning, match="cannot be kept"):
        assert len(Swift(settings=Settings(home=home), source=Desk()))


def test_what_a_sandbox_said_never_passes_for_what_the_archive_says(tmp_path):
    real, simulated = Desk(20), Desk(10)
    elsewhere = Settings(home=tmp_path, endpoints={"heasarc": {"tap": "http://127.0.0.1:8421/heasarc/tap"}})
    Swift(settings=elsewhere, source=simulated)
    assert Swift(settings=Settings(home=tmp_path), source=real).num_obs == 20
    assert Swift(settings=elsewhere, source=simulated).num_obs == 10
    assert (real.asked, simulated.asked) == (1, 1)
    # XMM's table comes from HEASARC where ESA cannot answer
    declaration = XMMPointed.declaration
    assert table_directory(elsewhere, declaration) != table_directory(Settings(home=tmp_path), declaration)
