"""One question to many archives at once: which observations cover this place?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.config import Secret, Settings
from skyvault.errors import ParameterError, UsageError
from skyvault.find.asking import ask_side_by_side, problem_of
from skyvault.find.found import Found, Problem
from skyvault.find.place import Place
from skyvault.find.rows import nothing
from skyvault.quiet import quiet

DEADLINE_S: Final = 60.0


def find(
    target: Any,
    *,
    radius: Any = None,
    time: Any = None,
    missions: str | Sequence[str] | None = None,
    collections: str | Sequence[str] | None = None,
    kinds: str | Sequence[str] | None = None,
    services: str | None = None,
    deadline_s: float = DEADLINE_S,
    token: Secret | str | None = None,
    settings: Settings | None = None,
) -> Found:
    """Observations of many missions that cover a place; with ``services="registry"`` those of the whole VO, too.

    ``target`` is a name, "ra dec" (ICRS degrees), a SkyCoord, a list of any of these, an array (n, 2), or a region
    (:mod:`skyvault.model.region`, or its text). ``radius`` is a Quantity or degrees; without it an observation must
    cover the place by its own field of view. ``time`` is "2001-01-01/2010-12-31" (either end may be ".."), MJD UTC or
    a pair of times. ``missions`` are names (all by default; an empty list: none); ``collections`` and ``kinds``
    (ObsCore's dataproduct_type: image, spectrum, event ...) narrow the rows. Each archive has ``deadline_s``.
    ``token`` is for Rubin's archive only; without it, the one for its host in the credentials file is taken.

    The result always comes: who did not answer stands in its ``problems``. Raises only for what nobody could be asked:
    NameResolveError, ParameterError, RegionError, MissionValueError.
    """
    from skyvault.find.by_mission import class_of, closed_to_us, default_missions, observations_of, wide_instruments

    settings = settings or Settings()
    if services not in (None, "registry"):
        raise ParameterError(f"services {services!r} are not known", hint='There is "registry".')
    if not deadline_s > 0:
        raise ParameterError("a deadline is longer than no time at all")
    place = Place.of(target, radius, time, settings=settings)
    wanted_kinds, wanted_collections = _words(kinds, "kinds"), _words(collections, "collections")
    names = default_missions() if missions is None else _listed(missions)
    # who names a mission wants it asked; of all missions, those that would only refuse are left out, and said to be
    not_asked = closed_to_us(names, settings, token) if missions is None else {}
    names = tuple(name for name in names if name not in not_asked)
    classes = {cls.declaration.name: cls for cls in map(class_of, names)}
    if not classes and services is None:
        raise UsageError("nobody is asked", hint='Name missions, or services="registry".')
    tasks: dict[str, Any] = {}
    for name, cls in classes.items():
        # every tenth observation of a monitor covers any place: tens of thousands of rows that hide the others
        without = wide_instruments(cls) if missions is None else {}
        tasks[name] = partial(observations_of, cls, place, settings, wanted_kinds, token, without=tuple(without))
        if without:
            words = ", ".join(f"{one} ({radius:g} deg around its axis)" for one, radius in without.items())
            not_asked[name] = f'what {words} alone has seen is left out. Name missions="{name}" to have it, too.'
    problems: list[Problem] = []
    vo_services, notes = _services(place, settings, wanted_kinds, services, deadline_s, problems)
    if vo_services:
        from skyvault.find.by_service import observations_at

        for name, one in vo_services.items():
            tasks[name] = partial(
                observations_at,
                one,
                place,
                settings,
                collections=wanted_collections,
                kinds=wanted_kinds,
                total_s=deadline_s,
            )
    for note in notes:
        problems.append(Problem("registry", note))
    with quiet(_truncated()):
        # that a result was cut is told by ``limited``
        answers, faults = ask_side_by_side(tasks, deadline_s)
    problems += faults
    tables, limited, found_missions, sessions = [], [], {}, {}
    for name, answer in answers.items():
        if name in vo_services:
            table, is_cut, session = answer
            sessions[name] = session
            if is_cut:
                limited.append(name)
        else:
            table, mission = answer
            if mission is not None:
                found_missions[name] = mission
        tables.append(table)
    rows = pa.concat_tables(tables) if tables else nothing()
    rows = _in_time(_narrowed(rows, wanted_collections, wanted_kinds, found_missions), place)
    rows, duplicates = _without_duplicates(rows)
    if rows.num_rows:
        rows = rows.sort_by([("position", "ascending"), ("separation", "ascending"), ("mission", "ascending")])
    asked = (*tasks, *(one.service for one in problems if one.service == "registry" and one.service not in tasks))
    return Found(
        rows.combine_chunks(),
        tuple(problems),
        tuple(dict.fromkeys(asked)),
        place,
        duplicates,
        tuple(limited),
        found_missions,
        sessions,
        tuple(Problem(name, reason) for name, reason in not_asked.items()),
    )


def _services(
    place: Place,
    settings: Settings,
    kinds: frozenset[str],
    services: str | None,
    deadline_s: float,
    problems: list[Problem],
) -> tuple[dict[str, Any], list[str]]:
    """Services of the registry by their names, each name once; a registry that fails is a problem like others."""
    if services is None:
        return {}, []
    from skyvault.find.registry import services_for

    try:
        listed, notes = services_for(place, settings, kinds=kinds, total_s=deadline_s)
    except Exception as error:
        problems.append(problem_of("registry", error))
        return {}, []
    by_name: dict[str, Any] = {}
    for one in listed:
        name = one.name if one.name not in by_name else f"{one.name} {one.address}"
        by_name[name] = one
    return by_name, notes


def _truncated() -> type[Warning]:
    from skyvault.find.faults import TruncatedWarning

    return TruncatedWarning


def _narrowed(rows: pa.Table, collections: frozenset[str], kinds: frozenset[str], missions: Any) -> pa.Table:
    """Rows of the wanted collections (in any case) and kinds; a mission's rows stand for all kinds it has."""
    if collections:
        names = pa.array(sorted(one.lower() for one in collections))
        is_wanted = pc.is_in(pc.utf8_lower(rows["obs_collection"]), names)
        is_wanted = pc.or_(is_wanted, pc.is_in(pc.utf8_lower(rows["mission"]), names))
        rows = rows.filter(pc.fill_null(is_wanted, False))
    if kinds:
        is_wanted = pc.is_in(rows["dataproduct_type"], pa.array(sorted(kinds)))
        is_wanted = pc.or_(is_wanted, pc.is_in(rows["mission"], pa.array(sorted(missions), pa.string())))
        rows = rows.filter(pc.fill_null(is_wanted, False))
    return rows


def _in_time(rows: pa.Table, place: Place) -> pa.Table:
    """Not every service minds the time it is asked for. What does not tell its own stays."""
    if place.time is None:
        return rows
    begin, end = pc.coalesce(rows["t_min"], rows["t_max"]), pc.coalesce(rows["t_max"], rows["t_min"])
    touches = pc.and_(pc.less_equal(begin, place.time.hi), pc.greater_equal(end, place.time.lo))
    return rows.filter(pc.fill_null(touches, True))


def _without_duplicates(rows: pa.Table) -> tuple[pa.Table, int]:
    """Each dataset once: the first row of every publisher's identifier; rows without one are all kept."""
    identifiers = rows["obs_publisher_did"].combine_chunks()
    coded = identifiers.dictionary_encode()
    index = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    import numpy as np

    known = np.flatnonzero(index >= 0)
    _, first = np.unique(index[known], return_index=True)
    keep = index < 0
    keep[known[first]] = True
    dropped = int(len(index) - keep.sum())
    return (rows.filter(pa.array(keep)) if dropped else rows), dropped


def _words(value: str | Sequence[str] | None, what: str) -> frozenset[str]:
    if value is None:
        return frozenset()
    words = _listed(value)
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ParameterError(f"{what} must be names", hint=f'For example {what}="image".')
    return frozenset(word.strip() for word in words)


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value)
