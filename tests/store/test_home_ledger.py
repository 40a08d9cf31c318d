"""A data directory and the PostgreSQL ledger it works with belong to each other, and are never mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

import postgresql_server
from skyvault.config import Secret, Settings
from skyvault.errors import ConfigError, Conflict, StoreError
from skyvault.publish.backup import backup
from skyvault.publish.publisher import publish
from skyvault.store.duckdb_store import DuckStore
from skyvault.store.home_ledger import move_ledger, open_home_ledger
from skyvault.store.layout import Layout
from skyvault.store.query import Limits

pytestmark = pytest.mark.postgresql
QUERY = "SELECT COUNT(*) FROM lab.stars"


@pytest.fixture
def stars(tmp_path: Path) -> Path:
    file = tmp_path / "stars.csv"
    file.write_text("id,ra,dec\n" + "\n".join(f"{n},{n},{n - 40}" for n in range(80)) + "\n")
    return file


def count_of(settings: Settings) -> int:
    with DuckStore(settings) as store:
        batches = list(store.query(QUERY, Limits()).stream.batches)
        return int(batches[0].column(0)[0].as_py())


def test_tables_are_published_queried_and_unpublished_with_the_ledger_in_postgresql(
    tmp_path: Path, stars: Path, postgresql_schema: str
) -> None:
    settings = Settings(home=tmp_path / "home", ledger=Secret(postgresql_schema))
    publish(stars, name="lab.stars", settings=settings)
    assert count_of(settings) == 80
    assert not (tmp_path / "home" / "ledger.sqlite").exists()


def test_the_setting_takes_addresses_of_postgresql_alone_and_never_shows_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ledger is not an address such as postgresql://") as caught:
        Settings(home=tmp_path, ledger="sqlite:///secret")
    assert "secret" not in str(caught.value)
    assert "tiger" not in repr(Settings(home=tmp_path, ledger="postgresql://ann:tiger@host/db"))


def test_another_directory_is_refused(tmp_path: Path, postgresql_schema: str) -> None:
    address = Secret(postgresql_schema)
    open_home_ledger(Layout(tmp_path / "one", address)).close()
    open_home_ledger(Layout(tmp_path / "one", address)).close()
    with pytest.raises(StoreError, match="belongs to another data directory"):
        open_home_ledger(Layout(tmp_path / "two", address))


def test_a_directory_with_tables_does_not_take_an_empty_ledger(
    tmp_path: Path, stars: Path, postgresql_url: str
) -> None:
    for _ in range(2):
        with postgresql_server.schema(postgresql_url) as address:
            settings = Settings(home=tmp_path / "home", ledger=Secret(address))
            if not settings.home.exists():
                publish(stars, name="lab.stars", settings=settings)
                continue
            with pytest.raises(StoreError, match=r"holds tables that the ledger .* does not know of"):
                open_home_ledger(Layout.of(settings))


def test_a_directory_whose_ledger_is_elsewhere_does_not_begin_a_new_one(tmp_path: Path, postgresql_schema: str) -> None:
    open_home_ledger(Layout(tmp_path, Secret(postgresql_schema))).close()
    with pytest.raises(ConfigError, match="SKYVAULT_LEDGER does not say in which"):
        open_home_ledger(Layout(tmp_path))


def test_a_ledger_moves_to_postgresql_and_comes_back_by_a_backup(
    tmp_path: Path, stars: Path, postgresql_schema: str
) -> None:
    home = tmp_path / "home"
    publish(stars, name="lab.stars", settings=Settings(home=home))
    settings = Settings(home=home, ledger=Secret(postgresql_schema))
    with pytest.raises(StoreError, match=r"has a ledger of its own.*skyvault upgrade"):
        open_home_ledger(Layout.of(settings))
    moved = move_ledger(Layout.of(settings))
    assert moved is not None and moved > 2
    assert (home / "ledger.sqlite.moved").exists()
    assert move_ledger(Layout.of(settings)) is None
    assert count_of(settings) == 80
    backup(tmp_path / "copy", settings=settings)
    assert count_of(Settings(home=tmp_path / "copy")) == 80


def test_a_ledger_does_not_move_to_where_another_is(tmp_path: Path, stars: Path, postgresql_schema: str) -> None:
    open_home_ledger(Layout(tmp_path / "one", Secret(postgresql_schema))).close()
    publish(stars, name="lab.stars", settings=Settings(home=tmp_path / "two"))
    with pytest.raises(Conflict, match="not empty"):
        move_ledger(Layout(tmp_path / "two", Secret(postgresql_schema)))
    assert count_of(Settings(home=tmp_path / "two")) == 80
