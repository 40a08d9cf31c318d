"""A batch of sources: workers download, reduce, analyse and write files; one writer keeps rows.

A batch's rows, problems and histograms are committed in one transaction, after its files are in place. So a process
killed at any moment loses at most the batches in work, which the next run does again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skyvault.errors import SkyvaultError
from skyvault.pipeline.dataset import save_lightcurves
from skyvault.pipeline.faults import DiskFull
from skyvault.pipeline.rows import Parcel, Row, parcel_of, source_of
from skyvault.science.histogram import CountGrid

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project


@dataclass
class Batch:
    """What came of some sources of the catalogue."""

    numbers: list[int]
    parcels: list[Parcel] = field(default_factory=list)
    problems: list[Row] = field(default_factory=list)
    counts: list[dict[str, CountGrid]] = field(default_factory=list)


def work(project: Project, numbers: list[int]) -> Batch:
    """Do some sources in this process. A source that fails is a problem of the batch, not an error."""
    batch = Batch(numbers)
    project.analysis.reset_histograms()
    # many sources are fetched at once, ahead of their analysis, as far as each survey's manners allow
    feeds = [obs.fetch_numbers(numbers) for obs in project.observatories]
    for number in numbers:
        name, observatory, step = project.catalog.names[number], None, "catalogue"
        fetched = [next(feed) for feed in feeds]
        try:
            source = source_of(project.catalog.dict_from_row(number), project.name, project.cfg_hash, project.catalog)
            for obs, held in zip(project.observatories, fetched, strict=True):
                observatory, step = obs.name, "download"
                if isinstance(held, Exception):
                    raise held
                step = "reduce"
                obs.take(source, held)
            observatory, step = None, "analysis"
            project.analysis.analyze_sources(source)
            for obs in project.observatories:
                processed = [c for c in source.processed_lightcurves if c.observatory == obs.name]
                save_lightcurves(processed, source.ra, suffix="processed")
            batch.parcels.append(parcel_of(source))
        except DiskFull:
            raise
        except Exception as error:  # whatever a survey or a stranger's analysis raises is this source's problem
            what = str(error) if isinstance(error, SkyvaultError) else f"{type(error).__name__}: {error}"
            batch.problems.append({
                "project": project.name, "cfg_hash": project.cfg_hash, "source_name": name, "cat_index": number,
                "observatory": observatory, "step": step, "what": what[:1000],
            })  # fmt: skip
    batch.counts = [histogram.grids for histogram in project.analysis.get_all_histograms()]
    return batch


def lost(project: Project, numbers: list[int], times: int) -> Batch:
    """Sources that ended the process of every worker that had them."""
    what = f"the process that worked on it ended {times} times (out of memory, or killed)"
    return Batch(numbers, problems=[
        {
            "project": project.name, "cfg_hash": project.cfg_hash, "source_name": project.catalog.names[number],
            "cat_index": number, "observatory": None, "step": "process", "what": what,
        } for number in numbers
    ])  # fmt: skip
