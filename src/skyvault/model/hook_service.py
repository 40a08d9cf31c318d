"""A service on datasets that a function of hooks.py does: its name, what it may be asked, what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: kinds of values a parameter takes; a timestamp is given to the function as seconds since 1970 (UTC)
ValueKind = Literal["text", "integer", "real", "boolean", "timestamp"]


@dataclass(frozen=True, slots=True)
class HookParameter:
    """One parameter; ``minimum`` and ``maximum`` belong to numbers, ``values`` are the choices there are."""

    name: str
    kind: ValueKind = "text"
    unit: str | None = None
    ucd: str | None = None
    xtype: str | None = None
    description: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    default: str | int | float | bool | None = None
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class HookService:
    """One service of a collection. ``hook`` is the function, ``semantics`` what its product is to the dataset."""

    name: str
    hook: str
    semantics: str = "#proc"
    description: str | None = None
    content_type: str = "application/octet-stream"
    parameters: tuple[HookParameter, ...] = field(default=())

    def facts(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> HookService:
        """What :meth:`facts` gave."""
        parameters = tuple(
            HookParameter(**{**one, "values": tuple(one.get("values", ()))}) for one in facts.get("parameters", ())
        )
        return cls(**{**facts, "parameters": parameters})
