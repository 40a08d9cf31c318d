"""What a search of many archives found: rows as in ObsCore, problems beside them, a plot, and the way to the files."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.errors import NotFound, SkyvaultError
from skyvault.find.place import Place
from skyvault.find.rows import COLUMNS
from skyvault.quiet import quiet

if TYPE_CHECKING:
    from skyvault.missions.mission import Mission

_SHOWN_ROWS: Final = 20
_SHOWN: Final = (
    "mission",
    "obs_id",
    "target_name",
    "s_ra",
    "s_dec",
    "t_min",
    "t_exptime",
    "instrument_name",
    "separation",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A mission or service that did not answer as it should, and why; ``may_pass``: the same may work later."""

    service: str
    reason: str
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.service}: {self.reason}"


@dataclass(frozen=True, slots=True)
class FetchedFound:
    """What a fetch brought, by mission or service: observations or files that are whole, and problems."""

    whole: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]
    directory: Path

    @property
    def is_complete(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Found:
    """Rows (``table``, Arrow; see :data:`skyvault.find.rows.COLUMNS`) and ``problems``: what was asked and failed.

    ``asked`` are all that were asked, so that "has nothing" and "was not asked" never look alike; ``duplicates`` counts
    the rows dropped since another service gave the same dataset; ``limited`` names services that left rows out;
    ``not_asked`` are missions left out of a search of all for want of a token, and monitors of half the sky.
    """

    table: pa.Table
    problems: tuple[Problem, ...]
    asked: tuple[str, ...]
    place: Place
    duplicates: int = 0
    limited: tuple[str, ...] = ()
    missions: Mapping[str, Mission] = field(default_factory=dict, repr=False)
    sessions: Mapping[str, Any] = field(default_factory=dict, repr=False)
    not_asked: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches():
            yield from batch.to_pylist()

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self.table[key]
        return self.table.slice(range(len(self))[key], 1).to_pylist()[0]

    @property
    def is_complete(self) -> bool:
        """Whether all that were asked answered."""
        return not self.problems

    @property
    def counts(self) -> dict[str, int]:
        """Rows by mission or service: of all that answered, those without rows too."""
        failed = {problem.service for problem in self.problems}
        counted = Counter(self.table["mission"].to_pylist())
        return {name: counted.get(name, 0) for name in self.asked if name not in failed or name in counted}

    def where(self, **values: Any) -> Found:
        """The rows with these values: ``found.where(mission="chandra", dataproduct_type=["image", "event"])``."""
        mask = None
        for name, value in values.items():
            if name not in COLUMNS:
                raise NotFound(f"there is no column {name!r}", hint=f"There are {', '.join(COLUMNS)}.")
            wanted = pa.array(list(value) if isinstance(value, (list, tuple, set)) else [value], COLUMNS[name][0])
            here = pc.is_in(self.table[name], wanted)
            mask = here if mask is None else pc.and_(mask, here)
        return self if mask is None else replace(self, table=self.table.filter(mask))

    def to_table(self) -> Any:
        """An astropy Table with units and descriptions."""
        import numpy as np
        from astropy.table import MaskedColumn, Table

        columns = []
        for name, (kind, unit, description) in COLUMNS.items():
            column = self.table[name].combine_chunks()
            mask = column.is_null().to_numpy(zero_copy_only=False)
            empty: Any = "" if pa.types.is_string(kind) else 0
            values = np.asarray(pc.fill_null(column, pa.scalar(empty, kind)).to_numpy(zero_copy_only=False))
            if pa.types.is_string(kind):
                values = values.astype(str) if len(values) else np.empty(0, "U1")
            columns.append(MaskedColumn(values, name, mask=mask, unit=unit, description=description))
        return Table(columns, meta={"problems": [str(one) for one in self.problems]})

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the rows in the format of the file's ending (.parquet, .vot, .fits, .csv, .ecsv ...)."""
        from skyvault.formats import TableStream, format_of_suffix, negotiate
        from skyvault.model.table import CoordinateFrame, Table

        target = Path(path)
        form = negotiate(format_of_suffix(target.name))
        columns = tuple(_column(name) for name in COLUMNS)
        table = Table("found", columns, nrows=len(self), frames=(CoordinateFrame("icrs", "ICRS"),))
        stream = TableStream(table, iter(self.table.combine_chunks().to_batches()))
        beside = target.with_name(f"{target.name}.{os.getpid()}.part")
        with beside.open("wb") as file:
            for block in form.write(stream):
                file.write(block)
        os.replace(beside, target)
        return target

    def plot(self, path: str | os.PathLike[str] | None = None, *, size_in: float = 7.0) -> Any:
        """A sky plot of the footprints around what was looked for, a colour a mission; a matplotlib Figure."""
        from skyvault.find.sky_plot import plot_footprints

        figure = plot_footprints(self, size_in=size_in)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def fetch(
        self,
        directory: str | os.PathLike[str],
        *,
        credentials: Any = None,
        download_products: bool = True,
        num_cores: int | None = None,
        names: Callable[[Any], str] | None = None,
        progress: Any = None,
    ) -> FetchedFound:
        """Fetch the data of the rows into ``directory``, a folder a mission or service; files already whole are kept.

        Missions fetch as :meth:`Mission.download` does, other rows by their data links. One that fails does not stop
        the others; ask ``is_complete``.
        """
        from skyvault.find.fetching import fetch

        folder = Path(directory).absolute()
        whole: dict[str, tuple[str, ...]] = {}
        problems: list[Problem] = []
        for name in dict.fromkeys(self.table["mission"].to_pylist()):
            rows = self.table.filter(pc.equal(self.table["mission"], name))
            try:
                if name in self.missions:
                    whole[name], faults = _download(
                        self.missions[name], rows, folder, credentials, download_products, num_cores
                    )
                else:
                    session = self.sessions.get(name)
                    report = fetch(rows, folder / _safe(name), session=session, names=names, progress=progress)
                    whole[name] = tuple(str(row.order.target) for row in report.rows)
                    faults = [problem.reason for problem in report.problems]
                problems += [Problem(name, fault) for fault in faults]
            except SkyvaultError as error:
                problems.append(Problem(name, str(error)))
        return FetchedFound(whole, tuple(problems), folder)

    def __repr__(self) -> str:
        told = f"; {len(self.problems)} of {len(self.asked)} did not answer" if self.problems else ""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items() if count)
        return f"<Found: {len(self):,} observations of {self.place.label}{f' ({counts})' if counts else ''}{told}>"

    def _repr_html_(self) -> str:
        """For notebooks: the first rows, what was asked, and what went wrong."""
        head = "".join(f"<th>{name}</th>" for name in _SHOWN)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in _SHOWN) + "</tr>"
            for row in self.table.slice(0, _SHOWN_ROWS).to_pylist()
        )
        more = f"<p>... and {len(self) - _SHOWN_ROWS:,} more</p>" if len(self) > _SHOWN_ROWS else ""
        faults = "".join(f"<li>{html.escape(str(one))}</li>" for one in self.problems)
        told = f"<p><b>{len(self.problems)} did not answer:</b></p><ul>{faults}</ul>" if faults else ""
        told += "".join(f"<p>Not asked: {html.escape(str(one))}</p>" for one in self.not_asked)
        title = html.escape(
            f"{len(self):,} observations of {self.place.label} by {len(self.asked)} missions and services"
        )
        return f"<p>{title}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}{told}"


