"""Runs as they are kept: found by name, their status, what a notebook shows, one run at a time, reports of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from skyvault.errors import Conflict, NotFound
from skyvault.pipeline import Catalog, Project, Source, database
from skyvault.pipeline.catalog import make_test_catalog
from skyvault.pipeline.faults import DataError
from skyvault.pipeline.report import write_report
from skyvault.pipeline.report_facts import gather
from skyvault.pipeline.run_record import RunRecord, is_running, read_record, record_now, recorded
from skyvault.pipeline.stored_run import find_run, stored_runs


def project(number: int = 3, name: str = "tried", **more: Any) -> Project:
    catalog = Catalog(data=make_test_catalog(number), name_column="object_id", catalog_name="tried", cfg_file=False)
    return Project(name, catalog=catalog, executor="serial", **more)


def test_a_project_shows_itself_in_a_notebook_before_and_after_its_run(data_folder: Path) -> None:
    one = project(description="a <b> & c")
    shown = one._repr_html_()
    assert "a &lt;b&gt; &amp; c" in shown and "not yet" in shown and "DEMO" in shown
    one.run()
    assert "ended: 3 of 3 sources done" in one._repr_html_()


def test_versions_are_found_by_the_first_digits_of_their_checksum(data_folder: Path) -> None:
    first = project(version_control=True)
    first.run()
    second = project(version_control=True, analysis_kwargs={"finder_kwargs": {"snr_threshold": 7.0}})
    second.run()
    assert find_run("tried").cfg_hash == second.cfg_hash, "the latest"
    assert find_run(f"tried_{first.cfg_hash[:6]}").cfg_hash == first.cfg_hash
    assert find_run(f"TRIED_{first.cfg_hash}").config()["finder"]["snr_threshold"] == 5.0
    assert [run.cfg_hash for run in stored_runs()] == [second.cfg_hash, first.cfg_hash]
    with pytest.raises(NotFound, match="Did you mean TRIED"):
        find_run("tired")
    assert find_run("tried").status().done == 3


def test_one_run_at_a_time_and_the_lock_is_given_back(data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with recorded(folder, RunRecord("TRIED")):
        assert is_running(folder)
        with pytest.raises(Conflict, match="goes on already"), recorded(folder, RunRecord("TRIED")):
            pass
        assert is_running(folder), "looking does not give the lock back"
    assert not is_running(folder)
    record = record_now(folder)
    assert record is not None and record.phase == "done"


@pytest.mark.parametrize(
    ("error", "phase"), [(KeyboardInterrupt(), "stopped"), (OSError("disk full"), "failed"), (SystemExit(), "stopped")]
)
def test_what_ended_a_run_is_kept(tmp_path: Path, error: BaseException, phase: str) -> None:
    with pytest.raises(type(error)), recorded(tmp_path, RunRecord("TRIED", chosen=9)) as recorder:
        recorder.advance(4, 1)
        raise error
    record = read_record(tmp_path)
    assert record is not None and record.phase == phase
    assert (record.left, record.message) == (4, "disk full" if phase == "failed" else "")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"project": 5}', '{"project": "A", "pid": "x"}', "\x00"])
def test_damaged_records_are_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match="damaged"):
        read_record(tmp_path)


def test_a_record_of_a_later_version_is_read(tmp_path: Path) -> None:
    with recorded(tmp_path, RunRecord("TRIED")):
        pass
    document = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**document, "later": [1, 2]}))
    assert read_record(tmp_path) == read_record(tmp_path) is not None


def test_no_password_of_the_database_is_kept_in_a_record(data_folder: Path) -> None:
    one = project(database=f"sqlite:///{data_folder}/hunter2.sqlite")
    one.run()
    assert one.output_folder is not None
    for path in one.output_folder.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


def test_a_report_counts_many_sources_without_drawing_each(data_folder: Path) -> None:
    project(2).run()
    rng = np.random.default_rng(1)
    rows = [
        {"name": f"s{i}", "ra": float(ra), "dec": float(dec), "project": "TRIED", "cfg_hash": "", "mag": float(mag)}
        for i, (ra, dec, mag) in enumerate(
            zip(rng.uniform(0, 360, 30_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 30_000))),
                rng.normal(17, 1, 30_000), strict=True)
        )
    ]  # fmt: skip
    with database.current().writing() as connection:
        connection.execute(sa.insert(Source), rows)
    facts = gather(find_run("tried"))
    assert facts.cell_counts.sum() == 30_002 and len(facts.points) == 4_000
    assert facts.mags.sum() == 30_002
    assert write_report(find_run("tried")).stat().st_size < 1_000_000


def test_sources_close_together_are_drawn_as_a_field(data_folder: Path) -> None:
    from skyvault.pipeline.report_plots import _field

    stars = {"name": [f"s{i}" for i in range(30)], "ra": np.linspace(359.0, 361.0, 30) % 360.0,
             "dec": np.linspace(-1, 1, 30), "mag": np.full(30, 15.0)}  # fmt: skip
    Project("field", catalog=Catalog(data=stars, catalog_name="f", cfg_file=False), executor="serial").run()
    facts = gather(find_run("field"))
    found = _field(facts)
    assert found is not None
    assert (found[0] < 1.0 or found[0] > 359.0) and abs(found[1]) < 1.0 and found[2] < 3.0
    write_report(find_run("field"))
