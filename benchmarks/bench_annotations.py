"""What annotations and frames cost a VOTable: a small result, a large one; JSON on stdout.

    python benchmarks/bench_annotations.py [--rows 500000]

The baseline is the same document without annotations, in the same run; the peer is pyvo's own writer of MIVOT, which
annotates a document that astropy has read.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from skyvault.formats.stream import TableStream
from skyvault.formats.votable_out import write_votable
from skyvault.model.frames import PhotometricSystem, canonical, with_frames_of
from skyvault.model.table import Column, CoordinateFrame, Table, TimeFrame

G = PhotometricSystem("GAIA/GAIA3.G", "Vega", 3228.75, 5.8e-7).group()
COLUMNS = (
    ("ra", "deg", "pos.eq.ra;meta.main", "place"),
    ("dec", "deg", "pos.eq.dec;meta.main", "place"),
    ("pmra", "mas/yr", "pos.pm;pos.eq.ra", None),
    ("pmdec", "mas/yr", "pos.pm;pos.eq.dec", None),
    ("parallax", "mas", "pos.parallax.trig", None),
    ("g", "mag", "phot.mag", str(G.id)),
    ("mjd", "d", "time.epoch", "time"),
    ("flux", "Jy", "phot.flux", None),
)


def result() -> Table:
    """A result as a query over a published catalogue gives it."""
    columns = tuple(Column(name, "double", unit=unit, ucd=ucd, ref=ref) for name, unit, ucd, ref in COLUMNS)
    source = canonical(
        Table(
            "a.b",
            columns,
            frames=(CoordinateFrame("place", "ICRS", "J2016.0"),),
            time_frames=(TimeFrame("time", "TDB", "BARYCENTER", "MJD-origin"),),
            groups=(G,),
        )
    )
    return with_frames_of(replace(source, frames=(), time_frames=(), groups=()), [source])


def batches(rows: int) -> list[pa.RecordBatch]:
    """Random numbers, 25,000 rows at a time."""
    random = np.random.default_rng(1)
    names = [name for name, *_ in COLUMNS]
    found = []
    for first in range(0, rows, 25_000):
        count = min(25_000, rows - first)
        found.append(pa.RecordBatch.from_arrays([pa.array(random.random(count)) for _ in names], names=names))
    return found


def spent(act: Callable[[], Any], times: int) -> float:
    """Median seconds."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        act()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def written(table: Table, rows: list[pa.RecordBatch], mivot: Any, version: str = "1.5") -> Iterator[bytes]:
    """The document's blocks."""
    return write_votable(TableStream(table, iter(rows)), "TABLEDATA", version, mivot=mivot)


def pyvo_annotates(document: bytes) -> float | None:
    """Seconds that pyvo takes for the positions of the same document; None where pyvo cannot."""
    from astropy.io.votable import parse
    from pyvo.mivot.writer.instances_from_models import InstancesFromModels
    from pyvo.utils import activate_features

    activate_features("MIVOT")

    def act() -> None:
        builder = InstancesFromModels(parse(io.BytesIO(document)), dmid="ra")
        frame = builder.add_simple_space_frame()
        mapping = {"longitude": "ra", "latitude": "dec", "pmLongitude": "pmra", "pmLatitude": "pmdec"}
        frames = {"spaceSys": {"dmid": frame}, "timeSys": {}}
        builder.add_mango_epoch_position(frames=frames, mapping=mapping, semantics={})
        builder.pack_into_votable(schema_check=False)

    try:
        act()
    except Exception as problem:
        print(f"pyvo: {problem}", flush=True, file=__import__("sys").stderr)
        return None
    return spent(act, 5)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    rows = parser.parse_args().rows
    table, few, many = result(), batches(10), batches(rows)
    told: dict[str, Any] = {}
    for name, held, times in (("10_rows", few, 200), (f"{rows}_rows", many, 5)):
        plain = spent(lambda h=held: [len(block) for block in written(table, h, "none")], times)  # type: ignore[misc]
        annotated = spent(lambda h=held: [len(block) for block in written(table, h, "asked")], times)  # type: ignore[misc]
        told[name] = {
            "plain_ms": round(plain * 1e3, 3),
            "annotated_ms": round(annotated * 1e3, 3),
            "ratio": round(annotated / plain, 3),
        }
    document = b"".join(written(table, few, "none", "1.4"))
    peer = pyvo_annotates(document)
    told["10_rows"]["pyvo_annotates_ms"] = None if peer is None else round(peer * 1e3, 1)
    told["bytes_of_the_block"] = len(b"".join(written(table, few, "asked"))) - len(
        b"".join(written(table, few, "none"))
    )
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
