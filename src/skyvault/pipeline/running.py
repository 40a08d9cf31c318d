"""A run: which sources are left, who does them, and how what comes back is kept.

One process commits. Rows of a batch, its problems and what it adds to the counts are one transaction, after the batch's
files are in place, so that a run killed at any moment goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from skyvault.pipeline import database
from skyvault.pipeline.batches import Batch
from skyvault.pipeline.executors import executor_of
from skyvault.pipeline.faults import TooManyProblems
from skyvault.pipeline.rows import write_parcels, write_problems
from skyvault.pipeline.run_record import Recorder
from skyvault.pipeline.source import Properties
from skyvault.pipeline.tables import Problem, StoredHistogram

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did: sources done now, done before, failed; and how long it took."""

    done: int
    skipped: int
    failed: int
    seconds: float

    @property
    def per_second(self) -> float:
        return (self.done + self.skipped) / self.seconds if self.seconds > 0.0 else 0.0


def run_all(
    project: Project, wanted: list[int], recorder: Recorder, on_progress: Callable[[int, int], object] | None
) -> RunReport:
    """Do those of the rows ``wanted`` that are not done yet; ``on_progress(done, of)`` is called after each batch.

    Raises TooManyProblems, DiskFull, ExecutorError, and DatabaseError when rows cannot be kept.
    """
    began = time.monotonic()
    held = database.current()
    finished = done_rows(project, held)
    todo = [number for number in wanted if number not in finished]
    recorder.record.skipped = len(wanted) - len(todo)
    size = project.pars.source_batch_size
    batches = (todo[first : first + size] for first in range(0, len(todo), size))
    stored = stored_histograms(project, held)
    done = failed = in_a_row = 0
    # closing it ends its processes, also when rows cannot be kept or somebody interrupts
    with contextlib.closing(executor_of(project, len(todo)).done(batches)) as ready:
        for batch in ready:
            _keep(project, held, batch, stored)
            done += len(batch.parcels)
            failed += len(batch.problems)
            in_a_row = 0 if batch.parcels else in_a_row + len(batch.problems)
            recorder.advance(done, failed)
            if on_progress is not None:
                on_progress(done + failed, len(todo))
            if failed >= project.pars.max_num_total_exceptions or in_a_row >= project.pars.max_num_sequence_exceptions:
                last = batch.problems[-1]["what"][:200]
                raise TooManyProblems(
                    f"{failed} of {done + failed} sources failed, the last because: {last}",
                    hint="The table problems names them all; what was done is kept.",
                )
    if done:
        assert project.output_folder is not None
        for histogram in stored:
            histogram.save(project.output_folder / f"histograms_{histogram.name}.nc")
    return RunReport(done, len(wanted) - len(todo), failed, time.monotonic() - began)


def done_rows(project: Project, held: database.Database) -> set[int]:
    """Rows of the catalogue whose sources have properties."""
    query = sa.select(Properties.source_name).where(
        Properties.project == project.name, Properties.cfg_hash == project.cfg_hash
    )
    with held.reading() as connection:
        found = connection.execution_options(yield_per=10_000).execute(query).scalars()
        done: set[int] = set()
        for part in found.partitions(10_000):
            rows = project.catalog.names.rows(part)
            done.update(rows[rows >= 0].tolist())
        return done


def stored_histograms(project: Project, held: database.Database) -> list[Any]:
    """The project's histograms with all that was counted so far, in this process or another."""
    project.analysis.reset_histograms()
    stored = project.analysis.get_all_histograms()
    query = sa.select(StoredHistogram.name, StoredHistogram.content).where(
        StoredHistogram.project == project.name, StoredHistogram.cfg_hash == project.cfg_hash
    )
    with held.reading() as connection:
        contents = {name: content for name, content in connection.execute(query)}
    for histogram in stored:
        if histogram.name in contents:
            histogram.take_bytes(contents[histogram.name])
    return stored


def _keep(project: Project, held: database.Database, batch: Batch, stored: list[Any]) -> None:
    """Commit a batch: its rows, its problems, and the counts it adds, all or nothing."""
    for histogram, grids in zip(stored, batch.counts, strict=False):
        for score, grid in grids.items():
            histogram.grids[score] += grid
    version = {"project": project.name, "cfg_hash": project.cfg_hash}
    with held.writing() as connection:
        write_parcels(connection, batch.parcels)
        write_problems(connection, batch.problems)
        if batch.parcels:
            names = [parcel.source["name"] for parcel in batch.parcels]
            mine = [Problem.project == project.name, Problem.cfg_hash == project.cfg_hash]
            if connection.execute(sa.select(Problem.id).where(*mine).limit(1)).first() is not None:
                for first in range(0, len(names), 500):
                    part = names[first : first + 500]
                    connection.execute(sa.delete(Problem).where(*mine, Problem.source_name.in_(part)))
        mine = [StoredHistogram.project == project.name, StoredHistogram.cfg_hash == project.cfg_hash]
        connection.execute(sa.delete(StoredHistogram).where(*mine))
        rows = [{**version, "name": one.name, "content": one.to_bytes()} for one in stored]
        connection.execute(sa.insert(StoredHistogram), rows)
