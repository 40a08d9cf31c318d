"""How fast VOTables are read and every format is written, beside astropy in the same run. Prints JSON.

    python benchmarks/bench_votable.py [--parquet FILE] [--rows N] [--repeat N] [--no-astropy]

Each reading happens in a process of its own, so that its peak memory is its own: ``memory_mb`` is the peak above what
the process held before, ``memory_ratio`` that over the size of the table as Arrow holds it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SHARED = Path(os.environ.get("SKYVAULT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
TABLE = SHARED / "data" / "stars" / "tycho2.parquet"
SERIALIZATIONS = ("BINARY2", "TABLEDATA", "BINARY")
WRITERS = ("votable/td", "votable/b2", "csv", "tsv", "fits", "parquet", "arrow", "json", "ecsv", "html")

_MEASURE = """
import json, re, sys, time
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
{load}
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
start = time.perf_counter()
{read}
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, memory_mb=status("VmHWM") - before, rows=rows, table_mb=table_mb)))
"""
_OURS = (
    "import pyarrow as pa\nfrom skyvault.formats.votable_in import open_votable",
    "table = pa.Table.from_batches(list(open_votable({path!r}).batches))\n"
    "rows, table_mb = table.num_rows, table.nbytes / 2**20",
)
_ASTROPY = (
    "import warnings; warnings.simplefilter('ignore')\nfrom astropy.io.votable import parse_single_table",
    "array = parse_single_table({path!r}).array\nrows, table_mb = len(array), array.nbytes / 2**20",
)


def measured(code: tuple[str, str], path: Path) -> dict[str, Any]:
    """One reading in a process of its own."""
    text = _MEASURE.format(load=code[0], read=code[1].format(path=str(path)))
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the runs."""
    seconds = statistics.median(run["seconds"] for run in runs)
    memory = statistics.median(run["memory_mb"] for run in runs)
    rows, table = runs[0]["rows"], runs[0]["table_mb"]
    return {
        "seconds": round(seconds, 3),
        "million_rows_per_s": round(rows / seconds / 1e6, 3),
        "memory_mb": round(memory, 1),
        "table_mb": round(table, 1),
        "memory_ratio": round(memory / table, 2),
    }


def indented(path: Path, target: Path) -> None:
    """The same TABLEDATA with every cell on a line of its own, as astropy and STILTS write it."""
    with path.open("rb") as source, target.open("wb") as out:
        for line in source:
            if line.startswith(b"<TR>"):
                line = line.replace(b"<TR>", b"    <TR>\n").replace(b"</TR>", b"\n    </TR>")
                line = line.replace(b"</TD><TD>", b"</TD>\n      <TD>").replace(
                    b"    <TR>\n<TD>", b"    <TR>\n      <TD>"
                )
            out.write(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path, default=TABLE)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-astropy", action="store_true")
    options = parser.parse_args()

    from skyvault.formats import negotiate
    from skyvault.formats.arrow import from_schema
    from skyvault.formats.stream import TableStream

    data = pq.read_table(options.parquet)
    if options.rows:
        data = data.slice(0, options.rows)
    table, _ = from_schema(data.schema, name="stars")
    batches = data.to_batches(max_chunksize=65_536)
    result: dict[str, Any] = {
        "rows": data.num_rows,
        "columns": data.num_columns,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "read": {},
        "write": {},
    }

    def timed(writer: Callable[[TableStream], Any]) -> dict[str, float]:
        seconds = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            size = 0
            for block in writer(TableStream(table=table, batches=iter(batches))):
                size += len(block)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        return {
            "seconds": round(middle, 3),
            "million_rows_per_s": round(data.num_rows / middle / 1e6, 3),
            "mb": size / 1e6,
        }

    with tempfile.TemporaryDirectory() as directory:
        for serialization in SERIALIZATIONS:
            path = Path(directory) / f"{serialization}.vot"
            with path.open("wb") as file:
                for block in negotiate(f"application/x-votable+xml;serialization={serialization}").write(
                    TableStream(table=table, batches=iter(batches))
                ):
                    file.write(block)
        indented(Path(directory) / "TABLEDATA.vot", Path(directory) / "TABLEDATA indented.vot")
        for name in (*SERIALIZATIONS, "TABLEDATA indented"):
            path = Path(directory) / f"{name}.vot"
            ours = median([measured(_OURS, path) for _ in range(options.repeat)])
            entry: dict[str, Any] = {"skyvault": ours}
            if not options.no_astropy and name != "BINARY":
                theirs = median([measured(_ASTROPY, path)])
                entry["astropy"] = theirs
                entry["times_faster"] = round(theirs["seconds"] / ours["seconds"], 1)
            result["read"][name] = entry
    for name in WRITERS:
        result["write"][name] = timed(negotiate(name).write)

    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
