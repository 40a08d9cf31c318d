"""Options by which observations of a mission are chosen, for all commands that need such a choice."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyvault.cli.options import home_option
from skyvault.cli.position_list import PositionList, angle, position, read_positions
from skyvault.errors import NotFound, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from skyvault.config import Settings
    from skyvault.missions.mission import Mission

Command = TypeVar("Command", bound=Callable[..., Any])

#: what an open end of a time window stands for
_EVER = ("1900-01-01T00:00:00", "2200-01-01T00:00:00")
_OPTIONS = (
    click.option("--positions", "positions_file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
                 help="Keep observations of the positions in a table file (columns ra, dec; ICRS degrees)."),
    click.option("--position", "positions", metavar='"RA DEC"', multiple=True,
                 help="Keep observations of a position: degrees or 00:42:44.3 +41:16:09. May be repeated."),
    click.option("--name", "names", metavar="NAME", multiple=True,
                 help="Keep observations of a named object. May be repeated."),
    click.option("--radius", metavar="ANGLE", help="How far from the centre: 0.2, 12arcmin. [default: 1.2 x FoV]"),
    click.option("--time", "time", metavar="A/B",
                 help="Keep observations touching a span of time: 2015-01-01/2016-06-30, 2020/."),
    click.option("--rect", metavar="RA1,DEC1,RA2,DEC2", help="Keep observations within a rectangle, degrees."),
    click.option("--type", "types", metavar="CODES", help="Keep observations of kinds of target: AGN,GCL."),
    click.option("--insts", metavar="NAMES", help="Instruments, separated by commas."),
    click.option("--ids", metavar="IDS|@FILE", help="Keep these ObsIDs, separated by commas or in a file."),
    click.option("--fields", metavar="NAMES", help="Keep fields by name, where a mission has such."),
    click.option("--table", "table_file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
                 help="The archive's table as a file, instead of asking the archive."),
    click.option("--refresh", is_flag=True, help="Ask the archive for its table anew."),
    click.option("--offline", is_flag=True, help="Use only what is cached here."),
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What was said by these options."""

    positions_file: Path | None
    positions: tuple[str, ...]
    names: tuple[str, ...]
    radius: str | None
    time: str | None
    rect: str | None
    types: str | None
    insts: str | None
    ids: str | None
    fields: str | None
    table_file: Path | None
    refresh: bool
    offline: bool
    home: Path | None

    @property
    def has_filter(self) -> bool:
        """Whether anything narrows the observations down."""
        return bool(
            self.positions_file or self.positions or self.names or self.time or self.rect or self.types or self.ids
            or self.fields
        )  # fmt: skip


def mission_options(command: Command) -> Command:
    """Give a command the options above; it is called with ``choice`` instead of them."""
    fields = list(Choice.__dataclass_fields__)

    @functools.wraps(command)
    def with_choice(**given: Any) -> Any:
        return command(choice=Choice(**{name: given.pop(name) for name in fields}), **given)

    wrapped: Any = home_option(with_choice)
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


class NotAsked:
    """Instead of an archive, for those who want none to be asked."""

    def observations(self, declaration: Any) -> tuple[pa.Table, str]:
        raise NotFound(
            f"no table of {declaration.pretty_name} is cached here",
            hint="Leave --offline out once, or give the archive's table with --table FILE.",
        )


def made(name: str, choice: Choice, settings: Settings, output: Path | None = None) -> Mission:
    """The mission of this name, or of a saved state's file, with all observations, or those of the state."""
    from skyvault.missions.naming import mission_class

    how: dict[str, Any] = {"settings": settings}
    if output is not None:
        how["output"] = output
    if choice.offline:
        if choice.refresh:
            raise UsageError("--offline and --refresh exclude each other")
        how["source"] = NotAsked()
    if choice.table_file is not None:
        if not choice.table_file.is_file():
            raise UsageError("there is no such file", where=str(choice.table_file))
        how["table"] = choice.table_file
    if name.endswith(".json"):
        mission = mission_class(_mission_of(Path(name)))(save_file_path=name, **how)
        if choice.insts:
            mission.chosen_instruments = _listed(choice.insts)
    else:
        insts = _listed(choice.insts) if choice.insts else None
        cls = mission_class(name)
        if hasattr(cls, "around") and "table" not in how:
            return _searched(cls, insts, choice, how)
        mission = cls(insts, **how)
    if choice.refresh:
        mission.refresh()
    return mission


def _searched(cls: Any, insts: list[str] | None, choice: Choice, how: dict[str, Any]) -> Mission:
    """A mission whose archive answers for one place at a time."""
    places = [*choice.positions, *choice.names]
    pretty = cls.declaration.pretty_name
    if len(places) != 1 or choice.positions_file is not None:
        raise UsageError(
            f"the archive of {pretty} answers for one place at a time", hint="Give one --name or one --position."
        )
    if how.pop("source", None) is not None:
        raise UsageError(
            f"--offline means nothing to {pretty}: what was asked once is kept, and taken from there",
            hint="Leave it out, or give a saved state.",
        )
    target: Any = places[0] if choice.names else position(places[0])
    radius = None if choice.radius is None else angle(choice.radius, "--radius")
    mission: Mission = cls.around(target, radius, insts, refresh=choice.refresh, **how)
    return mission


