"""A file at an archive as it is declared: address, size, checksum, packing, kind of content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from skyvault.errors import UsageError
from skyvault.net.addresses import shown_address, split_address

#: hexadecimal digits of each checksum archives publish
_DIGITS: Final = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


class Packing(StrEnum):
    """How a file is packed at the archive, and so what is done with it after it came."""

    NONE = "none"
    GZIP = "gzip"
    #: Unix compress, ``.Z`` (LZW); ROSAT's and ASCA's files
    COMPRESS = "compress"
    #: a tar archive, compressed or not; the target becomes a directory
    TAR = "tar"

    @classmethod
    def of(cls, name: str) -> Packing:
        """What the end of a file's name says."""
        lower = name.lower()
        if lower.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
            return cls.TAR
        if lower.endswith((".gz", ".ftz")):
            return cls.GZIP
        return cls.COMPRESS if name.endswith(".Z") else cls.NONE


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest an archive publishes of the bytes it sends."""

    algorithm: str
    digest: str

    def __post_init__(self) -> None:
        digits = _DIGITS.get(self.algorithm)
        if digits is None or not re.fullmatch(f"[0-9a-f]{{{digits}}}", self.digest):
            raise UsageError(
                f"{self.algorithm}:{self.digest} is not a checksum",
                hint=f"Known are {', '.join(_DIGITS)}, in hexadecimal.",
            )

    @classmethod
    def read(cls, text: str) -> Checksum:
        """``md5:900150983cd24fb0d6963f7d28e17f72``, or the digits alone where their number tells the algorithm."""
        algorithm, _, digest = text.strip().lower().rpartition(":")
        if not algorithm:
            algorithm = next((name for name, digits in _DIGITS.items() if digits == len(digest)), "unknown")
        return cls(algorithm.replace("-", ""), digest)

    def hasher(self) -> Any:
        """A new hashlib object."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of an archive.

    ``label`` is what a person calls it ("ObsID 0123700101, EPIC-pn events"). ``size_bytes`` and ``checksum`` are of
    the bytes that are sent, exact or None. ``content`` ("fits", "html", or
    "any" but a web page) is what must be inside once unpacked.
    ``sign`` gives a fresh address when a signed one has expired. A signed address's ``url`` is shown and saved
    without its signature.
    """

    url: str = field(repr=False)
    label: str = ""
    size_bytes: int | None = None
    checksum: Checksum | None = None
    packing: Packing = Packing.NONE
    content: str = "any"
    sign: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        split_address(self.url)
        if self.size_bytes is not None and self.size_bytes < 0:
            raise UsageError(f"a size of {self.size_bytes} bytes", where=self.name)
        if self.content not in ("any", "fits", "html"):
            raise UsageError(f"content {self.content!r} is none of any, fits, html", where=self.name)

    @property
    def identity(self) -> str:
        """The address without what changes from signature to signature."""
        return shown_address(self.url)

    @property
    def name(self) -> str:
        """The label, or the address."""
        return self.label or self.identity


@dataclass(frozen=True, slots=True)
class Order:
    """A remote file and where it shall be: a file, or for a tar archive a directory."""

    remote: RemoteFile
    target: Path
