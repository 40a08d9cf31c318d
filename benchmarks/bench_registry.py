"""The registry: records of many tables, a large registry harvested, RegTAP over it; JSON on stdout.

    python benchmarks/bench_registry.py [--tables 300] [--records 20000]

Peer in the same run: sickle, reading the same pages (it makes no tables of them).
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 200


def _median(act: Callable[[], Any], times: int = 5) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        act()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def _cpu() -> float:
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip


def _peak_mb() -> float:
    return float(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000  # type: ignore[index]


def own_records(folder: Path, tables: int) -> dict[str, Any]:
    """What publishing and asking costs when there are many tables of 40 columns."""
    from skyvault.config import Settings
    from skyvault.formats import open_table
    from skyvault.publish.inference import infer
    from skyvault.publish.publisher import Publisher
    from skyvault.serve.registry_records import refresh
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.home_ledger import open_home_ledger
    from skyvault.store.layout import Layout
    from skyvault.store.query import Limits

    settings = Settings(home=folder / "home", authority="bench.example")
    names = ",".join(f"c{number}" for number in range(38))
    values = ",".join("1.5" for _ in range(38))
    file = folder / "t.csv"
    file.write_text(f"ra,dec,{names}\n10,20,{values}\n")
    layout = Layout.of(settings).make()
    with open_home_ledger(layout) as ledger:
        publisher = Publisher(layout, ledger.holdings, settings, None)
        for number in range(tables):
            stream = open_table(file)
            publisher.publish_stream(infer(stream.table, f"s{number % 10}.t{number}", {}).spec, stream)
    with DuckStore(settings) as store:

        def fresh() -> int:
            return refresh(store.view(), store.ledger, settings, store.view)

        begin = time.perf_counter()
        changed = fresh()
        first = time.perf_counter() - begin
        unchanged = _median(fresh)
        page = _median(lambda: store.ledger.registry.listed(limit=PAGE))

        def ask(query: str) -> None:
            answer = store.query(query, Limits())
            list(answer.stream.batches)
            answer.close()

        count = "SELECT count(*) FROM rr.table_column NATURAL JOIN rr.res_table"
        begin = time.perf_counter()
        ask(count)
        loaded = time.perf_counter() - begin
        return {
            "tables": tables,
            "records_made": changed,
            "all_records_made_s": round(first, 3),
            "nothing_changed_ms": round(1e3 * unchanged, 3),
            "page_of_200_ms": round(1e3 * page, 2),
            "first_query_s": round(loaded, 3),
            "later_query_ms": round(1e3 * _median(lambda: ask(count)), 2),
        }


class Registry:
    """A registry of many records, whose pages were written before."""

    def __init__(self, records: int) -> None:
        self.records = records
        self.pages = [self._page(first) for first in range(0, records, PAGE)]
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
                body = (
                    outer.identity if query["verb"] == "Identify" else outer.pages[int(query.get("resumptionToken", 0))]
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/oai"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    identity = (
        b'<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><responseDate>2026-01-01T00:00:00Z'
        b"</responseDate><request/><Identify><repositoryName>Large</repositoryName><protocolVersion>2.0</protocolVersion>"
        b"<deletedRecord>persistent</deletedRecord><granularity>YYYY-MM-DDThh:mm:ssZ</granularity></Identify></OAI-PMH>"
    )

    def _page(self, first: int) -> bytes:
        records = "".join(self._record(number) for number in range(first, min(first + PAGE, self.records)))
        more = f"<resumptionToken>{first // PAGE + 1}</resumptionToken>" if first + PAGE < self.records else ""
        return (
            '<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
            f"<responseDate>2026-01-01T00:00:00Z</responseDate><request/><ListRecords>{records}{more}</ListRecords></OAI-PMH>"
        ).encode()

    def _record(self, number: int) -> str:
        from skyvault.formats.capability import Capability, ConeSearchCapability, Interface
        from skyvault.formats.voresource import Contact, Coverage, Creator, Record, record_element
        from skyvault.formats.vosi_xml import SchemaDescription
        from skyvault.model.table import Column, Table

        base = f"http://dc{number % 50}.example/s{number}"
        cells = " ".join(str((number * 37 + step * 811) % 49152) for step in range(60))
        ucds = ("pos.eq.ra", "pos.eq.dec", "phot.mag;em.opt.V", "src.redshift", "time.epoch")
        columns = tuple(
            Column(f"c{i}", "double", ucd=ucds[i % 5], description=f"What column {i} holds") for i in range(15)
        )
        record = Record(
            "vs:CatalogService",
            f"ivo://dc{number % 50}.example/s{number}",
            f"Survey {number} of {'quasars' if number % 97 == 0 else 'stars'}",
            f"Catalogue number {number}, made for measuring how quickly registries are read and searched.",
            base,
            f"Data centre {number % 50}",
            (Contact("Operator", f"op@dc{number % 50}.example"),),
            ("surveys", "catalogs"),
            creators=(Creator(f"Author, {number % 700}"),),
            capabilities=(
                ConeSearchCapability("ivo://ivoa.net/std/ConeSearch", (Interface(f"{base}/scs?", use="base"),)),
                Capability("ivo://ivoa.net/std/TAP#aux", (Interface(f"{base}/tap", use="base"),)),
            ),
            coverage=Coverage(f"6/{cells}", ((50000.0, 55000.0),), ((2e-19, 5e-19),), wavebands=("Optical",)),
            schemas=(SchemaDescription("s", (Table(f"s.t{number}", columns, description="Rows"),)),),
        )
        document = record_element(record, created=1e9, updated=1.2e9)
        return (
            f"<record><header><identifier>{record.ivoid}</identifier><datestamp>2025-01-01T00:00:00Z</datestamp></header>"
            f"<metadata>{document}</metadata></record>"
        )


def harvested(folder: Path, records: int) -> dict[str, Any]:
    """A large registry read, and asked as pyvo asks."""
    from skyvault.config import Settings
    from skyvault.publish.harvest import harvest
    from skyvault.store.duckdb_store import DuckStore
    from skyvault.store.query import Limits

    registry = Registry(records)
    idle = _peak_mb()
    settings = Settings(home=folder / "mirror", authority="bench.example")
    cpu, begin = _cpu(), time.perf_counter()
    done = harvest(registry.address, settings)
    seconds, spent = time.perf_counter() - begin, _cpu() - cpu
    told: dict[str, Any] = {
        "records": done.records,
        "megabytes": round(sum(map(len, registry.pages)) / 1e6, 1),
        "harvest_s": round(seconds, 2),
        "harvest_cpu_s": round(spent, 2),
        "records_a_second": round(done.records / seconds),
        "memory_above_idle_mb": round(_peak_mb() - idle, 1),
    }
    registry.pages = [registry.pages[0].split(b"<resumptionToken>")[0] + b"</ListRecords></OAI-PMH>"]
    begin = time.perf_counter()
    harvest(registry.address, settings)
    told["incremental_of_200_s"] = round(time.perf_counter() - begin, 2)
    head = (
        "SELECT ivoid, res_title, ivo_string_agg(COALESCE(access_url, ''), '::') AS urls FROM rr.resource"
        " NATURAL LEFT OUTER JOIN rr.capability NATURAL LEFT OUTER JOIN rr.interface WHERE {} GROUP BY ivoid, res_title"
    )
    conditions = {
        "keywords": "ivoid IN (SELECT ivoid FROM rr.resource WHERE 1=ivo_hasword(res_description, 'quasars') UNION ALL"
        " SELECT ivoid FROM rr.resource WHERE 1=ivo_hasword(res_title, 'quasars') UNION ALL"
        " SELECT ivoid FROM rr.res_subject WHERE res_subject ILIKE '%quasars%')",
        "servicetype": "standard_id IN ('ivo://ivoa.net/std/conesearch') AND ivoid LIKE 'ivo://dc7.example%'",
        "author": "ivoid IN (SELECT DISTINCT ivoid FROM rr.res_role WHERE role_name LIKE '%, 77' AND base_role='creator')",
        "ucd": "ivoid IN (SELECT DISTINCT ivoid FROM rr.table_column WHERE ucd LIKE 'src.red%') AND ivoid LIKE '%s77'",
        "spatial": "ivoid IN (SELECT DISTINCT ivoid FROM rr.stc_spatial WHERE"
        " 1 = CONTAINS(MOC(6, POINT(83.6, 22.0)), coverage))",
    }
    with DuckStore(settings) as store:

        def ask(query: str) -> int:
            answer = store.query(query, Limits())
            rows = sum(batch.num_rows for batch in answer.stream.batches)
            answer.close()
            return rows

        for name, condition in conditions.items():
            query = head.format(condition)
            told[f"query_{name}_rows"] = ask(query)
            told[f"query_{name}_ms"] = round(1e3 * _median(lambda query=query: ask(query), 3), 1)  # type: ignore[misc]
    registry.server.shutdown()
    return told


def peer(records: int) -> dict[str, Any]:
    """sickle reads the same list."""
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sickle import Sickle
    except ImportError:
        return {"sickle": "not installed"}
    registry = Registry(records)
    cpu, begin = _cpu(), time.perf_counter()
    count = sum(1 for _ in Sickle(registry.address).ListRecords(metadataPrefix="ivo_vor"))
    seconds, spent = time.perf_counter() - begin, _cpu() - cpu
    registry.server.shutdown()
    return {"sickle_records": count, "sickle_s": round(seconds, 2), "sickle_cpu_s": round(spent, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args()
    os.environ.setdefault("SKYVAULT_LOG_LEVEL", "error")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = {
            "own": own_records(folder, options.tables),
            "harvested": harvested(folder, options.records),
            "peer": peer(options.records),
        }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
