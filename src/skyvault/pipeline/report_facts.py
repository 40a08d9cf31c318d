"""What a report tells about a run: counts by place, magnitude and time, the best detections, the most variable stars.

Everything is read row by row and counted: a run of a million sources costs no more memory than one of a thousand.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from skyvault.errors import SkyvaultError
from skyvault.pipeline.dataset import Lightcurve
from skyvault.pipeline.histogram import grids_of
from skyvault.pipeline.source import Detection, Properties, Source
from skyvault.pipeline.stored_run import RunStatus, StoredRun
from skyvault.pipeline.tables import StoredHistogram, datetime_of_mjd
from skyvault.science.histogram import CountGrid
from skyvault.science.samples import Floats
from skyvault.sky.cells import cell_of

#: cells of the sky map: 0.9 degrees wide
MAP_ORDER: Final = 6
#: sources that are drawn one by one; more are drawn as a density
MOST_POINTS: Final = 4_000
_MOST_MARKED: Final = 3_000
#: quarter magnitudes from 0 to 30
MAG_EDGES: Final = np.arange(0.0, 30.01, 0.25)
#: epochs a source, in tenths of a decade up to ten million
EPOCH_EDGES: Final = np.concatenate([[0.0, 0.5], 10.0 ** np.arange(0.1, 7.01, 0.1)])
_TIME_BINS: Final = 120
_ROWS: Final = 20_000
_MOST_VARIABLE: Final = 20
#: detections of one source that are shown with their light curves
_MOST_OF_SOURCE: Final = 2
#: of these so many are drawn folded, where noise has at most this chance to make such a period
_MOST_FOLDED: Final = 6
_LIKELY: Final = 1e-3


@dataclass
class Coverage:
    """When one observatory and filter looked: light curves that cover each bin of ``edges`` (MJD), shape (bins,)."""

    label: str
    curves: int
    epochs: int
    counts: Floats


@dataclass
class FoundEvent:
    """One of the best detections, with the light curve it was found in (None where the file is gone: ``reason``)."""

    detection: Detection
    curve: Lightcurve | None
    seasons: list[Lightcurve] = field(default_factory=list)
    reason: str = ""

    @property
    def row(self) -> dict[str, Any]:
        """Texts for a table."""
        one = self.detection
        mjd = _mjd(one.peak_time)
        return {
            "source": one.source_name,
            "observatory": one.observatory or "",
            "filter": one.filter or "",
            "peak": "" if one.peak_time is None else f"{_day(one.peak_time)}",
            "mjd": "" if mjd is None else f"{mjd:.5f}",
            "length": _length(one),
            "snr": "" if one.snr is None else f"{one.snr:+.1f}",
            "mag": "" if one.peak_mag is None else f"{one.peak_mag:.2f}",
            "change": "" if one.peak_mag_diff is None else f"{-one.peak_mag_diff:+.2f}",
            "flag": "flagged" if one.quality_flag else "",
            "method": one.method,
        }


@dataclass
class PeriodicSource:
    """A variable source with its best period (days), what is said of it, and all its light curves."""

    name: str
    period: float
    about: dict[str, Any]
    curves: list[Lightcurve]


@dataclass
class ReportFacts:
    """All numbers of a report."""

    run: StoredRun
    status: RunStatus
    points: Floats
    cell_counts: Any
    marked: Floats
    marked_all: int
    mags: Floats
    mags_found: Floats
    epochs_of_sources: Floats
    epochs: int
    curves: int
    time_edges: Floats
    coverage: list[Coverage]
    best: list[FoundEvent]
    listed: list[Detection]
    variable: list[dict[str, Any]]
    periodic: list[PeriodicSource]
    histograms: dict[str, dict[str, CountGrid]]
    threshold: float | None
    config: dict[str, Any]
    injected_found: int


def gather(run: StoredRun, *, best: int = 12, listed: int = 72) -> ReportFacts:
    """Read what a report tells. ``best`` detections come with their light curves, ``listed`` in a table."""
    held = run.database()
    status = run.status()
    with held.reading() as connection:
        points, cells, mags = _sky(run, connection)
        marked, marked_all, mags_found = _found(run, connection)
        epochs_of_sources, epochs, curves = _epochs(run, connection)
        edges, coverage = _coverage(run, connection)
        histograms = _histograms(run, connection)
        variable = _variable(run, connection)
        simulated = sa.select(sa.func.count()).select_from(Detection).where(
            *run.mine(Detection), Detection.simulated.is_(True)
        )  # fmt: skip
        injected_found = int(connection.execute(simulated).scalar() or 0)
    detections = _best(run, held, max(best, listed))
    config = run.config()
    return ReportFacts(
        run, status, points, cells, marked, marked_all, mags, mags_found, epochs_of_sources, epochs, curves, edges,
        coverage, [_with_curve(run, held, one) for one in _few_of_each(detections, best)], detections, variable,
        _periodic(run, held, variable), histograms,
        _threshold(config), config, injected_found,
    )  # fmt: skip


def _streamed(connection: sa.Connection, query: Any) -> Any:
    """Rows of a query in parts, never all at once."""
    return connection.execution_options(yield_per=_ROWS).execute(query).partitions()


def _sky(run: StoredRun, connection: sa.Connection) -> tuple[Floats, Any, Floats]:
    points = np.zeros((0, 2))
    cells = np.zeros(12 * 4**MAP_ORDER, np.int64)
    mags = np.zeros(len(MAG_EDGES) - 1)
    for part in _streamed(connection, sa.select(Source.ra, Source.dec, Source.mag).where(*run.mine(Source))):
        rows = np.array(part, np.float64).reshape(-1, 3)
        rows = rows[np.isfinite(rows[:, 0]) & np.isfinite(rows[:, 1])]
        if len(points) < MOST_POINTS:
            points = np.concatenate([points, rows[: MOST_POINTS - len(points), :2]])
        np.add.at(cells, np.asarray(cell_of(MAP_ORDER, rows[:, 0], rows[:, 1]), np.int64), 1)
        mags += np.histogram(rows[:, 2][np.isfinite(rows[:, 2])], MAG_EDGES)[0]
    return points, cells, mags


def _found(run: StoredRun, connection: sa.Connection) -> tuple[Floats, int, Floats]:
    """Places of sources with detections (the best first), how many they are, and their magnitudes counted."""
    best = sa.func.max(sa.func.abs(Detection.snr))
    query = (
        sa.select(Source.ra, Source.dec, Source.mag, best)
        .join(Detection, Detection.source_id == Source.id)
        .where(*run.mine(Detection), Detection.simulated.is_(False))
        .group_by(Source.id, Source.ra, Source.dec, Source.mag)
        .order_by(best.desc())
    )
    marked, count = np.zeros((0, 4)), 0
    mags = np.zeros(len(MAG_EDGES) - 1)
    for part in _streamed(connection, query):
        rows = np.array(part, np.float64).reshape(-1, 4)
        count += len(rows)
        if len(marked) < _MOST_MARKED:
            marked = np.concatenate([marked, rows[: _MOST_MARKED - len(marked)]])
        mags += np.histogram(rows[:, 2][np.isfinite(rows[:, 2])], MAG_EDGES)[0]
    return marked, count, mags


def _reduced(run: StoredRun) -> tuple[Any, ...]:
    return *run.mine(Lightcurve), Lightcurve.was_processed.is_(False), Lightcurve.is_simulated.is_(False)


def _epochs(run: StoredRun, connection: sa.Connection) -> tuple[Floats, int, int]:
    """Sources by their number of epochs; all epochs and light curves."""
    counted = np.zeros(len(EPOCH_EDGES) - 1)
    epochs = curves = 0
    number, of = sa.func.sum(Lightcurve.number), sa.func.count()
    query = sa.select(number, of).where(*_reduced(run)).group_by(Lightcurve.source_id)
    for part in _streamed(connection, query):
        rows = np.array(part, np.float64).reshape(-1, 2)
        counted += np.histogram(rows[:, 0], EPOCH_EDGES)[0]
        epochs += int(np.nansum(rows[:, 0]))
        curves += int(rows[:, 1].sum())
    return counted, epochs, curves


def _coverage(run: StoredRun, connection: sa.Connection) -> tuple[Floats, list[Coverage]]:
    """Light curves under way at each time, for the six most frequent observatories and filters."""
    first, last = sa.type_coerce(Lightcurve.time_start, sa.Double), sa.type_coerce(Lightcurve.time_end, sa.Double)
    ends = connection.execute(sa.select(sa.func.min(first), sa.func.max(last)).where(*_reduced(run))).one()
    if ends[0] is None or ends[1] is None:
        return np.zeros(0), []
    edges = np.linspace(ends[0], max(ends[1], ends[0] + 1.0), _TIME_BINS + 1)
    found: dict[str, Coverage] = {}
    query = sa.select(Lightcurve.observatory, Lightcurve.filter, first, last, Lightcurve.number).where(*_reduced(run))
    for part in _streamed(connection, query):
        kinds: dict[str, list[Any]] = {}
        for observatory, name, *numbers in part:
            label = f"{observatory} {name}" if name and name != observatory else str(observatory)
            kinds.setdefault(label, []).append(numbers)
        for label, listed in kinds.items():
            rows = np.array(listed, np.float64)
            rows = rows[np.isfinite(rows).all(axis=1)]
            one = found.setdefault(label, Coverage(label, 0, 0, np.zeros(_TIME_BINS)))
            begin = np.clip(np.searchsorted(edges, rows[:, 0], "right") - 1, 0, _TIME_BINS - 1)
            end = np.clip(np.searchsorted(edges, rows[:, 1], "left"), 1, _TIME_BINS)
            steps = np.zeros(_TIME_BINS + 1)
            np.add.at(steps, begin, 1.0)
            np.add.at(steps, np.maximum(end, begin + 1), -1.0)
            one.counts += np.cumsum(steps)[:-1]
            one.curves += len(rows)
            one.epochs += int(rows[:, 2].sum())
    return edges, sorted(found.values(), key=lambda one: (-one.curves, one.label))[:6]


def _histograms(run: StoredRun, connection: sa.Connection) -> dict[str, dict[str, CountGrid]]:
    query = sa.select(StoredHistogram.name, StoredHistogram.content).where(*run.mine(StoredHistogram))
    return {name: grids_of(content) for name, content in connection.execute(query)}


def _variable(run: StoredRun, connection: sa.Connection) -> list[dict[str, Any]]:
    """The sources and filters with the largest reduced chi square, of at least ten good epochs."""
    heap: list[tuple[float, int, dict[str, Any]]] = []
    query = sa.select(Properties.source_name, Properties.props).where(
        *run.mine(Properties), Properties.has_data.is_(True)
    )
    serial = 0
    for part in _streamed(connection, query):
        for name, props in part:
            filters = props.get("filters") if isinstance(props, dict) else None
            for label, numbers in (filters or {}).items():
                chi2 = numbers.get("reduced_chi2") if isinstance(numbers, dict) else None
                if chi2 is None or (numbers.get("num") or 0) < 10:
                    continue
                serial += 1
                about = {**{k: v for k, v in props.items() if k != "filters"}, **numbers}
                heapq.heappush(heap, (float(chi2), -serial, {"source": name, "filter": label, **about}))
                if len(heap) > _MOST_VARIABLE:
                    heapq.heappop(heap)
    return [about for _, _, about in sorted(heap, key=lambda one: (-one[0], -one[1]))]


def _best(run: StoredRun, held: Any, count: int) -> list[Detection]:
    """Detections by S/N, the best of each source before the others; those that no quality check warns of come first."""
    warned = sa.case((Detection.quality_flag.is_(True), 1), else_=0)
    order = (warned, sa.func.abs(Detection.snr).desc(), Detection.id)
    of_source = sa.func.row_number().over(partition_by=Detection.source_id, order_by=order)
    ranked = (
        sa.select(Detection.id, sa.case((of_source == 1, 0), else_=1).label("is_further"))
        .where(*run.mine(Detection), Detection.simulated.is_(False))
        .subquery()
    )
    query = (
        sa.select(Detection).join(ranked, ranked.c.id == Detection.id)
        .order_by(warned, ranked.c.is_further, *order[1:]).limit(count)
    )  # fmt: skip
    with held.session() as session:
        return list(session.scalars(query).all())


def _few_of_each(detections: list[Detection], count: int) -> list[Detection]:
    """The first ones, at most two of a source: a page of the same star would tell little."""
    seen: dict[str, int] = {}
    chosen: list[Detection] = []
    for one in detections:
        seen[one.source_name] = seen.get(one.source_name, 0) + 1
        if seen[one.source_name] <= _MOST_OF_SOURCE and len(chosen) < count:
            chosen.append(one)
    return chosen


def _periodic(run: StoredRun, held: Any, variable: list[dict[str, Any]]) -> list[PeriodicSource]:
    """The light curves of those among the most variable sources that have a period."""
    names: dict[str, dict[str, Any]] = {}
    for about in variable:
        chance, period = about.get("period_false_alarm"), about.get("best_period")
        if isinstance(period, float) and period > 0.0 and (chance is None or chance < _LIKELY):
            names.setdefault(about["source"], about)
    found = []
    for name, about in list(names.items())[:_MOST_FOLDED]:
        query = (
            sa.select(Lightcurve)
            .where(*_reduced(run), Lightcurve.source_name == name, Lightcurve.number > 0)
            .order_by(Lightcurve.id)
        )
        with held.session() as session:
            curves = list(session.scalars(query).all())
        try:
            for one in curves:
                one.root = run.root
                _ = one.data
        except (SkyvaultError, OSError):
            # the table has its numbers all the same
            continue
        found.append(PeriodicSource(name, float(about["best_period"]), about, curves))
    return found


def _with_curve(run: StoredRun, held: Any, detection: Detection) -> FoundEvent:
    """The light curve of a detection, and those of the same filter in other seasons."""
    query = (
        sa.select(Lightcurve).where(Lightcurve.source_id == detection.source_id, *_reduced(run)).order_by(Lightcurve.id)
    )
    with held.session() as session:
        curves = list(session.scalars(query).all())
    number = detection.processed_photometry_peak_number
    if number is None or not 0 <= number < len(curves):
        return FoundEvent(detection, None, reason="no light curve is kept")
    curve = curves[number]
    seasons = [one for one in curves if (one.observatory, one.filter) == (curve.observatory, curve.filter)]
    try:
        for one in seasons:
            one.root = run.root
            _ = one.data
    except (SkyvaultError, OSError) as error:
        return FoundEvent(detection, None, reason=str(error))
    return FoundEvent(detection, curve, seasons)


def _threshold(config: dict[str, Any]) -> float | None:
    value = (config.get("finder") or {}).get("snr_threshold")
    return float(value) if isinstance(value, int | float) else None


def _mjd(time: Any) -> float | None:
    from skyvault.pipeline.tables import mjd_of_datetime

    return None if time is None else float(mjd_of_datetime(time) if hasattr(time, "year") else time)


def _day(time: Any) -> str:
    moment = time if hasattr(time, "year") else datetime_of_mjd(float(time))
    return str(moment.strftime("%Y-%m-%d %H:%M"))


def _length(one: Detection) -> str:
    first, last = _mjd(one.time_start), _mjd(one.time_end)
    if first is None or last is None:
        return ""
    days = last - first
    if days <= 0.0:
        return "one epoch"
    if days < 1.0 / 24.0:
        return f"{days * 1440.0:.1f} min"
    return f"{days * 24.0:.1f} h" if days < 2.0 else f"{days:.1f} d"
