"""A service that goes with a result: where it is, and which of its parameters come from the rows (DataLink 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from skyvault.model.table import Column


@dataclass(frozen=True, slots=True)
class ServiceDescriptor:
    """A RESOURCE of utype ``adhoc:service`` (DataLink 1.1, section 4.1).

    ``inputs`` are its parameters: a ``value`` that is not empty is fixed; an empty one with a ``ref`` comes from the
    field of that ID; an empty one without is the user's, its ``minimum``, ``maximum`` and ``options`` being advice.
    ``is_self`` marks the service that made the document.
    """

    id: str
    access_url: str
    inputs: tuple[Column, ...] = ()
    standard_id: str | None = None
    content_type: str | None = None
    description: str | None = None
    name: str | None = None
    is_self: bool = False
