"""Many Gaia XP spectra out of few: jittered copies of real ones, with numbers and places of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyvault.publish.xp_positions import places_of_numbers
from skyvault.science.xp_files import XpSpectra, xp_spectra
from skyvault.science.xp_sampling import XpCoefficients


def copies(spectra: XpSpectra, n: int, seed: int = 1) -> XpSpectra:
    """``n`` spectra whose coefficients differ by some of their errors; numbers ascend over the sky, as in the archive."""
    random = np.random.default_rng(seed)
    which = np.arange(n) % len(spectra)
    bands = []
    for band in (spectra.bp, spectra.rp):
        errors = np.asarray(band.errors[which], np.float64)
        scale = random.uniform(0.5, 2.0, (n, 1))
        values = (band.values[which] + errors * random.normal(size=errors.shape)) * scale
        bands.append(XpCoefficients(values, (errors * scale).astype(np.float32), band.correlations[which]))
    cells = np.sort(random.choice(12 * 4**12, n, replace=False))
    return XpSpectra((cells << 35) + np.arange(n) * 128 + 1, bands[0], bands[1])


def batches(spectra: XpSpectra, step: int = 500) -> Iterator[pa.RecordBatch]:
    """The columns that the archive gives and that are needed, some hundred spectra at a time."""
    for first in range(0, len(spectra), step):
        part = spectra[first : first + step]
        columns: dict[str, pa.Array] = {"source_id": pa.array(part.source_id)}
        for name, band in (("bp", part.bp), ("rp", part.rp)):
            for what, values in (
                ("coefficients", band.values),
                ("coefficient_errors", band.errors),
                ("coefficient_correlations", np.asarray(band.correlations, np.float32)),
            ):
                cells = [row if good else None for row, good in zip(values, band.present, strict=True)]
                kind = pa.list_(pa.float64() if what == "coefficients" else pa.float32())
                columns[f"{name}_{what}"] = pa.array(cells, kind)
        yield pa.RecordBatch.from_pydict(columns)


def write_copies(path: Path, spectra: XpSpectra, n: int, seed: int = 1) -> XpSpectra:
    """Write ``n`` copies as a Parquet file, and beside it ``positions.parquet`` with where they are to 0.01 arcsec."""
    made = copies(spectra, n, seed)
    parts = batches(made)
    first = next(parts)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_batch(first)
        for part in parts:
            writer.write_batch(part)
    ra, dec = places_of_numbers(made.source_id)
    shift = np.random.default_rng(seed + 1).uniform(-0.004, 0.004, n)
    table = pa.table({"source_id": made.source_id, "ra": ra, "dec": np.clip(dec + shift, -90, 90)})
    pq.write_table(table.take(np.random.default_rng(seed).permutation(n)), path.with_name("positions.parquet"))
    return made


def real(folder: Path) -> XpSpectra:
    """The three real spectra with both bands of the collected data (gaia_xp/xp_continuous)."""
    return next(xp_spectra(folder / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv"))
