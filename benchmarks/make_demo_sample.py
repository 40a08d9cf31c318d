"""Makes src/skyvault/demo_data/stars.parquet, the stars brighter than VT = 9, from the collected Tycho-2 table.

Use: SKYVAULT_SHARED=DIRECTORY python benchmarks/make_demo_sample.py
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FAINTEST_MAG = 9.0
PROJECT = Path(__file__).parent.parent
TARGET = PROJECT / "src" / "skyvault" / "demo_data" / "stars.parquet"


def sample(stars: pa.Table) -> pa.Table:
    """Stars brighter than the limit; unknown values (NaN, hip = -1) become NULL, noise below a step is rounded off."""
    # a row at (0, 0) has no position: there is no such bright star
    somewhere = pc.or_(pc.greater(stars["ra"], 1e-6), pc.greater(pc.abs(stars["dec"]), 1e-6))
    stars = stars.filter(pc.and_(pc.less(stars["mag_vt"], FAINTEST_MAG), somewhere))
    columns: dict[str, pa.Array] = {
        "source_id": stars["source_id"],
        # 1e-7 deg is 0.4 mas, finer than Tycho-2's own 7 mas for bright stars
        "ra": pa.array(np.round(stars["ra"].to_numpy(), 7)),
        "dec": pa.array(np.round(stars["dec"].to_numpy(), 7)),
    }
    for name in ("mag_vt", "bv", "pmra", "pmdec", "plx"):
        values = stars[name].to_numpy(zero_copy_only=False)
        columns[name] = pa.array(np.round(values, 3).astype("f4"), mask=np.isnan(values))
    hip = stars["hip"].to_numpy(zero_copy_only=False)
    known = np.isfinite(hip.astype("f8")) & (hip > 0)
    columns["hip"] = pa.array(np.where(known, hip, 0).astype("i4"), mask=~known)
    return pa.table(columns)


def main() -> None:
    shared = Path(os.environ.get("SKYVAULT_SHARED", PROJECT.parent / "shared"))
    stars = sample(pq.read_table(shared / "data" / "stars" / "tycho2.parquet"))
    TARGET.parent.mkdir(exist_ok=True)
    pq.write_table(stars, TARGET, compression="zstd", compression_level=19)
    print(f"{TARGET}: {stars.num_rows} stars, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
