"""The filters of a mission, as methods: by ObsID, rectangle, position, name, time, target type and field.

All are cumulative and recorded with every argument. When a filter would leave nothing it raises
NoObsAfterFilterError and the mission stays as it was.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions import filters
from skyvault.missions.arguments import Floats, Times, positions_deg, radii_deg, texts, times_utc
from skyvault.missions.faults import (
    MissionTypeError,
    MissionValueError,
    MissionWarning,
    NameResolveError,
    NoTargetSourceTypeInfo,
)
from skyvault.missions.match import Booleans, pairs_within, rows_within
from skyvault.missions.parse_name import Resolver, parse_name
from skyvault.missions.results import Beam, Found, joined, match_table
from skyvault.missions.selection import Selection

#: times the field of view: how far from a centre an observation is looked for when no distance is given
FOV_FACTOR = 1.2


class FilteredSelection(Selection):
    """A selection with the filter methods of a mission."""

    resolver: Resolver | None = None

    def filter_on_obs_ids(self, allowed_obs_ids: str | Sequence[str], invert: bool = False) -> None:
        """Keep the listed observations, or with ``invert`` all others. IDs the table does not have are passed over.

        Raises MissionValueError that lists all IDs of the wrong pattern.
        """
        self._require_unlocked()
        given = texts(allowed_obs_ids, "allowed_obs_ids")
        ids = filters.checked_ids(given, self.id_regex, self.pretty_name)
        if replaced := [one for one in ids if one in self.declaration.replaced_ids]:
            better = {one: self.declaration.replaced_ids[one] for one in replaced}
            warnings.warn(f"misprinted ObsIDs were replaced: {better}", MissionWarning, stacklevel=2)
            ids = [new for one in ids for new in better.get(one, (one,))]
        mask = filters.ids_mask(self._table["ObsID"], ids, is_inverted=bool(invert))
        self._apply(mask, "filter_on_obs_ids", {"allowed_obs_ids": given, "invert": bool(invert)})

    def filter_on_rect_region(self, lower_left: Any, upper_right: Any) -> None:
        """Keep observations whose centre lies in a rectangle of the mission's frame, edges included.

        Corners are [ra, dec] in degrees or a SkyCoord in any frame. With the left corner at a larger right ascension
        the shorter arc is meant: through 0 where it is under 180 degrees, else the corners are swapped, with a warning.
        """
        self._require_unlocked()
        corners = []
        for corner, argument in ((lower_left, "lower_left"), (upper_right, "upper_right")):
            lon, lat = positions_deg(corner, self.declaration.frame, argument)
            if len(lon) != 1:
                raise MissionValueError(f"{argument} must be one position, not {len(lon)}")
            # 360 as a right edge is not 0
            is_turn = not hasattr(corner, "transform_to") and argument == "upper_right" and float(corner[0]) == 360.0
            corners.append((360.0 if is_turn else float(lon[0]), float(lat[0])))
        mask = filters.rectangle_mask(self._lon(), self._lat(), corners[0], corners[1])
        self._apply(
            mask, "filter_on_rect_region", {"lower_left": _copied(lower_left), "upper_right": _copied(upper_right)}
        )

    def filter_on_positions(
        self,
        positions: Any,
        search_distance: Any = None,
        return_pos_obs_info: bool = False,
        names: Sequence[str] | None = None,
    ) -> pa.Table | None:
        """Keep observations whose centre lies within a distance of any position; see :func:`match_table` for the table.

        ``positions`` are [ra, dec], [[ra, dec], ...], an array (n, 2) in degrees of the mission's frame, or a SkyCoord
        in any frame; ``names`` are the caller's names of them. ``search_distance`` is a Quantity or degrees for all,
        or one for each position, or a dictionary by instrument. Without it 1.2 fields of view are taken, each
        instrument by its own; tiles of a survey must hold the position.
        """
        self._require_unlocked()
        lon, lat = positions_deg(positions, self.declaration.frame)
        labels = _names(names, len(lon))
        arguments = {
            "positions": _kept(positions, lon, lat),
            "search_distance": _copied(search_distance),
            "return_pos_obs_info": bool(return_pos_obs_info),
            "names": labels,
        }
        if not return_pos_obs_info:
            self._apply(self._rows_near(lon, lat, search_distance), "filter_on_positions", arguments)
            return None
        found, instruments = self._found(lon, lat, search_distance, self._current())
        mask = np.zeros(self.num_obs, np.bool_)
        mask[found.pairs.observation] = True
        self._apply(mask, "filter_on_positions", arguments)
        return match_table(found, self._current(), self._table["ObsID"], lon, lat, labels, instruments)

    def filter_on_name(
        self,
        object_name: str | Sequence[str],
        search_distance: Any = None,
        parse_name: bool = False,
        return_pos_obs_info: bool = False,
        resolved: Mapping[str, Sequence[float]] | None = None,
    ) -> pa.Table | None:
        """Keep observations near named objects; otherwise as :meth:`filter_on_positions`.

        With ``parse_name`` coordinates within a name are taken from it, and only other names are asked for.
        ``resolved`` gives ICRS positions (degrees) of names that are known already, and then nobody is asked for
        others; positions are recorded in it, so that a saved filter finds the same again without a network.
        Raises NameResolveError when no name is found; a warning lists those that were not.
        """
        self._require_unlocked()
        wanted = texts(object_name, "object_name")
        places = self._resolve(wanted, bool(parse_name), resolved)
        if unknown := [name for name in wanted if name not in places]:
            more = f" and {len(unknown) - 10:,} more" if len(unknown) > 10 else ""
            warnings.warn(f"no position is known of {', '.join(unknown[:10])}{more}", MissionWarning, stacklevel=2)
        rows = [i for i, name in enumerate(wanted) if name in places]
        distance = search_distance
        if distance is not None and not isinstance(distance, Mapping):
            distance = radii_deg(distance, len(wanted))[rows]
        from skyvault.sky.frames import transform_coordinates

        known = np.array([places[wanted[i]] for i in rows], np.float64)
        lon, lat = transform_coordinates(known[:, 0], known[:, 1], "ICRS", self.declaration.frame)
        found, instruments = self._found(lon, lat, distance, self._current())
        mask = np.zeros(self.num_obs, np.bool_)
        mask[found.pairs.observation] = True
        self._apply(
            mask,
            "filter_on_name",
            {
                "object_name": wanted,
                "search_distance": _copied(search_distance),
                "parse_name": bool(parse_name),
                "return_pos_obs_info": bool(return_pos_obs_info),
                "resolved": {name: list(places[name]) for name in wanted if name in places},
            },
        )
        if not return_pos_obs_info:
            return None
        labels = [wanted[i] for i in rows]
        return match_table(found, self._current(), self._table["ObsID"], lon, lat, labels, instruments)

    def filter_on_time(self, start_datetime: Any, end_datetime: Any, over_run: bool = True) -> None:
        """Keep observations that touch a time window, or with ``over_run`` False those wholly inside it.

        Times are datetimes (UTC when they have no zone), datetime64, astropy Times or ISO text; bounds are included.
        """
        self._require_unlocked()
        begin, end = times_utc(start_datetime, "start_datetime"), times_utc(end_datetime, "end_datetime")
        if begin.ndim or end.ndim:
            raise MissionTypeError("one start_datetime and one end_datetime are needed, not several")
        filters.checked_window(begin, end)
        mask = filters.time_mask(*self._times(), begin, end, over_run=bool(over_run))
        self._apply(
            mask,
            "filter_on_time",
            {"start_datetime": start_datetime, "end_datetime": end_datetime, "over_run": bool(over_run)},
        )

    def filter_on_target_type(self, target_type: str | Sequence[str]) -> None:
        """Keep observations whose proposed target is of these types; see show_allowed_target_types.

        The types are rough translations of the archive's own words, and say nothing of what else is in the field.
        Raises IllegalSourceType, or NoTargetSourceTypeInfo where the archive does not tell.
        """
        self._require_unlocked()
        types = filters.checked_types(texts(target_type, "target_type"))
        if "target_category" not in self._table.column_names:
            raise NoTargetSourceTypeInfo(
                f"the table of {self.pretty_name} does not tell the type of targets", hint="Filter by position or name."
            )
        mask = filters.mask_of(pc.is_in(self._table["target_category"], pa.array(types)))
        self._apply(mask, "filter_on_target_type", {"target_type": types})

    def filter_on_positions_at_time(
        self,
        positions: Any,
        start_datetimes: Any,
        end_datetimes: Any,
        search_distance: Any = None,
        return_obs_info: bool = False,
        over_run: bool = True,
        names: Sequence[str] | None = None,
    ) -> pa.Table | None:
        """Keep observations near any of the positions within that position's own time window.

        One start and end for each position; otherwise as filter_on_positions and filter_on_time.
        """
        self._require_unlocked()
        lon, lat = positions_deg(positions, self.declaration.frame)
        labels = _names(names, len(lon))
        begin, end = times_utc(start_datetimes, "start_datetimes"), times_utc(end_datetimes, "end_datetimes")
        for times, argument in ((begin, "start_datetimes"), (end, "end_datetimes")):
            if times.size != len(lon) or (times.ndim == 0 and len(lon) > 1):
                raise MissionValueError(
                    f"{argument} has {times.size} entries for {len(lon)} positions", hint="Give one for each position."
                )
        begin, end = np.atleast_1d(begin), np.atleast_1d(end)
        filters.checked_window(begin, end)
        obs_start, obs_end = self._times()
        # what lies outside all windows needs no positional match
        within = filters.time_mask(
            obs_start, obs_end, np.asarray(np.min(begin)), np.asarray(np.max(end)), over_run=bool(over_run)
        )
        found, instruments = self._found(lon, lat, search_distance, self._current() & within)
        p, o = found.pairs.position, found.pairs.observation
        meets = filters.time_mask(obs_start[o], obs_end[o], begin[p], end[p], over_run=bool(over_run))
        mask = np.zeros(self.num_obs, np.bool_)
        mask[o[meets]] = True
        self._apply(
            mask,
            "filter_on_positions_at_time",
            {
                "positions": _kept(positions, lon, lat),
                "start_datetimes": begin,
                "end_datetimes": end,
                "search_distance": _copied(search_distance),
                "return_obs_info": bool(return_obs_info),
                "over_run": bool(over_run),
                "names": labels,
            },
        )
        if not return_obs_info:
            return None
        return match_table(_only(found, meets), self._current(), self._table["ObsID"], lon, lat, labels, instruments)

    # --- matching --------------------------------------------------------------------------------------------------

    def _times(self) -> tuple[Times, Times]:
        return filters.times_of(self._table["start"]), filters.times_of(self._table["end"])

    def _beams(self, search_distance: Any, count: int) -> list[Beam]:
        """The fields of view to match with, a radius for each of ``count`` positions each, widest first."""
        declared = self.declaration
        fov = declared.fov_deg
        if search_distance is None:
            if not isinstance(fov, Mapping):
                return [Beam(None, np.full(count, FOV_FACTOR * fov), None)]
            asked: Mapping[str, Any] = {inst: FOV_FACTOR * fov[self._fov_key(inst)] for inst in self._chosen
                                        if self._fov_key(inst) in fov}  # fmt: skip
        elif not isinstance(search_distance, Mapping):
            return [Beam(None, radii_deg(search_distance, count), None)]
        elif not isinstance(fov, Mapping):
            raise MissionTypeError(
                f"{self.pretty_name} has one field of view, and takes no search_distance by instrument",
                hint="Give one distance, or one for each position.",
            )
        else:
            names = {self.check_inst_names(inst, show_warn=False)[0]: value for inst, value in search_distance.items()}
            needed = [inst for inst in self._chosen if self._fov_key(inst) in fov]
            if missing := [inst for inst in needed if inst not in names and self._fov_key(inst) not in names]:
                raise MissionValueError(
                    f"search_distance has no entry for the chosen {', '.join(missing)}",
                    hint="Give one for each chosen instrument.",
                )
            asked = {inst: names.get(inst, names.get(self._fov_key(inst))) for inst in needed}
        if not asked:
            # a choice of gratings alone says nothing of detectors: all of them
            asked = {inst: FOV_FACTOR * value for inst, value in fov.items()}
        beams = [
            Beam(i, radii_deg(value, count, f"search_distance of {i}"), self._seen_by(i)) for i, value in asked.items()
        ]
        return sorted(beams, key=lambda beam: -float(np.max(beam.radius)))

    def _fov_key(self, inst: str) -> str:
        """The key of the declared fields of view that holds for an instrument: itself, or the family it belongs to."""
        fov = self.declaration.fov_deg
        if isinstance(fov, Mapping) and inst not in fov:
            return next((key for key in fov if inst.startswith(f"{key}-")), inst)
        return inst

    def _seen_by(self, inst: str) -> Booleans | None:
        """The observations an instrument took part in; None means all."""
        for selector in self.declaration.selectors:
            if inst in selector.values:
                return filters.mask_of(pc.is_in(self._table[selector.column], pa.array(list(selector.values[inst]))))
        return self._observed_with(inst) if inst in self.declaration.exposures else None

    def _rows_near(self, lon: Floats, lat: Floats, search_distance: Any) -> Booleans:
        result = np.zeros(self.num_obs, np.bool_)
        current = self._current()
        if search_distance is None and self.declaration.tile_columns is not None:
            return filters.tile_rows(self._edges(), (self._lon(), self._lat()), lon, lat, current)
        for beam in self._beams(search_distance, len(lon)):
            wanted = current & ~result
            if beam.rows is not None:
                wanted &= beam.rows
            if wanted.any():
                result |= rows_within(self._zones, lon, lat, beam.radius, wanted)
        return result

    def _edges(self) -> tuple[Floats, Floats, Floats, Floats]:
        west, east, south, north = (self._table[name].to_numpy() for name in self.declaration.tile_columns or ())
        return west, east, south, north

    def _found(
        self, lon: Floats, lat: Floats, search_distance: Any, wanted: Booleans
    ) -> tuple[Found, list[str | None]]:
        if search_distance is None and self.declaration.tile_columns is not None:
            pairs = filters.tile_pairs(self._zones, self._edges(), (self._lon(), self._lat()), lon, lat)
            keep = wanted[pairs.observation]
            return joined([pairs.only(keep)], self.num_obs), [None]
        beams = self._beams(search_distance, len(lon))
        parts = [
            pairs_within(self._zones, lon, lat, b.radius, wanted if b.rows is None else wanted & b.rows) for b in beams
        ]
        return joined(parts, self.num_obs), [beam.instrument for beam in beams]

    def _resolve(
        self, names: Sequence[str], may_parse: bool, known: Mapping[str, Sequence[float]] | None
    ) -> dict[str, tuple[float, float]]:
        places = {name: (float(place[0]), float(place[1])) for name, place in (known or {}).items()}
        if may_parse:
            for name in names:
                place = parse_name(name)
                if name not in places and place is not None:
                    places[name] = place
        rest = [name for name in dict.fromkeys(names) if name not in places]
        if rest and known is None:
            if self.resolver is not None:
                places.update(self.resolver.resolve(rest))
            elif not places:
                raise NameResolveError(
                    f"there is no name resolver to ask for {', '.join(rest)[:200]}",
                    hint="Use parse_name=True for names that hold coordinates, or filter_on_positions.",
                )
        if not any(name in places for name in names):
            raise NameResolveError(f"no position is known of {', '.join(names)[:200]}", hint="Check the spelling.")
        return places


def _kept(positions: Any, lon: Floats, lat: Floats) -> Any:
    """Positions as they are recorded: a SkyCoord as given, all else as an array the caller cannot change."""
    return positions if hasattr(positions, "transform_to") else np.column_stack([lon, lat])


def _copied(value: Any) -> Any:
    """An argument as it is recorded: what the caller may change later is copied."""
    return copy.copy(value) if isinstance(value, (list, dict, np.ndarray)) else value


def _names(names: Sequence[str] | None, count: int) -> list[str] | None:
    if names is None:
        return None
    labels = [str(name) for name in ([names] if isinstance(names, str) else names)]
    if len(labels) != count:
        raise MissionValueError(f"names has {len(labels)} entries for {count} positions")
    return labels


def _only(found: Found, chosen: Booleans) -> Found:
    """The chosen pairs, with the beams that saw them."""
    count = np.diff(found.first)
    beams = found.beams[np.repeat(chosen, count)]
    pairs = found.pairs.only(chosen)
    return Found(pairs, np.concatenate([[0], np.cumsum(count[chosen])]), beams)
