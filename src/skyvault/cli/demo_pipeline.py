"""The demo's survey: stars of several fields in ZTF, from a target list to a published table of periods."""

from __future__ import annotations

import csv
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

    from skyvault.cli.demo import Story

NAME: Final = "variables"
#: fields of the simulated sky, and of each the stars that do not vary
FIELDS: Final = 7
CONSTANT: Final = 3
#: r magnitudes between which ZTF neither saturates nor loses a star
BRIGHT, FAINT = 12.3, 18.0
PROJECT: Final = """\
# Which of these stars vary, and with which period?   skyvault run variables.yaml
project:
  description: Which of these stars vary, and with which period?
  obs_names: ZTF
  source_batch_size: 5
catalog:
  filename: targets.csv
analysis:
  num_injections: 3
"""
#: periods count as found within this fraction; half and twice the period are the same light curve to a sine
NEARLY: Final = 0.01


@dataclass
class Survey:
    """What the survey came to: its report, and the light curve of its most variable star by filter."""

    report: Path
    star: str
    period_d: float
    points: dict[str, AstropyTable]


def run_survey(story: Story, directory: Path, base_url: str) -> Survey:
    """Run, report, publish and query."""
    truth: dict[str, float | None] = {}

    def write() -> tuple[str, None]:
        truth.update(write_targets(directory / "targets.csv"))
        (directory / f"{NAME}.yaml").write_text(PROJECT, encoding="utf-8")
        return f"{len(truth)} stars in {FIELDS} fields, {sum(map(bool, truth.values()))} of them variable", None

    story.run("Target list", PROJECT, write)
    for title in ("Run", "Run again"):
        story.run(title, f"skyvault run {NAME}.yaml", lambda: (_run(directory / f"{NAME}.yaml"), None))
    from skyvault.pipeline.stored_run import find_run

    made: dict[str, Path] = {}

    def report() -> tuple[str, None]:
        from skyvault.pipeline.report import write_report

        made["report"] = write_report(find_run(NAME), directory / f"{NAME}.html", best=6)
        return made["report"].name, None

    story.run("Report", f"skyvault report {NAME} -o {NAME}.html", report)

    def publish() -> tuple[str, None]:
        from skyvault.cli.publish_run import publish_run
        from skyvault.config import Settings

        done = publish_run(NAME, Settings(home=directory / "home", base_url=base_url))
        return ", ".join(f"{one.table.name.partition('.')[2]} {one.nrows or 0:,}" for one in done.tables), None

    story.run("Publish the run", f"skyvault publish --run {NAME}", publish)
    return Survey(made["report"], *query_run(story, base_url, truth))


def write_targets(path: Path) -> dict[str, float | None]:
    """Write name, place and magnitude of the stars; returns the period (days) each was simulated with, or None."""
    from skyvault.sandbox.star_fields import star_fields

    truth: dict[str, float | None] = {}
    fields = [field for field in star_fields() if field.variable.dec_deg > -25.0][:FIELDS]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "ra", "dec", "mag"])
        for field in fields:
            # the simulated sky has B; the survey's r is fainter by about this much of the colour
            red = field.mag - 1.1 * field.color
            usable = [int(star) for star in np.flatnonzero((red > BRIGHT) & (red < FAINT)) if star]
            steady = [star for star in usable if star not in field.neighbours][:CONSTANT]
            for star in [one for one in usable if one in field.neighbours] + steady:
                variable = field.variable_of(star)
                truth[field.ref_text[star]] = None if variable is None else variable.period_d
                place = f"{field.ra_deg[star]:.6f}", f"{field.dec_deg[star]:.6f}"
                rows.writerow([field.ref_text[star], *place, f"{red[star]:.2f}"])
    return truth


def _run(file: Path) -> str:
    from skyvault.cli.project_file import project_from
    from skyvault.cli.run import watched

    project = project_from(file)
    report = watched(project)
    status = project.status()
    if not report.done:
        return f"nothing to do: {report.skipped} stars were done before"
    return f"{report.done} stars, {report.done / report.seconds:.0f} a second; {status.detections} detections"