def _download(
    mission: Mission, rows: pa.Table, folder: Path, credentials: Any, with_products: bool, num_cores: int | None
) -> tuple[tuple[str, ...], list[str]]:
    from skyvault.missions.faults import MissionWarning

    folder.mkdir(parents=True, exist_ok=True)
    mission.top_level_path = str(folder)
    wanted = list(dict.fromkeys(rows["obs_id"].to_pylist()))
    if len(wanted) < len(mission):
        mission.filter_on_obs_ids(wanted)
    with quiet(MissionWarning):
        # what it warns of stands in the report
        whole = mission.download(num_cores, credentials, with_products)
    report = getattr(mission, "download_report", None)
    return tuple(whole), [str(problem) for problem in report.problems] if report is not None else []


def _column(name: str) -> Any:
    from skyvault.model.table import Column
    from skyvault.store.obscore import COLUMNS as OBSCORE

    for standard in OBSCORE:
        if standard.name == name:
            # missions have no publisher's identifiers
            return replace(standard, nullable=True)
    kind, unit, description = COLUMNS[name]
    datatypes = {pa.string(): "char", pa.float64(): "double", pa.int64(): "long", pa.int32(): "int"}
    ucd = {"separation": "pos.angDistance", "mission": "meta.id"}.get(name)
    arraysize = "*" if pa.types.is_string(kind) else None
    return Column(name, datatypes[kind], arraysize, unit=unit, ucd=ucd, description=description)  # type: ignore[arg-type]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return html.escape(f"{value:.5f}" if isinstance(value, float) else str(value))


def _safe(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in name).strip("._")
    return kept[:80] or "service"
