"""483 RR Lyrae stars of SDSS Stripe 82 (Sesar et al. 2010) through a whole project: their periods come out right."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyvault.pipeline import Catalog, Project
from skyvault.science.aliases import same_up_to_alias

pytestmark = pytest.mark.shared

#: amplitudes of RR Lyrae in u, g, r, i, z against g
SCALES = {"u": 1.0, "g": 1.0, "r": 0.72, "i": 0.58, "z": 0.55}


def stars(shared_data: Path, folder: Path) -> dict[str, float]:
    """Unpacks the light curves; period in days of each star by its number."""
    with tarfile.open(shared_data / "lightcurves/sdss_s82_rrlyrae/sdss_s82_rrlyrae.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    with (folder / "RRLyrae/periods.csv").open() as file:
        return {row["Num"]: float(row["Per"]) for row in csv.DictReader(file)}


def run(periods: dict[str, float], folder: Path, every: int) -> Project:
    names = list(periods)[::every]
    # the published tables have no places; along the stripe they are as good as any, since nothing is asked of the sky
    catalog = Catalog(
        data={"name": np.array(names, np.int64), "ra": np.linspace(310, 420, len(names)) % 360, "dec": np.zeros(len(names))},
        catalog_name="stripe82", cfg_file=False,
    )  # fmt: skip
    project = Project(
        "stripe82", catalog=catalog, obs_names="FILES", cfg_file=False, source_batch_size=16,
        FILES={"files_folder": str(folder / "RRLyrae/light-curves"), "exposure_s": 54.0},
        analysis_kwargs={
            "num_injections": 0, "period_search": "always", "period_min": 0.2, "period_max": 1.0, "period_terms": 4,
            "period_error_floor": 0.03, "period_band_scales": SCALES,
        },
    )  # fmt: skip
    report = project.run()
    assert (report.done, report.failed) == (len(names), 0)
    return project


def judged(project: Project, periods: dict[str, float]) -> dict[str, int]:
    """How many periods are right to 1e-4, are an alias of the published one, or neither."""
    found = {"right": 0, "alias": 0, "wrong": 0}
    falls = 0
    for source in project.get_all_sources():
        assert source.properties is not None
        props: dict[str, Any] = source.properties.props
        period, true = props["best_period"], periods[source.name]
        if abs(period / true - 1.0) < 1e-4:
            found["right"] += 1
        elif same_up_to_alias(1.0 / period, 1.0 / true, 0.004) is not None:
            found["alias"] += 1
        else:
            found["wrong"] += 1
        assert set(props["filters"]) == set("ugriz") and props["filters"]["g"]["reduced_chi2"] > 5
        falls += props["filters"]["g"]["amplitude_90"] > props["filters"]["z"]["amplitude_90"]
    # the amplitudes of RR Lyrae fall with wavelength, but for faint stars with noisy z
    assert falls > 0.8 * sum(found.values())
    return found


def test_some_stars_have_their_published_periods(shared_data: Path, data_folder: Path, tmp_path: Path) -> None:
    periods = stars(shared_data, tmp_path)
    found = judged(run(periods, tmp_path, every=60), periods)
    assert found["right"] >= 8 and found["wrong"] == 0, found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_483_stars_have_their_published_periods(shared_data: Path, data_folder: Path, tmp_path: Path) -> None:
    periods = stars(shared_data, tmp_path)
    found = judged(run(periods, tmp_path, every=1), periods)
    assert sum(found.values()) == 483
    assert found["right"] >= 0.93 * 483 and found["right"] + found["alias"] >= 0.97 * 483, found
