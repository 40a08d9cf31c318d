"""The missions under test: each over a small table in its archive's columns, eROSITA's two over the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from missions.archive_tables import archive_table
from processes import free_port
from skyvault.config import Settings
from skyvault.missions import Mission, eRASS1DE, eROSITACalPV, mission_classes


@pytest.fixture(params=sorted(mission_classes()))
def mission_class(request: pytest.FixtureRequest) -> type[Mission]:
    return mission_classes()[request.param]


@pytest.fixture
def nobody_answers(tmp_path: Path) -> Settings:
    """Settings with archives that cannot be reached."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    services = ("tap", "files", "tables", "dr1", "edr", "resolver")
    archives = ("heasarc", "xsa", "erosita", "sesame")
    return Settings(
        home=tmp_path / "home",
        endpoints={archive: {service: nowhere for service in services} for archive in archives},
        archive_attempts=1,
    )


@pytest.fixture
def mission(mission_class: type[Mission], tmp_path: Path, nobody_answers: Settings) -> Mission:
    return mission_class(
        table=archive_table(mission_class), cache=tmp_path / "cache", output=tmp_path / "out", settings=nobody_answers
    )


@pytest.fixture
def erass(shared_data: Path, tmp_path: Path) -> Mission:
    return eRASS1DE(table=shared_data / "daxa" / "erass_de_dr1_info.csv", cache=tmp_path, output=tmp_path)


@pytest.fixture
def calpv(shared_data: Path, tmp_path: Path) -> Mission:
    return eROSITACalPV(table=shared_data / "daxa" / "erosita_calpv_info.csv", cache=tmp_path, output=tmp_path)
