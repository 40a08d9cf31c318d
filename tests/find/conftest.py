"""Services of the sandbox as a client of this project sees them, without waits between tries."""

from collections.abc import Callable
from typing import Any

import pytest

from skyvault.config import Settings
from skyvault.find import get_tap_service
from skyvault.sandbox.rubin import TOKEN


@pytest.fixture
def settings(sandbox: Any, tmp_path: Any) -> Settings:
    return Settings(home=tmp_path / "home", endpoints=sandbox.endpoints(), archive_backoff_s=0.0)


@pytest.fixture
def rubin(settings: Settings) -> Any:
    """The Rubin-like TAP service, with its token."""
    return get_tap_service("tap", token=TOKEN, settings=settings)


@pytest.fixture
def in_i(rubin: Any) -> Any:
    """The 128 calibrated exposures in i around RA 62, Dec -37."""
    return rubin.search(
        "SELECT * FROM ivoa.ObsCore WHERE CONTAINS(POINT('ICRS', 62.0, -37.0), s_region) = 1"
        " AND lsst_band = 'i' AND calib_level = 2"
    )


@pytest.fixture
def votable() -> Callable[..., bytes]:
    """A small VOTable: ``votable("<TR>...</TR>", fields=..., head=..., tail=...)``."""

    def made(rows: str, *, fields: str = "", head: str = "", tail: str = "") -> bytes:
        fields = fields or '<FIELD name="a" datatype="int"/><FIELD name="b" datatype="char" arraysize="*"/>'
        return (
            f'<?xml version="1.0"?>{head}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
            f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}'
            f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>{tail}</RESOURCE></VOTABLE>"
        ).encode()

    return made
