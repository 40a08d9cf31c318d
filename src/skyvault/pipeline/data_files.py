"""Files of data sets: each a key, its rows as one table, and what is known about it; as HDF5, FITS or Parquet.

The end of a file's name says its format. Files are made in memory, written beside and moved in place, so that no half
file is ever seen; rows carry a checksum. All are readable without Skyvault, for instance
``astropy.table.Table.read("RA012/ZTF_photometry_X.h5", path="photometry_X/rows")``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from skyvault.pipeline.faults import DataError, DataMissing, DiskFull, ParameterValueError
from skyvault.pipeline.parameter_files import plain
from skyvault.pipeline.table_rows import Rows, rows_of

__all__ = ["FORMATS", "Rows", "file_keys", "read_dataset", "rows_of", "suffix_of", "write_datasets"]

FORMAT: Final = "skyvault-dataset 2"
#: what a format is called -> how its files' names end
FORMATS: Final[dict[str, str]] = {"hdf5": ".h5", "fits": ".fits", "parquet": ".parquet"}
#: characters of what is known about one data set, and bytes of its rows
MOST_ABOUT: Final = 50_000_000
MOST_BYTES: Final = 2**32
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAMAGED_HINT: Final = "Delete it, and it will be made again."


class Stored(NamedTuple):
    """A data set on its way to or from a file; ``about`` is JSON in ASCII."""

    key: str
    rows: Rows
    about: bytes


class FileFormat(Protocol):
    """How data sets become one file. What ``take`` raises of OSError, ValueError and their kin means damage."""

    def made(self, datasets: Sequence[Stored]) -> bytes:
        """The whole file."""

    def keys(self, path: Path) -> list[str]:
        """Keys of a file's data sets."""

    def take(self, path: Path, key: str) -> tuple[Rows, dict[str, Any]]:
        """Rows, and what is known about them. Raises KeyError for a key that is not there."""


def suffix_of(format: str) -> str:
    """``.h5`` for hdf5, and so on. Raises ParameterValueError."""
    try:
        return FORMATS[format.strip().lower()]
    except (KeyError, AttributeError):
        raise ParameterValueError(
            f"there is no file format {format!r}", hint=f"There are {', '.join(FORMATS)}."
        ) from None


def write_datasets(path: Path, datasets: Sequence[tuple[str, Rows, Mapping[str, Any]]]) -> int:
    """Write a file of (key, rows, about) in place of what is there; returns its size in bytes.

    ``rows`` is a structured array of numbers, booleans and byte texts, shape (n,), also n = 0; HDF5 and FITS take
    plain arrays of any shape, too. Raises DataError where this cannot be written, DiskFull where nothing can.
    """
    path = Path(path)
    stored = [
        Stored(key, rows, _text(rows, about)) for key, rows, about in ((k, _packed(r), a) for k, r, a in datasets)
    ]
    content = _format_of(path).made(stored)
    _replace(os.fspath(path), content)
    return len(content)


def _packed(rows: Rows) -> Rows:
    """Rows without gaps between their columns, little-endian: alike on every machine."""
    names = rows.dtype.names
    if names is None:
        return rows.astype(rows.dtype.newbyteorder("<"), copy=False)
    kinds = _packed_kinds(rows.dtype)
    return rows if rows.dtype == kinds else rows.astype(kinds)


@functools.lru_cache(256)
def _packed_kinds(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([(name, dtype[name].newbyteorder("<")) for name in dtype.names or ()])


def _text(rows: Rows, about: Mapping[str, Any]) -> bytes:
    checked = {
        "format": FORMAT,
        **about,
        "crc32": zlib.crc32(np.ascontiguousarray(rows).data.cast("B") if rows.size else b""),
    }
    try:
        # in the order of their names: the same data make the same bytes
        return json.dumps(checked, sort_keys=True, default=_plain).encode("ascii")
    except TypeError:
        # names that are no texts cannot be compared with others
        return json.dumps(plain(checked), sort_keys=True).encode("ascii")


def _checksum(rows: Rows) -> int:
    return zlib.crc32(np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data) if rows.size else 0


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else plain(value)


#: of this start of the program; with the process's number unique among all that write into one folder
_TOKEN: Final = secrets.token_hex(3)


def _replace(name: str, content: bytes) -> None:
    folder, _, last = name.rpartition("/")
    beside = f"{folder}/.{last}.{os.getpid()}-{_TOKEN}"
    try:
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        os.replace(beside, name)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if error.errno in _FULL:
            raise DiskFull(
                f"the disk is full: {error.strerror}", where=name,
                hint="What was finished is kept; make room and run again.",
            ) from None  # fmt: skip
        raise DataError(f"the file cannot be written: {error.strerror or error}", where=name) from None
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def file_keys(path: Path) -> list[str]:
    """Keys of the data sets in a file, sorted. Raises DataMissing and DataError."""
    path = Path(path)
    form = _existing(path)
    try:
        return sorted(form.keys(path))
    except _DAMAGES as error:
        raise _damaged(path, error) from None


def read_dataset(path: Path, key: str | None = None) -> tuple[Rows, dict[str, Any]]:
    """Rows and what is known about them; ``key`` None takes the only data set.

    Raises DataMissing where there is no such file or key, DataError where it is damaged.
    """
    path = Path(path)
    form = _existing(path)
    try:
        if key is None:
            keys = form.keys(path)
            if len(keys) != 1:
                raise DataError(f"the file holds {len(keys)} data sets", where=str(path), hint="Give a key.")
            key = keys[0]
        try:
            rows, about = form.take(path, key)
        except KeyError:
            if key in form.keys(path):
                raise
            raise DataMissing(f"the file has no data set {key!r}", where=str(path)) from None
        known = about.pop("crc32", None)
        if known is not None and known != _checksum(rows):
            raise ValueError("its rows do not match their checksum")
        return rows, about
    except _DAMAGES as error:
        if isinstance(error, DataError | DataMissing):
            raise
        raise _damaged(path, error) from None


_DAMAGES: Final = (
    OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError, EOFError, MemoryError,
)  # fmt: skip


def _damaged(path: Path, error: BaseException) -> DataError:
    what = " ".join(str(error).split())[:120]
    return DataError(f"the file is damaged: {what}", where=str(path), hint=_DAMAGED_HINT)


def _existing(path: Path) -> FileFormat:
    if not path.is_file():
        raise DataMissing("there is no such file", where=str(path))
    return _format_of(path)


def _format_of(path: Path) -> FileFormat:
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        from skyvault.pipeline.hdf5_files import Hdf5

        return Hdf5()
    if suffix == ".fits":
        from skyvault.pipeline.fits_files import Fits

        return Fits()
    if suffix == ".parquet":
        from skyvault.pipeline.parquet_files import Parquet

        return Parquet()
    raise DataError(
        "the end of the name says no format", where=str(path), hint=f"There are {', '.join(FORMATS.values())}."
    )


def about_of(text: bytes | str) -> dict[str, Any]:
    """What a file says about a data set. Raises ValueError where it is no JSON object."""
    if len(text) > MOST_ABOUT:
        raise ValueError("its description is too long")
    about = json.loads(text)
    if not isinstance(about, dict):
        raise ValueError("its description is damaged")
    return about
