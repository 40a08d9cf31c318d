"""A server of all examples of real files, for every test of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from example_sites import REAL, Site, published


@pytest.fixture(scope="session")
def real_site(
    tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any], shared: Path
) -> Iterator[Site]:
    """All examples of real files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYVAULT_SHARED", str(shared))
        settings, done = published(REAL, tmp_path_factory.mktemp("real") / "home")
        yield Site(start_server(settings.home).base_url, settings, done)
