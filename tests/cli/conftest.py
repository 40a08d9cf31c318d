"""The command line within the test's own process, for tests that run many commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def here(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """Runs the command line in this process: what takes a second to start is started once."""
    from skyvault.cli.main import run
    from skyvault.pipeline import database

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "_in_use", None)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def act(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run([str(one) for one in arguments])
        return Said(code, *capsys.readouterr())

    yield act
    if database._in_use is not None:
        database._in_use.close()
    sys.modules.pop("fragile", None)
