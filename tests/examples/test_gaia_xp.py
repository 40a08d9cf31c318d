"""The example of Gaia's XP spectra: published, checked, and what a spectrum of a red dwarf must look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from example_sites import published
from skyvault.publish.resource_checks import check_resource
from skyvault.serve.local import query

pytestmark = pytest.mark.shared
PROXIMA = 5853498713190525696


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Any:
    settings, done = published(("gaia-xp",), tmp_path_factory.mktemp("gaia-xp"))
    assert [(one.name, one.rows) for one in done["gaia-xp"].collections] == [
        ("gaia_xp.spectra", 6),
        ("gaia_xp.fine", 6),
    ]
    assert done["gaia-xp"].problems == []

    def ask(adql: str) -> list[dict[str, Any]]:
        return [row for batch in query(adql, settings=settings).batches for row in batch.to_pylist()]

    findings = check_resource(done["gaia-xp"].path, ask)
    assert [one for one in findings if one.severity in ("error", "warning")] == []
    return ask


def test_proxima_centauri_has_the_bands_of_titanium_oxide(ask: Any) -> None:
    (row,) = ask(f"SELECT flux, flux_error FROM gaia_xp.fine WHERE source_id = {PROXIMA}")
    wave, flux = np.arange(336, 1021, 2), np.array(row["flux"])

    def mean(low: float, high: float) -> float:
        return float(flux[(wave >= low) & (wave <= high)].mean())

    # band heads near 705 and 759 nm, between brighter pseudo-continua
    assert mean(708, 722) < 0.6 * mean(738, 752) and mean(766, 776) < 0.7 * mean(738, 752)
    assert mean(738, 752) > 20 * mean(440, 480)
    assert np.median(np.array(row["flux_error"]) / flux) < 0.02


def test_ten_realisations_are_the_coefficients_flux_within_their_errors(ask: Any) -> None:
    rows = ask(
        "SELECT s.flux AS drawn, s.flux_error AS error, f.flux[33:233] AS exact FROM gaia_xp.spectra AS s"
        " JOIN gaia_xp.fine AS f ON s.source_id = f.source_id WHERE s.bands = 'BP+RP'"
    )
    assert len(rows) == 5
    for row in rows:
        exact = np.array(row["exact"])[::5]
        pull = (np.array(row["drawn"]) - exact) / np.array(row["error"]) * np.sqrt(10)
        assert 0.4 < np.std(pull) < 2.0


def test_the_reddest_comes_first(ask: Any) -> None:
    found = ask(
        "SELECT source_id, arr_avg(flux[31:41]) / arr_avg(flux[1:11]) AS colour FROM gaia_xp.spectra"
        " WHERE bands = 'BP+RP' ORDER BY colour DESC"
    )
    assert found[0]["source_id"] == PROXIMA and len(found) == 5
