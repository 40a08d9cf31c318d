"""Files of a session: written beside and renamed, so that nothing half-written is ever read back."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from skyvault.errors import FormatError, StoreError
from skyvault.formats.fits_header import read_header


@contextlib.contextmanager
def written_beside(path: Path, *, is_precious: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder; when the block ends well it becomes ``path``, else it is removed.

    ``is_precious``: synced to disk first (what can be made again need not be). Raises StoreError where the disk is full
    or the folder may not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as problem:
        raise _told(problem, path) from None
    beside = Path(name)
    try:
        yield beside
        if is_precious:
            _sync(beside)
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except OSError as problem:
        raise _told(problem, path) from None
    finally:
        beside.unlink(missing_ok=True)


def is_whole_fits(path: Path) -> bool:
    """Whether a file is FITS and as long as the headers of all its parts say; False where there is none.

    Reads the headers only.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = read_header(file, name=path.name, first=True)
            while header is not None:
                end = file.tell() + header.data_bytes()
                if end >= size:
                    return end == size
                file.seek(end)
                header = read_header(file, name=path.name, first=False)
    except (OSError, FormatError):
        return False
    return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The process's mask; there is no way to ask for it but to set it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _told(problem: OSError, path: Path) -> StoreError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "The disk is full", where=str(path), hint="Make room and ask again; what was there before is untouched."
        )
    return StoreError(
        f"The file cannot be written ({problem.strerror or problem})",
        where=str(path),
        hint="Check the folder's permissions, or open the session elsewhere.",
    )
