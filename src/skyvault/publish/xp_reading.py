"""Files of Gaia XP spectra on their way into a table: read, placed, sampled in threads; what was wrong is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skyvault.errors import FormatError, IngestError
from skyvault.formats.arrow import arrow_type
from skyvault.model.table import Table
from skyvault.publish.file_ingest import Ingested
from skyvault.publish.ingest_state import SeenFile
from skyvault.publish.xp_kept_samples import SamplesWriter, XpSamples
from skyvault.publish.xp_positions import XpPositions, places_of_numbers
from skyvault.science.xp_files import XpSpectra, xp_spectra
from skyvault.science.xp_instrument import XpDesign
from skyvault.science.xp_sampling import sample_xp

#: spectra sampled at once by a thread; so small that a thread more costs little memory
_AT_ONCE: Final = 512
#: problems and remarks that are told
_TOLD: Final = 10_000


class NoSpectrum(IngestError):
    """None of the files gave a spectrum."""


@dataclass(slots=True)
class XpReading:
    """The spectra of all files; after the last batch its problems and remarks are whole."""

    root: Path
    files: Sequence[SeenFile]
    table: Table
    design: XpDesign
    realisations: int
    positions: XpPositions | None
    samples: XpSamples
    threads: int
    problems: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    known: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Sampled spectra, in the order of the files. Raises NoSpectrum at the end when none came."""
        count = 0
        with ThreadPoolExecutor(max(1, self.threads), thread_name_prefix="skyvault-xp") as pool:
            for file in self.files:
                kept = self.samples.find(file)
                flow = self._fresh(file, pool) if kept is None else kept.batches()
                for batch in flow:
                    count += batch.num_rows
                    yield batch
                if kept is not None:
                    self.known += 1
                    self._remark(file, kept.by_number)
        if not count:
            raise NoSpectrum("there is no spectrum")

    def _fresh(self, file: SeenFile, pool: ThreadPoolExecutor) -> Iterator[pa.RecordBatch]:
        """A file that is read; threads are ahead of whoever takes the spectra."""
        writer = self.samples.keep(file)
        waiting: deque[Future[pa.RecordBatch]] = deque()
        placed = _Placed(self, file)
        try:
            for part in placed.parts():
                waiting.append(pool.submit(self._sampled, *part))
                if len(waiting) > self.threads:
                    yield _taken(waiting, writer)
            while waiting:
                yield _taken(waiting, writer)
            if placed.problem is None:
                writer.close(placed.by_number)
                self._remark(file, placed.by_number)
            else:
                self.problems.append((file.path, placed.problem))
        finally:
            for one in waiting:
                one.cancel()
            writer.give_up()

    def _remark(self, file: SeenFile, by_number: int) -> None:
        if by_number and self.positions is not None:
            self.remarks.append((file.path, f"{by_number:,} of its sources are not in the table of positions"))

    def _sampled(self, spectra: XpSpectra, ra: Any, dec: Any, origin: Any) -> pa.RecordBatch:
        found = sample_xp(self.design, spectra.bp, spectra.rp, spectra.source_id, self.realisations)
        bands = spectra.bp.present * 1 + spectra.rp.present * 2
        arrays = [
            pa.array(spectra.source_id),
            pa.array(ra),
            pa.array(dec),
            _vectors(np.stack([ra, dec], axis=1)),
            pa.array(_ORIGINS[origin]),
            pa.array(_BANDS[bands], mask=bands == 0),
            _vectors(found.flux.astype(np.float32)),
            _vectors(found.error.astype(np.float32)),
        ]
        fields = [pa.field(one.name, arrow_type(one)) for one in self.table.columns]
        return pa.RecordBatch.from_arrays(
            [array.cast(one.type) for array, one in zip(arrays, fields, strict=True)], schema=pa.schema(fields)
        )

    def ingested(self) -> Ingested:
        read = len(self.files) - self.known - len(self.problems)
        return Ingested(
            read, self.known, 0, tuple(self.problems[:_TOLD]), tuple(self.remarks[:_TOLD]), len(self.problems),
            len(self.remarks),
        )  # fmt: skip


class _Placed:
    """The spectra of one file with their places; ``problem`` is what ended it before its end."""

    def __init__(self, reading: XpReading, file: SeenFile) -> None:
        self._reading = reading
        self._path = reading.root / file.path
        self.by_number = 0
        self.problem: str | None = None

    def parts(self) -> Iterator[tuple[XpSpectra, Any, Any, Any]]:
        taken = 0
        try:
            for spectra in xp_spectra(self._path):
                for first in range(0, len(spectra), _AT_ONCE):
                    part = spectra[first : first + _AT_ONCE]
                    ra, dec, origin = self._places(part)
                    self.by_number += int((origin == _SOURCE_ID).sum())
                    taken += len(part)
                    yield part, ra, dec, origin
        except (FormatError, OSError) as problem:
            what = problem.what if isinstance(problem, FormatError) else f"it cannot be read ({problem.strerror})"
            self.problem = what + (f" (its first {taken:,} spectra are published)" if taken else "")

    def _places(self, spectra: XpSpectra) -> tuple[Any, Any, Any]:
        """Places, and which of three origins each is from."""
        positions = self._reading.positions
        n = len(spectra)
        ra, dec, origin = np.full(n, np.nan), np.full(n, np.nan), np.full(n, _SOURCE_ID, np.int8)
        if positions is not None:
            ra, dec = positions.find(spectra.source_id)
            origin[_on_sky(ra, dec)] = _POSITIONS
        if spectra.ra is not None and spectra.dec is not None:
            use = (origin == _SOURCE_ID) & _on_sky(spectra.ra, spectra.dec)
            ra[use], dec[use], origin[use] = spectra.ra[use], spectra.dec[use], _FILE
        rest = origin == _SOURCE_ID
        if rest.any():
            ra[rest], dec[rest] = places_of_numbers(spectra.source_id[rest])
        return ra % 360.0, dec, origin


_SOURCE_ID, _POSITIONS, _FILE = 0, 1, 2
_ORIGINS: Final = np.array(["source_id", "positions", "file"], object)
_BANDS: Final = np.array(["", "BP", "RP", "BP+RP"], object)


def _taken(waiting: deque[Future[pa.RecordBatch]], writer: SamplesWriter) -> pa.RecordBatch:
    batch = waiting.popleft().result()
    writer.add(batch)
    return batch


def _on_sky(ra: Any, dec: Any) -> Any:
    return np.isfinite(ra) & (np.abs(dec) <= 90.0)


def _vectors(values: Any) -> pa.ListArray:
    """Rows of a matrix as arrays of one column."""
    n, m = values.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(0, (n + 1) * m, m), pa.int32()), pa.array(values.reshape(-1)))
