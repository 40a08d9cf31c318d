"""A data folder and a database of one's own for every test of pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty RETRIEVER_DATA, an empty current folder, and the default database in it."""
    from skyvault.pipeline import database

    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("RETRIEVER_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "_in_use", None)
    yield folder
    if database._in_use is not None:
        database._in_use.close()
