"""Reading the files of a collection: side by side in processes, going on where it was stopped, bad files listed."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import ConfigError, IngestError, SkyvaultError, StoreError
from skyvault.model.product import Product
from skyvault.publish.collection import as_described, described_columns
from skyvault.publish.datasets import Recipe
from skyvault.publish.files_below import FilesBelow
from skyvault.publish.ingest_state import PRODUCT_FIELDS, FileRead, IngestState, SeenFile, as_kept, file_read
from skyvault.publish.unmatched_files import patterns_of_others, unmatched_files

if TYPE_CHECKING:
    from skyvault.model.ports import Progress

#: grows when files are read in another way than before, so that they are read again
_READER: Final = 3
#: files a worker is given at once
_CHUNK: Final = 8
#: so few files are not worth other processes
_FEW: Final = 12
#: problems and remarks that are held to be told
_TOLD: Final = 10_000
#: what the processes that read need, imported once for all of them
_PRELOADED: Final = ("astropy.io.fits", "astropy.wcs", "numpy", "PIL.Image", "skyvault.publish.image_datasets")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What reading the files of a collection gave. ``problems`` and ``remarks`` are (path, sentence).

    Of very many only the first 10,000 are held; ``problem_count`` and ``remark_count`` count all.
    """

    read: int
    known: int
    vanished: int
    problems: tuple[tuple[str, str], ...]
    remarks: tuple[tuple[str, str], ...] = ()
    problem_count: int = 0
    remark_count: int = 0


def files_of(root: Path, patterns: str | Sequence[str], ignore: str | Sequence[str] = ()) -> Iterator[SeenFile]:
    """The files below ``root`` that match, by path; links that lead out of it are left out.

    Raises ConfigError for a pattern that leads out.
    """
    wanted, left_out = _listed(patterns), _listed(ignore)
    below = FilesBelow(root)
    # one pattern names a file once
    seen: set[str] | None = set() if len(wanted) > 1 else None
    for pattern in wanted:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise ConfigError(f"the pattern {pattern!r} leads out of the resource's folder", where=root.name)
        for path in root.glob(pattern):
            relative = path.relative_to(root)
            if any(relative.match(one) for one in left_out) or any(part.startswith(".") for part in relative.parts):
                continue
            status = below.status(path)
            if status is None:
                continue
            name = relative.as_posix()
            if seen is not None:
                if name in seen:
                    continue
                seen.add(name)
            yield SeenFile(name, status.st_size, status.st_mtime_ns)


