"""Missions by whatever name a person calls them: class name, index name or pretty name, in any case."""

from __future__ import annotations

import difflib
import re
import warnings
from typing import TYPE_CHECKING

from skyvault.missions.faults import MissionValueError, MissionWarning

if TYPE_CHECKING:
    from skyvault.missions.mission import Mission


def known_missions() -> dict[str, type[Mission]]:
    """All mission classes by their class name: those that come with Skyvault, and those of installed packages.

    Those of TIME_DOMAIN_MISSIONS are made for one search. A package that cannot be loaded is told by a warning.
    """
    import skyvault.missions
    from skyvault import plugins
    from skyvault.missions import TIME_DOMAIN_MISSIONS, mission_classes

    added, problems = plugins.load_all("missions")
    for problem in problems:
        warnings.warn(problem.what, MissionWarning, stacklevel=2)
    searched = {name: getattr(skyvault.missions, name) for name in TIME_DOMAIN_MISSIONS}
    return mission_classes() | searched | {cls.__name__: cls for cls in added.values()}


def mission_class(name: str) -> type[Mission]:
    """The class of a mission. Raises MissionValueError that suggests what may be meant."""
    classes = known_missions()
    known: dict[str, type[Mission]] = {}
    for class_name, cls in classes.items():
        for one in (class_name, cls.declaration.name, cls.declaration.pretty_name):
            known[_plain(one)] = cls
    found = known.get(_plain(name))
    if found is not None:
        return found
    close = difflib.get_close_matches(_plain(name), known, n=3, cutoff=0.5)
    starts = [one for one in known if len(_plain(name)) > 1 and one.startswith(_plain(name))]
    meant = dict.fromkeys(
        class_name for one in (*starts, *close) for class_name, cls in classes.items() if cls is known[one]
    )
    if len({known[one] for one in starts}) == 1:
        return known[starts[0]]
    hint = f"Did you mean {' or '.join(list(meant)[:3])}?" if meant else f"There are {', '.join(classes)}."
    raise MissionValueError(f"there is no mission {name[:40]!r}", hint=hint)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
