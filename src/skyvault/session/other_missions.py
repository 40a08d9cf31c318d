"""The session's target as other missions saw it: light curves on one axis of time, and all exposures together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from skyvault.errors import FormatError, NotFound, ParameterError, SkyvaultError
from skyvault.session.files import written_beside
from skyvault.session.mission_curve import Floats, MissionCurve, read_curve, write_curve
from skyvault.session.periodic_curve import PeriodicCurve, Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skyvault.missions.light_curve_files import LightCurveTable
    from skyvault.session.session import Session

#: names and classes of the missions that answer for one place
MISSIONS: Final = {"dasch": "DASCH", "ztf": "ZTF", "tess": "TESS", "rubin": "Rubin"}
_EPOCH_US: Final = 40_587.0


@dataclass(frozen=True)
class Exposed:
    """A mission's exposures of the target: begin and end (MJD UTC) and instrument, each of shape (n,)."""

    mission: str
    begin: Floats
    end: Floats
    instrument: np.ndarray[Any, np.dtype[np.str_]]

    def __len__(self) -> int:
        return len(self.begin)


@dataclass(frozen=True)
class SideBySide(PeriodicCurve):
    """Light curves of one target by several missions. ``problems``: who could not be had, and why, by mission."""

    target: str
    curves: tuple[MissionCurve, ...]
    exposed: tuple[Exposed, ...]
    problems: dict[str, str]

    def __getitem__(self, mission: str) -> MissionCurve:
        for curve in self.curves:
            if curve.mission == mission:
                return curve
        raise NotFound(f"there is no light curve of {mission!r}", hint=self.problems.get(mission))

    def __repr__(self) -> str:
        parts = [f"{curve.mission} {len(curve)} rows" for curve in self.curves]
        parts += [f"{name}: {why}" for name, why in self.problems.items()]
        return f"<{self.target}: {'; '.join(parts)}>"

    def table(self) -> Any:
        """All measurements as one astropy table by time: mission, band, mjd, mag, error, limit, flagged and more.

        ``is_barycentric`` says whether ``mjd`` is TDB at the barycentre; ``is_relative``: magnitudes from a median.
        """
        from astropy.table import Table

        if not self.curves:
            raise NotFound("There is no light curve at all", hint="; ".join(self.problems.values()) or None)

        def joined(name: str) -> Any:
            return np.concatenate([np.asarray(getattr(curve, name)) for curve in self.curves])

        def repeated(name: str) -> Any:
            return np.concatenate([np.full(len(curve), getattr(curve, name)) for curve in self.curves])

        table = Table({"mission": repeated("mission"), "band": joined("band")})
        for name, unit in (("mjd", "d"), ("mag", "mag"), ("error", "mag"), ("limit", "mag"), ("is_flagged", None)):
            table[name] = joined(name)
            table[name].unit = unit
        for name in ("is_barycentric", "is_relative"):
            table[name] = repeated(name)
        table.meta.update(target=self.target, zero_points={one.mission: one.zero_point for one in self.curves})
        return table[np.argsort(np.nan_to_num(table["mjd"], nan=np.inf), kind="stable")]

    def plus(self, *curves: MissionCurve) -> SideBySide:
        """The same with more light curves (:meth:`~skyvault.session.beyond_plates.BeyondPlates.curve_of`)."""
        return SideBySide(self.target, (*self.curves, *curves), self.exposed, dict(self.problems))

    def series(self) -> Series:
        """All missions together, those whose times are known; bands are named ``mission band``."""
        known = [curve for curve in self.curves if curve.is_barycentric]
        if not known:
            why = "; ".join(self.problems.values())
            raise NotFound("There is no light curve whose times are known", hint=why or None)
        parts = [curve.series() for curve in known]
        names = [np.char.add(f"{curve.mission} ", part.band) for curve, part in zip(known, parts, strict=True)]
        return Series(
            np.concatenate([part.mjd for part in parts]),
            np.concatenate([part.mag for part in parts]),
            np.concatenate([part.error for part in parts]),
            np.concatenate(names),
            np.concatenate([part.is_good for part in parts]),
        )

    def plot(self, *, elements: Any = None, flagged: bool = True) -> Figure:
        """The light curves below each other on one axis of time, or folded with ``elements`` (LightElements)."""
        from skyvault.session.missions_plot import plot_side_by_side

        return plot_side_by_side(self, elements, flagged)

    def exposure_map(self) -> Figure:
        """When which mission exposed the target: a line for each instrument."""
        from skyvault.session.missions_plot import plot_exposure_map

        return plot_exposure_map(self)


