"""The report of a run: one HTML page with all pictures in it, which needs nothing from elsewhere."""

from __future__ import annotations

import base64
import datetime as dt
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.pipeline import report_plots as plots
from skyvault.pipeline.report_facts import FoundEvent, PeriodicSource, ReportFacts, gather
from skyvault.pipeline.stored_run import StoredRun

if TYPE_CHECKING:
    from collections.abc import Callable

#: heads of the table of detections: field of FoundEvent.row, and what stands above it
_HEADS: Final = (
    ("source", "source"), ("observatory", "survey"), ("filter", "filter"), ("peak", "peak"), ("length", "length"),
    ("snr", "S/N"), ("mag", "mag"), ("change", "change"), ("flag", "quality"), ("method", "method"),
)  # fmt: skip
#: columns of the most variable sources: field of the properties, head, format
_VARIABLE: Final = (
    ("source", "source", ""), ("filter", "filter", ""), ("num", "good epochs", ",d"),
    ("mag_median", "median mag", ".3f"), ("amplitude_90", "amplitude (5 to 95 %)", ".3f"), ("mag_rms", "rms", ".3f"),
    ("reduced_chi2", "reduced chi²", ".4g"), ("stetson_j", "Stetson J", ".2f"), ("von_neumann", "von Neumann", ".2f"),
    ("best_period", "best period (d)", ".6g"), ("period_false_alarm", "chance of noise", ".1e"),
)  # fmt: skip


def write_report(run: StoredRun, path: Path | None = None, *, best: int = 12) -> Path:
    """Write the page of a run, ``report.html`` in its folder unless told otherwise; returns its path.

    The page is written beside and moved in place. Raises DatabaseError when the rows cannot be read.
    """
    page = report_page(gather(run, best=best))
    path = run.folder / "report.html" if path is None else path
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(page, encoding="utf-8")
    os.replace(beside, path)
    return path


def report_page(facts: ReportFacts) -> str:
    """The page as HTML."""
    from jinja2 import Environment

    from skyvault import __version__

    template = (files("skyvault.pipeline") / "report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    record, status = facts.status.record, facts.status
    return environment.from_string(template).render(
        version=__version__,
        made=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        record=record,
        status=status,
        tiles=_tiles(facts),
        sky=_picture(plots.sky_map, facts),
        coverage=_picture(plots.coverage, facts),
        pictures=[
            {"src": made, "title": title, "text": text}
            for draw, title, text in (
                (plots.magnitudes, "Magnitudes", "Of the target list; sources with detections in orange."),
                (plots.epochs, "Epochs", f"{facts.epochs:,} epochs in {facts.curves:,} light curves."),
                (plots.scores, "Scores", "Of every epoch, beside pure noise; the search begins at the threshold."),
                (plots.efficiency, "Efficiency", "Of simulated events put into these light curves; bars are 1 sigma."),
            )
            if (made := _picture(draw, facts)) is not None
        ],
        best=[_card(one) for one in facts.best],
        heads=[head for _, head in _HEADS],
        rows=[[one[key] for key, _ in _HEADS] for one in _rows(facts)],
        more=max(0, status.detections - len(facts.listed)),
        variable=_variable(facts),
        folded=_folded(facts),
        problems_left=status.problems - sum(kind.sources for kind in status.problem_kinds),
        injections=_injections(facts),
        config=_config(facts),
    )


def _picture(draw: Callable[[ReportFacts], bytes | None], facts: ReportFacts) -> str | None:
    made = draw(facts)
    return None if made is None else _embedded(made)


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _tiles(facts: ReportFacts) -> list[dict[str, str]]:
    status, record = facts.status, facts.status.record
    share = f"{status.done / record.sources:.0%} of {record.sources:,}" if record.sources else ""
    tiles = [
        ("sources done", f"{status.done:,}", share),
        ("epochs", _short(facts.epochs), f"in {facts.curves:,} light curves"),
        ("detections", f"{status.detections:,}", f"in {status.sources_with_detections:,} sources"),
        ("without data", f"{status.without_data:,}", "the archives have nothing of them"),
        ("problems", f"{status.problems:,}", "tried again by the next run" if status.problems else "no source failed"),
    ]
    return [{"label": label, "value": value, "text": text} for label, value, text in tiles]


def _short(number: int) -> str:
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (100_000, "k")):
        if number >= size:
            return f"{number / (1000 if letter == 'k' else size):.3g} {letter}"
    return f"{number:,}"


def _card(found: FoundEvent) -> dict[str, Any]:
    made = plots.event(found)
    return {**found.row, "src": None if made is None else _embedded(made), "reason": found.reason,
            "is_dip": (found.detection.snr or 0.0) < 0.0}  # fmt: skip


def _rows(facts: ReportFacts) -> list[dict[str, Any]]:
    return [FoundEvent(one, None).row for one in facts.listed]


def _variable(facts: ReportFacts) -> dict[str, list[Any]] | None:
    used = [one for one in _VARIABLE if any(row.get(one[0]) is not None for row in facts.variable)]
    if not facts.variable:
        return None
    return {
        "heads": [head for _, head, _ in used],
        "rows": [[_number(row.get(key), form) for key, _, form in used] for row in facts.variable],
    }


def _folded(facts: ReportFacts) -> list[dict[str, str]]:
    drawn = ((one, plots.folded(one)) for one in facts.periodic)
    return [{"name": one.name, "src": _embedded(made), "text": _period(one)} for one, made in drawn if made is not None]


def _period(one: PeriodicSource) -> str:
    error, chance = one.about.get("period_error"), one.about.get("period_false_alarm")
    words = [f"period {one.period:.6g} d" + (f" ± {error:.1g} d" if isinstance(error, float) else "")]
    if isinstance(chance, float):
        words.append("chance of noise below 1e-12" if chance < 1e-12 else f"chance of noise {chance:.1e}")
    amplitude = one.about.get("amplitude_90")
    if isinstance(amplitude, float):
        words.append(f"amplitude {amplitude:.2f} mag in {one.about['filter']}")
    return "; ".join(words)


def _number(value: Any, form: str) -> str:
    if value is None:
        return ""
    if form == ",d":
        return f"{int(value):,}"
    return format(value, form) if isinstance(value, int | float) and form else str(value)


def _injections(facts: ReportFacts) -> list[dict[str, Any]]:
    rows = []
    for shape, amplitude, hit, tried in plots.recovered(facts):
        half = amplitude[hit / tried >= 0.5]
        rows.append({
            "shape": shape, "tried": f"{int(tried.sum()):,}", "found": f"{int(hit.sum()):,}",
            "fraction": f"{hit.sum() / tried.sum():.1%}", "half": f"{half[0]:.3g}" if len(half) else "not reached",
        })  # fmt: skip
    return rows


def _config(facts: ReportFacts) -> str:
    import yaml

    return str(yaml.safe_dump(facts.config, sort_keys=True, allow_unicode=True)) if facts.config else ""
