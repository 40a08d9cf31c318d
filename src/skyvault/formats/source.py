"""Where a table's bytes come from: a path, bytes or an open file, decompressed on the way and counted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, TypeAlias, cast

from skyvault.errors import FormatError, NotFound, TooLarge

#: What every reader takes.
TableSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"

_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\x00"


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a reader takes before it refuses; None is no limit. Bytes are counted after decompression."""

    max_bytes: int | None = None
    max_rows: int | None = None
    max_columns: int | None = 10_000

    def check_rows(self, rows: int) -> None:
        """Raises TooLarge when ``rows`` is beyond the limit."""
        if self.max_rows is not None and rows > self.max_rows:
            raise TooLarge(f"The table has more than the {self.max_rows} rows taken here")

    def check_columns(self, columns: int) -> None:
        """Raises TooLarge when ``columns`` is beyond the limit."""
        if self.max_columns is not None and columns > self.max_columns:
            raise TooLarge(f"The table has {columns} columns; at most {self.max_columns} are taken here")

    def check_bytes(self, count: int) -> None:
        """Raises TooLarge when ``count`` is beyond the limit."""
        if self.max_bytes is not None and count > self.max_bytes:
            raise TooLarge(f"The table has more than the {self.max_bytes} bytes taken here")


NO_LIMITS = ReadLimits(max_columns=None)
DEFAULT_LIMITS = ReadLimits()


class ByteSource:
    """A forward-only reader that knows its name, its position and its limit.

    gzip, bzip2 and xz are recognised by their first bytes and taken off. Used as a context manager it closes what it
    opened itself; a file object that was given stays open.
    """

    def __init__(self, source: TableSource, *, limits: ReadLimits = DEFAULT_LIMITS, name: str | None = None) -> None:
        self.limits = limits
        self.path: Path | None = None
        self._owned: list[IO[bytes]] = []
        self._ahead = b""
        self.position = 0
        self.compressed = False
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name = name or "document"
            raw: IO[bytes] = io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            self.path = Path(source)
            self.name = name or self.path.name
            raw = _open(self.path)
            self._owned.append(raw)
        else:
            self.name = name or os.path.basename(str(getattr(source, "name", "") or "document"))
            raw = source
        start = _exactly(raw, 8)
        opened = cast("IO[bytes]", _Rejoined(start, raw))
        if start[:2] == _GZIP:
            opened = cast("IO[bytes]", gzip.GzipFile(fileobj=opened, mode="rb"))
            self.compressed = True
        elif start[:3] == _BZIP2:
            opened = cast("IO[bytes]", bz2.BZ2File(opened, mode="rb"))
            self.compressed = True
        elif start[:6] == _XZ:
            opened = cast("IO[bytes]", lzma.LZMAFile(opened, mode="rb"))  # noqa: SIM115 - lives as long as this
            self.compressed = True
        self._file = opened

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened here."""
        for opened in self._owned:
            opened.close()
        self._owned.clear()

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, b"" at the end. Raises FormatError for a broken file, TooLarge beyond the limit."""
        if self._ahead:
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            taken = self._read(size)
        self.position += len(taken)
        self.limits.check_bytes(self.position)
        return taken

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes (fewer at the end) without taking them."""
        while len(self._ahead) < size:
            more = self._read(size - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as exc:
            raise FormatError(
                f"The compressed data are damaged or cut short ({exc})",
                where=f"{self.name}, after byte {self.position}",
                hint="Fetch the file again.",
            ) from exc
        except OSError as exc:
            raise FormatError(
                f"The file cannot be read ({exc.strerror or exc})", where=f"{self.name}, after byte {self.position}"
            ) from exc

    def spooled(self) -> BinaryIO:
        """The rest as a file that can be sought: the file itself where it is one and plain, else a temporary copy.

        The caller closes it.
        """
        import tempfile

        if self.path is not None and not self.compressed and self.position == 0:
            with _open(self.path) as file:
                return cast("BinaryIO", _SeekableReader(io.FileIO(os.dup(file.fileno()), "rb")))
        with tempfile.TemporaryFile() as copy:
            while block := self.read(1 << 20):
                copy.write(block)
            copy.flush()
            copy.seek(0)
            return cast("BinaryIO", _SeekableReader(io.FileIO(os.dup(copy.fileno()), "rb")))


class _SeekableReader(io.BufferedReader):
    """A file that is closed when nobody holds it any more: a stream of rows need not be read to its end."""

    def __del__(self) -> None:
        self.close()


class _Rejoined(io.RawIOBase):
    """A file whose first bytes were already taken."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            start, self._start = self._start, b""
            return start + self._rest.read()
        if self._start:
            taken, self._start = self._start[:size], self._start[size:]
            return taken
        return self._rest.read(size) or b""

    def readinto(self, target: Any) -> int:
        block = self.read(len(target))
        target[: len(block)] = block
        return len(block)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError as exc:
        raise NotFound(f"There is no file {path}") from exc
    except IsADirectoryError as exc:
        raise FormatError(f"{path} is a directory", hint="Name a file.") from exc
    except OSError as exc:
        raise FormatError(f"The file {path} cannot be opened ({exc.strerror})") from exc


def _exactly(file: IO[bytes], size: int) -> bytes:
    start = b""
    while len(start) < size:
        try:
            more = file.read(size - len(start))
        except OSError as exc:
            raise FormatError(f"The file cannot be read ({exc.strerror or exc})") from exc
        if not more:
            break
        start += more
    return start
