"""A project as a notebook shows it: what it is made of and how far its run is, without reading its target list."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from skyvault.errors import SkyvaultError

if TYPE_CHECKING:
    from skyvault.pipeline.project import Project
    from skyvault.pipeline.run_record import RunRecord


def project_html(project: Project) -> str:
    """A small table; what cannot be known now is left out."""
    pars = project.pars
    rows = [
        ("targets", _targets(project)),
        ("observatories", ", ".join(one.name for one in project.observatories)),
        ("analysis", f"{type(project.analysis).__name__}, {type(project.analysis.finder).__name__}"),
        ("threshold", _threshold(project)),
        ("run", _run(project)),
    ]
    cells = "".join(
        f'<tr><td style="text-align:left;color:#5c6780">{escape(label)}</td>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for label, value in rows
        if value
    )
    about = f" <span>{escape(pars.description)}</span>" if pars.description else ""
    return f"<div><b>Project {escape(project.name)}</b>{about}<table>{cells}</table></div>"


def _targets(project: Project) -> str:
    catalog = project.catalog
    name = str(catalog.pars.filename or catalog.pars.catalog_name or catalog.pars.default or "")
    # reading a list of a million stars is more than a look at it should cost
    return f"{name} ({len(catalog):,} sources)" if getattr(catalog, "_data", None) is not None else name


def _threshold(project: Project) -> str:
    value = getattr(project.analysis.finder.pars, "snr_threshold", None)
    return "" if value is None else f"S/N {value:g}"


def _run(project: Project) -> str:
    from skyvault.pipeline.run_record import record_now
    from skyvault.pipeline.stored_data import product_folder

    folder = project.root / product_folder(project.name, project.cfg_hash)
    try:
        record = record_now(folder)
        return "not yet" if record is None else _told(record)
    except (SkyvaultError, OSError):
        return ""


def _told(record: RunRecord) -> str:
    words = {"running": "goes on", "done": "ended", "stopped": "was stopped", "died": "died", "failed": "failed"}
    done = f"{record.skipped + record.done:,} of {record.chosen:,} sources done"
    failed = f", {record.failed:,} failed" if record.failed else ""
    return f"{words.get(record.phase, record.phase)}: {done}{failed}"
