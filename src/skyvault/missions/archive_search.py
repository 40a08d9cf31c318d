"""Positions looked up in the observations of many missions at once, and an archive made of what covers them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import SkyvaultError
from skyvault.missions.faults import MissionValueError, MissionWarning, NoObsAfterFilterError
from skyvault.missions.naming import mission_class
from skyvault.net.stopping import side_by_side

if TYPE_CHECKING:
    from skyvault.missions.archive import Archive
    from skyvault.missions.mission import Mission

#: tables fetched at once: they come from different archives
_PARALLEL: Final = 4


def multi_mission_filter_on_positions(
    positions: Any,
    search_distance: Any = None,
    missions: Sequence[str | Mission] | str | None = None,
    insts: Mapping[str, str | Sequence[str]] | None = None,
    **how: Any,
) -> list[Mission]:
    """The missions that have observations of any of the positions, each with these chosen.

    ``missions`` are names, or missions made before (all X-ray missions by default); ``search_distance`` and ``insts``
    may be dictionaries by mission. ``how`` goes to the missions' constructors (``cache``, ``output`` ...). Warnings
    name the missions without a match, and those whose table could not be had while others could.

    Raises MissionValueError for an unknown mission, NoObsAfterFilterError when no mission has a match, and what went
    wrong when no table could be had.
    """
    if missions is None:
        from skyvault.missions import X_RAY_MISSIONS

        missions = X_RAY_MISSIONS
    listed: list[str | Mission] = [missions] if isinstance(missions, str) else list(missions)
    classes = [mission_class(one) if isinstance(one, str) else type(one) for one in listed]
    names = [one.declaration.name for one in classes]
    chosen = _of_missions(insts or {}, names, "insts")
    distances = (
        _of_missions(search_distance, names, "search_distance")
        if isinstance(search_distance, Mapping)
        else dict.fromkeys(names, search_distance)
    )

    def one(number: int) -> Mission | SkyvaultError:
        given = listed[number]
        name = names[number]
        try:
            mission = classes[number](chosen.get(name), **how) if isinstance(given, str) else given
            mission.filter_on_positions(positions, distances.get(name))
            return mission
        except NoObsAfterFilterError as error:
            return error
        except MissionValueError:
            # wrong positions or instruments are wrong for good
            raise
        except SkyvaultError as error:
            return error

    outcomes = side_by_side(one, range(len(listed)), parallel=_PARALLEL, name="missions")
    found = [outcome for outcome in outcomes if not isinstance(outcome, SkyvaultError)]
    failed = [
        (cls.declaration.pretty_name, outcome)
        for cls, outcome in zip(classes, outcomes, strict=True)
        if isinstance(outcome, SkyvaultError)
    ]
    without = [name for name, error in failed if isinstance(error, NoObsAfterFilterError)]
    unanswered = [(name, error) for name, error in failed if not isinstance(error, NoObsAfterFilterError)]
    if not found:
        if unanswered:
            raise unanswered[0][1]
        raise NoObsAfterFilterError(f"none of {', '.join(without)} has an observation of the positions")
    if without:
        warnings.warn(f"no observation of the positions has {', '.join(without)}", MissionWarning, stacklevel=2)
    for name, error in unanswered:
        warnings.warn(f"{name} is left out: {error}", MissionWarning, stacklevel=2)
    return found


def assemble_archive_from_positions(
    archive_name: str,
    positions: Any,
    search_distance: Any = None,
    missions: Sequence[str | Mission] | str | None = None,
    insts: Mapping[str, str | Sequence[str]] | None = None,
    download_products: bool | Mapping[str, bool] | None = True,
    use_preprocessed: bool | Mapping[str, bool] = False,
    clobber: bool = False,
    *,
    num_cores: int | None = None,
    credentials: Any = None,
    output: str | Path | None = None,
    **how: Any,
) -> Archive:
    """An archive of all observations that cover the positions; see multi_mission_filter_on_positions and Archive."""
    from skyvault.missions.archive import Archive

    if output is not None:
        how["output"] = output
    found = multi_mission_filter_on_positions(positions, search_distance, missions, insts, **how)
    return Archive(
        archive_name,
        found,
        clobber,
        download_products,
        use_preprocessed,
        output=output,
        num_cores=num_cores,
        credentials=credentials,
        settings=how.get("settings"),
    )


def _of_missions(given: Mapping[str, Any], names: Sequence[str], what: str) -> dict[str, Any]:
    """A dictionary by mission, its keys being any names of missions."""
    by_name = {mission_class(key).declaration.name: value for key, value in given.items()}
    if strange := [name for name in by_name if name not in names]:
        raise MissionValueError(f"{what} names {', '.join(strange)}, which is not asked for")
    return by_name
