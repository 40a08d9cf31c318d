"""Pages for people who look at their jobs with a browser: the list and one job, plain and without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from skyvault.model.job import Job, JobSummary, Phase, format_instant

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{refresh}
<title>{title}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }} form {{ display: inline }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def list_page(summaries: Sequence[JobSummary], *, url: str, owner: str | None) -> str:
    """The jobs of one user. ``url`` is the list's absolute address."""
    if owner is None:
        body = "<p>Jobs are listed for users who are logged in. An anonymous job is found under its own address.</p>"
    elif not summaries:
        body = "<p>You have no jobs.</p>"
    else:
        rows = (
            f'<tr><td><a href="{escape(f"{url}/{quote(job.id)}")}">{escape(job.id)}</a></td><td>{job.phase}</td>'
            f"<td>{escape(job.run_id or '')}</td><td>{format_instant(job.creation_time)}</td></tr>"
            for job in summaries
        )
        body = _table(("Job", "Phase", "Run", "Created"), rows)
    return _PAGE.format(title="Jobs", refresh="", body=body)


def job_page(job: Job, *, url: str, queue_position: int | None = None) -> str:
    """One job: how far it is, its parameters and results. ``url`` is its absolute address."""
    facts: list[tuple[str, str]] = [
        ("Phase", str(job.phase) + (f", number {queue_position}" if queue_position else ""))
    ]
    times = (("Created", job.creation_time), ("Began", job.start_time), ("Ended", job.end_time))
    facts += [(name, format_instant(time)) for name, time in (*times, ("Kept until", job.destruction_time)) if time]
    facts.append(("May take", f"{job.execution_duration_s} s"))
    facts += [(str(name), str(value)) for name, value in job.progress.items()]
    if job.error is not None:
        facts.append(("Error", job.error.message))
    told = _table((), (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts))
    given = _table(
        (),
        (
            f"<tr><th>{escape(name)}</th><td><pre>{escape(value)}</pre></td></tr>"
            for name, values in job.parameters.items()
            for value in values
        ),
    )
    made = "".join(
        f'<li><a href="{escape(f"{url}/results/{quote(one.name)}")}">{escape(one.name)}</a> '
        f"({escape(one.content_type)}, {one.size:,} bytes{'' if one.rows is None else f', {one.rows:,} rows'})</li>"
        for one in job.results
    )
    results = f"<h2>Results</h2><ul>{made}</ul>" if made else ""
    buttons = [_button(url, "ACTION", "DELETE", "Delete")]
    if job.phase is Phase.PENDING:
        buttons.insert(0, _button(url + "/phase", "PHASE", "RUN", "Run"))
    elif not job.phase.is_final:
        buttons.insert(0, _button(url + "/phase", "PHASE", "ABORT", "Abort"))
    is_moving = job.phase in (Phase.QUEUED, Phase.EXECUTING)
    return _PAGE.format(
        title=f"Job {escape(job.id[:12])}",
        refresh='<meta http-equiv="refresh" content="3">' if is_moving else "",
        body=f"{told}<h2>Parameters</h2>{given}{results}<p>{' '.join(buttons)}</p>",
    )


def _table(heads: Sequence[str], rows: Iterable[str]) -> str:
    head = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}</tr>" if heads else ""
    return f"<table>{head}{''.join(rows)}</table>"


def _button(url: str, name: str, value: str, label: str) -> str:
    return (
        f'<form method="post" action="{escape(url)}"><input type="hidden" name="{name}" value="{value}">'
        f"<button>{label}</button></form>"
    )