def side_by_side(session: Session, names: Sequence[str], *, refresh: bool = False) -> SideBySide:
    """Asks the missions, each on its own; what they answered stays in the session's folder ``missions``.

    A mission that has no such star or does not answer is a problem beside the others. Raises ParameterError for an
    unknown mission, UsageError without a target.
    """
    query = session.query()
    asked = list(dict.fromkeys(str(name).strip().lower() for name in names)) or ["dasch", "ztf", "tess"]
    for name in asked:
        if name not in MISSIONS:
            raise ParameterError(f"There is no mission {name[:40]!r} here", hint=f"There are: {', '.join(MISSIONS)}.")

    def one(name: str) -> _Answer:
        try:
            if not refresh and _is_kept(session, name):
                try:
                    return _kept(session, name)
                except FormatError:
                    # what is on disk is damaged, and can be had again
                    pass
            return _fetched(session, name, refresh)
        except SkyvaultError as problem:
            return _Answer(problem=str(problem))

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = dict(zip(asked, pool.map(one, asked), strict=True))
    curves, problems = [], {}
    for name, answer in answers.items():
        why = answer.problem
        if answer.rows is not None:
            # not in the threads above: times are worked out with warnings switched off, which is for one thread only
            try:
                curves.append(MissionCurve.of(name, answer.rows))
            except SkyvaultError as problem:
                why = str(problem)
        if why:
            problems[name] = why
            session._tell.warn(f"{name}: {why}")
    exposed = tuple(answer.exposed for answer in answers.values() if answer.exposed is not None)
    return SideBySide(query.name or query.sexagesimal(), tuple(curves), exposed, problems)


@dataclass(frozen=True)
class _Answer:
    rows: LightCurveTable | None = None
    exposed: Exposed | None = None
    problem: str = ""


def _is_kept(session: Session, name: str) -> bool:
    return all(session.path("missions", f"{name}_{what}.parquet").is_file() for what in ("curve", "exposures"))


def _kept(session: Session, name: str) -> _Answer:
    import pyarrow.parquet as pq

    rows = read_curve(session.path("missions", f"{name}_curve.parquet"))
    path = session.path("missions", f"{name}_exposures.parquet")
    try:
        table = pq.read_table(path, columns=["begin", "end", "instrument"])
    except (OSError, pa.ArrowException) as problem:
        raise FormatError(f"These exposures cannot be read ({type(problem).__name__})", where=path.name) from None
    return _Answer(rows, _exposed(name, table))


def _fetched(session: Session, name: str, refresh: bool) -> _Answer:
    import pyarrow.parquet as pq

    from skyvault import missions

    query = session.query()
    mission = getattr(missions, MISSIONS[name]).around(
        (query.ra_deg, query.dec_deg), settings=session._settings, refresh=refresh, output=session.path("missions")
    )
    table = _exposure_table(mission)
    path = session.path("missions", f"{name}_exposures.parquet")
    with written_beside(path) as beside:
        pq.write_table(table, beside)
    exposed = _exposed(name, table)
    try:
        rows = mission.light_curve(refresh=refresh)
    except SkyvaultError as problem:
        # exposures are worth having without a light curve
        return _Answer(exposed=exposed, problem=str(problem))
    if not len(rows):
        return _Answer(exposed=exposed, problem=f"{mission.pretty_name} has no measurement of this place")
    write_curve(rows, session.path("missions", f"{name}_curve.parquet"))
    session._tell.say(f"- Fetched {len(rows)} rows of {name} and {len(exposed)} exposures, saved in missions/")
    return _Answer(rows, exposed)


def _exposure_table(mission: Any) -> pa.Table:
    info = mission.filtered_obs_info
    column = mission.declaration.fov_column
    count = info.num_rows
    instrument = (
        info[column].cast(pa.string())
        if column in info.column_names
        else pa.array([mission.pretty_name] * count, pa.string())
    )
    return pa.table({"begin": _mjd(info["start"]), "end": _mjd(info["end"]), "instrument": instrument})


def _mjd(column: pa.ChunkedArray) -> pa.Array:
    micros = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64()).fill_null(float("nan"))
    return pa.array(np.asarray(micros.to_numpy(), np.float64) / 8.64e10 + _EPOCH_US)


def _exposed(name: str, table: pa.Table) -> Exposed:
    begin, end = (np.array(table[one].to_numpy(), np.float64) for one in ("begin", "end"))
    words = np.asarray(table["instrument"].fill_null("?").to_pylist(), dtype=str)
    return Exposed(name, begin, end, words.astype(str) if len(words) else np.array([], dtype=str))
