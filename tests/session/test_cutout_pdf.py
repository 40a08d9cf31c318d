"""Cutouts as pages of a PDF: a page an exposure, the same data the same bytes, mishaps in a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from skyvault.errors import NotFound, ParameterError, UsageError
from skyvault.sandbox.faults import Fault
from skyvault.session.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")


@pytest.fixture
def session(sandbox: Any, sandbox_settings: Any, tmp_path: Path) -> Session:
    made = Session(str(tmp_path / "star"), False, settings=sandbox_settings)
    return made.select_target(ra_deg=129.97758, dec_deg=19.82192).select_refcat("apass")


def test_each_accepted_exposure_has_a_page(session: Session, sandbox: Any, tmp_path: Path) -> None:
    table = session.exposures().keep_only.has_imaging(verbose=False)[:4]
    table.reject.local_id(int(table["local_id"][1]), tag="bad", verbose=False)
    path = table.export_cutouts_to_pdf(tmp_path / "plates.pdf", refcat_stdmag_limit=14)
    body = path.read_bytes()
    assert body.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", body)) == 3
    # again, without a network
    sandbox.faults.set(Fault("unreachable"))
    assert table.export_cutouts_to_pdf(tmp_path / "again.pdf", 14, no_download=True).read_bytes() == body


def test_what_cannot_be_written_is_one_sentence(session: Session, sandbox: Any, tmp_path: Path) -> None:
    table = session.exposures()
    with pytest.raises(ParameterError, match="does not end in"):
        table.export_cutouts_to_pdf(tmp_path / "plates.png")
    with pytest.raises(UsageError, match="No accepted exposure has an image"):
        table.drop.has_imaging(verbose=False).export_cutouts_to_pdf(tmp_path / "plates.pdf")
    sandbox.faults.set(Fault("refused", archive="dasch"))
    with pytest.raises(NotFound, match="None of these exposures"):
        table.keep_only.has_imaging(verbose=False)[:2].export_cutouts_to_pdf(tmp_path / "plates.pdf")
    assert not list(tmp_path.glob("*.pdf"))
