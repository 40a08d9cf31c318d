"""Where the ledgers of these tests are: every promise is kept on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from skyvault.config import Secret
from skyvault.ledger.engine import Place


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for a new ledger: a file, or an empty schema."""
    if request.param == "sqlite":
        return tmp_path / "ledger.db"
    return Secret(request.getfixturevalue("postgresql_schema"))
