"""What an archive of the sandbox is: its services, the tables its TAP service holds, and its routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from skyvault.model.table import Table
from skyvault.sandbox.faults import Faults


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive of the sandbox lives: its address (no slash at the end), a directory of its own, its faults."""

    url: str
    directory: Path
    faults: Faults


@dataclass(frozen=True, slots=True)
class HeldTable:
    """A table of a TAP service: qualified name, rows, and what is said about it (as ``skyvault publish --metadata``).

    With ``is_observations`` its rows are those of ivoa.ObsCore. With ``described`` the table is exactly that one, its
    rows stay in their order, and ``name`` and ``metadata`` say nothing more: for names our publisher keeps for itself.
    """

    name: str
    rows: pa.Table
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_observations: bool = False
    described: Table | None = None


class Emulation:
    """An archive. Subclasses say what they have; the sandbox serves it below ``/{name}``."""

    #: the archive's name: in endpoints, and the first word of its paths
    name: ClassVar[str]
    #: service -> its address below the archive's own, as endpoints are configured: {"tap": "/tap", "files": "/FTP/"}
    services: ClassVar[Mapping[str, str]] = {}
    #: below its address, where the server of its tables stands: the TAP service is ``/{name}{tap_root}/tap``
    tap_root: ClassVar[str] = ""
    #: whether rows hold addresses of this very sandbox: then they are made for one run, and not kept
    has_addresses_in_rows: ClassVar[bool] = False

    def __init__(self, place: Place) -> None:
        self.place = place

    def tables(self) -> Iterable[HeldTable]:
        """What its TAP service (at ``/{name}/tap``) holds; nothing: it has none. Asked only when it must be built."""
        return ()

    def routes(self) -> Sequence[BaseRoute]:
        """Everything else it answers, below ``/{name}``."""
        return ()

    def middleware(self) -> Sequence[Middleware]:
        """What every request to it passes first, such as a look at tokens."""
        return ()