def recipe_hash(recipe: Recipe) -> str:
    """What the datasets depend on beside the files: the section, the hooks, how we read."""
    told = {
        "reader": [_READER, *PRODUCT_FIELDS],
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
    files = files_of(recipe.root, section.files, section.ignore)
    wanted, known, vanished = state.changed(files, hashed, FilesBelow(recipe.root).look)
    if not wanted and not known:
        others = [f"{folder}: {sentence}" for folder, sentence in _unmatched(recipe, state)]
        raise IngestError(
            f"no file matches {section.files!r}",
            where=str(recipe.root.name),
            hint=f"Look at files: ({'; '.join(others[:3])})." if others else "Look at files:.",
        )
    if progress is not None and wanted:
        progress.start(f"Reading files of {recipe.table}", wanted)
    try:
        for results in _read(recipe, state, wanted, processes or os.cpu_count() or 1):
            state.keep(results, hashed)
            if progress is not None:
                progress.advance(len(results))
    finally:
        if progress is not None and wanted:
            progress.finish()
    unmatched = _unmatched(recipe, state)
    problems, remarks = tuple(state.problems(_TOLD)), (*unmatched, *state.remarks(_TOLD))[:_TOLD]
    problem_count, remark_count = state.counts()
    return Ingested(wanted, known, vanished, problems, remarks, problem_count, remark_count + len(unmatched))


def _unmatched(recipe: Recipe, state: IngestState) -> list[tuple[str, str]]:
    """A remark (folder, sentence) for each kind of FITS files that lie among the collection's and are not taken."""
    section, name = recipe.section, recipe.table.rpartition(".")[2]
    passed_over = [*_listed(section.ignore), *patterns_of_others(recipe.resource, name)]
    return [
        (f"{folder or '.'}/", f"{count:,} {'file ends' if count == 1 else 'files end'} in {ending} and"
         f" {'matches' if count == 1 else 'match'} no pattern of {name}")
        for folder, ending, count in unmatched_files(
            recipe.root, _listed(section.files), passed_over, state.is_taken
        )
    ]  # fmt: skip


def _listed(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _read(recipe: Recipe, state: IngestState, count: int, processes: int) -> Iterator[list[FileRead]]:
    suspects = state.suspects()
    alone: list[SeenFile] = []

    def chunks() -> Iterator[list[SeenFile]]:
        for chunk in state.wanted(_CHUNK):
            alone.extend(file for file in chunk if file.path in suspects)
            if harmless := [file for file in chunk if file.path not in suspects]:
                yield harmless

    left = chunks()
    if count <= _FEW or processes == 1:
        for chunk in left:
            yield read_chunk(recipe, chunk)
    else:
        while True:
            # chunks that were with the processes when one of them died
            lost: list[list[SeenFile]] = []
            yield from _read_side_by_side(recipe, left, processes, lost)
            if not lost:
                break
            for file in sorted((file for chunk in lost for file in chunk), key=lambda one: one.path):
                yield [_read_alone(recipe, file)]
    for file in alone:
        yield [_read_alone(recipe, file)]


def _read_side_by_side(
    recipe: Recipe, chunks: Iterator[list[SeenFile]], processes: int, lost: list[list[SeenFile]]
) -> Iterator[list[FileRead]]:
    """Results as they come. Where a process dies, what was being read is ``lost``, and there is an end."""
    with _pool(processes) as pool:
        waiting: dict[Future[list[FileRead]], list[SeenFile]] = {}
        try:
            while True:
                for chunk in islice(chunks, max(0, 2 * processes - len(waiting))):
                    try:
                        waiting[pool.submit(read_chunk, recipe, chunk)] = chunk
                    except BrokenProcessPool:
                        lost.append(chunk)
                        raise
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for one in done:
                    results = one.result()
                    del waiting[one]
                    yield results
        except BrokenProcessPool:
            for one, chunk in waiting.items():
                if one.done() and not one.cancelled() and one.exception() is None:
                    yield one.result()
                else:
                    lost.append(chunk)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read_alone(recipe: Recipe, file: SeenFile) -> FileRead:
    """Read a file that may end the process that reads it; where it does, it is a problem of its own."""
    with _pool(1) as pool:
        try:
            return pool.submit(read_chunk, recipe, [file]).result()[0]
        except BrokenProcessPool:
            told = "the process that read it was ended (by a fault in a library, for want of memory, or from outside)"
            return FileRead(file, problem=told, lasting=False)


def _pool(processes: int) -> ProcessPoolExecutor:
    # a fork of this process would copy locks of threads that are not copied; a server of forks has no threads, and
    # imports once for all
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["skyvault.publish.file_ingest", *_PRELOADED])
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Whoever reads for a process that is no more (kill -9) ends, instead of waiting for files for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="skyvault-ingest-parent", daemon=True).start()


def read_chunk(recipe: Recipe, files: list[SeenFile]) -> list[FileRead]:
    """The datasets of a few files, or what is wrong with each."""
    kind = "hdf5" if recipe.section.hdf5 is not None else recipe.section.kind
    act, columns = _reader(kind), described_columns(recipe.section)
    results: list[FileRead] = []
    for file in files:
        beside: dict[str, tuple[int, int] | None] = {}
        try:
            found = act(recipe.root / file.path, replace(recipe, beside=beside))
            for one in found:
                one.remarks += as_described(one.row, columns)
                one.products = [_dated(product, file) for product in one.products]
            results.append(file_read(file, found, beside))
        except (ConfigError, StoreError):
            raise
        except SkyvaultError as problem:
            results.append(FileRead(file, problem=problem.what, beside=as_kept(beside)))
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreError("the disk is full", where=recipe.table, hint="What was read is kept.") from None
            # looked at again the next time: that it may be read now changes neither size nor time
            told = f"it cannot be read ({problem.strerror})"
            results.append(FileRead(file, problem=told, beside=as_kept({**beside, file.path: None})))
    return results


def _dated(product: Product, file: SeenFile) -> Product:
    """A product with the time of change of its file, which says cheaply that the file is still what was read."""
    if product.place != "source" or product.path != file.path:
        return product
    return replace(product, mtime_ns=file.mtime_ns)


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
    if kind == "hdf5":
        from skyvault.publish.hdf5_datasets import hdf5_datasets

        return hdf5_datasets
    from skyvault.publish.event_datasets import event_datasets

    return event_datasets