def _mission_of(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["name"])
    except FileNotFoundError:
        raise NotFound(f"there is no saved state {path}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError("the file is no saved state of a mission", where=str(path)) from None


def filtered(mission: Mission, choice: Choice, *, wants_matches: bool = False) -> pa.Table | None:
    """Apply the filters that were asked for; with ``wants_matches`` gives the table of matches with positions."""
    if choice.ids:
        mission.filter_on_obs_ids(_ids(choice.ids))
    if choice.fields:
        method = getattr(mission, "filter_on_fields", None)
        if method is None:
            raise UsageError(f"{mission.pretty_name} has no fields to choose by name")
        method(_listed(choice.fields))
    if choice.time:
        mission.filter_on_time(*_window(choice.time))
    if choice.rect:
        corners = _numbers(choice.rect)
        mission.filter_on_rect_region(corners[:2], corners[2:])
    if choice.types:
        mission.filter_on_target_type(_listed(choice.types))
    return _around(mission, choice, wants_matches=wants_matches)


def _around(mission: Mission, choice: Choice, *, wants_matches: bool) -> pa.Table | None:
    if getattr(mission, "search", None) is not None:
        if wants_matches:
            raise UsageError(f"all these observations of {mission.pretty_name} match the place", hint="No --matches.")
        return None
    radius = None if choice.radius is None else angle(choice.radius, "--radius")
    if not (choice.positions_file or choice.positions or choice.names):
        if radius is not None:
            raise UsageError("--radius needs a position", hint="Give --position, --positions or --name.")
        return None
    listed: list[tuple[str, float, float]] = []
    has_names = bool(choice.names)
    for text in choice.positions:
        listed.append((text, *position(text)))
    if choice.names:
        found = mission.resolver.resolve(choice.names) if mission.resolver else {}
        unknown = [name for name in choice.names if name not in found]
        if unknown:
            from skyvault.missions.parse_name import parse_name

            # a name may spell its position
            found |= {name: place for name in unknown if (place := parse_name(name)) is not None}
        if missing := [name for name in choice.names if name not in found]:
            raise NotFound(f"no position is known of {', '.join(missing)}", hint="Check the spelling, or --position.")
        listed += [(name, *found[name]) for name in choice.names]
    file = None if choice.positions_file is None else read_positions(choice.positions_file)
    return _matched(mission, listed, file, radius, has_names=has_names, wants_matches=wants_matches)


def _matched(
    mission: Mission,
    listed: list[tuple[str, float, float]],
    file: PositionList | None,
    radius: float | None,
    *,
    has_names: bool,
    wants_matches: bool,
) -> pa.Table | None:
    import numpy as np

    from skyvault.sky.frames import transform_coordinates

    ra = np.array([one[1] for one in listed], np.float64)
    dec = np.array([one[2] for one in listed], np.float64)
    names: list[str] | None = [one[0] for one in listed]
    if file is not None:
        ra, dec = np.concatenate([ra, file.ra]), np.concatenate([dec, file.dec])
        has_names = has_names or file.names is not None
        names = [*(one[0] for one in listed), *(file.names or [f"row {i}" for i in range(1, len(file.ra) + 1)])]
    good = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
    if not good.all():
        lost = int(np.count_nonzero(~good))
        click.echo(f"skyvault: {lost} positions are empty or off the sky and are left out", err=True)
        ra, dec = ra[good], dec[good]
        names = [name for name, is_good in zip(names or [], good.tolist(), strict=True) if is_good]
    lon, lat = transform_coordinates(ra, dec, "ICRS", mission.declaration.frame)
    return mission.filter_on_positions(
        np.column_stack([lon, lat]), radius, return_pos_obs_info=wants_matches, names=names if has_names else None
    )


def _listed(text: str) -> list[str]:
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise UsageError(f"{text!r} names nothing")
    return found


def _ids(text: str) -> list[str]:
    if not text.startswith("@"):
        return _listed(text)
    path = Path(text[1:])
    try:
        words = re.split(r"[\s,;]+", path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list of ObsIDs cannot be read: {error}", where=str(path)) from None
    return [word for word in words if word]


def _window(text: str) -> tuple[str, str]:
    begin, slash, end = text.partition("/")
    if not slash or not (begin.strip() or end.strip()):
        raise UsageError(
            f"--time {text!r} is no span", hint="Write 2015-01-01/2016-06-30, or 2020-01-01/ for an open end."
        )
    return _date(begin.strip(), is_end=False) or _EVER[0], _date(end.strip(), is_end=True) or _EVER[1]


def _date(text: str, *, is_end: bool) -> str:
    """ISO 8601; a year, month or day as an end is meant to its last second. A number is a Modified Julian Date."""
    if re.fullmatch(r"\d{5}(\.\d+)?", text):
        from datetime import datetime, timedelta

        return (datetime(1858, 11, 17) + timedelta(days=float(text))).isoformat()
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-12-31T23:59:59.999999" if is_end else f"{text}-01-01T00:00:00"
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text) and is_end:
        return f"{text}T23:59:59.999999"
    return text


def _numbers(text: str) -> list[float]:
    try:
        found = [float(word) for word in re.split(r"[\s,]+", text.strip())]
    except ValueError:
        found = []
    if len(found) != 4:
        raise UsageError(f"--rect {text!r} is not of the form RA1,DEC1,RA2,DEC2", hint="Lower left, then upper right.")
    return found
