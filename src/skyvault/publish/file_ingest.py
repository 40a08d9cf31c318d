"""Reading the files of a collection: side by side in processes, going on where it was stopped, bad files listed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ConfigError, IngestError, SkyvaultError, StoreError
from skyvault.publish.datasets import Recipe
from skyvault.publish.ingest_state import IngestState, SeenFile

if TYPE_CHECKING:
    from skyvault.model.ports import Progress

#: grows when files are read in another way than before, so that they are read again
_READER: Final = 1
#: files a worker is given at once
_CHUNK: Final = 8
#: so few files are not worth other processes
_FEW: Final = 12


@dataclass(frozen=True, slots=True)
class Ingested:
    """What reading the files of a collection gave. ``problems`` are (path, sentence)."""

    read: int
    known: int
    vanished: int
    problems: tuple[tuple[str, str], ...]
    remarks: tuple[tuple[str, str], ...] = ()


def files_of(root: Path, patterns: str | Sequence[str], ignore: str | Sequence[str] = ()) -> Iterator[SeenFile]:
    """The files below ``root`` that match, by path; links that lead out of it are left out.

    Raises ConfigError for a pattern that leads out.
    """
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    left_out = [ignore] if isinstance(ignore, str) else list(ignore)
    home = root.resolve()
    seen: set[Path] = set()
    for pattern in wanted:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise ConfigError(f"the pattern {pattern!r} leads out of the resource's folder", where=root.name)
        for path in root.glob(pattern):
            if path in seen or not path.is_file():
                continue
            seen.add(path)
            relative = path.relative_to(root)
            if any(relative.match(one) for one in left_out) or any(part.startswith(".") for part in relative.parts):
                continue
            if not path.resolve().is_relative_to(home):
                continue
            status = path.stat()
            yield SeenFile(relative.as_posix(), status.st_size, status.st_mtime_ns)


def recipe_hash(recipe: Recipe) -> str:
    """What the datasets depend on beside the files: the section, the hooks, how we read."""
    told = {
        "reader": _READER,
        "table": recipe.table,
        "authority": recipe.authority,
        "section": recipe.section.model_dump(
            mode="json", exclude={"description", "links", "link_lifetime_s", "embargo_for"}
        ),
        "hooks": hashlib.sha256(recipe.hooks.read_bytes()).hexdigest() if recipe.hooks.is_file() else None,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def ingest_files(
    recipe: Recipe, state: IngestState, *, processes: int | None = None, progress: Progress | None = None
) -> Ingested:
    """Read what is new or changed, forget what vanished. Raises ConfigError, StoreError when the disk is full.

    A file that cannot be read is a problem of its own; the others are read. Stopped anywhere, it goes on.
    """
    section = recipe.section
    hashed = recipe_hash(recipe)
    listed = sorted(files_of(recipe.root, section.files, section.ignore), key=lambda one: one.path)
    if not listed:
        raise IngestError(f"no file matches {section.files!r}", where=str(recipe.root.name), hint="Look at files:.")
    wanted, known, vanished = state.changed(listed, hashed)
    if progress is not None and wanted:
        progress.start(f"Reading files of {recipe.table}", len(wanted))
    try:
        for results in _read(recipe, wanted, processes or os.cpu_count() or 1):
            state.keep(results, hashed)
            if progress is not None:
                progress.advance(len(results))
    finally:
        if progress is not None and wanted:
            progress.finish()
    remarks = tuple((one["products"][0]["path"], text) for one in state.datasets() for text in one["remarks"])
    return Ingested(len(wanted), known, vanished, tuple(state.problems()), remarks)


_Result = tuple[SeenFile, list[dict[str, Any]] | None, str | None]


def _read(recipe: Recipe, wanted: list[SeenFile], processes: int) -> Iterator[list[_Result]]:
    chunks = [wanted[first : first + _CHUNK] for first in range(0, len(wanted), _CHUNK)]
    if len(wanted) <= _FEW or processes == 1:
        for chunk in chunks:
            yield read_chunk(recipe, chunk)
        return
    # "spawn": a fork would copy locks of threads that are not copied
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(chunks)), mp_context=context) as pool:
        waiting: set[Future[list[_Result]]] = set()
        left = iter(chunks)
        try:
            while True:
                for chunk in islice(left, max(0, 2 * processes - len(waiting))):
                    waiting.add(pool.submit(read_chunk, recipe, chunk))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        except BrokenProcessPool:
            raise StoreError(
                "a process that reads files was ended from outside",
                where=recipe.table,
                hint="What was read is kept: publish again to go on.",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_chunk(recipe: Recipe, files: list[SeenFile]) -> list[_Result]:
    """The datasets of a few files, or what is wrong with each."""
    act = _reader(recipe.section.kind)
    results: list[_Result] = []
    for file in files:
        try:
            found = [one.to_dict() for one in act(recipe.root / file.path, recipe)]
            results.append((file, found, None))
        except (ConfigError, StoreError):
            raise
        except SkyvaultError as problem:
            results.append((file, None, problem.what))
        except OSError as problem:
            import errno

            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError("the disk is full", where=recipe.table, hint="What was read is kept.") from None
            results.append((file, None, f"it cannot be read ({problem.strerror})"))
    return results


def _reader(kind: str) -> Any:
    if kind == "images":
        from skyvault.publish.image_datasets import image_datasets

        return image_datasets
    if kind == "spectra":
        from skyvault.publish.spectrum_datasets import spectrum_datasets

        return spectrum_datasets
    if kind == "timeseries":
        from skyvault.publish.light_curve_datasets import light_curve_datasets

        return light_curve_datasets
    raise ConfigError(f"files of the kind {kind!r} are not read yet", hint="images, spectra and timeseries are.")
