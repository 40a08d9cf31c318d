"""A file or link that belongs to a published dataset: the dataset itself, its preview, its larger sister."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: where the bytes are: in the collection's own folder, in a folder of ours, made when asked for by a hook or from the
#: row of a table (its ``path``), or at an address
Place = Literal["source", "made", "hook", "table", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Product:
    """One row of a dataset's links (DataLink 1.1, section 3.2).

    ``path`` is relative to the folder of its ``place``, the name of a hook, or an address. ``hdu`` is the image (or
    table) in a FITS file that the dataset is, counted from 0. ``released`` is the instant (ISO, UTC) from which
    everybody may have it; None: now. ``size`` is in bytes, ``mtime_ns`` the file's time of change when it was read.
    """

    did: str
    number: int
    semantics: str
    place: Place
    path: str
    content_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    description: str | None = None
    hdu: int | None = None
    content_qualifier: str | None = None
    local_semantics: str | None = None
    released: str | None = None
    mtime_ns: int | None = None

    @property
    def key(self) -> str:
        """What tells it from the other products of its dataset in an address: "this", "preview", "this-2" ..."""
        return self.semantics.lstrip("#") if self.number == 0 else f"{self.semantics.lstrip('#')}-{self.number}"
