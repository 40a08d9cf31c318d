"""A run of a project as it was kept: found by its name, without its target list or classes, and how far it is."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from skyvault.errors import NotFound, SkyvaultError
from skyvault.pipeline import database
from skyvault.pipeline.dataset import data_root
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.parameter_files import read_parameters, read_yaml
from skyvault.pipeline.run_record import RunRecord, read_record, record_now
from skyvault.pipeline.source import Detection, Properties
from skyvault.pipeline.tables import Problem

#: kinds of problems that a status names
_KINDS: Final = 10


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """Sources that failed at the same step for the same reason; ``example`` is one of them."""

    step: str
    observatory: str | None
    what: str
    sources: int
    example: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is: its record, and what the database holds of this version of the project.

    ``problem_kinds`` are the most frequent; ``problems`` counts all sources that failed.
    """

    record: RunRecord
    folder: Path
    done: int
    without_data: int
    detections: int
    sources_with_detections: int
    problems: int
    problem_kinds: tuple[ProblemKind, ...]

    def to_dict(self) -> dict[str, Any]:
        """For programs: names and plain values."""
        record = self.record
        return {
            "name": record.name,
            "phase": record.phase,
            "message": record.message,
            "description": record.description,
            "started": record.started_at,
            "seconds": round(record.seconds, 3),
            "sources": record.sources,
            "done": self.done,
            "without_data": self.without_data,
            "detections": self.detections,
            "sources_with_detections": self.sources_with_detections,
            "problems": self.problems,
            "problem_kinds": [dataclasses.asdict(kind) for kind in self.problem_kinds],
            "this_run": {
                "chosen": record.chosen,
                "done_before": record.skipped,
                "done": record.done,
                "failed": record.failed,
                "left": record.left,
            },
            "per_second": None if record.per_second is None else round(record.per_second, 2),
            "seconds_left": None if record.seconds_left is None else round(record.seconds_left, 1),
            "host": record.host,
            "pid": record.pid,
            "folder": str(self.folder),
            "file": record.file,
        }


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One version of a project on disk and in the database."""

    project: str
    cfg_hash: str
    folder: Path
    record: RunRecord

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def root(self) -> Path:
        """The data root that this run lies in."""
        return self.folder.parent

    def config(self) -> dict[str, Any]:
        """The parameters the results depend on, as the run wrote them; {} where the file is gone."""
        path = self.folder / "config.yaml"
        return read_yaml(path) if path.is_file() else {}

    def database(self) -> database.Database:
        """The database its rows are in: that of its YAML file, else the usual one."""
        return database.use(self._url())

    def _url(self) -> str | None:
        if self.record.file is None or not Path(self.record.file).is_file():
            return None
        said = read_parameters(self.record.file, None, "project").get("database")
        return str(said) if isinstance(said, str) else None

    def mine(self, table: Any) -> tuple[Any, Any]:
        """Conditions that pick this version's rows of a table."""
        return table.project == self.project, table.cfg_hash == self.cfg_hash

    def status(self) -> RunStatus:
        """Counts of now; costs a few statements, whatever the number of sources."""
        held = self.database()
        record = record_now(self.folder) or self.record
        with held.reading() as connection:

            def count(what: Any, table: Any, *conditions: Any) -> int:
                query = sa.select(what).select_from(table).where(*self.mine(table), *conditions)
                return int(connection.execute(query).scalar() or 0)

            rows = sa.func.count()
            real = Detection.simulated.is_(False)
            found = sa.func.count(sa.distinct(Detection.source_id))
            kinds = connection.execute(
                sa.select(
                    Problem.step, Problem.observatory, Problem.what, rows, sa.func.min(Problem.source_name)
                ).where(*self.mine(Problem)).group_by(Problem.step, Problem.observatory, Problem.what)
                .order_by(rows.desc(), Problem.what).limit(_KINDS)
            ).all()  # fmt: skip
            return RunStatus(
                record=record,
                folder=self.folder,
                done=count(rows, Properties),
                without_data=count(rows, Properties, Properties.has_data.is_(False)),
                detections=count(rows, Detection, real),
                sources_with_detections=count(found, Detection, real),
                problems=count(rows, Problem),
                problem_kinds=tuple(ProblemKind(*row) for row in kinds),
            )


def stored_runs(root: Path | None = None) -> Iterator[StoredRun]:
    """All runs of a data root, the latest first."""
    folder = data_root() if root is None else root
    found = []
    try:
        listed = list(folder.iterdir())
    except OSError:
        return
    for one in listed:
        try:
            record = read_record(one)
        except SkyvaultError:
            # told when this run is asked for
            continue
        if record is not None:
            found.append(StoredRun(record.project, record.cfg_hash, one, record))
    yield from sorted(found, key=lambda run: (-run.record.started, run.name))


def find_run(name: str, root: Path | None = None) -> StoredRun:
    """The run of this name: a project's, a version's (``PROJECT_<first digits of the checksum>``), or of a YAML file.

    Of several versions of a project the latest is taken. Raises NotFound with the nearest name.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in (".yaml", ".yml", ".cfg") or path.is_file():
        wanted = project_name(path)
    else:
        wanted = legal_name(name) if re.fullmatch(r"[\w\s\-]+", name, re.ASCII) else name
    runs = list(stored_runs(root))
    for run in runs:
        if wanted in (run.project, run.name.upper()):
            return run
    for run in runs:
        if run.cfg_hash and wanted.startswith(f"{run.project}_") and run.name.upper().startswith(wanted):
            return run
    damaged = (data_root() if root is None else root) / wanted
    if re.fullmatch(r"\w+", wanted, re.ASCII):
        read_record(damaged)
    known = list(dict.fromkeys(run.project for run in runs))
    close = difflib.get_close_matches(wanted, known, n=1)
    if close:
        hint = f"Did you mean {close[0]}?"
    elif known:
        hint = f"There are {', '.join(known[:10])}{' ...' if len(known) > 10 else ''}."
    else:
        hint = f"Nothing was run yet in {data_root() if root is None else root}: skyvault run PROJECT.yaml"
    raise NotFound(f"there is no run {name!r}", hint=hint)


def project_name(path: Path) -> str:
    """The name of the project a YAML file describes: what it says, else the file's own. Raises ConfigError."""
    from skyvault.pipeline.parameter_files import config_path

    found = config_path(path, None)
    assert found is not None
    part = read_yaml(found).get("project")
    said = (part.get("project") or part.get("name")) if isinstance(part, dict) else part
    return legal_name(str(said) if said else found.stem)
