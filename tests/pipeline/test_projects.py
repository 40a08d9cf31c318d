"""Runs of whole target lists: what is kept, what a second run does, what a kill or a failing source costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from pipeline_runs import contents, sources
from processes import environment
from skyvault.pipeline import Project, RawPhotometry, Source, VirtualDemoObs, database
from skyvault.pipeline.data_files import read_dataset
from skyvault.pipeline.faults import TooManyProblems
from skyvault.pipeline.project import KNOWN
from skyvault.pipeline.running import stored_histograms

pytestmark = pytest.mark.usefixtures("each_database")


def test_a_run_keeps_sources_files_and_counts_and_a_second_one_does_nothing(data_folder: Path) -> None:
    project = Project("tried", catalog=sources(12), source_batch_size=5, executor="serial")
    assert project.run().done == 12
    again = Project("tried", catalog=sources(12)).run()
    assert (again.done, again.skipped) == (0, 12)
    with database.Session() as session:
        one = session.scalars(sa.select(Source).where(Source.cat_index == 3)).one()
        assert [raw.observatory for raw in one.raw_photometry] == ["DEMO"]
        assert session.scalars(sa.select(RawPhotometry).where(RawPhotometry.source_id == one.id)).one().number == 100
        curve = one.lightcurves[0]
        assert curve.filename == f"RA{int(one.ra):03d}/DEMO_photometry_{one.name}_reduced.h5"
        assert curve.filekey == f"{one.name}_reduction_01_of_01"
        assert curve.get_fullname() == data_folder / "TRIED" / curve.filename
        raw = one.raw_photometry[0]
        assert raw.get_fullname() == data_folder / f"DEMO/RA{int(one.ra):03d}/DEMO_photometry_{one.name}.h5"
        # what is read from disk is what was analysed
        kept = curve.flux_mean_robust
        np.testing.assert_array_equal(curve.data["mag"], raw.data["mag"])
        assert curve.flux_mean_robust == kept
        assert one.properties is not None and one.properties.props["num_epochs"] == 100
    assert (data_folder / "TRIED/config.yaml").is_file()
    stored_histograms(project, database.current())
    assert project.analysis.all_scores.get_sum_scores() == 1200


def test_files_are_small_and_astropy_reads_them_without_the_database(data_folder: Path) -> None:
    from astropy.table import Table

    Project("tried", catalog=sources(1), DEMO={"sim_args": {"num_points": 500}}).run()
    raw = next(data_folder.glob("DEMO/RA*/*.h5"))
    reduced = next(data_folder.glob("TRIED/RA*/*.h5"))
    assert raw.stat().st_size <= 20_000 and reduced.stat().st_size <= 20_000
    name = raw.stem.removeprefix("DEMO_photometry_")
    assert len(Table.read(raw, path=f"photometry_{name}/rows")) == 500


def test_versions_lie_apart_and_share_raw_data(data_folder: Path) -> None:
    one = Project("tried", catalog=sources(3), version_control=True)
    other = Project("tried", catalog=sources(3), vc=True, analysis_kwargs={"finder_kwargs": {"snr_threshold": 7.5}})
    assert (one.run().done, other.run().done) == (3, 3)
    assert one.cfg_hash != other.cfg_hash and one.run().skipped == 3
    assert {path.name for path in data_folder.iterdir() if path.is_dir()} == {
        "DEMO", f"TRIED_{one.cfg_hash}", f"TRIED_{other.cfg_hash}",
    }  # fmt: skip
    with database.Session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RawPhotometry)) == 3
        assert session.scalar(sa.select(sa.func.count()).select_from(Source)) == 6
        # both versions' sources find the same raw data
        ids = session.scalars(sa.select(Source.id)).all()
        assert all(session.scalars(sa.select(RawPhotometry).where(RawPhotometry.source_id == i)).one() for i in ids)


def test_two_projects_may_share_a_list_without_versions(data_folder: Path) -> None:
    assert Project("one", catalog=sources(3)).run().done == 3
    assert Project("two", catalog=sources(3)).run().done == 3


class VirtualFragile(VirtualDemoObs):
    """Has nothing of every third source, and fails for row 4."""

    obs_name = "FRAGILE"

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        with (Path(os.environ["RETRIEVER_DATA"]) / "asked").open("a") as file:
            file.write(f"{cat_row['cat_index']}\n")
        if cat_row["cat_index"] == 4:
            raise OSError("the dome is shut")
        if cat_row["cat_index"] % 3 == 0:
            return {}, {}
        return super().download_from_observatory(cat_row, **kwargs)


def test_an_empty_answer_is_an_answer_and_a_failure_a_row_of_problems(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, "FRAGILE", (__name__, "VirtualFragile"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[VirtualFragile.__module__])
    project = Project("tried", obs_names="fragile", catalog=sources(9))
    report = project.run()
    assert (report.done, report.failed) == (8, 1)
    assert project.get_problems() == [
        {"source_name": project.catalog.names[4], "step": "download", "observatory": "FRAGILE",
         "what": "OSError: the dome is shut", "times": 1}
    ]  # fmt: skip
    status = project.status()
    assert (status.done, status.without_data, status.problems) == (8, 3, 1)
    asked = (data_folder / "asked").read_text().split()
    # the one that failed is tried again, the empty ones never
    Project("other", obs_names="fragile", catalog=sources(9)).run()
    assert (data_folder / "asked").read_text().split() == [*asked, "4"]
    with pytest.raises(TooManyProblems, match="the dome is shut"):
        Project("tried", obs_names="fragile", catalog=sources(9), max_num_total_exceptions=1).run()


def test_a_damaged_raw_file_is_made_again(data_folder: Path) -> None:
    Project("one", catalog=sources(2)).run()
    raw = next(data_folder.glob("DEMO/RA*/*.h5"))
    whole, _ = read_dataset(raw)
    raw.write_bytes(raw.read_bytes()[:1500])
    assert Project("two", catalog=sources(2)).run().failed == 0
    np.testing.assert_array_equal(read_dataset(raw)[0], whole)


KILLED = """
import os, sys
from skyvault.pipeline import Catalog, Project
from skyvault.pipeline.catalog import make_test_catalog
cat = Catalog(data=make_test_catalog(60), name_column="object_id", catalog_name="tried", cfg_file=False)
limit = int(sys.argv[1])
def told(done, of):
    if done >= limit:
        os.killpg(0, 9)
print(Project("tried", catalog=cat, source_batch_size=6, num_workers=2).run(on_progress=told).done)
"""


def run_and_be_killed(folder: Path, address: str, after: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(after)], capture_output=True, text=True, start_new_session=True,
        env=environment() | {"RETRIEVER_DATA": str(folder), "SKYVAULT_PIPELINE_DB": address}, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_a_run_that_is_killed_twice_ends_like_one_that_is_not(
    tmp_path: Path, database_of: Callable[[Path], str]
) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    for folder in (broken, whole):
        folder.mkdir()
    first, second = database_of(broken), database_of(whole)
    assert [run_and_be_killed(broken, first, after) for after in (7, 20, 1000)] == [-9, -9, 0]
    assert run_and_be_killed(whole, second, 1000) == 0
    assert contents(broken, first) == contents(whole, second)
