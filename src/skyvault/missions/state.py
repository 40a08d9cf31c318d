"""A mission's saved state: what was chosen, by which filters, from which table; and what changed since.

JSON, safe to hand to others. Values of filters are written so that they come back exactly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from skyvault.errors import NotFound
from skyvault.missions.faults import IncompatibleSaveError, MissionTypeError, MissionValueError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class UpstreamChange:
    """How the archive's table differs from the one a state was saved with, as far as the selection shows it."""

    is_table_changed: bool
    removed_obs_ids: tuple[str, ...] = ()
    new_obs_ids: tuple[str, ...] = ()
    which_changed_science_usable: tuple[str, ...] = ()
    which_changed_proprietary_usable: tuple[str, ...] = ()

    @property
    def is_selection_changed(self) -> bool:
        """Whether observations came or went."""
        return bool(self.removed_obs_ids or self.new_obs_ids)

    def as_dict(self) -> dict[str, Any]:
        """The seed's keys for the same facts."""
        return {
            "sel_obs_change": self.is_selection_changed,
            "any_obs_add": bool(self.new_obs_ids),
            "new_obs_ids": list(self.new_obs_ids),
            "any_obs_removed": bool(self.removed_obs_ids),
            "removed_obs_ids": list(self.removed_obs_ids),
            "science_usable_change": bool(self.which_changed_science_usable),
            "which_changed_science_usable": list(self.which_changed_science_usable),
            "proprietary_usable_change": bool(self.which_changed_proprietary_usable),
            "which_changed_proprietary_usable": list(self.which_changed_proprietary_usable),
        }


def encode(value: Any) -> Any:
    """A filter's argument as JSON values. Raises MissionTypeError for what cannot be written."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return value
    if hasattr(value, "transform_to"):
        frame = value.icrs
        return {"skycoord": {"ra": encode(np.asarray(frame.ra.deg)), "dec": encode(np.asarray(frame.dec.deg))}}
    if hasattr(value, "to_value") and hasattr(value, "unit"):
        return {"quantity": encode(np.asarray(value.value)), "unit": value.unit.to_string()}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.kind == "M":
            return {"datetime64": array.astype("datetime64[us]").astype(str).tolist()}
        if array.dtype == object:
            return {"list": [encode(one) for one in array.tolist()]}
        return {"ndarray": array.tolist()} if array.ndim else array.item()
    if isinstance(value, Mapping):
        return {"dict": {str(key): encode(one) for key, one in value.items()}}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(one) for one in value]
    if hasattr(value, "utc") and hasattr(value, "isot"):
        return {
            "datetime64": np.asarray(value.utc.to_value("datetime64")).astype("datetime64[us]").astype(str).tolist()
        }
    raise MissionTypeError(f"a filter's argument of type {type(value).__name__} cannot be saved")


def decode(value: Any) -> Any:
    """The argument that :func:`encode` wrote."""
    if isinstance(value, list):
        return [decode(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "quantity" in value:
        from astropy.units import Quantity

        return Quantity(decode(value["quantity"]), value["unit"])
    if "skycoord" in value:
        from astropy.coordinates import SkyCoord

        return SkyCoord(decode(value["skycoord"]["ra"]), decode(value["skycoord"]["dec"]), unit="deg", frame="icrs")
    if "datetime" in value:
        return datetime.fromisoformat(value["datetime"])
    if "datetime64" in value:
        return np.array(value["datetime64"], "datetime64[us]")
    if "ndarray" in value:
        return np.array(value["ndarray"])
    if "list" in value:
        return decode(value["list"])
    return {key: decode(one) for key, one in value["dict"].items()}


def write_state(directory: str | Path, name: str, state: Mapping[str, Any]) -> Path:
    """Write a state file; an older one of that name stays until the new one is whole. Raises MissionValueError."""
    if not name.endswith(".json") or Path(name).name != name:
        raise MissionValueError(f"the state file's name {name!r} does not end in .json or holds a directory")
    folder = Path(directory).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{name}.part"
        beside.write_text(json.dumps(state, indent=1), encoding="utf-8")
        os.replace(beside, folder / name)
    except OSError as error:
        raise MissionValueError(f"the state cannot be saved: {error.strerror}", where=str(folder)) from None
    return folder / name


def read_state(path: str | Path, mission: str) -> dict[str, Any]:
    """A mission's state file. Raises NotFound, IncompatibleSaveError."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise NotFound(f"there is no saved state {path}")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not isinstance(state["name"], str):
            raise KeyError("name")
        saved_format = state.get("format", 0)
    except (ValueError, KeyError, OSError, RecursionError):
        raise IncompatibleSaveError("the file is no saved state of a mission", where=str(path)) from None
    if state["name"] != mission:
        raise IncompatibleSaveError(
            f"the state is of the mission {state['name'][:40]!r}, not {mission!r}", where=str(path)
        )
    needed = {"chos_inst", "selected_obs", "science_usable", "proprietary_usable", "filtering_operations", "table"}
    if saved_format != FORMAT or needed - state.keys():
        raise IncompatibleSaveError(
            f"the state has the format {str(saved_format)[:40]}, not {FORMAT}, or is incomplete", where=str(path)
        )
    if wrong := [word for word, is_sound in _SOUND.items() if word in state and not is_sound(state[word])]:
        raise IncompatibleSaveError(f"the saved state is damaged: {', '.join(wrong)}", where=str(path))
    if len({len(state[word]) for word in ("selected_obs", "science_usable", "proprietary_usable")}) != 1:
        raise IncompatibleSaveError("the saved state is damaged: its lists are not equally long", where=str(path))
    return state


def _is_list_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(one, kinds) for one in value)


def _is_operation(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not isinstance(one.get("arguments"), dict):
        return False
    try:
        for value in one["arguments"].values():
            decode(value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return True


#: what the parts of a state must be, since files are damaged, edited by hand and handed on
_SOUND: Final[Mapping[str, Callable[[Any], bool]]] = {
    "chos_inst": _is_list_of(str),
    "selected_obs": _is_list_of(str),
    # None: the table does not tell
    "science_usable": _is_list_of(bool, type(None)),
    "proprietary_usable": _is_list_of(bool, type(None)),
    "processed": lambda value: isinstance(value, bool),
    "locked": lambda value: isinstance(value, bool),
    "downloaded_type": lambda value: value in (None, "raw", "preprocessed", "raw+preprocessed"),
    "table": lambda value: (
        isinstance(value, dict) and all(isinstance(value.get(w), str) for w in ("service", "date", "content_hash"))
    ),
    "filtering_operations": lambda value: isinstance(value, list) and all(map(_is_operation, value)),
}
