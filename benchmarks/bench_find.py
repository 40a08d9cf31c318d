"""A million rows of nine columns from a TAP service to an astropy Table, in each form; pyvo beside. Prints JSON.

usage: bench_find.py [--rows 1000000] [--with-pyvo] [--port 18431]

Each form is asked for in a process of its own, three times; the best counts. pyvo takes more than a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

FORMS = ("automatic", "arrow", "parquet", "votable", "votable/td")
ASK = """
import json, resource, sys, time, warnings
form, address, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
query = "SELECT * FROM lab.big"
if form == "pyvo":
    from pyvo.dal import TAPService
    service, more = TAPService(address), {}
else:
    from skyvault.find import get_tap_service
    service, more = get_tap_service(address), {} if form == "automatic" else {"RESPONSEFORMAT": form}
begun = time.perf_counter()
results = service.search(query, maxrec=rows + 1, **more)
answered = time.perf_counter()
table = results.to_table()
done = time.perf_counter()
assert len(table) == rows and str(table["ra"].dtype) == "float64"
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
told = {"answer_s": answered - begun, "table_s": done - answered, "total_s": done - begun, "peak_mb": memory}
print(json.dumps({name: round(value, 2) for name, value in told.items()}))
"""


def write_rows(path: Path, count: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    columns: dict[str, Any] = {
        "source_id": np.arange(count),
        "ra": random.uniform(0, 360, count),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, count))),
        "pmra": random.normal(0, 5, count),
        "pmdec": random.normal(0, 5, count),
        "parallax": random.exponential(1, count).astype("f4"),
        "g_mag": random.uniform(5, 20, count).astype("f4"),
        "n_obs": random.integers(1, 300, count).astype("i4"),
        "band": np.array([f"name {i % 1000:04d}" for i in range(count)]),
    }
    pq.write_table(pa.table(columns), path)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if process.poll() is not None:
            sys.exit("the server does not start")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    sys.exit("the server does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--with-pyvo", action="store_true")
    parser.add_argument("--port", type=int, default=18431)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"SKYVAULT_HOME": folder}
        file = Path(folder) / "big.parquet"
        write_rows(file, options.rows)
        tool = [sys.executable, "-m", "skyvault.cli"]
        subprocess.run([*tool, "publish", str(file), "--name", "lab.big"], env=environment, check=True, stdout=2)
        server = subprocess.Popen([*tool, "serve", "--port", str(options.port)], env=environment, stdout=2)
        try:
            address = f"http://127.0.0.1:{options.port}/tap"
            wait_for(f"{address}/availability", server)
            out = {}
            for form in (*FORMS, *(["pyvo"] if options.with_pyvo else [])):
                told = []
                for _ in range(1 if form == "pyvo" else 3):
                    asked = [sys.executable, "-c", ASK, form, address, str(options.rows)]
                    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
                    told.append(json.loads(done.stdout))
                out[form] = min(told, key=lambda one: float(one["total_s"]))
            print(json.dumps(out, indent=1))
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
