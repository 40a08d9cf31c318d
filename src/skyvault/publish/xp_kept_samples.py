"""Sampled spectra of files that were read before: a stopped publish goes on, and an unchanged file is not read.

One Parquet file for each source file, beside the data directory's other notes of ingests. Its name is made of what the
samples depend on: the file (path, size, time of change), the grid, the realisations, the instrument, the positions.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skyvault.publish.ingest_state import SeenFile

if TYPE_CHECKING:
    import pyarrow as pa

#: grows when spectra are sampled in another way than before
_VERSION: Final = 1
#: files of fewer spectra are as quickly sampled as read
_LEAST: Final = 1_000
#: rows written at once: a row group
_ROWS: Final = 16_384
_REMARK: Final = b"skyvault.by_number"


class XpSamples:
    """The folder of one table's samples."""

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self._folder = folder
        self._recipe = json.dumps({"version": _VERSION, **recipe}, sort_keys=True)
        self._used: set[str] = set()

    def find(self, file: SeenFile) -> KeptSamples | None:
        """What was kept of a file as it is now; None when it must be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(file)
        try:
            return KeptSamples(pq.ParquetFile(path, pre_buffer=False))
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException):
            # a file that a power cut left half written is made anew
            path.unlink(missing_ok=True)
            return None

    def keep(self, file: SeenFile) -> SamplesWriter:
        """Where the samples of a file go; they are kept when it is closed."""
        return SamplesWriter(self._path(file))

    def forget_others(self) -> None:
        """Delete what this publish has not used: samples of files that vanished or were sampled otherwise."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.name not in self._used and not (path.suffix == ".part" and _lives(path)):
                path.unlink(missing_ok=True)

    def _path(self, file: SeenFile) -> Path:
        told = f"{self._recipe}\n{file.path}\n{file.size}\n{file.mtime_ns}"
        name = f"{hashlib.sha256(told.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.parquet"
        self._used.add(name)
        return self._folder / name


class KeptSamples:
    """Samples that were kept; ``by_number`` of them have a place by the source's number only."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.by_number = int((file.metadata.metadata or {}).get(_REMARK, b"0"))

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS):
                yield batch.replace_schema_metadata(None)
        finally:
            self._file.close()


class SamplesWriter:
    """Writes the samples of one file beside, and lets them be found when all have come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_suffix(f".{os.getpid()}.part")
        self._writer: Any = None
        self._held: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROWS:
            self._flush()

    def close(self, by_number: int) -> None:
        """All spectra of the file are there."""
        if self._writer is None and self._rows < _LEAST:
            return
        self._flush()
        self._writer.add_key_value_metadata({_REMARK.decode(): str(by_number)})
        self._writer.close()
        self._writer = None
        self._draft.replace(self._path)

    def give_up(self) -> None:
        """What came so far is not kept."""
        self._held.clear()
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
            self._writer = None
        self._draft.unlink(missing_ok=True)

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._held:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._draft, self._held[0].schema, compression="lz4", use_dictionary=False)
        self._writer.write_table(pa.Table.from_batches(self._held))
        self._held.clear()
        self._rows = 0


def _lives(draft: Path) -> bool:
    """Whether the process that writes a draft is there."""
    try:
        os.kill(int(draft.name.split(".")[-2]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True


def recipe_of(
    grid: Mapping[str, float], realisations: int, instrument: Path | None, positions: Path | None
) -> dict[str, Any]:
    """What samples depend on beside their file."""
    model = None
    if instrument is not None:
        sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(instrument.glob("*.csv"))]
        model = hashlib.sha256("".join(sums).encode()).hexdigest()
    status = None if positions is None else positions.stat()
    place = None if status is None else [str(positions), status.st_size, status.st_mtime_ns]
    return {"grid": dict(grid), "realisations": realisations, "instrument": model, "positions": place}
