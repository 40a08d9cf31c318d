"""The files of jobs: what came with them and what they made, a folder for each.

A result is written beside (``result.part``) and takes its name when the work is done. fsync is done for many at
once, before the ledger's own log is made durable: after a loss of power a job that is COMPLETED has its result.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from skyvault.errors import NotFound, ParameterError, StoreError
from skyvault.model.job import Job, JobResult

_JOB_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,63}")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
_PART = ".part"


class Results:
    """The folder ``root`` and the jobs' folders in it."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._lock = threading.Lock()
        self._unsynced: list[Path] = []

    def folder(self, job_id: str) -> Path:
        """The job's folder, which may not exist. Raises NotFound for what cannot be a job's id."""
        if not _JOB_ID.fullmatch(job_id):
            raise NotFound(f"there is no job {job_id[:64]!r}")
        # two letters first: no folder should have a hundred thousand entries
        return self.root / job_id[:2] / job_id

    def make_folder(self, job_id: str) -> Path:
        """The job's folder, made if need be."""
        folder = self.folder(job_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}", hint="Check the disk space and permissions.") from error
        return folder

    def writing_path(self, job_id: str, name: str) -> Path:
        """Where the result ``name`` is to be written. Raises ParameterError for a name that could be a path."""
        if not _NAME.fullmatch(name) or name.endswith(_PART):
            raise ParameterError(f"{name[:64]!r} cannot be the name of a result")
        return self.make_folder(job_id) / (name + _PART)

    def keep(self, job_id: str, names: Iterable[str]) -> dict[str, int]:
        """What was written is complete: give it its name. Returns the sizes in bytes."""
        sizes: dict[str, int] = {}
        folder = self.folder(job_id)
        for name in names:
            part, path = folder / (name + _PART), folder / name
            try:
                sizes[name] = part.stat().st_size
                part.rename(path)
            except OSError as error:
                raise StoreError(f"{part}: the result cannot be stored: {error.strerror}") from error
            with self._lock:
                self._unsynced.append(path)
        return sizes

    def path(self, job: Job, result: JobResult) -> Path:
        """The file of a result. Raises StoreError when it is not what the ledger says."""
        path = self.folder(job.id) / result.name
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size != result.size:
            raise StoreError(
                f"the result of job {job.id} is {'missing' if size < 0 else 'damaged'}",
                hint="Run the query again.",
            )
        return path

    def remove(self, job_id: str) -> None:
        """Delete everything a job has. Nothing to delete is no error."""
        with suppress(NotFound):
            shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def sync(self) -> int:
        """fsync what was kept since the last time; returns how many files."""
        with self._lock:
            paths, self._unsynced = self._unsynced, []
        for path in paths:
            # deleted in the meantime: nothing to make durable
            with suppress(FileNotFoundError):
                _fsync(path)
        for folder in {path.parent for path in paths}:
            with suppress(FileNotFoundError):
                _fsync(folder)
        return len(paths)

    def sweep(self, known: Callable[[list[str]], set[str]], older_than_s: float) -> int:
        """Delete the folders of jobs nobody knows (left by a kill -9); returns how many.

        Younger ones are left: an upload may be on its way to a job that does not exist yet.
        """
        removed = 0
        before = time.time() - older_than_s
        for shelf in _directories(self.root):
            old = [folder.name for folder in _directories(shelf) if folder.stat().st_mtime < before]
            for job_id in set(old) - known(old):
                shutil.rmtree(shelf / job_id, ignore_errors=True)
                removed += 1
        return removed


def _directories(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from found


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
