"""Which of a mission's observations are chosen: its table, its instruments, and the filters applied so far.

An observation is chosen when it is usable, was made with a chosen instrument, and passed every filter. The three are
kept apart, so that choosing more instruments again brings back what fewer had hidden.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.arguments import Floats, texts
from skyvault.missions.columns import check_table
from skyvault.missions.declaration import Declaration
from skyvault.missions.faults import (
    MissionLockedError,
    MissionTypeError,
    MissionValueError,
    MissionWarning,
    NoObsAfterFilterError,
)
from skyvault.missions.filters import mask_of
from skyvault.missions.match import Booleans, Zones


class Selection:
    """A table of observations of the declared kind and the choice made among them."""

    declaration: ClassVar[Declaration]

    def __init__(self, table: pa.Table, insts: str | Sequence[str] | None) -> None:
        self._table = table
        self._chosen = self.check_inst_names(insts) if insts is not None else list(self.declaration.default_instruments)
        self._locked = False
        self._processed = False
        self._downloaded: str | None = None
        self._forget_filters()

    def _forget_filters(self) -> None:
        self._manual: Booleans | None = None
        self._passed: Booleans | None = None
        self._operations: list[dict[str, Any]] = []
        self._downloaded = None
        self._filter: Booleans | None = None

    # --- what the declaration says ---------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The mission's name in files and states."""
        return self.declaration.name

    @property
    def pretty_name(self) -> str:
        """The mission's name for people."""
        return self.declaration.pretty_name

    @property
    def coord_frame(self) -> Any:
        """The astropy frame class of the table's positions (FK5 or ICRS)."""
        from astropy.coordinates import FK5, ICRS

        return FK5 if self.declaration.frame == "FK5" else ICRS

    @property
    def id_regex(self) -> str:
        """The pattern ObsIDs match."""
        return self.declaration.id_pattern

    @property
    def fov(self) -> Any:
        """Radius (half of the longest side) of the field of view, a Quantity, or {instrument: Quantity}."""
        from astropy.units import Quantity

        fov = self.declaration.fov_deg
        if isinstance(fov, Mapping):
            return {name: Quantity(value, "deg") for name, value in fov.items()}
        return Quantity(fov, "deg")

    @property
    def all_mission_instruments(self) -> list[str]:
        """All instruments this mission can be asked for."""
        return list(self.declaration.instruments)

    @property
    def one_inst_per_obs(self) -> bool:
        """Whether each observation was made with one instrument only."""
        return self.declaration.is_one_inst_per_obs

    @property
    def preprocessed_energy_bands(self) -> dict[str, Any]:
        """{instrument: energy bands, shape (n, 2), Quantity in keV} of the chosen instruments.

        Raises PreProcessedNotSupportedError when the archive offers no such products.
        """
        from astropy.units import Quantity

        from skyvault.missions.faults import PreProcessedNotSupportedError

        declared = self.declaration.bands
        if not declared:
            raise PreProcessedNotSupportedError(f"the archive offers no products of {self.pretty_name} in energy bands")
        bands = {inst: declared.get(inst) or declared.get("*") or () for inst in self._chosen}
        return {
            inst: Quantity([(b.lo_kev, b.hi_kev) for b in all_of], "keV") for inst, all_of in bands.items() if all_of
        }

    # --- the table -------------------------------------------------------------------------------------------------

    @property
    def all_obs_info(self) -> pa.Table:
        """All observations as an Arrow table (``.to_pandas()`` gives a data frame); positions in ``coord_frame``."""
        return self._table

    @all_obs_info.setter
    def all_obs_info(self, table: Any) -> None:
        self._require_unlocked()
        if not isinstance(table, pa.Table):
            if not hasattr(table, "__arrow_c_stream__"):
                raise MissionTypeError(f"a table of observations is needed, not {type(table).__name__}")
            table = pa.table(table)
        self._table = check_table(table.combine_chunks(), self.declaration, "all_obs_info")
        for name in ("_zones", "_usable", "_obs_ids", "ra_decs"):
            self.__dict__.pop(name, None)
        self._forget_filters()

    @property
    def filtered_obs_info(self) -> pa.Table:
        """The chosen observations, with all columns."""
        return self._table.filter(pa.array(self.filter_array))

    @cached_property
    def _usable(self) -> Booleans:
        return mask_of(self._table["science_usable"])

    @property
    def science_usable(self) -> Booleans:
        """Which observations are fit for science, as far as the archive tells."""
        return self._usable.copy()

    @cached_property
    def ra_decs(self) -> Any:
        """Positions of all observations, a SkyCoord in ``coord_frame``."""
        from astropy.coordinates import SkyCoord

        return SkyCoord(self._lon(), self._lat(), unit="deg", frame=self.coord_frame)

    @property
    def filtered_ra_decs(self) -> Any:
        """Positions of the chosen observations, a SkyCoord."""
        return self.ra_decs[self.filter_array]

    @cached_property
    def _obs_ids(self) -> np.ndarray[Any, Any]:
        return np.array(self._table["ObsID"].to_pylist(), dtype=np.str_)

    @property
    def obs_ids(self) -> np.ndarray[Any, Any]:
        """ObsIDs of all observations."""
        return self._obs_ids.copy()

    @property
    def filtered_obs_ids(self) -> np.ndarray[Any, Any]:
        """ObsIDs of the chosen observations."""
        chosen = self._table["ObsID"].filter(pa.array(self.filter_array))
        return np.array(chosen.to_pylist(), dtype=np.str_)

    def __len__(self) -> int:
        """The number of chosen observations."""
        return int(np.count_nonzero(self.filter_array))

    @property
    def num_obs(self) -> int:
        """The number of all observations."""
        return int(self._table.num_rows)

    @property
    def num_filtered_obs(self) -> int:
        """The number of chosen observations."""
        return len(self)

    def _lon(self) -> Floats:
        return np.asarray(self._table["ra"].to_numpy(), np.float64)

    def _lat(self) -> Floats:
        return np.asarray(self._table["dec"].to_numpy(), np.float64)

    @cached_property
    def _zones(self) -> Zones:
        return self._kept_zones() or Zones(self._lon(), self._lat())

    def _kept_zones(self) -> Zones | None:
        """The positions as they were sorted before, where somebody keeps them."""
        return None

    # --- instruments -----------------------------------------------------------------------------------------------

    def check_inst_names(
        self, insts: str | Sequence[str], error_on_bad_inst: bool = True, show_warn: bool = True
    ) -> list[str]:
        """Instrument names as the mission writes them, each once; case does not matter, aliases are replaced.

        Raises MissionTypeError for what is no text, MissionValueError for unknown names (left out instead with
        ``error_on_bad_inst`` False). A warning tells of replaced aliases unless ``show_warn`` is False.
        """
        known = {name.upper(): name for name in self.declaration.instruments}
        aliases = {alias.upper(): name for alias, name in self.declaration.aliases.items()}
        found, replaced, wrong = [], [], []
        for word in texts(insts, "insts"):
            upper = word.strip().upper()
            if upper in known:
                found.append(known[upper])
            elif upper in aliases:
                found.append(aliases[upper])
                replaced.append(f"{word} = {aliases[upper]}")
            else:
                wrong.append(word)
        if wrong and error_on_bad_inst:
            raise MissionValueError(
                f"{', '.join(repr(word[:40]) for word in wrong)} is no instrument of {self.pretty_name}",
                hint=f"Its instruments are {', '.join(self.declaration.instruments)}.",
            )
        if replaced and show_warn:
            warnings.warn(f"instrument names were replaced: {', '.join(replaced)}", MissionWarning, stacklevel=2)
        return list(dict.fromkeys(found))

    @property
    def chosen_instruments(self) -> list[str]:
        """The instruments whose data are wanted. Choosing others keeps all filters that were applied."""
        return list(self._chosen)

    @chosen_instruments.setter
    def chosen_instruments(self, insts: str | Sequence[str]) -> None:
        self._require_unlocked()
        chosen = self.check_inst_names(insts)
        before, had = self._chosen, len(self)
        self._chosen, self._filter = chosen, None
        if had and not len(self):
            self._chosen, self._filter = before, None
            raise NoObsAfterFilterError(f"with {', '.join(chosen)} no observation of {self.pretty_name} is left")
        if chosen != before:
            self._downloaded = None

    def _with_chosen_instruments(self) -> Booleans | None:
        """Observations made with any chosen instrument; None means all."""
        mask: Booleans | None = None
        for selector in self.declaration.selectors:
            values = [value for inst in self._chosen for value in selector.values.get(inst, ())]
            allowed = values or selector.otherwise
            if allowed is not None:
                one = mask_of(pc.is_in(self._table[selector.column], pa.array(list(allowed))))
                mask = one if mask is None else mask & one
        exposed = [self._observed_with(inst) for inst in self._chosen if inst in self.declaration.exposures]
        if exposed and len(exposed) == len(self._chosen):
            any_exposed = np.logical_or.reduce(exposed)
            mask = any_exposed if mask is None else mask & any_exposed
        return mask

    def _observed_with(self, inst: str) -> Booleans:
        """Observations in which an instrument had time on target."""
        column = self._table[self.declaration.exposures[inst]].cast(pa.int64())
        # copies nothing where all are known
        return np.asarray((pc.fill_null(column, 0) if column.null_count else column).to_numpy() > 0, np.bool_)

    # --- the filter ------------------------------------------------------------------------------------------------

    @property
    def filter_array(self) -> Booleans:
        """Which observations are chosen, shape (n,); assign to choose by hand, which replaces all filters so far."""
        return self._current().copy()

    @filter_array.setter
    def filter_array(self, mask: Any) -> None:
        self._require_unlocked()
        array = np.asarray(mask)
        if array.dtype != np.bool_:
            raise MissionTypeError(f"filter_array must hold booleans, not {array.dtype}")
        if array.shape != (self.num_obs,):
            raise MissionValueError(f"filter_array has the shape {array.shape}, not ({self.num_obs},)")
        if not array.any():
            raise NoObsAfterFilterError(f"filter_array leaves no observation of {self.pretty_name}")
        selected = self._table["ObsID"].filter(pa.array(array)).to_pylist()
        self._forget_filters()
        self._manual = array.copy()
        self._operations.append({"name": "filter_array", "arguments": {"selected_obs": selected}})

    def _current(self) -> Booleans:
        if self._filter is None:
            mask = self._usable if self._manual is None else self._manual
            if (with_instruments := self._with_chosen_instruments()) is not None:
                mask = mask & with_instruments
            self._filter = mask if self._passed is None else mask & self._passed
        return self._filter

    @property
    def filtering_operations(self) -> list[dict[str, Any]]:
        """The filters applied so far, in order: {"name": method, "arguments": all of its arguments}."""
        return [{"name": one["name"], "arguments": dict(one["arguments"])} for one in self._operations]

    def reset_filter(self) -> None:
        """Forget all filters: every usable observation of the chosen instruments is chosen again."""
        self._require_unlocked()
        self._forget_filters()

    def _apply(self, mask: Booleans, operation: str, arguments: dict[str, Any]) -> None:
        """AND a filter with those before and record it; when nothing would be left, nothing changes."""
        if not (self._current() & mask).any():
            raise NoObsAfterFilterError(
                f"{operation} would leave no observation of {self.pretty_name}",
                hint=f"{len(self)} are chosen now, and stay chosen.",
            )
        self._passed = mask.copy() if self._passed is None else self._passed & mask
        self._filter, self._downloaded = None, None
        self._operations.append({"name": operation, "arguments": arguments})

    # --- flags -----------------------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether the choice of observations is final; may be set to True only."""
        return self._locked

    @locked.setter
    def locked(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise MissionTypeError(f"locked must be True or False, not {value!r}")
        self._require_unlocked()
        self._locked = value

    @property
    def processed(self) -> bool:
        """Whether the data were processed; setting it to True also locks the mission, for good."""
        return self._processed

    @processed.setter
    def processed(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise MissionTypeError(f"processed must be True or False, not {value!r}")
        if self._processed and not value:
            raise MissionValueError(f"{self.pretty_name} was processed, which cannot be undone")
        self._processed = value
        self._locked = self._locked or value

    def _require_unlocked(self) -> None:
        if self._locked:
            raise MissionLockedError(
                f"{self.pretty_name} is locked: its observations were already used",
                hint="Make a new mission object to choose others.",
            )

    def check_obsid_pattern(self, obs_id_to_check: str) -> bool:
        """Whether a text could be an ObsID of this mission."""
        return isinstance(obs_id_to_check, str) and re.match(self.id_regex, obs_id_to_check) is not None
