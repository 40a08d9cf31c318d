"""Missions whose observations belong to named fields of several types, such as eROSITA's verification phase."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyvault.missions.arguments import texts
from skyvault.missions.faults import MissionValueError
from skyvault.missions.filters import mask_of
from skyvault.missions.mission import Mission

_MARKS = re.compile(r"[-()+/. ]")


class FieldMission(Mission):
    """A mission with the columns Field_Name and Field_Type; ``fields`` chooses among them from the start."""

    def __init__(
        self,
        insts: str | Sequence[str] | None = None,
        fields: str | Sequence[str] | None = None,
        save_file_path: str | Path | None = None,
        **others: Any,
    ) -> None:
        super().__init__(insts, save_file_path, **others)
        if fields is not None and save_file_path is None:
            self.filter_on_fields(fields)

    @property
    def all_mission_fields(self) -> list[str]:
        """The names of all fields, sorted."""
        return sorted(pc.unique(self._table["Field_Name"]).to_pylist())

    @property
    def all_mission_field_types(self) -> list[str]:
        """The types of all fields, sorted."""
        return sorted(pc.unique(self._table["Field_Type"]).to_pylist())

    @property
    def chosen_fields(self) -> list[str]:
        """The fields of the chosen observations, sorted."""
        return sorted(pc.unique(self.filtered_obs_info["Field_Name"]).to_pylist())

    def filter_on_fields(self, fields: str | Sequence[str]) -> None:
        """Keep observations of these fields, or of all fields of these types; common names are understood.

        Raises MissionValueError for a name that is neither.
        """
        self._require_unlocked()
        given = texts(fields, "fields")
        by_name = {field_key(name): name for name in self.all_mission_fields}
        by_type = {field_key(kind): kind for kind in self.all_mission_field_types}
        aliases = {field_key(alias): names for alias, names in self.declaration.field_aliases.items()}
        wanted: set[str] = set()
        types: set[str] = set()
        for word in given:
            key = field_key(word)
            if key in by_type:
                types.add(by_type[key])
            elif key in by_name:
                wanted.add(by_name[key])
            elif key in aliases:
                wanted.update(aliases[key])
            else:
                raise MissionValueError(
                    f"{word[:60]!r} is no field or field type of {self.pretty_name}",
                    hint=f"Types are {', '.join(self.all_mission_field_types)}; see all_mission_fields.",
                )
        mask = mask_of(pc.is_in(self._table["Field_Name"], pa.array(sorted(wanted), pa.string())))
        mask = mask | mask_of(pc.is_in(self._table["Field_Type"], pa.array(sorted(types), pa.string())))
        self._apply(mask, "filter_on_fields", {"fields": given})


def field_key(name: str) -> str:
    """A field's name as it is compared: capitals, marks and spaces as underscores."""
    return _MARKS.sub("_", name.strip().upper())
