"""A service with a table, images and spectra, as an observatory would publish them, and its registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.hilltop import AUTHORITY, RESOURCE, Site, write_files
from skyvault.config import Settings
from skyvault.publish.publisher import publish
from skyvault.publish.resource_publisher import publish_resource


@pytest.fixture(scope="package")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings]:
    """A data directory with all of it, and the settings of its publisher."""
    folder = tmp_path_factory.mktemp("hilltop")
    write_files(folder)
    (folder / "resource.yaml").write_text(RESOURCE)
    (folder / "stars.csv").write_text("name,ra,dec,vmag\nAlgol,47.04,40.96,2.1\nMira,34.84,-2.98,6.5\n")
    settings = Settings(
        home=folder / "home", authority=AUTHORITY, publisher="Hilltop Observatory", contact="vo@hilltop.example"
    )
    publish_resource(folder, settings=settings)
    publish(folder / "stars.csv", name="hill.stars", settings=settings)
    return folder, settings


@pytest.fixture(scope="package")
def site(observatory: tuple[Path, Settings], start_server: Callable[..., Any]) -> Site:
    folder, settings = observatory
    server = start_server(
        folder / "home",
        SKYVAULT_AUTHORITY=AUTHORITY,
        SKYVAULT_PUBLISHER="Hilltop Observatory",
        SKYVAULT_CONTACT="vo@hilltop.example",
    )
    return Site(server, settings)