def query_run(
    story: Story, base_url: str, truth: Mapping[str, float | None]
) -> tuple[str, float, dict[str, AstropyTable]]:
    """What a foreign client asks about the run; the most variable star, its period and light curves."""
    import pyvo
    import requests

    session = requests.Session()
    session.trust_env = False
    tap = pyvo.dal.TAPService(f"{base_url}/tap", session=session)
    answers: dict[str, AstropyTable] = {}

    def ask(title: str, adql: str, words: Any) -> AstropyTable:
        def act() -> tuple[str, AstropyTable]:
            answers[title] = tap.run_sync(adql).to_table()
            return words(answers[title]), answers[title]

        story.run(title, adql, act)
        return answers[title]

    ask(
        "Detections by TAP",
        "SELECT TOP 20 source_name, observatory, filter, peak_time, snr, peak_mag, peak_mag_diff\n"
        f"FROM {NAME}.detections\nWHERE quality_flag = 'false' ORDER BY ABS(snr) DESC",
        lambda rows: f"{len(rows)} events, the strongest of S/N {rows['snr'][0]:.1f}" if len(rows) else "none",
    )
    periods = ask(
        "Periods by TAP",
        "SELECT source_name, best_period, period_error, amplitude_90_zr, reduced_chi2_zr\n"
        f"FROM {NAME}.properties\nWHERE period_false_alarm < 1e-6 AND reduced_chi2_zr > 10\n"
        "ORDER BY reduced_chi2_zr DESC",
        lambda rows: told_periods(rows, truth),
    )
    star = str(periods["source_name"][0])
    series = ask(
        "Light curves by ObsCore",
        "SELECT target_name, filter, t_min, t_max, t_xel, em_min, em_max, access_url\nFROM ivoa.ObsCore\n"
        f"WHERE dataproduct_type = 'timeseries' AND target_name = '{star}'",
        lambda rows: f"{len(rows)} light curves of {star}",
    )
    points: dict[str, AstropyTable] = {}

    def fetch() -> tuple[str, AstropyTable]:
        for row in series:
            points[str(row["filter"])] = _table(str(row["access_url"]))
        first = next(iter(points.values()))
        return f"{sum(map(len, points.values()))} epochs, as VOTables", first

    story.run("Fetch a light curve", "Table.read(access_url)", fetch)
    return star, float(periods["best_period"][0]), points


def _table(address: str) -> AstropyTable:
    import io

    from astropy.table import Table

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(address, timeout=30) as answer:
        return Table.read(io.BytesIO(answer.read()), format="votable")


def told_periods(rows: AstropyTable, truth: Mapping[str, float | None]) -> str:
    """How many of the periods are those the stars were simulated with, or half or twice of them."""
    right = 0
    for row in rows:
        true = truth.get(str(row["source_name"]))
        if true is not None:
            ratios = np.array([1.0, 0.5, 2.0]) * true / float(row["best_period"])
            right += bool((np.abs(ratios - 1.0) < NEARLY).any())
    variable = sum(map(bool, truth.values()))
    return f"{right} of {variable} simulated periods found, {len(rows) - right} wrong"


def draw_star(path: Path, survey: Survey) -> None:
    """The light curve as it was fetched: in time, and folded with its period."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from skyvault.cli.demo_report import INK, SKY

    figure = Figure(figsize=(11, 3.2), dpi=110, facecolor=SKY, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0], sharey=True)
    for (name, rows), color in zip(sorted(survey.points.items()), ("#5ad1c8", "#ffb000", "#ff6b6b"), strict=False):
        good = np.asarray(rows["flag"]) == 0
        mjd = np.asarray(np.ma.filled(rows["mjd"], np.nan), float)[good]
        mag = np.asarray(np.ma.filled(rows["mag"], np.nan), float)[good]
        left.plot(mjd, mag, ".", color=color, markersize=3, label=f"ZTF {name}")
        phase = np.mod(mjd / survey.period_d, 1.0)
        right.plot(np.concatenate([phase, phase + 1]), np.tile(mag, 2), ".", color=color, markersize=3)
    left.invert_yaxis()
    left.set_xlabel("MJD (TDB, barycentre)")
    left.set_ylabel("magnitude")
    right.set_xlabel("phase")
    left.set_title(f"{survey.star}, fetched by its ObsCore rows", fontsize=10, color=INK)
    right.set_title(f"folded with {survey.period_d:.5g} days", fontsize=10, color=INK)
    left.legend(fontsize=8, frameon=False, labelcolor=INK, markerscale=3)
    for axes in (left, right):
        axes.set_facecolor(SKY)
        axes.tick_params(colors=INK, labelsize=8)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
            spine.set_alpha(0.4)
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    figure.savefig(path, facecolor=SKY)
