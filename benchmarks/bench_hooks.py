"""Products on demand and ingest of event lists and HDF5: how long a function of hooks.py takes to answer; JSON on stdout.

    python benchmarks/bench_hooks.py [--requests 200] [--files 200] [--rows 2000]

Baselines in the same run: a product by a new process each time (what a script behind CGI costs), and astropy reading
the same event lists and nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HOOKS = """
def given():
    for number in range({rows}):
        yield {{"id": f"s{{number}}", "s_ra": number % 360.0, "s_dec": 0.0, "em_min": 4e-7, "em_max": 8e-7}}

def spectrum(row):
    import numpy as np

    waves = np.linspace(row["em_min"], row["em_max"], 500)
    return "wavelength,flux\\n" + "".join(f"{{w}},{{f}}\\n" for w, f in zip(waves, waves**-4))
"""
ALONE = """
import numpy as np

waves = np.linspace(4e-7, 8e-7, 500)
print("wavelength,flux\\n" + "".join(f"{w},{f}\\n" for w, f in zip(waves, waves**-4)))
"""


@contextmanager
def served(settings: Any) -> Iterator[str]:
    """The address of a server in this process."""
    from skyvault.cli.checked_server import CheckedServer

    with CheckedServer(settings) as server:
        yield server._base()


def _times(act: Callable[[], Any], count: int) -> list[float]:
    spent = []
    for _ in range(count):
        begin = time.perf_counter()
        act()
        spent.append(time.perf_counter() - begin)
    return sorted(spent)


def products(folder: Path, requests: int, rows: int) -> dict[str, Any]:
    """Spectra made when they are fetched, one after the other and by eight clients."""
    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import publish_resource

    (folder / "hooks.py").write_text(HOOKS.format(rows=rows))
    (folder / "resource.yaml").write_text(
        "schema: bench\ntitle: b\ndescription: b\nfiles:\n"
        "  made: {kind: spectra, rows: given, make: spectrum, content_type: text/csv}\n"
    )
    settings = Settings(home=folder / "home")
    begin = time.perf_counter()
    publish_resource(folder, settings=settings)
    published = time.perf_counter() - begin
    with served(settings) as base:

        def fetch(number: int = 0) -> bytes:
            with urllib.request.urlopen(f"{base}/get/bench.made/s{number % rows}") as answer:
                return bytes(answer.read())

        begin = time.perf_counter()
        assert fetch().count(b"\n") == 501
        first = time.perf_counter() - begin
        one = _times(fetch, requests)
        begin = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch, range(requests)))
        many = requests / (time.perf_counter() - begin)
    alone = _times(lambda: subprocess.run([sys.executable, "-c", ALONE], capture_output=True, check=True), 9)
    return {
        "rows_published_per_s": round(rows / published),
        "first_ms": round(first * 1e3, 1),
        "median_ms": round(statistics.median(one) * 1e3, 2),
        "p99_ms": round(one[int(len(one) * 0.99)] * 1e3, 2),
        "per_s_of_8_clients": round(many, 1),
        "new_process_each_time_ms": round(statistics.median(alone) * 1e3, 1),
    }


def events(folder: Path, files: int) -> dict[str, Any]:
    """Event lists of Chandra's form, 1,000 photons each, and one of 1.25 million."""
    from astropy.io import fits

    from skyvault.config import Settings
    from skyvault.publish.resource_publisher import publish_resource
    from skyvault.sandbox.event_files import HeldFile, Seen, file_bytes
    from skyvault.science.event_lists import event_list_of

    for number in range(files):
        seen = Seen("chandra", f"{number}", "Field", number % 360.0, 10.0, 55000.0 + number, 1e4)
        (folder / f"e{number:05d}.evt").write_bytes(file_bytes(seen, HeldFile("e.evt", "events", "ACIS")))
    large = folder / "large.fits"
    large.write_bytes(
        file_bytes(Seen("erosita", "1", "F", 10, 10, 55000.0, 1e4), HeldFile("l.fits", "events", "", True))
    )
    (folder / "resource.yaml").write_text(
        "schema: bench\ntitle: b\ndescription: b\nfiles: {events: {kind: events, files: '*.evt'}}\n"
    )
    begin = time.perf_counter()
    publish_resource(folder, settings=Settings(home=folder / "home"))
    spent = time.perf_counter() - begin

    def read() -> None:
        for path in sorted(folder.glob("*.evt")):
            with fits.open(path) as file:
                assert len(np.asarray(file["EVENTS"].data["TIME"]))

    begin = time.perf_counter()
    read()
    astropy = time.perf_counter() - begin
    return {
        "files_per_s": round(files / spent, 1),
        "astropy_reads_one_column_files_per_s": round(files / astropy, 1),
        "list_of_1.25M_events_s": round(statistics.median(_times(lambda: event_list_of(large), 3)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2_000)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for name, act in (
        ("products", lambda folder: products(folder, given.requests, given.rows)),
        ("events", lambda folder: events(folder, given.files)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = act(Path(folder))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
