"""A data folder and a database of one's own for every test of pipelines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import postgresql_server


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
    # modules that a test has written are not there for the next one
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def database_of(request: pytest.FixtureRequest, each_database: str) -> Iterator[Callable[[Path], str]]:
    """``database_of(folder)`` is the address of a database of that folder's own, of the kind ``each_database`` is."""
    with contextlib.ExitStack() as stack:

        def address(folder: Path) -> str:
            if each_database.startswith("sqlite"):
                return f"sqlite:///{folder / 'pipeline.sqlite'}"
            return stack.enter_context(postgresql_server.schema(request.getfixturevalue("postgresql_url")))

        yield address


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def each_database(request: pytest.FixtureRequest, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test's database: the default file, and again an empty schema in PostgreSQL. Its address."""
    if request.param == "postgresql":
        monkeypatch.setenv("SKYVAULT_PIPELINE_DB", request.getfixturevalue("postgresql_schema"))
    from skyvault.pipeline import database

    return database.default_url()
