"""A file at an archive as it is declared: address, size, checksum, packing, kind of content."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from skyvault.errors import UsageError
from skyvault.net.addresses import shown_address, split_address
from skyvault.net.auth import Password, Token

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
    ``verify`` looks at the whole file, unpacked, before it gets its name, and raises WrongContent when it is damaged.
    ``credential`` is for this file alone, instead of its host's.
    ``sign`` gives a fresh address when a signed one has expired. A signed address's ``url`` is shown and saved
    without its signature.
    """

    url: str = field(repr=False)
    label: str = ""
    size_bytes: int | None = None
    checksum: Checksum | None = None
    packing: Packing = Packing.NONE
    content: str = "any"
    verify: Callable[[Path], object] | None = field(default=None, repr=False, compare=False)
    credential: Token | Password | None = field(default=None, repr=False, compare=False)
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


#: fields in which archives tell the checksum of what they send: RFC 9530, RFC 3230, Google's storage, RFC 1864
_DIGEST_NAMES: Final = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5", "sha": "sha1"}


def digest_told(headers: Mapping[str, str], *, is_whole: bool = True) -> Checksum | None:
    """The checksum of the whole file that an answer's headers tell; None when there is none that can be read.

    ``is_whole``: the answer is the file, not a part of it, for which Content-MD5 would be the part's.
    """
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return None
    told: list[tuple[str, str]] = []
    for field_name in ("repr-digest", "digest", "x-goog-hash"):
        for word in headers.get(field_name, "").split(","):
            name, _, value = word.strip().partition("=")
            told.append((_DIGEST_NAMES.get(name.strip().lower(), ""), value.strip().strip(":")))
    if is_whole and "content-md5" in headers:
        told.append(("md5", headers["content-md5"].strip()))
    for algorithm in ("sha256", "sha512", "sha1", "md5"):
        for name, value in told:
            if name == algorithm:
                try:
                    return Checksum(algorithm, base64.b64decode(value, validate=True).hex())
                except (ValueError, UsageError):
                    continue
    return None
