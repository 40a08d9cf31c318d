"""How many small light curves a second the pipeline downloads from an archive that takes 0.2 s to answer.

    python benchmarks/bench_pipeline_downloads.py [SOURCES] > figures.json

A table goes to stderr, JSON to stdout. The archive is a process with ZTF's light-curve service, which holds each answer
of 100 epochs back for 0.2 s. All ways do the same work: ask, read the answer, write one HDF5 file a source and the
database's rows.

Named baselines: the same observatory one at a time (a tenth of the sources), and with 8 threads, which is how
AstroRetriever fetches (18.6 sources/s at 0.2 s in its own figures).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LATENCY_S = 0.2
ROWS = 100
CONNECTIONS = 64


def serve(pipe: Any) -> None:
    """An archive with ZTF's light-curve service: each answer is held back, whatever else is asked for."""
    import asyncio
    import threading

    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    from skyvault.missions.ztf_api import LIGHT_CURVE_TYPES

    head = ",".join(LIGHT_CURVE_TYPES)
    body = "\n".join([head, *(
        f"686103400034440,{45_000_000 + row},{2458200.5 + row:.8f},{58200.0 + row:.7f},{18.0 + 0.01 * (row % 7):.7f},"
        f"0.013,0,z{'gr'[row % 2]},10.0000000,20.0000000,0.577,-0.139,20180321123456,686,10,4,20.5,26.1893673,"
        "0.0169076771,-0.0624779686,6.69797146e-06,30,1.234,1"
        for row in range(ROWS)
    ), ""]).encode()  # fmt: skip
    latency = 0.0

    async def answer(request: Any) -> Response:
        await asyncio.sleep(latency)
        return Response(body, media_type="text/csv")

    app = Starlette(routes=[Route("/curves", answer)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    pipe.send(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/curves")
    while (told := pipe.recv()) is not None:
        latency = told
    server.should_exit = True
    thread.join(5)


def run(endpoints: Any, places: list[tuple[float, float]], threads: int) -> tuple[float, int, float]:
    """Seconds, rows and milliseconds of processor a source, of fetching them into a new folder."""
    from skyvault.config import Settings
    from skyvault.pipeline import Catalog, VirtualZTF, database

    with tempfile.TemporaryDirectory() as name:
        os.environ["RETRIEVER_DATA"] = str(Path(name) / "data")
        database._in_use = None
        path = Path(name) / "stars.csv"
        lines = [f"star{number},{ra:.9f},{dec:.9f},18.0" for number, (ra, dec) in enumerate(places)]
        path.write_text("name,ra,dec,mag\n" + "\n".join(lines) + "\n")
        settings = Settings(
            home=Path(name) / "home", endpoints=endpoints, politeness={"ztf": {"connections": max(threads, 1)}}
        )
        catalog = Catalog(filename=str(path), cfg_file=False)
        obs = VirtualZTF(
            project="bench", catalog=catalog, cfg_file=False, settings=settings, num_threads_download=threads
        )
        begin, begun = time.perf_counter(), time.process_time()
        done = obs.fetch_all_sources(reduce=False)
        seconds, used = time.perf_counter() - begin, time.process_time() - begun
        assert done == len(places), obs.failures_list[:1]
        rows = sum(raw.number or 0 for raw in obs.raw_data) // max(len(obs.raw_data), 1)
        database.current().close()
        return seconds, rows, 1000.0 * used / len(places)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    try:
        endpoints = {"ztf": {"lightcurves": here.recv()}}
        places = [(360.0 * number / count, -25.0 + 100.0 * number / count) for number in range(count)]
        # imports and the like are made once, before the clock starts
        run(endpoints, places[:20], 8)
        here.send(LATENCY_S)
        figures = []
        for name, threads, part in (
            ("one at a time", 1, max(count // 20, 10)),
            ("8 threads, as AstroRetriever", 8, max(count // 4, 10)),
            (f"pipeline, {CONNECTIONS} connections", CONNECTIONS, count),
        ):
            seconds, rows, cpu = run(endpoints, places[:part], threads)
            figures.append({
                    "way": name, "sources": part, "seconds": round(seconds, 2), "per_second": round(part / seconds, 1),
                    "rows_a_source": rows, "cpu_ms_a_source": round(cpu, 2),
                })  # fmt: skip
            print(
                f"{name:32} {part:6} sources {seconds:8.2f} s {part / seconds:8.1f} /s {cpu:6.2f} ms CPU",
                file=sys.stderr,
            )
    finally:
        here.send(None)
        process.join()
    reach = figures[-1]["per_second"]
    print(
        json.dumps(
            {"latency_s": LATENCY_S, "to_reach_per_second": 150, "is_reached": reach >= 150, "ways": figures}, indent=1
        )
    )


if __name__ == "__main__":
    main()
